use super::super::pickle_write::{Form, Named, write, write_int, write_text};
use super::*;
use proptest::prelude::*;

/// `{id: label}` with SHORT_BINUNICODE and MEMOIZE, as Python's pickler writes small dicts.
fn python_instance() -> Vec<u8> {
    let mut bytes = b"\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    for word in [CLASS.0, CLASS.1] {
        bytes.extend([0x8c, word.len() as u8]);
        bytes.extend(word.as_bytes());
        bytes.push(0x94);
    }
    bytes.extend(b"\x93\x94)\x81\x94}\x94(");
    let field = |bytes: &mut Vec<u8>, name: &str| {
        bytes.extend([0x8c, name.len() as u8]);
        bytes.extend(name.as_bytes());
        bytes.push(0x94);
    };
    field(&mut bytes, "dimensionality");
    bytes.extend(b"K\x18");
    field(&mut bytes, "total_elements_added");
    bytes.extend(b"M\xd0\x07");
    field(&mut bytes, "max_seq_id");
    bytes.extend(b"\x8a\x05\x00\x00\x00\x00\x01");
    field(&mut bytes, "id_to_label");
    bytes.extend(b"}\x94(");
    field(&mut bytes, "a"); // memo entry 10
    bytes.extend(b"K\x01");
    field(&mut bytes, "b");
    bytes.extend(b"K\x02u");
    field(&mut bytes, "label_to_id");
    bytes.extend(b"}\x94K\x01h\x0as");
    bytes.extend(b"ub.");
    bytes
}

#[test]
fn an_instance_as_python_writes_it_is_read() {
    let bytes = python_instance();
    let found = read(&bytes, 2).expect("valid").into_owned();
    assert_eq!(
        found,
        IndexMetadata {
            dimensionality: Some(24),
            total_elements_added: 2000,
            max_seq_id: Some(1 << 32),
            labels: vec![("a".into(), 1), ("b".into(), 2)],
        }
    );
}

#[test]
fn another_class_is_refused() {
    let error = read(b"\x80\x02cos\nsystem\n)\x81.", 10).expect_err("not Chroma's");
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(read(b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", 10).is_err());
}

#[test]
fn memory_does_not_follow_what_the_file_claims() {
    assert!(read(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", 10).is_err());
    assert!(read(b"\x80\x03X\xff\xff\xff\xff", 10).is_err());
    let endless = [b"\x80\x03".as_slice(), &[b'}'; 200_000]].concat();
    let error = read(&endless, 3).expect_err("over budget");
    assert!(error.message().contains("longer"), "{}", error.message());
}

#[test]
fn two_records_with_one_label_are_refused() {
    let mut bytes = b"\x80\x03}(".to_vec();
    write_text(&mut bytes, "id_to_label").expect("write");
    bytes.extend(b"}(");
    for id in ["a", "b"] {
        write_text(&mut bytes, id).expect("write");
        write_int(&mut bytes, 1).expect("write");
    }
    bytes.extend(b"uu.");
    assert!(read(&bytes, 2).is_err());
}

#[test]
fn large_integers_keep_their_value() {
    for value in [0, 1, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MAX] {
        let mut bytes = b"\x80\x03}(".to_vec();
        write_text(&mut bytes, "max_seq_id").expect("write");
        write_int(&mut bytes, value).expect("write");
        write_text(&mut bytes, "id_to_label").expect("write");
        bytes.extend(b"}u.");
        assert_eq!(read(&bytes, 0).expect("valid").max_seq_id, Some(value));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(ids in proptest::collection::hash_set(".{0,40}", 0..60), dimension in 1usize..5000, last in 0..i64::MAX) {
        let ids: Vec<String> = ids.into_iter().collect();
        let mut bytes = Vec::new();
        let forms = [
            (Form::Dict, None),
            (Form::Object { last, counted: false }, None),
            (Form::Object { last, counted: true }, Some(last)),
        ];
        for (form, counted) in forms {
            bytes.clear();
            let entries: Vec<_> = ids.iter().map(String::as_str).zip(1..).collect();
            let named = Named { entries: &entries, total: ids.len() as u64, dimension, form };
            write(&mut bytes, &named).expect("write");
            let found = read(&bytes, ids.len() as u64).expect("valid");
            prop_assert_eq!(found.dimensionality, Some(dimension as u64));
            prop_assert_eq!(found.total_elements_added, ids.len() as u64);
            prop_assert_eq!(found.max_seq_id, counted);
            prop_assert_eq!(found.into_owned().labels, ids.iter().cloned().zip(1..).collect::<Vec<_>>());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes, 10);
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let mut bytes = python_instance();
        let length = bytes.len();
        bytes[at % length] = byte;
        let _ = read(&bytes, 10);
        prop_assert!(read(&python_instance()[..cut % length], 10).is_err());
    }
}

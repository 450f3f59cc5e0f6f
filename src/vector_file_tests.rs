use super::*;
use ndarray::array;
use proptest::prelude::*;

fn npy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn open(bytes: &[u8]) -> Result<NpyReader> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    std::fs::write(&path, bytes).unwrap();
    NpyReader::open(&path)
}

#[test]
fn what_is_written_is_read_back_in_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let mut writer = NpyWriter::create(&path, 2).unwrap();
    writer.write(array![[1.0, 2.0], [3.0, 4.0]].view()).unwrap();
    assert!(!path.exists());
    writer.write(array![[-5.5, 0.0]].view()).unwrap();
    assert_eq!(writer.finish().unwrap(), 3);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let mut reader = NpyReader::open(&path).unwrap();
    assert_eq!((reader.rows, reader.dimension), (3, 2));
    assert_eq!(reader.next_block(2).unwrap().unwrap(), array![[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(reader.next_block(2).unwrap().unwrap(), array![[-5.5, 0.0]]);
    assert!(reader.next_block(2).unwrap().is_none());
}

#[cfg(unix)]
#[test]
fn a_written_file_is_as_open_as_any_other_new_one() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    std::fs::write(folder.path().join("other"), "x").unwrap();
    NpyWriter::create(&folder.path().join("x.npy"), 2).unwrap().finish().unwrap();
    assert_eq!(mode("x.npy"), mode("other"));
}

#[test]
fn an_abandoned_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = NpyWriter::create(&folder.path().join("x.npy"), 3).unwrap();
    assert!(writer.write(array![[1.0]].view()).unwrap_err().is_mismatch());
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn half_floats_are_widened() {
    let bytes = npy("'<f2'", "False", "(1, 2)", &[0x00, 0x3c, 0x00, 0xc0]);
    assert_eq!(open(&bytes).unwrap().read_all().unwrap(), array![[1.0, -2.0]]);
}

#[test]
fn longer_header_versions_are_read() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }\n";
    for version in [2u8, 3] {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend_from_slice(&[version, 0]);
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&2.5f32.to_le_bytes());
        assert_eq!(open(&bytes).unwrap().read_all().unwrap(), array![[2.5]]);
    }
}

#[test]
fn other_types_orders_and_axes_are_refused_with_a_way_out() {
    for (descr, order, shape) in [
        ("'<f8'", "False", "(1, 1)"),
        ("'>f4'", "False", "(1, 1)"),
        ("'|O'", "False", "(1, 1)"),
        ("[('a', '<f4')]", "False", "(1, 1)"),
        ("'<f4'", "True", "(1, 1)"),
        ("'<f4'", "False", "(2,)"),
        ("'<f4'", "False", "(1, 1, 1)"),
    ] {
        let error = open(&npy(descr, order, shape, &[0; 4])).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{descr} {order} {shape}");
        assert!(!error.hints().is_empty());
    }
}

#[test]
fn lengths_are_checked_before_anything_is_allocated() {
    for shape in
        ["(1000000000000, 1000)", "(18446744073709551615, 18446744073709551615)", "(1, 0)", "(-1, 2)"]
    {
        assert_eq!(open(&npy("'<f4'", "False", shape, &[0; 16])).unwrap_err().kind(), Kind::Damaged);
    }
    assert_eq!(open(&npy("'<f4'", "False", "(2, 2)", &[0; 15])).unwrap_err().kind(), Kind::Damaged);
    assert_eq!(open(&npy("'<f4'", "False", "(2, 2)", &[0; 17])).unwrap_err().kind(), Kind::Damaged);
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(open(&long).unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn no_rows_are_no_error() {
    assert_eq!(open(&npy("'<f4'", "False", "(0, 7)", &[])).unwrap().read_all().unwrap().dim(), (0, 7));
}

proptest! {
    #[test]
    fn headers_never_panic(text in "\\PC{0,80}", shape in "[(0-9, )L-]{0,20}") {
        let _any = parse_header(&text);
        let _any = parse_header(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}"));
    }

    #[test]
    fn cut_files_are_refused(cut in 0usize..90) {
        let whole = npy("'<f4'", "False", "(2, 2)", &[0; 16]);
        let cut = cut.min(whole.len() - 1);
        prop_assert!(open(&whole[..cut]).is_err());
    }
}

//! Declarations: what is read from them, and what of them is changed.

use proptest::prelude::*;
use rusqlite::Connection;

use super::declaration::*;
use super::link::register;
use crate::error::Kind;
use crate::store::Metric;

const SQL: &str = "CREATE VIRTUAL TABLE \"t \"\" x\" USING  vec0( -- 384, (\n Id text primary key, e FLOAT[ 384 ]  \
    distance_metric = Cosine /* , 384 */, f bit[16],who int partition key, +body text, year float, chunk_size=64)";

#[test]
fn a_declaration_is_read_whole() {
    let declaration = Declaration::parse(SQL).unwrap();
    assert_eq!(declaration.table, "t \" x");
    assert_eq!(declaration.key, Some(("Id".to_owned(), true)));
    assert_eq!(declaration.chunk_size, 64);
    let found: Vec<_> = declaration.vectors().map(|(n, v)| (n, v.element, v.dimension, v.distance)).collect();
    let wanted = [
        ("e", Element::F32, 384, Distance::Known(Metric::Cosine)),
        ("f", Element::Bit, 16, Distance::Known(Metric::L2)),
    ];
    assert_eq!(found, wanted);
    let rest: Vec<_> =
        declaration.columns.iter().skip(2).map(|c| (c.name.as_str(), c.holds.clone())).collect();
    let wanted = [
        ("who", Holds::Partition(0)),
        ("body", Holds::Auxiliary(0, true)),
        ("year", Holds::Metadata(0, Metadata::Float)),
    ];
    assert_eq!(rest, wanted);
}

#[test]
fn only_the_number_changes_in_a_declaration() {
    let declaration = Declaration::parse(SQL).unwrap();
    assert_eq!(declaration.with_dimension("e", 7).unwrap(), SQL.replace("[ 384 ]", "[ 7 ]"));
    assert_eq!(declaration.with_dimension("f", 1024).unwrap(), SQL.replace("[16]", "[1024]"));
    assert!(declaration.with_dimension("body", 3).is_err());
}

#[test]
fn what_the_extension_refuses_is_refused() {
    register().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    let many = (0..17).map(|n| format!("e{n} float[2]")).collect::<Vec<_>>().join(", ");
    for arguments in [
        "",
        "id integer primary key",
        "e float[0]",
        "e float[8193]",
        "e float[4], chunk_size=9",
        "e float[4], chunk_size=0",
        "e float[4], chunk_size=4104",
        "e float[4], size=8",
        "e float[4], E text",
        "e float[4], k int",
        "e float[4], rowid int",
        "e float[4], a int primary key, b int primary key",
        "\"e\" float[4]",
        &many,
    ] {
        let sql = format!("CREATE VIRTUAL TABLE t USING vec0({arguments})");
        assert!(Declaration::parse(&sql).is_err_and(|e| e.kind() == Kind::Unsupported), "{arguments}");
        assert!(connection.execute_batch(&sql).is_err(), "{arguments}");
    }
    connection.execute_batch("CREATE VIRTUAL TABLE t USING vec0(, e float[4],, f int8[2],)").unwrap();
    let empty = Declaration::parse("CREATE VIRTUAL TABLE t USING vec0(, e float[4],, f int8[2],)").unwrap();
    assert_eq!(empty.columns.len(), 2);
    for sql in
        ["CREATE TABLE t (x)", "CREATE VIRTUAL TABLE t USING fts5(x)", "CREATE VIRTUAL TABLE t USING vec0"]
    {
        assert!(Declaration::parse(sql).is_err(), "{sql}");
    }
}

/// Arguments that the extension takes, and such as it does not.
fn argument() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![
        "float[8]",
        "float [ 16 ] distance_metric=L2",
        "int8[4] distance_metric = l1",
        "bit[24]",
        "text",
        "integer",
        "boolean",
        "float",
        "text partition key",
        "int primary key",
        "text PRIMARY KEY",
        "blob",
        "bit[8] distance_metric=l2",
    ]);
    let plus = prop::sample::select(vec!["", "", "", "+"]);
    let around = prop::sample::select(vec!["", " ", "\n\t", " /* , ( */ ", "-- )\n"]);
    (plus, "[a-z][a-z0-9_]{0,5}", kind, around.clone(), around)
        .prop_map(|(plus, name, kind, before, behind)| format!("{before}{plus}{name} {kind}{behind}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_understood_the_extension_understands_in_the_same_way(
        arguments in prop::collection::vec(argument(), 1..6),
        dimension in 1usize..=1024,
    ) {
        register().unwrap();
        let sql = format!("CREATE VIRTUAL TABLE t USING vec0({})", arguments.join(","));
        let connection = Connection::open_in_memory().unwrap();
        let taken = connection.execute_batch(&sql);
        if let Ok(declaration) = Declaration::parse(&sql) {
            taken.unwrap();
            let kept: String =
                connection.query_row("SELECT sql FROM sqlite_master WHERE name = 't'", [], |row| row.get(0)).unwrap();
            prop_assert_eq!(&kept, &sql);
            let mut columns = connection.prepare("SELECT name FROM pragma_table_xinfo('t') WHERE hidden = 0").unwrap();
            let columns: Vec<String> = columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            let mut wanted = vec![declaration.key_column().to_owned()];
            wanted.extend(declaration.columns.iter().map(|column| column.name.clone()));
            prop_assert_eq!(columns, wanted);
            prop_assert_eq!(super::shadow::obstacle(&connection, &declaration).unwrap(), None);
            let (vector, _) = declaration.vectors().next().unwrap();
            let changed = Declaration::parse(&declaration.with_dimension(vector, dimension).unwrap()).unwrap();
            prop_assert_eq!(changed.vectors().next().unwrap().1.dimension, dimension);
            prop_assert_eq!(changed.columns.len(), declaration.columns.len());
        }
    }

    #[test]
    fn no_text_makes_the_reader_stumble(
        text in "[ -~\\n\u{e9}]{0,80}", at in 0usize..220, length in 0usize..6,
    ) {
        let _ = Declaration::parse(&text);
        let _ = Declaration::parse(&format!("CREATE VIRTUAL TABLE {text}"));
        let _ = Declaration::parse(&format!("CREATE VIRTUAL TABLE t USING vec0({text})"));
        let mut sql = SQL.to_owned();
        let (start, end) = (at.min(sql.len()), (at + length).min(sql.len()));
        sql.replace_range(start..end, &text);
        if let Ok(declaration) = Declaration::parse(&sql) {
            let (vector, _) = declaration.vectors().next().unwrap();
            prop_assert!(declaration.with_dimension(vector, 9).unwrap().len() <= sql.len() + 1);
        }
    }
}

//! Damaged and strange tables: what is refused, and with which words.

use super::testing::*;
use super::*;

#[test]
fn damage_is_seen_before_anything_is_written() {
    for (damage, wanted) in [
        ("UPDATE v_vector_chunks00 SET vectors = x'00' WHERE _rowid_ = 3", "has 1 bytes for chunk 3"),
        ("UPDATE v_vector_chunks00 SET vectors = 'text' WHERE _rowid_ = 3", "no blob"),
        ("DELETE FROM v_vector_chunks00 WHERE _rowid_ = 3", "no blob for chunk 3"),
        ("DELETE FROM v_chunks WHERE chunk_id = 3", "chunks have vectors"),
        ("UPDATE v_chunks SET validity = x'ffff' WHERE chunk_id = 3", "not of 8 rows"),
        ("UPDATE v_chunks SET validity = x'ff' WHERE chunk_id = 3", "not noted there"),
        ("UPDATE v_chunks SET size = 16 WHERE chunk_id = 3", "not of 8 rows"),
        ("UPDATE v_chunks SET validity = x'00' WHERE chunk_id = 3", "are noted"),
        (
            "UPDATE v_chunks SET rowids = (SELECT rowids FROM v_chunks WHERE chunk_id = 1) WHERE chunk_id = 3",
            "not noted",
        ),
        ("DELETE FROM v_rowids WHERE rowid = 18", "not noted there"),
        ("DELETE FROM v_auxiliary WHERE rowid = 18", "no auxiliary"),
        ("UPDATE v_rowids SET chunk_offset = 900 WHERE rowid = 18", "outside of its chunk"),
        ("UPDATE v_metadatachunks00 SET data = zeroblob(100) WHERE _rowid_ = 3", "wanted 128"),
        (
            "UPDATE v_metadatachunks00 SET data = unhex(replace(hex(zeroblob(64)), '00', 'FAFF')) WHERE _rowid_ = 3",
            "no value",
        ),
        ("DELETE FROM v_metadatatext00 WHERE rowid = 18", "long text"),
        (
            "UPDATE v_vector_chunks00 SET vectors = unhex(replace(hex(zeroblob(64)), '00', 'FFFF')) WHERE _rowid_ = 3",
            "finite",
        ),
    ] {
        let connection = open();
        connection
            .execute_batch(
                "CREATE VIRTUAL TABLE v USING vec0(e float[4], title text, +more text, chunk_size=8)",
            )
            .unwrap();
        fill(&connection, "v", "rowid, e, title, more", &|row| {
            vec![
                row.into(),
                blob(row, 4).into(),
                "a long long title".to_owned().into(),
                "x".to_owned().into(),
            ]
        });
        connection.execute_batch(&format!("BEGIN; {damage}")).unwrap();
        let error = rewrite(&connection, "v", 4).map(drop).unwrap_err();
        assert!(error.message().contains(wanted), "{damage}: {error:?}");
        assert_eq!(error.kind(), Kind::Damaged);
    }
}

#[test]
fn tables_that_cannot_be_read_say_why() {
    let connection = open();
    connection
        .execute_batch(
            "CREATE VIRTUAL TABLE one USING vec0(e float[4] distance_metric=l1);
             CREATE VIRTUAL TABLE two USING vec0(e float[4]);
             ALTER TABLE two_chunks RENAME COLUMN validity TO v",
        )
        .unwrap();
    let why = |name| found(&connection, name).0.unsupported.unwrap();
    assert!(why("one").contains("L1"));
    assert!(why("two").contains("no column `validity`"));
    assert!(vss_tables(&connection).unwrap().is_empty());
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON;
             INSERT INTO sqlite_master VALUES ('table', 'old', 'old', 0, 'CREATE VIRTUAL TABLE old USING vss0(e(384))');
             INSERT INTO sqlite_master VALUES ('table', 'new', 'new', 0, 'CREATE VIRTUAL TABLE new USING vec0(e float[8] indexed by ivf())');",
        )
        .unwrap();
    assert_eq!(vss_tables(&connection).unwrap(), ["old"]);
    assert!(why("new").contains("indexed by ivf()"), "{}", why("new"));
}

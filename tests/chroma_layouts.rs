//! Layouts of releases in between those that are installed, made from their files by the migrations.

#![allow(clippy::expect_used, clippy::panic)]

mod support;

use embedport::store::{Changes, Since};
use support::{Made, check, collection, contents, sqlite, text};

/// The tables as 0.4.0 made them: the migrations that came up to 0.4.24 undone.
const BACK_TO_0_4_0: &str = "
    PRAGMA foreign_keys = OFF;
    BEGIN;
    CREATE TABLE earlier (id TEXT PRIMARY KEY, name TEXT NOT NULL, topic TEXT NOT NULL, dimension INTEGER, UNIQUE (name));
    INSERT INTO earlier SELECT id, name, topic, dimension FROM collections;
    DROP TABLE collections;
    ALTER TABLE earlier RENAME TO collections;
    DROP TABLE databases;
    DROP TABLE tenants;
    CREATE VIRTUAL TABLE embedding_fulltext USING fts5(id, string_value);
    INSERT INTO embedding_fulltext (id, string_value)
        SELECT id, string_value FROM embedding_metadata WHERE key = 'chroma:document';
    DROP TABLE embedding_fulltext_search;
    ALTER TABLE embedding_metadata DROP COLUMN bool_value;
    DELETE FROM migrations WHERE dir = 'sysdb' AND version = 4 OR dir = 'metadb' AND version > 1;
    COMMIT;";

#[test]
fn the_layout_of_0_4_0() {
    let made = Made::new(
        "0.4.24",
        &["--n", "230", "--tail", "30", "--sync-threshold", "100", "--space", "cosine", "--no-booleans"],
    );
    let database = made.database();
    sqlite(&database).execute_batch(BACK_TO_0_4_0).expect("undone");
    let before = contents(&database);
    let mut store = made.open();
    let docs = collection(store.as_ref(), "docs");
    assert_eq!(
        (docs.namespace.as_str(), docs.count, docs.texts),
        ("default_tenant/default_database", 260, 260)
    );
    drop(store);
    // That Chroma's own migration gives the full-text rows the keys of other rows.
    let more = ["--no-full-text"];
    let backup = made.moves("0.4.24", 12, &more);
    // What that release would do for a delete and an update; both are undone with their full-text rows.
    sqlite(&database)
        .execute_batch(
            "DELETE FROM embedding_metadata WHERE id = 7; DELETE FROM embedding_fulltext WHERE id = 7;
             DELETE FROM embeddings WHERE id = 7;
             UPDATE embeddings SET seq_id = x'00000000000001ff' WHERE id = 9;
             UPDATE max_seq_id SET seq_id = x'00000000000001ff';
             UPDATE embedding_metadata SET string_value = 'later' WHERE id = 9 AND key = 'chroma:document';
             UPDATE embedding_fulltext SET string_value = 'later' WHERE id = 9;",
        )
        .expect("changed");
    store = made.open();
    let changes = store.changes_since(&backup).expect("known");
    assert_eq!(changes, Changes { added: 0, removed: 1, updated: 1 });
    store.restore(&backup, Since::Drop).expect("restored");
    drop(store);
    let (after, before) = (contents(&database), before);
    let own = |name: &&String| !name.starts_with("embedding_fulltext_"); // how FTS5 keeps its words
    for name in before.0.keys().filter(own) {
        assert!(after.0.get(name) == before.0.get(name), "table {name}");
    }
    assert!(after.1 == before.1);
    let texts: i64 = sqlite(&database)
        .query_row(
            "SELECT count(*) FROM embedding_fulltext f JOIN embedding_metadata m ON m.id = f.id \
             AND m.key = 'chroma:document' AND m.string_value = f.string_value",
            [],
            |row| row.get(0),
        )
        .expect("count");
    assert_eq!(texts, 260);
    let more = [&["--bulk", "130", "--min-recall", "0.9"], &more[..]].concat();
    check("0.4.24", &database, &made.truths(), "docs", None, &more).expect("in order");
}

#[test]
fn the_layout_of_0_5_4() {
    // Topics are gone, the configuration is there and empty; the pickle still counts.
    let made =
        Made::new("0.4.24", &["--n", "230", "--tail", "30", "--sync-threshold", "100", "--extra", "1"]);
    let later = Made::new("0.5.23", &["--n", "10"]);
    let database = made.database();
    let connection = sqlite(&database);
    connection
        .execute("ATTACH ?1 AS later", [text(&later.database().join("chroma.sqlite3"))])
        .expect("attached");
    let wanted = "dir = 'sysdb' AND version BETWEEN 5 AND 7";
    let mut statement = connection
        .prepare(&format!("SELECT sql FROM later.migrations WHERE {wanted} ORDER BY version"))
        .expect("select");
    let steps: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("rows").map(|row| row.expect("text")).collect();
    drop(statement);
    assert_eq!(steps.len(), 3);
    for step in steps {
        connection.execute_batch(&step).expect("migrated");
    }
    connection
        .execute(&format!("INSERT INTO main.migrations SELECT * FROM later.migrations WHERE {wanted}"), [])
        .expect("noted");
    drop(connection);
    let before = contents(&database);
    assert_eq!(made.open().describe().expect("described").release, "chroma 0.5.0 to 0.5.5");
    let backup = made.moves("0.5.23", 40, &[]);
    made.open().restore(&backup, Since::Refuse).expect("restored");
    assert!(contents(&database) == before);
}

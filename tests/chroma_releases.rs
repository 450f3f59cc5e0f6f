//! What sets one Chroma database apart from another beside the axes of the matrix: files that a
//! newer release took over, journal modes, names, and states that are refused.

#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use embedport::error::{Error, Kind};
use embedport::store::{Changes, Collection, Metric, Since, VectorStore, find_collection};
use rusqlite::Connection;
use support::{Made, check, collection, contents, copy_folder, rewrite_as, run, save_npy, sqlite, text};

const NEWEST: &str = "1.5.9";

fn refusal(store: &mut dyn VectorStore, collection: &Collection) -> Error {
    let folder = store.describe().expect("described").path;
    store.rewrite(collection, &support::target(&folder, "m1", 8)).map(drop).expect_err("refused")
}

#[test]
fn a_file_that_a_newer_release_took_over() {
    let pairs =
        [("0.4.24", "0.6.3"), ("0.4.24", NEWEST), ("0.5.23", NEWEST), ("0.6.3", NEWEST), ("1.0.20", NEWEST)];
    for (release, newer) in pairs {
        for touched in [false, true] {
            let made = Made::new(
                release,
                &["--n", "230", "--tail", "30", "--sync-threshold", "100", "--space", "cosine", "--m", "24"],
            );
            let database = made.database();
            let names: &[&str] = if touched { &["docs"] } else { &[] };
            run(newer, "act.py", &[&["touch", text(&database)], names].concat());
            let before = contents(&database);
            let store = made.open();
            let family = if newer == NEWEST { "chroma 1.5 or later" } else { "chroma 0.5.6 to 0.6" };
            assert_eq!(store.describe().expect("described").release, family);
            // config_json_str of 0.5 and 0.6 goes on saying l2.
            assert_eq!(collection(store.as_ref(), "docs").metric, Metric::Cosine);
            drop(store);
            let backup = made.moves(newer, 40, &[]);
            let header = std::fs::read(new_segment(&database).join("header.bin")).expect("header");
            assert_eq!(header[76..84], 24u64.to_le_bytes(), "M, {release} to {newer}");
            made.open().restore(&backup, Since::Refuse).expect("restored");
            assert!(contents(&database) == before, "{release} to {newer}, touched: {touched}");
        }
    }
}

/// Folder of the VECTOR segment of `docs`.
fn new_segment(database: &Path) -> std::path::PathBuf {
    let id: String = sqlite(database)
        .query_row(
            "SELECT s.id FROM segments s JOIN collections c ON c.id = s.collection \
             WHERE s.scope = 'VECTOR' AND c.name = 'docs'",
            [],
            |row| row.get(0),
        )
        .expect("there");
    database.join(id)
}

#[test]
fn a_rollback_after_a_newer_release_took_the_result_over() {
    for (release, changed) in [("0.4.24", true), ("0.4.24", false), ("0.5.23", false), ("0.6.3", true)] {
        let made = Made::new(release, &["--n", "230", "--tail", "30", "--sync-threshold", "100"]);
        let database = made.database();
        let backup = made.moves(release, 40, &[]);
        run(NEWEST, "act.py", &["touch", text(&database), "docs"]);
        let mut store = made.open();
        assert_eq!(store.changes_since(&backup).expect("known"), Changes::default());
        if changed {
            drop(store);
            run(NEWEST, "act.py", &["change", text(&database), "docs"]);
            store = made.open();
            let changes = store.changes_since(&backup).expect("known");
            assert_eq!(changes, Changes { added: 3, removed: 2, updated: 4 });
        }
        store.restore(&backup, if changed { Since::Drop } else { Since::Refuse }).expect("restored");
        drop(store);
        let typed: String = sqlite(&database)
            .query_row("SELECT group_concat(DISTINCT typeof(seq_id)) FROM max_seq_id", [], |row| row.get(0))
            .expect("rows");
        assert_eq!(typed, "integer", "{release}, changed: {changed}");
        check(NEWEST, &database, &made.truths(), "docs", None, &["--bulk", "130"]).expect("in order");
    }
}

#[test]
fn a_write_ahead_log_stays_and_still_keeps_everybody_out() {
    for release in ["0.4.24", "0.6.3", NEWEST] {
        let made = Made::new(
            release,
            &["--n", "220", "--sync-threshold", "100", "--journal", "wal", "--extra", "1"],
        );
        let database = made.database();
        assert!(database.join("chroma.sqlite3-wal").exists(), "Chroma was not killed in the middle");
        let before = contents(&database);
        let mut store = made.open();
        let docs = collection(store.as_ref(), "docs");
        let open = store.rewrite(&docs, &support::target(&database, "m0", 8)).expect("free");
        let other = sqlite(&database);
        let error =
            other.query_row("SELECT count(*) FROM collections", [], |_| Ok(())).expect_err("kept out");
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
        drop(open);
        drop((other, store));
        let backup = made.moves(release, 40, &[]);
        let mode = |c: &Connection| c.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
        assert_eq!(mode(&sqlite(&database)).expect("known"), "wal");
        made.open().restore(&backup, Since::Refuse).expect("restored");
        assert_eq!(mode(&sqlite(&database)).expect("known"), "wal");
        assert!(contents(&database) == before);
    }
}

#[test]
fn one_name_in_several_databases_and_tenants() {
    for release in ["0.4.24", "0.5.23", NEWEST] {
        let made = Made::new(release, &["--n", "160", "--sync-threshold", "100", "--same-name", "--odd-ids"]);
        let before = contents(&made.database());
        let mut store = made.open();
        let description = store.describe().expect("described");
        let error = find_collection(&description, "docs", None).expect_err("three");
        assert_eq!(error.kind(), Kind::Usage);
        let found = |place| find_collection(&description, "docs", Some(place)).expect("one");
        assert_eq!(found("second_db").namespace, "default_tenant/second_db");
        let docs = found("second_tenant/its_db").clone();
        let target = support::target(&description.path, "m1", 30);
        let rewritten = rewrite_as(store.as_mut(), &docs, &target, 1e-6);
        let vectors = made.folder.path().join("new.npy");
        save_npy(&vectors, &made.ids("docs.second_tenant"), &rewritten.vectors);
        made.check("docs.second_tenant", Some(&vectors), &["--bulk", "130", "--min-recall", "0.9"]);
        store.restore(&rewritten.backup, Since::Refuse).expect("restored");
        assert!(contents(&made.database()) == before);
    }
}

#[test]
fn collections_without_records_are_refused_and_nothing_else() {
    for release in ["0.4.24", "0.6.3", NEWEST] {
        let made = Made::new(release, &["--n", "40", "--empty", "--emptied", "--no-docs", "1"]);
        let before = contents(&made.database());
        let mut store = made.open();
        let empty = collection(store.as_ref(), "empty_one");
        assert_eq!(empty.dimension, None);
        let error = refusal(store.as_mut(), &empty);
        assert_eq!((error.kind(), error.message().contains("never got a record")), (Kind::Refused, true));
        let emptied = collection(store.as_ref(), "emptied_one");
        assert_eq!((emptied.dimension, emptied.count), (Some(9), 0));
        let error = refusal(store.as_mut(), &emptied);
        assert_eq!((error.kind(), error.message().contains("has no records")), (Kind::Refused, true));
        assert!(contents(&made.database()) == before);
        assert_eq!(collection(store.as_ref(), "docs").texts, 0);
        drop(store);
        made.moves(release, 9, &[]);
    }
}

/// 0.4 loses a record from its index that is deleted and added again within one batch, and then fails
/// itself; its queue still has the vector.
#[test]
fn what_0_4_lost_from_its_index_is_taken_from_the_queue() {
    let options =
        ["--n", "250", "--sync-threshold", "50", "--batch-size", "50", "--deletes", "12", "--readd", "6"];
    let made = Made::new("0.4.24", &[&options[..], &["--tail", "110"]].concat());
    let native = check("0.4.24", &made.database(), &made.truths(), "docs", None, &["--read-only-checks"]);
    assert!(native.expect_err("the flaw of 0.4").contains("is not subscriptable"));
    let before = contents(&made.database());
    let backup = made.moves("0.4.24", 40, &[]);
    made.open().restore(&backup, Since::Refuse).expect("restored");
    assert!(contents(&made.database()) == before);

    sqlite(&made.database())
        .execute(
            "DELETE FROM embeddings_queue WHERE operation = 0 AND id IN \
             (SELECT id FROM embeddings_queue WHERE operation = 3)",
            [],
        )
        .expect("deleted");
    let mut store = made.open();
    let docs = collection(store.as_ref(), "docs");
    let error = refusal(store.as_mut(), &docs);
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.message().contains("6 of 354 records"), "{error}");
}

#[test]
fn tables_behind_the_queue_are_explained_and_chroma_mends_them() {
    for release in ["0.4.24", "0.6.3", NEWEST] {
        let made = Made::new(release, &["--n", "120", "--sync-threshold", "100", "--tail", "5"]);
        let behind = if release == NEWEST { "123" } else { "x'000000000000007b'" };
        sqlite(&made.database())
            .execute(
                &format!(
                    "UPDATE max_seq_id SET seq_id = {behind} WHERE segment_id IN \
                     (SELECT id FROM segments WHERE scope = 'METADATA')"
                ),
                [],
            )
            .expect("updated");
        let mut store = made.open();
        let docs = collection(store.as_ref(), "docs");
        let error = refusal(store.as_mut(), &docs);
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.message().contains("its tables have not taken in yet"), "{error}");
        drop(store);
        run(release, "act.py", &["touch", text(&made.database()), "docs"]);
        made.moves(release, 12, &[]);
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let made = Made::new(NEWEST, &["--n", "30"]);
    let schema = "UPDATE collections SET schema_str = replace(schema_str, '\"hnsw\":{', '\"spann\":{')";
    let kind = |kind: &str| format!("UPDATE segments SET type = '{kind}' WHERE scope = 'VECTOR'");
    let migration = |part: &str, version: i64| {
        format!(
            "INSERT INTO migrations (dir, version, filename, sql, hash) VALUES ('{part}', {version}, '', '', '')"
        )
    };
    let cases = [
        (kind("urn:chroma:segment/vector/spann"), "urn:chroma:segment/vector/spann"),
        (kind("urn:chroma:segment/vector/hnsw-distributed"), "hnsw-distributed"),
        (kind("urn:chroma:segment/vector/hnsw-local-memory"), "hnsw-local-memory"),
        (schema.to_owned(), "SPANN"),
        (migration("sysdb", 11), "sysdb migration 11, known up to 10"),
        (migration("metadb", 7), "metadb migration 7, known up to 6"),
        (migration("embeddings_queue", 3), "embeddings_queue migration 3, known up to 2"),
        (migration("blockstore", 1), "`blockstore`"),
    ];
    for (change, wanted) in cases {
        let copy = made.folder.path().join("copy");
        copy_folder(&made.database(), &copy);
        assert!(sqlite(&copy).execute(&change, []).expect("changed") > 0, "{change}");
        let before = contents(&copy);
        let error = match embedport::store::open(text(&copy)) {
            Err(error) => error,
            Ok(mut store) => {
                let docs = collection(store.as_ref(), "docs");
                assert!(docs.unsupported.is_some(), "{change}");
                refusal(store.as_mut(), &docs)
            }
        };
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        assert!(error.message().contains(wanted), "{error}");
        assert!(contents(&copy) == before, "{change}");
        std::fs::remove_dir_all(&copy).expect("removed");
    }
}

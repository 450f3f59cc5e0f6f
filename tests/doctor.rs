//! Every finding of a deep look, on a really damaged copy of a real Chroma database; an untouched one has none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use common::{contents, copy_folder, embedport};
use rusqlite::Connection;
use serde_json::Value;
use support::Made;

/// A copy of a database, to be damaged: the collection of the largest dimension.
struct Patient {
    folder: tempfile::TempDir,
}

impl Patient {
    fn of(database: &Path) -> Patient {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(database, &folder.path().join("db"));
        Patient { folder }
    }

    fn db(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    fn sql(&self, script: &str) {
        let connection = Connection::open(self.db().join("chroma.sqlite3")).unwrap();
        connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {script}")).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        let connection = Connection::open(self.db().join("chroma.sqlite3")).unwrap();
        let segment: String = connection
            .query_row(
                "SELECT s.id FROM segments s JOIN collections c ON c.id = s.collection \
                 WHERE s.scope = 'VECTOR' ORDER BY c.dimension DESC",
                [],
                |row| row.get(0),
            )
            .unwrap();
        self.db().join(segment).join(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file(name)).unwrap();
        change(&mut bytes);
        fs::write(self.file(name), bytes).unwrap();
    }

    /// Where element `i` of the level-0 file is, and its vector and label inside.
    fn element(&self, i: usize) -> [usize; 3] {
        let header = fs::read(self.file("header.bin")).unwrap();
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap()) as usize;
        [i * word(28), i * word(28) + word(44), i * word(28) + word(36)]
    }

    /// What a deep look says, which must change nothing.
    fn examine(&self) -> Value {
        let before = contents(&self.db());
        let outcome = embedport(self.folder.path(), &["inspect", "--deep", "--store", "db", "--json"]);
        assert!(before == contents(&self.db()), "the look changed the database");
        let report = outcome.json();
        assert!(report["findings"].is_array(), "{}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.code, if report["blocks"] == true { 24 } else { 0 }, "{}", outcome.stderr);
        report
    }
}

fn names(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|f| f["check"].as_str().unwrap()).collect()
}

/// A cosine collection with an index, deletes, and a tail that only the queue holds.
fn made(release: &'static str) -> Made {
    let arguments = "--n 240 --dim 12 --space cosine --sync-threshold 100 --batch-size 50 --updates 5 --deletes 6 --tail 20 --tail-ops";
    Made::new(release, &arguments.split(' ').collect::<Vec<_>>())
}

type Damage = fn(&Patient);

/// Name of the finding, its severity, records that it is about (0: any), and the damage.
const CASES: &[(&str, &str, u64, Damage)] = &[
    ("header", "blocks", 0, |p| p.edit("header.bin", |b| b.truncate(60))),
    ("header", "blocks", 0, |p| p.edit("header.bin", |b| b[28] ^= 4)),
    ("level0", "blocks", 3, |p| {
        let header = fs::read(p.file("header.bin")).unwrap();
        let count = u64::from_le_bytes(header[20..28].try_into().unwrap()) as usize;
        let end = p.element(count - 3)[0];
        p.edit("data_level0.bin", |b| b.truncate(end));
    }),
    ("lengths", "blocks", 0, |p| p.edit("length.bin", |b| b.truncate(9))),
    ("link_lists", "blocks", 0, |p| p.edit("link_lists.bin", |b| b.truncate(30))),
    ("pickle", "blocks", 0, |p| p.edit("index_metadata.pickle", |b| b.truncate(100))),
    ("index_dimension", "blocks", 0, |p| p.sql("UPDATE collections SET dimension = 13")),
    ("stray_links", "repaired", 1, |p| {
        let at = p.element(2)[0];
        p.edit("data_level0.bin", |b| b[at + 4..at + 8].copy_from_slice(&9_000_000u32.to_le_bytes()));
    }),
    ("stray_links", "repaired", 1, |p| {
        // The first list above level 0 follows the first length that is not 0.
        p.edit("link_lists.bin", |b| {
            let at = b.chunks(4).position(|word| word != [0; 4]).unwrap() * 4;
            b[at + 4..at + 6].copy_from_slice(&1u16.to_le_bytes());
            b[at + 8..at + 12].copy_from_slice(&9_000_000u32.to_le_bytes());
        });
    }),
    ("repeated_labels", "blocks", 1, |p| {
        let (from, to) = (p.element(3)[2], p.element(4)[2]);
        p.edit("data_level0.bin", |b| b.copy_within(from..from + 8, to));
    }),
    ("labels_without_element", "repaired", 1, |p| {
        let at = p.element(5)[2];
        p.edit("data_level0.bin", |b| b[at..at + 8].copy_from_slice(&77_777u64.to_le_bytes()));
    }),
    ("elements_without_label", "repaired", 1, |p| {
        let at = p.element(5)[2];
        p.edit("data_level0.bin", |b| b[at..at + 8].copy_from_slice(&77_777u64.to_le_bytes()));
    }),
    ("vectors_without_record", "repaired", 4, |p| {
        p.sql("DELETE FROM embeddings WHERE embedding_id IN (SELECT embedding_id FROM embeddings e WHERE NOT EXISTS \
               (SELECT 1 FROM embeddings_queue q WHERE q.id = e.embedding_id) ORDER BY id LIMIT 4)");
    }),
    ("not_normalised", "repaired", 1, |p| {
        let at = p.element(6)[1];
        p.edit("data_level0.bin", |b| b[at..at + 4].copy_from_slice(&5f32.to_le_bytes()));
    }),
    ("metadata_behind", "blocks", 3, |p| {
        p.sql("UPDATE max_seq_id SET seq_id = seq_id - 3 WHERE segment_id = (SELECT id FROM segments WHERE scope = 'METADATA')");
    }),
    ("queue_rows", "blocks", 0, |p| {
        p.sql("UPDATE embeddings_queue SET operation = 9 WHERE seq_id = (SELECT max(seq_id) FROM embeddings_queue)")
    }),
    ("queued_dimension", "blocks", 1, |p| {
        p.sql("UPDATE embeddings_queue SET vector = zeroblob(20) WHERE seq_id = (SELECT max(seq_id) FROM embeddings_queue WHERE operation = 0)");
    }),
    ("records_without_vector", "blocks", 0, |p| {
        fs::remove_dir_all(p.file("header.bin").parent().unwrap()).unwrap()
    }),
    ("records_without_vector", "blocks", 2, |p| {
        p.sql("INSERT INTO embeddings (segment_id, embedding_id, seq_id) SELECT segment_id, 'lost-1', seq_id FROM embeddings LIMIT 1; \
               INSERT INTO embeddings (segment_id, embedding_id, seq_id) SELECT segment_id, 'lost-2', seq_id FROM embeddings LIMIT 1");
    }),
    ("repeated_ids", "blocks", 1, |p| {
        p.sql("CREATE TABLE copy AS SELECT * FROM embeddings; DROP TABLE embeddings; ALTER TABLE copy RENAME TO embeddings; \
               INSERT INTO embeddings SELECT id + 100000, segment_id, embedding_id, seq_id, created_at FROM embeddings LIMIT 1");
    }),
    ("not_finite", "blocks", 1, |p| {
        p.sql("UPDATE embeddings_queue SET vector = X'0000C07F' || substr(vector, 5) WHERE seq_id = (SELECT max(seq_id) FROM embeddings_queue WHERE operation = 0)");
        p.sql("UPDATE embeddings_queue SET vector = CAST(vector AS BLOB)");
    }),
    ("zero_vectors", "harmless", 1, |p| {
        p.sql("UPDATE embeddings_queue SET vector = zeroblob(48) WHERE seq_id = (SELECT max(seq_id) FROM embeddings_queue WHERE operation = 0)");
    }),
    ("queue_restarted", "repaired", 0, |p| p.sql("DELETE FROM embeddings_queue")),
    ("queue_at_risk", "repaired", 0, |p| {
        p.sql("UPDATE embeddings_queue SET topic = 'persistent://default/default/11111111-2222-3333-4444-555555555555'");
    }),
    ("orphan_folders", "harmless", 1, |p| {
        fs::create_dir(p.db().join("11111111-2222-3333-4444-555555555555")).unwrap();
    }),
    ("embedport_leftovers", "harmless", 1, |p| {
        let id = "11111111-2222-3333-4444-666666666666";
        fs::create_dir(p.db().join(id)).unwrap();
        fs::create_dir_all(p.db().join(".embedport/m1")).unwrap();
        fs::write(p.db().join(".embedport/m1/journal.json"), format!("{{\"new_segment\": \"{id}\"}}"))
            .unwrap();
    }),
    ("not_supported", "blocks", 0, |p| {
        p.sql("UPDATE segments SET type = 'urn:chroma:segment/vector/spann' WHERE scope = 'VECTOR'")
    }),
];

#[test]
fn every_damage_is_found_and_named() {
    let made = made("1.5.9");
    let untouched = Patient::of(&made.database()).examine();
    assert_eq!(names(&untouched), Vec::<&str>::new(), "{untouched:#}");
    let mut wrong = Vec::new();
    for (place, (check, severity, records, damage)) in CASES.iter().enumerate() {
        let patient = Patient::of(&made.database());
        damage(&patient);
        let report = patient.examine();
        let found = report["findings"].as_array().unwrap().iter().find(|f| f["check"] == *check);
        let right = found.is_some_and(|f| {
            f["severity"] == *severity
                && (*records == 0 || f["records"] == *records)
                && f["examples"].as_array().unwrap().len() <= 3
                && ["found", "migration", "advice"]
                    .iter()
                    .all(|key| f[key].as_str().is_some_and(|t| t.len() > 5))
        });
        if !right {
            wrong.push(format!("{place} {check}: {:#}", report["findings"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_look_goes_on_after_the_first_finding() {
    let patient = Patient::of(&made("1.5.9").database());
    patient.edit("length.bin", |b| b.truncate(9));
    let at = patient.element(2)[0];
    patient.edit("data_level0.bin", |b| b[at + 4..at + 8].copy_from_slice(&9_000_000u32.to_le_bytes()));
    fs::create_dir(patient.db().join("11111111-2222-3333-4444-555555555555")).unwrap();
    assert_eq!(names(&patient.examine()), ["lengths", "stray_links", "orphan_folders"]);
    let text =
        embedport(patient.folder.path(), &["inspect", "--deep", "--store", "db", "--collection", "docs"]);
    assert_eq!(text.code, 24);
    assert!(
        text.stdout.contains("BLOCKS A MIGRATION") && text.stdout.contains("docs: length.bin"),
        "{}",
        text.stdout
    );
}

#[test]
fn untouched_databases_of_every_release_have_no_finding() {
    for release in ["0.4.24", "0.5.23", "0.6.3", "1.0.20"] {
        let report = Patient::of(&made(release).database()).examine();
        assert_eq!(names(&report), Vec::<&str>::new(), "{release}: {report:#}");
    }
}

#[test]
fn the_demo_database_has_no_finding() {
    let report = Patient::of(&common::root().join("assets/demo/chroma")).examine();
    assert_eq!(names(&report), Vec::<&str>::new(), "{report:#}");
}

#[test]
fn vectors_of_two_models_in_one_collection_are_noticed() {
    let patient = Patient::of(&common::root().join("assets/demo/chroma"));
    // Half of the vectors of the index get their components in reverse: a space of the same dimension and lengths.
    let [_, _, label] = patient.element(0);
    let (size, vector) = (patient.element(1)[0], patient.element(0)[1]);
    patient.edit("data_level0.bin", |bytes| {
        for element in bytes.chunks_exact_mut(size).step_by(2) {
            let mut reversed =
                element[vector..label].chunks_exact(4).rev().flatten().copied().collect::<Vec<_>>();
            element[vector..label].swap_with_slice(&mut reversed);
        }
    });
    let report = patient.examine();
    assert_eq!(names(&report), ["mixed_spaces"], "{report:#}");
    assert_eq!(report["findings"][0]["severity"], "carried");
    assert_eq!(report["blocks"], false);
}

//! The rooms of the library use each other only downwards. The table is the architecture.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Room, and the rooms that it may use beside itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("space", &["error"]),
    ("context", &["error"]),
    ("random", &[]),
    ("clusters", &["error"]),
    ("simd", &[]),
    ("matrix", &["error", "simd"]),
    ("platform", &["error", "context"]),
    ("vector_file", &["error", "platform"]),
    ("texts", &["error", "platform"]),
    ("hnsw", &["error", "context", "random", "simd", "matrix"]),
    ("measure", &["error", "space", "context", "matrix", "random"]),
    ("embed", &["error", "space", "context", "matrix", "platform", "vector_file"]),
    (
        "projection",
        &[
            "error", "space", "context", "clusters", "matrix", "simd", "measure", "platform", "random",
            "texts",
        ],
    ),
    ("store", &["error", "space", "context", "hnsw", "platform", "simd"]),
    ("registry", &["error", "space", "projection", "platform"]),
    ("sampling", &["error", "context", "clusters", "random", "matrix", "texts"]),
    (
        "identification",
        &["error", "space", "context", "matrix", "measure", "embed", "registry", "sampling", "store"],
    ),
    (
        "training",
        &[
            "error",
            "identification",
            "space",
            "context",
            "random",
            "matrix",
            "measure",
            "embed",
            "projection",
            "registry",
            "sampling",
            "store",
            "texts",
            "vector_file",
            "platform",
        ],
    ),
    (
        "advice",
        &[
            "error",
            "space",
            "context",
            "random",
            "measure",
            "embed",
            "identification",
            "projection",
            "store",
            "texts",
            "training",
        ],
    ),
    (
        "migration",
        &[
            "error",
            "space",
            "context",
            "matrix",
            "simd",
            "measure",
            "embed",
            "projection",
            "registry",
            "store",
            "platform",
        ],
    ),
    ("evaluation", &["error", "space", "context", "random", "matrix", "measure", "embed", "store", "texts"]),
    ("detect", &["error", "space", "context", "embed", "identification", "migration", "registry", "store"]),
    ("demo_assets", &["error"]),
];

/// Parts of the program, not of the library.
const PROGRAM: &[&str] = &["main", "cli", "commands", "output", "lib"];

#[test]
fn arrows_point_downwards() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    assert!(files.len() > 20, "only {} files were found", files.len());
    let mut wrong = BTreeSet::new();
    for (room, text) in files {
        if PROGRAM.contains(&room.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            wrong.insert(format!("`{room}` is not in the table of rooms"));
            continue;
        };
        for used in used_rooms(&text) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.insert(format!("`{room}` uses `{used}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_itself_has_no_circle() {
    for (place, (room, allowed)) in ARROWS.iter().enumerate() {
        for used in *allowed {
            let below = ARROWS[..place].iter().any(|(name, _)| name == used);
            assert!(below, "`{room}` may use `{used}`, which does not stand above it in the table");
        }
    }
}

/// The fuzz targets build some rooms alone, with a manifest of their own that no other build reads.
#[test]
fn the_fuzz_targets_name_every_crate_that_their_rooms_use() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let crates = |manifest: &str| -> BTreeSet<String> {
        let lines = manifest.lines().map(|line| line.split([' ', '.']).next().unwrap_or_default());
        lines.filter(|name| !name.is_empty() && !name.starts_with(['[', '#'])).map(str::to_owned).collect()
    };
    let (known, named) = (crates(&read("Cargo.toml")), crates(&read("fuzz/Cargo.toml")));
    let built = read("fuzz/src/lib.rs");
    for path in built.split("#[path = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(
            root.join("fuzz/src").join(path).is_file(),
            "fuzz/src/lib.rs names {path}, which is not there"
        );
    }
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.retain(|(room, _)| built.contains(&format!("pub mod {room};")));
    assert!(files.len() > 20, "only {} files were found", files.len());
    let used = |name: &&String| {
        files.iter().any(|(_, text)| text.contains(&format!("{}::", name.replace('-', "_"))))
    };
    let missing: Vec<&String> = known.difference(&named).filter(used).collect();
    assert!(missing.is_empty(), "fuzz/Cargo.toml lacks {missing:?}");
}

/// Room and text of every source file, its tests cut off.
fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    let top = folder.ends_with("src");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let mut inner = Vec::new();
            collect(&path, &mut inner);
            let room = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.extend(inner.into_iter().map(|(_, text)| (room.clone(), text)));
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            let name = if top { path.file_stem().unwrap().to_str().unwrap() } else { "" };
            files.push((name.to_owned(), code));
        }
    }
}

/// Files of unit tests may use whatever they test with.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    name == "tests" || name == "testing" || name.ends_with("_tests")
}

/// Rooms named in `crate::room` outside comments, groups `crate::{a, b}` included.
fn used_rooms(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(group) => {
                let inside = group.split('}').next().unwrap_or_default();
                rooms.extend(inside.split(',').map(|item| word(item.trim())));
            }
            None => {
                rooms.insert(word(part));
            }
        }
    }
    rooms.remove("");
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
}

//! What is already known about folders with exactly these bytes: a stop that leaves what an earlier one left is
//! not looked at a second time.

use std::collections::HashMap;
use std::fs;
use std::hash::Hash;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use sha2::{Digest as _, Sha256};

use crate::matrix::is_temporary;

/// Everything that is below a folder: names, kinds, permissions, bytes.
pub type Digest = [u8; 32];

/// The digest of a folder. Left out is what says nothing about the state and differs from run to run: the random
/// part of a temporary file's name, the process number in the lock file, and in JSON of the program the place of
/// the folder and the room that was free on the disk. The program's own files lie in `state`.
pub fn digest(folder: &Path, state: &str) -> Digest {
    let mut entries: Vec<[u8; 32]> = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let mut hash = Sha256::new();
            let shown = entry.file_name().into_string().unwrap();
            hash.update(match is_temporary(&shown) {
                true => name.replace(&shown, "<temporary>"),
                false => name.clone(),
            });
            hash.update([0, u8::from(kind.is_dir()), u8::from(kind.is_symlink())]);
            hash.update(fs::symlink_metadata(&path).unwrap().permissions().mode().to_le_bytes());
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                hash.update(fs::read_link(&path).unwrap().to_str().unwrap());
            } else {
                let mut bytes = fs::read(&path).unwrap();
                let own = name.strip_prefix(state).and_then(|name| name.strip_prefix('/'));
                if own == Some("lock") {
                    bytes.retain(|byte| !byte.is_ascii_digit());
                } else if own.is_some() && bytes.starts_with(b"{") {
                    bytes = same_everywhere(&bytes, folder);
                }
                hash.update(bytes);
            }
            entries.push(hash.finalize().into());
        }
    }
    entries.sort_unstable();
    Sha256::digest(entries.concat()).into()
}

fn same_everywhere(json: &[u8], folder: &Path) -> Vec<u8> {
    let place = folder.to_str().unwrap().as_bytes();
    let room = b"\"bytes_free\": ";
    let mut kept = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some((first, others)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(place) {
            rest = after;
        } else if let Some(after) = rest.strip_prefix(room) {
            kept.extend(room);
            rest = after.trim_ascii_start();
            rest = &rest[rest.iter().take_while(|byte| byte.is_ascii_digit()).count()..];
        } else {
            kept.push(*first);
            rest = others;
        }
    }
    kept
}

/// Answers by what was asked; each is found once, by whoever asks first, and the others wait for it.
pub struct Memo<K, V> {
    cells: Mutex<HashMap<K, Arc<OnceLock<V>>>>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Memo { cells: Mutex::default() }
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    pub fn get(&self, key: K, find: impl FnOnce() -> V) -> V {
        let cell = self.cells.lock().unwrap().entry(key).or_default().clone();
        cell.get_or_init(find).clone()
    }

    /// How many different things were asked.
    pub fn len(&self) -> usize {
        self.cells.lock().unwrap().len()
    }
}

/// What is known about the folders that one scenario leaves, by their bytes.
#[derive(Default)]
pub struct Known {
    /// The state that the judge finds.
    pub judged: Memo<Digest, Result<String, String>>,
    /// What comes of a stopped folder, with the state in it.
    pub stopped: Memo<Digest, Result<Found, String>>,
    /// What comes of a folder after the command was run again.
    pub finished: Memo<Digest, Result<(), String>>,
    /// What comes of a folder after the way on.
    pub went_on: Memo<Digest, Result<(), String>>,
}

/// What was found in a stopped folder.
#[derive(Clone, Debug)]
pub struct Found {
    pub state: String,
    /// Whether a rollback would have worked, where a prune was stopped.
    pub way_back: Option<bool>,
}

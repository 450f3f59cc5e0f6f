//! The demo database and its questions, carried inside the program.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Kind, Result};

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../assets/demo/chroma/", $path)).as_slice())),*]
    };
}

/// Files of the database with their paths in it.
const FILES: &[(&str, &[u8])] = files![
    "chroma.sqlite3",
    "2dd63654-be76-4848-a844-c78d740cb779/data_level0.bin",
    "2dd63654-be76-4848-a844-c78d740cb779/header.bin",
    "2dd63654-be76-4848-a844-c78d740cb779/length.bin",
    "2dd63654-be76-4848-a844-c78d740cb779/link_lists.bin",
    "a1b13fcd-0e91-4b49-91ff-2e7440a79447/data_level0.bin",
    "a1b13fcd-0e91-4b49-91ff-2e7440a79447/header.bin",
    "a1b13fcd-0e91-4b49-91ff-2e7440a79447/index_metadata.pickle",
    "a1b13fcd-0e91-4b49-91ff-2e7440a79447/length.bin",
    "a1b13fcd-0e91-4b49-91ff-2e7440a79447/link_lists.bin",
];

const QUESTIONS: &[u8] = include_bytes!("../assets/demo/questions.json");

/// Name of the collection of the demo.
pub const COLLECTION: &str = "tldr";

/// A question with the one record that answers it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// Id of the record that answers it.
    pub expected: String,
}

/// The questions of the demo.
///
/// # Errors
/// [`Kind::Internal`] if the file that was built in is damaged.
pub fn questions() -> Result<Vec<Question>> {
    serde_json::from_slice(QUESTIONS)
        .map_err(|e| Error::new(Kind::Internal, "the demo's questions cannot be read").because(e))
}

/// Bytes that [`unpack`] writes.
pub fn bytes() -> u64 {
    FILES.iter().map(|(_, content)| content.len() as u64).sum()
}

/// Writes the demo database, a copy to be played with and thrown away, into `folder`, which is made if it is missing and must be empty.
///
/// # Errors
/// [`Kind::Refused`] if something is in the folder already; [`Kind::CannotWrite`], [`Kind::Io`].
pub fn unpack(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let mut entries = std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))?;
    if entries.next().is_some() {
        return Err(Error::new(Kind::Refused, format!("`{}` is not empty", folder.display()))
            .hint("give a folder that does not exist yet"));
    }
    for (path, content) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        }
        std::fs::write(&path, content).map_err(|e| Error::io("write", &path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_database_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/chroma");
        let mut on_disk = 0;
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let inside = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                    assert!(FILES.iter().any(|(name, _)| *name == inside), "{inside} is not carried");
                    on_disk += 1;
                }
            }
        }
        assert_eq!(on_disk, FILES.len());
        assert!(bytes() <= 8_000_000);
    }

    #[test]
    fn unpacking_twice_into_one_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a/b");
        unpack(&inside).unwrap();
        assert_eq!(std::fs::metadata(inside.join("chroma.sqlite3")).unwrap().len(), FILES[0].1.len() as u64);
        assert_eq!(unpack(&inside).unwrap_err().kind(), Kind::Refused);
    }

    #[test]
    fn every_question_has_an_answer() {
        let questions = questions().unwrap();
        assert!(questions.len() >= 5);
        assert!(questions.iter().all(|q| !q.question.is_empty() && !q.expected.is_empty()));
    }
}

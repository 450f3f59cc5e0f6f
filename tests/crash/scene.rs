//! What is stopped: a small database in several states, and commands that change it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::*;
use crate::judge::Judge;
use crate::subjects::{Form, Subject};

/// Components before and after.
pub const FROM: usize = 16;
pub const TO: usize = 24;
pub const BEYOND: usize = 20;
/// The model that texts are embedded with: one that comes with the program.
const MODEL: (&str, usize) = ("embedport/static-256", 256);

/// A command that is stopped, and what must be true around it.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// State of the database before and after, as the judge calls it; also the folder it starts from.
    pub base: &'static str,
    pub before: &'static str,
    pub after: &'static str,
    pub command: Vec<String>,
    /// How the same command ends once its work is done: exit code, and a part of what it says.
    pub again: (i32, &'static str),
    /// What goes on from there: a command with its exit code, a part of what it says, and the state then.
    pub back: (Vec<String>, i32, &'static str, &'static str),
}

/// Databases and projections for one form of a store.
pub struct Scene {
    pub folder: TempDir,
    pub subject: &'static Subject,
    pub form: &'static Form,
    /// Folders that are in no state.
    wrong: Vec<PathBuf>,
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// In memory where the system offers it: what is tested is the order of steps, not the medium.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

impl Scene {
    /// Makes the database, fits two projections, and brings copies into all states.
    pub fn new(subject: &'static Subject, form: &'static Form) -> Scene {
        let mut scene = Scene { folder: scratch(), subject, form, wrong: Vec::new() };
        let rows = (subject.make)(form, &scene.base("source"));
        scene.fit("first", ("test/source", FROM), ("test/target", TO), &rows);
        scene.fit("to-model", ("test/source", FROM), MODEL, &rows);
        let mut numbers = Numbers(9);
        scene.fit("second", ("test/target", TO), ("test/beyond", form.beyond), &numbers.rows(600, TO));

        let make = |name: &str, from: &str, command: &[String]| {
            let work = scene.base(name);
            copy_folder(&scene.base(from), &work);
            embedport(scene.folder.path(), &scene.with_store(command, &work)).succeeds();
        };
        if form.turns_to_wal {
            copy_folder(&scene.base("source"), &scene.base("source in WAL mode"));
            let database = scene.base("source in WAL mode").join(subject.file);
            let connection = rusqlite::Connection::open(database).unwrap();
            connection.pragma_update(None, "journal_mode", "wal").unwrap();
            drop(connection);
            make("target in WAL mode", "source in WAL mode", &migrate("first", form));
        }
        make("target", "source", &migrate("first", form));
        make("rolled back", "target", &words("rollback"));
        make("beyond", "target", &accepting(migrate("second", form)));
        make("embedded", "source", &re_embed(form));
        let wrong = scene.folder.path().join("wrong");
        scene.wrong = (subject.wrong)(&scene.base("source"), &scene.base("target"), &wrong);
        scene
    }

    /// The command with the store's place.
    pub fn with_store(&self, command: &[String], database: &Path) -> Vec<String> {
        let mut command = command.to_vec();
        command.extend(["--store".to_owned(), self.subject.location(database).display().to_string()]);
        command
    }

    /// The prepared database in a state.
    pub fn base(&self, state: &str) -> PathBuf {
        self.folder.path().join(state)
    }

    /// Fits a projection between two models, named with their components, to rows, more of their kind, and a noisy linear
    /// map of them.
    fn fit(
        &self,
        name: &str,
        (from, components): (&str, usize),
        (to, columns): (&str, usize),
        rows: &[Vec<f32>],
    ) {
        let mut numbers = Numbers(components as u64);
        let mut some = |row: &Vec<f32>| row.iter().map(|x| x + 0.5 * numbers.next()).collect::<Vec<f32>>();
        let more: Vec<Vec<f32>> = rows.iter().cycle().take(600).map(&mut some).collect();
        let mut mapped = another_space(&more, columns, &mut Numbers(columns as u64));
        if to == MODEL.0 {
            for row in &mut mapped {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter_mut().for_each(|x| *x /= length);
            }
        }
        let (x, y) = (self.folder.path().join("x.npy"), self.folder.path().join("y.npy"));
        write_npy(&x, &more);
        write_npy(&y, &mapped);
        let line = format!(
            "train --source-model {from} --target-model {to} --source-vectors x.npy --target-vectors y.npy \
             --name {name} --output-dir . --registry {name}.json --quiet"
        );
        embedport(self.folder.path(), &words(&line)).succeeds();
    }

    fn latest_migration(&self, state: &str) -> String {
        let folders = std::fs::read_dir(self.base(state).join(self.subject.state)).unwrap();
        let mut names: Vec<String> =
            folders.map(|f| f.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != "lock");
        names.sort();
        names.pop().unwrap()
    }

    /// A judge that knows all states.
    pub fn judge(&self) -> Judge {
        let states = ["source", "target", "beyond", "embedded"].map(|state| (state, self.base(state)));
        Judge::new(self.subject, self.form, self.folder.path(), states.to_vec(), self.wrong.clone())
    }
}

fn migrate(projection: &str, form: &Form) -> Vec<String> {
    let mut command =
        words(&format!("migrate-collection --collection docs --projection {projection}.safetensors --yes"));
    command.extend(form.options.iter().map(|option| (*option).to_owned()));
    command
}

/// Embeds every text; records without one are projected.
fn re_embed(form: &Form) -> Vec<String> {
    let (model, _) = MODEL;
    let mut command = words(&format!(
        "re-embed --collection docs --target-model {model} --percent 100 --projection to-model.safetensors --yes"
    ));
    command.extend(form.options.iter().map(|option| (*option).to_owned()));
    command
}

/// The second projection was fitted to other rows than those that are there.
fn accepting(mut command: Vec<String>) -> Vec<String> {
    command.push("--accept-unrecognised-vectors".to_owned());
    command
}

/// Everything that is stopped.
pub fn scenarios(scene: &Scene) -> Vec<Scenario> {
    let form = scene.form;
    let second = scene.latest_migration("beyond");
    let first = migrate("first", form);
    let mut without_backup = first.clone();
    without_backup.push("--no-backup".to_owned());
    let done = (4, "is done");
    let gone = (3, "there is no way back");
    let in_wal_mode = |name, base, of: &Scenario| Scenario { name, base, ..of.clone() };
    let mut scenarios = vec![
        Scenario {
            name: "migrate",
            base: "source",
            before: "source",
            after: "target",
            command: first.clone(),
            again: done,
            back: (words("rollback"), 0, "rolled back", "source"),
        },
        Scenario {
            name: "rollback",
            base: "target",
            before: "target",
            after: "source",
            command: words("rollback"),
            again: (3, "no migration of embedport is current here"),
            back: (first.clone(), 0, "migrated", "target"),
        },
        Scenario {
            name: "prune the way back",
            base: "target",
            before: "target",
            after: "target",
            command: words("backups prune --all --yes"),
            again: (0, "nothing was pruned"),
            back: (words("rollback"), gone.0, gone.1, "target"),
        },
        Scenario {
            name: "prune what a rollback left",
            base: "rolled back",
            before: "source",
            after: "source",
            command: words("backups prune --all --yes"),
            again: (0, "nothing was pruned"),
            back: (first.clone(), 0, "migrated", "target"),
        },
        Scenario {
            name: "migrate without a backup",
            base: "source",
            before: "source",
            after: "target",
            command: without_backup,
            again: done,
            back: (words("rollback"), gone.0, gone.1, "target"),
        },
        Scenario {
            name: "migrate a second time",
            base: "target",
            before: "target",
            after: "beyond",
            command: accepting(migrate("second", form)),
            again: done,
            back: (words("rollback"), 0, "rolled back", "target"),
        },
        Scenario {
            name: "rollback of the second",
            base: "beyond",
            before: "beyond",
            after: "target",
            command: words(&format!("rollback --migration {second}")),
            again: (3, "is not what the collection holds now"),
            back: (words("rollback"), 0, "rolled back", "source"),
        },
        Scenario {
            name: "re-embed",
            base: "source",
            before: "source",
            after: "embedded",
            command: re_embed(form),
            again: (4, "embedded with that model already"),
            back: (words("rollback"), 0, "rolled back", "source"),
        },
    ];
    if form.options.contains(&"--backup") {
        scenarios.retain(|scenario| !scenario.command.iter().any(|word| word == "--no-backup"));
    }
    if form.turns_to_wal {
        scenarios.extend([
            in_wal_mode("migrate in WAL mode", "source in WAL mode", &scenarios[0]),
            in_wal_mode("rollback in WAL mode", "target in WAL mode", &scenarios[1]),
        ]);
    }
    scenarios
}

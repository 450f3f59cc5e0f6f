//! One stop and everything that must be true after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{self, Outcome};
use crate::judge::Judge;
use crate::memo::{Digest, Found, Known, digest};
use crate::scene::{Scenario, Scene};
use crate::shim::{Hour, Shim, Step, Stop};

/// What was seen at one stop.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The state that the judge found right after it.
    pub state: String,
    /// Exit code, if the program lived on.
    pub code: Option<i32>,
    /// Whether a rollback would have worked then, where a prune was stopped.
    pub way_back: Option<bool>,
}

/// What an undisturbed run leaves: names with ids taken out, and how many of each.
pub type Listing = BTreeMap<String, usize>;

/// One who works through stops: the program under the shim, a judge, a folder of its own.
pub struct Worker<'a> {
    pub scene: &'a Scene,
    pub shim: &'a Shim,
    pub judge: Judge,
    pub folder: tempfile::TempDir,
}

/// A scenario with its undisturbed run.
pub struct Measured {
    pub scenario: Scenario,
    pub steps: Vec<Step>,
    pub after: Listing,
    pub after_back: Listing,
    pub known: Known,
}

impl<'a> Worker<'a> {
    pub fn new(scene: &'a Scene, shim: &'a Shim) -> Worker<'a> {
        Worker { scene, shim, judge: scene.judge(), folder: crate::scene::scratch() }
    }

    /// The undisturbed run: its steps, and what it leaves.
    pub fn measure(&mut self, scenario: Scenario) -> Measured {
        let store = self.fresh(&scenario);
        assert_eq!(self.judge.judge(&store).as_deref(), Ok(scenario.before), "{}", scenario.name);
        let command = self.scene.with_store(&scenario.command, &store);
        let (outcome, steps) = self.shim.count(self.folder.path(), &store, &self.at_scene(command));
        assert_eq!(outcome.code, 0, "{}: {}", scenario.name, outcome.stderr);
        assert_eq!(self.judge.judge(&store).as_deref(), Ok(scenario.after), "{}", scenario.name);
        let after = self.listing(&store);
        self.goes_on(&scenario, &store).unwrap();
        assert_eq!(self.judge.judge(&store).as_deref(), Ok(scenario.back.3), "{}", scenario.name);
        self.source_is_exact(scenario.back.3, &store).unwrap();
        Measured { after, after_back: self.listing(&store), steps, scenario, known: Known::default() }
    }

    /// Stops at one step and looks at everything.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn stop(&mut self, m: &Measured, at: usize, how: Stop) -> Result<Seen, String> {
        let scenario = &m.scenario;
        let (store, ended) = until_let_in(
            || {
                let store = self.fresh(scenario);
                let command = self.at_scene(self.scene.with_store(&scenario.command, &store));
                let ended = self.shim.stop(self.folder.path(), &store, &command, at, how);
                (store, ended)
            },
            |(_, ended)| !ended.killed && refused_for_the_harness(&ended.outcome),
        );
        let code = (!ended.killed).then_some(ended.outcome.code);
        let said = &ended.outcome.stderr;
        match how {
            // A run may take a step less than the one that was counted; then it ends undisturbed.
            Stop::Kill | Stop::Torn if !ended.killed && (code != Some(0) || at + 3 < m.steps.len()) => {
                return Err(format!("was not killed, exit code {code:?}: {said}"));
            }
            Stop::Eio | Stop::Full if ended.killed || !matches!(code, Some(0..=11)) => {
                return Err(format!("ended with code {code:?}: {said}"));
            }
            _ => {}
        }

        let found = m.known.stopped.get(self.digest(&store), || self.come_of(m, &store))?;
        if code == Some(0) && found.state != scenario.after {
            return Err(format!("says that it is done and holds `{}`", found.state));
        }
        Ok(Seen { state: found.state, code, way_back: found.way_back })
    }

    /// Everything that must be true of a folder that a stopped run left; uses it up.
    fn come_of(&mut self, m: &Measured, store: &Path) -> Result<Found, String> {
        let scenario = &m.scenario;
        // 1. The judge sees exactly one of the two.
        let state = self.judged(m, store).map_err(|why| format!("mixed: {why}"))?;
        if state != scenario.before && state != scenario.after {
            return Err(format!("holds `{state}`"));
        }
        let way_back = match scenario.name {
            "prune the way back" => Some(self.backup_is_whole_or_gone(m, store)?),
            _ => None,
        };

        // 2. and 3. The same command again finishes, or says that there is nothing left to do.
        let again = self.run(&scenario.command, store, Hour::Again);
        let done = again.code == scenario.again.0
            && format!("{}{}", again.stdout, again.stderr).contains(scenario.again.1)
            && state == scenario.after;
        if again.code != 0 && !done {
            return Err(format!("from `{state}` again: code {}: {}", again.code, again.stderr));
        }
        m.known.finished.get(self.digest(store), || {
            let now = self.judged(m, store)?;
            if now != scenario.after {
                return Err(format!("holds `{now}` after the command was run again"));
            }
            same(&m.after, &self.listing(store)).map_err(|e| format!("left behind: {e}"))?;
            self.source_is_exact(&now, store)?;

            // 4. and 5. It can be gone on from there, and nothing is left behind.
            self.goes_on(scenario, store)?;
            m.known.went_on.get(self.digest(store), || {
                let now = self.judged(m, store)?;
                if now != scenario.back.3 {
                    return Err(format!("holds `{now}` after {}", scenario.back.0.join(" ")));
                }
                self.source_is_exact(&now, store)?;
                same(&m.after_back, &self.listing(store)).map_err(|e| format!("left behind at the end: {e}"))
            })
        })?;
        Ok(Found { state, way_back })
    }

    fn digest(&self, database: &Path) -> Digest {
        digest(database, self.scene.subject.state)
    }

    /// The state that the judge finds in a folder.
    fn judged(&mut self, m: &Measured, store: &Path) -> Result<String, String> {
        m.known.judged.get(self.digest(store), || self.judge.judge(store))
    }

    /// Runs the command that goes on from the end of a scenario.
    fn goes_on(&self, scenario: &Scenario, store: &Path) -> Result<(), String> {
        let (command, code, says, _) = &scenario.back;
        let outcome = self.run(command, store, Hour::On);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        match outcome.code == *code && said.contains(says) {
            true => Ok(()),
            false => Err(format!("then {}: code {}: {said}", command.join(" "), outcome.code)),
        }
    }

    /// In more than the judge can see it is the database that never saw embedport.
    fn source_is_exact(&self, state: &str, store: &Path) -> Result<(), String> {
        match state != "source" || (self.scene.subject.is_same)(store, &self.scene.base("source")) {
            true => Ok(()),
            false => Err("`source` for the judge, and some row or file is not as it was".to_owned()),
        }
    }

    /// At no moment of a prune looks half of a backup like a whole one.
    fn backup_is_whole_or_gone(&mut self, m: &Measured, store: &Path) -> Result<bool, String> {
        let copy = self.folder.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        common::copy_folder(store, &copy);
        let outcome = self.run(&["rollback".to_owned()], &copy, Hour::Again);
        let state = self.judged(m, &copy)?;
        match (outcome.code, state.as_str()) {
            (0, "source") => Ok(true),
            (3, "target") if outcome.stderr.contains("was pruned at") => Ok(false),
            _ => Err(format!("a rollback then ends with {} in `{state}`: {}", outcome.code, outcome.stderr)),
        }
    }

    /// Every file and folder below a store's folder by its kind, and what the journals say.
    fn listing(&self, store: &Path) -> Listing {
        let mut found = Listing::new();
        let mut open = vec![store.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(store).unwrap().display().to_string();
                *found.entry((self.scene.subject.kind)(&name)).or_default() += 1;
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        let list = ["backups", "list", "--json"].map(str::to_owned);
        for migration in self.run(&list, store, Hour::On).json()["migrations"].as_array().unwrap() {
            let says = |key: &str| migration[key].to_string();
            let name = format!("migration {}, way back: {}", says("state"), says("is_way_back"));
            *found.entry(name).or_default() += 1;
        }
        found
    }

    fn run(&self, command: &[String], store: &Path, hour: Hour) -> Outcome {
        let run =
            || self.shim.run(self.scene.folder.path(), store, &self.scene.with_store(command, store), hour);
        until_let_in(run, refused_for_the_harness)
    }

    /// File names of projections are those of the scene's folder.
    fn at_scene(&self, command: Vec<String>) -> Vec<String> {
        let folder = self.scene.folder.path();
        let place = |word: String| match word.ends_with(".safetensors") {
            true => folder.join(word).display().to_string(),
            false => word,
        };
        command.into_iter().map(place).collect()
    }

    fn fresh(&self, scenario: &Scenario) -> PathBuf {
        let store = self.folder.path().join("store");
        let _ = fs::remove_dir_all(&store);
        common::copy_folder(&self.scene.base(scenario.base), &store);
        store
    }
}

/// Whether a run was refused because this program, about to start another, was found to hold the store: between fork
/// and exec a child has all files of its parent.
fn refused_for_the_harness(outcome: &Outcome) -> bool {
    outcome.code != 0 && outcome.stderr.contains("held open by") && outcome.stderr.contains("crash-")
}

/// What `run` gives when it is let in; after some attempts whatever it gives.
fn until_let_in<T>(mut run: impl FnMut() -> T, refused: impl Fn(&T) -> bool) -> T {
    let mut given = run();
    for _ in 0..4 {
        if !refused(&given) {
            break;
        }
        given = run();
    }
    given
}

fn same(wanted: &Listing, found: &Listing) -> Result<(), String> {
    let count = |l: &Listing, name: &String| l.get(name).copied().unwrap_or(0);
    let differing: Vec<String> = wanted
        .keys()
        .chain(found.keys())
        .filter(|name| count(wanted, name) != count(found, name))
        .map(|name| format!("{} x {name}, wanted {}", count(found, name), count(wanted, name)))
        .collect();
    if differing.is_empty() { Ok(()) } else { Err(differing.join("; ")) }
}

//! One stop and everything that must be true after it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{self, Outcome};
use crate::judge::Judge;
use crate::scene::{Scenario, Scene, with_store};
use crate::shim::{Shim, Step, Stop};
use crate::support;

/// What was seen at one stop.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The state that real Chroma found right after it.
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
}

impl<'a> Worker<'a> {
    pub fn new(scene: &'a Scene, shim: &'a Shim) -> Worker<'a> {
        Worker { scene, shim, judge: scene.judge(), folder: crate::scene::scratch() }
    }

    /// The undisturbed run: its steps, and what it leaves.
    pub fn measure(&mut self, scenario: Scenario) -> Measured {
        let store = self.fresh(&scenario);
        assert_eq!(self.judge.judge(&store).as_deref(), Ok(scenario.before), "{}", scenario.name);
        let command = with_store(&scenario.command, &store);
        let (outcome, steps) = self.shim.count(self.folder.path(), &store, &self.at_scene(command));
        assert_eq!(outcome.code, 0, "{}: {}", scenario.name, outcome.stderr);
        assert_eq!(self.judge.judge(&store).as_deref(), Ok(scenario.after), "{}", scenario.name);
        let after = self.listing(&store);
        self.goes_on(&scenario, &store).unwrap();
        Measured { after, after_back: self.listing(&store), steps, scenario }
    }

    /// Stops at one step and looks at everything.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn stop(&mut self, m: &Measured, at: usize, how: Stop) -> Result<Seen, String> {
        let scenario = &m.scenario;
        let store = self.fresh(scenario);
        let command = self.at_scene(with_store(&scenario.command, &store));
        let ended = self.shim.stop(self.folder.path(), &store, &command, at, how);
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

        // 1. Real Chroma sees exactly one of the two.
        let state = self.judge.judge(&store).map_err(|why| format!("mixed: {why}"))?;
        if state != scenario.before && state != scenario.after {
            return Err(format!("holds `{state}`"));
        }
        if code == Some(0) && state != scenario.after {
            return Err(format!("says that it is done and holds `{state}`"));
        }
        let way_back = match scenario.name {
            "prune the way back" => Some(self.backup_is_whole_or_gone(&store)?),
            _ => None,
        };

        // 2. and 3. The same command again finishes, or says that there is nothing left to do.
        let again = self.run(&scenario.command, &store);
        let done = again.code == scenario.again.0
            && format!("{}{}", again.stdout, again.stderr).contains(scenario.again.1)
            && state == scenario.after;
        if again.code != 0 && !done {
            return Err(format!("from `{state}` again: code {}: {}", again.code, again.stderr));
        }
        let now = self.judge.judge(&store)?;
        if now != scenario.after {
            return Err(format!("holds `{now}` after the command was run again"));
        }
        same(&m.after, &self.listing(&store)).map_err(|e| format!("left behind: {e}"))?;
        self.source_is_exact(&now, &store)?;

        // 4. and 5. It can be gone on from there, and nothing is left behind.
        self.goes_on(scenario, &store)?;
        same(&m.after_back, &self.listing(&store)).map_err(|e| format!("left behind at the end: {e}"))?;
        Ok(Seen { state, code, way_back })
    }

    fn goes_on(&mut self, scenario: &Scenario, store: &Path) -> Result<(), String> {
        let (command, code, says, state) = &scenario.back;
        let outcome = self.run(command, store);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        if outcome.code != *code || !said.contains(says) {
            return Err(format!("then {}: code {}: {said}", command.join(" "), outcome.code));
        }
        match self.judge.judge(store)? {
            now if now == *state => self.source_is_exact(&now, store),
            now => Err(format!("holds `{now}` after {}", command.join(" "))),
        }
    }

    /// More than Chroma can see: every row of every table and every byte of the index files are those of the
    /// database that never saw embedport.
    fn source_is_exact(&self, state: &str, store: &Path) -> Result<(), String> {
        let bytes = |folder: &Path| {
            let (tables, files) = support::contents(folder);
            let relative = |path: PathBuf| path.strip_prefix(folder).unwrap().to_path_buf();
            (
                tables,
                files.into_iter().map(|(path, bytes)| (relative(path), bytes)).collect::<HashMap<_, _>>(),
            )
        };
        match state != "source" || bytes(store) == bytes(&self.scene.base("source")) {
            true => Ok(()),
            false => Err("`source` for Chroma, and some row or file is not as it was".to_owned()),
        }
    }

    /// At no moment of a prune looks half of a backup like a whole one.
    fn backup_is_whole_or_gone(&mut self, store: &Path) -> Result<bool, String> {
        let copy = self.folder.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        common::copy_folder(store, &copy);
        let outcome = self.run(&["rollback".to_owned()], &copy);
        let state = self.judge.judge(&copy)?;
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
                *found.entry(crate::matrix::kind(&name)).or_default() += 1;
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        let list = ["backups", "list", "--json"].map(str::to_owned);
        for migration in self.run(&list, store).json()["migrations"].as_array().unwrap() {
            let says = |key: &str| migration[key].to_string();
            let name = format!("migration {}, way back: {}", says("state"), says("is_way_back"));
            *found.entry(name).or_default() += 1;
        }
        found
    }

    fn run(&self, command: &[String], store: &Path) -> Outcome {
        common::embedport(self.scene.folder.path(), &with_store(command, store))
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

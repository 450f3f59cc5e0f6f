//! The program is stopped hard at every durable step of a migration, a rollback and a prune; each time real
//! Chroma must find exactly the state before or exactly the state after, the same command must finish, and
//! nothing may be left behind. `docs/crash-matrix.md` explains, and holds the results of the whole:
//!
//!     cargo test --release --test crash -- --ignored every_step
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;
mod cycle;
mod judge;
mod matrix;
mod memo;
mod order;
mod scene;
mod shim;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Mutex;

use cycle::{Measured, Seen, Worker};
use matrix::{Outcomes, Part};
use scene::Scene;
use shim::{Shim, Step, Stop};

/// Releases that are stopped at every step: the newest, and the oldest whose files are of the other kind in
/// everything (pickle, counts, queue that is never purged).
const RELEASES: &[&str] = &["1.5.9", "0.4.24"];

/// Values of `--index`; `None` leaves the option out.
const WAYS: &[Option<&str>] = &[Some("rebuild"), Some("keep")];

/// Works through chosen stops on all cores.
fn work(
    scene: &Scene,
    shim: &Shim,
    measured: &Measured,
    chosen: impl Fn(&Step, Stop, usize) -> bool,
) -> Outcomes {
    let last = measured.steps.len();
    let mut stops = Vec::new();
    for step in &measured.steps {
        stops.extend(
            Stop::ALL
                .into_iter()
                .filter(|how| how.applies(step) && chosen(step, *how, last))
                .map(|how| (step.number, how)),
        );
    }
    stops.reverse();
    let (open, seen) = (Mutex::new(stops), Mutex::new(Outcomes::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut worker = Worker::new(scene, shim);
                loop {
                    let Some((at, how)) = open.lock().unwrap().pop() else { break };
                    let outcome = worker.stop(measured, at, how);
                    if let Err(why) = &outcome {
                        let name = measured.scenario.name;
                        eprintln!("{name}, step {at}, {}: {why}", how.name());
                    }
                    seen.lock().unwrap().push((at, how, outcome));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap();
    seen.sort_by_key(|(at, how, _)| (*at, *how));
    seen
}

/// All scenarios of one release and way.
fn parts(
    release: &'static str,
    way: Option<&'static str>,
    chosen: impl Fn(&str, &Step, Stop, usize) -> bool,
) -> Vec<Part> {
    let scene = Scene::new(release, way);
    let shim = Shim::compile(scene.folder.path());
    let mut first = Worker::new(&scene, &shim);
    let mut parts = Vec::new();
    for scenario in scene::scenarios(&scene, way) {
        if !narrowed().is_none_or(|only| format!("{release}/{}", scenario.name).starts_with(&only)) {
            continue;
        }
        let measured = first.measure(scenario);
        let name = measured.scenario.name;
        let outcomes = work(&scene, &shim, &measured, |step, how, last| chosen(name, step, how, last));
        let k = &measured.known;
        let folders = k.stopped.len();
        eprintln!(
            "{release}, {name}: {} steps, {} stops, {folders} different folders left, {} after the command was run \
             again, {} at the end, {} judged",
            measured.steps.len(),
            outcomes.len(),
            k.finished.len(),
            k.went_on.len(),
            k.judged.len()
        );
        parts.push(Part { release, way, measured, outcomes, folders });
    }
    parts
}

fn violations(parts: &[Part]) -> Vec<String> {
    let mut found = Vec::new();
    for part in parts {
        for (at, how, outcome) in &part.outcomes {
            if let Err(why) = outcome {
                found.push(format!("{}: step {at}, {}: {why}", part.measured.scenario.name, how.name()));
            }
        }
    }
    found
}

#[test]
fn stopped_at_chosen_steps_it_leaves_one_state_or_the_other() {
    let kept = |name: &str, step: &Step, how: Stop, _: usize| {
        name == "migrate" && how == Stop::Kill && step.number.is_multiple_of(3)
    };
    let chosen = |name: &str, step: &Step, how: Stop, last: usize| {
        let n = step.number;
        match (name, how) {
            // From the last stretch before the commit on every step counts.
            ("migrate", Stop::Kill) => n.is_multiple_of(3) || n > last.saturating_sub(45),
            ("rollback", Stop::Kill) => true,
            ("prune the way back", _) => n.is_multiple_of(2),
            ("migrate a second time", Stop::Kill) => n > last.saturating_sub(16),
            ("migrate", _) => n % 11 == 5,
            ("rollback", _) => n % 5 == 2,
            (_, Stop::Kill) => n.is_multiple_of(9) || n > last.saturating_sub(6),
            _ => false,
        }
    };
    assert_eq!(violations(&parts("1.5.9", WAYS[1], kept)), Vec::<String>::new());
    let parts = parts("1.5.9", WAYS[0], chosen);
    let stops: usize = parts.iter().map(|part| part.outcomes.len()).sum();
    let both = |name: &str| {
        let part = parts.iter().find(|p| p.measured.scenario.name == name).unwrap();
        let states =
            |s: &str| part.outcomes.iter().any(|(_, _, o)| o.as_ref().is_ok_and(|o: &Seen| o.state == s));
        states("source") && states("target")
    };
    assert_eq!(violations(&parts), Vec::<String>::new());
    assert!(stops > 150 && both("migrate") && both("rollback"), "{stops} stops do not lie on both sides");
}

#[test]
fn everything_is_durable_before_it_is_needed() {
    WAYS.iter().for_each(|way| durable_by(*way));
}

fn durable_by(way: Option<&'static str>) {
    let scene = Scene::new("1.5.9", way);
    let shim = Shim::compile(scene.folder.path());
    let mut worker = Worker::new(&scene, &shim);
    for scenario in scene::scenarios(&scene, way) {
        let steps = worker.measure(scenario.clone()).steps;
        let at = |until| order::not_durable(&steps, until);
        let end = steps.len() + 1;
        assert!(at(end).is_empty(), "{}: at the end: {:?}", scenario.name, at(end));
        if scenario.name.starts_with("prune") {
            let first = steps.iter().find(|s| s.call == "unlink").expect("a file that goes").number;
            assert!(at(first).is_empty(), "{}: before the first file goes: {:?}", scenario.name, at(first));
            continue;
        }
        let commit = order::commit(&steps).expect("a commit");
        assert!(at(commit).is_empty(), "{}: at the commit: {:?}", scenario.name, at(commit));
        // Were one of its syncs left out, it would be missed.
        let sync = steps
            .iter()
            .rposition(|s| s.call == "fsync" && s.number < commit && s.path != "chroma.sqlite3-journal");
        let without: Vec<Step> =
            steps.iter().enumerate().filter(|(i, _)| Some(*i) != sync).map(|(_, s)| s.clone()).collect();
        assert!(!order::not_durable(&without, commit).is_empty(), "{}", scenario.name);
    }
}

/// For work on one of them: `1.5.9` or `1.5.9/rollback`; no page is written then.
fn narrowed() -> Option<String> {
    std::env::var("EMBEDPORT_CRASH").ok()
}

/// The whole matrix, and the page that shows it.
#[test]
#[ignore = "long; writes docs/crash-matrix.md"]
fn every_step() {
    let mut all = Vec::new();
    let wanted = |release: &str| narrowed().is_none_or(|only| only.starts_with(release));
    for release in RELEASES.iter().filter(|release| wanted(release)) {
        for way in WAYS {
            all.extend(parts(release, *way, |_, _, _, _| true));
        }
    }
    let found = violations(&all);
    let docs = common::root().join("docs");
    if narrowed().is_none() {
        std::fs::create_dir_all(&docs).unwrap();
        matrix::pages(&all).iter().for_each(|(name, page)| std::fs::write(docs.join(name), page).unwrap());
    }
    assert_eq!(found, Vec::<String>::new());
}

//! The program is stopped hard at every durable step of a migration, a rollback and a prune; each time a judge that
//! knows the store must find exactly the state before or exactly the state after, the same command must finish, and
//! nothing may be left behind. `docs/crash-matrix.md` explains, and holds the results of the whole:
//!
//!     cargo test --release --test crash -- --ignored every_step
//!
//! What is stopped says the table in `subjects`; `chroma::every_step` runs one of its entries.
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
mod subjects;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Mutex;

use cycle::{Measured, Seen, Worker};
use matrix::{Outcomes, Part};
use scene::Scene;
use shim::{Shim, Step, Stop};
use subjects::{Form, Subject};

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

/// All scenarios of one form.
fn parts(
    subject: &'static Subject,
    form: &'static Form,
    chosen: impl Fn(&str, &Step, Stop, usize) -> bool,
) -> Vec<Part> {
    let scene = Scene::new(subject, form);
    let shim = Shim::compile(scene.folder.path());
    let mut first = Worker::new(&scene, &shim);
    let mut parts = Vec::new();
    for scenario in scene::scenarios(&scene) {
        if !narrowed().is_none_or(|only| format!("{}/{}", form.name, scenario.name).starts_with(&only)) {
            continue;
        }
        let measured = first.measure(scenario);
        let name = measured.scenario.name;
        let outcomes = work(&scene, &shim, &measured, |step, how, last| chosen(name, step, how, last));
        let k = &measured.known;
        let folders = k.stopped.len();
        eprintln!(
            "{}, {name}: {} steps, {} stops, {folders} different folders left, {} after the command was run \
             again, {} at the end, {} judged",
            form.name,
            measured.steps.len(),
            outcomes.len(),
            k.finished.len(),
            k.went_on.len(),
            k.judged.len()
        );
        parts.push(Part { form, measured, outcomes, folders });
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

fn chosen_steps(subject: &'static Subject) {
    let sampled = |form: &'static Form| parts(subject, form, form.sample);
    let (first, others) = subject.forms.split_first().expect("a form");
    let parts = sampled(first);
    let stops: usize = parts.iter().map(|part| part.outcomes.len()).sum();
    let both = |name: &str| {
        let part = parts.iter().find(|p| p.measured.scenario.name == name).unwrap();
        let states =
            |s: &str| part.outcomes.iter().any(|(_, _, o)| o.as_ref().is_ok_and(|o: &Seen| o.state == s));
        states("source") && states("target")
    };
    assert_eq!(violations(&parts), Vec::<String>::new());
    assert!(stops > 150 && both("migrate") && both("rollback"), "{stops} stops do not lie on both sides");
    for form in others.iter().filter(|form| form.is_sampled) {
        assert_eq!(violations(&sampled(form)), Vec::<String>::new());
    }
}

fn durable_before_needed(subject: &'static Subject) {
    subject.forms.iter().filter(|form| form.is_sampled).for_each(|form| durable_by(subject, form));
}

fn durable_by(subject: &'static Subject, form: &'static Form) {
    let scene = Scene::new(subject, form);
    let shim = Shim::compile(scene.folder.path());
    let mut worker = Worker::new(&scene, &shim);
    for scenario in scene::scenarios(&scene) {
        let steps = worker.measure(scenario.clone()).steps;
        let not_durable =
            |steps: &[Step], until| order::not_durable(steps, until, |path| subject.owes_no_sync(path));
        let at = |until| not_durable(&steps, until);
        let end = steps.len() + 1;
        assert!(at(end).is_empty(), "{}: at the end: {:?}", scenario.name, at(end));
        if scenario.name.starts_with("prune") {
            let first = steps.iter().find(|s| s.call == "unlink").expect("a file that goes").number;
            assert!(at(first).is_empty(), "{}: before the first file goes: {:?}", scenario.name, at(first));
            continue;
        }
        let commit = subject.commit(&steps).expect("a commit");
        assert!(at(commit).is_empty(), "{}: at the commit: {:?}", scenario.name, at(commit));
        // Were the last sync left out that something waits for, it would be missed. A way back may have none but SQLite's.
        let is_owed = |s: &Step| at(s.number).iter().any(|open| open[2..] == s.path);
        let is_sync = |s: &Step| s.call == "fsync" && s.number < commit && is_owed(s);
        let Some(sync) = steps.iter().rposition(is_sync) else {
            assert!(scenario.name.starts_with("rollback"), "{}: nothing was made durable", scenario.name);
            continue;
        };
        let without = [&steps[..sync], &steps[sync + 1..]].concat();
        assert!(!not_durable(&without, commit).is_empty(), "{}", scenario.name);
    }
}

/// For work on one of them: `1.5.9` or `1.5.9/rollback`; no page is written then.
fn narrowed() -> Option<String> {
    std::env::var("EMBEDPORT_CRASH").ok()
}

/// The whole matrix of a store, and the pages that show it.
fn whole_matrix(subject: &'static Subject) {
    let mut all = Vec::new();
    let wanted = |name: &str| narrowed().is_none_or(|only| only.split('/').next() == Some(name));
    for form in subject.forms.iter().filter(|form| wanted(form.name)) {
        all.extend(parts(subject, form, |_, _, _, _| true));
    }
    let found = violations(&all);
    let docs = common::root().join("docs");
    if narrowed().is_none() {
        std::fs::create_dir_all(&docs).unwrap();
        let pages = matrix::pages(subject, &all);
        pages.iter().for_each(|(name, page)| std::fs::write(docs.join(name), page).unwrap());
    }
    assert_eq!(found, Vec::<String>::new());
}

macro_rules! tests {
    ($($name:ident: $subject:expr),+) => {$(
        mod $name {
            #[test]
            fn stopped_at_chosen_steps_it_leaves_one_state_or_the_other() {
                super::chosen_steps($subject);
            }

            #[test]
            fn everything_is_durable_before_it_is_needed() {
                super::durable_before_needed($subject);
            }

            #[test]
            #[ignore = "long; writes docs/crash-matrix*.md"]
            fn every_step() {
                super::whole_matrix($subject);
            }
        }
    )+};
}

tests!(
    chroma: &crate::subjects::chroma::SUBJECT,
    sqlite: &crate::subjects::sqlite::SUBJECT,
    sqlite_vec: &crate::subjects::sqlite_vec::SUBJECT
);

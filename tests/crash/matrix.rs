//! The results as pages: steps x outcomes.

use std::fmt::Write as _;

use crate::cycle::{Measured, Seen};
use crate::shim::{Step, Stop};
use crate::subjects::{self, Form, Subject};

/// Outcomes of one scenario, by step and stop.
pub type Outcomes = Vec<(usize, Stop, Result<Seen, String>)>;

/// One scenario on one form of a store.
pub struct Part {
    pub form: &'static Form,
    pub measured: Measured,
    pub outcomes: Outcomes,
    /// How many folders with different bytes the stops left.
    pub folders: usize,
}

/// A path with random names taken out, and what else `known` knows.
pub fn named(path: &str, known: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        let (stem, doomed) = part.strip_suffix(".doomed").map_or((part, ""), |stem| (stem, ".doomed"));
        parts.push(if is_temporary(part) {
            "<temporary>".to_owned()
        } else if part.starts_with('#') && part.ends_with(" (deleted)") {
            "<nameless>".to_owned()
        } else if let Some(name) = known(stem).or_else(|| is_migration(stem).then_some("<migration>")) {
            format!("{name}{doomed}")
        } else {
            part.to_owned()
        });
    }
    parts.join("/")
}

/// Whether a file has such a name as the program gives until it is whole.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(".embedport-") && name.ends_with(".tmp")
}

fn is_migration(name: &str) -> bool {
    name.len() == 27 && name.as_bytes()[8] == b'T' && name.as_bytes()[18] == b'-'
}

/// What a step touches, in words; a temporary file by the name that it gets.
fn touched(subject: &Subject, step: &Step, steps: &[Step]) -> String {
    let kind = subject.kind;
    if let Some((from, to)) = step.path.split_once(" -> ") {
        return format!("{} → {}", kind(from), kind(to));
    }
    let renamed = steps.iter().find_map(|later| {
        let (from, to) = later.path.split_once(" -> ")?;
        (from == step.path && from.ends_with(".tmp")).then(|| format!("{} (temporary)", kind(to)))
    });
    renamed.unwrap_or_else(|| kind(&step.path))
}

fn cell(outcome: Option<&Result<Seen, String>>) -> String {
    match outcome {
        None => String::new(),
        Some(Err(_)) => "**VIOLATION**".to_owned(),
        Some(Ok(seen)) => {
            let way_back = match seen.way_back {
                None => "",
                Some(true) => ", way back",
                Some(false) => ", no way back",
            };
            format!("{}{way_back}{}", seen.state, if seen.code == Some(0) { ", done" } else { "" })
        }
    }
}

/// Counts by stop: before, after, violations.
fn counts(part: &Part, how: Stop) -> [usize; 3] {
    let scenario = &part.measured.scenario;
    let mut counts = [0; 3];
    for (_, _, outcome) in part.outcomes.iter().filter(|(_, h, _)| *h == how) {
        match outcome {
            Ok(seen) if seen.state == scenario.after => counts[1] += 1,
            Ok(_) => counts[0] += 1,
            Err(_) => counts[2] += 1,
        }
    }
    counts
}

/// The pages by their names: a summary, and the steps of each form, on pages of their own or behind the summary.
pub fn pages(subject: &Subject, parts: &[Part]) -> Vec<(String, String)> {
    let mut forms: Vec<&str> = parts.iter().map(|part| part.form.page).collect();
    forms.dedup();
    let file = |page: &str| format!("{page}.md");
    let mut first = introduction(subject);
    let titled = |page: &str| {
        let part = parts.iter().find(|part| part.form.page == page).expect("a part");
        format!("{} {}", subject.name, part.form.name)
    };
    let links: Vec<String> = forms
        .iter()
        .filter(|page| **page != subject.page)
        .map(|page| format!("[{}]({})", titled(page), file(page)))
        .collect();
    first.push('\n');
    if !links.is_empty() {
        let _ = writeln!(first, "The steps: {}.", links.join(", "));
    }
    let others = subjects::ALL.iter().filter(|other| other.page != subject.page);
    let others: Vec<String> = others.map(|other| format!("[{}]({})", other.name, file(other.page))).collect();
    let _ = writeln!(first, "The same for other stores: {}.", others.join(", "));
    first.push_str(&summary(subject, parts));
    let mut pages = vec![(file(subject.page), first)];
    for form in forms {
        if form != subject.page {
            let head =
                format!("# Crash matrix: {}\n\n[What this is]({})\n", titled(form), file(subject.page));
            pages.push((file(form), head));
        }
        let (_, page) = pages.last_mut().expect("a page");
        parts.iter().filter(|part| part.form.page == form).for_each(|part| section(subject, page, part));
    }
    pages
}

fn introduction(subject: &Subject) -> String {
    let words = &subject.words;
    let places = [
        ("{title}", words.title),
        ("{sees}", words.sees),
        ("{holds}", words.holds),
        ("{nothing left}", words.nothing_left),
        ("{refuses}", words.refuses),
    ];
    places.iter().fold(INTRODUCTION.to_owned(), |text, (place, words)| text.replace(place, words))
}

/// One row for a scenario and kind of stop.
fn summary(subject: &Subject, parts: &[Part]) -> String {
    let name_of_forms = subject.words.forms;
    let mut page = format!(
        "\n## Summary\n\n| {name_of_forms} | scenario | steps | stop | stops | before | after | losses or mixes |\n\
         |---|---|---:|---|---:|---:|---:|---:|\n",
    );
    let mut total = [0; 3];
    let folders: usize = parts.iter().map(|part| part.folders).sum();
    for part in parts {
        for how in Stop::ALL {
            let c = counts(part, how);
            (0..3).for_each(|i| total[i] += c[i]);
            let (steps, stops) = (part.measured.steps.len(), c.iter().sum::<usize>());
            let [before, after, other] = c;
            let _ = writeln!(
                page,
                "| {} | {} | {steps} | {} | {stops} | {before} | {after} | {other} |",
                part.form.name,
                name(part),
                how.name()
            );
        }
    }
    let [before, after, other] = total;
    let _ = writeln!(
        page,
        "\n{} stops: {before} left the state before, {after} the state after, {other} were violations. After every other one \
         the same command finished, the way on (below each table) worked, and nothing was left behind. Where a scenario \
         does not change what {judge} sees (a prune), its states count as after. {folders} of the folders that the \
         stops left differ in their bytes from every other one of the same scenario: these are what {judge} opened and \
         what was gone on from; a folder that is the same byte for byte as one before it has that one's results.",
        before + after + other,
        judge = subject.name
    );
    page
}

fn name(part: &Part) -> String {
    format!("{}{}", part.measured.scenario.name, part.form.suffix)
}

fn section(subject: &Subject, page: &mut String, part: &Part) {
    let m = &part.measured;
    let s = &m.scenario;
    match part.form.page == subject.page {
        true => writeln!(page, "\n## {}, {}\n", part.form.name, name(part)),
        false => writeln!(page, "\n## {}\n", name(part)),
    }
    .expect("into text");
    let (stops, folders) = (part.outcomes.len(), part.folders);
    let _ = writeln!(
        page,
        "From `{}` to `{}`. {stops} stops left {folders} different folders.\n",
        s.before, s.after
    );
    page.push_str("| step | call | file | kill | torn | eio | enospc | finished again | went on |\n");
    page.push_str("|---|---|---|---|---|---|---|---|---|\n");
    let mut rows: Vec<(usize, usize, Vec<String>)> = Vec::new();
    for step in &m.steps {
        let at = |how| part.outcomes.iter().find(|(n, h, _)| *n == step.number && *h == how).map(|o| &o.2);
        let mut row = vec![step.call.clone(), format!("`{}`", touched(subject, step, &m.steps))];
        row.extend(Stop::ALL.map(|how| cell(at(how))));
        let stops = Stop::ALL.iter().filter_map(|how| at(*how)).count();
        let fine = Stop::ALL.iter().filter_map(|how| at(*how)).filter(|o| o.is_ok()).count();
        row.extend([format!("{fine} of {stops}"), format!("{fine} of {stops}")]);
        match rows.last_mut() {
            Some((_, last, same)) if *same == row => *last = step.number,
            _ => rows.push((step.number, step.number, row)),
        }
    }
    for (first, last, row) in rows {
        let steps = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let _ = writeln!(page, "| {steps} | {} |", row.join(" | "));
    }
    let _ = writeln!(
        page,
        "\nFinished again: the same command once more, exit code 0, or {} and \"{}\" where it was done. Went on: \
         `embedport {}`, exit code {}, after which the state is `{}`.",
        s.again.0,
        s.again.1,
        s.back.0.join(" "),
        s.back.1,
        s.back.3
    );
    for (number, how, outcome) in &part.outcomes {
        if let Err(why) = outcome {
            let _ = writeln!(page, "\n- step {number}, {}: {why}", how.name());
        }
    }
}

const INTRODUCTION: &str = "\
# Crash matrix{title}

Every durable step of a run (each call that writes, syncs, creates, renames, cuts or removes something below the
database's folder, SQLite's own included) is numbered by a preloaded library, and the program is stopped at each in
turn, every time on a fresh copy of a small real database. This page is written by

    cargo test --release --test crash -- --ignored every_step

Stops:

- `kill`: SIGKILL right before the step;
- `torn`: half of the bytes of the write, then SIGKILL (writes only);
- `eio`: this one call fails with an input/output error, and the program goes on as it sees fit;
- `enospc`: from this step on the disk is full, for every call that needs room (shown at those calls).

After each stop:

1. {sees};
2. the same command is run again and finishes, or says that the work is done;
3. {holds};
4. the next command on the way (a rollback, or a migration after a rollback) works, and its state is exact as well;
5. the folder holds the files of an undisturbed run and no other: {nothing left}.

Clock and random numbers of the program stand still and it works on one thread, so that the same stop leaves the same
bytes. Every stop is run; a folder that equals an earlier one of the same scenario in every name, permission and byte is
not gone through a second time (left out of the comparison: the random part of a temporary file's name, the process
number in the lock file, and in the journals the path of the folder and the room that was free). {refuses}

A killed process loses nothing that the system already took: what a power cut could take in addition is bound by the
`fsync` calls, which are steps of their own here and can be read in their order below.
";

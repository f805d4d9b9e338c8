//! The comparison: task by task, field by field, line by line.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::differences::{Exceptions, Task};
use super::record::{Record, Records};

/// What came of comparing one run.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Task results that both have.
    pub compared: usize,
    /// The places of all tasks, and of those that differ.
    pub cases: BTreeSet<String>,
    /// As above.
    pub differing: BTreeSet<String>,
    /// A line each.
    pub lines: Vec<String>,
}

/// Compares two runs of a playbook.
pub fn records(playbook: &str, run: usize, ansible: &Records, mms: &Records, exceptions: &Exceptions) -> Verdict {
    let mut verdict = Verdict::default();
    let hosts: BTreeSet<&String> = ansible.keys().chain(mms.keys()).collect();
    let none = vec![];
    for host in hosts {
        let (left, right) = (ansible.get(host).unwrap_or(&none), mms.get(host).unwrap_or(&none));
        for pair in pairs(left, right) {
            let record = pair.0.or(pair.1).expect("a pair has at least one side");
            let case = format!("{} {}", record.place, record.name);
            let mut lines = vec![];
            let task = Task { name: &record.name, module: &record.module, status: &record.status };
            match pair {
                (Some(left), Some(right)) => {
                    verdict.compared += 1;
                    let mut tell = |field: &str, ansible: String, mms: String| {
                        if !exceptions.allow_field(playbook, &task, field) {
                            lines.push(format!("{field}: ansible {ansible}, mms {mms}"));
                        }
                    };
                    if left.status != right.status {
                        tell("status", left.status.clone(), right.status.clone());
                    }
                    values("", &left.result, &right.result, &mut tell);
                    if left.status != right.status && !lines.is_empty() {
                        lines.push(format!("(msg: ansible {}, mms {})", left.result["msg"], right.result["msg"]));
                    }
                }
                (Some(_), None) if !exceptions.allow_field(playbook, &task, "presence") => {
                    lines.push(format!("only ansible ran it: {}", record.status));
                }
                (None, Some(_)) if !exceptions.allow_field(playbook, &task, "presence") => {
                    lines.push(format!("only mms ran it: {} {}", record.status, record.result["msg"]));
                }
                _ => {}
            }
            if !lines.is_empty() {
                verdict.differing.insert(case.clone());
            }
            verdict
                .lines
                .extend(lines.iter().map(|line| format!("run {run} {host} {case} [{}]: {line}", record.module)));
            verdict.cases.insert(case);
        }
    }
    verdict
}

/// Brings the tasks of both together, in order.
fn pairs<'a>(left: &'a [Record], right: &'a [Record]) -> Vec<(Option<&'a Record>, Option<&'a Record>)> {
    let key = |record: &'a Record| (record.place.as_str(), record.name.as_str());
    let (lefts, rights): (Vec<_>, Vec<_>) = (left.iter().map(key).collect(), right.iter().map(key).collect());
    let mut pairs = vec![];
    for op in similar::capture_diff_slices(similar::Algorithm::Myers, &lefts, &rights) {
        let (_, old, new) = op.as_tag_tuple();
        if matches!(op, similar::DiffOp::Equal { .. }) {
            pairs.extend(old.zip(new).map(|(old, new)| (Some(&left[old]), Some(&right[new]))));
        } else {
            pairs.extend(old.map(|old| (Some(&left[old]), None)));
            pairs.extend(new.map(|new| (None, Some(&right[new]))));
        }
    }
    pairs
}

/// Properties of units that are lists of units.
const DEPENDENCIES: [&str; 6] =
    ["status.After", "status.Before", "status.Requires", "status.Wants", "status.Conflicts", "status.WantedBy"];

/// Calls `tell` for each field that differs.
fn values(path: &str, ansible: &Json, mms: &Json, tell: &mut impl FnMut(&str, String, String)) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (ansible, mms) {
        (Json::Object(left), Json::Object(right)) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                match (left.get(key), right.get(key)) {
                    (Some(left), Some(right)) => values(&join(key), left, right, tell),
                    (Some(left), None) => tell(&join(key), show(left), "nothing".to_owned()),
                    (None, Some(right)) => tell(&join(key), "nothing".to_owned(), show(right)),
                    (None, None) => {}
                }
            }
        }
        // `find` lists in the order of the directory, which no two machines share.
        (Json::Array(left), Json::Array(right))
            if path.ends_with("files") && left != right && by_path(left).is_some() =>
        {
            match (by_path(left), by_path(right)) {
                (Some(left), Some(right)) if left.keys().eq(right.keys()) => {
                    for ((name, left), right) in left.iter().zip(right.values()) {
                        values(&format!("{}.{}", path, name.replace('.', "_")), left, right, tell);
                    }
                }
                _ => tell(path, show(ansible), show(mms)),
            }
        }
        (Json::Array(left), Json::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                values(&join(&index.to_string()), left, right, tell);
            }
        }
        // systemd lists the units of a dependency in no order.
        (Json::String(left), Json::String(right)) if DEPENDENCIES.iter().any(|name| path.ends_with(name)) => {
            let (mut left, mut right): (Vec<_>, Vec<_>) = (left.split(' ').collect(), right.split(' ').collect());
            left.sort_unstable();
            right.sort_unstable();
            if left != right {
                tell(path, show(ansible), show(mms));
            }
        }
        // Python writes whole floats as `1.0`.
        (Json::Number(left), Json::Number(right)) if left.as_f64() == right.as_f64() => {}
        _ if ansible == mms => {}
        _ => tell(path, show(ansible), show(mms)),
    }
}

/// A list of files by their paths, if it is one.
fn by_path(list: &[Json]) -> Option<std::collections::BTreeMap<&str, &Json>> {
    list.iter().map(|file| Some((file.get("path")?.as_str()?, file))).collect()
}

fn show(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.chars().count()),
        None => text,
    }
}

fn counted(lines: &[String]) -> BTreeSet<(&String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_insert(0) += 1;
    }
    (counts.into_iter()).collect()
}

/// Compares two snapshots; at most this many lines are told.
const TOLD: usize = 30;

/// The lines in which the twins differ.
pub fn states(playbook: &str, ansible: &[String], mms: &[String], exceptions: &Exceptions) -> Vec<String> {
    // By line and how often: several backups of a file have one name here.
    let (left, right) = (counted(ansible), counted(mms));
    let mut lines: Vec<String> = vec![];
    for (only, lines_of) in [("ansible", left.difference(&right)), ("mms", right.difference(&left))] {
        let new = lines_of.filter(|(line, _)| !exceptions.allow_state(playbook, line));
        lines.extend(new.map(|(line, _)| format!("only after {only}: {line}")));
    }
    let more = lines.len().saturating_sub(TOLD);
    lines.truncate(TOLD);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

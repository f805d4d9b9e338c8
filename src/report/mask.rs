//! Events without secrets. Sinks mask before they cut, quote or compare texts: half of a secret, or a secret that was escaped
//! twice, could not be found any more.

use std::sync::Arc;

use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};

use crate::event::{Event, Report, TaskLabel};
use crate::modules::Diff;
use crate::secret::{MASK, Redactor};
use crate::value::{from_json, to_json};

/// The event with every secret masked.
pub fn event(event: Event, redactor: &Redactor) -> Event {
    let text = |text: String| redactor.redact(&text).into_owned();
    let all = |texts: Vec<String>| texts.into_iter().map(text).collect::<Vec<_>>();
    match event {
        Event::PlayStarted { name, hosts, check } => Event::PlayStarted { name: text(name), hosts, check },
        Event::TaskStarted { task, host } => Event::TaskStarted { task: label(task, redactor), host },
        Event::Live { host, line } => Event::Live { host, line: text(line) },
        Event::ItemFinished { task, host, item, report: done } => {
            let report = report(done, redactor);
            Event::ItemFinished { task: label(task, redactor), host, item: text(item), report }
        }
        Event::TaskFinished { task, host, report: done } => {
            Event::TaskFinished { task: label(task, redactor), host, report: report(done, redactor) }
        }
        Event::Unreachable { host, message, hints } => {
            Event::Unreachable { host, message: text(message), hints: all(hints) }
        }
        Event::Message { host, text: message } => Event::Message { host, text: text(message) },
        // Diagnostics are masked as they are printed: nothing in them is cut.
        event @ (Event::Connecting { .. } | Event::Connected { .. } | Event::Warning(_) | Event::Finished(_)) => event,
    }
}

fn label(label: Arc<TaskLabel>, redactor: &Redactor) -> Arc<TaskLabel> {
    if !redactor.is_tainted(&label.name) {
        return label;
    }
    Arc::new(TaskLabel { name: redactor.redact(&label.name).into_owned(), ..(*label).clone() })
}

fn report(mut report: Report, redactor: &Redactor) -> Report {
    for text in report.summary.iter_mut().chain(&mut report.hints) {
        *text = redactor.redact(text).into_owned();
    }
    for diff in &mut report.diff {
        *diff = masked_diff(diff, redactor);
    }
    for value in report.result.values_mut() {
        let mut json = to_json(value);
        if mask_json(&mut json, redactor) {
            *value = from_json(&json);
        }
    }
    report
}

/// Masks every one of them: the first that was masked is not the last.
fn mask_all<'a>(values: impl Iterator<Item = &'a mut Json>, redactor: &Redactor) -> bool {
    let mut found = false;
    for value in values {
        found |= mask_json(value, redactor);
    }
    found
}

/// Masks every text in a value, names of keys too. Whether there was anything to mask.
fn mask_json(json: &mut Json, redactor: &Redactor) -> bool {
    match json {
        Json::String(text) => {
            let masked = redactor.redact(text);
            let found = masked != *text;
            if found {
                *text = masked.into_owned();
            }
            found
        }
        Json::Array(items) => mask_all(items.iter_mut(), redactor),
        Json::Object(map) => {
            let mut found = mask_all(map.values_mut(), redactor);
            if map.keys().any(|key| redactor.is_tainted(key)) {
                found = true;
                let entries = std::mem::take(map).into_iter();
                *map = entries.map(|(key, value)| (redactor.redact(&key).into_owned(), value)).collect();
            }
            found
        }
        // A number in a vault is a text that became a number.
        Json::Number(number) => {
            let text = number.to_string();
            let found = redactor.is_tainted(&text);
            if found {
                *json = Json::from(MASK);
            }
            found
        }
        Json::Null | Json::Bool(_) => false,
    }
}

/// A diff without secrets, the one that is replaced included: what stood in the place of a secret was one.
fn masked_diff(diff: &Diff, redactor: &Redactor) -> Diff {
    let mask = |text: &str| redactor.redact(text).into_owned();
    let after = mask(&diff.after);
    let before = mask(&diff.before);
    let before = if after.contains(MASK) { masked_before(&before, &after) } else { before };
    Diff { before_header: mask(&diff.before_header), after_header: mask(&diff.after_header), before, after }
}

fn masked_before(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut out = String::with_capacity(before.len());
    for operation in diff.ops() {
        let changes: Vec<_> = diff.iter_changes(operation).collect();
        let starts: Vec<&str> = changes
            .iter()
            .filter(|change| change.tag() == ChangeTag::Insert)
            .filter_map(|change| change.value().split_once(MASK).map(|(start, _)| start))
            .collect();
        for change in changes.iter().filter(|change| change.tag() != ChangeTag::Insert) {
            let line = change.value();
            if change.tag() == ChangeTag::Equal || starts.is_empty() {
                out.push_str(line);
                continue;
            }
            let start = starts.iter().filter(|start| line.starts_with(**start)).max_by_key(|start| start.len());
            out.push_str(start.copied().unwrap_or_default());
            out.push_str(MASK);
            if line.ends_with('\n') {
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_that_is_replaced_is_masked_too() {
        let redactor = Redactor::default();
        redactor.add("new-secret");
        let diff = Diff {
            before: "user=a\npassword=old-secret\nport=1\n".into(),
            after: "user=a\npassword=new-secret\nport=2\n".into(),
            ..Diff::default()
        };
        let masked = masked_diff(&diff, &redactor);
        assert!(masked.before.starts_with("user=a\npassword=********\n"), "{}", masked.before);
        assert!(!masked.before.contains("old-secret") && !masked.after.contains("new-secret"));
    }

    #[test]
    fn texts_and_numbers_inside_of_values() {
        let redactor = Redactor::default();
        redactor.add("s3cret \"x\"");
        redactor.add("918273");
        let mut json = serde_json::json!({"a": ["it is s3cret \"x\"", 918_273, true], "s3cret \"x\"": 1});
        assert!(mask_json(&mut json, &redactor));
        assert_eq!(json, serde_json::json!({"a": ["it is ********", "********", true], "********": 1}));
    }
}

//! Results as Ansible registers them.

use crate::diagnostic::Span;
use crate::event::{Report, Status};
use crate::modules::{Diff, Failure};
use crate::value::{Fields, Value, from_fields};

/// How one attempt of a task, or one item of a loop, ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// Which way.
    pub status: Status,
    /// The result's fields, `changed` and `failed` included.
    pub fields: Fields,
    /// What changed, in short phrases.
    pub summary: Vec<String>,
    /// Before and after.
    pub diff: Vec<Diff>,
    /// What to do about a failure.
    pub hints: Vec<String>,
    /// Why a plan cannot tell the result. The status may be known all the same (`changed_when: false`).
    pub unknown: Option<String>,
    /// Whether this is the sum of a loop.
    pub looped: bool,
    /// See [`Failure::place`].
    pub place: Option<Span>,
    /// See [`Failure::secret`].
    pub secret: bool,
}

impl Done {
    /// A result of this status.
    pub fn new(status: Status, mut fields: Fields) -> Self {
        if status != Status::Unknown {
            let changed = status == Status::Changed;
            fields.insert("changed".into(), Value::from(changed));
            fields.entry("failed".into()).or_insert_with(|| Value::from(false));
        }
        Self {
            status,
            fields,
            summary: vec![],
            diff: vec![],
            hints: vec![],
            unknown: None,
            looped: false,
            place: None,
            secret: false,
        }
    }

    /// A failure.
    pub fn failed(failure: Failure) -> Self {
        let mut fields = failure.fields;
        if !failure.msg.is_empty() || !fields.contains_key("msg") {
            fields.insert("msg".into(), Value::from(failure.msg));
        }
        fields.insert("failed".into(), Value::from(true));
        fields.entry("changed".into()).or_insert_with(|| Value::from(false));
        Self {
            status: Status::Failed,
            fields,
            summary: vec![],
            diff: vec![],
            hints: failure.hints,
            unknown: None,
            looped: false,
            place: failure.place,
            secret: failure.secret,
        }
    }

    /// Not run, and why.
    pub fn skipped(reason: &str, condition: Option<Value>) -> Self {
        let mut done = Self::new(Status::Skipped, Fields::new());
        done.fields.shift_remove("failed");
        done.fields.insert("skipped".into(), Value::from(true));
        done.fields.insert("skip_reason".into(), Value::from(reason));
        if let Some(condition) = condition {
            done.fields.insert("false_condition".into(), condition);
        }
        done
    }

    /// A plan cannot tell.
    pub fn unknown(why: impl Into<String>) -> Self {
        let mut done = Self::new(Status::Unknown, Fields::new());
        done.unknown = Some(why.into());
        done
    }

    /// The value of the registered variable.
    pub fn value(&self) -> Value {
        match &self.unknown {
            Some(why) => crate::value::unknown(why.as_str()),
            None => from_fields(&self.fields),
        }
    }

    /// The result of a loop.
    pub fn of_items(items: &[Done]) -> Self {
        let any = |status: Status| items.iter().any(|item| item.status == status);
        let all_skipped = !items.is_empty() && items.iter().all(|item| item.status == Status::Skipped);
        let status = if any(Status::Failed) {
            Status::Failed
        } else if any(Status::Changed) {
            Status::Changed
        } else if any(Status::Unknown) {
            Status::Unknown
        } else if all_skipped {
            Status::Skipped
        } else {
            Status::Ok
        };
        let mut fields = Fields::new();
        let changed =
            any(Status::Changed) || items.iter().any(|item| item.fields.get("changed").is_some_and(Value::is_true));
        fields.insert("changed".into(), Value::from(changed));
        let results: Vec<Value> = items.iter().map(Done::value).collect();
        fields.insert("results".into(), Value::from(results));
        match status {
            Status::Failed => {
                fields.insert("failed".into(), Value::from(true));
                fields.insert("msg".into(), Value::from("One or more items failed"));
            }
            Status::Skipped => {
                fields.insert("skipped".into(), Value::from(true));
                fields.insert("msg".into(), Value::from("All items skipped"));
            }
            _ => {
                fields.insert("msg".into(), Value::from("All items completed"));
                if any(Status::Skipped) {
                    fields.insert("skipped".into(), Value::from(false));
                }
            }
        }
        let gather = |get: fn(&Done) -> &Vec<String>| {
            let mut all: Vec<String> = vec![];
            for text in items.iter().flat_map(get) {
                if !all.contains(text) {
                    all.push(text.clone());
                }
            }
            all
        };
        Self {
            status,
            fields,
            summary: gather(|item| &item.summary),
            diff: items.iter().flat_map(|item| item.diff.clone()).collect(),
            hints: gather(|item| &item.hints),
            unknown: if status == Status::Unknown { items.iter().find_map(|item| item.unknown.clone()) } else { None },
            looped: true,
            place: None,
            secret: items.iter().any(|item| item.secret),
        }
    }

    /// The report of it, with its result hidden if the task says so.
    pub fn report(&self, duration: std::time::Duration, no_log: bool) -> Report {
        let mut hints = self.hints.clone();
        hints.extend(self.unknown.clone());
        let mut report = Report {
            status: self.status,
            summary: self.summary.clone(),
            diff: self.diff.clone(),
            result: self.fields.clone(),
            looped: self.looped,
            hints,
            place: self.place.clone(),
            duration,
        };
        if no_log {
            let changed = report.result.get("changed").cloned().unwrap_or_else(|| Value::from(false));
            let hidden = "the output has been hidden due to the fact that 'no_log: true' was specified for this result";
            let censored = |changed: Value| {
                Fields::from_iter([("censored".to_owned(), Value::from(hidden)), ("changed".to_owned(), changed)])
            };
            // How many items there were is no secret.
            let items = report.result.get("results").and_then(|results| results.try_iter().ok()).map(|items| {
                items
                    .map(|item| from_fields(&censored(item.get_attr("changed").unwrap_or_default())))
                    .collect::<Value>()
            });
            report.result = censored(changed);
            report.result.extend(items.map(|items| ("results".to_owned(), items)));
            report.summary = if report.summary.is_empty() { vec![] } else { vec!["hidden by no_log".to_owned()] };
            report.diff = vec![];
            report.hints = vec![];
            report.place = None;
        }
        report
    }
}

//! What a deploy did to each service, one line each: the task's own line would be as long as all of them together.

use serde_json::Value as Json;

use super::terminal::{Options, shortened_to, word};
use crate::event::{Report, Status, TaskLabel};
use crate::ui::Style;
use crate::value::to_json;

/// The services that a task of `mms.service` or `mms.services` reports on; nothing for other tasks, or when it has no result yet.
pub(super) fn lines(task: &TaskLabel, report: &Report, options: &Options) -> Option<Vec<String>> {
    if !matches!(task.module.as_str(), "mms.service" | "mms.services") {
        return None;
    }
    let services = to_json(report.result.get("services")?);
    let services = services.as_object()?;
    let shown: Vec<_> = services.iter().map(|(name, it)| (name, status(it), it)).collect();
    let shown = shown.iter().filter(|(_, status, _)| *status != Status::Ok || options.verbosity >= 1);
    let width = shown.clone().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    Some(
        shown
            .map(|(name, status, it)| {
                let line = format!("  {} {name:width$}  {}", word(*status, options), why(it, options));
                line.trim_end().to_owned()
            })
            .collect(),
    )
}

fn status(service: &Json) -> Status {
    let is = |field: &str| service.get(field).and_then(Json::as_bool).unwrap_or(false);
    match (is("failed"), is("changed")) {
        (true, _) => Status::Failed,
        (false, true) => Status::Changed,
        (false, false) => Status::Ok,
    }
}

/// Why it was touched, and how long it was away.
fn why(service: &Json, options: &Options) -> String {
    let reasons = service.get("reasons").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let mut phrases: Vec<String> = reasons.map(|reason| shortened_to(reason, 100)).collect();
    let away = service.get("downtime").and_then(Json::as_f64).filter(|seconds| *seconds > 0.0);
    phrases.extend(away.map(|seconds| format!("away for {seconds:.1} s")));
    if phrases.is_empty() {
        return String::new();
    }
    options.paint.text(Style::Dim, &phrases.join("; "))
}

//! Events as JSON lines, one object per line, for scripts. The format is documented in `docs/json.md`.

use serde_json::{Map, Value as Json, json};

use crate::event::{Event, Report, Sink, TaskLabel};
use crate::ui::Ui;
use crate::value::{Fields, to_json};

/// The JSON of an event; nothing for what only a terminal shows.
pub fn line(event: &Event) -> Option<Json> {
    Some(match event {
        Event::PlayStarted { name, hosts, check } => {
            json!({"event": "play", "name": name, "hosts": hosts, "check": check})
        }
        Event::Connected { host, duration } => {
            json!({"event": "connected", "host": host, "seconds": duration.as_secs_f64()})
        }
        Event::ItemFinished { task, host, item, report } => of_report("item", task, host, Some(item), report),
        Event::TaskFinished { task, host, report } => of_report("task", task, host, None, report),
        Event::Unreachable { host, message, hints } => {
            json!({"event": "unreachable", "host": host, "message": message, "hints": hints})
        }
        Event::Warning(warning) => json!({
            "event": "warning",
            "message": warning.message,
            "place": warning.span.as_ref().map(ToString::to_string),
            "hints": warning.hints,
        }),
        Event::Message { host, text } => json!({"event": "message", "host": host, "text": text}),
        Event::Finished(summary) => json!({"event": "summary", "summary": summary}),
        Event::Connecting { .. } | Event::TaskStarted { .. } | Event::Live { .. } => return None,
    })
}

fn of_report(kind: &str, task: &TaskLabel, host: &str, item: Option<&String>, report: &Report) -> Json {
    let mut json = json!({
        "event": kind,
        "host": host,
        "task": task,
        "status": report.status,
        "summary": report.summary,
        "result": of_fields(&report.result),
        "seconds": report.duration.as_secs_f64(),
    });
    if let Json::Object(object) = &mut json {
        if let Some(item) = item {
            object.insert("item".into(), Json::from(item.as_str()));
        }
        if let Some(place) = &report.place {
            object.insert("place".into(), Json::from(place.to_string()));
        }
        if !report.hints.is_empty() {
            object.insert("hints".into(), json!(report.hints));
        }
        if !report.diff.is_empty() {
            let diffs = report.diff.iter().map(|diff| {
                json!({"before_header": diff.before_header, "after_header": diff.after_header, "before": diff.before, "after": diff.after})
            });
            object.insert("diff".into(), diffs.collect());
        }
    }
    json
}

fn of_fields(fields: &Fields) -> Json {
    Json::Object(fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect::<Map<_, _>>())
}

/// Writes events as JSON lines to stdout.
pub struct JsonSink {
    ui: Ui,
}

impl JsonSink {
    /// A sink on this terminal's stdout.
    pub fn new(ui: Ui) -> Self {
        Self { ui }
    }
}

impl Sink for JsonSink {
    fn emit(&self, event: Event) {
        let event = super::mask::event(event, self.ui.redactor());
        if let Some(json) = line(&event) {
            self.ui.data(&json.to_string());
        }
    }
}

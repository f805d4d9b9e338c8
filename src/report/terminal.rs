//! Events as lines for people: one line per change, nothing for what is unchanged, failures in full, the summary last.

use std::sync::Mutex;
use std::time::Duration;

use super::{diff, services};
use crate::diagnostic::snippet;
use crate::event::{Event, HostSummary, Report, Sink, Status, Summary, TaskLabel};
use crate::sync::lock;
use crate::ui::{Paint, Style, Ui};
use crate::value::{Fields, Value, to_json};

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Colours.
    pub paint: Paint,
    /// 1: also what is unchanged; 2: results; 3: also why something was skipped.
    pub verbosity: u8,
    /// Whether diffs are shown.
    pub diff: bool,
    /// Whether this is a plan: nothing has changed.
    pub check: bool,
    /// Width that host names are padded to; 0 leaves them out (one host).
    pub host_width: usize,
}

/// What an event looks like. Its texts are masked already: see [`super::mask`].
pub fn lines(event: &Event, options: &Options) -> Vec<String> {
    match event {
        Event::PlayStarted { name, hosts, .. } => {
            vec![options.paint.text(Style::Strong, &format!("{name} ({})", counted(hosts.len(), "host")))]
        }
        Event::Connected { host, duration } if options.verbosity >= 1 => {
            let text = format!("connected in {} ms", duration.as_millis());
            vec![format!("{}{}", host_column(host, options), options.paint.text(Style::Dim, &text))]
        }
        Event::ItemFinished { task, host, item, report } => of_report(task, host, Some(item), report, options),
        Event::TaskFinished { task, host, report } if report.looped => of_loop(task, host, report, options),
        Event::TaskFinished { task, host, report } => of_report(task, host, None, report, options),
        Event::Unreachable { host, message, hints } => {
            let mut lines = vec![format!(
                "{}{}  {message}",
                host_column(host, options),
                options.paint.text(Style::Bad, "unreachable")
            )];
            lines.extend(hints.iter().map(|hint| format!("  hint: {hint}")));
            lines
        }
        Event::Message { host, text } => text
            .lines()
            .map(|line| format!("{}{} {line}", host_column(host, options), options.paint.text(Style::Dim, "·")))
            .collect(),
        Event::Finished(summary) => of_summary(summary, options),
        Event::Connecting { .. }
        | Event::Connected { .. }
        | Event::TaskStarted { .. }
        | Event::Live { .. }
        | Event::Warning(_) => vec![],
    }
}

fn host_column(host: &str, options: &Options) -> String {
    match options.host_width {
        0 => String::new(),
        width => format!("{} ", options.paint.text(Style::Dim, &format!("{host:width$}"))),
    }
}

/// The word for a status, as wide as the widest.
pub(super) fn word(status: Status, options: &Options) -> String {
    let (word, style) = match status {
        Status::Ok => ("ok", Style::Good),
        Status::Changed if options.check => ("change", Style::Changed),
        Status::Changed => ("changed", Style::Changed),
        Status::Unknown => ("unknown", Style::Unknown),
        Status::Skipped => ("skipped", Style::Dim),
        Status::Failed => ("failed", Style::Bad),
        Status::Ignored => ("ignored", Style::Changed),
        Status::Rescued => ("rescued", Style::Changed),
    };
    options.paint.text(style, &format!("{word:7}"))
}

fn title(task: &TaskLabel) -> String {
    let handler = if task.handler { "handler " } else { "" };
    match &task.role {
        Some(role) => format!("{handler}{role} : {}", task.name),
        None => format!("{handler}{}", task.name),
    }
}

/// Whether a task that ended this way is shown at all.
fn is_shown(status: Status, verbosity: u8) -> bool {
    match status {
        Status::Changed | Status::Unknown | Status::Failed | Status::Ignored | Status::Rescued => true,
        Status::Ok => verbosity >= 1,
        Status::Skipped => verbosity >= 2,
    }
}

fn of_report(task: &TaskLabel, host: &str, item: Option<&str>, report: &Report, options: &Options) -> Vec<String> {
    let warnings = warnings(host, report, options);
    if !is_shown(report.status, options.verbosity) {
        return warnings;
    }
    let mut line = format!("{}{} {}", host_column(host, options), word(report.status, options), title(task));
    if let Some(item) = item {
        line.push_str(&format!(" [{}]", shortened(item)));
    }
    let services = services::lines(task, report, options);
    if !report.summary.is_empty() && services.is_none() {
        line.push_str(&options.paint.text(Style::Dim, &format!("  {}", summary(report))));
    }
    let mut lines = vec![line];
    lines.extend(services.into_iter().flatten());
    match report.status {
        Status::Failed | Status::Ignored | Status::Rescued => {
            lines.extend(of_failure(task, report, options.paint));
        }
        // Why, in one line: the hints of an unknown result say nothing else.
        Status::Unknown => lines.extend(report.hints.last().map(|why| format!("  {}", shortened_to(why, 160)))),
        Status::Skipped if options.verbosity >= 3 => {
            lines.extend(report.result.get("false_condition").map(|condition| format!("  condition: {condition}")));
        }
        _ => {}
    }
    if options.diff {
        for change in &report.diff {
            lines.extend(diff::unified(change, options.paint).into_iter().map(|line| format!("  {line}")));
        }
    }
    if options.verbosity >= 2 && report.status != Status::Skipped {
        lines.extend(of_result(&report.result).lines().map(|line| format!("  {line}")));
    }
    lines.extend(warnings);
    lines
}

/// What a module warns of, whether or not its task is shown.
fn warnings(host: &str, report: &Report, options: &Options) -> Vec<String> {
    let texts = report.result.get("warnings").map(to_json);
    let texts = texts.as_ref().and_then(serde_json::Value::as_array).into_iter().flatten();
    let word = options.paint.text(Style::Changed, "warning");
    texts
        .filter_map(serde_json::Value::as_str)
        .map(|text| format!("{}{word} {text}", host_column(host, options)))
        .collect()
}

/// The sum of a loop says nothing that its items did not, unless it is a failure of the loop itself.
fn of_loop(task: &TaskLabel, host: &str, report: &Report, options: &Options) -> Vec<String> {
    match report.status {
        Status::Ignored => {
            vec![format!("{}{} {}", host_column(host, options), word(Status::Ignored, options), title(task))]
        }
        Status::Ok | Status::Skipped if options.verbosity >= 1 => {
            vec![format!("{}{} {}", host_column(host, options), word(report.status, options), title(task))]
        }
        _ => vec![],
    }
}

/// A failure in full: message, what the command wrote, what to do, and where the task stands.
fn of_failure(task: &TaskLabel, report: &Report, paint: Paint) -> Vec<String> {
    let text =
        |name: &str| report.result.get(name).and_then(Value::as_str).map(str::trim_end).filter(|text| !text.is_empty());
    let mut lines = vec![];
    let msg = report
        .result
        .get("msg")
        .map(|msg| msg.as_str().map_or_else(|| msg.to_string(), str::to_owned))
        .unwrap_or_default();
    // The place is shown with its line of source below.
    let place = report.place.as_ref().map(|span| format!(" ({span})"));
    let shown = place.and_then(|place| msg.strip_suffix(&place)).unwrap_or(&msg);
    lines.extend(shown.lines().map(|line| format!("  {line}")));
    if report.result.contains_key("censored") {
        lines.push("  its result is hidden by `no_log: true`".to_owned());
    }
    if let Some(rc) = report.result.get("rc") {
        lines.push(format!("  exit status {rc}"));
    }
    for name in ["stdout", "stderr", "module_stderr"] {
        if let Some(output) = text(name).filter(|output| *output != msg.trim()) {
            let all: Vec<&str> = output.lines().collect();
            let skipped = all.len().saturating_sub(20);
            if skipped > 0 {
                lines.push(format!("  {name}: ({} before)", counted(skipped, "line")));
            }
            lines.extend(all.iter().skip(skipped).map(|line| format!("  {name}: {line}")));
        }
    }
    match &report.place {
        Some(span) => lines.extend(snippet(span, paint.is_on()).into_iter().map(|line| format!("  {line}"))),
        None => lines.push(format!("  --> {}", task.place)),
    }
    lines.extend(report.hints.iter().map(|hint| format!("  hint: {hint}")));
    lines
}

fn of_result(result: &Fields) -> String {
    let json: serde_json::Map<String, serde_json::Value> =
        result.iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
    serde_json::to_string_pretty(&json).unwrap_or_default()
}

/// What changed, each phrase cut to a readable length.
fn summary(report: &Report) -> String {
    report.summary.iter().map(|phrase| shortened_to(phrase, 60)).collect::<Vec<_>>().join(", ")
}

fn shortened(item: &str) -> String {
    shortened_to(item, 60)
}

/// The first line, cut to a number of characters.
pub(super) fn shortened_to(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width && !text.contains('\n') {
        return line.to_owned();
    }
    format!("{}…", line.chars().take(width - 1).collect::<String>())
}

/// `1 host`, `2 hosts`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn of_summary(summary: &Summary, options: &Options) -> Vec<String> {
    let mut lines = vec![];
    let width = summary.hosts.iter().map(|host| host.host.chars().count()).max().unwrap_or(0);
    for host in &summary.hosts {
        lines.push(format!("{:width$}  {}", host.host, of_host(host, summary.check, options.paint)));
    }
    let what = if summary.check { "planned" } else { "done" };
    lines.push(options.paint.text(Style::Dim, &format!("{what} in {}", time(summary.duration))));
    lines
}

/// `1.2 s`, `3 min 5 s`.
fn time(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn of_host(host: &HostSummary, check: bool, paint: Paint) -> String {
    if host.unreachable {
        return paint.text(Style::Bad, "unreachable");
    }
    let changed = if check { "to change" } else { "changed" };
    let parts = [
        (host.failed, "failed", Style::Bad, true),
        (host.changed, changed, Style::Changed, false),
        (host.unknown, "unknown (known after apply)", Style::Unknown, true),
        (host.ok, "ok", Style::Good, false),
        (host.skipped, "skipped", Style::Dim, true),
        (host.rescued, "rescued", Style::Changed, true),
        (host.ignored, "ignored", Style::Changed, true),
    ];
    let shown = parts.iter().filter(|(count, _, _, quiet)| *count > 0 || !quiet);
    shown
        .map(|(count, word, style, _)| {
            let text = format!("{count} {word}");
            if *count > 0 { paint.text(*style, &text) } else { text }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// Shows events on the terminal.
pub struct TerminalSink {
    ui: Ui,
    diff: bool,
    check: bool,
    host_width: Mutex<usize>,
}

impl TerminalSink {
    /// A sink that shows diffs if `diff`; `check` when nothing is changed.
    pub fn new(ui: Ui, diff: bool, check: bool) -> Self {
        Self { ui, diff, check, host_width: Mutex::new(0) }
    }
}

impl Sink for TerminalSink {
    fn emit(&self, event: Event) {
        let event = super::mask::event(event, self.ui.redactor());
        let progress = self.ui.progress();
        match &event {
            Event::PlayStarted { hosts, .. } if hosts.len() > 1 => {
                let width = hosts.iter().map(|host| host.chars().count()).max().unwrap_or(0);
                *lock(&self.host_width) = width;
            }
            Event::Connecting { host } => progress.set(host, "connecting"),
            Event::TaskStarted { task, host } => progress.start(host, &title(task)),
            Event::Live { host, line } => progress.set(host, line),
            Event::Unreachable { host, .. } => progress.remove(host),
            Event::Finished(_) => progress.clear(),
            Event::Warning(warning) => self.ui.diagnostic(warning),
            _ => {}
        }
        let host_width = *lock(&self.host_width);
        let options = Options {
            paint: self.ui.paint(),
            verbosity: self.ui.verbosity(),
            diff: self.diff,
            check: self.check,
            host_width,
        };
        let lines = lines(&event, &options);
        if !lines.is_empty() {
            self.ui.data(&lines.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_warning_is_shown_although_its_task_is_not() {
        let task = TaskLabel {
            name: "Deploy".into(),
            role: None,
            module: "mms.services".into(),
            place: "x.yml:1:1".into(),
            handler: false,
            no_log: false,
        };
        let warnings = ["`lidarr` is left"].into_iter().map(Value::from).collect();
        let report = Report {
            status: Status::Ok,
            summary: vec![],
            diff: vec![],
            result: Fields::from([("warnings".to_owned(), warnings)]),
            looped: false,
            hints: vec![],
            place: None,
            duration: Duration::ZERO,
        };
        let event = Event::TaskFinished { task: Arc::new(task), host: "nas".into(), report };
        let options =
            |verbosity| Options { paint: Paint::new(false), verbosity, diff: false, check: false, host_width: 4 };
        assert_eq!(lines(&event, &options(0)), ["nas  warning `lidarr` is left"]);
        assert_eq!(lines(&event, &options(1)), ["nas  ok      Deploy", "nas  warning `lidarr` is left"]);
    }
}

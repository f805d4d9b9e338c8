//! What happens during a run: the only thing the engine emits. The terminal and JSON lines are subscribers.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Span};
use crate::modules::Diff;
use crate::value::Fields;

/// Something that happened. Texts may hold secrets: every sink masks them.
#[derive(Debug, Clone)]
pub enum Event {
    /// A play starts on these hosts.
    PlayStarted { name: String, hosts: Vec<String>, check: bool },
    /// A host is being connected to.
    Connecting { host: String },
    /// A host is connected and logged in to, after this long.
    Connected { host: String, duration: Duration },
    /// A task starts on a host.
    TaskStarted { task: Arc<TaskLabel>, host: String },
    /// A line of output of a running command, or a module's progress line.
    Live { host: String, line: String },
    /// One item of a loop has its result.
    ItemFinished { task: Arc<TaskLabel>, host: String, item: String, report: Report },
    /// A task has its result on a host: with a loop, the sum of the items.
    TaskFinished { task: Arc<TaskLabel>, host: String, report: Report },
    /// A host cannot be worked with any longer.
    Unreachable { host: String, message: String, hints: Vec<String> },
    /// Something the user should know.
    Warning(Diagnostic),
    /// A message for people from a module (`debug`, `pause`).
    Message { host: String, text: String },
    /// The run is over.
    Finished(Summary),
}

/// What a task is called and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskLabel {
    /// Its name, templated; the module's name when it has none.
    pub name: String,
    /// The role it belongs to.
    pub role: Option<String>,
    /// The module.
    pub module: String,
    /// `file:line:col`.
    pub place: String,
    /// Whether it runs as a handler.
    pub handler: bool,
    /// `no_log`: results are not shown.
    pub no_log: bool,
}

/// How a task or an item ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which way it ended.
    pub status: Status,
    /// What changed, in short phrases.
    pub summary: Vec<String>,
    /// Before and after.
    pub diff: Vec<Diff>,
    /// The registered result.
    pub result: Fields,
    /// Whether this is the sum of a loop, whose items were reported one by one.
    pub looped: bool,
    /// What to do about a failure.
    pub hints: Vec<String>,
    /// The place in what the user wrote that a failure is about, where there is a more exact one than the task.
    pub place: Option<Span>,
    /// How long it took.
    pub duration: Duration,
}

/// Which way a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As wanted already.
    Ok,
    /// Changed, or would be changed in check mode.
    Changed,
    /// A plan cannot tell.
    Unknown,
    /// Not run.
    Skipped,
    /// Failed.
    Failed,
    /// Failed, and `ignore_errors` says to go on.
    Ignored,
    /// Failed, and a `rescue` took over.
    Rescued,
}

/// The counts of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Per host, in inventory order.
    pub hosts: Vec<HostSummary>,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// Whether this was a plan.
    pub check: bool,
    /// Whether a host failed because a secret could not be read.
    #[serde(skip)]
    pub secret: bool,
}

/// The counts of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HostSummary {
    /// Inventory name.
    pub host: String,
    /// Tasks that were as wanted.
    pub ok: usize,
    /// Tasks that changed something.
    pub changed: usize,
    /// Tasks a plan cannot tell.
    pub unknown: usize,
    /// Tasks not run.
    pub skipped: usize,
    /// Tasks that failed.
    pub failed: usize,
    /// Failures that a `rescue` took over.
    pub rescued: usize,
    /// Failures that were ignored.
    pub ignored: usize,
    /// Whether it could not be reached.
    pub unreachable: bool,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Takes events. Cheap and never blocks the run.
pub trait Sink: Send + Sync {
    /// Something happened.
    fn emit(&self, event: Event);
}

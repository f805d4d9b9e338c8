//! What modules return: probes, changes, results, failures.

use std::path::PathBuf;
use std::time::Duration;

use crate::connection::Answer;
use crate::diagnostic::Span;
use crate::value::{Fields, Value};

/// A read-only script. It may be sent early, twice, or in vain, so it must not change anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probe {
    /// POSIX shell text.
    pub script: String,
    /// Bytes for its stdin.
    pub stdin: Option<Vec<u8>>,
}

impl Probe {
    /// A probe of a script alone.
    pub fn new(script: impl Into<String>) -> Self {
        Self { script: script.into(), stdin: None }
    }
}

/// What a [`super::StateModule`] wants next.
#[derive(Debug, Clone)]
pub enum Next {
    /// Ask the host this and call again.
    Probe(Probe),
    /// The state is as wanted; these are the result's fields (without `changed`).
    Ok(Fields),
    /// The state differs: show the diff, run the steps.
    Change(Change),
    /// Something whose effect cannot be foretold is to be run (`command`, `shell`). A plan shows it as unknown. `finish` may
    /// set `changed` in the result; otherwise it counts as changed.
    Action(Change),
    /// Not to be run on this host, and why (`creates` exists).
    Skip(Fields),
    /// A plan cannot tell, because of an earlier change that is only planned.
    Unknown(String),
}

/// A change to make.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What changes, for people (`mode 0644 → 0600`): one short phrase each, in the order they are applied.
    pub summary: Vec<String>,
    /// Before and after, for `--diff`.
    pub diff: Vec<Diff>,
    /// What is run, in order. A step that fails ends the task.
    pub steps: Vec<Step>,
    /// The result's fields as far as they can be foretold (without `changed`).
    pub result: Fields,
}

/// One step of a change.
#[derive(Debug, Clone)]
pub enum Step {
    /// A script.
    Run {
        /// POSIX shell text.
        script: String,
        /// Bytes for its stdin.
        stdin: Option<Vec<u8>>,
        /// Whether its output is shown while it runs (long commands).
        live: bool,
        /// After this it is killed.
        timeout: Option<Duration>,
        /// Whether a status other than 0 is a failure of the task; otherwise `finish` decides.
        check: bool,
    },
    /// A local file, whatever its size, as the stdin of a command.
    Upload {
        /// The local file.
        from: PathBuf,
        /// POSIX shell text that reads stdin.
        script: String,
    },
    /// The stdout of a command into a local file (`fetch`).
    Download {
        /// POSIX shell text that writes stdout.
        script: String,
        /// The local file; its directory is made.
        to: PathBuf,
    },
}

impl Step {
    /// A script that must succeed.
    pub fn run(script: impl Into<String>) -> Self {
        Self::Run { script: script.into(), stdin: None, live: false, timeout: None, check: true }
    }

    /// A script whose status the module judges itself.
    pub fn judged(script: impl Into<String>) -> Self {
        Self::Run { script: script.into(), stdin: None, live: false, timeout: None, check: false }
    }

    /// A script that must succeed and reads these bytes.
    pub fn feed(script: impl Into<String>, stdin: Vec<u8>) -> Self {
        Self::Run { script: script.into(), stdin: Some(stdin), live: false, timeout: None, check: true }
    }

    /// A long script that must succeed and whose output is shown while it runs.
    pub fn live(script: impl Into<String>) -> Self {
        Self::Run { script: script.into(), stdin: None, live: true, timeout: None, check: true }
    }
}

/// Before and after of one thing. Both texts may hold secrets; sinks mask them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// What is compared, e.g. a path.
    pub before_header: String,
    /// The same after the change.
    pub after_header: String,
    /// Text before; empty when there was nothing.
    pub before: String,
    /// Text after; empty when nothing remains.
    pub after: String,
}

/// What an [`super::ActionModule`] ended with.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing was to be done.
    Ok(Fields),
    /// Something was done, or would be in check mode.
    Changed(Fields),
    /// Not run, and why.
    Skipped(Fields),
    /// A plan cannot tell.
    Unknown(String),
}

/// A task failed on a host. A result, not an error: `rescue`, `ignore_errors` and `failed_when` see it.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// What happened: the result's `msg`.
    pub msg: String,
    /// More fields of the result: `rc`, `stdout`, `stderr`, …
    pub fields: Fields,
    /// What to do about it, for people.
    pub hints: Vec<String>,
    /// Something is missing that an earlier task may provide (a user, a unit, a directory). When a plan has
    /// changes pending on the host, the task is unknown instead of failed.
    pub missing: bool,
    /// What is missing, where that has a name. When the plan makes all of it, the task will change something: it cannot be as
    /// wanted now.
    pub needs: Vec<Thing>,
    /// The place in what the user wrote, where there is a more exact one than the task. `msg` names it, too.
    pub place: Option<Span>,
    /// A secret could not be read: a run that fails of it ends with that exit code.
    pub secret: bool,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Path(path) | Self::Tree(path) => f.write_str(path),
        }
    }
}

/// Something on a host that one task makes and another may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// An account.
    User(String),
    /// A group.
    Group(String),
    /// A file or a directory, and the directories above it.
    Path(String),
    /// A directory and everything below it.
    Tree(String),
}

impl Failure {
    /// A failure with a message.
    pub fn new(msg: impl Into<String>) -> Self {
        Self { msg: msg.into(), ..Self::default() }
    }

    /// Something is missing that an earlier task may provide.
    pub fn missing(msg: impl Into<String>) -> Self {
        Self { missing: true, ..Self::new(msg) }
    }

    /// A script failed: message, `rc`, `stdout`, `stderr` and their `_lines`.
    pub fn of_answer(msg: impl Into<String>, answer: &Answer) -> Self {
        let mut failure = Self::new(msg);
        failure.fields.insert("rc".into(), Value::from(answer.rc));
        for (name, bytes) in [("stdout", &answer.stdout), ("stderr", &answer.stderr)] {
            let text = String::from_utf8_lossy(bytes);
            let text = text.trim_end_matches('\n');
            failure.fields.insert(name.into(), Value::from(text));
            failure.fields.insert(format!("{name}_lines"), text.lines().map(Value::from).collect());
        }
        failure
    }

    /// Names what is missing.
    #[must_use]
    pub fn needs(mut self, thing: Thing) -> Self {
        self.needs.push(thing);
        self
    }

    /// Adds a field of the result.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

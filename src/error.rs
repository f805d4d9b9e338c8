//! The one error type of mms and the exit codes it maps to.
//!
//! An [`Error`] says which kind of thing went wrong (that decides the exit code) and carries one or more
//! [`Diagnostic`]s (those are what the user reads). Failures of tasks are results, not errors: see
//! [`crate::modules::Failure`].

use std::fmt;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Span};

/// The result of everything that can go wrong before or beside the tasks.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What mms ends with. Documented for users in `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for is done.
    Ok = 0,
    /// The arguments, the project or a template is wrong; nothing was run.
    User = 1,
    /// A task or a service failed on at least one host. A refused become (a wrong sudo password, no right to become) is such a
    /// failure: the host was reached and logged in to, and `rescue` and `ignore_errors` see it, as in Ansible.
    Failed = 2,
    /// At least one host could not be reached, trusted or logged in to, and none failed otherwise.
    Unreachable = 3,
    /// A secret or a backup could not be opened: no identity, wrong identity, damaged vault.
    Vault = 4,
    /// A mistake in mms itself.
    Internal = 70,
    /// The terminal was closed (SIGHUP).
    HungUp = 129,
    /// Interrupted by the user (SIGINT).
    Interrupted = 130,
    /// Told to end (SIGTERM).
    Terminated = 143,
}

impl Exit {
    /// The one that tells more: a failure over success, a task's failure over an unreachable host.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Ok => 0,
            Self::Unreachable => 1,
            Self::Failed => 2,
            Self::Vault => 3,
            Self::User => 4,
            Self::HungUp | Self::Interrupted | Self::Terminated => 5,
            Self::Internal => 6,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// Which kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What the user wrote is wrong: arguments, YAML, inventory, playbook, template, settings.
    User,
    /// A secret cannot be read or written.
    Vault,
    /// A host cannot be reached, trusted or logged in to.
    Unreachable,
    /// Work on a host failed.
    Failed,
    /// The user pressed Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP.
    HungUp,
    /// mms contradicts itself.
    Internal,
}

/// Something that stops a command; see the module text.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    diagnostics: Vec<Diagnostic>,
}

impl Error {
    /// An error of a kind with a message (one lower-case sentence, no final period).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, diagnostics: vec![Diagnostic::error(message)] }))
    }

    /// What the user wrote is wrong.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }

    /// mms contradicts itself; the hint asks for a report.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message).hint("this is a mistake in mms; please report it")
    }

    /// A local file could not be read or written.
    pub fn io(verb: &str, path: &Path, source: &std::io::Error) -> Self {
        let text = source.to_string();
        // The number says nothing to people that the words do not.
        let why = text.split(" (os error ").next().unwrap_or(&text);
        Self::user(format!("cannot {verb} `{}`: {}", path.display(), lower_first(why)))
    }

    /// Several diagnostics that were found together. `None` when there are none.
    pub fn from_diagnostics(kind: ErrorKind, diagnostics: Vec<Diagnostic>) -> Option<Self> {
        (!diagnostics.is_empty()).then(|| Self(Box::new(Inner { kind, diagnostics })))
    }

    /// Which kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the user reads.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0.diagnostics
    }

    /// The first message, for embedding in a task's result.
    pub fn message(&self) -> &str {
        self.0.diagnostics.first().map_or("", |diagnostic| &diagnostic.message)
    }

    /// The exit code that this error alone leads to.
    pub fn exit(&self) -> Exit {
        match self.0.kind {
            ErrorKind::User => Exit::User,
            ErrorKind::Vault => Exit::Vault,
            ErrorKind::Unreachable => Exit::Unreachable,
            ErrorKind::Failed => Exit::Failed,
            ErrorKind::Interrupted => Exit::Interrupted,
            ErrorKind::Terminated => Exit::Terminated,
            ErrorKind::HungUp => Exit::HungUp,
            ErrorKind::Internal => Exit::Internal,
        }
    }

    /// Sets the place of the first diagnostic, unless it has a more exact one.
    #[must_use]
    pub fn at(self, span: &Span) -> Self {
        self.map(|diagnostic| diagnostic.at(span))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.map(|diagnostic| diagnostic.hint(hint))
    }

    /// Changes the first diagnostic.
    #[must_use]
    pub fn map(mut self, change: impl FnOnce(Diagnostic) -> Diagnostic) -> Self {
        if !self.0.diagnostics.is_empty() {
            let first = self.0.diagnostics.remove(0);
            self.0.diagnostics.insert(0, change(first));
        }
        self
    }
}

/// The text with a small first letter, as messages begin.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(Box::new(Inner { kind: ErrorKind::User, diagnostics: vec![diagnostic] }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", diagnostic.message)?;
            if let Some(span) = &diagnostic.span {
                write!(f, " ({span})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

//! Talking to a target: one connection per host, one persistent POSIX `sh` for each way to become a user there, frames in program
//! order. Knows nothing of playbooks.
//!
//! [`connect`] gives a [`Connection`]. What carries it is a `Transport` (`local`, `ssh`) that starts processes whose stdin, stdout
//! and stderr are byte streams; everything above (`session`, `shell`, `escalate`, `transfer`) is the same for both. The
//! environment of a shell is that of a login without a terminal; no locale is set, so a script whose output is parsed
//! sets `LC_ALL` itself.

mod escalate;
pub mod fake;
mod local;
mod process;
mod seen;
mod session;
mod shell;
mod ssh;
mod transfer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::secret::Redactor;

/// How to reach a host: the resolved `ansible_*` connection variables. Nothing set means what `ssh` itself would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The inventory name.
    pub name: String,
    /// `ansible_connection`: ssh or local.
    pub kind: TransportKind,
    /// `ansible_host`; the inventory name when not set.
    pub address: Option<String>,
    /// `ansible_port`.
    pub port: Option<u16>,
    /// `ansible_user`.
    pub user: Option<String>,
    /// `ansible_password` / `ansible_ssh_pass`.
    pub password: Option<String>,
    /// `ansible_ssh_private_key_file` / `ansible_private_key_file`.
    pub private_key_file: Option<PathBuf>,
    /// `ansible_ssh_common_args` + `ansible_ssh_extra_args`, split into words: passed to `ssh -G`, so that `-o`, `-F` and `-J`
    /// mean what they mean to `ssh`.
    pub ssh_args: Vec<String>,
    /// `ansible_shell_executable`; `/bin/sh` when not set.
    pub shell: Option<String>,
    /// How long connecting and logging in may take.
    pub timeout: Option<Duration>,
    /// What to do with a host key that is in no known_hosts file.
    pub unknown_host_key: UnknownHostKey,
}

/// `ansible_connection`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransportKind {
    /// Over SSH.
    #[default]
    Ssh,
    /// On this machine, with the same shell protocol.
    Local,
}

/// What to do with a host key that is in no known_hosts file. A changed key is always refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownHostKey {
    /// Refuse, with the fingerprint and how to accept it.
    #[default]
    Refuse,
    /// `--accept-new`: add it to known_hosts.
    AcceptNew,
    /// Ask through [`Prompter`]; refuse when there is no terminal.
    Ask,
}

/// How to become another user on the target: `become_method` and friends.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Become {
    /// `become_method`.
    pub method: BecomeMethod,
    /// `become_user`.
    pub user: String,
    /// `ansible_become_password`; never on a command line.
    pub password: Option<String>,
    /// `become_exe`.
    pub executable: Option<String>,
    /// `become_flags`, split into words.
    pub flags: Vec<String>,
}

impl fmt::Debug for Become {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, user, password, executable, flags } = self;
        let password = password.as_ref().map(|_| "…");
        let mut text = f.debug_struct("Become");
        text.field("method", method).field("user", user).field("password", &password);
        text.field("executable", executable).field("flags", flags).finish()
    }
}

/// `become_method`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BecomeMethod {
    /// sudo.
    #[default]
    Sudo,
    /// su.
    Su,
    /// doas.
    Doas,
}

/// A script for a shell on the target. It runs in a subshell: cwd, umask, environment and descriptors do not leak into the
/// next one. Its stdin is [`Frame::stdin`] or `/dev/null`.
#[derive(Clone, Default)]
pub struct Frame {
    /// POSIX shell text. Secrets may stand in it: it never becomes an argument of a process.
    pub script: String,
    /// Bytes for the script's stdin; binary is allowed.
    pub stdin: Option<Vec<u8>>,
    /// Where output goes while the script runs, line by line.
    pub live: Option<mpsc::UnboundedSender<String>>,
    /// After this the script is killed and [`ConnectionError::TimedOut`] returned.
    pub timeout: Option<Duration>,
}

impl Frame {
    /// A frame of a script alone.
    pub fn new(script: impl Into<String>) -> Self {
        Self { script: script.into(), ..Self::default() }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.script.len())
    }
}

/// What a script answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status; 128+n for a signal.
    pub rc: i32,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl Answer {
    /// Stdout as text; bytes that are not UTF-8 become U+FFFD.
    pub fn stdout_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Stderr as text; bytes that are not UTF-8 become U+FFFD.
    pub fn stderr_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// Whether the script succeeded.
    pub fn ok(&self) -> bool {
        self.rc == 0
    }
}

/// Why a target cannot be worked with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ConnectionError {
    /// Which kind of trouble.
    pub kind: ConnectionErrorKind,
    /// What happened, naming host, port and user: one lower-case sentence.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

/// Which kind of trouble with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionErrorKind {
    /// No route, refused, timed out, name not found.
    Unreachable,
    /// The host key is unknown or not the known one.
    HostKey,
    /// No way to log in was accepted.
    Auth,
    /// Logged in, but cannot become the other user (wrong password, not allowed).
    Become,
    /// Logged in, but the user to become does not exist on the target (yet: an earlier task may create it).
    NoSuchUser,
    /// The connection was lost under way; what was running may or may not have finished.
    Lost,
    /// A script ran longer than it may.
    TimedOut,
    /// A file on this machine could not be read or written.
    LocalFile,
}

impl ConnectionErrorKind {
    /// Whether nothing can be said of the host any more, or nothing yet; otherwise only what was asked of it failed.
    pub fn is_unreachable(self) -> bool {
        !matches!(self, Self::Become | Self::NoSuchUser | Self::TimedOut | Self::LocalFile)
    }
}

impl ConnectionError {
    /// An error of a kind with its sentence.
    pub fn new(kind: ConnectionErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn lost(message: impl Into<String>) -> Self {
        Self::new(ConnectionErrorKind::Lost, message)
    }
}

/// Asks the person at the terminal. Implemented by `ui`.
pub trait Prompter: Send + Sync {
    /// A yes/no question. `None`: there is nobody to ask.
    fn confirm(&self, question: &str) -> Option<bool>;
    /// A line of text, echoed or not. `None`: there is nobody to ask.
    fn line(&self, prompt: &str, echo: bool) -> Option<String>;
    /// A password or passphrase, not echoed. `None`: there is nobody to ask.
    fn password(&self, prompt: &str) -> Option<String>;
}

/// Nobody is there to be asked: runs without a person, as those of tests are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Prompter for Nobody {
    fn confirm(&self, _question: &str) -> Option<bool> {
        None
    }

    fn line(&self, _prompt: &str, _echo: bool) -> Option<String> {
        None
    }

    fn password(&self, _prompt: &str) -> Option<String> {
        None
    }
}

/// What every connection of a run shares.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Passwords and passphrases are registered here.
    pub redactor: Redactor,
    /// Asks for host keys and passphrases.
    pub prompter: Arc<dyn Prompter>,
}

/// A connection to one target, whatever carries it.
pub trait Connection: Send + Sync {
    /// The persistent shell of a user: the login user (`None`) or the one to become. Opened when first asked for.
    fn shell<'a>(&'a self, become_user: Option<&'a Become>) -> BoxFuture<'a, Result<Arc<dyn Shell>, ConnectionError>>;

    /// Runs a command on a channel of its own with `from` (a local file) as its stdin: for content too large for a frame.
    fn send_file<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        from: &'a Path,
        command: &'a str,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>>;

    /// Runs a command on a channel of its own and writes its stdout to a local file.
    fn receive_file<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>>;

    /// Runs a command on a channel of its own with what comes from `pieces` as its stdin, which ends with the queue. A connection
    /// that is cut looks like the end as well, so the command must not take a part for the whole.
    fn send_pieces<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        pieces: mpsc::Receiver<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>>;

    /// Runs a command on a channel of its own and passes on what it writes to stdout. It is held back while nobody takes it, and
    /// killed when the receiver is gone.
    fn receive_pieces<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        pieces: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>>;

    /// Drops every channel and connects anew: after a reboot, or when group memberships changed (`meta: reset_connection`).
    fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>>;

    /// Kills what is running on the target and closes.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A persistent shell.
pub trait Shell: Send + Sync {
    /// Queues a frame at once and returns its answer when it comes. Frames are run one after the other, in the order of the
    /// calls; many may be queued without waiting. Dropping the future does not stop the frame.
    fn submit(&self, frame: Frame) -> BoxFuture<'static, Result<Answer, ConnectionError>>;
}

/// Connects and logs in: at once for SSH, so that what is wrong with a host is known before any task.
pub async fn connect(target: &Target, options: &ConnectOptions) -> Result<Arc<dyn Connection>, ConnectionError> {
    if let Some(password) = &target.password {
        options.redactor.add(password);
    }
    let transport: Arc<dyn process::Transport> = match target.kind {
        TransportKind::Local => Arc::new(local::Local::new(target)),
        TransportKind::Ssh => Arc::new(ssh::Ssh::connect(target, options).await?),
    };
    Ok(Arc::new(session::Session::new(transport, options.redactor.clone())))
}

//! A process on the target as byte streams, and the [`Transport`] that starts one. This is all that SSH and `local` have to
//! provide.

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::ConnectionError;

/// What every process on the target starts as: a POSIX shell that reads one line and evaluates it. The login shell of the user
/// sees only this text, so it holds nothing that `csh` or `fish` read differently from `sh` inside single quotes: no quote, no
/// backslash, no `!`, no newline. A POSIX shell reads a pipe byte by byte in `read`, so whatever follows the line is left for the
/// next reader.
pub(crate) const STAGE: &str = r#"IFS= read -r __mms_l;eval "$__mms_l""#;

/// How many pieces of output may wait for their reader before the sender is held back.
pub(crate) const OUTPUT_QUEUE: usize = 64;

/// How many pieces of input may wait for the transport.
pub(crate) const INPUT_QUEUE: usize = 16;

/// Something that came from a process.
#[derive(Debug, Clone)]
pub(crate) enum Chunk {
    Stdout(Bytes),
    Stderr(Bytes),
    /// Its exit status; 128+n for a signal. Output may still follow: sshd tells of the end of a process as soon as it knows, and sends
    /// what it had read from it before then.
    Exit(i32),
    /// All of its output has come. The exit status may still follow.
    End,
}

/// A running process. Dropping it closes its streams.
pub(crate) struct Process {
    /// Its stdin; dropping the sender closes it.
    pub input: mpsc::Sender<Bytes>,
    /// What comes from it. When the queue ends before both [`Chunk::Exit`] and [`Chunk::End`] have come, the connection was lost.
    pub output: mpsc::Receiver<Chunk>,
    /// Dropped to say that nobody is interested any longer.
    pub guard: oneshot::Sender<()>,
}

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A persistent shell. Never held back.
    Shell,
    /// The transfer of one file. Only a few at a time.
    Transfer,
}

/// What carries a connection.
pub(crate) trait Transport: Send + Sync {
    /// Starts the target's shell with [`STAGE`] as the login user.
    fn spawn(&self, purpose: Purpose) -> BoxFuture<'_, Result<Process, ConnectionError>>;

    /// The shell to use (`/bin/sh`).
    fn shell(&self) -> &str;

    /// The host for messages, e.g. `web1 (root@10.0.0.1:22)`.
    fn place(&self) -> &str;

    /// The login user's name where it is known.
    fn login_user(&self) -> Option<&str>;

    /// Connects anew.
    fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>>;

    /// Disconnects.
    fn close(&self) -> BoxFuture<'_, ()>;
}

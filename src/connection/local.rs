//! `ansible_connection: local`: the same shell protocol over a child process.

use std::process::{ExitStatus, Stdio};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::process::{Chunk, INPUT_QUEUE, OUTPUT_QUEUE, Process, Purpose, STAGE, Transport};
use super::{ConnectionError, ConnectionErrorKind, Target};

/// This machine as a target.
pub(crate) struct Local {
    shell: String,
    place: String,
    user: Option<String>,
}

impl Local {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            shell: target.shell.clone().unwrap_or_else(|| "/bin/sh".to_owned()),
            place: format!("{} (this machine)", target.name),
            user: rustix::process::geteuid().is_root().then(|| "root".to_owned()),
        }
    }

    fn start(&self) -> Result<Process, ConnectionError> {
        // A process group of its own keeps the terminal's Ctrl-C away from it: mms decides what is killed, and how.
        let mut child = Command::new(&self.shell)
            .args(["-c", STAGE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                ConnectionError::new(
                    ConnectionErrorKind::Unreachable,
                    format!("cannot start `{}` on {}: {error}", self.shell, self.place),
                )
            })?;
        let (input, inbox) = mpsc::channel(INPUT_QUEUE);
        let (sender, output) = mpsc::channel(OUTPUT_QUEUE);
        let (guard, dropped) = oneshot::channel();
        let feeding = child.stdin.take().map(|stdin| tokio::spawn(feed(stdin, inbox)).abort_handle());
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let sender = sender.clone();
            tokio::spawn(async move {
                tokio::join!(read(stdout, sender.clone(), Chunk::Stdout), read(stderr, sender.clone(), Chunk::Stderr));
                let _ = sender.send(Chunk::End).await;
            });
        }
        tokio::spawn(watch(child, feeding, sender, dropped));
        Ok(Process { input, output, guard })
    }
}

impl Transport for Local {
    fn spawn(&self, _: Purpose) -> BoxFuture<'_, Result<Process, ConnectionError>> {
        Box::pin(async { self.start() })
    }

    fn shell(&self) -> &str {
        &self.shell
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn login_user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

async fn feed(mut stdin: tokio::process::ChildStdin, mut inbox: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = inbox.recv().await {
        // A process that reads no further is no error here: its exit status tells.
        if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

async fn read(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<Chunk>, wrap: fn(Bytes) -> Chunk) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(64 << 10);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if to.send(wrap(buffer.split().freeze())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reports the exit status; kills the child when nobody is interested any longer.
async fn watch(
    mut child: Child,
    feeding: Option<AbortHandle>,
    to: mpsc::Sender<Chunk>,
    dropped: oneshot::Receiver<()>,
) {
    let exited = tokio::select! {
        status = child.wait() => status,
        _ = dropped => {
            // Whatever it has not been given yet it does not get.
            if let Some(feeding) = feeding {
                feeding.abort();
            }
            // It sees the end of its stdin and goes; a child that does not is killed when `child` is dropped.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(200), child.wait()).await;
            return;
        }
    };
    if let Ok(status) = exited {
        let _ = to.send(Chunk::Exit(code(status))).await;
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

//! The persistent shell: frames in, answers out, over one `sh` that lives as long as the connection.
//!
//! The shell on the target runs [`encode::LOOP`]: it reads a line and evaluates it if the line starts with a key that only it and mms
//! know; any other line is skipped, so that bytes that lost their reader can never be run as commands. A frame is two such
//! lines with the payload between them ([`encode`]). The first prints a begin mark on stdout and stderr and runs the script in a
//! subshell whose stdin is not the shell's; the second prints the end marks and the status. All marks are random numbers made for
//! the frame, and the end mark is not sent to the shell before the script's line is, so nothing that the script prints, not even
//! all variables of its shell, can be taken for the end ([`decode`]). What arrives between an end and the next begin comes
//! from a process that an earlier script left behind, and is dropped.
//!
//! [`driver`] is the task that owns the shell: it sends frames as they come, takes the answers in order, kills what
//! runs too long ([`kill`]) and opens the shell anew when it died.

mod decode;
mod driver;
mod encode;
mod kill;

pub(crate) use encode::copy;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::escalate::{self, Entered};
use super::process::{Process, Purpose, Transport};
use super::seen::Seen;
use super::{Answer, Become, ConnectionError, Frame, Shell};
use crate::sh;

/// A random word of 95 bits that nothing on the target can guess. Short, because shells read their lines byte by byte, and plain
/// for every shell.
pub(crate) fn nonce() -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut rest = rand::random::<u128>();
    let mut word = String::with_capacity(16);
    for _ in 0..16 {
        word.push(char::from(DIGITS[(rest % 62) as usize]));
        rest /= 62;
    }
    word
}

/// How long a shell may take to start. Login files may ask slow directory services.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to open the shell of one user, again and again.
#[derive(Clone)]
pub(crate) struct Opener {
    pub transport: Arc<dyn Transport>,
    pub become_user: Option<Become>,
}

/// A shell that is ready for frames.
struct Live {
    process: Process,
    /// What every line for the shell starts with.
    key: String,
    /// Its process id on the target.
    pid: u32,
    /// What [`encode::plumbing`] prints when the shell is gone.
    epitaph: String,
}

/// The shell, or the news that the user is the login user.
pub(crate) enum Opened {
    Shell(ShellHandle),
    Same,
}

impl Opener {
    /// Opens the shell of a user.
    pub(crate) async fn open(self) -> Result<Opened, ConnectionError> {
        let live = match self.enter().await? {
            Some(live) => live,
            None => return Ok(Opened::Same),
        };
        let (requests, inbox) = mpsc::unbounded_channel();
        tokio::spawn(driver::run(self, live, inbox));
        Ok(Opened::Shell(ShellHandle { requests }))
    }

    async fn enter(&self) -> Result<Option<Live>, ConnectionError> {
        let entered = escalate::enter(&*self.transport, self.become_user.as_ref(), Purpose::Shell).await?;
        let Entered::Ready(mut process) = entered else { return Ok(None) };
        let (key, hello, epitaph) = (nonce(), nonce(), nonce());
        let mut text = encode::plumbing(self.transport.shell(), &epitaph);
        text.push_str(&format!("{key}\n{key}{}echo {hello}-$$-\n", self.environment()));
        // Whether it has gone already shows in what comes from it, which also says why.
        let _ = process.input.send(text.into()).await;
        match tokio::time::timeout(PATIENCE, self.greeting(&mut process, &hello)).await {
            Ok(pid) => Ok(Some(Live { process, key, pid: pid?, epitaph })),
            Err(_) => Err(self
                .silent(&format!("it said nothing within {} s", PATIENCE.as_secs()))
                .hint("look for something in the login shell's files (~/.bashrc, ~/.profile) that waits")),
        }
    }

    /// Waits for the shell's first words; its process id.
    async fn greeting(&self, process: &mut Process, hello: &str) -> Result<u32, ConnectionError> {
        let silent = || self.silent("the connection was lost while the shell started");
        let mut seen = Seen::default();
        loop {
            if let Some(code) = seen.take(process.output.recv().await.ok_or_else(silent)?) {
                seen.drain(&mut process.output).await;
                let said = seen.said(hello);
                let said = if said.is_empty() { format!("status {code}") } else { said };
                let shell = self.transport.shell();
                return Err(self.silent(&format!("`{shell}` ended at once ({said})")).hint(
                    "the login shell must be able to run commands (not `nologin`), and `ansible_shell_executable` must exist",
                ));
            }
            let pid = seen.stdout.split_once(hello).and_then(|(_, rest)| rest.split('-').nth(1)?.parse().ok());
            if let Some(pid) = pid {
                return Ok(pid);
            }
        }
    }

    /// What a login would have set.
    fn environment(&self) -> String {
        let mut text = String::new();
        match &self.become_user {
            // `su` does not set all of these, `sudo -E` keeps those of the login user.
            Some(wanted) if !wanted.user.starts_with('#') => {
                let user = sh::quote(&wanted.user);
                text.push_str(&format!("USER={user};LOGNAME={user};"));
                if user == wanted.user {
                    text.push_str(&format!("HOME=~{user};"));
                }
            }
            _ => text.push_str(": \"${USER:=$(id -un)}\" \"${LOGNAME:=$USER}\" \"${HOME:=/}\";"),
        }
        text.push_str("export USER LOGNAME HOME PATH;");
        if self.become_user.is_some() {
            // As with Ansible the login user's directory stays, unless it is closed to this one.
            text.push_str("[ -r . ]&&[ -x . ]||cd \"$HOME\" 2>/dev/null||cd /;");
        }
        text.push_str(
            "for __mms_l in /usr/local/sbin /usr/sbin /sbin;do case :$PATH: in *:$__mms_l:*);;*)PATH=$PATH:$__mms_l;;esac;done;",
        );
        text.push_str(encode::FUNCTIONS);
        text.push_str("__mms_n=$(printf '\\nx');__mms_n=${__mms_n%x};");
        text
    }

    fn silent(&self, what: &str) -> ConnectionError {
        ConnectionError::lost(format!("cannot start a shell on {}: {what}", self.transport.place()))
    }
}

/// What a [`ShellHandle`] asks of its [`driver`].
enum Request {
    Run(Frame, oneshot::Sender<Result<Answer, ConnectionError>>),
    /// Kill what runs and end; nothing can be submitted afterwards.
    Close(oneshot::Sender<()>),
    /// Forget the process; the next frame opens another.
    Reset(oneshot::Sender<()>),
}

/// The user's end of a shell.
#[derive(Clone)]
pub(crate) struct ShellHandle {
    requests: mpsc::UnboundedSender<Request>,
}

impl ShellHandle {
    /// Kills what runs and ends.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    /// Forgets the process; the next frame opens another.
    pub(crate) async fn reset(&self) {
        let (done, forgotten) = oneshot::channel();
        if self.requests.send(Request::Reset(done)).is_ok() {
            let _ = forgotten.await;
        }
    }
}

impl Shell for ShellHandle {
    fn submit(&self, frame: Frame) -> BoxFuture<'static, Result<Answer, ConnectionError>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(Request::Run(frame, reply));
        Box::pin(async move {
            let closed = || ConnectionError::lost("the connection was closed");
            sent.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        })
    }
}

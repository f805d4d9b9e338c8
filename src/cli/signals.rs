//! Being told to end: Ctrl-C, SIGTERM and SIGHUP.
//!
//! A thread of its own listens, so that a prompt or an editor that blocks everything else cannot keep mms from ending. Work that
//! has something to put in order on the hosts asks to be told ([`until_stopped`]); anything else is ended at once. A second signal
//! ends at once in every case. What must not outlive mms, a vault in clear, is registered ([`guard`]) and removed on every way.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal as Unix, kill_process, test_kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::{Error, ErrorKind};
use crate::sync::lock;

/// How long an editor may take to end when it is told to.
const EDITOR_PATIENCE: Duration = Duration::from_secs(2);

/// What mms was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM: `kill`, a shutdown, a CI job that is cancelled.
    Terminate,
    /// SIGHUP: the terminal is gone.
    HangUp,
}

impl Signal {
    fn kind(self) -> ErrorKind {
        match self {
            Self::Interrupt => ErrorKind::Interrupted,
            Self::Terminate => ErrorKind::Terminated,
            Self::HangUp => ErrorKind::HungUp,
        }
    }

    /// The error that a command ends with.
    pub fn error(self) -> Error {
        Error::new(
            self.kind(),
            match self {
                Self::Interrupt => "interrupted",
                Self::Terminate => "terminated",
                Self::HangUp => "the terminal was closed",
            },
        )
    }
}

/// What is to be done about a signal.
struct State {
    /// How many wait to be told.
    waiting: usize,
    /// The first signal that was told to somebody.
    told: Option<Signal>,
    /// Whether mms is being ended right now.
    ending: bool,
    /// Directories that must not stay.
    private: Vec<PathBuf>,
    /// The editor at the terminal: Ctrl-C is its own while it runs.
    editor: Option<Pid>,
    tell: Option<watch::Sender<Option<Signal>>>,
}

static STATE: Mutex<State> =
    Mutex::new(State { waiting: 0, told: None, ending: false, private: Vec::new(), editor: None, tell: None });

fn state() -> std::sync::MutexGuard<'static, State> {
    lock(&STATE)
}

/// Starts to listen.
pub fn watch() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Under `nohup` a terminal that goes away is nobody's business.
    let mut hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
    state().tell = Some(watch::channel(None).0);
    drop(_entered);
    let listen = async move {
        loop {
            let hung_up = async {
                match &mut hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            };
            let came = tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
                _ = hung_up => Signal::HangUp,
            };
            take(came);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(())
}

/// Whether SIGHUP was set to be ignored when mms was started.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// Tells who wants to be told, or ends mms.
fn take(came: Signal) {
    let mut now = state();
    if came == Signal::Interrupt && now.editor.is_some() {
        return;
    }
    if now.waiting > 0 && now.told.is_none() {
        now.told = Some(came);
        if let Some(tell) = &now.tell {
            tell.send_replace(Some(came));
        }
        return;
    }
    now.ending = true;
    let editor = now.editor.take();
    let private = std::mem::take(&mut now.private);
    drop(now);
    if let Some(editor) = editor {
        end_editor(editor);
    }
    for dir in private {
        // There is nobody left to tell when it cannot be removed.
        let _ = std::fs::remove_dir_all(dir);
    }
    end(came.error().exit() as i32);
}

/// Ends an editor, so that it does not go on at a terminal that is no longer its own, with a vault in its memory.
fn end_editor(shell: Pid) {
    let mut all = children(shell);
    all.push(shell);
    let by = Instant::now() + EDITOR_PATIENCE;
    let each = |signal| {
        for pid in &all {
            let _ = kill_process(*pid, signal);
        }
    };
    each(Unix::TERM);
    while all.iter().any(|pid| test_kill_process(*pid).is_ok()) {
        if Instant::now() > by {
            return each(Unix::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes that a process has started, where the system tells.
fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[expect(clippy::exit, reason = "the main thread may be blocked by a prompt or an editor")]
fn end(code: i32) {
    std::process::exit(code)
}

/// Counts who waits to be told.
struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        state().waiting -= 1;
    }
}

/// Works until it is done or mms is told to end. What is put in order after that may take its time: until a second signal.
pub async fn until_stopped<T>(work: impl Future<Output = T>) -> Result<T, Signal> {
    let told = {
        let mut now = state();
        now.waiting += 1;
        now.tell.as_ref().map(watch::Sender::subscribe)
    };
    let _waiting = Waiting;
    let Some(mut told) = told else { return Ok(work.await) };
    tokio::select! {
        done = work => Ok(done),
        signal = async {
            match told.wait_for(Option::is_some).await {
                Ok(signal) => signal.unwrap_or(Signal::Interrupt),
                Err(_) => std::future::pending().await,
            }
        } => Err(signal),
    }
}

/// A directory that is removed when this is dropped, and on a signal.
pub struct Private(tempfile::TempDir);

/// Registers a directory that must not outlive mms.
pub fn guard(dir: tempfile::TempDir) -> Private {
    state().private.push(dir.path().to_path_buf());
    Private(dir)
}

impl Private {
    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // First, so that a signal in between still finds it.
        let _ = std::fs::remove_dir_all(self.0.path());
        state().private.retain(|dir| dir != self.0.path());
    }
}

/// The terminal belongs to this process while the guard lives: Ctrl-C is for it, not for mms.
pub struct Editing;

/// Lends the terminal to an editor.
pub fn lend(editor: &std::process::Child) -> Editing {
    state().editor = Pid::from_raw(i32::try_from(editor.id()).unwrap_or_default());
    Editing
}

impl Drop for Editing {
    fn drop(&mut self) {
        let mut now = state();
        now.editor = None;
        // An editor that was ended has failed for no reason of its own: there is nothing to tell about it.
        while now.ending {
            drop(now);
            std::thread::park();
            now = state();
        }
    }
}

//! The task that owns a shell: sends frames, takes answers, kills what runs too long, opens the shell anew.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::decode::{Decoder, Epitaph, Expected, Side};
use super::encode::{self, Marks};
use super::kill::{self, Scope};
use super::{Live, Opener, Request};
use crate::connection::process::{Chunk, Process};
use crate::connection::{Answer, ConnectionError, ConnectionErrorKind, Frame};

/// How long a killed script may take to be reported as ended, beyond the time killing it takes.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// How long output may still come after the epitaph, which does not take the same way.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long [`Request::Close`] may take altogether.
const CLOSE: Duration = Duration::from_secs(8);

type Reply = oneshot::Sender<Result<Answer, ConnectionError>>;

struct Waiting {
    frame: Frame,
    reply: Reply,
}

struct Sent {
    frame: Frame,
    reply: Reply,
}

/// Why a process is no longer served.
enum End {
    /// There is nothing more to do.
    Finished,
    /// The shell died or was given up; another may be opened.
    Gone,
}

/// Serves a shell until nobody holds its handle any longer.
pub(super) async fn run(opener: Opener, live: Live, mut inbox: mpsc::UnboundedReceiver<Request>) {
    let mut live = Some(live);
    let mut waiting = VecDeque::new();
    loop {
        let Some(current) = live.take() else {
            if waiting.is_empty() {
                match inbox.recv().await {
                    Some(Request::Run(frame, reply)) => waiting.push_back(Waiting { frame, reply }),
                    Some(Request::Reset(done)) => {
                        let _ = done.send(());
                        continue;
                    }
                    Some(Request::Close(done)) => {
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                }
            }
            match opener.enter().await {
                Ok(Some(fresh)) => live = Some(fresh),
                Ok(None) => fail(waiting.drain(..), &ConnectionError::lost("the user has changed meanwhile")),
                Err(error) => fail(waiting.drain(..), &error),
            }
            continue;
        };
        match Serving::new(&opener, current, &mut waiting).serve(&mut inbox).await {
            End::Finished => return,
            End::Gone => {}
        }
    }
}

fn fail(waiting: impl Iterator<Item = Waiting>, error: &ConnectionError) {
    for Waiting { reply, .. } in waiting {
        // The asker may have gone.
        let _ = reply.send(Err(error.clone()));
    }
}

/// One shell process being served.
struct Serving<'a> {
    opener: &'a Opener,
    key: String,
    pid: u32,
    epitaph: Epitaph,
    process: Process,
    /// Frames that were not sent yet.
    waiting: &'a mut VecDeque<Waiting>,
    /// Frames that were sent, in step with [`Decoder::expected`].
    sent: VecDeque<Sent>,
    decoder: Decoder,
    /// Bytes that the transport has not taken yet.
    outbox: VecDeque<Bytes>,
    /// When the running frame is to be killed.
    deadline: Option<Instant>,
    killing: Killing,
}

/// What is being done about the running frame.
enum Killing {
    No,
    Under(BoxFuture<'static, Result<(), ConnectionError>>),
    /// The killer is done; the frame must be reported as ended by then.
    Until(Instant),
}

impl<'a> Serving<'a> {
    fn new(opener: &'a Opener, live: Live, waiting: &'a mut VecDeque<Waiting>) -> Self {
        let Live { process, key, pid, epitaph } = live;
        Self {
            opener,
            key,
            pid,
            epitaph: Epitaph::new(epitaph),
            process,
            waiting,
            sent: VecDeque::new(),
            decoder: Decoder::new(),
            outbox: VecDeque::new(),
            deadline: None,
            killing: Killing::No,
        }
    }

    async fn serve(mut self, inbox: &mut mpsc::UnboundedReceiver<Request>) -> End {
        let mut open = true;
        let mut dying: Option<(String, Instant)> = None;
        let input = self.process.input.clone();
        loop {
            if dying.is_none() {
                self.send_what_may_be_sent();
            }
            if !open && self.sent.is_empty() && self.waiting.is_empty() {
                return End::Finished;
            }
            let wake = match (&dying, &self.killing) {
                (Some((_, by)), _) | (None, Killing::Until(by)) => Some(*by),
                _ => self.deadline,
            };
            tokio::select! {
                chunk = self.process.output.recv() => match chunk {
                    Some(Chunk::Stdout(bytes)) => {
                        let (bytes, died) = self.epitaph.strip(&bytes);
                        self.decoder.push(Side::Stdout, &bytes);
                        self.answer();
                        if let Some(status) = died {
                            dying.get_or_insert((status, Instant::now() + LAST_WORDS));
                        }
                    }
                    Some(Chunk::Stderr(bytes)) => {
                        self.decoder.push(Side::Stderr, &bytes);
                        self.answer();
                    }
                    Some(Chunk::Exit(_) | Chunk::End) => {}
                    None => return match dying {
                        Some((status, _)) => self.bury(&status),
                        None => self.give_up("the connection was lost while it ran"),
                    },
                },
                permit = input.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(bytes) = self.outbox.pop_front() {
                            permit.send(bytes);
                        }
                    }
                    // The end of the output tells why.
                    Err(_) => self.outbox.clear(),
                },
                request = inbox.recv(), if open => match request {
                    Some(Request::Run(frame, reply)) => self.waiting.push_back(Waiting { frame, reply }),
                    Some(Request::Reset(done)) => {
                        let end = self.give_up("the connection was reset while it ran");
                        let _ = done.send(());
                        return end;
                    }
                    Some(Request::Close(done)) => {
                        self.close().await;
                        let _ = done.send(());
                        return End::Finished;
                    }
                    None => open = false,
                },
                () = sleep_until(wake), if wake.is_some() => {
                    if let Some((status, _)) = dying {
                        return self.bury(&status);
                    }
                    if matches!(self.killing, Killing::Until(_)) {
                        return self.give_up("it ran too long and could not be killed");
                    }
                    self.deadline = None;
                    self.killing = Killing::Under(kill(self.opener.clone(), self.pid, Scope::Frame));
                }
                result = killed(&mut self.killing), if matches!(self.killing, Killing::Under(_)) => {
                    // Whether it worked shows in the shell's answer.
                    let _ = result;
                    self.killing = Killing::Until(Instant::now() + AFTER_KILL);
                    self.answer();
                }
            }
        }
    }

    /// Sends frames at once, but none behind one with a time limit: it might be the one that is killed.
    fn send_what_may_be_sent(&mut self) {
        while self.sent.back().is_none_or(|last| last.frame.timeout.is_none()) {
            let Some(Waiting { frame, reply }) = self.waiting.pop_front() else { return };
            let marks = Marks::new();
            self.outbox.push_back(encode::frame(&frame, &marks, &self.key));
            self.decoder.expected.push_back(Expected::new(marks, frame.live.clone()));
            self.sent.push_back(Sent { frame, reply });
        }
    }

    /// Hands out the answers that are complete and watches the time of the frame that runs now.
    fn answer(&mut self) {
        // While a killer is under way, the answer of the frame it is after waits for it: see `send_what_may_be_sent`.
        if matches!(self.killing, Killing::Under(_)) {
            return;
        }
        while let Some(partial) = self.decoder.pop() {
            let Some(Sent { reply, frame }) = self.sent.pop_front() else { return };
            let result = match (&self.killing, frame.timeout) {
                (Killing::Until(_), Some(timeout)) => Err(timed_out(self.opener.transport.place(), timeout)),
                _ => Ok(Answer { rc: partial.rc.unwrap_or(1), stdout: partial.stdout, stderr: partial.stderr }),
            };
            self.killing = Killing::No;
            self.deadline = None;
            let _ = reply.send(result);
        }
        if self.deadline.is_none() && matches!(self.killing, Killing::No) && self.decoder.front_begun() {
            self.deadline =
                self.sent.front().and_then(|front| front.frame.timeout).map(|timeout| Instant::now() + timeout);
        }
    }

    /// The shell died. The frame that ran is lost; those behind it never began and are sent to the next shell.
    fn bury(mut self, status: &str) -> End {
        let error = self.lost(&format!("its shell ended with status {status}"));
        self.fail_front(&error);
        for Sent { frame, reply } in self.sent.drain(..).rev() {
            self.waiting.push_front(Waiting { frame, reply });
        }
        End::Gone
    }

    /// The shell may still be alive, or was: whatever was sent may or may not have run.
    fn give_up(mut self, why: &str) -> End {
        let error = self.lost(why);
        self.fail_front(&error);
        self.fail_sent(&error);
        End::Gone
    }

    fn fail_front(&mut self, error: &ConnectionError) {
        let Some(Sent { frame, reply }) = self.sent.pop_front() else { return };
        let error = match frame.timeout {
            Some(timeout) if !matches!(self.killing, Killing::No) => timed_out(self.opener.transport.place(), timeout),
            _ => error.clone(),
        };
        let _ = reply.send(Err(error));
    }

    fn fail_sent(&mut self, error: &ConnectionError) {
        for Sent { reply, .. } in self.sent.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
    }

    async fn close(&mut self) {
        let error = self.lost("it was stopped");
        if !self.sent.is_empty() {
            // Whether it worked or not: this is the end.
            let _ = tokio::time::timeout(CLOSE, kill(self.opener.clone(), self.pid, Scope::Shell)).await;
        }
        self.fail_sent(&error);
        fail(self.waiting.drain(..), &error);
    }

    fn lost(&self, why: &str) -> ConnectionError {
        ConnectionError::lost(format!("a script on {} has no result: {why}", self.opener.transport.place()))
    }
}

fn timed_out(place: &str, timeout: Duration) -> ConnectionError {
    ConnectionError::new(
        ConnectionErrorKind::TimedOut,
        format!("a script on {place} ran longer than {} s and was killed", timeout.as_secs_f64()),
    )
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

async fn killed(killing: &mut Killing) -> Result<(), ConnectionError> {
    match killing {
        Killing::Under(task) => task.await,
        _ => std::future::pending().await,
    }
}

/// Ends what runs in a shell, from a shell of its own.
fn kill(opener: Opener, pid: u32, scope: Scope) -> BoxFuture<'static, Result<(), ConnectionError>> {
    Box::pin(async move {
        let Some(mut live) = opener.enter().await? else { return Ok(()) };
        let marks = Marks::new();
        let frame = Frame::new(kill::script(pid, scope));
        let mut decoder = Decoder::new();
        let sent = live.process.input.send(encode::frame(&frame, &marks, &live.key)).await;
        decoder.expected.push_back(Expected::new(marks, None));
        while sent.is_ok() && decoder.pop().is_none() {
            match live.process.output.recv().await {
                Some(Chunk::Stdout(bytes)) => decoder.push(Side::Stdout, &bytes),
                Some(Chunk::Stderr(bytes)) => decoder.push(Side::Stderr, &bytes),
                Some(Chunk::Exit(_) | Chunk::End) | None => break,
            }
        }
        Ok(())
    })
}

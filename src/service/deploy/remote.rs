//! The host as a deploy uses it: as the task's user (root, usually) and as the user of the containers.

use crate::connection::{Answer, Frame};
use crate::modules::{Failure, Host};
use crate::sh;

/// A host and the user whose containers are meant.
pub(super) struct Remote<'a> {
    pub host: &'a dyn Host,
    pub user: &'a str,
    /// The task runs as the containers' user already.
    direct: bool,
    /// The task runs as root.
    pub root: bool,
}

impl<'a> Remote<'a> {
    pub(super) fn new(host: &'a dyn Host, task_user: Option<&str>, user: &'a str) -> Self {
        Self { host, user, direct: task_user == Some(user), root: task_user == Some("root") }
    }

    /// Reads as the containers' user.
    pub(super) async fn probe(&self, script: String) -> Result<Answer, Failure> {
        let frame = Frame::new(script);
        if self.direct { self.host.probe(frame).await } else { self.host.probe_as(self.user, frame).await }
    }

    /// Changes as the containers' user.
    pub(super) async fn run(&self, frame: Frame) -> Result<Answer, Failure> {
        if self.direct { self.host.run(frame).await } else { self.host.run_as(self.user, frame).await }
    }

    /// Changes as the containers' user; a status other than 0 is a failure that says what was being done.
    pub(super) async fn must(&self, what: &str, frame: Frame) -> Result<Answer, Failure> {
        let answer = self.run(frame).await?;
        checked(what, answer)
    }

    /// Changes as the task's user.
    pub(super) async fn must_as_task(&self, what: &str, script: String) -> Result<Answer, Failure> {
        let answer = self.host.run(Frame::new(script)).await?;
        checked(what, answer)
    }

    /// Whether the user exists; asked as the task's user.
    pub(super) async fn user_exists(&self) -> Result<bool, Failure> {
        let script = format!("id -u {} >/dev/null 2>&1", sh::quote(self.user));
        self.host.probe(Frame::new(script)).await.map(|answer| answer.ok())
    }
}

/// The answer if the script succeeded.
pub(super) fn checked(what: &str, answer: Answer) -> Result<Answer, Failure> {
    if answer.ok() {
        return Ok(answer);
    }
    let stderr = answer.stderr_text();
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let why = if last.is_empty() { format!("status {}", answer.rc) } else { last.trim().to_owned() };
    Err(Failure::of_answer(format!("cannot {what}: {why}"), &answer))
}

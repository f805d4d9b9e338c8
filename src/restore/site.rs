//! The host that a restore works on: as the containers' user, with the streams of large content, and as the health gate of a
//! deploy sees it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, mpsc};

use super::Talk;
use crate::connection::{Answer, Become, Connection, ConnectionError, Frame};
use crate::engine::{Engine, Host as Machine, Reached};
use crate::error::{Error, ErrorKind, Result};
use crate::modules::{Diff, Failure, Gate, Host};

/// A host, reached.
pub struct Site<'a> {
    /// Its name in the inventory.
    pub name: String,
    /// The user that runs the containers.
    pub user: String,
    reached: Reached,
    /// A connection of its own for what is received: see [`Reached::connect_again`].
    second: OnceCell<Arc<dyn Connection>>,
    /// How to become root, where that is allowed: only for reading the system's journal.
    as_root: Option<Become>,
    talk: &'a dyn Talk,
    /// Whose lock of the host is taken before anything is changed.
    locks: Option<(&'a Engine, &'a Arc<Machine>)>,
}

impl<'a> Site<'a> {
    /// A host as this user.
    pub fn new(name: &str, user: &str, reached: Reached, as_root: Option<Become>, talk: &'a dyn Talk) -> Self {
        Self {
            name: name.to_owned(),
            user: user.to_owned(),
            reached,
            second: OnceCell::new(),
            as_root,
            talk,
            locks: None,
        }
    }

    /// The same, and no run works on the host at the same time.
    pub fn locking(self, engine: &'a Engine, host: &'a Arc<Machine>) -> Self {
        Self { locks: Some((engine, host)), ..self }
    }

    /// Takes the lock that runs take, once it is free.
    pub async fn hold(&self) -> Result<()> {
        match self.locks {
            Some((engine, host)) => engine.lock(host).await,
            None => Ok(()),
        }
    }

    /// Whether the system's journal can be read.
    pub fn has_root(&self) -> bool {
        self.as_root.is_some()
    }

    /// Runs a script as the containers' user.
    pub async fn ask(&self, script: String) -> Result<Answer> {
        self.frame(&self.reached.user, Frame::new(script)).await.map_err(|error| self.of_connection(error))
    }

    /// The same; a status other than 0 is an error that says what was being done.
    pub async fn must(&self, what: &str, script: String) -> Result<Answer> {
        let answer = self.ask(script).await?;
        self.checked(what, answer)
    }

    /// Makes the connection anew after it was lost. Everything that ran over it has lost its stdin.
    pub async fn connect_again(&self) -> Result<()> {
        self.reached.connection.reset().await.map_err(|error| self.of_connection(error))
    }

    /// The answer, if the command succeeded.
    pub fn checked(&self, what: &str, answer: Answer) -> Result<Answer> {
        if answer.ok() {
            return Ok(answer);
        }
        let stderr = answer.stderr_text();
        // What tar says last is only that it said something before.
        let telling = |line: &&str| !line.trim().is_empty() && !line.contains("Exiting with failure status");
        let last = stderr.lines().rev().find(telling).map(str::trim);
        let why = last.map_or_else(|| format!("status {}", answer.rc), str::to_owned);
        Err(Error::new(ErrorKind::Failed, format!("{}: cannot {what}: {why}", self.name)))
    }

    /// Runs a command whose stdin comes from a queue.
    pub async fn send(&self, command: &str, pieces: mpsc::Receiver<Bytes>) -> Result<Answer> {
        let answer = self.reached.connection.send_pieces(Some(&self.reached.user), command, pieces).await;
        answer.map_err(|error| self.of_connection(error))
    }

    /// Passes on what a command writes, and then that it has ended (an empty piece), or why it did not end well.
    pub async fn receive(&self, what: &str, command: &str, to: mpsc::Sender<Result<Bytes>>) {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(8);
        let passing = async {
            while let Some(piece) = pieces.recv().await {
                if !piece.is_empty() && to.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            // The command ends when nobody takes what it writes.
            drop(pieces);
        };
        let receiving = async {
            let connection = self.second.get_or_try_init(|| self.reached.connect_again()).await?;
            connection.receive_pieces(Some(&self.reached.user), command, sender).await
        };
        let (answer, ()) = futures::future::join(receiving, passing).await;
        let end = answer.map_err(|error| self.of_connection(error)).and_then(|answer| self.checked(what, answer));
        // A reader that has seen enough has gone.
        let _ = to.send(end.map(|_| Bytes::new())).await;
    }

    async fn frame(&self, user: &Become, frame: Frame) -> std::result::Result<Answer, ConnectionError> {
        self.reached.connection.shell(Some(user)).await?.submit(frame).await
    }

    fn of_connection(&self, error: ConnectionError) -> Error {
        let text = format!("{}: {}", self.name, error.message);
        error.hints.into_iter().fold(Error::new(ErrorKind::Unreachable, text), Error::hint)
    }

    /// What a failure of a deploy's steps says.
    pub fn of_failure(&self, failure: Failure) -> Error {
        let text = format!("{}: {}", self.name, failure.msg);
        failure.hints.into_iter().fold(Error::new(ErrorKind::Failed, text), Error::hint)
    }
}

/// The gate of a deploy asks through this.
impl Host for Site<'_> {
    fn probe(&self, script: Frame) -> BoxFuture<'_, std::result::Result<Answer, Failure>> {
        let user = self.as_root.as_ref().unwrap_or(&self.reached.user);
        async move { self.frame(user, script).await.map_err(|error| Failure::new(error.message)) }.boxed()
    }

    fn probe_as<'b>(&'b self, _: &'b str, script: Frame) -> BoxFuture<'b, std::result::Result<Answer, Failure>> {
        async move { self.frame(&self.reached.user, script).await.map_err(|error| Failure::new(error.message)) }.boxed()
    }

    fn change<'b>(&'b self, _: &'b [String], _: &'b [Diff]) -> BoxFuture<'b, Gate> {
        async { Gate::Go }.boxed()
    }

    fn run(&self, script: Frame) -> BoxFuture<'_, std::result::Result<Answer, Failure>> {
        self.probe(script)
    }

    fn run_as<'b>(&'b self, user: &'b str, script: Frame) -> BoxFuture<'b, std::result::Result<Answer, Failure>> {
        self.probe_as(user, script)
    }

    fn upload<'b>(&'b self, from: &'b Path, script: &'b str) -> BoxFuture<'b, std::result::Result<Answer, Failure>> {
        let sent = self.reached.connection.send_file(Some(&self.reached.user), from, script);
        async move { sent.await.map_err(|error| Failure::new(error.message)) }.boxed()
    }

    fn progress(&self, line: &str) {
        self.talk.progress(&self.name, line);
    }

    fn reconnect(&self) -> BoxFuture<'_, std::result::Result<(), Failure>> {
        async move { self.reached.connection.reset().await.map_err(|error| Failure::new(error.message)) }.boxed()
    }
}

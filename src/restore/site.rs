//! The host that a restore works on: as the containers' user, with the streams of large content, and as the health gate of a
//! deploy sees it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, mpsc};

use super::Talk;
use crate::connection::{Answer, Become, Connection, ConnectionError, Frame};
use crate::engine::{Engine, Host as Machine, Reached};
use crate::error::{Error, ErrorKind, Result};
use crate::modules::{Diff, Failure, Gate, Host};
use crate::service::deploy;
use crate::service::model::Container;
use crate::sync::lock;

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
    /// Why a step of a deploy failed, when that was the connection.
    lost: Mutex<Option<ConnectionError>>,
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
            lost: Mutex::default(),
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
        self.reached.connection.reset().await.map_err(|error| self.of_connection(error))?;
        *lock(&self.lost) = None;
        Ok(())
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

    fn note<T>(&self, outcome: std::result::Result<T, ConnectionError>) -> std::result::Result<T, Failure> {
        outcome.map_err(|error| {
            let failure = Failure::new(error.message.clone());
            if error.kind.is_unreachable() {
                *lock(&self.lost) = Some(error);
            }
            failure
        })
    }

    /// Waits until containers are well. Gives those that are not, each with why.
    pub async fn settle(&self, containers: BTreeMap<String, &Container>) -> Result<Vec<(String, String)>> {
        let settled = deploy::settle(self, self.as_root.is_some(), &self.user, containers).await;
        settled.map_err(|failure| self.of_failure(failure))
    }

    /// What a failure of a deploy's steps says: nothing of the steps, when the connection was lost meanwhile.
    fn of_failure(&self, failure: Failure) -> Error {
        if let Some(error) = lock(&self.lost).take() {
            return self.of_connection(error);
        }
        let text = format!("{}: {}", self.name, failure.msg);
        failure.hints.into_iter().fold(Error::new(ErrorKind::Failed, text), Error::hint)
    }
}

/// The gate of a deploy asks through this.
impl Host for Site<'_> {
    fn probe(&self, script: Frame) -> BoxFuture<'_, std::result::Result<Answer, Failure>> {
        let user = self.as_root.as_ref().unwrap_or(&self.reached.user);
        async move { self.note(self.frame(user, script).await) }.boxed()
    }

    fn probe_as<'b>(&'b self, _: &'b str, script: Frame) -> BoxFuture<'b, std::result::Result<Answer, Failure>> {
        async move { self.note(self.frame(&self.reached.user, script).await) }.boxed()
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
        async move { self.note(sent.await) }.boxed()
    }

    fn progress(&self, line: &str) {
        self.talk.progress(&self.name, line);
    }

    fn reconnect(&self) -> BoxFuture<'_, std::result::Result<(), Failure>> {
        async move { self.note(self.reached.connection.reset().await) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::fake::Fake;
    use crate::connection::{BecomeMethod, ConnectionErrorKind, Target};
    use crate::engine::Connector;

    struct Silent;

    impl Talk for Silent {
        fn note(&self, _: &str) {}

        fn progress(&self, _: &str, _: &str) {}

        fn confirm(&self, _: &str) -> Option<bool> {
            None
        }
    }

    impl Connector for Silent {
        fn connect<'a>(
            &'a self,
            _: &'a Target,
        ) -> BoxFuture<'a, std::result::Result<Arc<dyn Connection>, ConnectionError>> {
            async { Err(ConnectionError::new(ConnectionErrorKind::Unreachable, "no second one")) }.boxed()
        }
    }

    /// What is said of a step of a deploy whose question ended so.
    async fn said_of(kind: ConnectionErrorKind) -> ErrorKind {
        let fake = Fake::new(move |_| Err(ConnectionError::new(kind, "it ended")));
        let user = Become {
            method: BecomeMethod::Sudo,
            user: "mms".to_owned(),
            password: None,
            executable: None,
            flags: vec![],
        };
        let (connection, connector) = (Arc::new(fake), Arc::new(Silent));
        let reached = Reached { connection, user, connector, target: Target::default() };
        let site = Site::new("media", "mms", reached, None, &Silent);
        let failure = site.probe(Frame::new("podman ps")).await.unwrap_err();
        site.of_failure(failure).kind()
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_while_a_service_becomes_well_is_no_failure_of_the_service() {
        assert_eq!(said_of(ConnectionErrorKind::Lost).await, ErrorKind::Unreachable);
        assert_eq!(said_of(ConnectionErrorKind::TimedOut).await, ErrorKind::Failed);
    }
}

//! A scripted [`Connection`] for tests of what stands above: no process, no network, every frame answered by a function.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Answer, Become, Connection, ConnectionError, Frame, Shell};
use crate::sync::lock;

/// What a [`Fake`] was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The become user; `None` is the login user.
    pub user: Option<String>,
    /// The script or command.
    pub script: String,
    /// Its stdin; for a transfer to the host the file's content.
    pub stdin: Option<Vec<u8>>,
}

/// Answers a request.
pub type Responder = dyn Fn(&Asked) -> Result<Answer, ConnectionError> + Send + Sync;

/// A connection whose answers come from a function. Clones share the record of what was asked.
#[derive(Clone)]
pub struct Fake {
    respond: Arc<Responder>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// A connection that answers with this function.
    pub fn new(respond: impl Fn(&Asked) -> Result<Answer, ConnectionError> + Send + Sync + 'static) -> Self {
        Self { respond: Arc::new(respond), asked: Arc::default() }
    }

    /// Everything that was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }

    fn ask(&self, asked: Asked) -> Result<Answer, ConnectionError> {
        let answer = (self.respond)(&asked);
        lock(&self.asked).push(asked);
        answer
    }
}

struct FakeShell {
    fake: Fake,
    user: Option<String>,
}

impl Shell for FakeShell {
    fn submit(&self, frame: Frame) -> BoxFuture<'static, Result<Answer, ConnectionError>> {
        let answer = self.fake.ask(Asked { user: self.user.clone(), script: frame.script, stdin: frame.stdin });
        Box::pin(std::future::ready(answer))
    }
}

impl Connection for Fake {
    fn shell<'a>(&'a self, become_user: Option<&'a Become>) -> BoxFuture<'a, Result<Arc<dyn Shell>, ConnectionError>> {
        let user = become_user.map(|wanted| wanted.user.clone());
        let shell: Arc<dyn Shell> = Arc::new(FakeShell { fake: self.clone(), user });
        Box::pin(std::future::ready(Ok(shell)))
    }

    fn send_file<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        from: &'a Path,
        command: &'a str,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(async move {
            let stdin = tokio::fs::read(from).await.map_err(|error| file_error("read", from, &error))?;
            let user = become_user.map(|wanted| wanted.user.clone());
            self.ask(Asked { user, script: command.to_owned(), stdin: Some(stdin) })
        })
    }

    fn receive_file<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(async move {
            let user = become_user.map(|wanted| wanted.user.clone());
            let mut answer = self.ask(Asked { user, script: command.to_owned(), stdin: None })?;
            let content = std::mem::take(&mut answer.stdout);
            tokio::fs::write(to, content).await.map_err(|error| file_error("write", to, &error))?;
            Ok(answer)
        })
    }

    fn send_pieces<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        mut pieces: mpsc::Receiver<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(async move {
            let mut stdin = vec![];
            while let Some(piece) = pieces.recv().await {
                stdin.extend_from_slice(&piece);
            }
            let user = become_user.map(|wanted| wanted.user.clone());
            self.ask(Asked { user, script: command.to_owned(), stdin: Some(stdin) })
        })
    }

    fn receive_pieces<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        pieces: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(async move {
            let user = become_user.map(|wanted| wanted.user.clone());
            let mut answer = self.ask(Asked { user, script: command.to_owned(), stdin: None })?;
            // A receiver that is gone wants no more.
            let _ = pieces.send(std::mem::take(&mut answer.stdout).into()).await;
            Ok(answer)
        })
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn file_error(verb: &str, path: &Path, error: &std::io::Error) -> ConnectionError {
    ConnectionError::new(super::ConnectionErrorKind::LocalFile, format!("cannot {verb} `{}`: {error}", path.display()))
}

//! A [`Connection`] over any [`Transport`]: opens one shell for each way to become a user, closes and resets all of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use tokio::sync::{OnceCell, mpsc};

use super::process::Transport;
use super::shell::{Opened, Opener, ShellHandle};
use super::{Answer, Become, Connection, ConnectionError, Shell, transfer};
use crate::secret::Redactor;
use crate::sync::lock;

/// One shell; several tasks may wait for it to open.
type Slot = Arc<OnceCell<ShellHandle>>;

pub(crate) struct Session {
    transport: Arc<dyn Transport>,
    redactor: Redactor,
    /// By everything that says whom to become and how; `None` is the login user. A shell that was opened with one password is not
    /// given to whoever comes with another: that one has to be accepted by itself.
    shells: Mutex<HashMap<Option<Become>, Slot>>,
}

impl Session {
    pub(crate) fn new(transport: Arc<dyn Transport>, redactor: Redactor) -> Self {
        Self { transport, redactor, shells: Mutex::default() }
    }

    fn slot(&self, wanted: Option<&Become>) -> Slot {
        let mut shells = lock(&self.shells);
        Arc::clone(shells.entry(wanted.cloned()).or_default())
    }

    /// The user to become, unless it is the login user by name.
    fn other<'a>(&self, become_user: Option<&'a Become>) -> Option<&'a Become> {
        let wanted = become_user?;
        if let Some(password) = &wanted.password {
            self.redactor.add(password);
        }
        (self.transport.login_user() != Some(wanted.user.as_str())).then_some(wanted)
    }

    async fn login_shell(&self) -> Result<ShellHandle, ConnectionError> {
        let open = || async {
            let opener = Opener { transport: Arc::clone(&self.transport), become_user: None };
            match opener.open().await? {
                Opened::Shell(shell) => Ok(shell),
                Opened::Same => Err(ConnectionError::lost("the login shell did not open")),
            }
        };
        self.slot(None).get_or_try_init(open).await.cloned()
    }

    async fn shell_of(&self, wanted: &Become) -> Result<ShellHandle, ConnectionError> {
        let open = || async {
            let opener = Opener { transport: Arc::clone(&self.transport), become_user: Some(wanted.clone()) };
            match opener.open().await? {
                Opened::Shell(shell) => Ok(shell),
                Opened::Same => self.login_shell().await,
            }
        };
        self.slot(Some(wanted)).get_or_try_init(open).await.cloned()
    }

    fn open_shells(&self) -> Vec<ShellHandle> {
        let shells = lock(&self.shells);
        shells.values().filter_map(|slot| slot.get().cloned()).collect()
    }
}

impl Connection for Session {
    fn shell<'a>(&'a self, become_user: Option<&'a Become>) -> BoxFuture<'a, Result<Arc<dyn Shell>, ConnectionError>> {
        Box::pin(async move {
            let shell = match self.other(become_user) {
                None => self.login_shell().await?,
                Some(wanted) => self.shell_of(wanted).await?,
            };
            Ok(Arc::new(shell) as Arc<dyn Shell>)
        })
    }

    fn send_file<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        from: &'a Path,
        command: &'a str,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(transfer::send(&*self.transport, self.other(become_user), from, command))
    }

    fn receive_file<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(transfer::receive(&*self.transport, self.other(become_user), command, to))
    }

    fn send_pieces<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        pieces: mpsc::Receiver<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(transfer::send_pieces(&*self.transport, self.other(become_user), command, pieces))
    }

    fn receive_pieces<'a>(
        &'a self,
        become_user: Option<&'a Become>,
        command: &'a str,
        pieces: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        Box::pin(transfer::receive_pieces(&*self.transport, self.other(become_user), command, pieces))
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>> {
        Box::pin(async {
            join_all(self.open_shells().iter().map(ShellHandle::reset)).await;
            self.transport.reset().await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            join_all(self.open_shells().iter().map(ShellHandle::close)).await;
            self.transport.close().await;
        })
    }
}

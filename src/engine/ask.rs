//! Asking hosts something outside a playbook: for verbs that look (`status`, `logs`), and those that work on a host themselves
//! (`restore`, `backup`).

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::drive::{Site, Trouble};
use super::target::Around;
use super::{Connector, Engine, Host};
use crate::connection::{Answer, Become, BecomeMethod, Connection, ConnectionError, Frame, Target};
use crate::error::{Error, ErrorKind};
use crate::modules::Failure;
use crate::playbook::{Keywords, Parent, ParentKind};
use crate::value::Value;
use crate::vars::{PlayVars, TaskScope};
use crate::yaml::Node;

/// A read-only question to a host.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// POSIX shell text.
    pub script: String,
    /// The user to ask as; the login user (or `--become`'s) when not set.
    pub user: Option<String>,
}

/// A host that was reached, for verbs that work on it themselves.
#[derive(Clone)]
pub struct Reached {
    /// The connection, which the engine closes.
    pub connection: Arc<dyn Connection>,
    /// How to become the user that was asked for.
    pub user: Become,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) target: Target,
}

impl Reached {
    /// Another connection to the same host, which ends when it is dropped. A stream that is held back holds back every other one of its
    /// connection; two that depend on each other need two connections.
    pub async fn connect_again(&self) -> Result<Arc<dyn Connection>, ConnectionError> {
        self.connector.connect(&self.target).await
    }
}

impl Engine {
    /// The hosts that a pattern selects.
    pub fn select(&self, pattern: &str) -> crate::error::Result<Vec<Arc<Host>>> {
        Ok(self.select_names(pattern)?.iter().map(|name| self.host(name)).collect())
    }

    /// The names of the hosts that a pattern selects, those that the run has added included.
    pub(super) fn select_names(&self, pattern: &str) -> crate::error::Result<Vec<String>> {
        self.parts.hosts.select(pattern, &self.parts.world.growth())
    }

    /// A variable of a host, with no play around.
    pub fn variable_of(&self, host: &Host, name: &str) -> crate::error::Result<Option<Value>> {
        let scope = self.bare_scope(host);
        self.parts.templar.variable(name, &Self::dynamic(&scope))
    }

    fn bare_scope(&self, host: &Host) -> TaskScope {
        let play = Arc::new(PlayVars::default());
        TaskScope::new(&self.parts.world, &play, &host.vars, None, &Arc::default())
    }

    /// A YAML file of the project (`services/radarr.yml`), as it is written and with its strings templated for a host. Facts are
    /// gathered when it needs them.
    pub async fn file_of(&self, host: &Arc<Host>, path: &str) -> Result<(Node, Value), Error> {
        let files = self.parts.loader.files();
        let node = files.yaml(&files.root().join(path))?;
        let scope = self.bare_scope(host);
        let dynamic = Self::dynamic(&scope);
        let value = self.evaluate(&scope, || self.parts.templar.node(&node, &dynamic)).await;
        Ok((node.clone(), value.map_err(|trouble| of_trouble(host, trouble))?))
    }

    /// The connection to a host, and how to become a user there.
    pub async fn reach(&self, host: &Arc<Host>, user: &str) -> Result<Reached, Error> {
        let outcome = async {
            let site = self.asking_site(host, Some(user)).await?;
            let become_user = site.user.clone().ok_or_else(|| Failure::new("nobody to become"))?;
            // Opens the connection, and shows what is wrong with becoming this user before anything is begun.
            self.shell(&site, site.user.as_ref()).await?;
            let (connection, _) = site.host.connection(self.parts.connector.as_ref(), &site.target).await?;
            let connector = Arc::clone(&self.parts.connector);
            Ok::<_, Trouble>(Reached { connection, user: become_user, connector, target: site.target })
        };
        outcome.await.map_err(|trouble| of_trouble(host, trouble))
    }

    /// Takes the lock of a host for a verb that changes it by itself, as a run does before its first change; waits for another run as long
    /// as [`LockOptions::patience`](super::LockOptions::patience) says. It ends with [`Engine::close`], or with the connection.
    pub async fn lock(&self, host: &Arc<Host>) -> Result<(), Error> {
        let outcome = async {
            let site = self.asking_site(host, None).await?;
            self.hold(&site).await
        };
        outcome.await.map(drop).map_err(|trouble| of_trouble(host, trouble))
    }

    /// Runs a command as a user of the host and passes on what it writes to stdout. It is held back while nobody takes it, and killed when
    /// the receiver or the future is gone.
    pub async fn fetch(
        &self,
        host: &Arc<Host>,
        user: &str,
        command: &str,
        pieces: mpsc::Sender<Bytes>,
    ) -> Result<Answer, Error> {
        let reached = self.reach(host, user).await?;
        let received = reached.connection.receive_pieces(Some(&reached.user), command, pieces).await;
        received.map_err(|error| of_trouble(host, error.into()))
    }

    /// Where and as whom a host is asked outside of a play.
    async fn asking_site(&self, host: &Arc<Host>, user: Option<&str>) -> Result<Site, Trouble> {
        let play = Arc::new(PlayVars::default());
        let scope = self.bare_scope(host);
        let root = Arc::new(Parent { kind: ParentKind::Play, keywords: Keywords::default(), up: None });
        let mut site = self.site(Around::Parent(&root), &scope, host, &play).await?;
        if let Some(user) = user {
            site.user = Some(match site.user.take() {
                Some(own) => Become { user: user.to_owned(), ..own },
                None => Become {
                    method: BecomeMethod::Sudo,
                    user: user.to_owned(),
                    password: self.parts.target.become_password.clone(),
                    executable: None,
                    flags: vec![],
                },
            });
        }
        Ok(site)
    }

    /// Asks a host. Lines of the answer are also sent to `live` as they come.
    pub async fn ask(
        &self,
        host: &Arc<Host>,
        question: &Question,
        live: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<Answer, Error> {
        let outcome = async {
            let site = self.asking_site(host, question.user.as_deref()).await?;
            let shell = self.shell(&site, site.user.as_ref()).await?;
            Ok::<Answer, Trouble>(
                shell.submit(Frame { script: question.script.clone(), live, ..Frame::default() }).await?,
            )
        };
        outcome.await.map_err(|trouble: Trouble| of_trouble(host, trouble))
    }
}

fn of_trouble(host: &Host, trouble: Trouble) -> Error {
    match trouble {
        Trouble::Failure(failure) => failure
            .hints
            .into_iter()
            .fold(Error::new(ErrorKind::Failed, format!("{}: {}", host.name(), failure.msg)), Error::hint),
        Trouble::Unknown(why) => Error::new(ErrorKind::Failed, format!("{}: {why}", host.name())),
        Trouble::Unreachable(error) => error
            .hints
            .into_iter()
            .fold(Error::new(ErrorKind::Unreachable, format!("{}: {}", host.name(), error.message)), Error::hint),
    }
}

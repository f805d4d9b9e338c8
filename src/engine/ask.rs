//! Asking hosts something outside a playbook: for verbs that only look (`status`, `logs`).

use std::sync::Arc;

use tokio::sync::mpsc;

use super::drive::Trouble;
use super::target::Around;
use super::{Engine, Host};
use crate::connection::{Answer, Become, BecomeMethod, Frame};
use crate::error::{Error, ErrorKind};
use crate::playbook::{Keywords, Parent, ParentKind};
use crate::value::Value;
use crate::vars::{PlayVars, TaskScope};

/// A read-only question to a host.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// POSIX shell text.
    pub script: String,
    /// The user to ask as; the login user (or `--become`'s) when not set.
    pub user: Option<String>,
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

    /// Asks a host. Lines of the answer are also sent to `live` as they come.
    pub async fn ask(
        &self,
        host: &Arc<Host>,
        question: &Question,
        live: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<Answer, Error> {
        let play = Arc::new(PlayVars::default());
        let scope = self.bare_scope(host);
        let root = Arc::new(Parent { kind: ParentKind::Play, keywords: Keywords::default(), up: None });
        let outcome = async {
            let mut site = self.site(Around::Parent(&root), &scope, host, &play).await?;
            if let Some(user) = &question.user {
                site.user = Some(match site.user.take() {
                    Some(own) => Become { user: user.clone(), ..own },
                    None => Become {
                        method: BecomeMethod::Sudo,
                        user: user.clone(),
                        password: self.parts.target.become_password.clone(),
                        executable: None,
                        flags: vec![],
                    },
                });
            }
            let shell = self.shell(&site, site.user.as_ref()).await?;
            Ok::<Answer, Trouble>(
                shell.submit(Frame { script: question.script.clone(), live, ..Frame::default() }).await?,
            )
        };
        outcome.await.map_err(|trouble: Trouble| match trouble {
            Trouble::Failure(failure) => failure
                .hints
                .into_iter()
                .fold(Error::new(ErrorKind::Failed, format!("{}: {}", host.name(), failure.msg)), Error::hint),
            Trouble::Unknown(why) => Error::new(ErrorKind::Failed, format!("{}: {why}", host.name())),
            Trouble::Unreachable(error) => error
                .hints
                .into_iter()
                .fold(Error::new(ErrorKind::Unreachable, format!("{}: {}", host.name(), error.message)), Error::hint),
        })
    }
}

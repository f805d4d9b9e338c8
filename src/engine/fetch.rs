//! Bringing a file from a host, outside of a playbook: for verbs that keep what is on hosts (`backup --to`).

use std::path::Path;
use std::sync::Arc;

use super::drive::Trouble;
use super::target::Around;
use super::{Engine, Host};
use crate::connection::{Answer, Become, BecomeMethod};
use crate::error::{Error, ErrorKind};
use crate::playbook::{Keywords, Parent, ParentKind};
use crate::vars::{PlayVars, TaskScope};

impl Engine {
    /// Runs a command as a user of the host and writes its stdout to a local file, which appears only when it succeeded. Nothing is
    /// held in memory but what is under way.
    pub async fn fetch(&self, host: &Arc<Host>, user: &str, command: &str, to: &Path) -> Result<Answer, Error> {
        let play = Arc::new(PlayVars::default());
        let scope = TaskScope::new(&self.parts.world, &play, &host.vars, None, &Arc::default());
        let root = Arc::new(Parent { kind: ParentKind::Play, keywords: Keywords::default(), up: None });
        let outcome = async {
            let site = self.site(Around::Parent(&root), &scope, host, &play).await?;
            let whom = match site.user.clone() {
                Some(own) => Become { user: user.to_owned(), ..own },
                None => Become {
                    method: BecomeMethod::Sudo,
                    user: user.to_owned(),
                    password: self.parts.target.become_password.clone(),
                    executable: None,
                    flags: vec![],
                },
            };
            let connection = site.host.connection(self.parts.connector.as_ref(), &site.target).await?;
            Ok::<Answer, Trouble>(connection.receive_file(Some(&whom), command, to).await?)
        };
        let (kind, message, hints) = match outcome.await {
            Ok(answer) => return Ok(answer),
            Err(Trouble::Failure(failure)) => (ErrorKind::Failed, failure.msg, failure.hints),
            Err(Trouble::Unknown(why)) => (ErrorKind::Failed, why, vec![]),
            Err(Trouble::Unreachable(error)) => (ErrorKind::Unreachable, error.message, error.hints),
        };
        Err(hints.into_iter().fold(Error::new(kind, format!("{}: {message}", host.name())), Error::hint))
    }
}

//! A copied data directory of PostgreSQL: a server of its own, which nobody else can reach, opens it, and gives the user that the
//! service logs in as the password of now. On the old host it may have another password, or another user may own everything.

use super::Hosts;
use crate::error::{Error, ErrorKind, Result};
use crate::restore::journal::Journal;
use crate::restore::plan::{Database, Targets};
use crate::restore::{postgres, scripts};
use crate::service::Service;
use crate::service::model::Strategy;
use crate::service::observe::PRELUDE;
use crate::sh;

/// What the server is told. It reads the password where its container has it; nothing of it is on a command line.
const SQL: &str = r#"\set pw `if [ -n "$POSTGRES_PASSWORD_FILE" ]; then cat "$POSTGRES_PASSWORD_FILE"; else printf %s "$POSTGRES_PASSWORD"; fi`
SELECT format('CREATE ROLE %I SUPERUSER LOGIN', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SELECT :'pw' <> '' AS given \gset
\if :given
ALTER ROLE :"role" PASSWORD :'pw';
\endif
"#;

impl Hosts<'_> {
    /// Makes a copied cluster one that the service can log in to. `None`: the service has none.
    pub(super) async fn open_cluster(
        &self,
        service: &Service,
        journal: &Journal,
        staged: impl Fn(&str) -> Option<String>,
    ) -> Result<()> {
        if service.backup.as_ref().is_none_or(|backup| backup.strategy != Strategy::Postgres) {
            return Ok(());
        }
        let Some(database) = Targets::of(service)?.database else { return Ok(()) };
        let Some(copy) = staged(&database.directory) else { return Ok(()) };
        let prefix = format!("mms-load-{}-", service.name);
        self.talk.progress(&self.target.name, &format!("{}: opening the copied database", service.name));
        let outcome = async {
            // One that was cut off may be left.
            self.target.must("remove an earlier trial", scripts::end_trial(&prefix, &[])).await?;
            let container = postgres::start(self.target, service, &database, &prefix, &copy).await?;
            self.target.must("wait for the database server", scripts::await_server(&container, &database.user)).await?;
            let known = journal.origin.as_ref().and_then(|origin| origin.superuser.clone());
            self.adopt(&container, &database, known).await
        }
        .await;
        // Stopped in order, so that the data directory is one that was shut down.
        let ended = self.target.must("stop the trial", scripts::end_trial(&prefix, &[format!("{copy}.empty")])).await;
        outcome.and(ended.map(drop))
    }

    async fn adopt(&self, container: &str, database: &Database, known: Option<String>) -> Result<()> {
        let users: Vec<String> =
            [Some(database.user.clone()), known, Some("postgres".to_owned())].into_iter().flatten().collect();
        let name = sh::quote(container);
        let script = format!(
            r#"{PRELUDE}for user in {users}; do
  [ "$(podman exec {name} psql --no-psqlrc -Atqc 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user' --dbname postgres --username "$user" 2>/dev/null)" = t ] || continue
  printf %s {sql} | podman exec --interactive {name} psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set VERBOSITY=terse --set role={role} --dbname postgres --username "$user" >/dev/null
  exit
done
exit 9
"#,
            users = sh::join(&users),
            sql = sh::quote(SQL),
            role = sh::quote(&database.user),
        );
        let answer = self.target.ask(script).await?;
        if answer.rc == 9 {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{}: the copied database lets none of its users in: {}", self.target.name, users.join(", ")),
            )
            .hint("`backup.user` of the service names the superuser of the database"));
        }
        self.target.checked("set the password of the database", answer).map(drop)
    }
}

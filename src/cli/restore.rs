//! `mms restore`.

use std::sync::Arc;

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::backup::mirror;
use super::session::{LockArgs, owner, text_of};
use super::status::{user_of, working};
use super::{Global, Session, complete, services, signals};
use crate::backup::name::At;
use crate::backup::source::{self, Place};
use crate::engine::{Engine, Host};
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::restore::{self, Outcome, Request, Site, Talk, Which};
use crate::service::{Service, load};
use crate::ui::Ui;

/// Restore services from their backups
///
/// The newest backup on the target is taken unless something else is said. It is opened and checked on this machine, unpacked
/// beside the data, and only then is the service stopped, its data swapped and the service started. When it does not become well
/// on the restored data, the old data is put back. What was replaced is kept until `--confirm` or the next restore.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mms restore radarr\n  mms restore radarr --at latest~2\n  mms restore radarr --at 2026-10-01 --dry-run\n  mms restore radarr --file ~/radarr-2026-10-01.tar.zst.age\n  mms restore radarr --file media:/mnt/usb/radarr-2026-10-01.tar.zst.age\n  mms restore --all --from-dir /mnt/usb/backups --yes\n  mms restore immich --mirror\n  mms restore radarr --confirm"
)]
pub struct Restore {
    /// The services
    #[arg(value_name = "SERVICE", required_unless_present = "all", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// Every service that has a backup
    #[arg(long, conflicts_with = "services")]
    all: bool,
    /// Which backup: `latest`, `latest~2`, `2026-10-01`, `2026-10-01T03:00` (UTC) or a file name
    #[arg(long, value_name = "WHICH", default_value = "latest", hide_default_value = true)]
    at: At,
    /// This file, on this machine or (`HOST:/path`) on the target
    #[arg(long, value_name = "FILE", conflicts_with_all = ["at", "from_dir", "all"])]
    file: Option<String>,
    /// Look for backups in this directory, on this machine or (`HOST:/path`) on the target
    #[arg(long, value_name = "DIR")]
    from_dir: Option<String>,
    /// Bring back what the newest mirror of large files (or that of `--at`) has, on the target; what it does not have stays
    #[arg(long, conflicts_with_all = ["all", "file", "from_dir", "confirm", "undo"])]
    mirror: bool,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Remove what the last restore replaced
    #[arg(long, conflicts_with_all = ["at", "file", "from_dir", "dry_run", "undo"])]
    confirm: bool,
    /// Put back what the last restore replaced
    #[arg(long, conflicts_with_all = ["at", "file", "from_dir", "dry_run"])]
    undo: bool,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
    #[command(flatten)]
    lock: LockArgs,
}

impl Restore {
    /// Every service from its newest backup, without asking again.
    pub(super) fn everything(from_dir: Option<String>, limit: Option<String>, lock: LockArgs) -> Self {
        Self {
            services: vec![],
            all: true,
            at: At::default(),
            file: None,
            from_dir,
            mirror: false,
            dry_run: false,
            yes: true,
            confirm: false,
            undo: false,
            limit,
            lock,
        }
    }

    /// Asks whether all data may be replaced, and looks whether the backups are there, before a machine is set up for them.
    pub(super) fn check(&self, global: &Global, ui: &Ui, yes: bool) -> Result<()> {
        let session = Session::open(global, ui)?;
        if let Some(dir) = self.from_dir.as_deref().filter(|dir| !dir.contains(":/")) {
            let path = crate::fs::expand_home(dir);
            std::fs::read_dir(&path).map_err(|error| Error::io("list", &path, &error))?;
        }
        if yes {
            return Ok(());
        }
        match session.prompter.confirm("deploy, and then replace the data of every service by its newest backup?") {
            Some(true) => Ok(()),
            Some(false) => Err(Error::user("nothing was changed")),
            None => Err(Error::user("there is nobody to ask whether to restore").hint("`--yes` says so")),
        }
    }

    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let mut session = Session::open(global, ui)?;
        self.lock.apply(&mut session.settings);
        services::variables(&session, &self.services)?;
        let engine = working(&session, self.limit.clone(), "a restore")?;
        let outcome = signals::until_stopped(self.all_services(&session, &engine, global.json)).await;
        ui.progress().clear();
        match outcome {
            Ok(outcome) => {
                engine.finish().await;
                outcome
            }
            // Nothing is killed on the target: a swap that was begun goes on to the end of its script, so that no service stays
            // stopped. What only reads its stdin ends with the connection.
            Err(signal) => {
                Err(signal.error().hint("run the same command again: it completes or undoes what was begun"))
            }
        }
    }

    async fn all_services(&self, session: &Session, engine: &Engine, json: bool) -> Result<Exit> {
        let names = if self.all { services::known(session)? } else { self.services.clone() };
        let (mut exit, mut found) = (Exit::Ok, 0);
        for name in &names {
            let hosts = hosts_of(engine, name)?;
            let host = match hosts.as_slice() {
                [host] => host,
                [] if self.all => continue,
                [] => return Err(Error::user(format!("no host has the service `{name}` (`mms_services`)"))),
                many => {
                    let many: Vec<_> = many.iter().map(|host| host.name().to_owned()).collect();
                    return Err(Error::user(format!("several hosts have the service `{name}`: {}", many.join(", ")))
                        .hint("`--limit HOST` says which"));
                }
            };
            let service = definition(engine, host, name).await?;
            if self.all && restore::nothing_to_restore(&service) {
                continue;
            }
            if self.all && !self.confirm && !self.undo && !self.has_backup(session, engine, host, &service).await? {
                session.ui.note(&format!(
                    "{}: warning: there is no backup of `{name}`; its data is left as it is",
                    host.name()
                ));
                continue;
            }
            found += 1;
            if let Err(error) = self.one(session, engine, host, &service, json).await {
                exit = exit.or_worse(error.exit());
                if json {
                    let text = error.to_string();
                    session
                        .ui
                        .data(&serde_json::json!({"host": host.name(), "service": name, "error": text}).to_string());
                }
                session.ui.progress().clear();
                session.ui.error(&error);
                if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Internal) {
                    break;
                }
            }
        }
        if found == 0 {
            return Err(Error::user("there is no backup of any service")
                .hint("`--from-dir` names the directory they are in: `DIR/SERVICE/SERVICE-DATE.tar.zst.age`"));
        }
        Ok(exit)
    }

    async fn has_backup(
        &self,
        session: &Session,
        engine: &Engine,
        host: &Arc<Host>,
        service: &Service,
    ) -> Result<bool> {
        let Which::In(place, _) = which(engine, host, service, None, self.from_dir.as_deref(), &self.at)? else {
            return Ok(true);
        };
        let talk = Terminal { session };
        let site = reach(engine, host, &talk).await?;
        Ok(!source::list(&service.name, &place, Some(&site)).await?.is_empty())
    }

    async fn one(
        &self,
        session: &Session,
        engine: &Engine,
        host: &Arc<Host>,
        service: &Service,
        json: bool,
    ) -> Result<()> {
        let ui = &session.ui;
        if self.mirror {
            let (dry_run, yes) = (self.dry_run, self.yes);
            let wanted = mirror::Wanted { service: &service.name, at: &self.at, dry_run, yes, json };
            return mirror::bring_back(session, engine, host, &wanted).await;
        }
        let talk = Terminal { session };
        let site = reach(engine, host, &talk).await?.locking(engine, host);
        let owner = owner();
        let say = |outcome: &str, text: &str, more: serde_json::Value| {
            ui.progress().clear();
            if json {
                let mut line = serde_json::json!({"host": host.name(), "service": service.name, "outcome": outcome});
                if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
                    line.extend(more.clone());
                }
                ui.data(&line.to_string());
            } else {
                ui.data(&format!("{}: {text}", host.name()));
            }
        };
        if self.confirm {
            let removed = restore::confirm(&site, service).await?;
            let text = match removed {
                0 => format!("no restore of `{}` has kept anything", service.name),
                _ => format!("what the last restore of `{}` replaced is removed", service.name),
            };
            say("confirmed", &text, serde_json::json!({"removed": removed}));
            return Ok(());
        }
        if self.undo {
            let backup = restore::undo(&site, service, &owner).await?;
            say(
                "undone",
                &format!("`{}` has the data from before `{backup}` was restored", service.name),
                serde_json::json!({"backup": backup}),
            );
            return Ok(());
        }
        let request = Request {
            service,
            which: which(engine, host, service, self.file.as_deref(), self.from_dir.as_deref(), &self.at)?,
            dry_run: self.dry_run,
            yes: self.yes,
            keyring: &session.keyring,
            owner: &owner,
        };
        let name = &service.name;
        match restore::run(&site, &request, &talk).await? {
            Outcome::Planned => say("planned", "nothing was changed (--dry-run)", serde_json::json!({})),
            Outcome::Declined => say("declined", "nothing was changed", serde_json::json!({})),
            Outcome::Restored { backup, kept, downtime } => {
                let seconds = downtime.as_secs_f64();
                say(
                    "restored",
                    &format!("complete: `{name}` is well on `{backup}`; it was away for {seconds:.1} s"),
                    serde_json::json!({"backup": backup, "kept": kept, "downtime": (seconds * 10.0).round() / 10.0}),
                );
                kept_note(ui, name, &kept);
            }
            Outcome::Completed { backup, kept } => {
                say(
                    "completed",
                    &format!("complete: `{name}` is well on `{backup}`, whose restore had been cut off"),
                    serde_json::json!({"backup": backup, "kept": kept}),
                );
                kept_note(ui, name, &kept);
            }
        }
        Ok(())
    }
}

fn kept_note(ui: &Ui, service: &str, kept: &[String]) {
    if !kept.is_empty() {
        ui.note(&format!("  the data from before is kept: {}", kept.join(", ")));
        ui.note(&format!(
            "  `mms restore --confirm {service}` removes it, `mms restore --undo {service}` puts it back"
        ));
    }
}

/// Where the backup is taken from.
pub(super) fn which(
    engine: &Engine,
    host: &Host,
    service: &Service,
    file: Option<&str>,
    from_dir: Option<&str>,
    at: &At,
) -> Result<Which> {
    if let Some(file) = file {
        return Ok(Which::File(Place::parse(file, host.name())?));
    }
    let place = match from_dir {
        Some(dir) => Place::parse(dir, host.name())?,
        None => Place::Target(backup_dir(engine, host, service)?),
    };
    Ok(Which::In(place, at.clone()))
}

/// Where the backups of a service are on a host: its own `backup.dir`, or `mms_backup_dir` of the host.
pub(super) fn backup_dir(engine: &Engine, host: &Host, service: &Service) -> Result<String> {
    if let Some(own) = service.backup.as_ref().and_then(|backup| backup.dir.clone()) {
        return Ok(own);
    }
    let value = engine.variable_of(host, "mms_backup_dir")?;
    Ok(value.map_or_else(|| "/home/mms/backups".to_owned(), |value| text_of(&value)))
}

/// The hosts that have a service: those whose `mms_services` names it; the only one there is when none has the variable.
pub(super) fn hosts_of(engine: &Engine, service: &str) -> Result<Vec<Arc<Host>>> {
    let mut found = vec![];
    let mut silent = vec![];
    for host in engine.select("all")? {
        match engine.variable_of(&host, "mms_services")? {
            Some(list) => {
                let mut names = list.try_iter().into_iter().flatten();
                if names.any(|name| name.as_str() == Some(service)) {
                    found.push(host);
                }
            }
            None => silent.push(host),
        }
    }
    Ok(if found.is_empty() && silent.len() == 1 { silent } else { found })
}

/// A service as it is defined for a host.
pub(super) async fn definition(engine: &Engine, host: &Arc<Host>, name: &str) -> Result<Service> {
    let (node, value) = engine.file_of(host, &format!("services/{name}.yml")).await?;
    load::read(name, &value, Some(&node))
}

/// A host, reached as the user of its containers.
pub(super) async fn reach<'a>(engine: &Engine, host: &Arc<Host>, talk: &'a dyn Talk) -> Result<Site<'a>> {
    let user = user_of(engine, host)?;
    talk.progress(host.name(), "connecting");
    let reached = engine.reach(host, &user).await?;
    // Without root the last words of a container that is not well come from the user's own journal.
    let root = engine.reach(host, "root").await.ok().map(|root| root.user);
    Ok(Site::new(host.name(), &user, reached, root, talk))
}

/// The terminal as the one who is told and asked.
pub(super) struct Terminal<'a> {
    pub session: &'a Session,
}

impl Talk for Terminal<'_> {
    fn note(&self, line: &str) {
        self.session.ui.note(line);
    }

    fn progress(&self, host: &str, line: &str) {
        self.session.ui.progress().set(host, line);
    }

    fn confirm(&self, question: &str) -> Option<bool> {
        self.session.prompter.confirm(question)
    }
}

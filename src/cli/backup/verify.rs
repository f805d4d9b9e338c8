//! `mms backup verify` and `mms backup drill`.

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::super::restore::{Terminal, backup_dir, definition, hosts_of, reach, which};
use super::super::session::owner;
use super::super::status::looking;
use super::super::{Global, Session, complete, services, signals};
use crate::backup::name::At;
use crate::backup::source::{self, Found, Place};
use crate::backup::verify::{Subset, Verified, rolling, verify};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::restore::{Request, Site, drill};
use crate::size;

/// Open backups to their end and check everything in them: hashes, databases, dumps
///
/// The newest backup of each service, unless something else is said. What is good is marked beside the backup.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mms backup verify\n  mms backup verify radarr --all\n  mms backup verify --subset 1/7"
)]
pub struct Verify {
    /// Only backups of these services
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// Every backup, not only the newest
    #[arg(long)]
    all: bool,
    /// So many of all backups, those first whose last verification is the longest ago: `1/7` each day covers all in a week
    #[arg(long, value_name = "N/T", conflicts_with = "all")]
    subset: Option<Subset>,
    /// Backups in this directory, on this machine or (`HOST:/path`) on the target
    #[arg(long, value_name = "DIR")]
    from_dir: Option<String>,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
}

/// Restore a backup to a throwaway place on the target, start the service there, and remove it again
///
/// The service that runs is not touched. The trial has no published port, sees copies of the data alone, and must become well.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms backup drill radarr\n  mms backup drill immich --at latest~1")]
pub struct Drill {
    /// The services
    #[arg(value_name = "SERVICE", required = true, add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// Which backup: `latest`, `latest~2`, `2026-10-01`, `2026-10-01T03:00` (UTC) or a file name
    #[arg(long, value_name = "WHICH", default_value = "latest", hide_default_value = true)]
    at: At,
    /// Look for backups in this directory, on this machine or (`HOST:/path`) on the target
    #[arg(long, value_name = "DIR")]
    from_dir: Option<String>,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
}

impl Verify {
    pub(in super::super) async fn run(&self, global: &Global, ui: &crate::ui::Ui) -> Result<Exit> {
        let session = Session::open(global, ui)?;
        services::variables(&session, &self.services)?;
        let engine = looking(&session, self.limit.clone())?;
        let outcome = signals::until_stopped(self.every(&session, &engine, global.json)).await;
        ui.progress().clear();
        engine.close().await;
        outcome.map_err(signals::Signal::error)?
    }

    async fn every(&self, session: &Session, engine: &Engine, json: bool) -> Result<Exit> {
        let names = if self.services.is_empty() { services::known(session)? } else { self.services.clone() };
        let mut count = Count::default();
        // Backups on this machine need no other one: there may be none yet.
        if let Some(Ok(place)) = self.from_dir.as_deref().map(|dir| Place::parse(dir, "")) {
            let places: Vec<_> = names.into_iter().map(|name| (name, place.clone())).collect();
            self.in_place(session, "here", &places, None, json, &mut count).await?;
        } else {
            self.on_hosts(session, engine, &names, json, &mut count).await?;
        }
        if count.good == 0 && count.exit == Exit::Ok {
            return Err(Error::user("there is no backup to verify").hint("`mms backup list` shows what there is"));
        }
        Ok(count.exit)
    }

    async fn on_hosts(
        &self,
        session: &Session,
        engine: &Engine,
        names: &[String],
        json: bool,
        count: &mut Count,
    ) -> Result<()> {
        let talk = Terminal { session };
        for host in engine.select("all")? {
            let mut own = vec![];
            for name in names {
                if hosts_of(engine, name)?.iter().any(|other| other.name() == host.name()) {
                    own.push(name.clone());
                }
            }
            if own.is_empty() {
                continue;
            }
            let outcome = async {
                let site = reach(engine, &host, &talk).await?;
                let mut places = vec![];
                for name in own {
                    let place = match &self.from_dir {
                        Some(dir) => Place::parse(dir, host.name())?,
                        None => {
                            let service = definition(engine, &host, &name).await?;
                            Place::Target(backup_dir(engine, &host, &service)?)
                        }
                    };
                    places.push((name, place));
                }
                self.in_place(session, host.name(), &places, Some(&site), json, count).await
            };
            if let Err(error) = outcome.await {
                session.ui.progress().clear();
                session.ui.error(&error);
                count.exit = count.exit.or_worse(error.exit());
            }
        }
        Ok(())
    }

    async fn in_place(
        &self,
        session: &Session,
        host: &str,
        places: &[(String, Place)],
        site: Option<&Site<'_>>,
        json: bool,
        count: &mut Count,
    ) -> Result<()> {
        let ui = &session.ui;
        // Databases are looked at in clear: what is left of them must not outlive mms.
        let private = tempfile::Builder::new().prefix("mms-verify-").tempdir();
        let private = private.map_err(|error| Error::io("make a directory in", &std::env::temp_dir(), &error))?;
        let private = signals::guard(private);
        let mut chosen: Vec<Found> = vec![];
        for (name, place) in places {
            let mut found = source::list(name, place, site).await?;
            let skip = if self.all || self.subset.is_some() { 0 } else { found.len().saturating_sub(1) };
            chosen.extend(found.drain(skip..));
        }
        if let Some(subset) = self.subset {
            chosen = rolling(chosen, subset);
        }
        for found in &chosen {
            ui.progress().set(host, &format!("verifying {} ({})", found.file, size::human(found.size)));
            let outcome = verify(found, site, &session.keyring, private.path()).await;
            ui.progress().clear();
            match outcome {
                Ok(verified) => {
                    count.good += 1;
                    ui.data(&if json {
                        serde_json::json!({"host": host, "ok": true, "verified": verified}).to_string()
                    } else {
                        format!("{host}: {}", told(&verified))
                    });
                }
                Err(error) => {
                    count.exit = count.exit.or_worse(error.exit());
                    if json {
                        let text = error.to_string();
                        let line = serde_json::json!({"host": host, "ok": false, "file": found.file, "error": text});
                        ui.data(&line.to_string());
                    }
                    ui.error(&error);
                    if error.kind() == ErrorKind::Unreachable {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// How it went so far.
struct Count {
    good: usize,
    exit: Exit,
}

impl Default for Count {
    fn default() -> Self {
        Self { good: 0, exit: Exit::Ok }
    }
}

/// What is said of a backup that is good.
fn told(verified: &Verified) -> String {
    let mut what = format!(
        "{} file{}, {}",
        verified.files,
        if verified.files == 1 { "" } else { "s" },
        size::human(verified.bytes)
    );
    for (count, name) in [(verified.databases, "database"), (verified.dumps, "dump")] {
        if count > 0 {
            what.push_str(&format!(", {count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if !verified.manifest {
        what.push_str(", no hashes inside");
    }
    if !verified.encrypted {
        what.push_str(", not encrypted");
    }
    format!("{} is good ({what})", verified.file)
}

impl Drill {
    pub(in super::super) async fn run(&self, global: &Global, ui: &crate::ui::Ui) -> Result<Exit> {
        let session = Session::open(global, ui)?;
        services::variables(&session, &self.services)?;
        let engine = looking(&session, self.limit.clone())?;
        let outcome = signals::until_stopped(self.every(&session, &engine, global.json)).await;
        ui.progress().clear();
        engine.close().await;
        outcome.map_err(|signal| signal.error().hint("the next drill of the service cleans up"))?
    }

    async fn every(&self, session: &Session, engine: &Engine, json: bool) -> Result<Exit> {
        let ui = &session.ui;
        let talk = Terminal { session };
        let mut exit = Exit::Ok;
        for name in &self.services {
            let hosts = hosts_of(engine, name)?;
            if hosts.is_empty() {
                return Err(Error::user(format!("no host has the service `{name}` (`mms_services`)")));
            }
            for host in &hosts {
                let outcome = async {
                    let service = definition(engine, host, name).await?;
                    let site = reach(engine, host, &talk).await?;
                    let request = Request {
                        service: &service,
                        which: which(engine, host, &service, None, self.from_dir.as_deref(), &self.at)?,
                        dry_run: false,
                        yes: true,
                        keyring: &session.keyring,
                        owner: &owner(),
                    };
                    drill::run(&site, &request, &talk).await
                };
                let outcome = outcome.await;
                ui.progress().clear();
                match outcome {
                    Ok(drilled) if json => ui.data(
                        &serde_json::json!({"host": host.name(), "service": name, "ok": true, "backup": drilled.backup, "seconds": drilled.took.as_secs()})
                            .to_string(),
                    ),
                    Ok(drilled) => ui.data(&format!(
                        "{}: `{name}` is well on `{}` after {:.0} s; the trial is removed",
                        host.name(),
                        drilled.backup,
                        drilled.took.as_secs_f64()
                    )),
                    Err(error) => {
                        exit = exit.or_worse(error.exit());
                        if json {
                            let text = error.to_string();
                            ui.data(&serde_json::json!({"host": host.name(), "service": name, "ok": false, "error": text}).to_string());
                        }
                        ui.error(&error);
                    }
                }
            }
        }
        Ok(exit)
    }
}

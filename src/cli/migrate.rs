//! `mms migrate`.

mod given;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;

use super::restore::{Terminal, definition, hosts_of, reach};
use super::session::{LockArgs, owner};
use super::status::working;
use super::{Global, Session, complete, services, signals};
use crate::engine::{Engine, Host};
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::migrate::{Given, Hosts, Moved, Options, Planned, Work, shown_time};
use crate::restore::Site;
use crate::service::Service;
use crate::size;

/// Move services here from another host, with their data
///
/// What runs a service on the old host is found by container, systemd unit or directory. Its data is copied while it runs; then it is
/// stopped there, the rest is copied and every file compared, and it is started here. When it does not become well, the data from
/// before is put back here and the service started again there. The old host's data is never changed; what was replaced here is
/// kept until `--confirm`. A migration that was cut off goes on with the same command.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mms migrate --from old-lxc --dry-run     what would be moved, and from where\n  mms migrate --from old-lxc --first-pass  copy while everything keeps running\n  mms migrate --from old-lxc               every service that the old host has\n  mms migrate radarr --from old-lxc --source radarr=/opt/radarr\n  mms migrate --rollback --from old-lxc    back to the start\n  mms migrate --confirm --from old-lxc     remove what was replaced"
)]
pub struct Migrate {
    /// Only these services
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// The old host: a host of the inventory
    #[arg(long, value_name = "HOST", add = ArgValueCandidates::new(complete::hosts))]
    from: String,
    /// The new host, when several have services
    #[arg(long, value_name = "HOST", add = ArgValueCandidates::new(complete::hosts))]
    to: Option<String>,
    /// Where a service is on the old host: `SERVICE=/directory`, `SERVICE=unit:NAME` or `SERVICE=container:NAME` (can be repeated)
    #[arg(long, value_name = "WHERE", value_parser = given::parse)]
    source: Vec<(String, Given)>,
    /// How content gets across: through this machine, or fetched by the new host itself where it can log in to the old one
    #[arg(long, value_name = "WAY", value_enum, default_value_t = Via::Auto)]
    via: Via,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Only copy, while the services keep running; can be repeated
    #[arg(long, conflicts_with = "dry_run")]
    first_pass: bool,
    /// Go back to the start: the data from before here, the services running there
    #[arg(long, conflicts_with_all = ["dry_run", "first_pass", "source"])]
    rollback: bool,
    /// Remove what was replaced; after that there is no way back
    #[arg(long, conflicts_with_all = ["dry_run", "first_pass", "source", "rollback"])]
    confirm: bool,
    /// Show what was migrated and what is under way
    #[arg(long, conflicts_with_all = ["dry_run", "first_pass", "source", "rollback", "confirm"])]
    status: bool,
    /// Make no snapshots of the machines in Proxmox first
    #[arg(long)]
    no_snapshot: bool,
    /// Take what backups leave out (caches, logs), too
    #[arg(long)]
    with_excluded: bool,
    /// Go on when the old host has a newer version of an application
    #[arg(long)]
    accept_downgrade: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    lock: LockArgs,
}

/// How content gets across.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    /// Directly where the new host can log in to the old one, otherwise through this machine
    Auto,
    /// Through this machine
    Workstation,
    /// The new host fetches it by itself
    Direct,
}

/// What is said of errors before anything is begun.
const NOTHING: &str = "nothing was changed";

/// One service and how it goes.
struct Job {
    service: Service,
    work: Box<Work>,
    first: crate::migrate::Passed,
}

impl Migrate {
    pub(super) async fn run(self, global: &Global, ui: &crate::ui::Ui) -> Result<Exit> {
        let mut session = Session::open(global, ui)?;
        self.lock.apply(&mut session.settings);
        services::variables(&session, &self.services)?;
        let engine = working(&session, None, "a migration")?;
        let outcome = signals::until_stopped(self.hosts(&session, &engine, global.json)).await;
        ui.progress().clear();
        match outcome {
            Ok(outcome) => {
                engine.finish().await;
                outcome
            }
            Err(signal) => Err(signal
                .error()
                .hint("run the same command again: it completes what was begun")
                .hint(format!("`mms migrate --rollback --from {}` goes back to the start", self.from))),
        }
    }

    async fn hosts(&self, session: &Session, engine: &Engine, json: bool) -> Result<Exit> {
        let old = self.old(engine)?;
        let (new, names) = self.new_host(session, engine)?;
        if old.name() == new.name() {
            return Err(Error::user(format!("`{}` is both the old and the new host", old.name())));
        }
        let talk = Terminal { session };
        talk.session.ui.progress().set(old.name(), "connecting");
        // Whatever goes wrong until services are planned: nothing was touched.
        let nothing = |error: Error| error.hint(NOTHING);
        let reached = engine.reach(&old, "root").await.map_err(|error| {
            let why = "the old host's files belong to several users: mms reads them as root there (ansible_user, ansible_become_password)";
            nothing(error.hint(why))
        })?;
        let source = Site::new(old.name(), "root", reached, None, &talk);
        let target = reach(engine, &new, &talk).await.map_err(nothing)?.locking(engine, &new);
        let mut all = vec![];
        for name in &names {
            all.push(definition(engine, &new, name).await?);
        }
        let options = self.options(engine, &old, &all)?;
        let chosen: Vec<&Service> = all.iter().collect();
        let mut hosts = Hosts::look(&source, &target, &chosen, &options, &talk).await.map_err(nothing)?;
        let verb = Verb { session, json, from: old.name(), to: new.name() };
        if self.status {
            return verb.status(&hosts, &chosen).await;
        }
        if self.rollback || self.confirm {
            return self.end(&verb, &hosts, &chosen).await;
        }
        self.choose_way(engine, &old, &mut hosts).await.map_err(nothing)?;
        let (exit, jobs) = self.plan(&verb, &hosts, all).await?;
        if self.dry_run || jobs.is_empty() {
            if self.dry_run && !jobs.is_empty() {
                verb.say("planned", None, "nothing was changed (--dry-run)", serde_json::json!({}));
            }
            return Ok(exit);
        }
        let question = if self.first_pass {
            "copy, and leave everything running?".to_owned()
        } else {
            format!(
                "migrate {} from {} to {}?",
                jobs.iter().map(|job| format!("`{}`", job.service.name)).collect::<Vec<_>>().join(", "),
                old.name(),
                new.name()
            )
        };
        if !self.yes {
            match crate::restore::Talk::confirm(&talk, &question) {
                Some(true) => {}
                Some(false) => {
                    verb.say("declined", None, "nothing was changed", serde_json::json!({}));
                    return Ok(exit);
                }
                None => {
                    return Err(Error::user("there is nobody to ask whether to migrate")
                        .hint("`--yes` says so")
                        .hint(NOTHING));
                }
            }
        }
        if !self.first_pass && !self.no_snapshot {
            let names: Vec<&str> = jobs.iter().map(|job| job.service.name.as_str()).collect();
            snapshot::take(session, engine, &[&old, &new], &names.join(", ")).await?;
        }
        Ok(exit.or_worse(self.move_all(&verb, &hosts, jobs).await))
    }

    fn old(&self, engine: &Engine) -> Result<Arc<Host>> {
        let unknown = || {
            Error::user(format!("the inventory has no host `{}`", self.from)).hint(format!(
                "add it to inventory/hosts.yml: `{}: {{ansible_host: ADDRESS, ansible_user: root}}`",
                self.from
            ))
        };
        // The same words as for an unknown pattern would not say what to do.
        let hosts = engine.select(&self.from).map_err(|_| unknown())?;
        match hosts.as_slice() {
            [one] if one.name() == self.from => Ok(Arc::clone(one)),
            [] => Err(unknown()),
            _ => Err(Error::user(format!("`{}` is not one host of the inventory", self.from))),
        }
    }

    /// The new host, and the services that are asked for.
    fn new_host(&self, session: &Session, engine: &Engine) -> Result<(Arc<Host>, Vec<String>)> {
        let known = services::known(session)?;
        let mut hosts: BTreeMap<String, (Arc<Host>, Vec<String>)> = BTreeMap::new();
        for name in known.iter().filter(|name| self.services.is_empty() || self.services.contains(name)) {
            for host in hosts_of(engine, name)? {
                if host.name() != self.from {
                    hosts.entry(host.name().to_owned()).or_insert_with(|| (host, vec![])).1.push(name.clone());
                }
            }
        }
        if let Some(to) = &self.to {
            return hosts.remove(to).ok_or_else(|| {
                Error::user(format!("`{to}` has none of these services (`mms_services`)"))
                    .hint("`--to` names the host that they are moved to, as the inventory calls it")
            });
        }
        let names: Vec<String> = hosts.keys().cloned().collect();
        match (hosts.pop_first(), names.len()) {
            (Some((_, found)), 1) => Ok(found),
            (None, _) => Err(Error::user("no host has these services (`mms_services`)")),
            _ => Err(Error::user(format!("several hosts have these services: {}", names.join(", ")))
                .hint("`--to HOST` says which is meant")),
        }
    }

    fn options(&self, engine: &Engine, old: &Host, services: &[Service]) -> Result<Options> {
        let mut given = given::of_host(engine, old)?;
        given.extend(self.source.iter().cloned());
        if let Some((name, _)) =
            self.source.iter().find(|(name, _)| !services.iter().any(|service| service.name == *name))
        {
            return Err(Error::user(format!("`--source {name}=…` is about a service that is not moved")).hint(
                format!(
                    "moved are: {}",
                    services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ")
                ),
            ));
        }
        Ok(Options {
            given,
            maps: given::paths_of_host(engine, old)?,
            accept_downgrade: self.accept_downgrade,
            everything: self.with_excluded,
            owner: owner(),
        })
    }

    async fn choose_way(&self, engine: &Engine, old: &Host, hosts: &mut Hosts<'_>) -> Result<()> {
        if self.via == Via::Workstation {
            return Ok(());
        }
        match hosts.direct(&given::ssh_words(engine, old)?).await? {
            Some(way) => hosts.way = way,
            None if self.via == Via::Direct => {
                return Err(Error::new(
                    ErrorKind::Failed,
                    format!("{} cannot log in to {} by itself", hosts.target.name, old.name()),
                )
                .hint("it needs a key for root (or a user with sudo) there, and the host key in its known_hosts")
                .hint("`--via workstation` goes through this machine"));
            }
            None => {}
        }
        Ok(())
    }

    /// Shows what would be done.
    async fn plan(&self, verb: &Verb<'_>, hosts: &Hosts<'_>, services: Vec<Service>) -> Result<(Exit, Vec<Job>)> {
        let (mut exit, mut jobs) = (Exit::Ok, vec![]);
        for service in services {
            let name = service.name.clone();
            match hosts.plan(&service).await {
                Ok(Planned::Work(work)) => {
                    for line in &work.lines {
                        verb.session.ui.progress().clear();
                        verb.session.ui.note(line);
                    }
                    jobs.push(Job { service, work, first: crate::migrate::Passed::default() });
                }
                Ok(Planned::Absent) if self.services.is_empty() => {
                    verb.session.ui.progress().clear();
                    verb.session.ui.note(&format!("{name}: not found on {}", verb.from));
                }
                Ok(Planned::Absent) => {
                    exit = exit.or_worse(Exit::User);
                    verb.failed(
                        &name,
                        &Error::user(format!("{}: there is nothing of `{name}`", verb.from))
                            .hint("no container, systemd unit or usual directory was found")
                            .hint(format!("`--source {name}=/directory` says where it is"))
                            .hint(NOTHING),
                    );
                }
                Ok(Planned::Already { kept, confirmed, running }) => {
                    let text = format!("`{name}` has been migrated from {}; there is nothing to do", verb.from);
                    verb.say(
                        "already",
                        Some(&name),
                        &text,
                        serde_json::json!({"kept": kept, "confirmed": confirmed, "running": running}),
                    );
                    if let Some(what) = running.first() {
                        verb.session.ui.note(&format!(
                            "  warning: {what} runs on {} as well; what it writes there is not here",
                            verb.from
                        ));
                    }
                    if confirmed {
                        verb.session.ui.note(&format!(
                            "  it is final; `rm -r /var/lib/mms/migrate/{name}` on {} forgets that",
                            verb.from
                        ));
                    } else {
                        verb.session.ui.note(&format!(
                            "  `mms migrate --confirm {name} --from {0}` makes it final, `mms migrate --rollback {name} --from {0}` takes it back",
                            verb.from
                        ));
                    }
                }
                Err(error) => {
                    exit = exit.or_worse(error.exit());
                    let error = error.hint(NOTHING);
                    verb.failed(&name, &error);
                    if error.kind() == ErrorKind::Unreachable {
                        return Ok((exit, vec![]));
                    }
                }
            }
        }
        Ok((exit, jobs))
    }

    async fn move_all(&self, verb: &Verb<'_>, hosts: &Hosts<'_>, jobs: Vec<Job>) -> Exit {
        let mut exit = Exit::Ok;
        let mut ready = vec![];
        // All first passes come first: what is stopped is away only for its own second pass.
        for mut job in jobs {
            match hosts.first_pass(&job.service, &mut job.work).await {
                Ok(passed) => {
                    job.first = passed;
                    if self.first_pass {
                        hosts.release(&job.service).await;
                        let name = &job.service.name;
                        let text = format!(
                            "`{name}` is copied ({} sent, {} in all); it still runs on {}",
                            size::human(passed.bytes),
                            size::human(passed.total),
                            verb.from
                        );
                        verb.say(
                            "copied",
                            Some(name),
                            &text,
                            serde_json::json!({"sent": passed.bytes, "bytes": passed.total}),
                        );
                    } else {
                        ready.push(job);
                    }
                }
                Err(error) => {
                    exit = exit.or_worse(error.exit());
                    verb.failed(&job.service.name, &error);
                }
            }
        }
        for job in ready {
            let name = &job.service.name;
            match hosts.cut_over(&job.service, &job.work).await {
                Ok(moved) => verb.moved(name, &job, &moved),
                Err(error) => {
                    exit = exit.or_worse(error.exit());
                    verb.failed(name, &error);
                }
            }
        }
        exit
    }

    /// `--rollback` and `--confirm`.
    async fn end(&self, verb: &Verb<'_>, hosts: &Hosts<'_>, services: &[&Service]) -> Result<Exit> {
        let (mut exit, mut any) = (Exit::Ok, false);
        if self.rollback && !self.yes {
            let talk = Terminal { session: verb.session };
            let question =
                format!("take the migration from {} back, with what was written on {} since?", verb.from, verb.to);
            match crate::restore::Talk::confirm(&talk, &question) {
                Some(true) => {}
                Some(false) => return Ok(exit),
                None => return Err(Error::user("there is nobody to ask whether to go back").hint("`--yes` says so")),
            }
        }
        for service in services {
            let name = &service.name;
            let outcome = if self.rollback {
                hosts.rollback(service).await.map(|done| (!done.is_empty()).then(|| done.join("; ")))
            } else {
                hosts.confirm(service).await.map(|confirmed| {
                    confirmed.map(|confirmed| match confirmed.removed.as_slice() {
                        [] => format!("`{name}` is final; nothing had been replaced"),
                        removed => format!("`{name}` is final; removed: {}", removed.join(", ")),
                    })
                })
            };
            match outcome {
                Ok(Some(text)) => {
                    any = true;
                    verb.say(
                        if self.rollback { "rolled_back" } else { "confirmed" },
                        Some(name),
                        &text,
                        serde_json::json!({}),
                    );
                }
                Ok(None) => {}
                Err(error) => {
                    any = true;
                    exit = exit.or_worse(error.exit());
                    let again =
                        "run the same command again: it goes on where this one ended; `--status` says where that is";
                    verb.failed(name, &error.hint(again));
                }
            }
        }
        if !any {
            let text = format!(
                "there is no migration from {} that could be {}",
                verb.from,
                if self.rollback { "taken back" } else { "confirmed" }
            );
            verb.say("nothing", None, &text, serde_json::json!({}));
        }
        Ok(exit)
    }
}

/// What is said, and how.
struct Verb<'a> {
    session: &'a Session,
    json: bool,
    from: &'a str,
    to: &'a str,
}

impl Verb<'_> {
    fn say(&self, outcome: &str, service: Option<&str>, text: &str, more: serde_json::Value) {
        let ui = &self.session.ui;
        ui.progress().clear();
        if !self.json {
            ui.data(&format!("{}: {text}", self.to));
            return;
        }
        let mut line = serde_json::json!({"host": self.to, "from": self.from, "outcome": outcome});
        if let Some(line) = line.as_object_mut() {
            line.extend(service.map(|service| ("service".to_owned(), service.into())));
            line.extend(more.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        }
        ui.data(&line.to_string());
    }

    fn failed(&self, service: &str, error: &Error) {
        let ui = &self.session.ui;
        if self.json {
            let line =
                serde_json::json!({"host": self.to, "from": self.from, "service": service, "error": error.to_string()});
            ui.data(&line.to_string());
        }
        ui.progress().clear();
        ui.error(error);
    }

    fn moved(&self, name: &str, job: &Job, moved: &Moved) {
        let ui = &self.session.ui;
        let away = moved.downtime.map(|time| format!("; it was away for {}", shown_time(time))).unwrap_or_default();
        let text = format!(
            "complete: `{name}` is well on the data from {}{away} (first pass {}, second {})",
            self.from,
            size::human(job.first.bytes),
            size::human(moved.second.bytes)
        );
        let seconds = moved.downtime.map(|time| (time.as_secs_f64() * 10.0).round() / 10.0);
        self.say(
            "migrated",
            Some(name),
            &text,
            serde_json::json!({
                "downtime": seconds, "first_pass": job.first.bytes, "second_pass": moved.second.bytes, "bytes": moved.second.total,
                "changes": moved.changes, "warnings": moved.warnings, "kept": moved.kept,
            }),
        );
        for change in &moved.changes {
            ui.note(&format!("  adapted {change}"));
        }
        for warning in &moved.warnings {
            ui.note(&format!("  warning: {warning}"));
        }
        if !moved.kept.is_empty() {
            ui.note(&format!("  the data from before is kept: {}", moved.kept.join(", ")));
        }
        ui.note(&format!(
            "  `mms migrate --rollback {name} --from {0}` goes back to the start; `mms migrate --confirm {name} --from {0}` makes it final",
            self.from
        ));
    }

    async fn status(&self, hosts: &Hosts<'_>, services: &[&Service]) -> Result<Exit> {
        for service in services {
            let status = hosts.status(service).await?;
            let (phase, words) = match (&status.here, status.confirmed) {
                (Some((phase, words)), _) => (phase.as_str(), words.as_str()),
                (None, true) => ("confirmed", "migrated, and final"),
                (None, false) if !status.stopped.is_empty() => {
                    ("stopped", "stopped on the old host; the new one knows nothing of it")
                }
                (None, false) => ("none", "not migrated"),
            };
            let stopped = match status.stopped.as_slice() {
                [] => String::new(),
                stopped => format!("; stopped on {}: {}", self.from, stopped.join(", ")),
            };
            let kept = match status.kept.as_slice() {
                [] => String::new(),
                kept => format!("; kept: {}", kept.join(", ")),
            };
            let text = format!("`{}`: {words}{stopped}{kept}", service.name);
            self.say(
                phase,
                Some(&service.name),
                &text,
                serde_json::json!({"stopped": status.stopped, "kept": status.kept}),
            );
        }
        Ok(Exit::Ok)
    }
}

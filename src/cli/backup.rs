//! `mms backup`: backups now, what there is, and what is kept.

pub(super) mod mirror;
mod pull;
mod show;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use tokio::sync::{mpsc, oneshot};

use super::status::{looking, user_of};
use super::{Global, Session, complete, services, signals};
use crate::backup::answer::{self, Ended, Line};
use crate::backup::target;
use crate::engine::{Engine, Host, Question};
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::service::observe::PRELUDE;
use crate::sh;
use crate::ui::Ui;

/// Back up services now, or look after their backups
///
/// Starts on the hosts what their timers start every night, and follows it. A backup goes on when mms is interrupted or the connection is cut.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  mms backup                        every service of every host\n  mms backup radarr sonarr          only these\n  mms backup immich --to ~/backups  and bring the new backup here\n  mms backup list                   what there is\n  mms backup prune --dry-run        what would be removed, and why the rest is kept"
)]
pub struct Backup {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only these services
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// Bring each new backup into a directory of this machine, checked against its SHA-256
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Leave out the mirrors of large files
    #[arg(long)]
    no_mirror: bool,
    /// Take it as right that much less is there than in the backup before
    #[arg(long)]
    accept_shrink: bool,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Prune(Prune),
    Verify(verify::Verify),
    Drill(verify::Drill),
}

/// Show which backups and mirrors there are
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms backup list\n  mms backup list radarr --json")]
struct List {
    /// Only these services
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
}

/// Remove backups that are not kept any longer, as every backup does when it is done
///
/// Kept are the newest of each of the last 7 days, 4 weeks and 6 months that have one (or what `retention` says), the newest of all, and the
/// newest that was verified.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms backup prune --dry-run\n  mms backup prune radarr")]
struct Prune {
    /// Only these services
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// Show what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
}

impl Backup {
    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        match &self.action {
            Some(Action::Verify(verify)) => verify.run(global, ui).await,
            Some(Action::Drill(drill)) => drill.run(global, ui).await,
            Some(Action::List(list)) => show::list(global, ui, &list.services, list.limit.clone()).await,
            Some(Action::Prune(prune)) => {
                show::prune(global, ui, &prune.services, prune.dry_run, prune.limit.clone()).await
            }
            None => self.back_up(global, ui).await,
        }
    }

    async fn back_up(&self, global: &Global, ui: &Ui) -> Result<Exit> {
        let (engine, hosts) = open(global, ui, &self.services, self.limit.clone())?;
        let work = futures::future::join_all(hosts.iter().map(|host| self.on_host(&engine, host, global.json, ui)));
        let ended = match signals::until_stopped(work).await {
            Ok(ended) => ended,
            Err(signal) => {
                ui.progress().finish();
                engine.close().await;
                return Err(signal.error().hint(GOES_ON));
            }
        };
        engine.close().await;
        ui.progress().clear();
        let mut exit = Exit::Ok;
        let (mut done, mut failed) = (0, vec![]);
        for outcome in ended {
            match outcome {
                Ok(all) => {
                    for (ok, name) in all {
                        if ok { done += 1 } else { failed.push(name) }
                    }
                }
                Err(error) => {
                    exit = exit.or_worse(error.exit());
                    ui.error(&error);
                }
            }
        }
        if exit == Exit::Ok && done == 0 && failed.is_empty() {
            return Err(nothing(&self.services));
        }
        if !failed.is_empty() {
            exit = exit.or_worse(Exit::Failed);
            ui.note(&format!("{done} done, {} failed: {}", failed.len(), failed.join(", ")));
        } else if done > 1 {
            ui.note(&format!("{done} done"));
        }
        Ok(exit)
    }

    /// Every service of a host, one after the other: how each ended, and its name.
    async fn on_host(&self, engine: &Engine, host: &Arc<Host>, json: bool, ui: &Ui) -> Result<Vec<(bool, String)>> {
        let site = Site::new(engine, host)?;
        let mut all = vec![];
        let services = site.services().await.map_err(|error| error.hint("no backup was begun"))?;
        for (name, kinds) in services {
            if !self.services.is_empty() && !self.services.contains(&name) {
                continue;
            }
            if !self.no_mirror && kinds.iter().any(|kind| kind == "unmirrored") {
                let note = "its large files are not mirrored: `mms_backup_mirror_dir` is not set";
                ui.note(&format!("{}: {name}: {note}", host.name()));
            }
            let wanted = |kind: &&String| *kind == "backup" || (*kind == "mirror" && !self.no_mirror);
            for kind in kinds.iter().filter(wanted) {
                ui.progress().start(host.name(), &format!("{name}: {kind}"));
                let to = self.to.as_deref().filter(|_| kind == "backup");
                let (mut ended, arrived) = self.start(&site, &name, kind == "mirror", to, ui).await?;
                if let Some(dir) = to.filter(|_| ended.ok) {
                    ui.progress().set(host.name(), &format!("{name}: bringing {} here", ended.file));
                    match pull::pull(&site, &ended, dir, arrived).await {
                        Ok(path) => ended.message.push_str(&format!(", here as {}", path.display())),
                        Err(error) => {
                            ended.ok = false;
                            ended.message = format!("{}; it was made, but it is not here", error.message());
                        }
                    }
                }
                ui.progress().remove(host.name());
                show::ended(ui, json, host.name(), &ended);
                all.push((ended.ok, if kind == "mirror" { format!("{name} (mirror)") } else { name.clone() }));
            }
        }
        Ok(all)
    }

    /// Starts one and follows it to its end; it is brought to `to` while it is written.
    async fn start(
        &self,
        site: &Site<'_>,
        name: &str,
        mirror: bool,
        to: Option<&Path>,
        ui: &Ui,
    ) -> Result<(Ended, Option<pull::Arrived>)> {
        let (teller, growing) = oneshot::channel();
        let (end, size) = oneshot::channel();
        let running = async {
            let ended = site.start(name, mirror, self.accept_shrink, teller, ui).await;
            // What failed is not waited for.
            let _ = end.send(ended.as_ref().map_or(0, |ended| if ended.ok { ended.size } else { 0 }));
            ended
        };
        let arriving = async {
            match to {
                Some(dir) => pull::while_written(site, name, dir, growing, size).await,
                None => None,
            }
        };
        let (ended, arrived) = futures::future::join(running, arriving).await;
        Ok((ended?, arrived))
    }
}

/// What holds when nobody follows any longer.
const GOES_ON: &str = "a backup that was begun goes on on its host; `mms backup list` shows it when it is done";

fn open(global: &Global, ui: &Ui, names: &[String], limit: Option<String>) -> Result<(Engine, Vec<Arc<Host>>)> {
    let session = Session::open(global, ui)?;
    services::variables(&session, names)?;
    let engine = looking(&session, limit)?;
    let hosts = super::status::with_services(&engine)?;
    Ok((engine, hosts))
}

/// The error when no host has what was asked for.
fn nothing(names: &[String]) -> Error {
    let what = match names {
        [] => "no host has backups set up".to_owned(),
        names => format!("no host has backups of {} set up", names.join(", ")),
    };
    Error::new(ErrorKind::Failed, what)
        .hint("`mms deploy` sets up the backups of services that have a `backup:` key and are in `mms_services`")
}

/// A host, asked as the user of its containers.
struct Site<'a> {
    engine: &'a Engine,
    host: &'a Arc<Host>,
    user: String,
}

impl<'a> Site<'a> {
    fn new(engine: &'a Engine, host: &'a Arc<Host>) -> Result<Self> {
        Ok(Self { engine, host, user: user_of(engine, host)? })
    }

    /// What the program prints.
    async fn ask(&self, arguments: &[&str], live: Option<mpsc::UnboundedSender<String>>) -> Result<String> {
        let script = format!("{PRELUDE}exec {} {}\n", target::PROGRAM, sh::join(arguments));
        let question = Question { script, user: Some(self.user.clone()) };
        let answer = self.engine.ask(self.host, &question, live).await?;
        if answer.ok() {
            return Ok(answer.stdout_text().into_owned());
        }
        if matches!(answer.rc, 126 | 127) {
            let missing = format!("{}: backups are not set up there", self.host.name());
            return Err(Error::new(ErrorKind::Failed, missing).hint("`mms deploy` sets them up"));
        }
        if answer.rc > 128 {
            let killed = format!("{}: the program was killed by signal {}", self.host.name(), answer.rc - 128);
            return Err(Error::new(ErrorKind::Failed, killed));
        }
        let stderr = answer.stderr_text();
        let why = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a message");
        Err(Error::new(ErrorKind::Failed, format!("{}: {why}", self.host.name())))
    }

    /// The services that have backups, and which kinds.
    async fn services(&self) -> Result<Vec<(String, Vec<String>)>> {
        let answer = self.ask(&["services"], None).await?;
        let words = answer.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        Ok(words.filter_map(|mut words| (!words.is_empty()).then(|| (words.remove(0), words))).collect())
    }

    /// Starts one and follows it to its end.
    async fn start(
        &self,
        service: &str,
        mirror: bool,
        accept_shrink: bool,
        growing: oneshot::Sender<String>,
        ui: &Ui,
    ) -> Result<Ended> {
        let mut arguments = vec!["start", service];
        arguments.extend(mirror.then_some("mirror"));
        arguments.extend(accept_shrink.then_some("--accept-shrink"));
        self.follow(service, &arguments, Some(growing), ui).await.map_err(|error| match error.kind() {
            ErrorKind::Unreachable => error.hint(GOES_ON),
            _ => error,
        })
    }

    /// Follows what was started to its end; tells which file grows.
    async fn follow(
        &self,
        service: &str,
        arguments: &[&str],
        mut growing: Option<oneshot::Sender<String>>,
        ui: &Ui,
    ) -> Result<Ended> {
        let (sender, mut lines) = mpsc::unbounded_channel::<String>();
        let following = async move {
            while let Some(line) = lines.recv().await {
                match Line::parse(&line) {
                    Some(Line::Progress(text)) => ui.progress().set(self.host.name(), &format!("{service}: {text}")),
                    Some(Line::Writing(path)) => drop(growing.take().map(|growing| growing.send(path))),
                    _ => {}
                }
            }
        };
        let (said, ()) = futures::future::join(self.ask(arguments, Some(sender)), following).await;
        let ended = said?.lines().rev().find_map(|line| match Line::parse(line) {
            Some(Line::Ended(ended)) => Some(ended),
            _ => None,
        });
        ended.ok_or_else(|| {
            Error::new(ErrorKind::Failed, format!("{}: {service}: it did not say how it ended", self.host.name()))
                .hint(format!("`journalctl --user -u mms-backup@{service}` as the containers' user shows its log"))
        })
    }

    /// What is kept of these services; all of them when none is named.
    async fn kept(&self, names: &[String]) -> Result<Vec<answer::Kept>> {
        let mut all = vec![];
        for (name, _) in self.services().await? {
            if names.is_empty() || names.contains(&name) {
                let text = self.ask(&["list", &name], None).await?;
                let kept = answer::kept(&text).map_err(|error| {
                    Error::new(
                        ErrorKind::Failed,
                        format!("{}: cannot read the list of {name}: {error}", self.host.name()),
                    )
                })?;
                all.extend(kept);
            }
        }
        Ok(all)
    }
}

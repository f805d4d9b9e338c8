//! Restoring services from backups.
//!
//! A restore has two halves. In the first, nothing that runs is touched: the backup is opened on the workstation ([`stage`]),
//! every byte is checked, and the content is unpacked beside the data it will replace; dumps of PostgreSQL are loaded into a fresh
//! data directory by a throwaway server ([`postgres`]). The second is short: the service is stopped, data is swapped by renaming,
//! the service is started and must become well ([`swap`]); when it does not, the old data is put back. A journal on the target
//! ([`journal`]) says how far it came, so that a restore that was cut off is completed or undone by the next one.
//!
//! Neither an identity nor any other key reaches the target. [`plan`] is pure; [`scripts`] is the shell text.

pub mod drill;
pub(crate) mod journal;
pub(crate) mod plan;
pub(crate) mod postgres;
pub(crate) mod scripts;
mod site;
mod stage;
pub(crate) mod swap;
mod trial;

use crate::backup::name::{At, select};
use crate::backup::source::{self, Found, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;
use crate::service::model::{Backup, Strategy};
use crate::size;
use crate::vault::Keyring;
use journal::{Journal, Phase, Recovery, Verb};
use plan::{Seen, Targets};

pub use site::Site;

/// The one who is told, and asked. Implemented by `cli`.
pub trait Talk: Send + Sync {
    /// A line that stays.
    fn note(&self, line: &str);
    /// What is going on; replaces the one before.
    fn progress(&self, host: &str, line: &str);
    /// Whether to go on. `None`: there is nobody to ask.
    fn confirm(&self, question: &str) -> Option<bool>;
}

/// Which backup is restored.
#[derive(Debug, Clone)]
pub enum Which {
    /// One of those in a directory.
    In(Place, At),
    /// This file.
    File(Place),
}

/// What is asked for.
pub struct Request<'a> {
    /// The service, as it is defined for the host.
    pub service: &'a Service,
    /// The backup.
    pub which: Which,
    /// Show the plan, do nothing.
    pub dry_run: bool,
    /// Do not ask.
    pub yes: bool,
    /// The keys to the backup.
    pub keyring: &'a Keyring,
    /// Who does it, for others who want to: `alice@laptop`.
    pub owner: &'a str,
}

/// How a restore ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The plan was shown.
    Planned,
    /// The person said no.
    Declined,
    /// The service is well on the restored data.
    Restored {
        /// The backup.
        backup: String,
        /// Where the data that was replaced is kept.
        kept: Vec<String>,
        /// How long the service was away.
        downtime: std::time::Duration,
    },
    /// A restore that was cut off has been completed.
    Completed {
        /// The backup.
        backup: String,
        /// Where the data that was replaced is kept.
        kept: Vec<String>,
    },
}

/// Restores one service.
pub async fn run(site: &Site<'_>, request: &Request<'_>, talk: &dyn Talk) -> Result<Outcome> {
    let unchanged = |error: Error| error.hint(format!("nothing has changed: `{}` is as it was", request.service.name));
    let targets = Targets::of(request.service).map_err(unchanged)?;
    let found = find(site, request).await.map_err(unchanged)?;
    let seen = look(site, request.service, &targets).await.map_err(unchanged)?;
    no_migration(site, request.service).await.map_err(unchanged)?;
    say_plan(site, request, &targets, &seen, &found, talk);
    if request.dry_run {
        return Ok(Outcome::Planned);
    }
    if !request.yes {
        match talk.confirm(&format!("restore `{}` on {}?", request.service.name, site.name)) {
            Some(true) => {}
            Some(false) => return Ok(Outcome::Declined),
            None => {
                return Err(unchanged(
                    Error::user("there is nobody to ask whether to restore").hint("`--yes` says so"),
                ));
            }
        }
    }
    lock(site, &request.service.name, request.owner, talk).await.map_err(unchanged)?;
    let outcome = async {
        // Somebody else may have been at work until the lock was free.
        let mut seen = look(site, request.service, &targets).await.map_err(unchanged)?;
        if seen.earlier.iter().any(|found| found.recovery(true) != Recovery::Nothing) {
            if let Some(outcome) = recover(site, request, &seen, &found.file, talk).await? {
                return Ok(outcome);
            }
            seen = look(site, request.service, &targets).await?;
        }
        restore(site, request, &targets, &seen, &found, talk).await
    }
    .await;
    // A lock that cannot be given back ends with this connection's shell.
    let _ = site.ask(scripts::unlock(&request.service.name)).await;
    outcome
}

async fn find(site: &Site<'_>, request: &Request<'_>) -> Result<Found> {
    match &request.which {
        Which::File(place) => source::file(place, Some(site)).await,
        Which::In(place, at) => {
            let found = source::list(&request.service.name, place, Some(site)).await?;
            let names: Vec<_> = found.iter().filter_map(|found| found.name.clone()).collect();
            let name = select(&request.service.name, &names, at, &place.to_string())?;
            let chosen = found.iter().find(|found| found.file == name.file).cloned();
            chosen.ok_or_else(|| Error::internal("the backup that was picked is not in the list"))
        }
    }
}

async fn look(site: &Site<'_>, service: &Service, targets: &Targets) -> Result<Seen> {
    let containers: Vec<String> = service.containers.keys().cloned().collect();
    let script = scripts::look(Verb::Restore, &service.name, &containers, &targets.places());
    let answer = site.must("look at the service", script).await?;
    Ok(Seen::parse(&answer.stdout_text()))
}

/// A migration that was cut off in the middle of its swap has to be brought to its end first.
async fn no_migration(site: &Site<'_>, service: &Service) -> Result<()> {
    let script = scripts::look(Verb::Migrate, &service.name, &[], &[]);
    let answer = site.must("look for migrations", script).await?;
    let seen = Seen::parse(&answer.stdout_text());
    let cut_off = |found: &&journal::Found| !matches!(found.recovery(true), Recovery::Nothing | Recovery::Forget);
    match seen.earlier.iter().find(cut_off) {
        None => Ok(()),
        Some(found) => Err(Error::new(
            ErrorKind::Failed,
            format!("{}: a migration of `{}` from {} was cut off", site.name, service.name, found.journal.backup),
        )
        .hint(format!("`{}` completes it, with `--rollback` it is taken back", found.journal.again()))),
    }
}

fn say_plan(site: &Site<'_>, request: &Request<'_>, targets: &Targets, seen: &Seen, found: &Found, talk: &dyn Talk) {
    let made = found.name.as_ref().map(|name| format!(", made {}", name.shown_time())).unwrap_or_default();
    talk.note(&format!(
        "{}: restore `{}` from {} ({}{made})",
        site.name,
        request.service.name,
        found.place,
        size::human(found.size)
    ));
    for (path, seen) in targets.places().iter().zip(&seen.paths) {
        talk.note(&match seen.kind.as_str() {
            "absent" => format!("  {path} is made"),
            _ => format!(
                "  {path} is replaced; the old one is kept beside it until `mms restore --confirm {}`",
                request.service.name
            ),
        });
    }
    if let Some(database) = &targets.database {
        talk.note(&format!("  the databases of `{}` are loaded into a fresh data directory", database.container));
    }
    let names: Vec<&str> = request.service.containers.keys().map(String::as_str).collect();
    talk.note(&format!(
        "  {} {} stopped for the swap, and must become well again",
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" }
    ));
    if found.expected().encrypted == Some(false) {
        talk.note("  warning: this backup is not encrypted; its hashes tell damage, not forgery");
    }
    for found in seen.earlier.iter().filter(|found| found.recovery(true) != Recovery::Nothing) {
        talk.note(&format!("  a restore of `{}` was cut off ({})", found.journal.backup, found.phase.word()));
    }
}

/// Takes the lock that deploys take as well, and then that of the service. One whose mms was killed a moment ago still ends its last
/// step.
pub(crate) async fn lock(site: &Site<'_>, service: &str, owner: &str, talk: &dyn Talk) -> Result<()> {
    site.hold().await?;
    let script = scripts::lock(service, owner);
    let mut holder = String::new();
    for _ in 0..30 {
        let answer = site.ask(script.clone()).await?;
        if answer.rc != 75 {
            return site.checked("take the lock", answer).map(drop);
        }
        answer.stdout_text().trim().clone_into(&mut holder);
        talk.progress(&site.name, &format!("waiting for {holder}"));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    Err(Error::new(ErrorKind::Failed, format!("{}: {holder} of `{service}` is under way", site.name)))
}

/// Brings what was cut off to an end. An outcome means that this was what was asked for.
async fn recover(
    site: &Site<'_>,
    request: &Request<'_>,
    seen: &Seen,
    backup: &str,
    talk: &dyn Talk,
) -> Result<Option<Outcome>> {
    for found in &seen.earlier {
        let journal = &found.journal;
        match found.recovery(journal.backup == backup) {
            Recovery::Nothing => {}
            Recovery::Forget => {
                talk.note(&format!(
                    "{}: a restore of `{}` was cut off before anything had changed; what it left is removed",
                    site.name, journal.backup
                ));
                site.must("remove what a restore left", scripts::forget(journal)).await?;
            }
            Recovery::Undo => {
                talk.note(&format!("{}: undoing the restore of `{}` that was cut off", site.name, journal.backup));
                swap::undo(site, request.service, journal).await?;
                talk.note(&format!("{}: undone: the data from before is in place", site.name));
            }
            Recovery::Complete => {
                talk.note(&format!("{}: completing the restore of `{}` that was cut off", site.name, journal.backup));
                swap::swap(site, request.service, journal, &earlier(seen, journal), talk).await?;
                return Ok(Some(Outcome::Completed { backup: journal.backup.clone(), kept: kept(journal) }));
            }
        }
    }
    Ok(None)
}

/// Restores that have ended well before this one; what they replaced is still kept.
fn earlier<'a>(seen: &'a Seen, own: &Journal) -> Vec<&'a Journal> {
    let ended = seen.earlier.iter().filter(|found| found.phase == Phase::Done && found.journal.id != own.id);
    ended.map(|found| &found.journal).collect()
}

pub(crate) fn kept(journal: &Journal) -> Vec<String> {
    journal.places.iter().filter(|place| place.existed).map(|place| place.replaced.clone()).collect()
}

async fn restore(
    site: &Site<'_>,
    request: &Request<'_>,
    targets: &Targets,
    seen: &Seen,
    found: &Found,
    talk: &dyn Talk,
) -> Result<Outcome> {
    let service = request.service;
    let unchanged = |error: Error| error.hint(format!("nothing has changed: `{}` is as it was", service.name));
    let bytes = found.note.as_ref().and_then(|note| note.bytes).unwrap_or(found.size);
    plan::check(&targets.places(), seen, Some(bytes)).map_err(unchanged)?;
    let active = site.must("look at what runs", scripts::active()).await.map_err(unchanged)?;
    let active = active.stdout_text().lines().map(str::to_owned).collect();
    let journal = plan::journal(Verb::Restore, &journal::new_id(), service, &found.file, seen, active);
    let prepared = prepare(site, request, targets, &journal, found, talk).await;
    if let Err(error) = prepared {
        // What cannot be removed now is removed by the next restore.
        let _ = site.ask(scripts::forget(&journal)).await;
        return Err(unchanged(error));
    }
    let downtime = swap::swap(site, service, &journal, &earlier(seen, &journal), talk).await?;
    Ok(Outcome::Restored { backup: found.file.clone(), kept: kept(&journal), downtime })
}

/// Everything that can be done, and can go wrong, before anything that runs is touched.
async fn prepare(
    site: &Site<'_>,
    request: &Request<'_>,
    targets: &Targets,
    journal: &Journal,
    found: &Found,
    talk: &dyn Talk,
) -> Result<()> {
    let begun = site.must("note what is about to be done", scripts::begin(journal, request.owner)).await?;
    let roots = stage::Roots {
        data: journal.places.iter().take(targets.paths.len()).map(|place| place.staged.clone()).collect(),
        // Beside the journal.
        dumps: format!("{}/dumps", begun.stdout_text().trim()),
    };
    let staged = stage::stage(site, found, &roots, request.keyring, talk).await?;
    if !staged.report.manifest {
        talk.note(
            "warning: the backup has no hashes inside (it was made by hand); it was read to its end without an error",
        );
    }
    if let Some(path) =
        targets.paths.iter().enumerate().find(|(at, _)| !staged.paths.contains(at)).map(|(_, path)| path)
    {
        return Err(Error::new(ErrorKind::Failed, format!("the backup holds nothing for `{path}`"))
            .hint("`backup.paths` of the service must be those it was backed up with, in the same order"));
    }
    match &targets.database {
        Some(database) => {
            talk.progress(&site.name, &format!("loading the databases of {}", database.container));
            postgres::load(site, request.service, database, targets, journal, &staged.dumps, &roots.dumps).await?;
        }
        None if !staged.dumps.is_empty() => {
            return Err(Error::new(
                ErrorKind::Failed,
                "the backup holds a dump of PostgreSQL, and the service has no such database",
            )
            .hint("`backup.strategy` of the service must be `postgres`"));
        }
        None => {}
    }
    site.must("write everything to the disk", scripts::settle_down(journal)).await.map(drop)
}

/// Removes what the last restore of a service replaced. Gives the number of directories.
pub async fn confirm(site: &Site<'_>, service: &Service) -> Result<usize> {
    let targets = Targets::of(service)?;
    let seen = look(site, service, &targets).await?;
    let mut removed = 0;
    for found in seen.earlier.iter().filter(|found| found.phase == Phase::Done) {
        site.must("remove what was replaced", scripts::forget(&found.journal)).await?;
        removed += kept(&found.journal).len();
    }
    Ok(removed)
}

/// Puts back what the last restore of a service replaced. Gives the backup whose data is taken away.
pub async fn undo(site: &Site<'_>, service: &Service, owner: &str) -> Result<String> {
    let targets = Targets::of(service)?;
    let seen = look(site, service, &targets).await?;
    let last = seen.earlier.iter().filter(|found| found.phase == Phase::Done).max_by_key(|found| &found.journal.id);
    let Some(last) = last else {
        return Err(Error::user(format!(
            "{}: there is no restore of `{}` that could be undone",
            site.name, service.name
        ))
        .hint("what a restore replaced is kept until `mms restore --confirm`, or the next restore"));
    };
    site.hold().await?;
    site.must("take the lock", scripts::lock(&service.name, owner)).await?;
    let undone = swap::undo(site, service, &last.journal).await;
    let _ = site.ask(scripts::unlock(&service.name)).await;
    undone.map(|()| last.journal.backup.clone())
}

/// Whether a service has no archives at all.
pub fn nothing_to_restore(service: &Service) -> bool {
    let archived = |backup: &Backup| !matches!(backup.strategy, Strategy::None | Strategy::Rsync);
    !service.backup.as_ref().is_some_and(archived)
}

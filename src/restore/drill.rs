//! `mms backup drill`: a real restore to a throwaway place on the target. What it proves: the backup opens, its content is whole,
//! its dumps load, and the service becomes well on it. It touches nothing that runs, publishes no port, and is always cleaned up:
//! at the end, by the next drill when it was cut off, and by a reboot as far as units go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::journal::{self, Journal, Place, Verb};
use super::plan::Targets;
use super::site::Site;
use super::trial::{self, Trial};
use super::{Request, Talk, find, look, plan, postgres, prepare, scripts};
use crate::error::{Error, ErrorKind, Result};

/// How a drill went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drilled {
    /// The backup.
    pub backup: String,
    /// How long it took until the service was well on it.
    pub took: Duration,
}

/// Restores a backup to a throwaway place and starts the service there.
pub async fn run(site: &Site<'_>, request: &Request<'_>, talk: &dyn Talk) -> Result<Drilled> {
    let service = request.service;
    let began = Instant::now();
    let targets = Targets::of(service)?;
    let found = find(site, request).await?;
    let seen = look(site, service, &targets).await?;
    let bytes = found.note.as_ref().and_then(|note| note.bytes).unwrap_or(found.size);
    plan::check(&targets.places(), &seen, Some(bytes))?;
    // Another name, so that a restore does not take it for one of its own.
    let mut journal = plan::journal(Verb::Restore, &journal::new_id(), service, &found.file, &seen, vec![]);
    journal.service = format!("{}.drill", service.name);
    journal.units.clear();
    for place in &mut journal.places {
        place.staged = place.staged.replace("/.mms-restore-", "/.mms-drill-");
    }
    clean_earlier(site, &journal, &targets).await?;
    let outcome = trial(site, request, &targets, &journal, &found, talk).await;
    let cleaned = clean(site, &journal).await;
    outcome?;
    cleaned?;
    Ok(Drilled { backup: found.file, took: began.elapsed() })
}

fn prefix(journal: &Journal) -> String {
    format!("mms-drill-{}-", journal.service.trim_end_matches(".drill"))
}

async fn clean(site: &Site<'_>, journal: &Journal) -> Result<()> {
    let staged: Vec<String> = journal.places.iter().flat_map(|place| [place.staged.clone(), empty(place)]).collect();
    site.must("clean up after the drill", scripts::end_trial(&prefix(journal), &staged)).await?;
    site.must("clean up after the drill", scripts::forget(journal)).await?;
    site.must("clean up after the drill", scripts::unlock(&journal.service)).await.map(drop)
}

/// Takes away what a drill that was cut off has left.
async fn clean_earlier(site: &Site<'_>, journal: &Journal, targets: &Targets) -> Result<()> {
    let answer = site
        .must("look for earlier drills", scripts::look(Verb::Restore, &journal.service, &[], &targets.places()))
        .await?;
    let earlier = plan::Seen::parse(&answer.stdout_text()).earlier;
    for found in &earlier {
        clean(site, &found.journal).await?;
    }
    site.must("clean up after the drill", scripts::end_trial(&prefix(journal), &[])).await.map(drop)
}

fn empty(place: &Place) -> String {
    format!("{}.empty", place.staged)
}

async fn trial(
    site: &Site<'_>,
    request: &Request<'_>,
    targets: &Targets,
    journal: &Journal,
    found: &crate::backup::source::Found,
    talk: &dyn Talk,
) -> Result<()> {
    let service = request.service;
    let names: Vec<String> = service.containers.keys().cloned().collect();
    let texts = postgres::units(site, &names).await?;
    prepare(site, request, targets, journal, found, talk).await?;
    let mut copies: BTreeMap<String, String> =
        targets.places().into_iter().zip(journal.places.iter().map(|place| place.staged.clone())).collect();
    if let Some(database) = &targets.database
        && let Some(staged) = postgres::staged(database, targets, journal)
    {
        copies.insert(database.directory.clone(), staged);
    }
    let prefix = prefix(journal);
    let network = format!("{prefix}net");
    let trial = Trial {
        prefix: prefix.clone(),
        containers: names.clone(),
        network: Some(format!("{network}.network")),
        copies,
        empty: journal.places.first().map(empty).unwrap_or_default(),
    };
    let network_unit = format!("[Network]\nNetworkName={network}\nInternal=true\n");
    let mut units = vec![(format!("{network}.network"), network_unit)];
    let mut directories = vec![];
    for name in &names {
        let text = texts.get(name).ok_or_else(|| postgres::not_deployed(&service.name, name))?;
        let own = Trial { empty: format!("{}/{name}", trial.empty), ..trial.clone() };
        let (text, empty) = trial::unit(text, name, &own);
        directories.extend(empty);
        units.push((format!("{prefix}{name}.container"), text));
    }
    talk.progress(&site.name, &format!("starting {} on the restored data", names.join(", ")));
    let start: Vec<String> = names.iter().map(|name| format!("{prefix}{name}.service")).collect();
    site.must("start the drill", scripts::start_trial(&units, &directories, &start)).await?;
    let watched = service.containers.iter().map(|(name, container)| (format!("{prefix}{name}"), container)).collect();
    let failed = site.settle(watched).await?;
    if failed.is_empty() {
        return Ok(());
    }
    let why: Vec<String> = failed.iter().map(|(name, why)| format!("`{name}` is not well: {why}")).collect();
    Err(Error::new(
        ErrorKind::Failed,
        format!(
            "{}: `{}` does not become well on the backup `{}`\n{}",
            site.name,
            service.name,
            found.file,
            why.join("\n")
        ),
    ))
}

//! The short half of a restore: the swap, the health gate, and the way back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::journal::{Journal, Verb};
use super::site::Site;
use super::{Talk, scripts};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

/// Swaps data, starts the service and waits until it is well. When it is not, the old data is put back and the error says so.
/// May be called again for a restore that was cut off in the middle of it. Gives the time the service was away.
pub(crate) async fn swap(
    site: &Site<'_>,
    service: &Service,
    journal: &Journal,
    earlier: &[&Journal],
    talk: &dyn Talk,
) -> Result<Duration> {
    talk.progress(&site.name, &format!("swapping the data of {}", service.name));
    let began = Instant::now();
    let mut swapped = site.must("swap the data", scripts::swap(journal)).await;
    for _ in 0..TRIES {
        if !swapped.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unreachable) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        if let Ok(()) = back(site, service).await {
            talk.note(&format!("{}: the connection was lost in the middle of the swap; connected again", site.name));
            swapped = site.must("swap the data", scripts::swap(journal)).await;
        }
    }
    if let Err(error) = swapped {
        // A connection that was lost says nothing of how far the script came; the journal does.
        return Err(match error.kind() {
            ErrorKind::Unreachable => error
                .hint("the service may be in the middle of the swap")
                .hint(format!("`{}` completes or undoes it", journal.again())),
            _ => went_back(site, service, journal, error).await,
        });
    }
    let failed = gate(site, service, journal).await?;
    let downtime = began.elapsed();
    if !failed.is_empty() {
        let why: Vec<String> = failed.iter().map(|(name, why)| format!("`{name}` is not well: {why}")).collect();
        let error = Error::new(
            ErrorKind::Failed,
            format!("{}: `{}` is not well on the {} data\n{}", site.name, service.name, word(journal), why.join("\n")),
        );
        return Err(went_back(site, service, journal, error).await);
    }
    site.must("note that it is done", scripts::done(journal, earlier)).await?;
    Ok(downtime)
}

/// A connection that was lost in the middle of the swap, when the service may be stopped, is made again: so often, with such a pause.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// Connects again and takes the lock again. What was begun over the old connection goes on to its end, and holds the lock until then.
async fn back(site: &Site<'_>, service: &Service) -> Result<()> {
    site.connect_again().await?;
    site.must("take the lock", scripts::lock(&service.name, "a restore whose connection was lost")).await.map(drop)
}

async fn gate(site: &Site<'_>, service: &Service, journal: &Journal) -> Result<Vec<(String, String)>> {
    let containers: BTreeMap<String, _> =
        service.containers.iter().map(|(name, container)| (name.clone(), container)).collect();
    let settled = site.settle(containers).await;
    settled.map_err(|error| error.hint(format!("`{}` completes or undoes what was begun", journal.again())))
}

/// Puts the old data back after an error, and says how that went.
async fn went_back(site: &Site<'_>, service: &Service, journal: &Journal, error: Error) -> Error {
    match undo(site, service, journal).await {
        Ok(()) => error.hint(format!(
            "swapped back: the data from before is in place, and nothing of `{}` has changed",
            service.name
        )),
        Err(own) => error
            .hint(format!("going back failed as well: {}", own.message()))
            .hint(format!("`{}` tries again; no data was removed", journal.again())),
    }
}

fn word(journal: &Journal) -> &'static str {
    match journal.verb {
        Verb::Restore => "restored",
        Verb::Migrate => "migrated",
    }
}

/// Puts the old data back, starts what ran before, and takes away what was restored. What was migrated stays in its staging place.
pub(crate) async fn undo(site: &Site<'_>, service: &Service, journal: &Journal) -> Result<()> {
    site.must("put the old data back", scripts::undo(journal)).await?;
    let ran: BTreeMap<String, _> = service
        .containers
        .iter()
        .filter(|(name, _)| journal.active.contains(&format!("{name}.service")))
        .map(|(name, container)| (name.clone(), container))
        .collect();
    let failed = site.settle(ran).await?;
    // A migration's copy makes the next attempt short; and what was written to it since may be all there is of that.
    if journal.verb == Verb::Restore {
        site.must("remove what was restored", scripts::forget(journal)).await?;
    }
    match failed.first() {
        None => Ok(()),
        Some((name, why)) => Err(Error::new(
            ErrorKind::Failed,
            format!("{}: the data from before is in place, but `{name}` is not well: {why}", site.name),
        )),
    }
}

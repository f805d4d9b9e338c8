//! The way back, the end of it, and what the journals say.

use super::journal::{self, Record};
use super::{Hosts, source};
use crate::error::{Error, ErrorKind, Result};
use crate::restore::journal::{Found, Journal, Phase};
use crate::restore::{self, scripts, swap};
use crate::service::Service;

/// What a confirmation removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// Directories of the new host.
    pub removed: Vec<String>,
}

/// What the journals say of a service.
#[derive(Debug, Clone)]
pub struct Status {
    /// On the new host: the phase's word, and what it means.
    pub here: Option<(String, String)>,
    /// Where the data from before, or the copy, is kept.
    pub kept: Vec<String>,
    /// What was stopped on the old host.
    pub stopped: Vec<String>,
    /// Whether it is final.
    pub confirmed: bool,
}

impl Hosts<'_> {
    async fn last(&self, service: &Service) -> Result<Option<Found>> {
        let mut earlier = self.earlier(service).await?;
        earlier.retain(|found| found.journal.backup == self.source.name);
        Ok(earlier.pop())
    }

    fn noted(&self, service: &Service) -> Option<&Record> {
        self.seen.stopped.iter().find(|record| record.service == service.name)
    }

    /// Goes back to the start, from wherever a migration is. Gives what was done, for people; nothing when there is nothing to take back.
    pub async fn rollback(&self, service: &Service) -> Result<Vec<String>> {
        self.lock(&service.name).await?;
        let done = self.rollback_locked(service).await;
        self.unlock(&service.name).await;
        done
    }

    async fn rollback_locked(&self, service: &Service) -> Result<Vec<String>> {
        let (name, from, here) = (&service.name, &self.source.name, &self.target.name);
        let mut done = vec![];
        let Some(found) = self.last(service).await? else {
            let Some(record) = self.noted(service) else { return Ok(done) };
            // The new host has no journal: it is another machine now, or was never told.
            if record.to != *here {
                return Err(Error::user(format!("{from}: `{name}` was stopped for `{}`", record.to))
                    .hint(format!("`--to {}` names the host it was migrated to", record.to)));
            }
            self.start_record(record).await?;
            self.source.must("remove the notes", source::forget(name)).await?;
            done.push(format!("`{name}` runs on {from} again, as before; {here} knows nothing of a migration"));
            return Ok(done);
        };
        let (journal, phase) = (&found.journal, found.phase);
        let touched = matches!(phase, Phase::Swapping | Phase::Swapped | Phase::Undoing | Phase::Done);
        if touched {
            let other = self.record(journal).await?.filter(|record| record.to != *here);
            if let Some(record) = other {
                return Err(Error::user(format!("{from}: `{name}` was stopped for `{}` since", record.to)));
            }
            match swap::undo(self.target, service, journal).await {
                Ok(()) => done.push(format!("`{name}` has its data from before on {here}")),
                // The data is back, but what ran on it is not well: that must not keep the old host waiting.
                Err(error) if self.phase_of(service, &journal.id).await == Some(Phase::Undone) => {
                    done.push(format!("warning: {}", error.message()));
                }
                Err(error) => return Err(error),
            }
        }
        if self.start_there(journal).await? {
            done.push(format!("`{name}` runs on {from} again, as before"));
        }
        // What ran here as the real one may have written what is nowhere else.
        if matches!(phase, Phase::Done | Phase::Undoing | Phase::Undone) {
            if !touched && done.is_empty() {
                return Ok(done);
            }
            let kept: Vec<&str> = journal.places.iter().map(|place| place.staged.as_str()).collect();
            done.push(format!(
                "what it had here is kept until `mms migrate --confirm {name} --from {from}` or the next migration: {}",
                kept.join(", ")
            ));
        } else {
            // A pass that was cut off leaves its list of files.
            self.source.must("remove the notes", source::forget(name)).await?;
            self.target.must("remove the copy", scripts::forget(journal)).await?;
            if !touched {
                done.push(format!("the copy on {here} is removed"));
            }
        }
        Ok(done)
    }

    /// Makes a migration final: what it replaced goes, and there is no way back. Nothing is taken away on the old host but notes.
    pub async fn confirm(&self, service: &Service) -> Result<Option<Confirmed>> {
        let Some(found) = self.last(service).await? else { return Ok(None) };
        let name = &service.name;
        match found.phase {
            Phase::Done | Phase::Undone => {}
            phase => {
                return Err(Error::new(
                    ErrorKind::Failed,
                    format!(
                        "{}: the migration of `{name}` is not at its end: {}",
                        self.target.name,
                        journal::phase_in_words(phase)
                    ),
                )
                .hint(format!(
                    "`mms migrate {name} --from {}` completes it, `--rollback` takes it back",
                    self.source.name
                )));
            }
        }
        self.lock(name).await?;
        let outcome = self.confirm_locked(name, &found).await;
        self.unlock(name).await;
        outcome.map(Some)
    }

    async fn confirm_locked(&self, name: &str, found: &Found) -> Result<Confirmed> {
        let removed = match found.phase {
            Phase::Done => restore::kept(&found.journal),
            _ => found.journal.places.iter().map(|place| place.staged.clone()).collect(),
        };
        // First the old host's notes: a journal that is left over is confirmed again.
        if found.phase == Phase::Done {
            self.source.must("note that it is final", source::confirm(name)).await?;
        }
        self.target.must("remove what was replaced", scripts::forget(&found.journal)).await?;
        Ok(Confirmed { removed })
    }

    /// What the journals say.
    pub async fn status(&self, service: &Service) -> Result<Status> {
        let found = self.last(service).await?;
        let kept = found.as_ref().map(|Found { journal, phase }| match phase {
            Phase::Done => restore::kept(journal),
            Phase::Undone | Phase::Staging => staged(journal),
            _ => vec![],
        });
        let stopped = self.noted(service).map(|record| record.was.iter().map(|was| was.runner.to_string()).collect());
        Ok(Status {
            here: found.map(|found| (found.phase.word().to_owned(), journal::phase_in_words(found.phase).to_owned())),
            kept: kept.unwrap_or_default(),
            stopped: stopped.unwrap_or_default(),
            confirmed: self.seen.migrated.iter().any(|record| record.service == service.name),
        })
    }
}

fn staged(journal: &Journal) -> Vec<String> {
    journal.places.iter().map(|place| place.staged.clone()).collect()
}

//! The two passes of a service: the first while it runs on the old host, and the cut-over.

use std::time::{Duration, Instant};

use super::copy::Passed;
use super::journal::{Next, Record, Was};
use super::plan::Work;
use super::source::{self, Holder};
use super::{Hosts, target};
use crate::error::{Error, ErrorKind, Result};
use crate::restore::journal::{Journal, Phase};
use crate::restore::{self, scripts, swap};
use crate::service::Service;

/// A service that has arrived.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    /// How long it was away: from its stop on the old host until it was well on the new one. Not known when that was begun by a run
    /// that was cut off.
    pub downtime: Option<Duration>,
    /// What the second pass sent.
    pub second: Passed,
    /// What was adapted, for people.
    pub changes: Vec<String>,
    /// What to look at, for people.
    pub warnings: Vec<String>,
    /// Where the data from before is kept.
    pub kept: Vec<String>,
}

/// The old host is asked so often again to start what was stopped there, with such a pause.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

impl Hosts<'_> {
    /// Copies a service while it runs. What is there already is not copied again. The lock of the service is held from here on.
    pub async fn first_pass(&self, service: &Service, work: &mut Work) -> Result<Passed> {
        self.lock(&service.name).await.map_err(|error| error.hint("nothing was changed"))?;
        let passed = self.first_pass_locked(service, work).await;
        if passed.is_err() {
            self.unlock(&service.name).await;
        }
        passed
    }

    /// Gives the lock of a service back.
    pub async fn release(&self, service: &Service) {
        self.unlock(&service.name).await;
    }

    async fn first_pass_locked(&self, service: &Service, work: &mut Work) -> Result<Passed> {
        // Somebody else may have been at work until the lock was free.
        let last = self.earlier(service).await?.pop();
        let known = last.as_ref().filter(|found| found.journal.id == work.journal.id);
        let moved_on = match (known, &last) {
            (Some(found), _) => super::journal::next(found) != work.next,
            (None, Some(found)) => work.begun || !work.stale.iter().any(|stale| stale.id == found.journal.id),
            (None, None) => work.begun,
        };
        if moved_on {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{}: another migration of `{}` has been at work meanwhile", self.target.name, service.name),
            )
            .hint("nothing was changed by this one; run the same command again: it looks anew"));
        }
        if work.next == Next::GoBack {
            let again = "it was being taken back, and that is not at its end: run the same command again";
            self.gone_all_the_way(service, &work.journal).await.map_err(|error| error.hint(again))?;
            work.next = Next::FirstPass;
        }
        if work.next != Next::FirstPass {
            return Ok(Passed::default());
        }
        let (name, from) = (&service.name, &self.source.name);
        let kept = format!("`{name}` runs on {from} as before; what was copied is kept for the next run");
        self.copied(work).await.map_err(|error| error.hint(kept))
    }

    /// Completes a way back that was cut off.
    async fn gone_all_the_way(&self, service: &Service, journal: &Journal) -> Result<()> {
        let undone = swap::undo(self.target, service, journal).await;
        if self.phase_of(service, &journal.id).await != Some(Phase::Undone) {
            undone?;
        }
        self.start_there(journal).await.map(drop)
    }

    async fn copied(&self, work: &mut Work) -> Result<Passed> {
        for stale in &work.stale {
            self.target.must("remove what another migration left", scripts::forget(stale)).await?;
        }
        let script = if work.begun {
            target::renew(&work.journal, Phase::Staging)
        } else {
            scripts::begin(&work.journal, &self.options.owner)
        };
        self.target.must("note what is about to be done", script).await?;
        work.begun = true;
        self.target.must("make room for the copy", target::stage(&work.journal)).await?;
        self.copy(&work.journal).pass("first pass").await
    }

    /// Stops a service on the old host, brings the copy to its end, and starts the service on it here. When that does not go well, the
    /// service runs on the old host again, and the error says so.
    pub async fn cut_over(&self, service: &Service, work: &Work) -> Result<Moved> {
        let moved = match work.next {
            Next::Complete => self.complete(service, &work.journal).await,
            _ => self.move_over(service, work).await,
        };
        self.unlock(&service.name).await;
        moved
    }

    async fn complete(&self, service: &Service, journal: &Journal) -> Result<Moved> {
        self.swap(service, journal).await?;
        Ok(Moved { kept: restore::kept(journal), ..Moved::default() })
    }

    async fn move_over(&self, service: &Service, work: &Work) -> Result<Moved> {
        let journal = &match self.refreshed(service, &work.journal).await {
            Ok(journal) => journal,
            Err(error) => return Err(self.gone_back(&work.journal, error).await),
        };
        let began = Instant::now();
        let resumed = work.next == Next::SecondPass;
        let prepared = async {
            self.stop_there(journal, Phase::Stopping).await?;
            self.second_pass(service, journal).await
        }
        .await;
        let mut moved = match prepared {
            Ok(moved) => moved,
            Err(error) => return Err(self.gone_back(journal, error).await),
        };
        self.swap(service, journal).await?;
        moved.downtime = (!resumed).then(|| began.elapsed());
        moved.kept = restore::kept(journal);
        Ok(moved)
    }

    /// The journal with what runs here now; nothing is touched yet.
    async fn refreshed(&self, service: &Service, journal: &Journal) -> Result<Journal> {
        let lives: Vec<String> = journal.places.iter().map(|place| place.live.clone()).collect();
        let seen = self.here(service, &lives).await?;
        restore::plan::check(&lives, &seen, None)?;
        let active = self.target.must("look at what runs", scripts::active()).await?;
        let mut journal = journal.clone();
        journal.active = active.stdout_text().lines().map(str::to_owned).collect();
        for (place, seen) in journal.places.iter_mut().zip(&seen.paths) {
            place.existed = seen.kind != "absent";
        }
        Ok(journal)
    }

    /// Writes down what runs on the old host, on both, and stops it.
    async fn stop_there(&self, journal: &Journal, phase: Phase) -> Result<()> {
        let name = &journal.service;
        let origin = journal.origin.as_ref().ok_or_else(|| Error::internal("a migration without an origin"))?;
        let record = match self.record(journal).await? {
            Some(record) => record,
            None => Record {
                service: name.clone(),
                to: self.target.name.clone(),
                id: journal.id.clone(),
                was: self.states(&origin.runners).await?,
                at: jiff::Timestamp::now().as_second(),
            },
        };
        self.target.must("note that it is stopped on the old host", target::renew(journal, phase)).await?;
        self.target.must("note what runs on the old host", target::note(journal, &record.to_text())).await?;
        self.source.must("note what is stopped", source::note(&record)).await?;
        self.talk.progress(&self.source.name, &format!("{name}: stopping"));
        let stop = source::in_turn(name, &source::stop(&record.was), true);
        self.source.must(&format!("stop `{name}`"), stop).await?;
        let runners: Vec<_> = record.was.iter().map(|was| was.runner.clone()).collect();
        if let Some(was) = self.states(&runners).await?.iter().find(|was| was.active) {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{}: {} does not stay stopped", self.source.name, was.runner),
            )
            .hint("something starts it again: a socket, a timer, or a program that watches over it"));
        }
        let directories: Vec<String> = origin.places.iter().flatten().map(|part| part.from.clone()).collect();
        let mut holders = vec![];
        // Something that only looked at a file is gone in a moment.
        for pause in [0, 1, 2, 4] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let answer = self.source.must("look at processes", source::holders(&directories)).await?;
            holders = Holder::parse(&answer.stdout_text());
            if holders.is_empty() {
                return Ok(());
            }
        }
        let holder = holders.first().map(|holder| format!("{} (`{}`)", holder.pid, holder.name)).unwrap_or_default();
        Err(Error::new(
            ErrorKind::Failed,
            format!("{}: the process {holder} still has files of `{name}` open", self.source.name),
        )
        .hint("stop it, so that the data does not change while it is copied"))
    }

    async fn second_pass(&self, service: &Service, journal: &Journal) -> Result<Moved> {
        let copy = self.copy(journal);
        let mut moved = Moved::default();
        // What was adapted by an attempt before belongs to the database server's or the application's user.
        self.target.must("make room for the copy", target::stage(journal)).await?;
        let mut differing = vec![];
        for turn in ["second pass", "once more"] {
            let passed = copy.pass(turn).await?;
            moved.second.sent += passed.sent;
            moved.second.bytes += passed.bytes;
            moved.second.total = passed.total;
            differing = copy.verify().await?;
            if differing.is_empty() {
                break;
            }
        }
        if let Some(first) = differing.first() {
            return Err(Error::new(
                ErrorKind::Failed,
                format!(
                    "{}: {} files differ from their copies, the first is `{first}`",
                    self.source.name,
                    differing.len()
                ),
            )
            .hint("something still writes there, or a disk or memory is bad"));
        }
        let databases = copy.databases_here().await?;
        databases.require(&self.target.name)?;
        if databases.without {
            moved.warnings.push(format!(
                "{} has no sqlite3: the copied databases were compared, but not checked",
                self.target.name
            ));
        }
        let finished = self.finish(service, journal).await?;
        moved.changes = finished.changes;
        moved.warnings.extend(finished.warnings);
        self.target.must("write everything to the disk", scripts::settle_down(journal)).await?;
        Ok(moved)
    }

    async fn swap(&self, service: &Service, journal: &Journal) -> Result<()> {
        let Err(error) = swap::swap(self.target, service, journal, &[], self.talk).await else { return Ok(()) };
        // Only when the new host says that it has gone back may the old one go on: two that write are worse than none.
        match self.phase_of(service, &journal.id).await {
            Some(Phase::Undone) => {
                let error = self.started_again(journal, error).await;
                if self.record(journal).await.is_ok_and(|record| record.is_none()) {
                    let _ = self.target.ask(target::phase(journal, Phase::Staging)).await;
                }
                Err(error)
            }
            _ => Err(error.hint(format!("`{}` is stopped on {} until then", service.name, self.source.name)).hint(
                format!("`mms migrate --rollback {} --from {}` goes back to the start", service.name, self.source.name),
            )),
        }
    }

    pub(super) async fn phase_of(&self, service: &Service, id: &str) -> Option<Phase> {
        let earlier = self.earlier(service).await.ok()?;
        earlier.iter().find(|found| found.journal.id == id).map(|found| found.phase)
    }

    /// Before the swap nothing here has changed; the old host's service is started again.
    async fn gone_back(&self, journal: &Journal, error: Error) -> Error {
        let error = error
            .hint(format!("nothing has changed on {}: `{}` is as it was there", self.target.name, journal.service));
        let error = self.started_again(journal, error).await;
        // One that could not be started again is noted as stopped, for the next run.
        if self.record(journal).await.is_ok_and(|record| record.is_none()) {
            let _ = self.target.ask(target::phase(journal, Phase::Staging)).await;
        }
        error
    }

    async fn started_again(&self, journal: &Journal, error: Error) -> Error {
        let (name, from) = (&journal.service, &self.source.name);
        let mut started = self.start_noted(journal).await;
        for _ in 0..TRIES {
            if !started.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unreachable) {
                break;
            }
            // A service that is away is worth asking again: only the connection may be lost, not the host.
            tokio::time::sleep(PAUSE).await;
            started = match self.source.connect_again().await {
                Ok(()) => self.start_noted(journal).await,
                Err(error) => Err(error),
            };
        }
        match started {
            Ok(true) => {
                // When the new host cannot be reached, its note stays, and says what is true: how it runs there.
                let _ = self.target.ask(target::forget_note(journal)).await;
                error.hint(format!("`{name}` runs on {from} again, as before"))
            }
            Ok(false) => error.hint(format!("`{name}` runs on {from} as before")),
            Err(own) => error
                .hint(format!(
                    "`{name}` is stopped on {from}, or was just about to be, and could not be started there: {}",
                    own.message()
                ))
                .hint(format!("`mms migrate --rollback {name} --from {from}` starts it when {from} can be reached; `sh {}/start` does so there", source::state(name))),
        }
    }

    /// The record of what was stopped, from whichever host has it. The old host has one from before it is stopped until it runs again.
    pub(super) async fn record(&self, journal: &Journal) -> Result<Option<Record>> {
        if let Ok(answer) = self.target.must("read what was stopped", target::read_note(journal)).await
            && let Ok(record) = serde_json::from_slice::<Record>(&answer.stdout)
        {
            return Ok(Some(record));
        }
        let script = source::read_notes(std::slice::from_ref(&journal.service));
        let answer = self.source.must("read what was stopped", script).await?;
        let text = answer.stdout_text();
        let record = text.lines().find_map(|line| line.strip_prefix("@stopped "));
        Ok(record.and_then(|record| serde_json::from_str(record).ok()))
    }

    /// Starts what was stopped on the old host, as it ran before. `false`: nothing had been stopped.
    pub(super) async fn start_there(&self, journal: &Journal) -> Result<bool> {
        let started = self.start_noted(journal).await?;
        if started {
            self.target.must("remove the notes", target::forget_note(journal)).await?;
        }
        Ok(started)
    }

    async fn start_noted(&self, journal: &Journal) -> Result<bool> {
        let Some(record) = self.record(journal).await? else { return Ok(false) };
        self.start_record(&record).await?;
        self.source.must("remove the notes", source::forget(&record.service)).await?;
        Ok(true)
    }

    /// Starts what a record names, and waits until it runs.
    pub(super) async fn start_record(&self, record: &Record) -> Result<()> {
        let name = &record.service;
        self.talk.progress(&self.source.name, &format!("{name}: starting again"));
        let start = source::in_turn(name, &source::start(&record.was), false);
        self.source.must(&format!("start `{name}` again"), start).await?;
        let runners: Vec<_> = record.was.iter().map(|was| was.runner.clone()).collect();
        let mut missing: Vec<Was> = vec![];
        for _ in 0..30 {
            let now = self.states(&runners).await?;
            let runs = |was: &&Was| was.active && !now.iter().any(|now| now.runner == was.runner && now.active);
            missing = record.was.iter().filter(runs).cloned().collect();
            if missing.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let which = missing.first().map(|was| was.runner.to_string()).unwrap_or_default();
        Err(Error::new(ErrorKind::Failed, format!("{}: {which} does not run", self.source.name)))
    }
}

//! What a migration is about to do with a service, worked out while nothing is touched.

use super::journal::{Next, Origin, Part, Record, Runner};
use super::source::{self, Holder};
use super::{Hosts, find, journal, listing, look, maps, target};
use crate::error::{Error, ErrorKind, Result};
use crate::restore::journal::{Found, Journal, Phase, Recovery, Verb};
use crate::restore::{self, scripts};
use crate::service::Service;
use crate::size;

/// What is to be done with a service.
#[derive(Debug)]
pub enum Planned {
    /// The old host does not have it.
    Absent,
    /// It has been migrated from there.
    Already {
        /// Where the data from before is kept.
        kept: Vec<String>,
        /// Whether it is final; otherwise it can be taken back.
        confirmed: bool,
        /// What runs on the old host all the same.
        running: Vec<String>,
    },
    /// It is to be moved.
    Work(Box<Work>),
}

/// A service that is moved.
#[derive(Debug)]
pub struct Work {
    /// The journal, as it is or will be written.
    pub journal: Journal,
    /// What comes next.
    pub next: Next,
    /// Whether the journal is on the new host already.
    pub begun: bool,
    /// What is left of a migration from somewhere else in the same service: it goes.
    pub stale: Vec<Journal>,
    /// Bytes on the old host, as far as they are moved.
    pub bytes: u64,
    /// Files there.
    pub files: usize,
    /// The plan for people.
    pub lines: Vec<String>,
}

impl Work {
    /// The origin, which every journal of a migration has.
    pub fn origin(&self) -> Result<&Origin> {
        self.journal.origin.as_ref().ok_or_else(|| Error::internal("a migration without an origin"))
    }
}

impl Hosts<'_> {
    /// What would be done with a service. Refuses what cannot go well.
    pub async fn plan(&self, service: &Service) -> Result<Planned> {
        let (name, from) = (&service.name, &self.source.name);
        self.talk.progress(from, &format!("{name}: looking"));
        self.no_restore(service).await?;
        let mut earlier = self.earlier(service).await?;
        let last = earlier.pop();
        let note = self.seen.stopped.iter().find(|record| record.service == *name);
        if let Some(record) = note.filter(|record| record.to != self.target.name) {
            return Err(Error::user(format!("{from}: `{name}` is being migrated to `{}`", record.to))
                .hint(format!("`mms migrate --rollback {name} --from {from} --to {}` takes that back", record.to)));
        }
        if let Some(found) = &last
            && found.journal.backup != *from
            && !matches!(found.phase, Phase::Staging | Phase::Undone)
        {
            let other = &found.journal.backup;
            return Err(Error::user(format!(
                "{}: `{name}` has a migration from `{other}` that is not final",
                self.target.name
            ))
            .hint(format!(
                "`mms migrate --confirm {name} --from {other}` makes it final, `--rollback` takes it back"
            )));
        }
        match last {
            Some(found) if found.phase == Phase::Done => {
                let runners = found.journal.origin.as_ref().map(|origin| origin.runners.clone()).unwrap_or_default();
                let running = self.states(&runners).await?.into_iter().filter(|was| was.active);
                let running = running.map(|was| was.runner.to_string()).collect();
                Ok(Planned::Already { kept: restore::kept(&found.journal), confirmed: false, running })
            }
            Some(found) if journal::next(&found) != Next::FirstPass => self.resumed(found, earlier).await,
            last => self.fresh(service, last, earlier, note).await,
        }
    }

    /// A restore that was cut off has to be brought to its end first.
    async fn no_restore(&self, service: &Service) -> Result<()> {
        let answer =
            self.target.must("look for restores", scripts::look(Verb::Restore, &service.name, &[], &[])).await?;
        let seen = restore::plan::Seen::parse(&answer.stdout_text());
        if seen.earlier.iter().all(|found| matches!(found.recovery(true), Recovery::Nothing | Recovery::Forget)) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Failed, format!("{}: a restore of `{}` was cut off", self.target.name, service.name))
            .hint(format!("`mms restore {}` completes or undoes it", service.name)))
    }

    async fn resumed(&self, found: Found, earlier: Vec<Found>) -> Result<Planned> {
        let (name, next) = (found.journal.service.clone(), journal::next(&found));
        let what = match next {
            Next::SecondPass => "goes on: it is stopped there, and copied to the end",
            Next::Complete => "goes on: its data is being put in place",
            _ => "was being taken back; that is completed, and it begins again",
        };
        let how = found.journal.origin.as_ref().map(|origin| origin.how.clone()).unwrap_or_default();
        Ok(Planned::Work(Box::new(Work {
            lines: vec![format!("{name}: {how}: a migration that was cut off {what}")],
            journal: found.journal,
            next,
            begun: true,
            stale: ended(earlier),
            bytes: 0,
            files: 0,
        })))
    }

    async fn fresh(
        &self,
        service: &Service,
        last: Option<Found>,
        earlier: Vec<Found>,
        note: Option<&Record>,
    ) -> Result<Planned> {
        let (name, from) = (&service.name, &self.source.name);
        let given = self.options.given.get(name);
        let Some(mut candidate) = find::candidate(service, &self.seen, given, from)? else {
            return Ok(Planned::Absent);
        };
        let questions = find::to_probe(service, &candidate);
        let answer = self.source.must("look into the directories", look::probe_script(&questions)).await?;
        let probed = look::parse_probe(&answer.stdout_text(), questions.len());
        let Some(settled) = find::settle(service, &candidate, &probed, from)? else { return Ok(Planned::Absent) };
        let directories: Vec<String> = settled.iter().flatten().cloned().collect();
        let answer = self.source.must("look at processes", source::holders(&directories)).await?;
        let holders = Holder::parse(&answer.stdout_text());
        let more = find::runners_of(service, &self.seen, &holders, &candidate.runners, from)?;
        if candidate.by_processes {
            candidate.runners.extend(more);
        } else if let Some(other) = more.first() {
            return Err(Error::user(format!("{from}: {other} uses the data of `{name}` as well ({})", candidate.how))
                .hint(format!(
                    "stop it, or name the directory, which stops all that use it: `--source {name}={}`",
                    directories.first().map_or("", String::as_str)
                )));
        }
        candidate.maps = maps::of(service, &candidate, &settled, &self.options.maps);
        let (paths, mut origin) = find::origin(service, &candidate, &settled, from);
        // What an earlier migration stopped is not running any more, but it is what has to be started again.
        if let Some(record) = note {
            origin.runners = record.was.iter().map(|was| was.runner.clone()).collect();
        }
        let states = self.states(&origin.runners).await?;
        let running = states.iter().filter(|was| was.active).count();
        let final_one = self.seen.migrated.iter().any(|record| record.service == *name);
        if final_one && running == 0 {
            return Ok(Planned::Already { kept: vec![], confirmed: true, running: vec![] });
        }
        let seen = self.here(service, &paths).await?;
        let mut journal =
            restore::plan::journal(Verb::Migrate, &restore::journal::new_id(), service, from, &seen, vec![]);
        journal.origin = Some(origin.clone());
        let mut stale = ended(earlier);
        let mut begun = false;
        if let Some(found) = last {
            let same = |one: &Journal| {
                one.places.iter().map(|place| &place.live).eq(journal.places.iter().map(|place| &place.live))
            };
            let origin_is =
                found.journal.origin.as_ref().is_some_and(|own| own.places == origin.places && own.from == origin.from);
            if same(&found.journal) && origin_is {
                journal.id = found.journal.id;
                for (place, old) in journal.places.iter_mut().zip(found.journal.places) {
                    (place.staged, place.replaced) = (old.staged, old.replaced);
                }
                begun = true;
            } else {
                stale.push(found.journal);
            }
        }
        let mut work = Work { journal, next: Next::FirstPass, begun, stale, bytes: 0, files: 0, lines: vec![] };
        let copied = self.measure(&mut work).await?;
        restore::plan::check(&paths, &seen, Some(work.bytes.saturating_sub(copied)))?;
        self.versions(service, &candidate, &settled, &probed, &questions, &paths).await?;
        let there = self.copy(&work.journal).databases_there().await?;
        there.require(from)?;
        work.lines = self.lines(service, &work, running, &paths, &there).await?;
        Ok(Planned::Work(Box::new(work)))
    }

    /// How runners of the old host are.
    pub(super) async fn states(&self, runners: &[Runner]) -> Result<Vec<journal::Was>> {
        if runners.is_empty() {
            return Ok(vec![]);
        }
        let answer = self.source.must("look at what runs", source::states(runners)).await?;
        let states = source::parse_states(runners, &answer.stdout_text());
        if states.len() != runners.len() {
            return Err(Error::new(ErrorKind::Failed, format!("{}: it does not say what runs", self.source.name)));
        }
        Ok(states)
    }

    /// Counts what is moved; gives the bytes that are here already.
    async fn measure(&self, work: &mut Work) -> Result<u64> {
        let parts: Vec<Part> = work.origin()?.places.iter().flatten().cloned().collect();
        for part in &parts {
            let copy = self.copy(&work.journal);
            let listing = copy.list_source(part).await?;
            work.bytes += listing::bytes(&listing);
            work.files += listing::files(&listing).count();
        }
        if !work.begun {
            return Ok(0);
        }
        let staged: Vec<String> = work.journal.places.iter().map(|place| place.staged.clone()).collect();
        let answer = self.target.must("look at the copy", target::weigh(&staged)).await?;
        Ok(answer
            .stdout_text()
            .lines()
            .filter_map(|line| line.strip_prefix("@data ")?.split(' ').nth(1)?.parse::<u64>().ok())
            .sum::<u64>()
            * 1024)
    }

    async fn versions(
        &self,
        service: &Service,
        candidate: &find::Candidate,
        settled: &[Option<String>],
        probed: &[look::Probed],
        questions: &[(String, Vec<String>)],
        paths: &[String],
    ) -> Result<()> {
        let from = &self.source.name;
        if let (Some(there), Some(here)) = (&candidate.version, find::version_here(service))
            && find::is_newer(there, &here)
            && !self.options.accept_downgrade
        {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{from}: `{}` is there in version {there}, and here in {here}, which is older", service.name),
            )
            .hint(format!("name a newer image in `services/{}.yml`, and deploy it", service.name))
            .hint("`--accept-downgrade` tries all the same; most applications refuse data of a newer version"));
        }
        let cluster = settled.iter().flatten().find_map(|directory| {
            let at = questions.iter().zip(probed).find(|(_, probed)| probed.real.as_ref() == Some(directory));
            at.and_then(|(_, probed)| probed.cluster.clone())
        });
        let Some(there) = cluster else { return Ok(()) };
        let answer = self.target.must("look at the data that is replaced", target::weigh(paths)).await?;
        let text = answer.stdout_text();
        let here = text.lines().find_map(|line| line.strip_prefix("@cluster ")?.split(' ').nth(1)).map(str::to_owned);
        let Some(here) = here else {
            return Err(Error::new(
                ErrorKind::Failed,
                format!(
                    "{}: the database server of `{}` has made no data directory yet, so its version is not known",
                    self.target.name, service.name
                ),
            )
            .hint(format!("deploy it first: `mms deploy-service {}`", service.name)));
        };
        if here == there {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Failed,
            format!("{from}: its PostgreSQL is version {there}, and the image of `{}` here is version {here}", service.name),
        )
        .hint("a data directory opens only in its own major version; name an image of that version, or migrate by a dump (docs/migrate.md)"))
    }

    async fn lines(
        &self,
        service: &Service,
        work: &Work,
        running: usize,
        paths: &[String],
        databases: &super::copy::Checked,
    ) -> Result<Vec<String>> {
        let origin = work.origin()?;
        let state = match (origin.runners.len(), running) {
            (0, _) => "nothing runs there".to_owned(),
            (_, 0) => "stopped".to_owned(),
            (all, some) if all == some => "running".to_owned(),
            (all, some) => format!("{some} of {all} running"),
        };
        let version = origin.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
        let mut lines = vec![format!(
            "{}: {} on {}{version}, {state}: {} in {} files",
            service.name,
            origin.how,
            self.source.name,
            size::human(work.bytes),
            work.files
        )];
        if work.begun {
            lines.push("  a first pass is here already; only what differs is copied".to_owned());
        }
        let answer = self.target.must("look at the data that is replaced", target::weigh(paths)).await?;
        let text = answer.stdout_text();
        let weights: Vec<(usize, u64, u64)> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.strip_prefix("@data ")?.split_whitespace();
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            })
            .collect();
        for (at, (path, parts)) in paths.iter().zip(&origin.places).enumerate() {
            for part in parts {
                let into = if part.into.is_empty() { path.clone() } else { format!("{path}/{}", part.into) };
                let without = if part.excludes.is_empty() || self.options.everything {
                    String::new()
                } else {
                    format!(", without {}", part.excludes.join(", "))
                };
                lines.push(format!("  {} → {into}{without}", part.from));
            }
            if let Some((_, kib, files)) = weights.iter().find(|(number, _, files)| *number == at && *files > 0) {
                lines.push(format!(
                    "  {path} has {} in {files} files, which are replaced and kept until `mms migrate --confirm`",
                    size::human(kib * 1024)
                ));
            }
        }
        for runner in &origin.runners {
            lines.push(format!("  {runner} is stopped on {} and kept from starting", self.source.name));
        }
        if databases.without {
            lines.push(format!("  {} has no sqlite3: databases are checked when they are copied", self.source.name));
        } else if databases.good > 0 {
            lines.push(format!(
                "  {} SQLite {} well",
                databases.good,
                if databases.good == 1 { "database is" } else { "databases are" }
            ));
        }
        let mut files: Vec<&str> =
            service.migrate.iter().flat_map(|migrate| &migrate.rewrite).map(|rule| rule.file.as_str()).collect();
        files.dedup();
        if !files.is_empty() {
            lines.push(format!("  adapted where it is needed: {}", files.join(", ")));
        }
        Ok(lines)
    }
}

fn ended(earlier: Vec<Found>) -> Vec<Journal> {
    earlier
        .into_iter()
        .filter(|found| matches!(found.phase, Phase::Staging | Phase::Undone))
        .map(|found| found.journal)
        .collect()
}

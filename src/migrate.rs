//! Moving services to a new host: from the containers or native installations of an old one, with their data.
//!
//! The work has two halves. While the services run on the old host, their directories are found (`find`, pure, over the answer of
//! one script, `look`) and copied beside the places they will take here (`copy`); that can be repeated, and is incremental. Then,
//! service by service (`cut`): stopped on the old host, the rest copied, every file compared by its hash, owners and settings
//! adapted (`finish`, `rewrite`), swapped in and started by a restore's machinery ([`crate::restore`]), with its health gate and
//! its way back. What was begun is written down on both hosts (`journal`), so that a migration that was cut off is brought to its end
//! by the next one, or to its start by a rollback (`back`).
//!
//! Nothing on the old host is changed but what starts services, and a directory of notes (`source`). Data of the new host is replaced
//! by renaming, and kept.

mod back;
mod cluster;
mod copy;
mod cut;
mod find;
mod finish;
pub(crate) mod journal;
mod listing;
mod look;
mod maps;
mod plan;
pub mod rewrite;
mod source;
mod target;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::restore::journal::{Found, Verb};
use crate::restore::{self, Site, Talk, plan::Seen as HereSeen};
use crate::service::Service;

pub use back::{Confirmed, Status};
pub use copy::{Passed, Way};
pub use cut::Moved;
pub use find::Given;
pub use plan::{Planned, Work};
use rewrite::PathMap;

/// What holds for all services of a migration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where services are on the old host, as somebody said.
    pub given: BTreeMap<String, Given>,
    /// Directories of the old host → paths in the containers.
    pub maps: Vec<PathMap>,
    /// Go on when the old host's version is newer.
    pub accept_downgrade: bool,
    /// Take what backups leave out, too.
    pub everything: bool,
    /// Who does it, for others who want to: `alice@laptop`.
    pub owner: String,
}

/// The two hosts of a migration.
pub struct Hosts<'a> {
    /// The old one, as root.
    pub source: &'a Site<'a>,
    /// The new one, as the containers' user.
    pub target: &'a Site<'a>,
    /// What holds for all services.
    pub options: &'a Options,
    /// How content gets from one to the other.
    pub way: Way,
    /// Who is told.
    pub talk: &'a dyn Talk,
    seen: look::Seen,
    tools: Vec<String>,
    /// The containers' user: its numbers here.
    ids: (u32, u32),
}

impl<'a> Hosts<'a> {
    /// Looks at both hosts; refuses those on which nothing could be done.
    pub async fn look(
        source: &'a Site<'a>,
        target: &'a Site<'a>,
        services: &[&Service],
        options: &'a Options,
        talk: &'a dyn Talk,
    ) -> Result<Self> {
        talk.progress(&source.name, "looking at what runs");
        let script = look::script(&find::question(services, &options.given));
        let (there, here) =
            tokio::join!(source.must("look at the host", script), target.must("look at the host", target::tools()));
        let seen = look::Seen::parse(&there?.stdout_text());
        let missing =
            ["tar", "find", "sha256sum", "xargs", "awk"].into_iter().find(|tool| !seen.tools.contains_key(*tool));
        if let Some(tool) = missing {
            return Err(Error::new(ErrorKind::Failed, format!("{}: there is no `{tool}`", source.name)));
        }
        if seen.tools.get("tar").is_some_and(|kind| kind == "plain") {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{}: its `tar` cannot take a list of files (`-T`)", source.name),
            )
            .hint("install GNU tar there: `apk add tar`, `apt install tar`"));
        }
        if !seen.root {
            return Err(Error::user(format!("{}: not every file can be read as this user", source.name))
                .hint("log in as root there, or as a user who may become root"));
        }
        // What is not seen could be running on the data that is copied.
        if let Some(manager) = seen.unknown.first() {
            let (name, user) = manager.split_once(" of ").unwrap_or((manager, ""));
            let (what, ask) = match (name, user) {
                ("systemd", "") => ("units", "systemctl list-units".to_owned()),
                ("systemd", user) => ("units", format!("systemctl --user --machine={user}@ list-units")),
                (engine, "") => ("containers", format!("{engine} ps --all")),
                (engine, user) => ("containers", format!("su {user} -c '{engine} ps --all'")),
            };
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{}: {manager} does not say which {what} there are", source.name),
            )
            .hint(format!("`{ask}` there says why")));
        }
        let (mut tools, mut ids) = (vec![], (0, 0));
        for line in here?.stdout_text().lines() {
            match line.split_once(' ') {
                Some(("@tool", tool)) => tools.push(tool.to_owned()),
                Some(("@id", numbers)) => {
                    let numbers: Vec<u32> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
                    if let [uid, gid] = numbers.as_slice() {
                        ids = (*uid, *gid);
                    }
                }
                _ => {}
            }
        }
        if let Some(tool) = ["tar", "find", "sha256sum", "xargs", "podman"]
            .into_iter()
            .find(|tool| !tools.iter().any(|own| own == tool))
        {
            return Err(Error::new(ErrorKind::Failed, format!("{}: there is no `{tool}`", target.name))
                .hint("`mms deploy` sets the machine up"));
        }
        Ok(Self { source, target, options, way: Way::Workstation, talk, seen, tools, ids })
    }

    /// The way by which the new host fetches from the old one itself, if these words run a command there.
    pub async fn direct(&self, words: &[String]) -> Result<Option<Way>> {
        if !self.tools.iter().any(|tool| tool == "ssh") {
            return Ok(None);
        }
        let ssh = crate::sh::join(words);
        let script = format!("{ssh} 'id -u; sudo -n id -u' 2>/dev/null </dev/null | head -n 2\nexit 0\n");
        let answer = self
            .target
            .must("try to reach the old host", format!("{}{script}", crate::service::observe::PRELUDE))
            .await?;
        let text = answer.stdout_text();
        let mut numbers = text.lines();
        let sudo = match (numbers.next(), numbers.next()) {
            (Some("0"), _) => false,
            (Some(_), Some("0")) => true,
            _ => return Ok(None),
        };
        Ok(Some(Way::Direct { ssh: words.to_vec(), sudo }))
    }

    /// Migrations of a service that the new host knows of, the newest last.
    async fn earlier(&self, service: &Service) -> Result<Vec<Found>> {
        let mut found = self.here(service, &[]).await?.earlier;
        found.sort_by(|one, other| one.journal.id.cmp(&other.journal.id));
        Ok(found)
    }

    async fn here(&self, service: &Service, paths: &[String]) -> Result<HereSeen> {
        let containers: Vec<String> = service.containers.keys().cloned().collect();
        let script = restore::scripts::look(Verb::Migrate, &service.name, &containers, paths);
        let answer = self.target.must("look at the service", script).await?;
        Ok(HereSeen::parse(&answer.stdout_text()))
    }

    fn copy<'b>(&'b self, journal: &'b restore::journal::Journal) -> copy::Copy<'b> {
        copy::Copy {
            source: self.source,
            target: self.target,
            journal,
            gnu: self.seen.tools.get("tar").is_some_and(|kind| kind == "gnu"),
            everything: self.options.everything,
            way: &self.way,
            talk: self.talk,
        }
    }

    async fn lock(&self, service: &str) -> Result<()> {
        restore::lock(self.target, service, &format!("{} (mms migrate)", self.options.owner), self.talk).await
    }

    async fn unlock(&self, service: &str) {
        // A lock that cannot be given back ends with this connection's shell.
        let _ = self.target.ask(restore::scripts::unlock(service)).await;
    }
}

/// A duration for people.
pub fn shown_time(time: Duration) -> String {
    match time.as_secs() {
        0..=59 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

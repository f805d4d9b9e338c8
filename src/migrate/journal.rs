//! What a migration remembers, on both hosts: where the data comes from, and what ran there.
//!
//! On the new host the journal is that of a restore ([`crate::restore::journal`]) with an [`Origin`], below
//! `~/.local/state/mms/migrate/<service>/<id>/` of the containers' user. What was stopped on the old host is written down on both
//! before it is stopped: on the new one beside the journal, on the old one in `/var/lib/mms/migrate/<service>/`, together with a
//! script that starts it again without mms.

use serde::{Deserialize, Serialize};

use crate::restore::journal::{Found, Phase};

/// Where on the old host the places of a service come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The old host: its name in the inventory.
    pub from: String,
    /// How the service was found there, for people.
    pub how: String,
    /// What fills each place of the journal, in the same order.
    pub places: Vec<Vec<Part>>,
    /// What is stopped there, in this order.
    pub runners: Vec<Runner>,
    /// A superuser of the database server there, where that is known.
    #[serde(default)]
    pub superuser: Option<String>,
    /// Paths as the application knows them there → in the containers here.
    #[serde(default)]
    pub maps: Vec<(String, String)>,
    /// The version there, where it is known.
    #[serde(default)]
    pub version: Option<String>,
}

/// A directory of the old host, and what it is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The directory there.
    pub from: String,
    /// Where it goes, relative to the place; empty for the place itself.
    pub into: String,
    /// Only these files, as patterns relative to the directory; everything when empty.
    #[serde(default)]
    pub files: Vec<String>,
    /// What is left out: patterns relative to the directory.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// Directories in it that come from somewhere else: patterns as well.
    #[serde(default)]
    pub elsewhere: Vec<String>,
    /// It need not be there.
    #[serde(default)]
    pub optional: bool,
}

/// Something that runs a service on the old host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Runner {
    /// A systemd unit: of the system, or of a user.
    Unit {
        /// Whose service manager; the system's when not set.
        user: Option<String>,
        /// `radarr.service`.
        name: String,
    },
    /// A container.
    Container {
        /// `docker` or `podman`.
        engine: String,
        /// Whose; root's when not set.
        user: Option<String>,
        /// Its name.
        name: String,
    },
}

impl std::fmt::Display for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, name, user) = match self {
            Self::Unit { user, name } => ("unit", name, user),
            Self::Container { user, name, .. } => ("container", name, user),
        };
        write!(f, "{what} `{name}`")?;
        user.as_ref().map_or(Ok(()), |user| write!(f, " of {user}"))
    }
}

/// How something ran before it was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    /// What it is.
    pub runner: Runner,
    /// Whether it ran.
    pub active: bool,
    /// How it was started by itself: systemd's word for the unit file, or the restart policy of the container.
    pub enabled: String,
}

/// The record of what was stopped on the old host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The service.
    pub service: String,
    /// The new host: its name in the inventory.
    pub to: String,
    /// Which migration: the id of its journal.
    pub id: String,
    /// What was stopped, in this order.
    pub was: Vec<Was>,
    /// When, in seconds since 1970 by the workstation's clock.
    pub at: i64,
}

impl Record {
    /// The text of the file.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the next `mms migrate` does with a migration that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The first pass, into the staging places that are there already.
    FirstPass,
    /// The old host's service was being stopped: stop it (again) and copy what is missing.
    SecondPass,
    /// The data was being swapped: bring that to its end.
    Complete,
    /// Going back was cut off: finish that, then begin again with the first pass.
    GoBack,
    /// It has been migrated.
    Nothing,
}

/// What comes next for a migration that was found.
pub fn next(found: &Found) -> Next {
    match found.phase {
        Phase::Staging | Phase::Undone => Next::FirstPass,
        Phase::Stopping => Next::SecondPass,
        Phase::Swapping | Phase::Swapped => Next::Complete,
        Phase::Undoing => Next::GoBack,
        Phase::Done => Next::Nothing,
    }
}

/// What a phase means, for people.
pub fn phase_in_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Staging => "being copied; the service runs on the old host",
        Phase::Stopping => "stopped on the old host; the copy is being completed",
        Phase::Swapping | Phase::Swapped => "being put in place on the new host",
        Phase::Undoing => "being taken back",
        Phase::Done => "migrated; the data from before is kept",
        Phase::Undone => "taken back; the copy is kept",
    }
}

//! What a restore leaves on the target, so that whoever comes next knows how far it came.
//!
//! Below `~/.local/state/mms/restore/<service>/<id>/` of the containers' user: `journal` (written once, before anything is
//! touched) and `phase` (one word, replaced atomically at each step). Every step can be repeated, so a restore that was cut off at
//! any point, on either side, can be brought to its end or undone by the next one.

use serde::{Deserialize, Serialize};

/// How far a restore came. Only in the phases from [`Phase::Swapping`] to [`Phase::Undoing`] is anything not as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The backup is being unpacked beside the data, or waits there. Nothing has changed.
    Staging,
    /// The other host's service is being stopped, or is, and what is still missing is copied. Only of a migration.
    Stopping,
    /// The service is being stopped and data swapped.
    Swapping,
    /// The restored data is in place; the service has to become well.
    Swapped,
    /// The old data is being put back.
    Undoing,
    /// The service is well on the restored data. The replaced data is kept.
    Done,
    /// The old data is back.
    Undone,
}

impl Phase {
    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Stopping => "stopping",
            Self::Swapping => "swapping",
            Self::Swapped => "swapped",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    /// The phase of a word.
    pub fn parse(word: &str) -> Option<Self> {
        use Phase::{Done, Staging, Stopping, Swapped, Swapping, Undoing, Undone};
        [Staging, Stopping, Swapping, Swapped, Undoing, Done, Undone]
            .into_iter()
            .find(|phase| phase.word() == word.trim())
    }
}

/// Who swaps data. Each keeps its journals in a directory of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// A restore from a backup.
    #[default]
    Restore,
    /// A migration from another host.
    Migrate,
}

impl Verb {
    /// The verb on the command line, and the directory of its journals.
    pub fn word(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Migrate => "migrate",
        }
    }
}

/// One directory or file that is replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where the service has it.
    pub live: String,
    /// Where the restored one is made: beside it, so that a rename is enough.
    pub staged: String,
    /// Where the old one is kept.
    pub replaced: String,
    /// Whether there was an old one.
    pub existed: bool,
}

/// What a restore does, written before it does anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// When it began, which is also its name: `20261001T031500Z`.
    pub id: String,
    /// Whose it is.
    #[serde(default)]
    pub verb: Verb,
    /// The service.
    pub service: String,
    /// Where the data comes from: the backup's file name, or the host that is migrated from.
    pub backup: String,
    /// What is swapped.
    pub places: Vec<Place>,
    /// The units of the service.
    pub units: Vec<String>,
    /// Units that ran before and are started again, those of other services that stop with these included.
    pub active: Vec<String>,
    /// What a migration takes from where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<crate::migrate::journal::Origin>,
}

/// A restore found on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it was about to do.
    pub journal: Journal,
    /// How far it came.
    pub phase: Phase,
}

/// What is to be done with a restore that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// What it staged is taken away; nothing had changed.
    Forget,
    /// It is brought to its end.
    Complete,
    /// The old data is put back.
    Undo,
    /// It has ended.
    Nothing,
}

impl Found {
    /// What is to be done with it. `same` says that the same backup is to be restored now.
    pub fn recovery(&self, same: bool) -> Recovery {
        match self.phase {
            Phase::Staging | Phase::Stopping | Phase::Undone => Recovery::Forget,
            Phase::Swapping | Phase::Swapped if same => Recovery::Complete,
            Phase::Swapping | Phase::Swapped | Phase::Undoing => Recovery::Undo,
            Phase::Done => Recovery::Nothing,
        }
    }
}

/// The name of a restore that begins now, in UTC.
pub fn new_id() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

impl Journal {
    /// What to run again when it was cut off.
    pub fn again(&self) -> String {
        match self.verb {
            Verb::Restore => format!("mms restore {}", self.service),
            Verb::Migrate => format!("mms migrate {} --from {}", self.service, self.backup),
        }
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(phase: Phase) -> Found {
        let journal = Journal {
            id: "1".into(),
            verb: Verb::Restore,
            service: "s".into(),
            backup: "b".into(),
            places: vec![],
            units: vec![],
            active: vec![],
            origin: None,
        };
        Found { journal, phase }
    }

    #[test]
    fn what_was_touched_is_completed_or_undone_and_the_rest_forgotten() {
        for (phase, same, other) in [
            (Phase::Staging, Recovery::Forget, Recovery::Forget),
            (Phase::Stopping, Recovery::Forget, Recovery::Forget),
            (Phase::Swapping, Recovery::Complete, Recovery::Undo),
            (Phase::Swapped, Recovery::Complete, Recovery::Undo),
            (Phase::Undoing, Recovery::Undo, Recovery::Undo),
            (Phase::Undone, Recovery::Forget, Recovery::Forget),
            (Phase::Done, Recovery::Nothing, Recovery::Nothing),
        ] {
            assert_eq!((found(phase).recovery(true), found(phase).recovery(false)), (same, other), "{phase:?}");
            assert_eq!(Phase::parse(&format!("{}\n", phase.word())), Some(phase));
        }
        assert_eq!(Phase::parse("swap"), None);
    }
}

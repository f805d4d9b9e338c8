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
            Self::Swapping => "swapping",
            Self::Swapped => "swapped",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    /// The phase of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Staging, Self::Swapping, Self::Swapped, Self::Undoing, Self::Done, Self::Undone]
            .into_iter()
            .find(|phase| phase.word() == word.trim())
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
    /// The service.
    pub service: String,
    /// The backup: its file name.
    pub backup: String,
    /// What is swapped.
    pub places: Vec<Place>,
    /// The units of the service.
    pub units: Vec<String>,
    /// Units that ran before and are started again, those of other services that stop with these included.
    pub active: Vec<String>,
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
            Phase::Staging | Phase::Undone => Recovery::Forget,
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
            service: "s".into(),
            backup: "b".into(),
            places: vec![],
            units: vec![],
            active: vec![],
        };
        Found { journal, phase }
    }

    #[test]
    fn what_was_touched_is_completed_or_undone_and_the_rest_forgotten() {
        for (phase, same, other) in [
            (Phase::Staging, Recovery::Forget, Recovery::Forget),
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

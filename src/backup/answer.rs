//! What the program on the target answers: JSON, one object on each line.

use serde::{Deserialize, Serialize};

use super::note::Note;

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Ended {
    /// The service.
    pub service: String,
    /// `backup` or `mirror`.
    pub kind: String,
    /// Whether all is well.
    pub ok: bool,
    /// Exit status of the program.
    pub status: i32,
    /// The file that was written, or the name of the mirror.
    pub file: String,
    /// Where that file is; nothing for a mirror, and when it was not written.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal digits; nothing for a mirror, and when it was not hashed.
    pub sha256: String,
    /// Regular files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// How long the service was stopped.
    pub downtime_seconds: f64,
    /// Files that changed or vanished while they were read.
    pub warnings: u64,
    /// How many old ones were removed.
    pub pruned: u64,
    /// One sentence for people.
    pub message: String,
}

/// A backup or mirror that is kept on a host.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Kept {
    /// The service.
    pub service: String,
    /// The file's name; nothing for a mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The mirror's name; nothing for a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Where it is.
    pub path: String,
    /// Bytes of the file.
    #[serde(default)]
    pub size: u64,
    /// When it was last verified.
    #[serde(default)]
    pub verified: Option<String>,
    /// The note beside it. A backup without one is as good.
    #[serde(default)]
    pub note: Option<Note>,
}

/// A line of what `mms-backup start` prints.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// What is going on.
    Progress(String),
    /// Where the file is that grows now.
    Writing(String),
    /// How it ended.
    Ended(Ended),
}

impl Line {
    /// Reads a line; what is none of the program's is nothing.
    pub fn parse(line: &str) -> Option<Self> {
        if let Some(text) = line.strip_prefix("@progress ") {
            return Some(Self::Progress(text.to_owned()));
        }
        if let Some(path) = line.strip_prefix("@writing ") {
            return Some(Self::Writing(path.to_owned()));
        }
        serde_json::from_str(line.strip_prefix("@result ")?).ok().map(Self::Ended)
    }
}

/// The backups that `mms-backup list` printed, newest first within each service.
pub fn kept(answer: &str) -> Result<Vec<Kept>, String> {
    answer.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
}

/// What becomes of a backup: a line of `mms-backup prune`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The file's name.
    pub file: String,
    /// Why it is kept; nothing when it is removed.
    pub kept_as: Vec<String>,
}

/// The plan that `mms-backup prune` printed.
pub fn verdicts(answer: &str) -> Vec<Verdict> {
    let verdict = |line: &str| {
        let mut words = line.split(' ');
        let (word, file) = (words.next()?, words.next()?);
        let reasons = words.next().unwrap_or_default();
        let kept_as = if word == "keep" { reasons.split(',').map(str::to_owned).collect() } else { vec![] };
        Some(Verdict { file: file.to_owned(), kept_as })
    };
    answer.lines().filter_map(verdict).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_program_prints() {
        assert_eq!(Line::parse("@progress archiving, 3 MB"), Some(Line::Progress("archiving, 3 MB".to_owned())));
        assert_eq!(Line::parse("@writing /b/.a.part"), Some(Line::Writing("/b/.a.part".to_owned())));
        let Some(Line::Ended(ended)) =
            Line::parse(r#"@result {"service":"a","ok":true,"size":3,"downtime_seconds":0.4}"#)
        else {
            panic!("no result")
        };
        assert_eq!((ended.service.as_str(), ended.ok, ended.size, ended.downtime_seconds), ("a", true, 3, 0.4));
        assert_eq!(Line::parse("anything else"), None);
        let plan = verdicts("keep a-2026-10-02.tar.zst newest,daily\nremove a-2026-10-01.tar.zst\n");
        assert_eq!(plan[0].kept_as, ["newest", "daily"]);
        assert_eq!((plan[1].file.as_str(), plan[1].kept_as.len()), ("a-2026-10-01.tar.zst", 0));
        let list = kept(r#"{"service":"a","file":"f","path":"/b/a/f","size":1,"verified":null,"note":null}"#).unwrap();
        assert_eq!(list[0].note, None);
        assert!(kept("nonsense").is_err());
    }
}

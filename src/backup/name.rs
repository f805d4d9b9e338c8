//! Names of backups: `<service>-<YYYY-MM-DD>[T<HHMMSS>[Z]].tar.zst[.age]`, in UTC, and picking one of them.

use std::cmp::Ordering;
use std::fmt;

use jiff::civil::{Date, DateTime, Time};

use crate::diagnostic::Diagnostic;
use crate::error::{Error, Result};

/// The name of a backup's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupName {
    /// The service.
    pub service: String,
    /// When it was begun, in UTC; midnight when the name has no time.
    pub time: DateTime,
    /// Whether the name has a time.
    pub exact: bool,
    /// Whether it is called `.age`.
    pub encrypted: bool,
    /// The whole name.
    pub file: String,
}

impl BackupName {
    /// Reads a file name; `None` when it is not that of a backup.
    pub fn parse(file: &str) -> Option<Self> {
        let (stem, encrypted) = match file.strip_suffix(".tar.zst.age") {
            Some(stem) => (stem, true),
            None => (file.strip_suffix(".tar.zst")?, false),
        };
        if file.starts_with('.') || file.contains('/') {
            return None;
        }
        let (service, date, time) = split(stem)?;
        let date = parse_date(date)?;
        let time_of_day = time.map_or(Some(Time::midnight()), parse_time)?;
        Some(Self {
            service: service.to_owned(),
            time: date.to_datetime(time_of_day),
            exact: time.is_some(),
            encrypted,
            file: file.to_owned(),
        })
    }

    /// How the time is shown: `2026-10-01 03:00:00Z`, or the date alone.
    pub fn shown_time(&self) -> String {
        if self.exact { self.time.strftime("%Y-%m-%d %H:%M:%SZ").to_string() } else { self.time.date().to_string() }
    }
}

/// Older first; of the same time by name, so that the order is always the same.
impl Ord for BackupName {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, &self.file).cmp(&(other.time, &other.file))
    }
}

impl PartialOrd for BackupName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Service, date and time of a name without its endings. A service's own name may hold dashes and digits.
fn split(stem: &str) -> Option<(&str, &str, Option<&str>)> {
    let day = |text: &str| text.len() == 10 && text.is_ascii();
    let (rest, time) = match stem.rsplit_once('T') {
        Some((rest, time)) if rest.len() > 11 && parse_time(time).is_some() => (rest, Some(time)),
        _ => (stem, None),
    };
    let at = rest.len().checked_sub(10).filter(|at| rest.is_char_boundary(*at))?;
    let (service, date) = rest.split_at(at);
    let service = service.strip_suffix('-').filter(|service| !service.is_empty())?;
    day(date).then_some((service, date, time))
}

fn parse_date(text: &str) -> Option<Date> {
    let mut bytes = text.bytes().enumerate();
    let shape = bytes.all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    (text.len() == 10 && shape).then(|| text.parse().ok()).flatten()
}

fn parse_time(text: &str) -> Option<Time> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize| digits.get(from..from + 2).and_then(|text| text.parse::<i8>().ok());
    Time::new(number(0)?, number(2)?, number(4)?, 0).ok()
}

/// Which backup is meant: `--at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// `latest`, `latest~N`: so many before the newest.
    Latest(usize),
    /// `2026-10-01`: the newest of that day, in UTC.
    Day(Date),
    /// `2026-10-01T03:00`, `2026-10-01T030000Z`: from this time on, and before that one.
    Moment(DateTime, DateTime),
    /// The name of a file.
    File(String),
}

impl Default for At {
    fn default() -> Self {
        Self::Latest(0)
    }
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!("`{text}` names no backup: `latest`, `latest~2`, `2026-10-01`, `2026-10-01T03:00` or a file name")
        };
        if text == "latest" {
            return Ok(Self::Latest(0));
        }
        if let Some(back) = text.strip_prefix("latest~") {
            return back.parse().map(Self::Latest).map_err(|_| wrong());
        }
        if BackupName::parse(text).is_some() {
            return Ok(Self::File(text.to_owned()));
        }
        if let Some(date) = parse_date(text) {
            return Ok(Self::Day(date));
        }
        let (date, time) = text.split_once(['T', ' ']).ok_or_else(wrong)?;
        let digits: String = time.strip_suffix('Z').unwrap_or(time).chars().filter(|c| *c != ':').collect();
        let (time, span) = match digits.len() {
            4 => (format!("{digits}00"), jiff::Span::new().minutes(1)),
            _ => (digits, jiff::Span::new().seconds(1)),
        };
        let from = parse_date(date).zip(parse_time(&time)).map(|(date, time)| date.to_datetime(time));
        let from = from.ok_or_else(wrong)?;
        Ok(Self::Moment(from, from.checked_add(span).map_err(|_| wrong())?))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::Day(day) => write!(f, "{day}"),
            Self::Moment(from, _) => write!(f, "{}", from.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Self::File(file) => f.write_str(file),
        }
    }
}

/// Picks a backup of a service. `place` says where they were looked for.
pub fn select<'a>(service: &str, names: &'a [BackupName], at: &At, place: &str) -> Result<&'a BackupName> {
    let mut own: Vec<&BackupName> = names.iter().filter(|name| name.service == service).collect();
    own.sort();
    let (Some(oldest), Some(newest)) = (own.first(), own.last()) else {
        return Err(Error::user(format!("there is no backup of `{service}` in {place}"))
            .hint("`mms backup list` shows what there is; `--file` and `--from-dir` name another place"));
    };
    let found = match at {
        At::Latest(back) => own.iter().rev().nth(*back),
        At::Day(day) => own.iter().rev().find(|name| name.time.date() == *day),
        At::Moment(from, to) => own.iter().rev().find(|name| name.exact && name.time >= *from && name.time < *to),
        At::File(file) => own.iter().find(|name| name.file == *file),
    };
    found.copied().ok_or_else(|| {
        let count = own.len();
        let plural = if count == 1 { "" } else { "s" };
        let error = Diagnostic::error(format!("no backup of `{service}` is `{at}`"));
        let error = match at {
            At::File(file) => error.did_you_mean(file, own.iter().map(|name| name.file.as_str())),
            _ => error,
        };
        let (first, last) = (oldest.shown_time(), newest.shown_time());
        let error: Error = error.hint(format!("{place} has {count} backup{plural}, from {first} to {last}")).into();
        match nearest(&own, at) {
            Some(near) => error.hint(format!("the one before that time is `{}`", near.file)),
            None => error,
        }
    })
}

/// The newest before a time that has none.
fn nearest<'a>(own: &[&'a BackupName], at: &At) -> Option<&'a BackupName> {
    let before = match at {
        At::Day(day) => day.to_datetime(Time::midnight()),
        At::Moment(from, _) => *from,
        _ => return None,
    };
    own.iter().rev().find(|name| name.time < before).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<BackupName> {
        files.iter().map(|file| BackupName::parse(file).unwrap()).collect()
    }

    #[test]
    fn reads_every_form_of_a_name() {
        for (file, service, time, encrypted) in [
            ("radarr-2026-10-01T030000Z.tar.zst.age", "radarr", "2026-10-01 03:00:00Z", true),
            ("radarr-2026-10-01T030000.tar.zst", "radarr", "2026-10-01 03:00:00Z", false),
            ("my-app-2-2026-10-01.tar.zst.age", "my-app-2", "2026-10-01", true),
        ] {
            let name = BackupName::parse(file).unwrap();
            assert_eq!((name.service.as_str(), name.shown_time().as_str(), name.encrypted), (service, time, encrypted));
        }
        for file in [
            ".radarr-2026-10-01.tar.zst.age",
            ".radarr-2026-10-01T030000Z.tar.zst.age.part",
            "radarr-2026-13-01.tar.zst.age",
            "radarr-2026-10-01T250000Z.tar.zst.age",
            "radarr-2026-10-01T030000Z.tar.zst.age.json",
            "radarr-2026-10-1.tar.zst.age",
            "-2026-10-01.tar.zst.age",
            "radarr.tar.zst.age",
            "T2026-10-01.tar.zst",
            "ä-2026-10-ö1.tar.zst",
        ] {
            assert_eq!(BackupName::parse(file), None, "{file}");
        }
    }

    #[test]
    fn picks_by_age_day_moment_and_name() {
        let names = names(&[
            "radarr-2026-10-01T030000Z.tar.zst.age",
            "radarr-2026-10-02T030000Z.tar.zst.age",
            "radarr-2026-10-01T150000Z.tar.zst.age",
            "radarr-2-2026-10-09T150000Z.tar.zst.age",
            "sonarr-2026-10-05.tar.zst.age",
        ]);
        let pick = |at: &str| {
            let at: At = at.parse().unwrap();
            select("radarr", &names, &at, "`/b`").map(|name| name.time.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(pick("latest").unwrap(), "2026-10-02T03:00:00");
        assert_eq!(pick("latest~2").unwrap(), "2026-10-01T03:00:00");
        assert_eq!(pick("2026-10-01").unwrap(), "2026-10-01T15:00:00");
        assert_eq!(pick("2026-10-01T03:00").unwrap(), "2026-10-01T03:00:00");
        assert_eq!(pick("2026-10-01T030000Z").unwrap(), "2026-10-01T03:00:00");
        assert_eq!(pick("radarr-2026-10-02T030000Z.tar.zst.age").unwrap(), "2026-10-02T03:00:00");
        assert!(pick("latest~3").is_err() && pick("2026-10-03").is_err() && pick("2026-10-01T03:01").is_err());
        assert!(select("lidarr", &names, &At::default(), "`/b`").is_err());
        for wrong in ["latest~", "latest~-1", "yesterday", "2026-10-32", "2026-10-01T3"] {
            assert!(wrong.parse::<At>().is_err(), "{wrong}");
        }
        let error = select("radarr", &names, &"2026-10-07".parse().unwrap(), "`/b`").unwrap_err();
        let hints = &error.diagnostics()[0].hints;
        assert!(hints.iter().any(|hint| hint.contains("radarr-2026-10-02T030000Z")), "{hints:?}");
    }
}

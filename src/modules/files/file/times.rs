//! `modification_time` and `access_time`.

use jiff::civil::DateTime;
use serde_json::{Map, Value as Json};

use crate::modules::support::FileState;
use crate::modules::{Args, Failure};
use crate::sh;

/// One time that a task asks for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Time {
    /// As it is.
    #[default]
    Preserve,
    /// The time of the run.
    Now,
    /// In the local time of the target.
    At(DateTime),
}

/// Both times.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    given: [Option<Time>; 2],
    /// What is to be set: modification, access; with the seconds before.
    change: [Option<(Time, Option<f64>)>; 2],
}

const NAMES: [&str; 2] = ["modification_time", "access_time"];
const KEYS: [&str; 2] = ["mtime", "atime"];

impl Times {
    /// Reads the arguments.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let mut times = Self::default();
        for (slot, name) in times.given.iter_mut().zip(NAMES) {
            *slot = match args.str(name) {
                None => None,
                Some("preserve") => Some(Time::Preserve),
                Some("now") => Some(Time::Now),
                Some(text) => {
                    let format = args.text(&format!("{name}_format"));
                    let parsed = DateTime::strptime(format, text).map_err(|error| {
                        Failure::new(format!("`{text}` is not a time in the format `{format}`: {error}"))
                    })?;
                    Some(Time::At(parsed))
                }
            };
        }
        Ok(times)
    }

    /// Lines for the probe that ask the target for the seconds since 1970.
    pub(super) fn script(&self) -> String {
        self.given.iter().zip(KEYS).fold(String::new(), |mut script, (time, key)| {
            if let Some(Time::At(at)) = time {
                let text = sh::quote(&at.strftime("%Y-%m-%d %H:%M:%S").to_string());
                script.push_str(&format!("printf 'x.{key}=%s\\0' \"$(date -d {text} +%s)\"\n"));
            }
            script
        })
    }

    /// The times as they are to be changed at a path, for a state: `touch` means now, anything else no change.
    pub(super) fn at(mut self, state: &FileState, wanted: &str) -> Self {
        let default = if wanted == "touch" { Time::Now } else { Time::Preserve };
        let stat = state.stat.as_ref();
        let before = [stat.map(|stat| stat.mtime), stat.map(|stat| stat.atime)];
        for index in 0..2 {
            let time = self.given[index].unwrap_or(default);
            let seconds = state.extra.get(KEYS[index]).and_then(|text| text.as_str()?.parse::<f64>().ok());
            self.change[index] = match time {
                Time::Preserve => None,
                Time::At(_) if seconds.is_some() && seconds == before[index] => None,
                time => Some((time, before[index])),
            };
        }
        self
    }

    /// Whether nothing is to be set.
    pub(super) fn is_empty(&self) -> bool {
        self.change.iter().all(Option::is_none)
    }

    /// Phrases for people.
    pub(super) fn summary(&self) -> Vec<String> {
        let phrase = |(change, key): (&Option<(Time, Option<f64>)>, &str)| {
            change.map(|(time, _)| format!("{key} {}", show(time)))
        };
        self.change.iter().zip(KEYS).filter_map(phrase).collect()
    }

    /// Adds the times to a diff.
    pub(super) fn diff(&self, before: &mut Map<String, Json>, after: &mut Map<String, Json>) {
        for (change, key) in self.change.iter().zip(KEYS) {
            if let Some((time, Some(seconds))) = change {
                before.insert(key.to_owned(), (*seconds).into());
                after.insert(key.to_owned(), show(*time).into());
            }
        }
    }

    /// Shell lines that set them at `path` (a shell word).
    pub(super) fn set(&self, path: &str) -> String {
        if let [Some((Time::Now, _)), Some((Time::Now, _))] = self.change {
            // Without a flag it needs no ownership.
            return format!("touch -c -- {path} || exit 1\n");
        }
        self.change.iter().zip(["-m", "-a"]).fold(String::new(), |mut script, (change, flag)| {
            match change {
                Some((Time::At(at), _)) => {
                    let at = at.strftime("%Y%m%d%H%M.%S");
                    script.push_str(&format!("touch -c {flag} -t {at} -- {path} || exit 1\n"));
                }
                Some((Time::Now, _)) => script.push_str(&format!("touch -c {flag} -- {path} || exit 1\n")),
                _ => {}
            }
            script
        })
    }
}

fn show(time: Time) -> String {
    match time {
        Time::Preserve => "preserve".to_owned(),
        Time::Now => "now".to_owned(),
        Time::At(at) => at.to_string(),
    }
}

//! The conditions of `find`.

use fancy_regex::Regex;

use crate::fnmatch;
use crate::modules::support::stat::{FileType, Stat};
use crate::modules::support::{mode, path, regex};
use crate::modules::{Args, Failure};

/// All conditions but the one on content.
pub(super) struct Filter {
    kind: String,
    patterns: Vec<Regex>,
    excludes: Vec<Regex>,
    age: Option<f64>,
    stamp: String,
    size: Option<f64>,
    hidden: bool,
    mode: Option<u32>,
    exact: bool,
}

impl Filter {
    /// Reads the arguments.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let is_regex = args.bool("use_regex");
        let compile = |name: &str| -> Result<Vec<Regex>, Failure> {
            args.strings(name)
                .iter()
                .map(|pattern| {
                    let pattern = if is_regex { pattern.clone() } else { fnmatch::translate(pattern) };
                    regex::compile(&format!(r"\A(?:{pattern})"), regex::Flags::default())
                })
                .collect()
        };
        let mode = args
            .str("mode")
            .map(|text| mode::resolve(text, mode::Base { mode: 0, directory: false, umask: 0o022 }))
            .transpose()?;
        Ok(Self {
            kind: args.text("file_type").to_owned(),
            patterns: compile("patterns")?,
            excludes: compile("excludes")?,
            age: number(args, "age", &[('s', 1.0), ('m', 60.0), ('h', 3600.0), ('d', 86_400.0), ('w', 604_800.0)])?,
            stamp: args.text("age_stamp").to_owned(),
            size: number(
                args,
                "size",
                &[('b', 1.0), ('k', 1024.0), ('m', 1_048_576.0), ('g', 1_073_741_824.0), ('t', 1_099_511_627_776.0)],
            )?,
            hidden: args.bool("hidden"),
            mode,
            exact: args.bool("exact_mode"),
        })
    }

    /// Whether an entry satisfies the conditions; `now` is the target's time in seconds since 1970.
    pub(super) fn accepts(&self, now: f64, at: &str, stat: &Stat) -> bool {
        let kind = stat.file_type();
        let wanted = match self.kind.as_str() {
            "any" => true,
            "directory" => kind == FileType::Directory,
            "link" => kind == FileType::Link,
            _ => kind == FileType::File,
        };
        let name = path::basename(at);
        let time = match self.stamp.as_str() {
            "atime" => stat.atime,
            "ctime" => stat.ctime,
            _ => stat.mtime,
        };
        #[allow(clippy::cast_precision_loss, reason = "sizes are compared with rounded limits")]
        let size = stat.size as f64;
        wanted
            && (self.hidden || !name.starts_with('.'))
            && (self.patterns.is_empty() || any(&self.patterns, name))
            && !any(&self.excludes, name)
            && limit(self.age, now - time)
            && (kind != FileType::File || limit(self.size, size))
            && self.mode.is_none_or(|mode| if self.exact { stat.mode() == mode } else { stat.mode() & mode == mode })
    }
}

fn any(patterns: &[Regex], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(name).unwrap_or(false))
}

/// A positive limit is a least value, a negative one a greatest.
fn limit(limit: Option<f64>, value: f64) -> bool {
    limit.is_none_or(|limit| if limit.is_sign_negative() { value <= limit.abs() } else { value >= limit })
}

fn number(args: &Args, name: &str, units: &[(char, f64)]) -> Result<Option<f64>, Failure> {
    let Some(given) = args.str(name) else { return Ok(None) };
    let lower = given.to_lowercase();
    let unit = units.iter().find(|(letter, _)| lower.ends_with(*letter));
    let digits = unit.map_or(lower.as_str(), |(letter, _)| lower.trim_end_matches(*letter));
    match digits.parse::<i32>() {
        Ok(number) => {
            let value = f64::from(number) * unit.map_or(1.0, |(_, factor)| *factor);
            Ok(Some(if digits.starts_with('-') { -value.abs() } else { value }))
        }
        Err(_) => Err(Failure::new(format!("failed to process {name}")).field(name, given)),
    }
}

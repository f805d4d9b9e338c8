//! What is in a directory, on either host, and what has to be done so that one becomes the other. Pure, but for the script.

use std::collections::BTreeMap;

use regex::bytes::Regex;

use super::journal::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::sh;

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
}

/// One file, directory or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// When its content changed, in nanoseconds since 1970.
    pub mtime: i128,
}

impl Entry {
    /// Whether a copy looks like what it is a copy of. Not every tar and not every file system has fractions of seconds.
    fn same(&self, copy: &Self) -> bool {
        const SECOND: i128 = 1_000_000_000;
        let coarse = copy.mtime.rem_euclid(SECOND) == 0 || self.mtime.rem_euclid(SECOND) == 0;
        let mtime =
            self.mtime == copy.mtime || coarse && self.mtime.div_euclid(SECOND) == copy.mtime.div_euclid(SECOND);
        match self.kind {
            Kind::Directory => self.mode == copy.mode,
            Kind::Link => self.size == copy.size && mtime,
            Kind::File => self.size == copy.size && self.mode == copy.mode && mtime,
        }
    }
}

/// What is below a directory: path relative to it → what it is. What is neither file, directory nor link is not in it.
pub type Listing = BTreeMap<Vec<u8>, Entry>;

/// The script that lists a directory. Its answer begins with `gnu` (records end with NUL) or `plain` (with a line end).
/// A directory that is not there is empty.
pub fn script(directory: &str) -> String {
    format!(
        r#"LC_ALL=C; export LC_ALL
[ -e {0} ] || {{ echo gnu; exit 0; }}
cd -- {0} || exit 1
if find . -maxdepth 0 -printf '' >/dev/null 2>&1; then
  echo gnu; find . -mindepth 1 -printf '%y %m %s %T@ %P\0'
else
  echo plain; find . -mindepth 1 -exec stat -c '%f %s %Y %n' '{{}}' +
fi
"#,
        sh::quote(directory)
    )
}

/// Reads the answer of [`script`]. A file that vanished while it was listed is not there.
pub fn parse(answer: &[u8]) -> Result<Listing> {
    let end = answer.iter().position(|byte| *byte == b'\n').unwrap_or(answer.len());
    let (head, rest) = answer.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    let mut listing = Listing::new();
    match head {
        b"gnu" => {
            for record in rest.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
                let (path, entry) = gnu(record).ok_or_else(|| strange(record))?;
                listing.extend(entry.map(|entry| (path, entry)));
            }
        }
        b"plain" => {
            for record in rest.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
                let (path, entry) = plain(record).ok_or_else(|| {
                    strange(record).hint("a name with a line end in it can only be copied with GNU find and tar")
                })?;
                listing.extend(entry.map(|entry| (path, entry)));
            }
        }
        other => return Err(strange(other)),
    }
    Ok(listing)
}

fn strange(record: &[u8]) -> Error {
    Error::new(ErrorKind::Failed, format!("cannot read the list of files at {:?}", String::from_utf8_lossy(record)))
}

fn words<const N: usize>(record: &[u8]) -> Option<([&str; N], &[u8])> {
    let mut parts = record.splitn(N + 1, |byte| *byte == b' ');
    let mut words = [""; N];
    for word in &mut words {
        *word = std::str::from_utf8(parts.next()?).ok()?;
    }
    Some((words, parts.next()?))
}

fn gnu(record: &[u8]) -> Option<(Vec<u8>, Option<Entry>)> {
    let ([kind, mode, size, mtime], path) = words::<4>(record)?;
    let kind = match kind {
        "f" => Some(Kind::File),
        "d" => Some(Kind::Directory),
        "l" => Some(Kind::Link),
        _ => None,
    };
    let (seconds, fraction) = mtime.split_once('.').unwrap_or((mtime, "0"));
    let nanos: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let mtime = seconds.parse::<i128>().ok()? * 1_000_000_000 + nanos.parse::<i128>().ok()?;
    let (mode, size) = (u32::from_str_radix(mode, 8).ok()?, size.parse().ok()?);
    Some((path.to_vec(), kind.map(|kind| Entry { kind, mode, size, mtime })))
}

fn plain(record: &[u8]) -> Option<(Vec<u8>, Option<Entry>)> {
    let ([raw, size, mtime], path) = words::<3>(record)?;
    let raw = u32::from_str_radix(raw, 16).ok()?;
    let kind = match raw & 0o170_000 {
        0o100_000 => Some(Kind::File),
        0o040_000 => Some(Kind::Directory),
        0o120_000 => Some(Kind::Link),
        _ => None,
    };
    let mtime = mtime.parse::<i128>().ok()? * 1_000_000_000;
    let (size, mode) = (size.parse().ok()?, raw & 0o7777);
    Some((path.strip_prefix(b"./")?.to_vec(), kind.map(|kind| Entry { kind, mode, size, mtime })))
}

/// Which files of a part are moved.
pub struct Filter {
    files: Vec<Regex>,
    excludes: Vec<Regex>,
}

impl Filter {
    /// That of a part; `all` takes what is excluded as well.
    pub fn of(part: &Part, all: bool) -> Result<Self> {
        let of = |patterns: &[String], any: &str| -> Result<Vec<Regex>> {
            patterns.iter().map(|pattern| glob(pattern, any)).collect()
        };
        let excludes = if all { vec![] } else { of(&part.excludes, ".")? };
        Ok(Self {
            files: of(&part.files, "[^/]")?,
            excludes: excludes.into_iter().chain(of(&part.elsewhere, "[^/]")?).collect(),
        })
    }

    /// Keeps what is moved: everything below a directory that is left out is left out, and so is a directory that nothing of is wanted.
    pub fn apply(&self, listing: Listing) -> Listing {
        let out = |path: &[u8]| self.excludes.iter().any(|pattern| pattern.is_match(path));
        let kept: Listing = listing.into_iter().filter(|(path, _)| !above(path).any(out) && !out(path)).collect();
        if self.files.is_empty() {
            return kept;
        }
        let wanted = |path: &[u8]| self.files.iter().any(|pattern| pattern.is_match(path));
        let files: Vec<&Vec<u8>> = kept
            .iter()
            .filter(|(path, entry)| entry.kind != Kind::Directory && wanted(path))
            .map(|(path, _)| path)
            .collect();
        let needed: std::collections::BTreeSet<Vec<u8>> =
            files.iter().flat_map(|path| above(path).map(<[u8]>::to_vec).chain([path.to_vec()])).collect();
        kept.into_iter().filter(|(path, _)| needed.contains(path)).collect()
    }
}

/// The directories above a path, the outermost first.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(at, _)| path.get(..at))
}

/// A pattern for whole paths. `any` is what `*` and `?` stand for: as `find -path` and `tar --exclude` have it, `/` as well.
fn glob(pattern: &str, any: &str) -> Result<Regex> {
    let mut text = String::from("(?s-u)^");
    let mut rest = pattern.trim_start_matches("./").trim_end_matches('/').chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' => text.push_str(&format!("{any}*")),
            '?' => text.push_str(any),
            '[' if rest.clone().any(|c| c == ']') => {
                text.push('[');
                if rest.next_if(|c| *c == '!' || *c == '^').is_some() {
                    text.push('^');
                }
                for c in rest.by_ref() {
                    if c == ']' {
                        break;
                    }
                    text.push_str(&if c == '-' { "-".to_owned() } else { regex::escape(c.encode_utf8(&mut [0; 4])) });
                }
                text.push(']');
            }
            '\\' => text.push_str(&regex::escape(&rest.next().unwrap_or('\\').to_string())),
            c => text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    text.push('$');
    Regex::new(&text).map_err(|_| Error::user(format!("`{pattern}` is not a pattern for files")))
}

/// What makes a copy of what it is a copy of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What goes from the copy, the outermost alone.
    pub remove: Vec<Vec<u8>>,
    /// What is sent.
    pub send: Vec<Vec<u8>>,
    /// Bytes of the files that are sent.
    pub bytes: u64,
}

impl Difference {
    /// Between what is there and its copy.
    pub fn between(source: &Listing, copy: &Listing) -> Self {
        let mut all = Self::default();
        let mut gone = std::collections::BTreeSet::new();
        for (path, there) in copy {
            if above(path).any(|directory| gone.contains(directory)) {
                continue;
            }
            if source.get(path).is_none_or(|entry| entry.kind != there.kind) {
                gone.insert(path.as_slice());
                all.remove.push(path.clone());
            }
        }
        for (path, entry) in source {
            let there = copy.get(path).filter(|copy| copy.kind == entry.kind);
            if !there.is_some_and(|copy| entry.same(copy)) {
                all.send.push(path.clone());
                all.bytes += if entry.kind == Kind::File { entry.size } else { 0 };
            }
        }
        all
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.send.is_empty()
    }
}

/// Bytes of all files.
pub fn bytes(listing: &Listing) -> u64 {
    files(listing).map(|(_, entry)| entry.size).sum()
}

/// The regular files.
pub fn files(listing: &Listing) -> impl Iterator<Item = (&Vec<u8>, &Entry)> {
    listing.iter().filter(|(_, entry)| entry.kind == Kind::File)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "listing/tests.rs"]
mod tests;

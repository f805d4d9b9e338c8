//! `known_hosts` as sshd(8) describes it: plain, hashed and wildcard names, negation, `[host]:port`, `@cert-authority`,
//! `@revoked`, any number of files. russh's own reader knows a part of this only.
//!
//! Everything but [`append`] is pure.

use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::sync::lock;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use russh::keys::{Algorithm, PublicKey};
use sha1::Digest as _;

/// The entries of several files, in order.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    marker: Marker,
    names: Names,
    key_type: String,
    key: Vec<u8>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub file: PathBuf,
    /// One-based.
    pub line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    CertAuthority,
    Revoked,
}

#[derive(Debug)]
enum Names {
    Patterns(Vec<String>),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

/// What the files say of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the host's.
    Known,
    /// The host is in no file.
    Unknown,
    /// The host has another key; where one of them stands.
    Changed(Place),
    /// It must not be used.
    Revoked(Place),
}

impl KnownHosts {
    /// Adds the lines of a file. Lines that make no sense are skipped, as OpenSSH does.
    pub(crate) fn read(&mut self, file: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let place = Place { file: file.to_owned(), line: index + 1 };
            self.entries.extend(Entry::parse(line, place));
        }
    }

    /// What the files say of a host's key. The name is `host` or `[host]:port`, see [`name`].
    pub(crate) fn check(&self, name: &str, key: &[u8]) -> Verdict {
        if let Some(entry) = self.of(name, Marker::Revoked).find(|entry| entry.key == key) {
            return Verdict::Revoked(entry.place.clone());
        }
        let mut other = None;
        for entry in self.of(name, Marker::None) {
            if entry.key == key {
                return Verdict::Known;
            }
            other.get_or_insert(entry);
        }
        if let Some(entry) = other {
            return Verdict::Changed(entry.place.clone());
        }
        // A key known for the host without its port is good on every port.
        let without_port = name.strip_prefix('[').and_then(|rest| rest.split_once("]:")).map(|(host, _)| host);
        match without_port {
            Some(host) if self.of(host, Marker::None).any(|entry| entry.key == key) => Verdict::Known,
            _ => Verdict::Unknown,
        }
    }

    /// The algorithms of the host's known keys: asked for first, so that a host that is known by its RSA key shows that one.
    pub(crate) fn key_types(&self, name: &str) -> Vec<&str> {
        self.of(name, Marker::None).map(|entry| entry.key_type.as_str()).collect()
    }

    /// The keys that may sign the host's certificate.
    pub(crate) fn authorities(&self, name: &str) -> Vec<PublicKey> {
        let revoked = |key: &[u8]| self.of(name, Marker::Revoked).any(|entry| entry.key == key);
        let keys = self.of(name, Marker::CertAuthority).filter(|entry| !revoked(&entry.key));
        keys.filter_map(|entry| PublicKey::from_bytes(&entry.key).ok()).collect()
    }

    fn of<'a>(&'a self, name: &str, marker: Marker) -> impl Iterator<Item = &'a Entry> {
        let name = name.to_lowercase();
        self.entries.iter().filter(move |entry| entry.marker == marker && entry.names.matches(&name))
    }
}

impl Entry {
    fn parse(line: &str, place: Place) -> Option<Self> {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let mut names = words.next().filter(|word| !word.starts_with('#'))?;
        let marker = match names {
            "@cert-authority" => Marker::CertAuthority,
            "@revoked" => Marker::Revoked,
            _ if names.starts_with('@') => return None,
            _ => Marker::None,
        };
        if marker != Marker::None {
            names = words.next()?;
        }
        let key_type = words.next()?.to_owned();
        let key = words.next()?;
        let key = STANDARD.decode(key).or_else(|_| STANDARD_NO_PAD.decode(key)).ok()?;
        let names = match names.strip_prefix("|1|") {
            Some(hashed) => {
                let (salt, hash) = hashed.split_once('|')?;
                Names::Hashed { salt: STANDARD.decode(salt).ok()?, hash: STANDARD.decode(hash).ok()? }
            }
            None => Names::Patterns(names.to_lowercase().split(',').map(str::to_owned).collect()),
        };
        Some(Self { place, marker, names, key_type, key })
    }
}

impl Names {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => hmac_sha1(salt, name.as_bytes())[..] == hash[..],
            Self::Patterns(patterns) => {
                let (negated, plain): (Vec<&str>, Vec<&str>) =
                    patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
                plain.iter().any(|pattern| glob(pattern, name))
                    && !negated.iter().any(|pattern| glob(pattern.trim_start_matches('!'), name))
            }
        }
    }
}

/// How a host is called in the files.
pub(crate) fn name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// Whether a name matches a pattern of `*` and `?`.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while pos < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, pos));
                at += 1;
            }
            Some(c) if *c == b'?' || *c == name[pos] => (at, pos) = (at + 1, pos + 1),
            _ => match &mut star {
                // The last star takes one byte more.
                Some((star_at, star_pos)) => {
                    *star_pos += 1;
                    (at, pos) = (*star_at + 1, *star_pos);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == b'*')
}

/// RFC 2104 with SHA-1, for keys no longer than a block (the salts are 20 bytes).
fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    let pad = |fill: u8| -> [u8; 64] { std::array::from_fn(|at| key.get(at).copied().unwrap_or(0) ^ fill) };
    let inner = sha1::Sha1::new().chain_update(pad(0x36)).chain_update(text).finalize();
    sha1::Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// The line for a new key.
pub(crate) fn line(name: &str, key: &PublicKey, salt: Option<[u8; 20]>) -> Option<String> {
    let name = match salt {
        Some(salt) => {
            let hash = hmac_sha1(&salt, name.to_lowercase().as_bytes());
            format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash))
        }
        None => name.to_owned(),
    };
    let blob = STANDARD.encode(key.to_bytes().ok()?);
    Some(format!("{name} {} {blob}", key.algorithm().as_str()))
}

/// Adds a line to a file that may not exist yet. One write at the end of the file, so that lines of programs that do the same
/// at the same time do not mix.
pub(crate) fn append(file: &Path, line: &str) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = lock(&ONE_AT_A_TIME);
    if let Some(directory) = file.parent().filter(|directory| !directory.exists()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut open = std::fs::OpenOptions::new();
    let mut handle = open.read(true).append(true).create(true).mode(0o600).open(file)?;
    let mut last = [b'\n'];
    if handle.metadata()?.len() > 0 {
        handle.seek(io::SeekFrom::End(-1))?;
        handle.read_exact(&mut last)?;
    }
    let newline = if last == [b'\n'] { "" } else { "\n" };
    handle.write_all(format!("{newline}{line}\n").as_bytes())
}

/// The algorithms to offer, those of known keys first.
pub(crate) fn order(offered: &[Algorithm], known: &[&str]) -> Vec<Algorithm> {
    let is_known = |algorithm: &&Algorithm| {
        // RSA keys are `ssh-rsa` in the file whatever hash the signature has.
        let name = if matches!(algorithm, Algorithm::Rsa { .. }) { "ssh-rsa" } else { algorithm.as_str() };
        known.contains(&name)
    };
    let (first, rest): (Vec<&Algorithm>, Vec<&Algorithm>) = offered.iter().partition(is_known);
    first.into_iter().chain(rest).cloned().collect()
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;

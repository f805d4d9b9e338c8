//! What the archive says of itself: `.mms/SHA256SUMS`, exactly as `sha256sum` writes it, and the counts of `.mms/manifest.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::layers::damaged;
use crate::error::Result;

/// Where the sums stand in the archive.
pub const SUMS: &[u8] = b".mms/SHA256SUMS";
/// Where the counts stand.
pub const MANIFEST: &[u8] = b".mms/manifest.json";
/// Where the description of the service stands.
pub const SERVICE: &[u8] = b".mms/service.json";

/// The longest line of the sums: a hash and a path of 64 KiB, escaped.
const LONGEST: usize = 128 << 10;

/// The regular files that were read, with the SHA-256 of their content; compared with the sums line by line.
#[derive(Debug, Default)]
pub struct Sums {
    read: BTreeMap<Vec<u8>, [u8; 32]>,
    line: Vec<u8>,
    matched: u64,
    lines: u64,
}

impl Sums {
    /// Notes a file.
    pub fn note(&mut self, path: &[u8], hash: [u8; 32]) {
        self.read.insert(path.to_vec(), hash);
    }

    /// Takes a piece of the sums.
    pub fn feed(&mut self, piece: &[u8]) -> Result<()> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LONGEST {
                return Err(damaged("a line of `.mms/SHA256SUMS` has no end"));
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.check(line.strip_suffix(b"\n").unwrap_or(&line))?;
            }
        }
        Ok(())
    }

    /// The sums have ended: every file that was read must have had its line. Gives the number of files.
    pub fn end(&mut self) -> Result<u64> {
        if !self.line.is_empty() {
            return Err(damaged("the last line of `.mms/SHA256SUMS` has no end"));
        }
        match self.read.keys().find(|path| path.as_slice() != MANIFEST) {
            Some(path) => Err(damaged(format!(
                "`{}` is in the archive but not in `.mms/SHA256SUMS`",
                String::from_utf8_lossy(path)
            ))),
            None => Ok(self.matched),
        }
    }

    fn check(&mut self, line: &[u8]) -> Result<()> {
        self.lines += 1;
        let broken = |at: u64| damaged(format!("line {at} of `.mms/SHA256SUMS` is none of `sha256sum`"));
        let (hash, path) = parse(line).ok_or_else(|| broken(self.lines))?;
        let shown = String::from_utf8_lossy(&path).into_owned();
        match self.read.remove(path.strip_prefix(b"./").unwrap_or(&path)) {
            None => Err(damaged(format!("`{shown}` is in `.mms/SHA256SUMS` but not in the archive, or twice in it"))),
            Some(found) if found != hash => Err(damaged(format!("the content of `{shown}` is not what was written"))),
            Some(_) => {
                self.matched += 1;
                Ok(())
            }
        }
    }
}

/// A line of `sha256sum`: hash, two characters, name; with a backslash in front when the name is escaped.
fn parse(line: &[u8]) -> Option<([u8; 32], Vec<u8>)> {
    let (escaped, line) = line.strip_prefix(b"\\").map_or((false, line), |line| (true, line));
    let mut hash = [0_u8; 32];
    for (at, slot) in hash.iter_mut().enumerate() {
        let digits = line.get(2 * at..2 * at + 2)?;
        let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        *slot = u8::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| lower)?, 16).ok()?;
    }
    let rest = line.get(64..)?;
    let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    if name.is_empty() {
        return None;
    }
    if !escaped {
        return Some((hash, name.to_vec()));
    }
    let mut plain = vec![];
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b'\\' => b'\\',
                _ => return None,
            },
            other => *other,
        });
    }
    Some((hash, plain))
}

/// `.mms/manifest.json`. What is not said is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// Regular files in the sums.
    pub files: Option<u64>,
    /// Directories, those of `.mms` left out.
    #[serde(alias = "dirs")]
    pub directories: Option<u64>,
    /// Symbolic and hard links.
    pub links: Option<u64>,
    /// Bytes of all files in the sums.
    pub bytes: Option<u64>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Regular files that the sums list.
    pub files: u64,
    /// Directories, those of `.mms` left out.
    pub directories: u64,
    /// Symbolic and hard links.
    pub links: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

impl Manifest {
    /// Reads it.
    pub fn parse(content: &[u8]) -> Result<Self> {
        let manifest: Self =
            serde_json::from_slice(content).map_err(|error| damaged(format!("`.mms/manifest.json`: {error}")))?;
        if manifest.format != 1 {
            let error = crate::error::Error::new(
                crate::error::ErrorKind::Failed,
                format!("the backup has format {}, and this mms knows format 1", manifest.format),
            );
            return Err(error.hint("a newer mms reads it"));
        }
        Ok(manifest)
    }

    /// Compares it with what was counted.
    pub fn compare(&self, counts: &Counts) -> Result<()> {
        let pairs = [
            ("files", self.files, counts.files),
            ("directories", self.directories, counts.directories),
            ("links", self.links, counts.links),
            ("bytes", self.bytes, counts.bytes),
        ];
        match pairs.into_iter().find(|(_, said, found)| said.is_some_and(|said| said != *found)) {
            Some((what, said, found)) => {
                let said = said.unwrap_or_default();
                Err(damaged(format!("the manifest says {said} {what}, and there are {found}")))
            }
            None => Ok(()),
        }
    }
}

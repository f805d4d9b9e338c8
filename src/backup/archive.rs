//! Reading a backup: age, zstd and tar in one pass, every byte checked, memory bounded by the number of files.
//!
//! [`check`] runs on a thread of its own and hands each member to a [`Visitor`] as it comes: the restore sends it on to the
//! target's staging directory, `verify` looks into databases. What the archive says of itself comes last, so a visitor knows that
//! all it saw is right only when [`check`] returns a [`Report`]; until then nothing of it may be used.
//!
//! What guards what: age authenticates every byte of an encrypted backup, its end included. An unencrypted one is guarded by the
//! checksum of zstd, the hashes inside and the one beside it; all of them tell damage, none tells forgery.

mod channel;
mod layers;
mod paths;
mod rewrite;
mod sums;
mod tape;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::vault::Keyring;
use paths::Names;
use sums::{MANIFEST, Manifest, SERVICE, SUMS, Sums};
use tape::Tape;

pub use channel::{ChannelReader, ChannelWriter};
pub use layers::{damaged, of_io};
pub use rewrite::Rewriter;
pub use sums::Counts;
pub use tape::{Kind, Member};

/// How much content is handed on at once.
const PIECE: usize = 256 << 10;

/// The most that `.mms/service.json` and `.mms/manifest.json` may take.
const MOST_NOTE: usize = 4 << 20;

/// What is expected of a backup before it is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Whether it must be encrypted: its name ends in `.age` or `.tar.zst`. What it is decides when nothing is known.
    pub encrypted: Option<bool>,
    /// SHA-256 of the file, from the note beside it.
    pub sha256: Option<String>,
    /// Size of the file in bytes, from the note beside it.
    pub size: Option<u64>,
}

/// What a backup holds, all of it checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Whether it was encrypted.
    pub encrypted: bool,
    /// Whether it has hashes inside.
    pub manifest: bool,
    /// What was counted.
    pub counts: Counts,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// `.mms/service.json`.
    pub service: Option<serde_json::Value>,
}

/// Takes members as they come. An error ends the reading.
pub trait Visitor {
    /// A member, its name clean and safe. `.mms/…` is not shown.
    fn member(&mut self, member: &Member) -> Result<()>;
    /// Content of the member.
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
    /// The member is complete.
    fn end(&mut self) -> Result<()>;
}

/// Reads a backup to its end. Blocking; memory grows with the number of files only, by about 100 bytes and the name for each.
///
/// # Errors
/// When anything at all is not as it was written: the error says what and where. When no identity fits (kind `Vault`). When the
/// source or the visitor fails.
pub fn check(
    source: Box<dyn std::io::Read + Send>,
    expected: &Expected,
    keyring: &Keyring,
    visitor: &mut dyn Visitor,
) -> Result<Report> {
    let opened = layers::open(source, expected.encrypted, keyring)?;
    let mut reading = Reading::default();
    let mut tape = Tape::new(opened.plain);
    reading.members(&mut tape, visitor)?;
    let last = reading.last.clone();
    let after = |error: &std::io::Error| layers::told(error).unwrap_or_else(|| damaged(format!("{error}{last}")));
    tape.finish().map_err(|error| after(&error))?;
    let (counts, manifest) = reading.finish()?;
    let report = Report {
        encrypted: opened.encrypted,
        manifest,
        counts,
        size: opened.tally.bytes(),
        sha256: opened.tally.sha256(),
        service: reading.service,
    };
    if let Some(size) = expected.size.filter(|size| *size != report.size) {
        return Err(damaged(format!("it has {} bytes, and the note beside it says {size}", report.size)));
    }
    match &expected.sha256 {
        Some(hash) if !hash.eq_ignore_ascii_case(&report.sha256) => {
            Err(damaged("its SHA-256 is not the one in the note beside it"))
        }
        _ => Ok(report),
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    names: Names,
    sums: Sums,
    counts: Counts,
    /// Whether the sums were read; nothing but the manifest may follow them.
    summed: bool,
    listed: u64,
    manifest: Option<Manifest>,
    service: Option<serde_json::Value>,
    /// The last member, for messages.
    last: String,
}

impl Reading {
    fn members<R: std::io::Read>(&mut self, tape: &mut Tape<R>, visitor: &mut dyn Visitor) -> Result<()> {
        let mut buffer = vec![0_u8; PIECE];
        loop {
            let place = format!(" (at byte {} of the tar archive{})", tape.position(), self.last);
            let wrong =
                |error: &std::io::Error| layers::told(error).unwrap_or_else(|| damaged(format!("{error}{place}")));
            let Some(mut member) = tape.next_member().map_err(|error| wrong(&error))? else { return Ok(()) };
            if !self.names.admit(&mut member)? {
                continue;
            }
            self.last = format!(", after `{}`", String::from_utf8_lossy(&member.path));
            if self.summed && member.path != MANIFEST {
                return Err(damaged(format!("something follows `.mms/SHA256SUMS`{place}")));
            }
            let own = member.path == b".mms" || member.path.starts_with(b".mms/");
            match member.kind {
                Kind::Directory if !own => self.counts.directories += 1,
                Kind::Symlink | Kind::Hardlink => self.counts.links += 1,
                _ => {}
            }
            if !own {
                visitor.member(&member)?;
            }
            let mut hash = Sha256::new();
            let mut note = vec![];
            loop {
                let count = tape.read(&mut buffer).map_err(|error| wrong(&error))?;
                let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
                if member.path == SUMS {
                    self.sums.feed(piece)?;
                    continue;
                }
                hash.update(piece);
                if own {
                    note.extend_from_slice(piece);
                    if note.len() > MOST_NOTE {
                        return Err(damaged(format!("`{}` is too large", String::from_utf8_lossy(&member.path))));
                    }
                } else {
                    visitor.data(piece)?;
                }
            }
            if !own {
                visitor.end()?;
            }
            self.ended(&member, hash.finalize().into(), &note)?;
        }
    }

    fn ended(&mut self, member: &Member, hash: [u8; 32], note: &[u8]) -> Result<()> {
        if member.kind != Kind::File {
            return Ok(());
        }
        if member.path == SUMS {
            self.summed = true;
            self.listed = self.sums.end()?;
            return Ok(());
        }
        if !self.summed {
            self.sums.note(&member.path, hash);
        }
        if member.path == MANIFEST {
            self.manifest = Some(Manifest::parse(note)?);
            return Ok(());
        }
        if member.path == SERVICE {
            let service = serde_json::from_slice(note);
            self.service = Some(service.map_err(|error| damaged(format!("`.mms/service.json`: {error}")))?);
        }
        self.counts.files += 1;
        self.counts.bytes += member.size;
        Ok(())
    }

    /// Nothing follows: what the archive says of itself is all there, or nothing of it.
    fn finish(&self) -> Result<(Counts, bool)> {
        match (&self.manifest, self.summed) {
            (Some(manifest), true) => {
                manifest.compare(&self.counts)?;
                Ok((self.counts, true))
            }
            (None, false) if self.service.is_none() => Ok((self.counts, false)),
            (None, _) => Err(damaged("`.mms/manifest.json` is missing")),
            (Some(_), false) => Err(damaged("`.mms/SHA256SUMS` is missing")),
        }
    }
}

/// A visitor that only lets everything be checked.
pub struct Nothing;

impl Visitor for Nothing {
    fn member(&mut self, _: &Member) -> Result<()> {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// An error that a reader of this module passes on as it is.
pub fn pass(error: Error) -> std::io::Error {
    std::io::Error::other(layers::Told(error))
}

#[cfg(test)]
#[path = "archive/tests.rs"]
mod tests;

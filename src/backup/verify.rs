//! `mms backup verify`: a backup is opened, decompressed and hashed to its end, and what is in it is looked into: SQLite's own
//! integrity check of every database, and whether dumps of PostgreSQL are complete.
//!
//! Databases are checked from a copy in a private directory (mode 0700) of this machine, one at a time; it is removed at once; the directory is the caller's, who removes it on every way.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::archive::{self, Kind, Member, Report, Visitor};
use super::source::{Found, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::restore::Site;
use crate::sh;
use crate::vault::Keyring;

/// The first bytes of a SQLite database.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// How pg_dump and pg_dumpall end.
const DUMP_ENDS: [&[u8]; 2] =
    [b"-- PostgreSQL database cluster dump complete", b"-- PostgreSQL database dump complete"];

/// What was found in a backup that is good.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// The backup.
    pub file: String,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SQLite databases that passed their integrity check.
    pub databases: u64,
    /// Dumps of PostgreSQL that are complete.
    pub dumps: u64,
    /// Whether the backup has hashes inside.
    pub manifest: bool,
    /// Whether it is encrypted, which is what tells forgery.
    pub encrypted: bool,
}

/// Verifies one backup and marks it on success. The mark is the time, beside the backup. `private` is a directory that nobody else can
/// read, for databases.
pub async fn verify(found: &Found, site: Option<&Site<'_>>, keyring: &Keyring, private: &Path) -> Result<Verified> {
    let (reader, bringing) = found.open(site)?;
    let (expected, keyring) = (found.expected(), keyring.clone());
    let mut looker = Looker::new(private);
    let checking = tokio::task::spawn_blocking(move || {
        let report = archive::check(reader, &expected, &keyring, &mut looker)?;
        Ok::<(Report, u64, u64), Error>((report, looker.databases, looker.dumps))
    });
    let (checked, ()) = tokio::join!(checking, bringing);
    let checked = checked.unwrap_or_else(|error| Err(Error::internal(format!("reading the backup failed: {error}"))));
    let (report, databases, dumps) = checked.map_err(|error| named(&found.file, error))?;
    mark(found, site).await?;
    Ok(Verified {
        file: found.file.clone(),
        files: report.counts.files,
        bytes: report.counts.bytes,
        databases,
        dumps,
        manifest: report.manifest,
        encrypted: report.encrypted,
    })
}

/// The error with the name of the backup in front.
fn named(file: &str, error: Error) -> Error {
    error.map(|mut diagnostic| {
        diagnostic.message = format!("`{file}`: {}", diagnostic.message);
        diagnostic
    })
}

/// Notes that a backup was verified now.
async fn mark(found: &Found, site: Option<&Site<'_>>) -> Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    match (&found.place, site) {
        (Place::Target(path), Some(site)) => {
            let (mark, new) = (sh::quote(&format!("{path}.verified")), sh::quote(&format!("{path}.verified.new")));
            let script = format!("umask 077; printf '%s\\n' {now} >{new} && mv -f -- {new} {mark}");
            site.must("mark the backup as verified", script).await.map(drop)
        }
        (Place::Here(path), _) => {
            // Backups on a medium that is read-only are verified all the same.
            let mark = path.with_file_name(format!("{}.verified", found.file));
            match std::fs::write(&mark, format!("{now}\n")) {
                Err(error) if error.kind() != std::io::ErrorKind::ReadOnlyFilesystem => {
                    Err(Error::io("write", &mark, &error))
                }
                _ => Ok(()),
            }
        }
        (Place::Target(_), None) => Ok(()),
    }
}

/// `--subset n/t`: n t-ths of the backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    parts: usize,
    of: usize,
}

impl std::str::FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("`{text}` is no part: `1/7` is a seventh");
        let (parts, of) = text.split_once('/').ok_or_else(wrong)?;
        let (parts, of): (usize, usize) = (parts.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if parts == 0 || parts > of { Err(wrong()) } else { Ok(Self { parts, of }) }
    }
}

/// The backups whose turn it is: those never verified first, then those whose verification is the longest ago. Run t/n times, all
/// are covered, whatever was added or removed meanwhile.
pub fn rolling(mut found: Vec<Found>, subset: Subset) -> Vec<Found> {
    let count = (found.len() * subset.parts).div_ceil(subset.of);
    found.sort_by(|one, other| (&one.verified, &one.name).cmp(&(&other.verified, &other.name)));
    found.truncate(count);
    found
}

/// Looks into what goes by.
struct Looker {
    dir: PathBuf,
    /// The current member.
    path: String,
    inside: Inside,
    databases: u64,
    dumps: u64,
}

enum Inside {
    /// Nothing of interest.
    Other,
    /// A file whose first bytes have not all come.
    Start(Vec<u8>),
    /// A database, copied to this file.
    Database(File, PathBuf),
    /// A dump, and its last bytes.
    Dump(Vec<u8>),
}

/// How many last bytes of a dump are looked at.
const TAIL: usize = 4096;

impl Looker {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), path: String::new(), inside: Inside::Other, databases: 0, dumps: 0 }
    }
}

impl Visitor for Looker {
    fn member(&mut self, member: &Member) -> Result<()> {
        self.path = String::from_utf8_lossy(&member.path).into_owned();
        self.inside = match member.kind {
            Kind::File if member.path.starts_with(b"postgres/") && member.path.ends_with(b".sql") => {
                Inside::Dump(vec![])
            }
            Kind::File if member.size >= 512 => Inside::Start(vec![]),
            _ => Inside::Other,
        };
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.inside {
            Inside::Other => {}
            Inside::Start(start) => {
                start.extend_from_slice(bytes);
                if start.len() >= SQLITE.len() {
                    let start = std::mem::take(start);
                    self.inside = Inside::Other;
                    if start.starts_with(SQLITE) {
                        let path = self.dir.join("database");
                        let write = |error: &std::io::Error| Error::io("write", &path, error);
                        let mut file = File::create(&path).map_err(|error| write(&error))?;
                        file.write_all(&start).map_err(|error| write(&error))?;
                        self.inside = Inside::Database(file, path);
                    }
                }
            }
            Inside::Database(file, path) => file.write_all(bytes).map_err(|error| Error::io("write", path, &error))?,
            Inside::Dump(tail) => {
                tail.extend_from_slice(bytes);
                let surplus = tail.len().saturating_sub(TAIL);
                tail.drain(..surplus);
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.inside, Inside::Other) {
            Inside::Other | Inside::Start(_) => Ok(()),
            Inside::Database(file, path) => {
                drop(file);
                let checked = integrity(&path);
                std::fs::remove_file(&path).map_err(|error| Error::io("remove", &path, &error))?;
                let why = checked.unwrap_or_else(|error| Some(error.to_string()));
                self.databases += 1;
                why.map_or(Ok(()), |why| {
                    Err(Error::new(ErrorKind::Failed, format!("the database `{}` is damaged: {why}", self.path))
                        .hint("it was so when it was saved: the backup itself is what was written"))
                })
            }
            Inside::Dump(tail) => {
                self.dumps += 1;
                let lines = tail.split(|byte| *byte == b'\n');
                if lines.into_iter().any(|line| DUMP_ENDS.contains(&line.trim_ascii_end())) {
                    return Ok(());
                }
                Err(Error::new(
                    ErrorKind::Failed,
                    format!("the dump `{}` does not end as PostgreSQL ends one", self.path),
                )
                .hint("it was cut off when it was saved: the backup itself is what was written"))
            }
        }
    }
}

/// What SQLite says of a database; nothing when it is whole. No other file is needed: the copy in a backup has no journal.
fn integrity(path: &Path) -> rusqlite::Result<Option<String>> {
    let uri = format!("file:{}?immutable=1", path.display());
    let database = Connection::open_with_flags(uri, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?;
    let mut statement = database.prepare("PRAGMA integrity_check(3)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok((lines != ["ok"]).then(|| lines.join("; ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::backup::name::BackupName;

    fn look(path: &str, content: &[u8]) -> Result<(u64, u64)> {
        let dir = tempfile::tempdir().unwrap();
        let mut looker = Looker::new(dir.path());
        let member = Member {
            path: path.into(),
            kind: Kind::File,
            size: content.len() as u64,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            link: vec![],
            attributes: vec![],
        };
        looker.member(&member)?;
        for piece in content.chunks(7) {
            looker.data(piece)?;
        }
        looker.end()?;
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "plaintext is left");
        Ok((looker.databases, looker.dumps))
    }

    #[test]
    fn a_damaged_database_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let database = Connection::open(&path).unwrap();
        // As the services have theirs; the copy is opened where nothing can be written.
        database.pragma_update(None, "journal_mode", "wal").unwrap();
        database.execute_batch("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a)").unwrap();
        for number in 0..500 {
            database.execute("INSERT INTO t VALUES (?1)", [format!("row number {number}")]).unwrap();
        }
        drop(database);
        let mut content = std::fs::read(&path).unwrap();
        assert_eq!(look("data/0/any.name", &content).unwrap(), (1, 0));
        let middle = content.len() / 2;
        content[middle..middle + 600].fill(0x55);
        assert!(look("data/0/x.db", &content).unwrap_err().to_string().contains("`data/0/x.db` is damaged"));
        content.truncate(5000);
        assert!(look("data/0/x.db", &content).is_err());
        assert_eq!(look("data/0/text", &[b'x'; 9000]).unwrap(), (0, 0));
    }

    #[test]
    fn a_dump_must_have_its_last_line() {
        let whole = format!("{}\n--\n-- PostgreSQL database cluster dump complete\n--\n\n", "x".repeat(9000));
        assert_eq!(look("postgres/db.sql", whole.as_bytes()).unwrap(), (0, 1));
        assert!(look("postgres/db.sql", &whole.as_bytes()[..8000]).unwrap_err().to_string().contains("does not end"));
        assert_eq!(look("postgres/db/app.sql", b"-- PostgreSQL database dump complete\n").unwrap(), (0, 1));
    }

    fn found(day: u32, verified: Option<&str>) -> Found {
        let file = format!("s-2026-10-{day:02}.tar.zst.age");
        Found {
            name: BackupName::parse(&file),
            place: Place::Here(file.clone().into()),
            file,
            size: 0,
            note: None,
            verified: verified.map(str::to_owned),
        }
    }

    #[test]
    fn every_backup_has_its_turn() {
        for (count, part) in [(10, "1/3"), (7, "2/7"), (1, "1/30"), (30, "1/7"), (5, "5/5")] {
            let subset: Subset = part.parse().unwrap();
            let mut all: Vec<Found> = (1..=count).map(|day| found(day, None)).collect();
            let runs = subset.of.div_ceil(subset.parts);
            for run in 0..runs {
                for turn in rolling(all.clone(), subset) {
                    let own = all.iter_mut().find(|found| found.file == turn.file).unwrap();
                    own.verified = Some(format!("2026-11-{:02}T00:00:00Z", run + 1));
                }
            }
            assert!(all.iter().all(|found| found.verified.is_some()), "{count} backups, {part}");
        }
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Subset>().is_err(), "{wrong}");
        }
    }
}

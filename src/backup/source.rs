//! Where backups lie, on the target or on the workstation, and reading one of them as a stream.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::archive::{ChannelReader, Expected};
use super::name::BackupName;
use super::note::Note;
use crate::error::{Error, Result};
use crate::restore::Site;
use crate::sh;

/// A place for backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the target.
    Target(String),
    /// On this machine.
    Here(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Target(path) => write!(f, "`{path}` on the target"),
            Self::Here(path) => write!(f, "`{}` on this machine", path.display()),
        }
    }
}

impl Place {
    /// What the user wrote: `HOST:/path` is on that host, which must be the target; anything else is here.
    pub fn parse(text: &str, host: &str) -> Result<Self> {
        match text.split_once(":/") {
            Some((name, path)) if name == host => Ok(Self::Target(format!("/{path}"))),
            Some((name, _)) if !name.contains('/') && !name.is_empty() => {
                Err(Error::user(format!("`{text}` is on `{name}`, and the target is `{host}`"))
                    .hint(format!("`{host}:/path` is a path on the target, and a path alone is on this machine")))
            }
            _ => Ok(Self::Here(crate::fs::expand_home(text))),
        }
    }
}

/// A backup that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its name; a file of any other name has none.
    pub name: Option<BackupName>,
    /// The file name.
    pub file: String,
    /// Where the file is.
    pub place: Place,
    /// Bytes of the file.
    pub size: u64,
    /// The note beside it.
    pub note: Option<Note>,
    /// When it was last verified (RFC 3339), as the mark beside it says.
    pub verified: Option<String>,
}

impl Found {
    /// What is expected of it.
    pub fn expected(&self) -> Expected {
        let note = self.note.clone().unwrap_or_default();
        let encrypted =
            self.name.as_ref().map(|name| name.encrypted).or_else(|| self.file.ends_with(".age").then_some(true));
        Expected { encrypted, sha256: note.sha256, size: note.size }
    }

    fn is_here(&self) -> Option<&Path> {
        match &self.place {
            Place::Here(path) => Some(path),
            Place::Target(_) => None,
        }
    }

    /// Its bytes for the thread that checks them, and the work that brings them there.
    pub fn open<'a>(
        &'a self,
        site: Option<&'a Site<'_>>,
    ) -> Result<(Box<dyn std::io::Read + Send>, impl Future<Output = ()> + 'a)> {
        let (sender, pieces) = mpsc::channel(8);
        let reader: Box<dyn std::io::Read + Send> = match self.is_here() {
            Some(path) => Box::new(std::fs::File::open(path).map_err(|error| Error::io("read", path, &error))?),
            None => Box::new(ChannelReader::new(pieces)),
        };
        let bringing = async move {
            let (Place::Target(path), Some(site)) = (&self.place, site) else { return };
            site.receive(&format!("read `{path}`"), &format!("exec cat -- {}", sh::quote(path)), sender).await;
        };
        Ok((reader, bringing))
    }
}

/// The backups of a service below these directories, oldest first. A directory that is not there has none.
pub async fn list(service: &str, place: &Place, site: Option<&Site<'_>>) -> Result<Vec<Found>> {
    let mut found = match (place, site) {
        (Place::Target(dir), Some(site)) => {
            let answer = site.must("list the backups", list_script(&[format!("{dir}/{service}"), dir.clone()])).await?;
            parse(&answer.stdout)
        }
        (Place::Here(dir), _) => [dir.join(service), dir.clone()].iter().flat_map(|dir| here(dir)).collect(),
        (Place::Target(_), None) => vec![],
    };
    found.retain(|found| found.name.as_ref().is_some_and(|name| name.service == service));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The file that the user named.
pub async fn file(place: &Place, site: Option<&Site<'_>>) -> Result<Found> {
    let found = match (place, site) {
        (Place::Here(path), _) => {
            std::fs::metadata(path).map_err(|error| Error::io("read", path, &error))?;
            Some(of_here(path))
        }
        (Place::Target(path), Some(site)) => {
            let answer =
                site.must("look at the backup", format!("{RECORD}record {}\nexit 0\n", sh::quote(path))).await?;
            parse(&answer.stdout).pop()
        }
        (Place::Target(_), None) => None,
    };
    found.ok_or_else(|| Error::user(format!("there is no file {place}")))
}

/// Shows one file: `@backup size path`, its note on one line, its mark on one line.
const RECORD: &str = r#"record() {
  [ -f "$1" ] && [ -r "$1" ] || return 0
  printf '@backup %s %s\n' "$(wc -c <"$1" | tr -d ' ')" "$1"
  [ -f "$1.json" ] && { head -c 65536 "$1.json" | tr '\n' ' '; }; echo
  [ -f "$1.verified" ] && { head -c 64 "$1.verified" | tr '\n' ' '; }; echo
}
"#;

fn list_script(dirs: &[String]) -> String {
    let mut text = RECORD.to_owned();
    for dir in dirs {
        let dir = sh::quote(dir);
        text.push_str(&format!("for file in {dir}/*.tar.zst {dir}/*.tar.zst.age; do record \"$file\"; done\n"));
    }
    text.push_str("exit 0\n");
    text
}

fn parse(answer: &[u8]) -> Vec<Found> {
    let text = String::from_utf8_lossy(answer);
    let mut found = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let record = line.strip_prefix("@backup ").and_then(|rest| rest.split_once(' '));
        let Some((size, path)) = record.and_then(|(size, path)| Some((size.parse().ok()?, path))) else { continue };
        let (note, mark) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default().trim());
        let file = path.rsplit('/').next().unwrap_or(path).to_owned();
        found.push(Found {
            name: BackupName::parse(&file),
            file,
            place: Place::Target(path.to_owned()),
            size,
            note: serde_json::from_str(note).ok(),
            verified: (!mark.is_empty()).then(|| mark.to_owned()),
        });
    }
    found
}

fn here(dir: &Path) -> Vec<Found> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).map(|path| of_here(&path)).collect()
}

fn of_here(path: &Path) -> Found {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = |ending: &str| std::fs::read_to_string(path.with_file_name(format!("{file}{ending}"))).ok();
    Found {
        name: BackupName::parse(&file),
        place: Place::Here(path.to_path_buf()),
        size: path.metadata().map(|metadata| metadata.len()).unwrap_or_default(),
        note: beside(".json").and_then(|text| serde_json::from_str(&text).ok()),
        verified: beside(".verified").map(|text| text.trim().to_owned()),
        file,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_in_front_of_a_path_must_be_the_target() {
        assert_eq!(Place::parse("media:/srv/b", "media").unwrap(), Place::Target("/srv/b".into()));
        assert_eq!(Place::parse("/srv/b:/x", "media").unwrap(), Place::Here("/srv/b:/x".into()));
        assert_eq!(Place::parse("b.tar.zst", "media").unwrap(), Place::Here("b.tar.zst".into()));
        assert!(Place::parse("nas:/srv/b", "media").unwrap_err().to_string().contains("the target is `media`"));
    }

    #[test]
    fn what_the_target_lists_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let name = "radarr-2026-10-01T030000Z.tar.zst.age";
        std::fs::create_dir(dir.path().join("radarr")).unwrap();
        let path = dir.path().join("radarr").join(name);
        std::fs::write(&path, "12345").unwrap();
        std::fs::write(
            path.with_file_name(format!("{name}.json")),
            "{\n \"size\": 5,\n \"sha256\": \"ab\", \"files\": 1 }\n",
        )
        .unwrap();
        std::fs::write(path.with_file_name(format!("{name}.verified")), "2026-10-02T00:00:00Z\n").unwrap();
        std::fs::write(dir.path().join("radarr/radarr-2026-10-02.tar.zst"), "").unwrap();
        let script = list_script(&[dir.path().join("radarr").display().to_string(), "/nowhere".into()]);
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        let found = parse(&output.stdout);
        assert_eq!(found.len(), 2, "{output:?}");
        let own = found.iter().find(|found| found.file == name).unwrap();
        assert_eq!((own.size, own.verified.as_deref()), (5, Some("2026-10-02T00:00:00Z")));
        assert_eq!(own.expected(), Expected { encrypted: Some(true), sha256: Some("ab".into()), size: Some(5) });
        assert_eq!(found.iter().filter(|found| found.note.is_none() && found.verified.is_none()).count(), 1);
        let mut same: Vec<_> =
            here(&dir.path().join("radarr")).into_iter().filter(|found| found.name.is_some()).collect();
        same.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(same.first().map(Found::expected), Some(own.expected()));
    }
}

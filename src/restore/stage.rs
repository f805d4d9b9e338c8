//! From a backup to a staging directory: the workstation opens and checks, the target unpacks beside the data. What is sent is
//! written anew from what was understood and allowed, so the target's tar meets nothing unexpected. What shrinks travels compressed where
//! the connection is slow and the target has zstd.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::FutureExt as _;
use futures::future::{Fuse, FusedFuture as _};
use tokio::sync::mpsc;

use super::site::Site;
use super::{Talk, scripts};
use crate::backup::archive::{self, ChannelWriter, Kind, Member, Report, Rewriter, Visitor};
use crate::backup::source::{Found, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::size;
use crate::vault::Keyring;

/// Where members go on the target.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// The staging path of each of `backup.paths`: `data/<n>` goes there.
    pub data: Vec<String>,
    /// The directory for dumps of PostgreSQL: `postgres/…` goes there.
    pub dumps: String,
}

impl Roots {
    /// The path on the target, without its leading slash; none for a directory above all staging paths.
    fn of(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut parts = path.splitn(3, |byte| *byte == b'/');
        let (first, second, rest) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let below = |root: &str, rest: Option<&[u8]>| {
            let mut path = root.trim_start_matches('/').as_bytes().to_vec();
            if let Some(part) = rest {
                path.push(b'/');
                path.extend_from_slice(part);
            }
            path
        };
        if first == b"postgres" {
            let rest = path.get(b"postgres/".len()..).filter(|rest| !rest.is_empty());
            return Ok(rest.map(|rest| below(&self.dumps, Some(rest))));
        }
        let Some(second) = second else { return Ok(None) };
        let number = std::str::from_utf8(second).ok().and_then(|text| text.parse::<usize>().ok());
        match number.and_then(|number| self.data.get(number)) {
            Some(root) => Ok(Some(below(root, rest))),
            None => Err(Error::new(
                ErrorKind::Failed,
                format!("the backup has `data/{}`, and the service has no such path", String::from_utf8_lossy(second)),
            )
            .hint("`backup.paths` of the service must be those it was backed up with, in the same order")),
        }
    }
}

/// What was unpacked.
#[derive(Debug, Default)]
pub struct Staged {
    /// What the backup holds.
    pub report: Report,
    /// Dumps: their paths below `postgres/`.
    pub dumps: BTreeSet<String>,
    /// The paths of the service that the backup has, by number.
    pub paths: BTreeSet<usize>,
}

/// Unpacks a backup into its staging paths. When it fails, what was unpacked is of no use and nobody has used it.
pub async fn stage(
    site: &Site<'_>,
    found: &Found,
    roots: &Roots,
    keyring: &Keyring,
    talk: &dyn Talk,
) -> Result<Staged> {
    let (reader, bringing) = found.open(Some(site))?;
    let packed = shrinks(found) && site.ask("command -v zstd >/dev/null".to_owned()).await?.ok();
    let (sender, pieces) = mpsc::channel(8);
    let (expected, keyring, roots) = (found.expected(), keyring.clone(), roots.clone());
    let (tell, told) = mpsc::unbounded_channel();
    let checking = tokio::task::spawn_blocking(move || {
        let out = if packed { ChannelWriter::packed(sender) } else { Ok(ChannelWriter::new(sender)) };
        let out = out.map_err(|error| Error::internal(format!("zstd does not start: {error}")))?;
        let mut stager =
            Stager { out: Rewriter::new(out), roots, skip: false, staged: Staged::default(), bytes: 0, tell };
        let report = archive::check(reader, &expected, &keyring, &mut stager)?;
        stager.out.finish().map_err(|_| broken())?;
        Ok(Staged { report, ..stager.staged })
    });
    let command = scripts::unpack(packed);
    let unpacking = site.send(&command, pieces);
    let following = follow(site, told, talk, matches!(found.place, Place::Here(_)));
    let (checked, unpacked, (), ()) = tokio::join!(checking, unpacking, bringing, following);
    let checked = checked.unwrap_or_else(|error| Err(Error::internal(format!("reading the backup failed: {error}"))));
    let unpacked = unpacked.and_then(|answer| site.checked("unpack the backup", answer));
    match (checked, unpacked) {
        (Ok(staged), Ok(_)) => Ok(staged),
        // The target's own words, where it was the target that failed.
        (Err(error), Err(own)) if error.message() == BROKEN => Err(own),
        (Err(error), _) => Err(error),
        (Ok(_), Err(error)) => Err(error),
    }
}

/// Tells how far it is. With `sync`, the target brings to the disk what came so far, so that little is left to do when all of it has come;
/// where it reads the backup from its own disk, that would only make the reading slower.
async fn follow(site: &Site<'_>, mut told: mpsc::UnboundedReceiver<u64>, talk: &dyn Talk, sync: bool) {
    let mut begun = 0;
    let mut syncing = pin!(Fuse::terminated());
    loop {
        tokio::select! {
            bytes = told.recv() => {
                let Some(bytes) = bytes else { break };
                talk.progress(&site.name, &format!("unpacking: {}", size::human(bytes)));
                if sync && syncing.is_terminated() && bytes - begun >= UNSYNCED {
                    begun = bytes;
                    syncing.set(site.ask("sync".to_owned()).fuse());
                }
            }
            // What it could not do, nobody is told: whoever syncs at the end asks for that.
            _ = &mut syncing, if !syncing.is_terminated() => {}
        }
    }
    if !syncing.is_terminated() {
        let _ = syncing.await;
    }
}

/// Whether compressing the content on its way can be worth what uncompressing costs the target. A backup that is hardly smaller than what
/// it holds (films, photos) says that it cannot; one that says nothing (made by hand) may be of anything.
fn shrinks(found: &Found) -> bool {
    let bytes = found.note.as_ref().and_then(|note| note.bytes);
    bytes.is_none_or(|bytes| bytes > found.size.saturating_add(found.size / 4))
}

const BROKEN: &str = "the target does not take the backup";

fn broken() -> Error {
    Error::new(ErrorKind::Failed, BROKEN)
}

struct Stager {
    out: Rewriter<ChannelWriter>,
    roots: Roots,
    /// Whether the current member is not sent.
    skip: bool,
    staged: Staged,
    bytes: u64,
    tell: mpsc::UnboundedSender<u64>,
}

/// How often progress is told, in bytes.
const OFTEN: u64 = 16 << 20;

/// So many bytes are unpacked before they are brought to the disk.
const UNSYNCED: u64 = 64 << 20;

impl Visitor for Stager {
    fn member(&mut self, member: &Member) -> Result<()> {
        let path = self.roots.of(&member.path)?;
        self.skip = path.is_none();
        let Some(path) = path else { return Ok(()) };
        let mut parts = member.path.splitn(3, |byte| *byte == b'/');
        let first = parts.next().unwrap_or_default();
        if first == b"postgres" && member.kind == Kind::File {
            let name = member.path.get(b"postgres/".len()..).unwrap_or_default();
            self.staged.dumps.insert(String::from_utf8_lossy(name).into_owned());
        }
        if let Some(number) = parts.next().filter(|_| first == b"data") {
            self.staged.paths.extend(String::from_utf8_lossy(number).parse::<usize>());
        }
        let link = match member.kind {
            Kind::Hardlink => self.roots.of(&member.link)?.unwrap_or_default(),
            _ => member.link.clone(),
        };
        self.out.member(&Member { path, link, ..member.clone() }).map_err(|_| broken())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let before = self.bytes / OFTEN;
        self.bytes += bytes.len() as u64;
        if self.bytes / OFTEN != before {
            // Nobody may be listening any longer.
            let _ = self.tell.send(self.bytes);
        }
        if self.skip { Ok(()) } else { self.out.data(bytes).map_err(|_| broken()) }
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::backup::note::Note;

    #[test]
    fn only_what_shrinks_is_compressed_on_its_way() {
        let found = |size, bytes| {
            let note = Note { bytes, ..Note::default() };
            Found {
                name: None,
                file: "a".into(),
                place: Place::Here("/a".into()),
                size,
                note: Some(note),
                verified: None,
            }
        };
        assert!(!shrinks(&found(1000, Some(1250))) && shrinks(&found(1000, Some(1251))));
        assert!(shrinks(&found(1000, None)) && shrinks(&Found { note: None, ..found(1000, Some(1)) }));
    }

    #[test]
    fn members_go_to_the_staging_path_of_their_number() {
        let roots = Roots { data: vec!["/c/.s-0".into(), "/d/.s-1".into()], dumps: "/h/dumps".into() };
        let of = |path: &str| roots.of(path.as_bytes()).map(|path| path.map(|path| String::from_utf8(path).unwrap()));
        assert_eq!(of("data").unwrap(), None);
        assert_eq!(of("data/0").unwrap().as_deref(), Some("c/.s-0"));
        assert_eq!(of("data/1/a/b").unwrap().as_deref(), Some("d/.s-1/a/b"));
        assert_eq!(of("postgres").unwrap(), None);
        assert_eq!(of("postgres/db/x.sql").unwrap().as_deref(), Some("h/dumps/db/x.sql"));
        assert!(of("data/2").is_err() && of("data/x").is_err() && of("data/-1").is_err());
    }
}

//! `mms backup --to`: a backup brought to this machine, under its name only when every byte is right. It comes while it is written;
//! what did not come whole that way is fetched when it is done.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::Either;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};

use super::Site;
use crate::backup::answer::Ended;
use crate::connection::Answer;
use crate::error::{Error, ErrorKind, Result};
use crate::hex::hex;
use crate::sh;

/// Prints a file of the host while it grows.
const FOLLOW: &str = include_str!("follow.pl");

/// How a file begins that is not whole yet, and how it ends.
const PART: (&str, &str) = (".mms-", ".part");

/// Pieces from the net that nobody has looked at yet: half a megabyte.
const QUEUE: usize = 16;

/// So many bytes are handed over at once to be hashed and written. What the net brings at a time is far less, and to wake another thread for
/// each of that costs as much as what it then does.
const HANDFUL: usize = 1 << 20;

/// Handfuls that wait to be written.
const HANDFULS: usize = 4;

/// So many bytes are written before they are brought to the disk.
const BATCH: usize = 64 << 20;

/// How long to wait for more of a file that is known to be longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file that has come, under a name of its own. It is removed unless it is given its place.
pub(super) struct Arrived {
    file: NamedTempFile,
    size: u64,
    sha256: String,
}

/// Takes a backup of a service while it grows on the host. `growing` tells where it is, `size` how large it has become in the end.
/// Nothing when it did not come like this.
pub(super) async fn while_written(
    site: &Site<'_>,
    service: &str,
    dir: &Path,
    growing: oneshot::Receiver<String>,
    size: oneshot::Receiver<u64>,
) -> Option<Arrived> {
    let path = growing.await.ok()?;
    let place = dir.join(plain(site, service).ok()?);
    let follow = format!("exec perl -e {} {}", sh::quote(FOLLOW), sh::quote(&path));
    receive(site, &follow, &place, size).await.ok()
}

/// Gives what a run has made its place, `<dir>/<service>/<name>`, with the note beside it; fetches it first if it has not come whole.
pub(super) async fn pull(site: &Site<'_>, ended: &Ended, dir: &Path, arrived: Option<Arrived>) -> Result<PathBuf> {
    if ended.sha256.is_empty() {
        let what = "its program of backups is older than this mms, and `mms deploy` brings it a new one";
        return Err(Error::new(ErrorKind::Failed, format!("{}: {what}", site.host.name())));
    }
    let place = dir.join(plain(site, &ended.service)?);
    let path = place.join(plain(site, &ended.file)?);
    let beside = place.join(format!("{}.json", ended.file));
    let whole = |arrived: &Arrived| arrived.size == ended.size && arrived.sha256 == ended.sha256;
    let arrived = match arrived.filter(whole) {
        Some(arrived) => arrived,
        None => fetch(site, &ended.path, &place).await?,
    };
    if !whole(&arrived) {
        let what = format!("`{}` did not come here as it was written", path.display());
        return Err(Error::new(ErrorKind::Failed, what));
    }
    let note = fetch(site, &format!("{}.json", ended.path), &place).await?;
    let settled = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            note.settle(&beside)?;
            arrived.settle(&path)?;
            File::open(&place)?.sync_all()
        }
    });
    let settled = settled.await.map_err(|error| Error::internal(error.to_string()))?;
    settled.map_err(|error| Error::io("write", &path, &error))?;
    Ok(path)
}

impl Arrived {
    /// Brings it to the disk and gives it its name.
    fn settle(self, path: &Path) -> std::io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(path).map(drop).map_err(|error| error.error)
    }
}

/// Brings a whole file.
async fn fetch(site: &Site<'_>, path: &str, place: &Path) -> Result<Arrived> {
    // Until the command ends: nobody tells a size.
    let (_teller, size) = oneshot::channel();
    receive(site, &format!("exec cat -- {}", sh::quote(path)), place, size).await
}

/// A name that comes from a host: nothing but a name may be one.
fn plain<'a>(site: &Site<'_>, name: &'a str) -> Result<&'a str> {
    if !name.is_empty() && !name.starts_with('.') && !name.contains('/') {
        return Ok(name);
    }
    Err(Error::new(ErrorKind::Failed, format!("{}: `{name}` is not the name of a backup", site.host.name())))
}

/// Writes what a command prints to a file in `place`: until it ends, or has printed as much as `size` tells.
async fn receive(site: &Site<'_>, command: &str, place: &Path, mut size: oneshot::Receiver<u64>) -> Result<Arrived> {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(QUEUE);
    let (to_disk, from_net) = mpsc::channel::<Vec<Bytes>>(HANDFULS);
    // It is this future's: when nobody waits for it any longer, the file goes.
    let file = part(place)?;
    let failed = |error: std::io::Error| Error::io("write", file.path(), &error);
    let own = file.as_file().try_clone().map_err(failed)?;
    let writing = tokio::task::spawn_blocking(move || write(&own, from_net));
    // Whether the command has ended by itself.
    let passing = async move {
        let (mut seen, mut wanted, mut told) = (0, u64::MAX, false);
        let (mut handful, mut held) = (Vec::new(), 0);
        let ended = loop {
            if seen >= wanted {
                break false;
            }
            tokio::select! {
                size = &mut size, if !told => {
                    told = true;
                    wanted = size.unwrap_or(u64::MAX);
                }
                () = tokio::time::sleep(PATIENCE), if told => break false,
                piece = pieces.recv() => {
                    let Some(piece) = piece else { break true };
                    seen += piece.len() as u64;
                    held += piece.len();
                    handful.push(piece);
                    if held >= HANDFUL {
                        held = 0;
                        if to_disk.send(std::mem::take(&mut handful)).await.is_err() {
                            return false;
                        }
                    }
                }
            }
        };
        // Who writes tells by itself why it takes no more.
        let _ = to_disk.send(handful).await;
        ended
    };
    let receiving = site.engine.fetch(site.host, &site.user, command, sender);
    let answer = match futures::future::select(pin!(passing), pin!(receiving)).await {
        Either::Left((false, _)) => None,
        Either::Left((true, receiving)) => Some(receiving.await?),
        Either::Right((answer, passing)) => {
            passing.await;
            Some(answer?)
        }
    };
    let written = writing.await.map_err(|error| Error::internal(error.to_string()))?;
    if let Some(answer) = answer.filter(|answer| !answer.ok()) {
        return Err(refused(site, &answer));
    }
    let (size, sha256) = written.map_err(failed)?;
    Ok(Arrived { file, size, sha256 })
}

fn refused(site: &Site<'_>, answer: &Answer) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("{}: cannot read the backup: {}", site.host.name(), answer.stderr_text().trim()),
    )
}

/// A file for what is not whole yet.
fn part(place: &Path) -> Result<NamedTempFile> {
    let failed = |error: std::io::Error| Error::io("write to", place, &error);
    std::fs::create_dir_all(place).map_err(failed)?;
    clear(place);
    loop {
        // Only for its owner: one that is not encrypted is nobody else's business.
        let file = tempfile::Builder::new().prefix(PART.0).suffix(PART.1).tempfile_in(place).map_err(failed)?;
        file.as_file().lock().map_err(failed)?;
        // Until it was locked, another one who clears may have taken it for abandoned.
        if file.as_file().metadata().map_err(failed)?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Writes what comes from a queue: how much it was, and its SHA-256. It is brought to the disk meanwhile, so that little is left to do
/// for whoever syncs it, and taken out of the page cache: nobody reads it soon, and gigabytes of it would drive out what others need.
fn write(file: &File, mut handfuls: mpsc::Receiver<Vec<Bytes>>) -> std::io::Result<(u64, String)> {
    std::thread::scope(|scope| {
        let (more, written) = std::sync::mpsc::sync_channel(1);
        // Who syncs later is not told of an error again.
        let syncing =
            scope.spawn(move || written.iter().try_for_each(|size| file.sync_data().map(|()| forget(file, size))));
        let (mut hash, mut size, mut unsynced, mut out) = (Sha256::new(), 0, 0, file);
        while let Some(handful) = handfuls.blocking_recv() {
            for piece in handful {
                out.write_all(&piece)?;
                hash.update(&piece);
                size += piece.len() as u64;
                unsynced += piece.len();
            }
            // One that is still at it will be asked with the next pieces.
            if unsynced >= BATCH && more.try_send(size).is_ok() {
                unsynced = 0;
            }
        }
        drop(more);
        syncing.join().map_err(|_| std::io::Error::other("the thread that syncs has panicked"))??;
        Ok((size, hex(&hash.finalize())))
    })
}

/// Takes the first so many bytes of a file, which are on the disk, out of the page cache.
fn forget(file: &File, size: u64) {
    // Where it is refused, they stay there until the room is needed.
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, std::num::NonZero::new(size), rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, size);
}

/// Removes what those have left who were killed: whoever still writes holds the lock of its file.
fn clear(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let part = name.to_str().is_some_and(|name| name.starts_with(PART.0) && name.ends_with(PART.1));
        if part && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_abandoned_is_cleared_and_what_is_written_is_not() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join(".mms-dead.part"), "half").unwrap();
        std::fs::write(place.path().join(".other"), "theirs").unwrap();
        let file = part(place.path()).unwrap();
        clear(place.path());
        let mut names: Vec<_> =
            std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [file.path().file_name().unwrap(), ".other".as_ref()]);
        let (sender, pieces) = mpsc::channel(2);
        sender.blocking_send(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]).unwrap();
        sender.blocking_send(vec![Bytes::from_static(b"c")]).unwrap();
        drop(sender);
        let (size, sha256) = write(file.as_file(), pieces).unwrap();
        assert_eq!(size, 3);
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        drop(file);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "what is given no place goes");
    }
}

//! `mms backup --to`: a backup brought to this machine, under its name only when every byte is right.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Site;
use crate::backup::answer::Ended;
use crate::error::{Error, ErrorKind, Result};
use crate::sh;

/// How much is read at once.
const PIECE: usize = 1 << 20;

/// Brings what a run has made to `<dir>/<service>/<name>`, with the note beside it.
pub(super) async fn pull(site: &Site<'_>, ended: &Ended, dir: &Path) -> Result<PathBuf> {
    let kept = site.kept(std::slice::from_ref(&ended.service)).await?;
    let found = kept.into_iter().find(|kept| kept.file.as_ref() == Some(&ended.file));
    let noted = found.and_then(|kept| kept.note.as_ref().and_then(|note| note.sha256.clone()).map(|hash| (kept, hash)));
    let (kept, sha256) = noted.ok_or_else(|| {
        Error::new(ErrorKind::Failed, format!("{}: {} is gone already", site.host.name(), ended.file))
    })?;
    let place = dir.join(&ended.service);
    // Names come from a host: nothing but a name may be one.
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    if !plain(&ended.service) || !plain(&ended.file) {
        return Err(Error::new(
            ErrorKind::Failed,
            format!("{}: `{}` is not the name of a backup", site.host.name(), ended.file),
        ));
    }
    let part = place.join(format!(".{}.part", ended.file));
    let path = place.join(&ended.file);
    let beside = place.join(format!("{}.json", ended.file));
    let brought = async {
        fetch(site, &kept.path, &part).await?;
        let checked = tokio::task::spawn_blocking({
            let part = part.clone();
            move || check(&part, kept.size, &sha256)
        });
        checked.await.unwrap_or_else(|error| Err(Error::internal(error.to_string())))?;
        fetch(site, &format!("{}.json", kept.path), &beside).await
    };
    if let Err(error) = brought.await {
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
    std::fs::rename(&part, &path).map_err(|error| Error::io("rename", &part, &error))?;
    let synced = std::fs::File::open(&place).and_then(|directory| directory.sync_all());
    synced.map_err(|error| Error::io("write", &place, &error))?;
    Ok(path)
}

async fn fetch(site: &Site<'_>, from: &str, to: &Path) -> Result<()> {
    let answer = site.engine.fetch(site.host, &site.user, &format!("exec cat -- {}", sh::quote(from)), to).await?;
    if answer.ok() {
        return Ok(());
    }
    let why = answer.stderr_text().trim().to_owned();
    Err(Error::new(ErrorKind::Failed, format!("{}: cannot read `{from}`: {why}", site.host.name())))
}

/// The file has this size and hash, and is on the disk.
fn check(path: &Path, size: u64, sha256: &str) -> Result<()> {
    let failed = |error: &std::io::Error| Error::io("read", path, error);
    let mut file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    // One that is not encrypted is nobody else's business.
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, own).map_err(|error| Error::io("write", path, &error))?;
    file.sync_all().map_err(|error| Error::io("write", path, &error))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; PIECE];
    let mut seen = 0;
    loop {
        let count = file.read(&mut buffer).map_err(|error| failed(&error))?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
        hash.update(piece);
        seen += count as u64;
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if seen != size || found != sha256 {
        return Err(Error::new(ErrorKind::Failed, format!("`{}` did not come here as it was written", path.display())));
    }
    Ok(())
}

//! Where members of an archive may land. Nothing may lead out of its place: not by its name, not through a link that came
//! earlier, not as a hard link to something else.

use std::collections::HashMap;

use super::layers::damaged;
use super::tape::{Kind, Member};
use crate::error::Result;

/// The names that were seen, and what they are.
#[derive(Debug, Default)]
pub struct Names(HashMap<Vec<u8>, Kind>);

impl Names {
    /// The clean name of a member that may be written: relative, without `.` and `..`, below `data/`, `postgres/` or `.mms/`.
    /// `None` for the root of the archive itself, which needs no place. The target of a hard link is cleaned as well.
    pub fn admit(&mut self, member: &mut Member) -> Result<bool> {
        let shown = String::from_utf8_lossy(&member.path).into_owned();
        let refuse = |what: &str| {
            Err(damaged(format!("`{shown}`: {what}")).hint("no backup program writes this; the file may be forged"))
        };
        let Some(path) = clean(&member.path) else { return refuse("its name leads out of the archive") };
        if path.is_empty() {
            return if member.kind == Kind::Directory { Ok(false) } else { refuse("it has no name") };
        }
        if !matches!(path.split(|byte| *byte == b'/').next(), Some(b"data" | b"postgres" | b".mms")) {
            return Err(damaged(format!("`{shown}` stands neither below `data/` nor `postgres/` nor `.mms/`"))
                .hint("docs/restore.md says how to make a backup by hand"));
        }
        let note = if path == b".mms" { Kind::Directory } else { Kind::File };
        if (path == b".mms" || path.starts_with(b".mms/")) && member.kind != note {
            return refuse("it is not what must stand there");
        }
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            match self.0.get(path.get(..at).unwrap_or_default()) {
                Some(Kind::Directory) | None => {}
                Some(Kind::Symlink) => return refuse("its way leads through a symbolic link"),
                Some(_) => return refuse("its way leads through something that is no directory"),
            }
        }
        match member.kind {
            Kind::Device => return refuse("it is a device node"),
            Kind::Symlink if member.link.is_empty() || member.link.contains(&0) => return refuse("it leads nowhere"),
            Kind::Hardlink => {
                let target = clean(&member.link).unwrap_or_default();
                let root =
                    |path: &[u8]| path.splitn(3, |byte| *byte == b'/').take(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
                let earlier = matches!(self.0.get(&target), Some(Kind::File | Kind::Hardlink));
                if !earlier || root(&target) != root(&path) {
                    return refuse("it is a hard link to something outside of what was archived with it");
                }
                member.link = target;
            }
            _ => {}
        }
        let repeated = self.0.insert(path.clone(), member.kind);
        if repeated.is_some() && path != b".mms" {
            return refuse("it is in the archive twice");
        }
        member.path = path;
        Ok(true)
    }
}

/// The name without `.` and superfluous slashes; `None` when it is absolute, holds `..` or a NUL.
fn clean(path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") || path.contains(&0) {
        return None;
    }
    let mut parts: Vec<&[u8]> = vec![];
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

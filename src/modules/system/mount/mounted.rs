//! What is mounted at a path, from the kernel's table.

/// What is mounted at a path.
#[derive(Debug, Default)]
pub struct Mounted {
    /// Whether the path is on another device than its parent directory (or is the root).
    is_mount_point: bool,
    /// The sources of what is mounted there, topmost last: the device, and for a bind mount the directory it shows.
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    /// What the kernel calls the source.
    device: String,
    /// The directory that a bind mount shows; the device for other mounts.
    shown: String,
}

struct Line {
    id: String,
    parent: String,
    root: String,
    at: String,
    device: String,
}

impl Mounted {
    /// Reads the path, its and its parent's device and inode, and the lines of `/proc/self/mountinfo`.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let path = lines.next().unwrap_or_default();
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let ids: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let is_mount_point = match ids[..] {
            [own, parent] => {
                let device = |id: &str| id.split(' ').next().unwrap_or_default().to_owned();
                device(own) != device(parent) || own == parent
            }
            _ => false,
        };
        let table: Vec<Line> = lines.filter_map(line).collect();
        let sources = table.iter().filter(|line| line.at == path).map(|line| source(line, &table)).collect();
        Self { is_mount_point, sources }
    }

    /// Whether anything is mounted there.
    pub fn anything(&self) -> bool {
        self.is_mount_point || !self.sources.is_empty()
    }

    /// Whether something is mounted there that counts as this source: for a directory on the same device, only the same one.
    pub fn is_from(&self, source: &str) -> bool {
        self.is_mount_point || self.same_bind(source)
    }

    /// Whether exactly this source is mounted there.
    pub fn same_source(&self, source: &str) -> bool {
        self.same_bind(source) || self.sources.last().is_some_and(|mounted| mounted.device == source)
    }

    fn same_bind(&self, source: &str) -> bool {
        self.sources.last().is_some_and(|mounted| mounted.shown == source)
    }
}

fn line(text: &str) -> Option<Line> {
    let (left, right) = text.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let [id, parent, _, root, at, ..] = left[..] else { return None };
    let device = right.split(' ').nth(1)?;
    let owned = |text: &str| text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    Some(Line { id: id.into(), parent: parent.into(), root: owned(root), at: owned(at), device: owned(device) })
}

/// The root of a mount within its file system, seen from where that file system is mounted: the source of a bind mount.
fn source(line: &Line, table: &[Line]) -> Source {
    let parent = table.iter().find(|other| other.id == line.parent).filter(|_| line.parent != "1");
    let shown = match parent {
        Some(parent) => {
            let inner = (parent.root.len() > 1)
                .then(|| line.root.strip_prefix(&parent.root).filter(|rest| rest.starts_with('/')))
                .flatten()
                .unwrap_or(&line.root);
            if parent.at == "/" { inner.to_owned() } else { format!("{}{inner}", parent.at) }
        }
        None => line.device.clone(),
    };
    Source { device: line.device.clone(), shown }
}

#[cfg(test)]
mod tests {
    use super::Mounted;

    const TABLE: &str = "\n22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 254:0 /srv/a /mnt/b rw - ext4 /dev/vda rw\n\
                         31 22 8:1 / /data rw - xfs /dev/sdb1 rw\n";

    #[test]
    fn bind_mounts_are_told_by_the_directory_they_show() {
        let bind = Mounted::parse(&format!("/mnt/b\n65024 9\n65024 2\n{TABLE}"));
        assert!(bind.anything());
        assert!(bind.is_from("/srv/a"));
        assert!(!bind.is_from("/srv/other"));
        let disk = Mounted::parse(&format!("/data\n2049 128\n65024 2\n{TABLE}"));
        assert!(disk.is_from("/dev/whatever"));
        assert!(disk.same_source("/dev/sdb1"));
        let nothing = Mounted::parse(&format!("/srv\n65024 5\n65024 2\n{TABLE}"));
        assert!(!nothing.anything());
    }
}

//! The lines of `/etc/fstab`.

/// The fields of a line, unescaped.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Device, share or directory.
    pub src: String,
    /// Where it is mounted.
    pub name: String,
    /// Type of the file system.
    pub fstype: String,
    /// Options.
    pub opts: String,
    /// For dump.
    pub dump: String,
    /// Order of checking.
    pub passno: String,
}

/// Blanks, ampersands and backslashes stand as octal numbers in a field.
fn escape(field: &str) -> String {
    field.replace('\\', "\\134").replace(' ', "\\040").replace('&', "\\046")
}

/// A table as lines.
#[derive(Debug)]
pub struct Fstab(Vec<String>);

impl Fstab {
    /// Reads a table; every line gets its newline.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().map(|line| format!("{line}\n")).collect())
    }

    /// The table as text.
    pub fn text(&self) -> String {
        self.0.concat()
    }

    /// Sets the line of a mount point, adding it if there is none; whether that changed anything. `by_source`: a swap line, whose
    /// mount point is `none`, is told by its source.
    pub fn set(&mut self, entry: &Entry, by_source: bool) -> bool {
        let wanted: [String; 6] = [&entry.src, &entry.name, &entry.fstype, &entry.opts, &entry.dump, &entry.passno]
            .map(|field| escape(field));
        let new_line = format!("{}\n", wanted.join(" "));
        let (mut found, mut changed) = (false, false);
        for line in &mut self.0 {
            let text = line.split('#').next().unwrap_or_default();
            let mut fields: Vec<&str> = text.split_whitespace().collect();
            if line.trim_start().starts_with('#') || !(4..=6).contains(&fields.len()) {
                continue;
            }
            fields.resize(6, "0");
            if !matches(&fields, entry, by_source) {
                continue;
            }
            found = true;
            if fields != wanted {
                changed = true;
            }
            // As Ansible does, once a line differs every further line of the mount point is written anew.
            if changed {
                line.clone_from(&new_line);
            }
        }
        if !found {
            self.0.push(new_line);
        }
        changed || !found
    }

    /// Removes the lines of a mount point; whether there were any.
    pub fn remove(&mut self, entry: &Entry, by_source: bool) -> bool {
        let before = self.0.len();
        self.0.retain(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            line.trim_start().starts_with('#') || fields.len() != 6 || !matches(&fields, entry, by_source)
        });
        self.0.len() != before
    }
}

fn matches(fields: &[&str], entry: &Entry, by_source: bool) -> bool {
    let [src, name, fstype, ..] = fields else { return false };
    let other_swap = by_source && *name == "none" && *fstype == "swap" && *src != entry.src;
    *name == escape(&entry.name) && !other_swap
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let text = |text: &str| text.to_owned();
        Entry {
            src: text("/dev/sdb1"),
            name: text("/mnt/my data"),
            fstype: text("ext4"),
            opts: text("defaults"),
            dump: text("0"),
            passno: text("2"),
        }
    }

    #[test]
    fn a_line_is_added_changed_and_removed() {
        let mut table = Fstab::parse("# table\nUUID=1 / ext4 defaults 0 1");
        assert!(table.set(&entry(), true));
        assert_eq!(table.text(), "# table\nUUID=1 / ext4 defaults 0 1\n/dev/sdb1 /mnt/my\\040data ext4 defaults 0 2\n");
        assert!(!table.set(&entry(), true));
        assert!(table.set(&Entry { opts: "ro".into(), ..entry() }, true));
        assert!(table.text().ends_with("ext4 ro 0 2\n"));
        assert!(table.remove(&entry(), true));
        assert!(!table.remove(&entry(), true));
        assert_eq!(table.text(), "# table\nUUID=1 / ext4 defaults 0 1\n");
    }

    #[test]
    fn swap_is_told_by_its_source() {
        let mut table = Fstab::parse("/dev/a none swap sw 0 0\n");
        let swap = Entry {
            src: "/dev/b".into(),
            name: "none".into(),
            fstype: "swap".into(),
            opts: "sw".into(),
            dump: "0".into(),
            passno: "0".into(),
        };
        assert!(table.set(&swap, true));
        assert_eq!(table.text(), "/dev/a none swap sw 0 0\n/dev/b none swap sw 0 0\n");
    }
}

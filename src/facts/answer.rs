//! The raw material that `gather.sh` prints: sections, each after a line of a control character and its name.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

/// What the target told, not yet judged.
#[derive(Debug, Default)]
pub struct Material {
    sections: Vec<(String, String)>,
    files: IndexMap<String, String>,
    existing: HashSet<String>,
    links: HashMap<String, String>,
}

impl Material {
    /// Takes the script's output apart.
    pub fn read(stdout: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stdout);
        let mut material = Self::default();
        for part in text.split("\n\u{1}").skip(1) {
            let (name, content) = part.split_once('\n').unwrap_or((part, ""));
            match name {
                "files" => material.read_files(content),
                "exists" => material.existing = content.lines().map(str::to_owned).collect(),
                "links" => material.read_links(content),
                _ => material.sections.push((name.to_owned(), content.to_owned())),
            }
        }
        material
    }

    /// `path:line` lines of `grep -H`; the lines of one file follow each other.
    fn read_files(&mut self, content: &str) {
        for line in content.split('\n') {
            let Some((path, text)) = line.split_once(':') else { continue };
            let file = self.files.entry(path.to_owned()).or_default();
            file.push_str(text);
            file.push('\n');
        }
    }

    /// Lines of `ls -ld`: the path starts at the first blank before a slash.
    fn read_links(&mut self, content: &str) {
        for line in content.lines() {
            let Some(start) = line.find(" /") else { continue };
            if let Some((path, target)) = line.get(start + 1..).and_then(|rest| rest.split_once(" -> ")) {
                self.links.insert(path.to_owned(), target.to_owned());
            }
        }
    }

    /// Whether the script came to its end.
    pub fn complete(&self) -> bool {
        self.sections.last().is_some_and(|(name, _)| name == "end")
    }

    /// Whether a group of facts is wanted.
    pub fn wants(&self, group: &str) -> bool {
        self.section("subset").unwrap_or_default().split_whitespace().any(|name| name == group)
    }

    /// `gather_subset` as it was given.
    pub fn requested(&self) -> Vec<&str> {
        self.section("requested").map(|text| text.split('\n').collect()).unwrap_or_default()
    }

    /// The content of a section that occurs once.
    pub fn section(&self, name: &str) -> Option<&str> {
        self.sections.iter().find(|(section, _)| section == name).map(|(_, content)| content.as_str())
    }

    /// Every section, in order.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sections.iter().map(|(name, content)| (name.as_str(), content.as_str()))
    }

    /// A file's content without blanks around it; nothing when it is missing, unreadable or empty.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The lines of a file.
    pub fn lines(&self, path: &str) -> impl Iterator<Item = &str> {
        self.file(path).unwrap_or_default().lines()
    }

    /// The files that were found and have this beginning.
    pub fn files_under(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(prefix))
            .map(|(path, text)| (path.as_str(), text.trim()))
    }

    /// Whether a path, or a command, was reported to be there.
    pub fn exists(&self, path: &str) -> bool {
        self.existing.contains(path)
    }

    /// The names that exist directly in a directory, sorted.
    pub fn names_in(&self, directory: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .existing
            .iter()
            .filter_map(|path| path.strip_prefix(directory)?.strip_prefix('/'))
            .filter(|name| !name.contains('/') && *name != "*")
            .collect();
        names.sort_unstable();
        names
    }

    /// What a symbolic link says.
    pub fn link(&self, path: &str) -> Option<&str> {
        self.links.get(path).map(String::as_str)
    }

    /// The symbolic links of a directory: name and the last part of the target, sorted by name.
    pub fn links_in(&self, directory: &str) -> Vec<(&str, &str)> {
        let mut links: Vec<(&str, &str)> = self
            .links
            .iter()
            .filter_map(|(path, target)| Some((path.strip_prefix(directory)?.strip_prefix('/')?, basename(target))))
            .filter(|(name, _)| !name.contains('/'))
            .collect();
        links.sort_unstable();
        links
    }
}

/// The last part of a path.
pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

//! The user's project: where its root is, what its directories are called, and reading its files.
//!
//! Everything that reads a YAML file of the project does it through [`Project::yaml`] or [`Project::document`], so that a file is
//! read once, is named the same way in every message, and its warnings are told once.

mod file;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::diagnostic::{Diagnostic, Source};
use crate::error::{Error, Result};
use crate::sync::lock;
use crate::yaml::{self, Node};

pub use file::{Document, EncryptedFile, Encryption};

/// The file that marks the root and holds the settings.
pub const MANIFEST: &str = "mms.toml";

/// A directory of roles, playbooks, inventory and services.
pub struct Project {
    root: PathBuf,
    documents: Mutex<HashMap<PathBuf, Document>>,
    warnings: Mutex<Vec<Diagnostic>>,
}

impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Project({})", self.root.display())
    }
}

impl Project {
    /// The project that `start` lies in: the nearest directory upwards with an `mms.toml`; else the nearest one with
    /// `playbooks/` and `inventory/`, with `roles/` or with an `ansible.cfg`; else `start` itself.
    pub fn discover(start: &Path) -> Result<Self> {
        let start = start.canonicalize().map_err(|error| Error::io("open", start, &error))?;
        let dir = if start.is_dir() { start.as_path() } else { start.parent().unwrap_or(&start) };
        let looks_like_one = |dir: &&Path| {
            dir.join("playbooks").is_dir() && dir.join("inventory").is_dir()
                || dir.join("roles").is_dir()
                || dir.join("ansible.cfg").is_file()
        };
        let root = dir
            .ancestors()
            .find(|dir| dir.join(MANIFEST).is_file())
            .or_else(|| dir.ancestors().find(looks_like_one))
            .unwrap_or(dir);
        Ok(Self::at(root))
    }

    /// The project whose root is known.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), documents: Mutex::default(), warnings: Mutex::default() }
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `mms.toml`, if there is one.
    pub fn manifest(&self) -> Option<PathBuf> {
        Some(self.root.join(MANIFEST)).filter(|path| path.is_file())
    }

    /// Where roles are by default.
    pub fn roles(&self) -> PathBuf {
        self.root.join("roles")
    }

    /// Where playbooks are.
    pub fn playbooks(&self) -> PathBuf {
        self.root.join("playbooks")
    }

    /// Where service descriptions are.
    pub fn services(&self) -> PathBuf {
        self.root.join("services")
    }

    /// The inventory when none is named: `inventory/`, or a file called `inventory`, `hosts`, `hosts.yml`, … at the root.
    pub fn default_inventory(&self) -> Option<PathBuf> {
        [
            "inventory",
            "inventory.yml",
            "inventory.yaml",
            "inventory.ini",
            "hosts",
            "hosts.yml",
            "hosts.yaml",
            "hosts.ini",
        ]
        .into_iter()
        .map(|name| self.root.join(name))
        .find(|path| path.exists())
    }

    /// The YAML files of a directory (not below it), sorted by name. Empty when there is no such directory.
    pub fn yaml_files(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let is_yaml = |path: &PathBuf| {
            let visible = path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
            visible && path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
        };
        Ok(file::list(dir)?.into_iter().filter(|path| is_yaml(path) && path.is_file()).collect())
    }

    /// How a path is named in messages: relative to the root when it lies in it; the root itself is `.`.
    pub fn name_of(&self, path: &Path) -> String {
        let path = normalize(path);
        let name = path.strip_prefix(&self.root).unwrap_or(&path).display().to_string();
        if name.is_empty() { ".".to_owned() } else { name }
    }

    /// A text file.
    pub fn source(&self, path: &Path) -> Result<Arc<Source>> {
        let bytes = file::read(path)?;
        let name = self.name_of(path);
        let text = file::text(&name, bytes)?;
        Ok(Source::new(name, text))
    }

    /// A file that must be YAML in clear. Read once.
    pub fn yaml(&self, path: &Path) -> Result<Arc<Node>> {
        match self.document(path)? {
            Document::Plain(node) => Ok(node),
            Document::Encrypted(file) => Err(Error::user(format!("`{}` is encrypted", file.name))
                .hint("only variable files may be encrypted as a whole")),
        }
    }

    /// A file that is YAML in clear, or encrypted as a whole. Read once.
    pub fn document(&self, path: &Path) -> Result<Document> {
        let path = normalize(path);
        match lock(&self.documents).entry(path) {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(entry) => {
                let bytes = file::read(entry.key())?;
                let name = self.name_of(entry.key());
                let document = match Encryption::of(&bytes) {
                    Some(encryption) => Document::Encrypted(Arc::new(EncryptedFile {
                        path: entry.key().clone(),
                        name,
                        encryption,
                        bytes,
                    })),
                    None => {
                        let text = file::text(&name, bytes)?;
                        let parsed = yaml::parse(&Source::new(name, text))?;
                        self.warn(parsed.warnings);
                        Document::Plain(Arc::new(parsed.node))
                    }
                };
                Ok(entry.insert(document).clone())
            }
        }
    }

    /// Notes something the user should know.
    pub fn warn(&self, warnings: impl IntoIterator<Item = Diagnostic>) {
        lock(&self.warnings).extend(warnings);
    }

    /// What the user should know, each thing once: later calls return only what came up since.
    pub fn take_warnings(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut lock(&self.warnings))
    }
}

/// The path without `.` and `..`, made absolute. Symbolic links are kept: people know the name they wrote.
fn normalize(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.components().fold(PathBuf::new(), |mut out, part| {
        if part == Component::ParentDir {
            out.pop();
        } else {
            out.push(part);
        }
        out
    })
}

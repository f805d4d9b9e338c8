//! Reading files, and telling encrypted ones from YAML.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Source, Span};
use crate::error::{Error, Result};
use crate::yaml::Node;

/// A file of variables, as it lies on disk.
#[derive(Debug, Clone)]
pub enum Document {
    /// YAML in clear.
    Plain(Arc<Node>),
    /// Encrypted as a whole; `vault` can open it.
    Encrypted(Arc<EncryptedFile>),
}

/// A file that is encrypted as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is named in messages.
    pub name: String,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for EncryptedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EncryptedFile({}, {:?})", self.name, self.encryption)
    }
}

/// How a file is encrypted as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// `age`, binary.
    Age,
    /// `age --armor`.
    AgeArmored,
    /// `ansible-vault`.
    AnsibleVault,
}

impl Encryption {
    /// What the first bytes of a file say.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let start = bytes.trim_ascii_start();
        if bytes.starts_with(b"age-encryption.org/") {
            Some(Self::Age)
        } else if start.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
            Some(Self::AgeArmored)
        } else if start.starts_with(b"$ANSIBLE_VAULT;") {
            Some(Self::AnsibleVault)
        } else {
            None
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io("read", path, &error))
}

pub(super) fn text(name: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let source = Source::new(name, String::from_utf8_lossy(error.as_bytes()));
        let span = Span::new(&source, at, at + char::REPLACEMENT_CHARACTER.len_utf8());
        Error::user("this is not UTF-8 text").at(&span).hint("save the file as UTF-8")
    })
}

/// The entries of a directory, sorted by name. Empty when there is no such directory.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(Error::io("list", dir, &error)),
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(|error| Error::io("list", dir, &error)))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

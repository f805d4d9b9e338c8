//! Roles: where one is found, and its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Vars;
use crate::yaml::Node;

/// A role as it is on disk.
#[derive(Debug)]
pub struct Role {
    /// Its name as it was referred to.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// `defaults/main.yml`.
    pub defaults: Arc<Vars>,
    /// `vars/main.yml`.
    pub vars: Arc<Vars>,
    /// `meta/main.yml`: `dependencies` as they were written.
    pub dependencies: Vec<Node>,
    /// `meta/main.yml`: `allow_duplicates`.
    pub allow_duplicates: bool,
}

/// The file `<dir>/<name>` with any of the endings that Ansible tries, if there is one.
pub fn find_part(dir: &Path, name: &str) -> Option<PathBuf> {
    let exact = dir.join(name);
    if exact.is_file() && exact.extension().is_some() {
        return Some(exact);
    }
    ["yml", "yaml", "json"]
        .iter()
        .map(|ending| dir.join(format!("{name}.{ending}")))
        .chain(std::iter::once(exact))
        .find(|path| path.is_file())
}

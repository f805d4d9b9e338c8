//! `group_vars/` and `host_vars/`: the files with the variables of a group or host, beside the inventory or the playbook.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Vars;
use crate::diagnostic::Diagnostic;
use crate::error::{Error, Result};
use crate::project::{Document, EncryptedFile, Project};
use crate::yaml::{Kind, Node};

/// The content of one file of variables.
#[derive(Debug, Clone)]
pub enum Content {
    /// Variables in clear (single values may be encrypted).
    Plain(Arc<Vars>),
    /// The whole file is encrypted: decrypt it, parse it with [`crate::yaml::parse_hidden`] and give the node to
    /// [`variables_of`].
    Encrypted(Arc<EncryptedFile>),
}

/// One file of variables.
#[derive(Debug, Clone)]
pub struct VarsFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub content: Content,
}

/// Every file for a name in a directory, in the order in which they are read: later ones override earlier ones.
pub(super) fn load(dir: &Path, name: &str, project: &Project) -> Result<Vec<VarsFile>> {
    // Ansible leaves out names that are paths (chroots).
    if name.starts_with('/') || !dir.is_dir() {
        return Ok(vec![]);
    }
    let mut paths = vec![];
    for ending in ["", ".yml", ".yaml", ".json"] {
        let path = dir.join(format!("{name}{ending}"));
        if path.is_dir() {
            collect(&path, &mut paths)?;
            break;
        }
        if path.exists() {
            paths.push(path);
            break;
        }
    }
    paths
        .into_iter()
        .map(|path| {
            let content = match project.document(&path)? {
                Document::Plain(node) => Content::Plain(variables_of(&node)?),
                Document::Encrypted(file) => Content::Encrypted(file),
            };
            Ok(VarsFile { path, content })
        })
        .collect()
}

/// The variables that a document holds. An empty document holds none.
pub fn variables_of(node: &Node) -> Result<Arc<Vars>> {
    let map = match &node.kind {
        Kind::Null => return Ok(Arc::default()),
        Kind::Map(map) => map,
        _ => {
            return Err(Diagnostic::error(format!(
                "a file of variables is a mapping, but this is {}",
                node.kind_name()
            ))
            .at(&node.span)
            .hint("write `name: value` lines")
            .into());
        }
    };
    let vars = map.iter().map(|(key, value)| match key.as_str() {
        Some(name) => Ok((name.to_owned(), value.clone())),
        None => Err(Diagnostic::error(format!("a variable's name must be text, but this is {}", key.kind_name()))
            .at(&key.span)
            .hint("put it in quotes")
            .into()),
    });
    vars.collect::<Result<Vars>>().map(Arc::new)
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(dir).map_err(|error| Error::io("list", dir, &error))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(|error| Error::io("list", dir, &error)))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
        if path.is_dir() {
            if extension.is_none() {
                collect(&path, into)?;
            }
        } else if extension.is_none_or(|extension| matches!(extension.as_str(), "yml" | "yaml" | "json")) {
            into.push(path);
        }
    }
    Ok(())
}

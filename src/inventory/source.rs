//! Inventory sources: files, directories of files, and lists of hosts from the command line.

use std::path::{Path, PathBuf};

use super::model::Model;
use super::{address, ini, yaml};
use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::{Error, Result};
use crate::project::{Document, Project};
use crate::yaml::{Kind, Node};

/// Names that are passed over in a directory of inventories.
const SKIPPED_NAMES: [&str; 3] = ["host_vars", "group_vars", "vars_plugins"];

/// Endings of names that are passed over in a directory of inventories.
const SKIPPED_ENDINGS: [&str; 12] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];

/// Reads one source into the model. Returns the directory beside which `group_vars` and `host_vars` are looked for.
pub(super) fn read(source: &str, project: &Project, model: &mut Model) -> Result<Option<PathBuf>> {
    let path = PathBuf::from(source);
    if source.contains(',') && !path.exists() {
        host_list(source, model)?;
        return Ok(None);
    }
    if path.is_dir() {
        directory(&path, project, model)?;
        Ok(Some(path))
    } else if path.exists() {
        file(&path, project, model)?;
        Ok(path.parent().map(Path::to_owned))
    } else {
        Err(Error::user(format!("there is no inventory `{}`", project.name_of(&path)))
            .hint("a list of hosts needs a comma, also when it is only one: `-i host,`"))
    }
}

/// `host1,host2,`
fn host_list(list: &str, model: &mut Model) -> Result<()> {
    let source = Source::new("<inventory>", list);
    let mut start = 0;
    for word in list.split(',') {
        let at = start + word.len() - word.trim_start().len();
        start += word.len() + 1;
        let word = word.trim();
        if !word.is_empty() {
            let span = Span::new(&source, at, at + word.len());
            add_hosts(model, word, "ungrouped", None, &span, vec![])?;
        }
    }
    Ok(())
}

fn directory(dir: &Path, project: &Project, model: &mut Model) -> Result<()> {
    let entries = std::fs::read_dir(dir).map_err(|error| Error::io("list", dir, &error))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(|error| Error::io("list", dir, &error)))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let skipped = name.starts_with('.')
            || SKIPPED_NAMES.contains(&name.as_str())
            || SKIPPED_ENDINGS.iter().any(|ending| name.ends_with(ending));
        if skipped {
            continue;
        }
        if path.is_dir() {
            directory(&path, project, model)?;
        } else {
            file(&path, project, model)?;
        }
    }
    Ok(())
}

fn file(path: &PathBuf, project: &Project, model: &mut Model) -> Result<()> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("yml" | "yaml" | "json") => {
            let Document::Plain(node) = project.document(path)? else {
                return Err(Error::user(format!("the inventory `{}` is encrypted", project.name_of(path)))
                    .hint("put secrets into `group_vars/` or `host_vars/`, which may be encrypted"));
            };
            yaml_file(&node, path, model)
        }
        Some("toml") => Err(Error::user(format!("TOML inventories are not supported: `{}`", project.name_of(path)))
            .hint("write it in YAML or INI")),
        extension => {
            let source = project.source(path)?;
            if source.text.starts_with("#!") {
                return Err(Diagnostic::error("inventory scripts are not supported")
                    .at(&Span::new(&source, 0, 2))
                    .hint(
                        "save what the script prints as a YAML inventory: `ansible-inventory -i script --list --yaml`",
                    )
                    .into());
            }
            // A file without an extension may be either.
            if extension.is_none()
                && let Ok(parsed) = crate::yaml::parse(&source)
                && matches!(parsed.node.kind, Kind::Map(_))
            {
                project.warn(parsed.warnings);
                return yaml_file(&parsed.node, path, model);
            }
            ini::read(&source, path, model)
        }
    }
}

fn yaml_file(node: &Node, path: &PathBuf, model: &mut Model) -> Result<()> {
    match &node.kind {
        Kind::Map(map) => {
            if let Some((key, _)) = map.entry("plugin") {
                return Err(Diagnostic::error("inventory plugins are not supported")
                    .at(&key.span)
                    .hint("save what the plugin finds as a YAML inventory: `ansible-inventory -i file --list --yaml`")
                    .into());
            }
            yaml::read(map, path, model)
        }
        Kind::Null => {
            model.warnings.push(Diagnostic::warning("this inventory is empty").at(&node.span));
            Ok(())
        }
        _ => Err(Diagnostic::error(format!("an inventory is a mapping of groups, but this is {}", node.kind_name()))
            .at(&node.span)
            .into()),
    }
}

/// Adds the hosts that an entry stands for to a group, with variables.
pub(super) fn add_hosts(
    model: &mut Model,
    entry: &str,
    group: &str,
    file: Option<&PathBuf>,
    span: &Span,
    vars: Vec<(String, Node)>,
) -> Result<()> {
    let expanded = address::expand(entry).map_err(|problem| Diagnostic::error(problem).at(span))?;
    if expanded.names.iter().any(|name| name.trim().is_empty()) {
        return Err(Diagnostic::error("a host name cannot be empty").at(span).into());
    }
    for name in expanded.names {
        let is_new = model.add_host(&name, group, file, Some(span));
        if let Some(port) = expanded.port.filter(|_| is_new) {
            model.set_host_var(&name, "ansible_port", Node::new(Kind::Int(port.into()), span.clone()));
        }
        for (key, value) in &vars {
            model.set_host_var(&name, key, value.clone());
        }
    }
    Ok(())
}

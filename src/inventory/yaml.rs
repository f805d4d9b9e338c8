//! YAML inventories: groups with `hosts`, `children` and `vars`.

use std::path::PathBuf;

use super::model::Model;
use super::source::add_hosts;
use crate::diagnostic::Diagnostic;
use crate::error::Result;
use crate::yaml::{Kind, Map, Node};

const SECTIONS: [&str; 3] = ["hosts", "children", "vars"];

/// Reads a YAML inventory, which is a mapping of groups, into the model.
pub(super) fn read(groups: &Map, file: &PathBuf, model: &mut Model) -> Result<()> {
    for (key, value) in groups.iter() {
        group(key, value, file, model)?;
    }
    Ok(())
}

fn group(key: &Node, value: &Node, file: &PathBuf, model: &mut Model) -> Result<()> {
    let Some(name) = key.as_str() else {
        return Err(Diagnostic::error("a group name must be text").at(&key.span).hint("put it in quotes").into());
    };
    if name.is_empty() {
        return Err(Diagnostic::error("a group name cannot be empty").at(&key.span).into());
    }
    let sections = match &value.kind {
        Kind::Map(map) => map.iter().collect(),
        Kind::Null => vec![],
        _ => {
            model.warnings.push(
                Diagnostic::warning(format!("`{name}` is {} and not a group; it is skipped", value.kind_name()))
                    .at(&value.span)
                    .hint("variables of a group stand under `vars`"),
            );
            return Ok(());
        }
    };
    model.add_group(name, Some(&key.span));
    for (key, value) in sections {
        let section = key.as_str().unwrap_or_default();
        let named = match &value.kind {
            Kind::Null => continue,
            // `hosts: name` is short for one host without variables.
            Kind::Str(_) if SECTIONS.contains(&section) => {
                vec![(value.clone(), Node::new(Kind::Null, value.span.clone()))]
            }
            Kind::Map(map) => map.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            _ if SECTIONS.contains(&section) => {
                return Err(Diagnostic::error(format!(
                    "`{section}` must be a mapping, but this is {}",
                    value.kind_name()
                ))
                .at(&value.span)
                .hint("write `name:` on a line of its own for each, without `-`")
                .into());
            }
            _ => vec![],
        };
        match section {
            "vars" => {
                for (key, value) in named {
                    model.set_group_var(name, variable_name(&key)?, value)?;
                }
            }
            "children" => {
                for (child, value) in named {
                    group(&child, &value, file, model)?;
                    if let Some(child_name) = child.as_str().filter(|child| model.groups.contains_key(*child)) {
                        model.add_child(name, child_name, Some(&child.span))?;
                    }
                }
            }
            "hosts" => {
                for (host, value) in named {
                    hosts(&host, &value, name, file, model)?;
                }
            }
            _ => {
                model.warnings.push(
                    Diagnostic::warning(format!("unexpected key `{section}` in the group `{name}`; it is skipped"))
                        .at(&key.span)
                        .did_you_mean(section, SECTIONS)
                        .hint("a group has `hosts`, `children` and `vars`"),
                );
            }
        }
    }
    Ok(())
}

fn hosts(key: &Node, value: &Node, group: &str, file: &PathBuf, model: &mut Model) -> Result<()> {
    let Some(entry) = key.as_str() else {
        return Err(Diagnostic::error("a host name must be text").at(&key.span).hint("put it in quotes").into());
    };
    let vars = match &value.kind {
        Kind::Null => vec![],
        Kind::Map(map) => {
            map.iter().map(|(key, value)| Ok((variable_name(key)?.to_owned(), value.clone()))).collect::<Result<_>>()?
        }
        _ => {
            return Err(Diagnostic::error(format!("expected the variables of `{entry}`, found {}", value.kind_name()))
                .at(&value.span)
                .hint("write `name: value` lines below the host")
                .into());
        }
    };
    add_hosts(model, entry, group, Some(file), &key.span, vars)
}

fn variable_name(key: &Node) -> Result<&str> {
    key.as_str().ok_or_else(|| {
        Diagnostic::error(format!("a variable's name must be text, but this is {}", key.kind_name()))
            .at(&key.span)
            .into()
    })
}

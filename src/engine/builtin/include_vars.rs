//! `include_vars`: variables from a file or a directory, templated when they are used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::Engine;
use super::super::drive::Trouble;
use super::super::evaluate::failure_of;
use super::super::result::Done;
use crate::event::Status;
use crate::modules::{Args, Failure};
use crate::playbook::{Task, Vars, read_vars, search_paths};
use crate::value::{Fields, Raw, Value};
use crate::vars::{PlayVars, TaskScope};
use crate::yaml::{Kind, Node};

/// Endings that are read from a directory unless `extensions` says otherwise.
const ENDINGS: &[&str] = &["json", "yaml", "yml"];

impl Engine {
    pub(in crate::engine) fn include_vars(
        &self,
        task: &Task,
        play: &Arc<PlayVars>,
        scope: &TaskScope,
        args: &Args,
    ) -> Result<Done, Trouble> {
        let files = match (args.str("file"), args.str("dir")) {
            (Some(file), _) => vec![find(task, play, file)?],
            (None, Some(dir)) => list(&find(task, play, dir)?, args)?,
            (None, None) => return Err(Failure::new("`include_vars` needs a `file` or a `dir`").into()),
        };
        let mut vars = Vars::new();
        for path in &files {
            let read = self.parts.loader.files().yaml(path).and_then(|node| match args.str("name") {
                Some(name) => Ok(Vars::from_iter([(name.to_owned(), Raw::Node(node))])),
                None => read_vars(&node),
            });
            vars.extend(read.map_err(|error| Trouble::Failure(failure_of(&error)))?);
        }
        let mut shown = Fields::new();
        for (name, raw) in &vars {
            if let Raw::Node(node) = raw {
                shown.insert(name.clone(), plain(node));
            }
        }
        scope.host().include(vars);
        let paths: Vec<String> = files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        Ok(Done::new(
            Status::Ok,
            Fields::from_iter([
                ("ansible_facts".to_owned(), crate::value::from_fields(&shown)),
                ("ansible_included_var_files".to_owned(), Value::from(paths)),
            ]),
        ))
    }
}

fn find(task: &Task, play: &PlayVars, name: &str) -> Result<PathBuf, Failure> {
    let path = crate::fs::expand_home(name);
    let places = search_paths(&task.parent, &play.dir, "vars");
    places.iter().map(|place| place.join(&path)).find(|path| path.exists()).ok_or_else(|| {
        let mut failure = Failure::new(format!("there are no variables at `{name}`"));
        failure.fields.insert("ansible_facts".to_owned(), crate::value::from_fields(&Fields::new()));
        failure.fields.insert("ansible_included_var_files".to_owned(), Value::from(Vec::<String>::new()));
        failure
    })
}

fn list(dir: &Path, args: &Args) -> Result<Vec<PathBuf>, Failure> {
    let pattern = |text: &str| {
        regex::Regex::new(text).map_err(|error| Failure::new(format!("`{text}` is no regular expression: {error}")))
    };
    let matching = args.str("files_matching").map(pattern).transpose()?;
    let ignored = args.strings("ignore_files").iter().map(|text| pattern(text)).collect::<Result<Vec<_>, _>>()?;
    let endings = args.strings("extensions");
    let depth = args.int("depth").and_then(|depth| usize::try_from(depth).ok()).filter(|depth| *depth > 0);
    let mut files = vec![];
    walk(dir, depth.unwrap_or(usize::MAX), &mut files)?;
    files.retain(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
        let known = if endings.is_empty() { ENDINGS.contains(&ending.as_str()) } else { endings.contains(&ending) };
        known
            && matching.as_ref().is_none_or(|pattern| pattern.is_match(&name))
            && !ignored.iter().any(|pattern| pattern.is_match(&name))
    });
    Ok(files)
}

fn walk(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot read `{}`: {error}", dir.display()));
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort();
    for path in entries {
        if path.is_dir() && depth > 1 {
            walk(&path, depth - 1, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// A node as it was written. Encrypted values are left out of results.
fn plain(node: &Node) -> Value {
    match &node.kind {
        _ if node.tag == Some(crate::yaml::Tag::Vault) => Value::from(crate::secret::MASK),
        Kind::Null => Value::from(()),
        Kind::Bool(flag) => Value::from(*flag),
        Kind::Int(number) => Value::from(*number),
        Kind::Float(number) => Value::from(*number),
        Kind::Str(text) => Value::from(text.as_ref()),
        Kind::List(items) => items.iter().map(plain).collect(),
        Kind::Map(map) => Value::from_pairs(map.iter().map(|(key, value)| (plain(key), plain(value)))),
    }
}

//! A templated definition into a [`Service`], with errors that point into the file it was written in.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::model::{Container, Service};
use super::read::{self, ReadError, Step};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::error::{Error, Result};
use crate::template::{Scope, Templar};
use crate::value::{self, Value};
use crate::yaml::{Kind, Node};

/// Reads a definition whose strings are final. `name` is the service's name unless the definition has its own; `written` is
/// the YAML it came from, for errors to point into.
pub fn read(name: &str, definition: &Value, written: Option<&Node>) -> Result<Service> {
    read_json(name, &value::to_json(definition)).map_err(|error| explain(name, error, written))
}

/// What is wrong with a definition as far as that can be told before its templates are filled in: keys that there are not, and values
/// of another type than is wanted. A definition without templates is read to its end.
pub fn check(name: &str, written: &Node) -> Result<()> {
    // What is no JSON is told when it is read.
    let Ok(mut json) = crate::yaml::from_node::<Json>(written) else { return Ok(()) };
    if !is_templated(written) {
        return read_json(name, &json).map(|_| ()).map_err(|error| explain(name, error, Some(written)));
    }
    // What was left out so far, as paths of what was left of the definition.
    let mut left_out: Vec<Vec<Step>> = vec![];
    while let Err(mut error) = typed(name, &json) {
        let at = error.path.clone();
        error.path = as_written(at.clone(), &left_out);
        let templated = node_at(written, &error.path).is_some_and(is_templated);
        let certain = error.key || error.form || !templated || (left_out.is_empty() && error.path.is_empty());
        if certain {
            return Err(explain(name, error, Some(written)));
        }
        // What its template yields may be right: the rest is looked at without it.
        if !take_out(&mut json, &at) {
            break;
        }
        left_out.push(at);
    }
    Ok(())
}

/// The path of something before other things were left out of the lists it is in.
fn as_written(mut path: Vec<Step>, left_out: &[Vec<Step>]) -> Vec<Step> {
    for gone in left_out.iter().rev() {
        if let Some((Step::Index(gone), list)) = gone.split_last()
            && path.starts_with(list)
            && let Some(Step::Index(index)) = path.get_mut(list.len())
            && *index >= *gone
        {
            *index += 1;
        }
    }
    path
}

fn is_templated(node: &Node) -> bool {
    match &node.kind {
        Kind::Str(text) => node.tag.is_some() || ["{{", "{%", "{#"].iter().any(|open| text.contains(*open)),
        Kind::List(items) => items.iter().any(is_templated),
        Kind::Map(map) => map.iter().any(|(key, value)| is_templated(key) || is_templated(value)),
        _ => false,
    }
}

fn node_at<'a>(root: &'a Node, path: &[Step]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, step| match step {
        Step::Key(name) => entry(node, name).map(|(_, value)| value),
        Step::Index(index) => node.as_list().and_then(|items| items.get(*index)),
    })
}

/// The key and the value of a name. YAML 1.1 reads the key `on` as true: it is found by what was written and by what it became.
fn entry<'a>(node: &'a Node, name: &str) -> Option<(&'a Node, &'a Node)> {
    let is_name = |key: &Node| match &key.kind {
        Kind::Str(text) => text.as_ref() == name,
        Kind::Bool(value) => {
            value.to_string() == name || key.span.source.text.get(key.span.start..key.span.end) == Some(name)
        }
        _ => false,
    };
    node.as_map()?.iter().find(|(key, _)| is_name(key))
}

/// Removes what a path leads to; false when there is nothing.
fn take_out(json: &mut Json, path: &[Step]) -> bool {
    let Some((last, above)) = path.split_last() else { return false };
    let parent = above.iter().try_fold(json, |at, step| match step {
        Step::Key(name) => at.get_mut(name.as_str()),
        Step::Index(index) => at.get_mut(*index),
    });
    match (parent, last) {
        (Some(Json::Object(entries)), Step::Key(key)) => entries.remove(key).is_some(),
        (Some(Json::Array(items)), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

fn read_json(name: &str, json: &Json) -> Result<Service, ReadError> {
    let (service, single) = typed(name, json)?;
    service.validate(single)?;
    Ok(service)
}

/// A definition in its types, and whether it has the keys of its only container at the top; not validated.
fn typed(name: &str, json: &Json) -> Result<(Service, bool), ReadError> {
    let Json::Object(entries) = json else {
        return Err(ReadError::new(vec![], "expected a mapping that describes a service"));
    };
    let own = read::keys_of::<Service>();
    let inner = read::keys_of::<Container>();
    let single = !entries.contains_key("containers");
    let mut service = serde_json::Map::new();
    let mut container = serde_json::Map::new();
    for (key, value) in entries {
        if own.contains(&key.as_str()) || key.starts_with("x-") {
            service.insert(key.clone(), value.clone());
        } else if inner.contains(&key.as_str()) && single {
            container.insert(key.clone(), value.clone());
        } else if inner.contains(&key.as_str()) {
            let message = format!("`{key}` belongs to a container, and this service has `containers`");
            let mut error = ReadError::new(vec![Step::Key(key.clone())], message);
            error.hint = Some("move it into the container it is meant for".to_owned());
            error.key = true;
            return Err(error);
        } else {
            let known = own.iter().chain(if single { inner } else { &[] }).copied();
            let mut error = ReadError::unknown_key(key, known);
            error.path = vec![Step::Key(key.clone())];
            return Err(error);
        }
    }
    service.entry("name").or_insert_with(|| Json::from(name));
    if !single {
        return Ok((read::from_json(&Json::Object(service))?, false));
    }
    service.insert("containers".to_owned(), Json::Object(serde_json::Map::new()));
    let mut service: Service = read::from_json(&Json::Object(service))?;
    let container: Container = read::from_json(&Json::Object(container))?;
    service.containers = IndexMap::from([(service.name.clone(), container)]);
    Ok((service, true))
}

fn explain(name: &str, error: ReadError, written: Option<&Node>) -> Error {
    let place = if error.path.is_empty() { String::new() } else { format!(" `{}`:", error.place()) };
    let mut diagnostic = Diagnostic::error(format!("service `{name}`:{place} {}", error.message));
    if let Some(node) = written {
        diagnostic = diagnostic.at(&locate(node, &error.path, error.key));
    }
    if let Some(hint) = error.hint {
        diagnostic = diagnostic.hint(hint);
    }
    diagnostic.into()
}

/// The most exact place of a path: what came out of a template has no place of its own, so the template's is taken.
pub(super) fn locate(root: &Node, path: &[Step], key: bool) -> Span {
    let mut node = root;
    for (index, step) in path.iter().enumerate() {
        let next = match step {
            Step::Key(name) => match entry(node, name) {
                Some((at, _)) if key && index + 1 == path.len() => return at.span.clone(),
                Some((_, value)) => Some(value),
                None => None,
            },
            Step::Index(index) => node.as_list().and_then(|items| items.get(*index)),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node.span.clone()
}

/// Where the variable of a secret is named.
pub(super) fn locate_secret(written: &Node, container: &str, secret: &str) -> Span {
    let key = |name: &str| Step::Key(name.to_owned());
    let tail = [key("secrets"), key(secret), key("variable")];
    let mut path = if written.as_map().is_some_and(|map| map.get("containers").is_some()) {
        vec![key("containers"), key(container)]
    } else {
        vec![]
    };
    path.extend(tail);
    locate(written, &path, false)
}

/// Templates `services/<name>.yml` that was parsed to `written`. A variable that is missing is an error at the place it is
/// used; the value may still hold parts that are unknown in a plan.
pub fn template(written: &Node, templar: &Templar, scope: &Arc<dyn Scope>) -> Result<Value> {
    templar.node(written, scope)
}

/// The names of the services in a directory, sorted.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory).map_err(|error| Error::io("list", directory, &error))?;
    let mut names = vec![];
    for entry in entries {
        let path = entry.map_err(|error| Error::io("list", directory, &error))?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        if let (true, Some(name)) = (yaml, path.file_stem().and_then(|stem| stem.to_str()))
            && !name.starts_with('.')
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The error for a service that has no file, with what was probably meant.
pub fn no_such_service(name: &str, known: &[String]) -> Error {
    let error = Error::user(format!("there is no service `{name}`: `services/{name}.yml` does not exist"));
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("services: {}", known.join(", "))),
    }
}

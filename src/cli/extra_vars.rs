//! `-e`: `key=value` words, a YAML or JSON mapping, or `@file`.

use std::sync::Arc;

use crate::diagnostic::Source;
use crate::error::{Error, Result};
use crate::playbook::{Vars, parse_words, read_vars};
use crate::project::Project;
use crate::value::Raw;
use crate::yaml::{self, Kind, Node};

/// The variables of all `-e` in order; later ones win.
pub fn parse(given: &[String], project: &Project) -> Result<Vars> {
    let mut vars = Vars::new();
    for text in given {
        if let Some(path) = text.strip_prefix('@') {
            let path = crate::fs::expand_home(path);
            let node = project.yaml(&path).map_err(|error| {
                if path.is_file() { error } else { error.hint("`-e @FILE` names a file, from the current directory") }
            })?;
            vars.extend(read_vars(&node)?);
        } else if text.trim_start().starts_with('{') {
            vars.extend(read_vars(&yaml::parse(&source(text))?.node)?);
        } else {
            vars.extend(words(text)?);
        }
    }
    Ok(vars)
}

fn source(text: &str) -> Arc<Source> {
    Source::new("<-e>", text)
}

/// As in Ansible, a value given as `key=value` is text.
fn words(text: &str) -> Result<Vars> {
    let source = source(text);
    let place = |start, end| crate::diagnostic::Span::new(&source, start, end);
    let all = || place(0, source.text.len());
    let Some(words) = parse_words(text) else {
        return Err(Error::user("a quote or `{{` is not closed").at(&all()));
    };
    let mut vars = Vars::new();
    for word in words {
        let Some((key, value)) = word.key_value() else {
            return Err(Error::user(format!("`{}` is not `key=value`", word.text))
                .at(&place(word.range.start, word.range.end))
                .hint("`-e key=value`, `-e '{\"key\": [1, 2]}'` or `-e @file.yml`"));
        };
        let node = Node::new(Kind::Str(value.into()), place(word.range.start, word.range.end));
        vars.insert(key.to_owned(), Raw::Node(node));
    }
    Ok(vars)
}

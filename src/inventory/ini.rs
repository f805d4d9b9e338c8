//! INI inventories: `[group]`, `[group:children]`, `[group:vars]`, and host lines with variables.

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use super::literal;
use super::model::Model;
use super::source::add_hosts;
use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::Result;

/// What the lines of a section are.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    Hosts,
    Children,
    Vars,
}

/// Reads an INI inventory into the model.
pub(super) fn read(source: &Arc<Source>, file: &PathBuf, model: &mut Model) -> Result<()> {
    let mut reader =
        Reader { source, file, model, undefined_vars: IndexMap::new(), undefined_children: IndexMap::new() };
    let mut group = "ungrouped".to_owned();
    let mut section = Section::Hosts;
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let at = start + line.len() - line.trim_start().len();
        start += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let span = Span::new(source, at, at + line.len());
        if let Some(head) = header(line) {
            let (name, kind) = head;
            section = match kind {
                None | Some("hosts") => Section::Hosts,
                Some("children") => Section::Children,
                Some("vars") => Section::Vars,
                Some(kind) => {
                    return Err(Diagnostic::error(format!("unknown kind of section `{kind}`"))
                        .at(&span)
                        .did_you_mean(kind, ["children", "vars", "hosts"])
                        .into());
                }
            };
            group = name.to_owned();
            reader.section(&group, section, &span)?;
        } else if line.starts_with('[') && line.ends_with(']') {
            return Err(Diagnostic::error("this is not a section header")
                .at(&span)
                .hint("write `[group]`, `[group:children]` or `[group:vars]`, without spaces")
                .into());
        } else {
            match section {
                Section::Hosts => reader.host(line, at, &group)?,
                Section::Vars => reader.variable(line, at, &group)?,
                Section::Children => reader.child(line, &span, &group)?,
            }
        }
    }
    reader.finish()
}

/// `[name]` or `[name:kind]`, perhaps with a comment behind it.
fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, after) = line.strip_prefix('[')?.split_once(']')?;
    let after = after.trim_start();
    let (name, kind) = match inner.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (inner, None),
    };
    let name_fits = !name.is_empty() && !name.contains(char::is_whitespace);
    let kind_fits = kind.is_none_or(|kind| !kind.is_empty() && kind.chars().all(|c| c.is_alphanumeric() || c == '_'));
    (name_fits && kind_fits && (after.is_empty() || after.starts_with('#'))).then_some((name, kind))
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    file: &'a PathBuf,
    model: &'a mut Model,
    /// Groups that so far have only a `[…:vars]` section.
    undefined_vars: IndexMap<String, Span>,
    /// Groups that so far are only named as a child, and by which groups.
    undefined_children: IndexMap<String, (Span, Vec<String>)>,
}

impl Reader<'_> {
    fn section(&mut self, group: &str, section: Section, span: &Span) -> Result<()> {
        if !self.model.groups.contains_key(group) {
            if section == Section::Vars && !self.undefined_children.contains_key(group) {
                self.undefined_vars.insert(group.to_owned(), span.clone());
            }
            self.model.add_group(group, Some(span));
        }
        if section != Section::Vars {
            self.undefined_vars.shift_remove(group);
            if let Some((span, parents)) = self.undefined_children.shift_remove(group) {
                for parent in parents {
                    self.model.add_child(&parent, group, Some(&span))?;
                }
            }
        }
        Ok(())
    }

    fn host(&mut self, line: &str, at: usize, group: &str) -> Result<()> {
        let words = words(line).map_err(|(offset, problem)| {
            Diagnostic::error(problem).at(&Span::new(self.source, at + offset, at + offset + 1))
        })?;
        let Some((entry, assignments)) = words.split_first() else { return Ok(()) };
        let span = Span::new(self.source, at + entry.start, at + entry.end);
        if entry.text.trim() == "---" {
            return Err(Diagnostic::error("`---` starts a YAML file, but this is read as an INI inventory")
                .at(&span)
                .hint("give the file the extension `.yml`")
                .into());
        }
        let mut vars = vec![];
        for word in assignments {
            let span = Span::new(self.source, at + word.start, at + word.end);
            let Some((key, value)) = word.text.split_once('=') else {
                return Err(Diagnostic::error(format!("expected `name=value`, found `{}`", word.text))
                    .at(&span)
                    .hint("a host line is one host and its variables: put other hosts on lines of their own")
                    .into());
            };
            vars.push((key.to_owned(), literal::value(value, &span)));
        }
        add_hosts(self.model, &entry.text, group, Some(self.file), &span, vars)
    }

    fn variable(&mut self, line: &str, at: usize, group: &str) -> Result<()> {
        let Some((key, value)) = line.split_once('=') else {
            return Err(Diagnostic::error(format!("expected `name=value`, found `{line}`"))
                .at(&Span::new(self.source, at, at + line.len()))
                .into());
        };
        let start = at + key.len() + 1 + value.len() - value.trim_start().len();
        let span = Span::new(self.source, start, start + value.trim().len());
        self.model.set_group_var(group, key.trim(), literal::value(value.trim(), &span))
    }

    fn child(&mut self, line: &str, span: &Span, group: &str) -> Result<()> {
        let name = line.split('#').next().unwrap_or(line).trim();
        if name.is_empty() || name.contains([' ', '\t', ':', ']']) {
            return Err(Diagnostic::error(format!("expected a group name, found `{line}`")).at(span).into());
        }
        if self.model.groups.contains_key(name) && !self.undefined_children.contains_key(name) {
            return self.model.add_child(group, name, Some(span));
        }
        let entry = self.undefined_children.entry(name.to_owned()).or_insert_with(|| (span.clone(), vec![]));
        entry.1.push(group.to_owned());
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let known = || self.model.groups.keys().map(String::as_str);
        if let Some((group, span)) = self.undefined_vars.first() {
            let others = known().filter(|name| name != group);
            return Err(Diagnostic::error(format!("there are variables for the group `{group}`, but no such group"))
                .at(span)
                .did_you_mean(group, others)
                .into());
        }
        if let Some((group, (span, _))) = self.undefined_children.first() {
            return Err(Diagnostic::error(format!("there is no group `{group}`"))
                .at(span)
                .did_you_mean(group, known())
                .into());
        }
        Ok(())
    }
}

/// A word of a host line and the bytes it was written in.
#[derive(Debug, PartialEq)]
struct Word {
    text: String,
    start: usize,
    end: usize,
}

/// The words of a line by the rules of a shell. A `#` starts a comment even inside an unquoted word, as in Python's shlex.
fn words(line: &str) -> Result<Vec<Word>, (usize, String)> {
    let mut words = vec![];
    let mut word: Option<Word> = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() || c == '#' {
            words.extend(word.take());
            if c == '#' {
                break;
            }
            continue;
        }
        let current = word.get_or_insert_with(|| Word { text: String::new(), start: at, end: at });
        match c {
            '\'' | '"' => loop {
                let Some((_, inner)) = chars.next() else { return Err((at, format!("this {c} is never closed"))) };
                if inner == c {
                    break;
                }
                if inner == '\\' && c == '"' {
                    let Some((_, escaped)) = chars.next() else {
                        return Err((at, format!("this {c} is never closed")));
                    };
                    if escaped != '"' && escaped != '\\' {
                        current.text.push('\\');
                    }
                    current.text.push(escaped);
                } else {
                    current.text.push(inner);
                }
            },
            '\\' => match chars.next() {
                Some((_, escaped)) => current.text.push(escaped),
                None => return Err((at, "there is nothing behind this backslash".to_owned())),
            },
            _ => current.text.push(c),
        }
        current.end = chars.offset();
    }
    words.extend(word);
    Ok(words)
}

//! Host patterns: `all`, `web:&prod:!db`, `web,db`, `*.example.org`, `~regex`, `web[0:2]`, `@file`.

use fancy_regex::Regex;
use indexmap::IndexSet;

use super::{Inventory, LOCALHOST, Selection, address};
use crate::diagnostic::Diagnostic;
use crate::error::{Error, Result};
use crate::fnmatch;
use crate::project::Project;

/// What one part of a pattern does with the hosts selected so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Add,
    Keep,
    Remove,
}

/// The hosts that a play's `hosts` names, within a limit.
pub(super) fn select(inventory: &Inventory, pattern: &str, limit: Option<&str>) -> Result<Selection> {
    let mut warnings = vec![];
    let mut hosts = evaluate(inventory, &split(pattern), &mut warnings)?;
    if let Some(limit) = limit {
        let parts = limit_parts(limit, &inventory.project)?;
        let within = evaluate(inventory, &parts, &mut warnings)?;
        hosts.retain(|host| within.contains(host));
    }
    Ok(Selection { hosts: hosts.into_iter().collect(), warnings })
}

/// The parts of a pattern. With a comma in it, colons do not separate.
fn split(pattern: &str) -> Vec<String> {
    if pattern.contains(',') {
        return pattern.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    }
    let pattern = pattern.trim();
    if address::is_host_entry(pattern) {
        return vec![pattern.to_owned()];
    }
    let mut parts = vec![String::new()];
    let mut in_brackets = false;
    for c in pattern.chars() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            _ => {}
        }
        if !in_brackets && (c == ':' || c.is_whitespace()) {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The parts of a `--limit`: a part `@file` stands for the lines of that file.
fn limit_parts(limit: &str, project: &Project) -> Result<Vec<String>> {
    let mut parts = vec![];
    for part in split(limit) {
        match part.strip_prefix('@') {
            Some(path) => {
                let path = crate::settings::expand(path, std::path::Path::new(""));
                let source = project.source(&path)?;
                parts.extend(source.text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
            }
            None => parts.push(part),
        }
    }
    Ok(parts)
}

fn evaluate(inventory: &Inventory, parts: &[String], warnings: &mut Vec<Diagnostic>) -> Result<IndexSet<String>> {
    let mut operations: Vec<(Operation, &str)> = parts
        .iter()
        .map(|part| match part.chars().next() {
            Some('!') => (Operation::Remove, &part[1..]),
            Some('&') => (Operation::Keep, &part[1..]),
            _ => (Operation::Add, part.as_str()),
        })
        .collect();
    if !operations.iter().any(|(operation, _)| *operation == Operation::Add) {
        operations.push((Operation::Add, "all"));
    }
    // Whatever the order they are written in, hosts are first added, then kept, then removed.
    operations.sort_by_key(|(operation, _)| *operation);
    let mut hosts = IndexSet::new();
    for (operation, part) in operations {
        let matching = matching(inventory, part, warnings)?;
        match operation {
            Operation::Add => hosts.extend(matching),
            Operation::Keep => hosts.retain(|host| matching.contains(host)),
            Operation::Remove => hosts.retain(|host| !matching.contains(host)),
        }
    }
    Ok(hosts)
}

/// The hosts that one part matches.
fn matching(inventory: &Inventory, part: &str, warnings: &mut Vec<Diagnostic>) -> Result<IndexSet<String>> {
    let model = &inventory.model;
    if model.hosts.contains_key(part) && !model.groups.contains_key(part) {
        return Ok(IndexSet::from([part.to_owned()]));
    }
    let (name, subscript) = if part.starts_with('~') { (part, None) } else { split_subscript(part) };
    let matcher = Matcher::new(name)?;
    let groups: Vec<&String> = model.groups.keys().filter(|group| matcher.matches(group)).collect();
    let mut found: IndexSet<String> = groups.iter().flat_map(|group| model.hosts_of(group)).collect();
    if groups.is_empty() || matcher.is_wild(name) {
        found.extend(model.hosts.keys().filter(|host| matcher.matches(host)).cloned());
    }
    if found.is_empty() && LOCALHOST.contains(&name) {
        found.insert(name.to_owned());
    }
    if found.is_empty() && groups.is_empty() && name != "all" {
        let known = model.groups.keys().chain(model.hosts.keys()).map(String::as_str);
        warnings.push(Diagnostic::warning(format!("no host or group matches `{name}`")).did_you_mean(name, known));
    }
    match subscript {
        Some(subscript) if !found.is_empty() => subscript.apply(&found).ok_or_else(|| {
            Error::user(format!("`{part}` names a host that is not there: `{name}` has {} hosts", found.len()))
        }),
        _ => Ok(found),
    }
}

/// `[1]`, `[-1]`, `[0:2]`, `[1:]`; both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscript {
    One(i64),
    Range(usize, Option<usize>),
}

impl Subscript {
    fn apply(self, hosts: &IndexSet<String>) -> Option<IndexSet<String>> {
        match self {
            Self::One(index) => {
                let index = if index < 0 { i64::try_from(hosts.len()).ok()? + index } else { index };
                let host = hosts.get_index(usize::try_from(index).ok()?)?;
                Some(IndexSet::from([host.clone()]))
            }
            Self::Range(start, end) => {
                let end = end.unwrap_or(hosts.len());
                Some(
                    hosts
                        .iter()
                        .enumerate()
                        .filter(|(at, _)| (start..=end).contains(at))
                        .map(|(_, h)| h.clone())
                        .collect(),
                )
            }
        }
    }
}

fn split_subscript(part: &str) -> (&str, Option<Subscript>) {
    let parsed = part.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')).and_then(|(name, inner)| {
        let subscript = match inner.split_once([':', '-']).filter(|(start, _)| !start.is_empty()) {
            Some((start, "")) => Subscript::Range(start.parse().ok()?, None),
            Some((start, end)) => match (start.parse().ok()?, end.parse().ok()?) {
                // Ansible takes an end of 0 for no end at all, and so yields the one host at the start.
                (start, 0) => Subscript::One(i64::try_from(start).ok()?),
                (start, end) => Subscript::Range(start, Some(end)),
            },
            None => Subscript::One(inner.parse().ok()?),
        };
        (!name.is_empty()).then_some((name, Some(subscript)))
    });
    parsed.unwrap_or((part, None))
}

/// A name, a shell pattern or a regular expression.
struct Matcher(Regex);

impl Matcher {
    fn new(pattern: &str) -> Result<Self> {
        let expression = match pattern.strip_prefix('~') {
            Some(regex) => format!("^(?:{regex})"),
            None => fnmatch::translate(pattern),
        };
        Regex::new(&expression).map(Self).map_err(|error| {
            Error::user(format!("`{pattern}` is not a host pattern: {error}"))
                .hint("after `~` stands a regular expression")
        })
    }

    fn matches(&self, name: &str) -> bool {
        self.0.is_match(name).unwrap_or(false)
    }

    /// Whether the pattern may mean hosts even when it matches a group.
    fn is_wild(&self, pattern: &str) -> bool {
        pattern.starts_with('~') || pattern.contains(['.', '?', '*', '['])
    }
}

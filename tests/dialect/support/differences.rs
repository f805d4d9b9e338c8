//! `differences.yml`: where mms and Ansible differ on purpose, and why.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

/// An exception. A pattern that is left out matches everything; `*` stands for any text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The name of the playbook, without `.yml`.
    #[serde(default = "everything")]
    pub playbook: String,
    /// The module.
    #[serde(default = "everything")]
    pub module: String,
    /// The names of the tasks.
    #[serde(default = "all_tasks")]
    pub tasks: Vec<String>,
    /// Only for tasks that ended so.
    #[serde(default = "everything")]
    pub status: String,
    /// The field of the result (`ansible_facts.ansible_python.*`; that of an item of a loop is named as without the
    /// loop), or `status`, or `presence`; or several of them.
    #[serde(default, deserialize_with = "one_or_more")]
    pub field: Vec<String>,
    /// Whether the field may be anywhere in the result, as results may hold results.
    #[serde(default)]
    pub anywhere: bool,
    /// A line of the snapshot, instead of a field.
    pub state: Option<String>,
    /// Whether both may happen to agree: else an exception of a playbook that nothing needs is a mistake.
    #[serde(default)]
    pub sometimes: bool,
    /// Why it is so.
    pub reason: String,
}

fn everything() -> String {
    "*".to_owned()
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        More(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::More(names) => names,
    })
}

fn all_tasks() -> Vec<String> {
    vec![everything()]
}

impl Exception {
    /// The place of the field among those of the exception, if it is one of them.
    fn covers(&self, playbook: &str, task: &Task<'_>, field: &str) -> Option<usize> {
        let is_meant = |pattern: &String| {
            let starts = field.match_indices('.').map(|(at, _)| at + 1).filter(|_| self.anywhere);
            std::iter::once(0).chain(starts).any(|start| matches(pattern, &field[start..]))
        };
        let here = matches(&self.playbook, playbook)
            && matches(&self.module, task.module)
            && self.tasks.iter().any(|pattern| matches(pattern, task.name))
            && matches(&self.status, task.status);
        self.field.iter().position(is_meant).filter(|_| here)
    }
}

/// The task that a difference is in.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    pub name: &'a str,
    pub module: &'a str,
    pub status: &'a str,
}

/// All exceptions.
#[derive(Debug)]
pub struct Exceptions {
    all: Vec<Exception>,
    /// Which were needed, by their place in the list and that of the field in them.
    used: RefCell<BTreeSet<(usize, usize)>>,
}

impl Exceptions {
    /// Reads the file.
    pub fn read(root: &Path) -> Result<Self, String> {
        let path = root.join("differences.yml");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let all = serde_yaml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { all, used: RefCell::default() })
    }

    /// Whether a field of a result may differ.
    pub fn allow_field(&self, playbook: &str, task: &Task<'_>, field: &str) -> bool {
        // `results.3.stdout` is `stdout` of an item.
        let inner = field.strip_prefix("results.").and_then(|rest| rest.split_once('.')).map(|(_, inner)| inner);
        self.allow(|exception| {
            let whole = exception.covers(playbook, task, field);
            whole.or_else(|| exception.covers(playbook, task, inner?))
        })
    }

    /// Whether a line of the snapshot may differ.
    pub fn allow_state(&self, playbook: &str, line: &str) -> bool {
        self.allow(|exception| {
            let here = matches(&exception.playbook, playbook);
            exception.state.as_deref().filter(|pattern| here && matches(pattern, line)).map(|_| 0)
        })
    }

    fn allow(&self, covers: impl Fn(&Exception) -> Option<usize>) -> bool {
        let found = self.all.iter().enumerate().find_map(|(index, exception)| Some((index, covers(exception)?)));
        self.used.borrow_mut().extend(found);
        found.is_some()
    }

    /// The exceptions of this playbook that nothing needed: what they excuse is no difference any more.
    pub fn unused(&self, playbook: &str) -> Vec<String> {
        let used = self.used.borrow();
        let mut lines = vec![];
        for (index, exception) in self.all.iter().enumerate() {
            if exception.playbook != playbook || exception.sometimes {
                continue;
            }
            for (at, what) in exception.field.iter().chain(&exception.state).enumerate() {
                if !used.contains(&(index, at)) {
                    lines.push(format!(
                        "nothing needs the exception for `{what}` of {:?}: take it out",
                        exception.tasks
                    ));
                }
            }
        }
        lines
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// Every exception says of what and why.
pub fn check(root: &Path) -> Result<(), String> {
    for exception in Exceptions::read(root)?.all {
        if exception.reason.trim().len() < 10 {
            return Err(format!("an exception needs a reason: {exception:?}"));
        }
        if exception.field.is_empty() == exception.state.is_none() {
            return Err(format!("an exception needs either `field` or `state`: {exception:?}"));
        }
        if exception.field.iter().any(|field| field == "*") {
            return Err(format!("an exception names the fields it is for: {exception:?}"));
        }
        if let Some(missing) = [&exception.playbook]
            .into_iter()
            .find(|name| !name.contains('*') && !root.join(format!("{name}.yml")).is_file())
        {
            return Err(format!("there is no playbook `{missing}.yml`"));
        }
    }
    Ok(())
}

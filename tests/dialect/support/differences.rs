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
    /// loop), or `status`, or `presence`.
    pub field: Option<String>,
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

fn all_tasks() -> Vec<String> {
    vec![everything()]
}

impl Exception {
    fn covers(&self, playbook: &str, task: &Task<'_>, field: &str) -> bool {
        let Some(pattern) = self.field.as_deref() else { return false };
        let starts = field.match_indices('.').map(|(at, _)| at + 1).filter(|_| self.anywhere);
        std::iter::once(0).chain(starts).any(|start| matches(pattern, &field[start..]))
            && matches(&self.playbook, playbook)
            && matches(&self.module, task.module)
            && self.tasks.iter().any(|pattern| matches(pattern, task.name))
            && matches(&self.status, task.status)
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
    /// Which were needed, by their place in the list.
    used: RefCell<BTreeSet<usize>>,
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
            exception.covers(playbook, task, field)
                || inner.is_some_and(|inner| exception.covers(playbook, task, inner))
        })
    }

    /// Whether a line of the snapshot may differ.
    pub fn allow_state(&self, playbook: &str, line: &str) -> bool {
        self.allow(|exception| {
            exception.state.as_deref().is_some_and(|pattern| matches(pattern, line))
                && matches(&exception.playbook, playbook)
        })
    }

    fn allow(&self, covers: impl Fn(&Exception) -> bool) -> bool {
        let found = self.all.iter().position(covers);
        self.used.borrow_mut().extend(found);
        found.is_some()
    }

    /// The exceptions of this playbook that nothing needed: what they excuse is no difference any more.
    pub fn unused(&self, playbook: &str) -> Vec<String> {
        let used = self.used.borrow();
        let of_it = self.all.iter().enumerate().filter(|(_, exception)| exception.playbook == playbook);
        of_it
            .filter(|(index, exception)| !exception.sometimes && !used.contains(index))
            .map(|(_, exception)| {
                let what = exception.field.as_ref().or(exception.state.as_ref()).map_or("", String::as_str);
                format!("nothing needs the exception for `{what}` of {:?}: take it out", exception.tasks)
            })
            .collect()
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
        if exception.field.is_some() == exception.state.is_some() {
            return Err(format!("an exception needs either `field` or `state`: {exception:?}"));
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

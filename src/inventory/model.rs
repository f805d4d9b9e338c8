//! Groups and hosts while an inventory is read, and the rules that hold between them.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::Vars;
use crate::diagnostic::{Diagnostic, Span};
use crate::error::Result;
use crate::yaml::Node;

/// A host of the inventory.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The inventory name.
    pub name: String,
    /// The variables that the inventory's files set for it (level 8).
    pub vars: Arc<Vars>,
    /// The file that named it first; nothing for hosts added while running.
    pub file: Option<PathBuf>,
    /// Where it was named first.
    pub span: Option<Span>,
    /// The groups that name it themselves.
    pub(super) groups: IndexSet<String>,
    /// Whether it is the localhost that nobody wrote down.
    pub implicit: bool,
}

/// A group of the inventory.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The variables that the inventory's files set for it (level 3).
    pub vars: Arc<Vars>,
    /// `ansible_group_priority`: among groups of one depth, the higher one wins.
    pub priority: i64,
    /// How far below `all` it stands, by the longest way.
    pub depth: usize,
    /// The hosts it names itself.
    pub hosts: IndexSet<String>,
    /// The groups it contains.
    pub children: IndexSet<String>,
    /// The groups that contain it.
    pub(super) parents: IndexSet<String>,
}

/// Everything there is.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub groups: IndexMap<String, Group>,
    pub hosts: IndexMap<String, Host>,
    pub warnings: Vec<Diagnostic>,
}

impl Model {
    pub fn new() -> Self {
        let mut model = Self { groups: IndexMap::new(), hosts: IndexMap::new(), warnings: vec![] };
        model.group("all");
        model.group("ungrouped");
        model.link("all", "ungrouped");
        model
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_insert_with(|| Group {
            name: name.to_owned(),
            priority: 1,
            ..Group::default()
        })
    }

    /// Makes sure the group exists; warns about a name that cannot be used as a variable.
    pub fn add_group(&mut self, name: &str, span: Option<&Span>) {
        if self.groups.contains_key(name) {
            return;
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if name.starts_with(|c: char| c.is_numeric() || !is_word(c)) || !name.chars().all(is_word) {
            let better: String = name.chars().map(|c| if is_word(c) { c } else { '_' }).collect();
            let better = if better.starts_with(char::is_numeric) { format!("_{better}") } else { better };
            let mut warning =
                Diagnostic::warning(format!("the group name `{name}` has characters that names should not have"))
                    .hint(format!("call it `{better}`: `groups.{name}` cannot be written in a template"));
            warning.span = span.cloned();
            self.warnings.push(warning);
        }
        self.group(name);
    }

    /// Makes sure the host exists and belongs to a group that exists. Returns whether it is new.
    pub fn add_host(&mut self, name: &str, group: &str, file: Option<&PathBuf>, span: Option<&Span>) -> bool {
        let is_new = !self.hosts.contains_key(name);
        let host = self.hosts.entry(name.to_owned()).or_insert_with(|| Host {
            name: name.to_owned(),
            file: file.cloned(),
            span: span.cloned(),
            ..Host::default()
        });
        host.groups.insert(group.to_owned());
        self.group(group).hosts.insert(name.to_owned());
        is_new
    }

    pub fn set_host_var(&mut self, host: &str, key: &str, value: Node) {
        if let Some(host) = self.hosts.get_mut(host) {
            Arc::make_mut(&mut host.vars).insert(key.to_owned(), value);
        }
    }

    pub fn set_group_var(&mut self, group: &str, key: &str, value: Node) -> Result<()> {
        let Some(group) = self.groups.get_mut(group) else { return Ok(()) };
        if key == "ansible_group_priority" {
            let number = match &value.kind {
                crate::yaml::Kind::Int(number) => Some(*number),
                crate::yaml::Kind::Str(text) => text.trim().parse().ok(),
                _ => None,
            };
            group.priority =
                number.ok_or_else(|| Diagnostic::error("`ansible_group_priority` must be a number").at(&value.span))?;
        } else {
            Arc::make_mut(&mut group.vars).insert(key.to_owned(), value);
        }
        Ok(())
    }

    /// Puts a group into another one. Both exist.
    pub fn add_child(&mut self, parent: &str, child: &str, span: Option<&Span>) -> Result<()> {
        if parent == child || self.ancestors(parent).contains(child) {
            let mut error = Diagnostic::error(format!("the group `{child}` would contain itself through `{parent}`"))
                .hint("groups cannot be nested in a circle");
            error.span = span.cloned();
            return Err(error.into());
        }
        self.link(parent, child);
        Ok(())
    }

    fn link(&mut self, parent: &str, child: &str) {
        self.group(parent).children.insert(child.to_owned());
        self.group(child).parents.insert(parent.to_owned());
    }

    /// Every group above a group.
    fn ancestors(&self, group: &str) -> HashSet<String> {
        let mut found = HashSet::new();
        let mut waiting: Vec<&str> = vec![group];
        while let Some(name) = waiting.pop() {
            for parent in self.groups.get(name).into_iter().flat_map(|group| &group.parents) {
                if found.insert(parent.clone()) {
                    waiting.push(parent);
                }
            }
        }
        found
    }

    /// Brings the rules about: every group is below `all`, a host in no other group is in `ungrouped`, depths are right.
    pub fn reconcile(&mut self) {
        let orphans: Vec<String> = self
            .groups
            .values()
            .filter(|group| group.name != "all" && group.parents.is_empty())
            .map(|group| group.name.clone())
            .collect();
        for group in orphans {
            self.link("all", &group);
        }
        let names: Vec<String> = self.hosts.keys().cloned().collect();
        for name in names {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            if host.groups.iter().any(|group| group != "all" && group != "ungrouped") {
                host.groups.shift_remove("ungrouped");
                self.group("ungrouped").hosts.shift_remove(&name);
            } else {
                host.groups.insert("ungrouped".to_owned());
                self.group("ungrouped").hosts.insert(name.clone());
            }
            if self.groups.contains_key(&name) && !self.warned_of_conflict(&name) {
                self.warnings.push(Diagnostic::warning(conflict(&name)));
            }
        }
        let mut depths = HashMap::new();
        for name in self.groups.keys() {
            self.depth(name, &mut depths);
        }
        for (name, group) in &mut self.groups {
            group.depth = depths.get(name).copied().unwrap_or(0);
        }
    }

    fn warned_of_conflict(&self, name: &str) -> bool {
        self.warnings.iter().any(|warning| warning.message == conflict(name))
    }

    fn depth(&self, name: &str, known: &mut HashMap<String, usize>) -> usize {
        if let Some(depth) = known.get(name) {
            return *depth;
        }
        let parents = self.groups.get(name).map(|group| group.parents.clone()).unwrap_or_default();
        let depth = parents.iter().map(|parent| self.depth(parent, known) + 1).max().unwrap_or(0);
        known.insert(name.to_owned(), depth);
        depth
    }

    /// The hosts of a group and of every group in it: nearest groups first.
    pub fn hosts_of(&self, group: &str) -> IndexSet<String> {
        let children =
            |name: &&str| self.groups.get(*name).into_iter().flat_map(|group| &group.children).map(String::as_str);
        let mut order: IndexSet<&str> = IndexSet::from([group]);
        let mut level: Vec<&str> = vec![group];
        while !level.is_empty() {
            level.sort_by_key(|name| self.groups.get_index_of(*name));
            let next: Vec<&str> = level.iter().flat_map(children).collect();
            level = next.into_iter().filter(|name| order.insert(name)).collect();
        }
        order
            .into_iter()
            .filter_map(|name| self.groups.get(name))
            .flat_map(|found| found.hosts.iter())
            .filter(|host| group != "all" || !self.hosts.get(*host).is_some_and(|host| host.implicit))
            .cloned()
            .collect()
    }

    /// The groups that a host belongs to, in the order in which their variables override each other: `all`, then by depth,
    /// priority and name.
    pub fn ancestry(&self, host: &str) -> Vec<&Group> {
        let mut names = HashSet::from(["all".to_owned()]);
        for group in self.hosts.get(host).into_iter().flat_map(|host| &host.groups) {
            names.extend(self.ancestors(group));
            names.insert(group.clone());
        }
        let mut groups: Vec<&Group> = names.iter().filter_map(|name| self.groups.get(name)).collect();
        groups.sort_by(|a, b| {
            (a.name != "all", a.depth, a.priority, &a.name).cmp(&(b.name != "all", b.depth, b.priority, &b.name))
        });
        groups
    }
}

fn conflict(name: &str) -> String {
    format!("`{name}` is both a host and a group")
}

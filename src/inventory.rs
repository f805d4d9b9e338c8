//! The inventory: hosts, groups, their variables, and the patterns that select hosts. The terms are Ansible's.
//!
//! [`Inventory::load`] reads the sources (`source`, `yaml`, `ini`) into a model; [`Inventory::select`] evaluates patterns;
//! [`Inventory::layers`] yields the variables that the inventory and the `group_vars`/`host_vars` beside it (and beside the
//! playbook) set for a host, lowest precedence first. Nothing is templated or decrypted here.

mod address;
mod ini;
mod literal;
mod model;
mod pattern;
mod source;
mod vars_files;
mod yaml;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;
use crate::error::Result;
use crate::project::Project;
use crate::sync::lock;
use crate::yaml::Node;

use model::Model;

pub use model::{Group, Host};
pub use vars_files::{Content, VarsFile, variables_of};

/// Variables as they were written, in order.
pub type Vars = IndexMap<String, Node>;

/// The names by which a play may mean this machine without anybody having written it down.
pub const LOCALHOST: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where variables of a layer come from. The numbers are those of Ansible's list of variable precedence; higher wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Group variables in the inventory's files.
    InventoryGroup = 3,
    /// `group_vars/all` beside the inventory.
    InventoryGroupVarsAll = 4,
    /// `group_vars/all` beside the playbook.
    PlaybookGroupVarsAll = 5,
    /// Other `group_vars/` beside the inventory.
    InventoryGroupVars = 6,
    /// Other `group_vars/` beside the playbook.
    PlaybookGroupVars = 7,
    /// Host variables in the inventory's files.
    InventoryHost = 8,
    /// `host_vars/` beside the inventory.
    InventoryHostVars = 9,
    /// `host_vars/` beside the playbook.
    PlaybookHostVars = 10,
}

/// Variables of one origin.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Where they come from.
    pub level: Level,
    /// The group or host they are for.
    pub owner: String,
    /// What they are.
    pub content: Content,
    /// The file, for layers that are files.
    pub file: Option<PathBuf>,
}

/// Hosts that patterns select.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// The hosts, in the order of the inventory's groups.
    pub hosts: Vec<String>,
    /// Parts of the patterns that match nothing. They have no place: the caller knows where the pattern stands.
    pub warnings: Vec<Diagnostic>,
}

/// What a run adds to an inventory: `add_host` and `group_by`.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    /// Hosts by the groups that they joined.
    pub members: IndexMap<String, Vec<String>>,
    /// Groups that were put into others: parent and child.
    pub nested: Vec<(String, String)>,
}

impl Growth {
    /// Puts a host into a group.
    pub fn join(&mut self, group: &str, host: &str) {
        let hosts = self.members.entry(group.to_owned()).or_default();
        if !hosts.iter().any(|name| name == host) {
            hosts.push(host.to_owned());
        }
    }

    /// Puts a group into another. Returns whether that is new.
    pub fn nest(&mut self, parent: &str, child: &str) -> bool {
        let pair = (parent.to_owned(), child.to_owned());
        let is_new = !self.nested.contains(&pair);
        if is_new {
            self.nested.push(pair);
        }
        is_new
    }
}

type FilesCache = HashMap<(PathBuf, String), Arc<Vec<VarsFile>>>;

/// All hosts and groups.
#[derive(Debug)]
pub struct Inventory {
    project: Arc<Project>,
    model: Model,
    /// Directories whose `group_vars` and `host_vars` count as the inventory's.
    dirs: Vec<PathBuf>,
    files: Arc<Mutex<FilesCache>>,
}

impl Inventory {
    /// Reads the sources in order: paths of files and directories, or lists of hosts with a comma. Without any there is only
    /// the implicit localhost. Warnings go to the project.
    pub fn load(sources: &[String], project: &Arc<Project>) -> Result<Self> {
        let mut model = Model::new();
        let mut dirs = vec![];
        for source in sources {
            if let Some(dir) = source::read(source, project, &mut model)? {
                // Read twice, a directory overrides what came between.
                dirs.retain(|known| *known != dir);
                dirs.push(dir);
            }
        }
        model.reconcile();
        project.warn(std::mem::take(&mut model.warnings));
        Ok(Self { project: Arc::clone(project), model, dirs, files: Arc::default() })
    }

    /// Every host in the order in which the inventory names them.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &Host> {
        self.model.hosts.values()
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.model.hosts.get(name)
    }

    /// Whether a name means this machine and is in no inventory: such a host has `ansible_connection: local`.
    pub fn is_implicit_localhost(&self, name: &str) -> bool {
        LOCALHOST.contains(&name) && !self.model.hosts.contains_key(name)
    }

    /// Every group, `all` and `ungrouped` first.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.model.groups.values()
    }

    /// A group by name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.model.groups.get(name)
    }

    /// The hosts of a group and of all groups in it: what `groups[name]` holds.
    pub fn hosts_of(&self, group: &str) -> Vec<String> {
        self.model.hosts_of(group).into_iter().collect()
    }

    /// What `group_names` holds for a host: its groups without `all`, sorted.
    pub fn group_names(&self, host: &str) -> Vec<String> {
        let groups = self.model.ancestry(host);
        let mut names: Vec<String> =
            groups.into_iter().map(|group| group.name.clone()).filter(|name| name != "all").collect();
        names.sort();
        names
    }

    /// The groups of a host in the order in which they override each other: `all` first, then by depth, priority and name.
    pub fn ancestry(&self, host: &str) -> Vec<&Group> {
        self.model.ancestry(host)
    }

    /// The hosts that a play's `hosts` selects, within `--limit`. A subscript beyond the hosts there are is an error.
    pub fn select(&self, pattern: &str, limit: Option<&str>) -> Result<Selection> {
        pattern::select(self, pattern, limit)
    }

    /// The layers of a host's variables that the inventory knows of, lowest precedence first. `playbook_dir` is the directory
    /// of the playbook on the command line.
    pub fn layers(&self, host: &str, playbook_dir: Option<&Path>) -> Result<Vec<Layer>> {
        let ancestry = self.model.ancestry(host);
        let (all, groups): (Vec<&Group>, Vec<&Group>) = ancestry.iter().partition(|group| group.name == "all");
        let playbook_dirs: Vec<PathBuf> = playbook_dir.iter().map(|dir| dir.to_path_buf()).collect();
        let mut layers = vec![];
        for group in &ancestry {
            push_inline(&mut layers, Level::InventoryGroup, &group.name, &group.vars);
        }
        for (dirs, level_all) in
            [(&self.dirs, Level::InventoryGroupVarsAll), (&playbook_dirs, Level::PlaybookGroupVarsAll)]
        {
            self.push_files(&mut layers, dirs, "group_vars", level_all, &all)?;
        }
        for (dirs, level) in [(&self.dirs, Level::InventoryGroupVars), (&playbook_dirs, Level::PlaybookGroupVars)] {
            self.push_files(&mut layers, dirs, "group_vars", level, &groups)?;
        }
        if let Some(host) = self.model.hosts.get(host) {
            push_inline(&mut layers, Level::InventoryHost, &host.name, &host.vars);
        }
        for (dirs, level) in [(&self.dirs, Level::InventoryHostVars), (&playbook_dirs, Level::PlaybookHostVars)] {
            for dir in dirs {
                self.push_owner_files(&mut layers, &dir.join("host_vars"), level, host)?;
            }
        }
        Ok(layers)
    }

    /// This inventory with what a run has added to it.
    pub fn extended(&self, growth: &Growth) -> Result<Self> {
        let mut extended = Self {
            project: Arc::clone(&self.project),
            model: self.model.clone(),
            dirs: self.dirs.clone(),
            files: Arc::clone(&self.files),
        };
        for (group, hosts) in &growth.members {
            for host in hosts {
                extended.join(host, group);
            }
        }
        // `group_by` on this machine does not bring it into the inventory.
        for name in LOCALHOST.iter().filter(|name| !self.model.hosts.contains_key(**name)) {
            let joined = growth.members.get("all").is_some_and(|hosts| hosts.iter().any(|host| host == name));
            if let Some(host) = extended.model.hosts.get_mut(*name).filter(|_| !joined) {
                host.implicit = true;
            }
        }
        for (parent, child) in &growth.nested {
            extended.model.add_group(parent, None);
            extended.model.add_group(child, None);
            extended.model.add_child(parent, child, None)?;
        }
        extended.reconcile();
        Ok(extended)
    }

    /// Adds a host while running (`add_host`): it is created if need be, joins the groups (created if need be) and its variables
    /// are set. Returns whether anything changed.
    pub fn add_host(&mut self, name: &str, groups: &[String], vars: Vars) -> Result<bool> {
        let mut changed = !self.model.hosts.contains_key(name);
        if changed {
            self.model.add_host(name, "all", None, None);
        }
        for (key, value) in vars {
            let before = self.model.hosts.get(name).and_then(|host| host.vars.get(&key));
            changed |= before.is_none_or(|before| before.kind != value.kind);
            self.model.set_host_var(name, &key, value);
        }
        for group in groups {
            changed |= self.join(name, group);
        }
        self.reconcile();
        Ok(changed)
    }

    /// Puts a host into a group while running (`group_by`), and the group into its parents. Returns whether anything changed.
    pub fn add_to_group(&mut self, host: &str, group: &str, parents: &[String]) -> Result<bool> {
        let mut changed = self.join(host, group);
        for parent in parents {
            changed |= !self.model.groups.get(parent).is_some_and(|parent| parent.children.contains(group));
            self.model.add_group(parent, None);
            self.model.add_child(parent, group, None)?;
        }
        self.reconcile();
        Ok(changed)
    }

    fn join(&mut self, host: &str, group: &str) -> bool {
        self.model.add_group(group, None);
        let is_member = self.model.groups.get(group).is_some_and(|group| group.hosts.contains(host));
        self.model.add_host(host, group, None, None);
        !is_member
    }

    fn reconcile(&mut self) {
        self.model.reconcile();
        self.project.warn(std::mem::take(&mut self.model.warnings));
    }

    fn push_files(
        &self,
        layers: &mut Vec<Layer>,
        dirs: &[PathBuf],
        subdir: &str,
        level: Level,
        groups: &[&Group],
    ) -> Result<()> {
        for dir in dirs {
            for group in groups {
                self.push_owner_files(layers, &dir.join(subdir), level, &group.name)?;
            }
        }
        Ok(())
    }

    fn push_owner_files(&self, layers: &mut Vec<Layer>, dir: &Path, level: Level, owner: &str) -> Result<()> {
        for file in self.files(dir, owner)?.iter() {
            let (content, file) = (file.content.clone(), Some(file.path.clone()));
            layers.push(Layer { level, owner: owner.to_owned(), content, file });
        }
        Ok(())
    }

    fn files(&self, dir: &Path, name: &str) -> Result<Arc<Vec<VarsFile>>> {
        let key = (dir.to_path_buf(), name.to_owned());
        let mut files = lock(&self.files);
        if let Some(known) = files.get(&key) {
            return Ok(Arc::clone(known));
        }
        let loaded = Arc::new(vars_files::load(dir, name, &self.project)?);
        files.insert(key, Arc::clone(&loaded));
        Ok(loaded)
    }
}

fn push_inline(layers: &mut Vec<Layer>, level: Level, owner: &str, vars: &Arc<Vars>) {
    if !vars.is_empty() {
        let content = Content::Plain(Arc::clone(vars));
        layers.push(Layer { level, owner: owner.to_owned(), content, file: None });
    }
}

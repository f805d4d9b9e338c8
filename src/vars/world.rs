//! What lives as long as a run.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use indexmap::IndexMap;

use super::HostVars;
use crate::playbook::{TagFilter, Vars};
use crate::template::Templar;

/// Options of a run that playbooks can see or that every part obeys.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// `--check`, `mms plan`.
    pub check: bool,
    /// `--diff`.
    pub diff: bool,
    /// `--tags` and `--skip-tags`.
    pub tags: TagFilter,
    /// `-v` count.
    pub verbosity: u8,
    /// How many hosts are worked on at a time.
    pub forks: usize,
    /// `--limit` as it was typed.
    pub limit: Option<String>,
}

/// Hosts, groups, extra variables and options of a run.
#[derive(Debug, Default)]
pub struct World {
    /// In inventory order.
    pub hosts: IndexMap<String, Arc<HostVars>>,
    /// Every group, `all` and `ungrouped` included, with its hosts in inventory order.
    pub groups: IndexMap<String, Vec<String>>,
    /// `-e`: level 22.
    pub extra: Arc<Vars>,
    /// The options.
    pub options: RunOptions,
    /// `inventory_dir`.
    pub inventory_dir: Option<PathBuf>,
    /// `inventory_file`.
    pub inventory_file: Option<PathBuf>,
    /// Set once the template engine is there; `hostvars` needs it.
    pub templar: OnceLock<Templar>,
    /// Hosts that only `delegate_to` or `add_host` named.
    pub added: RwLock<IndexMap<String, Arc<HostVars>>>,
    /// Groups that `add_host` and `group_by` made or extended.
    pub added_groups: RwLock<IndexMap<String, Vec<String>>>,
}

impl World {
    /// The variables of a host. One that is not in the inventory gets a place with none.
    pub fn host(&self, name: &str) -> Arc<HostVars> {
        if let Some(host) = self.hosts.get(name) {
            return Arc::clone(host);
        }
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        let host = added.entry(name.to_owned()).or_insert_with(|| Arc::new(HostVars::new(name, vec![], vec![])));
        Arc::clone(host)
    }

    /// The variables of a host, if it is known.
    pub fn known_host(&self, name: &str) -> Option<Arc<HostVars>> {
        let added = || self.added.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        self.hosts.get(name).cloned().or_else(added)
    }

    /// Every host that is known.
    pub fn all_hosts(&self) -> Vec<Arc<HostVars>> {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        self.hosts.values().chain(added.values()).cloned().collect()
    }

    /// The hosts whose facts a template asked for since the last call.
    pub fn hosts_wanting_facts(&self) -> Vec<Arc<HostVars>> {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        self.hosts.values().chain(added.values()).filter(|host| host.take_facts_wanted()).cloned().collect()
    }

    /// Every group with its hosts, those that a run added included.
    pub fn all_groups(&self) -> IndexMap<String, Vec<String>> {
        let mut groups = self.groups.clone();
        for (name, hosts) in self.added_groups.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let group = groups.entry(name.clone()).or_default();
            group.extend(hosts.iter().filter(|host| !group.contains(host)).cloned().collect::<Vec<_>>());
            let all = groups.entry("all".to_owned()).or_default();
            all.extend(hosts.iter().filter(|host| !all.contains(host)).cloned().collect::<Vec<_>>());
        }
        groups
    }

    /// Puts a host into a group.
    pub fn join(&self, group: &str, host: &str) {
        let mut groups = self.added_groups.write().unwrap_or_else(PoisonError::into_inner);
        let hosts = groups.entry(group.to_owned()).or_default();
        if !hosts.iter().any(|name| name == host) {
            hosts.push(host.to_owned());
        }
    }

    /// The groups of a host, sorted, without `all`.
    pub fn groups_of(&self, host: &HostVars) -> Vec<String> {
        let added = self.added_groups.read().unwrap_or_else(PoisonError::into_inner);
        let mut groups = host.groups.clone();
        groups.extend(added.iter().filter(|(_, hosts)| hosts.contains(&host.name)).map(|(name, _)| name.clone()));
        groups.retain(|group| group != "all");
        groups.sort();
        groups.dedup();
        groups
    }
}

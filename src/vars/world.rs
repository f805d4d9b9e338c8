//! What lives as long as a run.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use indexmap::IndexMap;

use super::HostVars;
use super::host::Standing;
use super::roster::{Described, Roster};
use crate::error::Result;
use crate::inventory::Growth;
use crate::playbook::{TagFilter, Vars};
use crate::template::Templar;
use crate::value::Raw;

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

/// Every group with its hosts in inventory order.
type Groups = IndexMap<String, Vec<String>>;

/// Hosts, groups, extra variables and options of a run.
#[derive(Debug, Default)]
pub struct World {
    /// In inventory order.
    pub hosts: IndexMap<String, Arc<HostVars>>,
    /// Every group of the inventory, `all` and `ungrouped` included, with its hosts in inventory order.
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
    /// The inventory's files of variables, for hosts and groups that come to be while running.
    pub roster: Option<Roster>,
    /// Hosts that only `delegate_to` or `add_host` named.
    pub added: RwLock<IndexMap<String, Arc<HostVars>>>,
    /// What `add_host` and `group_by` did.
    pub growth: RwLock<Grown>,
}

/// What a run has added to the inventory: see [`World::add_host`] and [`World::add_to_group`].
#[derive(Debug, Default)]
pub struct Grown {
    growth: Growth,
    /// The variables that `add_host` gave.
    vars: IndexMap<String, Arc<Vars>>,
    /// Every group as it is now, once something was added.
    groups: Option<Arc<Groups>>,
}

impl World {
    /// A world of the hosts and groups of an inventory.
    pub fn of(roster: Roster, extra: Arc<Vars>, options: RunOptions) -> Result<Self> {
        let Described { standings, groups } = roster.initial()?;
        let host =
            |(name, standing): (String, Standing)| (name.clone(), Arc::new(HostVars::standing_at(name, standing)));
        let hosts = standings.into_iter().map(host).collect();
        Ok(Self { hosts, groups, extra, options, roster: Some(roster), ..Self::default() })
    }

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

    /// What `add_host` and `group_by` have added to the inventory so far.
    pub fn growth(&self) -> Growth {
        self.growth.read().unwrap_or_else(PoisonError::into_inner).growth.clone()
    }

    /// Every group with its hosts, those that a run added included.
    pub fn all_groups(&self) -> Arc<Groups> {
        let grown = self.growth.read().unwrap_or_else(PoisonError::into_inner);
        grown.groups.clone().unwrap_or_else(|| Arc::new(self.groups.clone()))
    }

    /// `add_host`: makes sure that the host is there, sets variables of it and puts it into groups. Returns whether anything
    /// is new.
    pub fn add_host(&self, name: &str, groups: &[String], vars: Vars) -> Result<bool> {
        let known = self.all_groups();
        let is_member = |group: &str| known.get(group).is_some_and(|hosts| hosts.iter().any(|host| host == name));
        let mut changed = !is_member("all") || groups.iter().any(|group| !is_member(group));
        let mut grown = self.growth.write().unwrap_or_else(PoisonError::into_inner);
        let own = Arc::make_mut(grown.vars.entry(name.to_owned()).or_default());
        for (key, value) in vars {
            changed |= !own.get(&key).is_some_and(|before| same(before, &value));
            own.insert(key, value);
        }
        if changed {
            grown.growth.join("all", name);
            for group in groups {
                grown.growth.join(group, name);
            }
            self.host(name);
            self.settle(&mut grown, &[name])?;
        }
        Ok(changed)
    }

    /// `group_by`: puts a host into a group, and the group into its parents. Returns whether anything is new.
    pub fn add_to_group(&self, host: &str, group: &str, parents: &[String]) -> Result<bool> {
        let known = self.all_groups();
        let members = known.get(group).map(Vec::as_slice).unwrap_or_default();
        let mut grown = self.growth.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = !members.iter().any(|name| name == host);
        grown.growth.join(group, host);
        for parent in parents {
            let nested = match &self.roster {
                Some(roster) => roster.is_child(&grown.growth, parent, group)?,
                None => false,
            };
            changed |= !nested && grown.growth.nest(parent, group);
        }
        if changed {
            let mut hosts: Vec<&str> = members.iter().map(String::as_str).filter(|name| *name != host).collect();
            hosts.push(host);
            self.settle(&mut grown, &hosts)?;
        }
        Ok(changed)
    }

    /// Brings groups and the variables of these hosts to what they are now.
    fn settle(&self, grown: &mut Grown, hosts: &[&str]) -> Result<()> {
        let own = |name: &str| grown.vars.get(name).cloned();
        let described = match &self.roster {
            Some(roster) => roster.grown(&grown.growth, hosts, own)?,
            None => self.without_files(&grown.growth, hosts, own),
        };
        for (name, standing) in described.standings {
            self.host(&name).stand(standing);
        }
        grown.groups = Some(Arc::new(described.groups));
        Ok(())
    }

    /// The same without an inventory behind it: groups have no files then.
    fn without_files(&self, growth: &Growth, hosts: &[&str], own: impl Fn(&str) -> Option<Arc<Vars>>) -> Described {
        let mut groups = self.groups.clone();
        let mut join = |group: &str, host: &str| {
            let members = groups.entry(group.to_owned()).or_default();
            if !members.iter().any(|member| member == host) {
                members.push(host.to_owned());
            }
        };
        for (group, members) in &growth.members {
            for host in members {
                join("all", host);
                join(group, host);
                for (parent, _) in growth.nested.iter().filter(|(_, child)| child == group) {
                    join(parent, host);
                }
            }
        }
        let standing = |name: &str| {
            let inventory = self.hosts.get(name).map(|host| host.inventory().to_vec()).unwrap_or_default();
            let of =
                groups.iter().filter(|(group, members)| *group != "all" && members.iter().any(|host| host == name));
            let mut names: Vec<String> = of.map(|(group, _)| group.clone()).collect();
            names.sort();
            Standing::new(names, own(name).into_iter().chain(inventory).collect())
        };
        let standings = hosts.iter().map(|name| ((*name).to_owned(), standing(name))).collect();
        Described { standings, groups }
    }
}

/// Whether two variables have the same value. Those that are yet to be templated count as different.
fn same(before: &Raw, now: &Raw) -> bool {
    match (before, now) {
        (Raw::Value(before), Raw::Value(now)) => before == now,
        _ => false,
    }
}

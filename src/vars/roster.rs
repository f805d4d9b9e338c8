//! The inventory as a run sees it: which variables it gives each host, also after `add_host` and `group_by` extended it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;

use super::host::Standing;
use crate::error::Result;
use crate::inventory::{self, Content, Growth, Inventory, Level};
use crate::playbook::Vars;
use crate::project::EncryptedFile;
use crate::sync::lock;

/// Makes variables of what the inventory holds: opens what is encrypted, refuses values that are in a wrong place.
pub trait Opener: Send + Sync {
    /// Variables that were written in clear.
    fn plain(&self, vars: &inventory::Vars) -> Result<Arc<Vars>>;

    /// A file that is encrypted as a whole.
    fn encrypted(&self, file: &EncryptedFile) -> Result<Arc<Vars>>;
}

/// The inventory, and the way to the variables in its files.
pub struct Roster {
    inventory: Arc<Inventory>,
    /// The directory of the playbook on the command line.
    playbook_dir: PathBuf,
    opener: Box<dyn Opener>,
    opened: Mutex<HashMap<PathBuf, Arc<Vars>>>,
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("playbook_dir", &self.playbook_dir).finish_non_exhaustive()
    }
}

/// Hosts and groups at one time.
#[derive(Debug)]
pub(super) struct Described {
    /// Where each of the hosts stands.
    pub standings: Vec<(String, Standing)>,
    /// Every group with its hosts.
    pub groups: IndexMap<String, Vec<String>>,
}

impl Roster {
    /// The roster of an inventory; `playbook_dir` is the directory of the playbook on the command line.
    pub fn new(inventory: Arc<Inventory>, playbook_dir: &Path, opener: Box<dyn Opener>) -> Self {
        Self { inventory, playbook_dir: playbook_dir.to_path_buf(), opener, opened: Mutex::default() }
    }

    /// Every host and group as the inventory has them.
    pub(super) fn initial(&self) -> Result<Described> {
        let names: Vec<&str> = self.inventory.hosts().map(|host| host.name.as_str()).collect();
        self.describe(&self.inventory, &names, |_| None)
    }

    /// Some hosts, and every group, after a run has extended the inventory. `own` are the variables that `add_host` gave a host.
    pub(super) fn grown(
        &self,
        growth: &Growth,
        hosts: &[&str],
        own: impl Fn(&str) -> Option<Arc<Vars>>,
    ) -> Result<Described> {
        self.describe(&self.inventory.extended(growth)?, hosts, own)
    }

    /// Whether a group is directly in another one.
    pub(super) fn is_child(&self, growth: &Growth, parent: &str, child: &str) -> Result<bool> {
        let extended = self.inventory.extended(growth)?;
        Ok(extended.group(parent).is_some_and(|group| group.children.contains(child)))
    }

    fn describe(
        &self,
        inventory: &Inventory,
        hosts: &[&str],
        own: impl Fn(&str) -> Option<Arc<Vars>>,
    ) -> Result<Described> {
        let mut standings = vec![];
        for name in hosts {
            let mut layers = vec![];
            let mut added = own(name);
            for layer in inventory.layers(name, Some(&self.playbook_dir))? {
                if layer.level > Level::InventoryHost {
                    layers.extend(added.take());
                }
                layers.push(self.open(&layer.content)?);
            }
            layers.extend(added);
            layers.reverse();
            standings.push(((*name).to_owned(), Standing::new(inventory.group_names(name), layers)));
        }
        let groups = inventory.groups().map(|group| (group.name.clone(), inventory.hosts_of(&group.name))).collect();
        Ok(Described { standings, groups })
    }

    fn open(&self, content: &Content) -> Result<Arc<Vars>> {
        let file = match content {
            Content::Plain(vars) => return self.opener.plain(vars),
            Content::Encrypted(file) => file,
        };
        let mut opened = lock(&self.opened);
        if let Some(vars) = opened.get(&file.path) {
            return Ok(Arc::clone(vars));
        }
        let vars = self.opener.encrypted(file)?;
        opened.insert(file.path.clone(), Arc::clone(&vars));
        Ok(vars)
    }
}

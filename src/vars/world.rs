//! What lives as long as a run.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

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
}

//! Magic variables: what Ansible itself tells a task about the run, the play, the host and the role.

use std::sync::{Arc, PoisonError, Weak};

use minijinja::value::{Enumerator, Object};

use super::{HostVars, PlayVars, TaskScope, World};
use crate::playbook::Parent;
use crate::template::Scope;
use crate::value::{Raw, Value, omit};

/// The version of ansible-core whose dialect this is.
const DIALECT: &str = "2.19.0";

/// Every magic variable.
pub const NAMES: &[&str] = &[
    "ansible_check_mode",
    "ansible_diff_mode",
    "ansible_forks",
    "ansible_limit",
    "ansible_parent_role_names",
    "ansible_parent_role_paths",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_name",
    "ansible_play_role_names",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "omit",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_path",
    "role_names",
    "ansible_dependent_role_names",
    "ansible_search_path",
];

/// The value of a magic variable.
pub fn get(
    name: &str,
    scope: &TaskScope,
    world: &Arc<World>,
    play: &Arc<PlayVars>,
    host: &Arc<HostVars>,
    parent: Option<&Arc<Parent>>,
) -> Option<Value> {
    let names = |list: &std::sync::RwLock<Vec<String>>| {
        list.read().unwrap_or_else(PoisonError::into_inner).iter().map(String::as_str).collect()
    };
    let role = || parent.and_then(Parent::role);
    Some(match name {
        "inventory_hostname" => Value::from(host.name.as_str()),
        "inventory_hostname_short" => Value::from(host.name.split('.').next().unwrap_or_default()),
        "group_names" => host.groups().iter().map(String::as_str).collect(),
        "groups" => Value::from_pairs(
            world
                .all_groups()
                .iter()
                .map(|(name, hosts)| (name.as_str(), hosts.iter().map(String::as_str).collect::<Value>())),
        ),
        "hostvars" => {
            // Hosts seen from outside have nothing of the play: neither its variables nor those of its roles.
            let play = PlayVars { dir: play.dir.clone(), gather: play.gather, ..PlayVars::default() };
            let (world, play) = (Arc::downgrade(world), Arc::new(play));
            Value::from_object(AllHosts { world, play, speculative: scope.is_speculative() })
        }
        "omit" => omit(),
        "playbook_dir" => path(&play.dir),
        "inventory_dir" => path(world.inventory_dir.as_ref()?),
        "inventory_file" => path(world.inventory_file.as_ref()?),
        "ansible_play_name" => Value::from(play.name.as_str()),
        "ansible_play_hosts" | "play_hosts" => names(&play.hosts),
        "ansible_play_batch" => names(&play.batch),
        "ansible_play_hosts_all" => play.all_hosts.iter().map(String::as_str).collect(),
        "ansible_check_mode" => Value::from(world.options.check),
        "ansible_diff_mode" => Value::from(world.options.diff),
        "ansible_verbosity" => Value::from(i64::from(world.options.verbosity)),
        "ansible_forks" => Value::from(world.options.forks),
        "ansible_limit" => Value::from(world.options.limit.clone()?),
        "ansible_run_tags" if world.options.tags.only.is_empty() => Value::from(vec!["all"]),
        "ansible_run_tags" => world.options.tags.only.iter().map(String::as_str).collect(),
        "ansible_skip_tags" => world.options.tags.skip.iter().map(String::as_str).collect(),
        "ansible_version" => version(),
        "role_name" | "ansible_role_name" => Value::from(role()?.role.name.as_str()),
        "role_path" => path(&role()?.role.path),
        "ansible_parent_role_names" => outer_roles(parent).map(|role| Value::from(role.name.as_str())).collect(),
        "ansible_parent_role_paths" => outer_roles(parent).map(|role| path(&role.path)).collect(),
        "ansible_play_role_names" | "ansible_role_names" | "role_names" => {
            let roles = play.roles.read().unwrap_or_else(PoisonError::into_inner);
            roles.iter().map(|role| role.name.as_str()).collect()
        }
        _ => return None,
    })
}

/// `ansible_delegated_vars` of a task that runs on `host` for `owner`: the variables there, which still say whose task it is.
pub fn delegated(host: &str, owner: &str, world: &Arc<World>, there: &TaskScope) -> Value {
    let named = [("inventory_hostname".to_owned(), Raw::Value(Value::from(owner)))];
    let scope = Arc::new(there.with_locals(named.into_iter().collect()));
    Value::from_pairs([(host, Value::from_object(OneHost { world: Arc::clone(world), scope }))])
}

fn path(path: impl AsRef<std::path::Path>) -> Value {
    Value::from(path.as_ref().to_string_lossy().into_owned())
}

fn outer_roles(parent: Option<&Arc<Parent>>) -> impl Iterator<Item = &Arc<crate::playbook::Role>> {
    parent
        .into_iter()
        .flat_map(Parent::chain)
        .filter_map(|parent| match &parent.kind {
            crate::playbook::ParentKind::Role(used) => Some(&used.role),
            _ => None,
        })
        .skip(1)
}

fn version() -> Value {
    let parts: Vec<i64> = DIALECT.split('.').filter_map(|part| part.parse().ok()).collect();
    let part = |index: usize| Value::from(parts.get(index).copied().unwrap_or(0));
    Value::from_pairs([
        ("full", Value::from(DIALECT)),
        ("string", Value::from(DIALECT)),
        ("major", part(0)),
        ("minor", part(1)),
        ("revision", part(2)),
    ])
}

/// `hostvars`: the variables of every host, templated when looked at.
#[derive(Debug)]
struct AllHosts {
    world: Weak<World>,
    play: Arc<PlayVars>,
    speculative: bool,
}

impl Object for AllHosts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let world = self.world.upgrade()?;
        let name = key.as_str()?;
        // The workstation is there without being in the inventory.
        let host = if name == "localhost" { world.host(name) } else { world.known_host(name)? };
        let scope = TaskScope::new(&world, &self.play, &host, None, &Arc::default());
        let scope = if self.speculative { scope.speculating() } else { scope };
        Some(Value::from_object(OneHost { world, scope: Arc::new(scope) }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self
            .world
            .upgrade()
            .map(|world| world.all_hosts().iter().map(|host| Value::from(host.name.as_str())).collect());
        Enumerator::Values(names.unwrap_or_default())
    }
}

/// `hostvars[host]`.
#[derive(Debug)]
struct OneHost {
    world: Arc<World>,
    scope: Arc<TaskScope>,
}

impl Object for OneHost {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let templar = self.world.templar.get()?;
        let scope: Arc<dyn Scope> = Arc::clone(&self.scope) as Arc<dyn Scope>;
        match templar.variable(key.as_str()?, &scope) {
            Ok(value) => value,
            Err(error) => Some(Value::from(
                minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string()).with_source(error),
            )),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.scope.names().into_iter().map(Value::from).collect())
    }
}

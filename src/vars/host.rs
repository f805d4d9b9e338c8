//! What is known of one host: its inventory variables, and what tasks found out or set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use indexmap::IndexMap;

use crate::playbook::Vars;
use crate::value::{Fields, Raw, Value};

/// The variables of one host.
#[derive(Debug)]
pub struct HostVars {
    /// Inventory name.
    pub name: String,
    standing: RwLock<Standing>,
    state: RwLock<State>,
    /// A template asked for a fact that is not gathered yet.
    facts_wanted: AtomicBool,
    /// A play with `gather_facts` has selected the host.
    may_gather: AtomicBool,
}

/// Where a host stands in the inventory, which `add_host` and `group_by` change.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// The groups it is in, sorted, without `all`.
    groups: Arc<[String]>,
    /// Inventory variables, strongest first: levels 10 down to 3.
    inventory: Arc<[Arc<Vars>]>,
}

impl Standing {
    /// `groups` are sorted, without `all`; `inventory` is strongest first.
    pub fn new(groups: Vec<String>, inventory: Vec<Arc<Vars>>) -> Self {
        Self { groups: groups.into(), inventory: inventory.into() }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Facts without `ansible_`.
    facts: Fields,
    /// Facts that a module returned under a name without `ansible_`: variables of that name, too.
    plain: Fields,
    /// Whether the facts of the host were gathered.
    gathered: bool,
    /// The facts that gathering brought, as opposed to single ones that modules return.
    from_gathering: Vec<String>,
    /// `set_fact` and `register`: level 19.
    set: IndexMap<String, Value>,
    /// `include_vars`: level 18.
    included: Vars,
}

impl HostVars {
    /// A host as the inventory describes it; `inventory` is strongest first.
    pub fn new(name: impl Into<String>, groups: Vec<String>, inventory: Vec<Arc<Vars>>) -> Self {
        Self::standing_at(name.into(), Standing::new(groups, inventory))
    }

    pub(super) fn standing_at(name: String, standing: Standing) -> Self {
        Self {
            name,
            standing: RwLock::new(standing),
            state: RwLock::default(),
            facts_wanted: AtomicBool::new(false),
            may_gather: AtomicBool::new(false),
        }
    }

    /// The groups it is in, sorted, without `all`.
    pub fn groups(&self) -> Arc<[String]> {
        Arc::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner).groups)
    }

    /// Inventory variables, strongest first: levels 10 down to 3.
    pub fn inventory(&self) -> Arc<[Arc<Vars>]> {
        Arc::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner).inventory)
    }

    pub(super) fn stand(&self, standing: Standing) {
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A variable that a task set: `set_fact`, `register`, then `include_vars`.
    pub fn dynamic(&self, name: &str) -> Option<Raw> {
        self.read(|state| state.set.get(name).cloned().map(Raw::Value).or_else(|| state.included.get(name).cloned()))
    }

    /// A fact by its name without `ansible_`.
    pub fn fact(&self, name: &str) -> Option<Value> {
        self.read(|state| state.facts.get(name).cloned())
    }

    /// All facts: the value of `ansible_facts`.
    pub fn facts(&self) -> Value {
        self.read(|state| crate::value::from_fields(&state.facts))
    }

    /// Whether the facts were gathered.
    pub fn gathered(&self) -> bool {
        self.read(|state| state.gathered)
    }

    /// Adds facts as a module returns them in `ansible_facts`. `whole` marks a full gathering.
    pub fn add_facts(&self, facts: Fields, whole: bool) {
        self.write(|state| {
            for (name, value) in facts {
                if whole {
                    state.from_gathering.push(name.strip_prefix("ansible_").unwrap_or(&name).to_owned());
                }
                match name.strip_prefix("ansible_") {
                    Some(short) => state.facts.insert(short.to_owned(), value),
                    None => {
                        if !whole {
                            state.plain.insert(name.clone(), value.clone());
                        }
                        state.facts.insert(name, value)
                    }
                };
            }
            state.gathered |= whole;
        });
    }

    /// A variable of level 11: a fact under its `ansible_` name, or one that a module returned without that beginning.
    pub fn fact_variable(&self, name: &str) -> Option<Value> {
        self.read(|state| match name.strip_prefix("ansible_") {
            Some(short) => state.facts.get(short).cloned(),
            None => state.plain.get(name).cloned(),
        })
    }

    /// Whether facts are gathered when they are asked for.
    pub fn may_gather(&self) -> bool {
        self.may_gather.load(Ordering::Relaxed)
    }

    /// Lets facts be gathered when they are asked for, or not (any longer).
    pub fn set_may_gather(&self, may: bool) {
        self.may_gather.store(may, Ordering::Relaxed);
    }

    /// Forgets what gathering brought, because the host has changed since: it is gathered again when asked for.
    pub fn expire_facts(&self) {
        self.write(|state| {
            for name in std::mem::take(&mut state.from_gathering) {
                state.facts.shift_remove(&name);
            }
            state.gathered = false;
        });
    }

    /// Forgets every fact (`meta: clear_facts`).
    pub fn clear_facts(&self) {
        self.write(|state| {
            state.facts.clear();
            state.plain.clear();
            state.from_gathering.clear();
            state.gathered = false;
        });
    }

    /// Sets a variable as `set_fact` and `register` do.
    pub fn set(&self, name: &str, value: Value) {
        self.write(|state| state.set.insert(name.to_owned(), value));
    }

    /// Sets variables as `include_vars` does.
    pub fn include(&self, vars: Vars) {
        self.write(|state| state.included.extend(vars));
    }

    /// A variable that `include_vars` has set.
    pub fn included(&self, name: &str) -> Option<Raw> {
        self.read(|state| state.included.get(name).cloned())
    }

    /// Names that [`HostVars::dynamic`] would find.
    pub fn dynamic_names(&self) -> Vec<String> {
        self.read(|state| state.set.keys().chain(state.included.keys()).cloned().collect())
    }

    /// Names of facts, with `ansible_`.
    pub fn fact_names(&self) -> Vec<String> {
        self.read(|state| state.facts.keys().map(|name| format!("ansible_{name}")).collect())
    }

    /// Notes that a template asked for facts which are not there.
    pub fn want_facts(&self) {
        self.facts_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether a template asked for facts since the last call.
    pub fn take_facts_wanted(&self) -> bool {
        self.facts_wanted.swap(false, Ordering::Relaxed)
    }
}

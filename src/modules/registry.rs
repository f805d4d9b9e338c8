//! Every module by name: the one list of what mms has.

use super::{ActionModule, Spec, StateModule};

/// A module: its arguments and its code.
pub struct Module {
    /// Name and arguments.
    pub spec: &'static Spec,
    /// The code.
    pub kind: Kind,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Module({})", self.spec.name)
    }
}

/// What runs a module.
pub enum Kind {
    /// Probe, plan, apply.
    State(&'static dyn StateModule),
    /// A conversation.
    Action(&'static dyn ActionModule),
    /// The engine itself.
    Engine,
}

/// Every module, family by family.
pub fn all() -> impl Iterator<Item = &'static Module> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The module of a short or fully qualified name.
pub fn find(name: &str) -> Option<&'static Module> {
    all().find(|module| module.spec.name == name || module.spec.fqcn.contains(&name))
}

static FAMILIES: &[&[Module]] = &[
    super::commands::MODULES,
    super::control::MODULES,
    super::files::MODULES,
    super::net::MODULES,
    super::packages::MODULES,
    super::system::MODULES,
    crate::backup::MODULES,
    crate::service::MODULES,
];

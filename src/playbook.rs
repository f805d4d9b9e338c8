//! Playbooks as typed data: plays, blocks, tasks, roles and handlers, each with the place it was written at.
//!
//! [`Loader`] reads them through `yaml`, resolves everything static (`import_*`, roles, role dependencies) and refuses what mms
//! does not support before anything connects. Nothing is templated or run here; `engine` does that.

mod arguments;
mod check;
mod keywords;
mod load;
mod model;
mod place;
mod role;
mod tags;
mod task;
mod wrong;

pub use arguments::{Arguments, parse_words};
pub use check::{Checker, no_vars_file};

pub use keywords::{Keywords, as_nodes, is_variable_name, read_vars};
pub use load::{Files, LoadedRole, Loader, RoleParts, find_tasks};
pub use model::{
    Block, Handler, Item, Loop, LoopControl, Parent, ParentKind, Play, Playbook, RoleUse, Task, Vars, Via,
};
pub use place::{find_vars_file, search_paths, task_dir};
pub use role::Role;
pub use tags::TagFilter;
pub use task::is_include;

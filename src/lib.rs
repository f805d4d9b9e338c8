//! mms brings servers into the state that Ansible-dialect playbooks and `services/*.yml` describe, over plain SSH.
//!
//! The flow of a run: `cli` reads what was typed, `settings` resolves it, `project`, `inventory` and `vars` load what the user wrote
//! (through `yaml`), `playbook` makes it a typed plan of tasks, `engine` runs them through `modules` over `connection` and emits
//! [`event::Event`]s, which `report` and `ui` turn into output. `docs/architecture.md` is the map.

pub mod connection;
pub mod diagnostic;
pub mod env_vars;
pub mod error;
pub mod event;
pub mod inventory;
pub mod modules;
pub mod project;
pub mod secret;
pub mod settings;
pub mod sh;
pub mod template;
pub mod value;
pub mod yaml;

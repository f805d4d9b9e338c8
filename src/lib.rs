//! mms brings servers into the state that Ansible-dialect playbooks and `services/*.yml` describe, over plain SSH.
//!
//! The flow of a run: `cli` reads what was typed, `settings` resolves it, `project`, `inventory` and `vars` load what the user wrote
//! (through `yaml`), `playbook` makes it a typed plan of tasks, `engine` runs them through `modules` over `connection` and emits
//! [`event::Event`]s, which `report` and `ui` turn into output. `docs/architecture.md` is the map.

pub mod backup;
pub mod cli;
pub mod connection;
pub mod diagnostic;
pub mod engine;
pub mod env_vars;
pub mod error;
pub mod event;
pub mod facts;
pub mod fnmatch;
pub mod fs;
pub mod hex;
pub mod inventory;
pub mod migrate;
pub mod modules;
pub mod playbook;
pub mod project;
pub mod proxmox;
pub mod report;
pub mod restore;
pub mod secret;
pub mod service;
pub mod settings;
pub mod sh;
pub mod size;
pub mod sync;
pub mod template;
pub mod ui;
pub mod value;
pub mod vars;
pub mod vault;
pub mod yaml;

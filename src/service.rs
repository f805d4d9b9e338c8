//! Services: what `services/<name>.yml` says, the Quadlet units it becomes, and how they get onto a host.
//!
//! The way of a deploy: [`load`] reads a templated definition into the typed [`model`], [`quadlet`] writes it as units for
//! the Podman of the target, [`plan`] compares them with what [`observe`] saw and says what is to be done and why, and
//! [`deploy`] does it: staged generator run, images pulled before anything stops, one daemon-reload, a health gate, and
//! the old units and images back when the gate does not open. Everything but [`deploy`] is pure. [`module`] is the door for
//! playbooks (`mms.service`, `mms.services`, `mms.tailscale`), [`status`] and [`logs`] are for the verbs of those names.

pub mod deploy;
pub mod gate;
pub mod ini;
pub mod load;
pub mod logs;
pub mod model;
pub mod module;
pub mod observe;
pub mod plan;
pub mod quadlet;
mod read;
mod reasons;
pub mod schema;
mod scripts;
mod seal;
pub mod state;
pub mod status;
mod tailscale;
pub mod unit;
pub mod version;

pub use model::Service;
pub use module::MODULES;

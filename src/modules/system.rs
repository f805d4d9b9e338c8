//! Users, services and settings of the system.

mod setup;
mod systemd;

use super::Module;

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[setup::MODULE, systemd::SERVICE, systemd::MODULE];

//! Users, services and settings of the system.

mod setup;

use super::Module;

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[setup::MODULE];

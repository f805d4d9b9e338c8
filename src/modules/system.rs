//! Users, services and settings of the system.

mod accounts;
mod getent;
mod group;
mod output;
mod setup;
mod systemd;
mod user;

use super::Module;

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] =
    &[getent::MODULE, group::MODULE, systemd::SERVICE, setup::MODULE, systemd::MODULE, user::MODULE];

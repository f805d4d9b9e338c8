//! Users, services and settings of the system.

mod accounts;
mod authorized_key;
mod firewalld;
mod getent;
mod group;
mod mount;
mod output;
mod setup;
mod sysctl;
mod systemd;
mod user;

use super::Module;

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    authorized_key::MODULE,
    firewalld::MODULE,
    getent::MODULE,
    group::MODULE,
    mount::MODULE,
    systemd::SERVICE,
    setup::MODULE,
    sysctl::MODULE,
    systemd::MODULE,
    user::MODULE,
];

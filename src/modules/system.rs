//! Users, services and settings of the system.

mod accounts;
mod authorized_key;
mod cron;
mod firewalld;
mod getent;
mod group;
mod hostname;
mod modprobe;
mod mount;
mod output;
mod reboot;
mod seboolean;
mod sefcontext;
mod service_facts;
mod setup;
mod sysctl;
mod systemd;
mod timezone;
mod user;

use super::Module;

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    authorized_key::MODULE,
    cron::MODULE,
    firewalld::MODULE,
    getent::MODULE,
    group::MODULE,
    hostname::MODULE,
    modprobe::MODULE,
    mount::MODULE,
    reboot::MODULE,
    seboolean::MODULE,
    sefcontext::MODULE,
    systemd::SERVICE,
    service_facts::MODULE,
    setup::MODULE,
    sysctl::MODULE,
    systemd::MODULE,
    timezone::MODULE,
    user::MODULE,
];

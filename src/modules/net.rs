//! Reaching things over the network: the target itself, ports, URLs.

mod get_url;
mod http;
mod ping;
mod uri;
mod wait_for;
mod wait_for_connection;

#[cfg(test)]
mod tests;

use super::{Kind, Module};

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    Module { spec: &get_url::SPEC, kind: Kind::Action(&get_url::GetUrl) },
    Module { spec: &ping::SPEC, kind: Kind::State(&ping::Ping) },
    Module { spec: &uri::SPEC, kind: Kind::Action(&uri::Uri) },
    Module { spec: &wait_for::SPEC, kind: Kind::Action(&wait_for::WaitFor) },
    Module { spec: &wait_for_connection::SPEC, kind: Kind::Action(&wait_for_connection::WaitForConnection) },
];

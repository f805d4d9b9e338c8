//! Snapshots of the machines before anything is stopped: a way back that does not depend on mms.

use std::sync::Arc;

use super::super::Session;
use crate::engine::{Engine, Host};
use crate::error::Result;
use crate::proxmox::Proxmox;

/// Makes a snapshot of every one of these hosts that is a guest of Proxmox.
pub async fn take(session: &Session, engine: &Engine, hosts: &[&Arc<Host>], services: &str) -> Result<()> {
    let ui = &session.ui;
    let mut made = vec![];
    let mut without = vec![];
    let name = format!("mms-migrate-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S"));
    for host in hosts {
        let api = Proxmox::from_vars(|name| engine.variable_of(host, name), ui.redactor())?;
        let Some((api, vmid)) = api.and_then(|api| api.vmid().map(|vmid| (api, vmid))) else {
            without.push(host.name());
            continue;
        };
        if let Some(warning) = api.warning() {
            ui.note(&format!("warning: {warning}"));
        }
        let hint = "`--no-snapshot` goes on without; nothing was changed";
        ui.progress().set(host.name(), "making a snapshot");
        let guest = api.find(vmid).await.map_err(|error| error.hint(hint))?;
        let told = |line: &str| ui.progress().set(host.name(), line);
        let description = format!("before `mms migrate` of {services}");
        api.snapshot(&guest, &name, &description, &told).await.map_err(|error| error.hint(hint))?;
        made.push(format!("{}: snapshot `{name}` of {guest}", host.name()));
    }
    ui.progress().clear();
    if !without.is_empty() {
        ui.note(&format!(
            "no snapshot of {}: Proxmox is not configured for it (docs/proxmox.md)",
            without.join(" and ")
        ));
    }
    for line in &made {
        ui.note(line);
    }
    Ok(())
}

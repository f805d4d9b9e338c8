//! What a plan must know of services of the host that are not part of the task: they are neither changed nor stopped.

use std::collections::BTreeSet;

use super::Plan;
use crate::service::model::{Port, Service};
use crate::service::observe::Observed;
use crate::service::quadlet;

/// The unit files of the services that a task names: those they are to have, and those they have.
pub fn files_of<'a>(services: impl Iterator<Item = &'a Service>, seen: &Observed) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for service in services {
        files.extend(service.containers.keys().map(|name| format!("{name}.container")));
        files.extend(seen.states.get(&service.name).into_iter().flat_map(|state| state.units.keys().cloned()));
    }
    files
}

/// Why a container that is to be started cannot have its port: a unit that is not among `ours` publishes it. Without this the
/// service would be stopped first, and found out about its port afterwards.
pub fn port_held(plan: &Plan, service: &Service, seen: &Observed, ours: &BTreeSet<String>) -> Option<String> {
    let starting = plan.restart.iter().filter_map(|name| service.containers.get(name));
    let wanted: Vec<&Port> = starting.flat_map(|container| &container.ports).collect();
    for (file, text) in seen.units.iter().filter(|(file, _)| !ours.contains(*file)) {
        // Without the service manager nothing runs yet, but everything will once it is there.
        let activity = seen.services.get(&quadlet::service_name(file));
        if activity.is_some_and(|activity| matches!(activity.active.as_str(), "inactive" | "failed")) {
            continue;
        }
        let held: Vec<Port> = published(text).collect();
        if let Some(port) = wanted.iter().find(|port| held.iter().any(|held| port.collides(held))) {
            let owner = seen.states.values().find(|state| state.units.contains_key(file));
            return Some(match owner {
                Some(state) => format!("port {port} is published by the service `{}` on this host", state.service),
                None => format!("port {port} is published by `{file}` on this host, which mms did not deploy"),
            });
        }
    }
    None
}

/// The ports of the host that a unit publishes. One number alone is a port of the container, for which Podman takes any of the host.
fn published(unit: &str) -> impl Iterator<Item = Port> {
    let values = unit.lines().filter_map(|line| line.trim().strip_prefix("PublishPort=")).map(str::trim);
    values.filter(|value| value.contains(':')).filter_map(|value| value.parse().ok())
}

/// The services that mms deployed on the host and that are neither named by the task nor `declared`.
pub fn undeclared<'a>(seen: &'a Observed, ours: &BTreeSet<String>, declared: &[String]) -> Vec<&'a str> {
    let states = seen.states.values().filter(|state| !declared.contains(&state.service));
    let containers = |file: &&String| file.ends_with(".container") && seen.units.contains_key(*file);
    states
        .filter(|state| {
            let mut there = state.units.keys().filter(containers).peekable();
            there.peek().is_some() && there.all(|file| !ours.contains(file))
        })
        .map(|state| state.service.as_str())
        .collect()
}

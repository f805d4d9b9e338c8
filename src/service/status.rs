//! How the services of a host are doing: what `mms status` shows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::observe::{self, Observed, Question, Wellness};
use super::quadlet;

/// The read-only script that sees everything [`read`] needs; it runs as the user of the containers.
pub fn probe_script() -> String {
    observe::script(&Question::default())
}

/// What is known of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStatus {
    /// Its services.
    pub services: Vec<ServiceStatus>,
    /// Who did not answer, `systemd` or `podman`. Without systemd everything looks stopped, without Podman healthy.
    pub silent: Option<String>,
}

/// A service on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Its name; empty for containers with a Quadlet unit that mms did not write.
    pub service: String,
    /// Its containers, by name.
    pub containers: Vec<ContainerStatus>,
}

/// A container on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// How it is, in one word.
    pub condition: Condition,
    /// `active`, `failed`, …, as systemd says.
    pub active: String,
    /// What its health check says, if it has one.
    pub health: Option<Wellness>,
    /// The image it runs; the one of its unit when it does not run.
    pub image: String,
    /// Since when it is up, as systemd writes it.
    pub since: String,
    /// How often systemd restarted it since.
    pub restarts: u32,
    /// Whether its unit is not the one that was last well: changed by hand, or a deploy that did not finish.
    pub drifted: bool,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Running, and healthy if it has a health check.
    Well,
    /// On its way.
    Starting,
    /// Running, but its health check fails.
    Unhealthy,
    /// Ended with an error, or starts again and again.
    Failed,
    /// Not running.
    Stopped,
}

impl ServiceStatus {
    /// Whether every container is well.
    pub fn is_well(&self) -> bool {
        self.containers.iter().all(|container| container.condition == Condition::Well)
    }
}

/// Reads the answer of [`probe_script`]: services in alphabetical order, strangers last.
pub fn read(answer: &[u8]) -> HostStatus {
    let mut seen = observe::parse(answer);
    let mut services: BTreeMap<(bool, &str), Vec<ContainerStatus>> = BTreeMap::new();
    let known = seen.states.values().flat_map(|state| state.units.keys());
    let files: std::collections::BTreeSet<&String> = seen.units.keys().chain(known).collect();
    for (file, name) in files.into_iter().filter_map(|file| Some((file, file.strip_suffix(".container")?))) {
        let owner = seen.states.values().find(|state| state.units.contains_key(file));
        let service = owner.map_or("", |state| state.service.as_str());
        services.entry((service.is_empty(), service)).or_default().push(container(&seen, file, name));
    }
    let services = services
        .into_iter()
        .map(|((_, service), containers)| ServiceStatus { service: service.to_owned(), containers })
        .collect();
    HostStatus { services, silent: seen.silent.pop_first() }
}

fn container(seen: &Observed, file: &str, name: &str) -> ContainerStatus {
    let activity = seen.services.get(&quadlet::service_name(file)).cloned().unwrap_or_default();
    let running = seen.containers.get(name);
    let health = running.and_then(|running| running.health);
    let condition = match (activity.active.as_str(), health) {
        (_, Some(Wellness::Unhealthy)) => Condition::Unhealthy,
        ("active", Some(Wellness::Starting)) => Condition::Starting,
        ("active", _) => Condition::Well,
        ("failed", _) => Condition::Failed,
        ("activating", _) if activity.restarts > 0 || activity.sub == "auto-restart" => Condition::Failed,
        ("activating" | "reloading", _) => Condition::Starting,
        _ => Condition::Stopped,
    };
    let text = seen.units.get(file);
    let deployed = seen.states.values().find_map(|state| state.units.get(file));
    let drifted = match (text, deployed) {
        (Some(text), Some(hash)) => super::seal::sha256(text.as_bytes()) != *hash,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let written = || text?.lines().find_map(|line| line.strip_prefix("Image=")).map(str::to_owned);
    ContainerStatus {
        name: name.to_owned(),
        condition,
        active: activity.active,
        health,
        image: running.map(|running| running.image.clone()).or_else(written).unwrap_or_default(),
        since: activity.since,
        restarts: activity.restarts,
        drifted,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_service_and_sees_drift() {
        let text = "[Container]\nImage=docker.io/x/a:1\n";
        let state = format!(
            r#"{{"service":"s","units":{{"a.container":"{}","gone.container":"0"}},"images":{{}}}}"#,
            crate::service::seal::sha256(text.as_bytes())
        );
        let systemd = "Id=a.service\nActiveState=active\nNRestarts=1";
        let podman = "a|docker.io/x/a:1|1|running|Up (healthy)";
        let record = |kind: &str, name: &str, text: &str| format!("@{kind} {} {name}\n{text}\n", text.len());
        let answer = [
            record("state", "s.json", &state),
            record("unit", "a.container", text),
            record("unit", "mine.container", "[Container]\nImage=docker.io/y:2\n"),
            record("systemd", "-", systemd),
            record("containers", "-", podman),
        ]
        .concat();
        let HostStatus { services, silent } = read(answer.as_bytes());
        assert_eq!((services.len(), silent), (2, None));
        assert_eq!(read(format!("{answer}@silent 1 podman\n-\n").as_bytes()).silent.as_deref(), Some("podman"));
        let (ours, other) = (&services[0], &services[1]);
        assert_eq!((ours.service.as_str(), other.service.as_str()), ("s", ""));
        assert_eq!((ours.containers[0].condition, ours.containers[0].drifted), (Condition::Well, false));
        assert_eq!((ours.containers[1].condition, ours.containers[1].drifted), (Condition::Stopped, true));
        assert_eq!(other.containers[0].image, "docker.io/y:2");
        assert!(!ours.is_well());
    }
}

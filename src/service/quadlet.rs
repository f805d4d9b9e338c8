//! A service as Quadlet units for rootless Podman.

use std::collections::BTreeMap;

use super::model::{Command, Container, Gpu, OnFailure, Origin, Restart, Seconds, Secret, Service};
use super::unit::{Unit, literal, on_command_line, word, words};
use super::version::{self, Version};

/// What the units depend on besides the definition.
pub struct Target<'a> {
    /// The Podman that will read them.
    pub podman: Version,
    /// Podman's name of a secret, which changes with its value: container and secret → name.
    pub secret: &'a dyn Fn(&str) -> String,
    /// The containers of another service; nothing when there is no such service.
    pub service: &'a dyn Fn(&str) -> Option<Vec<String>>,
}

/// Networks that are modes of Podman, not networks to make.
const MODES: &[&str] = &["host", "none", "pasta", "slirp4netns", "private"];

/// The units of a service: file name → text, in a fixed order.
pub fn units(service: &Service, target: &Target<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut units = BTreeMap::new();
    let comment =
        format!("Written by mms from services/{}.yml; the next deploy overwrites changes made here.", service.name);
    for (name, container) in &service.containers {
        units.insert(format!("{name}.container"), container_unit(service, name, container, target, &comment)?);
        for network in container.networks.0.iter().filter(|name| !is_mode(name)) {
            let mut unit = Unit::new("Written by mms; the next deploy overwrites changes made here.");
            unit.section("Network");
            unit.line("NetworkName", network);
            units.insert(format!("{network}.network"), unit);
        }
        for volume in &container.volumes {
            if let Origin::Named(name) = &volume.source {
                let mut unit = Unit::new(&comment);
                unit.section("Volume");
                unit.line("VolumeName", name);
                units.insert(format!("{name}.volume"), unit);
            }
        }
    }
    for (file, unit) in &units {
        if let Some((key, value)) = unit.broken() {
            return Err(format!("`{file}`: the value of {key} cannot stand in a unit file: {value:?}"));
        }
        if target.podman < Version::QUADLET {
            return Err(format!("services need Podman {} or newer, the host has {}", Version::QUADLET, target.podman));
        }
        if let Some((key, since)) = version::too_new(unit, target.podman) {
            return Err(format!("`{file}` needs {key}=, which needs Podman {since}; the host has {}", target.podman));
        }
    }
    Ok(units.into_iter().map(|(file, unit)| (file, unit.to_string())).collect())
}

/// The systemd service that a unit file becomes.
pub fn service_name(file: &str) -> String {
    match file.rsplit_once('.') {
        Some((name, "container")) => format!("{name}.service"),
        Some((name, kind)) => format!("{name}-{kind}.service"),
        None => format!("{file}.service"),
    }
}

fn is_mode(network: &str) -> bool {
    MODES.contains(&network.split(':').next().unwrap_or_default())
}

fn container_unit(
    service: &Service,
    name: &str,
    container: &Container,
    target: &Target<'_>,
    comment: &str,
) -> Result<Unit, String> {
    let mut unit = Unit::new(comment);
    unit.section("Unit");
    let described = service.description.as_ref().map(|text| format!("{name}: {text}"));
    unit.line("Description", literal(described.as_deref().unwrap_or(name)));
    let after = wait_for(service, name, &container.after.0, target)?;
    let requires = wait_for(service, name, &container.requires.0, target)?;
    let mut earlier = [after, requires.clone()].concat();
    earlier.sort();
    earlier.dedup();
    unit_list(&mut unit, "Requires", &requires);
    unit_list(&mut unit, "After", &earlier);

    unit.section("Container");
    unit.line("Image", on_command_line(&container.image));
    unit.line("ContainerName", name);
    identity(&mut unit, container);
    runtime(&mut unit, container);
    network(&mut unit, container);
    storage(&mut unit, container);
    environment(&mut unit, container, target);
    health(&mut unit, container, target);
    if !container.podman_args.0.is_empty() {
        unit.line("PodmanArgs", words(container.podman_args.0.iter().map(String::as_str)));
    }

    unit.section("Service");
    let restart = match container.restart {
        Restart::Always => "always",
        Restart::OnFailure => "on-failure",
        Restart::No => "no",
    };
    unit.line("Restart", restart);
    unit.line("RestartSec", "5s");
    // The gate of a deploy is shorter than systemd's patience, so that the deploy, not systemd, says what is wrong.
    unit.line("TimeoutStartSec", format_args!("{}s", container.start_timeout().0.saturating_add(30)));
    let stop = container.stop_timeout.map_or(10, |timeout| timeout.0);
    unit.line("TimeoutStopSec", format_args!("{}s", stop.saturating_add(20)));
    if let Some(size) = container.memory_high {
        unit.line("MemoryHigh", size);
    }
    if let Some(size) = container.memory_max {
        unit.line("MemoryMax", size);
    }
    unit.section("Install");
    unit.line("WantedBy", "default.target");
    Ok(unit)
}

fn unit_list(unit: &mut Unit, key: &'static str, names: &[String]) {
    if !names.is_empty() {
        unit.line(key, names.iter().map(|name| format!("{name}.service")).collect::<Vec<_>>().join(" "));
    }
}

/// The containers that a list of containers and services means, sorted.
fn wait_for(service: &Service, name: &str, list: &[String], target: &Target<'_>) -> Result<Vec<String>, String> {
    let mut found = vec![];
    for other in list {
        if service.containers.contains_key(other) {
            found.push(other.clone());
        } else if let Some(containers) = (target.service)(other) {
            found.extend(containers);
        } else {
            let known = service.containers.keys().filter(|key| *key != name).map(String::as_str);
            let near = crate::diagnostic::nearest(other, known).map(|near| format!("; did you mean `{near}`?"));
            return Err(format!(
                "`{name}` waits for `{other}`, which is neither a container of `{}` nor a service{}",
                service.name,
                near.unwrap_or_default()
            ));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn identity(unit: &mut Unit, container: &Container) {
    if let Some(user) = &container.user {
        let (user, group) = user.0.split_once(':').map_or((user.0.as_str(), None), |(user, group)| (user, Some(group)));
        unit.line("User", on_command_line(user));
        if let Some(group) = group {
            unit.line("Group", on_command_line(group));
        }
    }
    for group in &container.groups.0 {
        unit.line("GroupAdd", on_command_line(group));
    }
    if let Some(mode) = &container.userns {
        unit.line("UserNS", on_command_line(mode));
    }
}

fn runtime(unit: &mut Unit, container: &Container) {
    if let Some(entrypoint) = &container.entrypoint {
        unit.line("Entrypoint", on_command_line(entrypoint));
    }
    match &container.command {
        // Quadlet splits text as a command line, so a user's own quoting is kept.
        Some(Command::Shell(text)) => unit.line("Exec", on_command_line(text)),
        Some(Command::Words(list)) => unit.line("Exec", words(list.iter().map(String::as_str))),
        None => {}
    }
    if let Some(zone) = &container.timezone {
        unit.line("Timezone", on_command_line(zone));
    }
    if container.init {
        unit.line("RunInit", "true");
    }
    if container.read_only {
        unit.line("ReadOnly", "true");
    }
    if container.no_new_privileges {
        unit.line("NoNewPrivileges", "true");
    }
    if container.label_disable {
        unit.line("SecurityLabelDisable", "true");
    }
    for capability in &container.cap_drop.0 {
        unit.line("DropCapability", word(capability));
    }
    for capability in &container.cap_add.0 {
        unit.line("AddCapability", word(capability));
    }
    let gpu: &[&str] = match container.gpu {
        Some(Gpu::Intel) => &["/dev/dri"],
        Some(Gpu::Amd) => &["/dev/dri", "/dev/kfd"],
        Some(Gpu::Nvidia) => &["nvidia.com/gpu=all"],
        None => &[],
    };
    for device in gpu.iter().copied().chain(container.devices.iter().map(String::as_str)) {
        unit.line("AddDevice", word(device));
    }
    if let Some(size) = container.shm_size {
        unit.line("ShmSize", size.to_string().to_lowercase());
    }
    for (name, limit) in &container.ulimits {
        unit.line("Ulimit", on_command_line(&format!("{name}={}", limit.0)));
    }
    for (name, value) in &container.sysctls {
        unit.line("Sysctl", word(&format!("{name}={}", value.0)));
    }
    let mut labels: Vec<_> = container.labels.iter().map(|(name, value)| format!("{name}={}", value.0)).collect();
    labels.sort();
    for label in labels {
        unit.line("Label", word(&label));
    }
    if let Some(signal) = &container.stop_signal {
        unit.line("StopSignal", on_command_line(signal));
    }
    if let Some(timeout) = container.stop_timeout {
        unit.line("StopTimeout", timeout.0);
    }
}

fn network(unit: &mut Unit, container: &Container) {
    for network in &container.networks.0 {
        let suffix = if is_mode(network) { "" } else { ".network" };
        unit.line("Network", format_args!("{}{suffix}", on_command_line(network)));
    }
    for alias in &container.network_aliases.0 {
        unit.line("NetworkAlias", on_command_line(alias));
    }
    if let Some(name) = &container.hostname {
        unit.line("HostName", on_command_line(name));
    }
    for (name, address) in &container.hosts {
        unit.line("AddHost", on_command_line(&format!("{name}:{address}")));
    }
    for server in &container.dns.0 {
        unit.line("DNS", on_command_line(server));
    }
    for port in &container.ports {
        unit.line("PublishPort", port);
    }
}

fn storage(unit: &mut Unit, container: &Container) {
    for volume in &container.volumes {
        let source = match &volume.source {
            Origin::Path(path) => on_command_line(path),
            Origin::Named(name) => format!("{name}.volume"),
        };
        let options = if volume.options.is_empty() { String::new() } else { format!(":{}", volume.options.join(",")) };
        unit.line("Volume", format_args!("{source}:{}{options}", on_command_line(&volume.target)));
    }
    for path in &container.tmpfs.0 {
        unit.line("Tmpfs", on_command_line(path));
    }
}

fn environment(unit: &mut Unit, container: &Container, target: &Target<'_>) {
    let mut variables: BTreeMap<&str, String> =
        container.environment.iter().map(|(name, value)| (name.as_str(), value.0.clone())).collect();
    let own = [("PUID", container.puid), ("PGID", container.pgid)];
    for (name, id) in own.into_iter().filter_map(|(name, id)| Some((name, id?))) {
        variables.entry(name).or_insert_with(|| id.to_string());
    }
    if let Some(zone) = container.timezone.as_ref().filter(|zone| *zone != "local") {
        variables.entry("TZ").or_insert_with(|| zone.clone());
    }
    for (name, value) in variables {
        unit.line("Environment", word(&format!("{name}={value}")));
    }
    for (name, secret) in &container.secrets {
        unit.line("Secret", on_command_line(&secret_line(&(target.secret)(name), name, secret)));
    }
}

fn secret_line(podman_name: &str, name: &str, secret: &Secret) -> String {
    if let Some(variable) = &secret.env {
        return format!("{podman_name},type=env,target={variable}");
    }
    let mut line = format!("{podman_name},type=mount,target={}", secret.file.as_deref().unwrap_or(name));
    for (key, id) in [("uid", secret.uid), ("gid", secret.gid)] {
        if let Some(id) = id {
            line.push_str(&format!(",{key}={id}"));
        }
    }
    if let Some(mode) = secret.mode {
        line.push_str(&format!(",mode={mode}"));
    }
    line
}

fn health(unit: &mut Unit, container: &Container, target: &Target<'_>) {
    let Some(health) = &container.health else { return };
    let command = match &health.cmd {
        Command::Shell(text) => text.clone(),
        Command::Words(list) => {
            let json: Vec<_> = std::iter::once("CMD").chain(list.iter().map(String::as_str)).collect();
            serde_json::to_string(&json).unwrap_or_default()
        }
    };
    // A startup check of its own, often and without consequences, lets a container be well as soon as it is.
    let often = Seconds(health.interval.0.min(2));
    unit.line("HealthStartupCmd", on_command_line(&command));
    unit.line("HealthStartupInterval", often);
    unit.line("HealthStartupTimeout", health.timeout);
    unit.line("HealthCmd", on_command_line(&command));
    unit.line("HealthInterval", health.interval);
    unit.line("HealthTimeout", health.timeout);
    unit.line("HealthRetries", health.retries);
    unit.line("HealthStartPeriod", health.start_period);
    if health.on_failure == OnFailure::Kill {
        unit.line("HealthOnFailure", "kill");
    }
    // The start job then ends when the container is well, so that what comes after it really finds it.
    if target.podman >= Version::NOTIFY_HEALTHY {
        unit.line("Notify", "healthy");
    }
}

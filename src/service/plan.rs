//! What is to be done to bring a service from what was seen to what is wanted, and why. Pure.

mod outside;

use std::collections::{BTreeMap, BTreeSet};

use super::ini;
use super::model::{Directory, Service};
use super::observe::{Observed, Owned, Wellness};
use super::quadlet;
use super::reasons;
use super::seal;
use crate::modules::Diff;

pub use outside::{files_of, port_held, undeclared};

/// What a service is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aim {
    /// Deployed and well.
    #[default]
    Present,
    /// The same, and every container started anew.
    Restarted,
    /// Gone; its data stays.
    Absent,
}

/// A service as it is wanted on one host.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The definition.
    pub service: Service,
    /// Unit files: name → text.
    pub units: BTreeMap<String, String>,
    /// Podman's names of its secrets and their values.
    pub secrets: BTreeMap<String, String>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// What changes and why, for people.
    pub reasons: Vec<String>,
    /// Unit files to write.
    pub write: BTreeMap<String, String>,
    /// Unit files to remove.
    pub remove: BTreeSet<String>,
    /// Containers to start anew.
    pub restart: BTreeSet<String>,
    /// Containers that go away.
    pub stop: BTreeSet<String>,
    /// Names in Podman of secrets to make.
    pub secrets: BTreeSet<String>,
    /// Directories to make or correct.
    pub directories: Vec<Directory>,
    /// INI files to change, by path.
    pub ini: BTreeSet<String>,
    /// Whether the service manager must read its units again.
    pub reload: bool,
    /// Whether nothing is left of the service but mms's own note on it.
    pub forget: bool,
    /// Before and after.
    pub diff: Vec<Diff>,
}

impl Plan {
    /// Whether everything is as wanted.
    pub fn is_empty(&self) -> bool {
        self.write.is_empty()
            && self.remove.is_empty()
            && self.restart.is_empty()
            && self.stop.is_empty()
            && self.secrets.is_empty()
            && self.directories.is_empty()
            && self.ini.is_empty()
            && !self.forget
    }

    /// The unit files this plan touches.
    pub fn touched(&self) -> impl Iterator<Item = &String> {
        self.write.keys().chain(&self.remove)
    }

    /// Adds a reason to start a container anew.
    pub fn restart(&mut self, container: &str, alone: bool, why: impl IntoIterator<Item = String>) {
        self.restart.insert(container.to_owned());
        let reasons = why.into_iter().map(|why| if alone { why } else { format!("{container}: {why}") });
        self.reasons.extend(reasons);
    }
}

/// Decides what is to be done. An error says what stands in the way.
pub fn plan(wanted: &Wanted, seen: &Observed, aim: Aim) -> Result<Plan, String> {
    let service = &wanted.service;
    for file in wanted.units.keys().filter(|file| file.ends_with(".container")) {
        let mut others = seen.states.values().filter(|state| state.service != service.name);
        if let Some(other) = others.find(|state| state.units.contains_key(file)) {
            return Err(format!("`{file}` belongs to the service `{}` on this host", other.service));
        }
    }
    let mut plan = Plan::default();
    if aim == Aim::Absent {
        remove(&mut plan, wanted, seen);
        return Ok(plan);
    }
    if let Some(file) = service.ini.iter().find(|file| seen.unreadable.contains(&file.path)) {
        return Err(unreadable(&file.path));
    }
    for directory in &service.directories {
        if let Some(reason) = directory_reason(directory, seen) {
            plan.reasons.push(reason);
            plan.directories.push(directory.clone());
        }
    }
    plan.secrets = wanted.secrets.keys().filter(|name| !seen.secrets.contains(*name)).cloned().collect();
    // Without the user's service manager Podman was not asked for its secrets; those that are there are left alone.
    for name in plan.secrets.iter().filter(|_| seen.bus) {
        let known = wanted.units.values().any(|text| text.contains(name.as_str()))
            && seen.units.values().any(|text| text.contains(name.as_str()));
        if known {
            let name = seal::secret_of(name).unwrap_or(name);
            plan.reasons.push(format!("secret {name} is missing in Podman"));
        }
    }
    // What a new service brings along goes without saying.
    let fresh = service.containers.keys().all(|name| !seen.units.contains_key(&format!("{name}.container")));
    for (file, text) in &wanted.units {
        let old = seen.units.get(file);
        if old != Some(text) {
            plan.write.insert(file.clone(), text.clone());
            plan.diff.push(diff(file, old.map_or("", String::as_str), text));
            if !file.ends_with(".container") && (old.is_some() || !fresh) {
                let what = if old.is_some() { "changed" } else { "is new" };
                plan.reasons.push(format!("{file} {what}"));
            }
        }
    }
    let alone = service.containers.len() == 1;
    for name in service.containers.keys() {
        let why = container_reasons(name, wanted, seen, aim);
        if !why.is_empty() {
            plan.restart(name, alone, why);
        }
    }
    settings(&mut plan, service, seen);
    prune(&mut plan, wanted, seen);
    let stale = |name: &String| seen.services.get(&format!("{name}.service")).is_some_and(|activity| activity.stale);
    plan.reload = !plan.write.is_empty() || !plan.remove.is_empty() || service.containers.keys().any(stale);
    Ok(plan)
}

/// Why a file of settings is not touched.
pub(super) fn unreadable(path: &str) -> String {
    format!("{path} is not a text file that its user can read, so changing it would lose what is in it")
}

fn diff(file: &str, before: &str, after: &str) -> Diff {
    let header = format!("~/{}/{file}", super::observe::UNITS);
    Diff { before_header: header.clone(), after_header: header, before: before.to_owned(), after: after.to_owned() }
}

fn container_reasons(name: &str, wanted: &Wanted, seen: &Observed, aim: Aim) -> Vec<String> {
    let file = format!("{name}.container");
    let Some(text) = wanted.units.get(&file) else { return vec![] };
    match seen.units.get(&file) {
        None => return vec![format!("new, {}", wanted.service.containers.get(name).map_or("", |c| c.image.as_str()))],
        Some(old) if old != text => return reasons::between(old, text),
        Some(_) => {}
    }
    let state = seen.states.get(&wanted.service.name);
    if state.and_then(|state| state.units.get(&file)) != Some(&seal::sha256(text.as_bytes())) {
        return vec!["the last deploy did not finish".to_owned()];
    }
    let activity = seen.services.get(&format!("{name}.service"));
    if activity.is_some_and(|activity| activity.stale) {
        return vec!["its unit was written anew since systemd read it".to_owned()];
    }
    match activity.map_or("", |activity| activity.active.as_str()) {
        "active" => {}
        "failed" => return vec!["it failed".to_owned()],
        "activating" | "reloading" => return vec!["it does not come up".to_owned()],
        _ => return vec!["it is not running".to_owned()],
    }
    let running = seen.containers.get(name);
    if running.and_then(|running| running.health) == Some(Wellness::Unhealthy) {
        return vec!["its health check fails".to_owned()];
    }
    if let (Some(deployed), Some(running)) = (state.and_then(|state| state.images.get(name)), running)
        && deployed.id != running.image_id
    {
        return vec!["it runs another image than was deployed".to_owned()];
    }
    if aim == Aim::Restarted { vec!["restart asked for".to_owned()] } else { vec![] }
}

fn directory_reason(directory: &Directory, seen: &Observed) -> Option<String> {
    let path = &directory.path;
    let Some(is) = seen.directories.get(path) else { return Some(format!("directory {path} is new")) };
    if let Some(mode) = directory.mode
        && mode.0 != is.mode
    {
        return Some(format!("directory {path}: mode {:04o} → {mode}", is.mode));
    }
    let matches = |wanted: &str, (id, name): &(u32, String)| wanted == name || wanted.parse() == Ok(*id);
    let Owned { owner, group, .. } = is;
    match &directory.owner {
        Some(wanted) if !matches(&wanted.0, owner) => {
            return Some(format!("directory {path}: owner {} → {}", owner.1, wanted.0));
        }
        None if owner.0 != seen.uid => return Some(format!("directory {path}: owner {} → {}", owner.1, seen.uid)),
        _ => {}
    }
    let wanted = directory.group.as_ref().filter(|wanted| !matches(&wanted.0, group))?;
    Some(format!("directory {path}: group {} → {}", group.1, wanted.0))
}

fn settings(plan: &mut Plan, service: &Service, seen: &Observed) {
    for file in &service.ini {
        let before = seen.files.get(&file.path).map_or("", String::as_str);
        let after = ini::set(before, &file.sections);
        if before == after {
            continue;
        }
        plan.ini.insert(file.path.clone());
        plan.diff.push(Diff {
            before_header: file.path.clone(),
            after_header: file.path.clone(),
            before: ini::managed(before, &file.sections),
            after: ini::managed(&after, &file.sections),
        });
        let name = file.container.as_ref().or_else(|| service.containers.keys().next());
        if let Some(name) = name {
            let short = file.path.rsplit('/').next().unwrap_or_default();
            let known = seen.units.contains_key(&format!("{name}.container"));
            let why = known.then(|| format!("settings in {short} changed"));
            plan.restart(name, service.containers.len() == 1, why);
        }
    }
}

/// Containers, networks and volumes that the service had and has no longer.
fn prune(plan: &mut Plan, wanted: &Wanted, seen: &Observed) {
    let Some(state) = seen.states.get(&wanted.service.name) else { return };
    for file in state.units.keys().filter(|file| !wanted.units.contains_key(*file)) {
        drop_unit(plan, &wanted.service.name, file, seen);
    }
}

fn remove(plan: &mut Plan, wanted: &Wanted, seen: &Observed) {
    let mut files: BTreeSet<&String> = wanted.units.keys().collect();
    files.extend(seen.states.get(&wanted.service.name).iter().flat_map(|state| state.units.keys()));
    for file in files {
        drop_unit(plan, &wanted.service.name, file, seen);
    }
    plan.reload = !plan.remove.is_empty();
    if plan.remove.is_empty() && seen.states.contains_key(&wanted.service.name) {
        plan.forget = true;
        plan.reasons.push("its units are gone already; it is forgotten".to_owned());
    }
}

fn drop_unit(plan: &mut Plan, service: &str, file: &str, seen: &Observed) {
    let shared = seen.states.values().any(|state| state.service != service && state.units.contains_key(file));
    let Some(text) = seen.units.get(file).filter(|_| !shared) else { return };
    plan.remove.insert(file.to_owned());
    plan.diff.push(diff(file, text, ""));
    if let Some(name) = file.strip_suffix(".container") {
        plan.stop.insert(name.to_owned());
        plan.reasons.push(format!("{name} removed"));
    } else {
        plan.reasons.push(format!("{file} removed"));
    }
}

/// The systemd services that a set of unit files must become.
pub fn expected<'a>(files: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    files.into_iter().map(|file| quadlet::service_name(file)).collect()
}

/// Orders services so that each comes after those it waits for; services that wait for each other keep their order.
pub fn order(services: &[Service]) -> Vec<usize> {
    let index: BTreeMap<&str, usize> = services
        .iter()
        .enumerate()
        .flat_map(|(at, service)| {
            std::iter::once(service.name.as_str())
                .chain(service.containers.keys().map(String::as_str))
                .map(move |n| (n, at))
        })
        .collect();
    let mut ordered = vec![];
    let mut left: Vec<usize> = (0..services.len()).collect();
    while !left.is_empty() {
        let ready = left.iter().position(|at| {
            services.get(*at).is_some_and(|service| {
                service
                    .outside()
                    .filter_map(|name| index.get(name))
                    .all(|before| before == at || ordered.contains(before))
            })
        });
        ordered.push(left.remove(ready.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests;

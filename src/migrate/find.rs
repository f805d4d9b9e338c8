//! Which directories of the old host hold a service's data, and what runs it there. Pure: what was seen goes in, an origin or a
//! refusal comes out. Nothing is guessed: where two answers are possible, both are named, with the argument that decides.

use std::collections::{BTreeMap, BTreeSet};

mod places;
mod settle;
mod version;

use super::journal::Runner;
use super::look::{Container, Question, Seen, Unit};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;
use crate::service::model::migrate::Target;
use places::{by_command, by_directory, by_user, usual};
pub use settle::{origin, runners_of, settle, to_probe};
use version::{image_name, image_tag, numbers};
pub use version::{is_newer, version_here};

/// What somebody said about where a service is: `--source`, or `mms_migrate_sources` of the old host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A directory.
    Directory(String),
    /// A systemd unit.
    Unit(String),
    /// A container.
    Container(String),
}

impl Given {
    /// Reads `/path`, `unit:x.service` or `container:x`.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            Some(("unit", name)) if name.contains('.') => Ok(Self::Unit(name.to_owned())),
            Some(("unit", name)) if !name.is_empty() => Ok(Self::Unit(format!("{name}.service"))),
            Some(("container", name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            _ if text.starts_with('/') && text.len() > 1 => Ok(Self::Directory(text.trim_end_matches('/').to_owned())),
            _ => Err(format!("`{text}` is neither a directory nor `unit:NAME` nor `container:NAME`")),
        }
    }
}

/// What is asked about a service on the old host.
pub fn question(services: &[&Service], given: &BTreeMap<String, Given>) -> Question {
    let mut question = Question::default();
    for service in services {
        question.services.push(service.name.clone());
        question.units.extend(service.units_elsewhere());
        if let Some(Given::Unit(name)) = given.get(&service.name) {
            question.units.push(name.clone());
        }
        let places = service.places();
        for (at, target) in places.iter().enumerate() {
            question.directories.extend(target.place.directories.0.iter().cloned());
            if at == base(&places) {
                question.directories.extend(usual(&service.name));
            }
        }
        if let Some(migrate) = &service.migrate {
            question.version_files.insert(service.name.clone(), migrate.version_files.0.clone());
            question.packages.insert(service.name.clone(), migrate.packages.0.clone());
        }
    }
    question.version_files.retain(|_, files| !files.is_empty());
    for list in [&mut question.units, &mut question.directories] {
        list.sort();
        list.dedup();
    }
    question
}

/// The place that what is said about the service as a whole is about: the first one that must be there.
fn base(places: &[Target<'_>]) -> usize {
    places.iter().position(|target| !target.place.optional).unwrap_or(0)
}

/// Directories that may be a place, the best evidence first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tier {
    /// Where they come from, for people.
    pub why: String,
    /// The directories.
    pub directories: Vec<String>,
    /// Whether somebody or something named them: then nothing else is looked at.
    pub certain: bool,
    /// Whether the first that is the right one counts, rather than the only one.
    pub ordered: bool,
}

/// How a service was found, before its directories were looked into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidate {
    /// For people.
    pub how: String,
    /// What runs it. For a bare directory that is known only later.
    pub runners: Vec<Runner>,
    /// Whether what runs it is known, or has to be found out from the processes that use the directories.
    pub by_processes: bool,
    /// For each place: where it may be.
    pub places: Vec<Vec<Tier>>,
    /// See [`Origin::superuser`].
    pub superuser: Option<String>,
    /// The version there, where it is known.
    pub version: Option<String>,
    /// Directories as the application there sees them → directories of the old host.
    pub mounts: Vec<(String, String)>,
    /// See [`Origin::maps`].
    pub maps: Vec<(String, String)>,
}

/// `None`: there is nothing of the service on the old host.
pub fn candidate(service: &Service, seen: &Seen, given: Option<&Given>, from: &str) -> Result<Option<Candidate>> {
    let places = service.places();
    if places.is_empty() {
        return Err(Error::user(format!("service `{}`: it keeps no data that could be moved", service.name))
            .hint("`backup.paths` or `migrate.places` of the service name the directories with its data"));
    }
    let version = seen.versions.get(&service.name).cloned();
    match given {
        Some(Given::Directory(directory)) => {
            let tier = Tier {
                why: "`--source`".to_owned(),
                directories: vec![directory.clone()],
                certain: true,
                ordered: false,
            };
            let tiers = places.iter().enumerate().map(|(at, target)| {
                if at == base(&places) { vec![tier.clone()] } else { by_directory(service, target, seen, false) }
            });
            let runners = seen.containers.iter().filter(|container| {
                container.running
                    && container
                        .mounts
                        .iter()
                        .any(|(_, source)| is_below(directory, source) || is_below(source, directory))
            });
            return Ok(Some(Candidate {
                how: "the directory that was named".to_owned(),
                runners: runners.map(|container| runner(container)).collect::<Result<_>>()?,
                by_processes: true,
                places: tiers.collect(),
                superuser: None,
                version,
                mounts: vec![],
                maps: vec![],
            }));
        }
        Some(Given::Unit(name)) => {
            let units: Vec<&Unit> = seen.units.iter().filter(|unit| unit.name() == name).collect();
            return match units.as_slice() {
                [] => Err(Error::user(format!("{from}: there is no unit `{name}`"))),
                units => by_units(service, seen, units, from).map(Some),
            };
        }
        Some(Given::Container(name)) => {
            let same: Vec<&Container> =
                seen.containers.iter().filter(|container| normal(&container.name) == normal(name)).collect();
            return match same.as_slice() {
                [] => Err(Error::user(format!("{from}: there is no container `{name}`")).hint(format!(
                    "there are: {}",
                    list(seen.containers.iter().map(|container| container.name.as_str()))
                ))),
                [one] => {
                    // Which of ours it is says its name; otherwise it is the one with the data.
                    let role = service.containers.keys().find(|role| normal(role) == normal(name));
                    let role = role.map_or_else(|| places_owner(&places), String::as_str);
                    let containers = containers_of(service, seen, from, Some((role, one)))?;
                    by_containers(service, seen, &containers, from).map(Some)
                }
                many => Err(ambiguous(
                    service,
                    from,
                    many.iter().map(|container| (describe(container), format!("container:{}", container.name))),
                )),
            };
        }
        None => {}
    }
    let containers = containers_of(service, seen, from, None)?;
    let wanted = service.units_elsewhere();
    let native: Vec<&Unit> = seen
        .units
        .iter()
        .filter(|unit| wanted.iter().any(|name| name == unit.name()) && !unit.runs_container() && !is_quadlet(unit))
        .collect();
    let owners: BTreeSet<&str> =
        places.iter().filter(|target| !target.place.optional).map(|target| target.container).collect();
    if owners.iter().all(|owner| containers.contains_key(owner)) {
        if let Some(unit) = native.iter().find(|unit| unit.active()) {
            let found =
                containers.values().map(|container| (describe(container), format!("container:{}", container.name)));
            let unit = (format!("unit `{}`, which runs", unit.name()), format!("unit:{}", unit.name()));
            return Err(ambiguous(service, from, found.chain([unit])));
        }
        return by_containers(service, seen, &containers, from).map(Some);
    }
    if !native.is_empty() {
        return by_units(service, seen, &native, from).map(Some);
    }
    let tiers: Vec<Vec<Tier>> = places
        .iter()
        .enumerate()
        .map(|(at, target)| by_directory(service, target, seen, at == base(&places)))
        .collect();
    if tiers.get(base(&places)).is_none_or(|tiers| tiers.iter().all(|tier| tier.directories.is_empty())) {
        return Ok(None);
    }
    Ok(Some(Candidate {
        how: "a directory".to_owned(),
        runners: vec![],
        by_processes: true,
        places: tiers,
        superuser: None,
        version,
        mounts: vec![],
        maps: vec![],
    }))
}

fn places_owner<'a>(places: &[Target<'a>]) -> &'a str {
    places.get(base(places)).map_or("", |target| target.container)
}

/// Names are compared as people write them: Immich's own compose file has `immich_server`, and we have `immich-server`.
fn normal(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn describe(container: &Container) -> String {
    let state = if container.running { "runs" } else { "does not run" };
    let of = container.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    format!("container `{}`{of} ({}), which {state}", container.name, container.image)
}

fn ambiguous(service: &Service, from: &str, found: impl Iterator<Item = (String, String)>) -> Error {
    let error = Error::user(format!("{from}: it is not clear which one is `{}`", service.name));
    found.fold(error, |error, (what, argument)| error.hint(format!("{what}: `--source {}={argument}`", service.name)))
}

/// A container that systemd runs is stopped and started by systemd.
fn runner(container: &Container) -> Result<Runner> {
    if let Some(unit) = container.labels.get("PODMAN_SYSTEMD_UNIT").filter(|unit| !unit.is_empty()) {
        return Ok(Runner::Unit { user: container.user.clone(), name: unit.clone() });
    }
    if container.vanishes {
        return Err(Error::new(
            ErrorKind::Failed,
            format!(
                "the container `{}` is removed when it stops (`--rm`), so it could not be started again",
                container.name
            ),
        )
        .hint("make it anew without `--rm` first"));
    }
    Ok(Runner::Container {
        engine: container.engine.clone(),
        user: container.user.clone(),
        name: container.name.clone(),
    })
}

fn is_quadlet(unit: &Unit) -> bool {
    unit.get("UnitFileState") == "generated"
}

/// The container there for each container here; one of them may be known.
fn containers_of<'a, 's>(
    service: &'s Service,
    seen: &'a Seen,
    from: &str,
    known: Option<(&'s str, &'a Container)>,
) -> Result<BTreeMap<&'s str, &'a Container>> {
    let mut found: BTreeMap<&'s str, &'a Container> = known.into_iter().collect();
    for role in service.containers.keys().filter(|role| known.is_none_or(|(known, _)| known != role.as_str())) {
        let mut names = BTreeSet::from([normal(role)]);
        if service.containers.len() == 1 {
            names.insert(normal(&service.name));
        }
        if let Some(migrate) = &service.migrate {
            names.extend(migrate.names.get(role).iter().flat_map(|names| &names.0).map(|name| normal(name)));
        }
        let by = |of: &dyn Fn(&Container) -> Option<String>| -> Vec<&Container> {
            seen.containers
                .iter()
                .filter(|container| of(container).is_some_and(|name| names.contains(&normal(&name))))
                .collect()
        };
        let tiers = [
            by(&|container| Some(container.name.clone())),
            by(&|container| {
                let labels = ["com.docker.compose.service", "io.podman.compose.service"];
                labels.iter().find_map(|label| container.labels.get(*label).cloned())
            }),
            by(&|container| image_name(&container.image)),
        ];
        match tiers.into_iter().find(|tier| !tier.is_empty()).unwrap_or_default().as_slice() {
            [] => {}
            [one] => drop(found.insert(role.as_str(), *one)),
            many => {
                return Err(ambiguous(
                    service,
                    from,
                    many.iter().map(|container| (describe(container), format!("container:{}", container.name))),
                ));
            }
        }
    }
    Ok(found)
}

fn by_containers(
    service: &Service,
    seen: &Seen,
    containers: &BTreeMap<&str, &Container>,
    from: &str,
) -> Result<Candidate> {
    let mut places = vec![];
    for target in service.places() {
        let mounts = containers.get(target.container).map(|container| container.mounts.as_slice()).unwrap_or_default();
        let directory = |inside: &str| {
            let covering = mounts.iter().filter(|(mounted, _)| is_below(inside, mounted));
            let (mounted, source) = covering.max_by_key(|(mounted, _)| mounted.len())?;
            let rest = inside.get(mounted.trim_end_matches('/').len()..).unwrap_or_default();
            Some(format!("{source}{rest}").trim_end_matches('/').to_owned())
        };
        let insides = std::iter::once(&target.inside).chain(&target.place.container_paths.0);
        let directories: Vec<String> = insides.filter_map(|inside| directory(inside)).collect();
        match directories.first() {
            Some(_) => {
                let why = format!("what is mounted at `{}`", target.inside);
                places.push(vec![Tier { why, directories, certain: true, ordered: true }]);
            }
            None if target.place.optional => places.push(vec![]),
            None => {
                let container = containers.get(target.container).map_or("", |container| container.name.as_str());
                let has = list(mounts.iter().map(|(inside, _)| inside.as_str()));
                return Err(Error::new(
                    ErrorKind::Failed,
                    format!("{from}: the container `{container}` mounts nothing at `{}`", target.inside),
                )
                .hint(format!("it mounts: {has}"))
                .hint(format!("`--source {}=/directory` names the directory that belongs there", service.name)));
            }
        }
    }
    // Those that use the others stop first, as the definition lists them.
    let order = service.containers.keys().filter_map(|role| containers.get(role.as_str()));
    let mut runners: Vec<Runner> = seen
        .units
        .iter()
        .filter(|unit| unit.runs_container() && service.units_elsewhere().iter().any(|name| name == unit.name()))
        .map(|unit| Runner::Unit { user: unit.user.clone(), name: unit.name().to_owned() })
        .collect();
    let mut names = vec![];
    for container in order {
        names.push(container.name.as_str());
        let runner = runner(container)?;
        if !runners.contains(&runner) {
            runners.push(runner);
        }
    }
    let superuser = containers.values().find_map(|container| container.environment.get("POSTGRES_USER").cloned());
    let main = service.containers.keys().find_map(|role| containers.get(role.as_str()));
    let version = main.and_then(|container| {
        let tag = image_tag(&container.image).filter(|tag| numbers(tag).len() > 1).map(str::to_owned);
        tag.or_else(|| container.labels.get("org.opencontainers.image.version").cloned())
    });
    Ok(Candidate {
        how: format!("{} {}", if names.len() == 1 { "container" } else { "containers" }, list(names.into_iter())),
        runners,
        by_processes: false,
        places,
        superuser,
        version,
        mounts: containers.values().flat_map(|container| container.mounts.clone()).collect(),
        maps: vec![],
    })
}

fn by_units(service: &Service, seen: &Seen, units: &[&Unit], from: &str) -> Result<Candidate> {
    let mut named: BTreeMap<&str, Vec<&Unit>> = BTreeMap::new();
    for unit in units {
        named.entry(unit.name()).or_default().push(unit);
    }
    let mut chosen = vec![];
    for same in named.values() {
        // The same name for the system and for a user: what runs is meant, if only one does.
        let active: Vec<&&Unit> = same.iter().filter(|unit| unit.active()).collect();
        match (same.as_slice(), active.as_slice()) {
            ([one], _) => chosen.push(*one),
            (_, [one]) => chosen.push(**one),
            (many, _) => {
                return Err(ambiguous(
                    service,
                    from,
                    many.iter().map(|unit| {
                        let of = unit.user.as_deref().unwrap_or("the system");
                        (format!("unit `{}` of {of}", unit.name()), "/directory".to_owned())
                    }),
                ));
            }
        }
    }
    let order = service.units_elsewhere();
    chosen.sort_by_key(|unit| order.iter().position(|name| name == unit.name()));
    let places = service.places();
    let mut tiers = vec![];
    for (at, target) in places.iter().enumerate() {
        let is_base = at == base(&places);
        let mut own = by_command(target, &chosen);
        if is_base {
            own.push(by_user(service, seen, &chosen));
        }
        own.extend(by_directory(service, target, seen, is_base));
        tiers.push(own);
    }
    Ok(Candidate {
        how: format!("unit {}", list(chosen.iter().map(|unit| unit.name()))),
        runners: chosen
            .iter()
            .map(|unit| Runner::Unit { user: unit.user.clone(), name: unit.name().to_owned() })
            .collect(),
        by_processes: false,
        places: tiers,
        superuser: None,
        version: seen.versions.get(&service.name).cloned(),
        mounts: vec![],
        maps: vec![],
    })
}

/// Whether a path is a directory or below it.
fn is_below(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "find/tests.rs"]
mod tests;

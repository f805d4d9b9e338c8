//! From where data may be to where it is, and what fills which place of the new host.

use super::super::journal::{Origin, Part, Runner};
use super::super::look::{Probed, Seen};
use super::super::source::Holder;
use super::{Candidate, ambiguous, is_below, list, runner};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;
use crate::service::model::migrate::Target;

/// The directories that have to be looked into, with their marks.
pub fn to_probe(service: &Service, candidate: &Candidate) -> Vec<(String, Vec<String>)> {
    let mut all = vec![];
    for (target, tiers) in service.places().iter().zip(&candidate.places) {
        for directory in tiers.iter().flat_map(|tier| &tier.directories) {
            all.push((directory.clone(), target.place.marks.0.clone()));
        }
    }
    all
}

/// What a place came down to: its directory there.
pub fn settle(
    service: &Service,
    candidate: &Candidate,
    probed: &[Probed],
    from: &str,
) -> Result<Option<Vec<Option<String>>>> {
    let mut rest = probed.iter();
    let mut settled = vec![];
    for (target, tiers) in service.places().iter().zip(&candidate.places) {
        let mut found: Option<String> = None;
        for tier in tiers {
            // Every directory of the tier takes its answer, also when the place is found already.
            let answers: Vec<(&String, &Probed)> =
                tier.directories.iter().zip(rest.by_ref().take(tier.directories.len())).collect();
            if found.is_some() {
                continue;
            }
            let unmarked = target.place.marks.0.is_empty();
            let mut good: Vec<&String> = answers
                .iter()
                .filter(|(_, probed)| probed.marked || unmarked)
                .filter_map(|(_, probed)| probed.real.as_ref())
                .collect();
            if tier.ordered {
                good.truncate(1);
            }
            good.sort();
            good.dedup();
            match good.as_slice() {
                [one] => found = Some((*one).clone()),
                [] if tier.certain && !target.place.optional => {
                    let named = tier.directories.first().map_or("", String::as_str);
                    let why = match answers.iter().find(|(_, probed)| probed.real.is_some()) {
                        Some(_) => format!("holds none of {}", list(target.place.marks.0.iter().map(String::as_str))),
                        None => "is not there".to_owned(),
                    };
                    return Err(Error::new(
                        ErrorKind::Failed,
                        format!("{from}: `{named}` ({}) {why}, so it is not the data of `{}`", tier.why, service.name),
                    )
                    .hint(format!("`--source {}=/directory` says where it is", service.name)));
                }
                [] => {}
                many => {
                    let found = many.iter().map(|directory| (format!("`{directory}`"), (*directory).clone()));
                    return Err(ambiguous(service, from, found));
                }
            }
        }
        if found.is_none() && !target.place.optional {
            if candidate.runners.is_empty() {
                return Ok(None);
            }
            let error = Error::new(
                ErrorKind::Failed,
                format!("{from}: the data of `{}` ({}) was not found", service.name, candidate.how),
            )
            .hint(format!("`--source {}=/directory` says where it is", service.name));
            return Err(target.place.missing.iter().fold(error, |error, hint| error.hint(hint.clone())));
        }
        settled.push(found);
    }
    Ok(Some(settled))
}

/// What else runs on the directories of a service, beside what is known. A process that belongs to nothing that could be stopped is
/// refused.
pub fn runners_of(
    service: &Service,
    seen: &Seen,
    holders: &[Holder],
    known: &[Runner],
    from: &str,
) -> Result<Vec<Runner>> {
    let mut runners = vec![];
    for holder in holders {
        let container = seen.containers.iter().find(|container| holder.cgroup.contains(&container.id));
        let unit = || {
            let (user, name) = holder.unit()?;
            let user = match user {
                None => None,
                Some(id) => Some(seen.users.iter().find(|(_, (number, _))| *number == id)?.0.clone()),
            };
            Some(Runner::Unit { user, name })
        };
        let found = match container {
            Some(container) => Some(runner(container)?),
            None => unit(),
        };
        match found {
            Some(found) if known.contains(&found) || runners.contains(&found) => {}
            Some(found) => runners.push(found),
            None => {
                return Err(Error::new(
                    ErrorKind::Failed,
                    format!(
                        "{from}: the process {} (`{}`) has files of `{}` open, and it belongs to no unit or container that could be stopped",
                        holder.pid, holder.name, service.name
                    ),
                )
                .hint("stop it by hand first, and start it again should you go back"));
            }
        }
    }
    Ok(runners)
}

/// The places of a service as they are swapped here, and what fills each.
pub fn origin(
    service: &Service,
    candidate: &Candidate,
    settled: &[Option<String>],
    from: &str,
) -> (Vec<String>, Origin) {
    let targets = service.places();
    let all: Vec<(&str, &Target<'_>, &String)> = targets
        .iter()
        .zip(settled)
        .filter_map(|(target, found)| Some((target.place.path.trim_end_matches('/'), target, found.as_ref()?)))
        .collect();
    let mut paths: Vec<String> = vec![];
    let mut places: Vec<Vec<Part>> = vec![];
    for (path, target, found) in &all {
        if all.iter().any(|(other, ..)| other != path && is_below(path, other)) {
            continue;
        }
        let part = |path: &str, target: &Target<'_>, found: &str, into: &str| Part {
            from: found.to_owned(),
            into: into.to_owned(),
            files: target.place.files.0.clone(),
            excludes: excludes(service, path),
            elsewhere: vec![],
            optional: target.place.optional,
        };
        let mut base = part(path, target, found, "");
        let mut over = vec![];
        for (below, target, found) in &all {
            let Some(rest) = below.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')) else { continue };
            // As it is here, so it is there.
            if **found == format!("{}/{rest}", base.from) {
                continue;
            }
            base.elsewhere.push(literal(rest));
            over.push(part(below, target, found, rest));
        }
        paths.push((*path).to_owned());
        places.push([base].into_iter().chain(over).collect());
    }
    let origin = Origin {
        from: from.to_owned(),
        how: candidate.how.clone(),
        places,
        runners: candidate.runners.clone(),
        superuser: candidate.superuser.clone(),
        maps: candidate.maps.clone(),
        version: candidate.version.clone(),
    };
    (paths, origin)
}

fn literal(path: &str) -> String {
    path.chars().flat_map(|c| if "*?[\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

/// What a service's backups leave out of a directory, relative to it.
fn excludes(service: &Service, path: &str) -> Vec<String> {
    let Some(backup) = &service.backup else { return vec![] };
    let mut all = vec![];
    for saved in &backup.paths.0 {
        let saved = saved.trim_end_matches('/');
        for exclude in &backup.excludes.0 {
            let whole = format!("{saved}/{}", exclude.trim_start_matches('/'));
            all.extend(whole.strip_prefix(&format!("{path}/")).map(str::to_owned));
        }
    }
    all
}

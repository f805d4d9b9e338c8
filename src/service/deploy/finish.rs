//! After the gate: back to the old units and images for what is not well, and a note on the host for what is.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::{Container, Seconds};
use super::super::observe::Observed;
use super::super::plan::Aim;
use super::super::state::{Image, State};
use super::super::{scripts, seal};
use super::Job;
use super::prepare;
use super::remote::Remote;
use super::watch;
use crate::connection::Frame;
use crate::modules::Failure;

/// Gives every service that was swapped and is not well its old units and images back.
pub(super) async fn roll_back(remote: &Remote<'_>, jobs: &mut [Job], seen: &Observed) -> Result<(), Failure> {
    let keep: BTreeSet<String> = jobs
        .iter()
        .filter(|job| job.failure.is_none())
        .flat_map(|job| job.wanted.units.keys().cloned())
        .chain(
            seen.states
                .values()
                .filter(|state| !jobs.iter().any(|job| job.name() == state.service))
                .flat_map(|state| state.units.keys().cloned()),
        )
        .collect();
    let mut stuck = BTreeSet::new();
    for job in jobs.iter_mut().filter(|job| job.failure.is_some() && !job.plan.is_empty()) {
        if !job.swapped && !job.stopped {
            continue;
        }
        let outcome = match back(remote, job, seen, &keep).await {
            Ok(text) => text,
            Err(failure) => {
                stuck.insert(job.name().to_owned());
                format!("going back failed as well: {}", failure.msg)
            }
        };
        if let Some(why) = &mut job.failure {
            why.push('\n');
            why.push_str(&outcome);
        }
    }
    let unused = abandoned_secrets(jobs, seen, &stuck);
    if !unused.is_empty() {
        remote.must("remove the secrets of what failed", Frame::new(scripts::remove_secrets(&unused))).await?;
    }
    Ok(())
}

/// Secrets that were made for services that failed and that no unit names. Those in `stuck` may still have their new units.
fn abandoned_secrets<'a>(jobs: &'a [Job], seen: &Observed, stuck: &BTreeSet<String>) -> BTreeSet<&'a String> {
    let new = jobs.iter().filter(|job| job.failure.is_none() || stuck.contains(job.name()));
    let new = new.flat_map(|job| job.wanted.units.values());
    let used: BTreeSet<&str> = seen.units.values().chain(new).flat_map(|text| secret_names(text)).collect();
    let failed = jobs.iter().filter(|job| job.failure.is_some());
    failed.flat_map(|job| &job.plan.secrets).filter(|name| !used.contains(name.as_str())).collect()
}

async fn back(remote: &Remote<'_>, job: &Job, seen: &Observed, keep: &BTreeSet<String>) -> Result<String, Failure> {
    let mut swap = scripts::Swap { reload: true, ..scripts::Swap::default() };
    for file in job.plan.touched() {
        match seen.units.get(file) {
            Some(old) => {
                swap.write.insert(file.clone(), old.clone());
            }
            None if keep.contains(file) => {}
            None => {
                swap.remove.insert(file);
            }
        }
    }
    let existed = |name: &&String| seen.units.contains_key(&format!("{name}.container"));
    let ran = |name: &&String| seen.services.get(&prepare::service_of(name)).is_some_and(|it| it.active == "active");
    swap.stop = job.plan.restart.iter().filter(|name| !existed(name)).collect();
    swap.restart = job.plan.restart.iter().chain(&job.plan.stop).filter(existed).filter(ran).collect();
    // Old containers that were stopped before stay stopped.
    let idle: Vec<_> = job.plan.restart.iter().filter(existed).filter(|name| !ran(name)).collect();
    swap.stop.extend(idle);

    if !job.swapped {
        // Only its settings were touched, and the containers they belong to stopped.
        swap = scripts::Swap { restart: swap.restart, ..scripts::Swap::default() };
        let stopped = prepare::settings_of(job);
        swap.restart.retain(|name| stopped.contains(*name));
    }
    // A service with the wrong settings is better than none.
    let lost =
        restore_settings(remote, job).await.err().map(|failure| format!("; {}", failure.msg)).unwrap_or_default();
    let moved = moved_images(remote, job, seen).await?;
    if !moved.is_empty() {
        remote.must("give the old images their names back", Frame::new(scripts::retag(&moved))).await?;
    }
    remote.host.progress(&format!("{}: going back to the old units", job.name()));
    let restarted: BTreeMap<String, (bool, u64)> = swap
        .restart
        .iter()
        .map(|name| {
            let container = job.wanted.service.containers.get(*name);
            let checked = seen.containers.get(*name).is_some_and(|running| running.health.is_some());
            ((*name).clone(), (checked, container.map_or(Seconds(60), Container::start_timeout).0))
        })
        .collect();
    remote.must("put the old units back", Frame::new(scripts::swap(&swap))).await?;
    if restarted.is_empty() {
        let what = if job.wanted.service.containers.keys().any(|name| existed(&name)) {
            "the old units are back; it was not running before either"
        } else {
            "it was new, so it was taken away again; its data stays"
        };
        return Ok(format!("{what}{lost}"));
    }
    let failures = watch::settle(remote, restarted).await?;
    Ok(match failures.as_slice() {
        [] => format!("rolled back: the old version is running and well{lost}"),
        many => {
            let lines: Vec<_> = many.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
            format!("rolled back, but the old version is not well either: {}{lost}", lines.join("; "))
        }
    })
}

/// Puts back what stood in INI files. The application must not run meanwhile: it writes them when it stops.
async fn restore_settings(remote: &Remote<'_>, job: &Job) -> Result<(), Failure> {
    let changed: Vec<_> = job.settings.iter().filter(|(_, before)| !before.is_empty()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    remote.run(Frame::new(scripts::stop(&prepare::settings_of(job)))).await?;
    for (path, before) in changed {
        let frame = Frame { stdin: Some(before.clone().into_bytes()), ..Frame::new(scripts::write_file(path)) };
        remote.must(&format!("put back {path}"), frame).await?;
    }
    Ok(())
}

/// Names of images that mean other content than before: name → old content.
async fn moved_images(remote: &Remote<'_>, job: &Job, seen: &Observed) -> Result<BTreeMap<String, String>, Failure> {
    let old: BTreeMap<String, String> = job
        .wanted
        .service
        .containers
        .iter()
        .filter_map(|(name, container)| {
            let running = seen.containers.get(name)?;
            let same = running.image == container.image && !running.image_id.is_empty() && !running.image.contains('@');
            same.then(|| (running.image.clone(), running.image_id.clone()))
        })
        .collect();
    let now = prepare::ids(remote, &old.keys().cloned().collect()).await?;
    Ok(old.into_iter().filter(|(image, id)| now.get(image).is_some_and(|now| now != id)).collect())
}

/// Notes what is well, and forgets secrets that nothing uses any longer.
pub(super) async fn remember(remote: &Remote<'_>, jobs: &[Job], seen: &Observed, aim: Aim) -> Result<(), Failure> {
    let done: Vec<_> = jobs.iter().filter(|job| job.active()).collect();
    if done.is_empty() {
        return Ok(());
    }
    let mut states = BTreeMap::new();
    if aim == Aim::Absent {
        states.extend(done.iter().map(|job| (job.name().to_owned(), None)));
    } else {
        let containers = || done.iter().flat_map(|job| job.wanted.service.containers.values());
        let ids = prepare::ids(remote, &containers().map(|container| container.image.clone()).collect()).await?;
        states.extend(done.iter().map(|job| (job.name().to_owned(), Some(state_of(job, &ids).to_text()))));
    }
    let unused = unused_secrets(jobs, seen);
    remote.must("note what was deployed", Frame::new(scripts::remember(&states, &unused))).await.map(drop)
}

fn state_of(job: &Job, ids: &BTreeMap<String, String>) -> State {
    let images = job.wanted.service.containers.iter().map(|(name, container)| {
        let id = ids.get(&container.image).cloned().unwrap_or_default();
        (name.clone(), Image { reference: container.image.clone(), id })
    });
    let units = job.wanted.units.iter().map(|(file, text)| (file.clone(), seal::sha256(text.as_bytes())));
    State { service: job.name().to_owned(), units: units.collect(), images: images.collect() }
}

/// Secrets of the services that are well whose marks no unit on the host names any longer.
fn unused_secrets(jobs: &[Job], seen: &Observed) -> Vec<String> {
    let mut texts: BTreeMap<&String, &String> = seen.units.iter().collect();
    let mut ours: BTreeSet<&str> = BTreeSet::new();
    for job in jobs.iter().filter(|job| job.active()) {
        for file in job.plan.touched() {
            let old = seen.units.get(file).into_iter().flat_map(|text| secret_names(text));
            ours.extend(old.filter_map(seal::secret_of));
            texts.remove(file);
        }
        texts.extend(&job.plan.write);
        ours.extend(job.wanted.secrets.keys().filter_map(|name| seal::secret_of(name)));
    }
    let used: BTreeSet<&str> = texts.values().flat_map(|text| secret_names(text)).collect();
    let unused =
        |name: &&String| seal::secret_of(name).is_some_and(|base| ours.contains(base)) && !used.contains(name.as_str());
    seen.secrets.iter().filter(unused).cloned().collect()
}

fn secret_names(unit: &str) -> impl Iterator<Item = &str> {
    unit.lines().filter_map(|line| line.strip_prefix("Secret=")).filter_map(|value| value.split(',').next())
}

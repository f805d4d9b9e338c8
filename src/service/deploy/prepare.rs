//! Everything that can be done, and can go wrong, before anything that runs is touched.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

use super::super::observe::{self, Observed, Question};
use super::super::{ini, plan, quadlet, scripts, seal};
use super::Job;
use super::remote::Remote;
use crate::connection::Frame;
use crate::modules::Failure;
use crate::size;

/// The user's service manager runs, now and after a reboot.
pub(super) async fn wake(remote: &Remote<'_>, seen: &Observed) -> Result<(), Failure> {
    if seen.bus && seen.linger {
        return Ok(());
    }
    let what = format!("start the service manager of `{}`", remote.user);
    remote.must_as_task(&what, scripts::wake(remote.user)).await.map(drop)
}

/// Directories exist. Those of the containers' user are made by it, because root is nobody on most NFS servers.
pub(super) async fn directories(remote: &Remote<'_>, jobs: &mut [Job]) -> Result<(), Failure> {
    for job in jobs.iter_mut() {
        for directory in job.plan.directories.clone() {
            let what = format!("make the directory {}", directory.path);
            let own = directory.owner.as_ref().is_none_or(|owner| owner.0 == remote.user);
            let mut done = Err(Failure::default());
            if own {
                done = remote.must(&what, Frame::new(scripts::directory(&directory, None))).await;
            }
            if done.is_err() {
                let owner = directory.owner.as_ref().map_or(remote.user, |owner| &owner.0);
                done = remote.must_as_task(&what, scripts::directory(&directory, Some(owner))).await;
            }
            if let Err(failure) = done {
                job.failure = Some(failure.msg);
                break;
            }
        }
    }
    Ok(())
}

/// The host's own generator makes every unit of the staged files; a service with one that does not come out goes no further.
pub(super) async fn rehearse(remote: &Remote<'_>, jobs: &mut [Job]) -> Result<(), Failure> {
    let staged: BTreeMap<String, String> = jobs
        .iter()
        .filter(|job| job.active() && !job.plan.write.is_empty())
        .flat_map(|job| job.wanted.units.clone())
        .collect();
    if staged.is_empty() {
        return Ok(());
    }
    remote.host.progress("checking the units with the host's Quadlet generator");
    let answer = remote.must("run the Quadlet generator", Frame::new(scripts::rehearse(&staged))).await?;
    let (stdout, stderr) = (answer.stdout_text(), answer.stderr_text());
    let made = generated(&stdout);
    for job in jobs.iter_mut().filter(|job| job.active() && !job.plan.write.is_empty()) {
        let missing: Vec<_> = plan::expected(job.wanted.units.keys()).difference(&made).cloned().collect();
        if !missing.is_empty() {
            let mut why = format!("the host's Quadlet generator does not make {}", missing.join(", "));
            for line in complaints(&stderr, job.wanted.units.keys()) {
                why.push_str(&format!("\n  {line}"));
            }
            why.push_str("\nnothing was changed");
            job.failure = Some(why);
        }
    }
    Ok(())
}

/// The units a dry run printed.
pub(in super::super) fn generated(stdout: &str) -> BTreeSet<String> {
    let name = |line: &str| line.strip_prefix("---")?.strip_suffix("---").map(str::to_owned);
    stdout.lines().filter_map(name).collect()
}

/// The generator's lines about these files, without the program's name and the chatter.
fn complaints<'a>(stderr: &'a str, files: impl Iterator<Item = &'a String> + Clone) -> Vec<&'a str> {
    let text = |line: &'a str| match line.split_once("]: ") {
        Some((program, text)) if program.starts_with("quadlet-generator[") => text,
        _ => line,
    };
    let about = |line: &&str| {
        !line.starts_with("Loading source unit") && files.clone().any(|file| line.contains(file.as_str()))
    };
    stderr.lines().map(text).filter(about).collect()
}

/// Every image that is about to be used is on the host. With `newer`, registries are asked for all of them, and a container
/// whose image has new content is started anew.
pub(super) async fn images(remote: &Remote<'_>, jobs: &mut [Job], seen: &Observed, newer: bool) -> Result<(), Failure> {
    let needed = |job: &Job| -> BTreeSet<String> {
        let containers = job.wanted.service.containers.iter();
        let used = containers.filter(|(name, _)| newer || job.plan.restart.contains(*name));
        used.map(|(_, container)| container.image.clone()).collect()
    };
    let going = |job: &&Job| job.failure.is_none() && (newer || job.active());
    let images: BTreeSet<String> = jobs.iter().filter(going).flat_map(needed).collect();
    if images.is_empty() {
        return Ok(());
    }
    let there = ids(remote, &images).await?;
    let pull: BTreeSet<_> = images.iter().filter(|image| newer || !there.contains_key(*image)).cloned().collect();
    let failed = match no_room(remote, &pull).await? {
        Some(why) => pull.into_iter().map(|image| (image, why.clone())).collect(),
        None => pull_all(remote, &pull).await?,
    };
    for job in jobs.iter_mut().filter(|job| job.failure.is_none()) {
        // A registry that is down does not stop a service whose image is here.
        let lost = needed(job).into_iter().find_map(|image| failed.get(&image).map(|why| (image, why)));
        if let Some((image, why)) = lost {
            job.failure = Some(format!("cannot pull `{image}`: {why}\nnothing was changed"));
        }
    }
    if newer {
        let now = ids(remote, &images).await?;
        jobs.iter_mut().filter(|job| job.failure.is_none()).for_each(|job| note_newer(job, seen, &now));
    }
    Ok(())
}

fn note_newer(job: &mut Job, seen: &Observed, now: &BTreeMap<String, String>) {
    let containers = job.wanted.service.containers.clone();
    for (name, container) in &containers {
        let running = seen.containers.get(name).filter(|running| !running.image_id.is_empty());
        let (Some(running), Some(id)) = (running, now.get(&container.image)) else { continue };
        if running.image_id != *id && !job.plan.restart.contains(name) {
            let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
            let why = format!("image {}: {} → {}", container.image, short(&running.image_id), short(id));
            job.plan.restart(name, containers.len() == 1, [why]);
        }
    }
}

pub(super) async fn ids(remote: &Remote<'_>, images: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Failure> {
    let answer = remote.probe(scripts::image_ids(images)).await?;
    let text = answer.stdout_text();
    let pairs = text.lines().filter_map(|line| line.split_once('|')).filter(|(_, id)| !id.is_empty());
    Ok(pairs.map(|(image, id)| (image.to_owned(), id.trim_start_matches("sha256:").to_owned())).collect())
}

/// Less than so many bytes free, and nothing is pulled: sizes are not known before, and a full disk harms what runs on it.
const ROOM: u64 = 512_000_000;

/// Why images cannot be pulled, when the disk they go to is nearly full.
async fn no_room(remote: &Remote<'_>, images: &BTreeSet<String>) -> Result<Option<String>, Failure> {
    if images.is_empty() {
        return Ok(None);
    }
    // What Podman cannot tell here, it says when it pulls.
    let answer = remote.probe(scripts::room()).await?;
    Ok(too_little(&answer.stdout_text()))
}

fn too_little(answer: &str) -> Option<String> {
    let (store, free) = answer.trim().split_once('\n')?;
    let free = free.trim().parse::<u64>().ok()?.saturating_mul(1024);
    (free < ROOM).then(|| {
        format!(
            "only {} are free in {store}, and at least {} must be; `podman image prune --all` as the containers' \
             user removes the images that nothing uses",
            size::human(free),
            size::human(ROOM)
        )
    })
}

/// Pulls images and says which could not be pulled, and why.
async fn pull_all(remote: &Remote<'_>, images: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Failure> {
    if images.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (sender, mut lines) = mpsc::unbounded_channel();
    let frame = Frame { live: Some(sender), ..Frame::new(scripts::pull(images)) };
    let mut run = std::pin::pin!(remote.run(frame));
    let answer = loop {
        tokio::select! {
            answer = &mut run => break answer?,
            Some(line) = lines.recv() => {
                if !line.starts_with('@') {
                    remote.host.progress(&format!("pulling {line}"));
                }
            }
        }
    };
    let text = answer.stdout_text();
    let pulled: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("@pulled ")).collect();
    let why = |image: &str| {
        let own = |line: &str| line.strip_prefix(image)?.strip_prefix(": ").map(str::to_owned);
        text.lines().rev().find_map(own).unwrap_or_else(|| "it ended without a message".to_owned())
    };
    let lost = images.iter().filter(|image| !pulled.contains(image.as_str()));
    Ok(lost.map(|image| (image.clone(), why(image))).collect())
}

/// Every image is ready for the user namespace of its containers. Podman copies it for each namespace of its own, which takes long for
/// a large one, holds up every other command of Podman meanwhile (podman issue 25213), and damages its storage when several
/// containers that start at once ask for it. So it happens here, while the old containers still run.
pub(super) async fn namespaces(remote: &Remote<'_>, jobs: &mut [Job]) -> Result<(), Failure> {
    let needed = |job: &Job| -> BTreeSet<(String, String)> {
        let containers = job.wanted.service.containers.iter().filter(|(name, _)| job.plan.restart.contains(*name));
        containers.filter_map(|(_, container)| Some((container.image.clone(), container.userns.clone()?))).collect()
    };
    let wanted: BTreeSet<_> = jobs.iter().filter(|job| job.active()).flat_map(needed).collect();
    let wanted: Vec<_> =
        wanted.into_iter().filter(|(_, userns)| userns != "host" && !userns.starts_with("auto")).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    remote.host.progress("preparing the images for their user namespaces");
    let answer = remote.run(Frame::new(scripts::map_images(&wanted))).await?;
    let text = answer.stdout_text();
    for (index, pair) in wanted.iter().enumerate() {
        if text.lines().any(|line| line == format!("@mapped {index}")) {
            continue;
        }
        let own = |line: &str| line.strip_prefix(&format!("{index}: ")).map(str::to_owned);
        let why = text.lines().rev().find_map(own).unwrap_or_else(|| "it ended without a message".to_owned());
        let (image, userns) = pair;
        for job in jobs.iter_mut().filter(|job| job.active() && needed(job).contains(pair)) {
            job.failure = Some(format!("cannot prepare `{image}` for `userns: {userns}`: {why}\nnothing was changed"));
        }
    }
    Ok(())
}

/// New values are new secrets, so the ones in use stay as they are.
pub(super) async fn secrets(remote: &Remote<'_>, jobs: &mut [Job], seen: &Observed, salt: &str) -> Result<(), Failure> {
    let any = jobs.iter().any(|job| job.active() && !job.plan.secrets.is_empty());
    if any && seen.salt.is_none() {
        remote.must("keep the salt of secret names", Frame::new(scripts::keep_salt(salt))).await?;
    }
    let mut made = BTreeSet::new();
    for job in jobs.iter_mut().filter(|job| job.active()) {
        for name in &job.plan.secrets {
            let Some(value) = job.wanted.secrets.get(name) else { continue };
            if !made.insert(name.clone()) {
                continue;
            }
            let frame = Frame { stdin: Some(value.clone().into_bytes()), ..Frame::new(scripts::make_secret(name)) };
            let shown = seal::secret_of(name).unwrap_or(name);
            if let Err(failure) = remote.must(&format!("make the secret {shown}"), frame).await {
                job.failure = Some(failure.msg);
                break;
            }
        }
    }
    Ok(())
}

/// Applications write their INI files when they stop, so they are stopped first and the file is read again.
pub(super) async fn settings(remote: &Remote<'_>, jobs: &mut [Job]) -> Result<(), Failure> {
    for job in jobs.iter_mut().filter(|job| job.active() && !job.plan.ini.is_empty()) {
        if let Err(failure) = set_settings(remote, job).await {
            job.failure = Some(failure.msg);
        }
    }
    Ok(())
}

async fn set_settings(remote: &Remote<'_>, job: &mut Job) -> Result<(), Failure> {
    let ini = job.wanted.service.ini.iter();
    let files: Vec<_> = ini.filter(|file| job.plan.ini.contains(&file.path)).cloned().collect();
    let containers = settings_of(job);
    job.stopped = true;
    let answer = remote.run(Frame::new(scripts::stop(&containers))).await?;
    // 5: systemd does not know the unit yet.
    if answer.rc != 0 && answer.rc != 5 {
        return Err(Failure::of_answer("cannot stop the service to change its settings", &answer));
    }
    let question = Question { files: files.iter().map(|file| file.path.clone()).collect(), ..Question::default() };
    let answer = remote.probe(observe::script(&question)).await?;
    if !answer.ok() {
        return Err(Failure::of_answer("cannot read the settings", &answer));
    }
    let seen = observe::parse(&answer.stdout);
    if let Some(path) = seen.unreadable.first() {
        return Err(Failure::new(plan::unreadable(path)));
    }
    for file in files {
        let before = seen.files.get(&file.path).map_or("", String::as_str);
        let content = ini::set(before, &file.sections).into_bytes();
        let frame = Frame { stdin: Some(content), ..Frame::new(scripts::write_file(&file.path)) };
        // It is replaced as a whole, so one that could not be written is as it was.
        remote.must(&format!("write {}", file.path), frame).await?;
        job.settings.push((file.path.clone(), before.to_owned()));
    }
    Ok(())
}

/// The containers whose settings change.
pub(super) fn settings_of(job: &Job) -> BTreeSet<String> {
    let first = job.wanted.service.containers.keys().next();
    let files = job.wanted.service.ini.iter().filter(|file| job.plan.ini.contains(&file.path));
    files.filter_map(|file| file.container.as_ref().or(first)).cloned().collect()
}

/// The services of unit files, as the generator names them.
pub(super) fn service_of(container: &str) -> String {
    quadlet::service_name(&format!("{container}.container"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_to_fill_the_disk() {
        let told = too_little("/srv/my store\n400000\n").unwrap_or_default();
        assert!(told.starts_with("only 409.6 MB are free in /srv/my store, and at least 512.0 MB must be"), "{told}");
        assert_eq!(too_little("/srv/store\n500000\n"), None);
        assert_eq!(too_little(""), None);
        assert_eq!(too_little("/srv/store\n-\n"), None);
    }

    #[test]
    fn reads_a_dry_run() {
        let made = generated("---a.service---\n[Unit]\nX=---b.service---\n\n---mms-network.service---\n");
        assert_eq!(made.into_iter().collect::<Vec<_>>(), ["a.service", "mms-network.service"]);
        let stderr = "quadlet-generator[9]: Loading source unit file /s/a.container\n\
                      quadlet-generator[9]: converting \"a.container\": unsupported key 'X'\nconverting \"b.container\": no\n";
        let files = ["a.container".to_owned()];
        assert_eq!(complaints(stderr, files.iter()), ["converting \"a.container\": unsupported key 'X'"]);
    }
}

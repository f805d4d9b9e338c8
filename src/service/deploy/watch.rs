//! The swap, and the wait until everything that was started is well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::gate::{self, Verdict};
use super::super::observe::{self, Observed};
use super::super::plan::Aim;
use super::super::scripts;
use super::Job;
use super::prepare::service_of;
use super::remote::Remote;
use crate::connection::Frame;
use crate::modules::Failure;

/// Puts the new units in place and queues the start jobs: one reload for all services.
pub(super) async fn swap(remote: &Remote<'_>, jobs: &mut [Job], aim: Aim) -> Result<(), Failure> {
    let mut swap = scripts::Swap::default();
    // A network that one service leaves may be one that another one joins.
    let wanted: BTreeSet<&String> = if aim == Aim::Absent {
        BTreeSet::new()
    } else {
        jobs.iter().flat_map(|job| job.wanted.units.keys()).collect()
    };
    for job in jobs.iter().filter(|job| job.active()) {
        swap.write.extend(job.plan.write.clone());
        swap.remove.extend(job.plan.remove.iter().filter(|file| !wanted.contains(file)));
        swap.stop.extend(&job.plan.stop);
        swap.restart.extend(&job.plan.restart);
        swap.reload |= job.plan.reload;
    }
    if swap.write.is_empty() && swap.remove.is_empty() && swap.restart.is_empty() && !swap.reload {
        return Ok(());
    }
    let done = remote.must("put the units in place", Frame::new(scripts::swap(&swap))).await;
    for job in jobs.iter_mut().filter(|job| job.active()) {
        job.swapped = true;
        // Half a swap is undone like a whole one.
        job.failure = done.as_ref().err().map(|failure| failure.msg.clone());
    }
    Ok(())
}

/// A container that is being watched.
struct Watch {
    job: usize,
    container: String,
    checked: bool,
    patience: Duration,
    /// When its own time began: when it was no longer waiting for others.
    since: Option<Instant>,
    /// When it was first seen up.
    up: Option<Instant>,
}

/// Waits until every container that was started is well, or not. Failures go into the jobs, with the last lines of the journal.
pub(super) async fn gate(remote: &Remote<'_>, jobs: &mut [Job], seen: &Observed) -> Result<(), Failure> {
    let mut watched = vec![];
    for (at, job) in jobs.iter().enumerate().filter(|(_, job)| job.active()) {
        for name in &job.plan.restart {
            let Some(container) = job.wanted.service.containers.get(name) else { continue };
            watched.push(Watch {
                job: at,
                container: name.clone(),
                checked: container.health.is_some(),
                patience: Duration::from_secs(container.start_timeout().0),
                since: None,
                up: None,
            });
        }
    }
    let began = Instant::now();
    let failures = watch(remote, watched, |watch| {
        let ran = seen.services.get(&service_of(&watch.container)).is_some_and(|activity| activity.active == "active");
        if let Some(job) = jobs.get_mut(watch.job).filter(|_| ran) {
            job.downtime.insert(watch.container.clone(), began.elapsed().as_secs_f64());
        }
    })
    .await?;
    for (watch, why) in failures {
        let words = last_words(remote, &watch.container, seen.uid).await;
        let Some(job) = jobs.get_mut(watch.job) else { continue };
        let text = format!("`{}` is not well: {why}{words}", watch.container);
        job.failure = Some(match job.failure.take() {
            Some(earlier) => format!("{earlier}\n{text}"),
            None => text,
        });
    }
    Ok(())
}

/// Waits for containers that were started to go back to; says which are not well.
pub(super) async fn settle(
    remote: &Remote<'_>,
    containers: BTreeMap<String, (bool, u64)>,
) -> Result<Vec<(String, String)>, Failure> {
    let watched = containers.into_iter().map(|(container, (checked, seconds))| Watch {
        job: 0,
        container,
        checked,
        patience: Duration::from_secs(seconds),
        since: None,
        up: None,
    });
    let failures = watch(remote, watched.collect(), |_| {}).await?;
    Ok(failures.into_iter().map(|(watch, why)| (watch.container, why)).collect())
}

async fn watch(
    remote: &Remote<'_>,
    mut watched: Vec<Watch>,
    mut well: impl FnMut(&Watch),
) -> Result<Vec<(Watch, String)>, Failure> {
    let mut failures = vec![];
    let began = Instant::now();
    let limit = watched.iter().fold(Duration::from_secs(60), |sum, watch| sum.saturating_add(watch.patience));
    // The host waits, so that what became well is seen at once.
    let mut wait = Duration::ZERO;
    while !watched.is_empty() {
        let services: Vec<_> = watched.iter().map(|watch| service_of(&watch.container)).collect();
        let answer = remote.probe(observe::live_script(&services, wait)).await?;
        wait = gate::LOOK;
        let now = observe::parse(&answer.stdout);
        let mut left = vec![];
        for mut watch in watched {
            let verdict = verdict(&watch, &now);
            match step(&mut watch, verdict, began.elapsed() > limit) {
                Some(Ok(())) => well(&watch),
                Some(Err(why)) => failures.push((watch, why)),
                None => left.push(watch),
            }
        }
        watched = left;
        if !watched.is_empty() {
            remote.host.progress(&waiting(&watched));
        }
    }
    Ok(failures)
}

/// How a container is doing. What is not known for a moment is not taken for bad: it is asked again.
fn verdict(watch: &Watch, now: &Observed) -> Verdict {
    if now.silent.contains("systemd") {
        return Verdict::Unknown("systemd");
    }
    let activity = now.services.get(&service_of(&watch.container));
    match gate::judge(activity, now.containers.get(&watch.container), watch.checked) {
        Verdict::Starting if watch.checked && now.silent.contains("podman") => Verdict::Unknown("Podman"),
        verdict => verdict,
    }
}

/// What a verdict means after the time that has passed; nothing while it is still open.
fn step(watch: &mut Watch, verdict: Verdict, late: bool) -> Option<Result<(), String>> {
    if verdict != Verdict::Queued {
        watch.since.get_or_insert_with(Instant::now);
    }
    if verdict != Verdict::Up {
        watch.up = None;
    }
    let open = match verdict {
        Verdict::Well => return Some(Ok(())),
        Verdict::Failed(why) => return Some(Err(why)),
        Verdict::Up => {
            let up = watch.up.get_or_insert_with(Instant::now);
            return (up.elapsed() >= gate::SETTLE).then_some(Ok(()));
        }
        Verdict::Unknown(who) => format!("{who} did not say how it is"),
        Verdict::Queued | Verdict::Starting if watch.checked => "its health check did not succeed".to_owned(),
        Verdict::Queued | Verdict::Starting => "it did not come up".to_owned(),
    };
    let waited = watch.since.map(|since| since.elapsed()).unwrap_or_default();
    (waited > watch.patience || late).then(|| Err(format!("{open} within {} s", watch.patience.as_secs())))
}

fn waiting(watched: &[Watch]) -> String {
    let names: Vec<_> = watched.iter().map(|watch| watch.container.as_str()).collect();
    let longest = watched.iter().map(|watch| watch.patience.as_secs()).max().unwrap_or_default();
    format!("waiting for {} to be well (up to {longest} s)", names.join(", "))
}

/// What a container that is not well said: its last health check and its last lines. Empty when there is nothing.
pub(super) async fn last_words(remote: &Remote<'_>, container: &str, uid: u32) -> String {
    let mut words = String::new();
    let check = remote.probe(scripts::last_check(container)).await;
    let check = check.map(|answer| answer.stdout_text().trim().to_owned()).unwrap_or_default();
    if !check.is_empty() {
        words.push_str(&format!("\nits last health check: {check}"));
    }
    let script = scripts::journal(container, uid, 30, remote.root);
    let answer = if remote.root { remote.host.probe(Frame::new(script)).await } else { remote.probe(script).await };
    let text = answer.map(|answer| answer.stdout_text().into_owned()).unwrap_or_default();
    if !text.trim().is_empty() {
        words.push_str("\nits last lines:");
        text.lines().filter(|line| !line.trim().is_empty()).for_each(|line| words.push_str(&format!("\n  │ {line}")));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::super::observe::{Activity, Running, Wellness};
    use super::*;

    fn watch(checked: bool, patience: Duration) -> Watch {
        Watch { job: 0, container: "app".into(), checked, patience, since: None, up: None }
    }

    fn seen(silent: &[&str]) -> Observed {
        let mut seen = Observed { silent: silent.iter().map(|who| (*who).to_owned()).collect(), ..Observed::default() };
        if !silent.contains(&"systemd") {
            let active = Activity { load: "loaded".into(), active: "active".into(), ..Activity::default() };
            seen.services.insert("app.service".into(), active);
        }
        if !silent.contains(&"podman") {
            let healthy = Running { health: Some(Wellness::Healthy), ..Running::default() };
            seen.containers.insert("app".into(), healthy);
        }
        seen
    }

    #[test]
    fn who_does_not_answer_is_asked_again_and_named_in_the_end() {
        let mut checked = watch(true, Duration::from_secs(60));
        assert_eq!(verdict(&checked, &seen(&["systemd"])), Verdict::Unknown("systemd"));
        assert_eq!(verdict(&checked, &seen(&["podman"])), Verdict::Unknown("Podman"));
        assert_eq!(verdict(&checked, &seen(&[])), Verdict::Well);
        assert_eq!(verdict(&watch(false, Duration::ZERO), &seen(&["podman"])), Verdict::Up);

        assert_eq!(step(&mut checked, Verdict::Unknown("systemd"), false), None);
        assert_eq!(step(&mut checked, Verdict::Well, false), Some(Ok(())));
        let told = "systemd did not say how it is within 60 s".to_owned();
        assert_eq!(step(&mut checked, Verdict::Unknown("systemd"), true), Some(Err(told)));
    }
}

//! The health gate: whether a container that was just started is well. Pure; [`super::deploy`] asks the host again and again.
//!
//! The start job, the count of restarts and the health check decide. A unit with `Restart=always` is hardly ever `failed`, so
//! that alone would let a crashing container through.

use std::time::Duration;

use super::observe::{Activity, Running, Wellness};

/// How long a container without a health check must stay up to count as well.
pub const SETTLE: Duration = Duration::from_secs(3);
/// Time between two looks while nothing changes.
pub const LOOK: Duration = Duration::from_millis(700);

/// How a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its turn has not come: it waits for others.
    Queued,
    /// On its way.
    Starting,
    /// Up; without a health check it must stay so for [`SETTLE`].
    Up,
    /// Who would have to say it does not answer: systemd or Podman.
    Unknown(&'static str),
    /// Well.
    Well,
    /// Not well, and why.
    Failed(String),
}

/// Judges one look at a container. `checked` says whether it has a health check.
pub fn judge(activity: Option<&Activity>, running: Option<&Running>, checked: bool) -> Verdict {
    let Some(activity) = activity else { return Verdict::Failed("systemd does not know its unit".to_owned()) };
    if activity.load == "not-found" || activity.load == "bad-setting" || activity.load == "error" {
        return Verdict::Failed(format!("systemd cannot load its unit ({})", activity.load));
    }
    if activity.restarts > 0 {
        return Verdict::Failed(format!("it ended and systemd restarted it ({})", ending(activity)));
    }
    let health = running.and_then(|running| running.health);
    match activity.active.as_str() {
        "failed" => Verdict::Failed(match activity.result.as_str() {
            "timeout" => "it did not become well in time".to_owned(),
            _ => format!("it did not start ({})", ending(activity)),
        }),
        "activating" | "deactivating" if activity.sub == "auto-restart" && !activity.job => {
            Verdict::Failed(format!("it ended ({})", ending(activity)))
        }
        "active" if !activity.job => match (checked, health) {
            (false, _) => Verdict::Up,
            (true, Some(Wellness::Healthy)) => Verdict::Well,
            (true, Some(Wellness::Unhealthy)) => Verdict::Failed("its health check fails".to_owned()),
            (true, _) => Verdict::Starting,
        },
        "activating" if checked && health == Some(Wellness::Unhealthy) => {
            Verdict::Failed("its health check fails".to_owned())
        }
        "inactive" if activity.job => Verdict::Queued,
        "inactive" => Verdict::Failed("it was not started, because something it requires did not start".to_owned()),
        _ => Verdict::Starting,
    }
}

fn ending(activity: &Activity) -> &str {
    match activity.result.as_str() {
        "" | "success" => "it exited by itself",
        "exit-code" => "it exited with an error",
        "signal" => "it was killed by a signal",
        "oom-kill" => "it ran out of memory",
        "protocol" => "it never reported that it is ready",
        "timeout" => "it took too long",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(active: &str, sub: &str) -> Activity {
        Activity { load: "loaded".into(), active: active.into(), sub: sub.into(), ..Activity::default() }
    }

    fn running(health: Option<Wellness>) -> Running {
        Running { state: "running".into(), health, ..Running::default() }
    }

    #[test]
    fn a_crash_loop_is_a_failure_although_systemd_says_activating() {
        let looping = Activity { restarts: 1, result: "exit-code".into(), ..activity("activating", "start") };
        assert!(matches!(judge(Some(&looping), None, false), Verdict::Failed(why) if why.contains("with an error")));
        assert!(matches!(judge(Some(&activity("activating", "auto-restart")), None, true), Verdict::Failed(_)));
    }

    #[test]
    fn well_needs_the_health_check_and_the_end_of_the_job() {
        let up = activity("active", "running");
        assert_eq!(judge(Some(&up), Some(&running(Some(Wellness::Healthy))), true), Verdict::Well);
        assert_eq!(judge(Some(&up), Some(&running(Some(Wellness::Starting))), true), Verdict::Starting);
        assert_eq!(judge(Some(&up), None, true), Verdict::Starting);
        assert_eq!(judge(Some(&up), Some(&running(None)), false), Verdict::Up);
        let old = Activity { job: true, ..up };
        assert_eq!(judge(Some(&old), Some(&running(Some(Wellness::Healthy))), true), Verdict::Starting);
    }

    #[test]
    fn waits_for_its_turn_but_not_for_ever() {
        let queued = Activity { job: true, ..activity("inactive", "dead") };
        assert_eq!(judge(Some(&queued), None, true), Verdict::Queued);
        assert!(matches!(judge(Some(&activity("inactive", "dead")), None, true), Verdict::Failed(_)));
        assert!(matches!(judge(None, None, true), Verdict::Failed(_)));
    }

    #[test]
    fn an_unhealthy_container_fails_before_systemd_gives_up() {
        let starting = activity("activating", "start");
        let sick = running(Some(Wellness::Unhealthy));
        assert!(matches!(judge(Some(&starting), Some(&sick), true), Verdict::Failed(_)));
        let late = Activity { result: "timeout".into(), ..activity("failed", "failed") };
        assert_eq!(judge(Some(&late), None, true), Verdict::Failed("it did not become well in time".to_owned()));
    }
}

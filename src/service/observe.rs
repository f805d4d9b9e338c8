//! Seeing what is on a host: one read-only script for everything a deploy or a status needs, and its answer as types.
//!
//! The script runs as the user of the containers. Its answer is a list of records, `@kind length name` and that many bytes,
//! so that no content can be taken for another record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::state::State;
use super::version::Version;
use crate::sh;

/// Where Quadlet finds units of a user, below the home directory.
pub const UNITS: &str = ".config/containers/systemd";
/// Where mms keeps its own files, below the home directory.
pub const STATE: &str = ".local/state/mms";

/// What is asked about beside units, containers and secrets.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// systemd services that may have no unit file yet.
    pub services: Vec<String>,
    /// Files whose content matters.
    pub files: Vec<String>,
    /// Directories whose owner and mode matter.
    pub directories: Vec<String>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Whether the user exists at all. Everything else is empty when not.
    pub user_exists: bool,
    /// Home directory of the user.
    pub home: String,
    /// Numeric id of the user.
    pub uid: u32,
    /// Whether the user's service manager can be talked to.
    pub bus: bool,
    /// Whether it is started at boot.
    pub linger: bool,
    /// Podman's version; nothing when it is not installed.
    pub podman: Option<Version>,
    /// The salt of the host's secret names; nothing before the first deploy with secrets.
    pub salt: Option<String>,
    /// Who was asked and did not answer, `systemd` or `podman`: what they know is missing below, and not absent there.
    pub silent: BTreeSet<String>,
    /// Unit files: name → text.
    pub units: BTreeMap<String, String>,
    /// What mms remembers: service → state.
    pub states: BTreeMap<String, State>,
    /// systemd services: name → state.
    pub services: BTreeMap<String, Activity>,
    /// Containers: name → state.
    pub containers: BTreeMap<String, Running>,
    /// Names of the secrets.
    pub secrets: BTreeSet<String>,
    /// Files asked for that exist: path → content.
    pub files: BTreeMap<String, String>,
    /// Paths asked for that are no file, cannot be read or hold no UTF-8: what is in them would be lost by writing them.
    pub unreadable: BTreeSet<String>,
    /// Directories asked for that exist.
    pub directories: BTreeMap<String, Owned>,
}

/// What systemd says of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// `loaded`, `not-found`, …
    pub load: String,
    /// `active`, `activating`, `failed`, …
    pub active: String,
    /// `running`, `auto-restart`, …
    pub sub: String,
    /// How the last run ended: `success`, `timeout`, `exit-code`, …
    pub result: String,
    /// How often systemd restarted it by itself since it was started.
    pub restarts: u32,
    /// Whether a job for it is waiting or running.
    pub job: bool,
    /// Whether its unit changed on disk since systemd read it.
    pub stale: bool,
    /// Since when it is active, as systemd writes it.
    pub since: String,
}

/// What Podman says of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// The image as it was named.
    pub image: String,
    /// Identifier of the image's content.
    pub image_id: String,
    /// `running`, `exited`, …
    pub state: String,
    /// What its health check says.
    pub health: Option<Wellness>,
}

/// What a health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wellness {
    /// It succeeded last.
    Healthy,
    /// It has not succeeded yet.
    Starting,
    /// It failed too often.
    Unhealthy,
}

/// Owner and permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// Numeric owner and its name.
    pub owner: (u32, String),
    /// Numeric group and its name.
    pub group: (u32, String),
    /// Permissions.
    pub mode: u32,
}

/// What every script of a rootless user starts with: its home, its service manager's bus, no one else's directories.
pub const PRELUDE: &str = r#"LC_ALL=C; export LC_ALL
id=$(id -u)
home=$(getent passwd "$id" 2>/dev/null | cut -d: -f6)
HOME=${home:-$HOME}; export HOME
cd "$HOME" || exit 1
XDG_RUNTIME_DIR=/run/user/$id; export XDG_RUNTIME_DIR
DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus; export DBUS_SESSION_BUS_ADDRESS
XDG_CONFIG_HOME=$HOME/.config; export XDG_CONFIG_HOME
unset XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME
umask 077
"#;

const RECORDS: &str = r#"say() { printf '@%s %s %s\n%s\n' "$1" "${#3}" "$2" "$3"; }
file() { [ -f "$2" ] && [ -r "$2" ] || return 0; printf '@%s %s %s\n' "$1" "$(wc -c <"$2" | tr -d ' ')" "$3"; cat "$2"; echo; }
"#;

const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Result,NRestarts,Job,NeedDaemonReload,ActiveEnterTimestamp";

/// What systemd and Podman say; `$services` holds the services.
const LIVE: &str = r#"systemd=$(systemctl --user show --property="$properties" -- $services 2>/dev/null) && say systemd - "$systemd" || say silent systemd -
containers=$(podman ps --all --no-trunc --format '{{.Names}}|{{.Image}}|{{.ImageID}}|{{.State}}|{{.Status}}' 2>/dev/null) &&
  say containers - "$containers" || say silent podman -
"#;

/// The script that sees everything a deploy needs.
pub fn script(question: &Question) -> String {
    let mut text = format!("{PRELUDE}{RECORDS}properties={PROPERTIES}\n");
    text.push_str(&format!(
        "units=$HOME/{UNITS}; state=$HOME/{STATE}; services={}\n",
        sh::quote(&question.services.join(" "))
    ));
    text.push_str(
        r#"say home - "$HOME"
say uid - "$id"
[ -e "/var/lib/systemd/linger/$(id -un)" ] && say linger - yes
# Podman says nothing while its runtime directory is missing, which it is before the first login.
podman=$(unset XDG_RUNTIME_DIR; podman --version 2>/dev/null) && say podman - "$podman"
file salt "$state/salt" -
for path in "$state"/services/*.json; do file state "$path" "${path##*/}"; done
for path in "$units"/*.container "$units"/*.network "$units"/*.volume "$units"/*.pod "$units"/*.image; do
  file unit "$path" "${path##*/}"
  case $path in *'*'*) ;; *.container) name=${path##*/}; services="$services ${name%.container}.service" ;; esac
done
if [ -S "$XDG_RUNTIME_DIR/bus" ]; then
  say bus - yes
  if [ -n "$podman" ]; then
"#,
    );
    text.push_str(LIVE);
    text.push_str("say secrets - \"$(podman secret ls --format '{{.Name}}' 2>/dev/null)\"\n  fi\nfi\n");
    for path in &question.files {
        let path = sh::quote(path);
        text.push_str(&format!("if [ -f {path} ] && [ -r {path} ]; then file file {path} {path}; "));
        text.push_str(&format!("elif [ -e {path} ] || [ -L {path} ]; then say unreadable {path} -; fi\n"));
    }
    for path in &question.directories {
        let path = sh::quote(path);
        text.push_str(&format!(
            "[ -d {path} ] && stat=$(stat -L -c '%u %g %a %U %G' {path} 2>/dev/null) && say directory {path} \"$stat\"\n"
        ));
    }
    text.push_str("exit 0\n");
    text
}

/// Waits for one of `$services` to change, `$looks` tenths of a second. systemd is asked alone: Podman takes ten times as long.
const AWAIT: &str = r#"states() { systemctl --user show --property=ActiveState,SubState,Job -- $services 2>/dev/null; }
before=$(states)
while [ "$looks" -gt 0 ] && [ "$(states)" = "$before" ]; do looks=$((looks - 1)); sleep 0.1; done
"#;

/// The script that sees only what moves: services and containers. It looks once one of the services changes, or after `wait`.
pub fn live_script(services: &[String], wait: Duration) -> String {
    let services = sh::quote(&services.join(" "));
    let looks = wait.as_millis() / 100;
    let wait = if looks == 0 { String::new() } else { format!("looks={looks}\n{AWAIT}") };
    format!("{PRELUDE}{RECORDS}properties={PROPERTIES}\nservices={services}\n{wait}{LIVE}exit 0\n")
}

/// The answer of [`script`] or [`live_script`].
pub fn parse(answer: &[u8]) -> Observed {
    let mut seen = Observed { user_exists: true, ..Observed::default() };
    let mut rest = answer;
    while let Some((kind, name, content, tail)) = record(rest) {
        rest = tail;
        let text = String::from_utf8_lossy(content).into_owned();
        match kind {
            "home" => seen.home = text,
            "uid" => seen.uid = text.trim().parse().unwrap_or_default(),
            "linger" => seen.linger = true,
            "bus" => seen.bus = true,
            "silent" => drop(seen.silent.insert(name.to_owned())),
            "podman" => seen.podman = text.parse().ok(),
            "salt" => seen.salt = Some(text.trim().to_owned()).filter(|salt| !salt.is_empty()),
            "state" => {
                if let Some(state) = State::parse(&text) {
                    seen.states.insert(state.service.clone(), state);
                }
            }
            "unit" => {
                seen.units.insert(name.to_owned(), text);
            }
            "file" => match String::from_utf8(content.to_vec()) {
                Ok(content) => drop(seen.files.insert(name.to_owned(), content)),
                Err(_) => drop(seen.unreadable.insert(name.to_owned())),
            },
            "unreadable" => drop(seen.unreadable.insert(name.to_owned())),
            "directory" => {
                if let Some(owned) = owned(&text) {
                    seen.directories.insert(name.to_owned(), owned);
                }
            }
            "systemd" => seen.services = activities(&text),
            "containers" => seen.containers = text.lines().filter_map(running).collect(),
            "secrets" => {
                seen.secrets = text.lines().map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
            }
            _ => {}
        }
    }
    seen
}

fn record(bytes: &[u8]) -> Option<(&str, &str, &[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?.strip_prefix('@')?;
    let (kind, head) = head.split_once(' ')?;
    let (length, name) = head.split_once(' ')?;
    let start = end + 1;
    let stop = start.checked_add(length.parse().ok()?)?;
    Some((kind, name, bytes.get(start..stop)?, bytes.get(stop..).and_then(|rest| rest.get(1..)).unwrap_or_default()))
}

fn owned(text: &str) -> Option<Owned> {
    let mut words = text.split_whitespace();
    let (uid, gid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let (user, group) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(Owned { owner: (uid, user), group: (gid, group), mode })
}

fn activities(text: &str) -> BTreeMap<String, Activity> {
    let mut found = BTreeMap::new();
    for block in text.split("\n\n") {
        let mut id = None;
        let mut activity = Activity::default();
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "Id" => id = Some(value.to_owned()),
                "LoadState" => value.clone_into(&mut activity.load),
                "ActiveState" => value.clone_into(&mut activity.active),
                "SubState" => value.clone_into(&mut activity.sub),
                "Result" => value.clone_into(&mut activity.result),
                "NRestarts" => activity.restarts = value.parse().unwrap_or_default(),
                "Job" => activity.job = !value.is_empty() && value != "0",
                "NeedDaemonReload" => activity.stale = value == "yes",
                "ActiveEnterTimestamp" => value.clone_into(&mut activity.since),
                _ => {}
            }
        }
        found.extend(id.map(|id| (id, activity)));
    }
    found
}

fn running(line: &str) -> Option<(String, Running)> {
    let mut parts = line.splitn(5, '|');
    let (name, image, image_id) = (parts.next()?, parts.next()?, parts.next()?);
    let (state, status) = (parts.next()?, parts.next()?);
    let health = match status {
        text if text.contains("(unhealthy)") => Some(Wellness::Unhealthy),
        text if text.contains("(healthy)") => Some(Wellness::Healthy),
        text if text.contains("(starting)") => Some(Wellness::Starting),
        _ => None,
    };
    let image_id = image_id.trim_start_matches("sha256:").to_owned();
    Some((name.to_owned(), Running { image: image.to_owned(), image_id, state: state.to_owned(), health }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn content_cannot_pass_for_a_record() {
        let content = "@uid 1 -\n0\n";
        let answer = format!("@uid 4 -\n1100\n@file {} /a b\n{content}\n@bus 3 -\nyes\n", content.len());
        let seen = parse(answer.as_bytes());
        assert_eq!(seen.uid, 1100);
        assert_eq!(seen.files["/a b"], content);
        assert!(seen.bus);
    }

    #[test]
    fn what_is_no_utf_8_cannot_be_written_back() {
        let seen = parse(b"@file 3 /a\n\xe4=1\n@file 3 /b\nb=1\n@unreadable 1 /c\n-\n");
        assert_eq!(seen.files.keys().collect::<Vec<_>>(), ["/b"]);
        assert_eq!(seen.unreadable.iter().collect::<Vec<_>>(), ["/a", "/c"]);
    }

    #[test]
    fn reads_systemd_and_podman() {
        let systemd = "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=2\nJob=\n\n\
                       Id=b.service\nLoadState=not-found\nActiveState=inactive\nJob=12\nNeedDaemonReload=yes\n";
        let podman = "a|docker.io/x:1|sha256:abc|running|Up 2 minutes (healthy)\nb|docker.io/y:1|def|exited|Exited (1)";
        let answer = format!("@systemd {} -\n{systemd}\n@containers {} -\n{podman}\n", systemd.len(), podman.len());
        let seen = parse(answer.as_bytes());
        assert_eq!((seen.services["a.service"].restarts, seen.services["a.service"].job), (2, false));
        assert!(seen.services["b.service"].job && seen.services["b.service"].stale);
        assert_eq!(seen.containers["a"].health, Some(Wellness::Healthy));
        assert_eq!((seen.containers["a"].image_id.as_str(), seen.containers["b"].health), ("abc", None));
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let tools = tempfile::tempdir().unwrap();
        let asked = |systemctl: &str, podman: &str| {
            for (name, text) in [("systemctl", systemctl), ("podman", podman)] {
                sh::stand_in(&tools.path().join(name), text);
            }
            let script = format!("PATH={}:$PATH\n{}", tools.path().display(), live_script(&[], Duration::ZERO));
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            parse(&output.stdout)
        };
        let unit = "echo Id=a.service; echo ActiveState=active";
        let container = "echo 'a|docker.io/x:1|abc|running|Up 2 minutes (healthy)'";
        let seen = asked(unit, container);
        assert_eq!((seen.silent.len(), seen.services.len(), seen.containers.len()), (0, 1, 1));
        assert_eq!(asked(unit, "").silent.len(), 0, "there may be no container");
        let seen = asked(unit, "echo 'database is locked' >&2; exit 125");
        assert_eq!(
            (seen.silent.iter().map(String::as_str).collect::<Vec<_>>(), seen.services.len()),
            (vec!["podman"], 1)
        );
        let seen = asked("exit 1", container);
        assert_eq!(
            (seen.silent.iter().map(String::as_str).collect::<Vec<_>>(), seen.containers.len()),
            (vec!["systemd"], 1)
        );
    }

    #[test]
    fn a_cut_answer_is_no_panic() {
        assert_eq!(parse(b"@uid 9999 -\n11").uid, 0);
        assert_eq!(parse(format!("@uid {} -\n11", usize::MAX).as_bytes()).uid, 0);
        assert_eq!(parse(b"@uid 99999999999999999999999 -\n11").uid, 0);
        assert_eq!(parse(b"garbage\n"), Observed { user_exists: true, ..Observed::default() });
    }
}

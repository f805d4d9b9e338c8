//! The shell text that runs on the old host, as root. Nothing there is changed but what starts services, and a directory of notes.

use super::journal::{Record, Runner, Was};
use crate::sh;

/// Where the notes are.
pub const STATE: &str = "/var/lib/mms/migrate";

/// Whoever started a script may go away: what was begun is brought to its end.
const HEAD: &str = "LC_ALL=C; export LC_ALL; umask 077; trap '' HUP PIPE\n";

/// The directory of notes on a service.
pub fn state(service: &str) -> String {
    format!("{STATE}/{service}")
}

/// A command as a user, with the user's service manager at hand.
fn as_user(user: Option<&String>, command: &str) -> String {
    match user {
        None => command.to_owned(),
        Some(user) => {
            let inner = format!(
                "cd; export XDG_RUNTIME_DIR=/run/user/$(id -u) DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u)/bus; {command}"
            );
            format!("su -s /bin/sh {} -c {}", sh::quote(user), sh::quote(&inner))
        }
    }
}

impl Runner {
    fn user(&self) -> Option<&String> {
        match self {
            Self::Unit { user, .. } | Self::Container { user, .. } => user.as_ref(),
        }
    }

    /// A command of its manager: `systemctl stop -- x.service`, `docker stop x`.
    fn control(&self, verb: &str) -> String {
        let command = match self {
            Self::Unit { user, name } => {
                let scope = if user.is_some() { " --user" } else { "" };
                format!("systemctl{scope} {verb} -- {}", sh::quote(name))
            }
            Self::Container { engine, name, .. } => format!("{engine} {verb} {}", sh::quote(name)),
        };
        as_user(self.user(), &command)
    }
}

/// Whether an engine answers at all: one that does not knows nothing of a container that it does not show.
fn answers(engine: &str, user: Option<&String>) -> String {
    format!("{} >/dev/null", as_user(user, &format!("{engine} ps --quiet")))
}

/// How runners are: `@state number running enabled` for each. Fails where their manager does not say.
pub fn states(runners: &[Runner]) -> String {
    let mut text = HEAD.to_owned();
    for (at, runner) in runners.iter().enumerate() {
        match runner {
            // Every state has a name: who gets none was not answered.
            Runner::Unit { .. } => text.push_str(&format!(
                "active=$({}); enabled=$({} 2>/dev/null)\ncase $active in '') exit 1 ;; active|activating|reloading|deactivating) run=yes ;; *) run=no ;; esac\necho \"@state {at} $run ${{enabled:-unknown}}\"\n",
                runner.control("is-active"),
                runner.control("is-enabled"),
            )),
            Runner::Container { engine, .. } => text.push_str(&format!(
                "seen=$({} 2>/dev/null) || {{ {} && seen='false gone 0'; }} || exit 1\nset -- $seen\ncase $1 in true) run=yes ;; *) run=no ;; esac\nlimit=; [ \"${{3:-0}}\" = 0 ] || limit=:$3\necho \"@state {at} $run ${{2:-no}}$limit\"\n",
                runner.control("inspect --type container --format '{{.State.Running}} {{or .HostConfig.RestartPolicy.Name \"no\"}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}'"),
                answers(engine, runner.user()),
            )),
        }
    }
    text.push_str("exit 0\n");
    text
}

/// Reads the answer of [`states`].
pub fn parse_states(runners: &[Runner], answer: &str) -> Vec<Was> {
    let mut found = vec![];
    for line in answer.lines().filter_map(|line| line.strip_prefix("@state ")) {
        let mut words = line.split_whitespace();
        let at = words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(runner), Some(run), Some(enabled)) = (at.and_then(|at| runners.get(at)), words.next(), words.next())
        else {
            continue;
        };
        found.push(Was { runner: runner.clone(), active: run == "yes", enabled: enabled.to_owned() });
    }
    found
}

/// Writes down what is about to be stopped, and how it is started again. One that is there already stays.
pub fn note(record: &Record) -> String {
    let state = sh::quote(&state(&record.service));
    format!(
        "{HEAD}mkdir -p {state} && cd {state} || exit 1\n[ ! -e stopped ] || exit 0\n\
         printf '%s\\n' {start} >.start && mv -f .start start && printf '%s\\n' {text} >.stopped && sync && mv -f .stopped stopped && sync\n",
        start = sh::quote(&start(&record.was)),
        text = sh::quote(&record.to_text()),
    )
}

/// Prints what was written down: `@stopped record` and `@migrated record`.
pub fn read_notes(services: &[String]) -> String {
    let mut text = HEAD.to_owned();
    for service in services {
        let state = sh::quote(&state(service));
        for name in ["stopped", "migrated"] {
            text.push_str(&format!("[ ! -f {state}/{name} ] || {{ printf '@{name} '; cat {state}/{name}; }}\n"));
        }
    }
    text.push_str("exit 0\n");
    text
}

/// What was started again needs no notes any more.
pub fn forget(service: &str) -> String {
    format!("{HEAD}rm -rf {}\nrmdir {STATE} /var/lib/mms 2>/dev/null\nexit 0\n", sh::quote(&state(service)))
}

/// The migration is final: what is left is that it took place.
pub fn confirm(service: &str) -> String {
    let state = sh::quote(&state(service));
    format!(
        "{HEAD}cd {state} 2>/dev/null || exit 0\n[ ! -f stopped ] || mv -f stopped migrated\nrm -f list unread\nexit 0\n"
    )
}

/// Writes an archive of the files that `list` in the directory of notes names to stdout. What changes or goes while it is read makes tar
/// complain too, and says nothing: whether a copy is one is decided by the hashes. When tar could not read something that is there, the
/// list is renamed, and [`clean`] says which files those are.
pub fn archive(service: &str, directory: &str, gnu: bool) -> String {
    let state = sh::quote(&state(service));
    let how = if gnu {
        "--format=posix --numeric-owner --ignore-failed-read --null --no-recursion"
    } else {
        "--no-recursion"
    };
    format!(
        "LC_ALL=C; export LC_ALL; {}cd -- {} || exit 1\n\
         {{ said=$(tar -c -f - {how} -T {state}/list 2>&1 1>&3 3>&-); status=$?; }} 3>&1\n\
         [ -z \"$said\" ] || printf '%s\\n' \"$said\" >&2\n\
         printf '%s\\n' \"$said\" | grep -v ': No such file or directory$' |\n\
         grep -q -i -e \"can['no]*t open\" -e 'read error' -e 'short read' && mv -f {state}/list {state}/unread\n\
         [ $status -le 2 ]",
        sh::WIDE_TAR,
        sh::quote(directory)
    )
}

/// Takes the list of files away again; the directory goes with it when nothing else is in it. If tar could not read everything, the files of
/// the list that cannot be read are printed: why, and the path, NUL after each.
pub fn clean(service: &str, directory: &str, gnu: bool) -> String {
    let state = sh::quote(&state(service));
    format!(
        r#"{HEAD}if [ -e {state}/unread ] && cd -- {directory}; then
  {names} <{state}/unread | xargs -0 -r sh -c '
for file do
  [ -f "$file" ] && [ ! -L "$file" ] || continue
  said=$(cat -- "$file" 2>&1 >/dev/null) || [ ! -e "$file" ] || printf "%s\0%s\0" "${{said##*: }}" "$file"
done' sh
fi
cd /
rm -f {state}/list {state}/unread
rmdir {state} {STATE} /var/lib/mms 2>/dev/null
exit 0
"#,
        directory = sh::quote(directory),
        names = if gnu { "cat" } else { "tr '\\n' '\\000'" },
    )
}

/// Reads the answer of [`clean`]: path, and why it cannot be read.
pub fn parse_unread(answer: &[u8]) -> Vec<(Vec<u8>, String)> {
    let words: Vec<&[u8]> = answer.split(|byte| *byte == 0).collect();
    let pairs = words.chunks_exact(2);
    pairs
        .map(|pair| {
            let path = pair[1].strip_prefix(b"./").unwrap_or(pair[1]);
            (path.to_vec(), String::from_utf8_lossy(pair[0]).into_owned())
        })
        .collect()
}

/// A script that starts or stops a service, one after the other: one whose mms is gone is waited for. Where nothing can be written, a
/// script that `must` have its turn fails, and another does without.
pub fn in_turn(service: &str, script: &str, must: bool) -> String {
    format!(
        r#"{HEAD}turn=no; tries=0
mkdir -p {state} && cd {state} && while [ $tries -lt 6 ]; do
  mkdir .busy 2>/dev/null && turn=yes && break
  kill -0 "$(cat .busy/pid 2>/dev/null)" 2>/dev/null || {{ tries=$((tries + 1)); [ $tries -lt 3 ] || rm -rf .busy; }}
  sleep 1
done
[ $turn = yes ] || {otherwise}
[ $turn = no ] || echo $$ >.busy/pid
(
{script}
)
status=$?
cd / && rm -rf {state}/.busy
exit $status
"#,
        state = sh::quote(&state(service)),
        otherwise = if must { "{ echo \"nothing can be written there\" >&2; exit 1; }" } else { ":" },
    )
}

/// Stops everything, and keeps it from starting by itself. Each step may be run again.
pub fn stop(was: &[Was]) -> String {
    let mut text = format!("{HEAD}failed=0\n");
    for Was { runner, enabled, .. } in was {
        match runner {
            Runner::Unit { .. } => {
                // A unit that a generator makes cannot be disabled; a static one does not start by itself.
                let keep = match enabled.as_str() {
                    "enabled" | "enabled-runtime" | "linked" | "linked-runtime" | "alias" => Some("disable --quiet"),
                    "generated" | "transient" => Some("mask --quiet"),
                    _ => None,
                };
                if let Some(verb) = keep {
                    text.push_str(&format!("{} || failed=1\n", runner.control(verb)));
                }
                // 5: systemd does not know the unit.
                text.push_str(&format!("{} || [ $? -eq 5 ] || failed=1\n", runner.control("stop")));
            }
            Runner::Container { engine, .. } => {
                let there = runner.control("inspect --type container");
                text.push_str(&format!("if {there} >/dev/null 2>&1; then\n"));
                if !matches!(enabled.as_str(), "no" | "gone" | "") {
                    text.push_str(&format!("{} >/dev/null || failed=1\n", runner.control("update --restart=no")));
                }
                text.push_str(&format!("{} >/dev/null || failed=1\n", runner.control("stop -t 120")));
                text.push_str(&format!("else\n{} || failed=1\nfi\n", answers(engine, runner.user())));
            }
        }
    }
    text.push_str("exit $failed\n");
    text
}

/// Starts everything as it was, the last one that was stopped first. Plain enough to be run without mms.
pub fn start(was: &[Was]) -> String {
    let mut text =
        "#!/bin/sh\n# Written by `mms migrate`: starts again what it stopped, as it was.\nfailed=0\n".to_owned();
    for Was { runner, active, enabled } in was.iter().rev() {
        match runner {
            Runner::Unit { .. } => {
                let again = match enabled.as_str() {
                    "enabled" | "linked" | "alias" => Some("enable --quiet"),
                    "enabled-runtime" | "linked-runtime" => Some("enable --quiet --runtime"),
                    "generated" | "transient" => Some("unmask --quiet"),
                    _ => None,
                };
                if let Some(verb) = again {
                    text.push_str(&format!("{} || failed=1\n", runner.control(verb)));
                }
                if *active {
                    text.push_str(&format!("{} || failed=1\n", runner.control("start")));
                }
            }
            Runner::Container { .. } => {
                if !matches!(enabled.as_str(), "no" | "gone" | "") {
                    let update = runner.control(&format!("update --restart={enabled}"));
                    text.push_str(&format!("{update} >/dev/null || failed=1\n"));
                }
                if *active {
                    text.push_str(&format!("{} >/dev/null || failed=1\n", runner.control("start")));
                }
            }
        }
    }
    text.push_str("exit $failed\n");
    text
}

/// Processes that have something open in these directories: `@holder number name cgroup`. Files are known by device and inode, so
/// those of containers are found whatever they are called there.
pub fn holders(directories: &[String]) -> String {
    format!(
        r#"{HEAD}{{
  for directory in {}; do
    [ ! -e "$directory" ] || find "$directory" -exec stat -c '%d:%i' {{}} + 2>/dev/null
  done
  echo processes
  stat -L -c '%d:%i %n' /proc/[0-9]*/cwd /proc/[0-9]*/fd/* 2>/dev/null
}} | awk '
  $1 == "processes" && NF == 1 {{ files = 1; next }}
  !files {{ own[$1] = 1; next }}
  $1 in own {{ split($2, part, "/"); print part[3] }}' | sort -un | while read -r pid; do
  [ "$pid" != $$ ] && [ -r "/proc/$pid/cgroup" ] || continue
  unit=$(sed -n 's/^0:://p; s/^1:name=systemd://p' "/proc/$pid/cgroup" 2>/dev/null | head -n 1)
  printf '@holder %s %s %s\n' "$pid" "$(tr ' ' _ <"/proc/$pid/comm" 2>/dev/null)" "${{unit:-/}}"
done
exit 0
"#,
        sh::join(directories)
    )
}

/// A process that has something open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The path of its cgroup.
    pub cgroup: String,
}

impl Holder {
    /// Reads the answer of [`holders`].
    pub fn parse(answer: &str) -> Vec<Self> {
        let lines = answer.lines().filter_map(|line| line.strip_prefix("@holder "));
        lines
            .filter_map(|line| {
                let words: Vec<&str> = line.splitn(3, ' ').collect();
                let [pid, name, cgroup] = words.as_slice() else { return None };
                Some(Self { pid: pid.parse().ok()?, name: (*name).to_owned(), cgroup: (*cgroup).to_owned() })
            })
            .collect()
    }

    /// The unit it belongs to, where its cgroup tells: of the system, or of a user (by number).
    pub fn unit(&self) -> Option<(Option<u32>, String)> {
        let parts: Vec<&str> = self.cgroup.split('/').filter(|part| !part.is_empty()).collect();
        let manager = parts.iter().find_map(|part| {
            part.strip_prefix("user@").and_then(|rest| rest.strip_suffix(".service"))?.parse::<u32>().ok()
        });
        let unit = parts.iter().rev().find(|part| part.ends_with(".service"))?;
        (!unit.starts_with("user@")).then(|| (manager, (*unit).to_owned()))
    }
}

/// Checks the SQLite databases among files, without changing or locking anything for long: `@database path answer`, where the answer
/// is `ok`, what SQLite says, or `unknown` when that cannot be asked here and now. The paths come by stdin, NUL after each,
/// relative to the directory.
pub fn check_databases(directory: &str) -> String {
    format!(
        r#"{HEAD}cd -- {} || exit 1
command -v sqlite3 >/dev/null || {{ echo '@without'; exit 0; }}
xargs -0 -r sh -c '
for file do
  [ "$(head -c 15 "$file" 2>/dev/null)" = "SQLite format 3" ] || continue
  path=$(printf %s "$PWD/${{file#./}}" | sed "s/%/%25/g; s/?/%3f/g; s/#/%23/g")
  # In WAL mode a reader without a -wal file would make one; nobody has such a database open.
  mode=ro; [ "$(od -An -tu1 -j18 -N1 "$file" | tr -d " ")" != 2 ] || {{ [ -e "$file-wal" ] && [ -e "$file-shm" ]; }} || mode="ro&immutable=1"
  if [ -s "$file-journal" ] || {{ [ "$mode" != ro ] && [ -s "$file-wal" ]; }}; then echo "@database unknown $file"; continue; fi
  said=$(sqlite3 -cmd ".timeout 10000" "file:$path?mode=$mode" "PRAGMA integrity_check(1)" 2>&1 | head -n 1)
  case $said in ok) ;; *locked*|*busy*) said=unknown ;; *) said=$(printf %s "$said" | tr " " _) ;; esac
  echo "@database ${{said:-unknown}} $file"
done' sh
exit 0
"#,
        sh::quote(directory)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn unit(user: Option<&str>) -> Runner {
        Runner::Unit { user: user.map(str::to_owned), name: "sonarr.service".into() }
    }

    fn container(name: &str) -> Runner {
        Runner::Container { engine: "docker".into(), user: None, name: name.into() }
    }

    #[test]
    fn what_is_stopped_is_started_as_it_was() {
        let runners = [unit(None), container("radarr"), container("old"), unit(Some("joe"))];
        let was = parse_states(
            &runners,
            "@state 0 yes enabled\nnoise\n@state 1 yes on-failure:5\n@state 2 no no\n@state 3 yes generated\n@state 9 yes x\n",
        );
        assert_eq!(was.len(), 4);
        let (stop, start) = (stop(&was), start(&was));
        let at = |text: &str, part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(
            at(&stop, "systemctl disable --quiet -- sonarr.service") < at(&stop, "systemctl stop -- sonarr.service")
        );
        assert!(at(&stop, "docker update --restart=no radarr") < at(&stop, "docker stop -t 120 radarr"));
        assert!(!stop.contains("update --restart=no old") && stop.contains("stop -t 120 old"));
        assert!(stop.contains("systemctl --user mask --quiet"));
        assert!(at(&start, "unmask") < at(&start, "docker update --restart=on-failure:5 radarr"));
        assert!(at(&start, "docker start radarr") < at(&start, "systemctl enable --quiet -- sonarr.service"));
        assert!(!start.contains(" old"));
    }

    #[test]
    fn a_process_is_named_by_its_cgroup() {
        let answer = "@holder 12 Radarr /system.slice/radarr.service\n@holder 13 sh /user.slice/user-1000.slice/session-3.scope\n\
                      @holder 14 x /user.slice/user-1000.slice/user@1000.service/app.slice/sonarr.service\n@holder x y z\n";
        let holders = Holder::parse(answer);
        let units: Vec<_> = holders.iter().map(Holder::unit).collect();
        assert_eq!(units, [Some((None, "radarr.service".into())), None, Some((Some(1000), "sonarr.service".into()))]);
        let session = Holder { pid: 1, name: "x".into(), cgroup: "/user.slice/user@1000.service/init.scope".into() };
        assert_eq!(session.unit(), None);
    }
}

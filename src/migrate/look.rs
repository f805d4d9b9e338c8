//! What is on the old host: one read-only script for all services, and its answer as types.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::journal::Record;
use super::source;
use crate::sh;

/// What is asked about.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Units by name.
    pub units: Vec<String>,
    /// Directories; `*` stands for any name.
    pub directories: Vec<String>,
    /// service → files that tell its version.
    pub version_files: BTreeMap<String, Vec<String>>,
    /// service → packages.
    pub packages: BTreeMap<String, Vec<String>>,
    /// The services, for notes on them.
    pub services: Vec<String>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Whether the script ran as root.
    pub root: bool,
    /// tool → `gnu`, `busybox`, `plain`.
    pub tools: BTreeMap<String, String>,
    /// Users: name → (number, home).
    pub users: BTreeMap<String, (u32, String)>,
    /// Containers.
    pub containers: Vec<Container>,
    /// Engines and service managers that did not say which containers and units there are, and whose.
    pub unknown: Vec<String>,
    /// Units that exist.
    pub units: Vec<Unit>,
    /// Directories of the question that exist.
    pub directories: Vec<String>,
    /// service → version of what is installed without containers.
    pub versions: BTreeMap<String, String>,
    /// What earlier migrations stopped here.
    pub stopped: Vec<Record>,
    /// Migrations from here that are final.
    pub migrated: Vec<Record>,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// `docker` or `podman`.
    pub engine: String,
    /// Whose; root's when not set.
    pub user: Option<String>,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image as it was named.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Path in the container → path of the host.
    pub mounts: Vec<(String, String)>,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is removed when it stops.
    pub vanishes: bool,
    /// Those environment variables that a migration needs, none of them secret.
    pub environment: BTreeMap<String, String>,
}

/// A systemd unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unit {
    /// Whose service manager; the system's when not set.
    pub user: Option<String>,
    /// What systemd says of it.
    pub properties: BTreeMap<String, String>,
}

impl Unit {
    /// A property; empty when systemd does not say it.
    pub fn get(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }

    /// `radarr.service`.
    pub fn name(&self) -> &str {
        self.get("Id")
    }

    /// Whether it runs.
    pub fn active(&self) -> bool {
        matches!(self.get("ActiveState"), "active" | "activating" | "reloading")
    }

    /// The words of its command. systemd does not say where words with spaces end.
    pub fn command(&self) -> Vec<&str> {
        let text = self.get("ExecStart");
        let words = text.split_once("argv[]=").map_or("", |(_, rest)| rest);
        let words = words.split_once(" ; ").map_or(words, |(words, _)| words);
        words.split_whitespace().collect()
    }

    /// Whether it only runs a container.
    pub fn runs_container(&self) -> bool {
        let program = self.command().first().and_then(|word| word.rsplit('/').next().map(str::to_owned));
        matches!(program.as_deref(), Some("docker" | "podman" | "docker-compose" | "podman-compose"))
    }
}

#[derive(Deserialize)]
struct Inspected {
    name: String,
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    mounts: Option<Vec<Mount>>,
    running: bool,
    #[serde(default)]
    vanishes: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    #[serde(default)]
    source: String,
    destination: String,
}

/// Environment variables of containers that are asked for. Everything else in an environment may be a secret.
const ENVIRONMENT: [&str; 3] = ["POSTGRES_USER", "POSTGRES_DB", "PGDATA"];

const FORMAT: &str = r#"@container {"name":{{json .Name}},"image":{{json .Config.Image}},"labels":{{json .Config.Labels}},"mounts":{{json .Mounts}},"running":{{json .State.Running}},"vanishes":{{json .HostConfig.AutoRemove}}}{{range .Config.Env}}{{println}}@env {{.}}{{end}}"#;

const PROPERTIES: &str =
    "Id,LoadState,ActiveState,UnitFileState,ExecStart,Environment,User,StateDirectory,WorkingDirectory,TriggeredBy";

/// The script.
pub fn script(question: &Question) -> String {
    let environment = ENVIRONMENT.join("=\\|");
    let mut text = format!(
        r#"LC_ALL=C; export LC_ALL
echo "@root $(id -u)"
for tool in tar find sha256sum xargs awk sqlite3 su; do
  command -v $tool >/dev/null || continue
  kind=plain
  case $tool in
    tar) case $(tar --version 2>/dev/null | head -n 1) in *GNU*) kind=gnu ;; *) tar --help 2>&1 | grep -q -e ' -T\b' -e '-T ' && kind=busybox ;; esac ;;
    find) find / -maxdepth 0 -printf '' >/dev/null 2>&1 && kind=gnu ;;
  esac
  echo "@tool $tool $kind"
done
{{ getent passwd 2>/dev/null || cat /etc/passwd; }} | awk -F: '{{ print "@user " $1 " " $3 " " $6 }}'
only() {{ sed '/^@env /{{ /^@env \({environment}=\)/!d; }}'; }}
# The name of the id is not the same in templates of docker and podman, but in lists of containers it is.
engine() {{
  echo "@engine $1 -"
  $1 ps --all --no-trunc --format '@id {{{{.ID}}}} {{{{.Names}}}}' 2>/dev/null || {{ echo "@unknown $1 -"; return; }}
  ids=$($1 ps --all --quiet --no-trunc 2>/dev/null)
  [ -z "$ids" ] || {{ $1 inspect --type container --format {format} $ids 2>/dev/null || {{ echo; echo "@unknown $1 -"; }}; }} | only
}}
if command -v docker >/dev/null && ! docker --version 2>/dev/null | grep -qi podman; then engine docker; fi
if command -v podman >/dev/null; then
  engine podman
  for home in /home/*; do
    [ -d "$home/.local/share/containers/storage" ] || continue
    owner=$(stat -c %U "$home") || continue
    id -u "$owner" >/dev/null 2>&1 || continue
    echo "@engine podman $owner"
    su -s /bin/sh "$owner" -c 'cd; XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR
      podman ps --all --no-trunc --format "@id {{{{.ID}}}} {{{{.Names}}}}" 2>/dev/null || {{ echo "@unknown podman $2"; exit; }}
      ids=$(podman ps --all --quiet --no-trunc 2>/dev/null)
      [ -z "$ids" ] || podman inspect --type container --format "$1" $ids 2>/dev/null || {{ echo; echo "@unknown podman $2"; }}' sh {format} "$owner" | only
  done
fi
"#,
        format = sh::quote(FORMAT),
    );
    if !question.units.is_empty() {
        let units = sh::join(&question.units);
        text.push_str(&format!(
            r#"if command -v systemctl >/dev/null; then
  echo '@units -'
  # Where it is installed and not booted, it has no units.
  systemctl show --property={PROPERTIES} -- {units} 2>/dev/null || [ ! -d /run/systemd/system ] || {{ echo; echo '@unknown systemd -'; }}
  for bus in /run/user/*/bus; do
    [ -S "$bus" ] || continue
    id=${{bus#/run/user/}}; id=${{id%/bus}}; [ "$id" != 0 ] || continue
    owner=$(getent passwd "$id" | cut -d: -f1); [ -n "$owner" ] || continue
    echo "@units $owner"
    su -s /bin/sh "$owner" -c 'XDG_RUNTIME_DIR=/run/user/$(id -u); DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus; export XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
      exec systemctl --user show --property={PROPERTIES} -- "$@"' sh {units} 2>/dev/null ||
      {{ echo; echo "@unknown systemd $owner"; }}
  done
  echo '@end'
fi
"#
        ));
    }
    for directory in &question.directories {
        text.push_str(&format!(
            "for d in {}; do [ -d \"$d\" ] && printf '@directory %s\\n' \"$d\"; done\n",
            globbed(directory)
        ));
    }
    for (service, files) in &question.version_files {
        let files: Vec<String> = files.iter().map(|file| globbed(file)).collect();
        text.push_str(&format!(
            "for f in {}; do [ -f \"$f\" ] && v=$(grep -oE '[0-9]+\\.[0-9][0-9.]*' \"$f\" | head -n 1) && [ -n \"$v\" ] && {{ echo '@version' {} \"$v\"; break; }}; done\n",
            files.join(" "),
            sh::quote(service)
        ));
    }
    for (service, packages) in &question.packages {
        for package in packages {
            text.push_str(&format!(
                "v=$(dpkg-query -W -f '${{Version}}' {0} 2>/dev/null || rpm -q --qf '%{{VERSION}}' {0} 2>/dev/null) && echo '@version' {1} \"$v\"\n",
                sh::quote(package),
                sh::quote(service)
            ));
        }
    }
    text.push_str(&source::read_notes(&question.services));
    text
}

/// A path for a shell in which only `*` and `?` are special.
fn globbed(path: &str) -> String {
    let mut text = String::new();
    let mut plain = String::new();
    for c in path.chars() {
        if c == '*' || c == '?' {
            if !plain.is_empty() {
                text.push_str(&sh::quote(&std::mem::take(&mut plain)));
            }
            text.push(c);
        } else {
            plain.push(c);
        }
    }
    if !plain.is_empty() {
        text.push_str(&sh::quote(&plain));
    }
    text
}

impl Seen {
    /// Reads the answer of [`script`].
    pub fn parse(answer: &str) -> Self {
        let mut seen = Self::default();
        let mut engine = (String::new(), None);
        let mut manager: Option<Option<String>> = None;
        let mut unit: BTreeMap<String, String> = BTreeMap::new();
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        let whose = |word: &str| (word != "-").then(|| word.to_owned());
        for line in answer.lines() {
            if let Some(user) = &manager
                && !line.starts_with('@')
            {
                match line.split_once('=') {
                    Some((key, value)) => drop(unit.insert(key.to_owned(), value.to_owned())),
                    None => seen.take_unit(user.clone(), &mut unit),
                }
                continue;
            }
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "@root" => seen.root = rest == "0",
                "@tool" => seen.tools.extend(rest.split_once(' ').map(|(name, kind)| (name.into(), kind.into()))),
                "@user" => {
                    let words: Vec<&str> = rest.splitn(3, ' ').collect();
                    if let [name, id, home] = words.as_slice()
                        && let Ok(id) = id.parse()
                    {
                        seen.users.insert((*name).to_owned(), (id, (*home).to_owned()));
                    }
                }
                "@engine" => {
                    if let Some((name, user)) = rest.split_once(' ') {
                        engine = (name.to_owned(), whose(user));
                        ids.clear();
                    }
                }
                "@unknown" => seen.unknown.push(rest.replace(" -", "").replace(' ', " of ")),
                "@id" => {
                    if let Some((id, names)) = rest.split_once(' ') {
                        ids.extend(names.split(',').map(|name| (name.to_owned(), id.to_owned())));
                    }
                }
                "@container" => seen.take_container(&engine, &ids, rest),
                "@env" => {
                    if let (Some(container), Some((key, value))) = (seen.containers.last_mut(), rest.split_once('='))
                        && ENVIRONMENT.contains(&key)
                    {
                        container.environment.insert(key.to_owned(), value.to_owned());
                    }
                }
                "@units" | "@end" => {
                    if let Some(user) = manager.take() {
                        seen.take_unit(user, &mut unit);
                    }
                    manager = (word == "@units").then(|| whose(rest));
                }
                "@directory" => seen.directories.push(rest.to_owned()),
                "@version" => {
                    if let Some((service, version)) = rest.split_once(' ') {
                        seen.versions.entry(service.to_owned()).or_insert_with(|| version.trim().to_owned());
                    }
                }
                "@stopped" => seen.stopped.extend(serde_json::from_str::<Record>(rest)),
                "@migrated" => seen.migrated.extend(serde_json::from_str::<Record>(rest)),
                _ => {}
            }
        }
        seen
    }

    fn take_unit(&mut self, user: Option<String>, properties: &mut BTreeMap<String, String>) {
        let unit = Unit { user, properties: std::mem::take(properties) };
        if unit.get("LoadState") == "loaded" {
            self.units.push(unit);
        }
    }

    fn take_container(&mut self, engine: &(String, Option<String>), ids: &BTreeMap<String, String>, text: &str) {
        let Ok(seen) = serde_json::from_str::<Inspected>(text) else {
            self.unknown.push(engine.0.clone());
            return;
        };
        let name = seen.name.trim_start_matches('/').to_owned();
        let Some(id) = ids.get(&name).cloned() else {
            self.unknown.push(engine.0.clone());
            return;
        };
        // The same container by another name of the same engine.
        if self.containers.iter().any(|container| container.id == id) {
            return;
        }
        self.containers.push(Container {
            engine: engine.0.clone(),
            user: engine.1.clone(),
            id,
            name,
            image: seen.image.unwrap_or_default(),
            labels: seen.labels.unwrap_or_default(),
            mounts: seen
                .mounts
                .unwrap_or_default()
                .into_iter()
                .filter(|mount| mount.source.starts_with('/'))
                .map(|mount| (mount.destination, mount.source))
                .collect(),
            running: seen.running,
            vanishes: seen.vanishes,
            environment: BTreeMap::new(),
        });
    }
}

/// Asks about directories: `@place number real-path` if it is there, and `@mark number` if one of its marks is in it.
pub fn probe_script(directories: &[(String, Vec<String>)]) -> String {
    let mut text = "LC_ALL=C; export LC_ALL\n".to_owned();
    for (at, (directory, marks)) in directories.iter().enumerate() {
        text.push_str(&format!(
            "if cd -- {} 2>/dev/null; then printf '@place {at} %s\\n' \"$(pwd -P)\"; for f in {}; do [ -e \"$f\" ] && echo '@mark {at}' && break; done; cat PG_VERSION 2>/dev/null | sed 's/^/@cluster {at} /'; fi\n",
            sh::quote(directory),
            marks.iter().map(|mark| globbed(mark)).collect::<Vec<_>>().join(" ")
        ));
    }
    text.push_str("exit 0\n");
    text
}

/// A directory that was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// Where it really is; nothing when it is not there.
    pub real: Option<String>,
    /// Whether one of the marks is in it.
    pub marked: bool,
    /// `PG_VERSION` in it.
    pub cluster: Option<String>,
}

/// Reads the answer of [`probe_script`].
pub fn parse_probe(answer: &str, count: usize) -> Vec<Probed> {
    let mut probed = vec![Probed::default(); count];
    for line in answer.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (at, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let Some(one) = at.parse::<usize>().ok().and_then(|at| probed.get_mut(at)) else { continue };
        match word {
            "@place" => one.real = Some(rest.to_owned()),
            "@mark" => one.marked = true,
            "@cluster" => one.cluster = Some(rest.trim().to_owned()),
            _ => {}
        }
    }
    probed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_containers_units_and_notes() {
        let text = "@root 0\n@tool tar gnu\n@user joe 1000 /home/joe\n@engine docker -\n@id a radarr\n\
            @container {\"name\":\"/radarr\",\"image\":\"lscr.io/x/radarr:5\",\"labels\":null,\"mounts\":[{\"Type\":\"bind\",\"Source\":\"/opt/r\",\"Destination\":\"/config\"},{\"Type\":\"tmpfs\",\"Source\":\"\",\"Destination\":\"/t\"}],\"running\":true,\"vanishes\":false}\n\
            @env POSTGRES_USER=me\n@env SECRET=x\n@engine podman joe\n@id a radarr\n@container {\"name\":\"radarr\",\"image\":null,\"labels\":{},\"mounts\":[],\"running\":true}\n@container not json\n\
            @units -\nId=sonarr.service\nLoadState=loaded\nActiveState=active\nExecStart={ path=/opt/Sonarr ; argv[]=/opt/Sonarr -data=/var/lib/sonarr ; ignore_errors=no }\n\nId=x.service\nLoadState=not-found\n@units joe\nId=lidarr.service\nLoadState=loaded\n@end\n@directory /opt/a b\n@version sonarr 4.0.1\n";
        let seen = Seen::parse(text);
        assert!(seen.root && seen.containers.len() == 1 && seen.unknown == ["podman"]);
        let container = seen.containers.first().unwrap();
        assert_eq!(
            (container.name.as_str(), container.mounts.as_slice()),
            ("radarr", [("/config".to_owned(), "/opt/r".to_owned())].as_slice())
        );
        assert_eq!(container.environment.len(), 1);
        let names: Vec<_> = seen.units.iter().map(|unit| (unit.user.as_deref(), unit.name())).collect();
        assert_eq!(names, [(None, "sonarr.service"), (Some("joe"), "lidarr.service")]);
        assert_eq!(seen.units.first().unwrap().command(), ["/opt/Sonarr", "-data=/var/lib/sonarr"]);
        assert_eq!((seen.directories.as_slice(), seen.versions.len()), (["/opt/a b".to_owned()].as_slice(), 1));
    }

    #[test]
    fn only_stars_are_special_in_paths() {
        assert_eq!(globbed("/home/*/.config/It's $x"), "/home/*'/.config/It'\\''s $x'");
    }
}

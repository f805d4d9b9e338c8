//! The shell text of a deploy's steps. Every script of the containers' user starts with [`PRELUDE`].

use std::collections::{BTreeMap, BTreeSet};

use super::model::Directory;
use super::observe::{PRELUDE, STATE, UNITS};
use crate::sh;

/// As root: the user's service manager runs now and at every boot.
pub(super) fn wake(user: &str) -> String {
    let user = sh::quote(user);
    format!(
        r#"loginctl enable-linger {user} || exit 1
id=$(id -u {user}) || exit 1
i=0
while [ ! -S "/run/user/$id/bus" ]; do
  i=$((i + 1))
  [ $i -le 100 ] || {{ echo "the service manager of the user did not start within 20 s" >&2; exit 1; }}
  [ $i -ne 10 ] || systemctl start "user@$id.service"
  sleep 0.2
done
"#
    )
}

/// Makes or corrects directories. Run as the containers' user, or as root when `owner` names another one.
pub(super) fn directory(directory: &Directory, owner: Option<&str>) -> String {
    let path = sh::quote(&directory.path);
    let mut text = format!("set -e\numask 022\nmkdir -p -- {path}\n");
    let group = directory.group.as_ref().map(|group| format!(":{}", group.0)).unwrap_or_default();
    match owner {
        Some(owner) => text.push_str(&format!("chown -- {} {path}\n", sh::quote(&format!("{owner}{group}")))),
        None if !group.is_empty() => text.push_str(&format!("chown -- {} {path}\n", sh::quote(&group))),
        None => {}
    }
    if let Some(mode) = directory.mode {
        text.push_str(&format!("chmod -- {mode} {path}\n"));
    }
    text
}

fn stage_lines(units: &BTreeMap<String, String>) -> String {
    let mut text = format!("stage=$HOME/{STATE}/stage\nrm -rf \"$stage\" && mkdir -p \"$stage\" || exit 1\n");
    for (file, content) in units {
        text.push_str(&format!("printf %s {} >\"$stage\"/{} || exit 1\n", sh::quote(content), sh::quote(file)));
    }
    text
}

/// Puts units into a staging directory and runs the host's own Quadlet generator over it: generated units on stdout, complaints
/// on stderr. The generator's exit status says nothing.
pub(super) fn rehearse(units: &BTreeMap<String, String>) -> String {
    let mut text = format!("{PRELUDE}{}", stage_lines(units));
    text.push_str(
        r#"for generator in /usr/lib/systemd/user-generators/podman-user-generator /usr/libexec/podman/quadlet /usr/lib/podman/quadlet; do
  [ -x "$generator" ] && break
done
[ -x "$generator" ] || { echo "no Quadlet generator is installed" >&2; exit 3; }
QUADLET_UNIT_DIRS=$stage "$generator" -user -dryrun
rm -rf "$stage"
exit 0
"#,
    );
    text
}

/// Identifier of every image that is there: `image|id`, with an empty id for those that are not.
pub(super) fn image_ids(images: &BTreeSet<String>) -> String {
    let mut text = PRELUDE.to_owned();
    for image in images {
        let image = sh::quote(image);
        text.push_str(&format!(
            "printf '%s|%s\\n' {image} \"$(podman image inspect --format '{{{{.Id}}}}' {image} 2>/dev/null)\"\n"
        ));
    }
    text
}

/// Where images are kept, and how many KiB are free there.
pub(super) fn room() -> String {
    format!(
        "{PRELUDE}store=$(podman info --format '{{{{.Store.GraphRoot}}}}') || exit 1\nprintf '%s\\n' \"$store\"\ndf -Pk -- \"$store\" | awk 'NR == 2 {{ print $4 }}'\n"
    )
}

/// Pulls images, four at a time. Progress lines are `image: text`; `@pulled image` and `@failed image` are the verdicts.
pub(super) fn pull(images: &BTreeSet<String>) -> String {
    let mut text = format!(
        r#"{PRELUDE}pull() {{
  {{ podman pull "$1" 2>&1; echo "@rc $?"; }} | while IFS= read -r line; do
    case $line in
      '@rc 0') printf '@pulled %s\n' "$1" ;;
      '@rc '*) printf '@failed %s\n' "$1" ;;
      *) printf '%s: %s\n' "$1" "$line" ;;
    esac
  done
}}
"#
    );
    for (index, image) in images.iter().enumerate() {
        text.push_str(&format!("pull {} &\n", sh::quote(image)));
        if index % 4 == 3 {
            text.push_str("wait\n");
        }
    }
    text.push_str("wait\n");
    text
}

/// Makes the copy of each image that its user namespace needs, one after the other. `@mapped index` is the verdict on success,
/// `index: text` what Podman said.
pub(super) fn map_images(wanted: &[(String, String)]) -> String {
    let mut text = format!(
        r#"{PRELUDE}map() {{
  if said=$(podman create --quiet --pull=never --network=none --userns="$2" "$3" true 2>&1); then
    podman rm --force -- "${{said##*
}}" >/dev/null 2>&1
    printf '@mapped %s\n' "$1"
  else
    printf '%s\n' "$said" | sed "s/^/$1: /"
  fi
}}
"#
    );
    for (index, (image, userns)) in wanted.iter().enumerate() {
        text.push_str(&format!("map {index} {} {}\n", sh::quote(userns), sh::quote(image)));
    }
    text
}

/// Gives names back to image contents, so that the old units find the old images.
pub(super) fn retag(images: &BTreeMap<String, String>) -> String {
    let mut text = PRELUDE.to_owned();
    for (image, id) in images {
        text.push_str(&format!("podman tag {} {} || exit 1\n", sh::quote(id), sh::quote(image)));
    }
    text
}

/// Keeps the salt of the host's secret names; one that is there already stays.
pub(super) fn keep_salt(salt: &str) -> String {
    format!(
        "{PRELUDE}mkdir -p \"$HOME/{STATE}\" && {{ [ -s \"$HOME/{STATE}/salt\" ] || printf %s {} >\"$HOME/{STATE}/salt\"; }}\n",
        sh::quote(salt)
    )
}

/// Makes a secret of what stands on stdin. One of this name has this value already: the name is made of it.
pub(super) fn make_secret(name: &str) -> String {
    let name = sh::quote(name);
    format!("{PRELUDE}podman secret inspect {name} >/dev/null 2>&1 || podman secret create {name} - >/dev/null\n")
}

/// Removes secrets, as far as no container uses them.
pub(super) fn remove_secrets(names: &BTreeSet<&String>) -> String {
    format!("{PRELUDE}podman secret rm {} >/dev/null 2>&1\nexit 0\n", sh::join(names))
}

/// What a swap does.
#[derive(Debug, Default)]
pub(super) struct Swap<'a> {
    pub write: BTreeMap<String, String>,
    pub remove: BTreeSet<&'a String>,
    /// Containers to stop first.
    pub stop: BTreeSet<&'a String>,
    /// Containers to start anew.
    pub restart: BTreeSet<&'a String>,
    pub reload: bool,
}

/// Swaps units and starts containers anew. Nothing is read by systemd before every file is in its place; the start jobs are only
/// queued, so the order between services is systemd's, and independent ones start together.
pub(super) fn swap(swap: &Swap<'_>) -> String {
    let services = |names: &BTreeSet<&String>| sh::join(names.iter().map(|name| format!("{name}.service")));
    let mut text = format!("{PRELUDE}units=$HOME/{UNITS}\nmkdir -p \"$units\" || exit 1\n");
    let mut stop: Vec<_> = swap.stop.iter().map(|name| format!("{name}.service")).collect();
    let others = swap.remove.iter().filter(|file| !file.ends_with(".container"));
    stop.extend(others.map(|file| super::quadlet::service_name(file)));
    if !stop.is_empty() {
        // 5: systemd does not know the unit, so there is nothing to stop.
        text.push_str(&format!("systemctl --user stop -- {} || [ $? -eq 5 ] || exit 1\n", sh::join(stop)));
    }
    if !swap.write.is_empty() {
        text.push_str(&stage_lines(&swap.write));
        for file in swap.write.keys() {
            text.push_str(&format!("mv -f \"$stage\"/{0} \"$units\"/{0} || exit 1\n", sh::quote(file)));
        }
        text.push_str("rmdir \"$stage\"\n");
    }
    for file in &swap.remove {
        text.push_str(&format!("rm -f \"$units\"/{} || exit 1\n", sh::quote(file)));
    }
    if swap.reload {
        text.push_str("systemctl --user daemon-reload || exit 1\n");
    }
    for file in &swap.remove {
        if let Some(network) = file.strip_suffix(".network") {
            text.push_str(&format!("podman network rm {} >/dev/null 2>&1\n", sh::quote(network)));
        }
    }
    if !swap.restart.is_empty() {
        let services = services(&swap.restart);
        text.push_str(&format!("systemctl --user reset-failed -- {services} 2>/dev/null\n"));
        text.push_str(&format!("systemctl --user restart --no-block -- {services} || exit 1\n"));
    }
    text.push_str("exit 0\n");
    text
}

/// Stops containers whose settings are about to change.
pub(super) fn stop(names: &BTreeSet<String>) -> String {
    let services = sh::join(names.iter().map(|name| format!("{name}.service")));
    format!("{PRELUDE}systemctl --user stop -- {services}\n")
}

/// Replaces a file by what stands on stdin; owner and mode stay.
pub(super) fn write_file(path: &str) -> String {
    let (path, new) = (sh::quote(path), sh::quote(&format!("{path}.mms-new")));
    format!(
        "{PRELUDE}set -e\n[ -e {path} ] && cp -p -- {path} {new} || (umask 077; : >{new})\ncat >{new}\nmv -f -- {new} {path}\n"
    )
}

/// Writes state files (`None` removes one) and forgets secrets no unit names any longer.
pub(super) fn remember(states: &BTreeMap<String, Option<String>>, secrets: &[String]) -> String {
    let mut text = format!("{PRELUDE}dir=$HOME/{STATE}/services\nmkdir -p \"$dir\" || exit 1\n");
    for (service, state) in states {
        let file = sh::quote(&format!("{service}.json"));
        match state {
            Some(content) => text.push_str(&format!(
                "printf %s {} >\"$dir\"/.{file} && mv -f \"$dir\"/.{file} \"$dir\"/{file} || exit 1\n",
                sh::quote(content)
            )),
            None => text.push_str(&format!("rm -f \"$dir\"/{file} || exit 1\n")),
        }
    }
    if !secrets.is_empty() {
        text.push_str(&format!("podman secret rm {} >/dev/null 2>&1\n", sh::join(secrets)));
    }
    text.push_str("exit 0\n");
    text
}

/// Exit status and output of a container's last health check; nothing when it has none or is gone.
pub(super) fn last_check(container: &str) -> String {
    let format = "{{range .State.Health.Log}}@{{.ExitCode}} {{.Output}}{{end}}";
    format!(
        "{PRELUDE}podman inspect --format {} {} 2>/dev/null | tr '\\n' ' ' | sed 's/.*@/exit status /'\nexit 0\n",
        sh::quote(format),
        sh::quote(container)
    )
}

/// The last lines a container wrote, as systemd's journal has them. `as_root` reads the system's journal, which needs no
/// journal of the user's own.
pub(super) fn journal(container: &str, uid: u32, lines: u32, as_root: bool) -> String {
    let lines = format!("--lines={lines}");
    let mut words = vec!["journalctl", "--quiet", "--no-pager", "--output=cat", &lines];
    let matches = super::logs::matches(std::slice::from_ref(&container), uid);
    words.extend((!as_root).then_some("--user"));
    words.extend(matches.iter().map(String::as_str));
    format!("{}{} 2>/dev/null\nexit 0\n", if as_root { "" } else { PRELUDE }, sh::join(words))
}

//! The shell text of a restore's steps. All of it runs as the containers' user, and each step may be run again.

use super::journal::{Journal, Phase, Place, Verb};
use crate::service::observe::{PRELUDE, STATE, UNITS};
use crate::sh;

/// What every script that works on one restore begins with. Whoever started it may go away: what was begun is brought to the end
/// of the script.
pub(crate) fn head(journal: &Journal) -> String {
    format!(
        r#"{PRELUDE}trap '' HUP PIPE
dir=$HOME/{STATE}/{verb}/{service}/{id}
phase() {{ printf '%s\n' "$1" >"$dir/.phase" && mv -f "$dir/.phase" "$dir/phase" && sync; }}
there() {{ [ -e "$1" ] || [ -L "$1" ]; }}
away() {{ ! there "$1" || podman unshare rm -rf -- "$1"; }}
"#,
        verb = journal.verb.word(),
        service = sh::quote(&journal.service),
        id = sh::quote(&journal.id),
    )
}

/// What is on the target: earlier restores of a service (`@restore phase journal`), containers without a unit (`@missing name`), and
/// for each path `@path type mount writable free-KiB file-system` and `@real path`, which is where a link leads.
pub(crate) fn look(verb: Verb, service: &str, containers: &[String], paths: &[String]) -> String {
    let mut text = format!(
        r#"{PRELUDE}[ -S "$XDG_RUNTIME_DIR/bus" ] && echo '@bus'
command -v tar >/dev/null && echo '@tar'
for dir in "$HOME/{STATE}/{verb}/"{service}/*/; do
  [ -f "$dir/journal" ] || continue
  printf '@restore %s ' "$(cat "$dir/phase" 2>/dev/null || echo staging)"; tr -d '\n' <"$dir/journal"; echo
done
look() {{
  [ -L "$1" ] && real=$(readlink -f -- "$1") && [ -n "$real" ] && set -- "$real"
  parent=$(dirname -- "$1")
  while [ ! -d "$parent" ]; do parent=$(dirname -- "$parent"); done
  type=absent; [ -d "$1" ] && type=directory; [ -f "$1" ] && type=file; [ -L "$1" ] && type=link
  mount=no; [ "$type" = directory ] && [ "$(stat -c %d -- "$1")" != "$(stat -c %d -- "$parent")" ] && mount=yes
  # Of the same file system, by `mount --bind`.
  mountpoint -q -- "$1" 2>/dev/null && mount=yes
  writable=no; [ -w "$parent" ] && writable=yes
  printf '@path %s %s %s %s\n' "$type" "$mount" "$writable" "$(df -Pk -- "$parent" | awk 'NR == 2 {{ print $4, $6 }}')"
  printf '@real %s\n' "$1"
}}
"#,
        verb = verb.word(),
        service = sh::quote(service),
    );
    for name in containers {
        let file = sh::quote(&format!("{UNITS}/{name}.container"));
        text.push_str(&format!("[ -f {file} ] || echo '@missing' {}\n", sh::quote(name)));
    }
    for path in paths {
        text.push_str(&format!("look {}\n", sh::quote(path)));
    }
    text.push_str("exit 0\n");
    text
}

/// Notes what is about to be done, and who does it. Refuses when another restore of the service is under way: its shell is alive. On
/// stdout: the directory of its own files.
pub(crate) fn begin(journal: &Journal, owner: &str) -> String {
    let mut text = lock(&journal.service, owner);
    text.push_str(&head(journal));
    text.push_str(&format!(
        "mkdir -p \"$dir\" || exit 1\nprintf %s {} >\"$dir/.journal\" || exit 1\nphase {} || exit 1\nmv -f \"$dir/.journal\" \"$dir/journal\" || exit 1\n",
        sh::quote(&journal.to_text()),
        Phase::Staging.word(),
    ));
    for place in &journal.places {
        text.push_str(&format!(
            "(umask 022; mkdir -p -- \"$(dirname -- {0})\") || exit 1\naway {0} || exit 1\n",
            sh::quote(&place.staged)
        ));
    }
    text.push_str("printf '%s\\n' \"$dir\"\n");
    text
}

/// Takes the lock of a service's restores for this shell: process, its start and the boot, then who, since when, until when; the same
/// form as the lock of backups, and both heed each other. The one who held it and is gone (its process ended, the machine was
/// started anew) holds it no longer. Status 75: somebody else is at work, named on stdout.
pub(crate) fn lock(service: &str, owner: &str) -> String {
    format!(
        r#"{PRELUDE}mkdir -p "$HOME/{STATE}/restore/"{service} || exit 1
lock=$HOME/{STATE}/restore/{service}/lock
born() {{ [ -r "/proc/$1/stat" ] && sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }}
boot=$(cat /proc/sys/kernel/random/boot_id)
held() {{
  pid=''; {{ read -r pid start since_boot && read -r who && read -r since; }} <"$1" 2>/dev/null
  [ -n "$pid" ] && [ "$since_boot" = "$boot" ] && [ "$start" = "$(born "$pid")" ]
}}
me="$$ $(born $$) $boot"
for try in 1 2 3 4 5; do
  printf '%s
' "$me" {owner} "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(($(date +%s) + 86400))" >"$lock.$$" || {{ rm -f "$lock.$$"; exit 1; }}
  taken=no; ln "$lock.$$" "$lock" 2>/dev/null && taken=yes
  rm -f "$lock.$$"
  [ "$(head -n 1 "$lock" 2>/dev/null)" = "$me" ] && taken=yes
  [ "$taken" = yes ] && break
  held "$lock" && {{ echo "the restore by $who"; exit 75; }}
  # Nobody holds it. Another one may see the same and be faster: what was moved away must be what was looked at.
  mv "$lock" "$lock.old.$$" 2>/dev/null && held "$lock.old.$$" && ln "$lock.old.$$" "$lock" 2>/dev/null
  rm -f "$lock.old.$$"
done
[ "$taken" = yes ] || exit 75
backup=$HOME/{STATE}/backup/{service}/lock
[ -e "$backup" ] && held "$backup" && {{ rm -f "$lock"; echo "a backup since $since"; exit 75; }}
true
"#,
        service = sh::quote(service),
        owner = sh::quote(owner),
    )
}

/// Gives the lock back.
pub(crate) fn unlock(service: &str) -> String {
    format!(
        "{PRELUDE}cd {STATE}/restore || exit 0\nrm -f {0}/lock\nrmdir {0} 2>/dev/null && cd .. && rmdir restore 2>/dev/null\nexit 0\n",
        sh::quote(service)
    )
}

/// Unpacks a tar stream whose names are paths from the root on, with owners as the user's namespace has them. `packed`: it comes as
/// frames of zstd. tar does not notice when a stream ends between two members, so zstd must say that it came to the end; when tar has
/// gone (141, 70: nobody reads), tar has said why.
pub(crate) fn unpack(packed: bool) -> String {
    let tar = "tar -C / --numeric-owner -xpf -";
    let inside = if packed {
        format!(
            "{{ zstd -dcq 2>/dev/null; s=$?; case $s in 0|70|141) ;; *) echo \"zstd fails with status $s\" >&2; kill $$ ;; esac; }} | {tar}"
        )
    } else {
        format!("exec {tar}")
    };
    format!("{PRELUDE}exec podman unshare sh -c {}", sh::quote(&format!("umask 022; {}{inside}", sh::WIDE_TAR)))
}

/// Everything that was unpacked is on the disk, not only in memory. `sync` tells of no error; `sync -f`, after it, tells of those that the
/// file system has met and that nobody was told of.
pub(crate) fn settle_down(journal: &Journal) -> String {
    let mut text = head(journal);
    for place in &journal.places {
        text.push_str(&format!(
            "there {0} || {{ echo \"nothing was unpacked to {0}\" >&2; exit 1; }}\n",
            sh::quote(&place.staged)
        ));
    }
    text.push_str("sync\n");
    for place in &journal.places {
        // What was unpacked may belong to a user of the containers; what it lies in does not.
        let above = format!("above=$(dirname -- {})\n", sh::quote(&place.staged));
        text.push_str(&format!("{above}[ ! -r \"$above\" ] || sync -f -- \"$above\" || exit 1\n"));
    }
    text.push_str("exit 0\n");
    text
}

/// Stops the service, swaps its data, starts it: one script, so that the service is away for as short as can be, and so that a
/// connection that is cut in the middle does not leave it stopped.
pub(crate) fn swap(journal: &Journal) -> String {
    let mut text = head(journal);
    text.push_str(&format!("phase {} || exit 1\n", Phase::Swapping.word()));
    text.push_str(&stop(journal));
    for Place { live, staged, replaced, .. } in &journal.places {
        let (live, staged, replaced) = (sh::quote(live), sh::quote(staged), sh::quote(replaced));
        text.push_str(&format!(
            "if there {staged}; then\n  if there {live}; then there {replaced} && exit 1; mv -T -- {live} {replaced} || exit 1; fi\n  \
             mv -T -- {staged} {live} || exit 1\nfi\n"
        ));
    }
    text.push_str(&format!("phase {} || exit 1\n", Phase::Swapped.word()));
    let mut start: Vec<&String> = journal.units.iter().chain(&journal.active).collect();
    start.sort();
    start.dedup();
    text.push_str(&start_units(&start));
    text
}

/// Puts the old data back and starts what ran before.
pub(crate) fn undo(journal: &Journal) -> String {
    let mut text = head(journal);
    text.push_str(&format!("phase {} || exit 1\n", Phase::Undoing.word()));
    text.push_str(&stop(journal));
    for Place { live, staged, replaced, existed } in &journal.places {
        let (live, staged, replaced) = (sh::quote(live), sh::quote(staged), sh::quote(replaced));
        let aside = format!("if there {live}; then away {staged}; mv -T -- {live} {staged} || exit 1; fi");
        if *existed {
            text.push_str(&format!(
                "if there {replaced}; then\n  {aside}\n  mv -T -- {replaced} {live} || exit 1\nfi\n"
            ));
        } else {
            text.push_str(&format!("there {staged} || {{ {aside}; }}\n"));
        }
    }
    text.push_str(&start_units(&journal.active.iter().collect::<Vec<_>>()));
    text.push_str(&format!("phase {}\n", Phase::Undone.word()));
    text
}

/// The restore has succeeded: what earlier ones had kept goes, what this one replaced stays.
pub(crate) fn done(journal: &Journal, earlier: &[&Journal]) -> String {
    let mut text = format!("{}phase {} || exit 1\n", head(journal), Phase::Done.word());
    for journal in earlier {
        text.push_str(&remove(journal));
    }
    text.push_str("exit 0\n");
    text
}

/// Takes away all that a restore has left, but never what is in use.
pub(crate) fn forget(journal: &Journal) -> String {
    format!("{}{}exit 0\n", head(journal), remove(journal))
}

pub(crate) fn remove(journal: &Journal) -> String {
    let mut text = String::new();
    for Place { staged, replaced, .. } in &journal.places {
        text.push_str(&format!("away {}\naway {}\n", sh::quote(staged), sh::quote(replaced)));
    }
    text.push_str(&format!(
        // The last one takes the directories above it along; a lock in them keeps them.
        "(cd {STATE}/{2} 2>/dev/null && rm -rf {0}/{1} && rmdir {0} && cd .. && rmdir {2}) 2>/dev/null\n",
        sh::quote(&journal.service),
        sh::quote(&journal.id),
        journal.verb.word()
    ));
    text
}

fn stop(journal: &Journal) -> String {
    let units = sh::join(&journal.units);
    // 5: systemd does not know the unit, so there is nothing to stop.
    format!("systemctl --user stop -- {units} || [ $? -eq 5 ] || exit 1\n")
}

fn start_units(units: &[&String]) -> String {
    if units.is_empty() {
        return String::new();
    }
    let units = sh::join(units);
    format!(
        "systemctl --user reset-failed -- {units} 2>/dev/null\nsystemctl --user start --no-block -- {units} || exit 1\n"
    )
}

/// Every container unit that runs: one name on each line. Fails where systemd does not say: what ran would not be started again.
pub(crate) fn active() -> String {
    format!(
        r#"{PRELUDE}units=$(systemctl --user list-units --type=service --state=active,activating,reloading --plain --full --no-legend) || exit 1
printf '%s\n' "$units" | while read -r name rest; do
  [ ! -f "{UNITS}/${{name%.service}}.container" ] || printf '%s\n' "$name"
done
exit 0
"#
    )
}

/// Puts the units of a trial into the runtime directory and starts them; `units` are file name → text.
pub(crate) fn start_trial(units: &[(String, String)], empty: &[String], start: &[String]) -> String {
    let mut text = format!("{PRELUDE}units=$XDG_RUNTIME_DIR/containers/systemd\nmkdir -p \"$units\" || exit 1\n");
    for path in empty {
        text.push_str(&format!("(umask 022; mkdir -p -- {}) || exit 1\n", sh::quote(path)));
    }
    for (file, content) in units {
        text.push_str(&format!("printf %s {} >\"$units\"/{} || exit 1\n", sh::quote(content), sh::quote(file)));
    }
    text.push_str(&format!(
        "systemctl --user daemon-reload || exit 1\nsystemctl --user start --no-block -- {} || exit 1\n",
        sh::join(start)
    ));
    text
}

/// Ends a trial and takes away all it made. May be run at any time, also when there is no trial.
pub(crate) fn end_trial(prefix: &str, directories: &[String]) -> String {
    let prefix = sh::quote(prefix);
    let mut text = format!(
        r#"{PRELUDE}trap '' HUP PIPE
units=$XDG_RUNTIME_DIR/containers/systemd
prefix={prefix}
for unit in "$units/$prefix"*.container; do
  [ -f "$unit" ] || continue
  name=${{unit##*/}}; name=${{name%.container}}
  systemctl --user stop -- "$name.service" 2>/dev/null
  systemctl --user reset-failed -- "$name.service" 2>/dev/null
  podman rm --force --ignore --volumes --time 10 "$name" >/dev/null 2>&1
  rm -f "$unit"
done
for unit in "$units/$prefix"*.network; do
  [ -f "$unit" ] || continue
  name=${{unit##*/}}; name=${{name%.network}}
  systemctl --user stop -- "$name-network.service" 2>/dev/null
  podman network rm --force "$name" >/dev/null 2>&1
  rm -f "$unit"
done
systemctl --user daemon-reload
"#
    );
    for directory in directories {
        text.push_str(&format!("[ ! -e {0} ] || podman unshare rm -rf -- {0}\n", sh::quote(directory)));
    }
    text.push_str("exit 0\n");
    text
}

/// The text of unit files: `@unit length name` and the text.
pub(crate) fn units(names: &[String]) -> String {
    let mut text = format!("{PRELUDE}cd {} || exit 1\n", sh::quote(UNITS));
    for name in names {
        let file = sh::quote(&format!("{name}.container"));
        text.push_str(&format!(
            "[ -f {file} ] && printf '@unit %s %s\\n' \"$(wc -c <{file} | tr -d ' ')\" {file} && cat {file} && echo\n"
        ));
    }
    text.push_str("exit 0\n");
    text
}

/// Makes a fresh data directory for a database server, with the permissions of the old one.
pub(crate) fn fresh(live: &str, fresh: &str) -> String {
    let (live, fresh) = (sh::quote(live), sh::quote(fresh));
    format!(
        "{PRELUDE}mkdir -p -- {fresh} || exit 1\nchmod \"$(stat -c %a -- {live} 2>/dev/null || echo 700)\" -- {fresh} || exit 1\n"
    )
}

/// Waits until a server takes connections over TCP, which the one that only initialises the data directory does not.
pub(crate) fn await_server(container: &str, user: &str) -> String {
    let (container, user) = (sh::quote(container), sh::quote(user));
    format!(
        r#"{PRELUDE}i=0
until podman exec {container} pg_isready --quiet --host 127.0.0.1 --username {user}; do
  i=$((i + 1)); [ $i -lt 120 ] || {{ echo "the server did not start within 2 minutes" >&2; exit 1; }}
  sleep 1
done
"#
    )
}

/// Loads a dump. On stdout: the SQLSTATE of each statement that failed, and no text, which might hold data.
///
/// The superuser keeps the password of now: the one of the dump may be older than the one in the vault.
pub(crate) fn load(container: &str, user: &str, database: Option<&str>, dump: &str) -> String {
    let psql = format!(
        "podman exec --interactive {} psql --no-psqlrc --quiet --set VERBOSITY=sqlstate --username {}",
        sh::quote(container),
        sh::quote(user)
    );
    let name: String = user.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '-').collect();
    let (create, into) = match database {
        Some(database) => (
            format!(
                "podman exec {} createdb --username {} -- {} >/dev/null 2>&1\n",
                sh::quote(container),
                sh::quote(user),
                sh::quote(database)
            ),
            database,
        ),
        None => (String::new(), "postgres"),
    };
    format!(
        r#"{PRELUDE}{create}set -o pipefail 2>/dev/null
sed '1,/^\\connect /s/^\(ALTER ROLE "\{{0,1\}}{name}"\{{0,1\}} .*\) PASSWORD '"'[^']*'"'/\1/' <{dump} |
  {{ {psql} --dbname {into} 2>&1 >/dev/null; echo "@status $?"; }} | sed -n -e 's/.*ERROR:  *\([0-9A-Z]\{{5\}}\)$/\1/p' -e 's/.*FATAL:  *\([0-9A-Z]\{{5\}}\)$/\1/p' -e '/^@status/p'
"#,
        dump = sh::quote(dump),
        into = sh::quote(into),
    )
}

//! The shell text that runs on the new host, as the containers' user. What swaps data is a restore's ([`crate::restore::scripts`]).

use crate::restore::journal::{Journal, Phase, Place};
use crate::restore::scripts::head;
use crate::service::observe::PRELUDE;
use crate::sh;

/// A script that needs files of the containers as they see them.
pub fn unshared(script: &str) -> String {
    format!("{PRELUDE}exec podman unshare sh -c {}", sh::quote(script))
}

/// Notes the journal anew: nothing has been touched yet.
pub fn renew(journal: &Journal, phase: Phase) -> String {
    format!(
        "{}mkdir -p \"$dir\" || exit 1\nprintf %s {} >\"$dir/.journal\" && mv -f \"$dir/.journal\" \"$dir/journal\" || exit 1\nphase {}\n",
        head(journal),
        sh::quote(&journal.to_text()),
        phase.word()
    )
}

/// Makes the staging places, with the permissions of what they will replace. What is in them already stays.
pub fn stage(journal: &Journal) -> String {
    let mut text = head(journal);
    for Place { live, staged, .. } in &journal.places {
        let (live, staged) = (sh::quote(live), sh::quote(staged));
        text.push_str(&format!(
            "(umask 022; mkdir -p -- \"$(dirname -- {staged})\") || exit 1\nthere {staged} || mkdir -m 0750 -- {staged} || exit 1\n\
             mode=$(stat -c %a -- {live} 2>/dev/null) || mode=750\npodman unshare chmod \"$mode\" -- {staged} || exit 1\n"
        ));
    }
    text
}

/// Keeps the record of what was stopped on the old host. One that is there already stays.
pub fn note(journal: &Journal, record: &str) -> String {
    format!(
        "{}[ ! -e \"$dir/stopped\" ] || exit 0\nprintf '%s\\n' {} >\"$dir/.stopped\" && mv -f \"$dir/.stopped\" \"$dir/stopped\" && sync\n",
        head(journal),
        sh::quote(record)
    )
}

/// What was started again needs no record any more.
pub fn forget_note(journal: &Journal) -> String {
    format!("{}rm -f \"$dir/stopped\"\nexit 0\n", head(journal))
}

/// The record, if there is one.
pub fn read_note(journal: &Journal) -> String {
    format!("{}cat \"$dir/stopped\" 2>/dev/null\nexit 0\n", head(journal))
}

/// Sets the phase.
pub fn phase(journal: &Journal, phase: Phase) -> String {
    format!("{}phase {}\n", head(journal), phase.word())
}

/// How much is in the data that is replaced: `@data number KiB files`, and `@cluster number version` for one of PostgreSQL.
pub fn weigh(paths: &[String]) -> String {
    let mut inner = String::from("LC_ALL=C; export LC_ALL\n");
    for (at, path) in paths.iter().enumerate() {
        let path = sh::quote(path);
        inner.push_str(&format!(
            "if [ -d {path} ]; then echo \"@data {at} $(du -sk {path} 2>/dev/null | cut -f 1) $(find {path} -type f 2>/dev/null | wc -l)\"; \
             [ ! -f {path}/PG_VERSION ] || echo \"@cluster {at} $(cat {path}/PG_VERSION)\"; fi\n"
        ));
    }
    inner.push_str("exit 0\n");
    unshared(&inner)
}

/// The tools that are there, as `@tool name`, and the user's numbers: `@id uid gid`.
pub fn tools() -> String {
    format!(
        "{PRELUDE}echo \"@id $(id -u) $(id -g)\"\nfor tool in tar find sha256sum xargs sqlite3 ssh podman; do command -v $tool >/dev/null && echo \"@tool $tool\"; done\nexit 0\n"
    )
}

/// Keeps a list of names that comes by stdin; the command prints nothing.
pub fn keep_list(journal: &Journal) -> String {
    format!("{}cat >\"$dir/list\"", head(journal))
}

/// A command that reads the list that was kept, and works on the staging place as the containers see it.
pub fn with_list(journal: &Journal, directory: &str, command: &str) -> String {
    format!(
        "{}podman unshare sh -c {} <\"$dir/list\"; status=$?; rm -f \"$dir/list\"; exit $status\n",
        head(journal),
        sh::quote(&format!("LC_ALL=C; export LC_ALL; cd -- {} || exit 1\n{command}", sh::quote(directory)))
    )
}

/// Gives the copy to the user that the container runs as.
pub fn give(staged: &str, owner: (u32, u32), mode: Option<&str>) -> String {
    let staged = sh::quote(staged);
    let mode = mode.map(|mode| format!(" && chmod {mode} -- {staged}")).unwrap_or_default();
    unshared(&format!("chown -R -h {}:{} -- {staged}{mode}", owner.0, owner.1))
}

/// Prints a file of the copy.
pub fn read_file(path: &str) -> String {
    unshared(&format!("[ ! -f {0} ] || cat -- {0}", sh::quote(path)))
}

/// Writes a file of the copy anew, with the owner and permissions it had. The content comes by stdin.
pub fn write_file(path: &str) -> String {
    let path = sh::quote(path);
    unshared(&format!(
        "cp -p -- {path} {path}.mms-new && cat >{path}.mms-new && mv -f -- {path}.mms-new {path} || {{ rm -f -- {path}.mms-new; exit 1; }}"
    ))
}

/// Files of a directory that match a pattern of names: one path on each line.
pub fn glob(directory: &str, pattern: &str) -> String {
    let pattern: String = pattern
        .split('*')
        .map(|part| if part.is_empty() { String::new() } else { sh::quote(part) })
        .collect::<Vec<_>>()
        .join("*");
    unshared(&format!(
        "cd -- {} || exit 1\nfor f in {pattern}; do [ -f \"$f\" ] && [ ! -L \"$f\" ] && printf '%s\\n' \"$f\"; done; exit 0",
        sh::quote(directory)
    ))
}

/// Checks the SQLite databases of the copy: `@database path answer`. Their paths come by stdin, NUL after each. SQLite gets links
/// of its own to the files, so that it leaves nothing beside them; one that has to be recovered is checked as a copy.
pub fn check_databases(staged: &str) -> String {
    unshared(&format!(
        r#"LC_ALL=C; export LC_ALL
command -v sqlite3 >/dev/null || {{ echo '@without'; exit 0; }}
cd -- {staged} || exit 1
work={staged}.check
rm -rf -- "$work"
xargs -0 -r sh -c '
work=$0
for file do
  [ "$(head -c 15 "$file" 2>/dev/null)" = "SQLite format 3" ] || continue
  mkdir -p -- "$work" || exit 1
  how="ln"; [ ! -s "$file-journal" ] || how="cp -p"
  for end in "" -wal -journal; do [ ! -f "$file$end" ] || $how -- "$file$end" "$work/db$end" || exit 1; done
  case $how in ln) mode=-readonly ;; *) mode= ;; esac
  said=$(sqlite3 $mode "$work/db" "PRAGMA integrity_check(1)" 2>&1 | head -n 1)
  rm -rf -- "$work"
  case $said in ok) ;; *) said=$(printf %s "${{said:-no answer}}" | tr " " _) ;; esac
  echo "@database $said $file"
done' "$work"
status=$?
rm -rf -- "$work"
exit $status"#,
        staged = sh::quote(staged)
    ))
}

/// A database that was asked about: what SQLite said, and its path. `ok` is good, `unknown` could not be asked.
pub fn parse_databases(answer: &str) -> Vec<(String, String)> {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("@database "));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(said, path)| (said.replace('_', " "), path.trim_start_matches("./").to_owned()))
        .collect()
}

/// The values of a column of a database: one on each line. A database or column that is not there has none.
pub fn column(database: &str, table: &str, column: &str) -> String {
    let database = sh::quote(database);
    unshared(&format!(
        r#"command -v sqlite3 >/dev/null && [ -f {database} ] || exit 0
work={database}.check
mkdir -p -- "$work" || exit 1
for end in "" -wal; do [ ! -f {database}"$end" ] || ln -f -- {database}"$end" "$work/db$end" || exit 1; done
sqlite3 -readonly "$work/db" 'SELECT DISTINCT "{column}" FROM "{table}" WHERE typeof("{column}") = '"'text'" 2>/dev/null
rm -rf -- "$work"
exit 0"#
    ))
}

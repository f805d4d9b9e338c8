//! `list:` of the `dnf` module: packages and repositories as data.

use super::super::rpm::{FORMAT, Package};
use super::options::{Tool, command};
use super::{installed, table};
use crate::connection::Answer;
use crate::modules::{Args, Failure, Probe};
use crate::sh;
use crate::value::{Fields, Value};

/// The format of dnf's `repoquery` that [`read`] reads; dnf 5 needs the line end, dnf 4 adds one of its own.
const QUERY: &str = "--queryformat=%{name}|%{epoch}|%{version}|%{release}|%{arch}|%{repoid}\\n";

/// The probe for what is to be listed.
pub(super) fn probe(tool: Tool, args: &Args, what: &str) -> Probe {
    let query = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        command(tool, args, "--quiet", "repoquery", &names)
    };
    let rpm = installed::rpm(args);
    let script = match what {
        "installed" => format!("{rpm} -qa --qf '{FORMAT}'\n"),
        "updates" | "upgrades" => query(&["--upgrades", QUERY]),
        "available" => query(&["--available", QUERY]),
        "repos" | "repositories" => command(tool, args, "--quiet", "repolist", &[]),
        spec => format!("{rpm} -q --qf '{FORMAT}' -- {} 2>/dev/null\n{}", sh::quote(spec), query(&[QUERY, spec])),
    };
    Probe::new(format!("LC_ALL=C; export LC_ALL\n{script}\n"))
}

/// The result of a listing.
pub(super) fn read(tool: Tool, what: &str, answer: &Answer) -> Result<Fields, Failure> {
    if !answer.ok() {
        return Err(table::refusal(&answer.stderr_text()));
    }
    let text = answer.stdout_text();
    let results: Vec<Value> = if matches!(what, "repos" | "repositories") {
        let ids = text.lines().filter_map(|line| line.split_whitespace().next().map(|id| (line, id)));
        ids.filter(|(line, _)| !line.starts_with("repo id"))
            .map(|(_, id)| Value::from_pairs([("repoid", Value::from(id)), ("state", "enabled".into())]))
            .collect()
    } else {
        text.lines().filter_map(|line| row(tool, line)).collect()
    };
    let mut fields = Fields::from_iter([("msg".to_owned(), "".into()), ("results".to_owned(), results.into())]);
    if tool == Tool::Dnf5 {
        fields.insert("rc".into(), 0.into());
    }
    Ok(fields)
}

fn row(tool: Tool, line: &str) -> Option<Value> {
    let (package, repository, state) = match Package::parse(line) {
        Some(package) => (package, "@System".to_owned(), "installed"),
        None => {
            let (columns, repository) = line.trim_end_matches("\\n").rsplit_once('|')?;
            (Package::parse(&columns.replace('|', "\t"))?, repository.to_owned(), "available")
        }
    };
    let Package { name, epoch, version, release, arch } = &package;
    let envra = match tool {
        Tool::Dnf4 => format!("{epoch}:{name}-{version}-{release}.{arch}"),
        Tool::Dnf5 => package.to_string(),
    };
    Some(Value::from_pairs([
        ("name", Value::from(name.as_str())),
        ("arch", arch.as_str().into()),
        ("epoch", epoch.to_string().into()),
        ("release", release.as_str().into()),
        ("version", version.as_str().into()),
        ("repo", repository.into()),
        ("envra", envra.as_str().into()),
        ("nevra", envra.as_str().into()),
        ("yumstate", state.into()),
    ]))
}

//! `recurse: true`: attributes of everything in a directory.

use indexmap::IndexMap;

use super::{Task, step};
use crate::connection::Answer;
use crate::modules::support::attrs::New;
use crate::modules::support::{FileState, Stat, text};
use crate::modules::{Failure, Next, Probe, Step};
use crate::sh;
use crate::value::Fields;

/// Plans the directory itself and everything in it. Needs a listing, and a second one through the links if there are any
/// to follow.
pub(super) fn recurse(task: &Task<'_>, answers: &[Answer]) -> Result<Next, Failure> {
    let path = &task.state.path;
    let Some(listing) = answers.first() else {
        return Ok(Next::Probe(list(path, "find", "stat -c")));
    };
    let own = entries(path, listing)?;
    let mut changes = Changes::default();
    for (name, stat) in &own {
        changes.add(task, name, stat, false)?;
    }
    if task.args.bool("follow") && own.iter().any(|(_, stat)| is_link(stat)) {
        let Some(listing) = answers.get(1) else {
            return Ok(Next::Probe(list(path, "find -L", "stat -Lc")));
        };
        let known: std::collections::HashSet<&str> =
            own.iter().filter(|(_, stat)| !is_link(stat)).map(|(name, _)| name.as_str()).collect();
        for (name, stat) in entries(path, listing)? {
            // Dangling links are listed as themselves.
            if !known.contains(name.as_str()) && !is_link(&stat) {
                changes.add(task, &name, &stat, true)?;
            }
        }
    }
    let steps = changes.steps();
    let count = changes.count;
    match task.adjust("path", "directory", Fields::new(), steps)? {
        Next::Change(mut change) if count > 0 => {
            change.summary.push(format!("attributes of {count} in it"));
            Ok(Next::Change(change))
        }
        next => Ok(next),
    }
}

fn is_link(stat: &Stat) -> bool {
    stat.raw_mode & 0o170_000 == 0o120_000
}

/// Records end with a line of two slashes, which no file name can hold.
fn list(path: &str, find: &str, stat: &str) -> Probe {
    let path = sh::quote(&super::plain(path));
    Probe::new(format!(
        "LC_ALL=C; export LC_ALL\n{find} {path} ! -path {path} -exec {stat} '%f %u %g %n\n//' -- {{}} + 2>/dev/null\n:\n"
    ))
}

fn entries(path: &str, listing: &Answer) -> Result<Vec<(String, Stat)>, Failure> {
    let bad = || Failure::of_answer(format!("cannot list {path}"), listing);
    let all = text::decode(&listing.stdout);
    all.split_terminator("\n//\n")
        .map(|record| {
            let mut fields = record.splitn(4, ' ');
            let mut next = || fields.next().ok_or_else(bad);
            let raw_mode = u32::from_str_radix(next()?, 16).map_err(|_| bad())?;
            let uid = next()?.parse().map_err(|_| bad())?;
            let gid = next()?.parse().map_err(|_| bad())?;
            Ok((next()?.to_owned(), Stat { raw_mode, uid, gid, ..Stat::default() }))
        })
        .collect()
}

/// Commands and the paths they are for.
#[derive(Default)]
struct Changes {
    groups: IndexMap<String, Vec<String>>,
    count: usize,
}

impl Changes {
    fn add(&mut self, task: &Task<'_>, name: &str, stat: &Stat, through_link: bool) -> Result<(), Failure> {
        let asked = FileState { path: name.to_owned(), ..task.state.clone() };
        let plan = task.attrs().plan(&asked, Some(stat), New::default())?;
        if plan.is_empty() {
            return Ok(());
        }
        self.count += 1;
        // One command for many paths: `{}` stands for them.
        for line in plan.script("{}").lines().chain(plan.script_last("{}").lines()) {
            let command = line.trim_end_matches(" -- {} || exit 1");
            let command = if through_link { command.replacen(" -h", "", 1) } else { command.to_owned() };
            self.groups.entry(command).or_default().push(name.to_owned());
        }
        Ok(())
    }

    fn steps(&self) -> Vec<Step> {
        self.groups
            .iter()
            .map(|(command, paths)| {
                let stdin: Vec<u8> = paths.iter().flat_map(|path| [text::encode(path), vec![0]].concat()).collect();
                let command = match command.split_once(" || ") {
                    Some((guard, command)) => format!("{guard} || xargs -0 {command} --"),
                    None => format!("xargs -0 {command} --"),
                };
                match step(format!("{command}\n")) {
                    Step::Run { script, live, timeout, check, .. } => {
                        Step::Run { script, stdin: Some(stdin), live, timeout, check }
                    }
                    other => other,
                }
            })
            .collect()
    }
}

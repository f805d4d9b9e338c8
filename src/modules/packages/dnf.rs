//! `dnf`: packages of Fedora and its relatives, with dnf 4 or dnf 5.
//!
//! Whether anything is to be done is asked of rpm, which answers in milliseconds; dnf is started only when packages come or go, or
//! when only dnf can tell (`state: latest`, groups, patterns, URLs). What it would do is read from the table that it prints before
//! it asks for confirmation; what it did is read from rpm's list of packages before and after.

mod installed;
mod list;
mod options;
mod request;
mod table;

use std::collections::BTreeSet;

use super::rpm::{FORMAT, Package};
use super::split_commas;
use crate::connection::Answer;
use crate::modules::{Args, Change, Context, Failure, Next, Probe, StateModule, Step};
use crate::sh;
use crate::value::{Fields, Value};
use installed::Installed;
pub(super) use options::SPEC;
use options::{Tool, command};
use request::{Request, State, Want};

/// `dnf`.
pub struct Dnf;

/// The commands that bring the packages into the wanted state.
#[derive(Debug, Default)]
struct Work {
    /// Verbs and their arguments, in order.
    commands: Vec<(&'static str, Vec<String>)>,
    /// Whether it is certain that they change something.
    certain: bool,
    /// Specs of which a newer version is installed: nothing is to be done if there are packages of that version, and
    /// otherwise it is an error.
    older: Vec<String>,
    /// Results that are known without dnf.
    notes: Vec<String>,
}

impl StateModule for Dnf {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let request = Request::read(args)?;
        let mut answers = seen.iter();
        let Some(answer) = answers.next() else { return Ok(Next::Probe(installed::probe(args, &request))) };
        let found = Installed::read(answer)?;
        let tool = found.tool.unwrap_or(Tool::Dnf4);
        if let Some(what) = args.str("list") {
            return match answers.next() {
                Some(answer) => list::read(tool, what, answer).map(Next::Ok),
                None => Ok(Next::Probe(list::probe(tool, args, what))),
            };
        }
        if !found.root && !args.bool("download_only") {
            return Err(request::failure("This command has to be run under the root user.").hint("use `become: true`"));
        }
        if request.wants.is_empty() && !args.bool("autoremove") {
            return Ok(refresh(cx, args, tool));
        }
        let mut work = decide(args, &request, &found);
        if !work.older.is_empty() {
            let Some(answer) = answers.next() else {
                return Ok(Next::Probe(repository_query(tool, args, &work.older)));
            };
            let text = answer.stdout_text();
            let missing: Vec<String> = missing_of(&text, &work.older).into_iter().collect();
            if !missing.is_empty() {
                work.commands.push(("install", missing));
            }
        }
        if work.commands.is_empty() {
            return Ok(Next::Ok(result("Nothing to do", work.notes)));
        }
        let mut results = work.notes.clone();
        if cx.check || !work.certain || args.bool("download_only") {
            let Some(answer) = answers.next() else { return Ok(Next::Probe(rehearsal(tool, args, &work))) };
            let output = format!("{}\n{}", answer.stdout_text(), answer.stderr_text());
            let mut transaction = table::read(&answer.stdout_text());
            if transaction.is_empty() && !output.contains("Transaction Summary") {
                return match answer.rc {
                    0 => Ok(Next::Ok(result("Nothing to do", results))),
                    _ => Err(table::refusal(&output)),
                };
            }
            if answer.rc != 0 && output.contains("Error: Unable to find a match") {
                return Err(table::refusal(&output));
            }
            let unnamed: Vec<String> = replaced_unseen(&transaction);
            if !unnamed.is_empty() && !args.bool("download_only") {
                let rpm = installed::rpm(args);
                let script = format!("LC_ALL=C {rpm} -q --qf '{FORMAT}' -- {}\n", sh::join(&unnamed));
                let Some(answer) = answers.next() else { return Ok(Next::Probe(Probe::new(script))) };
                let old: Vec<Package> = answer.stdout_text().lines().filter_map(Package::parse).collect();
                transaction.outgoing.extend(old.into_iter().filter(|package| !transaction.incoming.contains(package)));
            }
            results.extend(named(args, &transaction.incoming, &transaction.outgoing));
        }
        let summary = match results.get(work.notes.len()..) {
            Some(foreseen) if !foreseen.is_empty() => foreseen.to_vec(),
            _ => work.commands.iter().map(|(verb, names)| format!("{verb} {}", names.join(" "))).collect(),
        };
        let msg = if cx.check { "Check mode: No changes made, but would have if not in check mode" } else { "" };
        Ok(Next::Change(Change {
            summary,
            diff: vec![],
            steps: steps(tool, args, &work),
            result: result(msg, results),
        }))
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        args: &Args,
        change: &Change,
        seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        if let Some(answer) = applied.iter().find(|answer| answer.rc != 0) {
            return Err(table::refusal(&format!("{}\n{}", answer.stdout_text(), answer.stderr_text())));
        }
        let mut fields = change.result.clone();
        let request = Request::read(args)?;
        if request.wants.is_empty() && !args.bool("autoremove") {
            fields.insert("changed".into(), false.into());
            return Ok(fields);
        }
        if args.bool("download_only") {
            return Ok(fields);
        }
        let (Some(before), Some(after)) = (applied.first().map(packages), applied.last().map(packages)) else {
            return Ok(fields);
        };
        let mut results = seen
            .first()
            .map(Installed::read)
            .transpose()?
            .map_or_else(Vec::new, |found| decide(args, &request, &found).notes);
        let incoming = after.difference(&before).cloned().collect();
        let outgoing = before.difference(&after).cloned().collect();
        results.extend(named(args, &incoming, &outgoing));
        fields.insert("results".into(), results.into_iter().map(Value::from).collect());
        Ok(fields)
    }
}

/// What the installed packages leave to be done.
fn decide(args: &Args, request: &Request, found: &Installed) -> Work {
    let mut work = Work { certain: true, ..Work::default() };
    if request.all {
        work.commands.push(("upgrade", vec![]));
        work.certain = false;
        return work;
    }
    let update_only = args.bool("update_only");
    let mut install = vec![];
    let mut upgrade = vec![];
    let mut remove = vec![];
    for want in &request.wants {
        let text = want.text().to_owned();
        let has = found.has(want);
        match request.state {
            State::Absent => match want {
                Want::Group(_) => {
                    work.certain = false;
                    remove.push(text);
                }
                Want::Glob(glob) if found.has_glob(glob) => remove.push(text),
                _ if has == Some(true) => remove.push(text),
                _ if found.tool == Some(Tool::Dnf4) => work.notes.push(format!("No match for argument: {text}")),
                _ => {}
            },
            State::Present | State::Latest => {
                if found.tool == Some(Tool::Dnf4) && matches!(want, Want::File(_) | Want::Url(_)) {
                    work.notes.push(format!("Installed {text}"));
                }
                let latest = request.state == State::Latest && !matches!(want, Want::File(_) | Want::Url(_));
                match has {
                    Some(true) if latest || update_only => upgrade.push(text),
                    Some(true) => {}
                    _ if found.has_newer(want) && !args.bool("allow_downgrade") => match want {
                        Want::File(_) => {}
                        _ => work.older.push(text),
                    },
                    Some(false) if update_only => {
                        work.notes
                            .push(format!("Packages providing {text} not installed due to update_only specified"));
                    }
                    _ => {
                        work.certain &= has == Some(false);
                        if latest && matches!(want, Want::Glob(_)) {
                            upgrade.push(text.clone());
                        }
                        install.push(text);
                    }
                }
            }
        }
    }
    for option in ["skip_broken", "nobest", "security", "bugfix"] {
        work.certain &= !args.bool(option);
    }
    work.certain &= args.list("exclude").is_empty() && (install.is_empty() == upgrade.is_empty() || upgrade.is_empty());
    if request.state == State::Absent {
        let alone = request.wants.is_empty();
        if !remove.is_empty() {
            work.commands.push(("remove", remove));
        }
        if args.bool("autoremove") {
            work.certain &= !alone && !work.commands.is_empty();
            work.commands.push(("autoremove", vec![]));
        }
    } else {
        if !install.is_empty() {
            work.commands.push(("install", install));
        }
        if !upgrade.is_empty() {
            work.certain = false;
            work.commands.push(("upgrade", upgrade));
        }
    }
    work
}

/// dnf asked for each command and told no. Ends with 0 when every command found nothing to do.
fn rehearsal(tool: Tool, args: &Args, work: &Work) -> Probe {
    let mut script = String::from("LC_ALL=C; export LC_ALL; rc=0\n");
    for (verb, names) in &work.commands {
        script.push_str(&format!("{} || rc=$?\n", command(tool, args, "--assumeno", verb, names)));
    }
    script.push_str("exit \"$rc\"\n");
    Probe::new(script)
}

fn steps(tool: Tool, args: &Args, work: &Work) -> Vec<Step> {
    let everything = Step::run(format!("LC_ALL=C {} -qa --qf '{FORMAT}'\n", installed::rpm(args)));
    let commands = work.commands.iter().map(|(verb, names)| Step::Run {
        script: format!("LC_ALL=C; export LC_ALL\n{}\n", command(tool, args, "--assumeyes", verb, names)),
        stdin: None,
        live: true,
        timeout: None,
        check: false,
    });
    if args.bool("download_only") {
        return commands.collect();
    }
    std::iter::once(everything.clone()).chain(commands).chain(std::iter::once(everything)).collect()
}

/// `update_cache` alone. Ansible says that nothing changed.
fn refresh(cx: &Context<'_>, args: &Args, tool: Tool) -> Next {
    let fields = result("Cache updated", vec![]);
    if cx.check {
        return Next::Ok(fields);
    }
    let script = format!("LC_ALL=C; export LC_ALL\n{}\n", command(tool, args, "--assumeyes", "makecache", &[]));
    let step = Step::Run { script, stdin: None, live: true, timeout: None, check: false };
    Next::Action(Change { summary: vec!["refresh metadata".into()], diff: vec![], steps: vec![step], result: fields })
}

/// Asks the repositories for each spec.
fn repository_query(tool: Tool, args: &Args, specs: &[String]) -> Probe {
    let mut script = String::from("LC_ALL=C; export LC_ALL\n");
    for spec in specs {
        let query = command(tool, args, "--quiet", "repoquery", std::slice::from_ref(spec));
        script.push_str(&format!("[ -z \"$({query} 2>/dev/null)\" ] || printf '%s\\n' {}\n", sh::quote(spec)));
    }
    script.push_str(":\n");
    Probe::new(script)
}

/// The specs that are not among the lines.
fn missing_of(text: &str, specs: &[String]) -> Vec<String> {
    specs.iter().filter(|spec| !text.lines().any(|line| line == spec.as_str())).cloned().collect()
}

/// Packages (`name.arch`) that are replaced without the table saying by which version.
fn replaced_unseen(transaction: &table::Transaction) -> Vec<String> {
    let seen = |new: &&Package| !transaction.outgoing.iter().any(|old| old.name == new.name && old.arch == new.arch);
    transaction.replacing.iter().filter(seen).map(|package| format!("{}.{}", package.name, package.arch)).collect()
}

fn packages(answer: &Answer) -> BTreeSet<Package> {
    answer.stdout_text().lines().filter_map(Package::parse).collect()
}

/// Ansible's `results`.
fn named(args: &Args, incoming: &BTreeSet<Package>, outgoing: &BTreeSet<Package>) -> Vec<String> {
    let download = args.bool("download_only");
    let verb = if download { "Downloaded" } else { "Installed" };
    let gone = outgoing.iter().filter(|_| !download).map(|package| format!("Removed: {package}"));
    incoming.iter().map(|package| format!("{verb}: {package}")).chain(gone).collect()
}

fn result(msg: &str, results: Vec<String>) -> Fields {
    Fields::from_iter([
        ("msg".to_owned(), msg.into()),
        ("results".to_owned(), results.into_iter().map(Value::from).collect()),
        ("rc".to_owned(), 0.into()),
    ])
}

//! `apt`: packages of Debian and its relatives.
//!
//! Whether anything is to be done is asked of dpkg, in one process. apt's cache (`apt-cache policy`) is asked only when something
//! may be to install, and `apt-get --simulate` only in check mode or for upgrades.

mod installed;
mod options;
mod plan;
mod spec;
mod version;

use crate::connection::Answer;
use crate::modules::commands::output;
use crate::modules::{Args, Change, Context, Failure, Next, Probe, StateModule, Step};
use crate::value::{Fields, Value};
use installed::{Stamp, Status};
pub(super) use options::SPEC;
use plan::Decision;
use spec::PackageSpec;

/// apt-get says this when it finds nothing to do.
const NOTHING: &str = "\n0 upgraded, 0 newly installed, 0 to remove";

/// `apt`.
pub struct Apt;

/// What a task is about; the first that applies, as in Ansible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Clean,
    Update,
    Upgrade,
    Deb,
    Autoclean,
    Autoremove,
    Install,
    Remove,
}

impl Mode {
    fn of(args: &Args, specs: &[PackageSpec]) -> Self {
        let everything = args.text("state") == "latest" && args.strings("package").iter().any(|name| name == "*");
        let nothing = args.list("package").is_empty() && args.text("upgrade") == "no" && args.str("deb").is_none();
        if nothing && args.bool("clean") {
            Self::Clean
        } else if nothing && (args.bool("update_cache") || valid_time(args) > 0) {
            Self::Update
        } else if args.text("upgrade") != "no" || everything {
            Self::Upgrade
        } else if args.str("deb").is_some() {
            Self::Deb
        } else if specs.is_empty() && args.bool("autoclean") {
            Self::Autoclean
        } else if specs.is_empty() && args.bool("autoremove") {
            Self::Autoremove
        } else if args.text("state") == "absent" {
            Self::Remove
        } else {
            Self::Install
        }
    }
}

fn valid_time(args: &Args) -> i64 {
    args.int("cache_valid_time").unwrap_or(0)
}

fn specs(args: &Args) -> Result<Vec<PackageSpec>, Failure> {
    let names = args.strings("package");
    names.iter().filter(|name| *name != "*").map(|name| PackageSpec::read(name)).collect()
}

/// Whether the package lists are to be updated first.
fn outdated(args: &Args, status: &Status) -> bool {
    match valid_time(args) {
        // Asked for, it is done, even when the lists are of this second or the clock was wrong.
        ..=0 => args.bool("update_cache"),
        valid => status.stamp.seconds().saturating_add(valid) < status.now,
    }
}

impl StateModule for Apt {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let specs = specs(args)?;
        let mode = Mode::of(args, &specs);
        let debs: Vec<String> =
            args.str("deb").map(|debs| debs.split(',').map(str::to_owned).collect()).unwrap_or_default();
        if !debs.is_empty() && args.text("state") != "present" {
            return Err(Failure::new("deb only supports state=present"));
        }
        let (Some(answer), rest) = (seen.first(), seen.get(1..).unwrap_or_default()) else {
            return Ok(Next::Probe(installed::probe(&specs, &debs)));
        };
        let status = Status::read(answer)?;
        let task = Task { cx, args, status: &status, update: outdated(args, &status), rest };
        match mode {
            Mode::Clean => {
                let step = step(args, "/usr/bin/apt-get clean");
                Ok(Next::Change(Change { summary: vec!["clean".into()], steps: vec![step], ..Change::default() }))
            }
            Mode::Update if !task.update => Ok(Next::Ok(task.cache(Fields::new(), false))),
            Mode::Update => {
                let result = task.cache(Fields::new(), true);
                let summary = vec!["update the package lists".into()];
                Ok(Next::Change(Change { summary, steps: vec![update(args)], diff: vec![], result }))
            }
            Mode::Upgrade if !specs.is_empty() => {
                Err(Failure::new("unable to install additional packages when upgrading all installed packages"))
            }
            Mode::Upgrade => {
                task.rehearsed(&options::upgrade(args, true), &options::upgrade(args, false), "upgrade", NOTHING, false)
            }
            Mode::Autoclean | Mode::Autoremove => {
                let (verb, sign) = match mode {
                    Mode::Autoclean => ("autoclean", "Del "),
                    _ => ("autoremove", "The following packages will be REMOVED"),
                };
                task.rehearsed(
                    &options::cleanup(args, verb, true),
                    &options::cleanup(args, verb, false),
                    verb,
                    sign,
                    true,
                )
            }
            Mode::Deb => task.deb(),
            Mode::Remove => {
                let words = plan::removals(args, &specs, &status)?;
                if words.is_empty() {
                    return Ok(Next::Ok(Fields::new()));
                }
                let words = words.join(" ");
                task.certain(
                    &options::remove(args, &words, true),
                    &options::remove(args, &words, false),
                    format!("remove {words}"),
                    "",
                )
            }
            Mode::Install => task.install(&specs),
        }
    }

    fn finish(
        &self,
        cx: &Context<'_>,
        args: &Args,
        change: &Change,
        seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let specs = specs(args)?;
        let status = seen.first().map(Status::read).transpose()?.unwrap_or_default();
        let mut fields = change.result.clone();
        let mut applied = applied.iter();
        if outdated(args, &status)
            && let Some(answer) = applied.next()
        {
            if answer.rc != 0 {
                let tries = args.int("update_cache_retries").unwrap_or(5);
                let why = answer.stderr_text();
                let msg = format!("Failed to update apt cache after {tries} retries: {}", why.trim());
                return Err(Failure::of_answer(msg, answer));
            }
            let stamp = Stamp::read(&answer.stdout_text()).unwrap_or(status.stamp);
            fields.insert("cache_updated".into(), (stamp != status.stamp).into());
            fields.insert("cache_update_time".into(), stamp.seconds().into());
            fields.insert("changed".into(), (Mode::of(args, &specs) == Mode::Update && stamp != status.stamp).into());
        }
        let Some(answer) = applied.next() else { return Ok(fields) };
        if change.result.contains_key("quiet") {
            fields.shift_remove("quiet");
            fields.insert("changed".into(), false.into());
            return Ok(fields);
        }
        let out = answer.stdout_text();
        let mode = Mode::of(args, &specs);
        if answer.rc != 0 {
            let name = change.summary.first().map_or("apt-get", String::as_str);
            let command = match change.result.get("command") {
                Some(command) => command.to_string(),
                None => format!("apt-get {name}"),
            };
            return Err(Failure::of_answer(format!("'{command}' failed: {}", answer.stderr_text()), answer)
                .field("stdout", out.as_ref())
                .field("stderr", answer.stderr_text().as_ref()));
        }
        fields.shift_remove("command");
        let changed = match mode {
            Mode::Autoclean | Mode::Autoremove | Mode::Clean | Mode::Remove => true,
            _ => !out.contains(NOTHING),
        };
        fields.insert("changed".into(), changed.into());
        set_run(&mut fields, cx, answer);
        if matches!(mode, Mode::Upgrade | Mode::Clean) {
            fields.insert("msg".into(), out.as_ref().into());
        }
        Ok(fields)
    }
}

/// A task, and what is known.
struct Task<'a> {
    cx: &'a Context<'a>,
    args: &'a Args,
    status: &'a Status,
    update: bool,
    rest: &'a [Answer],
}

impl Task<'_> {
    /// The fields on the package lists.
    fn cache(&self, mut fields: Fields, updated: bool) -> Fields {
        fields.insert("cache_updated".into(), updated.into());
        fields.insert("cache_update_time".into(), self.status.stamp.seconds().into());
        fields
    }

    /// The steps of a command, after an update of the package lists if they are outdated.
    fn steps(&self, command: &str) -> Vec<Step> {
        let mut steps = vec![];
        if self.update && !self.cx.check {
            steps.push(update(self.args));
        }
        steps.push(step(self.args, command));
        steps
    }

    /// A command of which only apt-get can tell whether it does anything: `sign` stands in its output when it does (or, if not
    /// `positive`, when it does not).
    fn rehearsed(
        &self,
        rehearsal: &str,
        command: &str,
        verb: &str,
        sign: &str,
        positive: bool,
    ) -> Result<Next, Failure> {
        let verb = if verb == "upgrade" { options::upgrade_verb(self.args) } else { verb.to_owned() };
        if self.update && !self.cx.check {
            // What there is to upgrade is known only after the update.
            let summary = vec![verb.trim().to_owned()];
            return Ok(Next::Action(Change { summary, steps: self.steps(command), ..Change::default() }));
        }
        let Some(answer) = self.rest.first() else {
            return Ok(Next::Probe(Probe::new(options::script(self.args, rehearsal))));
        };
        if answer.rc != 0 {
            let name = if verb == "build-dep" { rehearsal.to_owned() } else { format!("apt-get {verb}") };
            return Err(Failure::of_answer(format!("'{name}' failed: {}", answer.stderr_text()), answer));
        }
        let mut result = Fields::new();
        let out = answer.stdout_text();
        set_run(&mut result, self.cx, answer);
        if !positive {
            result.insert("msg".into(), out.as_ref().into());
        }
        if out.contains(sign) != positive {
            return Ok(Next::Ok(result));
        }
        let summary = vec![verb.trim().to_owned()];
        Ok(Next::Change(Change { summary, diff: diff(answer), steps: self.steps(command), result }))
    }

    /// A command that is known to change something. In check mode it is rehearsed for its output.
    fn certain(&self, rehearsal: &str, command: &str, summary: String, after: &str) -> Result<Next, Failure> {
        let steps = self.steps(&format!("{command}{after}"));
        let mut result = Fields::new();
        let mut shown = vec![];
        if self.cx.check {
            let Some(answer) = self.rest.last().filter(|answer| is_rehearsal(answer)) else {
                let script = format!(
                    "{}echo rehearsed >&2\nexit \"$rc\"\n",
                    options::script(self.args, &format!("rc=0; {rehearsal} || rc=$?"))
                );
                return Ok(Next::Probe(Probe::new(script)));
            };
            let answer =
                Answer { stderr: answer.stderr.strip_suffix(REHEARSED).unwrap_or_default().to_vec(), ..answer.clone() };
            if answer.rc != 0 {
                return Err(Failure::of_answer(format!("'{rehearsal}' failed: {}", answer.stderr_text()), &answer));
            }
            set_run(&mut result, self.cx, &answer);
            shown = diff(&answer);
        } else {
            result.insert("command".into(), command.into());
        }
        Ok(Next::Change(Change { summary: vec![summary], diff: shown, steps, result }))
    }

    fn install(&self, specs: &[PackageSpec]) -> Result<Next, Failure> {
        let args = self.args;
        let updating = self.update && !self.cx.check;
        let build_dep = args.text("state") == "build-dep";
        let decision = if build_dep {
            let words: Result<Vec<String>, Failure> = specs.iter().map(|spec| options::word(&spec.text)).collect();
            Decision::Install { words: words?, names: vec![] }
        } else {
            plan::decide(args, specs, self.status, if updating { &[] } else { self.rest })?
        };
        let (words, names) = match decision {
            Decision::Ask(_) if updating => {
                // Candidates are known only after the update: apt-get decides.
                let words: Result<Vec<String>, Failure> =
                    specs.iter().map(|spec| options::word(&spec.text.replace(">=", "="))).collect();
                let words: Vec<String> = specs
                    .iter()
                    .zip(words?)
                    .map(|(spec, word)| match &spec.version {
                        // apt-get has no `>=`; the newest version is taken.
                        Some((spec::Operator::AtLeast, _)) => format!("'{}'", spec.name),
                        _ => word,
                    })
                    .collect();
                let names = specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
                let command = options::install(args, &words.join(" "), false);
                let mut result = Fields::from_iter([("command".to_owned(), command.as_str().into())]);
                result = self.cache(result, true);
                let steps = self.steps(&format!("{command}{}", plan::mark(&names)));
                let summary = vec![format!("install {}", words.join(" "))];
                return Ok(Next::Action(Change { summary, diff: vec![], steps, result }));
            }
            Decision::Ask(probe) => return Ok(Next::Probe(probe)),
            Decision::Install { words, names } => (words, names),
        };
        if words.is_empty() {
            return Ok(self.nothing(&names));
        }
        let words = words.join(" ");
        let (rehearsal, command) = (options::install(args, &words, true), options::install(args, &words, false));
        let next = if build_dep {
            self.rehearsed(&rehearsal, &command, "build-dep", NOTHING, false)?
        } else {
            self.certain(&rehearsal, &command, format!("install {words}"), &plan::mark(&names))?
        };
        Ok(match next {
            Next::Change(mut change) => {
                change.result = self.cache(change.result, self.update);
                Next::Change(change)
            }
            other => other,
        })
    }

    /// Every package is as wanted. Lists may be to update all the same, and packages to mark as wanted for themselves; neither
    /// counts as a change.
    fn nothing(&self, names: &[String]) -> Next {
        let automatic: Vec<String> =
            names.iter().filter(|name| self.status.automatic.iter().any(|auto| auto == *name)).cloned().collect();
        let result = self.cache(Fields::new(), self.update);
        if self.cx.check || (automatic.is_empty() && !self.update) {
            return Next::Ok(result);
        }
        let mut steps = vec![];
        let mut summary = vec![];
        let mut result = result;
        if self.update {
            steps.push(update(self.args));
            summary.push("update the package lists".to_owned());
        }
        if !automatic.is_empty() {
            steps.push(step(self.args, &format!(":{}", plan::mark(&automatic))));
            summary.push(format!("mark {} as installed manually", automatic.join(", ")));
        }
        result.insert("quiet".into(), true.into());
        result.insert("changed".into(), false.into());
        Next::Action(Change { summary, diff: vec![], steps, result })
    }

    fn deb(&self) -> Result<Next, Failure> {
        let args = self.args;
        let wanted: Vec<&str> = self
            .status
            .debs
            .iter()
            .filter(|(_, name, version)| {
                !self.status.of(name).is_some_and(|package| package.installed && package.version == *version)
            })
            .map(|(path, ..)| path.as_str())
            .collect();
        if wanted.is_empty() {
            let mut result = Fields::new();
            output::set_text(&mut result, "stdout", "");
            output::set_text(&mut result, "stderr", "");
            result.insert("diff".into(), "".into());
            return Ok(Next::Ok(result));
        }
        let script = |simulate: bool| {
            wanted.iter().fold(String::new(), |mut script, path| {
                script.push_str(&format!(
                    "({}case $f in /*) ;; *) f=./$f ;; esac\n{}) || exit 1\n",
                    installed::fetch(path),
                    options::install(args, "\"$f\"", simulate)
                ));
                script
            })
        };
        let next = self.certain(
            &format!("{{ {} }}", script(true)),
            &script(false),
            format!("install {}", wanted.join(", ")),
            "",
        )?;
        Ok(match next {
            Next::Change(mut change) => {
                change.result.shift_remove("command");
                Next::Change(change)
            }
            other => other,
        })
    }
}

/// What [`Task::certain`] ends the stderr of a rehearsal with, to tell it from the probes before it.
const REHEARSED: &[u8] = b"rehearsed\n";

fn is_rehearsal(answer: &Answer) -> bool {
    answer.stderr.ends_with(REHEARSED)
}

fn step(args: &Args, command: &str) -> Step {
    let script = options::script(args, command);
    Step::Run { script, stdin: None, live: true, timeout: None, check: false }
}

/// Updates the package lists, waiting twice as long before each try; its stdout is when they were updated.
fn update(args: &Args) -> Step {
    let tries = args.int("update_cache_retries").unwrap_or(5).max(1);
    let longest = args.int("update_cache_retry_max_delay").unwrap_or(12);
    let lock = args.int("lock_timeout").unwrap_or(60);
    let command = format!(
        "n=1; w=1\nuntil /usr/bin/apt-get -q -o APT::Update::Error-Mode=any -o DPkg::Lock::Timeout={lock} update >&2; do\n\
         [ \"$n\" -lt {tries} ] || exit 1\nn=$((n + 1)); sleep \"$w\"; w=$((w * 2)); [ \"$w\" -le {longest} ] || w={longest}\ndone\n{}",
        installed::STAMP
    );
    step(args, &command)
}

/// Sets `stdout`, `stderr` and `diff`.
fn set_run(fields: &mut Fields, cx: &Context<'_>, answer: &Answer) {
    output::set_text(fields, "stdout", &answer.stdout_text());
    output::set_text(fields, "stderr", &answer.stderr_text());
    let prepared = cx.diff.then(|| ("prepared", Value::from(prepared(&answer.stdout_text()))));
    fields.insert("diff".into(), Value::from_pairs(prepared));
}

fn diff(answer: &Answer) -> Vec<crate::modules::Diff> {
    vec![crate::modules::Diff { after: prepared(&answer.stdout_text()), ..crate::modules::Diff::default() }]
}

/// The part of apt-get's output that says what it does.
fn prepared(out: &str) -> String {
    let lines: Vec<&str> = output::lines(out);
    let start = lines.iter().position(|line| *line == "Reading state information...").map_or(0, |at| at + 1);
    let counts = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(" upgraded");
    let end = lines.iter().position(counts).map_or(lines.len(), |at| at + 1);
    lines.get(start..end).unwrap_or_default().join("\n")
}

//! Drives modules against shells of this machine, as the engine does against those of a target: for tests.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures::future::BoxFuture;

use crate::connection::{Answer, Frame};
use crate::modules::{
    ActionModule, Args, Context, Default, Diff, Failure, Gate, Host, Next, Outcome, Spec, StateModule, Step,
    Workstation,
};
use crate::template::FileOptions;
use crate::value::{Fields, Value};

/// A workstation with facts, whose files are those of this machine.
#[derive(Default)]
pub struct Desk {
    /// Facts by name.
    pub facts: Fields,
}

impl Workstation for Desk {
    fn find_file(&self, _dir: &str, name: &str) -> Result<PathBuf, Failure> {
        Ok(PathBuf::from(name))
    }

    fn read_file(&self, path: &Path, _decrypt: bool) -> Result<Vec<u8>, Failure> {
        std::fs::read(path).map_err(|error| Failure::new(error.to_string()))
    }

    fn render_file(&self, _path: &Path, _: &str, _: &str, _: &FileOptions) -> Result<Value, Failure> {
        Err(Failure::new("no templates here"))
    }

    fn fact(&self, name: &str) -> Value {
        self.facts.get(name).cloned().unwrap_or_default()
    }

    fn variable(&self, _name: &str) -> Result<Option<Value>, Failure> {
        Ok(None)
    }
}

/// Arguments from JSON, with the spec's defaults.
pub fn args(spec: &Spec, json: serde_json::Value) -> Args {
    let mut fields = Fields::new();
    for option in spec.options {
        let given = json.get(option.name).map(crate::value::from_json);
        let default = match option.default {
            Default::None | Default::Required => None,
            Default::Str(text) => Some(text.into()),
            Default::Bool(value) => Some(value.into()),
            Default::Int(value) => Some(value.into()),
            Default::EmptyList => Some(Value::from(Vec::<Value>::new())),
            Default::EmptyDict => Some(crate::value::from_fields(&Fields::new())),
        };
        if let Some(value) = given.or(default) {
            fields.insert(option.name.to_owned(), value);
        }
    }
    Args::new(fields)
}

/// How a task ended.
#[derive(Debug)]
pub enum End {
    /// Nothing was to be done.
    Ok(Fields),
    /// Steps were run, or would be in check mode.
    Done(Fields),
    /// Not run.
    Skipped(Fields),
}

impl End {
    /// The result, however it ended.
    pub fn fields(&self) -> &Fields {
        match self {
            Self::Ok(fields) | Self::Done(fields) | Self::Skipped(fields) => fields,
        }
    }
}

/// Every shell of this machine that mms has to get along with.
pub fn shells() -> Vec<&'static [&'static str]> {
    const ALL: &[&[&str]] = &[&["/bin/sh"], &["/bin/dash"], &["/bin/bash"], &["/bin/busybox", "ash"]];
    ALL.iter().copied().filter(|shell| Path::new(shell[0]).exists()).collect()
}

/// One task against one shell.
pub fn run(shell: &[&str], module: &dyn StateModule, args: &Args, check: bool) -> Result<End, Failure> {
    let desk = Desk::default();
    let cx = Context { check, diff: false, user: None, workstation: &desk };
    let mut seen = vec![];
    let (action, change) = loop {
        match module.plan(&cx, args, &seen)? {
            Next::Probe(probe) => seen.push(answer(shell, &probe.script, probe.stdin.as_deref())),
            Next::Ok(fields) => return Ok(End::Ok(fields)),
            Next::Skip(fields) => return Ok(End::Skipped(fields)),
            Next::Unknown(why) => return Err(Failure::new(why)),
            Next::Change(change) => break (false, change),
            Next::Action(change) => break (true, change),
        }
    };
    if check {
        return Ok(End::Done(change.result));
    }
    let mut applied = vec![];
    for step in &change.steps {
        let Step::Run { script, stdin, check, .. } = step else { unreachable!("no transfers here") };
        let answer = answer(shell, script, stdin.as_deref());
        if *check && answer.rc != 0 {
            return Err(Failure::of_answer("a step failed", &answer));
        }
        applied.push(answer);
    }
    let mut fields = module.finish(&cx, args, &change, &seen, &applied)?;
    if !action || !fields.contains_key("changed") {
        fields.insert("changed".into(), true.into());
    }
    Ok(End::Done(fields))
}

/// What a script answers.
pub fn answer(shell: &[&str], script: &str, stdin: Option<&[u8]>) -> Answer {
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", "eval \"$MMS_FRAME\""])
        .env("MMS_FRAME", script)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(bytes) = stdin {
        // A script that does not read its stdin closes it.
        let _ = child.stdin.take().unwrap().write_all(bytes);
    }
    let output = child.wait_with_output().unwrap();
    Answer { rc: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr: output.stderr }
}

/// A host that is a shell of this machine.
struct Here<'a> {
    shell: &'a [&'a str],
    check: bool,
    gone: std::sync::atomic::AtomicBool,
}

impl Here<'_> {
    fn answer(&self, frame: &Frame) -> BoxFuture<'static, Result<Answer, Failure>> {
        let answer = answer(self.shell, &frame.script, frame.stdin.as_deref());
        Box::pin(async move { Ok(answer) })
    }
}

impl Host for Here<'_> {
    fn probe(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        self.answer(&script)
    }

    fn probe_as<'a>(&'a self, _user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.answer(&script)
    }

    fn change<'a>(&'a self, summary: &'a [String], _diff: &'a [Diff]) -> BoxFuture<'a, Gate> {
        assert!(!summary.is_empty(), "a change without a summary");
        self.gone.store(!self.check, std::sync::atomic::Ordering::Relaxed);
        Box::pin(async { if self.check { Gate::CheckOnly } else { Gate::Go } })
    }

    fn run(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        assert!(self.gone.load(std::sync::atomic::Ordering::Relaxed), "a change before it was allowed");
        self.answer(&script)
    }

    fn run_as<'a>(&'a self, _user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        Host::run(self, script)
    }

    fn upload<'a>(&'a self, _from: &'a Path, _script: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async { Err(Failure::new("no uploads here")) })
    }

    fn progress(&self, _line: &str) {}

    fn reconnect(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

/// One task of an action module against one shell. Its runtime has a clock.
pub fn act(shell: &[&str], module: &dyn ActionModule, args: &Args, check: bool) -> Result<Outcome, Failure> {
    let desk = Desk::default();
    let cx = Context { check, diff: false, user: None, workstation: &desk };
    let host = Here { shell, check, gone: std::sync::atomic::AtomicBool::new(false) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(module.run(&cx, args, &host))
}

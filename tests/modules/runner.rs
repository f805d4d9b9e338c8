//! What the module tests share: arguments from YAML, a workstation made of a directory, and a tiny engine that runs probes and steps with
//! a shell of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mms::connection::Answer;
use mms::modules::{
    Args, Change, Context, Diff, Failure, Kind, Module, Next, StateModule, Step, Workstation, find, validate,
};
use mms::template::FileOptions;
use mms::value::{Fields, Value, from_fields, from_json, to_json};
use serde_json::Value as Json;

/// Local files are looked for in this directory. Templates are copied as they are.
pub struct Folder(pub PathBuf);

impl Workstation for Folder {
    fn find_file(&self, _dir: &str, name: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        if path.exists() { Ok(path) } else { Err(Failure::new(format!("could not find `{name}`"))) }
    }

    fn read_file(&self, path: &Path, _decrypt: bool) -> Result<Vec<u8>, Failure> {
        std::fs::read(path).map_err(|error| Failure::new(error.to_string()))
    }

    fn render_file(&self, path: &Path, _: &str, _: &str, _: &FileOptions) -> Result<Value, Failure> {
        Ok(String::from_utf8(self.read_file(path, false)?).unwrap().into())
    }

    fn fact(&self, _name: &str) -> Value {
        Value::UNDEFINED
    }

    fn variable(&self, _name: &str) -> Result<Option<Value>, Failure> {
        Ok(None)
    }
}

/// A module and its validated arguments.
pub fn task(name: &str, args: &Json) -> Result<(&'static dyn StateModule, Args), Failure> {
    let Module { spec, kind: Kind::State(module) } = find(name).unwrap_or_else(|| panic!("no module {name}")) else {
        panic!("{name} is not a state module")
    };
    let given: Fields =
        args.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), from_json(value))).collect();
    let args = validate::args(spec, given).map_err(|problems| validate::failure(&problems))?;
    Ok((*module, args))
}

/// The result of a task, as the engine would register it.
#[derive(Debug)]
pub struct Done {
    pub changed: bool,
    pub skipped: bool,
    pub result: Fields,
    pub diff: Vec<Diff>,
    pub summary: Vec<String>,
}

impl Done {
    /// The result as JSON, with `changed`.
    pub fn json(&self) -> Json {
        let mut json = to_json(&from_fields(&self.result));
        let object = json.as_object_mut().unwrap();
        object.entry("changed").or_insert(self.changed.into());
        json
    }
}

/// Runs tasks with a shell of this machine.
#[derive(Clone)]
pub struct Runner {
    /// The shell's command line.
    pub shell: Vec<String>,
    /// `PATH` of scripts.
    pub path: String,
    /// `TMPDIR` of scripts.
    pub temporary: PathBuf,
    /// Where local files are.
    pub files: PathBuf,
    /// A script that somebody else runs between a plan and its steps.
    pub meanwhile: Option<String>,
}

impl Runner {
    /// Runs a script.
    pub fn script(&self, script: &str, stdin: Option<&[u8]>) -> Answer {
        let mut child = Command::new(&self.shell[0])
            .args(&self.shell[1..])
            .arg("-c")
            // As in a frame: in a subshell.
            .arg(format!("( {script}\n)"))
            .env("PATH", &self.path)
            .env("TMPDIR", &self.temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let bytes = stdin.unwrap_or_default().to_vec();
        let writer = std::thread::spawn(move || {
            // A script that does not read all of it is not a mistake.
            let _ = pipe.write_all(&bytes);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Answer { rc: output.status.code().unwrap_or(255), stdout: output.stdout, stderr: output.stderr }
    }

    /// Plans a task and, unless `check`, makes the change.
    pub fn run(&self, name: &str, args: &Json, check: bool) -> Result<Done, Failure> {
        let (module, args) = task(name, args)?;
        let folder = Folder(self.files.clone());
        let cx = Context { check, diff: true, user: None, workstation: &folder };
        let mut seen = vec![];
        let change = loop {
            match module.plan(&cx, &args, &seen)? {
                Next::Probe(probe) => seen.push(self.script(&probe.script, probe.stdin.as_deref())),
                Next::Ok(result) => return Ok(done(false, false, result, &Change::default())),
                Next::Skip(result) => return Ok(done(false, true, result, &Change::default())),
                Next::Unknown(why) => panic!("unknown: {why}"),
                Next::Change(change) | Next::Action(change) => break change,
            }
            assert!(seen.len() < 20, "{name} never stops probing");
        };
        if check {
            return Ok(done(true, false, change.result.clone(), &change));
        }
        if let Some(script) = &self.meanwhile {
            assert!(self.script(script, None).ok());
        }
        let mut applied = vec![];
        for step in &change.steps {
            applied.push(self.step(step)?);
        }
        let result = module.finish(&cx, &args, &change, &seen, &applied)?;
        Ok(done(true, false, result, &change))
    }

    fn step(&self, step: &Step) -> Result<Answer, Failure> {
        let (answer, check) = match step {
            Step::Run { script, stdin, check, .. } => (self.script(script, stdin.as_deref()), *check),
            Step::Upload { from, script } => (self.script(script, Some(&std::fs::read(from).unwrap())), true),
            Step::Download { script, to } => {
                let answer = self.script(script, None);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::write(to, &answer.stdout).unwrap();
                (answer, true)
            }
        };
        if check && !answer.ok() { Err(Failure::of_answer("a step failed", &answer)) } else { Ok(answer) }
    }
}

fn done(changed: bool, skipped: bool, mut result: Fields, change: &Change) -> Done {
    let changed = result.shift_remove("changed").map_or(changed, |value| value.is_true());
    Done { changed, skipped, result, diff: change.diff.clone(), summary: change.summary.clone() }
}

/// Whether everything that `want` names is in `got`.
pub fn holds(want: &Json, got: &Json) -> bool {
    match (want, got) {
        (Json::Object(want), Json::Object(got)) => {
            want.iter().all(|(key, value)| got.get(key).is_some_and(|item| holds(value, item)))
        }
        (Json::Array(want), Json::Array(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| holds(want, got))
        }
        _ => want == got,
    }
}

/// Every YAML file below a folder.
pub fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

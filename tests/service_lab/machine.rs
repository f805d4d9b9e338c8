//! A machine of the lab as a module sees it, and tasks run on it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use indexmap::IndexMap;
use mms::connection::{Answer, Frame};
use mms::diagnostic::Source;
use mms::modules::{self, Args, Context, Diff, Failure, Gate, Host, Kind, Outcome, Workstation};
use mms::template::FileOptions;
use mms::value::{Value, from_json};
use mms::yaml::{self, Node};
use serde_json::{Value as Json, json};

use super::lab::Machine;
use super::nodes::json_of;

/// How a task ended.
#[derive(Debug)]
pub struct Ended {
    pub changed: bool,
    pub summary: Vec<String>,
    pub probes: usize,
    pub runs: usize,
}

/// Tasks on a machine, with variables.
pub struct Run<'a> {
    machine: &'a Machine,
    variables: IndexMap<String, String>,
    replaced: Vec<(String, String)>,
}

impl<'a> Run<'a> {
    pub fn new(machine: &'a Machine) -> Self {
        Self { machine, variables: IndexMap::new(), replaced: vec![] }
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Edits the shipped definitions.
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        self.replaced.push((from.to_owned(), to.to_owned()));
        self
    }

    pub async fn deploy(&self, definition: Json) -> Result<Ended, String> {
        self.task("mms.service", service(definition, json!({})), false).await
    }

    pub async fn check(&self, definition: Json) -> Result<Ended, String> {
        self.task("mms.service", service(definition, json!({})), true).await
    }

    pub async fn newer(&self, definition: Json) -> Result<Ended, String> {
        self.task("mms.service", service(definition, json!({"pull": "newer"})), false).await
    }

    pub async fn state(&self, state: &str, definition: Json) -> Result<Ended, String> {
        self.task("mms.service", service(definition, json!({"state": state})), false).await
    }

    pub async fn services(&self, names: &[&str]) -> Result<Ended, String> {
        self.task(
            "mms.services",
            json!({"services": names, "user": "mms", "state": "present", "pull": "missing"}),
            false,
        )
        .await
    }

    async fn task(&self, module: &str, args: Json, check: bool) -> Result<Ended, String> {
        let Some(module) = modules::find(module) else { panic!("no module {module}") };
        let Kind::Action(action) = module.kind else { panic!("not an action") };
        let host =
            LabHost { machine: self.machine, check, probes: 0.into(), runs: 0.into(), summary: Mutex::default() };
        let cx = Context { check, diff: true, user: Some("root"), workstation: self };
        let fields = args.as_object().unwrap().iter().map(|(key, value)| (key.clone(), from_json(value))).collect();
        let outcome = action.run(&cx, &Args::new(fields), &host).await;
        let changed = match outcome {
            Ok(Outcome::Ok(_)) => false,
            Ok(Outcome::Changed(_)) => true,
            Ok(other) => panic!("{other:?}"),
            Err(failure) => return Err(failure.msg),
        };
        let summary = host.summary.into_inner().unwrap();
        Ok(Ended { changed, summary, probes: host.probes.into_inner(), runs: host.runs.into_inner() })
    }
}

fn service(definition: Json, more: Json) -> Json {
    let name = definition.get("name").cloned().unwrap_or_else(|| json!("radarr"));
    let mut args =
        json!({"name": name, "definition": definition, "user": "mms", "state": "present", "pull": "missing"});
    for (key, value) in more.as_object().unwrap() {
        args[key] = value.clone();
    }
    args
}

struct LabHost<'a> {
    machine: &'a Machine,
    check: bool,
    probes: AtomicUsize,
    runs: AtomicUsize,
    summary: Mutex<Vec<String>>,
}

impl LabHost<'_> {
    fn frame(&self, user: Option<&str>, frame: Frame) -> Result<Answer, Failure> {
        let answer = match user {
            Some(_) if !self.machine.as_root("id mms", None).ok() => return Err(Failure::new("cannot become mms")),
            Some(_) => self.machine.as_user(&frame.script, frame.stdin),
            None => self.machine.as_root(&frame.script, frame.stdin),
        };
        if let Some(live) = frame.live {
            for line in answer.stdout_text().lines() {
                let _ = live.send(line.to_owned());
            }
        }
        Ok(answer)
    }
}

impl Host for LabHost<'_> {
    fn probe(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        self.probes.fetch_add(1, Ordering::Relaxed);
        async move { self.frame(None, script) }.boxed()
    }

    fn probe_as<'a>(&'a self, user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.probes.fetch_add(1, Ordering::Relaxed);
        async move { self.frame(Some(user), script) }.boxed()
    }

    fn change<'a>(&'a self, summary: &'a [String], _: &'a [Diff]) -> BoxFuture<'a, Gate> {
        self.summary.lock().unwrap().extend(summary.iter().cloned());
        async move { if self.check { Gate::CheckOnly } else { Gate::Go } }.boxed()
    }

    fn run(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        assert!(!self.check);
        self.runs.fetch_add(1, Ordering::Relaxed);
        async move { self.frame(None, script) }.boxed()
    }

    fn run_as<'a>(&'a self, user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        assert!(!self.check);
        self.runs.fetch_add(1, Ordering::Relaxed);
        async move { self.frame(Some(user), script) }.boxed()
    }

    fn upload<'a>(&'a self, _: &'a Path, _: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        async { Err(Failure::new("not used")) }.boxed()
    }

    fn progress(&self, line: &str) {
        if std::env::var_os("MMS_LAB_KEEP").is_some() {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn reconnect(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }
}

impl Workstation for Run<'_> {
    fn find_file(&self, _: &str, name: &str) -> Result<PathBuf, Failure> {
        Err(Failure::new(format!("no file {name}")))
    }

    fn read_file(&self, path: &Path, _: bool) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(format!("no file {}", path.display())))
    }

    fn render_file(&self, path: &Path, _: &str, _: &str, _: &FileOptions) -> Result<Value, Failure> {
        Err(Failure::new(format!("no file {}", path.display())))
    }

    fn fact(&self, _: &str) -> Value {
        Value::UNDEFINED
    }

    fn variable(&self, name: &str) -> Result<Option<Value>, Failure> {
        Ok(self.variables.get(name).map(|value| Value::from(value.as_str())))
    }

    /// The shipped definitions with the values of the shipped inventory.
    fn project_file(&self, path: &str) -> Result<(Node, Value), Failure> {
        let mut text = std::fs::read_to_string(path).map_err(|error| Failure::new(format!("{path}: {error}")))?;
        for (name, value) in [
            ("mms_publish_address", "127.0.0.1"),
            ("mms_config_dir", "/home/mms/config"),
            ("mms_data_dir", "/data"),
            ("mms_timezone", "Europe/Berlin"),
            ("mms_uid", "1100"),
            ("mms_gid", "1100"),
            ("inventory_hostname", "mms"),
        ] {
            text = text.replace(&format!("{{{{ {name} }}}}"), value);
        }
        for (from, to) in &self.replaced {
            text = text.replace(from, to);
        }
        let node = yaml::parse(&Source::new(path, text)).unwrap().node;
        let value = from_json(&json_of(&node));
        Ok((node, value))
    }
}

//! Deploys against a host that is a function: what is asked, what is refused, and what is undone.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures::future::BoxFuture;
use serde_json::{Value as Json, json};

use super::*;
use crate::connection::{Answer, Frame};
use crate::modules::{ActionModule, Diff, Kind, Workstation};
use crate::service::module::MODULES;
use crate::service::state::State;
use crate::template::FileOptions;
use crate::value::{from_json, to_json};
use crate::yaml::Node;

/// A workstation that takes one text for a secret.
struct Desk;

const SECRET: &str = "correct horse";

impl Workstation for Desk {
    fn find_file(&self, _: &str, name: &str) -> Result<PathBuf, Failure> {
        Err(Failure::new(name))
    }

    fn read_file(&self, path: &Path, _: bool) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(path.display().to_string()))
    }

    fn render_file(&self, path: &Path, _: &str, _: &str, _: &FileOptions) -> Result<Value, Failure> {
        Err(Failure::new(path.display().to_string()))
    }

    fn fact(&self, _: &str) -> Value {
        Value::UNDEFINED
    }

    fn variable(&self, _: &str) -> Result<Option<Value>, Failure> {
        Ok(None)
    }

    fn project_file(&self, path: &str) -> Result<(Node, Value), Failure> {
        Err(Failure::new(path))
    }

    fn is_secret(&self, text: &str) -> bool {
        text.contains(SECRET)
    }
}

/// A host that answers every script by a function, and keeps those that may change something.
struct Machine<F> {
    answer: F,
    probes: Mutex<usize>,
    runs: Mutex<Vec<String>>,
}

impl<F: Fn(&str) -> Answer + Send + Sync> Machine<F> {
    fn new(answer: F) -> Self {
        Self { answer, probes: Mutex::default(), runs: Mutex::default() }
    }

    fn deploy(&self, module: &str, args: Json) -> Result<Outcome, Failure> {
        let module = MODULES.iter().find(|known| known.spec.name == module).unwrap();
        let Kind::Action(action) = &module.kind else { panic!("not an action") };
        let fields = args.as_object().unwrap().iter().map(|(name, value)| (name.clone(), from_json(value))).collect();
        let args = crate::modules::validate::args(module.spec, fields).unwrap();
        let cx = Context { check: false, diff: false, user: Some("mms"), workstation: &Desk };
        futures::executor::block_on(ActionModule::run(*action, &cx, &args, self))
    }

    fn runs(&self) -> Vec<String> {
        self.runs.lock().unwrap().clone()
    }
}

impl<F: Fn(&str) -> Answer + Send + Sync> Host for Machine<F> {
    fn probe(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        *self.probes.lock().unwrap() += 1;
        let answer = (self.answer)(&script.script);
        Box::pin(async { Ok(answer) })
    }

    fn probe_as<'a>(&'a self, _: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.probe(script)
    }

    fn change<'a>(&'a self, _: &'a [String], _: &'a [Diff]) -> BoxFuture<'a, Gate> {
        Box::pin(async { Gate::Go })
    }

    fn run(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        let answer = (self.answer)(&script.script);
        self.runs.lock().unwrap().push(script.script);
        Box::pin(async { Ok(answer) })
    }

    fn run_as<'a>(&'a self, _: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.run(script)
    }

    fn upload<'a>(&'a self, _: &'a Path, _: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async { Err(Failure::new("nothing is uploaded")) })
    }

    fn progress(&self, _: &str) {}

    fn reconnect(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

fn answer(rc: i32, stdout: &str) -> Answer {
    Answer { rc, stdout: stdout.as_bytes().to_vec(), stderr: vec![] }
}

fn record(kind: &str, name: &str, text: &str) -> String {
    format!("@{kind} {} {name}\n{text}\n", text.len())
}

/// What a host says on which these units are, each the only one of a service of its name, active and with its container running.
fn host(units: &[(&str, String)]) -> String {
    let mut seen =
        record("uid", "-", "1100") + &record("bus", "-", "yes") + &record("podman", "-", "podman version 5.8.0");
    let mut systemd = vec!["Id=other.service\nActiveState=inactive\n".to_owned()];
    let mut podman = vec![];
    for (name, text) in units {
        let file = format!("{name}.container");
        let state = State {
            service: (*name).to_owned(),
            units: BTreeMap::from([(file.clone(), seal::sha256(text.as_bytes()))]),
            images: BTreeMap::new(),
        };
        seen += &record("state", name, &state.to_text());
        seen += &record("unit", &file, text);
        systemd.push(format!("Id={name}.service\nLoadState=loaded\nActiveState=active\n"));
        podman.push(format!("{name}|docker.io/x/{name}:1|1|running|Up (healthy)"));
    }
    seen + &record("systemd", "-", &systemd.join("\n")) + &record("containers", "-", &podman.join("\n"))
}

/// The text that mms writes for a definition of the service `app`, without its networks.
fn unit(definition: &Json) -> String {
    let service = crate::service::load::read("app", &from_json(definition), None).unwrap();
    let target = Target { podman: Version::NEWEST, secret: &str::to_owned, service: &|_| None };
    quadlet::units(&service, &target).unwrap().remove("app.container").unwrap()
}

fn app() -> Json {
    json!({"image": "docker.io/x/app:1", "networks": ["host"]})
}

#[test]
fn a_port_of_a_service_outside_is_seen_before_anything_is_touched() {
    let seen = host(&[("radarr", "[Container]\nPublishPort=7878:80/tcp\n".to_owned())]);
    let machine = Machine::new(|_: &str| answer(0, &seen));
    let definition = json!({"image": "docker.io/x/app:1", "ports": ["7878"]});
    let failure = machine.deploy("mms.service", json!({"name": "app", "definition": definition})).unwrap_err();
    assert_eq!(failure.msg, "service `app`: port 7878:7878/tcp is published by the service `radarr` on this host");
    assert!(machine.runs().is_empty());
}

#[test]
fn services_that_nobody_declares_any_longer_are_told_and_left_alone() {
    let seen = host(&[("app", unit(&app())), ("lidarr", "[Container]\n".to_owned())]);
    let machine = Machine::new(|_: &str| answer(0, &seen));
    let mut entry = app();
    entry["name"] = json!("app");
    let warnings = |declared: Json| {
        let args = json!({"services": [entry.clone()], "declared": declared});
        let Outcome::Ok(fields) = machine.deploy("mms.services", args).unwrap() else { panic!("changed") };
        fields.get("warnings").map(to_json)
    };
    let told =
        "the service `lidarr` is still deployed here; `mms.service` with `name: lidarr` and `state: absent` removes it";
    assert_eq!(warnings(json!(["app"])), Some(json!([told])));
    assert_eq!(*machine.probes.lock().unwrap(), 1);
    assert_eq!(warnings(json!(["app", "lidarr"])), None);
    // A deploy of one service of several says nothing of the others.
    assert_eq!(warnings(json!(["app", "sonarr"])), None);
    assert!(machine.runs().is_empty());
}

#[test]
fn secrets_do_not_get_into_units() {
    for (what, key, value) in [
        ("environment `A`", "environment", json!({"A": SECRET})),
        ("label `a`", "labels", json!({"a": SECRET})),
        ("command", "command", json!(["serve", format!("--password={SECRET}")])),
        ("command", "command", json!(format!("serve --password='{SECRET}'"))),
        ("health command", "health", json!({"cmd": format!("curl -u 'a:{SECRET}' localhost")})),
        ("`podman_args`", "podman_args", json!([format!("--annotation=a={SECRET}")])),
        ("entrypoint", "entrypoint", json!(format!("/bin/{SECRET}"))),
    ] {
        let machine = Machine::new(|_: &str| answer(1, ""));
        let mut definition = app();
        definition[key] = value;
        let failure = machine.deploy("mms.service", json!({"name": "app", "definition": definition})).unwrap_err();
        let told =
            format!("service `app`: the {what} of `app` holds a secret, which would stand readable in its unit file");
        assert_eq!(failure.msg, told);
        assert_eq!(*machine.probes.lock().unwrap(), 0, "{key}");
    }
}

#[test]
fn a_service_manager_that_does_not_answer_is_not_a_host_without_services() {
    let seen = record("uid", "-", "1100") + &record("bus", "-", "yes") + &record("podman", "-", "podman version 5.8.0");
    let seen = seen + &record("silent", "systemd", "-");
    let machine = Machine::new(|_: &str| answer(0, &seen));
    let failure = machine.deploy("mms.service", json!({"name": "app", "definition": app()})).unwrap_err();
    assert_eq!(failure.msg, "the service manager of `mms` does not answer");
    assert!(machine.runs().is_empty());
}

#[test]
fn a_podman_that_does_not_answer_may_only_have_to_be_set_up_where_nothing_is_deployed() {
    let definition = app();
    let running = host(&[("app", unit(&definition))]);
    let silent = record("silent", "podman", "-");
    let deploy = |seen: String| {
        let machine = Machine::new(|_: &str| answer(0, &seen));
        let failure = machine.deploy("mms.service", json!({"name": "app", "definition": definition})).unwrap_err();
        (failure.msg, machine.runs().len())
    };
    let told = "Podman of `mms` does not say which containers there are".to_owned();
    assert_eq!(deploy(running.clone() + &silent), (told.clone(), 0));
    let bare: String =
        record("uid", "-", "1100") + &record("bus", "-", "yes") + &record("podman", "-", "podman version 5.8.0");
    assert_ne!(deploy(bare + &record("systemd", "-", "Id=app.service") + &silent).0, told);
}

/// A deploy that changes two INI files of a service, on a host that refuses some scripts.
fn change_settings(refuses: impl Fn(&str) -> bool + Send + Sync) -> (String, Vec<String>) {
    let mut definition = app();
    let file = |path: &str| json!({"path": path, "sections": {"misc": {"port": "1"}}});
    definition["ini"] = json!([file("/c/a.ini"), file("/c/b.ini")]);
    let before = "[misc]\nport = 2\n";
    let files = record("file", "/c/a.ini", before) + &record("file", "/c/b.ini", before);
    let seen = host(&[("app", unit(&definition))]) + &files;
    let machine = Machine::new(|script: &str| match script {
        _ if refuses(script) => answer(1, ""),
        _ if script.contains("podman image inspect") => answer(0, "docker.io/x/app:1|1\n"),
        _ => answer(0, &seen),
    });
    let failure = machine.deploy("mms.service", json!({"name": "app", "definition": definition})).unwrap_err();
    (failure.msg, machine.runs())
}

fn last(runs: &[String], what: &str) -> usize {
    runs.iter().rposition(|script| script.contains(what)).unwrap()
}

#[test]
fn a_service_whose_settings_cannot_be_written_is_started_again() {
    let (told, runs) = change_settings(|script| script.contains("/c/b.ini.mms-new"));
    let well = "service `app`: cannot write /c/b.ini: status 1\nrolled back: the old version is running and well";
    assert_eq!(told, well);
    assert_eq!(runs.iter().filter(|script| script.contains("a.ini.mms-new")).count(), 2);
    assert_eq!(runs.iter().filter(|script| script.contains("b.ini.mms-new")).count(), 1);
    assert!(last(&runs, "app.service") > last(&runs, "a.ini.mms-new"), "{runs:#?}");
    assert!(last(&runs, "--no-block") > last(&runs, "systemctl --user stop"), "{runs:#?}");
}

#[test]
fn a_service_whose_settings_cannot_be_put_back_is_started_all_the_same() {
    let writes = Mutex::new(0);
    let (told, runs) = change_settings(|script| {
        let mut writes = writes.lock().unwrap();
        *writes += usize::from(script.contains(".mms-new"));
        *writes > 1 && script.contains(".mms-new")
    });
    assert!(told.ends_with("is running and well; cannot put back /c/a.ini: status 1"), "{told}");
    assert!(last(&runs, "--no-block") > last(&runs, "systemctl --user stop"), "{runs:#?}");
}

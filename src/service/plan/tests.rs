#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::*;
use crate::service::observe::{Activity, Running};
use crate::service::quadlet::Target;
use crate::service::state::{Image, State};
use crate::service::version::Version;
use crate::service::{load, seal};
use crate::value::from_json;

const SALT: &str = "salt";

fn wanted(definition: &Json, secret: &str) -> Wanted {
    let service = load::read("app", &from_json(definition), None).unwrap();
    let name = |name: &str| seal::secret_name(SALT, name, secret);
    let target = Target { podman: Version::NEWEST, secret: &name, service: &|_| None };
    let units = quadlet::units(&service, &target).unwrap();
    let names = service.containers.values().flat_map(|container| container.secrets.keys());
    let secrets = names.map(|secret_name| (name(secret_name), secret.to_owned())).collect();
    Wanted { service, units, secrets }
}

/// A host on which this is deployed and well.
fn deployed(wanted: &Wanted) -> Observed {
    let name = &wanted.service.name;
    let image = |container: &str| Image { reference: container.to_owned(), id: format!("id-{container}") };
    let state = State {
        service: name.clone(),
        units: wanted.units.iter().map(|(file, text)| (file.clone(), seal::sha256(text.as_bytes()))).collect(),
        images: wanted.service.containers.keys().map(|name| (name.clone(), image(name))).collect(),
    };
    let active = Activity { load: "loaded".into(), active: "active".into(), ..Activity::default() };
    let running = |name: &String| Running {
        image_id: format!("id-{name}"),
        state: "running".into(),
        health: Some(Wellness::Healthy),
        ..Running::default()
    };
    let containers = wanted.service.containers.keys();
    Observed {
        user_exists: true,
        bus: true,
        uid: 1100,
        units: wanted.units.clone(),
        states: BTreeMap::from([(name.clone(), state)]),
        services: containers.clone().map(|name| (format!("{name}.service"), active.clone())).collect(),
        containers: containers.map(|name| (name.clone(), running(name))).collect(),
        secrets: wanted.secrets.keys().cloned().collect(),
        ..Observed::default()
    }
}

fn app() -> Json {
    json!({
        "image": "docker.io/x/app:1",
        "environment": {"A": "1"},
        "secrets": {"token": {"variable": "v", "env": "T"}},
    })
}

fn reasons(wanted: &Wanted, seen: &Observed) -> Vec<String> {
    plan(wanted, seen, Aim::Present).unwrap().reasons
}

#[test]
fn what_is_deployed_and_well_is_left_alone() {
    let wanted = wanted(&app(), "s");
    let plan = plan(&wanted, &deployed(&wanted), Aim::Present).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!((plan.reasons.len(), plan.reload), (0, false));
}

#[test]
fn a_new_service_is_all_new() {
    let wanted = wanted(&app(), "s");
    let plan = plan(&wanted, &Observed::default(), Aim::Present).unwrap();
    assert_eq!(plan.reasons, ["new, docker.io/x/app:1"]);
    assert_eq!((plan.write.len(), plan.secrets.len(), plan.restart.len(), plan.reload), (2, 1, 1, true));
}

#[test]
fn changes_say_why() {
    let old = wanted(&app(), "s");
    let mut definition = app();
    definition["image"] = json!("docker.io/x/app:2");
    definition["environment"] = json!({"A": "2"});
    let new = wanted(&definition, "other");
    let plan = plan(&new, &deployed(&old), Aim::Present).unwrap();
    assert_eq!(plan.reasons, ["environment A changed: 1 → 2", "image 1 → 2", "secret token changed"]);
    assert_eq!(plan.write.keys().collect::<Vec<_>>(), ["app.container"]);
    assert_eq!(plan.secrets.len(), 1);
    assert!(!plan.reasons.concat().contains("other"));
}

#[test]
fn what_does_not_run_well_is_started_anew() {
    let wanted = wanted(&app(), "s");
    let case = |change: &dyn Fn(&mut Observed)| {
        let mut seen = deployed(&wanted);
        change(&mut seen);
        reasons(&wanted, &seen)
    };
    let activity = |seen: &mut Observed, active: &str| {
        seen.services.get_mut("app.service").unwrap().active = active.into();
    };
    assert_eq!(case(&|seen| activity(seen, "inactive")), ["it is not running"]);
    assert_eq!(case(&|seen| activity(seen, "failed")), ["it failed"]);
    assert_eq!(case(&|seen| activity(seen, "activating")), ["it does not come up"]);
    let unhealthy = |seen: &mut Observed| seen.containers.get_mut("app").unwrap().health = Some(Wellness::Unhealthy);
    assert_eq!(case(&unhealthy), ["its health check fails"]);
    let image = |seen: &mut Observed| seen.containers.get_mut("app").unwrap().image_id = "else".into();
    assert_eq!(case(&image), ["it runs another image than was deployed"]);
    assert_eq!(case(&|seen| seen.states.clear()), ["the last deploy did not finish"]);
}

#[test]
fn a_secret_that_vanished_is_made_again() {
    let wanted = wanted(&app(), "s");
    let mut seen = deployed(&wanted);
    seen.secrets.clear();
    let plan = plan(&wanted, &seen, Aim::Present).unwrap();
    assert_eq!(plan.reasons, ["secret token is missing in Podman"]);
    assert_eq!((plan.secrets.len(), plan.restart.len()), (1, 0));
}

#[test]
fn containers_that_are_gone_are_removed_and_shared_networks_stay() {
    let two = json!({"containers": {
        "app": {"image": "docker.io/x/app:1"},
        "db": {"image": "docker.io/x/db:1", "networks": ["mms", "back"]},
    }});
    let one = json!({"containers": {"app": {"image": "docker.io/x/app:1"}}});
    let plan_one = plan(&wanted(&one, ""), &deployed(&wanted(&two, "")), Aim::Present).unwrap();
    assert_eq!(plan_one.reasons, ["back.network removed", "db removed"]);
    assert_eq!(plan_one.stop.into_iter().collect::<Vec<_>>(), ["db"]);

    let all = wanted(&two, "");
    let mut seen = deployed(&all);
    let other = State {
        units: BTreeMap::from([("mms.network".into(), "x".into())]),
        service: "other".into(),
        ..State::default()
    };
    seen.states.insert("other".into(), other);
    let gone = plan(&all, &seen, Aim::Absent).unwrap();
    let files: Vec<_> = gone.remove.iter().map(String::as_str).collect();
    assert_eq!(files, ["app.container", "back.network", "db.container"]);
}

#[test]
fn a_container_of_another_service_is_not_taken() {
    let wanted = wanted(&app(), "s");
    let mut seen = deployed(&wanted);
    seen.states.get_mut("app").unwrap().service = "first".into();
    let state = seen.states.remove("app").unwrap();
    seen.states.insert("first".into(), state);
    assert_eq!(
        plan(&wanted, &seen, Aim::Present),
        Err("`app.container` belongs to the service `first` on this host".to_owned())
    );
}

#[test]
fn directories_and_settings() {
    let wanted = wanted(
        &json!({
            "image": "docker.io/x/app:1",
            "directories": [{"path": "/c", "mode": "0750"}, {"path": "/d"}, {"path": "/e"}],
            "ini": [{"path": "/c/a.ini", "sections": {"misc": {"host": "x"}}}],
        }),
        "",
    );
    let owned = |uid, mode| Owned { owner: (uid, format!("u{uid}")), group: (1, "g".into()), mode };
    let mut seen = deployed(&wanted);
    seen.directories = BTreeMap::from([("/c".into(), owned(1100, 0o755)), ("/d".into(), owned(0, 0o755))]);
    seen.files.insert("/c/a.ini".into(), "[misc]\nhost = x\n".into());
    assert_eq!(
        reasons(&wanted, &seen),
        ["directory /c: mode 0755 → 0750", "directory /d: owner u0 → 1100", "directory /e is new"]
    );
    seen.files.insert("/c/a.ini".into(), "[misc]\nhost = y\n".into());
    let plan = plan(&wanted, &seen, Aim::Present).unwrap();
    assert_eq!(plan.reasons.last().unwrap(), "settings in a.ini changed");
    assert!(plan.restart.contains("app") && !plan.reload);
}

#[test]
fn services_are_ordered_by_what_they_wait_for() {
    let service = |name: &str, after: &[&str]| {
        let definition = json!({"name": name, "image": "docker.io/x/y:1", "after": after});
        load::read(name, &from_json(&definition), None).unwrap()
    };
    let list = [service("c", &["b"]), service("a", &[]), service("b", &["a"])];
    assert_eq!(order(&list), [1, 2, 0]);
    assert_eq!(order(&[service("a", &["b"]), service("b", &["a"])]), [0, 1]);
}

#[test]
fn settings_that_cannot_be_read_are_not_overwritten() {
    let definition = json!({
        "image": "docker.io/x/app:1",
        "ini": [{"path": "/c/app.ini", "sections": {"misc": {"host": "0.0.0.0"}}}],
    });
    let wanted = wanted(&definition, "s");
    let mut seen = deployed(&wanted);
    seen.files.insert("/c/app.ini".to_owned(), "api_key = a1b2\n[misc]\npassword = c3d4\nhost = ::\n".to_owned());
    let plan_of = |seen: &Observed| plan(&wanted, seen, Aim::Present);
    let shown = &plan_of(&seen).unwrap().diff[0];
    assert_eq!((shown.before.as_str(), shown.after.as_str()), ("[misc]\nhost = ::\n", "[misc]\nhost = 0.0.0.0\n"));
    seen.files.clear();
    seen.unreadable.insert("/c/app.ini".to_owned());
    assert!(plan_of(&seen).unwrap_err().contains("would lose what is in it"));
    assert!(!plan(&wanted, &seen, Aim::Absent).unwrap().is_empty());
}

#[test]
fn a_unit_that_systemd_has_not_read_is_started_anew() {
    let wanted = wanted(&app(), "s");
    let mut seen = deployed(&wanted);
    seen.services.get_mut("app.service").unwrap().stale = true;
    let plan = plan(&wanted, &seen, Aim::Present).unwrap();
    assert_eq!(plan.reasons, ["its unit was written anew since systemd read it"]);
    assert!(plan.reload && plan.restart.contains("app"));
}

#[test]
fn a_service_whose_units_are_gone_can_be_forgotten() {
    let wanted = wanted(&app(), "s");
    let mut seen = deployed(&wanted);
    seen.units.clear();
    assert!(!plan(&wanted, &seen, Aim::Absent).unwrap().is_empty());
    seen.states.clear();
    assert!(plan(&wanted, &seen, Aim::Absent).unwrap().is_empty());
}

#[test]
fn what_could_not_be_asked_is_not_called_missing() {
    let wanted = wanted(&app(), "s");
    let stopped = Observed { bus: false, secrets: BTreeSet::new(), services: BTreeMap::new(), ..deployed(&wanted) };
    assert_eq!(reasons(&wanted, &stopped), ["it is not running"]);
    assert_eq!(reasons(&wanted, &Observed { bus: true, ..stopped }).len(), 2);
}

#[test]
fn a_port_that_another_service_holds_is_seen() {
    let mut definition = app();
    definition["ports"] = json!(["127.0.0.1:8080:80", "53/udp"]);
    let wanted = wanted(&definition, "s");
    let held = |other: &str, active: &str, aim: Aim, seen: Observed| {
        let mut seen = seen;
        seen.units.insert("dns.container".into(), format!("[Container]\n{other}\n"));
        seen.services.insert("dns.service".into(), Activity { active: active.into(), ..Activity::default() });
        let plan = plan(&wanted, &seen, aim).unwrap();
        port_held(&plan, &wanted.service, &seen, &files_of(std::iter::once(&wanted.service), &seen))
    };
    let new = |other: &str| held(other, "active", Aim::Present, Observed::default());
    let told = |port: &str| {
        Some(format!("port {port} is published by `dns.container` on this host, which mms did not deploy"))
    };
    assert_eq!(new("PublishPort=8080:80"), told("127.0.0.1:8080:80/tcp"));
    assert_eq!(new("PublishPort=0.0.0.0:50-60:50-60/udp"), told("53:53/udp"));
    assert_eq!(new("PublishPort=127.0.0.2:8080:80\nPublishPort=53:53/tcp"), None);
    // A port of the container alone, for which Podman takes any of the host.
    assert_eq!(new("PublishPort=8080"), None);
    // One that does not run holds nothing, and a service that is left alone needs nothing.
    assert_eq!(held("PublishPort=8080:80", "inactive", Aim::Present, Observed::default()), None);
    assert_eq!(held("PublishPort=8080:80", "active", Aim::Present, deployed(&wanted)), None);
    assert!(held("PublishPort=8080:80", "active", Aim::Restarted, deployed(&wanted)).is_some());
    assert_eq!(held("PublishPort=8080:80", "active", Aim::Absent, deployed(&wanted)), None);
}

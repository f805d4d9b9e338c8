//! Deploys on a real machine of the lab: Podman, Quadlet, systemd and a registry. Each test boots a machine of its own.
//!
//! They run unless `MMS_TEST_MACHINE=0` (root, Debian; `tests/lab/README.md`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "support/lab.rs"]
mod lab;
#[path = "service_lab/machine.rs"]
mod machine;
#[path = "support/nodes.rs"]
mod nodes;

use lab::Machine;
use machine::Run;
use mms::service::status::{self, Condition};
use serde_json::{Value as Json, json};

const WEB: &str = "lscr.io/linuxserver/radarr";

fn web(tag: &str, port: u16) -> Json {
    json!({
        "image": format!("{WEB}:{tag}"),
        "ports": [format!("127.0.0.1:{port}:7878")],
        "volumes": ["/home/mms/config/radarr:/config:Z"],
        "userns": "keep-id", "user": "0:0", "puid": 1100, "pgid": 1100, "no_new_privileges": false,
        "environment": {"TZ": "Europe/Berlin"},
        "secrets": {"token": {"variable": "vault_token", "env": "TOKEN"}},
        "directories": [{"path": "/home/mms/config/radarr", "mode": "0750"}],
        "health": {"cmd": "curl -fsS http://localhost:7878/ping", "interval": "2s", "timeout": "5s", "retries": 2, "start_period": "10s"},
    })
}

fn status_of(machine: &Machine) -> Vec<(String, Condition)> {
    let answer = machine.as_user(&status::probe_script(), None);
    let status::HostStatus { services, silent } = status::read(&answer.stdout);
    assert_eq!(silent, None);
    services.into_iter().flat_map(|service| service.containers).map(|it| (it.name, it.condition)).collect()
}

fn well(name: &str) -> Vec<(String, Condition)> {
    vec![(name.to_owned(), Condition::Well)]
}

#[tokio::test]
async fn a_service_lives_changes_and_goes() {
    if !lab::wanted("a_service_lives_changes_and_goes") {
        return;
    }
    let machine = Machine::up("life");
    let mut run = Run::new(&machine).variable("vault_token", "hunter2-first");

    // A plan on a machine that has not even the user foretells everything and changes nothing.
    let plan = run.check(web("6.4.4", 7878)).await.unwrap();
    assert!(plan.changed && plan.summary.iter().any(|line| line.contains("new, lscr.io")), "{plan:?}");
    assert!(run.deploy(web("6.4.4", 7878)).await.unwrap_err().contains("does not exist"));

    machine.add_user();

    // A disk that is nearly full is not filled.
    let store = "/home/mms/.local/share/containers";
    machine.as_user_ok(&format!("mkdir -p {store}"));
    machine.ok(&format!("mount -t tmpfs -o size=100m,uid=1100,gid=1100,mode=700 none {store}"));
    let told = run.deploy(web("6.4.4", 7878)).await.unwrap_err();
    assert!(told.contains("MB are free in") && told.contains("nothing was changed"), "{told}");
    machine.ok(&format!("umount --lazy {store}"));

    let first = run.deploy(web("6.4.4", 7878)).await.unwrap();
    assert!(first.changed);
    assert_eq!(status_of(&machine), well("radarr"));
    assert!(machine.ok("curl -fsS http://127.0.0.1:7878/ping").contains("OK"));
    assert!(machine.ok("ps -eo args; cat /home/mms/.config/containers/systemd/*").find("hunter2").is_none());
    assert!(machine.as_user_ok("podman exec radarr sh -c 'echo $TOKEN'").contains("hunter2-first"));

    // Nothing to do: one probe, nothing else, and the container is the same.
    let id = machine.as_user_ok("podman inspect --format '{{.Id}}' radarr");
    let again = run.deploy(web("6.4.4", 7878)).await.unwrap();
    assert_eq!((again.changed, again.probes, again.runs), (false, 1, 0), "{again:?}");

    // One change at a time, each with its reason.
    let mut definition = web("6.4.4", 7878);
    definition["environment"]["TZ"] = json!("UTC");
    let plan = run.check(definition.clone()).await.unwrap();
    assert_eq!(plan.summary, ["environment TZ changed: Europe/Berlin → UTC"]);
    assert_eq!(machine.as_user_ok("podman inspect --format '{{.Id}}' radarr"), id);
    assert!(run.deploy(definition.clone()).await.unwrap().changed);
    assert_ne!(machine.as_user_ok("podman inspect --format '{{.Id}}' radarr"), id);

    run = run.variable("vault_token", "hunter2-second");
    let changed = run.deploy(definition.clone()).await.unwrap();
    assert_eq!(changed.summary, ["secret token changed"]);
    assert!(machine.as_user_ok("podman exec radarr sh -c 'echo $TOKEN'").contains("hunter2-second"));
    assert_eq!(machine.as_user_ok("podman secret ls --quiet | wc -l").trim(), "1");

    // What was stopped by hand is started, and nothing else is done.
    machine.as_user_ok("systemctl --user stop radarr.service");
    assert_eq!(run.deploy(definition.clone()).await.unwrap().summary, ["it is not running"]);
    assert_eq!(status_of(&machine), well("radarr"));

    let gone = run.state("absent", definition).await.unwrap();
    assert!(gone.changed);
    assert_eq!(status_of(&machine), []);
    assert_eq!(
        machine.as_user_ok("podman ps -aq; podman secret ls -q; podman network ls -q --filter name=mms").trim(),
        ""
    );
    assert!(machine.ok("ls /home/mms/config/radarr").contains("radarr.db"));
}

#[tokio::test]
async fn what_is_not_well_is_rolled_back() {
    if !lab::wanted("what_is_not_well_is_rolled_back") {
        return;
    }
    let machine = Machine::up("back");
    machine.add_user();
    let run = Run::new(&machine).variable("vault_token", "t0ken-value");
    for (tag, variant) in [("6.4.5", "v2"), ("6.4.6", "broken"), ("6.4.7", "crash")] {
        machine.push_image(&format!("{WEB}:{tag}"), variant);
    }
    run.deploy(web("6.4.4", 7878)).await.unwrap();
    assert_eq!(run.deploy(web("6.4.5", 7878)).await.unwrap().summary, ["image 6.4.4 → 6.4.5"]);

    let unit = "/home/mms/.config/containers/systemd/radarr.container";
    let before = machine.ok(&format!("cat {unit}"));
    for (tag, why) in [("6.4.6", "health check"), ("6.4.7", "meant to crash"), ("9.9.9", "cannot pull")] {
        let told = run.deploy(web(tag, 7878)).await.unwrap_err();
        assert!(told.contains(why), "{told}");
        assert!(told.contains("rolled back") || told.contains("nothing was changed"), "{told}");
        assert_eq!(machine.ok(&format!("cat {unit}")), before);
        assert_eq!(status_of(&machine), well("radarr"), "{told}");
    }
    assert!(!run.deploy(web("6.4.5", 7878)).await.unwrap().changed);

    // New content behind the same version, and it is broken: the old content gets its name back.
    let old = machine.as_user_ok("podman inspect --format '{{.Image}}' radarr");
    machine.push_image(&format!("{WEB}:6.4.5"), "broken");
    let told = run.newer(web("6.4.5", 7878)).await.unwrap_err();
    assert!(told.contains("rolled back: the old version is running and well"), "{told}");
    assert_eq!(machine.as_user_ok("podman inspect --format '{{.Image}}' radarr"), old);
    machine.push_image(&format!("{WEB}:6.4.5"), "v1");
    assert!(run.newer(web("6.4.5", 7878)).await.unwrap().changed);
    assert!(!run.newer(web("6.4.5", 7878)).await.unwrap().changed);

    // A unit that the generator refuses touches nothing.
    let id = machine.as_user_ok("podman inspect --format '{{.Id}}' radarr");
    let mut definition = web("6.4.5", 7878);
    definition["image"] = json!("docker.io/library/app:1.build");
    let told = run.deploy(definition).await.unwrap_err();
    assert!(told.contains("generator") && told.contains("nothing was changed"), "{told}");
    assert_eq!(machine.as_user_ok("podman inspect --format '{{.Id}}' radarr"), id);

    // A new service that never becomes well leaves nothing behind but its data.
    let mut other = web("6.4.6", 7979);
    other["name"] = json!("other");
    other["volumes"] = json!(["/home/mms/config/other:/config"]);
    other["directories"] = json!([{"path": "/home/mms/config/other"}]);
    other["secrets"] = json!({"other_token": {"variable": "vault_token", "env": "TOKEN"}});
    let told = run.deploy(other).await.unwrap_err();
    assert!(told.contains("taken away again"), "{told}");
    assert_eq!(status_of(&machine), well("radarr"));
    let secrets = machine.as_user_ok("podman secret ls --format '{{.Name}}'");
    assert!(secrets.starts_with("token-") && secrets.lines().count() == 1, "{secrets}");

    // A value that nothing works with is not kept; the one that the old unit names is.
    let failing = Run::new(&machine).variable("vault_token", "another-value");
    assert!(failing.deploy(web("6.4.6", 7878)).await.unwrap_err().contains("rolled back"));
    assert_eq!(machine.as_user_ok("podman secret ls --format '{{.Name}}'"), secrets);
}

#[tokio::test]
async fn the_shipped_services_run_together_and_one_may_fail() {
    if !lab::wanted("the_shipped_services_run_together_and_one_may_fail") {
        return;
    }
    let machine = Machine::up("stack");
    machine.add_user();
    machine.ok(
        "mkdir -p /data/media /data/usenet/incomplete /data/usenet/complete /data/photos && chown -R mms:mms /data",
    );
    let run = Run::new(&machine).variable("vault_immich_db_password", "immich-pa$$ 'word'");
    let names = ["prowlarr", "radarr", "sonarr", "lidarr", "sabnzbd", "jellyfin", "immich"];

    let first = run.services(&names).await.unwrap();
    assert!(first.changed);
    let status = status_of(&machine);
    assert_eq!(status.len(), 10);
    assert!(status.iter().all(|(_, condition)| *condition == Condition::Well), "{status:?}");
    assert!(machine.ok("curl -fsS http://127.0.0.1:2283/api/server/ping").contains("pong"));
    assert!(machine.ok("cat /home/mms/config/sabnzbd/sabnzbd.ini").contains("host_whitelist = sabnzbd"));

    let again = run.services(&names).await.unwrap();
    assert_eq!((again.changed, again.probes, again.runs), (false, 1, 0), "{again:?}");

    // One breaks, one changes: the one that changes is deployed, the broken one goes back, and both are named.
    machine.push_image("lscr.io/linuxserver/sonarr:4.0.21", "broken");
    machine.push_image("lscr.io/linuxserver/lidarr:3.1.1", "v2");
    let run = run.replace("sonarr:4.0.20", "sonarr:4.0.21").replace("lidarr:3.1.0", "lidarr:3.1.1");
    let run = run.replace("start_period: 90s", "start_period: 5s").replace("interval: 15s", "interval: 2s");
    let told = run.services(&["sonarr", "lidarr"]).await.unwrap_err();
    assert!(told.contains("service `sonarr`") && told.contains("rolled back"), "{told}");
    assert!(machine.as_user_ok("podman ps --format '{{.Image}}'").contains("lidarr:3.1.1"));
    assert!(machine.as_user_ok("podman ps --format '{{.Image}}'").contains("sonarr:4.0.20"));
    assert_eq!(status_of(&machine).iter().filter(|(_, condition)| *condition == Condition::Well).count(), 10);
}

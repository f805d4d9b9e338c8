//! Snapshots through the API of Proxmox, against one that keeps its rules (`proxmox/fake.rs`), over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "proxmox/fake.rs"]
mod fake;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use fake::{Fake, Guest, SECRET, TOKEN};
use mms::diagnostic::render;
use mms::error::{Error, ErrorKind};
use mms::proxmox::{Kind, Proxmox};
use mms::secret::Redactor;
use mms::value::Value;

fn media() -> Guest {
    let lxc = Guest { kind: "lxc", node: "pve-1", status: "running", disk: "before".to_owned(), ..Guest::default() };
    lxc.clone()
}

async fn fake() -> Fake {
    let fake = Fake::start(&["localhost", "127.0.0.1"]).await;
    fake.set(|state| {
        state.guests.insert(105, media());
        state.guests.insert(200, Guest { kind: "qemu", node: "pve-2", status: "stopped", ..media() });
    });
    fake
}

fn read(variables: &[(&str, &str)], redactor: &Redactor) -> Result<Option<Proxmox>, Error> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Proxmox::from_vars(|name| Ok(variables.get(name).map(|value| Value::from(*value))), redactor)
}

fn api(port: u16, more: &[(&str, &str)]) -> Proxmox {
    let port = port.to_string();
    let base = [
        ("proxmox_api_host", "127.0.0.1"),
        ("proxmox_api_port", port.as_str()),
        ("proxmox_api_user", "mms@pve"),
        ("proxmox_api_token_id", "migrate"),
        ("proxmox_api_token_secret", SECRET),
    ];
    let variables: Vec<_> = more.iter().chain(&base).rev().copied().collect();
    let proxmox = read(&variables, &Redactor::default()).unwrap().unwrap();
    proxmox.with_patience(Duration::from_secs(60), Duration::from_millis(5))
}

fn pinned(fake: &Fake) -> Proxmox {
    api(fake.port, &[("proxmox_fingerprint", &fake.fingerprint)])
}

/// The error as people see it, and without the secret, however it is printed.
fn told(error: &Error) -> String {
    let text = error.diagnostics().iter().map(|diagnostic| render(diagnostic, false)).collect::<String>();
    assert!(!format!("{text} {error} {error:?}").contains("canary"), "{text}");
    text
}

fn quiet(_: &str) {}

#[tokio::test]
async fn a_snapshot_is_made_listed_gone_back_to_and_removed() {
    let fake = fake().await;
    let proxmox = pinned(&fake);
    assert_eq!(proxmox.warning(), None);
    for (vmid, kind, node, running) in [(105, Kind::Lxc, "pve-1", true), (200, Kind::Qemu, "pve-2", false)] {
        let guest = proxmox.find(vmid).await.unwrap();
        assert_eq!((guest.kind, guest.node.as_str(), guest.running), (kind, node, running));
        let lines = Mutex::new(vec![]);
        let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
        proxmox.snapshot(&guest, "mms-migrate-20261121T101500", "before mms migrate", &progress).await.unwrap();
        fake.set(|state| state.guests.get_mut(&vmid).unwrap().disk = "after".to_owned());
        let listed = proxmox.snapshots(&guest).await.unwrap();
        assert_eq!(listed.len(), 1, "`current` is none");
        assert_eq!(listed[0].name, "mms-migrate-20261121T101500");
        assert_eq!((listed[0].description.as_str(), listed[0].time), ("before mms migrate", Some(1000)));
        proxmox.rollback(&guest, "mms-migrate-20261121T101500", &quiet).await.unwrap();
        assert_eq!((fake.guest(vmid).disk.as_str(), fake.guest(vmid).status == "running"), ("before", running));
        proxmox.delete_snapshot(&guest, "mms-migrate-20261121T101500", &quiet).await.unwrap();
        assert_eq!(proxmox.snapshots(&guest).await.unwrap(), []);
        let lines = lines.into_inner().unwrap();
        assert!(lines.iter().all(|line| line.contains("make the snapshot") && line.contains("guest-")), "{lines:?}");
        assert!(!lines.is_empty());
    }
}

#[tokio::test]
async fn snapshots_are_listed_from_the_oldest_on() {
    let fake = fake().await;
    let proxmox = pinned(&fake);
    let guest = proxmox.find(105).await.unwrap();
    for name in ["newer", "older"] {
        proxmox.snapshot(&guest, name, "", &quiet).await.unwrap();
    }
    // The fake dates them backwards.
    let names: Vec<_> = proxmox.snapshots(&guest).await.unwrap().into_iter().map(|snapshot| snapshot.name).collect();
    assert_eq!(names, ["older", "newer"]);
}

#[tokio::test]
async fn the_certificate_decides_who_gets_the_token() {
    let fake = fake().await;
    let upper: Vec<String> = fake
        .fingerprint
        .to_uppercase()
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8(pair.to_vec()).unwrap())
        .collect();
    let colons = upper.join(":");
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (own, other) = (file("own.pem", &fake.authority), file("other.pem", &Fake::start(&["x"]).await.authority));
    let accepted: [&[(&str, &str)]; 4] = [
        &[("proxmox_fingerprint", fake.fingerprint.as_str())],
        &[("proxmox_fingerprint", colons.as_str())],
        &[("proxmox_ca_path", own.as_str())],
        &[("proxmox_validate_certs", "false")],
    ];
    for more in accepted {
        assert!(api(fake.port, more).find(105).await.is_ok(), "{more:?}");
    }
    assert_eq!(fake.state.lock().unwrap().requests.len(), 4);
    fake.set(|state| state.requests.clear());
    let wrong = format!("00{}", &fake.fingerprint[2..]);
    let refused: [(&[(&str, &str)], &str); 3] = [
        (&[("proxmox_fingerprint", wrong.as_str())], "shows another certificate than the one that is trusted"),
        (&[("proxmox_ca_path", other.as_str())], "is not trusted: nobody trusted has signed it"),
        (&[], "is not trusted: nobody trusted has signed it"),
    ];
    for (more, message) in refused {
        // A machine without authorities of its own trusts nobody at all.
        let error = match read_all(&fake, more) {
            Ok(proxmox) => proxmox.find(105).await.unwrap_err(),
            Err(error) => {
                assert!(more.is_empty() && told(&error).contains("has no certificate authorities"), "{error}");
                continue;
            }
        };
        let told = told(&error);
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(told.contains(message) && told.contains(&colons), "{told}");
    }
    assert_eq!(fake.state.lock().unwrap().requests, Vec::<String>::new(), "nothing was sent");
    let warning = api(fake.port, &[("proxmox_validate_certs", "false")]).warning().unwrap();
    assert!(warning.contains("not verified"), "{warning}");
}

fn read_all(fake: &Fake, more: &[(&str, &str)]) -> Result<Proxmox, Error> {
    let port = fake.port.to_string();
    let base = [
        ("proxmox_api_host", "localhost"),
        ("proxmox_api_port", port.as_str()),
        ("proxmox_api_user", TOKEN),
        ("proxmox_api_token_secret", SECRET),
    ];
    let variables: Vec<_> = base.iter().chain(more).copied().collect();
    Ok(read(&variables, &Redactor::default())?.unwrap())
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_the_pinned_one_is_not() {
    let fake = Fake::start(&["pve.example.org"]).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, &fake.authority).unwrap();
    let proxmox = api(fake.port, &[("proxmox_ca_path", path.to_str().unwrap())]);
    let told = told(&proxmox.find(105).await.unwrap_err());
    assert!(told.contains("is not trusted: it is for another name"), "{told}");
    fake.set(|state| {
        state.guests.insert(105, media());
    });
    assert!(pinned(&fake).find(105).await.is_ok());
}

#[tokio::test]
async fn what_is_no_certificate_file_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (text, message) in
        [("", "there is none in it"), ("-----BEGIN CERTIFICATE-----\nxx\n", "is not a file with certificates")]
    {
        std::fs::write(file.path(), text).unwrap();
        let variables = [
            ("proxmox_api_host", "pve"),
            ("proxmox_api_user", TOKEN),
            ("proxmox_api_token_secret", SECRET),
            ("proxmox_ca_path", file.path().to_str().unwrap()),
        ];
        let told = told(&read(&variables, &Redactor::default()).unwrap_err());
        assert!(told.contains(message), "{told}");
    }
}

/// What is set up, what is then asked for, and what is told.
#[tokio::test]
async fn errors_say_what_is_missing_and_what_to_do() {
    let fake = fake().await;
    let proxmox = pinned(&fake);
    let guest = proxmox.find(105).await.unwrap();

    fake.set(|state| {
        state.privileges.remove("VM.Snapshot");
    });
    let text = told(&proxmox.snapshot(&guest, "mms-1", "", &quiet).await.unwrap_err());
    assert!(text.contains("the token `mms@pve!migrate` lacks `VM.Snapshot` on `/vms/105`"), "{text}");
    assert!(text.contains("pveum acl modify /vms/105 --tokens 'mms@pve!migrate'"), "{text}");
    fake.set(|state| {
        state.privileges.remove("VM.Snapshot.Rollback");
    });
    let text = told(&proxmox.rollback(&guest, "mms-1", &quiet).await.unwrap_err());
    assert!(text.contains("lacks `VM.Snapshot` or `VM.Snapshot.Rollback` on `/vms/105`"), "{text}");
    fake.set(|state| {
        state.privileges.remove("VM.Audit");
    });
    let text = told(&proxmox.find(105).await.unwrap_err());
    assert!(text.contains("shows no guest 105") && text.contains("VM.Audit"), "{text}");
    fake.set(|state| state.privileges = ["VM.Audit", "VM.Snapshot"].into());

    let text = told(&proxmox.find(4711).await.unwrap_err());
    assert!(text.contains("shows no guest 4711"), "{text}");
    fake.set(|state| state.guests.get_mut(&105).unwrap().no_snapshots = true);
    let text = told(&proxmox.snapshot(&guest, "mms-1", "", &quiet).await.unwrap_err());
    assert!(
        text.contains("make the snapshot `mms-1` of container 105 (guest-105): snapshot feature is not available"),
        "{text}"
    );
    assert!(text.contains("bind mounts") && text.contains("ZFS"), "{text}");
    fake.set(|state| {
        let guest = state.guests.get_mut(&105).unwrap();
        guest.no_snapshots = false;
        guest.lock = Some("backup");
    });
    let text = told(&proxmox.snapshot(&guest, "mms-1", "", &quiet).await.unwrap_err());
    assert!(text.contains("CT is locked (backup)") && text.contains("a backup?"), "{text}");
    fake.set(|state| state.guests.get_mut(&105).unwrap().lock = None);

    proxmox.snapshot(&guest, "mms-1", "", &quiet).await.unwrap();
    let text = told(&proxmox.snapshot(&guest, "mms-1", "", &quiet).await.unwrap_err());
    assert!(text.contains("already used"), "{text}");
    let text = told(&proxmox.rollback(&guest, "mms-2", &quiet).await.unwrap_err());
    assert!(text.contains("snapshot 'mms-2' does not exist"), "{text}");

    fake.set(|state| {
        state.guests.remove(&105);
    });
    let text = told(&proxmox.snapshot(&guest, "mms-3", "", &quiet).await.unwrap_err());
    assert!(text.contains("does not exist") && text.contains("has moved to another node"), "{text}");
}

#[tokio::test]
async fn a_wrong_secret_is_told_without_showing_it() {
    let fake = fake().await;
    let wrong =
        [("proxmox_fingerprint", fake.fingerprint.as_str()), ("proxmox_api_token_secret", "canary-of-another-token")];
    let text = told(&api(fake.port, &wrong).find(105).await.unwrap_err());
    assert!(text.contains("does not accept the token `mms@pve!migrate`"), "{text}");
    let proxmox = api(fake.port, &wrong);
    assert!(!format!("{proxmox:?}").contains("canary"));
}

/// A server that repeats what it was sent: the redactor knows the secret and masks it.
#[tokio::test]
async fn the_redactor_knows_the_secret() {
    let redactor = Redactor::default();
    let variables = [
        ("proxmox_api_host", "pve"),
        ("proxmox_api_user", TOKEN),
        ("proxmox_api_token_secret", SECRET),
        ("proxmox_validate_certs", "no"),
    ];
    read(&variables, &redactor).unwrap().unwrap();
    assert_eq!(redactor.redact(&format!("PVEAPIToken={TOKEN}={SECRET}")), format!("PVEAPIToken={TOKEN}=********"));
}

#[tokio::test]
async fn locks_of_others_are_waited_for_and_not_for_ever() {
    let fake = fake().await;
    let proxmox = pinned(&fake);
    let guest = proxmox.find(105).await.unwrap();
    let lock = "can't lock file '/run/lock/lxc/pve-config-105.lock' - got timeout";
    fake.set(|state| {
        state.first = [(500, lock.to_owned())].into();
        state.bad_ends = ["cfs-lock 'storage-tank' error: got lock request timeout".to_owned()].into();
    });
    let lines = Mutex::new(vec![]);
    proxmox.snapshot(&guest, "mms-1", "", &|line| lines.lock().unwrap().push(line.to_owned())).await.unwrap();
    assert_eq!(fake.guest(105).snapshots.len(), 1);
    let lines = lines.into_inner().unwrap();
    assert!(lines.iter().any(|line| line.contains("attempt 3 of 5")), "{lines:?}");

    fake.set(|state| state.bad_ends = vec![lock.to_owned(); 20].into());
    let text = told(&proxmox.snapshot(&guest, "mms-2", "", &quiet).await.unwrap_err());
    assert!(text.contains("got timeout") && text.contains("try again later"), "{text}");
    assert_eq!(fake.state.lock().unwrap().bad_ends.len(), 15, "five attempts");
}

#[tokio::test]
async fn a_task_is_watched_through_lost_answers_to_its_end() {
    let fake = fake().await;
    let proxmox = pinned(&fake);
    let guest = proxmox.find(200).await.unwrap();
    fake.set(|state| {
        state.cut = 3;
        state.bad_ends = ["WARNINGS: 2".to_owned()].into();
    });
    let lines = Mutex::new(vec![]);
    proxmox.snapshot(&guest, "mms-1", "", &|line| lines.lock().unwrap().push(line.to_owned())).await.unwrap();
    assert!(lines.into_inner().unwrap().iter().any(|line| line.contains("with warnings")));

    fake.set(|state| state.bad_ends = ["zfs error: out of space".to_owned()].into());
    let text = told(&proxmox.snapshot(&guest, "mms-2", "", &quiet).await.unwrap_err());
    assert!(text.contains("Proxmox does not make the snapshot `mms-2`") && text.contains("out of space"), "{text}");

    fake.set(|state| state.polls = u32::MAX);
    let proxmox = pinned(&fake).with_patience(Duration::from_millis(30), Duration::from_millis(5));
    let text = told(&proxmox.snapshot(&guest, "mms-3", "", &quiet).await.unwrap_err());
    assert!(text.contains("did not make the snapshot `mms-3`") && text.contains("UPID:pve-2:"), "{text}");
}

#[tokio::test]
async fn names_that_the_api_refuses_are_not_sent() {
    let fake = fake().await;
    let proxmox = pinned(&fake);
    let guest = proxmox.find(105).await.unwrap();
    let before = fake.state.lock().unwrap().requests.len();
    let long = "x".repeat(41);
    for name in ["", "a", "1a", "a b", "current", "vzdump", "a/../b", &long] {
        assert_eq!(proxmox.snapshot(&guest, name, "", &quiet).await.unwrap_err().kind(), ErrorKind::User, "{name}");
        assert_eq!(proxmox.delete_snapshot(&guest, name, &quiet).await.unwrap_err().kind(), ErrorKind::User, "{name}");
    }
    assert_eq!(fake.state.lock().unwrap().requests.len(), before);
}

#[tokio::test]
async fn the_node_of_the_inventory_is_checked() {
    let fake = fake().await;
    let more = [("proxmox_fingerprint", fake.fingerprint.as_str()), ("proxmox_node", "pve-1"), ("proxmox_vmid", "105")];
    let proxmox = api(fake.port, &more);
    assert_eq!(proxmox.vmid(), Some(105));
    assert!(proxmox.find(105).await.is_ok());
    let text = told(&proxmox.find(200).await.unwrap_err());
    assert!(text.contains("is on the node `pve-2`, not on `pve-1`"), "{text}");
}

#[tokio::test]
async fn nobody_there() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = api(port, &[("proxmox_validate_certs", "no")]).find(105).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let text = told(&error);
    assert!(
        text.contains(&format!("the Proxmox API at 127.0.0.1:{port} cannot be reached: connection refused")),
        "{text}"
    );
    // Something that speaks, but not TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
        }
    });
    let text = told(&api(port, &[("proxmox_validate_certs", "no")]).find(105).await.unwrap_err());
    assert!(text.contains("does not speak TLS as it should"), "{text}");
}

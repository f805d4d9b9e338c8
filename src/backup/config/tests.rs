//! Settings to files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;
use crate::service::load;
use crate::value::from_json;

fn service(name: &str, backup: Json) -> Service {
    let definition = json!({"image": "docker.io/x/app:1", "backup": backup});
    load::read(name, &from_json(&definition), None).unwrap()
}

fn machine() -> Machine {
    Machine {
        host: "media".to_owned(),
        dir: "/b".to_owned(),
        recipients: Some(vec!["age1xyz".to_owned()]),
        shrink: 30,
        daily: "03:00".to_owned(),
        weekly: "Sun".to_owned(),
        ..Machine::default()
    }
}

fn made(machine: &Machine, service: &Service) -> Result<Files, Wrong> {
    files(machine, &[service], &|_| json!({"name": "app"}))
}

fn conf(files: &Files) -> &str {
    &files[".config/mms/backup/services/app.conf"].text
}

#[test]
fn settings_of_a_service_win_over_those_of_the_machine() {
    let mut machine = machine();
    machine.retention = Retention { daily: Some(3), monthly: Some(2), ..Retention::default() };
    machine.mount = Some("/mnt/all".to_owned());
    let backup = json!({
        "strategy": "sqlite", "paths": ["/srv/a/", "/srv/it's"], "excludes": ["logs", "*.tmp"], "dir": "/own",
        "retention": {"daily": 30}, "shrink": 50, "recipients": "ssh-ed25519 AAAA me@here",
    });
    let files = made(&machine, &service("app", backup)).unwrap();
    let conf = conf(&files);
    for line in [
        "strategy=sqlite",
        "paths='/srv/a\n/srv/it'\\''s'",
        "excludes='logs\n*.tmp'",
        "dir=/own",
        "mount=/mnt/all",
        "last_kept=1",
        "daily=30",
        "weekly=4",
        "monthly=2",
        "shrink=50",
        "encrypt=yes",
        "containers=app",
        "mirror_paths=''",
    ] {
        assert!(conf.contains(&format!("\n{line}\n")), "{line} is not in\n{conf}");
    }
    assert_eq!(files[".config/mms/backup/services/app.recipients"].text, "ssh-ed25519 AAAA me@here\n");
    assert!(files.contains_key(".config/systemd/user/mms-backup@.service"));
}

#[test]
fn unencrypted_only_when_somebody_said_so() {
    let plain = service("app", json!({"strategy": "cold", "paths": "/srv/a", "recipients": []}));
    let files = made(&machine(), &plain).unwrap();
    assert!(conf(&files).contains("\nencrypt=no\n"));
    assert!(!files.contains_key(".config/mms/backup/services/app.recipients"));

    let unsaid = Machine { recipients: None, ..machine() };
    let usual = service("app", json!({"strategy": "cold", "paths": "/srv/a"}));
    assert!(made(&unsaid, &usual).unwrap_err().message.contains("nobody is named"));
    let private = Machine { recipients: Some(vec!["AGE-SECRET-KEY-1QQQ".to_owned()]), ..machine() };
    let wrong = made(&private, &usual).unwrap_err();
    assert!(!wrong.message.contains("QQQ"), "{}", wrong.message);
}

#[test]
fn large_files_are_mirrored() {
    let mirrored = service(
        "app",
        json!({"strategy": "postgres", "mirror": {"paths": "/photos", "excludes": "thumbs", "to": "/second", "keep": 8}}),
    );
    let files = made(&machine(), &mirrored).unwrap();
    for line in
        ["mirror_paths=/photos", "mirror_excludes=thumbs", "mirror_to=/second", "mirror_keep=8", "container=app"]
    {
        assert!(conf(&files).contains(&format!("\n{line}\n")), "{line}");
    }
    let only = service("app", json!({"strategy": "rsync", "paths": "/photos", "excludes": "thumbs"}));
    let files = made(&Machine { mirror_dir: Some("/second".to_owned()), ..machine() }, &only).unwrap();
    for line in ["mirror_paths=/photos", "mirror_excludes=thumbs", "mirror_to=/second"] {
        assert!(conf(&files).contains(&format!("\n{line}\n")), "{line}");
    }
}

#[test]
fn services_that_are_not_backed_up_have_no_files() {
    let none = service("app", json!({"strategy": "none"}));
    let files = made(&machine(), &none).unwrap();
    assert!(files.keys().all(|path| path.starts_with(".config/systemd/")), "{files:?}");
}

#[test]
fn notifications_are_lines_and_their_addresses_are_not_told() {
    let entry = |json: Json| notify(&json);
    assert_eq!(
        notifications(&[
            entry(json!("https://hc-ping.com/abc")).unwrap(),
            entry(json!({"type": "ntfy", "url": "https://ntfy.sh/t"})).unwrap(),
            entry(json!({"type": "webhook", "url": "http://x/y", "on": ["failure"]})).unwrap(),
        ]),
        "healthchecks start,success,failure https://hc-ping.com/abc\nntfy success,failure https://ntfy.sh/t\nwebhook failure http://x/y\n"
    );
    for wrong in [
        json!({"type": "mail", "url": "https://s3cret"}),
        json!("ftp://s3cret"),
        json!({"type": "ntfy", "url": "http://s3cret x"}),
    ] {
        let error = entry(wrong).unwrap_err();
        assert!(!error.message.contains("s3cret") && !error.hint.contains("s3cret"), "{error:?}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let wrong = |backup: Json| {
        let definition = json!({"image": "docker.io/x/app:1", "backup": backup});
        load::read("app", &from_json(&definition), None).unwrap_err().to_string()
    };
    assert!(
        wrong(json!({"strategy": "cold", "paths": ["/a", "b"]}))
            .contains("`backup.paths[1]`: `b` is not an absolute path")
    );
    assert!(wrong(json!({"strategy": "sqlite"})).contains("nothing to save"));
    assert!(wrong(json!({"strategy": "cold", "paths": "/"})).contains("not an absolute path"));
    assert!(wrong(json!({"strategy": "cold", "paths": "/a", "excludes": "a\nb"})).contains("line end"));
    let told = wrong(json!({"strategy": "cold", "paths": "/a", "notify": [{"type": "ntfy", "url": "s3cret"}]}));
    assert!(told.contains("`backup.notify[0]`") && !told.contains("s3cret"), "{told}");
}

#[test]
fn the_key_on_may_be_written_without_quotes() {
    // As YAML 1.1 reads it.
    let entry = json!({"type": "ntfy", "url": "https://x.example/t", "true": ["failure"]});
    assert_eq!(notify(&entry).unwrap().on, Some(vec![Occasion::Failure]));
}

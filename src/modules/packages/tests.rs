//! What `dnf` and `apt` decide from the target's answers, without a target.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::{apt, dnf};
use crate::connection::Answer;
use crate::modules::commands::harness::{self, Desk};
use crate::modules::{Context, Failure, Next, Spec, StateModule, Step};
use crate::value::{from_fields, to_json};

fn plan(
    spec: &Spec,
    module: &dyn StateModule,
    args: serde_json::Value,
    check: bool,
    seen: &[&str],
) -> Result<Next, Failure> {
    let desk = Desk::default();
    let cx = Context { check, diff: false, user: None, workstation: &desk };
    let seen: Vec<Answer> =
        seen.iter().map(|text| Answer { stdout: text.as_bytes().to_vec(), ..Answer::default() }).collect();
    module.plan(&cx, &harness::args(spec, args), &seen)
}

/// The scripts of what is to be run, or what else was decided.
fn decided(next: Next) -> String {
    match next {
        Next::Probe(probe) => format!("probe {}", probe.script),
        Next::Ok(fields) => format!("ok {}", to_json(&from_fields(&fields))),
        Next::Change(change) | Next::Action(change) => {
            let scripts = change.steps.into_iter().map(|step| match step {
                Step::Run { script, .. } => script,
                other => format!("{other:?}"),
            });
            format!("run {}", scripts.collect::<Vec<_>>().join("---\n"))
        }
        other => format!("{other:?}"),
    }
}

fn dnf_plan(args: serde_json::Value, check: bool, seen: &[&str]) -> String {
    plan(&dnf::SPEC, &dnf::Dnf, args, check, seen).map_or_else(|failure| format!("failed {}", failure.msg), decided)
}

fn apt_plan(args: serde_json::Value, seen: &[&str]) -> String {
    plan(&apt::SPEC, &apt::Apt, args, false, seen).map_or_else(|failure| format!("failed {}", failure.msg), decided)
}

const FOO: &str = "packages=\nfoo\t0\t2.0\t1\tnoarch\n";

#[test]
fn dnf_is_not_started_when_rpm_can_tell() {
    let root = format!("uid=0\ntool=5\n{FOO}");
    for spec in ["foo", "foo-2.0", "foo.noarch", "foo >= 1.5"] {
        let got = dnf_plan(json!({"name": [spec]}), false, &[&root]);
        assert_eq!(got, r#"ok {"msg":"Nothing to do","results":[],"rc":0}"#, "{spec}");
    }
    let got = dnf_plan(
        json!({"name": ["bar"], "state": "absent"}),
        false,
        &["uid=0\ntool=5\npackages=\nprovides=\nno package provides bar\n"],
    );
    assert_eq!(got, r#"ok {"msg":"Nothing to do","results":[],"rc":0}"#);
    let got = dnf_plan(json!({"name": ["foo"]}), false, &[&root.replace("uid=0", "uid=1000")]);
    assert_eq!(got, "failed This command has to be run under the root user.");
}

#[test]
fn dnf_installs_what_is_missing_in_its_own_dialect() {
    let missing = "uid=0\ntool=4\npackages=\nprovides=\nno package provides bar\n";
    let args = json!({"name": ["bar, baz >= 2"], "disable_gpg_check": true, "enablerepo": ["a", "b"], "nobest": false});
    let got = dnf_plan(args.clone(), false, &[missing]);
    let line = "dnf --assumeyes --enablerepo=a --enablerepo=b --setopt=best=1 --setopt=clean_requirements_on_remove=0 --nogpgcheck install bar 'baz >= 2'\n";
    assert!(got.starts_with("run LC_ALL=C rpm -qa") && got.contains(line), "{got}");
    let got = dnf_plan(args, false, &[&missing.replace("tool=4", "tool=5")]);
    assert!(got.contains("dnf5 --assumeyes") && got.contains("--no-gpgchecks install"), "{got}");
    let got = dnf_plan(json!({"name": ["bar"]}), true, &[missing]);
    assert!(got.starts_with("probe") && got.contains("dnf --assumeno"), "{got}");
}

#[test]
fn dnf_asks_the_repositories_before_it_leaves_a_newer_version() {
    let root = format!("uid=0\ntool=4\n{FOO}provides=\nno package provides foo-1.0\n");
    let args = json!({"name": ["foo-1.0"]});
    let got = dnf_plan(args.clone(), false, &[&root]);
    assert!(got.contains("repoquery foo-1.0"), "{got}");
    assert!(dnf_plan(args.clone(), false, &[&root, "foo-1.0\n"]).starts_with("ok"));
    assert!(dnf_plan(args, false, &[&root, ""]).contains("install foo-1.0"));
    let down = dnf_plan(json!({"name": ["foo-1.0"], "allow_downgrade": true}), false, &[&root]);
    assert!(down.contains("install foo-1.0"), "{down}");
}

#[test]
fn dnf_upgrades_and_installs_apart() {
    let found = format!("uid=0\ntool=5\n{FOO}provides=\nno package provides bar\n");
    let args = json!({"name": ["foo", "bar"], "state": "latest"});
    let got = dnf_plan(args.clone(), false, &[&found]);
    let install = got.find(" install bar\n").or_else(|| got.find(" install bar ")).unwrap();
    assert!(got.contains("--assumeno") && got.find(" upgrade foo").unwrap() > install, "{got}");
    let got = dnf_plan(json!({"name": ["foo", "bar"], "state": "latest", "update_only": true}), false, &[&found]);
    assert!(got.contains(" upgrade foo") && !got.contains(" install "), "{got}");
}

const DPKG: &str = "stamp=1000\nnow=5000\nfoo\tamd64\tii \t1.0-1\nold\tall\trc \t0.9\n";
const POLICY: &str = "policy=\nfoo:\n  Installed: 1.0-1\n  Candidate: 2.0-1\n  Version table:\n     2.0-1 500\n        500 x\n *** 1.0-1 500\n        500 x\nbar:\n  Installed: (none)\n  Candidate: 3\n  Version table:\n     3 500\n        500 x\n";

#[test]
fn apt_is_not_started_when_dpkg_can_tell() {
    for spec in ["foo", "foo=1.0-1", "foo:amd64", "foo>=0.9"] {
        let got = apt_plan(json!({"package": [spec]}), &[DPKG]);
        assert_eq!(got, r#"ok {"cache_updated":false,"cache_update_time":1000}"#, "{spec}");
    }
    assert_eq!(apt_plan(json!({"package": ["bar", "old"], "state": "absent"}), &[DPKG]), "ok {}");
    let got = apt_plan(json!({"package": ["foo"], "update_cache": true, "cache_valid_time": 9000}), &[DPKG]);
    assert!(got.starts_with("ok"), "{got}");
}

#[test]
fn apt_takes_the_version_that_is_asked_for() {
    let install = |spec: &str, state: &str| {
        let got = apt_plan(json!({"package": [spec], "state": state}), &[DPKG, POLICY]);
        got.lines().find_map(|line| line.split_once(" install ").map(|(_, words)| words.to_owned())).unwrap_or(got)
    };
    let marked = " && { ! command -v apt-mark >/dev/null || apt-mark manual";
    assert_eq!(install("bar", "present"), format!("'bar=3'{marked} bar >/dev/null; }}"));
    assert_eq!(install("foo", "latest"), format!("'foo=2.0-1'{marked} foo >/dev/null; }}"));
    assert_eq!(install("foo=2*", "present"), format!("'foo=2.0-1'{marked} foo >/dev/null; }}"));
    assert_eq!(install("foo>=1.5", "present"), format!("'foo=2.0-1'{marked} foo >/dev/null; }}"));
    assert_eq!(install("bar=4", "present"), "failed no available installation candidate for bar=4");
    assert!(install("foo=1.0*", "latest").starts_with("ok"), "the only version that matches is installed");
}

#[test]
fn apt_updates_its_lists_first() {
    let got = apt_plan(json!({"package": ["bar"], "update_cache": true}), &[DPKG]);
    let update = got.find("update >&2").unwrap();
    assert!(got.find(" install 'bar'").unwrap() > update, "{got}");
    let got = apt_plan(json!({"package": ["foo"], "update_cache": true}), &[DPKG]);
    assert!(got.contains("update >&2") && !got.contains(" install "), "{got}");
}

#[test]
fn apt_updates_its_lists_again_in_the_same_second() {
    let seen = "stamp=5000.250000000\nnow=5000\n";
    let args = json!({"update_cache": true});
    let desk = Desk::default();
    let cx = Context { check: false, diff: false, user: None, workstation: &desk };
    let args = harness::args(&apt::SPEC, args);
    let answer = |text: &str| Answer { stdout: text.as_bytes().to_vec(), ..Answer::default() };
    let Next::Change(change) = apt::Apt.plan(&cx, &args, &[answer(seen)]).unwrap() else { panic!("no update") };
    for (after, changed) in [("5000.75\n", true), ("5000.250000000\n", false)] {
        let fields = apt::Apt.finish(&cx, &args, &change, &[answer(seen)], &[answer(after)]).unwrap();
        let expected = json!({"cache_updated": changed, "cache_update_time": 5000, "changed": changed});
        assert_eq!(to_json(&from_fields(&fields)), expected);
    }
}

#[test]
fn apt_purges_what_left_its_configuration() {
    let got = apt_plan(json!({"package": ["old", "foo"], "state": "absent", "purge": true}), &[DPKG]);
    assert!(got.contains("--purge") && got.contains(" remove 'old' 'foo'"), "{got}");
}

#[test]
fn apt_marks_what_was_installed_for_others() {
    let auto = format!("{DPKG}Package: foo\nArchitecture: amd64\nAuto-Installed: 1\n");
    let got = apt_plan(json!({"package": ["foo"]}), &[&auto]);
    assert!(got.contains("apt-mark manual foo"), "{got}");
}

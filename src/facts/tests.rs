//! Recorded answers of real hosts against what Ansible's `setup` said of them at the same time.

use std::path::Path;

use super::*;

/// Facts that change from one moment to the next, or that describe Python.
const FLEETING: &[&str] = &[
    "date_time",
    "loadavg",
    "memfree_mb",
    "memory_mb",
    "uptime_seconds",
    "env",
    "python",
    "python_version",
    "swapfree_mb",
];

/// Lists whose order in Ansible's answer is that of a directory on disk.
const UNORDERED: &[&str] = &[
    "interfaces",
    "virtualization_tech_guest",
    "virtualization_tech_host",
    "all_ipv4_addresses",
    "all_ipv6_addresses",
];

/// Without how full the file systems are.
fn steady(json: &Json) -> Json {
    let mut list = json.as_array().cloned().unwrap_or_default();
    for mount in list.iter_mut().filter_map(Json::as_object_mut) {
        mount.retain(|key, _| !key.ends_with("_available") && !key.ends_with("_used"));
    }
    Json::Array(list)
}

fn sorted(json: &Json) -> Json {
    let mut list = json.as_array().cloned().unwrap_or_default();
    list.sort_by_key(ToString::to_string);
    Json::Array(list)
}

#[test]
fn recorded_hosts_yield_what_ansible_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts");
    let mut hosts = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "answer") {
            continue;
        }
        hosts += 1;
        let answer = Answer { rc: 0, stdout: std::fs::read(&path).unwrap(), stderr: vec![] };
        let facts = parse(&answer).unwrap();
        let expected: Json = serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        for (name, theirs) in expected.as_object().unwrap() {
            let name = name.strip_prefix("ansible_").unwrap_or(name);
            if FLEETING.contains(&name) {
                continue;
            }
            let ours = facts.get(name).map(crate::value::to_json).unwrap_or_default();
            let place = format!("{}: {name}", path.display());
            if name == "mounts" {
                assert_eq!(steady(&ours), steady(theirs), "{place}");
            } else if UNORDERED.contains(&name) {
                assert_eq!(sorted(&ours), sorted(theirs), "{place}");
            } else {
                assert_eq!(&ours, theirs, "{place}");
            }
        }
        for name in FLEETING.iter().filter(|name| !name.starts_with("python")) {
            assert!(facts.contains_key(*name), "{}: {name}", path.display());
        }
    }
    assert!(hosts > 0, "no recorded host in {}", directory.display());
}

fn wanted(subset: &[&str]) -> String {
    let request = Request { subset: subset.iter().map(|name| (*name).to_owned()).collect(), ..Request::default() };
    probe(&request).unwrap().script.lines().next().unwrap().to_owned()
}

#[test]
fn subsets_add_and_take_away() {
    assert!(wanted(&["all"]).contains(" hardware "));
    assert!(!wanted(&["!all"]).contains(" hardware "));
    assert!(wanted(&["!all"]).contains(" distribution "));
    assert!(wanted(&["!all", "!min", "network"]).contains("' platform distribution network '"));
    assert!(wanted(&["!all", "mounts"]).contains(" hardware "));
    let request = Request { subset: vec!["hardwear".into()], ..Request::default() };
    let failure = probe(&request).unwrap_err();
    assert!(failure.msg.starts_with("Bad subset 'hardwear' given to Ansible."), "{}", failure.msg);
    assert_eq!(failure.hints, ["did you mean `hardware`?"]);
}

fn of(sections: &[(&str, &str)]) -> Fields {
    let mut stdout = String::from("\n\u{1}subset\n platform distribution pkg_mgr service_mgr local date_time selinux ");
    for (name, content) in sections.iter().chain(&[("end", "")]) {
        stdout.push_str(&format!("\n\u{1}{name}\n{content}"));
    }
    parse(&Answer { rc: 0, stdout: stdout.into_bytes(), stderr: vec![] }).unwrap()
}

fn text_of(facts: &Fields, name: &str) -> String {
    facts.get(name).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn fedora_has_dnf5_and_an_empty_code_name() {
    let facts = of(&[
        (
            "files",
            "/etc/redhat-release:Fedora release 42 (Adams)\n/etc/os-release:NAME=\"Fedora Linux\"\n/etc/os-release:ID=fedora\n\
             /etc/os-release:VERSION=\"42 (Server Edition)\"\n/etc/os-release:VERSION_ID=42\n\
             /etc/os-release:VERSION_CODENAME=\"\"\n/proc/1/comm:systemd\n/sys/fs/selinux/policyvers:33\n\
             /sys/fs/selinux/enforce:1\n/etc/selinux/config:SELINUX=enforcing\n/etc/selinux/config:SELINUXTYPE=targeted",
        ),
        ("exists", "/etc/os-release\n/usr/bin/dnf\n/usr/bin/dnf5\n/usr/bin/apt-get\ndnf=dnf5"),
    ]);
    for (name, expected) in [
        ("distribution", "Fedora"),
        ("distribution_version", "42"),
        ("distribution_major_version", "42"),
        ("distribution_release", ""),
        ("distribution_file_variety", "RedHat"),
        ("os_family", "RedHat"),
        ("pkg_mgr", "dnf5"),
        ("service_mgr", "systemd"),
        (
            "selinux",
            "{'status': 'enabled', 'policyvers': 33, 'config_mode': 'enforcing', 'mode': 'enforcing', 'type': 'targeted'}",
        ),
    ] {
        assert_eq!(text_of(&facts, name), expected, "{name}");
    }
}

#[test]
fn alpine_is_told_by_its_release_file() {
    let facts = of(&[
        (
            "files",
            "/etc/alpine-release:3.22.1\n/etc/os-release:ID=alpine\n/etc/os-release:VERSION_ID=3.22.1\n/proc/1/comm:init",
        ),
        ("exists", "/etc/os-release\n/sbin/apk\n/sbin/openrc"),
    ]);
    for (name, expected) in [
        ("distribution", "Alpine"),
        ("distribution_version", "3.22.1"),
        ("distribution_major_version", "3"),
        ("distribution_release", "NA"),
        ("os_family", "Alpine"),
        ("pkg_mgr", "apk"),
        ("service_mgr", "openrc"),
    ] {
        assert_eq!(text_of(&facts, name), expected, "{name}");
    }
}

#[test]
fn local_facts_are_json_ini_or_a_message() {
    let facts = of(&[
        ("fact", "/etc/ansible/facts.d/a.fact\n{\"x\": [1, 2]}"),
        ("fact_end", "0\n"),
        ("fact", "/etc/ansible/facts.d/b.fact\n[General]\nKey = v\n more\n"),
        ("fact_end", "0\n"),
        ("fact", "/etc/ansible/facts.d/c.fact\n"),
        ("fact_end", "3\noops"),
        ("fact", "/etc/ansible/facts.d/d.fact\nnonsense"),
        ("fact_end", "0\n"),
    ]);
    let local = crate::value::to_json(facts.get("local").unwrap());
    assert_eq!(local["a"], json!({ "x": [1, 2] }));
    assert_eq!(local["b"], json!({ "General": { "key": "v\nmore" } }));
    assert_eq!(local["c"], json!("Failure executing fact script (/etc/ansible/facts.d/c.fact), rc: 3, err: oops"));
    assert_eq!(
        local["d"],
        json!("error loading facts as JSON or ini - please check content: /etc/ansible/facts.d/d.fact")
    );
}

#[test]
fn a_broken_off_answer_is_a_failure() {
    let answer = Answer { rc: 137, stdout: b"\n\x01subset\n platform ".to_vec(), stderr: vec![] };
    assert_eq!(parse(&answer).unwrap_err().msg, "the script that gathers facts broke off");
}

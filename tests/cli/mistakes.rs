//! What is wrong in a playbook: place, cause and cure, before anything is run.

use crate::project::{Project, cases};

/// Every file of `tests/cli/mistakes/` is a playbook with one mistake. Whatever it is, mms ends with 1 before the first task
/// (which makes the file `touched`), unless the mistake can only be found while the task runs: those files are called `run_…`
/// and end with 2.
#[test]
fn each_mistake_names_place_cause_and_cure() {
    for (name, path) in cases("mistakes") {
        let project = Project::new();
        project.write("roles/web/tasks/main.yml", "- command: touch touched\n");
        project.write("roles/web/handlers/main.yml", "- name: reload web\n  command: touch touched\n");
        let file = format!("playbooks/{name}.yml");
        project.write(&file, std::fs::read(path).unwrap());
        let seen = project.mms(&["run", &file]);
        seen.assert_no_panic();
        assert_eq!(seen.code, Some(if name.starts_with("run_") { 2 } else { 1 }), "{name}\n{seen}");
        assert!(!project.path("touched").exists() && !project.path("playbooks/touched").exists(), "{name}");
        insta::assert_snapshot!(name.as_str(), seen);
        if seen.code == Some(1) {
            // `mms check` finds the same.
            let checked = project.mms(&["check", &file]);
            assert_eq!(checked.code, Some(1), "{name}: {checked}");
            assert!(checked.stderr.contains(seen.stderr.lines().next().unwrap()), "{name}: {checked}");
        }
    }
}

/// A whole project full of them: `mms check` lists them all.
#[test]
fn check_lists_every_mistake_of_a_project() {
    let project = Project::new();
    project.write(
        "playbooks/a.yml",
        "- hosts: here\n  tasks:\n    - fiel:\n        path: /x\n    - debug:\n        mgs: x\n",
    );
    project.write(
        "playbooks/b.yml",
        "- hosts: here\n  tasks:\n    - debug:\n        msg: \"{{ 1 | nope }}\"\n      when: x is nope\n",
    );
    project.write("services/radarr.yml", "image: {{ nope }\n");
    project.write("inventory/group_vars/all.yml", "a: [1, 2\n");
    insta::assert_snapshot!(project.mms(&["check"]));
    let json = project.mms(&["check", "--json"]);
    assert_eq!(json.code, Some(1));
    for line in json.stdout.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["message"].is_string() && value["severity"] == "error", "{line}");
    }
}

/// Services are read as far as no template hides what they say.
#[test]
fn check_finds_what_is_wrong_in_services() {
    let project = Project::new();
    project.write("playbooks/a.yml", "- hosts: here\n  tasks: []\n");
    let good = "image: docker.io/library/good:1.2\nports: [\"{{ port }}:80\"]\nhealth:\n  cmd: \"{{ cmd }}\"\n  retries: \"{{ retries }}\"\nexpose: [{https: \"{{ https }}\", port: 80}]\n";
    project.write("services/good.yml", good);
    project.write("services/key.yml", "imagee: docker.io/library/key:1.2\nports: [\"{{ port }}:80\"]\n");
    project
        .write("services/type.yml", "image: docker.io/library/type:1.2\nports: [\"{{ port }}:80\"]\nhealth: [curl]\n");
    let seen = project.mms(&["check"]);
    assert_eq!(seen.code, Some(1), "{seen}");
    for part in ["`imagee` is not a key here", "services/key.yml:1:1", "services/type.yml:3:9", "2 errors found"] {
        assert!(seen.stderr.contains(part), "{part}: {seen}");
    }
    assert!(!seen.stderr.contains("good.yml"), "{seen}");
}

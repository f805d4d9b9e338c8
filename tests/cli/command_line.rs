//! What is wrong on the command line, or with what it names.

use crate::project::Project;

const OK: &str = "- name: Fine\n  hosts: here\n  gather_facts: false\n  tasks:\n    - name: Say\n      debug:\n        msg: hello\n      tags: [words, greeting]\n    - name: Touch\n      command: touch touched\n";

fn project() -> Project {
    let project = Project::new();
    project.write("playbooks/ok.yml", OK);
    project.write("playbooks/nobody.yml", "- hosts: databases\n  tasks: []\n- hosts: heer\n  tasks: []\n");
    project.write("services/radarr.yml", "image: x\n");
    project.write("services/sonarr.yml", "image: x\n");
    project
}

/// Each is refused with exit code 1 and runs nothing.
#[test]
fn bad_arguments_are_refused() {
    let cases: &[(&str, &[&str])] = &[
        ("no_arguments", &[]),
        ("unknown_verb", &["deplyo"]),
        ("unknown_option", &["run", "--chekc", "playbooks/ok.yml"]),
        ("no_playbook_given", &["run"]),
        ("playbook_missing", &["run", "playbooks/okay.yml"]),
        ("playbook_is_a_directory", &["run", "playbooks"]),
        ("own_playbook_missing", &["deploy"]),
        ("limit_matches_nobody", &["run", "playbooks/ok.yml", "--limit", "heer"]),
        ("start_at_no_task", &["run", "playbooks/ok.yml", "--start-at-task", "Sya"]),
        ("extra_vars_file_missing", &["run", "playbooks/ok.yml", "-e", "@missing.yml"]),
        ("extra_vars_broken", &["run", "playbooks/ok.yml", "-e", "{\"a\": "]),
        ("extra_vars_no_value", &["run", "playbooks/ok.yml", "-e", "novalue"]),
        ("extra_vars_list", &["run", "playbooks/ok.yml", "-e", "[1, 2]"]),
        ("extra_vars_quote", &["run", "playbooks/ok.yml", "-e", "a='x"]),
        ("inventory_missing", &["run", "playbooks/ok.yml", "-i", "nope.yml"]),
        ("become_method", &["run", "playbooks/ok.yml", "--become-method", "sduo"]),
        ("forks_zero", &["run", "playbooks/ok.yml", "--forks", "0"]),
        ("timeout_no_number", &["run", "playbooks/ok.yml", "--timeout", "soon"]),
        ("service_unknown", &["deploy-service", "radar"]),
        ("service_unknown_in_plan", &["plan", "--service", "radar"]),
        ("service_unknown_in_logs", &["logs", "radar"]),
        ("project_missing", &["--project", "nowhere", "plan"]),
        ("vault_missing", &["vault", "view"]),
    ];
    for (name, args) in cases {
        let project = project();
        let seen = project.mms(args);
        seen.assert_no_panic();
        assert_eq!(seen.code, Some(1), "{name}\n{seen}");
        assert!(seen.stdout.is_empty(), "{name}: errors belong on stderr\n{seen}");
        assert!(!project.path("touched").exists(), "{name}");
        insta::assert_snapshot!(*name, seen);
    }
}

/// As in Ansible, also for the check before the run.
#[test]
fn files_of_variables_may_lie_in_vars_beside_the_playbook() {
    let project = project();
    project.write("playbooks/vars/words.yml", "word: found in vars\n");
    let play = "- hosts: here\n  gather_facts: false\n  vars_files: [words.yml]\n  tasks:\n    - debug:\n        msg: \"{{ word }}\"\n";
    project.write("playbooks/said.yml", play);
    let seen = project.mms(&["run", "playbooks/said.yml"]);
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(seen.stdout.contains("found in vars"), "{seen}");
}

/// Nothing is wrong enough to stop, but the user is told.
#[test]
fn what_matches_nothing_is_told() {
    let cases: &[(&str, &[&str])] = &[
        ("no_host_matches", &["run", "playbooks/nobody.yml"]),
        ("no_host_within_limit", &["run", "playbooks/ok.yml", "--limit", "other"]),
        ("no_task_has_the_tag", &["run", "playbooks/ok.yml", "--tags", "grreting", "--skip-tags", "wrods"]),
    ];
    for (name, args) in cases {
        let seen = project().mms(args);
        assert_eq!(seen.code, Some(0), "{name}\n{seen}");
        insta::assert_snapshot!(*name, seen);
    }
}

#[test]
fn without_a_project_and_without_an_inventory() {
    let project = Project::new();
    std::fs::remove_dir_all(project.path("inventory")).unwrap();
    std::fs::remove_file(project.path("mms.toml")).unwrap();
    insta::assert_snapshot!("no_project", project.mms(&["plan"]));
    project.write("x.yml", "- hosts: web\n  tasks: []\n");
    insta::assert_snapshot!("no_inventory", project.mms(&["run", "x.yml"]));
    let checked = project.mms(&["check"]);
    assert_eq!(checked.code, Some(1), "{checked}");
    assert!(checked.stderr.contains("there is nothing to check"), "{checked}");
    let status = project.mms(&["status"]);
    assert!(status.stderr.contains("the inventory has no hosts"), "{status}");
}

#[test]
fn files_that_cannot_be_read() {
    let project = project();
    project.write("inventory/group_vars/all/dir.yml/x", "");
    project.write("bad.yml", b"\x80\x81");
    std::fs::create_dir(project.path("vars.yml")).unwrap();
    insta::assert_snapshot!("extra_vars_is_a_directory", project.mms(&["run", "playbooks/ok.yml", "-e", "@vars.yml"]));
    insta::assert_snapshot!("extra_vars_not_utf8", project.mms(&["run", "playbooks/ok.yml", "-e", "@bad.yml"]));
    insta::assert_snapshot!("inventory_not_utf8", project.mms(&["run", "playbooks/ok.yml", "-i", "bad.yml"]));
    project.write("mms.toml", "inventroy = 'x'\n");
    insta::assert_snapshot!("settings_unknown_key", project.mms(&["run", "playbooks/ok.yml"]));
    project.write("mms.toml", "forks = \n");
    insta::assert_snapshot!("settings_broken", project.mms(&["run", "playbooks/ok.yml"]));
}

/// What the shell's completion is told. It never fails, whatever the project is like.
#[test]
fn completion_knows_the_project() {
    let project = project();
    let complete = |words: &[&str]| {
        let mut command = project.command(&[&["--", "mms"], words].concat());
        command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", " ");
        let seen = project.run(&mut command);
        assert_eq!((seen.code, seen.stderr.as_str()), (Some(0), ""), "{seen}");
        seen.stdout.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["deploy-service", "ra"]), ["radarr"]);
    assert_eq!(complete(&["logs", ""])[..2], ["radarr", "sonarr"]);
    assert_eq!(complete(&["run", "playbooks/o"]), ["playbooks/ok.yml"]);
    assert_eq!(complete(&["run", "playbooks/ok.yml", "--limit", "o"]), ["other"]);
    assert_eq!(complete(&["run", "playbooks/ok.yml", "--tags", "gr"]), ["greeting"]);
    project.write("inventory/hosts.yml", "all: [");
    project.write("playbooks/ok.yml", "- hosts: [");
    assert!(complete(&["run", "x", "--limit", ""]).is_empty());
    assert!(complete(&["run", "x", "--tags", "gr"]).is_empty());
}

//! How results are shown: lines for people, JSON for scripts, lists, and output that nobody reads to its end.

use std::io::Read as _;
use std::process::Stdio;

use crate::project::Project;

const PLAYBOOK: &str = r#"
- name: Show everything
  hosts: here
  gather_facts: false
  tasks:
    - name: Write a file
      copy:
        dest: "{{ playbook_dir }}/../out.txt"
        content: "one\ntwo\n"
      notify: tell
    - name: Many
      command: "echo {{ item }}"
      loop: [first, second]
      register: many
    - name: Unchanged
      command: "true"
      changed_when: false
    - name: Not here
      command: "false"
      when: false
    - name: Depends on what a command says
      copy:
        dest: "{{ playbook_dir }}/../later.txt"
        content: "{{ many.results[0].stdout }}"
    - block:
        - name: Try
          shell: echo out; echo err >&2; exit 3
      rescue:
        - name: Save
          debug:
            msg: "saved {{ ansible_failed_result.rc }}"
      always:
        - debug:
            var: many.results | length
    - name: Not so bad
      command: "false"
      ignore_errors: true
  handlers:
    - name: tell
      debug:
        msg: told
"#;

fn project() -> Project {
    let project = Project::new();
    project.write("playbooks/all.yml", PLAYBOOK);
    project
}

#[test]
fn a_run_a_plan_and_a_second_run() {
    let project = project();
    insta::assert_snapshot!("plan", project.mms(&["plan", "playbooks/all.yml"]));
    assert!(!project.path("out.txt").exists());
    insta::assert_snapshot!("run", project.mms(&["run", "playbooks/all.yml", "--diff"]));
    insta::assert_snapshot!("again", project.mms(&["run", "playbooks/all.yml"]));
    insta::assert_snapshot!("verbose", project.mms(&["run", "playbooks/all.yml", "-v"]));
}

#[test]
fn colours_only_when_asked_for() {
    let project = project();
    let escapes = |args: &[&str], env: &[(&str, &str)]| {
        let seen = project.run(project.command(args).envs(env.iter().copied()));
        (seen.stdout + &seen.stderr).contains('\u{1b}')
    };
    assert!(!escapes(&["run", "playbooks/all.yml"], &[]));
    assert!(!escapes(&["run", "playbooks/nope.yml"], &[]));
    assert!(escapes(&["run", "playbooks/all.yml", "--color", "always"], &[]));
    assert!(escapes(&["run", "playbooks/nope.yml", "--color", "always"], &[]));
    assert!(escapes(&["run", "playbooks/all.yml"], &[("MMS_COLOR", "always")]));
    assert!(escapes(&["run", "playbooks/all.yml"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!escapes(&["run", "playbooks/all.yml"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!escapes(&["run", "playbooks/all.yml", "--color", "never"], &[("MMS_COLOR", "always")]));
}

#[test]
fn json_is_one_object_per_line() {
    let project = project();
    let seen = project.mms(&["run", "playbooks/all.yml", "--json", "-vvv", "--diff"]);
    assert_eq!(seen.code, Some(0), "{seen}");
    let lines: Vec<serde_json::Value> =
        seen.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"play"), Some(&"summary")));
    let statuses: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "task")
        .map(|line| format!("{}: {}", line["task"]["name"].as_str().unwrap(), line["status"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!("json_statuses", statuses.join("\n"));
    insta::assert_snapshot!("json_summary", {
        let mut last = lines.last().unwrap().clone();
        last["summary"]["duration"] = 0.into();
        serde_json::to_string_pretty(&last).unwrap()
    });
}

#[test]
fn lists_instead_of_a_run() {
    let project = project();
    project.write("roles/web/tasks/main.yml", "- name: Serve\n  command: x\n  tags: serve\n");
    project.write(
        "playbooks/lists.yml",
        "- name: First\n  hosts: all:!other\n  tags: base\n  roles: [web]\n  tasks:\n    - block:\n        - name: In a block\n          debug:\n      tags: [a, b]\n    - debug:\n- hosts: nobody\n  tasks: []\n",
    );
    for (name, option) in [("tasks", "--list-tasks"), ("hosts", "--list-hosts"), ("tags", "--list-tags")] {
        insta::assert_snapshot!(format!("list_{name}"), project.mms(&["run", "playbooks/lists.yml", option]));
        insta::assert_snapshot!(
            format!("list_{name}_json"),
            project.mms(&["run", "playbooks/lists.yml", option, "--json"])
        );
    }
}

/// `mms … | head -1`: the reader goes away, and that is nobody's mistake.
#[test]
fn a_reader_that_goes_away() {
    let project = project();
    project.write(
        "playbooks/long.yml",
        "- hosts: here\n  gather_facts: false\n  tasks:\n    - command: echo {{ item }}\n      loop: \"{{ range(300) }}\"\n    - command: touch done\n",
    );
    let mut child =
        project.command(&["run", "playbooks/long.yml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    assert!(project.path("done").exists(), "the run goes on");
}

#[test]
fn huge_and_strange_values() {
    let project = Project::new();
    let huge = "x".repeat(3_000_000);
    project.write("inventory/host_vars/here.yml", format!("huge: {huge}\n"));
    project.write(
        "playbooks/huge.yml",
        "- hosts: here\n  gather_facts: false\n  tasks:\n    - copy: {dest: \"{{ playbook_dir }}/../h\", content: \"{{ huge }}\"}\n    - debug: {msg: \"{{ huge | length }}\"}\n    - debug: {msg: \"a\\e[31mred\\ab\\rc\"}\n    - name: \"{{ 'ünï' * 100 }}\"\n      command: echo\n",
    );
    let seen = project.mms(&["run", "playbooks/huge.yml"]);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert_eq!(std::fs::metadata(project.path("h")).unwrap().len(), 3_000_000);
    assert!(seen.stdout.contains("3000000") && !seen.stdout.contains(['\u{1b}', '\u{7}', '\r']), "{}", seen.stdout);
}

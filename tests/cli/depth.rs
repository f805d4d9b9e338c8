//! Files that a program or a slip made: nested without end. They are refused with their place, wherever they stand.

use crate::project::Project;

const PLAYBOOK: &str = "- hosts: here\n  gather_facts: false\n  tasks:\n    - debug:\n        msg: hello\n";

fn refused(file: &str, text: &str, message: &str) {
    let project = Project::new();
    project.write("playbooks/a.yml", PLAYBOOK);
    project.write(file, text);
    for args in [&["check"][..], &["run", "playbooks/a.yml"]] {
        let seen = project.mms(args);
        seen.assert_no_panic();
        assert_eq!(seen.code, Some(1), "{file} {args:?}: {}", seen.stderr.chars().take(500).collect::<String>());
        assert!(
            seen.stderr.contains(message),
            "{file} {args:?}: {}",
            seen.stderr.chars().take(500).collect::<String>()
        );
    }
}

#[test]
fn yaml_that_is_nested_without_end_is_refused() {
    let deep = "[".repeat(100_000);
    for file in
        ["playbooks/a.yml", "inventory/group_vars/all.yml", "inventory/host_vars/here.yml", "inventory/more.yml"]
    {
        refused(file, &format!("x: {deep}"), "collections are nested deeper than 128");
    }
}

#[test]
fn templates_that_are_nested_without_end_are_refused() {
    let task = |template: &str| PLAYBOOK.replace("hello", template);
    let brackets = task(&format!("\"{{{{ {}1{} }}}}\"", "(".repeat(100_000), ")".repeat(100_000)));
    refused("playbooks/a.yml", &brackets, "over 300 operations build on each other");
    let chain = task(&format!("\"{{{{ 1{} }}}}\"", " + 1".repeat(100_000)));
    refused("playbooks/a.yml", &chain, "over 300 operations build on each other");
}

#[test]
fn variables_and_templates_at_their_limits_together_fit() {
    let project = Project::new();
    let chain = "|string".repeat(250);
    let vars: String = (0..58).map(|at| format!("    v{at}: \"{{{{ v{}{chain} }}}}\"\n", at + 1)).collect();
    project.write(
        "playbooks/a.yml",
        PLAYBOOK
            .replace("  tasks:", &format!("  vars:\n{vars}    v58: end\n  tasks:"))
            .replace("hello", "\"{{ v0 }}\""),
    );
    let seen = project.mms(&["run", "playbooks/a.yml"]);
    seen.assert_no_panic();
    assert!(seen.code == Some(0) && seen.stdout.contains("· end"), "{seen}");
}

//! How long connecting takes is told: to scripts always, to people who ask.

use crate::project::Project;
use crate::sshd::{Sshd, user};

#[test]
fn how_long_connecting_took_is_told() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = Project::new();
    project.write(
        "inventory/hosts.yml",
        format!(
            "all:\n  hosts:\n    lab:\n      ansible_host: 127.0.0.1\n      ansible_port: {}\n      ansible_user: {}\n      ansible_ssh_private_key_file: {}\n      ansible_ssh_common_args: -F {}\n    here:\n      ansible_connection: local\n",
            sshd.port,
            user(),
            sshd.path("user").display(),
            sshd.path("ssh_config").display()
        ),
    );
    project.write("playbooks/look.yml", "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: One\n      stat: {path: /}\n    - name: Two\n      stat: {path: /}\n");
    let seen = project.mms(&["run", "playbooks/look.yml", "--json"]);
    let lines = seen.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let connected: Vec<_> = lines.filter(|line| line["event"] == "connected").collect();
    // Once, and not for a host that there is nothing to connect to.
    assert_eq!(connected.len(), 1, "{seen}");
    assert_eq!(connected[0]["host"], "lab");
    assert!(connected[0]["seconds"].as_f64().unwrap() > 0.0);

    assert!(project.mms(&["run", "playbooks/look.yml", "-v"]).stdout.contains("lab  connected in [TIME]"));
    assert!(!project.mms(&["run", "playbooks/look.yml"]).stdout.contains("connected"));
}

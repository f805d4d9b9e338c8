//! Hosts that cannot be reached, trusted or logged in to, and runs that are interrupted, against an sshd on loopback.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::project::Project;
use crate::sshd::{Sshd, user};

/// A project whose hosts `lab` (the sshd) and `gone` (a port where nobody listens) are reached over SSH.
fn project(sshd: &Sshd, key: &str) -> Project {
    let project = Project::new();
    let host = |port: u16| {
        format!(
            "      ansible_host: 127.0.0.1\n      ansible_port: {port}\n      ansible_user: {}\n      ansible_ssh_private_key_file: {}\n      ansible_ssh_common_args: -F {}\n",
            user(),
            sshd.path(key).display(),
            sshd.path("ssh_config").display()
        )
    };
    // Nobody listens on the port of a listener that is gone.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    project.write(
        "inventory/hosts.yml",
        format!(
            "all:\n  hosts:\n    lab:\n{}    gone:\n{}    here:\n      ansible_connection: local\n",
            host(sshd.port),
            host(free)
        ),
    );
    project.write(
        "playbooks/touch.yml",
        "- hosts: lab\n  tasks:\n    - name: Touch\n      file:\n        path: \"{{ playbook_dir }}/../touched\"\n        state: touch\n",
    );
    project
}

fn snapshot(name: &str, sshd: &Sshd, project: &Project, args: &[&str], code: i32) {
    let seen = project.mms(args).map(|text| {
        let text = sshd.plain(text);
        regex::Regex::new(r"(127\.0\.0\.1:|on port )\d+").unwrap().replace_all(&text, "${1}PORT").into_owned()
    });
    assert_eq!(seen.code, Some(code), "{seen}");
    assert!(!project.path("touched").exists(), "{name}: the target was changed");
    insta::assert_snapshot!(name, seen);
}

#[test]
fn a_wrong_host_key() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = project(&sshd, "user");
    sshd.know(&sshd.read("stranger.pub"));
    snapshot("wrong_host_key", &sshd, &project, &["run", "playbooks/touch.yml"], 3);
    snapshot("wrong_host_key_accept_new", &sshd, &project, &["run", "playbooks/touch.yml", "--accept-new"], 3);
    snapshot("wrong_host_key_in_a_plan", &sshd, &project, &["plan", "playbooks/touch.yml"], 3);
}

#[test]
fn an_unknown_host_key() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = project(&sshd, "user");
    std::fs::write(sshd.path("known_hosts"), "").unwrap();
    snapshot("unknown_host_key", &sshd, &project, &["run", "playbooks/touch.yml"], 3);
    assert_eq!(sshd.read("known_hosts"), "");
    let accepted = project.mms(&["run", "playbooks/touch.yml", "--accept-new"]);
    assert_eq!(accepted.code, Some(0), "{accepted}");
    assert_ne!(sshd.read("known_hosts"), "");
}

/// Variables that say how hosts are reached, and say nothing that can be meant: nobody is connected to.
#[test]
fn connection_variables_that_mean_nothing() {
    for (variable, value) in [
        ("ansible_timeout", "10s"),
        ("ansible_ssh_timeout", "-1"),
        ("ansible_port", "ssh"),
        ("ansible_connection", "winrm"),
        ("ansible_ssh_common_args", "-o 'User=a"),
        ("ansible_become_method", "runas"),
    ] {
        let project = Project::new();
        project.write(
            "inventory/hosts.yml",
            format!("all:\n  hosts:\n    lab:\n      ansible_host: 127.0.0.1\n      {variable}: \"{value}\"\n"),
        );
        project.write(
            "playbooks/ping.yml",
            "- hosts: lab\n  become: true\n  gather_facts: false\n  tasks:\n    - ping:\n",
        );
        let seen = project.mms(&["run", "playbooks/ping.yml"]);
        assert_eq!(seen.code, Some(2), "{seen}");
        insta::assert_snapshot!(format!("wrong_{variable}"), seen);
    }
}

#[test]
fn a_refused_login() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = project(&sshd, "stranger");
    snapshot("refused_login", &sshd, &project, &["run", "playbooks/touch.yml"], 3);
}

#[test]
fn an_unreachable_host() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = project(&sshd, "user");
    let play = |hosts: &str, task: &str| {
        format!("- hosts: {hosts}\n  gather_facts: false\n  tasks:\n    - name: Work\n      {task}\n")
    };
    project.write("playbooks/gone.yml", play("gone", "command: \"true\""));
    snapshot("unreachable", &sshd, &project, &["run", "playbooks/gone.yml"], 3);
    project.write("playbooks/some.yml", play("all", "command: \"true\""));
    snapshot("unreachable_one_of_three", &sshd, &project, &["run", "playbooks/some.yml", "--forks", "1"], 3);
    project.write("playbooks/fail.yml", play("gone,lab", "command: \"false\""));
    snapshot("unreachable_and_failed", &sshd, &project, &["run", "playbooks/fail.yml", "--forks", "1"], 2);
    project.write("playbooks/name.yml", play("nowhere", "command: \"true\""));
    project.write("inventory/more.yml", "all:\n  hosts:\n    nowhere:\n      ansible_host: nowhere.invalid\n");
    snapshot("unreachable_name", &sshd, &project, &["run", "playbooks/name.yml"], 3);
}

/// Ctrl-C while a command runs on the host: exit 130, and the command is gone.
#[test]
fn an_interrupted_run() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = project(&sshd, "user");
    let mark = format!("31415{}", sshd.port);
    project.write(
        "playbooks/long.yml",
        format!("- hosts: lab\n  gather_facts: false\n  tasks:\n    - name: First\n      command: echo\n    - name: Long\n      shell: echo started >started; sleep {mark}; true\n      args: {{chdir: \"{{{{ playbook_dir }}}}\"}}\n    - name: Never\n      file: {{path: \"{{{{ playbook_dir }}}}/../touched\", state: touch}}\n"),
    );
    let mut child =
        project.command(&["run", "playbooks/long.yml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = |what: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !what() && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
        what()
    };
    assert!(until(&|| project.path("playbooks/started").exists() && running(&mark)), "the command never started");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status = child.wait().unwrap();
    let stderr: Vec<String> = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!(status.code(), Some(130), "{stderr:?}");
    insta::assert_snapshot!("interrupted", stderr.join("\n"));
    assert!(until(&|| !running(&mark)), "the remote command goes on");
    assert!(!project.path("touched").exists());
}

fn running(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line) == format!("sleep\0{mark}\0")
    })
}

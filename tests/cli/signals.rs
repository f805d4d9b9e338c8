//! Being told to end, by a signal to the real process: while a run works on a host, and while an editor holds the vault in clear.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::Project;

fn until(what: &dyn Fn() -> bool) -> bool {
    let start = Instant::now();
    while !what() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    what()
}

/// Starts `mms` as a terminal would: the tests themselves may run where SIGHUP is ignored.
fn start(project: &Project, args: &[&str], editor: Option<&Path>) -> Child {
    let own = project.command(args);
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP").arg(own.get_program()).args(own.get_args());
    command.current_dir(project.dir.path()).env_clear();
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(editor) = editor {
        command.env("EDITOR", editor).env("XDG_RUNTIME_DIR", project.path("runtime"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn kill(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn end(mut child: Child) -> (Option<i32>, String) {
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code(), stderr)
}

fn gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    status.is_empty() || status.contains("\nState:\tZ")
}

/// A playbook whose second task writes its process id to `pid` and goes on for long.
fn long(project: &Project, shell: &str) {
    project.write(
        "playbooks/long.yml",
        format!(
            "- hosts: here\n  gather_facts: false\n  tasks:\n    - name: Long\n      shell: |\n        {shell}\n        echo $$ >pid.new; mv pid.new pid\n        while :; do sleep 1; done\n      args: {{chdir: \"{{{{ playbook_dir }}}}/..\"}}\n    - name: Never\n      file: {{path: \"{{{{ playbook_dir }}}}/../touched\", state: touch}}\n"
        ),
    );
}

#[test]
fn a_run_is_told_to_end() {
    for (signal, code, word) in [("-TERM", 143, "terminated"), ("-HUP", 129, "the terminal was closed")] {
        let project = Project::new();
        long(&project, ":");
        let child = start(&project, &["run", "playbooks/long.yml"], None);
        assert!(until(&|| project.path("pid").exists()), "the command never started");
        kill(&child, signal);
        let (ended, stderr) = end(child);
        assert_eq!(ended, Some(code), "{stderr}");
        assert!(stderr.contains(&format!("error: {word}\n")), "{stderr}");
        let pid = project.read("pid");
        assert!(until(&|| gone(&pid)), "the command goes on");
        assert!(!project.path("touched").exists());
    }
}

/// A command that does not end when it is told to is waited for; the second signal ends the wait.
#[test]
fn a_second_signal_ends_at_once() {
    let project = Project::new();
    long(&project, "trap '' TERM");
    let mut child = start(&project, &["run", "playbooks/long.yml"], None);
    assert!(until(&|| project.path("pid").exists()), "the command never started");
    kill(&child, "-INT");
    let mut stderr = child.stderr.take().unwrap();
    let mut said = vec![];
    while !said.ends_with(b"\n") {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended by itself");
        said.extend(byte);
    }
    kill(&child, "-TERM");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), rest.as_str()), (Some(143), ""));
    let pid = project.read("pid");
    let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
}

fn vault() -> (Project, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::new();
    std::fs::remove_file(project.path("mms.toml")).unwrap();
    assert_eq!(project.mms(&["vault", "init"]).code, Some(0));
    project.write("runtime/.keep", "");
    let script = "#!/bin/sh\ncd \"$HOME\"\necho 'key: clear' >\"$1\"\necho $$ >pid.new; mv pid.new pid\nuntil [ -e go ]; do sleep 0.1; done\n";
    project.write("editor", script);
    std::fs::set_permissions(project.path("editor"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let editor = project.path("editor");
    (project, editor)
}

fn private(project: &Project) -> usize {
    std::fs::read_dir(project.path("runtime")).unwrap().flatten().filter(|entry| entry.path().is_dir()).count()
}

#[test]
fn no_vault_stays_in_clear_when_an_editor_is_interrupted() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
        let (project, editor) = vault();
        let child = start(&project, &["vault", "edit"], Some(&editor));
        assert!(until(&|| project.path("home/pid").exists()), "the editor never started");
        assert_eq!(private(&project), 1);
        kill(&child, signal);
        let (ended, stderr) = end(child);
        assert_eq!((ended, private(&project)), (Some(code), 0), "{stderr}");
        let pid = project.read("home/pid");
        assert!(until(&|| gone(&pid)), "the editor goes on");
    }
}

/// Ctrl-C at the terminal goes to the editor as well, which knows what to do with it.
#[test]
fn ctrl_c_belongs_to_the_editor() {
    let (project, editor) = vault();
    let child = start(&project, &["vault", "edit"], Some(&editor));
    assert!(until(&|| project.path("home/pid").exists()), "the editor never started");
    kill(&child, "-INT");
    project.write("home/go", "");
    let (ended, stderr) = end(child);
    assert_eq!(ended, Some(0), "{stderr}");
    assert_eq!(private(&project), 0);
    assert_eq!(project.mms(&["vault", "get", "key"]).stdout, "clear\n");
}

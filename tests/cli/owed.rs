//! Runs that die between a change and its handler, and runs that meet on a host: real processes on this machine as the host, with
//! a home directory of their own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::project::{Project, Seen};

fn until(what: &dyn Fn() -> bool) -> bool {
    let start = Instant::now();
    while !what() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    what()
}

/// A play of `here` with these tasks in its `tasks`, all of which work in the project's directory.
fn play(project: &Project, name: &str, tasks: &str, handlers: &str) {
    let handlers = if handlers.is_empty() { String::new() } else { format!("  handlers:\n{handlers}") };
    project.write(
        &format!("playbooks/{name}.yml"),
        format!("- hosts: here\n  gather_facts: false\n  vars: {{top: \"{{{{ playbook_dir | dirname }}}}\"}}\n  tasks:\n{tasks}{handlers}"),
    );
}

const CONFIGURE: &str =
    "    - name: Configure\n      copy: {dest: \"{{ top }}/conf\", content: \"one\\n\"}\n      notify: Restart\n";
/// Says that it has begun and waits until it may end.
const WAIT: &str = "    - name: Wait\n      shell: touch started; until [ -e go ]; do sleep 0.1; done\n      args: {chdir: \"{{ top }}\"}\n      changed_when: false\n";
const RESTART: &str = "    - name: Restart\n      shell: echo restarted >>\"{{ top }}/restarts\"\n";

fn spawn(project: &Project, args: &[&str]) -> Child {
    project.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Starts a run and kills it, beyond any handling, once its long task is under way.
fn killed(project: &Project, playbook: &str) {
    let mut child = spawn(project, &["run", playbook]);
    assert!(until(&|| project.path("started").exists()), "it never started");
    child.kill().unwrap();
    child.wait().unwrap();
    project.write("go", "");
}

fn notes(project: &Project) -> usize {
    std::fs::read_dir(project.path("home/.local/state/mms/handlers")).map_or(0, Iterator::count)
}

fn restarts(project: &Project) -> usize {
    std::fs::read_to_string(project.path("restarts")).unwrap_or_default().lines().count()
}

fn well(seen: Seen) -> Seen {
    assert_eq!(seen.code, Some(0), "{seen}");
    seen
}

#[test]
fn a_handler_is_not_lost_when_the_run_is_killed() {
    let project = Project::new();
    play(&project, "site", &format!("{CONFIGURE}{WAIT}"), RESTART);
    killed(&project, "playbooks/site.yml");
    assert_eq!((project.read("conf").as_str(), restarts(&project), notes(&project)), ("one\n", 0, 1));

    let plan = well(project.mms(&["plan", "playbooks/site.yml"]));
    assert!(plan.stdout.contains("`Restart` is pending since 2") && plan.stdout.contains("handler Restart"), "{plan}");
    assert_eq!((restarts(&project), notes(&project)), (0, 1));

    let next = well(project.mms(&["run", "playbooks/site.yml"]));
    assert!(next.stdout.contains("`Restart` is pending since 2"), "{next}");
    assert_eq!((restarts(&project), notes(&project)), (1, 0));

    let last = well(project.mms(&["run", "playbooks/site.yml"]));
    assert!(!last.stdout.contains("pending"), "{last}");
    assert_eq!(restarts(&project), 1);
}

/// The note is written before the change itself: a run that dies in the middle of it owes the handler.
#[test]
fn a_handler_is_not_lost_in_the_middle_of_the_change() {
    let project = Project::new();
    let change = "    - name: Change\n      shell: touch made started; until [ -e go ]; do sleep 0.1; done\n      args: {chdir: \"{{ top }}\", creates: \"{{ top }}/made\"}\n      notify: [Restart]\n";
    play(&project, "site", change, RESTART);
    killed(&project, "playbooks/site.yml");
    assert_eq!((restarts(&project), notes(&project)), (0, 1));
    well(project.mms(&["run", "playbooks/site.yml"]));
    assert_eq!((restarts(&project), notes(&project)), (1, 0));
}

#[test]
fn a_failed_host_keeps_its_handlers_for_the_next_run() {
    let project = Project::new();
    let fail = "    - name: Fail\n      command: \"false\"\n      when: broken | default(true) | bool\n";
    play(&project, "site", &format!("{CONFIGURE}{fail}"), RESTART);
    for _ in 0..2 {
        let seen = project.mms(&["run", "playbooks/site.yml"]);
        assert_eq!((seen.code, restarts(&project), notes(&project)), (Some(2), 0, 1), "{seen}");
    }
    well(project.mms(&["run", "playbooks/site.yml", "-e", "broken=false"]));
    assert_eq!((restarts(&project), notes(&project)), (1, 0));
}

/// What has run, what has failed, and what has changed nothing leaves no note.
#[test]
fn nothing_is_owed_without_a_change() {
    let project = Project::new();
    let tasks = "    - name: Nothing\n      command: \"true\"\n      changed_when: false\n      notify: Restart\n    - name: Fail\n      command: \"false\"\n      ignore_errors: true\n      notify: Restart\n    - name: Look\n      shell: ls -A \"$HOME/.local/state/mms/handlers\"\n      changed_when: false\n      register: left\n    - name: None\n      assert: {that: left.stdout == ''}\n";
    play(&project, "site", tasks, RESTART);
    well(project.mms(&["run", "playbooks/site.yml"]));
    assert_eq!((restarts(&project), notes(&project)), (0, 0));
}

#[test]
fn a_handler_that_is_no_longer_there_is_forgotten_with_a_warning() {
    let project = Project::new();
    play(&project, "site", &format!("{CONFIGURE}{WAIT}"), RESTART);
    killed(&project, "playbooks/site.yml");
    // Another playbook knows nothing of it.
    play(&project, "other", WAIT, "");
    let other = well(project.mms(&["run", "playbooks/other.yml"]));
    assert_eq!((other.stderr.as_str(), notes(&project)), ("", 1));
    play(&project, "site", WAIT, "");
    let seen = well(project.mms(&["run", "playbooks/site.yml"]));
    assert!(seen.stderr.contains("owes `Restart` since 2"), "{seen}");
    assert_eq!((restarts(&project), notes(&project)), (0, 0));
}

/// What a run says on stdout up to this text.
fn read_until(child: &mut Child, text: &str) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains(text) {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended with: {said}");
    }
    lines
}

/// A project of another name that works on the same host.
fn neighbour(project: &Project, tasks: &str) -> Project {
    let other = Project::new();
    play(&other, "site", tasks, "");
    std::fs::remove_dir_all(other.path("home")).unwrap();
    std::os::unix::fs::symlink(project.path("home"), other.path("home")).unwrap();
    other
}

const TOUCH: &str = "    - name: Touch\n      copy: {dest: \"{{ top }}/touched\", content: x}\n";

#[test]
fn one_run_waits_for_the_other() {
    let project = Project::new();
    let change = "    - name: Change\n      command: \"true\"\n";
    let shared =
        format!("    - name: Shared\n      copy: {{dest: {}, content: same}}\n", project.path("shared").display());
    play(&project, "site", &format!("{change}{WAIT}{shared}"), "");
    let mut first = spawn(&project, &["run", "playbooks/site.yml"]);
    assert!(until(&|| project.path("started").exists()), "it never started");
    let other = neighbour(&project, &format!("{shared}{TOUCH}"));

    let refused = other.mms(&["run", "playbooks/site.yml", "--lock-timeout", "0"]);
    assert_eq!(refused.code, Some(3), "{refused}");
    assert!(
        refused.stdout.contains("here is locked: ") && refused.stdout.contains("playbooks/site.yml of "),
        "{refused}"
    );
    assert!(refused.stdout.contains("--lock-timeout"), "{refused}");
    // Who changes nothing waits for nobody.
    well(other.mms(&["run", "playbooks/site.yml", "--check", "--lock-timeout", "0"]));
    play(&other, "quiet", "    - name: There\n      file: {path: \"{{ top }}\", state: directory}\n", "");
    well(other.mms(&["run", "playbooks/quiet.yml", "--lock-timeout", "0"]));

    let mut second = spawn(&other, &["run", "playbooks/site.yml"]);
    let mut lines = read_until(&mut second, "waiting for another run: ");
    assert!(!other.path("touched").exists());
    project.write("go", "");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0), "{rest}");
    // It has looked again: what the first run had changed meanwhile is as wanted.
    assert!(rest.contains("Touch") && !rest.contains("Shared"), "{rest}");
    assert!(!project.path("home/.local/state/mms/lock").exists());
}

#[test]
fn a_lock_ends_with_its_run() {
    let project = Project::new();
    play(&project, "site", &format!("    - name: Change\n      command: \"true\"\n{WAIT}"), "");
    killed(&project, "playbooks/site.yml");
    let other = neighbour(&project, TOUCH);
    // What the killed run had started goes on for a moment, and so does its lock.
    well(other.mms(&["run", "playbooks/site.yml"]));
    assert!(other.path("touched").exists());

    // A lock of a shell that never was, of a machine that was started anew, and one that is no lock at all.
    for stale in ["999999999 1 0 x\n{}\n", "1 1 elsewhere x\n{}\n", "", "\n\n"] {
        std::fs::write(project.path("home/.local/state/mms/lock"), stale).unwrap();
        std::fs::remove_file(other.path("touched")).unwrap();
        well(other.mms(&["run", "playbooks/site.yml", "--lock-timeout", "0"]));
    }
    assert_eq!(std::fs::read_dir(project.path("home/.local/state/mms")).unwrap().count(), 0);
}

/// Hosts that are one machine share the lock of their run.
#[test]
fn a_run_does_not_wait_for_itself() {
    let project = Project::new();
    project.write(
        "playbooks/both.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Change\n      command: \"true\"\n",
    );
    well(project.mms(&["run", "playbooks/both.yml", "--lock-timeout", "0"]));
}

/// A module that is a conversation with the host starts it again after it has waited.
#[test]
fn a_conversation_is_held_again_after_waiting() {
    let project = Project::new();
    play(&project, "site", &format!("    - name: Change\n      command: \"true\"\n{WAIT}"), "");
    let mut first = spawn(&project, &["run", "playbooks/site.yml"]);
    assert!(until(&|| project.path("started").exists()), "it never started");
    let fetch = "    - name: Fetch\n      get_url: {url: \"file://{{ top }}/source\", dest: \"{{ top }}/fetched\"}\n";
    let other = neighbour(&project, fetch);
    other.write("source", "what is fetched\n");
    let refused = other.mms(&["run", "playbooks/site.yml", "--lock-timeout", "0"]);
    assert_eq!(refused.code, Some(3), "{refused}");
    assert!(!other.path("fetched").exists());
    let mut second = spawn(&other, &["run", "playbooks/site.yml"]);
    let mut lines = read_until(&mut second, "waiting for another run: ");
    assert!(!other.path("fetched").exists());
    project.write("go", "");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0), "{rest}");
    assert_eq!(other.read("fetched"), "what is fetched\n");
}

/// After a new connection the lock is taken anew, for the shell that lives now, and it does not stay behind.
#[test]
fn a_lock_is_taken_again_over_a_new_connection() {
    let project = Project::new();
    let note = |name: &str| {
        format!("    - name: {name}\n      shell: cp \"$HOME/.local/state/mms/lock\" \"{{{{ top }}}}/{name}\"\n")
    };
    let reset = "    - meta: reset_connection\n";
    play(
        &project,
        "site",
        &format!("{}{reset}{}{reset}    - name: Look\n      stat: {{path: /}}\n", note("before"), note("after")),
        "",
    );
    well(project.mms(&["run", "playbooks/site.yml"]));
    let holder = |name: &str| project.read(name).split(' ').next().unwrap().to_owned();
    assert_ne!(holder("before"), holder("after"));
    assert!(!project.path("home/.local/state/mms/lock").exists());
}

//! Secrets in every place where one could slip out. What is in the vault must not appear in what mms prints, on a command line of
//! the target, in the name of a file, or in what is left on the workstation: not as it is, nor in any usual encoding.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::project::Project;
use crate::sshd::{Sshd, user};

/// The values of the vault. All of them are strange enough that no other text holds them by chance.
const SECRETS: &[(&str, &str)] = &[
    ("vault_odd", "Zw9'qu\"ote <tag> & 100% $HOME/\\back+plus"),
    ("vault_lines", "-----first canary-----\nsecond canary line ~7\nthird = canary;\n"),
    ("vault_number", "9081726354"),
    ("vault_umlaut", "Köder-Größe-☂-kanarie"),
    (
        "vault_long",
        "Lcanary-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789-the-end-of-it-at-last",
    ),
    ("vault_become", "become-canary-pw"),
    ("vault_login", "login-canary-pw"),
];

/// Values of a file that is encrypted as a whole, and of an argument that is secret by its module.
const OTHERS: &[&str] =
    &["whole-file-canary", "nested/whole canary", "7766554433", "hidden-by-no-log-canary", "old-canary-on-target"];

const PLAYBOOK: &str = r##"
- name: Everything that prints
  hosts: lab
  gather_facts: false
  vars:
    derived: "prefix-{{ vault_odd }}-suffix"
  vars_files:
    - ../more.yml
  tasks:
    - name: Say {{ vault_number }} {{ derived }}
      debug:
        msg: ["{{ vault_odd }}", "{{ vault_lines }}", "{{ vault_umlaut }}", "{{ whole }}", "{{ whole_nested }}", "{{ whole_number }}"]
    - debug: {var: vault_odd}
    - debug:
        msg:
          - "{{ vault_odd | b64encode }} {{ ('user:' ~ vault_odd) | b64encode }} {{ ('u:' ~ vault_umlaut ~ ':x') | b64encode }}"
          - "{{ vault_odd | urlencode }} {{ vault_odd | quote }} {{ vault_odd | upper }} {{ vault_umlaut | lower }}"
          - "{{ vault_odd | to_json }} {{ {'k': vault_odd} | to_json | to_json }} {{ [vault_odd, vault_lines] | to_nice_yaml }}"
          - "{{ {'a': vault_odd, 'b': vault_lines} | string }} {{ vault_umlaut | to_json }} {{ vault_odd | e }}"
          - "{{ vault_number | int }} {{ vault_number | int + 0 }}"
    - set_fact:
        kept: "{{ {'inner': [vault_odd, vault_lines], 'n': vault_number | int} }}"
    - debug: {var: kept}
    - name: Loop
      debug: {msg: "{{ item.v }}"}
      loop: ["{{ {'v': vault_odd} }}", "{{ {'v': vault_long} }}"]
    - name: Loop over text
      debug: {msg: x}
      loop: ["{{ vault_long }}", "{{ vault_odd }}"]
      loop_control: {label: "{{ item }}"}
    - name: A command that shows it and fails
      shell: |
        echo {{ vault_odd | quote }}; echo {{ vault_lines | quote }} >&2; echo {{ vault_long }}; exit 3
      register: shown
      ignore_errors: true
    - debug: {var: shown}
    - name: Long command
      command: echo {{ vault_long }} {{ vault_long }}
    - name: Environment
      shell: env | grep -i canary; printf '%s' "$CANARY" | base64 -w0; printf 'user:%s' "$CANARY" | base64 -w0
      environment: {CANARY: "{{ vault_odd }}", MORE: "{{ vault_become }} {{ ansible_password }}"}
      ignore_errors: true
    - name: Attribute of a secret
      debug: {msg: "{{ vault_odd.nope }}"}
      ignore_errors: true
    - name: Number of a secret
      debug: {msg: "{{ [vault_odd] + 1 }}"}
      ignore_errors: true
    - name: Loop over no list
      debug: {msg: x}
      loop: "{{ vault_odd }}"
      ignore_errors: true
    - name: Condition that is no condition
      debug: {msg: x}
      when: vault_odd
      ignore_errors: true
    - name: Fail
      fail: {msg: "because {{ vault_lines }} {{ vault_odd }}"}
      ignore_errors: true
    - name: Assert
      assert: {that: "vault_odd == vault_lines", fail_msg: "{{ vault_odd }} is not {{ vault_lines }}"}
      ignore_errors: true
    - name: A file that is not there
      copy: {src: "{{ vault_odd }}", dest: "{{ out }}/x"}
      ignore_errors: true
    - name: An argument that is wrong
      file: {path: "{{ out }}/x", state: "{{ vault_odd }}"}
      ignore_errors: true
    - name: Not shown at all
      command: "echo hidden-by-no-log-canary {{ vault_odd | quote }}"
      no_log: true
    - name: Not shown in a loop
      command: "echo {{ item }}"
      loop: ["hidden-by-no-log-canary", "{{ vault_odd | quote }}"]
      no_log: true
    - name: Not shown when it fails
      shell: "echo hidden-by-no-log-canary >&2; exit 1"
      no_log: true
      ignore_errors: true
- hosts: lab
  gather_facts: false
  tasks:
    - name: The last failure
      command: "ls /nonexistent/{{ vault_number }}"
"##;

/// Nothing here puts a secret on a command line by its own words: neither may mms.
const QUIET: &str = r##"
- name: Everything that writes
  hosts: lab
  gather_facts: false
  become: true
  tasks:
    - copy: {dest: "{{ out }}/copied", content: "a\npassword = {{ vault_odd }}\n{{ vault_lines }}\n", mode: "0600"}
    - template: {src: canary.j2, dest: "{{ out }}/templated", mode: "0600"}
    - lineinfile: {path: "{{ out }}/copied", regexp: "^password", line: "password = {{ vault_umlaut }}"}
    - blockinfile: {path: "{{ out }}/copied", block: "{{ vault_lines }}"}
    - ini_file: {path: "{{ out }}/ini", section: s, option: token, value: "{{ vault_number }}", mode: "0600"}
    - replace: {path: "{{ out }}/rotated", regexp: "^token=.*$", replace: "token={{ vault_long }}"}
    - copy: {src: whole.txt, dest: "{{ out }}/whole.txt", mode: "0600"}
    - shell: cat > {{ out }}/stdin
      args: {stdin: "{{ vault_odd }}"}
    - shell: sleep 0.3; test -n "$CANARY"
      environment: {CANARY: "{{ vault_odd }}", PGPASSWORD: "{{ vault_long }}"}
    - stat: {path: "{{ out }}/copied"}
    - slurp: {src: "{{ out }}/copied"}
      register: slurped
    - debug: {msg: "{{ slurped }} {{ slurped.content | b64decode }}"}
"##;

/// Every form of a secret that is looked for.
fn forms(secret: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    let lines = secret.lines().map(str::trim).filter(|line| line.len() > 3);
    for text in std::iter::once(secret.trim()).chain(lines) {
        let json = serde_json::to_string(text).unwrap();
        let json = &json[1..json.len() - 1];
        let twice = serde_json::to_string(json).unwrap();
        let percent: String = text
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        let all = [
            text.to_owned(),
            json.to_owned(),
            twice[1..twice.len() - 1].to_owned(),
            text.replace('\'', "'\\''"),
            text.replace('\'', "'\"'\"'"),
            text.replace('\'', "\\'"),
            text.to_uppercase(),
            text.to_lowercase(),
            percent.replace("%2F", "/"),
            percent.replace("%20", "+"),
            percent,
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            STANDARD.encode(text).trim_end_matches('=').to_owned(),
            STANDARD.encode(format!("user:{text}")).trim_end_matches('=')[8..].to_owned(),
            STANDARD.encode(format!("u:{text}")).trim_end_matches('=')[4..].to_owned(),
        ];
        forms.extend(all);
        // Half of a secret is one, too.
        if text.len() > 60 {
            forms.insert(text.chars().take(40).collect());
            forms.insert(text.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect());
        }
    }
    forms
}

fn assert_clean(text: &str, what: &str) {
    for secret in SECRETS.iter().map(|(_, secret)| *secret).chain(OTHERS.iter().copied()) {
        for form in forms(secret) {
            if let Some(at) = text.find(&form) {
                let start = text[..at].char_indices().rev().nth(200).map_or(0, |(at, _)| at);
                panic!("{what} shows {secret:?} as {form:?}: …{}", &text[start..at + form.len()]);
            }
        }
    }
}

fn assert_no_residue(dir: &Path, skip: &Path) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path == skip {
            continue;
        }
        assert_clean(&path.display().to_string(), "the name of a file");
        if path.is_dir() {
            assert_no_residue(&path, skip);
        } else {
            let name = path.display().to_string();
            if !name.ends_with("canary.yml") && !name.ends_with("quiet.yml") {
                assert_clean(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()), &name);
            }
        }
    }
}

/// A project with a vault, whose host is reached over SSH and has the old secret in a file.
fn project(sshd: &Sshd) -> Project {
    let project = Project::new();
    std::fs::create_dir(project.path("tmp")).unwrap();
    std::fs::create_dir(project.path("out")).unwrap();
    project.write("out/rotated", "user=a\ntoken=old-canary-on-target\n");
    assert_eq!(project.mms(&["vault", "init"]).code, Some(0));
    for (key, secret) in SECRETS {
        let mut child =
            project.command(&["vault", "set", key]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    project.write(
        "inventory/group_vars/all/whole.yml",
        "whole: whole-file-canary\nwhole_nested: {deep: [\"nested/whole canary\"]}\n",
    );
    project.write("more.yml", "whole_number: 7766554433\n");
    project.write("playbooks/files/whole.txt", "whole-file-canary\n");
    for file in ["inventory/group_vars/all/whole.yml", "more.yml", "playbooks/files/whole.txt"] {
        let seen = project.mms(&["vault", "encrypt", "--whole", file]);
        assert_eq!(seen.code, Some(0), "{seen}");
    }
    project.write(
        "inventory/hosts.yml",
        format!(
            "all:\n  vars:\n    out: {}\n    ansible_password: '{{{{ vault_login }}}}'\n    ansible_become_password: '{{{{ vault_become }}}}'\n  hosts:\n    lab:\n      ansible_host: 127.0.0.1\n      ansible_port: {}\n      ansible_user: {}\n      ansible_ssh_private_key_file: {}\n      ansible_ssh_common_args: -F {}\n",
            project.path("out").display(),
            sshd.port,
            user(),
            sshd.path("user").display(),
            sshd.path("ssh_config").display()
        ),
    );
    project.write("playbooks/canary.yml", PLAYBOOK);
    project.write("playbooks/quiet.yml", QUIET);
    project.write(
        "playbooks/templates/canary.j2",
        "a = {{ vault_odd }}\n{{ vault_lines }}\nb = {{ whole_nested.deep[0] }}\n",
    );
    project
}

const WAYS: &[&[&str]] = &[
    &[],
    &["--check", "--diff"],
    &["--diff", "-vvv"],
    &["--check", "--json", "-vvv", "--diff"],
    &["--json", "-vvv", "--diff"],
    &["--color", "always", "-vv"],
];

#[test]
fn no_output_shows_a_secret() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = project(&sshd);
    for way in WAYS {
        for playbook in ["playbooks/quiet.yml", "playbooks/canary.yml"] {
            let args = [&["run", playbook], *way].concat();
            let seen = project.run(project.command(&args).env("TMPDIR", project.path("tmp")));
            assert_clean(&seen.stdout, &format!("stdout of {args:?}"));
            assert_clean(&seen.stderr, &format!("stderr of {args:?}"));
            if playbook.contains("quiet") {
                assert_eq!(seen.code, Some(0), "{args:?}\n{seen}");
                assert!(seen.stdout.contains("********"), "{args:?}: nothing was masked\n{seen}");
            } else if !way.contains(&"--check") {
                assert_eq!(seen.code, Some(2), "{args:?}\n{seen}");
                assert!(seen.stdout.contains("The last failure"), "{args:?}: it ended early\n{seen}");
            }
            assert_no_residue(project.dir.path(), &project.path("out"));
        }
    }
    // The secrets did arrive, and whole.
    assert_eq!(project.read("out/stdin").trim_end(), SECRETS[0].1);
    assert!(project.read("out/templated").contains(SECRETS[0].1));
    assert!(project.read("out/rotated").contains(SECRETS[4].1));
    assert_eq!(project.read("out/whole.txt"), "whole-file-canary\n");
}

/// The command lines of `mms` in this project and of what it runs on the target. Nothing else counts: another test that runs at
/// the same time may show a secret on purpose.
fn command_lines(project: &Path, sshd: u32, seen: &mut BTreeSet<String>) {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let ours = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(project))
            || std::iter::successors(Some(pid), |pid| parent(*pid)).take(20).any(|pid| pid == sshd);
        if ours {
            seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
}

#[test]
fn no_command_line_and_no_file_name_shows_a_secret() {
    let Some(sshd) = Sshd::start("") else { return };
    let project = project(&sshd);
    let done = Arc::new(AtomicBool::new(false));
    let (directory, out, sshd) = (project.dir.path().to_owned(), project.path("out"), sshd.pid());
    let watcher = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                command_lines(&directory, sshd, &mut seen);
                seen.extend(std::fs::read_dir(&out).unwrap().flatten().map(|entry| entry.path().display().to_string()));
            }
            seen
        }
    });
    for way in [&[][..], &["--check"][..], &["-vvv"][..]] {
        project.write("out/rotated", "token=old-canary-on-target\n");
        let seen = project.mms(&[&["run", "playbooks/quiet.yml"], way].concat());
        assert_eq!(seen.code, Some(0), "{seen}");
    }
    done.store(true, Ordering::Relaxed);
    let seen = watcher.join().unwrap();
    assert!(seen.iter().any(|line| line.contains("quiet.yml")), "the watcher saw mms itself");
    assert!(seen.iter().any(|line| line.contains("sleep 0.3")), "the watcher saw commands on the target");
    for line in seen {
        assert_clean(&line, "a command line or the name of a file");
    }
}

//! The vault by its verbs, and together with the real `age`: what one writes, the other opens.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::project::{Project, Seen};

/// Runs a program that the tests need. A missing one is a failure that says what to install.
fn program(name: &str, args: &[&str], stdin: &[u8], dir: &Path) -> Vec<u8> {
    let mut child = Command::new(name)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs `{name}`: install the package that has it ({error})"));
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn set(project: &Project, key: &str, value: &str) -> Seen {
    let mut child = project
        .command(&["vault", "set", key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Seen { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn edit(project: &Project, script: &str) -> Seen {
    project.run(project.command(&["vault", "edit"]).env("EDITOR", script))
}

const VAULT: &str = "inventory/group_vars/all/vault.yml";
const IDENTITY: &str = "home/.config/mms/identity.txt";

fn project() -> Project {
    let project = Project::new();
    std::fs::remove_file(project.path("mms.toml")).unwrap();
    let seen = project.mms(&["vault", "init"]);
    assert_eq!(seen.code, Some(0), "{seen}");
    project
}

/// What only this run knows.
fn plain(seen: Seen) -> Seen {
    let key = regex::Regex::new(r"age1[0-9a-z]{58}|AGE-SECRET-KEY-1\w+").unwrap();
    let edit = regex::Regex::new(r"/[\w/.-]*/mms-\w+/").unwrap();
    seen.map(|text| edit.replace_all(&key.replace_all(text, "[KEY]"), "[PRIVATE]/").into_owned())
}

#[test]
fn init_set_get_view_and_what_git_sees() {
    let project = Project::new();
    std::fs::remove_file(project.path("mms.toml")).unwrap();
    insta::assert_snapshot!("init", plain(project.mms(&["vault", "init"])));
    insta::assert_snapshot!("init_again", plain(project.mms(&["vault", "init"])));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(project.path(IDENTITY)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only the user may read the identity");

    insta::assert_snapshot!("set", set(&project, "vault_token", "s3cret\n"));
    set(&project, "vault_lines", "two\nlines\n");
    assert_eq!(project.mms(&["vault", "get", "vault_token"]).stdout, "s3cret\n");
    assert_eq!(project.mms(&["vault", "get", "vault_lines"]).stdout, "two\nlines\n");
    insta::assert_snapshot!("set_no_such_mapping", set(&project, "smtp.password", "x"));
    insta::assert_snapshot!("set_short", set(&project, "vault_pin", "123"));
    let nothing = set(&project, "vault_empty", "\n");
    assert_eq!(nothing.code, Some(1), "{nothing}");
    assert!(nothing.stderr.contains("no value was given for `vault_empty`"), "{nothing}");
    insta::assert_snapshot!("get_misspelt", project.mms(&["vault", "get", "vault_tokne"]));
    insta::assert_snapshot!("view", project.mms(&["vault", "view"]));
    assert!(!project.read(VAULT).contains("s3cret"));
}

#[test]
fn an_edit_of_one_of_fifty_values_changes_one_line() {
    let project = project();
    let clear: String = (0..50).map(|n| format!("# comment {n}\nvault_{n}: \"value {n}\"\n")).collect();
    project.write(VAULT, clear);
    assert_eq!(project.mms(&["vault", "encrypt", VAULT]).code, Some(0));
    let git = |args: &[&str]| String::from_utf8(program("git", args, b"", project.dir.path())).unwrap();
    git(&["init", "-q"]);
    git(&["add", "inventory"]);
    let seen = edit(&project, "sed -i 's/value 17/a new value/'");
    assert_eq!(seen.code, Some(0), "{seen}");
    assert_eq!(git(&["diff", "--numstat"]), format!("1\t1\t{VAULT}\n"));
    assert_eq!(project.mms(&["vault", "get", "vault_17"]).stdout, "a new value\n");
    assert_eq!(project.mms(&["vault", "get", "vault_18"]).stdout, "value 18\n");
    set(&project, "vault_20", "set anew");
    assert_eq!(git(&["diff", "--numstat"]), format!("2\t2\t{VAULT}\n"));
    // An edit that changes nothing writes nothing.
    let before = project.read(VAULT);
    insta::assert_snapshot!("edit_nothing", edit(&project, "true"));
    assert_eq!(project.read(VAULT), before);
}

#[test]
fn age_opens_what_mms_wrote() {
    let project = project();
    set(&project, "vault_token", "from mms");
    let text = project.read(VAULT);
    let sealed = text.lines().find_map(|line| line.strip_prefix("vault_token: !age ")).expect(&text);
    let identity = project.path(IDENTITY).display().to_string();
    let script = format!("base64 -d | age -d -i '{identity}'");
    let opened = program("sh", &["-c", &script], sealed.trim_matches('"').as_bytes(), project.dir.path());
    assert_eq!(opened, b"from mms");

    project.write("whole.txt", b"\x00binary\xff");
    assert_eq!(project.mms(&["vault", "encrypt", "whole.txt"]).code, Some(0));
    assert_eq!(program("age", &["-d", "-i", &identity, "whole.txt"], b"", project.dir.path()), b"\x00binary\xff");
    assert_eq!(project.mms(&["vault", "decrypt", "whole.txt"]).code, Some(0));
    assert_eq!(std::fs::read(project.path("whole.txt")).unwrap(), b"\x00binary\xff");
}

#[test]
fn mms_opens_what_age_wrote() {
    let project = project();
    let dir = project.dir.path();
    let age = |args: &[&str], stdin: &[u8]| program("age", args, stdin, dir);
    let identity = project.read(IDENTITY);
    let own = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let other = program("age-keygen", &["-o", "other.txt"], b"", dir);
    drop(other);
    let other = project.read("other.txt");
    let other = other.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    crate::sshd::keygen(&["-t", "ed25519", "-N", "", "-f", &project.path("ssh").display().to_string()]);
    let ssh = project.read("ssh.pub");
    let ssh = ssh.trim();

    let clear = b"vault_token: written by age\n";
    for (name, args) in [
        ("binary", vec!["-r", own]),
        ("armored", vec!["-a", "-r", own]),
        ("several", vec!["-r", other, "-r", own, "-r", ssh]),
        ("ssh", vec!["-r", ssh]),
        ("ssh armored", vec!["-a", "-r", other, "-r", ssh]),
    ] {
        let sealed = age(&[&["-e"], &args[..]].concat(), clear);
        project.write(VAULT, sealed);
        let mut words = vec!["vault", "view"];
        let key = project.path("ssh").display().to_string();
        if name.starts_with("ssh") {
            words.extend(["--identity", &key]);
        }
        let seen = project.mms(&words);
        assert_eq!((seen.code, seen.stdout.as_str()), (Some(0), "vault_token: written by age\n"), "{name}: {seen}");
        // And a playbook sees it.
        project.write(
            "playbooks/p.yml",
            "- hosts: here\n  gather_facts: false\n  tasks:\n    - assert: {that: vault_token == 'written by age'}\n",
        );
        let mut words = vec!["run", "playbooks/p.yml"];
        if name.starts_with("ssh") {
            words.extend(["--identity", &key]);
        }
        let seen = project.mms(&words);
        assert_eq!(seen.code, Some(0), "{name}: {seen}");
    }
    // mms encrypts to SSH keys that age opens.
    project.write("mms.toml", format!("[vault]\nidentities = [\"ssh\"]\nrecipients = [\"{ssh}\", \"{other}\"]\n"));
    project.write("f", "for both");
    assert_eq!(project.mms(&["vault", "encrypt", "f"]).code, Some(0));
    for key in ["ssh", "other.txt"] {
        assert_eq!(age(&["-d", "-i", key, "f"], b""), b"for both");
    }
}

/// Nothing is changed, and the exit code says that it was about secrets.
#[test]
fn what_cannot_be_opened() {
    let project = project();
    set(&project, "vault_token", "s3cret");
    set(&project, "vault_other", "other");
    project.write("playbooks/p.yml", "- hosts: here\n  gather_facts: false\n  tasks:\n    - command: touch touched\n    - debug: {msg: \"{{ vault_token }}\"}\n");
    let good = project.read(VAULT);
    let check = |name: &str, args: &[&str], code: i32| {
        let seen = plain(project.mms(args));
        assert_eq!(seen.code, Some(code), "{name}: {seen}");
        assert!(!project.path("touched").exists(), "{name}");
        // Places after the ciphertext, and the ciphertext itself, differ in every run.
        let sealed = regex::Regex::new(r"!age \S+").unwrap();
        insta::assert_snapshot!(name, seen.map(|text| sealed.replace_all(text, "[SEALED]").into_owned()));
    };
    let identity = project.read(IDENTITY);
    std::fs::remove_file(project.path(IDENTITY)).unwrap();
    check("no_identity", &["run", "playbooks/p.yml"], 4);
    check("no_identity_in_a_plan", &["plan", "playbooks/p.yml"], 4);
    check("no_identity_get", &["vault", "get", "vault_token"], 4);
    check("no_identity_named", &["vault", "view", "--identity", "nope.txt"], 4);
    program("age-keygen", &["-o", "stranger.txt"], b"", project.dir.path());
    check("wrong_identity", &["run", "playbooks/p.yml", "--identity", "stranger.txt"], 4);
    check("wrong_identity_view", &["vault", "view", "--identity", "stranger.txt"], 4);
    project.write("no-key.txt", "hello\n");
    check("identity_is_none", &["run", "playbooks/p.yml", "--identity", "no-key.txt"], 4);
    project.write(IDENTITY, identity);

    project.write(
        VAULT,
        good.replace("vault_token", "tmp").replace("vault_other", "vault_token").replace("tmp", "vault_other"),
    );
    check("moved", &["run", "playbooks/p.yml"], 4);
    check("moved_get", &["vault", "get", "vault_token"], 4);
    project.write(VAULT, good.replacen("!age YWdl", "!age YWdlYWdl", 1));
    check("damaged", &["run", "playbooks/p.yml"], 4);
    let at = good.find("\nvault_other").unwrap() - 8;
    let mut cut = good.clone();
    cut.replace_range(at..at + 4, "AAAA");
    project.write(VAULT, &cut);
    check("damaged_inside", &["run", "playbooks/p.yml"], 4);
    project.write(VAULT, "vault_token: !age\n");
    check("empty_value", &["vault", "get", "vault_token"], 1);

    // A secret that only a task meets: everything before it has been done, but the exit code is the same.
    project.write(VAULT, &good);
    std::fs::remove_file(project.path(IDENTITY)).unwrap();
    let value = good.lines().find_map(|line| line.strip_prefix("vault_token: ")).unwrap().to_owned();
    std::fs::remove_file(project.path(VAULT)).unwrap();
    project.write("playbooks/q.yml", format!("- hosts: here\n  gather_facts: false\n  vars:\n    vault_token: {value}\n  tasks:\n    - name: Use it\n      debug: {{msg: \"{{{{ vault_token }}}}\"}}\n"));
    check("no_identity_in_a_task", &["run", "playbooks/q.yml"], 4);
}

#[test]
fn edits_that_go_wrong() {
    let project = project();
    set(&project, "vault_token", "s3cret");
    let before = project.read(VAULT);
    for (name, editor) in [
        ("edit_editor_fails", "false"),
        ("edit_no_editor", "/nonexistent/editor"),
        ("edit_broken_yaml", "sed -i 's/^vault_token: .*/vault_token: \"s3cret/'"),
        ("edit_not_a_mapping", "sed -i 's/^vault_token: .*/- s3cret/'"),
    ] {
        let seen = plain(edit(&project, editor));
        assert_eq!(seen.code, Some(1), "{name}: {seen}");
        insta::assert_snapshot!(name, seen);
        assert_eq!(project.read(VAULT), before, "{name}");
    }
    insta::assert_snapshot!("encrypt_twice", {
        project.write("w", "x");
        project.mms(&["vault", "encrypt", "w"]);
        plain(project.mms(&["vault", "encrypt", "w"]))
    });
    for (name, content) in
        [("clear.bin", &b"\xff\xfe"[..]), ("clear.txt", b"just: [text"), ("clear.yml", b"a: 1\n"), ("empty.yml", b"")]
    {
        project.write(name, content);
        let seen = plain(project.mms(&["vault", "decrypt", name]));
        assert_eq!((seen.code, seen.stdout.as_str()), (Some(1), ""), "{seen}");
        assert_eq!(seen.stderr, format!("error: `{name}` is in clear already\n"));
        assert_eq!(std::fs::read(project.path(name)).unwrap(), content);
    }
    project.write("mms.toml", "[vault]\nrecipients = [\"AGE-SECRET-KEY-1QQQQ\"]\n");
    insta::assert_snapshot!("recipient_is_a_private_key", plain(set(&project, "a", "b")));
    project.write("mms.toml", "");
    insta::assert_snapshot!("no_recipients", plain(set(&project, "a", "b")));
}

#[test]
fn what_would_stay_in_clear_is_refused_and_not_shown() {
    let project = project();
    for text in
        ["a: first canary\na: second canary\n", "a: !age canary\n", "a: canary\n  b: [\n", "a: &x canary\nb: *x\n"]
    {
        project.write("secrets.yml", text);
        let seen = project.mms(&["vault", "encrypt", "secrets.yml"]);
        assert_eq!(project.read("secrets.yml"), text, "{seen}");
        assert!(seen.code != Some(0) && !seen.to_string().contains("canary"), "{seen}");
    }
}

#[test]
fn a_value_fills_the_key_that_waits_for_it() {
    let project = project();
    project.write(VAULT, "# tokens\nvault_token:   # from the tailnet\nsmtp:\n  password: x\n");
    assert_eq!(set(&project, "vault_token", "s3cret\n").code, Some(0));
    let text = project.read(VAULT);
    assert!(
        text.starts_with("# tokens\nvault_token: !age ") && text.contains("   # from the tailnet\nsmtp:\n"),
        "{text}"
    );
    assert_eq!(project.mms(&["vault", "get", "vault_token"]).stdout, "s3cret\n");
    let seen = set(&project, "smtp", "x");
    assert!(seen.code == Some(1) && seen.stderr.contains("`smtp` is not one value"), "{seen}");
    assert_eq!(project.read(VAULT), text);
}

#[test]
fn a_vault_behind_a_link_stays_behind_it() {
    let project = project();
    std::fs::rename(project.path(VAULT), project.path("elsewhere.yml")).unwrap();
    std::os::unix::fs::symlink(project.path("elsewhere.yml"), project.path(VAULT)).unwrap();
    assert_eq!(set(&project, "vault_token", "s3cret").code, Some(0));
    assert!(project.path(VAULT).is_symlink());
    assert!(project.read("elsewhere.yml").contains("vault_token: !age "));
}

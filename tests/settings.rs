//! Finding the project, reading its files, and the precedence of settings.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mms::connection::BecomeMethod;
use mms::diagnostic::render;
use mms::env_vars;
use mms::error::Error;
use mms::project::{Document, Encryption, Project};
use mms::settings::{Color, Given, Settings};

/// A directory tree of the given files.
fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for (path, text) in files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    (dir, root)
}

fn resolve(root: &Path, env: &[(&str, &str)], cli: Given) -> Result<Settings, Error> {
    let lookup = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Settings::resolve(cli, &lookup, &Project::at(root))
}

fn complaint(manifest: &str) -> String {
    let (_dir, root) = tree(&[("mms.toml", manifest)]);
    render(&resolve(&root, &[], Given::default()).unwrap_err().diagnostics()[0], false)
}

#[test]
fn the_nearest_manifest_is_the_root() {
    let (_dir, root) = tree(&[("mms.toml", ""), ("a/roles/x/tasks/main.yml", ""), ("a/b/c.yml", "")]);
    assert_eq!(Project::discover(&root.join("a/b")).unwrap().root(), root);
    assert_eq!(Project::discover(&root.join("a/b/c.yml")).unwrap().root(), root);
}

#[test]
fn directories_of_ansible_make_a_project_too() {
    let (_dir, root) =
        tree(&[("p/playbooks/site.yml", ""), ("p/inventory/hosts", ""), ("q/ansible.cfg", ""), ("r/x", "")]);
    assert_eq!(Project::discover(&root.join("p/playbooks")).unwrap().root(), root.join("p"));
    assert_eq!(Project::discover(&root.join("q")).unwrap().root(), root.join("q"));
    assert!(Project::discover(&root.join("nowhere")).is_err());
}

#[test]
fn files_are_read_once_and_named_relative_to_the_root() {
    let (_dir, root) = tree(&[("vars/a.yml", "a: 1\na: 2\n"), ("secret.yml", "$ANSIBLE_VAULT;1.1;AES256\n61\n")]);
    let project = Project::at(&root);
    let first = project.yaml(&root.join("vars/a.yml")).unwrap();
    let second = project.yaml(&root.join("vars/../vars/./a.yml")).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.span.to_string(), "vars/a.yml:1:1");
    assert_eq!(project.take_warnings().len(), 1);
    assert!(project.take_warnings().is_empty());
    let Document::Encrypted(file) = project.document(&root.join("secret.yml")).unwrap() else {
        panic!("it is encrypted")
    };
    assert_eq!((file.name.as_str(), file.encryption), ("secret.yml", Encryption::AnsibleVault));
    assert_eq!(project.yaml(&root.join("secret.yml")).unwrap_err().message(), "`secret.yml` is encrypted");
    assert!(project.yaml(&root.join("none.yml")).unwrap_err().message().starts_with("cannot read"));
}

#[test]
fn text_must_be_utf8() {
    let (_dir, root) = tree(&[]);
    fs::write(root.join("a.yml"), b"a: 1\nb: \xff\n").unwrap();
    let error = Project::at(&root).yaml(&root.join("a.yml")).unwrap_err();
    assert_eq!(error.to_string(), "this is not UTF-8 text (a.yml:2:4)");
}

#[test]
fn defaults_apply_when_nobody_says_anything() {
    let (_dir, root) = tree(&[("inventory/hosts.yml", "")]);
    let settings = resolve(&root, &[], Given::default()).unwrap();
    assert_eq!(settings.inventory, [root.join("inventory").display().to_string()]);
    assert_eq!(settings.roles_path, [root.join("roles")]);
    assert_eq!((settings.forks, settings.timeout), (50, Duration::from_secs(10)));
    assert_eq!(settings.lock_timeout, Duration::from_secs(60));
    assert_eq!((settings.diff, settings.accept_new, settings.become_enabled), (false, false, false));
    assert_eq!(settings.color, Color::Auto);
}

const MANIFEST: &str = r#"
inventory = "hosts.yml"
roles_path = ["roles", "/usr/share/roles"]
forks = 7
lock_timeout = 300
diff = true
color = "never"
[ssh]
user = "toml"
private_key = "keys/id"
timeout = 20
accept_new = true
[become]
enabled = true
user = "admin"
method = "doas"
[vault]
identities = "~/.config/mms/identity"
recipients = ["age1x", "ssh-ed25519 y"]
"#;

#[test]
fn the_manifest_is_read_with_paths_relative_to_the_root() {
    let (_dir, root) = tree(&[("mms.toml", MANIFEST)]);
    let settings = resolve(&root, &[], Given::default()).unwrap();
    assert_eq!(settings.inventory, [root.join("hosts.yml").display().to_string()]);
    assert_eq!(settings.roles_path, [root.join("roles"), PathBuf::from("/usr/share/roles")]);
    assert_eq!((settings.forks, settings.diff, settings.color), (7, true, Color::Never));
    assert_eq!(settings.lock_timeout, Duration::from_secs(300));
    assert_eq!(settings.remote_user.as_deref(), Some("toml"));
    assert_eq!(settings.private_key, Some(root.join("keys/id")));
    assert_eq!((settings.timeout, settings.accept_new), (Duration::from_secs(20), true));
    assert_eq!((settings.become_enabled, settings.become_method), (true, BecomeMethod::Doas));
    assert_eq!(settings.identities, [etcetera::home_dir().unwrap().join(".config/mms/identity")]);
    assert_eq!(settings.recipients, ["age1x", "ssh-ed25519 y"]);
}

#[test]
fn ansible_cfg_is_read_below_the_manifest() {
    let cfg = "# comment\n[defaults]\ninventory = inv/hosts.yml, other ; both\nroles_path=~/roles:r\nremote_user: cfg\nforks = 5\n\
               host_key_checking = False\nstdout_callback = yaml\n[privilege_escalation]\nbecome = yes\nbecome_method = su\n\
               [diff]\nalways = true\n";
    let (_dir, root) = tree(&[("ansible.cfg", cfg), ("mms.toml", "forks = 6\n")]);
    let settings = resolve(&root, &[], Given::default()).unwrap();
    let expected = [root.join("inv/hosts.yml"), root.join("other")].map(|path| path.display().to_string());
    assert_eq!(settings.inventory, expected);
    assert_eq!(settings.roles_path, [etcetera::home_dir().unwrap().join("roles"), root.join("r")]);
    assert_eq!((settings.remote_user.as_deref(), settings.forks, settings.accept_new), (Some("cfg"), 6, true));
    assert_eq!((settings.become_enabled, settings.become_method, settings.diff), (true, BecomeMethod::Su, true));

    let (_dir, root) = tree(&[("ansible.cfg", "[privilege_escalation]\nbecome_method = sodu\n")]);
    let error = resolve(&root, &[], Given::default()).unwrap_err();
    assert_eq!(error.to_string(), "unknown become method `sodu` (ansible.cfg:2:17)");
    let (_dir, root) = tree(&[("ansible.cfg", "[defaults]\nforks = x\n")]);
    assert_eq!(
        resolve(&root, &[], Given::default()).unwrap_err().to_string(),
        "`forks` must be a number above zero (ansible.cfg:2:9)"
    );
}

#[test]
fn passwords_of_ansible_vaults_are_not_passed_over_in_silence() {
    let (_dir, root) = tree(&[("ansible.cfg", "[defaults]\nvault_password_file = ~/.vault\nstdout_callback = yaml\n")]);
    let project = Project::at(&root);
    Settings::resolve(Given::default(), &|_| None, &project).unwrap();
    let warnings: Vec<String> = project.take_warnings().iter().map(|warning| render(warning, false)).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`vault_password_file` has no effect"), "{warnings:?}");
    assert!(warnings[0].contains("ansible.cfg:2:23"), "{warnings:?}");
}

#[test]
fn command_line_beats_environment_beats_manifest() {
    let (_dir, root) = tree(&[("mms.toml", MANIFEST)]);
    let env =
        [("MMS_REMOTE_USER", "env"), ("ANSIBLE_REMOTE_USER", "ansible"), ("ANSIBLE_FORKS", "9"), ("MMS_DIFF", "")];
    let settings = resolve(&root, &env, Given::default()).unwrap();
    assert_eq!((settings.remote_user.as_deref(), settings.forks, settings.diff), (Some("env"), 9, true));
    let cli = Given { remote_user: Some("cli".to_owned()), ..Given::default() };
    assert_eq!(resolve(&root, &env, cli).unwrap().remote_user.as_deref(), Some("cli"));
}

#[test]
fn the_environment_is_understood_as_by_ansible() {
    let (_dir, root) = tree(&[("a", ""), ("b", "")]);
    let (a, b) = (root.join("a").display().to_string(), root.join("b").display().to_string());
    let get = |env: &[(&str, &str)]| resolve(&root, env, Given::default()).unwrap();
    assert_eq!(get(&[("ANSIBLE_INVENTORY", &format!("{a},{b}"))]).inventory, [a.clone(), b]);
    assert_eq!(get(&[("ANSIBLE_INVENTORY", "h1,h2,")]).inventory, ["h1,h2,"]);
    assert!(get(&[("ANSIBLE_HOST_KEY_CHECKING", "False")]).accept_new);
    assert!(!get(&[("ANSIBLE_HOST_KEY_CHECKING", "False"), ("MMS_ACCEPT_NEW", "no")]).accept_new);
    assert_eq!(get(&[("NO_COLOR", "1")]).color, Color::Never);
    assert_eq!(get(&[("ANSIBLE_FORCE_COLOR", "1")]).color, Color::Always);
    assert_eq!(get(&[("MMS_COLOR", "auto"), ("NO_COLOR", "1")]).color, Color::Auto);
    assert_eq!(get(&[("ANSIBLE_ROLES_PATH", &format!("{a}:/x"))]).roles_path, [PathBuf::from(a), PathBuf::from("/x")]);
    for (name, value) in
        [("MMS_FORKS", "many"), ("MMS_FORKS", "0"), ("MMS_DIFF", "perhaps"), ("MMS_BECOME_METHOD", "sud")]
    {
        let error = resolve(&root, &[(name, value)], Given::default()).unwrap_err();
        assert!(error.message().contains(name) && error.message().contains(value), "{error}");
    }
}

#[test]
fn environment_variables_are_documented_and_unique() {
    let mut names: Vec<&str> = env_vars::ALL.iter().flat_map(|var| [Some(var.name), var.ansible]).flatten().collect();
    assert!(names.len() > 20);
    assert!(env_vars::ALL.iter().all(|var| var.help.ends_with('.')));
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn explains_mistakes_in_the_manifest() {
    let cases = [
        ("unknown_key", "fork = 3\n"),
        ("unknown_key_in_section", "[ssh]\nuser = \"a\"\nprivatekey = \"b\"\n"),
        ("wrong_type", "diff = \"yes\"\n"),
        ("zero", "[ssh]\ntimeout = 0\n"),
        ("wrong_choice", "color = \"sometimes\"\n"),
        ("not_a_list", "[vault]\nrecipients = 5\n"),
        ("not_toml", "inventory = hosts.yml\n"),
    ];
    for (name, text) in cases {
        insta::with_settings!({ snapshot_path => "settings/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, complaint(text));
        });
    }
}

//! Becoming root with a password, on a machine of the lab, where sudo is real.

use std::path::Path;
use std::process::Command;

use crate::project::{Project, Seen};

const MACHINE: &str = "err-a";

fn lab(args: &[&str]) -> Result<String, String> {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab")).args(args).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A fresh machine that is taken down at the end.
struct Machine;

impl Machine {
    fn up() -> Self {
        let _ = lab(&["down", MACHINE]);
        if let Err(error) = lab(&["up", MACHINE]) {
            panic!(
                "the lab cannot run here (it needs root on Debian, see tests/lab/README.md; MMS_TEST_MACHINE=0 leaves \
                 this test out): {error}"
            );
        }
        Self
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = lab(&["down", MACHINE]);
    }
}

fn plain(seen: Seen, address: &str) -> Seen {
    seen.map(|text| text.replace(address, "ADDRESS"))
}

#[test]
fn a_wrong_sudo_password_changes_nothing() {
    if std::env::var("MMS_TEST_MACHINE").is_ok_and(|value| value == "0") {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"left out: MMS_TEST_MACHINE=0\n");
        return;
    }
    let _machine = Machine::up();
    let project = Project::new();
    let inventory = lab(&["inventory", MACHINE]).unwrap().replace("ansible_user: root", "ansible_user: operator");
    project.write("inventory/hosts.yml", inventory);
    project.write(
        "playbooks/touch.yml",
        "- hosts: all\n  become: true\n  tasks:\n    - name: Touch\n      file: {path: /etc/touched, state: touch}\n",
    );
    let address = lab(&["addr", MACHINE]).unwrap();
    let password = lab(&["operator-password"]).unwrap();
    let before = lab(&["hash", MACHINE]).unwrap();
    let check = |name: &str, args: &[&str], code: i32| {
        let seen = plain(project.mms(args), &address);
        assert_eq!(seen.code, Some(code), "{name}: {seen}");
        assert!(!seen.to_string().contains("wr0ng-canary"), "{name}: {seen}");
        assert_eq!(lab(&["hash", MACHINE]).unwrap(), before, "{name}: the machine was changed");
        insta::assert_snapshot!(name, seen);
    };
    let wrong = ["-e", "ansible_become_password=wr0ng-canary"];
    let unknown = ["-e", "ansible_become_user=nobody-here"];
    let right = format!("ansible_become_password={password}");
    let run = ["run", "playbooks/touch.yml"];
    check("sudo_wrong_password", &[&run[..], &wrong].concat(), 2);
    check("sudo_wrong_password_verbose", &[&run[..], &wrong, &["-vvv"]].concat(), 2);
    check("sudo_no_password", &run, 2);
    check("sudo_no_such_user", &[&run[..], &unknown, &["-e", &right]].concat(), 2);
    check("sudo_plan_with_wrong_password", &[&["plan", "playbooks/touch.yml"], &wrong[..]].concat(), 2);
    check("sudo_plan", &["plan", "playbooks/touch.yml", "-e", &right], 0);
    // With the right password it is changed, which also proves that the hash sees it.
    let seen = project.mms(&[&run[..], &["-e", &right, "-vvv"]].concat());
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(!seen.to_string().contains(&password));
    assert_ne!(lab(&["hash", MACHINE]).unwrap(), before);
}

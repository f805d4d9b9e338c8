//! Machines of the lab (`tests/lab/README.md`) for tests: booted when a test starts, taken down when it ends, however it ends.
//!
//! Tests on machines run unless `MMS_TEST_MACHINE=0`, and say so when they do not; where there is no lab they fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
// Every test that includes this uses its own part of it.
#![allow(dead_code)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use mms::connection::Answer;

/// Whether tests that need a machine are wanted.
pub fn wanted(test: &str) -> bool {
    let wanted = std::env::var("MMS_TEST_MACHINE").as_deref() != Ok("0");
    if !wanted {
        // Past the capture of the test harness: what was not tested must be seen.
        let _ = writeln!(std::io::stderr(), "skipped: {test} needs a machine, and MMS_TEST_MACHINE is 0");
    }
    wanted
}

/// A command of the lab.
pub fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("MMS_LAB").unwrap_or_else(|_| "tests/lab/lab".to_owned()));
    command.args(arguments);
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command, stdin: Option<Vec<u8>>) -> Answer {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", command.get_program().display()));
    let mut pipe = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // A script need not read its stdin.
        let _ = pipe.write_all(&stdin.unwrap_or_default());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Answer { rc: output.status.code().unwrap_or(255), stdout: output.stdout, stderr: output.stderr }
}

/// Functions for scripts on a machine. `stand_in PROGRAM TEXT`: whoever starts the program starts the text, and where that ends by
/// itself the program goes on; until `stood_in PROGRAM`.
pub const STAND_IN: &str = r#"stand_in() {
    printf '%s\n' '#!/bin/sh' "$2" "exec /usr/bin/$1 \"\$@\"" >"/usr/local/bin/$1" && chmod 755 "/usr/local/bin/$1"
}
stood_in() { /usr/bin/rm "/usr/local/bin/$1"; }
"#;

/// A machine. `MMS_LAB_KEEP` keeps it when the test ends.
pub struct Machine {
    name: String,
}

impl Machine {
    /// Boots a fresh machine. The name ends in the number of this process, so tests that run side by side do not meet.
    pub fn up(kind: &str) -> Self {
        Self::up_as(kind, None)
    }

    /// The same, of a flavour of the lab.
    pub fn up_as(kind: &str, flavour: Option<&str>) -> Self {
        let name = format!("{kind}-{:x}", std::process::id());
        assert!(name.len() <= 12, "`{name}` is too long for the name of an interface");
        let mut up = lab(&["up", &name]);
        up.args(flavour.iter().flat_map(|flavour| ["--flavour", flavour]));
        let answer = run(&mut up, None);
        assert!(
            answer.ok(),
            "no machine could be booted:\n{}\nthe lab needs root (or sudo) on Debian, see tests/lab/README.md; \
             MMS_TEST_MACHINE=0 leaves out the tests that need a machine",
            answer.stderr_text().trim_end()
        );
        let machine = Self { name };
        // SSH answers before the boot has ended, and what starts late still writes its files.
        machine.as_root("systemctl is-system-running --wait", None);
        machine
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a command of the lab about this machine prints.
    pub fn lab(&self, command: &str) -> String {
        let answer = run(&mut lab(&[command, &self.name]), None);
        assert!(answer.ok(), "lab {command}: {}", answer.stderr_text());
        answer.stdout_text().trim().to_owned()
    }

    /// The lines behind `lab hash`: all that a plan must not touch.
    pub fn untouched(&self) -> Vec<String> {
        let answer = run(&mut lab(&["hash", &self.name, "--list"]), None);
        assert!(answer.ok(), "lab hash: {}", answer.stderr_text());
        answer.stdout_text().lines().map(str::to_owned).collect()
    }

    pub fn as_root(&self, script: &str, stdin: Option<Vec<u8>>) -> Answer {
        run(&mut lab(&["exec", &self.name, "sh", "-c", script]), stdin)
    }

    pub fn as_user(&self, script: &str, stdin: Option<Vec<u8>>) -> Answer {
        run(&mut lab(&["exec", &self.name, "runuser", "-u", "mms", "--", "sh", "-c", script]), stdin)
    }

    pub fn ok(&self, script: &str) -> String {
        let answer = self.as_root(script, None);
        assert!(answer.ok(), "{script}: {}", answer.stderr_text());
        answer.stdout_text().into_owned()
    }

    /// Puts a script before a program: the real one goes on where the script ends by itself.
    pub fn stand_in(&self, program: &str, text: &str) {
        self.ok(&format!("{STAND_IN}stand_in {program} '{text}'"));
    }

    /// Takes it away.
    pub fn stood_in(&self, program: &str) {
        self.ok(&format!("{STAND_IN}stood_in {program}"));
    }

    pub fn as_user_ok(&self, script: &str) -> String {
        let prelude =
            "cd; export XDG_RUNTIME_DIR=/run/user/$(id -u) DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u)/bus";
        let answer = self.as_user(&format!("HOME=/home/mms; {prelude}; {script}"), None);
        assert!(answer.ok(), "{script}: {}", answer.stderr_text());
        answer.stdout_text().into_owned()
    }

    pub fn add_user(&self) {
        self.ok("groupadd -g 1100 mms && useradd -m -u 1100 -g 1100 -s /bin/bash mms");
    }

    /// Publishes an image under a tag that only this machine sees.
    pub fn push_image(&self, image: &str, variant: &str) {
        let answer = run(&mut lab(&["push-image", image, "--variant", variant, "--for", &self.name]), None);
        assert!(answer.ok(), "{}", answer.stderr_text());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::env::var_os("MMS_LAB_KEEP").is_none() {
            run(&mut lab(&["down", &self.name]), None);
        }
    }
}

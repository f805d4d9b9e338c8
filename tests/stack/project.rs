//! A copy of the project for one machine, and runs of the built binary in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::lab::{self, Machine};

/// The shipped inventory, playbooks, roles and services, with one machine and a vault of their own.
pub struct Project {
    dir: TempDir,
    outputs: Mutex<Vec<(String, String)>>,
}

/// A run that ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// Which task, and which item of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub task: String,
    pub place: String,
    pub item: Option<String>,
}

/// A time that no test sees, in the form of systemd.time(7).
const NEVER: &str = "'2199-01-01 00:00:00'";

impl Project {
    pub fn new(machine: &Machine) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap(), outputs: Mutex::default() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["inventory", "playbooks", "roles", "services"] {
            copy(&root.join(part), &project.path(part));
        }
        project.write("mms.toml", "");
        let lab_path = |what: &str| lab::run(&mut lab::lab(&[what]), None).stdout_text().trim().to_owned();
        let hosts = format!(
            "mms:\n  hosts:\n    media:\n      ansible_host: {}\n      ansible_user: admin\n      ansible_ssh_private_key_file: {}\n      \
             ansible_ssh_common_args: -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={}\n",
            machine.lab("addr"),
            lab_path("key"),
            lab_path("known-hosts"),
        );
        project.write("inventory/hosts.yml", &hosts);
        // A test that runs at the hour of backups is to see its own only.
        project.edit(
            "inventory/group_vars/mms/vars.yml",
            "# mms_backup_retention:",
            &format!("mms_backup_daily: {NEVER}\nmms_backup_weekly: {NEVER}\n# mms_backup_retention:"),
        );
        let identity = project.path("identity.txt").display().to_string();
        project.run(&["vault", "init", "--identity-file", &identity]).exits(0);
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no `{from}`");
        self.write(name, &text.replace(from, to));
    }

    /// Adds the host that services come from: reached as the machine is, but for what is replaced, and as root.
    pub fn add_old_host(&self, replaced: &[(&str, &str)], more: &str) {
        let hosts = self.read("inventory/hosts.yml");
        let mut own: String = hosts
            .lines()
            .skip_while(|line| !line.contains("ansible_host"))
            .map(|line| format!("{}\n", line.replace("user: admin", "user: root")))
            .collect();
        for (from, to) in replaced {
            own = own.replace(from, to);
        }
        self.write("inventory/hosts.yml", &format!("{hosts}old:\n  hosts:\n    old-lxc:\n{own}{more}"));
    }

    /// The image that a service's file names.
    pub fn image(&self, name: &str) -> String {
        let text = self.read(name);
        text.lines().find_map(|line| line.strip_prefix("image: ")).unwrap().to_owned()
    }

    /// The binary, in this project and with a home of its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mms"));
        let ours = |name: &str| name.starts_with("MMS_") || name.starts_with("ANSIBLE_");
        std::env::vars().map(|(name, _)| name).filter(|name| ours(name)).for_each(|name| {
            command.env_remove(name);
        });
        command.args(arguments).current_dir(self.dir.path()).env("HOME", self.dir.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, None)
    }

    fn run_with(&self, arguments: &[&str], stdin: Option<Vec<u8>>) -> Ran {
        let start = Instant::now();
        let answer = lab::run(&mut self.command(arguments), stdin);
        let ran = Ran {
            exit: Some(answer.rc),
            stdout: answer.stdout_text().into_owned(),
            stderr: answer.stderr_text().into_owned(),
            took: start.elapsed(),
        };
        self.outputs.lock().unwrap().push((arguments.join(" "), ran.text()));
        ran
    }

    /// Keeps a secret in the vault.
    pub fn secret(&self, name: &str, value: &str) {
        self.run_with(&["vault", "set", name], Some(value.as_bytes().to_vec())).exits(0);
    }

    /// All that was ever printed: arguments and output.
    pub fn outputs(&self) -> Vec<(String, String)> {
        self.outputs.lock().unwrap().clone()
    }
}

impl Ran {
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.exit, Some(status), "\n{}\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The JSON lines.
    pub fn json(&self) -> Vec<Json> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How every task and item ended.
    pub fn statuses(&self) -> BTreeMap<Place, String> {
        let of = |event: &Json| {
            let text = |value: &Json| value.as_str().map(str::to_owned);
            let task = &event["task"];
            let place = Place {
                task: format!("{} : {}", text(&task["role"]).unwrap_or_default(), text(&task["name"])?),
                place: text(&task["place"])?,
                item: text(&event["item"]),
            };
            Some((place, text(&event["status"])?))
        };
        self.json().iter().filter_map(of).collect()
    }

    /// A count of the summary.
    pub fn count(&self, what: &str) -> i64 {
        self.json().last().unwrap()["summary"]["hosts"][0][what].as_i64().unwrap()
    }

    pub fn seconds_in_tasks(&self) -> f64 {
        self.json().iter().filter(|event| event["event"] == "task").filter_map(|event| event["seconds"].as_f64()).sum()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            drop(std::fs::copy(entry.path(), to))
        }
    }
}

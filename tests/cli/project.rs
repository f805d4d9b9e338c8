//! A project in a temporary directory, and `mms` run in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A project whose inventory has two hosts, both of them this machine.
pub struct Project {
    pub dir: tempfile::TempDir,
}

/// What a run of `mms` printed and ended with.
pub struct Seen {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    pub fn new() -> Self {
        let project = Self { dir: tempfile::Builder::new().prefix("mms-test-").tempdir().unwrap() };
        project.write("mms.toml", "");
        project.write("home/.keep", "");
        let hosts =
            "all:\n  hosts:\n    here:\n      ansible_connection: local\n    other:\n      ansible_connection: local\n";
        project.write("inventory/hosts.yml", hosts);
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// `mms` with these arguments, in this project, with nothing of the developer's environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mms"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).env_clear();
        command.env("PATH", std::env::var("PATH").unwrap()).env("HOME", self.path("home")).env("LANG", "C.UTF-8");
        command
    }

    pub fn mms(&self, args: &[&str]) -> Seen {
        self.run(&mut self.command(args))
    }

    /// Runs a command and takes out of its output what differs in every run.
    pub fn run(&self, command: &mut Command) -> Seen {
        Seen::of(command).map(|text| self.plain(text))
    }

    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.dir.path().canonicalize().unwrap().display().to_string(), "[DIR]");
        let time = regex::Regex::new(r"in (\d+\.\d s|\d+ ms)\b").unwrap();
        time.replace_all(&text, "in [TIME]").into_owned()
    }
}

impl Seen {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("mms writes UTF-8");
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        Self { code: self.code, stdout: change(&self.stdout), stderr: change(&self.stderr) }
    }

    /// Nothing that a user must never see.
    pub fn assert_no_panic(&self) {
        for text in [&self.stdout, &self.stderr] {
            assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{self}");
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        writeln!(f, "exit: {code}")?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "----- {name} -----\n{}", text.trim_end_matches('\n'))?;
            }
        }
        Ok(())
    }
}

/// The files of a directory of cases, sorted by name.
pub fn cases(dir: &str) -> Vec<(String, PathBuf)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(dir);
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

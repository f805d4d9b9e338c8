//! The two tools: ansible-core from PyPI in a virtual environment beside the lab's cache, and the mms of this build.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::machines::run;

/// A run that takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(300);

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Ansible,
    Mms,
}

impl Tool {
    /// Its directory in the scratch directory: names of one length, so that texts about them have one length too.
    pub fn dir(self) -> &'static str {
        match self {
            Self::Ansible => "a",
            Self::Mms => "b",
        }
    }
}

/// What a tool wrote and how it ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// `succeeded`, `failed`, or `broke` when it did not run the playbook as it should.
    pub end: String,
}

/// Python of the virtual environment, which is made once for what is required: another state of the project has its own.
pub fn python() -> Result<PathBuf, String> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect/support/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).map_err(|error| error.to_string())?;
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = var("MMS_LAB_CACHE")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("mms-lab")))
        .or_else(|| Some(var("HOME")?.join(".cache/mms-lab")))
        .ok_or("no home directory")?;
    let hash: String = Sha256::digest(&wanted).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let venv = cache.join(format!("ansible-venv-{hash}"));
    std::fs::create_dir_all(&cache).map_err(|error| error.to_string())?;
    let lock = File::create(cache.join("ansible-venv.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let done = venv.join("requirements.txt");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(venv.join("bin/python"));
    }
    let told = |error| format!("the ansible to compare with cannot be installed: {error}");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).map_err(told)?;
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(&requirements))
        .map_err(told)?;
    std::fs::write(&done, wanted).map_err(|error| error.to_string())?;
    Ok(venv.join("bin/python"))
}

/// Runs a playbook once.
pub fn playbook(
    tool: Tool,
    root: &Path,
    topic: &str,
    options: &[String],
    inventory: &Path,
    scratch: &Path,
) -> Result<Output, String> {
    let mut command = match tool {
        Tool::Ansible => ansible(root, scratch)?,
        Tool::Mms => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mms"));
            command.args(["run", "--json"]);
            command
        }
    };
    command.arg("-i").arg(root.join("inventory")).arg("-i").arg(inventory);
    command.args(options).arg(root.join(format!("{topic}.yml"))).current_dir(root);
    command.env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8").env("DIALECT", "from the environment");
    let file = |name: &str| scratch.join(format!("{}.{name}", tool.dir()));
    let open = |name: &str| File::create(file(name)).map_err(|error| error.to_string());
    command.stdin(Stdio::null()).stdout(open("out")?).stderr(open("err")?);
    let status = wait(&mut command)?;
    let read = |name: &str| {
        std::fs::read(file(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    let end = match status.code() {
        Some(0) => "succeeded",
        Some(2..=4) => "failed",
        _ => "broke",
    }
    .to_owned();
    Ok(Output { stdout: read("out"), stderr: read("err"), end })
}

fn ansible(root: &Path, scratch: &Path) -> Result<Command, String> {
    let bin = python()?.with_file_name("ansible-playbook");
    let mut command = Command::new(bin);
    command
        .env("ANSIBLE_CALLBACK_PLUGINS", root.join("support/callback"))
        .env("ANSIBLE_STDOUT_CALLBACK", "mms_dialect")
        .env("ANSIBLE_HOME", scratch.join("home"))
        .env("ANSIBLE_PIPELINING", "1")
        // Between machines on one host, to compress costs more than to send.
        .env("ANSIBLE_MODULE_COMPRESSION", "ZIP_STORED")
        .env("ANSIBLE_SSH_ARGS", "-o ControlMaster=auto -o ControlPersist=60s")
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", scratch.join("cp"))
        .env("ANSIBLE_SHELL_ALLOW_WORLD_READABLE_TEMP", "1")
        .env("ANSIBLE_LOCALHOST_WARNING", "0")
        .env("ANSIBLE_DEPRECATION_WARNINGS", "0")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_RETRY_FILES_ENABLED", "0")
        // The callback lies in the tree.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "ignore");
    Ok(command)
}

fn wait(command: &mut Command) -> Result<ExitStatus, String> {
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if start.elapsed() > TIMEOUT {
            child.kill().ok();
            child.wait().ok();
            return Err(format!("{command:?} did not end in {} seconds", TIMEOUT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

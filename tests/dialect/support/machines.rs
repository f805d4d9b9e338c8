//! Twin machines of the lab, fresh for each playbook, and gone afterwards.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How many pairs may be up at once: playbooks run beside each other, in threads or in processes.
const PAIRS: usize = 2;

/// Two fresh machines of one flavour.
pub struct Twins {
    names: [String; 2],
    /// Their addresses, Ansible's first.
    pub addresses: [String; 2],
    lab: PathBuf,
    /// Held while the pair is in use; other processes see it.
    _lock: File,
}

impl Twins {
    /// Boots a pair; waits for a free one.
    pub fn up(flavour: &str) -> Result<Self, String> {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab");
        let (slot, lock) = free_slot()?;
        let names = ["a", "b"].map(|twin| format!("dia{slot}-{twin}"));
        run(Command::new(&lab).arg("down").args(&names)).ok();
        run(Command::new(&lab).arg("up").args(&names).args(["--flavour", flavour])).map_err(|error| {
            format!(
                "the lab cannot run here (it needs root on Debian, see tests/lab/README.md; MMS_TEST_MACHINE=0 leaves \
                 these tests out): {error}"
            )
        })?;
        for name in &names {
            run(Command::new(&lab).args(["exec", name, "mkdir", "/srv/dialect"]))?;
        }
        let address = |name: &str| run(Command::new(&lab).args(["addr", name])).map(|text| text.trim().to_owned());
        let addresses = [address(&names[0])?, address(&names[1])?];
        Ok(Self { names, addresses, lab, _lock: lock })
    }

    /// The name of a twin: 0 is Ansible's, 1 is mms's.
    pub fn name(&self, twin: usize) -> &str {
        &self.names[twin]
    }

    /// The variables with which both tools log in.
    pub fn login(&self) -> Result<String, String> {
        let lab = |word: &str| run(Command::new(&self.lab).arg(word)).map(|text| text.trim().to_owned());
        let (key, known_hosts, password) = (lab("key")?, lab("known-hosts")?, lab("operator-password")?);
        Ok(format!(
            "    ansible_user: root\n    ansible_ssh_private_key_file: {key}\n    ansible_ssh_common_args: >-\n      -o \
             IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={known_hosts} -o \
             GlobalKnownHostsFile=/dev/null\n    operator_password: {password}\n"
        ))
    }

    /// What a twin is like now.
    pub fn snapshot(&self, twin: usize) -> Result<Vec<String>, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect/support/snapshot.sh");
        let script = File::open(&script).map_err(|error| format!("{}: {error}", script.display()))?;
        let text = run(Command::new(&self.lab)
            .args(["exec", self.name(twin), "sh", "-s", "--", self.name(twin), &self.addresses[twin]])
            .stdin(script))?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }
}

impl Drop for Twins {
    fn drop(&mut self) {
        if std::env::var_os("MMS_DIALECT_KEEP").is_none() {
            run(Command::new(&self.lab).arg("down").args(&self.names)).ok();
        }
    }
}

fn free_slot() -> Result<(usize, File), String> {
    loop {
        for slot in 0..PAIRS {
            let path = std::env::temp_dir().join(format!("mms-dialect-{slot}.lock"));
            let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if file.try_lock().is_ok() {
                return Ok((slot, file));
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

/// Runs a command; its stdout, or what it said on stderr.
pub fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("`{name}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{name}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The web server beside the machines.
pub struct Web {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Web {
    /// Starts it on an address of this host.
    pub fn start(address: &str) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect/support/web.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(address).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("`python3`: {error}"))?;
        let mut port = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut port).map_err(|error| error.to_string())?;
        }
        Ok(Self { child, url: format!("http://{address}:{}", port.trim()) })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

//! A real sshd of the test's own, on a loopback port, with its own keys.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mms::connection::{Target, UnknownHostKey};

pub struct Sshd {
    pub directory: tempfile::TempDir,
    pub port: u16,
    process: Child,
}

/// Where sshd is. `None`: not installed, and nobody insists (`MMS_REQUIRE_SSHD=1` does).
fn program() -> Option<&'static Path> {
    let found = ["/usr/sbin/sshd", "/usr/lib/ssh/sshd"].into_iter().map(Path::new).find(|path| path.exists());
    assert!(
        found.is_some() || std::env::var_os("MMS_REQUIRE_SSHD").is_none(),
        "MMS_REQUIRE_SSHD is set but there is no sshd; install openssh-server"
    );
    found
}

pub fn keygen(arguments: &[&str]) {
    let status = Command::new("ssh-keygen").arg("-q").args(arguments).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "ssh-keygen {arguments:?}");
}

pub fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}

impl Sshd {
    /// Starts one, with more lines for its configuration. It accepts the key `user`; its own key is in `known_hosts`.
    pub fn start(more: &str) -> Option<Self> {
        let program = program()?;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        for key in ["host", "user", "stranger"] {
            keygen(&["-t", "ed25519", "-N", "", "-C", key, "-f", &path(key)]);
        }
        std::fs::copy(path("user.pub"), path("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "{more}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nMaxStartups 100\n\
             SetEnv HOME={}\n",
            path("host"),
            path("authorized"),
            // Of its own: what mms keeps there is not shared with tests that run at the same time.
            path("home")
        );
        std::fs::create_dir(path("home")).unwrap();
        std::fs::write(path("sshd_config"), config).unwrap();
        if user() == "root" {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let log = std::fs::File::create(path("log")).unwrap();
        let process = Command::new(program)
            .args(["-D", "-e", "-f", &path("sshd_config")])
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Self { directory, port, process };
        sshd.know(&sshd.read("host.pub"));
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(sshd);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("sshd does not start: {}", sshd.read("log"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Its process.
    #[allow(dead_code, reason = "one of the tests that share this file needs it")]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Makes a key the known one.
    pub fn know(&self, public: &str) {
        let mut words = public.split_whitespace();
        let line = format!("# test\n[127.0.0.1]:{} {} {}\n", self.port, words.next().unwrap(), words.next().unwrap());
        std::fs::write(self.path("known_hosts"), line).unwrap();
        let config = format!(
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentitiesOnly yes\n",
            self.path("known_hosts").display()
        );
        std::fs::write(self.path("ssh_config"), config).unwrap();
    }

    /// How to reach it.
    pub fn target(&self) -> Target {
        Target {
            name: "lab".into(),
            address: Some("127.0.0.1".into()),
            port: Some(self.port),
            user: Some(user()),
            private_key_file: Some(self.path("user")),
            ssh_args: vec!["-F".into(), self.path("ssh_config").display().to_string()],
            timeout: Some(Duration::from_secs(20)),
            unknown_host_key: UnknownHostKey::Refuse,
            ..Target::default()
        }
    }

    /// The text without what is different in every run.
    pub fn plain(&self, text: &str) -> String {
        let host = self.read("host.pub");
        let fingerprint =
            russh::keys::PublicKey::from_openssh(&host).unwrap().fingerprint(russh::keys::HashAlg::Sha256);
        text.replace(&self.directory.path().display().to_string(), "DIR")
            .replace(&fingerprint.to_string(), "FINGERPRINT")
            .replace(&format!("{}@127", user()), "USER@127")
            .replace(&self.port.to_string(), "PORT")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

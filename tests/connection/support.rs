//! What the tests share.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mms::connection::{Answer, ConnectOptions, Connection, Frame, Nobody, Shell, Target, TransportKind, connect};
use mms::secret::Redactor;

pub fn options() -> ConnectOptions {
    ConnectOptions { redactor: Redactor::default(), prompter: Arc::new(Nobody) }
}

pub async fn local(shell: Option<&Path>) -> Arc<dyn Connection> {
    let target = Target {
        name: "here".into(),
        kind: TransportKind::Local,
        shell: shell.map(|path| path.to_str().unwrap().to_owned()),
        ..Target::default()
    };
    connect(&target, &options()).await.unwrap()
}

pub async fn run(shell: &Arc<dyn Shell>, script: &str) -> Answer {
    shell.submit(Frame::new(script)).await.unwrap()
}

pub fn with_stdin(script: &str, stdin: impl Into<Vec<u8>>) -> Frame {
    Frame { stdin: Some(stdin.into()), ..Frame::new(script) }
}

/// Every shell that can be had here, by name. BusyBox ash runs with BusyBox tools only.
pub fn shells(directory: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    for (name, path) in [("dash", "/bin/dash"), ("bash", "/bin/bash")] {
        if Path::new(path).exists() {
            found.push((name, PathBuf::from(path)));
        }
    }
    // Bash called `sh` is in POSIX mode.
    if Path::new("/bin/bash").exists() {
        let link = directory.join("sh");
        std::os::unix::fs::symlink("/bin/bash", &link).unwrap();
        found.push(("bash as sh", link));
    }
    for busybox in ["/bin/busybox", "/usr/bin/busybox"].map(Path::new) {
        if busybox.exists() {
            let tools = directory.join("busybox-tools");
            std::fs::create_dir(&tools).unwrap();
            let status = std::process::Command::new(busybox).args(["--install", "-s"]).arg(&tools).status().unwrap();
            assert!(status.success(), "busybox --install");
            let wrapper = directory.join("ash");
            let text = format!("#!/bin/sh\nPATH={0}\nexport PATH\nexec {0}/ash \"$@\"\n", tools.display());
            std::fs::write(&wrapper, text).unwrap();
            std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
            found.push(("busybox ash", wrapper));
            break;
        }
    }
    assert!(
        found.len() == 4 || std::env::var_os("MMS_REQUIRE_SHELLS").is_none(),
        "dash, bash and busybox must be installed; found {found:?}"
    );
    found
}

/// The processes whose command line contains a text.
pub fn processes(needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if entry.file_name().to_string_lossy().parse::<u32>().is_ok_and(|pid| pid != std::process::id())
            && line.contains(needle)
        {
            found.push(line);
        }
    }
    found
}

/// Fails unless no process's command line contains a text. A signal is sent, not awaited: what got it may need a moment to go.
pub async fn assert_gone(needle: &str) {
    for _ in 0..500 {
        if processes(needle).is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("still running: {:?}", processes(needle));
}

//! The shell text of migrations in dash and in BusyBox ash with BusyBox's own tools: the old host may be an Alpine container.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::journal::{Record, Runner, Was};
use super::{copy, listing, look, source, target};
use crate::restore::journal::{Journal, Phase, Place, Verb};
use crate::sh;

/// Runs a script in a shell; `tools` is a directory of programs that come first.
fn run(shell: &[&str], tools: Option<&Path>, script: &str, stdin: &[u8]) -> Vec<u8> {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg("-c").arg(script);
    if let Some(tools) = tools {
        command.env("PATH", tools);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Where BusyBox is.
fn program() -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|directory| directory.join("busybox")).find(|path| path.exists());
    found.expect("busybox is not installed (`make test` does that)")
}

/// BusyBox's tools alone.
fn busybox(at: &Path) {
    for name in
        ["find", "stat", "xargs", "sha256sum", "sed", "sh", "readlink", "echo", "sort", "awk", "tr", "head", "cat"]
    {
        std::os::unix::fs::symlink(program(), at.join(name)).unwrap();
    }
}

#[test]
fn busybox_lists_and_hashes_as_gnu_does() {
    let (tools, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    busybox(tools.path());
    let busybox_program = program().display().to_string();
    let at = |name: &str| data.path().join(name);
    std::fs::create_dir_all(at("a b/c")).unwrap();
    for (name, text) in [("a b/c/$x", "1"), ("empty", ""), ("a b/it's", "three")] {
        std::fs::write(at(name), text).unwrap();
    }
    std::os::unix::fs::symlink("a b/it's", at("link")).unwrap();
    let script = listing::script(&data.path().display().to_string());
    let gnu = run(&["sh"], None, &script, b"");
    let plain = run(&[&busybox_program, "sh"], Some(tools.path()), &script, b"");
    assert!(gnu.starts_with(b"gnu\n") && plain.starts_with(b"plain\n"), "{}", String::from_utf8_lossy(&plain));
    let (gnu, plain) = (listing::parse(&gnu).unwrap(), listing::parse(&plain).unwrap());
    assert_eq!(gnu.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    assert_eq!(gnu.len(), 6);
    assert!(listing::Difference::between(&gnu, &plain).is_empty());
    assert!(listing::Difference::between(&plain, &gnu).is_empty());
    for (names, command) in [(&b"./a b/c/$x\0./a b/it's\0./empty\0"[..], copy::HASH), (b"./link\0", copy::LINK)] {
        let script = format!("cd {}; {command}", data.path().display());
        let gnu = run(&["sh"], None, &script, names);
        assert_eq!(gnu, run(&[&busybox_program, "sh"], Some(tools.path()), &script, names));
        let lines = String::from_utf8(gnu).unwrap();
        assert!(lines.ends_with("@status 0\n"), "{lines}");
        assert!(lines.lines().rev().skip(1).all(|line| line.len() == 64), "{lines}");
        // One that cannot be read is no hash, and not passed over.
        let gone =
            run(&["sh"], None, &format!("cd {}; {command} 2>/dev/null", data.path().display()), b"./gone\0./empty\0");
        assert!(command == copy::LINK || !String::from_utf8_lossy(&gone).contains("@status 0"));
    }
}

#[test]
fn every_script_is_understood_by_every_shell() {
    let runner = Runner::Unit { user: Some("joe".into()), name: "x y.service".into() };
    let container = Runner::Container { engine: "docker".into(), user: None, name: "it's".into() };
    let runners = [runner.clone(), container.clone()];
    let was: Vec<Was> =
        runners.iter().map(|runner| Was { runner: runner.clone(), active: true, enabled: "always".into() }).collect();
    let record = Record { service: "s".into(), to: "media".into(), id: "1".into(), was: was.clone(), at: 0 };
    let place = |name: &str| format!("/c/it's {name}");
    let journal = Journal {
        id: "1".into(),
        verb: Verb::Migrate,
        service: "s".into(),
        backup: "old".into(),
        places: vec![Place { live: place("a"), staged: place("b"), replaced: place("c"), existed: true }],
        units: vec![],
        active: vec![],
        origin: None,
    };
    let question = look::Question {
        units: vec!["a.service".into()],
        directories: vec!["/home/*/it's".into()],
        version_files: [("s".to_owned(), vec!["/v".to_owned()])].into(),
        packages: [("s".to_owned(), vec!["p".to_owned()])].into(),
        services: vec!["s".into()],
    };
    let scripts = [
        look::script(&question),
        look::probe_script(&[(place("a"), vec!["m*".into()])]),
        listing::script(&place("a")),
        source::states(&runners),
        source::note(&record),
        source::in_turn("s", &source::stop(&was), true),
        source::start(&was),
        source::forget("s"),
        source::confirm("s"),
        source::archive("it's", &place("a"), true),
        source::clean("it's", &place("a"), false),
        source::holders(&[place("a")]),
        source::check_databases(&place("a")),
        target::renew(&journal, Phase::Staging),
        target::stage(&journal),
        target::note(&journal, "{}"),
        target::forget_note(&journal),
        target::phase(&journal, Phase::Stopping),
        target::weigh(&[place("a")]),
        target::tools(),
        target::with_list(&journal, &place("b"), copy::HASH),
        target::give(&place("b"), (0, 0), Some("0700")),
        target::write_file(&place("b")),
        target::glob(&place("b"), "root/*/it's.xml"),
        target::check_databases(&place("b")),
        target::column(&place("b"), "T", "c"),
    ];
    for script in &scripts {
        for shell in [&["sh"][..], &["busybox", "sh"], &["bash", "--posix"]] {
            let mut command = Command::new(shell[0]);
            let output = command.args(&shell[1..]).arg("-n").arg("-c").arg(script).output().unwrap();
            assert!(output.status.success(), "{shell:?}: {}\n{script}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// So that a start never overtakes the stop of an mms that was killed.
#[test]
fn what_is_done_in_turn_gives_its_status() {
    let directory = tempfile::tempdir().unwrap();
    let path = |end: &str| directory.path().join(end).display().to_string();
    let run = |script: &str, must: bool, state: &str| {
        let script = source::in_turn("s", script, must).replace(source::STATE, state);
        Command::new("sh").arg("-c").arg(script).status().unwrap().code()
    };
    assert_eq!(run("exit 3", true, &path("")), Some(3));
    // One whose process is gone does not hold up the next.
    let busy = directory.path().join("s/.busy");
    std::fs::create_dir_all(&busy).unwrap();
    std::fs::write(busy.join("pid"), "999999999\n").unwrap();
    assert_eq!((run("exit 0", true, &path("")), busy.exists()), (Some(0), false));
    // On a full disk nothing is stopped, but what was stopped is started.
    std::fs::write(directory.path().join("file"), "").unwrap();
    assert_eq!(run("exit 3", true, &path("file")), Some(1));
    assert_eq!(run("exit 3", false, &path("file")), Some(3));
}

/// A disk that cannot give what it has: `tar` goes on with zeros in its place, and ends as for a file that changed.
#[test]
fn what_tar_could_not_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let program = |name: &str, text: &str| sh::stand_in(&at("tools").join(name), text);
    for name in ["tools", "data", "notes/s"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    for name in ["good", "bad: it's\nso"] {
        std::fs::write(at("data").join(name), "x").unwrap();
    }
    program("cat", "case $2 in *bad*) echo \"cat: $2: Input/output error\" >&2; exit 1 ;; esac; exec /bin/cat \"$@\"");
    let path = format!("{}:{}", at("tools").display(), std::env::var("PATH").unwrap());
    let run = |script: String| {
        let script = script.replace(source::STATE, &at("notes").display().to_string());
        let output = Command::new("sh").arg("-c").arg(script).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    let data = at("data").display().to_string();
    for (said, unread) in [
        ("tar: ./bad: Warning: Read error at byte 0, while reading 1 byte: Input/output error", true),
        ("tar: ./bad: Warning: Cannot open: Permission denied", true),
        ("tar: ./gone: Warning: Cannot open: No such file or directory", false),
        ("tar: ./good: file changed as we read it", false),
        ("", false),
    ] {
        program("tar", &format!("/bin/tar \"$@\"; [ -z '{said}' ] || {{ echo '{said}' >&2; exit 1; }}"));
        std::fs::write(at("notes/s/list"), "./good\0./bad: it's\nso\0./gone\0").unwrap();
        let archive = run(source::archive("s", &data, true));
        assert!(archive.stdout.len() > 1024, "{said}");
        assert!(String::from_utf8_lossy(&archive.stderr).contains(said));
        let named = source::parse_unread(&run(source::clean("s", &data, true)).stdout);
        let expected = [(b"bad: it's\nso".to_vec(), "Input/output error".to_owned())];
        assert_eq!(named, if unread { &expected[..] } else { &[] }, "{said}");
        assert!(!at("notes/s").exists(), "something is left");
        std::fs::create_dir_all(at("notes/s")).unwrap();
    }
}

/// Who does not answer knows nothing: neither that a container is gone, nor that a unit does not run.
#[test]
fn what_is_not_known_is_not_taken_for_stopped() {
    let unit = Runner::Unit { user: None, name: "sonarr.service".into() };
    let container = Runner::Container { engine: "docker".into(), user: None, name: "radarr".into() };
    let was = |runner: &Runner| Was { runner: runner.clone(), active: true, enabled: "always".into() };
    let cases = [
        ("docker", "case $1 in ps) ;; *) exit 1 ;; esac", &container, "@state 0 no gone\n", 0),
        ("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1", &container, "", 1),
        ("docker", "case $1 in inspect) echo 'true always 0' ;; esac", &container, "@state 0 yes always\n", 0),
        (
            "systemctl",
            "case $1 in is-active) echo inactive; exit 4 ;; stop) exit 5 ;; esac",
            &unit,
            "@state 0 no unknown\n",
            0,
        ),
        ("systemctl", "echo 'Failed to connect to bus' >&2; exit 1", &unit, "", 1),
    ];
    for (name, text, runner, answer, status) in cases {
        let tools = tempfile::tempdir().unwrap();
        let at = tools.path().display();
        sh::stand_in(&tools.path().join(name), text);
        let asked = |script: &str| {
            let output = Command::new("sh").arg("-c").arg(format!("PATH={at}:$PATH; {script}")).output().unwrap();
            (String::from_utf8(output.stdout).unwrap(), output.status.code())
        };
        let states = asked(&source::states(std::slice::from_ref(runner)));
        assert_eq!(states, (answer.to_owned(), Some(status)), "{name}: {text}");
        let stopped = asked(&source::stop(&[was(runner)]));
        assert_eq!(stopped.1, Some(status), "{name}: {text}");
    }
}

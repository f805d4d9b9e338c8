//! Runs the stories of `tests/scenarios/` for real, in a temporary directory, with every shell this machine has (the system's
//! own, bash, and BusyBox with nothing but its own tools).
//!
//! A story is a list of
//! - `sh:` a script in the directory, which must succeed;
//! - `MODULE: {arguments}` with `want:` (fields of the result, `changed` among them) or `fails:` (part of the message). In arguments and
//!   wants `{dir}` is the directory. A task that changes something says so in check mode first, without changing
//!   anything, and is not to change anything the second time, unless `again: true`;
//! - `needs:` (in the first entry) a script that must succeed, or the story is not told in this shell;
//! - `files:` paths and their content (null: not there).
//!
//! At the end nothing of ours is left in the directory for temporary files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "modules/runner.rs"]
mod runner;

use std::path::Path;

use runner::{Runner, holds, yaml_files};
use serde_json::Value as Json;

fn shells(scratch: &Path) -> Vec<(String, Runner)> {
    let files = scratch.join("local");
    let temporary = scratch.join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let runner =
        |shell, path| Runner { shell, path, temporary: temporary.clone(), files: files.clone(), meanwhile: None };
    let path = std::env::var("PATH").unwrap();
    let mut shells = vec![];
    for shell in ["/bin/sh", "/bin/bash"] {
        if Path::new(shell).exists() {
            shells.push((shell.to_owned(), runner(vec![shell.to_owned()], path.clone())));
        }
    }
    for busybox in ["/bin/busybox", "/usr/bin/busybox"] {
        if !Path::new(busybox).exists() {
            continue;
        }
        let applets = scratch.join("applets");
        std::fs::create_dir(&applets).unwrap();
        let list = std::process::Command::new(busybox).arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            std::os::unix::fs::symlink(busybox, applets.join(applet)).unwrap();
        }
        let shell = vec![busybox.to_owned(), "sh".to_owned()];
        shells.push(("busybox".to_owned(), runner(shell, applets.display().to_string())));
        break;
    }
    shells
}

fn replace_dir(json: &Json, dir: &str) -> Json {
    serde_json::from_str(&json.to_string().replace("{dir}", dir)).unwrap()
}

/// Everything in a directory with what a change would show in.
fn tree(dir: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let mut lines = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        lines.push(format!("{path:?} {:o} {} {} {} {times:?}\n", meta.mode(), meta.uid(), meta.gid(), meta.len()));
        if meta.is_dir() {
            lines.push(tree(&path));
        }
    }
    lines.sort();
    lines.concat()
}

fn play(runner: &Runner, story: &[Json], dir: &Path, tell: &str) {
    for (number, entry) in story.iter().enumerate() {
        let place = format!("{tell} entry {}", number + 1);
        let entry = replace_dir(entry, &dir.display().to_string());
        for (key, value) in entry.as_object().unwrap() {
            match key.as_str() {
                "sh" => {
                    let script = format!("set -e\ncd '{}'\n{}", dir.display(), value.as_str().unwrap());
                    let answer = runner.script(&script, None);
                    assert!(answer.ok(), "{place}: {}{}", answer.stdout_text(), answer.stderr_text());
                }
                "files" => {
                    for (name, content) in value.as_object().unwrap() {
                        let found = std::fs::read(dir.join(name)).ok();
                        let found = found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                        assert_eq!(found.as_deref(), content.as_str(), "{place}: {name}");
                    }
                }
                "want" | "fails" | "again" | "needs" => {}
                module => act(runner, module, value, &entry, dir, &place),
            }
        }
    }
}

fn act(runner: &Runner, module: &str, args: &Json, entry: &Json, dir: &Path, place: &str) {
    let before = tree(dir);
    let planned = runner.run(module, args, true);
    assert_eq!(before, tree(dir), "{place}: a plan changed something");
    let done = runner.run(module, args, false);
    if let Some(text) = entry.get("fails").and_then(Json::as_str) {
        let failure = done.expect_err(&format!("{place}: it was to fail"));
        assert!(failure.msg.contains(text), "{place}: {} {:?}", failure.msg, failure.fields);
        return;
    }
    let done = done.unwrap_or_else(|failure| panic!("{place}: {failure:?}"));
    assert_eq!(planned.unwrap().changed, done.changed, "{place}: the plan said something else");
    let (got, want) = (done.json(), entry.get("want").cloned().unwrap_or_default());
    assert!(want.is_null() || holds(&want, &got), "{place}:\nwant {want:#}\ngot {got:#}");
    if done.changed {
        assert!(!done.summary.is_empty(), "{place}: no summary");
    }
    if done.changed && entry.get("again").is_none() {
        let again = runner.run(module, args, false).unwrap_or_else(|failure| panic!("{place} again: {failure:?}"));
        assert!(!again.changed, "{place}: the second run changed {:?}", again.summary);
    }
}

fn tell(file: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let story: Json = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let story = story.as_array().unwrap();
    for (name, runner) in shells(scratch.path()) {
        let needs = story[0].get("needs").and_then(Json::as_str);
        if needs.is_some_and(|test| !runner.script(test, None).ok()) {
            continue;
        }
        let dir = scratch.path().join(format!("it {}", name.replace('/', "")));
        std::fs::create_dir(&dir).unwrap();
        let runner = Runner { files: dir.clone(), ..runner };
        let told = format!("{} in {name}", file.display());
        play(&runner, story, &dir, &told);
        let left = std::fs::read_dir(&runner.temporary).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("mms")).collect();
        assert!(left.is_empty(), "{told}: left behind: {left:?}");
    }
}

#[test]
fn stories_are_true() {
    let files = yaml_files(Path::new("tests/scenarios"));
    assert!(!files.is_empty());
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| tell(file));
        }
    });
}

#[test]
fn a_file_that_moved_since_the_probe_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, runner) in shells(scratch.path()) {
        let file = scratch.path().join("f");
        let path = file.display().to_string();
        for (before, module, args) in [
            (Some("old\n"), "lineinfile", serde_json::json!({"path": path, "line": "x"})),
            (Some("old\n"), "copy", serde_json::json!({"dest": path, "content": "x"})),
            (None, "copy", serde_json::json!({"dest": path, "content": "x"})),
        ] {
            let _ = std::fs::remove_file(&file);
            if let Some(before) = before {
                std::fs::write(&file, before).unwrap();
            }
            let meanwhile = Some(format!("echo theirs >'{path}'"));
            let runner = Runner { meanwhile, ..runner.clone() };
            let failure = runner.run(module, &args, false).expect_err(&name);
            assert!(failure.msg.contains("changed by somebody else"), "{name} {module}: {}", failure.msg);
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs\n", "{name} {module}");
        }
    }
}

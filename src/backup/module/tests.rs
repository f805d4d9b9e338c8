//! What is to be done, from what is wanted and what is there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::backup::config::File;

fn files(entries: &[(&str, &str, &str)]) -> Files {
    let file = |(path, text, about): &(&str, &str, &str)| {
        ((*path).to_owned(), File { text: (*text).to_owned(), about: (*about).to_owned() })
    };
    entries.iter().map(file).collect()
}

/// As the script of the probe prints it.
fn answer(files: &Files, armed: &str) -> String {
    let parts = target::PARTS.map(|(name, text)| format!("{}  {}/{name}\n", sha256(text), target::LIBRARY)).concat();
    let own: String = files.iter().map(|(path, file)| format!("{}  {path}\n", sha256(&file.text))).collect();
    let units: String = target::ENABLED.iter().map(|(name, _)| format!("@{name} {armed}\n")).collect();
    parts + &own + &units
}

#[test]
fn nothing_is_done_twice() {
    let wanted = files(&[
        (".config/mms/backup/services/a.conf", "x", "a"),
        (".config/systemd/user/mms-backup.timer", "t", "units"),
    ]);
    assert!(Todo::of(&wanted, &parse(&answer(&wanted, "enabled active"))).is_empty());
    // One that only starts at boot need not run.
    let seen = parse(&answer(&wanted, "enabled inactive"));
    let todo = Todo::of(&wanted, &seen);
    assert_eq!(todo.enable, [("mms-backup.timer", true), ("mms-backup-weekly.timer", true)]);
}

#[test]
fn what_differs_is_written_and_what_is_stale_removed() {
    let before = files(&[
        (".config/mms/backup/services/a.conf", "old", "a"),
        (".config/mms/backup/services/gone.conf", "x", "gone"),
        (".config/mms/backup/services/gone.recipients", "x", "gone"),
    ]);
    let wanted =
        files(&[(".config/mms/backup/services/a.conf", "new", "a"), (".config/mms/backup/services/b.conf", "n", "b")]);
    let todo = Todo::of(&wanted, &parse(&answer(&before, "enabled active")));
    assert_eq!(todo.summary(&wanted), ["a: changed", "b: set up", "gone: not backed up any longer"]);
    let script = write_files(&todo, &wanted);
    assert!(
        script.contains("rm -f -- .config/mms/backup/services/gone.conf .config/mms/backup/services/gone.recipients")
    );
    assert!(!script.contains("restart"), "no timer changed");
}

#[test]
fn a_bare_machine_gets_everything() {
    let wanted = files(&[(".config/systemd/user/mms-backup.timer", "t", "units")]);
    let todo = Todo::of(&wanted, &Seen::default());
    assert_eq!(todo.parts.len(), target::PARTS.len());
    assert_eq!(todo.enable.len(), 3);
    assert!(todo.timers);
}

#[test]
fn for_some_services_nothing_else_is_touched() {
    let seen = files(&[
        (".config/mms/backup/services/a.conf", "old", "a"),
        (".config/mms/backup/services/a.recipients", "x", "a"),
        (".config/mms/backup/services/a-2.conf", "x", "a-2"),
        (".config/mms/backup/daily.notify", "x", "notifications"),
    ]);
    let wanted = files(&[
        (".config/mms/backup/services/a.conf", "new", "a"),
        (".config/systemd/user/mms-backup.timer", "t", "units"),
    ]);
    let definition = serde_json::json!({"image": "docker.io/x/a:1"});
    let service = load::read("a", &crate::value::from_json(&definition), None).unwrap();
    let todo = Todo::of_some(&wanted, &parse(&answer(&seen, "disabled inactive")), &[&service]);
    assert_eq!(todo.write.keys().collect::<Vec<_>>(), [".config/mms/backup/services/a.conf"]);
    assert_eq!(todo.remove, [".config/mms/backup/services/a.recipients"]);
    assert!(todo.parts.is_empty() && todo.enable.is_empty() && !todo.timers);
}

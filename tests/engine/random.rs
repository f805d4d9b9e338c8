//! Random small playbooks: looking ahead changes nothing, a second run changes nothing, and a run that was killed and started again
//! ends where one ends that was not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;

use crate::bench::{Bench, Told};

/// Everything in a directory but the playbook: names, modes, contents.
fn tree(dir: &Path) -> Vec<String> {
    let mut lines = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let mode = meta.permissions().mode();
        if meta.is_dir() {
            lines.push(format!("{} {mode:o}", path.file_name().unwrap().display()));
            lines.extend(tree(&path));
        } else if path.extension().is_none() {
            let content = std::fs::read_to_string(&path).unwrap();
            lines.push(format!("{} {mode:o} {content:?}", path.file_name().unwrap().display()));
        }
    }
    lines.sort();
    lines
}

fn playbook(tasks: &[String]) -> String {
    let mut text = "- hosts: all\n  gather_facts: false\n  tasks:\n".to_owned();
    for (index, task) in tasks.iter().enumerate() {
        text.push_str(&format!("  - {{name: t{index}, register: r{index}, {task}}}\n"));
    }
    text
}

fn bench(dir: &Path, window: Option<usize>) -> Bench {
    Bench { hosts: vec!["a".to_owned()], dir: dir.to_path_buf(), window, ..Bench::default() }
}

fn run(dir: &Path, text: &str, window: Option<usize>) -> Told {
    std::fs::write(dir.join("play.yml"), text).unwrap();
    bench(dir, window).run()
}

/// Tasks on three files and two directories, which undo one another and depend on one another's results.
fn tangled() -> impl Strategy<Value = Vec<String>> {
    let task = (0..6u8, 0..3u8, 0..3u8, 0..12usize).prop_map(|(kind, file, content, earlier)| {
        let path = format!("\"{{{{ dir }}}}/f{file}\"");
        match kind {
            0 => format!("copy: {{dest: {path}, content: \"c{content}\\n\"}}"),
            1 => format!("file: {{path: {path}, state: absent}}"),
            2 => format!("lineinfile: {{path: {path}, line: l{content}, create: true}}"),
            3 => format!("lineinfile: {{path: {path}, line: l{content}, state: absent}}"),
            4 => format!("file: {{path: \"{{{{ dir }}}}/d{file}\", state: directory, mode: \"07{content}5\"}}"),
            _ => {
                format!("copy: {{dest: {path}, content: x}}, when: \"r{earlier} is defined and r{earlier} is changed\"")
            }
        }
    });
    prop::collection::vec(task, 1..9)
}

/// Tasks that leave one another alone.
fn apart() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((0..3u8, 0..3u8), 1..8).prop_map(|kinds| {
        let task = |(index, (kind, content)): (usize, (u8, u8))| match kind {
            0 => format!(
                "copy: {{dest: \"{{{{ dir }}}}/c{index}\", content: \"c{content}\\n\", mode: \"06{content}0\"}}"
            ),
            1 => format!("file: {{path: \"{{{{ dir }}}}/d{index}\", state: directory, mode: \"07{content}5\"}}"),
            _ => format!("lineinfile: {{path: \"{{{{ dir }}}}/shared\", line: l{index}, create: true}}"),
        };
        kinds.into_iter().enumerate().map(task).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn looking_ahead_changes_nothing(tasks in tangled()) {
        let text = playbook(&tasks);
        let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for _ in 0..2 {
            let ahead = run(with.path(), &text, None);
            let plain = run(without.path(), &text, Some(0));
            prop_assert_eq!(&ahead.lines, &plain.lines, "{}", text);
            prop_assert_eq!(tree(with.path()), tree(without.path()), "{}", text);
        }
    }

    #[test]
    fn a_killed_run_goes_on_where_it_was(tasks in apart(), after in 1..8usize) {
        let text = playbook(&tasks);
        let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(whole.path(), &text, None);
        prop_assert_eq!(run(whole.path(), &text, None).changed(), 0, "a second run changes something: {}", text);
        std::fs::write(killed.path().join("play.yml"), &text).unwrap();
        Bench { kill_after: Some(after), ..bench(killed.path(), None) }.run();
        run(killed.path(), &text, None);
        prop_assert_eq!(tree(whole.path()), tree(killed.path()), "{}", text);
    }
}

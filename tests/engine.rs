//! The engine on hosts that are this machine, each story once with probes sent ahead and once without: what is said and done must be
//! the same.
//!
//! A file of `tests/engine/` is a list of stories: `hosts` and `groups`, a `playbook` (with `files` beside it), options (`check`, `tags`,
//! `skip_tags`, `start_at`, `fake`: see `bench`), and the `events` that are expected, one per line; hosts that do a task at the same
//! time in the order of the inventory. `{{ dir }}` is the directory of the story.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "engine/bench.rs"]
mod bench;
#[path = "engine/random.rs"]
mod random;
#[path = "engine/rounds.rs"]
mod rounds;

use std::path::Path;

use bench::Bench;
use indexmap::IndexMap;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    story: String,
    #[serde(default = "one_host")]
    hosts: Vec<String>,
    #[serde(default)]
    groups: IndexMap<String, Vec<String>>,
    #[serde(default)]
    files: IndexMap<String, String>,
    playbook: String,
    #[serde(default)]
    check: bool,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    skip_tags: Vec<String>,
    start_at: Option<String>,
    #[serde(default)]
    fake: bool,
    events: String,
}

fn one_host() -> Vec<String> {
    vec!["a".to_owned()]
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn tell(story: &Story, window: Option<usize>) -> String {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "play.yml", &story.playbook);
    for (name, text) in &story.files {
        write(dir.path(), name, text);
    }
    let bench = Bench {
        hosts: story.hosts.clone(),
        groups: story.groups.clone(),
        dir: dir.path().to_path_buf(),
        check: story.check,
        tags: story.tags.clone(),
        skip_tags: story.skip_tags.clone(),
        start_at: story.start_at.clone(),
        window,
        fake: story.fake,
        guarded: false,
        kill_after: None,
    };
    bench.run().lines
}

#[test]
fn stories_happen_as_in_ansible_with_and_without_looking_ahead() {
    let only = std::env::var("STORY").ok();
    let mut wrong = vec![];
    let mut count = 0;
    let mut files: Vec<_> = std::fs::read_dir("tests/engine").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yml"));
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let source = mms::diagnostic::Source::new(path.display().to_string(), text);
        let node = mms::yaml::parse(&source).unwrap().node;
        let stories: Vec<Story> = mms::yaml::from_node(&node).unwrap();
        for story in stories.iter().filter(|story| only.as_ref().is_none_or(|only| story.story.contains(only))) {
            count += 1;
            for window in [Some(0), None] {
                let told = tell(story, window);
                if told.trim() != story.events.trim() {
                    wrong.push(format!(
                        "{} ({}, window {window:?})\n--- expected\n{}\n--- was\n{}",
                        story.story,
                        path.display(),
                        story.events.trim(),
                        told.trim()
                    ));
                }
            }
        }
    }
    assert!(count > 0, "no story was found");
    assert!(wrong.is_empty(), "{} of {count} stories went wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

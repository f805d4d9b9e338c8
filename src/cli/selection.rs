//! `--tags`, `--skip-tags` and `--start-at-task`: telling what matches nothing before anything is run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::error::{Error, Result};
use crate::fnmatch::Pattern;
use crate::playbook::{Item, Playbook, Task};

/// Tags with a meaning of their own.
const SPECIAL: [&str; 5] = ["all", "tagged", "untagged", "always", "never"];

/// Warnings for tags that no task has. None when some tags are known only during the run.
pub fn unknown_tags(playbook: &Playbook, given: [&Vec<String>; 2]) -> Vec<Diagnostic> {
    let tasks = tasks(playbook);
    let mut known = BTreeSet::new();
    for node in tasks.iter().flat_map(|task| task.gathered(|keywords| &keywords.tags)) {
        match node.as_str() {
            Some(text) if !text.contains("{{") => known.extend(text.split(',').map(|tag| tag.trim().to_owned())),
            _ => return vec![],
        }
    }
    if tasks.iter().any(|task| is_dynamic(task)) {
        return vec![];
    }
    let names = given.into_iter().flatten().map(|tag| tag.trim());
    let unknown = names.filter(|tag| !tag.is_empty() && !SPECIAL.contains(tag) && !known.contains(*tag));
    unknown
        .map(|tag| {
            Diagnostic::warning(format!("no task has the tag `{tag}`"))
                .did_you_mean(tag, known.iter().map(String::as_str))
                .hint("`mms run … --list-tags` shows the tags there are")
        })
        .collect()
}

/// The tags that are written in a playbook.
pub fn tags(playbook: &Playbook) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for node in tasks(playbook).iter().flat_map(|task| task.gathered(|keywords| &keywords.tags)) {
        let text = node.as_str().filter(|text| !text.contains("{{")).unwrap_or_default();
        known.extend(text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
    }
    known
}

/// Refuses a `--start-at-task` that no task can match.
pub fn check_start(playbook: &Playbook, pattern: &str) -> Result<()> {
    let wanted = Pattern::new(pattern);
    let mut known = vec![];
    for task in tasks(playbook) {
        let name = task.keywords.name.as_ref().and_then(|node| node.as_str()).unwrap_or(&task.module_name);
        if is_dynamic(task) || name.contains("{{") {
            return Ok(());
        }
        known.extend(task.parent.role().map(|used| format!("{} : {name}", used.role.name)));
        known.push(name.to_owned());
    }
    if known.iter().any(|name| wanted.matches_or_is(name)) {
        return Ok(());
    }
    Err(Error::user(format!("no task is called `{pattern}`"))
        .map(|diagnostic| diagnostic.did_you_mean(pattern, known.iter().map(String::as_str)))
        .hint("`mms run … --list-tasks` shows their names"))
}

/// Whether a task brings in others that are known only during the run.
fn is_dynamic(task: &Task) -> bool {
    matches!(task.module.spec.name, "include_tasks" | "include_role")
}

fn tasks(playbook: &Playbook) -> Vec<&Arc<Task>> {
    let mut tasks = vec![];
    for play in &playbook.plays {
        for list in [&play.pre_tasks, &play.tasks, &play.post_tasks] {
            collect(list, &mut tasks);
        }
    }
    tasks
}

fn collect<'a>(items: &'a [Item], into: &mut Vec<&'a Arc<Task>>) {
    for item in items {
        match item {
            Item::Task(task) => into.push(task),
            Item::Block(block) => {
                [&block.items, &block.rescue, &block.always].into_iter().for_each(|list| collect(list, into));
            }
        }
    }
}

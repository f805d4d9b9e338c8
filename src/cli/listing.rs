//! `--list-tasks`, `--list-hosts`, `--list-tags`: what a run would do, without connecting.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::session::{Selected, text_of};
use crate::engine::Hosts as _;
use crate::error::Result;
use crate::inventory::Growth;
use crate::playbook::{Item, Play, Playbook, Task};
use crate::template::{NoVariables, Scope, Templar};
use crate::ui::Ui;

/// What is listed instead of being run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// `--list-tasks`.
    Tasks,
    /// `--list-hosts`.
    Hosts,
    /// `--list-tags`.
    Tags,
}

impl Listing {
    /// Prints it of a playbook, play by play: lines for people, or one object for each play.
    pub fn print(self, ui: &Ui, as_json: bool, playbook: &Playbook, hosts: &Selected, templar: &Templar) -> Result<()> {
        let nothing: Arc<dyn Scope> = Arc::new(NoVariables);
        for (number, play) in playbook.plays.iter().enumerate() {
            let pattern = text_of(&templar.node(&play.hosts, &nothing)?);
            let name = play.root.keywords.name.as_ref().and_then(|node| node.as_str()).unwrap_or(&pattern);
            let hosts = if self == Self::Hosts { hosts.select(&pattern, &Growth::default())? } else { vec![] };
            if as_json {
                let mut line = json!({"play": name, "pattern": pattern, "place": play.span.to_string()});
                let (key, list) = match self {
                    Self::Tasks => ("tasks", tasks_of(play).into_iter().map(to_json).collect()),
                    Self::Hosts => ("hosts", Json::from(hosts)),
                    Self::Tags => ("tags", tags_of(play).into_iter().collect()),
                };
                if let Some(line) = line.as_object_mut() {
                    line.insert(key.to_owned(), list);
                }
                ui.data(&line.to_string());
                continue;
            }
            ui.data(&format!("play #{} ({pattern}): {name}", number + 1));
            match self {
                Self::Tasks => tasks_of(play).into_iter().for_each(|task| ui.data(&line_of(task))),
                Self::Hosts => hosts.iter().for_each(|host| ui.data(&format!("  {host}"))),
                Self::Tags => {
                    let tags: Vec<_> = tags_of(play).into_iter().collect();
                    ui.data(&format!("  tags: {}", if tags.is_empty() { "none".to_owned() } else { tags.join(", ") }));
                }
            }
        }
        Ok(())
    }
}

/// The tasks of a play in their order, those of `rescue` and `always` included.
fn tasks_of(play: &Play) -> Vec<&Task> {
    fn add<'a>(items: &'a [Item], found: &mut Vec<&'a Task>) {
        for item in items {
            match item {
                Item::Block(block) => {
                    [&block.items, &block.rescue, &block.always].into_iter().for_each(|list| add(list, found));
                }
                Item::Task(task) => found.push(task),
            }
        }
    }
    let mut found = vec![];
    [&play.pre_tasks, &play.tasks, &play.post_tasks].into_iter().for_each(|list| add(list, &mut found));
    found
}

fn tags_of(play: &Play) -> BTreeSet<String> {
    tasks_of(play).into_iter().flat_map(tags).collect()
}

/// The tags of a task and of all it stands in.
fn tags(task: &Task) -> Vec<String> {
    let gathered = task.gathered(|keywords| &keywords.tags);
    gathered.iter().filter_map(|tag| tag.as_str()).map(str::to_owned).collect()
}

/// As it was written: templates in it are filled in by a run.
fn name(task: &Task) -> &str {
    task.keywords.name.as_ref().and_then(|node| node.as_str()).unwrap_or(&task.module_name)
}

fn line_of(task: &Task) -> String {
    let role = task.parent.role().map(|used| format!("{} : ", used.role.name)).unwrap_or_default();
    let tags = tags(task);
    let shown = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
    format!("  {role}{}{shown}", name(task))
}

fn to_json(task: &Task) -> Json {
    json!({
        "name": name(task),
        "role": task.parent.role().map(|used| &used.role.name),
        "module": task.module.spec.name,
        "place": task.span.to_string(),
        "tags": tags(task),
    })
}

//! Everything that can be known to be wrong in a playbook before a host is asked: templates that do not parse, filters, tests
//! and lookups that mms does not have. (Unknown keywords, modules and arguments are refused while loading.)

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::load::{Loader, RoleParts, find_tasks};
use super::model::{Item, Loop, Play, Playbook, Task};
use super::place::find_vars_file;
use super::{Keywords, Parent, ParentKind};
use crate::diagnostic::{Diagnostic, Source};
use crate::modules::validate;
use crate::template::{FileOptions, NoVariables, Scope, Templar};
use crate::value::{Fields, Raw, Value, unknown};
use crate::yaml::{Kind, Node, Tag};

/// Checks playbooks; remembers what it has seen, so that nothing is reported twice.
pub struct Checker<'a> {
    loader: &'a Loader,
    templar: &'a Templar,
    found: Vec<Diagnostic>,
    files: Vec<PathBuf>,
}

impl<'a> Checker<'a> {
    /// A checker that reads included files with this loader.
    pub fn new(loader: &'a Loader, templar: &'a Templar) -> Self {
        Self { loader, templar, found: vec![], files: vec![] }
    }

    /// Checks a playbook.
    pub fn playbook(&mut self, playbook: &Playbook) {
        for play in &playbook.plays {
            self.play(play);
        }
    }

    /// What is wrong, in the order it was found.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        let mut seen: Vec<Diagnostic> = vec![];
        for diagnostic in std::mem::take(&mut self.found) {
            if !seen.contains(&diagnostic) {
                seen.push(diagnostic);
            }
        }
        seen
    }

    /// Checks every template in a node.
    pub fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::Str(text) if node.tag.is_none() && (text.contains("{{") || text.contains("{%")) => {
                self.found.extend(self.templar.check(text, false, &node.span));
            }
            Kind::List(items) if node.tag != Some(Tag::Unsafe) => items.iter().for_each(|item| self.node(item)),
            Kind::Map(map) if node.tag != Some(Tag::Unsafe) => map.iter().for_each(|(_, value)| self.node(value)),
            _ => {}
        }
    }

    fn expressions(&mut self, nodes: &[Node]) {
        for node in nodes {
            if let Some(text) = node.as_str() {
                self.found.extend(self.templar.check(text, true, &node.span));
            }
        }
    }

    fn play(&mut self, play: &Play) {
        self.keywords(&play.root.keywords);
        self.node(&play.hosts);
        for role in &play.roles {
            for vars in [&role.defaults, &role.vars] {
                vars.values().for_each(|raw| self.raw(raw));
            }
        }
        for list in [&play.pre_tasks, &play.tasks, &play.post_tasks] {
            self.items(list, &play.dir);
        }
        for handler in &play.handlers {
            self.task(&handler.task, &play.dir);
        }
        self.notified(play);
        self.vars_files(play);
    }

    /// Files of `vars_files` that are named in clear and are not there.
    fn vars_files(&mut self, play: &Play) {
        for node in &play.vars_files {
            let names = node.as_list().unwrap_or(std::slice::from_ref(node));
            let literal: Option<Vec<&str>> =
                names.iter().map(|name| name.as_str().filter(|text| !text.contains("{{"))).collect();
            let Some(literal) = literal else { continue };
            if find_vars_file(&play.dir, literal.iter().copied()).is_none() {
                self.found.push(no_vars_file(&literal, &play.dir, self.loader).at(&node.span));
            }
        }
    }

    /// Names in `notify` that no handler has, unless the names of handlers are known only during the run.
    fn notified(&mut self, play: &Play) {
        let tasks: Vec<&Arc<Task>> = [&play.pre_tasks, &play.tasks, &play.post_tasks]
            .into_iter()
            .flat_map(|list| all_tasks(list))
            .chain(play.handlers.iter().map(|handler| &handler.task))
            .collect();
        if tasks.iter().any(|task| matches!(task.module.spec.name, "include_role" | "include_tasks")) {
            return;
        }
        let mut known: Vec<String> = vec![];
        for handler in &play.handlers {
            for name in handler.task.keywords.name.iter().chain(&handler.listen) {
                let Some(name) = name.as_str().filter(|name| !name.contains("{{")) else { return };
                known.extend(handler.task.parent.role().map(|used| format!("{} : {name}", used.role.name)));
                known.push(name.to_owned());
            }
        }
        for node in tasks.iter().flat_map(|task| task.gathered(|keywords| &keywords.notify)) {
            let names = node.as_list().unwrap_or(std::slice::from_ref(node));
            for name in names {
                let Some(text) = name.as_str().filter(|text| !text.contains("{{")) else { continue };
                if !known.iter().any(|known| known == text) {
                    let missing = Diagnostic::error(format!("there is no handler `{text}`")).at(&name.span);
                    self.found.push(missing.did_you_mean(text, known.iter().map(String::as_str)).hint(
                        "handlers are tasks in `handlers:` of the play or in `handlers/main.yml` of one of its roles",
                    ));
                }
            }
        }
    }

    fn raw(&mut self, raw: &Raw) {
        if let Raw::Node(node) = raw {
            self.node(node);
        }
    }

    fn keywords(&mut self, keywords: &Keywords) {
        self.expressions(&keywords.when);
        keywords.vars.values().for_each(|raw| self.raw(raw));
        for list in [&keywords.environment, &keywords.module_defaults, &keywords.notify, &keywords.tags] {
            list.iter().for_each(|node| self.node(node));
        }
        let single =
            [&keywords.name, &keywords.r#become, &keywords.become_user, &keywords.delegate_to, &keywords.check_mode];
        for node in single.into_iter().flatten() {
            self.node(node);
        }
    }

    fn items(&mut self, items: &[Item], playbook_dir: &Path) {
        for item in items {
            match item {
                Item::Task(task) => self.task(task, playbook_dir),
                Item::Block(block) => {
                    self.keywords(&block.parent.keywords);
                    for list in [&block.items, &block.rescue, &block.always] {
                        self.items(list, playbook_dir);
                    }
                }
            }
        }
    }

    fn task(&mut self, task: &Arc<Task>, playbook_dir: &Path) {
        self.keywords(&task.keywords);
        for nodes in [&task.until, &task.loop_control.break_when] {
            self.expressions(nodes);
        }
        for nodes in [&task.changed_when, &task.failed_when].into_iter().flatten() {
            self.expressions(nodes);
        }
        match &task.looping {
            Some(Loop::List(node)) => self.node(node),
            Some(Loop::With { lookup, terms }) => {
                self.node(terms);
                let call = format!("query('{lookup}')");
                self.found.extend(self.templar.check(&call, true, &terms.span));
            }
            None => {}
        }
        for (name, _, node) in &task.arguments.entries {
            if crate::engine::takes_expressions(task.module.spec.name, name) {
                let nodes = node.as_list().map_or_else(|| vec![node.clone()], <[Node]>::to_vec);
                self.expressions(&nodes);
            } else {
                self.node(node);
            }
        }
        self.arguments(task);
        self.files_of(task, playbook_dir);
    }

    /// Arguments that are wrong whatever the variables are: they would fail the task on every host.
    fn arguments(&mut self, task: &Task) {
        let spec = task.module.spec;
        if task.arguments.template.is_some() || !task.gathered(|keywords| &keywords.module_defaults).is_empty() {
            return;
        }
        let scope: Arc<dyn Scope> = Arc::new(NoVariables);
        let mut given = Fields::new();
        let mut open = vec![];
        for (name, _, node) in &task.arguments.entries {
            let value = if crate::engine::takes_expressions(spec.name, name) {
                Some(Value::from(node.as_str().unwrap_or_default()))
            } else {
                is_literal(node).then(|| self.templar.node(node, &scope).ok()).flatten()
            };
            if value.is_none() {
                open.push(name.as_str());
            }
            given.insert(name.clone(), value.unwrap_or_else(|| unknown("a template")));
        }
        for problem in validate::args(spec, given).err().unwrap_or_default() {
            if problem.by_rule && !open.is_empty() {
                continue;
            }
            let entry = task.arguments.entries.iter().find(|(name, _, _)| Some(name) == problem.argument.as_ref());
            let span = entry.map_or(&task.module_span, |(_, _, node)| &node.span);
            self.found.push(problem.diagnostic().at(span));
        }
    }

    /// Files that the task names in clear: included tasks and roles, and templates.
    fn files_of(&mut self, task: &Arc<Task>, playbook_dir: &Path) {
        let literal = |name: &str| task.arguments.get(name).and_then(Node::as_str).filter(|text| !text.contains("{{"));
        let dir = super::task_dir(&task.parent, playbook_dir);
        match task.module.spec.name {
            "include_tasks" => {
                let Some(path) = literal("file").and_then(|name| find_tasks(name, &task.parent, &dir, playbook_dir))
                else {
                    return;
                };
                if !self.first_time(&path) {
                    return;
                }
                let kind = ParentKind::File { dir, params: Arc::default() };
                let parent =
                    Arc::new(Parent { kind, keywords: Keywords::default(), up: Some(Arc::clone(&task.parent)) });
                match self.loader.included_file(&path, &parent, playbook_dir) {
                    Ok((items, _)) => self.items(&items, playbook_dir),
                    Err(error) => self.found.extend_from_slice(error.diagnostics()),
                }
            }
            "include_role" => {
                let Some(name) = literal("name") else { return };
                let parts = RoleParts { tasks: literal("tasks_from").map(str::to_owned), ..RoleParts::default() };
                let marker = PathBuf::from(format!("role {name} {:?}", parts.tasks));
                if !self.first_time(&marker) {
                    return;
                }
                let dirs = (dir.as_path(), playbook_dir);
                match self.loader.included_role(
                    name,
                    &task.module_span,
                    &parts,
                    Keywords::default(),
                    &task.parent,
                    dirs,
                ) {
                    Ok(loaded) => self.items(&loaded.items, playbook_dir),
                    Err(error) => self.found.extend_from_slice(error.diagnostics()),
                }
            }
            "template" => {
                let Some(name) = literal("src") else { return };
                let places = super::search_paths(&task.parent, playbook_dir, "templates");
                let Some(path) = places.iter().map(|place| place.join(name)).find(|path| path.is_file()) else {
                    return;
                };
                if !self.first_time(&path) {
                    return;
                }
                if let Ok(text) = std::fs::read_to_string(&path) {
                    let source = Source::new(self.loader.files().shown(&path), text);
                    self.found.extend(self.templar.check_file(&source, &FileOptions::default()));
                }
            }
            _ => {}
        }
    }

    fn first_time(&mut self, path: &Path) -> bool {
        let new = !self.files.iter().any(|seen| seen == path);
        if new {
            self.files.push(path.to_path_buf());
        }
        new
    }
}

/// None of the files that an entry of `vars_files` names is there.
pub fn no_vars_file(names: &[&str], dir: &Path, loader: &Loader) -> Diagnostic {
    let [vars, beside] = [dir.join("vars").as_path(), dir].map(|place| loader.files().shown(place));
    Diagnostic::error(format!("there is no variables file `{}`", names.join("`, `")))
        .hint(format!("looked in `{vars}` and `{beside}`"))
}

/// Whether a node holds no template and no secret, so that its value is what is written.
fn is_literal(node: &Node) -> bool {
    match &node.kind {
        Kind::Str(text) => node.tag.is_none() && !text.contains("{{") && !text.contains("{%"),
        Kind::List(items) => items.iter().all(is_literal),
        Kind::Map(map) => map.iter().all(|(_, value)| is_literal(value)),
        _ => true,
    }
}

/// Every task of a list, also in blocks.
fn all_tasks(items: &[Item]) -> Vec<&Arc<Task>> {
    let mut tasks = vec![];
    for item in items {
        match item {
            Item::Task(task) => tasks.push(task),
            Item::Block(block) => {
                for list in [&block.items, &block.rescue, &block.always] {
                    tasks.extend(all_tasks(list));
                }
            }
        }
    }
    tasks
}

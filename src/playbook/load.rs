//! Reads playbooks, task files and roles, and resolves everything static: imports, roles and their dependencies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keywords::{BLOCK, PLAY, ROLE, as_nodes, read_vars};
use super::model::{Block, Handler, Item, Parent, ParentKind, Play, Playbook, RoleUse, Task, Vars, Via};
use super::role::{Role, find_part};
use super::wrong::Wrong;
use super::{Keywords, task};
use crate::diagnostic::{Diagnostic, Span};
use crate::error::{Error, Result};
use crate::template::{Scope, Templar};
use crate::value::Raw;
use crate::yaml::{Kind, Map, Node};

/// How deep files and roles may import each other.
const DEEPEST: usize = 50;

/// Where YAML files come from: the project, or a test.
pub trait Files: Send + Sync {
    /// The one document of a file.
    fn yaml(&self, path: &Path) -> Result<Node>;
    /// The path as it is shown to the user.
    fn shown(&self, path: &Path) -> String;
    /// The directories that roles are looked up in, after those beside the playbook.
    fn role_paths(&self) -> Vec<PathBuf>;
    /// The root of the project.
    fn root(&self) -> PathBuf;
}

/// Reads playbooks, and the files that `include_*` name while one runs.
#[derive(Clone)]
pub struct Loader {
    files: Arc<dyn Files>,
    templar: Templar,
    /// What names of imported files may refer to: extra variables.
    statics: Arc<dyn Scope>,
}

/// A role brought into a play: its tasks, its handlers, and the roles whose variables the play now sees.
#[derive(Debug)]
pub struct LoadedRole {
    /// Its tasks, its dependencies' first.
    pub items: Vec<Item>,
    /// Its handlers and its dependencies'.
    pub handlers: Vec<Arc<Handler>>,
    /// It and its dependencies.
    pub roles: Vec<Arc<Role>>,
}

/// Which files of a role are used: `tasks_from` and friends of `import_role` and `include_role`.
#[derive(Debug, Clone, Default)]
pub struct RoleParts {
    /// Instead of `tasks/main.yml`.
    pub tasks: Option<String>,
    /// Instead of `vars/main.yml`.
    pub vars: Option<String>,
    /// Instead of `defaults/main.yml`.
    pub defaults: Option<String>,
    /// Instead of `handlers/main.yml`.
    pub handlers: Option<String>,
}

/// Everything that is the same for the tasks of one list.
struct At<'a> {
    parent: &'a Arc<Parent>,
    /// The directory of the file.
    dir: &'a Path,
    /// The directory of the playbook.
    playbook_dir: &'a Path,
    depth: usize,
    /// What `import_role` brings in beside tasks.
    brought: &'a mut Brought,
}

#[derive(Default)]
struct Brought {
    handlers: Vec<Arc<Handler>>,
    roles: Vec<Arc<Role>>,
    seen: Vec<(PathBuf, String)>,
}

impl Loader {
    /// A loader of these files. `statics` are the variables that names of imported files may use.
    pub fn new(files: Arc<dyn Files>, templar: Templar, statics: Arc<dyn Scope>) -> Self {
        Self { files, templar, statics }
    }

    /// Where this loader reads files from.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// A playbook with everything it imports.
    pub fn playbook(&self, path: &Path) -> Result<Playbook> {
        let mut playbook = Playbook::default();
        self.playbook_into(path, &Keywords::default(), 0, &mut playbook)?;
        Ok(playbook)
    }

    fn playbook_into(&self, path: &Path, outer: &Keywords, depth: usize, into: &mut Playbook) -> Result<()> {
        let node = self.files.yaml(path)?;
        let Some(entries) = node.as_list() else {
            return Err(Error::user(format!("a playbook is a list of plays, this is {}", node.kind_name()))
                .at(&node.span)
                .hint("a play begins with `- hosts: …`"));
        };
        if depth > DEEPEST {
            return Err(Error::user("playbooks import each other without end").at(&node.span));
        }
        let dir = parent_dir(path);
        let mut wrong = Wrong::default();
        for entry in entries {
            wrong.note(self.play_or_import(entry, &dir, outer, depth, into))?;
        }
        wrong.finish()
    }

    fn play_or_import(
        &self,
        entry: &Node,
        dir: &Path,
        outer: &Keywords,
        depth: usize,
        into: &mut Playbook,
    ) -> Result<()> {
        let Some(map) = entry.as_map() else {
            return Err(Error::user(format!("a play is a mapping, this is {}", entry.kind_name())).at(&entry.span));
        };
        let import = ["import_playbook", "ansible.builtin.import_playbook"].iter().find_map(|name| map.entry(name));
        let Some((key, file)) = import else {
            into.plays.push(Arc::new(self.play(entry, map, dir, outer)?));
            return Ok(());
        };
        let name = self.static_text(file)?;
        let mut keywords =
            Keywords::read(map, &["when"], "an imported playbook", |other, _| Ok(other.span == key.span))?;
        keywords.when.splice(0..0, outer.when.iter().cloned());
        keywords.tags.extend(outer.tags.iter().cloned());
        keywords.vars = merged(&keywords.vars, &outer.vars);
        let path = dir.join(name);
        if !path.is_file() {
            return Err(Error::user(format!("there is no playbook `{}`", self.files.shown(&path))).at(&file.span));
        }
        self.playbook_into(&path, &keywords, depth + 1, into)
    }

    fn play(&self, node: &Node, map: &Map, dir: &Path, outer: &Keywords) -> Result<Play> {
        let mut keywords = Keywords::read(map, PLAY, "a play", |_, _| Ok(false))?;
        keywords.when = outer.when.clone();
        keywords.tags.extend(outer.tags.iter().cloned());
        keywords.vars = merged(&keywords.vars, &outer.vars);
        let Some(hosts) = map.get("hosts").cloned() else {
            return Err(Error::user("a play needs `hosts`")
                .at(&node.span)
                .hint("add `hosts: all`, or the name of a group or a host"));
        };
        if let Some(strategy) = map.get("strategy")
            && !matches!(strategy.as_str(), Some("linear" | "ansible.builtin.linear"))
        {
            return Err(Error::user("the only strategy is `linear`")
                .at(&strategy.span)
                .hint("mms runs hosts concurrently and sends probes ahead on its own"));
        }
        let root = Arc::new(Parent { kind: ParentKind::Play, keywords, up: None });
        let mut brought = Brought::default();
        let mut at = At { parent: &root, dir, playbook_dir: dir, depth: 0, brought: &mut brought };
        let pre_tasks = self.list(map.get("pre_tasks"), &mut at)?;
        let mut tasks = vec![];
        for entry in as_nodes(map.get("roles")) {
            tasks.extend(self.role_entry(&entry, &mut at)?);
        }
        tasks.extend(self.list(map.get("tasks"), &mut at)?);
        let post_tasks = self.list(map.get("post_tasks"), &mut at)?;
        let own = self.handlers(map.get("handlers"), &mut at)?;
        let mut handlers = brought.handlers;
        handlers.extend(own);
        Ok(Play {
            span: node.span.clone(),
            hosts,
            gather_facts: map.get("gather_facts").cloned(),
            gather_subset: as_nodes(map.get("gather_subset")),
            gather_timeout: map.get("gather_timeout").cloned(),
            vars_files: as_nodes(map.get("vars_files")),
            serial: as_nodes(map.get("serial")),
            order: map.get("order").filter(|node| !node.is_null()).cloned(),
            max_fail_percentage: map.get("max_fail_percentage").cloned(),
            force_handlers: map.get("force_handlers").cloned(),
            root,
            roles: brought.roles,
            pre_tasks,
            tasks,
            post_tasks,
            handlers,
            dir: dir.to_path_buf(),
        })
    }

    /// The tasks of a file that `include_tasks` names, as children of `parent`.
    pub fn included_file(
        &self,
        path: &Path,
        parent: &Arc<Parent>,
        playbook_dir: &Path,
    ) -> Result<(Vec<Item>, Vec<Arc<Handler>>)> {
        let mut brought = Brought::default();
        let dir = parent_dir(path);
        let mut at = At { parent, dir: &dir, playbook_dir, depth: parent.chain().count(), brought: &mut brought };
        let node = self.files.yaml(path)?;
        let items = self.list(Some(&node), &mut at)?;
        Ok((items, brought.handlers))
    }

    /// A role that `include_role` names, as a child of `parent`.
    pub fn included_role(
        &self,
        name: &str,
        span: &Span,
        parts: &RoleParts,
        keywords: Keywords,
        parent: &Arc<Parent>,
        dirs: (&Path, &Path),
    ) -> Result<LoadedRole> {
        let mut brought = Brought::default();
        let mut at =
            At { parent, dir: dirs.0, playbook_dir: dirs.1, depth: parent.chain().count(), brought: &mut brought };
        let items = self.role(name, span, parts, keywords, Vars::new(), Via::Included, &mut at)?;
        Ok(LoadedRole { items, handlers: brought.handlers, roles: brought.roles })
    }

    fn list(&self, node: Option<&Node>, at: &mut At<'_>) -> Result<Vec<Item>> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(vec![]) };
        let Some(entries) = node.as_list() else {
            return Err(Error::user(format!("tasks must be a list, this is {}", node.kind_name())).at(&node.span));
        };
        if at.depth > DEEPEST {
            return Err(Error::user("files or roles import each other without end").at(&node.span));
        }
        let mut items = vec![];
        let mut wrong = Wrong::default();
        for entry in entries {
            wrong.note(self.entry(entry, at, &mut items))?;
        }
        wrong.finish()?;
        Ok(items)
    }

    fn entry(&self, entry: &Node, at: &mut At<'_>, into: &mut Vec<Item>) -> Result<()> {
        let Some(map) = entry.as_map() else {
            return Err(Error::user(format!("a task is a mapping, this is {}", entry.kind_name())).at(&entry.span));
        };
        if map.get("block").is_some() {
            into.push(Item::Block(Arc::new(self.block(entry, map, at)?)));
            return Ok(());
        }
        self.task(entry, map, at, into)
    }

    fn block(&self, node: &Node, map: &Map, at: &mut At<'_>) -> Result<Block> {
        let keywords = Keywords::read(map, BLOCK, "a block", |_, _| Ok(false))?;
        let parent = Arc::new(Parent { kind: ParentKind::Block, keywords, up: Some(Arc::clone(at.parent)) });
        let mut at = At {
            parent: &parent,
            depth: at.depth + 1,
            dir: at.dir,
            playbook_dir: at.playbook_dir,
            brought: at.brought,
        };
        let items = self.list(map.get("block"), &mut at)?;
        let rescue = self.list(map.get("rescue"), &mut at)?;
        let always = self.list(map.get("always"), &mut at)?;
        Ok(Block { span: node.span.clone(), parent: Arc::clone(&parent), items, rescue, always })
    }

    fn task(&self, node: &Node, map: &Map, at: &mut At<'_>, into: &mut Vec<Item>) -> Result<()> {
        let task = task::read(node, map, at.parent)?.task;
        match task.module.spec.name {
            "import_tasks" => into.push(Item::Block(Arc::new(self.imported_file(&task, at)?))),
            "import_role" => into.extend(self.imported_role(&task, at)?),
            _ => into.push(Item::Task(Arc::new(task))),
        }
        Ok(())
    }

    /// The file that `import_tasks` names: what its tasks stand in, its directory, and what is in it.
    fn imported_node(&self, task: &Task, at: &At<'_>) -> Result<(Arc<Parent>, PathBuf, Node)> {
        refuse_loop(task)?;
        let Some(file) = task.arguments.get("file") else {
            return Err(Error::user("`import_tasks` needs a file").at(&task.span));
        };
        let name = self.static_text(file)?;
        let Some(path) = find_tasks(&name, at.parent, at.dir, at.playbook_dir) else {
            return Err(Error::user(format!("there is no task file `{name}`"))
                .at(&file.span)
                .hint(format!("looked in `{}`", self.files.shown(at.dir))));
        };
        let dir = parent_dir(&path);
        let kind = ParentKind::File { dir: dir.clone(), params: Arc::default() };
        let parent = Arc::new(Parent { kind, keywords: task.keywords.clone(), up: Some(Arc::clone(at.parent)) });
        let node = self.files.yaml(&path)?;
        Ok((parent, dir, node))
    }

    fn imported_file(&self, task: &Task, at: &mut At<'_>) -> Result<Block> {
        let (parent, dir, node) = self.imported_node(task, at)?;
        let mut at =
            At { parent: &parent, dir: &dir, playbook_dir: at.playbook_dir, depth: at.depth + 1, brought: at.brought };
        let items = self.list(Some(&node), &mut at)?;
        Ok(Block { span: task.span.clone(), parent: Arc::clone(&parent), items, rescue: vec![], always: vec![] })
    }

    fn imported_role(&self, task: &Task, at: &mut At<'_>) -> Result<Vec<Item>> {
        refuse_loop(task)?;
        let name = match task.arguments.get("name").or_else(|| task.arguments.get("role")) {
            Some(node) => self.static_text(node)?,
            None => return Err(Error::user("`import_role` needs the `name` of a role").at(&task.span)),
        };
        let part = |key: &str| task.arguments.get(key).map(|node| self.static_text(node)).transpose();
        let parts = RoleParts {
            tasks: part("tasks_from")?,
            vars: part("vars_from")?,
            defaults: part("defaults_from")?,
            handlers: part("handlers_from")?,
        };
        self.role(&name, &task.module_span, &parts, task.keywords.clone(), Vars::new(), Via::Included, at)
    }

    /// An entry of `roles:` or of a role's dependencies.
    fn role_entry(&self, node: &Node, at: &mut At<'_>) -> Result<Vec<Item>> {
        if let Some(name) = node.as_str() {
            return self.role(
                name,
                &node.span,
                &RoleParts::default(),
                Keywords::default(),
                Vars::new(),
                Via::Listed,
                at,
            );
        }
        let Some(map) = node.as_map() else {
            return Err(
                Error::user(format!("a role is a name or a mapping, this is {}", node.kind_name())).at(&node.span)
            );
        };
        let mut params = Vars::new();
        let keywords = Keywords::read(map, ROLE, "a role", |key, value| {
            params.insert(key.as_str().unwrap_or_default().to_owned(), Raw::Node(value.clone()));
            Ok(true)
        })?;
        let Some(name) = map.get("role").or_else(|| map.get("name")) else {
            return Err(Error::user("this role has no name").at(&node.span).hint("write `role: name`"));
        };
        let text = self.static_text(name)?;
        self.role(&text, &name.span, &RoleParts::default(), keywords, params, Via::Listed, at)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one entry, each needed once")]
    fn role(
        &self,
        name: &str,
        span: &Span,
        parts: &RoleParts,
        keywords: Keywords,
        params: Vars,
        via: Via,
        at: &mut At<'_>,
    ) -> Result<Vec<Item>> {
        let role = Arc::new(self.find_role(name, span, at)?);
        let from = |dir: &str, part: &Option<String>, own: &Arc<Vars>| match part {
            Some(part) => self.role_vars(&role, dir, part, span).map(Arc::new),
            None => Ok(Arc::clone(own)),
        };
        let used = RoleUse {
            defaults: from("defaults", &parts.defaults, &role.defaults)?,
            vars: from("vars", &parts.vars, &role.vars)?,
            role: Arc::clone(&role),
            params: Arc::new(params),
            dependencies: Arc::default(),
            via,
        };
        // A role listed twice with the same parameters runs once, as in Ansible.
        let key = (role.path.clone(), format!("{:?}{:?}{:?}", used.params, keywords.when, keywords.vars));
        if via == Via::Listed {
            if at.brought.seen.contains(&key) && !role.allow_duplicates {
                return Ok(vec![]);
            }
            at.brought.seen.push(key);
        }
        let seen_dependencies = Arc::clone(&used.dependencies);
        let parent = Arc::new(Parent { kind: ParentKind::Role(used), keywords, up: Some(Arc::clone(at.parent)) });
        let tasks_dir = role.path.join("tasks");
        let mut items = vec![];
        let mut inner = At {
            parent: &parent,
            dir: &tasks_dir,
            playbook_dir: at.playbook_dir,
            depth: at.depth + 1,
            brought: at.brought,
        };
        if inner.depth > DEEPEST {
            return Err(Error::user(format!("the role `{name}` depends on itself")).at(span));
        }
        let before = inner.brought.roles.len();
        for dependency in &role.dependencies {
            items.extend(self.role_entry(dependency, &mut inner)?);
        }
        let brought = inner.brought.roles.get(before..).unwrap_or_default().to_vec();
        seen_dependencies.get_or_init(|| brought);
        inner.brought.roles.push(Arc::clone(&role));
        let main = parts.tasks.as_deref().unwrap_or("main");
        match find_part(&tasks_dir, main) {
            Some(path) => {
                let node = self.files.yaml(&path)?;
                let tasks = self.list(Some(&node), &mut inner)?;
                items.push(Item::Block(Arc::new(Block {
                    span: span.clone(),
                    parent: Arc::clone(&parent),
                    items: tasks,
                    rescue: vec![],
                    always: vec![],
                })));
            }
            None if parts.tasks.is_some() => {
                return Err(Error::user(format!("the role `{name}` has no tasks file `{main}`")).at(span));
            }
            None => {}
        }
        let handlers_dir = role.path.join("handlers");
        let main = parts.handlers.as_deref().unwrap_or("main");
        if let Some(path) = find_part(&handlers_dir, main) {
            let node = self.files.yaml(&path)?;
            let mut at = At { dir: &handlers_dir, ..inner };
            let handlers = self.handlers(Some(&node), &mut at)?;
            at.brought.handlers.extend(handlers);
        }
        Ok(items)
    }

    fn handlers(&self, node: Option<&Node>, at: &mut At<'_>) -> Result<Vec<Arc<Handler>>> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(vec![]) };
        let Some(entries) = node.as_list() else {
            return Err(Error::user(format!("handlers must be a list, this is {}", node.kind_name())).at(&node.span));
        };
        let mut handlers = vec![];
        for entry in entries {
            let Some(map) = entry.as_map() else {
                return Err(
                    Error::user(format!("a handler is a mapping, this is {}", entry.kind_name())).at(&entry.span)
                );
            };
            if let Some((key, _)) = map.entry("block") {
                return Err(Error::user("a block cannot be a handler").at(&key.span));
            }
            let read = task::read(entry, map, at.parent)?;
            if read.task.module.spec.name == "import_tasks" {
                let (parent, dir, node) = self.imported_node(&read.task, at)?;
                let mut at = At {
                    parent: &parent,
                    dir: &dir,
                    playbook_dir: at.playbook_dir,
                    depth: at.depth + 1,
                    brought: at.brought,
                };
                if at.depth > DEEPEST {
                    return Err(Error::user("files import each other without end").at(&read.task.span));
                }
                handlers.extend(self.handlers(Some(&node), &mut at)?);
                continue;
            }
            handlers.push(Arc::new(Handler { task: Arc::new(read.task), listen: read.listen }));
        }
        Ok(handlers)
    }

    /// The directory of a role that is named inside `parent`; an error says where it was looked for.
    pub fn role_dir(&self, name: &str, span: &Span, parent: &Arc<Parent>, playbook_dir: &Path) -> Result<PathBuf> {
        let short = name.rsplit('.').next().unwrap_or(name);
        let mut places = vec![playbook_dir.join("roles")];
        places.extend(self.files.role_paths());
        places.extend(parent.role().and_then(|used| used.role.path.parent().map(Path::to_path_buf)));
        places.push(playbook_dir.to_path_buf());
        let path = places.iter().map(|place| place.join(name)).find(|path| path.is_dir());
        path.ok_or_else(|| {
            let known: Vec<String> = places.iter().flat_map(|place| subdirectories(place)).collect();
            let looked =
                places.iter().map(|place| format!("`{}`", self.files.shown(place))).collect::<Vec<_>>().join(", ");
            Diagnostic::error(format!("there is no role `{name}`"))
                .at(span)
                .did_you_mean(short, known.iter().map(String::as_str))
                .hint(format!("looked in {looked}"))
                .into()
        })
    }

    fn find_role(&self, name: &str, span: &Span, at: &At<'_>) -> Result<Role> {
        let path = self.role_dir(name, span, at.parent, at.playbook_dir)?;
        let mut role = Role {
            name: name.to_owned(),
            path,
            defaults: Arc::default(),
            vars: Arc::default(),
            dependencies: vec![],
            allow_duplicates: false,
        };
        role.defaults = Arc::new(self.role_vars(&role, "defaults", "main", span)?);
        role.vars = Arc::new(self.role_vars(&role, "vars", "main", span)?);
        if let Some(path) = find_part(&role.path.join("meta"), "main") {
            let meta = self.files.yaml(&path)?;
            if let Some(map) = meta.as_map() {
                role.dependencies = as_nodes(map.get("dependencies"));
                role.allow_duplicates = map.get("allow_duplicates").is_some_and(|node| node.kind == Kind::Bool(true));
            }
        }
        Ok(role)
    }

    /// The variables of `defaults/` or `vars/`: one file, or every file of a directory of that name.
    fn role_vars(&self, role: &Role, dir: &str, part: &str, span: &Span) -> Result<Vars> {
        let base = role.path.join(dir);
        if let Some(path) = find_part(&base, part) {
            return read_vars(&self.files.yaml(&path)?);
        }
        let folder = base.join(part);
        if folder.is_dir() {
            let mut vars = Vars::new();
            for path in sorted_files(&folder) {
                vars.extend(read_vars(&self.files.yaml(&path)?)?);
            }
            return Ok(vars);
        }
        if part == "main" {
            return Ok(Vars::new());
        }
        Err(Error::user(format!("the role `{}` has no file `{dir}/{part}`", role.name)).at(span))
    }

    /// Text that must be known before anything runs.
    fn static_text(&self, node: &Node) -> Result<String> {
        let value = self.templar.node(node, &self.statics).map_err(|error| {
            error.hint("names of imported files may use extra variables only; `include_tasks` may use any variable")
        })?;
        match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::user(format!("a name must be a string, this is {}", node.kind_name())).at(&node.span)),
        }
    }
}

fn refuse_loop(task: &Task) -> Result<()> {
    let name = task.module.spec.name;
    match &task.looping {
        Some(_) => Err(Error::user(format!("`{name}` cannot be in a loop"))
            .at(&task.module_span)
            .hint(format!("use `{}`", name.replace("import", "include")))),
        None => Ok(()),
    }
}

/// A task file as Ansible looks it up: beside the file that names it, then in the role's `tasks`, then beside the playbook.
pub fn find_tasks(name: &str, parent: &Arc<Parent>, dir: &Path, playbook_dir: &Path) -> Option<PathBuf> {
    let role = parent.role().map(|used| used.role.path.join("tasks"));
    std::iter::once(dir.to_path_buf())
        .chain(role)
        .chain([playbook_dir.join("tasks"), playbook_dir.to_path_buf()])
        .map(|place| place.join(name))
        .find(|path| path.is_file())
}

/// Variables of a play and of the import around it, which wins.
fn merged(own: &Arc<Vars>, outer: &Arc<Vars>) -> Arc<Vars> {
    if outer.is_empty() {
        return Arc::clone(own);
    }
    let mut all = (**own).clone();
    all.extend(outer.iter().map(|(name, value)| (name.clone(), value.clone())));
    Arc::new(all)
}

fn parent_dir(path: &Path) -> PathBuf {
    path.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn subdirectories(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return vec![] };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn sorted_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return vec![] };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

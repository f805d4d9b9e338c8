//! `include_tasks` and `include_role`: tasks that come in while the play runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::Engine;
use super::ahead::Rest;
use super::drive::Trouble;
use super::evaluate::{failure_at, failure_of};
use super::host::Host;
use super::play::Batch;
use super::task::Brought;
use crate::error::{Error, Result};
use crate::modules::{Args, Failure};
use crate::playbook::{
    Handler, Item, Keywords, LoadedRole, Parent, ParentKind, RoleParts, Task, Vars, find_tasks, read_vars, task_dir,
};
use crate::sync::lock;
use crate::vars::{PlayVars, TaskScope};
use crate::yaml::Node;

pub use crate::playbook::is_include;

/// What one task, or one item of its loop, brings in.
#[derive(Debug, Clone)]
pub struct Include {
    what: What,
    /// Loop variables of the include: seen by what it brings in.
    locals: Arc<Vars>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    File(PathBuf),
    Role {
        name: String,
        tasks: Option<String>,
        vars: Option<String>,
        defaults: Option<String>,
        handlers: Option<String>,
        public: bool,
    },
}

impl Engine {
    /// What an include comes to for one item. A file or role that is not there, and a file that holds no tasks, is a failure of the
    /// host; a mistake in the tasks themselves ends the run, as in Ansible.
    pub(super) async fn prepare_include(
        &self,
        task: &Task,
        scope: &TaskScope,
        play: &PlayVars,
        args: &Args,
    ) -> Result<Include, Trouble> {
        let what = if task.module.spec.name == "include_tasks" {
            let name = args.text("file");
            let dir = task_dir(&task.parent, &play.dir);
            let path = find_tasks(name, &task.parent, &dir, &play.dir).ok_or_else(|| {
                Failure::new(format!("there is no task file `{name}`"))
                    .hint(format!("looked in `{}`", self.parts.loader.files().shown(&dir)))
            })?;
            if let Ok(node) = self.parts.loader.files().yaml(&path)
                && !node.is_null()
                && node.as_list().is_none()
            {
                let message = format!("a task file must hold a list of tasks, this is {}", node.kind_name());
                return Err(failure_at(&message, &node.span).into());
            }
            What::File(path)
        } else {
            let found = self.parts.loader.role_dir(args.text("name"), &task.module_span, &task.parent, &play.dir);
            found.map_err(|error| failure_of(&error))?;
            let text = |name: &str| args.str(name).map(str::to_owned);
            What::Role {
                name: args.text("name").to_owned(),
                tasks: text("tasks_from"),
                vars: text("vars_from"),
                defaults: text("defaults_from"),
                handlers: text("handlers_from"),
                public: args.bool("public"),
            }
        };
        Ok(Include { what, locals: Arc::clone(scope.locals()) })
    }

    /// Runs what a task brought in. Hosts that bring in the same run together.
    pub(super) async fn run_includes(&self, batch: &Batch, task: &Arc<Task>, brought: Brought) -> Result<()> {
        let most = brought.iter().map(|(_, includes)| includes.len()).max().unwrap_or(0);
        for index in 0..most {
            let mut groups: Vec<(Include, Vec<Arc<Host>>)> = vec![];
            for (host, includes) in &brought {
                let Some(include) = includes.get(index) else { continue };
                let same = |other: &Include| other.what == include.what && same_locals(&other.locals, &include.locals);
                match groups.iter_mut().find(|(other, _)| same(other)) {
                    Some((_, hosts)) => hosts.push(Arc::clone(host)),
                    None => groups.push((include.clone(), vec![Arc::clone(host)])),
                }
            }
            for (include, hosts) in groups {
                self.run_include(batch, task, &include, &hosts).await?;
            }
        }
        Ok(())
    }

    async fn run_include(&self, batch: &Batch, task: &Arc<Task>, include: &Include, hosts: &[Arc<Host>]) -> Result<()> {
        // What is brought in inherits the variables of the include and the keywords of `apply`, not the include's own.
        let mut keywords = match task.arguments.get("apply") {
            Some(apply) => read_apply(apply)?,
            None => Keywords::default(),
        };
        let mut vars = (*keywords.vars).clone();
        vars.extend(task.keywords.vars.iter().map(|(name, value)| (name.clone(), value.clone())));
        keywords.vars = Arc::new(vars);
        let items = match &include.what {
            What::File(path) => {
                let kind = ParentKind::File { dir: parent_dir(path), params: Arc::default() };
                let parent = Arc::new(Parent { kind, keywords, up: Some(Arc::clone(&task.parent)) });
                let (items, handlers) = self.parts.loader.included_file(path, &parent, &batch.vars.dir)?;
                take_in(&mut lock(&batch.handlers), handlers);
                items
            }
            What::Role { name, tasks, vars, defaults, handlers, public } => {
                let parts = RoleParts {
                    tasks: tasks.clone(),
                    vars: vars.clone(),
                    defaults: defaults.clone(),
                    handlers: handlers.clone(),
                };
                let dir = task_dir(&task.parent, &batch.vars.dir);
                let loaded = self.parts.loader.included_role(
                    name,
                    &task.module_span,
                    &parts,
                    keywords,
                    &task.parent,
                    (&dir, &batch.vars.dir),
                )?;
                self.welcome(batch, loaded, *public)
            }
        };
        self.run_list(batch, &items, hosts, &include.locals, &Rest::NONE).await
    }

    /// Takes in the handlers, and with `public` the variables, of an included role.
    fn welcome(&self, batch: &Batch, loaded: LoadedRole, public: bool) -> Vec<Item> {
        let mut handlers = lock(&batch.handlers);
        take_in(&mut handlers, loaded.handlers);
        if public {
            let mut roles = batch.vars.roles.write().unwrap_or_else(PoisonError::into_inner);
            roles.extend(loaded.roles);
        }
        loaded.items
    }
}

/// Adds handlers. Of those that are brought in again by a second include the first one stays.
fn take_in(handlers: &mut Vec<Arc<Handler>>, more: Vec<Arc<Handler>>) {
    for handler in more {
        if !handlers.iter().any(|known| known.task.span == handler.task.span) {
            handlers.push(handler);
        }
    }
}

/// The keywords of `apply:`.
fn read_apply(node: &Node) -> Result<Keywords> {
    let Some(map) = node.as_map() else {
        return Err(Error::user(format!("`apply` must be a mapping, this is {}", node.kind_name())).at(&node.span));
    };
    let mut keywords =
        Keywords::read(map, &["when", "delegate_to", "delegate_facts", "notify"], "`apply`", |_, _| Ok(false))?;
    if let Some(vars) = map.get("vars") {
        keywords.vars = Arc::new(read_vars(vars)?);
    }
    Ok(keywords)
}

fn parent_dir(path: &Path) -> PathBuf {
    path.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn same_locals(a: &Vars, b: &Vars) -> bool {
    use crate::value::Raw;
    a.len() == b.len()
        && a.iter().all(|(name, value)| match (value, b.get(name)) {
            (Raw::Value(a), Some(Raw::Value(b))) => a == b,
            (Raw::Node(a), Some(Raw::Node(b))) => a == b,
            _ => false,
        })
}

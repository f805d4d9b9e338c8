//! The variables that one task on one host sees, in order of precedence.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::{HostVars, World, facts, magic};
use crate::playbook::{Parent, ParentKind, Role, Vars, Via};
use crate::template::Scope;
use crate::value::{Raw, Value};

/// What the tasks of a play share.
#[derive(Debug, Default)]
pub struct PlayVars {
    /// `ansible_play_name`.
    pub name: String,
    /// `vars:`, level 12.
    pub vars: Arc<Vars>,
    /// `vars_files:`, level 14, per host because names may depend on it; strongest first.
    pub vars_files: RwLock<std::collections::HashMap<String, Vec<Arc<Vars>>>>,
    /// Roles of the play: their variables are seen by every task, the last role's strongest.
    pub roles: RwLock<Vec<Arc<Role>>>,
    /// `ansible_play_hosts_all`.
    pub all_hosts: Vec<String>,
    /// `ansible_play_hosts`: those that have not failed.
    pub hosts: RwLock<Vec<String>>,
    /// `ansible_play_batch`.
    pub batch: RwLock<Vec<String>>,
    /// `playbook_dir`.
    pub dir: PathBuf,
    /// Whether a template that asks for facts makes the engine gather them (on hosts where a play's `gather_facts` allows it).
    pub gather: bool,
}

/// What one task on one host sees.
#[derive(Debug, Clone)]
pub struct TaskScope {
    world: Arc<World>,
    play: Arc<PlayVars>,
    host: Arc<HostVars>,
    parent: Option<Arc<Parent>>,
    /// Loop variables and the like: above everything.
    locals: Arc<Vars>,
    /// Level 21 and 20, strongest first.
    params: Vec<Arc<Vars>>,
    /// Levels 17 down to 12, strongest first.
    written: Vec<Arc<Vars>>,
    /// Level 2, strongest first.
    defaults: Vec<Arc<Vars>>,
    /// See [`Scope::is_speculative`].
    speculative: bool,
    /// Whether it must do without facts that are not there.
    quiet: bool,
}

impl TaskScope {
    /// The scope of a task in `parent` on `host`; `own` are the task's own `vars`. Without a parent, of the play itself.
    pub fn new(
        world: &Arc<World>,
        play: &Arc<PlayVars>,
        host: &Arc<HostVars>,
        parent: Option<&Arc<Parent>>,
        own: &Arc<Vars>,
    ) -> Self {
        let mut include_params = vec![];
        let mut role_params = vec![];
        let mut task_vars: Vec<Arc<Vars>> = vec![];
        let mut role_vars: Vec<Arc<Vars>> = vec![];
        let mut defaults: Vec<Arc<Vars>> = vec![];
        let push = |to: &mut Vec<Arc<Vars>>, vars: &Arc<Vars>| {
            if !vars.is_empty() {
                to.push(Arc::clone(vars));
            }
        };
        push(&mut task_vars, own);
        for outer in parent.into_iter().flat_map(Parent::chain) {
            let keyword_vars = &outer.keywords.vars;
            match &outer.kind {
                ParentKind::Play => {}
                ParentKind::Block => push(&mut task_vars, keyword_vars),
                ParentKind::File { params, .. } => {
                    push(&mut include_params, params);
                    push(&mut include_params, keyword_vars);
                }
                ParentKind::Role(used) => {
                    push(&mut role_params, &used.params);
                    match used.via {
                        Via::Included => push(&mut include_params, keyword_vars),
                        // `vars:` beside the role's name outrank `vars/main.yml` of the role.
                        Via::Listed => push(&mut role_vars, keyword_vars),
                    }
                    role_vars.push(Arc::clone(&used.vars));
                    let beneath = used.dependencies.get().map(Vec::as_slice).unwrap_or_default();
                    role_vars.extend(beneath.iter().rev().map(|role| Arc::clone(&role.vars)));
                    defaults.push(Arc::clone(&used.defaults));
                    defaults.extend(beneath.iter().rev().map(|role| Arc::clone(&role.defaults)));
                }
            }
        }
        let mut written = task_vars;
        written.extend(role_vars);
        let roles = play.roles.read().unwrap_or_else(PoisonError::into_inner);
        written.extend(roles.iter().rev().map(|role| Arc::clone(&role.vars)));
        defaults.extend(roles.iter().rev().map(|role| Arc::clone(&role.defaults)));
        drop(roles);
        if let Some(files) = play.vars_files.read().unwrap_or_else(PoisonError::into_inner).get(&host.name) {
            written.extend(files.iter().cloned());
        }
        written.push(Arc::clone(&play.vars));
        let mut params = include_params;
        params.extend(role_params);
        Self {
            world: Arc::clone(world),
            play: Arc::clone(play),
            host: Arc::clone(host),
            parent: parent.cloned(),
            locals: Arc::default(),
            params,
            written,
            defaults,
            speculative: false,
            quiet: false,
        }
    }

    /// The same scope with more variables above everything: `item` and friends.
    #[must_use]
    pub fn with_locals(&self, locals: Vars) -> Self {
        let mut all = (*self.locals).clone();
        all.extend(locals);
        Self { locals: Arc::new(all), ..self.clone() }
    }

    /// The same scope for a look ahead.
    #[must_use]
    pub fn speculating(self) -> Self {
        Self { speculative: true, ..self }
    }

    /// The same scope for what is not worth gathering facts for.
    #[must_use]
    pub fn without_gathering(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Whether facts that a template asks for are gathered.
    pub fn gathers(&self) -> bool {
        self.play.gather && !self.quiet
    }

    /// The host whose task this is.
    pub fn host(&self) -> &Arc<HostVars> {
        &self.host
    }

    /// The variables above everything: of loops around an include.
    pub fn locals(&self) -> &Arc<Vars> {
        &self.locals
    }

    fn fact(&self, name: &str) -> Option<Raw> {
        let waiting = self.gathers() && self.host.may_gather() && !self.host.gathered();
        let found = if name == "ansible_facts" {
            (!waiting).then(|| self.host.facts())
        } else {
            self.host.fact(name.strip_prefix("ansible_").unwrap_or(name))
        };
        if let Some(value) = found {
            return Some(Raw::Value(value));
        }
        if !waiting {
            return None;
        }
        // The engine sees the wish, gathers, and evaluates again.
        self.host.want_facts();
        Some(Raw::Value(Value::from(minijinja::Error::new(
            minijinja::ErrorKind::InvalidOperation,
            "the facts of the host are not gathered yet",
        ))))
    }

    fn find(&self, layers: &[Arc<Vars>], name: &str) -> Option<Raw> {
        layers.iter().find_map(|layer| layer.get(name).cloned())
    }
}

impl Scope for TaskScope {
    fn get(&self, name: &str) -> Option<Raw> {
        if let Some(raw) = self.locals.get(name) {
            return Some(raw.clone());
        }
        if let Some(value) = magic::get(name, self, &self.world, &self.play, &self.host, self.parent.as_ref()) {
            return Some(Raw::Value(value));
        }
        self.world
            .extra
            .get(name)
            .cloned()
            .or_else(|| self.find(&self.params, name))
            .or_else(|| self.host.dynamic(name))
            .or_else(|| self.find(&self.written, name))
            .or_else(|| self.host.fact_variable(name).map(Raw::Value))
            .or_else(|| self.find(&self.host.inventory(), name))
            .or_else(|| self.find(&self.defaults, name))
            .or_else(|| if facts::is_fact(name) { self.fact(name) } else { None })
    }

    fn is_speculative(&self) -> bool {
        self.speculative
    }

    fn names(&self) -> Vec<String> {
        let inventory = self.host.inventory();
        let layers: [&[Arc<Vars>]; 4] = [&self.params, &self.written, &inventory, &self.defaults];
        let mut names: Vec<String> = self.locals.keys().chain(self.world.extra.keys()).cloned().collect();
        names.extend(layers.into_iter().flatten().flat_map(|layer| layer.keys().cloned()));
        names.extend(self.host.dynamic_names());
        names.extend(self.host.fact_names());
        names.extend(magic::NAMES.iter().map(|name| (*name).to_owned()));
        names.sort();
        names.dedup();
        names
    }
}

//! The typed model of a playbook.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use super::{Arguments, Keywords, Role};
use crate::diagnostic::Span;
use crate::modules::Module;
use crate::value::Raw;
use crate::yaml::Node;

/// Variables as they were written.
pub type Vars = IndexMap<String, Raw>;

/// A whole playbook, with `import_playbook` resolved.
#[derive(Debug, Default)]
pub struct Playbook {
    /// In the order they run.
    pub plays: Vec<Arc<Play>>,
}

/// One play.
#[derive(Debug)]
pub struct Play {
    /// Where it stands.
    pub span: Span,
    /// `hosts:`, a pattern or a list of patterns; may be a template.
    pub hosts: Node,
    /// `gather_facts:`.
    pub gather_facts: Option<Node>,
    /// `gather_subset:`, which facts are gathered.
    pub gather_subset: Vec<Node>,
    /// `gather_timeout:`, in seconds.
    pub gather_timeout: Option<Node>,
    /// `order:`, in which order hosts are worked on.
    pub order: Option<Node>,
    /// `vars_files:`; an item may be a list of which the first that exists is read.
    pub vars_files: Vec<Node>,
    /// `serial:`, one or more batch sizes.
    pub serial: Vec<Node>,
    /// `max_fail_percentage:`.
    pub max_fail_percentage: Option<Node>,
    /// `force_handlers:`.
    pub force_handlers: Option<Node>,
    /// Everything a task inherits from the play. Its `vars` are the play's.
    pub root: Arc<Parent>,
    /// Roles whose defaults and vars every task of the play sees, in order.
    pub roles: Vec<Arc<Role>>,
    /// `pre_tasks`, then a flush of handlers.
    pub pre_tasks: Vec<Item>,
    /// Tasks of `roles:`, then `tasks`, then a flush of handlers.
    pub tasks: Vec<Item>,
    /// `post_tasks`, then a flush of handlers.
    pub post_tasks: Vec<Item>,
    /// Handlers of the play and of its roles, in the order they run.
    pub handlers: Vec<Arc<Handler>>,
    /// The directory of the playbook file: `playbook_dir`.
    pub dir: PathBuf,
}

/// Something in a list of tasks.
#[derive(Debug, Clone)]
pub enum Item {
    /// A task.
    Task(Arc<Task>),
    /// A block, an imported file, or a role.
    Block(Arc<Block>),
}

/// Tasks that share keywords, with `rescue` and `always`.
#[derive(Debug)]
pub struct Block {
    /// Where it stands.
    pub span: Span,
    /// Its keywords.
    pub parent: Arc<Parent>,
    /// `block:`.
    pub items: Vec<Item>,
    /// `rescue:`.
    pub rescue: Vec<Item>,
    /// `always:`.
    pub always: Vec<Item>,
}

/// What a task stands in: a chain up to the play, through which keywords and variables are inherited.
#[derive(Debug)]
pub struct Parent {
    /// What kind of thing this is.
    pub kind: ParentKind,
    /// Its keywords; `when`, `tags` and `environment` add up along the chain, the nearest wins for the others.
    pub keywords: Keywords,
    /// The next outer one.
    pub up: Option<Arc<Parent>>,
}

/// The kinds of things that tasks stand in.
#[derive(Debug)]
pub enum ParentKind {
    /// The play itself.
    Play,
    /// A block.
    Block,
    /// A file of tasks that was imported or included; the keywords are those of the import.
    File {
        /// The directory of the file, where its own relative names are looked up first.
        dir: PathBuf,
        /// Variables given by the include: loop variables of `include_tasks`.
        params: Arc<Vars>,
    },
    /// A role.
    Role(RoleUse),
}

/// A role as it is used in one place.
#[derive(Debug, Clone)]
pub struct RoleUse {
    /// The role.
    pub role: Arc<Role>,
    /// Parameters given in place (`roles: - {role: x, port: 1}`, `vars` of `import_role`, dependencies).
    pub params: Arc<Vars>,
    /// `defaults_from` read instead of the role's own `defaults/main.yml`.
    pub defaults: Arc<Vars>,
    /// `vars_from` read instead of the role's own `vars/main.yml`.
    pub vars: Arc<Vars>,
    /// The roles it depends on, once they are read: it sees their variables.
    pub dependencies: Arc<OnceLock<Vec<Arc<Role>>>>,
    /// How it came in.
    pub via: Via,
}

/// How a role came into a play. It decides what its `vars` keyword is: role variables, or parameters of the include.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// `roles:` or a dependency.
    Listed,
    /// `import_role` or `include_role`.
    Included,
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Where it stands.
    pub span: Span,
    /// The name of the module as it was written.
    pub module_name: String,
    /// Where that name stands.
    pub module_span: Span,
    /// The module.
    pub module: &'static Module,
    /// Its arguments as they were written.
    pub arguments: Arguments,
    /// Its own keywords.
    pub keywords: Keywords,
    /// What it stands in.
    pub parent: Arc<Parent>,
    /// `register:`.
    pub register: Option<String>,
    /// `loop:` or `with_*:`.
    pub looping: Option<Loop>,
    /// `loop_control:`.
    pub loop_control: LoopControl,
    /// `until:`, all must hold.
    pub until: Vec<Node>,
    /// `retries:`.
    pub retries: Option<Node>,
    /// `delay:` between retries, in seconds.
    pub delay: Option<Node>,
    /// `changed_when:`, all must hold.
    pub changed_when: Option<Vec<Node>>,
    /// `failed_when:`, all must hold.
    pub failed_when: Option<Vec<Node>>,
    /// `async:`, used as a time limit in seconds.
    pub time_limit: Option<Node>,
}

/// `loop:` and `with_*:`.
#[derive(Debug, Clone)]
pub enum Loop {
    /// `loop:`.
    List(Node),
    /// `with_<lookup>:`.
    With {
        /// The lookup.
        lookup: String,
        /// Its terms.
        terms: Node,
    },
}

/// `loop_control:`.
#[derive(Debug, Clone, Default)]
pub struct LoopControl {
    /// `loop_var`.
    pub loop_var: Option<String>,
    /// `index_var`.
    pub index_var: Option<String>,
    /// `label`.
    pub label: Option<Node>,
    /// `pause`, in seconds.
    pub pause: Option<Node>,
    /// `extended`.
    pub extended: bool,
    /// `break_when`, all must hold.
    pub break_when: Vec<Node>,
}

/// A task that runs when it is notified.
#[derive(Debug)]
pub struct Handler {
    /// The task.
    pub task: Arc<Task>,
    /// `listen:` topics.
    pub listen: Vec<Node>,
}

impl Parent {
    /// This one and every outer one, innermost first.
    pub fn chain(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Parent>> {
        std::iter::successors(Some(self), |parent| parent.up.as_ref())
    }

    /// The innermost role this stands in.
    pub fn role(self: &Arc<Self>) -> Option<&RoleUse> {
        self.chain().find_map(|parent| match &parent.kind {
            ParentKind::Role(role) => Some(role),
            _ => None,
        })
    }
}

impl Task {
    /// The value of a keyword that the nearest thing around the task decides.
    pub fn nearest<'a, T>(&'a self, get: impl Fn(&'a Keywords) -> Option<&'a T>) -> Option<&'a T> {
        get(&self.keywords).or_else(|| self.parent.chain().find_map(|parent| get(&parent.keywords)))
    }

    /// The values of a keyword that adds up, outermost first.
    pub fn gathered<'a, T: 'a>(&'a self, get: impl Fn(&'a Keywords) -> &'a [T]) -> Vec<&'a T> {
        let mut chain: Vec<&Keywords> = self.parent.chain().map(|parent| &parent.keywords).collect();
        chain.reverse();
        chain.push(&self.keywords);
        chain.into_iter().flat_map(get).collect()
    }
}

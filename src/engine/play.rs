//! One play: its hosts, its batches, its variables, and the order of its lists.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::Engine;
use super::ahead::Rest;
use super::drive::Trouble;
use super::host::{Health, Host};
use super::target::Around;
use futures::future::BoxFuture;

use crate::diagnostic::Diagnostic;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::playbook::{Handler, Play, Vars, find_vars_file, no_vars_file, read_vars};
use crate::value::Value;
use crate::vars::{PlayVars, TaskScope};
use crate::yaml::Node;

/// The hosts of a play that are worked on together (`serial`).
pub struct Batch {
    /// The play.
    pub play: Arc<Play>,
    /// What its tasks share.
    pub vars: Arc<PlayVars>,
    /// The hosts.
    pub hosts: Vec<Arc<Host>>,
    /// The play's handlers, and those that included roles brought.
    pub handlers: Mutex<Vec<Arc<Handler>>>,
    /// `meta: end_play`: no further batch is run.
    pub end_play: AtomicBool,
    /// What the play is known by on the hosts; see `journal`.
    pub key: String,
    /// Which of the play's lists is run.
    section: AtomicUsize,
}

impl Batch {
    /// Which of the play's lists is run: `pre_tasks`, roles and tasks, `post_tasks`.
    pub fn section(&self) -> usize {
        self.section.load(Ordering::Relaxed)
    }

    /// Whether it is the last one.
    pub fn is_last_section(&self) -> bool {
        self.section() == 2
    }
}

impl Engine {
    /// Runs one play. False when a whole batch failed: then nothing comes after it, as in Ansible.
    pub(super) async fn run_play(&self, play: &Arc<Play>) -> Result<bool> {
        let pattern = self.play_text(&play.hosts, play)?;
        let names = self.select_names(&pattern).map_err(|error| error.at(&play.hosts.span))?;
        let name = match &play.root.keywords.name {
            Some(node) => self.play_text(node, play)?,
            None => pattern.clone(),
        };
        let vars = Arc::new(PlayVars {
            name: name.clone(),
            vars: Arc::clone(&play.root.keywords.vars),
            roles: RwLock::new(play.roles.clone()),
            all_hosts: names.clone(),
            hosts: RwLock::new(names.clone()),
            dir: std::path::absolute(&play.dir).unwrap_or_else(|_| play.dir.clone()),
            gather: true,
            ..PlayVars::default()
        });
        self.parts.sink.emit(Event::PlayStarted { name, hosts: names.clone(), check: self.parts.world.options.check });
        if names.is_empty() {
            self.parts.sink.emit(Event::Warning(self.nobody(&pattern).at(&play.hosts.span)));
            return Ok(true);
        }
        // `ansible_play_hosts` keeps the order of the inventory, as in Ansible.
        let hosts: Vec<Arc<Host>> = self.ordered(play, names)?.iter().map(|name| self.host(name)).collect();
        for host in &hosts {
            host.enter_play();
            host.set_facts_from(Arc::clone(&vars), Arc::clone(&play.root), self.facts_request(play)?);
            if play.gather_facts.as_ref().is_none_or(|node| node.kind != crate::yaml::Kind::Bool(false)) {
                host.vars.set_may_gather(true);
                // A play sees the hosts as they are when it starts.
                if host.facts_mark.load(Ordering::Relaxed) != self.changes.made() {
                    host.vars.expire_facts();
                }
            }
        }
        let root = self.parts.loader.files().root();
        let key = super::journal::play_key(&root, &play.hosts.span.source.name, &vars.name);
        let key = self.journal.tell_apart(key);
        for batch in self.batches(play, &hosts)? {
            let batch = Batch {
                play: Arc::clone(play),
                vars: Arc::clone(&vars),
                hosts: batch,
                handlers: Mutex::new(play.handlers.clone()),
                end_play: AtomicBool::new(false),
                key: key.clone(),
                section: AtomicUsize::new(0),
            };
            let lost_before = batch.hosts.iter().any(|host| host.is_lost());
            self.run_batch(&batch).await?;
            if !lost_before && batch.hosts.iter().all(|host| host.is_lost()) {
                return Ok(false);
            }
            if batch.end_play.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(true)
    }

    /// What to tell when a play selects no host.
    fn nobody(&self, pattern: &str) -> Diagnostic {
        let world = &self.parts.world;
        if world.hosts.is_empty() {
            return Diagnostic::warning(format!("no host matches `{pattern}`: the inventory is empty"))
                .hint("put hosts into `inventory/hosts.yml`, or name another inventory with `-i`");
        }
        if let Some(limit) = &world.options.limit {
            return Diagnostic::warning(format!("no host matches `{pattern}` within `--limit {limit}`"));
        }
        let known = world.hosts.keys().chain(world.groups.keys());
        Diagnostic::warning(format!("no host matches `{pattern}`"))
            .did_you_mean(pattern, known.map(String::as_str))
            .hint("`mms run … --list-hosts` shows what the plays select")
    }

    async fn run_batch(&self, batch: &Batch) -> Result<()> {
        let present: Vec<String> =
            batch.hosts.iter().filter(|host| !host.is_lost()).map(|host| host.name().to_owned()).collect();
        *batch.vars.batch.write().unwrap_or_else(PoisonError::into_inner) = present;
        for host in batch.hosts.iter().filter(|host| host.is_active()) {
            if let Err(trouble) = self.load_vars_files(batch, host).await {
                match trouble {
                    Trouble::Failure(failure) => return Err(super::evaluate::error_of(failure)),
                    // What is not known yet cannot name a file: the play goes without it.
                    Trouble::Unknown(_) => {}
                    Trouble::Unreachable(error) => self.lose(host, error),
                }
            }
        }
        let play = &batch.play;
        let outer = Vars::new();
        let lists = [&play.pre_tasks, &play.tasks, &play.post_tasks];
        for (index, list) in lists.into_iter().enumerate() {
            batch.section.store(index, Ordering::Relaxed);
            let rest = lists
                .get(index + 1)
                .filter(|_| list.is_empty())
                .map_or(Rest::NONE, |next| Rest { items: next, outer: None });
            self.run_list(batch, list, &batch.hosts, &outer, &rest).await?;
            self.flush_handlers(batch, &batch.hosts).await?;
            self.note_active(batch);
        }
        Ok(())
    }

    fn note_active(&self, batch: &Batch) {
        let lost: Vec<String> =
            batch.hosts.iter().filter(|host| host.is_lost()).map(|host| host.name().to_owned()).collect();
        batch.vars.hosts.write().unwrap_or_else(PoisonError::into_inner).retain(|name| !lost.contains(name));
    }

    pub(super) fn lose(&self, host: &Host, error: crate::connection::ConnectionError) {
        host.set_health(Health::Unreachable);
        host.count_unreachable();
        self.parts.sink.emit(Event::Unreachable {
            host: host.name().to_owned(),
            message: error.message,
            hints: error.hints,
        });
    }

    /// The hosts in the play's `order`.
    fn ordered(&self, play: &Play, mut names: Vec<String>) -> Result<Vec<String>> {
        let Some(node) = &play.order else { return Ok(names) };
        match self.play_text(node, play)?.as_str() {
            "inventory" => {}
            "reverse_inventory" => names.reverse(),
            "sorted" => names.sort(),
            "reverse_sorted" => {
                names.sort();
                names.reverse();
            }
            "shuffle" => rand::seq::SliceRandom::shuffle(names.as_mut_slice(), &mut rand::rng()),
            other => {
                return Err(Error::user(format!("`{other}` is not an order of hosts"))
                    .at(&node.span)
                    .hint("inventory, reverse_inventory, sorted, reverse_sorted or shuffle"));
            }
        }
        Ok(names)
    }

    /// Which facts the play wants.
    fn facts_request(&self, play: &Play) -> Result<crate::facts::Request> {
        let mut request = crate::facts::Request::default();
        if !play.gather_subset.is_empty() {
            let subset =
                play.gather_subset.iter().map(|node| self.play_text(node, play)).collect::<Result<Vec<_>>>()?;
            request.subset =
                subset.iter().flat_map(|text| text.split(',')).map(|name| name.trim().to_owned()).collect();
        }
        if let Some(node) = &play.gather_timeout {
            let text = self.play_text(node, play)?;
            request.timeout = text
                .trim()
                .parse()
                .map_err(|_| Error::user(format!("`{text}` is not a number of seconds")).at(&node.span))?;
        }
        Ok(request)
    }

    /// Text of the play that may use extra variables and the play's own.
    fn play_text(&self, node: &Node, play: &Play) -> Result<String> {
        let vars = Arc::new(PlayVars {
            vars: Arc::clone(&play.root.keywords.vars),
            dir: play.dir.clone(),
            ..PlayVars::default()
        });
        let scope =
            TaskScope::new(&self.parts.world, &vars, &self.parts.world.host("localhost"), None, &Arc::default());
        let value = self.parts.templar.node(node, &Self::dynamic(&scope))?;
        Ok(match value.kind() {
            minijinja::value::ValueKind::Seq => {
                let items = value.try_iter().map(|items| items.map(|item| item.to_string()).collect::<Vec<_>>());
                items.unwrap_or_default().join(",")
            }
            _ => value.to_string(),
        })
    }

    fn batches(&self, play: &Play, hosts: &[Arc<Host>]) -> Result<Vec<Vec<Arc<Host>>>> {
        let mut sizes = vec![];
        for node in &play.serial {
            let text = self.play_text(node, play)?;
            let wrong = || {
                Error::user(format!("`{text}` is not a batch size"))
                    .at(&node.span)
                    .hint("a number of hosts, or a percentage like `30%`")
            };
            let size = match text.trim().strip_suffix('%') {
                Some(percent) => {
                    let percent: usize = percent.trim().parse().map_err(|_| wrong())?;
                    (hosts.len().saturating_mul(percent) / 100).max(1)
                }
                None => text.trim().parse().map_err(|_| wrong())?,
            };
            sizes.push(if size == 0 { hosts.len() } else { size });
        }
        if sizes.is_empty() {
            return Ok(vec![hosts.to_vec()]);
        }
        let mut batches = vec![];
        let mut left = hosts;
        let mut turn = 0;
        while !left.is_empty() {
            let size = sizes.get(turn.min(sizes.len() - 1)).copied().unwrap_or(left.len()).min(left.len());
            let (batch, others) = left.split_at(size);
            batches.push(batch.to_vec());
            left = others;
            turn += 1;
        }
        Ok(batches)
    }

    /// `vars_files:` of a host. An entry that is a list gives the first of its files that exists.
    async fn load_vars_files(&self, batch: &Batch, host: &Arc<Host>) -> Result<(), Trouble> {
        let mut files: Vec<Arc<Vars>> = vec![];
        for node in &batch.play.vars_files {
            let scope = TaskScope::new(&self.parts.world, &batch.vars, &host.vars, None, &Arc::default());
            let value = self.value(node, &scope).await?;
            let names: Vec<String> = match value.kind() {
                minijinja::value::ValueKind::Seq => {
                    value.try_iter().map(|items| items.map(|item| item.to_string()).collect()).unwrap_or_default()
                }
                _ => vec![value.to_string()],
            };
            let Some(path) = find_vars_file(&batch.play.dir, names.iter().map(String::as_str)) else {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let missing = no_vars_file(&names, &batch.play.dir, &self.parts.loader).at(&node.span);
                let error = Error::from(missing);
                return Err(Trouble::Failure(super::evaluate::failure_of(&error)));
            };
            let read = self.parts.loader.files().yaml(&path).and_then(|node| read_vars(&node));
            let vars = read.map_err(|error| Trouble::Failure(super::evaluate::failure_of(&error)))?;
            files.insert(0, Arc::new(vars));
            let mut all = batch.vars.vars_files.write().unwrap_or_else(PoisonError::into_inner);
            all.insert(host.name().to_owned(), files.clone());
        }
        Ok(())
    }

    /// Gathers the facts of a host, as the play's own user.
    pub(super) fn gather_facts<'a>(&'a self, host: &'a Arc<Host>) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(self.gather(host))
    }

    async fn gather(&self, host: &Arc<Host>) -> Result<(), Trouble> {
        let _gathering = host.gathering.lock().await;
        if host.vars.gathered() {
            return Ok(());
        }
        let mark = self.changes.made();
        let (play, root) = host.facts_from().unwrap_or_default();
        // Without the play's variables facts could ask for facts.
        let quiet = Arc::new(PlayVars { gather: false, vars: Arc::clone(&play.vars), ..PlayVars::default() });
        let scope = TaskScope::new(&self.parts.world, &quiet, &host.vars, None, &Arc::default());
        let site = match &root {
            Some(root) => self.site(Around::Parent(root), &scope, host, &quiet).await?,
            None => {
                let parent = Arc::new(crate::playbook::Parent {
                    kind: crate::playbook::ParentKind::Play,
                    keywords: crate::playbook::Keywords::default(),
                    up: None,
                });
                self.site(Around::Parent(&parent), &scope, host, &quiet).await?
            }
        };
        let probe = crate::facts::probe(&host.facts_request())?;
        let answer = self.probe(&site, &probe).await?;
        let facts = crate::facts::parse(&answer)?;
        host.vars.add_facts(facts, true);
        host.facts_mark.store(mark, Ordering::Relaxed);
        Ok(())
    }

    /// The value of a template with the variables of a host and no task.
    pub(super) fn host_value(&self, batch: &Batch, host: &Arc<Host>, node: &Node) -> Result<Value> {
        let scope = TaskScope::new(&self.parts.world, &batch.vars, &host.vars, None, &Arc::default());
        self.parts.templar.node(node, &Self::dynamic(&scope))
    }
}

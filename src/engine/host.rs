//! One host during a run: its connection, how it is doing, and probes that were sent ahead.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::Connector;
use crate::connection::{Answer, Become, Connection, ConnectionError, Frame, Shell, Target};
use crate::event::{HostSummary, Status};
use crate::modules::{Probe, Thing};
use crate::playbook::Parent;
use crate::sync::lock;
use crate::value::{Fields, Value};
use crate::vars::{HostVars, PlayVars};

/// How a host is doing.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Health {
    /// Tasks are run on it.
    #[default]
    Active,
    /// A task failed: nothing more is run, unless a `rescue` takes over.
    Failed {
        /// The task's name.
        task: String,
        /// `ansible_failed_task`, where a `rescue` may look at it.
        described: Option<Value>,
        /// Its result.
        result: Fields,
    },
    /// It cannot be reached.
    Unreachable,
    /// `meta: end_host` and the like: nothing more is run in this play.
    Ended,
}

/// Where a probe is asked: over which connection, as whom, and with which environment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asking<'a> {
    /// How the host is reached.
    pub target: &'a Target,
    /// Whom to become.
    pub user: Option<&'a Become>,
    /// Shell text that exports `environment:`.
    pub environment: &'a str,
}

/// A probe that was sent before its task was reached.
struct Ahead {
    target: Target,
    user: Option<Become>,
    environment: String,
    probe: Probe,
    /// See [`super::ahead::Changes::current`].
    mark: u64,
    answer: BoxFuture<'static, Result<Answer, ConnectionError>>,
}

impl Ahead {
    fn answers(&self, asking: Asking<'_>, probe: &Probe) -> bool {
        let own = Asking { target: &self.target, user: self.user.as_ref(), environment: &self.environment };
        own == asking && self.probe == *probe
    }
}

/// One way to reach a host, and the connection that was made that way.
type Line = (Target, Arc<OnceCell<Arc<dyn Connection>>>);

type FactsFrom = Option<(Arc<PlayVars>, Option<Arc<Parent>>)>;

/// A host during a run.
pub struct Host {
    /// Its variables.
    pub vars: Arc<HostVars>,
    /// One for each way that tasks reach the host: `remote_user`, `connection: local` and the like may differ.
    connections: Mutex<Vec<Line>>,
    health: Mutex<Health>,
    counts: Mutex<HostSummary>,
    ahead: Mutex<VecDeque<Ahead>>,
    /// The tasks that were looked at ahead since the mark; see `ahead`.
    bets: Mutex<(u64, HashSet<usize>)>,
    /// What the task at hand would notify; see `journal`.
    intent: Mutex<Option<super::journal::Intent>>,
    /// The connections whose login shell holds the lock of this run; see `lock`.
    held: Mutex<Vec<Target>>,
    /// Those over which it was ever taken, which may have left it behind.
    locked: Mutex<Vec<Target>>,
    /// Held while the lock is taken, so that it is taken once.
    pub(super) locking: tokio::sync::Mutex<()>,
    /// Handlers that were notified, by identity; see `handlers`.
    pub(super) notified: Mutex<Vec<super::handlers::Notice>>,
    /// The play whose variables and user facts are gathered with.
    facts_from: Mutex<FactsFrom>,
    /// Which facts that play wants.
    facts_request: Mutex<crate::facts::Request>,
    /// Changes that a plan would have made.
    planned: AtomicUsize,
    /// What those changes would have made.
    made: Mutex<Vec<Thing>>,
    /// What they would have made, changed or removed.
    touched: Mutex<Vec<Thing>>,
    in_play: AtomicBool,
    /// How many blocks with a `rescue` it is in.
    guards: AtomicUsize,
    lacks_secret: AtomicBool,
    /// Held while facts are gathered, so that they are gathered once.
    pub(super) gathering: tokio::sync::Mutex<()>,
    /// When facts were gathered: how many changes had been made.
    pub(super) facts_mark: AtomicU64,
}

/// Whether a path is this one, or below it.
fn is_in(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || root.is_empty())
}

/// Whether a text names a path, or one below it, as a whole word.
fn mentions(text: &str, path: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    path.len() > 1
        && text.match_indices(path).any(|(at, _)| {
            let after = text.get(at + path.len()..).unwrap_or_default().chars().next();
            let before = text.get(..at).unwrap_or_default().chars().next_back();
            !after.is_some_and(is_name) && !before.is_some_and(|c| is_name(c) || c == '/')
        })
}

impl Host {
    /// A host that is not connected yet.
    pub fn new(vars: Arc<HostVars>) -> Self {
        let counts = HostSummary { host: vars.name.clone(), ..HostSummary::default() };
        Self {
            vars,
            connections: Mutex::default(),
            health: Mutex::default(),
            counts: Mutex::new(counts),
            ahead: Mutex::default(),
            bets: Mutex::default(),
            intent: Mutex::default(),
            held: Mutex::default(),
            locked: Mutex::default(),
            locking: tokio::sync::Mutex::default(),
            notified: Mutex::default(),
            facts_from: Mutex::default(),
            facts_request: Mutex::default(),
            planned: AtomicUsize::new(0),
            made: Mutex::default(),
            touched: Mutex::default(),
            in_play: AtomicBool::new(false),
            guards: AtomicUsize::new(0),
            lacks_secret: AtomicBool::new(false),
            gathering: tokio::sync::Mutex::default(),
            facts_mark: AtomicU64::new(0),
        }
    }

    /// Inventory name.
    pub fn name(&self) -> &str {
        &self.vars.name
    }

    /// Whether a play selected it (and not only `delegate_to`).
    pub fn in_play(&self) -> bool {
        self.in_play.load(Ordering::Relaxed)
    }

    pub(super) fn enter_play(&self) {
        self.in_play.store(true, Ordering::Relaxed);
        let mut health = lock(&self.health);
        if *health == Health::Ended {
            *health = Health::Active;
        }
    }

    pub(super) fn set_facts_from(&self, play: Arc<PlayVars>, root: Arc<Parent>, request: crate::facts::Request) {
        *lock(&self.facts_from) = Some((play, Some(root)));
        *lock(&self.facts_request) = request;
    }

    pub(super) fn facts_request(&self) -> crate::facts::Request {
        lock(&self.facts_request).clone()
    }

    pub(super) fn facts_from(&self) -> FactsFrom {
        lock(&self.facts_from).clone()
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    pub(super) fn set_health(&self, health: Health) {
        *lock(&self.health) = health;
    }

    /// Whether tasks are run on it.
    pub fn is_active(&self) -> bool {
        *lock(&self.health) == Health::Active
    }

    /// Whether it failed or cannot be reached.
    pub fn is_lost(&self) -> bool {
        matches!(*lock(&self.health), Health::Failed { .. } | Health::Unreachable)
    }

    /// Enters a block with a `rescue`.
    pub(super) fn enter_guard(&self) {
        self.guards.fetch_add(1, Ordering::Relaxed);
    }

    /// Leaves it.
    pub(super) fn leave_guard(&self) {
        self.guards.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a `rescue` takes over when a task fails now.
    pub(super) fn is_guarded(&self) -> bool {
        self.guards.load(Ordering::Relaxed) > 0
    }

    /// Notes that it failed because a secret could not be read.
    pub(super) fn note_lacking_secret(&self) {
        self.lacks_secret.store(true, Ordering::Relaxed);
    }

    /// Whether it failed because a secret could not be read.
    pub(super) fn lacks_secret(&self) -> bool {
        self.lacks_secret.load(Ordering::Relaxed)
    }

    /// The counts so far.
    pub fn summary(&self) -> HostSummary {
        lock(&self.counts).clone()
    }

    pub(super) fn count(&self, status: Status) {
        let mut counts = lock(&self.counts);
        match status {
            Status::Ok => counts.ok += 1,
            Status::Changed => counts.changed += 1,
            Status::Unknown => counts.unknown += 1,
            Status::Skipped => counts.skipped += 1,
            Status::Failed => counts.failed += 1,
            Status::Ignored => counts.ignored += 1,
            Status::Rescued => {
                counts.failed = counts.failed.saturating_sub(1);
                counts.rescued += 1;
            }
        }
    }

    pub(super) fn count_unreachable(&self) {
        lock(&self.counts).unreachable = true;
    }

    /// Notes a change that a plan does not make: what it would have made, and what else it would have changed.
    pub(super) fn plan_change(&self, made: Vec<Thing>, touched: Vec<Thing>) {
        self.planned.fetch_add(1, Ordering::Relaxed);
        lock(&self.touched).extend(made.iter().cloned().chain(touched));
        lock(&self.made).extend(made);
    }

    /// Whether a change of the plan makes, changes or removes this very thing; of a tree, anything in it.
    pub(super) fn plan_touches(&self, thing: &Thing) -> bool {
        let touched = lock(&self.touched);
        match thing {
            Thing::Tree(root) => touched.iter().any(|other| match other {
                Thing::Path(path) => is_in(path, root),
                Thing::Tree(path) => is_in(path, root) || is_in(root, path),
                _ => false,
            }),
            Thing::Path(path) => touched.iter().any(|other| match other {
                Thing::Tree(root) => is_in(path, root),
                _ => other == thing,
            }),
            _ => touched.contains(thing),
        }
    }

    /// A path that a change of the plan touches and that stands in this text.
    pub(super) fn plan_touches_in(&self, text: &str) -> Option<Thing> {
        let touched = lock(&self.touched);
        let named = |thing: &&Thing| match thing {
            Thing::Path(path) | Thing::Tree(path) => mentions(text, path),
            _ => false,
        };
        touched.iter().find(named).cloned()
    }

    /// Whether a change of the plan makes this thing.
    pub(super) fn plan_makes(&self, thing: &Thing) -> bool {
        let made = lock(&self.made);
        match thing {
            // Directories are made with those above them.
            Thing::Path(path) => {
                let below = format!("{path}/");
                made.iter().any(|made| matches!(made, Thing::Path(made) if made == path || made.starts_with(&below)))
            }
            _ => made.contains(thing),
        }
    }

    /// Whether a plan has changes that were not made.
    pub fn has_planned(&self) -> bool {
        self.planned.load(Ordering::Relaxed) > 0
    }

    /// The connection, made when first asked for; later callers wait for the same one. Whoever has made it also gets how long
    /// connecting and logging in took.
    pub(super) async fn connection(
        &self,
        connector: &dyn Connector,
        target: &Target,
    ) -> Result<(Arc<dyn Connection>, Option<Duration>), ConnectionError> {
        let cell = self.line(target);
        let mut took = None;
        let connect = async || {
            let started = Instant::now();
            let connection = connector.connect(target).await?;
            took = Some(started.elapsed());
            Ok(connection)
        };
        let connection = cell.get_or_try_init(connect).await.cloned()?;
        Ok((connection, took))
    }

    /// What the task at hand would notify.
    pub(super) fn intent(&self) -> Option<super::journal::Intent> {
        lock(&self.intent).clone()
    }

    pub(super) fn set_intent(&self, intent: Option<super::journal::Intent>) {
        *lock(&self.intent) = intent;
    }

    /// Whether this run has the host's lock over this connection.
    pub(super) fn holds(&self, target: &Target) -> bool {
        lock(&self.held).contains(target)
    }

    pub(super) fn note_held(&self, target: &Target) {
        lock(&self.held).push(target.clone());
        let mut locked = lock(&self.locked);
        if !locked.contains(target) {
            locked.push(target.clone());
        }
    }

    /// The connections over which the lock was taken; it is not held any longer.
    pub(super) fn take_locked(&self) -> Vec<Target> {
        lock(&self.held).clear();
        std::mem::take(&mut *lock(&self.locked))
    }

    fn line(&self, target: &Target) -> Arc<OnceCell<Arc<dyn Connection>>> {
        let mut lines = lock(&self.connections);
        if let Some((_, cell)) = lines.iter().find(|(known, _)| known == target) {
            return Arc::clone(cell);
        }
        let cell = Arc::default();
        lines.push((target.clone(), Arc::clone(&cell)));
        cell
    }

    /// Whether it is connected this way.
    pub(super) fn is_connected(&self, target: &Target) -> bool {
        lock(&self.connections).iter().any(|(known, cell)| known == target && cell.initialized())
    }

    /// Whether a task failed on it for good: no `rescue` around can take over.
    pub(super) fn failed_for_good(&self) -> bool {
        matches!(*lock(&self.health), Health::Failed { .. }) && self.guards.load(Ordering::Relaxed) == 0
    }

    /// Forgets the connections, so that the next task connects anew.
    pub(super) async fn disconnect(&self) {
        self.forget_ahead();
        // The lock ends with the shell.
        lock(&self.held).clear();
        let lines = std::mem::take(&mut *lock(&self.connections));
        for (_, cell) in lines {
            if let Some(connection) = cell.get() {
                connection.close().await;
            }
        }
    }

    pub(super) async fn close(&self) {
        self.disconnect().await;
    }

    /// Sends a probe before its task is reached. The answer waits until [`Host::take_ahead`] asks for exactly this probe.
    pub(super) fn send_ahead(&self, shell: &Arc<dyn Shell>, asking: Asking<'_>, probe: Probe, mark: u64, frame: Frame) {
        let answer = shell.submit(frame);
        let sent = Ahead {
            target: asking.target.clone(),
            user: asking.user.cloned(),
            environment: asking.environment.to_owned(),
            probe,
            mark,
            answer,
        };
        lock(&self.ahead).push_back(sent);
    }

    /// Whether this probe was sent ahead.
    pub(super) fn has_ahead(&self, asking: Asking<'_>, probe: &Probe) -> bool {
        lock(&self.ahead).iter().any(|sent| sent.answers(asking, probe))
    }

    /// The answer to a probe that was sent ahead, if nothing was changed since.
    pub(super) fn take_ahead(
        &self,
        asking: Asking<'_>,
        probe: &Probe,
        mark: u64,
    ) -> Option<BoxFuture<'static, Result<Answer, ConnectionError>>> {
        let mut ahead = lock(&self.ahead);
        ahead.retain(|sent| sent.mark == mark);
        let index = ahead.iter().position(|sent| sent.answers(asking, probe))?;
        ahead.remove(index).map(|sent| sent.answer)
    }

    /// How many probes were sent ahead and not used yet.
    pub(super) fn count_ahead(&self) -> usize {
        lock(&self.ahead).len()
    }

    /// Whether a task was looked at ahead since this mark.
    pub(super) fn has_bet(&self, task: usize, mark: u64) -> bool {
        let bets = lock(&self.bets);
        bets.0 == mark && bets.1.contains(&task)
    }

    /// Notes that a task was looked at ahead.
    pub(super) fn note_bet(&self, task: usize, mark: u64) {
        let mut bets = lock(&self.bets);
        if bets.0 != mark {
            *bets = (mark, HashSet::new());
        }
        bets.1.insert(task);
    }

    /// What was sent ahead is of no use any longer.
    pub(super) fn forget_ahead(&self) {
        lock(&self.bets).1.clear();
        lock(&self.ahead).clear();
    }
}

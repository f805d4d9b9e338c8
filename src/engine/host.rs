//! One host during a run: its connection, how it is doing, and probes that were sent ahead.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::Connector;
use crate::connection::{Answer, Become, Connection, ConnectionError, Frame, Shell, Target};
use crate::event::{HostSummary, Status};
use crate::modules::{Probe, Thing};
use crate::playbook::Parent;
use crate::value::Fields;
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
        /// Its result.
        result: Fields,
    },
    /// It cannot be reached.
    Unreachable,
    /// `meta: end_host` and the like: nothing more is run in this play.
    Ended,
}

/// A probe that was sent before its task was reached.
struct Ahead {
    user: Option<Become>,
    environment: String,
    probe: Probe,
    /// See [`super::ahead::Changes::current`].
    mark: u64,
    answer: BoxFuture<'static, Result<Answer, ConnectionError>>,
}

type FactsFrom = Option<(Arc<PlayVars>, Option<Arc<Parent>>)>;

/// A host during a run.
pub struct Host {
    /// Its variables.
    pub vars: Arc<HostVars>,
    connection: tokio::sync::Mutex<Arc<OnceCell<Arc<dyn Connection>>>>,
    health: Mutex<Health>,
    counts: Mutex<HostSummary>,
    ahead: Mutex<VecDeque<Ahead>>,
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
    in_play: AtomicBool,
    /// How many blocks with a `rescue` it is in.
    guards: AtomicUsize,
    lacks_secret: AtomicBool,
}

/// Locks that are never held across a panic hold plain data: a poisoned one is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// A host that is not connected yet.
    pub fn new(vars: Arc<HostVars>) -> Self {
        let counts = HostSummary { host: vars.name.clone(), ..HostSummary::default() };
        Self {
            vars,
            connection: tokio::sync::Mutex::default(),
            health: Mutex::default(),
            counts: Mutex::new(counts),
            ahead: Mutex::default(),
            notified: Mutex::default(),
            facts_from: Mutex::default(),
            facts_request: Mutex::default(),
            planned: AtomicUsize::new(0),
            made: Mutex::default(),
            in_play: AtomicBool::new(false),
            guards: AtomicUsize::new(0),
            lacks_secret: AtomicBool::new(false),
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

    /// Notes a change that a plan does not make, and what it would have made.
    pub(super) fn plan_change(&self, made: Vec<Thing>) {
        self.planned.fetch_add(1, Ordering::Relaxed);
        lock(&self.made).extend(made);
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

    /// The connection, made when first asked for; later callers wait for the same one.
    pub(super) async fn connection(
        &self,
        connector: &dyn Connector,
        target: &Target,
    ) -> Result<Arc<dyn Connection>, ConnectionError> {
        let cell = Arc::clone(&*self.connection.lock().await);
        cell.get_or_try_init(|| connector.connect(target)).await.cloned()
    }

    /// Whether it is connected.
    pub(super) async fn is_connected(&self) -> bool {
        self.connection.lock().await.initialized()
    }

    /// Forgets the connection, so that the next task connects anew.
    pub(super) async fn disconnect(&self) {
        self.forget_ahead();
        let cell = std::mem::take(&mut *self.connection.lock().await);
        if let Some(connection) = cell.get() {
            connection.close().await;
        }
    }

    pub(super) async fn close(&self) {
        self.disconnect().await;
    }

    /// Sends a probe before its task is reached. The answer waits until [`Host::take_ahead`] asks for exactly this probe.
    pub(super) fn send_ahead(
        &self,
        shell: &Arc<dyn Shell>,
        user: Option<&Become>,
        environment: &str,
        probe: Probe,
        mark: u64,
        frame: Frame,
    ) {
        let answer = shell.submit(frame);
        let sent = Ahead { user: user.cloned(), environment: environment.to_owned(), probe, mark, answer };
        lock(&self.ahead).push_back(sent);
    }

    /// Whether this probe was sent ahead.
    pub(super) fn has_ahead(&self, user: Option<&Become>, environment: &str, probe: &Probe) -> bool {
        lock(&self.ahead)
            .iter()
            .any(|sent| sent.user.as_ref() == user && sent.environment == environment && sent.probe == *probe)
    }

    /// The answer to a probe that was sent ahead, if nothing was changed since.
    pub(super) fn take_ahead(
        &self,
        user: Option<&Become>,
        environment: &str,
        probe: &Probe,
        mark: u64,
    ) -> Option<BoxFuture<'static, Result<Answer, ConnectionError>>> {
        let mut ahead = lock(&self.ahead);
        ahead.retain(|sent| sent.mark == mark);
        let wanted =
            |sent: &Ahead| sent.user.as_ref() == user && sent.environment == environment && sent.probe == *probe;
        let index = ahead.iter().position(wanted)?;
        ahead.remove(index).map(|sent| sent.answer)
    }

    /// How many probes were sent ahead and not used yet.
    pub(super) fn count_ahead(&self) -> usize {
        lock(&self.ahead).len()
    }

    /// Something changes on the host: what was seen before may be stale.
    pub(super) fn forget_ahead(&self) {
        lock(&self.ahead).clear();
    }
}

//! Runs playbooks: Ansible's linear strategy in meaning, pipelined in time.
//!
//! [`Engine::run`] takes plays one after the other ([`play`]), walks their lists of tasks and blocks ([`list`]), runs each task on
//! its hosts concurrently ([`task`]), and on one host evaluates loop, `when` and arguments ([`item`]) and drives the module through
//! probe, plan and apply ([`drive`]). Check mode, diff, retries, results, handlers and probing ahead ([`ahead`]) live here and in no
//! module. It emits [`crate::event::Event`]s and prints nothing.

mod ahead;
mod ask;
mod builtin;
mod drive;
mod evaluate;
mod failed_task;
mod handlers;
mod host;
mod include;
mod item;
mod journal;
mod list;
mod lock;
mod play;
mod result;
mod target;
mod task;
mod workstation;

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::connection::{Connection, ConnectionError, Prompter, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Sink, Summary};
use crate::inventory::Growth;
use crate::modules::Kind;
use crate::playbook::{Loader, Playbook};
use crate::secret::Redactor;
use crate::sync::lock;
use crate::template::Templar;
use crate::vars::World;

pub use ask::{Question, Reached};
pub use builtin::takes_expressions;
pub use host::Host;
pub use lock::LockOptions;
pub use target::TargetDefaults;

/// Makes connections. The real one is `connection::connect`; tests put a scripted one here.
pub trait Connector: Send + Sync {
    /// Connects and logs in.
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Arc<dyn Connection>, ConnectionError>>;
}

/// Picks hosts by pattern. Implemented by `inventory`.
pub trait Hosts: Send + Sync {
    /// The hosts that a play's pattern matches, `--limit` applied, in order; `growth` is what the run has
    /// added to the inventory.
    fn select(&self, pattern: &str, growth: &Growth) -> Result<Vec<String>>;
}

/// Opens encrypted files on the workstation.
pub trait Secrets: Send + Sync {
    /// The plaintext if the content is an encrypted file, else the content itself.
    fn open(&self, path: &Path, content: Vec<u8>) -> Result<Vec<u8>>;
}

/// Everything a run needs, put together by the caller.
pub struct Parts {
    /// Hosts, variables and options.
    pub world: Arc<World>,
    /// The template engine.
    pub templar: Templar,
    /// Reads included files.
    pub loader: Loader,
    /// Makes connections.
    pub connector: Arc<dyn Connector>,
    /// Picks hosts.
    pub hosts: Arc<dyn Hosts>,
    /// Opens vault files.
    pub secrets: Arc<dyn Secrets>,
    /// Where events go.
    pub sink: Arc<dyn Sink>,
    /// Where secret arguments are registered.
    pub redactor: Redactor,
    /// How hosts are reached when their variables do not say.
    pub target: TargetDefaults,
    /// Asks the person at the terminal (`pause`).
    pub prompter: Arc<dyn Prompter>,
    /// `--start-at-task`.
    pub start_at: Option<String>,
    /// `--force-handlers`.
    pub force_handlers: bool,
    /// Whether handlers that are owed are noted on the hosts; see [`journal`].
    pub journal: bool,
    /// How hosts are locked against other runs; not at all when not set. See [`lock`].
    pub lock: Option<LockOptions>,
}

/// Runs playbooks on hosts.
pub struct Engine {
    parts: Parts,
    /// Hosts that were touched so far, so that connections and facts outlive a play.
    hosts: std::sync::Mutex<indexmap::IndexMap<String, Arc<Host>>>,
    forks: Arc<Semaphore>,
    changes: ahead::Changes,
    start_at: std::sync::Mutex<Option<String>>,
    journal: journal::Journal,
    /// What tells this run from others on a host.
    run: String,
    /// How many probes may be under way ahead; none with 0.
    window: usize,
}

impl Engine {
    /// An engine of these parts.
    pub fn new(parts: Parts) -> Self {
        // The template engine reaches other hosts' variables through the world; a second engine of the same world shares it.
        let _ = parts.world.templar.set(parts.templar.clone());
        let forks = Arc::new(Semaphore::new(parts.world.options.forks.max(1)));
        let start_at = std::sync::Mutex::new(parts.start_at.clone());
        Self {
            parts,
            hosts: std::sync::Mutex::default(),
            forks,
            changes: ahead::Changes::default(),
            start_at,
            journal: journal::Journal::default(),
            run: format!("{:032x}", rand::random::<u128>()),
            window: ahead::WINDOW,
        }
    }

    /// Another number of probes that may be under way ahead of the task that is run; with 0 each waits for its task. What
    /// tasks do and report does not depend on it.
    #[must_use]
    pub fn with_window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// Runs every play. Failures of tasks are in the summary; an error means that the playbook itself could not be run.
    /// Connections are closed in every case.
    pub async fn run(&self, playbook: &Playbook) -> Result<Summary> {
        let started = std::time::Instant::now();
        let mut outcome = Ok(());
        for play in &playbook.plays {
            match self.run_play(play).await {
                Ok(true) => {}
                Ok(_) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if outcome.is_ok()
            && !self.all_lost()
            && let Some(name) = lock(&self.start_at).as_ref()
        {
            outcome = Err(Error::user(format!("no task is called `{name}`")).hint("`--list-tasks` shows their names"));
        }
        self.settle_journal().await;
        self.finish().await;
        // Those that the run added come last.
        let mut hosts: Vec<Arc<Host>> = self.known_hosts();
        hosts.sort_by_key(|host| self.parts.world.hosts.get_index_of(host.name()).unwrap_or(usize::MAX));
        let summary = Summary {
            hosts: hosts.iter().filter(|host| host.in_play()).map(|host| host.summary()).collect(),
            duration: started.elapsed(),
            check: self.parts.world.options.check,
            secret: hosts.iter().any(|host| host.lacks_secret()),
        };
        self.parts.sink.emit(Event::Finished(summary.clone()));
        outcome.map(|()| summary)
    }

    /// Gives the locks back, then closes every connection: the end of what was not told to end.
    pub async fn finish(&self) {
        let known = self.known_hosts();
        futures::future::join_all(known.iter().map(|host| self.let_go(host))).await;
        self.close().await;
    }

    /// Closes every connection and kills what still runs on the targets. Also for Ctrl-C: locks end with the shells that hold them,
    /// not before what they protect has ended.
    pub async fn close(&self) {
        let hosts = self.known_hosts();
        futures::future::join_all(hosts.iter().map(|host| host.close())).await;
    }

    fn known_hosts(&self) -> Vec<Arc<Host>> {
        lock(&self.hosts).values().cloned().collect()
    }

    /// Whether no host is left to work on.
    fn all_lost(&self) -> bool {
        let hosts: Vec<_> = self.known_hosts().into_iter().filter(|host| host.in_play()).collect();
        !hosts.is_empty() && hosts.iter().all(|host| host.is_lost())
    }

    /// The host of a name, made when first used. Names that are not in the inventory are allowed for `delegate_to`.
    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        let host = hosts.entry(name.to_owned()).or_insert_with(|| {
            let vars = self.parts.world.host(name);
            Arc::new(Host::new(vars))
        });
        Arc::clone(host)
    }
}

/// What a whole run ends with.
pub fn exit_kind(summary: &Summary) -> Option<ErrorKind> {
    if summary.secret {
        return Some(ErrorKind::Vault);
    }
    if summary.hosts.iter().any(|host| host.failed > 0) {
        return Some(ErrorKind::Failed);
    }
    summary.hosts.iter().any(|host| host.unreachable).then_some(ErrorKind::Unreachable)
}

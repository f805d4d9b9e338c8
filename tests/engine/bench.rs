//! A workbench for the engine: hosts that are this machine (or a scripted connection), a playbook in a directory of its own, and
//! what happened as lines of text.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use indexmap::IndexMap;
use mms::connection::fake::Fake;
use mms::connection::{
    Answer, Become, ConnectOptions, Connection, ConnectionError, ConnectionErrorKind, Frame, Nobody, Shell, Target,
    TransportKind,
};
use mms::diagnostic::{Source, Span};
use mms::engine::{Connector, Engine, Hosts, LockOptions, Parts, Secrets, TargetDefaults};
use mms::error::{Error, Result};
use mms::event::{Event, Sink, Status, Summary};
use mms::inventory::Growth;
use mms::playbook::{Files, Loader, TagFilter, Vars};
use mms::secret::Redactor;
use mms::template::{NoVariables, Scope, Services, Templar};
use mms::value::{Raw, Value};
use mms::vars::{HostVars, RunOptions, World};
use mms::yaml::Node;
use tokio::sync::mpsc;

/// A run to be made.
#[derive(Debug, Clone, Default)]
pub struct Bench {
    /// Inventory names.
    pub hosts: Vec<String>,
    /// Groups beside `all`.
    pub groups: IndexMap<String, Vec<String>>,
    /// The directory with `play.yml`.
    pub dir: PathBuf,
    pub check: bool,
    pub tags: Vec<String>,
    pub skip_tags: Vec<String>,
    pub start_at: Option<String>,
    /// Probes under way ahead; the engine's own number when not set.
    pub window: Option<usize>,
    /// A scripted connection that answers every script with how it was reached, instead of this machine.
    pub fake: bool,
    /// Whether handlers are noted and hosts are locked.
    pub guarded: bool,
    /// The run is killed when this many tasks have ended.
    pub kill_after: Option<usize>,
}

/// What came of it.
#[derive(Debug)]
pub struct Told {
    pub lines: String,
    pub outcome: Option<Result<Summary>>,
    /// How many scripts were sent.
    pub frames: usize,
    /// How often one was sent while none was under way: what a long way to the host costs.
    pub rounds: usize,
}

impl Told {
    pub fn changed(&self) -> usize {
        match &self.outcome {
            Some(Ok(summary)) => summary.hosts.iter().map(|host| host.changed).sum(),
            other => panic!("the run did not end: {other:?}"),
        }
    }
}

impl Bench {
    pub fn run(&self) -> Told {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.go())
    }

    async fn go(&self) -> Told {
        let templar = Templar::new(Arc::new(Plain));
        let files: Arc<dyn Files> = Arc::new(Dir(self.dir.clone()));
        let loader = Loader::new(files, templar.clone(), Arc::new(NoVariables));
        let playbook = match loader.playbook(&self.dir.join("play.yml")) {
            Ok(playbook) => playbook,
            Err(error) => {
                let lines = format!("refused: {error}\n");
                return Told { lines, outcome: Some(Err(error)), frames: 0, rounds: 0 };
            }
        };
        let listener = Arc::new(Listener {
            hosts: self.hosts.clone(),
            kill_after: self.kill_after,
            told: Mutex::default(),
            killed: tokio::sync::Notify::new(),
        });
        let redactor = Redactor::default();
        let traffic = Arc::new(Traffic::default());
        let engine = Engine::new(Parts {
            world: self.world(),
            templar,
            loader,
            connector: Arc::new(Wires { fake: self.fake, redactor: redactor.clone(), traffic: Arc::clone(&traffic) }),
            hosts: Arc::new(Names { hosts: self.hosts.clone(), groups: self.groups.clone() }),
            secrets: Arc::new(Plain),
            sink: Arc::clone(&listener) as Arc<dyn Sink>,
            redactor,
            target: TargetDefaults::default(),
            prompter: Arc::new(Nobody),
            start_at: self.start_at.clone(),
            force_handlers: false,
            journal: self.guarded,
            lock: self.guarded.then(|| LockOptions {
                owner: "test".to_owned(),
                what: "a test".to_owned(),
                patience: std::time::Duration::from_secs(60),
            }),
        });
        let engine = match self.window {
            Some(window) => engine.with_window(window),
            None => engine,
        };
        let outcome = tokio::select! {
            outcome = engine.run(&playbook) => Some(outcome),
            () = listener.killed.notified() => None,
        };
        if outcome.is_none() {
            engine.close().await;
        }
        let mut lines = listener.told.lock().unwrap().finish();
        if let Some(Err(error)) = &outcome {
            lines.push_str(&format!("error: {error}\n"));
        }
        let lines = lines.replace(&self.dir.display().to_string(), "{dir}");
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Told { lines, outcome, frames: count(&traffic.frames), rounds: count(&traffic.rounds) }
    }

    fn world(&self) -> Arc<World> {
        let host = |name: &String| {
            let groups: Vec<String> =
                self.groups.iter().filter(|(_, hosts)| hosts.contains(name)).map(|(group, _)| group.clone()).collect();
            let mut vars = Vars::new();
            if !self.fake {
                vars.insert("ansible_connection".into(), Raw::Value(Value::from("local")));
            }
            (name.clone(), Arc::new(HostVars::new(name.clone(), groups, vec![Arc::new(vars)])))
        };
        let mut groups = self.groups.clone();
        groups.insert("all".to_owned(), self.hosts.clone());
        let extra = Vars::from_iter([("dir".to_owned(), Raw::Value(Value::from(self.dir.display().to_string())))]);
        Arc::new(World {
            hosts: self.hosts.iter().map(host).collect(),
            groups,
            extra: Arc::new(extra),
            options: RunOptions {
                check: self.check,
                diff: false,
                tags: TagFilter { only: self.tags.clone(), skip: self.skip_tags.clone() },
                verbosity: 0,
                forks: 5,
                limit: None,
            },
            ..World::default()
        })
    }
}

/// Turns events into lines. Hosts do the same task at the same time: their lines are put in the order of the inventory.
#[derive(Debug)]
struct Listener {
    hosts: Vec<String>,
    kill_after: Option<usize>,
    told: Mutex<Telling>,
    killed: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Telling {
    done: String,
    place: String,
    now: Vec<(usize, String)>,
    ended: usize,
}

impl Telling {
    fn finish(&mut self) -> String {
        self.now.sort_by_key(|(host, _)| *host);
        self.done.extend(self.now.drain(..).map(|(_, line)| line + "\n"));
        self.done.clone()
    }

    fn at(&mut self, place: &str) {
        if self.place != place {
            self.finish();
            place.clone_into(&mut self.place);
        }
    }
}

fn word(status: Status) -> String {
    format!("{status:?}").to_lowercase()
}

impl Sink for Listener {
    fn emit(&self, event: Event) {
        let index = |host: &str| self.hosts.iter().position(|name| name == host).unwrap_or(usize::MAX);
        let mut told = self.told.lock().unwrap();
        match event {
            Event::PlayStarted { name, .. } => {
                told.at(&format!("play {name}"));
                told.now.push((0, format!("play {name}")));
                told.finish();
            }
            Event::TaskStarted { task, .. } => told.at(&format!("{} {}", task.place, task.name)),
            Event::ItemFinished { item, host, report, .. } => {
                let line = format!("{host} {}: item {item}", word(report.status));
                told.now.push((index(&host), line));
            }
            Event::TaskFinished { task, host, report } => {
                let mut line = format!("{host} {}: {}", word(report.status), task.name);
                if matches!(report.status, Status::Failed | Status::Ignored) {
                    let msg = report.result.get("msg").map(ToString::to_string).unwrap_or_default();
                    line.push_str(&format!(": {}", msg.lines().next().unwrap_or_default()));
                }
                told.now.push((index(&host), line));
                told.ended += 1;
                if Some(told.ended) == self.kill_after {
                    self.killed.notify_one();
                }
            }
            Event::Message { host, text } => told.now.push((index(&host), format!("{host} says: {text}"))),
            Event::Unreachable { host, .. } => told.now.push((index(&host), format!("{host} unreachable"))),
            Event::Warning(warning) => {
                told.finish();
                told.done.push_str(&format!("warning: {}\n", warning.message));
            }
            Event::Finished(summary) => {
                told.finish();
                for host in summary.hosts {
                    let counts = [
                        ("ok", host.ok),
                        ("changed", host.changed),
                        ("unknown", host.unknown),
                        ("skipped", host.skipped),
                        ("failed", host.failed),
                        ("rescued", host.rescued),
                        ("ignored", host.ignored),
                    ];
                    let shown =
                        counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!(" {name}={count}"));
                    let line = format!("{}:{}\n", host.host, shown.collect::<String>());
                    told.done.push_str(&line);
                }
            }
            Event::Connecting { .. } | Event::Connected { .. } | Event::Live { .. } => {}
        }
    }
}

struct Wires {
    fake: bool,
    redactor: Redactor,
    traffic: Arc<Traffic>,
}

/// What went over the connections.
#[derive(Debug, Default)]
struct Traffic {
    frames: AtomicUsize,
    rounds: AtomicUsize,
    under_way: AtomicUsize,
}

/// A connection that counts.
struct Counted(Arc<dyn Connection>, Arc<Traffic>);

/// A shell that counts.
struct CountedShell(Arc<dyn Shell>, Arc<Traffic>);

impl Shell for CountedShell {
    fn submit(&self, frame: Frame) -> BoxFuture<'static, Result<Answer, ConnectionError>> {
        let traffic = Arc::clone(&self.1);
        traffic.frames.fetch_add(1, Ordering::SeqCst);
        if traffic.under_way.fetch_add(1, Ordering::SeqCst) == 0 {
            traffic.rounds.fetch_add(1, Ordering::SeqCst);
        }
        let answer = self.0.submit(frame);
        // Whether or not somebody waits for it.
        let answer = tokio::spawn(async move {
            let answer = answer.await;
            traffic.under_way.fetch_sub(1, Ordering::SeqCst);
            answer
        });
        Box::pin(async { answer.await.unwrap() })
    }
}

impl Connection for Counted {
    fn shell<'a>(&'a self, user: Option<&'a Become>) -> BoxFuture<'a, Result<Arc<dyn Shell>, ConnectionError>> {
        Box::pin(async move {
            let shell = self.0.shell(user).await?;
            Ok(Arc::new(CountedShell(shell, Arc::clone(&self.1))) as Arc<dyn Shell>)
        })
    }

    fn send_file<'a>(
        &'a self,
        user: Option<&'a Become>,
        from: &'a Path,
        command: &'a str,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        self.0.send_file(user, from, command)
    }

    fn receive_file<'a>(
        &'a self,
        user: Option<&'a Become>,
        command: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        self.0.receive_file(user, command, to)
    }

    fn send_pieces<'a>(
        &'a self,
        user: Option<&'a Become>,
        command: &'a str,
        pieces: mpsc::Receiver<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        self.0.send_pieces(user, command, pieces)
    }

    fn receive_pieces<'a>(
        &'a self,
        user: Option<&'a Become>,
        command: &'a str,
        pieces: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, ConnectionError>> {
        self.0.receive_pieces(user, command, pieces)
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>> {
        self.0.reset()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

impl Connector for Wires {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Arc<dyn Connection>, ConnectionError>> {
        Box::pin(async move {
            if !self.fake {
                let options = ConnectOptions { redactor: self.redactor.clone(), prompter: Arc::new(Nobody) };
                let connection = mms::connection::connect(target, &options).await?;
                return Ok(Arc::new(Counted(connection, Arc::clone(&self.traffic))) as Arc<dyn Connection>);
            }
            if target.name.starts_with("gone") {
                return Err(ConnectionError::new(ConnectionErrorKind::Unreachable, "no route to host"));
            }
            let kind = if target.kind == TransportKind::Local { "local" } else { "ssh" };
            let how = format!("{kind} {}@{}", target.user.as_deref().unwrap_or("-"), target.name);
            let fake = Fake::new(move |_| Ok(Answer { rc: 0, stdout: how.clone().into_bytes(), stderr: vec![] }));
            Ok(Arc::new(fake) as Arc<dyn Connection>)
        })
    }
}

struct Names {
    hosts: Vec<String>,
    groups: IndexMap<String, Vec<String>>,
}

impl Hosts for Names {
    fn select(&self, pattern: &str, growth: &Growth) -> Result<Vec<String>> {
        let mut found: Vec<String> = vec![];
        for term in pattern.split(',') {
            match self.groups.get(term).or_else(|| growth.members.get(term)) {
                Some(hosts) => found.extend(hosts.iter().cloned()),
                None if term == "all" => found.extend(self.hosts.iter().cloned()),
                None if term == "localhost" => found.push(term.to_owned()),
                None => found.extend(self.hosts.iter().filter(|host| *host == term).cloned()),
            }
        }
        Ok(found)
    }
}

#[derive(Debug)]
struct Plain;

impl Services for Plain {
    fn decrypt(&self, _: Option<&str>, _: &str, _: &Span) -> Result<String> {
        Err(Error::user("there is no vault here"))
    }

    fn find_file(&self, _: &dyn Scope, _: &str, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(name)).filter(|path| path.exists())
    }
}

impl Secrets for Plain {
    fn open(&self, _: &Path, content: Vec<u8>) -> Result<Vec<u8>> {
        Ok(content)
    }
}

struct Dir(PathBuf);

impl Files for Dir {
    fn yaml(&self, path: &Path) -> Result<Node> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))?;
        mms::yaml::parse(&Source::new(self.shown(path), text)).map(|parsed| parsed.node)
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.0).unwrap_or(path).display().to_string()
    }

    fn role_paths(&self) -> Vec<PathBuf> {
        vec![]
    }

    fn root(&self) -> PathBuf {
        self.0.clone()
    }
}

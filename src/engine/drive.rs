//! Driving a module on a host: probe, plan, and unless this is a plan, apply.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::host::{Asking, Host};
use super::lock::Held;
use super::result::Done;
use super::workstation::TaskWorkstation;
use super::{Engine, Kind};
use crate::connection::{
    Answer, Become, Connection, ConnectionError, ConnectionErrorKind, Frame, Shell, Target, TransportKind,
};
use crate::event::{Event, Status};
use crate::modules::{
    ActionModule, Args, Change, Context, Diff, Failure, Gate, Host as ModuleHost, Next, Outcome, Probe, StateModule,
    Step, Thing,
};
use crate::playbook::Task;
use crate::sync::lock;
use crate::value::{Fields, Value};

/// Why a task did not get a result.
#[derive(Debug)]
pub enum Trouble {
    /// It failed.
    Failure(Failure),
    /// The host cannot be reached.
    Unreachable(ConnectionError),
    /// A plan cannot tell how it is to be run: a keyword depends on what is known only after a change.
    Unknown(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<ConnectionError> for Trouble {
    fn from(error: ConnectionError) -> Self {
        if error.kind.is_unreachable() {
            return Self::Unreachable(error);
        }
        let mut failure = Failure::new(error.message);
        failure.hints = error.hints;
        failure.missing = error.kind == ConnectionErrorKind::NoSuchUser;
        Self::Failure(failure)
    }
}

/// Where and how one task runs.
#[derive(Clone)]
pub struct Site {
    /// The host it runs on.
    pub host: Arc<Host>,
    /// The host whose task it is: another one with `delegate_to`.
    pub owner: Arc<Host>,
    /// `ansible_delegated_vars`, with `delegate_to`.
    pub delegated: Option<Value>,
    /// How `host` is reached.
    pub target: Target,
    /// Whom to become.
    pub user: Option<Become>,
    /// Shell text that exports `environment:`.
    pub environment: String,
    /// Whether nothing is to be changed.
    pub check: bool,
    /// Whether somebody will look at the diff.
    pub diff: bool,
    /// `no_log:`: nothing that comes out of it is shown.
    pub no_log: bool,
    /// `timeout:`.
    pub time_limit: Option<Duration>,
}

impl Site {
    /// In a plan, a user that an earlier change makes cannot look yet: root looks instead, and sees the same.
    fn instead_of_planned_user(&self) -> Option<Self> {
        let user = self.user.as_ref().filter(|_| self.check)?;
        let planned = self.host.plan_makes(&Thing::User(user.user.clone()));
        planned.then(|| Self { user: Some(Become { user: "root".to_owned(), ..user.clone() }), ..self.clone() })
    }

    /// Where its probes are asked.
    pub(super) fn asking(&self) -> Asking<'_> {
        Asking { target: &self.target, user: self.user.as_ref(), environment: &self.environment }
    }

    /// A frame of a script in the task's environment.
    fn frame(&self, script: &str, stdin: Option<Vec<u8>>) -> Frame {
        Frame { script: format!("{}{script}", self.environment), stdin, live: None, timeout: self.time_limit }
    }
}

impl Engine {
    pub(super) async fn shell(&self, site: &Site, user: Option<&Become>) -> Result<Arc<dyn Shell>, ConnectionError> {
        let shell = self.connect(site).await?.shell(user).await?;
        self.ask_owed(&site.host, &site.target, user, &shell);
        Ok(shell)
    }

    async fn connect(&self, site: &Site) -> Result<Arc<dyn Connection>, ConnectionError> {
        if !site.host.is_connected(&site.target) {
            self.parts.sink.emit(Event::Connecting { host: site.host.name().to_owned() });
        }
        let (connection, took) = site.host.connection(self.parts.connector.as_ref(), &site.target).await?;
        if let Some(duration) = took.filter(|_| site.target.kind == TransportKind::Ssh) {
            self.parts.sink.emit(Event::Connected { host: site.host.name().to_owned(), duration });
        }
        Ok(connection)
    }

    /// The answer to a probe: the one that was sent ahead, or a fresh one.
    pub(super) async fn probe(&self, site: &Site, probe: &Probe) -> Result<Answer, Trouble> {
        let ahead = self.changes.current().and_then(|mark| site.host.take_ahead(site.asking(), probe, mark));
        if let Some(answer) = ahead {
            return Ok(answer.await?);
        }
        let shell = self.shell(site, site.user.as_ref()).await?;
        Ok(shell.submit(site.frame(&probe.script, probe.stdin.clone())).await?)
    }

    /// Sends a probe whose answer a later task will ask for, if the shell is open already.
    pub(super) async fn probe_ahead(&self, site: &Site, probe: Probe) -> Result<(), ConnectionError> {
        let Some(mark) = self.changes.current() else { return Ok(()) };
        let shell = self.shell(site, site.user.as_ref()).await?;
        let frame = site.frame(&probe.script, probe.stdin.clone());
        site.host.send_ahead(&shell, site.asking(), probe, mark, frame);
        Ok(())
    }

    /// Runs a module with its final arguments.
    pub(super) async fn drive(
        &self,
        task: &Task,
        site: &Site,
        workstation: &TaskWorkstation<'_>,
        args: &Args,
    ) -> Result<Done, Trouble> {
        let user = site.user.as_ref().map(|user| user.user.as_str()).or(site.target.user.as_deref());
        let cx = Context { check: site.check, diff: site.diff, user, workstation };
        let outcome = match task.module.kind {
            Kind::State(module) => match site.instead_of_planned_user() {
                Some(site) => self.drive_state(task, module, &cx, &site, args).await,
                None => self.drive_state(task, module, &cx, site, args).await,
            },
            Kind::Action(module) => self.drive_action(module, &cx, site, args).await,
            Kind::Engine => Err(Failure::new(format!("`{}` is not run on a host", task.module_name)).into()),
        };
        match outcome {
            Err(Trouble::Failure(failure)) if site.check && failure.missing && site.host.has_planned() => {
                Ok(Self::foretell(task, site, args, &failure))
            }
            other => other,
        }
    }

    /// What a plan says of a task that lacks something now.
    fn foretell(task: &Task, site: &Site, args: &Args, failure: &Failure) -> Done {
        let makes = match task.module.kind {
            Kind::State(module) => module.makes(args),
            Kind::Action(_) | Kind::Engine => vec![],
        };
        // It cannot be as wanted while what it needs is missing, unless an earlier change brings it along.
        let sure = !failure.needs.is_empty() && failure.needs.iter().all(|need| site.host.plan_makes(need));
        if !sure || makes.iter().any(|thing| site.host.plan_makes(thing)) {
            return Done::unknown(format!("{}; an earlier change of this plan may provide it", failure.msg));
        }
        site.host.plan_change(makes, touched_by(task.module.spec.name, args, &Fields::new()));
        let needs: Vec<String> = failure.needs.iter().map(ToString::to_string).collect();
        let mut done = Done::new(Status::Changed, Fields::new());
        done.summary = vec![format!("once there is {}", needs.join(" and "))];
        done.unknown = Some("its result is known only when it is run".to_owned());
        done
    }

    async fn drive_state(
        &self,
        task: &Task,
        module: &dyn StateModule,
        cx: &Context<'_>,
        site: &Site,
        args: &Args,
    ) -> Result<Done, Trouble> {
        let mut seen = vec![];
        let (change, action) = loop {
            let next = module.plan(cx, args, &seen)?;
            if matches!(next, Next::Change(_) | Next::Action(_)) && self.hold(site).await? == Held::Waited {
                // It was seen as it was before the other run had changed it.
                seen.clear();
                continue;
            }
            match next {
                Next::Probe(probe) => seen.push(self.probe(site, &probe).await?),
                Next::Ok(fields) => {
                    if let Some(thing) = Self::planned_under(module, site, args, &fields) {
                        return Ok(Done::unknown(format!("an earlier change of this plan makes or changes {thing}")));
                    }
                    return Ok(Done::new(Status::Ok, fields));
                }
                Next::Skip(fields) => {
                    let mut done = Done::new(Status::Skipped, fields);
                    done.fields.insert("skipped".into(), Value::from(true));
                    return Ok(done);
                }
                Next::Unknown(why) => return Ok(Done::unknown(why)),
                Next::Change(change) => break (change, false),
                Next::Action(change) => break (change, true),
            }
        };
        if site.check {
            site.host.plan_change(module.makes(args), touched_by(task.module.spec.name, args, &change.result));
            let mut done = Self::changed(change.result.clone(), change);
            if action {
                // That it runs is known, what comes of it is not.
                done.unknown = Some("its result is known only when it is run".to_owned());
            }
            return Ok(done);
        }
        if action && self.parts.world.options.check {
            // `check_mode: false`: a command that only looks, which a plan runs.
            let text = args.fields().values().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            if let Some(thing) = site.host.plan_touches_in(&text) {
                return Ok(Done::unknown(format!(
                    "it names {thing}, which an earlier change of this plan makes or changes"
                )));
            }
        }
        let applied = self.apply(site, &change).await?;
        let fields = module.finish(cx, args, &change, &seen, &applied)?;
        let changed = fields.get("changed").is_none_or(Value::is_true);
        let mut done = Self::changed(fields, change);
        if !changed {
            done.status = Status::Ok;
            done.fields.insert("changed".into(), Value::from(false));
            done.summary.clear();
        }
        Ok(done)
    }

    /// What a module tells of, if the plan has changed it before.
    fn planned_under(module: &dyn StateModule, site: &Site, args: &Args, fields: &Fields) -> Option<Thing> {
        if !site.host.has_planned() {
            return None;
        }
        let exists = fields.get("stat").and_then(|stat| stat.get_attr("exists").ok());
        let missing = exists.is_some_and(|exists| !exists.is_true());
        let touched = |thing: &Thing| site.host.plan_touches(thing) || missing && site.host.plan_makes(thing);
        module.tells_of(args).into_iter().find(touched)
    }

    fn changed(fields: Fields, change: Change) -> Done {
        let mut done = Done::new(Status::Changed, fields);
        done.summary = change.summary;
        done.diff = change.diff;
        done
    }

    async fn apply(&self, site: &Site, change: &Change) -> Result<Vec<Answer>, Trouble> {
        let _changing = self.changes.begin();
        let connection = self.connect(site).await?;
        let mut owed = self.note_owed(site);
        let mut applied = vec![];
        for step in &change.steps {
            let answer = match step {
                Step::Run { script, stdin, live, timeout, check } => {
                    let mut frame = site.frame(script, stdin.clone());
                    frame.timeout = timeout.or(frame.timeout);
                    frame.live = (*live && !site.no_log).then(|| self.live(site));
                    if let Some(note) = owed.take() {
                        frame.script.insert_str(0, &note);
                    }
                    let answer = self.shell(site, site.user.as_ref()).await?.submit(frame).await?;
                    if *check && !answer.ok() {
                        return Err(step_failed(&answer).into());
                    }
                    answer
                }
                Step::Upload { from, script } => {
                    let script = format!("{}{script}", site.environment);
                    if let Some(note) = owed.take() {
                        self.shell(site, site.user.as_ref()).await?.submit(Frame::new(note)).await?;
                    }
                    let answer = connection.send_file(site.user.as_ref(), from, &script).await?;
                    if !answer.ok() {
                        return Err(step_failed(&answer).into());
                    }
                    answer
                }
                Step::Download { script, to } => {
                    if let Some(dir) = to.parent() {
                        std::fs::create_dir_all(dir)
                            .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", dir.display())))?;
                    }
                    let script = format!("{}{script}", site.environment);
                    let answer = connection.receive_file(site.user.as_ref(), &script, to).await?;
                    if !answer.ok() {
                        return Err(step_failed(&answer).into());
                    }
                    answer
                }
            };
            applied.push(answer);
        }
        Ok(applied)
    }

    /// Where the output of a running command goes: line by line into events.
    fn live(&self, site: &Site) -> mpsc::UnboundedSender<String> {
        let (sender, mut lines) = mpsc::unbounded_channel::<String>();
        let sink = Arc::clone(&self.parts.sink);
        let host = site.owner.name().to_owned();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                sink.emit(Event::Live { host: host.clone(), line });
            }
        });
        sender
    }

    async fn drive_action(
        &self,
        module: &dyn ActionModule,
        cx: &Context<'_>,
        site: &Site,
        args: &Args,
    ) -> Result<Done, Trouble> {
        let action_host = || ActionHost {
            engine: self,
            site,
            open: AtomicBool::new(false),
            unlocking: tokio::sync::Mutex::default(),
            stale: AtomicBool::new(false),
            announced: Mutex::default(),
            changing: Mutex::default(),
            lost: Mutex::default(),
        };
        let mut host = action_host();
        let mut outcome = module.run(cx, args, &host).await;
        if host.stale.load(Ordering::Relaxed) {
            // It has seen the host as it was before another run's changes, and has changed nothing.
            host = action_host();
            outcome = module.run(cx, args, &host).await;
        }
        // It may have waited for something that others do (`wait_for`).
        self.changes.waited();
        let (summary, diff) = host.announced.into_inner().unwrap_or_else(PoisonError::into_inner);
        let lost = host.lost.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut done = match outcome {
            Ok(Outcome::Ok(fields)) => return Ok(Done::new(Status::Ok, fields)),
            Ok(Outcome::Unknown(why)) => return Ok(Done::unknown(why)),
            Ok(Outcome::Skipped(fields)) => Done::new(Status::Skipped, fields),
            Ok(Outcome::Changed(fields)) => Done::new(Status::Changed, fields),
            Err(failure) => match lost {
                Some(error) => return Err(Trouble::Unreachable(error)),
                None => return Err(failure.into()),
            },
        };
        if site.check && done.status == Status::Changed {
            site.host.plan_change(vec![], vec![]);
        }
        done.summary = summary;
        done.diff = diff;
        Ok(done)
    }
}

/// The paths that a change makes, changes or removes, as far as its arguments and foretold result name them.
fn touched_by(module: &str, args: &Args, result: &Fields) -> Vec<Thing> {
    let told = |name: &str| result.get(name).and_then(Value::as_str).or_else(|| args.str(name));
    let paths = ["path", "dest"].into_iter().filter_map(told).filter(|path| path.starts_with('/'));
    let whole = match module {
        "copy" | "unarchive" => true,
        "file" => args.str("state") == Some("absent") || args.get("recurse").is_some_and(Value::is_true),
        _ => false,
    };
    let thing = |path: &str| {
        let path = path.trim_end_matches('/').to_owned();
        if whole { Thing::Tree(path) } else { Thing::Path(path) }
    };
    paths.map(thing).collect()
}

/// The failure of a step: what it wrote to stderr, or that it did not end well.
fn step_failed(answer: &Answer) -> Failure {
    let stderr = answer.stderr_text();
    let msg = stderr.trim();
    Failure::of_answer(if msg.is_empty() { "non-zero return code" } else { msg }, answer)
}

/// The host as an action module sees it.
struct ActionHost<'a> {
    engine: &'a Engine,
    site: &'a Site,
    open: AtomicBool,
    unlocking: tokio::sync::Mutex<()>,
    /// Another run had to be waited for: the module is run once more, and this time changes nothing.
    stale: AtomicBool,
    announced: Mutex<(Vec<String>, Vec<Diff>)>,
    changing: Mutex<Option<super::ahead::Changing>>,
    lost: Mutex<Option<ConnectionError>>,
}

impl ActionHost<'_> {
    fn note<T>(&self, outcome: Result<T, ConnectionError>) -> Result<T, Failure> {
        outcome.map_err(|error| {
            let failure = Failure::new(error.message.clone());
            if error.kind.is_unreachable() {
                *lock(&self.lost) = Some(error);
            }
            failure
        })
    }

    /// The become settings for another user of the host: nobody to become when that is the task's user.
    fn become_other(&self, user: &str) -> Become {
        let defaults = &self.engine.parts.target;
        match &self.site.user {
            Some(own) => Become { user: user.to_owned(), ..own.clone() },
            None => Become {
                method: crate::connection::BecomeMethod::Sudo,
                user: user.to_owned(),
                password: defaults.become_password.clone(),
                executable: None,
                flags: vec![],
            },
        }
    }

    async fn submit(&self, user: Option<&Become>, mut frame: Frame) -> Result<Answer, Failure> {
        frame.script = format!("{}{}", self.site.environment, frame.script);
        frame.timeout = frame.timeout.or(self.site.time_limit);
        let shell = self.note(self.engine.shell(self.site, user).await)?;
        self.note(shell.submit(frame).await)
    }

    /// Opens the way for changes, unless the host is locked by another run: then every change fails.
    async fn unlock(&self) {
        // What a module does at the same time opens it once, and waits for another run once.
        let _one = self.unlocking.lock().await;
        let lost = lock(&self.lost).is_some();
        if lost || self.open.load(Ordering::Relaxed) || self.stale.load(Ordering::Relaxed) {
            return;
        }
        match self.engine.hold(self.site).await {
            Ok(Held::AtOnce) => {}
            Ok(Held::Waited) => return self.stale.store(true, Ordering::Relaxed),
            Err(Trouble::Unreachable(error)) => {
                *lock(&self.lost) = Some(error);
                return;
            }
            Err(Trouble::Failure(_) | Trouble::Unknown(_)) => return,
        }
        if let Some(note) = self.engine.note_owed(self.site) {
            let shell = self.engine.shell(self.site, self.site.user.as_ref()).await;
            if let Ok(shell) = shell {
                // Without the note a handler may be lost, which is no reason not to make the change.
                let _ = shell.submit(Frame::new(note)).await;
            }
        }
        *lock(&self.changing) = Some(self.engine.changes.begin());
        self.open.store(true, Ordering::Relaxed);
    }

    fn must_be_open(&self) -> Result<(), Failure> {
        if self.open.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Failure::new("a module tried to change the host without announcing it")
            .hint("this is a mistake in mms; please report it"))
    }
}

impl ModuleHost for ActionHost<'_> {
    fn probe(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(self.submit(self.site.user.as_ref(), script))
    }

    fn probe_as<'a>(&'a self, user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move { self.submit(Some(&self.become_other(user)), script).await })
    }

    fn change<'a>(&'a self, summary: &'a [String], diff: &'a [Diff]) -> BoxFuture<'a, Gate> {
        {
            let mut announced = lock(&self.announced);
            announced.0.extend(summary.iter().cloned());
            announced.1.extend(diff.iter().cloned());
        }
        Box::pin(async move {
            if self.site.check {
                return Gate::CheckOnly;
            }
            self.unlock().await;
            Gate::Go
        })
    }

    fn run(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(async move {
            self.must_be_open()?;
            self.submit(self.site.user.as_ref(), script).await
        })
    }

    fn run_as<'a>(&'a self, user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            self.must_be_open()?;
            self.submit(Some(&self.become_other(user)), script).await
        })
    }

    fn upload<'a>(&'a self, from: &'a Path, script: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            self.must_be_open()?;
            let connection = self.note(self.engine.connect(self.site).await)?;
            let script = format!("{}{script}", self.site.environment);
            self.note(connection.send_file(self.site.user.as_ref(), from, &script).await)
        })
    }

    fn progress(&self, line: &str) {
        if self.site.no_log {
            return;
        }
        self.engine.parts.sink.emit(Event::Live { host: self.site.owner.name().to_owned(), line: line.to_owned() });
    }

    fn reconnect(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            self.site.host.disconnect().await;
            let failed = |error: ConnectionError| {
                let mut failure = Failure::new(error.message);
                failure.hints = error.hints;
                failure
            };
            let shell = self.engine.shell(self.site, self.site.user.as_ref()).await.map_err(failed)?;
            shell.submit(Frame::new(":")).await.map(|_| ()).map_err(failed)
        })
    }
}

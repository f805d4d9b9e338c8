//! Probing ahead: while one task's probe is under way, the probes of the tasks behind it are sent too, betting that nothing
//! changes. A bet is only ever a read-only script sent early. Its answer is used when the task, reached in program order, asks
//! for exactly the same script over the same connection as the same user, and nothing was changed anywhere and nobody was waited
//! for since it was sent; otherwise it is dropped. Lookups that do something (`pipe`, `password`) end the look ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Engine;
use super::host::Host;
use super::target::Around;
use crate::modules::{Context, Kind, Next};
use crate::playbook::{Item, Task};
use crate::template::Scope;
use crate::vars::{PlayVars, TaskScope};

/// How many probes may be under way ahead of the task that is being run.
pub const WINDOW: usize = 24;

/// Counts changes, so that what was seen before one is not used after it.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    finished: Arc<AtomicU64>,
    running: Arc<AtomicUsize>,
}

/// A change is being made for as long as this lives.
#[derive(Debug)]
pub struct Changing(Changes);

impl Changes {
    /// A mark that stays equal while nothing is changed; nothing while a change is under way.
    pub fn current(&self) -> Option<u64> {
        (self.running.load(Ordering::SeqCst) == 0).then(|| self.finished.load(Ordering::SeqCst))
    }

    /// How many changes were made so far.
    pub fn made(&self) -> u64 {
        self.finished.load(Ordering::SeqCst)
    }

    /// Something was waited for that happens without mms: what was seen before may be stale as after a change.
    pub fn waited(&self) {
        self.finished.fetch_add(1, Ordering::SeqCst);
    }

    /// A change starts.
    pub fn begin(&self) -> Changing {
        self.running.fetch_add(1, Ordering::SeqCst);
        Changing(self.clone())
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What comes after the task that is being run: the rest of its list, then the rest of the lists around it.
#[derive(Clone, Copy)]
pub struct Rest<'a> {
    /// The rest of this list.
    pub items: &'a [Item],
    /// What comes after this list.
    pub outer: Option<&'a Rest<'a>>,
}

impl<'a> Rest<'a> {
    /// Nothing comes after.
    pub const NONE: Rest<'static> = Rest { items: &[], outer: None };

    /// The tasks that come next if nothing fails, as far as that can be told without running anything.
    fn tasks(&self, most: usize) -> Vec<&'a Arc<Task>> {
        fn add<'a>(items: &'a [Item], tasks: &mut Vec<&'a Arc<Task>>, most: usize) -> bool {
            for item in items {
                let go_on = match item {
                    Item::Task(task) => {
                        tasks.push(task);
                        tasks.len() < most
                    }
                    Item::Block(block) => add(&block.items, tasks, most) && add(&block.always, tasks, most),
                };
                if !go_on {
                    return false;
                }
            }
            true
        }
        let mut tasks = vec![];
        let mut list = Some(self);
        while let Some(rest) = list {
            if !add(rest.items, &mut tasks, most) {
                break;
            }
            list = rest.outer;
        }
        tasks
    }
}

impl Engine {
    /// Sends the probes of the tasks that come next on this host, as far as they can be known now. Anything that is not
    /// plain (a condition that needs a result, an action, an include) ends the look ahead; it is no error.
    pub(super) async fn look_ahead(&self, task: &Task, rest: &Rest<'_>, host: &Arc<Host>, play: &Arc<PlayVars>) {
        // Behind an action, or somebody who is waited for, everything may be different.
        if matches!(task.module.kind, Kind::Action(_)) || task.module.spec.name == "pause" {
            return;
        }
        // Refill when half of the window is used up, so that most tasks cost no second evaluation.
        if self.window == 0 || host.count_ahead() > self.window / 2 || self.is_starting() {
            return;
        }
        for task in rest.tasks(self.window) {
            let Some(mark) = self.changes.current() else { return };
            let key = Arc::as_ptr(task).addr();
            if host.has_bet(key, mark) {
                continue;
            }
            if host.count_ahead() >= self.window || self.bet_on(task, host, play).await.is_none() {
                return;
            }
            host.note_bet(key, mark);
        }
    }

    /// Sends the first probes of one task. Nothing when what comes after it cannot be foretold.
    async fn bet_on(&self, task: &Arc<Task>, host: &Arc<Host>, play: &Arc<PlayVars>) -> Option<()> {
        let Kind::State(module) = task.module.kind else {
            return (task.module.spec.name == "debug" && task.until.is_empty()).then_some(());
        };
        if !task.until.is_empty()
            || task.retries.is_some()
            || task.nearest(|keywords| keywords.run_once.as_ref()).is_some()
        {
            return None;
        }
        let scope =
            TaskScope::new(&self.parts.world, play, &host.vars, Some(&task.parent), &task.keywords.vars).speculating();
        if !self.selected(task, &scope) {
            return Some(());
        }
        let items = match &task.looping {
            None => vec![scope],
            Some(looping) => {
                let items = self.loop_items(looping, &scope).await.ok()??;
                self.loop_scopes(task, &scope, &items)
            }
        };
        for scope in items {
            let conditions = task.gathered(|keywords| &keywords.when);
            match self.conditions(&conditions, &scope).await.ok()? {
                super::evaluate::Verdict::Yes => {}
                super::evaluate::Verdict::No(_) => continue,
                super::evaluate::Verdict::Unknown(_) => return None,
            }
            let site = self.site(Around::Task(task), &scope, host, play).await.ok()?;
            if !Arc::ptr_eq(&site.host, host) || !host.is_connected(&site.target) {
                return None;
            }
            let workstation = self.workstation(task, &scope, play, &site.host.vars);
            let args = self.arguments(task, &scope).await.ok()?;
            let user = site.user.as_ref().map(|user| user.user.as_str()).or(site.target.user.as_deref());
            let cx = Context { check: site.check, diff: site.diff, user, workstation: &workstation };
            match module.plan(&cx, &args, &[]).ok()? {
                Next::Probe(probe) => {
                    if !host.has_ahead(site.asking(), &probe) {
                        self.probe_ahead(&site, probe).await.ok()?;
                    }
                }
                Next::Ok(_) | Next::Skip(_) => {}
                Next::Change(_) | Next::Action(_) | Next::Unknown(_) => return None,
            }
        }
        // What comes after a task that registers can only be foretold as far as it does not look at the result: that fails to
        // evaluate, or yields another script, and so ends or drops the bet.
        Some(())
    }

    /// A scope as templates take it.
    pub(super) fn dynamic(scope: &TaskScope) -> Arc<dyn Scope> {
        Arc::new(scope.clone())
    }
}

//! One task on all hosts of a batch, at the same time: tags, `run_once`, results, and who goes on.

use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::ahead::Rest;
use super::host::{Health, Host};
use super::include::Include;
use super::item::Ended;
use super::play::Batch;
use crate::error::Result;
use crate::event::{Event, Status, TaskLabel};
use crate::fnmatch::Pattern;
use crate::playbook::{Task, Vars};
use crate::sync::lock;
use crate::template::Scope;
use crate::value::{Fields, Value};
use crate::vars::TaskScope;

/// Tasks that a task brought in, per host.
pub type Brought = Vec<(Arc<Host>, Vec<Include>)>;

impl Engine {
    /// Runs a task on those of the hosts that are active, and returns what it brings in.
    pub(super) async fn run_task(
        &self,
        batch: &Batch,
        task: &Arc<Task>,
        hosts: &[Arc<Host>],
        outer: &Vars,
        rest: &Rest<'_>,
        handler: bool,
    ) -> Result<Brought> {
        let mut active: Vec<Arc<Host>> = hosts.iter().filter(|host| host.is_active()).cloned().collect();
        let Some(first) = active.first() else { return Ok(vec![]) };
        let scope = self.scope(batch, task, first).with_locals(outer.clone());
        if !handler && (!self.selected(task, &scope) || !self.reached(task, &scope)) {
            return Ok(vec![]);
        }
        let once = match self.flag(task.nearest(|keywords| keywords.run_once.as_ref()), &scope).await {
            Ok(once) => once.unwrap_or(false),
            Err(_) => false,
        };
        // Ansible runs these once for all hosts, whatever they say.
        let once = once || matches!(task.module.spec.name, "add_host" | "pause");
        let all = active.clone();
        if once {
            active.truncate(1);
        }
        let ended = futures::future::join_all(active.iter().map(|host| async {
            // The semaphore is never closed.
            let _permit = self.forks.acquire().await;
            self.run_and_report(batch, task, host, outer, rest, handler).await
        }))
        .await;
        let mut brought = vec![];
        for (host, mut ended) in active.iter().zip(ended) {
            let includes = std::mem::take(&mut ended.includes);
            if !includes.is_empty() {
                brought.push((Arc::clone(host), includes.clone()));
            }
            if once && ended.unreachable.is_none() {
                for other in all.iter().filter(|other| !Arc::ptr_eq(other, host)) {
                    self.share(task, host, other, &ended);
                    if !includes.is_empty() {
                        brought.push((Arc::clone(other), includes.clone()));
                    }
                }
            }
        }
        self.stop_if_fatal(batch, task, &all, once).await;
        Ok(brought)
    }

    pub(super) fn scope(&self, batch: &Batch, task: &Task, host: &Arc<Host>) -> TaskScope {
        TaskScope::new(&self.parts.world, &batch.vars, &host.vars, Some(&task.parent), &task.keywords.vars)
    }

    async fn run_and_report(
        &self,
        batch: &Batch,
        task: &Arc<Task>,
        host: &Arc<Host>,
        outer: &Vars,
        rest: &Rest<'_>,
        handler: bool,
    ) -> Ended {
        let started = Instant::now();
        let scope = self.scope(batch, task, host).with_locals(outer.clone());
        let label = Arc::new(self.label(task, &scope, handler).await);
        self.parts.sink.emit(Event::TaskStarted { task: Arc::clone(&label), host: host.name().to_owned() });
        self.announce(batch, task, host, &scope).await;
        let run = self.run_on_host(task, &label, host, &batch.vars, outer);
        let mut ended = if outer.is_empty() && !handler {
            let (ended, ()) = futures::future::join(run, self.look_ahead(task, rest, host, &batch.vars)).await;
            ended
        } else {
            run.await
        };
        if let Some(error) = &ended.unreachable {
            let ignore =
                self.flag(task.nearest(|keywords| keywords.ignore_unreachable.as_ref()), &scope).await.ok().flatten();
            if ignore == Some(true) {
                ended.done.status = Status::Skipped;
                // What is broken is not used again.
                host.disconnect().await;
            } else {
                host.set_health(Health::Unreachable);
                host.count_unreachable();
                host.forget_ahead();
                self.parts.sink.emit(Event::Unreachable {
                    host: host.name().to_owned(),
                    message: error.message.clone(),
                    hints: error.hints.clone(),
                });
                return ended;
            }
        }
        if let Some(name) = &task.register {
            host.vars.set(name, ended.done.value());
        }
        if ended.done.status == Status::Failed {
            if ended.ignore {
                ended.done.status = Status::Ignored;
            } else {
                if ended.done.secret && !host.is_guarded() {
                    host.note_lacking_secret();
                }
                let described =
                    if host.is_guarded() { Some(self.failed_task(task, &label.name, &scope).await) } else { None };
                let (task, result) = (label.name.clone(), ended.done.fields.clone());
                host.set_health(Health::Failed { task, described, result });
            }
        }
        // Results of tasks that only steer the run are not counted, as in Ansible.
        if !matches!(task.module.spec.name, "meta" | "include_role" | "include_tasks")
            || ended.done.status == Status::Failed
        {
            host.count(ended.done.status);
        }
        let mut report = ended.done.report(started.elapsed(), label.no_log);
        if report.status == Status::Failed && host.is_guarded() {
            report.status = Status::Rescued;
        }
        self.parts.sink.emit(Event::TaskFinished { task: label, host: host.name().to_owned(), report });
        if matches!(ended.done.status, Status::Changed | Status::Unknown) {
            self.notify(batch, task, host, &scope, ended.done.status).await;
        }
        self.settle_owed(host).await;
        ended
    }

    /// Gives the result of a task that ran once to another host.
    fn share(&self, task: &Task, from: &Host, host: &Host, ended: &Ended) {
        let done = &ended.done;
        if let Some(name) = &task.register {
            let value = match done.unknown {
                Some(_) => {
                    crate::value::unknown(format!("`{name}` comes from a task that a plan does not run").as_str())
                }
                None => done.value(),
            };
            host.vars.set(name, value);
        }
        if ended.facts_to.is_some() {
            return;
        }
        if task.module.spec.name == "include_vars" {
            let names = done.fields.get("ansible_facts").and_then(|facts| facts.try_iter().ok());
            let raw = |name: Value| Some((name.as_str()?.to_owned(), from.vars.included(name.as_str()?)?));
            host.vars.include(names.into_iter().flatten().filter_map(raw).collect());
            return;
        }
        self.keep_facts(task, host, &done.fields);
        let items = done.fields.get("results").and_then(|results| results.try_iter().ok());
        for item in items.into_iter().flatten() {
            if let Ok(facts) = item.get_attr("ansible_facts") {
                self.keep_facts(task, host, &Fields::from_iter([("ansible_facts".to_owned(), facts)]));
            }
        }
    }

    /// Keeps the facts in a result.
    pub(super) fn keep_facts(&self, task: &Task, host: &Host, result: &Fields) {
        let Some(facts) = result.get("ansible_facts") else { return };
        let Ok(keys) = facts.try_iter() else { return };
        let facts: Fields =
            keys.filter_map(|key| Some((key.as_str()?.to_owned(), facts.get_item(&key).ok()?))).collect();
        match task.module.spec.name {
            "set_fact" => {
                let cacheable = task.arguments.get("cacheable").map(|node| &node.kind);
                if matches!(cacheable, Some(crate::yaml::Kind::Bool(true))) {
                    host.vars.add_facts(facts.clone(), false);
                }
                for (name, value) in facts {
                    host.vars.set(&name, value);
                }
            }
            // It has put its variables where they belong.
            "include_vars" => {}
            "setup" => {
                host.vars.add_facts(facts, true);
                host.facts_mark.store(self.changes.made(), std::sync::atomic::Ordering::Relaxed);
            }
            _ => host.vars.add_facts(facts, false),
        }
    }

    /// `any_errors_fatal` and `max_fail_percentage`.
    async fn stop_if_fatal(&self, batch: &Batch, task: &Task, hosts: &[Arc<Host>], once: bool) {
        let lost: Vec<_> = hosts.iter().filter(|host| host.is_lost()).collect();
        let Some(first) = lost.first() else { return };
        let scope = self.scope(batch, task, first);
        let fatal = self.flag(task.nearest(|keywords| keywords.any_errors_fatal.as_ref()), &scope).await.ok().flatten()
            == Some(true);
        // What runs once for all hosts fails for all of them.
        let fatal = fatal || once;
        let limit = self.number(batch.play.max_fail_percentage.as_ref(), &scope).await.ok().flatten();
        #[expect(clippy::cast_precision_loss, reason = "counts of hosts are small")]
        let over = limit.is_some_and(|limit| {
            let all = batch.hosts.len().max(1) as f64;
            let lost = batch.hosts.iter().filter(|host| host.failed_for_good()).count() as f64;
            lost / all * 100.0 > limit
        });
        if fatal || over {
            for host in batch.hosts.iter().filter(|host| host.is_active()) {
                let result = Fields::from_iter([("msg".to_owned(), Value::from("another host failed"))]);
                host.set_health(Health::Failed { task: String::new(), described: None, result });
            }
        }
    }

    /// Whether the tags select a task.
    pub(super) fn selected(&self, task: &Task, scope: &TaskScope) -> bool {
        let filter = &self.parts.world.options.tags;
        let dynamic = Self::dynamic(scope);
        let mut tags = vec![];
        for node in task.gathered(|keywords| &keywords.tags) {
            let text = match node.as_str() {
                Some(text) if text.contains("{{") => match self.parts.templar.node(node, &dynamic) {
                    Ok(value) => value.to_string(),
                    Err(_) => continue,
                },
                Some(text) => text.to_owned(),
                None => self.parts.templar.node(node, &dynamic).map(|value| value.to_string()).unwrap_or_default(),
            };
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
        }
        filter.selects(&tags)
    }

    /// Whether `--start-at-task` has been reached.
    fn reached(&self, task: &Task, scope: &TaskScope) -> bool {
        let mut start = lock(&self.start_at);
        let Some(wanted) = start.as_deref() else { return true };
        let dynamic = Self::dynamic(scope);
        let name = task.keywords.name.as_ref().and_then(|node| self.parts.templar.node(node, &dynamic).ok());
        let name = name.map_or_else(|| task.module_name.clone(), |name| name.to_string());
        let role = task.parent.role().map(|used| format!("{} : {name}", used.role.name));
        let pattern = Pattern::new(wanted);
        if pattern.matches_or_is(&name) || role.is_some_and(|name| pattern.matches_or_is(&name)) {
            *start = None;
            return true;
        }
        // What brings in tasks must run, so that the task can be found in it.
        super::include::is_include(task)
    }

    /// Whether `--start-at-task` has not been reached yet.
    pub(super) fn is_starting(&self) -> bool {
        lock(&self.start_at).is_some()
    }

    pub(super) async fn label(&self, task: &Task, scope: &TaskScope, handler: bool) -> TaskLabel {
        let dynamic: Arc<dyn Scope> = Arc::new(scope.clone());
        let name = match &task.keywords.name {
            Some(node) => match node.as_str() {
                Some(text) if !text.contains("{{") => text.to_owned(),
                _ => match self.evaluate(scope, || self.parts.templar.node(node, &dynamic)).await {
                    Ok(value) => value.to_string(),
                    Err(_) => node.as_str().unwrap_or_default().to_owned(),
                },
            },
            None => task.module_name.clone(),
        };
        let no_log = self.flag(task.nearest(|keywords| keywords.no_log.as_ref()), scope).await.ok().flatten();
        TaskLabel {
            name,
            role: task.parent.role().map(|used| used.role.name.clone()),
            module: task.module.spec.name.to_owned(),
            place: task.span.to_string(),
            handler,
            no_log: no_log.unwrap_or(false),
        }
    }
}

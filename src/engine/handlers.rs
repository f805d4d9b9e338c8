//! Handlers: noted when a task changed something, run at the end of each section of a play and at `meta: flush_handlers`.

use std::sync::Arc;

use super::Engine;
use super::ahead::Rest;
use super::host::{Health, Host};
use super::journal::Intent;
use super::play::Batch;
use super::result::Done;
use crate::diagnostic::Diagnostic;
use crate::error::Result;
use crate::event::{Event, Status};
use crate::playbook::{Handler, Task, Vars};
use crate::sync::lock;
use crate::vars::TaskScope;
use crate::yaml::Node;

/// A handler that was notified on a host.
#[derive(Debug, Clone)]
pub struct Notice {
    handler: Arc<Handler>,
    /// False when a plan cannot tell whether the notifying task changes anything.
    certain: bool,
}

impl Engine {
    /// Notes the handlers that a task notifies.
    pub(super) async fn notify(&self, batch: &Batch, task: &Task, host: &Arc<Host>, scope: &TaskScope, status: Status) {
        for (name, node) in self.notified_by(task, scope).await {
            self.notify_name(batch, host, &name, node, status);
        }
    }

    /// What a task notifies, and where it says so.
    async fn notified_by<'a>(&self, task: &'a Task, scope: &TaskScope) -> Vec<(String, &'a Node)> {
        let mut all = vec![];
        for node in task.gathered(|keywords| &keywords.notify) {
            let Ok(value) = self.value(node, scope).await else { continue };
            match value.kind() {
                minijinja::value::ValueKind::Seq => {
                    all.extend(value.try_iter().into_iter().flatten().map(|name| (name.to_string(), node)));
                }
                _ => all.push((value.to_string(), node)),
            }
        }
        all
    }

    /// Says what the task at hand would notify, so that it can be noted together with the change.
    pub(super) async fn announce(&self, batch: &Batch, task: &Task, host: &Arc<Host>, scope: &TaskScope) {
        let notifies = self.parts.journal && !task.gathered(|keywords| &keywords.notify).is_empty();
        // Facts are not gathered for it: a task that changes nothing must not pay for that.
        let names = if notifies {
            self.notified_by(task, &scope.clone().speculating().without_gathering()).await
        } else {
            vec![]
        };
        let known = |name: &String| !self.handlers_called(batch, host, name).is_empty();
        let names: Vec<String> = names.into_iter().map(|(name, _)| name).filter(known).collect();
        let intent = Intent { play: batch.key.clone(), section: batch.section(), names };
        host.set_intent(Some(intent).filter(|intent| !intent.names.is_empty()));
    }

    /// The handlers that a notified name stands for.
    pub(super) fn handlers_called(&self, batch: &Batch, host: &Arc<Host>, name: &str) -> Vec<Arc<Handler>> {
        let handlers = lock(&batch.handlers).clone();
        let text = |node: &Node| self.handler_text(batch, host, node);
        let is_named = |handler: &Handler| {
            let Some(own) = handler.task.keywords.name.as_ref().map(&text) else { return false };
            let role = handler.task.parent.role().map(|used| used.role.name.as_str());
            own == name || role.is_some_and(|role| name == format!("{role} : {own}"))
        };
        let mut found: Vec<Arc<Handler>> =
            handlers.iter().filter(|handler| handler.listen.iter().any(|topic| text(topic) == name)).cloned().collect();
        // Of several handlers of one name the last one is meant, as in Ansible.
        found.extend(handlers.iter().rev().find(|handler| is_named(handler)).cloned());
        found
    }

    fn handler_text(&self, batch: &Batch, host: &Arc<Host>, node: &Node) -> String {
        match node.as_str() {
            Some(text) if !text.contains("{{") => text.to_owned(),
            _ => self.host_value(batch, host, node).map(|value| value.to_string()).unwrap_or_default(),
        }
    }

    fn notify_name(&self, batch: &Batch, host: &Arc<Host>, name: &str, node: &Node, status: Status) {
        let found = self.handlers_called(batch, host, name);
        if found.is_empty() {
            let handlers = lock(&batch.handlers).clone();
            let text = |node: &Node| self.handler_text(batch, host, node);
            let names: Vec<String> =
                handlers.iter().filter_map(|handler| handler.task.keywords.name.as_ref()).map(text).collect();
            let message = format!("there is no handler `{name}`");
            let warning =
                Diagnostic::error(message.clone()).at(&node.span).did_you_mean(name, names.iter().map(String::as_str));
            let failure = super::evaluate::failure_of(&warning.into());
            let done = Done::failed(failure);
            host.set_health(Health::Failed { task: message, described: None, result: done.fields.clone() });
            host.count(Status::Failed);
            let label = crate::event::TaskLabel {
                name: format!("notify `{name}`"),
                role: None,
                module: "meta".into(),
                place: node.span.to_string(),
                handler: false,
                no_log: false,
            };
            let report = done.report(std::time::Duration::ZERO, false);
            self.parts.sink.emit(Event::TaskFinished { task: Arc::new(label), host: host.name().to_owned(), report });
            return;
        }
        self.owe(batch, host, name, &found);
        self.note_handlers(host, &found, status == Status::Changed);
    }

    /// Notes handlers that are to run on a host.
    pub(super) fn note_handlers(&self, host: &Host, handlers: &[Arc<Handler>], certain: bool) {
        let mut notified = lock(&host.notified);
        for handler in handlers {
            match notified.iter_mut().find(|notice| Arc::ptr_eq(&notice.handler, handler)) {
                Some(notice) => notice.certain |= certain,
                None => notified.push(Notice { handler: Arc::clone(handler), certain }),
            }
        }
    }

    /// Runs the handlers that were notified on these hosts, in the order they are defined.
    pub(super) async fn flush_handlers(&self, batch: &Batch, hosts: &[Arc<Host>]) -> Result<()> {
        self.take_in_owed(batch, hosts).await;
        let force = self.parts.force_handlers
            || batch.play.force_handlers.as_ref().is_some_and(|node| node.kind == crate::yaml::Kind::Bool(true));
        // A handler may notify others; each round runs every handler once, so this ends unless they notify each other for ever.
        for _ in 0..100 {
            let handlers = lock(&batch.handlers).clone();
            let mut any = false;
            for handler in &handlers {
                any |= self.run_handler(batch, handler, hosts, force).await?;
            }
            if !any {
                break;
            }
        }
        Ok(())
    }

    async fn run_handler(
        &self,
        batch: &Batch,
        handler: &Arc<Handler>,
        hosts: &[Arc<Host>],
        force: bool,
    ) -> Result<bool> {
        let mut run = vec![];
        let mut revived = vec![];
        for host in hosts {
            if let (true, failed @ Health::Failed { .. }) = (force, host.health()) {
                revived.push((Arc::clone(host), failed));
                host.set_health(Health::Active);
            }
            if !host.is_active() {
                continue;
            }
            let notice = {
                let mut notified = lock(&host.notified);
                let index = notified.iter().position(|notice| Arc::ptr_eq(&notice.handler, handler));
                index.map(|index| notified.remove(index))
            };
            match notice {
                Some(notice) if notice.certain => run.push(Arc::clone(host)),
                Some(_) => self.report_uncertain(batch, handler, host).await,
                None => {}
            }
        }
        let outer = Vars::new();
        let brought = self.run_task(batch, &handler.task, &run, &outer, &Rest::NONE, true).await?;
        self.run_includes(batch, &handler.task, brought).await?;
        for host in run.iter().filter(|host| host.is_active()) {
            self.paid(host, handler).await;
        }
        for (host, health) in revived {
            if host.is_active() {
                host.set_health(health);
            }
        }
        Ok(!run.is_empty())
    }

    async fn report_uncertain(&self, batch: &Batch, handler: &Handler, host: &Arc<Host>) {
        let scope = self.scope(batch, &handler.task, host);
        let label = Arc::new(self.label(&handler.task, &scope, true).await);
        let done = Done::unknown("it runs if a task whose effect is not known yet changes something");
        host.count(done.status);
        let report = done.report(std::time::Duration::ZERO, label.no_log);
        self.parts.sink.emit(Event::TaskFinished { task: label, host: host.name().to_owned(), report });
    }
}

//! `meta`: what steers the play instead of a host.

use std::sync::Arc;

use super::super::Engine;
use super::super::drive::Trouble;
use super::super::evaluate::Verdict;
use super::super::host::{Health, Host};
use super::super::play::Batch;
use crate::error::{Error, Result};
use crate::playbook::{Task, Vars};

impl Engine {
    /// Runs a `meta` task on those of the hosts that its tags and condition select.
    pub(in crate::engine) async fn run_meta(
        &self,
        batch: &Batch,
        task: &Arc<Task>,
        hosts: &[Arc<Host>],
        outer: &Vars,
    ) -> Result<()> {
        if self.is_starting() {
            return Ok(());
        }
        let mut meant = vec![];
        for host in hosts.iter().filter(|host| host.is_active()) {
            let scope = self.scope(batch, task, host).with_locals(outer.clone());
            if !self.selected(task, &scope) {
                continue;
            }
            let conditions = task.gathered(|keywords| &keywords.when);
            match self.conditions(&conditions, &scope).await {
                Ok(Verdict::Yes) => meant.push(Arc::clone(host)),
                Ok(_) => {}
                Err(Trouble::Unreachable(error)) => self.lose(host, error),
                Err(Trouble::Failure(failure)) => return Err(super::super::evaluate::error_of(failure).at(&task.span)),
                Err(Trouble::Unknown(_)) => {}
            }
        }
        if meant.is_empty() {
            return Ok(());
        }
        let action = task.arguments.get("free_form").and_then(|node| node.as_str()).unwrap_or_default();
        match action {
            "noop" => {}
            "flush_handlers" => self.flush_handlers(batch, &meant).await?,
            "end_host" => meant.iter().for_each(|host| host.set_health(Health::Ended)),
            "end_play" | "end_batch" => {
                batch.end_play.fetch_or(action == "end_play", std::sync::atomic::Ordering::Relaxed);
                batch.hosts.iter().filter(|host| host.is_active()).for_each(|host| host.set_health(Health::Ended))
            }
            "clear_facts" => meant.iter().for_each(|host| host.vars.clear_facts()),
            "clear_host_errors" => {
                for host in batch.hosts.iter().filter(|host| host.is_lost()) {
                    if host.health() == Health::Unreachable {
                        host.disconnect().await;
                    }
                    host.set_health(Health::Active);
                }
            }
            "reset_connection" => {
                futures::future::join_all(meant.iter().map(|host| host.disconnect())).await;
            }
            other => {
                return Err(Error::user(format!("`meta` cannot `{other}`")).at(&task.span).hint(
                    "it has clear_facts, clear_host_errors, end_batch, end_host, end_play, flush_handlers, noop and reset_connection",
                ));
            }
        }
        Ok(())
    }
}

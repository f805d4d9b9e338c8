//! Lists of tasks and blocks, with `rescue` and `always`.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::Engine;
use super::ahead::Rest;
use super::host::{Health, Host};
use super::play::Batch;
use crate::error::Result;
use crate::event::Status;
use crate::playbook::{Block, Item, Vars};
use crate::value::{Value, from_fields};

impl Engine {
    /// Runs a list on hosts. `outer` are the loop variables of includes around it.
    pub(super) fn run_list<'a>(
        &'a self,
        batch: &'a Batch,
        items: &'a [Item],
        hosts: &'a [Arc<Host>],
        outer: &'a Vars,
        rest: &'a Rest<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for (index, item) in items.iter().enumerate() {
                if !hosts.iter().any(|host| host.is_active()) {
                    return Ok(());
                }
                let rest = Rest { items: items.get(index + 1..).unwrap_or_default(), outer: Some(rest) };
                match item {
                    Item::Task(task) if task.module.spec.name == "meta" => {
                        self.run_meta(batch, task, hosts, outer).await?
                    }
                    Item::Task(task) => {
                        let brought = self.run_task(batch, task, hosts, outer, &rest, false).await?;
                        self.run_includes(batch, task, brought).await?;
                    }
                    Item::Block(block) if block.rescue.is_empty() && block.always.is_empty() => {
                        self.run_list(batch, &block.items, hosts, outer, &rest).await?;
                    }
                    Item::Block(block) => self.run_guarded(batch, block, hosts, outer).await?,
                }
            }
            Ok(())
        })
    }

    /// A block with `rescue` or `always`.
    async fn run_guarded(&self, batch: &Batch, block: &Block, hosts: &[Arc<Host>], outer: &Vars) -> Result<()> {
        let inside: Vec<Arc<Host>> = hosts.iter().filter(|host| host.is_active()).cloned().collect();
        let rescues = !block.rescue.is_empty();
        let guarded: &[Arc<Host>] = if rescues { &inside } else { &[] };
        guarded.iter().for_each(|host| host.enter_guard());
        let ran = self.run_list(batch, &block.items, &inside, outer, &Rest::NONE).await;
        guarded.iter().for_each(|host| host.leave_guard());
        ran?;
        if !block.rescue.is_empty() {
            let mut failed = vec![];
            for host in &inside {
                if let Health::Failed { task, described, result } = host.health() {
                    // Another host's failure has put an end to this one, without a failure of its own to count.
                    if !task.is_empty() {
                        host.count(Status::Rescued);
                    }
                    host.vars.set("ansible_failed_result", from_fields(&result));
                    let named = || Value::from_pairs([("name", Value::from(task))]);
                    host.vars.set("ansible_failed_task", described.unwrap_or_else(named));
                    host.set_health(Health::Active);
                    failed.push(Arc::clone(host));
                }
            }
            self.run_list(batch, &block.rescue, &failed, outer, &Rest::NONE).await?;
        }
        if !block.always.is_empty() {
            // `always` runs on failed hosts, too; they stay failed afterwards.
            let mut before = vec![];
            let mut present = vec![];
            for host in &inside {
                let health = host.health();
                if matches!(health, Health::Active | Health::Failed { .. }) {
                    host.set_health(Health::Active);
                    before.push((Arc::clone(host), health));
                    present.push(Arc::clone(host));
                }
            }
            self.run_list(batch, &block.always, &present, outer, &Rest::NONE).await?;
            for (host, health) in before {
                if host.is_active() {
                    host.set_health(health);
                }
            }
        }
        Ok(())
    }
}

//! `ansible_failed_task`: what a `rescue` can ask about the task that failed.
//!
//! The keywords are there under Ansible's names, as they were when the task ran. What a task inherits is what holds for it, and what
//! mms does not have (`uuid`, `async`, `debugger`, …) is not there.

use super::Engine;
use crate::modules::FreeForm;
use crate::playbook::{Keywords, Loop, Task};
use crate::value::{Value, is_omit};
use crate::vars::TaskScope;
use crate::yaml::{Kind, Node};

impl Engine {
    /// Describes a task that failed.
    pub(super) async fn failed_task(&self, task: &Task, name: &str, scope: &TaskScope) -> Value {
        let spec = task.module.spec;
        let list = |nodes: Vec<Value>| Value::from(nodes);
        // Conditions are not templates: they are told as they were written.
        let text = |node: &Node| match node.kind {
            Kind::Bool(flag) => Value::from(flag),
            _ => Value::from(written(node)),
        };
        let mut fields = vec![
            ("name", Value::from(name)),
            ("action", Value::from(task.module_name.as_str())),
            ("_resolved_action", Value::from(spec.fqcn.first().copied().unwrap_or(spec.name))),
            ("args", self.failed_arguments(task, scope).await),
            ("register", Value::from(task.register.clone())),
            ("when", list(task.gathered(|keywords| &keywords.when).into_iter().map(text).collect())),
            ("until", list(task.until.iter().map(text).collect())),
            ("changed_when", list(task.changed_when.iter().flatten().map(text).collect())),
            ("failed_when", list(task.failed_when.iter().flatten().map(text).collect())),
        ];
        let mut tags = vec![];
        // The task's own come first, then those around it from the inside out.
        let around = task.parent.chain().flat_map(|parent| &parent.keywords.tags);
        for node in task.keywords.tags.iter().chain(around) {
            tags.push(self.now(node, scope).await);
        }
        fields.push(("tags", list(tags)));
        let looped = match &task.looping {
            Some(Loop::List(node)) | Some(Loop::With { terms: node, .. }) => self.now(node, scope).await,
            None => Value::from(()),
        };
        fields.push(("loop", looped));
        let lookup = match &task.looping {
            Some(Loop::With { lookup, .. }) => Value::from(lookup.as_str()),
            _ => Value::from(()),
        };
        fields.push(("loop_with", lookup));
        type Pick = fn(&Keywords) -> Option<&Node>;
        let keywords: [(&str, Pick); 12] = [
            ("any_errors_fatal", |keywords| keywords.any_errors_fatal.as_ref()),
            ("become", |keywords| keywords.r#become.as_ref()),
            ("become_user", |keywords| keywords.become_user.as_ref()),
            ("delegate_facts", |keywords| keywords.delegate_facts.as_ref()),
            ("delegate_to", |keywords| keywords.delegate_to.as_ref()),
            ("ignore_errors", |keywords| keywords.ignore_errors.as_ref()),
            ("ignore_unreachable", |keywords| keywords.ignore_unreachable.as_ref()),
            ("no_log", |keywords| keywords.no_log.as_ref()),
            ("port", |keywords| keywords.port.as_ref()),
            ("remote_user", |keywords| keywords.remote_user.as_ref()),
            ("run_once", |keywords| keywords.run_once.as_ref()),
            ("check_mode", |keywords| keywords.check_mode.as_ref()),
        ];
        for (name, pick) in keywords {
            let value = match task.nearest(pick) {
                Some(node) => self.now(node, scope).await,
                // These are never without a value.
                None if matches!(name, "any_errors_fatal" | "become" | "no_log") => Value::from(false),
                None if name == "check_mode" => Value::from(self.parts.world.options.check),
                None => Value::from(()),
            };
            fields.push((name, value));
        }
        let retries = match &task.retries {
            Some(node) => self.now(node, scope).await,
            None => Value::from(()),
        };
        fields.push(("retries", retries));
        let notify = task.gathered(|keywords| &keywords.notify);
        let notify = if notify.is_empty() { Value::from(()) } else { list(notify.into_iter().map(text).collect()) };
        fields.push(("notify", notify));
        Value::from_pairs(fields)
    }

    /// The arguments, under the names that Ansible has for them inside: free text is `_raw_params`. With a loop they belong to no
    /// item any more, and are as they were written.
    async fn failed_arguments(&self, task: &Task, scope: &TaskScope) -> Value {
        let spec = task.module.spec;
        let free = match spec.free_form {
            FreeForm::Option(name) | FreeForm::Verbatim(name) => Some(name),
            FreeForm::KeyValue | FreeForm::Any => None,
        };
        let mut fields: Vec<(String, Value)> = vec![];
        for (name, _, node) in &task.arguments.entries {
            let value = if task.looping.is_some() { Value::from(written(node)) } else { self.now(node, scope).await };
            let name = if free == Some(name.as_str()) { "_raw_params" } else { name };
            if !is_omit(&value) {
                fields.push((name.to_owned(), value));
            }
        }
        if spec.name == "shell" {
            fields.push(("_uses_shell".to_owned(), Value::from(true)));
        }
        Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), value.clone())))
    }

    /// The value of a node, or what is written where that cannot be had.
    async fn now(&self, node: &Node, scope: &TaskScope) -> Value {
        self.value(node, scope).await.unwrap_or_else(|_| Value::from(written(node)))
    }
}

/// The text of a node.
fn written(node: &Node) -> String {
    match &node.kind {
        Kind::Str(text) => text.to_string(),
        _ => node.span.source.text.get(node.span.start..node.span.end).unwrap_or_default().to_owned(),
    }
}

//! Evaluating templates and conditions for a task, gathering facts when one asks for them.

use std::sync::Arc;

use super::Engine;
use super::drive::Trouble;
use crate::diagnostic::Span;
use crate::error::{Error, ErrorKind, Result};
use crate::modules::Failure;
use crate::template::{Scope, truth};
use crate::value::{Value, unknown_inside, unknown_why};
use crate::vars::TaskScope;
use crate::yaml::{Kind, Node};

/// The outcome of conditions that must all hold.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// They hold.
    Yes,
    /// This one does not.
    No(Value),
    /// A plan cannot tell.
    Unknown(String),
}

impl Engine {
    /// Evaluates; when a template asked for facts that are not there, gathers them and evaluates again.
    pub(super) async fn evaluate<T: Send>(
        &self,
        scope: &TaskScope,
        evaluate: impl Fn() -> Result<T> + Send + Sync,
    ) -> Result<T, Trouble> {
        loop {
            let outcome = evaluate();
            if !scope.gathers() || !self.gather_wanted(scope).await? {
                return outcome.map_err(|error| Trouble::Failure(failure_of(&error)));
            }
        }
    }

    /// Gathers the facts that templates have asked for in vain; false when none were.
    pub(super) async fn gather_wanted(&self, scope: &TaskScope) -> Result<bool, Trouble> {
        let wanting = self.parts.world.hosts_wanting_facts();
        for vars in &wanting {
            let host = self.host(&vars.name);
            match self.gather_facts(&host).await {
                Ok(()) => {}
                // That another host has no facts is no failure of this one.
                Err(_) if vars.name != scope.host().name => vars.set_may_gather(false),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(!wanting.is_empty())
    }

    /// The final value of a node.
    pub(super) async fn value(&self, node: &Node, scope: &TaskScope) -> Result<Value, Trouble> {
        let dynamic: Arc<dyn Scope> = Arc::new(scope.clone());
        self.evaluate(scope, || self.parts.templar.node(node, &dynamic)).await
    }

    /// The final value of a node that a task cannot be run without.
    pub(super) async fn known(&self, node: &Node, scope: &TaskScope) -> Result<Value, Trouble> {
        let value = self.value(node, scope).await?;
        match unknown_inside(&value) {
            Some(why) => Err(Trouble::Unknown(format!("how it is to be run is known only after a change: {why}"))),
            None => Ok(value),
        }
    }

    /// A keyword that is a boolean.
    pub(super) async fn flag(&self, node: Option<&Node>, scope: &TaskScope) -> Result<Option<bool>, Trouble> {
        let Some(node) = node else { return Ok(None) };
        if let Kind::Bool(flag) = node.kind {
            return Ok(Some(flag));
        }
        let value = self.known(node, scope).await?;
        if value.is_undefined() || value.is_none() || crate::value::is_omit(&value) {
            return Ok(None);
        }
        crate::modules::validate::boolean(&value)
            .map(Some)
            .map_err(|problem| Trouble::Failure(failure_at(&problem, &node.span)))
    }

    /// A keyword that is a number.
    pub(super) async fn number(&self, node: Option<&Node>, scope: &TaskScope) -> Result<Option<f64>, Trouble> {
        let Some(node) = node else { return Ok(None) };
        let value = self.known(node, scope).await?;
        if value.is_none() || crate::value::is_omit(&value) {
            return Ok(None);
        }
        let number =
            f64::try_from(value.clone()).ok().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        number
            .map(Some)
            .ok_or_else(|| Trouble::Failure(Failure::new(format!("`{value}` is not a number ({})", node.span))))
    }

    /// A keyword that is text.
    pub(super) async fn text(&self, node: Option<&Node>, scope: &TaskScope) -> Result<Option<String>, Trouble> {
        let Some(node) = node else { return Ok(None) };
        let value = self.known(node, scope).await?;
        if value.is_none() || crate::value::is_omit(&value) {
            return Ok(None);
        }
        Ok(Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    }

    /// Whether all conditions hold. A later one is not looked at once one does not.
    pub(super) async fn conditions(&self, nodes: &[&Node], scope: &TaskScope) -> Result<Verdict, Trouble> {
        let dynamic: Arc<dyn Scope> = Arc::new(scope.clone());
        let mut unknown = None;
        for node in nodes {
            let value = match &node.kind {
                Kind::Str(text) => {
                    self.evaluate(scope, || self.parts.templar.expression(text, &node.span, &dynamic)).await?
                }
                Kind::Bool(flag) => Value::from(*flag),
                _ => self.value(node, scope).await?,
            };
            if let Some(why) = unknown_why(&value) {
                unknown.get_or_insert(why);
                continue;
            }
            let holds = truth(&value).map_err(|error| Trouble::Failure(failure_of(&error.at(&node.span))))?;
            if !holds {
                return Ok(Verdict::No(condition_of(node)));
            }
        }
        Ok(unknown.map_or(Verdict::Yes, Verdict::Unknown))
    }
}

/// A time in seconds; none for what is no time.
pub fn seconds(number: f64) -> std::time::Duration {
    std::time::Duration::try_from_secs_f64(number.clamp(0.0, 1e9)).unwrap_or_default()
}

/// A condition as a result shows it.
fn condition_of(node: &Node) -> Value {
    match &node.kind {
        Kind::Str(text) => Value::from(text.as_ref()),
        Kind::Bool(flag) => Value::from(*flag),
        _ => Value::from(node.kind_name()),
    }
}

/// A failure of the task from an error in what the user wrote: message, place and hints.
pub fn failure_of(error: &Error) -> Failure {
    let mut failure = Failure::new(error.to_string());
    failure.hints = error.diagnostics().iter().flat_map(|diagnostic| diagnostic.hints.clone()).collect();
    failure.place = error.diagnostics().first().and_then(|diagnostic| diagnostic.span.clone());
    failure.secret = error.kind() == ErrorKind::Vault;
    failure
}

/// The error that a failure outside of any task is.
pub fn error_of(failure: Failure) -> Error {
    let kind = if failure.secret { ErrorKind::Vault } else { ErrorKind::User };
    let place = failure.place.as_ref().map(|span| format!(" ({span})"));
    let message = place.and_then(|place| failure.msg.strip_suffix(&place)).unwrap_or(&failure.msg);
    let error = failure.hints.into_iter().fold(Error::new(kind, message), Error::hint);
    match &failure.place {
        Some(span) => error.at(span),
        None => error,
    }
}

/// A failure that names a place.
pub fn failure_at(message: &str, span: &Span) -> Failure {
    Failure { place: Some(span.clone()), ..Failure::new(format!("{message} ({span})")) }
}

//! Values that stand for something that went wrong while it may still not matter: `{{ nope | default('x') }}` is fine,
//! `{{ nope }}` is not. They travel as values and turn into an error ([`Stop`]) when something needs what they stand for.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};

use crate::diagnostic::{Diagnostic, Span};
use crate::error::Error;
use crate::value::{Value, unknown_why};

use super::Scope;

/// Why an evaluation ends early.
#[derive(Debug, Clone)]
pub enum Stop {
    /// Something undefined is needed; the value is its marker. `default` may still turn it into something.
    Undefined(Value),
    /// Something is wrong.
    Error(Error),
    /// The outcome depends on something that will be known only after a change; why.
    Unknown(String),
}

/// The result of evaluating something.
pub type Eval<T> = Result<T, Stop>;

impl Stop {
    /// A mistake of the user, to be located by the expression that it happens in.
    pub fn error(message: impl Into<String>) -> Self {
        Self::Error(Error::user(message))
    }

    /// The same with what to do about it.
    pub fn hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Error(Error::user(message).hint(hint))
    }

    /// Gives an error its place, unless it has a more exact one.
    #[must_use]
    pub fn locate(self, span: impl FnOnce() -> Span) -> Self {
        match self {
            Self::Error(error) if error.diagnostics().first().is_none_or(|d| d.span.is_none()) => {
                Self::Error(error.at(&span()))
            }
            other => other,
        }
    }

    /// The value that carries this on: a marker or an unknown.
    pub fn into_value(self) -> Value {
        match self {
            Self::Undefined(marker) => marker,
            Self::Error(error) => Value::from_object(Marker::Failed(error)),
            Self::Unknown(why) => crate::value::unknown(why),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<minijinja::Error> for Stop {
    fn from(error: minijinja::Error) -> Self {
        Self::error(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
    }
}

/// What stands for a value that could not be had.
#[derive(Debug)]
pub enum Marker {
    /// Nobody defined it.
    Undefined(Undefined),
    /// Its template has a mistake.
    Failed(Error),
}

/// Something that is not defined, with what is needed to say so well.
pub struct Undefined {
    /// As the user wrote it: `users[0].nmae`.
    pub written: String,
    /// The part of it that is looked up: `nmae`.
    pub name: String,
    /// Where it is written.
    pub span: Option<Span>,
    /// Why it is undefined.
    pub why: Why,
}

/// Why something is undefined.
pub enum Why {
    /// No variable has this name.
    Variable(Arc<dyn Scope>),
    /// The object has no such attribute or item; what it is and what it has.
    Attribute { holder: &'static str, known: Vec<String> },
    /// `undef(hint=…)`.
    Declared,
    /// `x if condition` without `else`.
    NoElse,
}

impl fmt::Debug for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Undefined({})", self.written)
    }
}

impl Undefined {
    /// The marker value.
    pub fn into_value(self) -> Value {
        Value::from_object(Marker::Undefined(self))
    }

    /// What to tell the user when it is needed.
    pub fn error(&self) -> Error {
        let mut diagnostic = match &self.why {
            Why::Variable(scope) => {
                let names = scope.names();
                let diagnostic = Diagnostic::error(format!("`{}` is undefined", self.written))
                    .did_you_mean(&self.name, names.iter().map(String::as_str));
                if diagnostic.hints.is_empty() {
                    diagnostic.hint("set it in the inventory, in `vars:` or with `-e`, or give it a `default(…)`")
                } else {
                    diagnostic
                }
            }
            Why::Attribute { holder, known } => {
                let diagnostic = Diagnostic::error(format!("`{}` is undefined", self.written))
                    .label(format!("{holder} has no `{}`", self.name))
                    .did_you_mean(&self.name, known.iter().map(String::as_str));
                match diagnostic.hints.is_empty() && !known.is_empty() && known.len() <= 12 {
                    true => diagnostic.hint(format!("it has: {}", known.join(", "))),
                    false => diagnostic,
                }
            }
            Why::Declared => Diagnostic::error(self.written.clone()),
            Why::NoElse => Diagnostic::error(format!("`{}` has no value: its condition is false", self.written))
                .hint("add an `else`"),
        };
        if let Some(span) = &self.span {
            diagnostic = diagnostic.at(span);
        }
        Error::from(diagnostic)
    }
}

impl Object for Marker {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }
}

/// The marker in a value.
pub fn marker(value: &Value) -> Option<&Marker> {
    value.downcast_object_ref::<Marker>()
}

/// Whether the value is the marker of something undefined.
pub fn is_undefined(value: &Value) -> bool {
    matches!(marker(value), Some(Marker::Undefined(_))) || value.is_undefined()
}

/// The value, which is needed now: a marker becomes an error, an unknown ends the evaluation.
pub fn need(value: Value) -> Eval<Value> {
    match trip(&value) {
        None => Ok(value),
        Some(stop) => Err(stop),
    }
}

/// Why the value cannot be used, if it cannot.
pub fn trip(value: &Value) -> Option<Stop> {
    value.as_object()?;
    match marker(value) {
        Some(Marker::Undefined(_)) => Some(Stop::Undefined(value.clone())),
        Some(Marker::Failed(error)) => Some(Stop::Error(error.clone())),
        None => unknown_why(value).map(Stop::Unknown),
    }
}

/// The error behind a [`Stop`] that nothing caught, or why the outcome is unknown.
pub fn outcome(stop: Stop) -> Result<Value, Error> {
    match stop {
        Stop::Unknown(why) => Ok(crate::value::unknown(why)),
        Stop::Error(error) => Err(error),
        Stop::Undefined(value) => Err(match marker(&value) {
            Some(Marker::Undefined(undefined)) => undefined.error(),
            Some(Marker::Failed(error)) => error.clone(),
            None => Error::user("an undefined value is needed"),
        }),
    }
}

//! Values at run time: what templates yield, variables hold, module arguments and results are made of.
//!
//! [`Value`] is minijinja's, so that nothing is converted between templates and the engine. Two values are mms's own:
//! *omit* (the argument is to be left out) and *unknown* (it will exist only after a change that a plan does not make).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};

use crate::yaml::Node;

pub use minijinja::value::Value;

/// A mapping with string keys in order: results, facts, arguments.
pub type Fields = IndexMap<String, Value>;

/// A variable as it was set: still to be templated, or final.
#[derive(Debug, Clone)]
pub enum Raw {
    /// Written in YAML; strings in it may be templates and secrets.
    Node(Node),
    /// A result, a fact, or a loop item: never templated again.
    Value(Value),
}

/// What `{{ omit }}` yields: the argument it stands in is left out.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(omitted)")
    }
}

/// The value of `omit`.
pub fn omit() -> Value {
    Value::from_object(Omit)
}

/// Whether this is `omit`.
pub fn is_omit(value: &Value) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}

/// Whether an unknown value was ever made in this process. Only then containers are searched for them.
static ANY_UNKNOWN: AtomicBool = AtomicBool::new(false);

/// A value that will exist only after a change has been made. Every attribute of it is unknown as well. Templates pass
/// it on as it is (so that `x is defined` has an answer), and whatever is computed from it is unknown.
#[derive(Debug)]
struct Unknown {
    why: String,
}

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(known after apply)")
    }
}

/// A value that will be known only after the change that `why` names has been made.
pub fn unknown(why: impl Into<String>) -> Value {
    ANY_UNKNOWN.store(true, Ordering::Relaxed);
    Value::from_object(Unknown { why: why.into() })
}

/// Why this value is not known yet, if it is unknown.
pub fn unknown_why(value: &Value) -> Option<String> {
    value.downcast_object_ref::<Unknown>().map(|unknown| unknown.why.clone())
}

/// Why some part of this value is not known yet, at any depth.
pub fn unknown_inside(value: &Value) -> Option<String> {
    if !ANY_UNKNOWN.load(Ordering::Relaxed) {
        return None;
    }
    if let Some(why) = unknown_why(value) {
        return Some(why);
    }
    match value.kind() {
        ValueKind::Seq => value.try_iter().ok()?.find_map(|item| unknown_inside(&item)),
        ValueKind::Map => {
            value.try_iter().ok()?.find_map(|key| value.get_item(&key).ok().and_then(|item| unknown_inside(&item)))
        }
        _ => None,
    }
}

/// JSON of a value, as Ansible's results write it. Unknown and omitted values become their text.
pub fn to_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_else(|_| serde_json::Value::String(value.to_string()))
}

/// A value from JSON.
pub fn from_json(json: &serde_json::Value) -> Value {
    Value::from(minijinja::value::Serde(json))
}

/// A mapping value from fields.
pub fn from_fields(fields: &Fields) -> Value {
    Value::from_pairs(fields.iter().map(|(key, value)| (key.as_str(), value.clone())))
}

//! Values at run time: what templates yield, variables hold, module arguments and results are made of.
//!
//! [`Value`] is minijinja's, so that nothing is converted between templates and the engine. Two values are mms's own:
//! *omit* (the argument is to be left out) and *unknown* (it will exist only after a change that a plan does not make).

use std::cell::RefCell;
use std::sync::Arc;

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
}

/// The value of `omit`.
pub fn omit() -> Value {
    Value::from_object(Omit)
}

/// Whether this is `omit`.
pub fn is_omit(value: &Value) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}

thread_local! {
    static TOUCHED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A value that will exist only after a change has been made. Every attribute of it is unknown as well, and using it in
/// an expression is noted, so that the whole expression becomes unknown: see [`watch_unknown`].
#[derive(Debug)]
struct Unknown {
    why: String,
}

impl Unknown {
    fn touch(&self) {
        TOUCHED.with_borrow_mut(|touched| {
            touched.get_or_insert_with(|| self.why.clone());
        });
    }
}

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        self.touch();
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.touch();
        Enumerator::NonEnumerable
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.touch();
        false
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.touch();
        f.write_str("(known after apply)")
    }
}

/// A value that will be known only after the change that `why` names has been made.
pub fn unknown(why: impl Into<String>) -> Value {
    Value::from_object(Unknown { why: why.into() })
}

/// Why this value is not known yet, if it is unknown.
pub fn unknown_why(value: &Value) -> Option<String> {
    value.downcast_object_ref::<Unknown>().map(|unknown| unknown.why.clone())
}

/// Why some part of this value is not known yet, at any depth.
pub fn unknown_inside(value: &Value) -> Option<String> {
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

/// Runs an evaluation and says why its outcome depends on an unknown value, if it does. An outcome (or an error) that
/// does is worth nothing: the caller replaces it by [`unknown`].
pub fn watch_unknown<T>(evaluate: impl FnOnce() -> T) -> (T, Option<String>) {
    let outer = TOUCHED.with_borrow_mut(Option::take);
    let outcome = evaluate();
    let touched = TOUCHED.with_borrow_mut(|slot| std::mem::replace(slot, outer));
    (outcome, touched)
}

/// Notes that the evaluation under way used a value that is unknown. For filters and lookups that see one.
pub fn touch_unknown(value: &Value) {
    if let Some(unknown) = value.downcast_object_ref::<Unknown>() {
        unknown.touch();
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

//! Lists and mappings that templates change in place: `{% set _ = names.append(x) %}`.

use std::sync::{Arc, Mutex, MutexGuard};

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};

use super::marker::Eval;
use super::py;
use crate::sync::lock;
use crate::value::Value;

/// A list that can change.
#[derive(Debug, Default)]
pub struct MutableList(Mutex<Vec<Value>>);

/// A mapping that can change.
#[derive(Debug, Default)]
pub struct MutableMap(Mutex<IndexMap<Value, Value>>);

impl MutableList {
    /// The items, to look at or change.
    pub fn items(&self) -> MutexGuard<'_, Vec<Value>> {
        lock(&self.0)
    }
}

impl MutableMap {
    /// The entries, to look at or change.
    pub fn entries(&self) -> MutexGuard<'_, IndexMap<Value, Value>> {
        lock(&self.0)
    }
}

impl Object for MutableList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items().get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items().len())
    }
}

impl Object for MutableMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.entries().get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries().keys().cloned().collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries().len())
    }
}

/// The value with every list and mapping in it made mutable; those that are stay the same objects.
pub fn thaw(value: &Value) -> Eval<Value> {
    let fixed = value.downcast_object_ref::<MutableList>().is_some()
        || value.downcast_object_ref::<MutableMap>().is_some()
        || value.is_tuple();
    match value.kind() {
        ValueKind::Seq if !fixed => {
            let items: Eval<Vec<Value>> = py::iterate(value)?.iter().map(thaw).collect();
            Ok(Value::from_object(MutableList(Mutex::new(items?))))
        }
        ValueKind::Map if !fixed && is_plain_map(value) => {
            let mut entries = IndexMap::new();
            for (key, item) in py::pairs(value).unwrap_or_default() {
                entries.insert(key, thaw(&item)?);
            }
            Ok(Value::from_object(MutableMap(Mutex::new(entries))))
        }
        _ => Ok(value.clone()),
    }
}

/// Data, as opposed to objects of the engine that look like a mapping (`loop`, `hostvars`, modules).
fn is_plain_map(value: &Value) -> bool {
    value.downcast_object_ref::<IndexMap<Value, Value>>().is_some()
        || value.downcast_object_ref::<super::lazy::LazyMap>().is_some()
}

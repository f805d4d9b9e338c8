//! Global functions: `range`, `lookup`, `now`, `namespace` and their like.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};

use super::call::Call;
use super::eval::{LoopState, MacroValue};
use super::lazy::Context;
use super::marker::{Eval, Stop, Undefined, Why, trip};
use super::{datetime, lookups, py};
use crate::sync::lock;
use crate::value::{Value, omit};

type Run = fn(&mut Call<'_>) -> Eval<Value>;

const FUNCTIONS: &[(&str, Run)] = &[
    ("cycler", cycler),
    ("dict", dict),
    ("joiner", joiner),
    ("lookup", lookups::lookup),
    ("namespace", namespace),
    ("now", datetime::now),
    ("q", lookups::query),
    ("query", lookups::query),
    ("range", range),
    ("undef", undef),
];

/// A function of the engine.
pub struct Function {
    name: &'static str,
    run: Run,
}

impl Function {
    /// Calls it. Undefined and unknown arguments are the outcome, but for `lookup`, which has rules of its own.
    pub fn call(&self, context: &Arc<Context>, args: Vec<Value>, kwargs: Vec<(String, Value)>) -> Eval<Value> {
        if !matches!(self.name, "lookup" | "query" | "q" | "namespace" | "dict") {
            let named = kwargs.iter().map(|(_, value)| value);
            if let Some(stop) = args.iter().chain(named).find_map(trip) {
                return Err(stop);
            }
        }
        (self.run)(&mut Call::new(context, self.name, Value::from(()), args, kwargs))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {}>", self.name)
    }
}

impl Object for Function {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// The names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// What a name means when no variable has it.
pub fn global(name: &str) -> Option<Value> {
    if name == "omit" {
        return Some(omit());
    }
    FUNCTIONS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(name, run)| Value::from_object(Function { name, run: *run }))
}

/// Whether this is something to call, not a value to keep.
pub fn is_code_value(value: &Value) -> bool {
    value.downcast_object_ref::<Function>().is_some()
        || value.downcast_object_ref::<MacroValue>().is_some()
        || value.downcast_object_ref::<LoopState>().is_some()
        || value.downcast_object_ref::<Joiner>().is_some()
}

/// The same for an object.
pub fn is_code(object: &DynObject) -> bool {
    is_code_value(&Value::from_dyn_object(object.clone()))
}

/// Calls an object that functions made.
pub fn call_object(value: &Value, _args: &[Value]) -> Option<Value> {
    let joiner = value.downcast_object_ref::<Joiner>()?;
    let mut used = lock(&joiner.used);
    let first = !std::mem::replace(&mut *used, true);
    Some(Value::from(if first { "" } else { joiner.separator.as_str() }))
}

fn range(call: &mut Call<'_>) -> Eval<Value> {
    /// More would be a slip, and would fill the memory.
    const LIMIT: i64 = 100_000;
    let first = call.integer("start")?.ok_or_else(|| Stop::error("`range` needs a number"))?;
    let second = call.integer("stop")?;
    let step = call.integer("step")?.unwrap_or(1);
    call.end()?;
    let (start, stop) = second.map_or((0, first), |stop| (first, stop));
    if step == 0 {
        return Err(Stop::error("the step of `range` must not be 0"));
    }
    let distance = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
    if distance / step.saturating_abs() > LIMIT {
        return Err(Stop::error(format!("`range` makes at most {LIMIT} numbers")));
    }
    let mut items = vec![];
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        items.push(Value::from(at));
        at = at.saturating_add(step);
    }
    Ok(Value::from(items))
}

fn dict(call: &mut Call<'_>) -> Eval<Value> {
    let mut pairs = vec![];
    if let Some(first) = call.args.pop_front() {
        match py::pairs(&first) {
            Some(entries) => pairs.extend(entries),
            None => {
                for entry in py::iterate(&first)? {
                    match py::iterate(&entry)?.as_slice() {
                        [key, value] => pairs.push((key.clone(), value.clone())),
                        _ => return Err(Stop::error("`dict` needs pairs of a key and a value")),
                    }
                }
            }
        }
    }
    pairs.extend(call.kwargs.drain(..).map(|(key, value)| (Value::from(key), value)));
    call.end()?;
    Ok(Value::from_pairs(pairs))
}

fn undef(call: &mut Call<'_>) -> Eval<Value> {
    let hint = call.text("hint")?.unwrap_or_else(|| "a value must be set here".to_owned());
    call.end()?;
    Ok(Undefined { written: hint, name: String::new(), span: None, why: Why::Declared }.into_value())
}

/// What `namespace()` makes: attributes that can be set from inner scopes.
#[derive(Debug, Default)]
pub struct Namespace(Mutex<HashMap<String, Value>>);

impl Namespace {
    /// Sets an attribute.
    pub fn set(&self, name: &str, value: Value) {
        lock(&self.0).insert(name.to_owned(), value);
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        lock(&self.0).get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

fn namespace(call: &mut Call<'_>) -> Eval<Value> {
    let made = dict(call)?;
    let namespace = Namespace::default();
    for (key, value) in py::pairs(&made).unwrap_or_default() {
        namespace.set(&py::text(&key)?, value);
    }
    Ok(Value::from_object(namespace))
}

#[derive(Debug)]
struct Joiner {
    separator: String,
    used: Mutex<bool>,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

fn joiner(call: &mut Call<'_>) -> Eval<Value> {
    let separator = call.text("sep")?.unwrap_or_else(|| ", ".to_owned());
    call.end()?;
    Ok(Value::from_object(Joiner { separator, used: Mutex::default() }))
}

/// What `cycler(…)` makes.
#[derive(Debug)]
pub struct Cycler {
    items: Vec<Value>,
    at: Mutex<usize>,
}

impl Cycler {
    /// `next()` and `reset()`.
    pub fn method(&self, name: &str) -> Option<Value> {
        let mut at = lock(&self.at);
        match name {
            "next" => {
                let item = self.items.get(*at).cloned();
                *at = (*at + 1) % self.items.len().max(1);
                item
            }
            "reset" => {
                *at = 0;
                Some(Value::from(()))
            }
            _ => None,
        }
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = *lock(&self.at);
        (key.as_str() == Some("current")).then(|| self.items.get(at).cloned())?
    }
}

fn cycler(call: &mut Call<'_>) -> Eval<Value> {
    let items: Vec<Value> = call.args.drain(..).collect();
    call.end()?;
    if items.is_empty() {
        return Err(Stop::error("`cycler` needs at least one item"));
    }
    Ok(Value::from_object(Cycler { items, at: Mutex::default() }))
}

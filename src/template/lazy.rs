//! Variables that are templated when they are looked at: [`Context`] finds them, [`LazyMap`] and [`LazyList`] are
//! mappings and lists in YAML whose parts are templated one by one, each once per evaluation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, ValueKind};

use crate::diagnostic::Span;
use crate::error::Error;
use crate::sync::lock;
use crate::value::{Raw, Value, is_omit};
use crate::yaml::{Kind, Map, Node, Tag};

use super::engine::Engine;
use super::marker::{Eval, Stop, need, trip};
use super::mutable::{MutableList, MutableMap};
use super::{Scope, eval};

/// How many variables may lead to one another before it counts as endless.
const MAX_DEPTH: usize = 60;

/// What one evaluation shares: where variables come from and which were templated already.
#[derive(Debug)]
pub struct Context {
    pub engine: Arc<Engine>,
    pub scope: Arc<dyn Scope>,
    done: Mutex<HashMap<String, Value>>,
    /// The texts that are being templated, innermost last, each with the name of its variable.
    busy: Mutex<Vec<(usize, String)>>,
}

impl Context {
    /// The context of one evaluation.
    pub fn new(engine: &Arc<Engine>, scope: &Arc<dyn Scope>) -> Arc<Self> {
        Arc::new(Self {
            engine: Arc::clone(engine),
            scope: Arc::clone(scope),
            done: Mutex::default(),
            busy: Mutex::default(),
        })
    }

    /// The context of an evaluation within this one, with other variables. What is being evaluated here is so there, too:
    /// circles are seen.
    pub fn within(&self, scope: &Arc<dyn Scope>) -> Arc<Self> {
        let busy = Mutex::new(lock(&self.busy).clone());
        Arc::new(Self { engine: Arc::clone(&self.engine), scope: Arc::clone(scope), done: Mutex::default(), busy })
    }

    /// A variable, templated; a marker when its template has a mistake.
    pub fn variable(self: &Arc<Self>, name: &str) -> Option<Value> {
        if let Some(value) = lock(&self.done).get(name) {
            return Some(value.clone());
        }
        let value = match self.scope.get(name)? {
            Raw::Value(value) => value,
            Raw::Node(node) => self.value(&node, name, name),
        };
        lock(&self.done).insert(name.to_owned(), value.clone());
        Some(value)
    }

    /// Forgets what was templated. What is lazy points back here, so without this nothing would be freed.
    pub fn clear(&self) {
        let done = std::mem::take(&mut *lock(&self.done));
        drop(done);
    }

    /// Keeps a variable's value for the rest of the evaluation.
    pub fn remember(&self, name: &str, value: &Value) {
        lock(&self.done).insert(name.to_owned(), value.clone());
    }

    /// The value of a node, its parts still to be templated. Errors call it by its `path` (`users[0].name`); `key` is the
    /// key that it stands at (`name`), which secrets are bound to.
    pub fn value(self: &Arc<Self>, node: &Node, path: &str, key: &str) -> Value {
        match &node.kind {
            Kind::Null => Value::from(()),
            Kind::Bool(value) => Value::from(*value),
            Kind::Int(value) => Value::from(*value),
            Kind::Float(value) => Value::from(*value),
            Kind::Str(text) => self.scalar(node, text, path, key).unwrap_or_else(Stop::into_value),
            Kind::List(items) if is_static(node) => items.iter().map(|item| self.value(item, path, key)).collect(),
            Kind::Map(map) if is_static(node) => {
                let pair = |(name, item): (&Node, &Node)| {
                    (self.key(name), self.value(item, path, name.as_str().unwrap_or_default()))
                };
                Value::from_pairs(map.iter().map(pair))
            }
            Kind::List(items) => Value::from_object(LazyList {
                context: Arc::clone(self),
                cells: items.iter().map(|_| OnceLock::new()).collect(),
                items: Arc::clone(items),
                path: path.to_owned(),
                key: key.to_owned(),
            }),
            Kind::Map(map) => Value::from_object(LazyMap {
                context: Arc::clone(self),
                cells: map.iter().map(|_| OnceLock::new()).collect(),
                map: Arc::clone(map),
                path: path.to_owned(),
            }),
        }
    }

    /// A key of a mapping: text as written, never a template, as in Ansible.
    fn key(self: &Arc<Self>, node: &Node) -> Value {
        match &node.kind {
            Kind::Str(text) => Value::from(text),
            _ => self.value(node, "", ""),
        }
    }

    fn scalar(self: &Arc<Self>, node: &Node, text: &Arc<str>, path: &str, key: &str) -> Eval<Value> {
        match node.tag {
            Some(Tag::Unsafe) => Ok(Value::from(text)),
            Some(Tag::Vault) => {
                let name = Some(key).filter(|key| !key.is_empty());
                Ok(Value::from(&self.engine.decrypt(name, text, &node.span)?))
            }
            None => self.template(text, &node.span, path),
        }
    }

    /// The outcome of a template string.
    pub fn template(self: &Arc<Self>, text: &Arc<str>, span: &Span, path: &str) -> Eval<Value> {
        if !is_template(text) {
            return Ok(Value::from(text));
        }
        let unit = self.engine.unit(text).map_err(|error| {
            let at = error.at.clone().map_or_else(|| span.clone(), |range| super::place::inside(span, text, &range));
            Stop::Error(super::check::syntax_diagnostic(&error, text).at(&at).into())
        })?;
        self.enter(text, span, path, || eval::render(self, &unit, &super::place::Place::Node(span.clone())))
    }

    /// Runs an evaluation of a text unless it is being evaluated already.
    fn enter<T>(&self, text: &Arc<str>, span: &Span, path: &str, run: impl FnOnce() -> Eval<T>) -> Eval<T> {
        let id = Arc::as_ptr(text).cast::<u8>() as usize;
        {
            let mut busy = lock(&self.busy);
            if let Some(start) = busy.iter().position(|(other, _)| *other == id) {
                let mut names: Vec<String> = busy.iter().skip(start).map(|(_, name)| name.clone()).collect();
                names.push(path.to_owned());
                names.dedup();
                if names.len() == 1 {
                    names.push(path.to_owned());
                }
                let error = Error::user(format!("recursive loop: {}", names.join(" → ")));
                return Err(Stop::Error(error.at(span).hint("a variable cannot be made of itself; use another name")));
            }
            if busy.len() >= MAX_DEPTH {
                let message = format!("`{path}` is made of more than {MAX_DEPTH} variables inside one another");
                return Err(Stop::Error(Error::user(message).at(span)));
            }
            busy.push((id, path.to_owned()));
        }
        let result = run();
        lock(&self.busy).pop();
        result
    }
}

/// Whether a string may be a template.
pub fn is_template(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr_brace(bytes).is_some()
}

fn memchr_brace(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == b'{') {
        let at = from + at;
        if bytes.get(at + 1).is_some_and(|next| b"{%#".contains(next)) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Whether nothing in the node is a template or a secret. Keys are never templates.
fn is_static(node: &Node) -> bool {
    match &node.kind {
        Kind::Str(text) => node.tag == Some(Tag::Unsafe) || (node.tag.is_none() && !is_template(text)),
        Kind::List(items) => items.iter().all(is_static),
        Kind::Map(map) => map.iter().all(|(_, item)| is_static(item)),
        _ => true,
    }
}

/// A mapping in YAML with templates in it.
#[derive(Debug)]
pub struct LazyMap {
    context: Arc<Context>,
    map: Arc<Map>,
    cells: Vec<OnceLock<Value>>,
    path: String,
}

impl LazyMap {
    fn at(&self, index: usize, key: &Node, node: &Node) -> Value {
        let make = || {
            let name = key.as_str().unwrap_or("?");
            let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            self.context.value(node, &path, name)
        };
        self.cells.get(index).map_or(Value::UNDEFINED, |cell| match cell.get() {
            Some(value) => value.clone(),
            // Not `get_or_init`: a loop comes back here and must find the cell open.
            None => {
                let value = make();
                cell.set(value.clone()).ok();
                value
            }
        })
    }
}

impl Object for LazyMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let same = |node: &Node| match (&node.kind, key.as_str()) {
            (Kind::Str(text), Some(key)) => &**text == key,
            (Kind::Str(_), None) => false,
            _ => self.context.key(node) == *key,
        };
        let (index, (key, node)) = self.map.iter().enumerate().find(|(_, (key, _))| same(key))?;
        Some(self.at(index, key, node))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.map.iter().map(|(key, _)| self.context.key(key)).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.map.len())
    }
}

/// A list in YAML with templates in it.
#[derive(Debug)]
pub struct LazyList {
    context: Arc<Context>,
    items: Arc<Vec<Node>>,
    cells: Vec<OnceLock<Value>>,
    path: String,
    key: String,
}

impl Object for LazyList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let index = key.as_usize()?;
        let (node, cell) = (self.items.get(index)?, self.cells.get(index)?);
        if let Some(value) = cell.get() {
            return Some(value.clone());
        }
        let value = self.context.value(node, &format!("{}[{index}]", self.path), &self.key);
        cell.set(value.clone()).ok();
        Some(value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }
}

/// The list or mapping with everything in it templated and every mistake in it raised; other values as they are.
/// Unknown parts stay.
pub fn settle(value: Value) -> Eval<Value> {
    if !needs_settling(&value) {
        return Ok(value);
    }
    rebuild(&value, &settle_part)
}

fn settle_part(value: Value) -> Eval<Option<Value>> {
    match trip(&value) {
        Some(Stop::Unknown(_)) | None => settle(value).map(Some),
        Some(stop) => Err(stop),
    }
}

fn needs_settling(value: &Value) -> bool {
    value.as_object().is_some() && (is_lazy(value) || inside(value, &needs_settling))
}

fn is_lazy(value: &Value) -> bool {
    value.downcast_object_ref::<LazyMap>().is_some()
        || value.downcast_object_ref::<LazyList>().is_some()
        || super::marker::marker(value).is_some()
}

/// Whether something holds for a direct part of a plain list or mapping.
fn inside(value: &Value, test: &dyn Fn(&Value) -> bool) -> bool {
    if let Some(list) = value.downcast_object_ref::<Vec<Value>>() {
        return list.iter().any(test);
    }
    if let Some(tuple) = value.downcast_object_ref::<Tuple>() {
        return tuple.iter().any(test);
    }
    if let Some(map) = value.downcast_object_ref::<indexmap::IndexMap<Value, Value>>() {
        return map.values().any(test);
    }
    value.downcast_object_ref::<MutableList>().is_some() || value.downcast_object_ref::<MutableMap>().is_some()
}

fn rebuild(value: &Value, part: &dyn Fn(Value) -> Eval<Option<Value>>) -> Eval<Value> {
    match value.kind() {
        ValueKind::Map => {
            let mut pairs = Vec::new();
            for (key, item) in super::py::pairs(value).unwrap_or_default() {
                if let Some(item) = part(item)? {
                    pairs.push((key, item));
                }
            }
            Ok(Value::from_pairs(pairs))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                if let Some(item) = part(item)? {
                    items.push(item);
                }
            }
            Ok(if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
        }
        _ => need(value.clone()),
    }
}

/// The value as it leaves the templates: everything templated, tuples and iterators as lists, omitted parts left out.
/// Unknown parts stay unknown.
pub fn finish(value: Value) -> Eval<Value> {
    match trip(&value) {
        Some(Stop::Unknown(_)) => return Ok(value),
        Some(stop) => return Err(stop),
        None => {}
    }
    if !needs_finish(&value) {
        return Ok(value);
    }
    if value.as_object().is_some_and(super::functions::is_code) {
        return Err(Stop::hint("a function cannot be a value", "call it: `name()`"));
    }
    let plain = rebuild(&value, &|part| if is_omit(&part) { Ok(None) } else { finish(part).map(Some) })?;
    match plain.downcast_object_ref::<Tuple>() {
        Some(tuple) => Ok(Value::from(tuple.to_vec())),
        None => Ok(plain),
    }
}

fn needs_finish(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    if value.is_tuple() || value.kind() == ValueKind::Iterable || is_omit(value) || super::functions::is_code(object) {
        return !is_omit(value);
    }
    is_lazy(value) || inside(value, &|part| is_omit(part) || needs_finish(part))
}

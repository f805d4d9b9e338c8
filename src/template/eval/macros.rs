//! Macros, imported templates and the `loop` variable.

use std::fmt;
use std::sync::{Arc, Mutex};

use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple};

use super::{Evaluator, Frame};
use crate::sync::lock;
use crate::template::ast::{Expr, ExprKind, For, Macro, Unit};
use crate::template::marker::{Eval, Stop};
use crate::template::place::Place;
use crate::template::py;
use crate::value::Value;

/// A macro with the scopes it was declared in.
pub struct MacroValue {
    declared: Arc<Macro>,
    unit: Arc<Unit>,
    place: Place,
    frames: Vec<Frame>,
}

impl fmt::Debug for MacroValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Macro '{}'>", self.declared.name)
    }
}

impl MacroValue {
    pub fn new(declared: &Arc<Macro>, unit: &Arc<Unit>, place: &Place, frames: Vec<Frame>) -> Self {
        Self { declared: Arc::clone(declared), unit: Arc::clone(unit), place: place.clone(), frames }
    }
}

impl Object for MacroValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "name" => Some(Value::from(&self.declared.name)),
            "arguments" => Some(self.declared.args.iter().map(Value::from).collect()),
            _ => None,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }
}

impl Evaluator<'_> {
    pub(super) fn call_macro(
        &mut self,
        callee: &MacroValue,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
        caller: Option<Value>,
    ) -> Eval<Value> {
        let declared = Arc::clone(&callee.declared);
        let mut frames = callee.frames.clone();
        frames.push(Frame::default());
        let outer = std::mem::replace(&mut self.frames, frames);
        let result = self.descend(Arc::clone(&callee.unit), callee.place.clone(), |this| {
            this.bind(&declared, args, kwargs, caller)?;
            this.capture(&declared.body)
        });
        self.frames = outer;
        result
    }

    fn bind(
        &mut self,
        declared: &Macro,
        args: Vec<Value>,
        mut kwargs: Vec<(String, Value)>,
        caller: Option<Value>,
    ) -> Eval<()> {
        let mut args = args.into_iter();
        let first_default = declared.args.len() - declared.defaults.len().min(declared.args.len());
        for (index, name) in declared.args.iter().enumerate() {
            let named = kwargs.iter().position(|(key, _)| **key == **name);
            let value = match (args.next(), named) {
                (Some(_), Some(_)) => {
                    return Err(Stop::error(format!("`{}` is given `{name}` twice", declared.name)));
                }
                (Some(value), None) => value,
                (None, Some(at)) => kwargs.remove(at).1,
                (None, None) => match index.checked_sub(first_default).and_then(|at| declared.defaults.get(at)) {
                    Some(default) => self.expr(default)?,
                    // Undefined, as in Jinja: an error only where it is used.
                    None => crate::template::marker::Undefined {
                        written: name.to_string(),
                        name: name.to_string(),
                        span: None,
                        why: crate::template::marker::Why::Variable(self.context.scope.clone()),
                    }
                    .into_value(),
                },
            };
            self.set(name, value);
        }
        let mut caller = caller;
        if let Some(at) = kwargs.iter().position(|(key, _)| key == "caller") {
            caller = Some(kwargs.remove(at).1);
        }
        if let Some(caller) = caller {
            self.set(&"caller".into(), caller);
        }
        let rest: Vec<Value> = args.collect();
        if declared.takes_more {
            self.set(&"varargs".into(), Value::from(Tuple::from(rest)));
        } else if !rest.is_empty() {
            let count = declared.args.len();
            return Err(Stop::error(format!("the macro `{}` takes at most {count} arguments", declared.name)));
        }
        if declared.takes_named {
            self.set(&"kwargs".into(), Value::from_pairs(kwargs));
        } else if let Some((name, _)) = kwargs.first() {
            return Err(Stop::error(format!("the macro `{}` has no argument `{name}`", declared.name)));
        }
        Ok(())
    }

    pub(super) fn call_with_caller(&mut self, call: &Expr, caller: Value) -> Eval<Value> {
        let ExprKind::Call(callee, args) = &call.kind else {
            return Err(Stop::error("`call` needs a macro to call"));
        };
        let function = self.expr(callee)?;
        let (args, kwargs) = self.arguments(args)?;
        match function.downcast_object::<MacroValue>() {
            Some(declared) => self
                .call_macro(&declared, args, kwargs, Some(caller))
                .map_err(|stop| stop.locate(|| self.place.span(&self.unit.text, &call.at))),
            None => {
                let stop = crate::template::marker::trip(&function);
                Err(stop.unwrap_or_else(|| Stop::error(format!("{} is not a macro", py::described(&function)))))
            }
        }
    }
}

/// An imported template: the names that it sets.
#[derive(Debug)]
pub struct Module {
    frame: Frame,
}

impl Module {
    pub fn new(frame: Frame) -> Self {
        Self { frame }
    }

    /// A name that the template sets. Those that start with `_` are its own.
    pub fn get(&self, name: &str) -> Option<Value> {
        (!name.starts_with('_')).then(|| lock(&self.frame).get(name).cloned())?
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // Its macros hold the frame, which holds the macros. They are of no use once nothing can name them; those that
        // were imported by name keep their own way to it.
        if Arc::strong_count(&self.frame) == 1 {
            lock(&self.frame).clear();
        }
    }
}

impl Object for Module {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?)
    }
}

/// What all rounds of a loop share.
#[derive(Debug)]
pub struct LoopShared {
    items: Vec<Value>,
    depth: usize,
    recursive: Option<Arc<For>>,
    last_changed: Mutex<Option<Vec<Value>>>,
}

impl LoopShared {
    pub fn len(&self) -> usize {
        self.items.len()
    }
}

/// The `loop` variable in one round.
#[derive(Debug)]
pub struct LoopState {
    shared: Arc<LoopShared>,
    index: usize,
}

impl LoopState {
    pub fn shared(items: Vec<Value>, depth: usize, recursive: Option<Arc<For>>) -> Arc<LoopShared> {
        Arc::new(LoopShared { items, depth, recursive, last_changed: Mutex::default() })
    }

    pub fn at(shared: &Arc<LoopShared>, index: usize) -> Self {
        Self { shared: Arc::clone(shared), index }
    }

    pub fn item(&self) -> Value {
        self.shared.items.get(self.index).cloned().unwrap_or_default()
    }

    pub fn depth(&self) -> usize {
        self.shared.depth
    }

    pub fn recursive(&self) -> Option<Arc<For>> {
        self.shared.recursive.clone()
    }

    /// `loop.cycle(…)` and `loop.changed(…)`.
    pub fn method(&self, name: &str, args: &[Value]) -> Option<Value> {
        match name {
            "cycle" => args.get(self.index.checked_rem(args.len())?).cloned(),
            "changed" => {
                let mut last = lock(&self.shared.last_changed);
                let changed = last.as_deref() != Some(args);
                *last = Some(args.to_vec());
                Some(Value::from(changed))
            }
            _ => None,
        }
    }
}

impl Object for LoopState {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (index, length) = (self.index, self.shared.items.len());
        let item = |at: Option<usize>| at.and_then(|at| self.shared.items.get(at)).cloned();
        Some(match key.as_str()? {
            "index" => Value::from(index + 1),
            "index0" => Value::from(index),
            "revindex" => Value::from(length - index),
            "revindex0" => Value::from(length - index - 1),
            "first" => Value::from(index == 0),
            "last" => Value::from(index + 1 == length),
            "length" => Value::from(length),
            "depth" => Value::from(self.shared.depth + 1),
            "depth0" => Value::from(self.shared.depth),
            "previtem" => return item(index.checked_sub(1)),
            "nextitem" => return item(Some(index + 1)),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"])
    }
}

//! Runs compiled templates. Values keep their types: a template that emits exactly one value *is* that value, anything
//! else is text.

mod expr;
mod macros;
mod stmt;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::ast::{Stmt, Unit};
use super::lazy::{Context, finish};
use super::marker::{Eval, trip};
use super::place::Place;
use super::py;
use crate::sync::lock;
use crate::value::{Value, is_omit};

pub use expr::item;
pub use macros::{LoopState, MacroValue};

/// The names that are set in one scope.
pub type Frame = Arc<Mutex<HashMap<Arc<str>, Value>>>;

/// The outcome of a template.
pub fn render(context: &Arc<Context>, unit: &Arc<Unit>, place: &Place) -> Eval<Value> {
    let mut evaluator = Evaluator::new(context, unit, place);
    let mut out = Output::default();
    evaluator.run_unit(&mut out)?;
    let value = out.finish();
    let Some(text) = value.as_str().filter(|_| unit.newlines > 0) else { return Ok(value) };
    let have = text.len() - text.trim_end_matches('\n').len();
    Ok(match unit.newlines.checked_sub(have).filter(|missing| *missing > 0) {
        Some(missing) => Value::from(format!("{text}{}", unit.newline.repeat(missing))),
        None => value,
    })
}

/// The value of a compiled expression.
pub fn expression(context: &Arc<Context>, unit: &Arc<Unit>, place: &Place) -> Eval<Value> {
    let mut evaluator = Evaluator::new(context, unit, place);
    evaluator.templates_in_strings = true;
    match unit.body.first() {
        Some(Stmt::Emit(expr)) => evaluator.expr(expr),
        _ => Ok(Value::from(())),
    }
}

/// What a template emits.
#[derive(Debug, Default)]
pub struct Output {
    single: Option<Value>,
    text: Option<String>,
}

impl Output {
    /// Emits a value: null and `omit` are nothing.
    pub fn push(&mut self, value: Value) -> Eval<()> {
        if value.is_none() || is_omit(&value) && (self.single.is_some() || self.text.is_some()) {
            return Ok(());
        }
        if let Some(stop) = trip(&value) {
            return Err(stop);
        }
        let value = if value.is_tuple() || value.kind() == minijinja::value::ValueKind::Iterable {
            finish(value)?
        } else {
            value
        };
        if let Some(text) = &mut self.text {
            return py::write_text(text, &finish(value)?);
        }
        match self.single.take() {
            None => self.single = Some(value),
            Some(first) if is_omit(&first) => self.single = Some(value),
            Some(first) => {
                let mut text = py::text(&finish(first)?)?;
                py::write_text(&mut text, &finish(value)?)?;
                self.text = Some(text);
            }
        }
        Ok(())
    }

    /// Emits template text.
    fn push_text(&mut self, part: &Arc<str>) -> Eval<()> {
        match &mut self.text {
            Some(text) => {
                text.push_str(part);
                Ok(())
            }
            None => self.push(Value::from(part)),
        }
    }

    /// What was emitted: null when there was nothing.
    pub fn finish(self) -> Value {
        match (self.text, self.single) {
            (Some(text), _) => Value::from(text),
            (None, Some(value)) => value,
            (None, None) => Value::from(()),
        }
    }
}

/// Whether a loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Continue,
    Break,
}

/// One layer of a block that templates extend.
#[derive(Debug, Clone)]
struct BlockLayer {
    body: Arc<Vec<Stmt>>,
    required: bool,
    unit: Arc<Unit>,
    place: Place,
}

/// A template under way.
pub struct Evaluator<'a> {
    context: &'a Arc<Context>,
    unit: Arc<Unit>,
    place: Place,
    frames: Vec<Frame>,
    captured: Vec<Value>,
    blocks: HashMap<Arc<str>, Vec<BlockLayer>>,
    /// Blocks being rendered and the layer of each.
    in_blocks: Vec<(Arc<str>, usize)>,
    parent: Option<(Arc<Unit>, Place)>,
    /// Included files inside one another, and macros.
    depth: usize,
    /// Whether constant strings in it are templates, as they are in conditions.
    templates_in_strings: bool,
}

impl<'a> Evaluator<'a> {
    fn new(context: &'a Arc<Context>, unit: &Arc<Unit>, place: &Place) -> Self {
        Self {
            context,
            unit: Arc::clone(unit),
            place: place.clone(),
            frames: vec![],
            captured: vec![],
            blocks: HashMap::new(),
            in_blocks: vec![],
            parent: None,
            depth: 0,
            templates_in_strings: false,
        }
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.frames.iter().rev().find_map(|frame| lock(frame).get(name).cloned())
    }

    fn set(&mut self, name: &Arc<str>, value: Value) {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        if let Some(frame) = self.frames.last() {
            lock(frame).insert(Arc::clone(name), value);
        }
    }

    fn scoped<T>(&mut self, run: impl FnOnce(&mut Self) -> Eval<T>) -> Eval<T> {
        self.frames.push(Frame::default());
        let result = run(self);
        self.frames.pop();
        result
    }
}

impl Drop for Evaluator<'_> {
    fn drop(&mut self) {
        // A macro holds the frames it was declared in, which hold the macro.
        for frame in &self.frames {
            lock(frame).clear();
        }
    }
}

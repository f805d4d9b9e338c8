//! Expressions.

use std::ops::Range;

use minijinja::value::{Tuple, ValueKind};

use super::Evaluator;
use super::macros::{LoopState, MacroValue, Module};
use crate::template::ast::{Arg, Comparison, Expr, ExprKind};
use crate::template::functions::{self, Function};
use crate::template::marker::{Eval, Marker, Stop, Undefined, Why, marker, need, trip};
use crate::template::methods;
use crate::template::mutable::thaw;
use crate::template::{filters, py, tests};
use crate::value::{Value, unknown_why};

/// Evaluated arguments.
pub type Arguments = (Vec<Value>, Vec<(String, Value)>);

impl Evaluator<'_> {
    /// The value of an expression: possibly a marker, which stands for a mistake that may not matter.
    pub fn expr(&mut self, expr: &Expr) -> Eval<Value> {
        self.kind(expr).map_err(|stop| stop.locate(|| self.place.span(&self.unit.text, &expr.at)))
    }

    fn needed(&mut self, expr: &Expr) -> Eval<Value> {
        need(self.expr(expr)?)
    }

    fn truth(&mut self, expr: &Expr) -> Eval<bool> {
        let value = self.expr(expr)?;
        py::truth(&value)
    }

    /// A condition of a statement.
    pub fn condition(&mut self, expr: &Expr) -> Eval<bool> {
        self.truth(expr)
    }

    fn kind(&mut self, expr: &Expr) -> Eval<Value> {
        match &expr.kind {
            ExprKind::Var(name) => self.variable(name, &expr.at),
            ExprKind::Const(value) => self.constant(value, expr),
            ExprKind::Captured => Ok(self.captured.last().cloned().unwrap_or_default()),
            ExprKind::Slice { of, start, stop, step } => {
                let of = self.needed(of)?;
                let mut bounds = [None, None, None];
                for (bound, expr) in bounds.iter_mut().zip([start, stop, step]) {
                    if let Some(expr) = expr {
                        let value = self.needed(expr)?;
                        if !value.is_none() {
                            let wrong = || Stop::error("a slice needs whole numbers");
                            *bound = Some(value.as_i64().ok_or_else(wrong)?);
                        }
                    }
                }
                methods::slice(&of, bounds)
            }
            ExprKind::Not(of) => Ok(Value::from(!self.truth(of)?)),
            ExprKind::Neg(of) => {
                let of = self.needed(of)?;
                match py::number(&of) {
                    Some(py::Number::Int(value)) => Ok(py::int(value.wrapping_neg())),
                    Some(py::Number::Float(value)) => Ok(Value::from(-value)),
                    None => Err(Stop::error(format!("`-` does not work on {}", py::described(&of)))),
                }
            }
            ExprKind::And(left, right) => {
                let left = self.expr(left)?;
                if py::truth(&left)? { self.expr(right) } else { Ok(left) }
            }
            ExprKind::Or(left, right) => {
                let left = self.expr(left)?;
                if py::truth(&left)? { Ok(left) } else { self.expr(right) }
            }
            ExprKind::Math(op, left, right) => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                let value = py::math(*op, &left, &right)?;
                self.thawed(value)
            }
            ExprKind::Compare(first, rest) => self.compare(first, rest),
            ExprKind::If { test, then, otherwise } => match (self.truth(test)?, otherwise) {
                (true, _) => self.expr(then),
                (false, Some(otherwise)) => self.expr(otherwise),
                (false, None) => Ok(Undefined {
                    written: self.written(&expr.at),
                    name: String::new(),
                    span: Some(self.place.span(&self.unit.text, &expr.at)),
                    why: Why::NoElse,
                }
                .into_value()),
            },
            ExprKind::Filter { name, input, args } => {
                let input = self.expr(input)?;
                let (args, kwargs) = self.arguments(args)?;
                let value = filters::apply(self.context, name, input, args, kwargs)?;
                self.thawed(value)
            }
            ExprKind::Test { name, input, args } => {
                let input = self.expr(input)?;
                let (args, kwargs) = self.arguments(args)?;
                tests::check(self.context, name, input, args, kwargs).map(Value::from)
            }
            ExprKind::Attr(of, name) => {
                let of = self.expr(of)?;
                self.attribute(&of, &Value::from(name), &expr.at)
            }
            ExprKind::Item(of, key) => {
                let (of, key) = (self.expr(of)?, self.needed(key)?);
                self.attribute(&of, &key, &expr.at)
            }
            ExprKind::Call(callee, args) => self.call(callee, args),
            ExprKind::List(items) => {
                let items: Vec<Value> = items.iter().map(|item| self.expr(item)).collect::<Eval<_>>()?;
                self.thawed(Value::from(items))
            }
            ExprKind::Tuple(items) => {
                let items: Vec<Value> = items.iter().map(|item| self.expr(item)).collect::<Eval<_>>()?;
                Ok(Value::from(Tuple::from(items)))
            }
            ExprKind::Dict(entries) => {
                let mut pairs = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    pairs.push((self.needed(key)?, self.expr(value)?));
                }
                self.thawed(Value::from_pairs(pairs))
            }
        }
    }

    /// In a template that changes lists in place, every list and mapping can be changed.
    fn thawed(&self, value: Value) -> Eval<Value> {
        if self.unit.mutates { thaw(&value) } else { Ok(value) }
    }

    fn written(&self, at: &Range<usize>) -> String {
        self.unit.text.get(at.clone()).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn constant(&mut self, value: &Value, expr: &Expr) -> Eval<Value> {
        match value.as_str().filter(|text| self.templates_in_strings && crate::template::lazy::is_template(text)) {
            Some(text) => {
                let span = self.place.span(&self.unit.text, &expr.at);
                self.context.template(&text.into(), &span, "")
            }
            None => Ok(value.clone()),
        }
    }

    fn variable(&mut self, name: &str, at: &Range<usize>) -> Eval<Value> {
        if let Some(value) = self.get(name) {
            return Ok(value);
        }
        if let Some(value) = self.context.variable(name) {
            if !self.unit.mutates {
                return Ok(value);
            }
            let thawed = if trip(&value).is_some() { value } else { thaw(&value)? };
            self.context.remember(name, &thawed);
            return Ok(thawed);
        }
        if let Some(value) = functions::global(name) {
            return Ok(value);
        }
        Ok(Undefined {
            written: name.to_owned(),
            name: name.to_owned(),
            span: Some(self.place.span(&self.unit.text, at)),
            why: Why::Variable(self.context.scope.clone()),
        }
        .into_value())
    }

    /// `of.key` or `of[key]`. Of something undefined it is that undefined thing, so that `default` works on long paths.
    pub fn attribute(&mut self, of: &Value, key: &Value, at: &Range<usize>) -> Eval<Value> {
        if marker(of).is_some() {
            return Ok(of.clone());
        }
        if unknown_why(of).is_some() {
            return Ok(of.clone());
        }
        if let Some(value) = item(of, key) {
            return Ok(value);
        }
        let known = match of.kind() {
            ValueKind::Map => of.try_iter()?.filter_map(|key| key.as_str().map(str::to_owned)).collect(),
            _ => vec![],
        };
        Ok(Undefined {
            written: self.written(at),
            name: py::text(key)?,
            span: Some(self.place.span(&self.unit.text, at)),
            why: Why::Attribute { holder: py::described(of), known },
        }
        .into_value())
    }

    fn compare(&mut self, first: &Expr, rest: &[(Comparison, Expr)]) -> Eval<Value> {
        let mut left = self.expr(first)?;
        for (op, expr) in rest {
            let right = self.expr(expr)?;
            let holds = match op {
                Comparison::Eq => py::equal(&left, &right)?,
                Comparison::Ne => !py::equal(&left, &right)?,
                Comparison::Lt => py::compare(&left, &right)?.is_lt(),
                Comparison::Lte => py::compare(&left, &right)?.is_le(),
                Comparison::Gt => py::compare(&left, &right)?.is_gt(),
                Comparison::Gte => py::compare(&left, &right)?.is_ge(),
                Comparison::In => py::contains(&right, &left)?,
                Comparison::NotIn => !py::contains(&right, &left)?,
            };
            if !holds {
                return Ok(Value::from(false));
            }
            left = right;
        }
        Ok(Value::from(true))
    }

    pub(super) fn arguments(&mut self, args: &[Arg]) -> Eval<Arguments> {
        let (mut positional, mut named) = (vec![], vec![]);
        for arg in args {
            match arg {
                Arg::Positional(expr) => positional.push(self.expr(expr)?),
                Arg::Named(name, expr) => named.push((name.to_string(), self.expr(expr)?)),
                Arg::Splat(expr) => {
                    let list = self.needed(expr)?;
                    positional.extend(py::iterate(&list)?);
                }
                Arg::NamedSplat(expr) => {
                    let map = self.needed(expr)?;
                    let wrong = || Stop::error(format!("`**` needs a mapping, not {}", py::described(&map)));
                    for (key, value) in py::pairs(&map).ok_or_else(wrong)? {
                        named.push((py::text(&key)?, value));
                    }
                }
            }
        }
        Ok((positional, named))
    }

    /// The arguments of a lookup. A constant that is a template itself (`lookup('file', '{{ dir }}/x')`) is rendered, as
    /// Ansible still does; nothing else is, as it may come from a host.
    fn lookup_arguments(&mut self, args: &[Arg]) -> Eval<Arguments> {
        let (mut positional, named) = self.arguments(args)?;
        for (value, arg) in positional.iter_mut().zip(args) {
            match arg {
                Arg::Positional(Expr { kind: ExprKind::Const(constant), at }) => {
                    let Some(text) = constant.as_str() else { continue };
                    let span = self.place.span(&self.unit.text, at);
                    *value = self.context.template(&text.into(), &span, "")?;
                }
                Arg::Positional(_) | Arg::Named(..) => {}
                // What follows is not where it is written.
                Arg::Splat(_) | Arg::NamedSplat(_) => break,
            }
        }
        Ok((positional, named))
    }

    pub(super) fn call(&mut self, callee: &Expr, args: &[Arg]) -> Eval<Value> {
        match &callee.kind {
            ExprKind::Var(name) if &**name == "super" && !self.in_blocks.is_empty() => self.super_block(),
            ExprKind::Attr(of, name) => {
                if matches!(&of.kind, ExprKind::Var(var) if &**var == "self") && self.blocks.contains_key(name) {
                    return self.named_block(name);
                }
                let of = self.needed(of)?;
                let (args, kwargs) = self.arguments(args)?;
                if let Some(function) = item(&of, &Value::from(name)).filter(functions::is_code_value) {
                    return self.call_value(&function, args, kwargs);
                }
                let value = methods::call(&of, name, &args, &kwargs)?;
                self.thawed(value)
            }
            _ => {
                let function = self.expr(callee)?;
                let is_lookup =
                    matches!(&callee.kind, ExprKind::Var(name) if matches!(&**name, "lookup" | "query" | "q"));
                let (args, kwargs) = if is_lookup { self.lookup_arguments(args)? } else { self.arguments(args)? };
                if let (Some(Marker::Undefined(undefined)), ExprKind::Var(name)) = (marker(&function), &callee.kind) {
                    let mut error = crate::diagnostic::Diagnostic::error(format!("`{name}` is not a function"))
                        .did_you_mean(name, functions::names());
                    if filters::find(name).is_some() {
                        error = error.hint(format!("it is a filter: `value | {name}`"));
                    }
                    if let Some(span) = &undefined.span {
                        error = error.at(span);
                    }
                    return Err(Stop::Error(error.into()));
                }
                let value = self.call_value(&need(function)?, args, kwargs)?;
                self.thawed(value)
            }
        }
    }

    fn call_value(&mut self, function: &Value, args: Vec<Value>, kwargs: Vec<(String, Value)>) -> Eval<Value> {
        if let Some(function) = function.downcast_object_ref::<Function>() {
            return function.call(self.context, args, kwargs);
        }
        if let Some(declared) = function.downcast_object::<MacroValue>() {
            return self.call_macro(&declared, args, kwargs, None);
        }
        if let Some(state) = function.downcast_object::<LoopState>() {
            return self.recurse(&state, args);
        }
        match functions::call_object(function, &args) {
            Some(value) => Ok(value),
            None => Err(Stop::error(format!("{} is not a function and cannot be called", py::described(function)))),
        }
    }
}

/// An attribute or item of a value that is there. Negative indexes count from the end.
pub fn item(of: &Value, key: &Value) -> Option<Value> {
    let found = match of.kind() {
        ValueKind::String => match key.as_i64() {
            Some(_) => of.get_item(key).ok()?,
            None => return None,
        },
        // Python's mappings tell `1` and `"1"` apart; `x.0` looks for the number.
        _ => of.get_item(key).ok()?,
    };
    if found.is_undefined() {
        return match of.downcast_object_ref::<Module>() {
            Some(module) => module.get(key.as_str()?),
            None => None,
        };
    }
    Some(found)
}

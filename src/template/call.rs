//! The arguments of a filter, test, lookup or function, taken one by one in the order of its signature.

use std::sync::Arc;

use super::lazy::Context;
use super::marker::{Eval, Stop, need};
use super::py::{self, Number};
use crate::value::Value;

/// A call under way.
pub struct Call<'a> {
    /// Variables and services.
    pub context: &'a Arc<Context>,
    /// What is called, as the user knows it.
    pub name: &'a str,
    /// What a filter or test is applied to.
    pub input: Value,
    /// Positional arguments that were not taken yet.
    pub args: std::collections::VecDeque<Value>,
    /// Named arguments that were not taken yet.
    pub kwargs: Vec<(String, Value)>,
}

impl<'a> Call<'a> {
    /// A call with its arguments.
    pub fn new(
        context: &'a Arc<Context>,
        name: &'a str,
        input: Value,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Self {
        Self { context, name, input, args: args.into(), kwargs }
    }

    /// The next positional argument, or the one with this name.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.args.pop_front().or_else(|| self.named(name))
    }

    /// The argument with this name, which cannot be positional.
    pub fn named(&mut self, name: &str) -> Option<Value> {
        let index = self.kwargs.iter().position(|(key, _)| key == name)?;
        Some(self.kwargs.remove(index).1)
    }

    /// An argument that must be there.
    pub fn require(&mut self, name: &str) -> Eval<Value> {
        let missing = || Stop::error(format!("`{}` needs the argument `{name}`", self.name));
        let error = missing();
        self.value(name).ok_or(error)
    }

    /// A text argument. Null counts as not given.
    pub fn text(&mut self, name: &str) -> Eval<Option<String>> {
        self.value(name).filter(|value| !value.is_none()).map(|value| py::text(&value)).transpose()
    }

    /// A text argument that must be there.
    pub fn require_text(&mut self, name: &str) -> Eval<String> {
        py::text(&self.require(name)?)
    }

    /// A whole number. Null counts as not given.
    pub fn integer(&mut self, name: &str) -> Eval<Option<i64>> {
        let Some(value) = self.value(name).filter(|value| !value.is_none()) else { return Ok(None) };
        let wrong = || {
            let kind = py::described(&value);
            Stop::error(format!("the argument `{name}` of `{}` must be a whole number, not {kind}", self.name))
        };
        match py::number(&value) {
            Some(Number::Int(int)) => i64::try_from(int).map(Some).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    /// A number of things; negative counts as none.
    pub fn count(&mut self, name: &str) -> Eval<Option<usize>> {
        Ok(self.integer(name)?.map(|count| usize::try_from(count).unwrap_or(0)))
    }

    /// A truth value.
    pub fn flag(&mut self, name: &str, default: bool) -> Eval<bool> {
        self.value(name).map_or(Ok(default), |value| py::truth(&need(value)?))
    }

    /// Says that there are no more arguments: what is left was not meant for this.
    pub fn end(&self) -> Eval<()> {
        if let Some((name, _)) = self.kwargs.first() {
            return Err(Stop::error(format!("`{}` has no argument `{name}`", self.name)));
        }
        if !self.args.is_empty() {
            return Err(Stop::error(format!("`{}` has too many arguments", self.name)));
        }
        Ok(())
    }

    /// The input as text.
    pub fn input_text(&self) -> Eval<String> {
        py::text(&self.input)
    }

    /// The input's items.
    pub fn input_items(&self) -> Eval<Vec<Value>> {
        py::iterate(&self.input)
    }
}

//! Statements: loops, conditions, assignments, blocks and includes.

use std::sync::Arc;

use super::macros::{LoopState, MacroValue, Module};
use super::{BlockLayer, Evaluator, Flow, Output};
use crate::template::ast::{For, Stmt, Target, Unit};
use crate::template::functions::Namespace;
use crate::template::marker::{Eval, Stop, need};
use crate::template::place::Place;
use crate::template::{file, py};
use crate::value::Value;

/// How deep includes, macros and recursive loops may go.
const MAX_DEPTH: usize = 40;

impl Evaluator<'_> {
    /// Runs the unit and then the templates that it extends.
    pub fn run_unit(&mut self, out: &mut Output) -> Eval<()> {
        // Without statements that set names there is no scope to make.
        let unit = Arc::clone(&self.unit);
        if let [Stmt::Emit(expr)] = unit.body.as_slice() {
            let value = self.expr(expr)?;
            return out.push(value);
        }
        self.collect_blocks(&unit.body);
        self.stmts(&unit.body, out)?;
        let mut extended = 0;
        while let Some((parent, place)) = self.parent.take() {
            extended += 1;
            if extended > MAX_DEPTH {
                return Err(Stop::error("templates extend one another without end"));
            }
            *out = Output::default();
            self.unit = Arc::clone(&parent);
            self.place = place;
            self.collect_blocks(&parent.body);
            self.stmts(&parent.body, out)?;
        }
        Ok(())
    }

    fn collect_blocks(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Block { name, required, body } => {
                    let layer = BlockLayer {
                        body: Arc::clone(body),
                        required: *required,
                        unit: Arc::clone(&self.unit),
                        place: self.place.clone(),
                    };
                    self.blocks.entry(Arc::clone(name)).or_default().push(layer);
                    self.collect_blocks(body);
                }
                Stmt::If { then, otherwise, .. } => {
                    self.collect_blocks(then);
                    self.collect_blocks(otherwise);
                }
                Stmt::With { body, .. } | Stmt::Scope(body) | Stmt::FilterBlock { body, .. } => {
                    self.collect_blocks(body);
                }
                Stmt::For(each) => self.collect_blocks(&each.body),
                _ => {}
            }
        }
    }

    fn stmts(&mut self, stmts: &[Stmt], out: &mut Output) -> Eval<Flow> {
        for stmt in stmts {
            match self.stmt(stmt, out)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn stmt(&mut self, stmt: &Stmt, out: &mut Output) -> Eval<Flow> {
        match stmt {
            Stmt::Text(text) => out.push_text(text)?,
            Stmt::Emit(expr) => {
                let value = self.expr(expr)?;
                if !is_no_else(&value) {
                    out.push(value).map_err(|stop| stop.locate(|| self.place.span(&self.unit.text, &expr.at)))?;
                }
            }
            Stmt::For(each) => return self.for_loop(each, out),
            Stmt::If { test, then, otherwise } => {
                return if self.condition(test)? { self.stmts(then, out) } else { self.stmts(otherwise, out) };
            }
            Stmt::With { assignments, body } => {
                return self.scoped(|this| {
                    for (target, expr) in assignments {
                        let value = this.expr(expr)?;
                        this.assign(target, value)?;
                    }
                    this.stmts(body, out)
                });
            }
            Stmt::Set(target, expr) => {
                let value = self.expr(expr)?;
                self.assign(target, value)?;
            }
            Stmt::SetBlock { target, filter, body } => {
                let mut value = self.capture(body)?;
                if let Some(filter) = filter {
                    value = self.filtered(filter, value)?;
                }
                self.assign(target, value)?;
            }
            Stmt::FilterBlock { filter, body } => {
                let captured = self.capture(body)?;
                let text = Value::from(if captured.is_none() { String::new() } else { py::text(&captured)? });
                let value = self.filtered(filter, text)?;
                out.push(value)?;
            }
            Stmt::Block { name, .. } => {
                if self.parent.is_none() {
                    let value = self.block(name, 0)?;
                    out.push(value)?;
                }
            }
            Stmt::Import { from, name } => {
                let module = self.import(from)?;
                self.set(name, module);
            }
            Stmt::FromImport { from, names } => {
                let module = self.import(from)?;
                for (name, alias) in names {
                    let value = module.downcast_object_ref::<Module>().and_then(|module| module.get(name));
                    let missing = || Stop::error(format!("the imported template has no `{name}`"));
                    self.set(alias, value.ok_or_else(missing)?);
                }
            }
            Stmt::Extends(expr) => {
                let name = need(self.expr(expr)?)?;
                self.parent = Some(self.load(&name, false)?.ok_or_else(|| Stop::error("no template to extend"))?);
            }
            Stmt::Include { name, ignore_missing } => {
                let names = need(self.expr(name)?)?;
                let loaded = self
                    .load(&names, *ignore_missing)
                    .map_err(|stop| stop.locate(|| self.place.span(&self.unit.text, &name.at)))?;
                if let Some((unit, place)) = loaded {
                    self.descend(unit, place, |this| {
                        let unit = Arc::clone(&this.unit);
                        this.stmts(&unit.body, out)
                    })?;
                }
            }
            Stmt::Macro(declared) => {
                let frames = self.closure();
                let value = MacroValue::new(declared, &self.unit, &self.place, frames);
                self.set(&declared.name, Value::from_object(value));
            }
            Stmt::CallBlock { call, caller } => {
                let frames = self.closure();
                let caller = Value::from_object(MacroValue::new(caller, &self.unit, &self.place, frames));
                let value = self.call_with_caller(call, caller)?;
                out.push(value)?;
            }
            Stmt::Scope(body) => return self.scoped(|this| this.stmts(body, out)),
            Stmt::Do(expr) => {
                need(self.expr(expr)?)?;
            }
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::Break => return Ok(Flow::Break),
        }
        Ok(Flow::Next)
    }

    /// The scopes as a macro sees them: with one of its own to be set in, even at the top.
    fn closure(&mut self) -> Vec<super::Frame> {
        if self.frames.is_empty() {
            self.frames.push(super::Frame::default());
        }
        self.frames.clone()
    }

    fn filtered(&mut self, filter: &crate::template::ast::Expr, value: Value) -> Eval<Value> {
        self.captured.push(value);
        let result = self.expr(filter);
        self.captured.pop();
        result
    }

    /// The outcome of some statements in a scope of their own.
    pub(super) fn capture(&mut self, body: &[Stmt]) -> Eval<Value> {
        let mut out = Output::default();
        self.scoped(|this| this.stmts(body, &mut out))?;
        Ok(out.finish())
    }

    fn assign(&mut self, target: &Target, value: Value) -> Eval<()> {
        match target {
            Target::Name(name) => self.set(name, value),
            Target::Attr(of, name) => {
                let of = need(self.expr(of)?)?;
                match of.downcast_object_ref::<Namespace>() {
                    Some(namespace) => namespace.set(name, value),
                    None => {
                        let message =
                            format!("only attributes of a `namespace` can be set, not of {}", py::described(&of));
                        return Err(Stop::hint(message, "make it with `{% set ns = namespace() %}`"));
                    }
                }
            }
            Target::Many(targets) => {
                let items = py::iterate(&need(value)?)?;
                if items.len() != targets.len() {
                    let (want, have) = (targets.len(), items.len());
                    return Err(Stop::error(format!("{want} names cannot be set from {have} values")));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
            }
        }
        Ok(())
    }

    fn for_loop(&mut self, each: &Arc<For>, out: &mut Output) -> Eval<Flow> {
        let iterated = self.expr(&each.iter)?;
        let items =
            py::iterate(&iterated).map_err(|stop| stop.locate(|| self.place.span(&self.unit.text, &each.iter.at)))?;
        self.loop_over(each, items, 0, out)
    }

    fn loop_over(&mut self, each: &Arc<For>, mut items: Vec<Value>, depth: usize, out: &mut Output) -> Eval<Flow> {
        if let Some(filter) = &each.filter {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let keep = self.scoped(|this| {
                    this.assign(&each.target, item.clone())?;
                    this.condition(filter)
                })?;
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(|this| this.stmts(&each.otherwise, out));
        }
        let shared = LoopState::shared(items, depth, each.recursive.then(|| Arc::clone(each)));
        for index in 0..shared.len() {
            let flow = self.scoped(|this| {
                let state = LoopState::at(&shared, index);
                this.assign(&each.target, state.item())?;
                this.set(&"loop".into(), Value::from_object(state));
                this.stmts(&each.body, out)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// `loop(children)` in a recursive loop.
    pub(super) fn recurse(&mut self, state: &LoopState, args: Vec<Value>) -> Eval<Value> {
        let Some(each) = state.recursive() else {
            return Err(Stop::hint(
                "`loop` is called in a loop that is not recursive",
                "write `{% for … recursive %}`",
            ));
        };
        if state.depth() > MAX_DEPTH {
            return Err(Stop::error("the recursive loop goes too deep"));
        }
        let items = args.first().map(py::iterate).transpose()?.unwrap_or_default();
        let mut out = Output::default();
        self.loop_over(&each, items, state.depth() + 1, &mut out)?;
        Ok(out.finish())
    }

    fn block(&mut self, name: &Arc<str>, layer: usize) -> Eval<Value> {
        let Some(found) = self.blocks.get(name).and_then(|layers| layers.get(layer)).cloned() else {
            return Err(Stop::error(format!("no template that is extended has a block `{name}`")));
        };
        if found.required {
            return Err(Stop::error(format!(
                "the block `{name}` must be filled by the template that extends this one"
            )));
        }
        self.in_blocks.push((Arc::clone(name), layer));
        let result = self.descend(found.unit, found.place, |this| this.capture(&found.body));
        self.in_blocks.pop();
        result
    }

    pub(super) fn super_block(&mut self) -> Eval<Value> {
        match self.in_blocks.last().cloned() {
            Some((name, layer)) => self.block(&name, layer + 1),
            None => Err(Stop::error("`super()` works in a block only")),
        }
    }

    pub(super) fn named_block(&mut self, name: &Arc<str>) -> Eval<Value> {
        self.block(name, 0)
    }

    /// Runs something as part of another text.
    pub(super) fn descend<T>(
        &mut self,
        unit: Arc<Unit>,
        place: Place,
        run: impl FnOnce(&mut Self) -> Eval<T>,
    ) -> Eval<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::error("templates include one another without end"));
        }
        self.depth += 1;
        let unit = std::mem::replace(&mut self.unit, unit);
        let place = std::mem::replace(&mut self.place, place);
        let result = run(self);
        self.unit = unit;
        self.place = place;
        self.depth -= 1;
        result
    }

    fn import(&mut self, from: &crate::template::ast::Expr) -> Eval<Value> {
        let name = need(self.expr(from)?)?;
        let (unit, place) = self.load(&name, false)?.ok_or_else(|| Stop::error("no template to import"))?;
        let frame = super::Frame::default();
        let frames = std::mem::replace(&mut self.frames, vec![Arc::clone(&frame)]);
        let result = self.descend(unit, place, |this| {
            let unit = Arc::clone(&this.unit);
            this.stmts(&unit.body, &mut Output::default())
        });
        self.frames = frames;
        result?;
        Ok(Value::from_object(Module::new(frame)))
    }

    /// The template with this name, or the first of several that exists.
    fn load(&self, names: &Value, ignore_missing: bool) -> Eval<Option<(Arc<Unit>, Place)>> {
        let names = match names.as_str() {
            Some(name) => vec![name.to_owned()],
            None => py::iterate(names)?.iter().map(py::text).collect::<Eval<_>>()?,
        };
        for name in &names {
            if let Some(loaded) = file::load(self.context, &self.place, name)? {
                return Ok(Some(loaded));
            }
        }
        match ignore_missing {
            true => Ok(None),
            false => {
                let hint = "it is looked for beside this template and in the role's `templates` directory";
                Err(Stop::hint(format!("there is no template `{}`", names.join("`, `")), hint))
            }
        }
    }
}

/// `{{ x if false }}` inside text is nothing, as in Jinja.
fn is_no_else(value: &Value) -> bool {
    use crate::template::marker::{Marker, Why, marker};
    matches!(marker(value), Some(Marker::Undefined(undefined)) if matches!(undefined.why, Why::NoElse))
}

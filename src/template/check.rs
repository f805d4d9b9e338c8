//! What can be said of a template without running it: syntax, and names of filters, tests, functions and lookups.

use std::ops::Range;
use std::sync::Arc;

use super::ast::{Arg, Expr, ExprKind, Macro, Stmt, Target, Unit};
use super::parse::SyntaxError;
use super::place::inside;
use super::{filters, functions, lookups, tests};
use crate::diagnostic::{Diagnostic, Span};

/// What to tell the user about a text that does not parse.
pub fn syntax_diagnostic(error: &SyntaxError, text: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("this is not a template: {}", error.message));
    if text.matches("{{").count() != text.matches("}}").count() {
        return diagnostic.hint("every `{{` needs its `}}`");
    }
    if text.matches("{%").count() != text.matches("%}").count() {
        return diagnostic.hint("every `{%` needs its `%}`");
    }
    diagnostic
}

/// Every name in a compiled text that nothing answers to.
pub fn unknown_names(unit: &Unit, span: &Span) -> Vec<Diagnostic> {
    let mut found = vec![];
    walk(unit, &mut |expr| {
        let at = || inside(span, &unit.text, &expr.at);
        match &expr.kind {
            ExprKind::Filter { name, .. } if filters::find(name).is_none() => {
                found.push(filters::unknown(name).at(&at()));
            }
            ExprKind::Test { name, .. } if tests::find(name).is_none() => found.push(tests::unknown(name).at(&at())),
            ExprKind::Filter { name, args, .. } if &**name == "map" => {
                if let Some((name, at)) = constant(args).filter(|(name, _)| filters::find(name).is_none()) {
                    found.push(filters::unknown(&name).at(&inside(span, &unit.text, &at)));
                }
            }
            ExprKind::Call(callee, args) => {
                let ExprKind::Var(name) = &callee.kind else { return };
                if !matches!(&**name, "lookup" | "query" | "q") {
                    return;
                }
                if let Some((name, at)) = constant(args).filter(|(name, _)| !lookups::exists(name)) {
                    found.push(lookups::unknown(&name).at(&inside(span, &unit.text, &at)));
                }
            }
            _ => {}
        }
    });
    found
}

/// The variables that a text needs, in the order they appear. Names that it sets itself are left out.
pub fn references(unit: &Unit) -> Vec<String> {
    let mut set: Vec<Arc<str>> = vec![];
    let mut called: Vec<Range<usize>> = vec![];
    bound_names(&unit.body, &mut set);
    let mut names: Vec<String> = vec![];
    let mut add = |name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    walk(unit, &mut |expr| match &expr.kind {
        ExprKind::Var(name) => {
            let own =
                set.contains(name) || matches!(&**name, "loop" | "caller" | "varargs" | "kwargs" | "self" | "super");
            if !own && &**name != "omit" && !called.contains(&expr.at) {
                add(name);
            }
        }
        // `lookup('vars', 'x')` needs `x`.
        ExprKind::Call(callee, args) => {
            let ExprKind::Var(name) = &callee.kind else { return };
            if functions::global(name).is_some() {
                called.push(callee.at.clone());
            }
            let is_vars = |name: &str| name.rsplit('.').next() == Some("vars");
            if matches!(&**name, "lookup" | "query" | "q") && constant(args).is_some_and(|(name, _)| is_vars(&name)) {
                for arg in args.iter().skip(1) {
                    if let Arg::Positional(Expr { kind: ExprKind::Const(value), .. }) = arg {
                        value.as_str().into_iter().for_each(&mut add);
                    }
                }
            }
        }
        _ => {}
    });
    names
}

/// The first argument, if it is a constant string.
fn constant(args: &[Arg]) -> Option<(String, Range<usize>)> {
    match args.first()? {
        Arg::Positional(Expr { kind: ExprKind::Const(value), at }) => Some((value.as_str()?.to_owned(), at.clone())),
        _ => None,
    }
}

fn bound_names(stmts: &[Stmt], names: &mut Vec<Arc<str>>) {
    fn target(to: &Target, names: &mut Vec<Arc<str>>) {
        match to {
            Target::Name(name) => names.push(Arc::clone(name)),
            Target::Attr(..) => {}
            Target::Many(targets) => targets.iter().for_each(|each| target(each, names)),
        }
    }
    fn declared(of: &Macro, names: &mut Vec<Arc<str>>) {
        names.push(Arc::clone(&of.name));
        names.extend(of.args.iter().cloned());
        bound_names(&of.body, names);
    }
    for stmt in stmts {
        match stmt {
            Stmt::For(each) => {
                target(&each.target, names);
                bound_names(&each.body, names);
                bound_names(&each.otherwise, names);
            }
            Stmt::If { then, otherwise, .. } => {
                bound_names(then, names);
                bound_names(otherwise, names);
            }
            Stmt::With { assignments, body } => {
                assignments.iter().for_each(|(to, _)| target(to, names));
                bound_names(body, names);
            }
            Stmt::Set(to, _) => target(to, names),
            Stmt::SetBlock { target: to, body, .. } => {
                target(to, names);
                bound_names(body, names);
            }
            Stmt::FilterBlock { body, .. } | Stmt::Scope(body) => bound_names(body, names),
            Stmt::Block { body, .. } => bound_names(body, names),
            Stmt::Import { name, .. } => names.push(Arc::clone(name)),
            Stmt::FromImport { names: imported, .. } => {
                names.extend(imported.iter().map(|(_, alias)| Arc::clone(alias)))
            }
            Stmt::Macro(of) => declared(of, names),
            Stmt::CallBlock { caller, .. } => declared(caller, names),
            _ => {}
        }
    }
}

fn walk(unit: &Unit, visit: &mut dyn FnMut(&Expr)) {
    stmts(&unit.body, visit);
}

fn stmts(body: &[Stmt], visit: &mut dyn FnMut(&Expr)) {
    for stmt in body {
        match stmt {
            Stmt::Text(_) | Stmt::Continue | Stmt::Break => {}
            Stmt::Emit(of) | Stmt::Extends(of) | Stmt::Do(of) | Stmt::Include { name: of, .. } => expr(of, visit),
            Stmt::Import { from, .. } | Stmt::FromImport { from, .. } => expr(from, visit),
            Stmt::For(each) => {
                expr(&each.iter, visit);
                each.filter.iter().for_each(|filter| expr(filter, visit));
                stmts(&each.body, visit);
                stmts(&each.otherwise, visit);
            }
            Stmt::If { test, then, otherwise } => {
                expr(test, visit);
                stmts(then, visit);
                stmts(otherwise, visit);
            }
            Stmt::With { assignments, body } => {
                assignments.iter().for_each(|(_, value)| expr(value, visit));
                stmts(body, visit);
            }
            Stmt::Set(_, value) => expr(value, visit),
            Stmt::SetBlock { filter, body, .. } => {
                filter.iter().for_each(|filter| expr(filter, visit));
                stmts(body, visit);
            }
            Stmt::FilterBlock { filter, body } => {
                expr(filter, visit);
                stmts(body, visit);
            }
            Stmt::Block { body, .. } => stmts(body, visit),
            Stmt::Scope(body) => stmts(body, visit),
            Stmt::Macro(declared) => {
                declared.defaults.iter().for_each(|default| expr(default, visit));
                stmts(&declared.body, visit);
            }
            Stmt::CallBlock { call, caller } => {
                expr(call, visit);
                stmts(&caller.body, visit);
            }
        }
    }
}

fn expr(of: &Expr, visit: &mut dyn FnMut(&Expr)) {
    visit(of);
    match &of.kind {
        ExprKind::Var(_) | ExprKind::Const(_) | ExprKind::Captured => {}
        ExprKind::Slice { of, start, stop, step } => {
            expr(of, visit);
            [start, stop, step].into_iter().flatten().for_each(|bound| expr(bound, visit));
        }
        ExprKind::Not(a) | ExprKind::Neg(a) | ExprKind::Attr(a, _) => expr(a, visit),
        ExprKind::And(a, b) | ExprKind::Or(a, b) | ExprKind::Math(_, a, b) | ExprKind::Item(a, b) => {
            expr(a, visit);
            expr(b, visit);
        }
        ExprKind::Compare(first, rest) => {
            expr(first, visit);
            rest.iter().for_each(|(_, other)| expr(other, visit));
        }
        ExprKind::If { test, then, otherwise } => {
            expr(test, visit);
            expr(then, visit);
            otherwise.iter().for_each(|other| expr(other, visit));
        }
        ExprKind::Filter { input, args, .. } | ExprKind::Test { input, args, .. } | ExprKind::Call(input, args) => {
            expr(input, visit);
            for arg in args {
                let (Arg::Positional(value) | Arg::Named(_, value) | Arg::Splat(value) | Arg::NamedSplat(value)) = arg;
                expr(value, visit);
            }
        }
        ExprKind::List(items) | ExprKind::Tuple(items) => items.iter().for_each(|item| expr(item, visit)),
        ExprKind::Dict(entries) => entries.iter().for_each(|(key, value)| {
            expr(key, visit);
            expr(value, visit);
        }),
    }
}

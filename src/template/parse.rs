//! Text to [`Unit`]. minijinja's parser reads the syntax; this is the only file that knows its tree, which has no
//! stability guarantee.

use std::ops::Range;
use std::sync::Arc;

use minijinja::machinery::{ast, parse as parse_template, parse_expr};
use minijinja::syntax::SyntaxConfig;

use super::ast::{Arg, Comparison, Expr, ExprKind, For, Macro, Math, Stmt, Target, Unit};
use super::depth;
use crate::value::Value;

/// Why a text is not a template, and which bytes are at fault.
#[derive(Debug, Clone)]
pub struct SyntaxError {
    /// One lower-case sentence.
    pub message: String,
    /// The bytes at fault, if they are known.
    pub at: Option<Range<usize>>,
}

/// How the text is read.
#[derive(Debug, Clone)]
pub enum Mode {
    /// One expression, as in `when:`.
    Expression,
    /// A template in YAML: backslashes in strings inside `{{ }}` stand for themselves.
    Yaml(SyntaxConfig),
    /// A template file: backslashes escape, lines end as the second part says.
    File(SyntaxConfig, String),
}

/// Compiles a text.
pub fn compile(text: &Arc<str>, mode: &Mode) -> Result<Unit, SyntaxError> {
    let newline: Arc<str> = match mode {
        Mode::File(_, newline) => newline.as_str().into(),
        _ => "\n".into(),
    };
    let block = match mode {
        Mode::Yaml(syntax) | Mode::File(syntax, _) => {
            let (start, end) = syntax.block_delimiters();
            (start.to_owned(), end.to_owned())
        }
        Mode::Expression => Default::default(),
    };
    let mut lower = Lower {
        text,
        raw: false,
        mutates: false,
        escape: matches!(mode, Mode::Yaml(_)),
        newline: Arc::clone(&newline),
        block,
        named: (false, false),
    };
    depth::check(text, mode)?;
    let newlines = text.len() - text.trim_end_matches('\n').len();
    let body = match mode {
        Mode::Expression => {
            let expr = parse_expr(text).map_err(|error| syntax_error(&error))?;
            vec![Stmt::Emit(lower.expr(&expr))]
        }
        Mode::Yaml(syntax) | Mode::File(syntax, _) => {
            let tree = parse_template(text, "<template>", syntax.clone()).map_err(|error| syntax_error(&error))?;
            match &tree {
                ast::Stmt::Template(template) => lower.stmts(&template.children),
                other => vec![lower.stmt(other)],
            }
        }
    };
    let mutates = lower.mutates;
    Ok(Unit { text: Arc::clone(text), body, newlines, newline, mutates })
}

fn syntax_error(error: &minijinja::Error) -> SyntaxError {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    SyntaxError { message, at: error.range() }
}

/// Methods that change their object in place.
const MUTATORS: &[&str] =
    &["append", "extend", "insert", "pop", "popitem", "remove", "clear", "sort", "reverse", "update", "setdefault"];

struct Lower<'a> {
    text: &'a str,
    /// Inside `{{ }}` of a template in YAML.
    raw: bool,
    escape: bool,
    mutates: bool,
    newline: Arc<str>,
    /// What opens and closes a block.
    block: (String, String),
    /// Whether `varargs` and `kwargs` are named in the macro that is being read.
    named: (bool, bool),
}

impl Lower<'_> {
    fn stmts(&mut self, stmts: &[ast::Stmt<'_>]) -> Vec<Stmt> {
        stmts.iter().map(|stmt| self.stmt(stmt)).collect()
    }

    /// Whether a newline before this text belongs to it: Jinja keeps what follows `{% raw %}` also with `trim_blocks`, which
    /// minijinja does not.
    fn lost_newline(&self, data: &str) -> bool {
        // The data is a part of the text, so this is its place.
        let place = (data.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        let before = place.and_then(|place| self.text.get(..place));
        let opening = before.and_then(|before| before.strip_suffix('\n')).map(|before| {
            let before = before.strip_suffix('\r').unwrap_or(before);
            before.strip_suffix(&*self.block.1)?.trim_end().strip_suffix("raw")?.trim_end().strip_suffix(&*self.block.0)
        });
        opening.flatten().is_some()
    }

    fn stmt(&mut self, stmt: &ast::Stmt<'_>) -> Stmt {
        match stmt {
            ast::Stmt::Template(s) => Stmt::Scope(self.stmts(&s.children)),
            ast::Stmt::EmitExpr(s) => {
                self.raw = self.escape;
                let expr = self.expr(&s.expr);
                self.raw = false;
                Stmt::Emit(expr)
            }
            ast::Stmt::EmitRaw(s) => {
                let newline = if self.lost_newline(s.raw) { "\n" } else { "" };
                Stmt::Text(self.lines(&format!("{newline}{}", s.raw)))
            }
            ast::Stmt::ForLoop(s) => Stmt::For(Arc::new(For {
                target: self.target(&s.target),
                iter: self.expr(&s.iter),
                filter: s.filter_expr.as_ref().map(|expr| self.expr(expr)),
                recursive: s.recursive,
                body: self.stmts(&s.body),
                otherwise: self.stmts(&s.else_body),
            })),
            ast::Stmt::IfCond(s) => Stmt::If {
                test: self.expr(&s.expr),
                then: self.stmts(&s.true_body),
                otherwise: self.stmts(&s.false_body),
            },
            ast::Stmt::WithBlock(s) => Stmt::With {
                assignments: s.assignments.iter().map(|(to, expr)| (self.target(to), self.expr(expr))).collect(),
                body: self.stmts(&s.body),
            },
            ast::Stmt::Set(s) => Stmt::Set(self.target(&s.target), self.expr(&s.expr)),
            ast::Stmt::SetBlock(s) => Stmt::SetBlock {
                target: self.target(&s.target),
                filter: s.filter.as_ref().map(|expr| self.expr(expr)),
                body: self.stmts(&s.body),
            },
            ast::Stmt::AutoEscape(s) => Stmt::Scope(self.stmts(&s.body)),
            ast::Stmt::FilterBlock(s) => Stmt::FilterBlock { filter: self.expr(&s.filter), body: self.stmts(&s.body) },
            ast::Stmt::Block(s) => {
                Stmt::Block { name: s.name.into(), required: s.required, body: Arc::new(self.stmts(&s.body)) }
            }
            ast::Stmt::Import(s) => Stmt::Import { from: self.expr(&s.expr), name: var_name(&s.name) },
            ast::Stmt::FromImport(s) => Stmt::FromImport {
                from: self.expr(&s.expr),
                names: s
                    .names
                    .iter()
                    .map(|(name, alias)| (var_name(name), var_name(alias.as_ref().unwrap_or(name))))
                    .collect(),
            },
            ast::Stmt::Extends(s) => Stmt::Extends(self.expr(&s.name)),
            ast::Stmt::Include(s) => Stmt::Include { name: self.expr(&s.name), ignore_missing: s.ignore_missing },
            ast::Stmt::Macro(s) => Stmt::Macro(Arc::new(self.declare(s))),
            ast::Stmt::CallBlock(s) => {
                let at = range(s.call.span());
                Stmt::CallBlock { call: self.call(&s.call, at), caller: Arc::new(self.declare(&s.macro_decl)) }
            }
            ast::Stmt::Continue(_) => Stmt::Continue,
            ast::Stmt::Break(_) => Stmt::Break,
            ast::Stmt::Do(s) => {
                let at = range(s.call.span());
                Stmt::Do(self.call(&s.call, at))
            }
        }
    }

    /// Template text with the line ends that are asked for.
    fn lines(&self, text: &str) -> Arc<str> {
        if &*self.newline == "\n" && !text.contains('\r') {
            return text.into();
        }
        text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', &self.newline).into()
    }

    fn declare(&mut self, decl: &ast::Macro<'_>) -> Macro {
        let outer = std::mem::take(&mut self.named);
        let mut made = Macro {
            name: decl.name.into(),
            args: decl.args.iter().map(var_name).collect(),
            defaults: decl.defaults.iter().map(|expr| self.expr(expr)).collect(),
            body: self.stmts(&decl.body),
            takes_more: false,
            takes_named: false,
        };
        (made.takes_more, made.takes_named) = self.named;
        self.named = outer;
        made
    }

    fn target(&mut self, expr: &ast::Expr<'_>) -> Target {
        match expr {
            ast::Expr::List(list) => Target::Many(list.items.iter().map(|item| self.target(item)).collect()),
            ast::Expr::Tuple(list) => Target::Many(list.items.iter().map(|item| self.target(item)).collect()),
            ast::Expr::GetAttr(attr) => Target::Attr(self.expr(&attr.expr), attr.name.into()),
            other => Target::Name(var_name(other)),
        }
    }

    fn boxed(&mut self, expr: &ast::Expr<'_>) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    fn optional(&mut self, expr: Option<&ast::Expr<'_>>) -> Option<Box<Expr>> {
        expr.map(|expr| self.boxed(expr))
    }

    fn call(&mut self, call: &ast::Call<'_>, at: Range<usize>) -> Expr {
        if let ast::Expr::GetAttr(attr) = &call.expr {
            self.mutates |= MUTATORS.contains(&attr.name);
        }
        let callee = self.boxed(&call.expr);
        let at = callee.at.start.min(at.start)..at.end;
        Expr { kind: ExprKind::Call(callee, self.args(&call.args)), at }
    }

    fn args(&mut self, args: &[ast::CallArg<'_>]) -> Vec<Arg> {
        args.iter()
            .map(|arg| match arg {
                ast::CallArg::Pos(expr) => Arg::Positional(self.expr(expr)),
                ast::CallArg::Kwarg(name, expr) => Arg::Named((*name).into(), self.expr(expr)),
                ast::CallArg::PosSplat(expr) => Arg::Splat(self.expr(expr)),
                ast::CallArg::KwargSplat(expr) => Arg::NamedSplat(self.expr(expr)),
            })
            .collect()
    }

    fn expr(&mut self, expr: &ast::Expr<'_>) -> Expr {
        let at = range(expr.span());
        let kind = match expr {
            ast::Expr::Var(e) => {
                self.named.0 |= e.id == "varargs";
                self.named.1 |= e.id == "kwargs";
                ExprKind::Var(e.id.into())
            }
            ast::Expr::Const(e) => ExprKind::Const(self.constant(&e.value, &at)),
            ast::Expr::Slice(e) => ExprKind::Slice {
                of: self.boxed(&e.expr),
                start: self.optional(e.start.as_ref()),
                stop: self.optional(e.stop.as_ref()),
                step: self.optional(e.step.as_ref()),
            },
            ast::Expr::UnaryOp(e) => {
                let of = self.boxed(&e.expr);
                match e.op {
                    ast::UnaryOpKind::Not => ExprKind::Not(of),
                    ast::UnaryOpKind::Neg => ExprKind::Neg(of),
                }
            }
            ast::Expr::BinOp(e) => self.binary(e),
            ast::Expr::Compare(e) => {
                let first = self.boxed(&e.expr);
                let rest = e.ops.iter().map(|op| (comparison(op.op), self.expr(&op.expr))).collect();
                ExprKind::Compare(first, rest)
            }
            ast::Expr::IfExpr(e) => ExprKind::If {
                test: self.boxed(&e.test_expr),
                then: self.boxed(&e.true_expr),
                otherwise: self.optional(e.false_expr.as_ref()),
            },
            ast::Expr::Filter(e) => {
                let input = match &e.expr {
                    Some(input) => self.boxed(input),
                    None => Box::new(Expr { kind: ExprKind::Captured, at: at.clone() }),
                };
                ExprKind::Filter { name: e.name.into(), input, args: self.args(&e.args) }
            }
            ast::Expr::Test(e) => {
                ExprKind::Test { name: e.name.into(), input: self.boxed(&e.expr), args: self.args(&e.args) }
            }
            ast::Expr::GetAttr(e) => ExprKind::Attr(self.boxed(&e.expr), e.name.into()),
            ast::Expr::GetItem(e) => ExprKind::Item(self.boxed(&e.expr), self.boxed(&e.subscript_expr)),
            ast::Expr::Call(e) => return self.call(e, at),
            ast::Expr::List(e) => ExprKind::List(e.items.iter().map(|item| self.expr(item)).collect()),
            ast::Expr::Tuple(e) => ExprKind::Tuple(e.items.iter().map(|item| self.expr(item)).collect()),
            ast::Expr::Map(e) => {
                ExprKind::Dict(e.keys.iter().zip(&e.values).map(|(k, v)| (self.expr(k), self.expr(v))).collect())
            }
        };
        // The parser starts a chain's spans at the last dot and an operation's at the token before it.
        let start = match &kind {
            ExprKind::Attr(of, _)
            | ExprKind::Item(of, _)
            | ExprKind::Slice { of, .. }
            | ExprKind::Math(_, of, _)
            | ExprKind::And(of, _)
            | ExprKind::Or(of, _)
            | ExprKind::Compare(of, _)
            | ExprKind::If { then: of, .. } => of.at.start,
            _ => at.start,
        };
        Expr { kind, at: start.min(at.end)..at.end }
    }

    fn binary(&mut self, e: &ast::BinOp<'_>) -> ExprKind {
        use ast::BinOpKind as Op;
        let left = self.boxed(&e.left);
        let math = match e.op {
            Op::ScAnd => return ExprKind::And(left, self.boxed(&e.right)),
            Op::ScOr => return ExprKind::Or(left, self.boxed(&e.right)),
            Op::Add => Math::Add,
            Op::Sub => Math::Sub,
            Op::Mul => Math::Mul,
            Op::Div => Math::Div,
            Op::FloorDiv => Math::FloorDiv,
            Op::Rem => Math::Rem,
            Op::Pow => Math::Pow,
            Op::Concat => Math::Concat,
            Op::Eq => return self.compare(left, Comparison::Eq, &e.right),
            Op::Ne => return self.compare(left, Comparison::Ne, &e.right),
            Op::Lt => return self.compare(left, Comparison::Lt, &e.right),
            Op::Lte => return self.compare(left, Comparison::Lte, &e.right),
            Op::Gt => return self.compare(left, Comparison::Gt, &e.right),
            Op::Gte => return self.compare(left, Comparison::Gte, &e.right),
            Op::In => return self.compare(left, Comparison::In, &e.right),
        };
        ExprKind::Math(math, left, self.boxed(&e.right))
    }

    fn compare(&mut self, left: Box<Expr>, op: Comparison, right: &ast::Expr<'_>) -> ExprKind {
        ExprKind::Compare(left, vec![(op, self.expr(right))])
    }

    fn constant(&self, value: &Value, at: &Range<usize>) -> Value {
        let written = self.text.get(at.clone()).unwrap_or_default();
        if self.raw && written.contains('\\') && value.as_str().is_some() {
            for quote in ['\'', '"'] {
                let inner = written.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
                if let Some(inner) = inner {
                    return Value::from(inner);
                }
            }
        }
        value.clone()
    }
}

fn var_name(expr: &ast::Expr<'_>) -> Arc<str> {
    match expr {
        ast::Expr::Var(var) => var.id.into(),
        _ => "".into(),
    }
}

fn comparison(op: ast::CompareOpKind) -> Comparison {
    match op {
        ast::CompareOpKind::Eq => Comparison::Eq,
        ast::CompareOpKind::Ne => Comparison::Ne,
        ast::CompareOpKind::Lt => Comparison::Lt,
        ast::CompareOpKind::Lte => Comparison::Lte,
        ast::CompareOpKind::Gt => Comparison::Gt,
        ast::CompareOpKind::Gte => Comparison::Gte,
        ast::CompareOpKind::In => Comparison::In,
        ast::CompareOpKind::NotIn => Comparison::NotIn,
    }
}

fn range(span: minijinja::machinery::Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

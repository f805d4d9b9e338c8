//! The tree that a template is compiled to. Owned, shared by every evaluation, and with a byte range on every expression,
//! so that an error can point at the words it is about.

use std::ops::Range;
use std::sync::Arc;

use crate::value::Value;

/// A compiled template or expression.
#[derive(Debug)]
pub struct Unit {
    /// The text that the ranges point into.
    pub text: Arc<str>,
    /// What it says.
    pub body: Vec<Stmt>,
    /// Newlines at the end of the text. Jinja drops one; Ansible puts them back when the outcome is text.
    pub newlines: usize,
    /// What a line ends with.
    pub newline: Arc<str>,
    /// Whether a method is called that changes a list or a mapping in place, so that those must be mutable objects.
    pub mutates: bool,
}

/// An expression and where it stands.
#[derive(Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// The bytes it is written in.
    pub at: Range<usize>,
}

/// The kinds of expressions.
#[derive(Debug)]
pub enum ExprKind {
    Var(Arc<str>),
    Const(Value),
    /// What a filter block or a `set` block with a filter applies its filter to.
    Captured,
    Slice {
        of: Box<Expr>,
        start: Option<Box<Expr>>,
        stop: Option<Box<Expr>>,
        step: Option<Box<Expr>>,
    },
    Not(Box<Expr>),
    Neg(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Math(Math, Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    If {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
    Filter {
        name: Arc<str>,
        input: Box<Expr>,
        args: Vec<Arg>,
    },
    Test {
        name: Arc<str>,
        input: Box<Expr>,
        args: Vec<Arg>,
    },
    Attr(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Call(Box<Expr>, Vec<Arg>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
}

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Math {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
    /// `~`
    Concat,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
}

/// An argument of a call, a filter or a test.
#[derive(Debug)]
pub enum Arg {
    Positional(Expr),
    Named(Arc<str>, Expr),
    /// `*args`
    Splat(Expr),
    /// `**kwargs`
    NamedSplat(Expr),
}

/// What a value is assigned to.
#[derive(Debug)]
pub enum Target {
    Name(Arc<str>),
    /// An attribute of a `namespace`.
    Attr(Expr, Arc<str>),
    Many(Vec<Target>),
}

/// A statement.
#[derive(Debug)]
pub enum Stmt {
    Text(Arc<str>),
    Emit(Expr),
    For(Arc<For>),
    If {
        test: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    With {
        assignments: Vec<(Target, Expr)>,
        body: Vec<Stmt>,
    },
    Set(Target, Expr),
    SetBlock {
        target: Target,
        filter: Option<Expr>,
        body: Vec<Stmt>,
    },
    FilterBlock {
        filter: Expr,
        body: Vec<Stmt>,
    },
    Block {
        name: Arc<str>,
        required: bool,
        body: Arc<Vec<Stmt>>,
    },
    Import {
        from: Expr,
        name: Arc<str>,
    },
    FromImport {
        from: Expr,
        names: Vec<(Arc<str>, Arc<str>)>,
    },
    Extends(Expr),
    Include {
        name: Expr,
        ignore_missing: bool,
    },
    Macro(Arc<Macro>),
    CallBlock {
        call: Expr,
        caller: Arc<Macro>,
    },
    /// `autoescape`: nothing is escaped here, so it is only a scope.
    Scope(Vec<Stmt>),
    Do(Expr),
    Continue,
    Break,
}

/// A loop.
#[derive(Debug)]
pub struct For {
    pub target: Target,
    pub iter: Expr,
    pub filter: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

/// A macro, or the body of a `call` block.
#[derive(Debug)]
pub struct Macro {
    pub name: Arc<str>,
    pub args: Vec<Arc<str>>,
    /// Defaults of the last arguments.
    pub defaults: Vec<Expr>,
    pub body: Vec<Stmt>,
    /// Whether it names `varargs`: only then may it be called with more arguments than it has.
    pub takes_more: bool,
    /// Whether it names `kwargs`: only then may it be called with names that it has not.
    pub takes_named: bool,
}

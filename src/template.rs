//! Jinja templates with Ansible's semantics on top of minijinja: native types, lazy variables, Ansible's filters, tests
//! and lookups, and errors that point into the user's file.

mod about;
mod ast;
mod call;
mod check;
mod datetime;
mod depth;
mod engine;
mod eval;
mod file;
mod filters;
mod format;
mod functions;
mod lazy;
mod lookups;
mod marker;
mod methods;
mod mutable;
mod parse;
mod password;
mod place;
mod py;
mod tests;

use std::fmt::Debug;
use std::sync::Arc;

use engine::Engine;
use lazy::{Context, finish, is_template};
use marker::{Eval, Stop, outcome};
use place::Place;

use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::{Error, Result};
use crate::value::{Raw, Value};
use crate::yaml::{Kind, Node};

/// Where templates find variables. Implemented by `vars`; a lookup must be cheap.
pub trait Scope: Send + Sync + Debug {
    /// The variable as it was set, or nothing when it is not defined.
    fn get(&self, name: &str) -> Option<Raw>;

    /// Every name that [`Scope::get`] would find: for `did you mean` and `vars`.
    fn names(&self) -> Vec<String>;

    /// Whether this is only a look ahead, whose outcome may be thrown away: lookups that run commands or make files are
    /// refused then.
    fn is_speculative(&self) -> bool {
        false
    }
}

/// No variables at all.
#[derive(Debug, Clone, Copy)]
pub struct NoVariables;

impl Scope for NoVariables {
    fn get(&self, _name: &str) -> Option<Raw> {
        None
    }

    fn names(&self) -> Vec<String> {
        vec![]
    }
}

/// What templates may ask of the rest of mms: secrets and local files.
pub trait Services: Send + Sync + Debug {
    /// The plaintext of an encrypted value. `name` is the key it stands at, which the ciphertext is bound to.
    fn decrypt(&self, name: Option<&str>, ciphertext: &str, span: &Span) -> Result<String>;

    /// The path of a file that a lookup names: searched in the role's `dir` (`files`, `templates`, `vars`) and beside the
    /// playbook, as Ansible does.
    fn find_file(&self, scope: &dyn Scope, dir: &str, name: &str) -> Option<std::path::PathBuf>;
}

/// The scope in which a template file is rendered: it knows of itself (`template_path`, `ansible_managed` …). `given` is the file
/// as the task names it, `full` where it was found, and `dest` what it is rendered to.
pub fn about(under: &Arc<dyn Scope>, given: &str, full: &std::path::Path, dest: Option<&str>) -> Arc<dyn Scope> {
    about::scope(under, given, full, dest, indexmap::IndexMap::new())
}

/// How a template file is read: the options of the `template` module and lookup.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// `trim_blocks` (true in Ansible).
    pub trim_blocks: bool,
    /// `lstrip_blocks` (false in Ansible).
    pub lstrip_blocks: bool,
    /// `{%`, `%}`.
    pub block: (String, String),
    /// `{{`, `}}`.
    pub variable: (String, String),
    /// `{#`, `#}`.
    pub comment: (String, String),
    /// Line ending written out.
    pub newline: String,
}

impl Default for FileOptions {
    fn default() -> Self {
        let pair = |open: &str, close: &str| (open.to_owned(), close.to_owned());
        Self {
            trim_blocks: true,
            lstrip_blocks: false,
            block: pair("{%", "%}"),
            variable: pair("{{", "}}"),
            comment: pair("{#", "#}"),
            newline: "\n".to_owned(),
        }
    }
}

/// The names of the filters that templates may use, for `mms check` and the reference.
pub fn known_filters() -> Vec<&'static str> {
    filters::names()
}

/// The names of the tests that templates may use.
pub fn known_tests() -> Vec<&'static str> {
    tests::names()
}

/// The names of the lookups that templates and `with_*` may use.
pub fn known_lookups() -> Vec<&'static str> {
    lookups::names()
}

/// What a condition (`when`, `until`, `failed_when`) comes to. As ansible-core 2.19 has it, only a boolean is an answer:
/// a text that happens not to be empty is a mistake more often than not. The value must not be unknown.
pub fn truth(value: &Value) -> Result<bool> {
    if value.kind() == minijinja::value::ValueKind::Bool {
        return Ok(value.is_true());
    }
    let error = Error::user(format!("a condition must be true or false, not {}", py::described(value)));
    Err(match value.kind() {
        minijinja::value::ValueKind::String => error.hint("compare it, or convert it with `| bool`"),
        minijinja::value::ValueKind::None => error.hint("write `is not none` to ask whether it is set"),
        _ if py::is_list(value) => error.hint("write `| length > 0` to ask whether it has items"),
        _ => error.hint("write `is truthy` to ask whether it is not empty and not zero"),
    })
}

/// The template engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Templar {
    engine: Arc<Engine>,
}

/// The context of one evaluation, which ends with it: lazy variables point back at it.
struct Session(Arc<Context>);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.clear();
    }
}

impl Templar {
    /// An engine that asks `services` for secrets and files.
    pub fn new(services: Arc<dyn Services>) -> Self {
        Self { engine: Arc::new(Engine::new(services)) }
    }

    fn evaluate(&self, scope: &Arc<dyn Scope>, run: impl FnOnce(&Arc<Context>) -> Eval<Value>) -> Result<Value> {
        let session = Session(Context::new(&self.engine, scope));
        run(&session.0).and_then(finish).or_else(outcome)
    }

    /// The final value of a YAML node: every string in it templated with native types, every `!vault` decrypted. A string
    /// that is one whole expression keeps the expression's type. Mapping entries and list items that are `omit` are left
    /// out. A part that depends on an unknown value is [`crate::value::unknown`].
    pub fn node(&self, node: &Node, scope: &Arc<dyn Scope>) -> Result<Value> {
        self.named("", node, scope)
    }

    /// The same for a node that stands at a key: that is the name a secret is bound to, and the one errors use.
    pub fn named(&self, name: &str, node: &Node, scope: &Arc<dyn Scope>) -> Result<Value> {
        if let (Kind::Str(text), None) = (&node.kind, node.tag)
            && !is_template(text)
        {
            return Ok(Value::from(text));
        }
        self.evaluate(scope, |context| Ok(context.value(node, name, name))).map_err(|error| error.at(&node.span))
    }

    /// The final value of a variable by name; nothing when it is not defined.
    pub fn variable(&self, name: &str, scope: &Arc<dyn Scope>) -> Result<Option<Value>> {
        match scope.get(name) {
            Some(Raw::Node(node)) => self.named(name, &node, scope).map(Some),
            Some(Raw::Value(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    /// The value of a bare expression, as in `when:` and `until:`, which stands at `span`. A text that is a whole
    /// template (`"{{ x }}"`) is rendered; when it is one variable that the user wrote as text, that text is the
    /// expression, as in Ansible. Text from anywhere else (a result) is never evaluated.
    pub fn expression(&self, text: &str, span: &Span, scope: &Arc<dyn Scope>) -> Result<Value> {
        let evaluated = self.evaluate(scope, |context| {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                return Err(Stop::hint("the condition is empty", "write `true` or leave it out"));
            }
            let Some(inner) = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) else {
                return self.compiled(context, text, span);
            };
            match scope.get(inner.trim()) {
                Some(Raw::Node(Node { kind: Kind::Str(written), span, tag: None })) if !is_template(&written) => {
                    self.compiled(context, &written, &span)
                }
                _ => context.template(&trimmed.into(), span, ""),
            }
        });
        evaluated.map_err(|error| error.at(span))
    }

    fn compiled(&self, context: &Arc<Context>, text: &str, span: &Span) -> Eval<Value> {
        let unit = self.engine.expression(text).map_err(|error| {
            let at = error.at.clone().map_or_else(|| span.clone(), |range| place::inside(span, text, &range));
            Stop::Error(check::syntax_diagnostic(&error, text).at(&at).into())
        })?;
        eval::expression(context, &unit, &Place::Node(span.clone()))
    }

    /// What a lookup yields for these terms, as `with_<name>` of a task asks it.
    pub fn lookup(&self, name: &str, terms: Vec<Value>, scope: &Arc<dyn Scope>) -> Result<Value> {
        self.evaluate(scope, |context| {
            let args = std::iter::once(Value::from(name)).chain(terms).collect();
            lookups::query(&mut call::Call::new(context, "query", Value::from(()), args, vec![]))
        })
    }

    /// A template file rendered to text. An unknown value in it yields an unknown value.
    pub fn file(&self, source: &Arc<Source>, options: &FileOptions, scope: &Arc<dyn Scope>) -> Result<Value> {
        self.evaluate(scope, |context| file::render(context, source, options))
            .map_err(|error| error.at(&Span::new(source, 0, 0)))
    }

    /// The variables that a text (`expression` true) or template string needs: the first part of each dotted path.
    /// Used to know which tasks depend on which results. Empty when the text does not parse.
    pub fn references(&self, text: &str, expression: bool) -> Vec<String> {
        if !expression && !is_template(text) {
            return vec![];
        }
        self.unit(text, expression).map_or_else(|_| vec![], |unit| check::references(&unit))
    }

    /// What a text means. Expressions may be written as whole templates: see [`Templar::expression`].
    fn unit(&self, text: &str, expression: bool) -> std::result::Result<Arc<ast::Unit>, parse::SyntaxError> {
        let whole = text.trim_start().starts_with("{{");
        if expression && !whole { self.engine.expression(text) } else { self.engine.unit(&text.into()) }
    }

    /// What is wrong with a text (`expression` true) or template string that stands at `span`, as far as that can be
    /// seen without variables: syntax, and names of filters, tests and lookups that do not exist.
    pub fn check(&self, text: &str, expression: bool, span: &Span) -> Vec<Diagnostic> {
        if !expression && !is_template(text) {
            return vec![];
        }
        match self.unit(text, expression) {
            Ok(unit) => check::unknown_names(&unit, span),
            Err(error) => {
                let at = error.at.clone().map_or_else(|| span.clone(), |range| place::inside(span, text, &range));
                vec![check::syntax_diagnostic(&error, text).at(&at)]
            }
        }
    }

    /// The same for a template file.
    pub fn check_file(&self, source: &Arc<Source>, options: &FileOptions) -> Vec<Diagnostic> {
        file::check(source, options)
    }
}

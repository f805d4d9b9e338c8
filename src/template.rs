//! Jinja templates with Ansible's semantics on top of minijinja: native types, lazy variables, Ansible's filters, tests
//! and lookups, and errors that point into the user's file.

use std::fmt::Debug;
use std::sync::Arc;

use crate::diagnostic::{Source, Span};
use crate::error::{Error, Result};
use crate::value::{Raw, Value};
use crate::yaml::Node;

/// Where templates find variables. Implemented by `vars`; a lookup must be cheap.
pub trait Scope: Send + Sync + Debug {
    /// The variable as it was set, or nothing when it is not defined.
    fn get(&self, name: &str) -> Option<Raw>;

    /// Every name that [`Scope::get`] would find: for `did you mean` and `vars`.
    fn names(&self) -> Vec<String>;
}

/// What templates may ask of the rest of mms: secrets and local files.
pub trait Services: Send + Sync + Debug {
    /// The plaintext of an encrypted value. `name` is the key it stands at, which the ciphertext is bound to.
    fn decrypt(&self, name: Option<&str>, ciphertext: &str, span: &Span) -> Result<String>;

    /// The path of a file that a lookup names: searched in the role's `dir` (`files`, `templates`, `vars`) and beside the
    /// playbook, as Ansible does.
    fn find_file(&self, scope: &dyn Scope, dir: &str, name: &str) -> Option<std::path::PathBuf>;
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

/// The template engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Templar {
    services: Arc<dyn Services>,
}

impl Templar {
    /// An engine that asks `services` for secrets and files.
    pub fn new(services: Arc<dyn Services>) -> Self {
        Self { services }
    }

    /// The final value of a YAML node: every string in it templated with native types, every `!vault` decrypted. A string
    /// that is one whole expression keeps the expression's type. Mapping entries and list items that are `omit` are left
    /// out. A part that depends on an unknown value is [`crate::value::unknown`].
    pub fn node(&self, node: &Node, scope: &Arc<dyn Scope>) -> Result<Value> {
        let _ = (node, scope, &self.services);
        Err(Error::internal("no template engine"))
    }

    /// The final value of a variable by name; nothing when it is not defined.
    pub fn variable(&self, name: &str, scope: &Arc<dyn Scope>) -> Result<Option<Value>> {
        match scope.get(name) {
            Some(Raw::Node(node)) => self.node(&node, scope).map(Some),
            Some(Raw::Value(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    /// The value of a bare expression, as in `when:` and `until:`, which stands at `span`.
    pub fn expression(&self, text: &str, span: &Span, scope: &Arc<dyn Scope>) -> Result<Value> {
        let _ = (text, span, scope);
        Err(Error::internal("no template engine"))
    }

    /// A template file rendered to text. An unknown value in it yields an unknown value.
    pub fn file(&self, source: &Arc<Source>, options: &FileOptions, scope: &Arc<dyn Scope>) -> Result<Value> {
        let _ = (source, options, scope);
        Err(Error::internal("no template engine"))
    }

    /// The variables that a text (`expression` true) or template string needs: the first part of each dotted path.
    /// Used to know which tasks depend on which results. Empty when the text does not parse.
    pub fn references(&self, text: &str, expression: bool) -> Vec<String> {
        let _ = (text, expression);
        vec![]
    }
}

/// Whether a condition holds.
pub fn truth(value: &Value) -> Result<bool> {
    Ok(value.is_true())
}

//! The tree that YAML text becomes. Cheap to clone: everything large is shared.

use std::sync::Arc;

use crate::diagnostic::Span;

/// A YAML value with the place it was written at.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands, including quotes.
    pub span: Span,
    /// Its application tag, if it has one that means something to Ansible.
    pub tag: Option<Tag>,
}

/// The kinds of values after YAML 1.1 resolution.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `yes`, `no`, `on`, `off`, `true`, `false` in their usual spellings.
    Bool(bool),
    /// Decimal, octal `017`, `0x1f`, `0b1`, `1_000`, `1:30` (which is 90). `0o17` is text in YAML 1.1.
    Int(i64),
    /// Including `.inf` and `.nan`.
    Float(f64),
    /// Everything else, and everything quoted. Dates stay text.
    Str(Arc<str>),
    /// A sequence.
    List(Arc<Vec<Node>>),
    /// A mapping in the order it was written, merge keys applied.
    Map(Arc<Map>),
}

/// Tags with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `!vault` (and `!vault-encrypted`, `!age`): the text is encrypted.
    Vault,
    /// `!unsafe`: the text is never a template.
    Unsafe,
}

/// A mapping that keeps the order and the places of its keys. Keys are unique.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    entries: Vec<(Node, Node)>,
}

impl Map {
    /// A mapping of entries whose keys are already unique.
    pub fn new(entries: Vec<(Node, Node)>) -> Self {
        Self { entries }
    }

    /// The value at a string key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key node and the value at a string key.
    pub fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        self.entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(k, v)| (k, v))
    }

    /// Keys and values in the order they were written.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Node, &Node)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Node {
    /// A node without a tag.
    pub fn new(kind: Kind, span: Span) -> Self {
        Self { kind, span, tag: None }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if this is a sequence.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// What users call this kind of value: `a string`, `a list`, …
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::Str(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

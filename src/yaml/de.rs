//! Typed configuration from nodes: a serde deserializer whose errors point at the offending node and name its path.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer as _, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::{Kind, Node, missing_space_hint};
use crate::diagnostic::{Diagnostic, Span};
use crate::error::Result;

/// Makes a typed value of a node. Errors carry the span and the path of what is wrong; an unknown key gets a "did you
/// mean".
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T> {
    T::deserialize(Deserializer { node }).map_err(|fault| fault.into_diagnostic().into())
}

/// A typed value with the place it was written at, for checks after deserialization.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

impl schemars::JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Any".into()
    }

    /// A node is any value.
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

/// The newtype name by which a type asks for the node itself; serde's data model has no room for spans.
const WANTS_NODE: &str = "$mms::yaml::Node";

thread_local! {
    /// The node on its way from [`Deserializer`] to the type that asked for it.
    static HANDED_OVER: RefCell<Option<Node>> = const { RefCell::new(None) };
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that was read from YAML")
    }

    fn visit_newtype_struct<D: de::Deserializer<'de>>(self, _: D) -> Result<Node, D::Error> {
        HANDED_OVER.take().ok_or_else(|| de::Error::custom("nodes can only be read from nodes"))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WANTS_NODE, NodeVisitor)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        match T::deserialize(Deserializer { node: &node }) {
            Ok(value) => Ok(Self { value, span: node.span }),
            Err(fault) => {
                // The outer deserializer is one of ours, but its error type is not known here.
                let message = fault.message.clone();
                PENDING.set(Some(fault));
                Err(de::Error::custom(message))
            }
        }
    }
}

thread_local! {
    /// The exact fault inside a [`Spanned`], on its way through `D::Error::custom`.
    static PENDING: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// A step of the path to a value.
#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// What is wrong with a value. Path and place are filled in on the way out.
#[derive(Debug)]
struct Fault {
    message: String,
    span: Option<Span>,
    hints: Vec<String>,
    /// Innermost step first.
    path: Vec<Step>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, hints: vec![], path: vec![] }
    }

    fn at(mut self, span: &Span) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    fn into_diagnostic(self) -> Diagnostic {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.push_str(&format!(".{key}")),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        let message = if path.is_empty() { self.message } else { format!("`{path}`: {}", self.message) };
        let mut diagnostic = Diagnostic::error(message);
        diagnostic.span = self.span;
        diagnostic.hints = self.hints;
        diagnostic
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        // One left behind by an error type that is not ours must not speak for another.
        PENDING.take().filter(|fault| fault.message == message).unwrap_or_else(|| Self::new(message))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {}, found {}", name_expected(expected), name_of(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {}, found {}", name_expected(expected), name_of(found)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("unknown value", variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("unknown key", field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the key `{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the key `{field}` is written twice"))
    }
}

impl Fault {
    fn unknown(what: &str, written: &str, expected: &[&str]) -> Self {
        let fault = Self::new(format!("{what} `{written}`"));
        match crate::diagnostic::nearest(written, expected.iter().copied()) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None if expected.is_empty() => fault,
            None => {
                let names: Vec<_> = expected.iter().map(|name| format!("`{name}`")).collect();
                fault.hint(format!("known: {}", names.join(", ")))
            }
        }
    }
}

/// What was expected, in words for people: serde's derive names Rust types.
fn name_expected(expected: &dyn de::Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        _ => text,
    }
}

fn name_of(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("the boolean `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(text) => format!("the string `{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map | Unexpected::StructVariant => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// The deserializer of one node.
#[derive(Clone, Copy)]
struct Deserializer<'a> {
    node: &'a Node,
}

impl<'a> Deserializer<'a> {
    fn place<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        outcome.map_err(|fault| fault.at(&self.node.span))
    }

    fn wrong(self, expected: &dyn de::Expected) -> Fault {
        let fault = Fault::new(format!("expected {}, found {}", name_expected(expected), self.node.kind_name()))
            .at(&self.node.span);
        match &self.node.kind {
            Kind::Str(_) => missing_space_hint(self.node).into_iter().fold(fault, Fault::hint),
            _ => fault,
        }
    }

    /// The text where text is expected: YAML makes a number of `1.10` and a boolean of `on`, and neither can be undone.
    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.kind {
            Kind::Str(text) => self.place(visitor.visit_str(text)),
            Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {
                let span = &self.node.span;
                let written = span.source.text.get(span.start..span.end).unwrap_or_default();
                let fault = self.wrong(&visitor);
                Err(if written.is_empty() { fault } else { fault.hint(format!("put it in quotes: `\"{written}\"`")) })
            }
            _ => Err(self.wrong(&visitor)),
        }
    }
}

impl<'de> de::Deserializer<'de> for Deserializer<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let outcome = match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Str(text) => visitor.visit_str(text),
            Kind::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Kind::Map(map) => visitor.visit_map(Entries { entries: map.iter().collect(), next: 0 }),
        };
        self.place(outcome)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let outcome = if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) };
        self.place(outcome)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.kind {
            Kind::List(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong(&"a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.kind {
            Kind::Map(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong(&"a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name == WANTS_NODE {
            HANDED_OVER.set(Some(self.node.clone()));
        }
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let outcome = match &self.node.kind {
            Kind::Str(text) => visitor.visit_enum(text.deref().into_deserializer()),
            Kind::Map(map) if map.len() == 1 => match map.iter().next() {
                Some((key, value)) => visitor.visit_enum(Variant { key, value }),
                None => Err(self.wrong(&"a mapping with one key")),
            },
            Kind::Map(_) => Err(self.wrong(&"a mapping with one key")),
            _ => self.text(visitor),
        };
        self.place(outcome)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        let outcome = seed.deserialize(Deserializer { node }).map(Some);
        outcome.map_err(|fault| fault.at(&node.span).within(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'a> {
    entries: Vec<(&'a Node, &'a Node)>,
    next: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(KeyDeserializer { key }).map(Some).map_err(|fault| fault.at(&key.span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, node)) = self.entries.get(self.next) else {
            return Err(Fault::new("a value was asked for twice"));
        };
        self.next += 1;
        let outcome = seed.deserialize(Deserializer { node });
        outcome.map_err(|fault| fault.at(&node.span).within(Step::Key(key_text(key))))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len() - self.next)
    }
}

/// A key as it was written: `80:` and `on:` are fine where text is expected.
fn key_text(key: &Node) -> String {
    match &key.kind {
        Kind::Str(text) => text.to_string(),
        _ => key.span.source.text.get(key.span.start..key.span.end).unwrap_or_default().to_owned(),
    }
}

struct KeyDeserializer<'a> {
    key: &'a Node,
}

impl<'de> de::Deserializer<'de> for KeyDeserializer<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_string(key_text(self.key))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        Deserializer { node: self.key }.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(key_text(self.key).into_deserializer())
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        Deserializer { node: self.key }.deserialize_any(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_u64(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

/// `{variant: content}`
struct Variant<'a> {
    key: &'a Node,
    value: &'a Node,
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name = key_text(self.key);
        let variant =
            seed.deserialize(StrDeserializer::<Fault>::new(&name)).map_err(|fault| fault.at(&self.key.span))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        if self.value.is_null() { Ok(()) } else { Err(Deserializer { node: self.value }.wrong(&"nothing here")) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let outcome = seed.deserialize(Deserializer { node: self.value });
        outcome.map_err(|fault| fault.at(&self.value.span).within(Step::Key(key_text(self.key))))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        let outcome = Deserializer { node: self.value }.deserialize_seq(visitor);
        outcome.map_err(|fault| fault.within(Step::Key(key_text(self.key))))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let outcome = Deserializer { node: self.value }.deserialize_map(visitor);
        outcome.map_err(|fault| fault.within(Step::Key(key_text(self.key))))
    }
}

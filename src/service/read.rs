//! JSON-like values into typed structs with errors that say where: a serde deserializer that keeps the path to what it
//! reads, and answers a misspelt key with the one that was probably meant.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value as Json;

use crate::diagnostic::nearest;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// What is wrong with a value, and where in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReadError {
    /// From the root to what is wrong.
    pub path: Vec<Step>,
    /// Whether the last key itself is wrong, not what stands behind it.
    pub key: bool,
    /// Whether there is a list or a mapping where there must be something else, whatever is in it.
    pub form: bool,
    pub message: String,
    pub hint: Option<String>,
}

impl ReadError {
    pub(super) fn new(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self { path, key: false, form: false, message: message.into(), hint: None }
    }

    /// A key that is none of the known ones.
    pub(super) fn unknown_key<'a>(key: &str, known: impl Iterator<Item = &'a str> + Clone) -> Self {
        let hint = match nearest(key, known.clone()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known keys: {}", known.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("`{key}` is not a key here");
        Self { path: vec![], key: true, form: false, message, hint: Some(hint) }
    }

    fn under(mut self, step: Step) -> Self {
        self.path.insert(0, step);
        self
    }

    /// The path as users write it: `containers.radarr.ports[0]`.
    pub(super) fn place(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => text.extend([".", key]),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.place(), self.message) }
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(vec![], message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let error = Self::custom(format_args!("expected {}, found {}", article(expected), describe(found)));
        Self { form: matches!(found, de::Unexpected::Seq | de::Unexpected::Map), ..error }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("expected {}, found {}", article(expected), describe(found)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_key(field, expected.iter().copied())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let mut error = Self::custom(format_args!("`{variant}` is not allowed here; {known} are"));
        error.hint = nearest(variant, expected.iter().copied()).map(|name| format!("did you mean `{name}`?"));
        error
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("`{field}` is missing"))
    }
}

/// Serde's names of what it expects, as people say them.
fn article(expected: &dyn de::Expected) -> String {
    match expected.to_string().as_str() {
        "a map" => "a mapping".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u8" | "u16" | "u32" | "u64" => "a whole number".to_owned(),
        text if text.starts_with("struct ") => "a mapping".to_owned(),
        text => text.to_owned(),
    }
}

fn describe(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Str(text) => format!("`{text}`"),
        de::Unexpected::Unsigned(number) => format!("the number {number}"),
        de::Unexpected::Signed(number) => format!("the number {number}"),
        de::Unexpected::Float(number) => format!("the number {number}"),
        de::Unexpected::Bool(value) => format!("the boolean {value}"),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a mapping".to_owned(),
        de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// Reads a value.
pub(super) fn from_json<T: DeserializeOwned>(json: &Json) -> Result<T, ReadError> {
    T::deserialize(Reader { json, extensions: false })
}

/// The keys that a struct reads.
pub(super) fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    // It fails after the keys are noted, by design.
    let _ = T::deserialize(Keys(&mut keys));
    keys
}

struct Keys<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::new(vec![], "not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[derive(Clone, Copy)]
struct Reader<'de> {
    json: &'de Json,
    /// Whether keys that start with `x-` are the user's own and skipped.
    extensions: bool,
}

impl<'de> Reader<'de> {
    fn of(json: &'de Json) -> Self {
        Self { json, extensions: false }
    }

    fn found(self) -> de::Unexpected<'de> {
        match self.json {
            Json::Null => de::Unexpected::Unit,
            Json::Bool(value) => de::Unexpected::Bool(*value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => de::Unexpected::Unsigned(number),
                (None, Some(number)) => de::Unexpected::Signed(number),
                (None, None) => de::Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => de::Unexpected::Str(text),
            Json::Array(_) => de::Unexpected::Seq,
            Json::Object(_) => de::Unexpected::Map,
        }
    }

    /// A template may yield the text of a number where a number is wanted.
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.json {
            Json::String(text) => match text.trim().parse::<u64>() {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.json {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => visitor.visit_borrowed_str(text),
            Json::Array(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            Json::Object(entries) => {
                visitor.visit_map(Entries { entries: entries.iter(), extensions: self.extensions, current: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.json.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if !self.json.is_object() {
            return Err(de::Error::invalid_type(self.found(), &"a mapping"));
        }
        Self { extensions: true, ..self }.deserialize_any(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if !self.json.is_array() {
            return Err(de::Error::invalid_type(self.found(), &"a list"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if !self.json.is_object() {
            return Err(de::Error::invalid_type(self.found(), &"a mapping"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let name = match self.json {
            Json::String(text) => text.as_str(),
            // YAML 1.1 reads `no` as a boolean.
            Json::Bool(false) => "no",
            Json::Bool(true) => "yes",
            Json::Null => "none",
            _ => return Err(de::Error::invalid_type(self.found(), &"text")),
        };
        if !variants.contains(&name) {
            return Err(de::Error::unknown_variant(name, variants));
        }
        visitor.visit_enum(name.into_deserializer())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.json {
            Json::Number(number) => visitor.visit_string(number.to_string()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct identifier ignored_any
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Json>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(json) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader::of(json)).map(Some).map_err(|error| error.under(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: serde_json::map::Iter<'de>,
    extensions: bool,
    current: Option<(&'de String, &'de Json)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let extensions = self.extensions;
        let Some((key, value)) = self.entries.find(|(key, _)| !(extensions && key.starts_with("x-"))) else {
            return Ok(None);
        };
        self.current = Some((key, value));
        let name: de::value::BorrowedStrDeserializer<'de, ReadError> = de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(name).map(Some).map_err(|error| error.under(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some((key, value)) = self.current.take() else {
            return Err(ReadError::new(vec![], "a value without a key"));
        };
        seed.deserialize(Reader::of(value)).map_err(|error| error.under(Step::Key(key.clone())))
    }
}

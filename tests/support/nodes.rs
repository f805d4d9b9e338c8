//! What is written in YAML as JSON, without templates: definitions of services for tests.
#![allow(clippy::unwrap_used)]

use mms::yaml::{Kind, Node};
use serde_json::{Value as Json, json};

/// The node as JSON.
pub fn json_of(node: &Node) -> Json {
    match &node.kind {
        Kind::Null => Json::Null,
        Kind::Bool(value) => json!(value),
        Kind::Int(number) => json!(number),
        Kind::Float(number) => json!(number),
        Kind::Str(text) => json!(text.as_ref()),
        Kind::List(items) => items.iter().map(json_of).collect(),
        Kind::Map(map) => {
            Json::Object(map.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), json_of(value))).collect())
        }
    }
}

//! `services/.schema.json`: the model as JSON Schema, so that editors complete and check service definitions.

use serde_json::{Map, Value as Json, json};

use super::model::{Container, Service};

/// The schema of a service definition as it is written: the keys of a single container may stand at the top level, keys that
/// start with `x-` are the user's own, and any value may be a template.
pub fn service() -> Json {
    let service = generate::<Service>();
    let container = generate::<Container>();
    let mut properties = section_of(&service, "properties");
    for (name, schema) in section_of(&container, "properties") {
        properties.entry(name.clone()).or_insert_with(|| schema.clone());
    }
    let mut all = section_of(&service, "$defs");
    all.extend(section_of(&container, "$defs"));
    all.remove("Service");
    for (_, schema) in &mut all {
        allow(schema, true);
    }
    for (_, schema) in &mut properties {
        allow(schema, false);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mms service",
        "description": service.get("description").cloned().unwrap_or_default(),
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
        "oneOf": [{ "required": ["image"] }, { "required": ["containers"] }],
        "$defs": all,
    })
}

fn generate<T: schemars::JsonSchema>() -> Json {
    schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

fn section_of(schema: &Json, name: &str) -> Map<String, Json> {
    schema.get(name).and_then(Json::as_object).cloned().unwrap_or_default()
}

/// Lets a template stand where a number, boolean, list or mapping is wanted, below (and, unless it is a definition, at) a schema.
fn allow(schema: &mut Json, definition: bool) {
    let Json::Object(map) = schema else { return };
    for key in ["properties", "patternProperties"] {
        if let Some(Json::Object(children)) = map.get_mut(key) {
            children.values_mut().for_each(|child| allow(child, false));
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(key) {
            allow(child, false);
        }
    }
    if definition && map.contains_key("properties") {
        map.entry("patternProperties").or_insert_with(|| json!({ "^x-": {} }));
    }
    let Some(kind) = map.get("type").filter(|_| !definition).cloned() else { return };
    let kinds: Vec<&str> = match &kind {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        _ => vec![],
    };
    if kinds.contains(&"string") || kinds.is_empty() {
        return;
    }
    let mut outer = Map::new();
    for key in ["description", "default"] {
        if let Some(value) = map.remove(key) {
            outer.insert(key.to_owned(), value);
        }
    }
    let inner = std::mem::take(map);
    outer.insert("anyOf".to_owned(), json!([inner, { "type": "string", "pattern": "\\{[{%]" }]));
    *map = outer;
}

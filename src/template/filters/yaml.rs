//! YAML as PyYAML reads and writes it.

use super::{Filter, all, parts};
use crate::diagnostic::Source;
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py;
use crate::value::Value;
use crate::yaml::emit::{Flow, Options, emit_value};
use crate::yaml::{Kind, Node};

pub const FILTERS: &[Filter] = &[
    all("to_yaml", |call| write(call, Options::terse())),
    all("to_nice_yaml", |call| write(call, Options::nice())),
    parts("from_yaml", read),
    parts("from_yaml_all", read_all),
];

fn write(call: &mut Call<'_>, mut options: Options) -> Eval<Value> {
    if let Some(indent) = call.count("indent")? {
        options.indent = indent;
    }
    if let Some(width) = call.named("width") {
        options.width = width.as_usize().unwrap_or(usize::MAX);
    }
    if let Some(sort) = call.named("sort_keys") {
        options.sort_keys = py::truth(&sort)?;
    }
    if let Some(start) = call.named("explicit_start") {
        options.explicit_start = py::truth(&start)?;
    }
    if let Some(flow) = call.named("default_flow_style") {
        options.flow = match flow.is_none() {
            true => Flow::Leaves,
            false if py::truth(&flow)? => Flow::Always,
            false => Flow::Never,
        };
    }
    call.named("allow_unicode");
    Ok(Value::from(emit_value(&call.input, &options)))
}

fn read(call: &mut Call<'_>) -> Eval<Value> {
    let Some(text) = call.input.as_str() else { return Ok(call.input.clone()) };
    let source = Source::new("<from_yaml>", text);
    Ok(plain(&crate::yaml::parse(&source).map_err(Stop::Error)?.node))
}

fn read_all(call: &mut Call<'_>) -> Eval<Value> {
    if call.input.is_none() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    let Some(text) = call.input.as_str() else { return Ok(call.input.clone()) };
    let source = Source::new("<from_yaml_all>", text);
    Ok(crate::yaml::parse_all(&source).map_err(Stop::Error)?.nodes.iter().map(plain).collect())
}

/// The value of a node as it stands: text from a filter is never a template.
fn plain(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::from(()),
        Kind::Bool(value) => Value::from(*value),
        Kind::Int(value) => Value::from(*value),
        Kind::Float(value) => Value::from(*value),
        Kind::Str(text) => Value::from(text),
        Kind::List(items) => items.iter().map(plain).collect(),
        Kind::Map(map) => Value::from_pairs(map.iter().map(|(key, item)| (plain(key), plain(item)))),
    }
}

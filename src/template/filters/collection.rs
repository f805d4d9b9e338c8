//! Filters that pass values on: `default`, `mandatory`, `ternary`, `map`, `select` and their like.

use minijinja::value::ValueKind;

use super::{Filter, all, anything, apply, attribute, failed, parts};
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop, is_undefined, need};
use crate::template::{eval, py, tests};
use crate::value::{Value, unknown_why};

pub const FILTERS: &[Filter] = &[
    anything("d", default),
    anything("default", default),
    anything("mandatory", mandatory),
    anything("ternary", ternary),
    anything("type_debug", type_debug),
    parts("attr", attr),
    parts("extract", extract),
    parts("map", map),
    parts("reject", |call| select(call, false, false)),
    parts("rejectattr", |call| select(call, true, false)),
    parts("select", |call| select(call, false, true)),
    parts("selectattr", |call| select(call, true, true)),
    all("bool", boolean),
    all("string", |call| call.input_text().map(Value::from)),
    all("safe", |call| call.input_text().map(Value::from)),
];

fn default(call: &mut Call<'_>) -> Eval<Value> {
    let default = call.value("default_value").unwrap_or_else(|| Value::from(""));
    let boolean = call.flag("boolean", false)?;
    if is_undefined(&call.input) {
        return Ok(default);
    }
    if let Some(stop) = failed(&call.input) {
        return Err(stop);
    }
    if boolean && !py::truth(&call.input)? {
        return Ok(default);
    }
    Ok(call.input.clone())
}

fn mandatory(call: &mut Call<'_>) -> Eval<Value> {
    let message = call.text("msg")?;
    match (is_undefined(&call.input), message) {
        (true, Some(message)) => Err(Stop::error(message)),
        _ => match unknown_why(&call.input) {
            Some(_) => Ok(call.input.clone()),
            None => need(call.input.clone()),
        },
    }
}

fn ternary(call: &mut Call<'_>) -> Eval<Value> {
    let yes = call.require("true_val")?;
    let no = call.require("false_val")?;
    let none = call.value("none_val").filter(|value| !value.is_none());
    match none {
        Some(none) if call.input.is_none() => Ok(none),
        _ => Ok(if py::truth(&call.input)? { yes } else { no }),
    }
}

fn type_debug(call: &mut Call<'_>) -> Eval<Value> {
    if let Some(why) = unknown_why(&call.input) {
        return Err(Stop::Unknown(why));
    }
    Ok(Value::from(if is_undefined(&call.input) { "Undefined" } else { py::type_name(&call.input) }))
}

fn attr(call: &mut Call<'_>) -> Eval<Value> {
    let name = Value::from(call.require_text("name")?);
    attribute(&call.input, &name)
}

/// Ansible's `bool`: words for true and false; anything else is false.
fn boolean(call: &mut Call<'_>) -> Eval<Value> {
    Ok(Value::from(to_bool(&call.input).unwrap_or_else(
        || matches!(py::number(&call.input), Some(number) if (number.float() - 1.0).abs() < f64::EPSILON),
    )))
}

/// What Ansible takes for a boolean.
pub fn to_bool(value: &Value) -> Option<bool> {
    let word = match value.kind() {
        ValueKind::Bool => return Some(value.is_true()),
        ValueKind::String => value.as_str()?.to_lowercase(),
        ValueKind::Number if value.is_integer() => value.to_string(),
        _ => return None,
    };
    match word.as_str() {
        "yes" | "on" | "true" | "1" => Some(true),
        "no" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn extract(call: &mut Call<'_>) -> Eval<Value> {
    let container = call.require("container")?;
    let more = call.value("morekeys").filter(|keys| !keys.is_none());
    let mut keys = vec![call.input.clone()];
    match more {
        Some(more) if py::is_list(&more) => keys.extend(py::iterate(&more)?),
        Some(more) => keys.push(more),
        None => {}
    }
    let mut value = container;
    for key in &keys {
        if is_undefined(&value) {
            return Ok(value);
        }
        value = match eval::item(&need(value.clone())?, key) {
            Some(found) => found,
            None => return super::missing(&value, key, key),
        };
    }
    Ok(value)
}

fn map(call: &mut Call<'_>) -> Eval<Value> {
    let items = call.input_items()?;
    if let Some(path) = call.named("attribute") {
        let default = call.named("default");
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let value = attribute(&item, &path)?;
            out.push(match &default {
                Some(default) if is_undefined(&value) => default.clone(),
                _ => value,
            });
        }
        return Ok(Value::from(out));
    }
    let filter = call.require_text("filter")?;
    let args: Vec<Value> = call.args.drain(..).collect();
    let kwargs = std::mem::take(&mut call.kwargs);
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        out.push(apply(call.context, &filter, item, args.clone(), kwargs.clone())?);
    }
    Ok(Value::from(out))
}

fn select(call: &mut Call<'_>, by_attribute: bool, keep: bool) -> Eval<Value> {
    let items = call.input_items()?;
    let path = if by_attribute { Some(call.require("attribute")?) } else { None };
    let test = call.args.pop_front().map(|name| py::text(&name)).transpose()?;
    let args: Vec<Value> = call.args.drain(..).collect();
    let kwargs = std::mem::take(&mut call.kwargs);
    let mut out = vec![];
    for item in items {
        let value = match &path {
            Some(path) => attribute(&item, path)?,
            None => item.clone(),
        };
        let holds = match &test {
            Some(test) => tests::check(call.context, test, value, args.clone(), kwargs.clone())?,
            None => py::truth(&value)?,
        };
        if holds == keep {
            out.push(item);
        }
    }
    Ok(Value::from(out))
}

//! JSON as Python's `json` module writes it.

use minijinja::value::ValueKind;

use super::{Filter, all};
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py::{self, Number};
use crate::value::{Value, from_json};

pub const FILTERS: &[Filter] = &[
    all("to_json", |call| dump(call, None, false, (", ", ": "))),
    all("tojson", |call| dump(call, None, false, (", ", ": "))),
    all("to_nice_json", |call| dump(call, Some("    ".to_owned()), true, (",", ": "))),
    all("from_json", parse),
];

/// How JSON is laid out.
struct Layout {
    indent: Option<String>,
    item: String,
    key: String,
    sort_keys: bool,
    ascii: bool,
}

fn dump(call: &mut Call<'_>, indent: Option<String>, sort_keys: bool, separators: (&str, &str)) -> Eval<Value> {
    let given = call.value("indent");
    let indent = match &given {
        None => indent,
        Some(value) if value.is_none() => None,
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(value.as_usize().unwrap_or(0).min(64)),
        }),
    };
    let sort_keys = call.flag("sort_keys", sort_keys)?;
    let ascii = call.flag("ensure_ascii", true)?;
    for ignored in ["vault_to_text", "preprocess_unsafe", "profile", "skipkeys", "allow_nan", "check_circular"] {
        call.named(ignored);
    }
    let mut layout = Layout {
        item: if indent.is_some() { "," } else { separators.0 }.to_owned(),
        key: separators.1.to_owned(),
        indent,
        sort_keys,
        ascii,
    };
    if let Some(separators) = call.named("separators")
        && let [item, key] = py::iterate(&separators)?.as_slice()
    {
        (layout.item, layout.key) = (py::text(item)?, py::text(key)?);
    }
    let mut out = String::new();
    write(&mut out, &call.input, &layout, 0)?;
    Ok(Value::from(out))
}

fn write(out: &mut String, value: &Value, layout: &Layout, depth: usize) -> Eval<()> {
    if let Some(stop) = crate::template::marker::trip(value) {
        return Err(stop);
    }
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = &layout.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    };
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::Map => {
            let mut pairs = py::pairs(value).unwrap_or_default();
            if layout.sort_keys {
                let mut problem = None;
                pairs.sort_by(|a, b| {
                    py::compare(&a.0, &b.0).unwrap_or_else(|stop| {
                        problem.get_or_insert(stop);
                        std::cmp::Ordering::Equal
                    })
                });
                if let Some(stop) = problem {
                    return Err(stop);
                }
            }
            out.push('{');
            for (index, (key, item)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push_str(&layout.item);
                }
                line(out, depth + 1);
                let key = match key.kind() {
                    ValueKind::None => "null".to_owned(),
                    ValueKind::Bool => (if key.is_true() { "true" } else { "false" }).to_owned(),
                    ValueKind::Number => number(key),
                    _ => py::text(key)?,
                };
                string(out, &key, layout.ascii);
                out.push_str(&layout.key);
                write(out, item, layout, depth + 1)?;
            }
            if !pairs.is_empty() {
                line(out, depth);
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = py::iterate(value)?;
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(&layout.item);
                }
                line(out, depth + 1);
                write(out, item, layout, depth + 1)?;
            }
            if !items.is_empty() {
                line(out, depth);
            }
            out.push(']');
        }
        _ => string(out, &py::text(value)?, layout.ascii),
    }
    Ok(())
}

fn number(value: &Value) -> String {
    match py::number(value) {
        Some(Number::Int(int)) => int.to_string(),
        Some(Number::Float(float)) if float.is_nan() => "NaN".to_owned(),
        Some(Number::Float(float)) if float.is_infinite() => {
            (if float > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
        }
        Some(Number::Float(float)) => py::float_text(float),
        None => value.to_string(),
    }
}

fn string(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn parse(call: &mut Call<'_>) -> Eval<Value> {
    call.named("profile");
    let Some(text) = call.input.as_str() else {
        return Err(Stop::error(format!("`from_json` needs a string, not {}", py::described(&call.input))));
    };
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| Stop::error(format!("the text is not JSON: {error}")))?;
    Ok(from_json(&json))
}

//! One value to one type, as ansible-core's `check_type_*` functions do it.

use minijinja::value::ValueKind;

use crate::modules::Type;
use crate::value::{Fields, Value, from_fields, from_json, to_json};

/// The value as a type wants it, or why it cannot be.
pub fn coerce(kind: Type, value: Value) -> Result<Value, String> {
    match kind {
        Type::Raw => Ok(value),
        Type::Str | Type::Path => Ok(text(value)),
        Type::Bool => boolean(&value).map(Value::from),
        Type::Int => integer(&value).map(Value::from),
        Type::Float => float(&value).map(Value::from),
        Type::Mode => mode(value),
        Type::StrList => {
            let items = list(value)?;
            Ok(items.try_iter().map_err(|error| error.to_string())?.map(text).collect())
        }
        Type::List => list(value),
        Type::Dict => dict(value),
        Type::Json => match value.kind() {
            ValueKind::String => Ok(value.as_str().unwrap_or_default().trim().into()),
            ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => Ok(to_json(&value).to_string().into()),
            _ => Err(format!("{} cannot be converted to JSON text", name(&value))),
        },
    }
}

fn text(value: Value) -> Value {
    match value.kind() {
        ValueKind::String => value,
        ValueKind::None | ValueKind::Undefined => "".into(),
        _ => python_text(&value).into(),
    }
}

fn boolean(value: &Value) -> Result<bool, String> {
    let spelled = match value.kind() {
        ValueKind::Bool => return Ok(value.is_true()),
        ValueKind::String => value.as_str().unwrap_or_default().trim().to_lowercase(),
        ValueKind::Number if f64::try_from(value.clone()).is_ok_and(|number| number == 1.0) => return Ok(true),
        ValueKind::Number if f64::try_from(value.clone()).is_ok_and(|number| number == 0.0) => return Ok(false),
        ValueKind::Number => value.to_string(),
        _ => return Err(format!("{} cannot be converted to a boolean", name(value))),
    };
    match spelled.as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" => Ok(true),
        "n" | "no" | "off" | "0" | "false" | "f" => Ok(false),
        _ => Err(format!("`{}` is not a boolean; write `true` or `false`", python_text(value))),
    }
}

fn integer(value: &Value) -> Result<i64, String> {
    let bad = || format!("`{}` cannot be converted to a whole number", python_text(value));
    match value.kind() {
        ValueKind::Bool => Ok(i64::from(value.is_true())),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(number) => Ok(number),
            Err(_) => f64::try_from(value.clone()).ok().and_then(whole).ok_or_else(bad),
        },
        ValueKind::String => {
            let digits = value.as_str().unwrap_or_default().trim().replace('_', "");
            digits.parse().ok().or_else(|| digits.parse().ok().and_then(whole)).ok_or_else(bad)
        }
        _ => Err(bad()),
    }
}

fn whole(number: f64) -> Option<i64> {
    // Beyond 2^53 a float is not exact any more.
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

fn float(value: &Value) -> Result<f64, String> {
    match value.kind() {
        ValueKind::Bool => Ok(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).map_err(|_| ()),
        ValueKind::String => value.as_str().unwrap_or_default().trim().parse().map_err(|_| ()),
        _ => Err(()),
    }
    .map_err(|()| format!("`{}` cannot be converted to a number", python_text(value)))
}

/// `mode` is raw in Ansible: a number is the mode itself (`0644` in YAML is 420), text is octal or symbolic.
fn mode(value: Value) -> Result<Value, String> {
    match value.kind() {
        ValueKind::String => Ok(value),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(number) if number >= 0 => Ok(format!("0{number:o}").into()),
            _ => Err(format!("`{value}` is not a file mode; write it as text, such as `\"0644\"`")),
        },
        _ => Err(format!("{} is not a file mode; write it as text, such as `\"0644\"`", name(&value))),
    }
}

fn list(value: Value) -> Result<Value, String> {
    match value.kind() {
        ValueKind::Seq => Ok(value),
        ValueKind::Iterable => Ok(value.try_iter().map_err(|error| error.to_string())?.collect()),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().split(',').map(Value::from).collect()),
        ValueKind::Number | ValueKind::Bool => Ok(vec![Value::from(python_text(&value))].into()),
        _ => Err(format!("{} cannot be converted to a list", name(&value))),
    }
}

fn dict(value: Value) -> Result<Value, String> {
    let text = match value.kind() {
        ValueKind::Map => return Ok(value),
        ValueKind::String => value.as_str().unwrap_or_default(),
        _ => return Err(format!("{} cannot be converted to a mapping", name(&value))),
    };
    if text.starts_with('{') {
        return match serde_json::from_str::<serde_json::Value>(text) {
            Ok(json @ serde_json::Value::Object(_)) => Ok(from_json(&json)),
            _ => Err("the text starts with `{` but is not a JSON mapping".to_owned()),
        };
    }
    if !text.contains('=') {
        return Err("a mapping is wanted, and the text is neither JSON nor `key=value`".to_owned());
    }
    let mut fields = Fields::new();
    for field in pairs(text) {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("`{field}` is not `key=value`"))?;
        fields.insert(key.to_owned(), value.into());
    }
    Ok(from_fields(&fields))
}

/// `k=v` texts separated by commas or spaces, with quotes and backslashes.
fn pairs(text: &str) -> Vec<String> {
    let (mut fields, mut field) = (vec![], String::new());
    let (mut quote, mut escaped) = (None, false);
    for c in text.trim().chars() {
        if escaped {
            field.push(c);
            escaped = false;
            continue;
        }
        match (c, quote) {
            ('\\', _) => escaped = true,
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (',' | ' ', None) => fields.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    fields
}

/// What Python's `str` makes of a value: `True`, `None`, `['a', 1]`.
pub fn python_text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => python_repr(value),
    }
}

fn python_repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::None | ValueKind::Undefined => "None".to_owned(),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let mut out = String::from(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\t' => out.push_str("\\t"),
                    '\r' => out.push_str("\\r"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => out.extend(['\\', c]),
                    c => out.push(c),
                }
            }
            out.push(quote);
            out
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<_> = value.try_iter().into_iter().flatten().map(|item| python_repr(&item)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map => {
            let entries: Vec<_> = value
                .try_iter()
                .into_iter()
                .flatten()
                .map(|key| {
                    let item = value.get_item(&key).unwrap_or_default();
                    format!("{}: {}", python_repr(&key), python_repr(&item))
                })
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        _ => value.to_string(),
    }
}

fn name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => "nothing",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "a number",
        ValueKind::String => "text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a mapping",
        _ => "this value",
    }
}

//! Python's view of values: what `str`, `repr`, `==`, `<`, truth and arithmetic mean in a Jinja template.

use std::cmp::Ordering;

use minijinja::value::ValueKind;

use super::ast::Math;
use super::marker::{Eval, Stop, trip};
use crate::value::{Value, is_omit};

/// A number, with booleans as the numbers they are in Python.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
}

/// The value as a number, if it is one (or a boolean).
pub fn number(value: &Value) -> Option<Number> {
    match value.kind() {
        ValueKind::Bool => Some(Number::Int(i128::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok().map(Number::Int),
        ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
        _ => None,
    }
}

impl Number {
    /// As a float.
    #[expect(clippy::cast_precision_loss, reason = "Python's float(int) rounds as well")]
    pub fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// An integer value, small where it fits.
pub fn int(value: i128) -> Value {
    i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)
}

/// Key and value pairs of a mapping.
pub fn pairs(value: &Value) -> Option<Vec<(Value, Value)>> {
    if value.kind() != ValueKind::Map {
        return None;
    }
    value.as_object()?.try_iter_pairs().map(Iterator::collect)
}

/// Whether this is a list, a tuple or the like; not a string or a mapping.
pub fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// Items of a list, keys of a mapping, characters of a string; Python's `iter`.
pub fn iterate(value: &Value) -> Eval<Vec<Value>> {
    if let Some(stop) = trip(value) {
        return Err(stop);
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::String => Ok(value.try_iter()?.collect()),
        _ => Err(Stop::error(format!("{} cannot be iterated over", described(value)))),
    }
}

/// Python's name of the type.
pub fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq if value.is_tuple() => "tuple",
        ValueKind::Seq => "list",
        ValueKind::Iterable => "generator",
        ValueKind::Map => "dict",
        ValueKind::Undefined => "Undefined",
        _ => super::datetime::type_name(value).unwrap_or("object"),
    }
}

/// What users call the type of a value.
pub fn described(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "null",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "a number",
        ValueKind::String | ValueKind::Bytes => "a string",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a mapping",
        _ => "an object",
    }
}

/// Python's `str`.
pub fn text(value: &Value) -> Eval<String> {
    let mut out = String::new();
    write_text(&mut out, value)?;
    Ok(out)
}

/// Writes Python's `str`.
pub fn write_text(out: &mut String, value: &Value) -> Eval<()> {
    match value.as_str() {
        Some(text) => {
            out.push_str(text);
            Ok(())
        }
        None => write_repr(out, value),
    }
}

/// Python's `repr`.
pub fn repr(value: &Value) -> Eval<String> {
    let mut out = String::new();
    write_repr(&mut out, value)?;
    Ok(out)
}

fn write_repr(out: &mut String, value: &Value) -> Eval<()> {
    if let Some(stop) = trip(value) {
        return Err(stop);
    }
    match value.kind() {
        ValueKind::String => quote_into(out, value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => {
            out.push_str(&float_text(f64::try_from(value.clone()).unwrap_or(f64::NAN)));
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let mut count = 0;
            for item in value.try_iter()? {
                if count > 0 {
                    out.push_str(", ");
                }
                count += 1;
                write_repr(out, &item)?;
            }
            if value.is_tuple() && count == 1 {
                out.push(',');
            }
            out.push(close);
        }
        ValueKind::Map => {
            out.push('{');
            for (index, (key, item)) in pairs(value).unwrap_or_default().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, key)?;
                out.push_str(": ");
                write_repr(out, item)?;
            }
            out.push('}');
        }
        _ if is_omit(value) => {}
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

/// A string as Python's `repr` quotes it.
pub fn quote_into(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || (0x7f..0xa1).contains(&(c as u32)) || c as u32 == 0xad => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200b}'..='\u{200f}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// A float as Python writes it.
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// Python's truth.
pub fn truth(value: &Value) -> Eval<bool> {
    match trip(value) {
        Some(stop) => Err(stop),
        None => Ok(value.is_true()),
    }
}

/// Python's `==`.
pub fn equal(left: &Value, right: &Value) -> Eval<bool> {
    for value in [left, right] {
        if let Some(stop) = trip(value) {
            return Err(stop);
        }
    }
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (a, b) => a.float() == b.float(),
        });
    }
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return Ok(a == b);
    }
    if left.kind() == ValueKind::Map && right.kind() == ValueKind::Map {
        let (a, b) = (pairs(left).unwrap_or_default(), pairs(right).unwrap_or_default());
        if a.len() != b.len() {
            return Ok(false);
        }
        for (key, item) in &a {
            let other = right.get_item(key)?;
            if other.is_undefined() || !equal(item, &other)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if is_list(left) && is_list(right) {
        if left.is_tuple() != right.is_tuple() {
            return Ok(false);
        }
        let (a, b) = (iterate(left)?, iterate(right)?);
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(&b) {
            if !equal(a, b)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(left.kind() == right.kind() && left == right)
}

/// Python's ordering; an error for types that have none.
pub fn compare(left: &Value, right: &Value) -> Eval<Ordering> {
    for value in [left, right] {
        if let Some(stop) = trip(value) {
            return Err(stop);
        }
    }
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a.cmp(&b),
            (a, b) => a.float().total_cmp(&b.float()),
        });
    }
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return Ok(a.cmp(b));
    }
    if is_list(left) && is_list(right) {
        let (a, b) = (iterate(left)?, iterate(right)?);
        for (a, b) in a.iter().zip(&b) {
            if !equal(a, b)? {
                return compare(a, b);
            }
        }
        return Ok(a.len().cmp(&b.len()));
    }
    if let Some(order) = super::datetime::order(left, right) {
        return Ok(order);
    }
    let (a, b) = (type_name(left), type_name(right));
    if a == "object" && a == b {
        return Ok(left.cmp(right));
    }
    Err(Stop::hint(
        format!("{} and {} cannot be compared by size", described(left), described(right)),
        "convert one of them, for example with `int`",
    ))
}

/// Whether a list, mapping or string holds a value: Python's `in`.
pub fn contains(container: &Value, item: &Value) -> Eval<bool> {
    for value in [container, item] {
        if let Some(stop) = trip(value) {
            return Err(stop);
        }
    }
    match container.kind() {
        ValueKind::String => match item.as_str() {
            Some(part) => Ok(container.as_str().unwrap_or_default().contains(part)),
            None => Err(Stop::error(format!("`in` needs a string on its left, not {}", described(item)))),
        },
        ValueKind::Map => Ok(!container.get_item(item)?.is_undefined()),
        _ if is_list(container) => {
            for other in iterate(container)? {
                if equal(&other, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(Stop::error(format!(
            "`in` needs a list, a mapping or a string on its right, not {}",
            described(container)
        ))),
    }
}

/// Python's arithmetic.
pub fn math(op: Math, left: &Value, right: &Value) -> Eval<Value> {
    for value in [left, right] {
        if let Some(stop) = trip(value) {
            return Err(stop);
        }
    }
    if op == Math::Concat {
        return Ok(Value::from(text(left)? + &text(right)?));
    }
    if let (Math::Rem, Some(format)) = (op, left.as_str()) {
        return super::format::percent(format, right).map(Value::from);
    }
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return numeric(op, a, b);
    }
    match op {
        Math::Sub => {
            if let Some(span) = super::datetime::difference(left, right) {
                return Ok(span);
            }
        }
        Math::Add => {
            if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
                return Ok(Value::from(format!("{a}{b}")));
            }
            if is_list(left) && is_list(right) && left.is_tuple() == right.is_tuple() {
                return Ok(iterate(left)?.into_iter().chain(iterate(right)?).collect());
            }
        }
        Math::Mul => {
            for (what, times) in [(left, right), (right, left)] {
                if let Some(Number::Int(times)) = number(times) {
                    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
                    if what.len().unwrap_or(1).saturating_mul(times) > 1 << 24 {
                        return Err(Stop::error("the result of `*` would be too large"));
                    }
                    if let Some(text) = what.as_str() {
                        return Ok(Value::from(text.repeat(times)));
                    }
                    if is_list(what) {
                        let items = iterate(what)?;
                        return Ok((0..times).flat_map(|_| items.clone()).collect());
                    }
                }
            }
        }
        _ => {}
    }
    let sign = match op {
        Math::Add => "+",
        Math::Sub => "-",
        Math::Mul => "*",
        Math::Div => "/",
        Math::FloorDiv => "//",
        Math::Rem => "%",
        Math::Pow => "**",
        Math::Concat => "~",
    };
    let stop = format!("`{sign}` does not work on {} and {}", described(left), described(right));
    Err(if op == Math::Add && (left.as_str().is_some() || right.as_str().is_some()) {
        Stop::hint(stop, "`~` joins as text; `int` makes a number of a string")
    } else {
        Stop::error(stop)
    })
}

fn numeric(op: Math, a: Number, b: Number) -> Eval<Value> {
    let zero = || Stop::error("division by zero");
    let large = || Stop::error("the number is too large");
    if let (Number::Int(a), Number::Int(b)) = (a, b) {
        let result = match op {
            Math::Add => a.checked_add(b),
            Math::Sub => a.checked_sub(b),
            Math::Mul => a.checked_mul(b),
            Math::FloorDiv | Math::Rem if b == 0 => return Err(zero()),
            Math::FloorDiv => {
                let quotient = a.checked_div(b).ok_or_else(large)?;
                Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
            }
            Math::Rem => {
                let rest = a.checked_rem(b).ok_or_else(large)?;
                Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            Math::Pow if b >= 0 => a.checked_pow(u32::try_from(b).map_err(|_| large())?),
            _ => return float_math(op, Number::Int(a).float(), Number::Int(b).float()),
        };
        return result.map(int).ok_or_else(large);
    }
    float_math(op, a.float(), b.float())
}

fn float_math(op: Math, a: f64, b: f64) -> Eval<Value> {
    if b == 0.0 && matches!(op, Math::Div | Math::FloorDiv | Math::Rem) {
        return Err(Stop::error("division by zero"));
    }
    Ok(Value::from(match op {
        Math::Add => a + b,
        Math::Sub => a - b,
        Math::Mul => a * b,
        Math::Div => a / b,
        Math::FloorDiv => (a / b).floor(),
        Math::Rem => a - b * (a / b).floor(),
        Math::Pow => a.powf(b),
        Math::Concat => return Err(Stop::error("`~` joins text")),
    }))
}

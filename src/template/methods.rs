//! Methods of strings, lists and mappings, and slices, as Python has them.

use minijinja::value::{Tuple, ValueKind};

use super::eval::LoopState;
use super::functions::Cycler;
use super::marker::{Eval, Stop, need};
use super::mutable::{MutableList, MutableMap};
use super::py;
use crate::diagnostic::Diagnostic;
use crate::value::Value;

type Named = [(String, Value)];

/// `of.name(args)`.
pub fn call(of: &Value, name: &str, args: &[Value], kwargs: &Named) -> Eval<Value> {
    for arg in args {
        need(arg.clone())?;
    }
    let found = if let Some(text) = of.as_str() {
        string(text, name, args, kwargs)?
    } else if let Some(state) = of.downcast_object_ref::<LoopState>() {
        state.method(name, args)
    } else if let Some(cycler) = of.downcast_object_ref::<Cycler>() {
        cycler.method(name)
    } else if let Some(moment) = of.downcast_object_ref::<super::datetime::Moment>() {
        moment.method(name, args)?
    } else if let Some(value) = super::datetime::span_method(of, name) {
        Some(value)
    } else if of.kind() == ValueKind::Map {
        mapping(of, name, args, kwargs)?
    } else if py::is_list(of) {
        list(of, name, args, kwargs)?
    } else if let Some(py::Number::Float(value)) = py::number(of) {
        (name == "is_integer").then(|| Value::from(value.fract() == 0.0))
    } else {
        None
    };
    found.ok_or_else(|| {
        let known = known_methods(of);
        let message = format!("{} has no method `{name}`", py::described(of));
        Stop::Error(Diagnostic::error(message).did_you_mean(name, known.iter().copied()).into())
    })
}

const STRING: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];
const LIST: &[&str] =
    &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const MAPPING: &[&str] =
    &["clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];

fn known_methods(of: &Value) -> &'static [&'static str] {
    match of.kind() {
        ValueKind::String => STRING,
        ValueKind::Map => MAPPING,
        _ if py::is_list(of) => LIST,
        _ => &[],
    }
}

fn text_arg(args: &[Value], index: usize) -> Eval<Option<&str>> {
    match args.get(index) {
        None => Ok(None),
        Some(value) if value.is_none() => Ok(None),
        Some(value) => match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(Stop::error(format!("this method needs a string, not {}", py::described(value)))),
        },
    }
}

fn must_text(args: &[Value], index: usize) -> Eval<&str> {
    text_arg(args, index)?.ok_or_else(|| Stop::error("this method needs another argument"))
}

fn int_arg(args: &[Value], index: usize, default: i64) -> Eval<i64> {
    match args.get(index) {
        None => Ok(default),
        Some(value) => value
            .as_i64()
            .ok_or_else(|| Stop::error(format!("this method needs a whole number, not {}", py::described(value)))),
    }
}

fn named<'a>(kwargs: &'a Named, name: &str) -> Option<&'a Value> {
    kwargs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Splits at white space or a separator, from the left or the right, at most `limit` times (negative: always).
pub fn split(text: &str, separator: Option<&str>, limit: i64, from_right: bool) -> Eval<Vec<Value>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(Stop::error("a string cannot be split at an empty separator")),
        Some(separator) if from_right => text.rsplitn(limit.saturating_add(1), separator).collect(),
        Some(separator) => text.splitn(limit.saturating_add(1), separator).collect(),
        None => {
            let mut rest = text.trim();
            let mut parts = vec![];
            while !rest.is_empty() {
                let cut = if from_right { rest.rfind(char::is_whitespace) } else { rest.find(char::is_whitespace) };
                let Some(cut) = cut.filter(|_| parts.len() < limit) else {
                    parts.push(rest);
                    break;
                };
                if from_right {
                    parts.push(rest.get(cut..).unwrap_or_default().trim());
                    rest = rest.get(..cut).unwrap_or_default().trim_end();
                } else {
                    parts.push(rest.get(..cut).unwrap_or_default());
                    rest = rest.get(cut..).unwrap_or_default().trim_start();
                }
            }
            parts
        }
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Python's `str.title`.
pub fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        inside = c.is_alphabetic();
    }
    out
}

/// Python's `str.capitalize`.
pub fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    first + &chars.as_str().to_lowercase()
}

/// Python's `str.splitlines`.
pub fn split_lines(text: &str, keep_ends: bool) -> Vec<Value> {
    text.split_inclusive('\n')
        .map(|line| if keep_ends { line } else { line.trim_end_matches('\n').trim_end_matches('\r') })
        .map(Value::from)
        .collect()
}

/// Pads to a width in characters.
pub fn justify(text: &str, width: i64, fill: char, left_share: fn(usize) -> usize) -> String {
    // Wider is a slip.
    let width = usize::try_from(width).unwrap_or(0).min(1 << 16);
    let missing = width.saturating_sub(text.chars().count());
    let left = left_share(missing);
    let side = |count: usize| fill.to_string().repeat(count);
    format!("{}{text}{}", side(left), side(missing - left))
}

/// Strips characters of a set, or white space.
pub fn strip(text: &str, set: Option<&str>, left: bool, right: bool) -> String {
    let in_set = |c: char| set.map_or(c.is_whitespace(), |set| set.contains(c));
    let mut text = text;
    if left {
        text = text.trim_start_matches(in_set);
    }
    if right {
        text = text.trim_end_matches(in_set);
    }
    text.to_owned()
}

fn find(text: &str, args: &[Value], last: bool) -> Eval<Option<usize>> {
    let part = must_text(args, 0)?;
    let start = usize::try_from(int_arg(args, 1, 0)?).unwrap_or(0);
    let skip = text.char_indices().nth(start).map_or(text.len(), |(at, _)| at);
    let rest = text.get(skip..).unwrap_or_default();
    let found = if last { rest.rfind(part) } else { rest.find(part) };
    Ok(found.map(|at| text.get(..skip + at).unwrap_or_default().chars().count()))
}

fn affix(text: &str, args: &[Value], test: fn(&str, &str) -> bool) -> Eval<Value> {
    match args.first() {
        Some(choices) if py::is_list(choices) => {
            let choices = py::iterate(choices)?;
            Ok(Value::from(choices.iter().filter_map(Value::as_str).any(|part| test(text, part))))
        }
        _ => Ok(Value::from(test(text, must_text(args, 0)?))),
    }
}

fn partition(text: &str, args: &[Value], last: bool) -> Eval<Value> {
    let separator = must_text(args, 0)?;
    let parts = if last { text.rsplit_once(separator) } else { text.split_once(separator) };
    let (before, middle, after) = match parts {
        Some((before, after)) => (before, separator, after),
        None if last => ("", "", text),
        None => (text, "", ""),
    };
    Ok(Value::from(Tuple::from(vec![Value::from(before), Value::from(middle), Value::from(after)])))
}

#[expect(clippy::too_many_lines, reason = "one line per method")]
fn string(text: &str, name: &str, args: &[Value], kwargs: &Named) -> Eval<Option<Value>> {
    let all = |test: fn(char) -> bool| Value::from(!text.is_empty() && text.chars().all(test));
    let fill = || -> Eval<char> { Ok(text_arg(args, 1)?.and_then(|fill| fill.chars().next()).unwrap_or(' ')) };
    let index = |found: Option<usize>| found.ok_or_else(|| Stop::error("the substring is not there"));
    let signed = |found: Option<usize>| found.map_or(Value::from(-1), Value::from);
    Ok(Some(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" | "casefold" => Value::from(text.to_lowercase()),
        "title" => Value::from(title(text)),
        "capitalize" => Value::from(capitalize(text)),
        "swapcase" => text
            .chars()
            .map(|c| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() })
            .collect::<String>()
            .into(),
        "strip" => Value::from(strip(text, text_arg(args, 0)?, true, true)),
        "lstrip" => Value::from(strip(text, text_arg(args, 0)?, true, false)),
        "rstrip" => Value::from(strip(text, text_arg(args, 0)?, false, true)),
        "startswith" => affix(text, args, |text, part| text.starts_with(part))?,
        "endswith" => affix(text, args, |text, part| text.ends_with(part))?,
        "removeprefix" => Value::from(text.strip_prefix(must_text(args, 0)?).unwrap_or(text)),
        "removesuffix" => Value::from(text.strip_suffix(must_text(args, 0)?).unwrap_or(text)),
        "replace" => {
            let (from, to) = (must_text(args, 0)?, must_text(args, 1)?);
            match usize::try_from(int_arg(args, 2, -1)?) {
                Ok(count) => Value::from(text.replacen(from, to, count)),
                Err(_) => Value::from(text.replace(from, to)),
            }
        }
        "split" | "rsplit" => {
            let separator = match named(kwargs, "sep") {
                Some(value) => value.as_str(),
                None => text_arg(args, 0)?,
            };
            let limit = match named(kwargs, "maxsplit") {
                Some(value) => value.as_i64().unwrap_or(-1),
                None => int_arg(args, 1, -1)?,
            };
            Value::from(split(text, separator, limit, name == "rsplit")?)
        }
        "splitlines" => {
            let keep = args.first().or_else(|| named(kwargs, "keepends")).is_some_and(Value::is_true);
            Value::from(split_lines(text, keep))
        }
        "partition" => partition(text, args, false)?,
        "rpartition" => partition(text, args, true)?,
        "join" => {
            let items = py::iterate(args.first().unwrap_or(&Value::UNDEFINED))?;
            let parts: Vec<String> = items.iter().map(py::text).collect::<Eval<_>>()?;
            Value::from(parts.join(text))
        }
        "find" => signed(find(text, args, false)?),
        "rfind" => signed(find(text, args, true)?),
        "index" => Value::from(index(find(text, args, false)?)?),
        "rindex" => Value::from(index(find(text, args, true)?)?),
        "count" => {
            let part = must_text(args, 0)?;
            Value::from(if part.is_empty() { text.chars().count() + 1 } else { text.matches(part).count() })
        }
        "center" => Value::from(justify(text, int_arg(args, 0, 0)?, fill()?, |missing| missing / 2)),
        "ljust" => Value::from(justify(text, int_arg(args, 0, 0)?, fill()?, |_| 0)),
        "rjust" => Value::from(justify(text, int_arg(args, 0, 0)?, fill()?, |missing| missing)),
        "zfill" => {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => text.split_at(text.len() - digits.len()),
                None => ("", text),
            };
            let width = int_arg(args, 0, 0)?.saturating_sub(i64::from(!sign.is_empty()));
            Value::from(format!("{sign}{}", justify(digits, width, '0', |missing| missing)))
        }
        "expandtabs" => {
            let width = usize::try_from(int_arg(args, 0, 8)?).unwrap_or(0).min(256);
            let mut column = 0;
            let mut out = String::new();
            for c in text.chars() {
                match c {
                    '\t' if width > 0 => {
                        let missing = width - column % width;
                        out.push_str(&" ".repeat(missing));
                        column += missing;
                    }
                    '\t' => {}
                    c => {
                        column = if c == '\n' { 0 } else { column + 1 };
                        out.push(c);
                    }
                }
            }
            Value::from(out)
        }
        "encode" => Value::from_bytes(text.as_bytes().to_vec()),
        "format" => Value::from(super::format::braces(text, args, kwargs)?),
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "isascii" => Value::from(text.is_ascii()),
        "isupper" => Value::from(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)),
        "islower" => Value::from(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)),
        "istitle" => Value::from(text.chars().any(char::is_alphabetic) && title(text) == text),
        "isidentifier" => {
            let start = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
            Value::from(start && text.chars().all(|c| c.is_alphanumeric() || c == '_'))
        }
        _ => return Ok(None),
    }))
}

fn mapping(of: &Value, name: &str, args: &[Value], kwargs: &Named) -> Eval<Option<Value>> {
    let key = || args.first().cloned().ok_or_else(|| Stop::error(format!("`{name}` needs a key")));
    let default = || args.get(1).or_else(|| named(kwargs, "default")).cloned();
    let entries = || py::pairs(of).unwrap_or_default();
    Ok(Some(match name {
        "get" => {
            let value = of.get_item(&key()?)?;
            if value.is_undefined() { default().unwrap_or_else(|| Value::from(())) } else { value }
        }
        "keys" => py::iterate(of)?.into(),
        "values" => entries().into_iter().map(|(_, value)| value).collect(),
        "items" => entries().into_iter().map(|(key, value)| Value::from(Tuple::from(vec![key, value]))).collect(),
        "copy" => Value::from_pairs(entries()),
        _ => match of.downcast_object_ref::<MutableMap>() {
            Some(_) if args.iter().chain(kwargs.iter().map(|(_, value)| value)).any(|arg| holds(arg, of)) => {
                return Err(Stop::error("a mapping cannot hold itself"));
            }
            Some(map) => return change_map(map, name, args, kwargs),
            None => return Ok(None),
        },
    }))
}

fn change_map(map: &MutableMap, name: &str, args: &[Value], kwargs: &Named) -> Eval<Option<Value>> {
    let key = || args.first().cloned().ok_or_else(|| Stop::error(format!("`{name}` needs a key")));
    Ok(Some(match name {
        "update" => {
            // Read before the lock is taken: the argument may be the mapping itself.
            let from = args.first().map(|from| py::pairs(from).unwrap_or_default()).unwrap_or_default();
            let mut entries = map.entries();
            entries.extend(from);
            entries.extend(kwargs.iter().map(|(key, value)| (Value::from(key), value.clone())));
            Value::from(())
        }
        "pop" => match (map.entries().shift_remove(&key()?), args.get(1)) {
            (Some(value), _) => value,
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(Stop::error(format!("there is no key {} to pop", py::repr(&key()?)?))),
        },
        "popitem" => match map.entries().pop() {
            Some((key, value)) => Value::from(Tuple::from(vec![key, value])),
            None => return Err(Stop::error("the mapping is empty")),
        },
        "setdefault" => {
            let value = args.get(1).cloned().unwrap_or_else(|| Value::from(()));
            map.entries().entry(key()?).or_insert(value).clone()
        }
        "clear" => {
            map.entries().clear();
            Value::from(())
        }
        _ => return Ok(None),
    }))
}

fn list(of: &Value, name: &str, args: &[Value], kwargs: &Named) -> Eval<Option<Value>> {
    let item = || args.first().cloned().ok_or_else(|| Stop::error(format!("`{name}` needs a value")));
    let position = |items: &[Value], item: &Value| -> Eval<Option<usize>> {
        for (index, other) in items.iter().enumerate() {
            if py::equal(other, item)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    };
    let missing = || Stop::error("the value is not in the list");
    match name {
        "index" => return Ok(Some(Value::from(position(&py::iterate(of)?, &item()?)?.ok_or_else(missing)?))),
        "count" => {
            let mut count = 0;
            for other in py::iterate(of)? {
                count += usize::from(py::equal(&other, &item()?)?);
            }
            return Ok(Some(Value::from(count)));
        }
        "copy" => return Ok(Some(Value::from(py::iterate(of)?))),
        _ => {}
    }
    let Some(list) = of.downcast_object_ref::<MutableList>() else { return Ok(None) };
    if args.iter().any(|arg| holds(arg, of)) && name != "extend" {
        return Err(Stop::error("a list cannot hold itself"));
    }
    Ok(Some(match name {
        "append" => {
            let item = item()?;
            list.items().push(item);
            Value::from(())
        }
        "extend" => {
            let more = py::iterate(&item()?)?;
            list.items().extend(more);
            Value::from(())
        }
        "insert" => {
            let at = int_arg(args, 0, 0)?;
            let value = args.get(1).cloned().ok_or_else(|| Stop::error("`insert` needs an index and a value"))?;
            let mut items = list.items();
            let at = index_of(at, items.len()).min(items.len());
            items.insert(at, value);
            Value::from(())
        }
        "pop" => {
            let at = int_arg(args, 0, -1)?;
            let mut items = list.items();
            let at = index_of(at, items.len());
            if at >= items.len() {
                return Err(Stop::error("there is nothing to pop at this index"));
            }
            items.remove(at)
        }
        "remove" => {
            let (snapshot, item) = (list.items().clone(), item()?);
            let at = position(&snapshot, &item)?.ok_or_else(missing)?;
            list.items().remove(at);
            Value::from(())
        }
        "clear" => {
            list.items().clear();
            Value::from(())
        }
        "reverse" => {
            list.items().reverse();
            Value::from(())
        }
        "sort" => {
            let reverse = named(kwargs, "reverse").is_some_and(Value::is_true);
            let mut sorted = list.items().clone();
            super::filters::sort_values(&mut sorted, reverse)?;
            *list.items() = sorted;
            Value::from(())
        }
        _ => return Ok(None),
    }))
}

/// Whether a value is another one, or holds it at any depth.
fn holds(value: &Value, other: &Value) -> bool {
    let same_list = match (value.downcast_object::<MutableList>(), other.downcast_object::<MutableList>()) {
        (Some(a), Some(b)) => std::sync::Arc::ptr_eq(&a, &b),
        _ => false,
    };
    let same_map = match (value.downcast_object::<MutableMap>(), other.downcast_object::<MutableMap>()) {
        (Some(a), Some(b)) => std::sync::Arc::ptr_eq(&a, &b),
        _ => false,
    };
    if same_list || same_map {
        return true;
    }
    match py::pairs(value) {
        Some(pairs) => pairs.iter().any(|(_, item)| holds(item, other)),
        None if py::is_list(value) => value.try_iter().is_ok_and(|mut items| items.any(|item| holds(&item, other))),
        None => false,
    }
}

/// An index that may count from the end.
fn index_of(index: i64, len: usize) -> usize {
    match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => len.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

/// `of[start:stop:step]` with Python's rules.
pub fn slice(of: &Value, [start, stop, step]: [Option<i64>; 3]) -> Eval<Value> {
    let items = match of.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Iterable => py::iterate(of)?,
        _ => return Err(Stop::error(format!("{} cannot be sliced", py::described(of)))),
    };
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Stop::error("the step of a slice must not be 0"));
    }
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |value: Option<i64>, default: i64| match value {
        Some(value) if value < 0 => (value + len).clamp(low, high),
        Some(value) => value.clamp(low, high),
        None => default,
    };
    let (mut at, end) = match step > 0 {
        true => (bound(start, low), bound(stop, high)),
        false => (bound(start, high), bound(stop, low)),
    };
    let mut picked = vec![];
    while (step > 0 && at < end) || (step < 0 && at > end) {
        picked.extend(usize::try_from(at).ok().and_then(|at| items.get(at)).cloned());
        at = at.saturating_add(step);
    }
    Ok(match of.kind() {
        ValueKind::String => Value::from(picked.iter().filter_map(Value::as_str).collect::<String>()),
        _ if of.is_tuple() => Value::from(Tuple::from(picked)),
        _ => Value::from(picked),
    })
}

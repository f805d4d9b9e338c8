//! Lookups on values.

use minijinja::value::Tuple;

use super::Lookup;
use crate::template::filters;
use crate::template::marker::{Eval, Stop, Undefined, Why, need};
use crate::template::py;
use crate::value::Value;

pub fn vars(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let default = lookup.call.named("default");
    let mut out = vec![];
    for name in lookup.texts()? {
        match (lookup.call.context.variable(&name), &default) {
            (Some(value), _) => out.push(need(value)?),
            (None, Some(default)) => out.push(default.clone()),
            (None, None) => {
                let scope = lookup.call.context.scope.clone();
                let undefined = Undefined { written: name.clone(), name, span: None, why: Why::Variable(scope) };
                return Err(Stop::Undefined(undefined.into_value()));
            }
        }
    }
    Ok(out)
}

pub fn varnames(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let names = lookup.call.context.scope.names();
    let mut out = vec![];
    for pattern in lookup.texts()? {
        let regex = filters::compile_regex(&pattern, false, false)?;
        out.extend(names.iter().filter(|name| regex.is_match(name).unwrap_or(false)).map(Value::from));
    }
    Ok(out)
}

pub fn env(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let default = lookup.call.named("default").unwrap_or_else(|| Value::from(""));
    let value = |name: &String| match std::env::var(name) {
        Ok(value) => Ok(Value::from(value)),
        Err(_) => need(default.clone()),
    };
    lookup.texts()?.iter().map(value).collect()
}

pub fn dict(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut out = vec![];
    for term in lookup.flat_terms()? {
        let wrong = || Stop::error(format!("the lookup `dict` needs a mapping, not {}", py::described(&term)));
        let pairs = py::pairs(&term).ok_or_else(wrong)?;
        out.extend(pairs.into_iter().map(|(key, value)| Value::from_pairs([("key", key), ("value", value)])));
    }
    Ok(out)
}

pub fn items(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    lookup.flat_terms()
}

pub fn list(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    Ok(lookup.terms.clone())
}

pub fn indexed_items(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let items = lookup.flat_terms()?.into_iter().enumerate();
    Ok(items.map(|(index, item)| Value::from(Tuple::from(vec![Value::from(index), item]))).collect())
}

fn as_list(value: &Value) -> Eval<Vec<Value>> {
    if py::is_list(value) { py::iterate(value) } else { Ok(vec![value.clone()]) }
}

/// Items that are lists are opened, as `nested` and `together` do with the rows they make.
fn row(items: impl IntoIterator<Item = Value>) -> Eval<Value> {
    let mut out = vec![];
    for item in items {
        if py::is_list(&item) { out.extend(py::iterate(&item)?) } else { out.push(item) }
    }
    Ok(Value::from(out))
}

pub fn nested(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut rows: Vec<Vec<Value>> = vec![vec![]];
    if lookup.terms.is_empty() {
        return Err(Stop::error("the lookup `nested` needs at least one list"));
    }
    for term in &lookup.terms {
        let items = as_list(term)?;
        rows = rows
            .iter()
            .flat_map(|row| items.iter().map(move |item| row.iter().cloned().chain([item.clone()]).collect()))
            .collect();
    }
    rows.into_iter().map(row).collect()
}

pub fn together(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let lists = lookup.terms.iter().map(as_list).collect::<Eval<Vec<_>>>()?;
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let item = |list: &Vec<Value>, index: usize| list.get(index).cloned().unwrap_or_else(|| Value::from(()));
    (0..longest).map(|index| row(lists.iter().map(|list| item(list, index)))).collect()
}

pub fn random_choice(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let items = &lookup.terms;
    match items.len() {
        0 => Ok(vec![]),
        len => Ok(items.get(rand::random_range(0..len)).cloned().into_iter().collect()),
    }
}

pub fn subelements(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let [of, path, rest @ ..] = lookup.terms.as_slice() else {
        return Err(Stop::error("the lookup `subelements` needs a list and the name of a list in its items"));
    };
    let skip_missing = match rest.first() {
        Some(flags) => py::truth(&flags.get_attr("skip_missing")?)?,
        None => false,
    };
    let rows = py::iterate(&filters::subelements_of(of, path, skip_missing)?)?;
    let steps: Vec<String> = py::text(path)?.split('.').map(str::to_owned).collect();
    // Unlike the filter, the lookup leaves the list out of the item it belongs to.
    let stripped = |row: Value| -> Eval<Value> {
        match py::iterate(&row)?.as_slice() {
            [item, sub] => Ok(Value::from(Tuple::from(vec![without(item, &steps)?, sub.clone()]))),
            _ => Ok(row),
        }
    };
    rows.into_iter().map(stripped).collect()
}

/// A mapping without what stands at a path of keys.
fn without(of: &Value, steps: &[String]) -> Eval<Value> {
    let Some((first, rest)) = steps.split_first() else { return Ok(of.clone()) };
    let mut out = vec![];
    for (key, value) in py::pairs(of).unwrap_or_default() {
        match (key.as_str() == Some(first), rest.is_empty()) {
            (true, true) => {}
            (true, false) => out.push((key, without(&value, rest)?)),
            (false, _) => out.push((key, value)),
        }
    }
    Ok(Value::from_pairs(out))
}

/// `start=0 end=10 stride=2 format=%02d`, `count=5` or `start-end[/stride][:format]`.
pub fn sequence(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut out = vec![];
    let named = std::mem::take(&mut lookup.call.kwargs);
    let terms = if lookup.terms.is_empty() { vec![String::new()] } else { lookup.texts()? };
    for term in terms {
        let mut options: Vec<(String, String)> = vec![];
        for (key, value) in &named {
            options.push((key.clone(), py::text(value)?));
        }
        if term.contains('=') || term.trim().is_empty() {
            let pairs = term.split_whitespace().filter_map(|part| part.split_once('='));
            options.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        } else {
            let (range, format) = term.split_once(':').unwrap_or((&term, ""));
            let (range, stride) = range.split_once('/').unwrap_or((range, ""));
            let (start, end) = range.split_once('-').filter(|(start, _)| !start.is_empty()).unwrap_or(("", range));
            for (key, value) in [("start", start), ("end", end), ("stride", stride), ("format", format)] {
                if !value.is_empty() {
                    options.push((key.to_owned(), value.to_owned()));
                }
            }
        }
        numbers(&options, &mut out)?;
    }
    Ok(out)
}

fn numbers(options: &[(String, String)], out: &mut Vec<Value>) -> Eval<()> {
    let known = ["start", "end", "count", "stride", "format"];
    if let Some((name, _)) = options.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(Stop::error(format!("the lookup `sequence` has no option `{name}`")));
    }
    let text = |name: &str| options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let number = |name: &str| -> Eval<Option<i64>> {
        let Some(text) = text(name) else { return Ok(None) };
        let digits = text.trim();
        let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16),
            None if digits.len() > 1 && digits.starts_with('0') => {
                i64::from_str_radix(digits.trim_start_matches("0o"), 8)
            }
            None => digits.parse(),
        };
        parsed
            .map(Some)
            .map_err(|_| Stop::error(format!("`{name}` of the lookup `sequence` must be a number, not `{text}`")))
    };
    let start = number("start")?.unwrap_or(1);
    let count = number("count")?;
    let end = number("end")?;
    let stride = number("stride")?.unwrap_or(1);
    let end = match (count, end) {
        (Some(_), Some(_)) => return Err(Stop::error("the lookup `sequence` takes `count` or `end`, not both")),
        (None, None) => return Err(Stop::error("the lookup `sequence` needs `count` or `end`")),
        (Some(0), None) => return Ok(()),
        (Some(count), None) => start.saturating_add(count.saturating_mul(stride)).saturating_sub(stride.signum()),
        (None, Some(end)) => end,
    };
    if stride > 0 && end < start {
        return Err(Stop::hint(
            "the lookup `sequence` counts up, but ends below its start",
            "give a negative `stride`",
        ));
    }
    if stride < 0 && end > start {
        return Err(Stop::error("the lookup `sequence` counts down, but ends above its start"));
    }
    if stride == 0 || end.saturating_sub(start).checked_div(stride).is_none_or(|count| count > 100_000) {
        return if stride == 0 {
            Ok(())
        } else {
            Err(Stop::error("the lookup `sequence` makes at most 100000 numbers"))
        };
    }
    let format = text("format").unwrap_or("%d");
    let mut at = start;
    while (stride > 0 && at <= end) || (stride < 0 && at >= end) {
        out.push(Value::from(crate::template::format::percent(format, &Value::from(at))?));
        at += stride;
    }
    Ok(())
}

//! Filters on lists: order, size, grouping, combination.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, ValueKind};

use super::{Filter, all, attribute, parts};
use crate::template::ast::Math;
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop, is_undefined, need};
use crate::template::py;
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    parts("list", |call| call.input_items().map(Value::from)),
    parts("first", |call| edge(call, |items| items.first().cloned())),
    parts("last", |call| edge(call, |items| items.last().cloned())),
    parts("length", length),
    parts("count", length),
    parts("reverse", reverse),
    parts("batch", batch),
    parts("slice", slice),
    parts("zip", |call| zip(call, false)),
    parts("zip_longest", |call| zip(call, true)),
    parts("product", product),
    parts("permutations", |call| choose(call, true)),
    parts("combinations", |call| choose(call, false)),
    parts("flatten", flatten),
    all("sort", sort),
    all("min", |call| extreme(call, Ordering::Less)),
    all("max", |call| extreme(call, Ordering::Greater)),
    all("sum", sum),
    all("groupby", group_by),
    all("join", join),
];

fn tuple(items: Vec<Value>) -> Value {
    Value::from(Tuple::from(items))
}

fn edge(call: &mut Call<'_>, pick: fn(&[Value]) -> Option<Value>) -> Eval<Value> {
    let items = call.input_items()?;
    Ok(pick(&items).unwrap_or_else(|| {
        use crate::template::marker::{Undefined, Why};
        let written = format!("the {} item of an empty list", call.name);
        Undefined { written, name: String::new(), span: None, why: Why::Attribute { holder: "a list", known: vec![] } }
            .into_value()
    }))
}

fn length(call: &mut Call<'_>) -> Eval<Value> {
    match call.input.len() {
        Some(len) => Ok(Value::from(len)),
        None => match call.input.kind() {
            ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => Ok(Value::from(call.input_items()?.len())),
            _ => Err(Stop::error(format!("{} has no length", py::described(&call.input)))),
        },
    }
}

fn reverse(call: &mut Call<'_>) -> Eval<Value> {
    if let Some(text) = call.input.as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = call.input_items()?;
    items.reverse();
    Ok(Value::from(items))
}

fn batch(call: &mut Call<'_>) -> Eval<Value> {
    let size = call
        .count("linecount")?
        .filter(|size| (1..=MANY).contains(size))
        .ok_or_else(|| Stop::error("`batch` needs a size"))?;
    let fill = call.value("fill_with").filter(|fill| !fill.is_none());
    let items = call.input_items()?;
    Ok(items
        .chunks(size)
        .map(|chunk| {
            let mut chunk = chunk.to_vec();
            if let Some(fill) = &fill {
                chunk.resize(size, fill.clone());
            }
            Value::from(chunk)
        })
        .collect())
}

fn slice(call: &mut Call<'_>) -> Eval<Value> {
    let count = call
        .count("slices")?
        .filter(|n| (1..=MANY).contains(n))
        .ok_or_else(|| Stop::error("`slice` needs a number"))?;
    let fill = call.value("fill_with").filter(|fill| !fill.is_none());
    let items = call.input_items()?;
    let (base, longer) = (items.len() / count, items.len() % count);
    let mut rest = items.into_iter();
    let mut out = vec![];
    for index in 0..count {
        let mut part: Vec<Value> = rest.by_ref().take(base + usize::from(index < longer)).collect();
        if let Some(fill) = fill.as_ref().filter(|_| longer > 0 && index >= longer) {
            part.push(fill.clone());
        }
        out.push(Value::from(part));
    }
    Ok(Value::from(out))
}

fn lists(call: &mut Call<'_>) -> Eval<Vec<Vec<Value>>> {
    let mut lists = vec![call.input_items()?];
    while let Some(more) = call.args.pop_front() {
        lists.push(py::iterate(&more)?);
    }
    Ok(lists)
}

fn zip(call: &mut Call<'_>, longest: bool) -> Eval<Value> {
    let lists = lists(call)?;
    let fill = if longest { call.named("fillvalue").unwrap_or_else(|| Value::from(())) } else { Value::UNDEFINED };
    let lengths = lists.iter().map(Vec::len);
    let len = if longest { lengths.max() } else { lengths.min() }.unwrap_or(0);
    let row = |index: usize| lists.iter().map(|list| list.get(index).unwrap_or(&fill).clone()).collect();
    Ok((0..len).map(|index| tuple(row(index))).collect())
}

/// More combinations than this are a slip.
const MANY: usize = 100_000;

fn product(call: &mut Call<'_>) -> Eval<Value> {
    let mut lists = lists(call)?;
    if let Some(repeat) = call.named("repeat") {
        let times = repeat.as_usize().unwrap_or(1).min(16);
        lists = (0..times).flat_map(|_| lists.clone()).collect();
    }
    if lists.iter().try_fold(1usize, |all, list| all.checked_mul(list.len())).is_none_or(|all| all > MANY) {
        return Err(Stop::error("`product` would make more than 100000 combinations"));
    }
    let mut rows: Vec<Vec<Value>> = vec![vec![]];
    for list in &lists {
        rows = rows
            .iter()
            .flat_map(|row| list.iter().map(move |item| row.iter().cloned().chain([item.clone()]).collect()))
            .collect();
    }
    Ok(rows.into_iter().map(tuple).collect())
}

fn choose(call: &mut Call<'_>, ordered: bool) -> Eval<Value> {
    let items = call.input_items()?;
    let size = match call.count("r")? {
        Some(size) => size,
        None if ordered => items.len(),
        None => return Err(Stop::error("`combinations` needs a size")),
    };
    let mut out = vec![];
    let mut picked = vec![];
    pick(&items, size, ordered, &mut picked, &mut out)?;
    Ok(Value::from(out))
}

fn pick(items: &[Value], size: usize, ordered: bool, picked: &mut Vec<usize>, out: &mut Vec<Value>) -> Eval<()> {
    if picked.len() == size {
        if out.len() >= MANY {
            return Err(Stop::error("these are more than 100000 combinations"));
        }
        out.push(tuple(picked.iter().filter_map(|index| items.get(*index)).cloned().collect()));
        return Ok(());
    }
    let first = if ordered { 0 } else { picked.last().map_or(0, |last| last + 1) };
    for index in first..items.len() {
        if !picked.contains(&index) {
            picked.push(index);
            pick(items, size, ordered, picked, out)?;
            picked.pop();
        }
    }
    Ok(())
}

fn flatten(call: &mut Call<'_>) -> Eval<Value> {
    let levels = call.integer("levels")?;
    let skip_nulls = call.flag("skip_nulls", true)?;
    let mut out = vec![];
    flat(&call.input_items()?, levels, skip_nulls, &mut out)?;
    Ok(Value::from(out))
}

fn flat(items: &[Value], levels: Option<i64>, skip_nulls: bool, out: &mut Vec<Value>) -> Eval<()> {
    for item in items {
        if skip_nulls && (item.is_none() || matches!(item.as_str(), Some("None" | "null"))) {
            continue;
        }
        if py::is_list(item) && levels.is_none_or(|levels| levels >= 1) {
            flat(&py::iterate(item)?, levels.map(|levels| levels - 1), skip_nulls, out)?;
        } else {
            out.push(item.clone());
        }
    }
    Ok(())
}

/// Sorts with Python's order; an error when items have none.
pub fn sort_values(values: &mut [Value], reverse: bool) -> Eval<()> {
    sort_by_keys(values, reverse, |value| Ok(vec![value.clone()]))
}

fn sort_by_keys(values: &mut [Value], reverse: bool, key: impl Fn(&Value) -> Eval<Vec<Value>>) -> Eval<()> {
    let mut keyed = values.iter().map(|value| Ok((key(value)?, value.clone()))).collect::<Eval<Vec<_>>>()?;
    let mut problem = None;
    keyed.sort_by(|(a, _), (b, _)| {
        for (a, b) in a.iter().zip(b) {
            match py::compare(a, b) {
                Ok(Ordering::Equal) => {}
                Ok(ordering) => return if reverse { ordering.reverse() } else { ordering },
                Err(stop) => {
                    problem.get_or_insert(stop);
                    return Ordering::Equal;
                }
            }
        }
        Ordering::Equal
    });
    if let Some(stop) = problem {
        return Err(stop);
    }
    for (slot, (_, value)) in values.iter_mut().zip(keyed) {
        *slot = value;
    }
    Ok(())
}

/// How Jinja compares by default: strings without case.
pub fn folded(value: &Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value.clone(),
    }
}

fn sort(call: &mut Call<'_>) -> Eval<Value> {
    let reverse = call.flag("reverse", false)?;
    let case_sensitive = call.flag("case_sensitive", false)?;
    let paths: Vec<Value> = match call.value("attribute").filter(|path| !path.is_none()) {
        Some(path) => match path.as_str() {
            Some(text) => text.split(',').map(|part| Value::from(part.trim())).collect(),
            None => vec![path],
        },
        None => vec![],
    };
    let mut items = call.input_items()?;
    sort_by_keys(&mut items, reverse, |item| {
        if paths.is_empty() {
            return Ok(vec![folded(item, case_sensitive)]);
        }
        paths.iter().map(|path| Ok(folded(&need(attribute(item, path)?)?, case_sensitive))).collect()
    })?;
    Ok(Value::from(items))
}

fn extreme(call: &mut Call<'_>, wanted: Ordering) -> Eval<Value> {
    let case_sensitive = call.flag("case_sensitive", false)?;
    let path = call.value("attribute").filter(|path| !path.is_none());
    let key = |item: &Value| -> Eval<Value> {
        Ok(match &path {
            Some(path) => folded(&need(attribute(item, path)?)?, case_sensitive),
            None => folded(item, case_sensitive),
        })
    };
    let mut best: Option<(Value, Value)> = None;
    for item in call.input_items()? {
        let this = key(&item)?;
        match &best {
            Some((other, _)) if py::compare(&this, other)? != wanted => {}
            _ => best = Some((this, item)),
        }
    }
    match best {
        Some((_, item)) => Ok(item),
        None => edge(call, |_| None),
    }
}

fn sum(call: &mut Call<'_>) -> Eval<Value> {
    let path = call.value("attribute").filter(|path| !path.is_none());
    let mut total = call.value("start").unwrap_or_else(|| Value::from(0));
    for item in call.input_items()? {
        let value = match &path {
            Some(path) => need(attribute(&item, path)?)?,
            None => item,
        };
        total = py::math(Math::Add, &total, &value)?;
    }
    Ok(total)
}

/// What `groupby` yields: a pair that also has names.
#[derive(Debug)]
struct Group {
    grouper: Value,
    list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_usize(), key.as_str()) {
            (Some(0), _) | (_, Some("grouper")) => Some(self.grouper.clone()),
            (Some(1), _) | (_, Some("list")) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

fn group_by(call: &mut Call<'_>) -> Eval<Value> {
    let path = call.require("attribute")?;
    let default = call.value("default").filter(|value| !value.is_none());
    let case_sensitive = call.flag("case_sensitive", false)?;
    let key = |item: &Value| -> Eval<Value> {
        let value = attribute(item, &path)?;
        match &default {
            Some(default) if is_undefined(&value) => Ok(default.clone()),
            _ => need(value),
        }
    };
    let mut items = call.input_items()?;
    sort_by_keys(&mut items, false, |item| Ok(vec![folded(&key(item)?, case_sensitive)]))?;
    let mut groups: Vec<(Value, Vec<Value>)> = vec![];
    for item in items {
        let this = key(&item)?;
        match groups.last_mut() {
            Some((grouper, list)) if py::equal(&folded(grouper, case_sensitive), &folded(&this, case_sensitive))? => {
                list.push(item);
            }
            _ => groups.push((this, vec![item])),
        }
    }
    Ok(groups.into_iter().map(|(grouper, list)| Value::from_object(Group { grouper, list: list.into() })).collect())
}

fn join(call: &mut Call<'_>) -> Eval<Value> {
    let separator = call.text("d")?.unwrap_or_default();
    let path = call.value("attribute").filter(|path| !path.is_none());
    let mut texts = vec![];
    for item in call.input_items()? {
        let value = match &path {
            Some(path) => need(attribute(&item, path)?)?,
            None => item,
        };
        texts.push(py::text(&value)?);
    }
    Ok(Value::from(texts.join(&separator)))
}

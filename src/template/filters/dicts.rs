//! Filters on mappings.

use minijinja::value::Tuple;

use super::{Filter, all, parts};
use crate::template::call::Call;
use crate::template::filters::sequence::folded;
use crate::template::marker::{Eval, Stop, need};
use crate::template::py;
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    parts("combine", combine),
    parts("dict2items", to_items),
    parts("items2dict", from_items),
    parts("items", items),
    parts("dictsort", dictsort),
    all("rekey_on_member", rekey),
    parts("subelements", subelements),
];

fn entries(value: &Value, filter: &str) -> Eval<Vec<(Value, Value)>> {
    py::pairs(value).ok_or_else(|| Stop::error(format!("`{filter}` needs a mapping, not {}", py::described(value))))
}

fn pair(key: Value, value: Value) -> Value {
    Value::from(Tuple::from(vec![key, value]))
}

/// How two lists at the same key are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListMerge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendRp,
    PrependRp,
}

fn combine(call: &mut Call<'_>) -> Eval<Value> {
    let recursive = call.named("recursive").is_some_and(|value| value.is_true());
    let merge = match call.named("list_merge").map(|value| py::text(&value)).transpose()?.as_deref() {
        None | Some("replace") => ListMerge::Replace,
        Some("keep") => ListMerge::Keep,
        Some("append") => ListMerge::Append,
        Some("prepend") => ListMerge::Prepend,
        Some("append_rp") => ListMerge::AppendRp,
        Some("prepend_rp") => ListMerge::PrependRp,
        Some(other) => {
            let known = ["replace", "keep", "append", "prepend", "append_rp", "prepend_rp"];
            let error = crate::diagnostic::Diagnostic::error(format!("`list_merge` cannot be `{other}`"));
            return Err(Stop::Error(error.did_you_mean(other, known).into()));
        }
    };
    let mut terms = vec![];
    for term in std::iter::once(call.input.clone()).chain(std::mem::take(&mut call.args)) {
        if py::is_list(&term) { terms.extend(py::iterate(&term)?) } else { terms.push(term) }
    }
    let mut terms = terms.into_iter();
    let Some(mut result) = terms.next() else { return Ok(Value::from_pairs(Vec::<(Value, Value)>::new())) };
    for term in terms {
        result = merged(&need(result)?, &need(term)?, recursive, merge)?;
    }
    Ok(result)
}

fn merged(low: &Value, high: &Value, recursive: bool, merge: ListMerge) -> Eval<Value> {
    let mut out: indexmap::IndexMap<Value, Value> = entries(low, "combine")?.into_iter().collect();
    for (key, value) in entries(high, "combine")? {
        let mut value = value;
        if let Some(old) = out.get(&key) {
            if recursive && py::pairs(old).is_some() && py::pairs(&value).is_some() {
                value = merged(old, &value, recursive, merge)?;
            } else if py::is_list(old) && py::is_list(&value) {
                value = merged_lists(old, &value, merge)?;
            }
        }
        out.insert(key, value);
    }
    Ok(Value::from_object(out))
}

fn merged_lists(old: &Value, new: &Value, merge: ListMerge) -> Eval<Value> {
    let (old_items, new_items) = (py::iterate(old)?, py::iterate(new)?);
    let without = |items: &[Value], other: &[Value]| -> Eval<Vec<Value>> {
        let mut out = vec![];
        for item in items {
            let mut there = false;
            for other in other {
                there |= py::equal(item, other)?;
            }
            if !there {
                out.push(item.clone());
            }
        }
        Ok(out)
    };
    Ok(match merge {
        ListMerge::Replace => new.clone(),
        ListMerge::Keep => old.clone(),
        ListMerge::Append => old_items.into_iter().chain(new_items).collect(),
        ListMerge::Prepend => new_items.into_iter().chain(old_items).collect(),
        ListMerge::AppendRp => without(&old_items, &new_items)?.into_iter().chain(new_items).collect(),
        ListMerge::PrependRp => {
            let rest = without(&old_items, &new_items)?;
            new_items.into_iter().chain(rest).collect()
        }
    })
}

fn key_names(call: &mut Call<'_>) -> Eval<(String, String)> {
    let key = call.text("key_name")?.unwrap_or_else(|| "key".to_owned());
    let value = call.text("value_name")?.unwrap_or_else(|| "value".to_owned());
    Ok((key, value))
}

fn to_items(call: &mut Call<'_>) -> Eval<Value> {
    let (key_name, value_name) = key_names(call)?;
    let entries = entries(&call.input, "dict2items")?;
    Ok(entries
        .into_iter()
        .map(|(key, value)| Value::from_pairs([(key_name.as_str(), key), (value_name.as_str(), value)]))
        .collect())
}

fn from_items(call: &mut Call<'_>) -> Eval<Value> {
    // Not only names: items may be lists, whose parts have numbers.
    let key_name = call.value("key_name").unwrap_or_else(|| Value::from("key"));
    let value_name = call.value("value_name").unwrap_or_else(|| Value::from("value"));
    if !py::is_list(&call.input) {
        return Err(Stop::error(format!("`items2dict` needs a list, not {}", py::described(&call.input))));
    }
    let mut pairs = vec![];
    for item in call.input_items()? {
        let item = need(item)?;
        let missing = || Stop::error(format!("`items2dict` needs items that have `{key_name}` and `{value_name}`"));
        let get = |name: &Value| crate::template::eval::item(&item, name).ok_or_else(missing);
        pairs.push((need(get(&key_name)?)?, get(&value_name)?));
    }
    Ok(Value::from_pairs(pairs))
}

fn items(call: &mut Call<'_>) -> Eval<Value> {
    Ok(entries(&call.input, "items")?.into_iter().map(|(key, value)| pair(key, value)).collect())
}

fn dictsort(call: &mut Call<'_>) -> Eval<Value> {
    let case_sensitive = call.flag("case_sensitive", false)?;
    let by_value = match call.text("by")?.as_deref() {
        None | Some("key") => false,
        Some("value") => true,
        Some(other) => return Err(Stop::error(format!("`dictsort` sorts by `key` or `value`, not by `{other}`"))),
    };
    let reverse = call.flag("reverse", false)?;
    let mut entries = entries(&call.input, "dictsort")?;
    let mut problem = None;
    entries.sort_by(|a, b| {
        let (a, b) = if by_value { (&a.1, &b.1) } else { (&a.0, &b.0) };
        let ordering = py::compare(&folded(a, case_sensitive), &folded(b, case_sensitive)).unwrap_or_else(|stop| {
            problem.get_or_insert(stop);
            std::cmp::Ordering::Equal
        });
        if reverse { ordering.reverse() } else { ordering }
    });
    match problem {
        Some(stop) => Err(stop),
        None => Ok(entries.into_iter().map(|(key, value)| pair(key, value)).collect()),
    }
}

fn rekey(call: &mut Call<'_>) -> Eval<Value> {
    let member = call.require("key")?;
    let overwrite = match call.text("duplicates")?.as_deref() {
        None | Some("error") => false,
        Some("overwrite") => true,
        Some(other) => return Err(Stop::error(format!("`duplicates` is `error` or `overwrite`, not `{other}`"))),
    };
    let items = match py::pairs(&call.input) {
        Some(pairs) => pairs.into_iter().map(|(_, value)| value).collect(),
        None => call.input_items()?,
    };
    let mut out: indexmap::IndexMap<Value, Value> = indexmap::IndexMap::new();
    for item in items {
        entries(&item, "rekey_on_member")?;
        let key = item.get_item(&member)?;
        if key.is_undefined() {
            return Err(Stop::error(format!("an item has no key {}", py::repr(&member)?)));
        }
        if out.contains_key(&key) && !overwrite {
            return Err(Stop::error(format!("the key {} is there twice", py::repr(&key)?)));
        }
        out.insert(key, item);
    }
    Ok(Value::from_object(out))
}

fn subelements(call: &mut Call<'_>) -> Eval<Value> {
    let path = call.require("subelements")?;
    let skip_missing = call.flag("skip_missing", false)?;
    subelements_of(&call.input, &path, skip_missing)
}

/// Every item with each of its sub-items.
pub fn subelements_of(of: &Value, path: &Value, skip_missing: bool) -> Eval<Value> {
    let items = match py::pairs(of) {
        Some(pairs) => pairs.into_iter().map(|(_, value)| value).collect(),
        None if py::is_list(of) => py::iterate(of)?,
        None => return Err(Stop::error("`subelements` needs a list of mappings or a mapping of mappings")),
    };
    let steps: Vec<Value> = match path.as_str() {
        Some(path) => path.split('.').map(Value::from).collect(),
        None => py::iterate(path)?,
    };
    let mut out = vec![];
    for item in items {
        let mut value = need(item.clone())?;
        for step in &steps {
            let wrong = || Stop::error(format!("`subelements` looks for `{step}` in {}", py::described(&value)));
            py::pairs(&value).ok_or_else(wrong)?;
            let next = value.get_item(step)?;
            if next.is_undefined() {
                if !skip_missing {
                    return Err(Stop::hint(
                        format!("an item has no `{step}`"),
                        "`skip_missing=True` leaves such items out",
                    ));
                }
                value = Value::from(Vec::<Value>::new());
                break;
            }
            value = need(next)?;
        }
        if !py::is_list(&value) {
            return Err(Stop::error(format!("`{path}` must be a list, not {}", py::described(&value))));
        }
        for sub in py::iterate(&value)? {
            out.push(pair(item.clone(), sub));
        }
    }
    Ok(Value::from(out))
}

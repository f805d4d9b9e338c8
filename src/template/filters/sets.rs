//! Set theory on lists. Python's sets have no order; here items keep the order in which they appear first.

use super::{Filter, all, attribute};
use crate::template::call::Call;
use crate::template::filters::sequence::folded;
use crate::template::marker::{Eval, need};
use crate::template::py;
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    all("unique", unique),
    all("union", |call| combine(call, |_| true, true)),
    all("intersect", |call| combine(call, |in_other| in_other, false)),
    all("difference", |call| combine(call, |in_other| !in_other, false)),
    all("symmetric_difference", symmetric),
];

fn has(items: &[Value], item: &Value) -> Eval<bool> {
    for other in items {
        if py::equal(other, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unique(call: &mut Call<'_>) -> Eval<Value> {
    let case_sensitive = call.flag("case_sensitive", false)?;
    let path = call.value("attribute").filter(|path| !path.is_none());
    let (mut keys, mut out) = (vec![], vec![]);
    for item in call.input_items()? {
        let key = match &path {
            Some(path) => need(attribute(&item, path)?)?,
            None => item.clone(),
        };
        let key = folded(&key, case_sensitive);
        if !has(&keys, &key)? {
            keys.push(key);
            out.push(item);
        }
    }
    Ok(Value::from(out))
}

fn combine(call: &mut Call<'_>, keep: fn(bool) -> bool, add_other: bool) -> Eval<Value> {
    let left = call.input_items()?;
    let right = py::iterate(&call.require("b")?)?;
    let mut out: Vec<Value> = vec![];
    for item in &left {
        if keep(has(&right, item)?) && !has(&out, item)? {
            out.push(item.clone());
        }
    }
    for item in right.iter().filter(|_| add_other) {
        if !has(&out, item)? {
            out.push(item.clone());
        }
    }
    Ok(Value::from(out))
}

fn symmetric(call: &mut Call<'_>) -> Eval<Value> {
    let left = call.input_items()?;
    let right = py::iterate(&call.require("b")?)?;
    let mut out: Vec<Value> = vec![];
    for (items, others) in [(&left, &right), (&right, &left)] {
        for item in items {
            if !has(others, item)? && !has(&out, item)? {
                out.push(item.clone());
            }
        }
    }
    Ok(Value::from(out))
}

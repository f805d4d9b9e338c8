//! Tests on the results of tasks.

use minijinja::value::ValueKind;

use super::Run;
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py;
use crate::value::Value;

pub const TESTS: &[(&str, Run)] = &[
    ("failed", |call| field(call, "failed")),
    ("failure", |call| field(call, "failed")),
    ("success", |call| Ok(!field(call, "failed")?)),
    ("succeeded", |call| Ok(!field(call, "failed")?)),
    ("successful", |call| Ok(!field(call, "failed")?)),
    ("skipped", |call| field(call, "skipped")),
    ("skip", |call| field(call, "skipped")),
    ("unreachable", |call| field(call, "unreachable")),
    ("reachable", |call| Ok(!field(call, "unreachable")?)),
    ("changed", changed),
    ("change", changed),
    ("timedout", timed_out),
    ("finished", |call| of_async(call, "finished")),
    ("started", |call| of_async(call, "started")),
];

fn get(call: &Call<'_>, name: &str) -> Eval<Option<Value>> {
    if call.input.kind() != ValueKind::Map {
        let stop = format!("`{}` needs the result of a task, not {}", call.name, py::described(&call.input));
        return Err(Stop::hint(stop, "use the name that a task's `register` sets"));
    }
    let value = call.input.get_attr(name)?;
    Ok((!value.is_undefined()).then_some(value))
}

fn field(call: &mut Call<'_>, name: &str) -> Eval<bool> {
    get(call, name)?.map_or(Ok(false), |value| py::truth(&value))
}

/// With a loop it is the sum of the items.
fn changed(call: &mut Call<'_>) -> Eval<bool> {
    if let Some(value) = get(call, "changed")? {
        return py::truth(&value);
    }
    let Some(results) = get(call, "results")?.filter(py::is_list) else { return Ok(false) };
    for result in py::iterate(&results)? {
        if result.kind() == ValueKind::Map && py::truth(&result.get_attr("changed")?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn timed_out(call: &mut Call<'_>) -> Eval<bool> {
    let Some(value) = get(call, "timedout")? else { return Ok(false) };
    if !py::truth(&value)? || value.kind() != ValueKind::Map {
        return Ok(false);
    }
    py::truth(&value.get_attr("period")?)
}

/// A task that does not run in the background has started and finished.
fn of_async(call: &mut Call<'_>, name: &str) -> Eval<bool> {
    get(call, name)?.map_or(Ok(true), |value| py::truth(&value))
}

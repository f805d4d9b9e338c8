//! Filters, by family. Names and meaning are those of ansible-core 2.19 and Jinja 3.1; `ansible.builtin.` may stand
//! before the name.

mod collection;
mod comment;
mod dicts;
mod encode;
mod json;
mod math;
mod path;
mod regex;
mod sequence;
mod sets;
mod text;
mod url;
mod yaml;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::call::Call;
use super::lazy::{Context, settle};
use super::marker::{Eval, Stop, marker, need, trip};
use crate::diagnostic::Diagnostic;
use crate::value::{Value, unknown_inside};

pub use dicts::subelements_of;
pub use path::{expand_user, glob};
pub use regex::{compile as compile_regex, flags as regex_flags};
pub use sequence::sort_values;

/// How much of its input a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// All of it: everything in it must be defined and known.
    All,
    /// The list or mapping, not what is in it: parts may be undefined or unknown.
    Parts,
    /// Even something undefined (`default`).
    Anything,
}

/// What a filter does.
pub type Run = fn(&mut Call<'_>) -> Eval<Value>;

/// A filter.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    name: &'static str,
    takes: Takes,
    run: Run,
}

impl Filter {
    /// A filter with a name.
    pub const fn new(name: &'static str, takes: Takes, run: Run) -> Self {
        Self { name, takes, run }
    }
}

const fn all(name: &'static str, run: Run) -> Filter {
    Filter { name, takes: Takes::All, run }
}

const fn parts(name: &'static str, run: Run) -> Filter {
    Filter { name, takes: Takes::Parts, run }
}

const fn anything(name: &'static str, run: Run) -> Filter {
    Filter { name, takes: Takes::Anything, run }
}

const FAMILIES: &[&[Filter]] = &[
    collection::FILTERS,
    comment::FILTERS,
    dicts::FILTERS,
    encode::FILTERS,
    json::FILTERS,
    math::FILTERS,
    path::FILTERS,
    regex::FILTERS,
    sequence::FILTERS,
    sets::FILTERS,
    text::FILTERS,
    url::FILTERS,
    yaml::FILTERS,
    super::datetime::FILTERS,
    super::password::FILTERS,
];

/// The name without the collection it is in.
pub fn short(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name)
}

/// The filter with this name.
pub fn find(name: &str) -> Option<&'static Filter> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Filter>> = OnceLock::new();
    let filters = || FAMILIES.iter().flat_map(|family| family.iter());
    INDEX.get_or_init(|| filters().map(|filter| (filter.name, filter)).collect()).get(short(name)).copied()
}

/// The names of all filters.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = FAMILIES.iter().flat_map(|family| family.iter()).map(|filter| filter.name).collect();
    names.sort_unstable();
    names
}

/// What to say about a filter that does not exist.
pub fn unknown(name: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("there is no filter `{name}`"));
    let names = names();
    match short(name).rsplit('.').next().unwrap_or(name) {
        "json_query" => diagnostic.hint("use `map`, `selectattr` and `dict2items` instead of JMESPath"),
        "ipaddr" | "ipv4" | "ipv6" | "ipwrap" => diagnostic.hint("mms has no network address filters"),
        last => diagnostic.did_you_mean(last, names.iter().copied()),
    }
}

/// Applies a filter by name.
pub fn apply(
    context: &Arc<Context>,
    name: &str,
    input: Value,
    args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
) -> Eval<Value> {
    let Some(filter) = find(name) else { return Err(Stop::Error(unknown(name).into())) };
    let admit = |value: Value| -> Eval<Value> {
        match filter.takes {
            Takes::Anything => Ok(value),
            Takes::Parts => need(value),
            Takes::All => {
                let value = settle(need(value)?)?;
                match unknown_inside(&value) {
                    Some(why) => Err(Stop::Unknown(why)),
                    None => Ok(value),
                }
            }
        }
    };
    let input = admit(input)?;
    let args = args.into_iter().map(admit).collect::<Eval<Vec<_>>>()?;
    let kwargs = kwargs.into_iter().map(|(key, value)| Ok((key, admit(value)?))).collect::<Eval<Vec<_>>>()?;
    let mut call = Call::new(context, filter.name, input, args, kwargs);
    let result = (filter.run)(&mut call)?;
    call.end()?;
    Ok(result)
}

/// An attribute path (`a.b.0`) of a value; something undefined when it is not there.
fn attribute(of: &Value, path: &Value) -> Eval<Value> {
    let steps: Vec<Value> = match path.as_str() {
        Some(path) => {
            path.split('.').map(|step| step.parse::<i64>().map_or_else(|_| Value::from(step), Value::from)).collect()
        }
        None => vec![path.clone()],
    };
    let mut value = of.clone();
    for step in &steps {
        if trip(&value).is_some() {
            return Ok(value);
        }
        value = match super::eval::item(&value, step) {
            Some(value) => value,
            None => return missing(&value, step, path),
        };
    }
    Ok(value)
}

fn missing(of: &Value, step: &Value, path: &Value) -> Eval<Value> {
    use super::marker::{Undefined, Why};
    let known = match super::py::pairs(of) {
        Some(pairs) => pairs.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect(),
        None => vec![],
    };
    Ok(Undefined {
        written: super::py::text(path)?,
        name: super::py::text(step)?,
        span: None,
        why: Why::Attribute { holder: super::py::described(of), known },
    }
    .into_value())
}

/// Whether the value is the marker of a mistake (not of something undefined).
fn failed(value: &Value) -> Option<Stop> {
    match marker(value) {
        Some(super::marker::Marker::Failed(error)) => Some(Stop::Error(error.clone())),
        _ => None,
    }
}

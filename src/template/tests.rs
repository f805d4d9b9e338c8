//! Tests (`x is defined`). Names and meaning are those of ansible-core 2.19 and Jinja 3.1.

mod results;
mod versions;

use std::path::Path;
use std::sync::Arc;

use minijinja::value::ValueKind;

use super::call::Call;
use super::filters::{self, short};
use super::lazy::{Context, settle};
use super::marker::{Eval, Stop, is_undefined, marker, need};
use super::py;
use crate::diagnostic::Diagnostic;
use crate::value::{Value, unknown_inside, unknown_why};

type Run = fn(&mut Call<'_>) -> Eval<bool>;

/// The tests that look at a list or mapping without looking at all that is in it.
const SHALLOW: &[&str] = &[
    "string",
    "number",
    "mapping",
    "sequence",
    "iterable",
    "boolean",
    "none",
    "true",
    "false",
    "integer",
    "float",
    "changed",
    "change",
    "failed",
    "failure",
    "success",
    "succeeded",
    "successful",
    "skipped",
    "skip",
    "unreachable",
    "reachable",
    "finished",
    "started",
    "timedout",
    "truthy",
    "falsy",
    "callable",
];

const TESTS: &[(&str, Run)] = &[
    ("defined", |call| Ok(!is_undefined(&call.input))),
    ("undefined", |call| Ok(is_undefined(&call.input))),
    ("none", |call| Ok(call.input.is_none())),
    ("boolean", |call| Ok(call.input.kind() == ValueKind::Bool)),
    ("true", |call| Ok(call.input.kind() == ValueKind::Bool && call.input.is_true())),
    ("false", |call| Ok(call.input.kind() == ValueKind::Bool && !call.input.is_true())),
    ("integer", |call| Ok(call.input.is_integer())),
    ("float", |call| Ok(call.input.is_number() && !call.input.is_integer())),
    ("number", |call| Ok(py::number(&call.input).is_some())),
    ("string", |call| Ok(call.input.kind() == ValueKind::String)),
    ("mapping", |call| Ok(call.input.kind() == ValueKind::Map)),
    ("sequence", |call| Ok(is_sequence(&call.input))),
    ("iterable", |call| Ok(is_sequence(&call.input))),
    ("callable", |call| Ok(super::functions::is_code_value(&call.input))),
    ("lower", |call| Ok(cased(call)?.0)),
    ("upper", |call| Ok(cased(call)?.1)),
    ("even", |call| Ok(whole(call)?.rem_euclid(2) == 0)),
    ("odd", |call| Ok(whole(call)?.rem_euclid(2) == 1)),
    ("divisibleby", divisible),
    ("sameas", |call| {
        let other = call.require("other")?;
        Ok(call.input.kind() == other.kind() && call.input == other)
    }),
    ("in", |call| {
        let container = call.require("seq")?;
        py::contains(&container, &call.input)
    }),
    ("contains", |call| {
        let item = call.require("item")?;
        py::contains(&call.input, &item)
    }),
    ("eq", |call| compare(call, py::equal)),
    ("==", |call| compare(call, py::equal)),
    ("equalto", |call| compare(call, py::equal)),
    ("ne", |call| compare(call, |left, right| Ok(!py::equal(left, right)?))),
    ("!=", |call| compare(call, |left, right| Ok(!py::equal(left, right)?))),
    ("lt", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_lt()))),
    ("<", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_lt()))),
    ("lessthan", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_lt()))),
    ("le", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_le()))),
    ("<=", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_le()))),
    ("gt", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_gt()))),
    (">", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_gt()))),
    ("greaterthan", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_gt()))),
    ("ge", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_ge()))),
    (">=", |call| compare(call, |left, right| Ok(py::compare(left, right)?.is_ge()))),
    ("filter", |call| Ok(filters::find(&call.input_text()?).is_some())),
    ("test", |call| Ok(find(&call.input_text()?).is_some())),
    ("truthy", |call| truthy(call)),
    ("falsy", |call| Ok(!truthy(call)?)),
    ("all", |call| quantified(call, true)),
    ("any", |call| quantified(call, false)),
    ("subset", |call| subset(call, false)),
    ("issubset", |call| subset(call, false)),
    ("superset", |call| subset(call, true)),
    ("issuperset", |call| subset(call, true)),
    ("nan", is_nan),
    ("isnan", is_nan),
    ("match", |call| regex(call, Some("match"))),
    ("search", |call| regex(call, Some("search"))),
    ("regex", |call| regex(call, None)),
    ("exists", |call| Ok(Path::new(&call.input_text()?).exists())),
    ("link_exists", |call| Ok(Path::new(&call.input_text()?).symlink_metadata().is_ok())),
    ("file", |call| Ok(Path::new(&call.input_text()?).is_file())),
    ("is_file", |call| Ok(Path::new(&call.input_text()?).is_file())),
    ("directory", |call| Ok(Path::new(&call.input_text()?).is_dir())),
    ("is_dir", |call| Ok(Path::new(&call.input_text()?).is_dir())),
    ("link", |call| Ok(Path::new(&call.input_text()?).is_symlink())),
    ("is_link", |call| Ok(Path::new(&call.input_text()?).is_symlink())),
    ("abs", |call| Ok(call.input_text()?.starts_with('/'))),
    ("is_abs", |call| Ok(call.input_text()?.starts_with('/'))),
    ("mount", is_mount),
    ("is_mount", is_mount),
    ("same_file", same_file),
    ("is_same_file", same_file),
    ("uri", |call| uri(call, Scheme::Any)),
    ("url", |call| uri(call, Scheme::Url)),
    ("urn", |call| uri(call, Scheme::Urn)),
    // By the time a template sees it, a secret is decrypted.
    ("vault_encrypted", |call| Ok(call.input.as_str().is_some_and(|text| text.starts_with("$ANSIBLE_VAULT;")))),
];

/// The test with this name.
pub fn find(name: &str) -> Option<Run> {
    let name = short(name);
    [TESTS, results::TESTS, versions::TESTS]
        .iter()
        .flat_map(|family| family.iter())
        .find(|(known, _)| *known == name)
        .map(|(_, run)| *run)
}

/// The names of all tests.
pub fn names() -> Vec<&'static str> {
    let families = [TESTS, results::TESTS, versions::TESTS];
    let mut names: Vec<_> = families.iter().flat_map(|family| family.iter()).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

/// What to say about a test that does not exist.
pub fn unknown(name: &str) -> Diagnostic {
    let names = names();
    Diagnostic::error(format!("there is no test `{name}`")).did_you_mean(short(name), names.iter().copied())
}

/// Runs a test by name.
pub fn check(
    context: &Arc<Context>,
    name: &str,
    input: Value,
    args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
) -> Eval<bool> {
    let Some(run) = find(name) else { return Err(Stop::Error(unknown(name).into())) };
    let bare = short(name);
    let about_definition = matches!(bare, "defined" | "undefined");
    let admit = |value: Value| -> Eval<Value> {
        let value = need(value)?;
        if SHALLOW.contains(&bare) {
            return Ok(value);
        }
        let value = settle(value)?;
        match unknown_inside(&value) {
            Some(why) => Err(Stop::Unknown(why)),
            None => Ok(value),
        }
    };
    let input = match about_definition {
        // Something unknown will be there, so it is defined; a template with a mistake is a mistake.
        true if unknown_why(&input).is_some() || is_undefined(&input) || marker(&input).is_none() => input,
        _ => admit(input)?,
    };
    let args = args.into_iter().map(admit).collect::<Eval<Vec<_>>>()?;
    let kwargs = kwargs.into_iter().map(|(key, value)| Ok((key, admit(value)?))).collect::<Eval<Vec<_>>>()?;
    let mut call = Call::new(context, bare, input, args, kwargs);
    let holds = run(&mut call)?;
    call.end()?;
    Ok(holds)
}

fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::String)
}

fn cased(call: &Call<'_>) -> Eval<(bool, bool)> {
    let text = call.input_text()?;
    let (lower, upper) = (text.chars().any(char::is_lowercase), text.chars().any(char::is_uppercase));
    Ok((lower && !upper, upper && !lower))
}

fn whole(call: &Call<'_>) -> Eval<i64> {
    let wrong = || Stop::error(format!("`{}` needs a whole number, not {}", call.name, py::described(&call.input)));
    call.input.as_i64().ok_or_else(wrong)
}

fn divisible(call: &mut Call<'_>) -> Eval<bool> {
    let by = call.integer("num")?.filter(|by| *by != 0);
    let by = by.ok_or_else(|| Stop::error("`divisibleby` needs a number that is not 0"))?;
    Ok(whole(call)? % by == 0)
}

fn compare(call: &mut Call<'_>, holds: fn(&Value, &Value) -> Eval<bool>) -> Eval<bool> {
    let other = call.require("other")?;
    holds(&call.input, &other)
}

fn truthy(call: &mut Call<'_>) -> Eval<bool> {
    if call.flag("convert_bool", false)? {
        let word = call.input.as_str().map(|text| text.trim().to_lowercase());
        match word.as_deref() {
            Some("y" | "yes" | "on" | "1" | "true" | "t" | "1.0") => return Ok(true),
            Some("n" | "no" | "off" | "0" | "false" | "f" | "0.0") => return Ok(false),
            _ => {}
        }
    }
    py::truth(&call.input)
}

fn quantified(call: &mut Call<'_>, all: bool) -> Eval<bool> {
    for item in call.input_items()? {
        if py::truth(&item)? != all {
            return Ok(!all);
        }
    }
    Ok(all)
}

fn subset(call: &mut Call<'_>, reversed: bool) -> Eval<bool> {
    let other = call.require("other")?;
    let (small, large) = if reversed { (&other, &call.input) } else { (&call.input, &other) };
    for item in py::iterate(small)? {
        if !py::contains(&Value::from(py::iterate(large)?), &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_nan(call: &mut Call<'_>) -> Eval<bool> {
    Ok(py::number(&call.input).is_some_and(|number| number.float().is_nan()))
}

fn regex(call: &mut Call<'_>, kind: Option<&str>) -> Eval<bool> {
    let pattern = call.text("pattern")?.unwrap_or_default();
    let (ignore_case, multiline) = filters::regex_flags(call, false)?;
    let given = if kind.is_none() { call.text("match_type")? } else { None };
    // `match` is bound to the start of the text only, as in Python.
    let pattern = match kind.or(given.as_deref()) {
        Some("match") => format!("\\A(?:{pattern})"),
        Some("fullmatch") => format!("\\A(?:{pattern})\\Z"),
        _ => pattern,
    };
    let regex = filters::compile_regex(&pattern, ignore_case, multiline)?;
    let text = call.input_text()?;
    regex.is_match(&text).map_err(|error| Stop::error(format!("the regular expression fails: {error}")))
}

fn is_mount(call: &mut Call<'_>) -> Eval<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let path = call.input_text()?;
    let (here, above) = (Path::new(&path).symlink_metadata(), Path::new(&path).join("..").metadata());
    let (Ok(here), Ok(above)) = (here, above) else { return Ok(false) };
    Ok(!here.is_symlink() && (here.dev() != above.dev() || here.ino() == above.ino()))
}

fn same_file(call: &mut Call<'_>) -> Eval<bool> {
    let other = call.require_text("path")?;
    let path = call.input_text()?;
    match (Path::new(&path).canonicalize(), Path::new(&other).canonicalize()) {
        (Ok(a), Ok(b)) => Ok(a == b),
        _ => Err(Stop::error(format!("`{path}` and `{other}` must both exist to be compared"))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Any,
    Url,
    Urn,
}

fn uri(call: &mut Call<'_>, kind: Scheme) -> Eval<bool> {
    let schemes = match call.value("schemes") {
        Some(schemes) if !schemes.is_none() => py::iterate(&schemes)?.iter().map(py::text).collect::<Eval<Vec<_>>>()?,
        _ => vec![],
    };
    let Some(text) = call.input.as_str() else { return Ok(false) };
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let scheme = if well_formed { scheme.to_lowercase() } else { String::new() };
    if !schemes.is_empty() && !schemes.contains(&scheme) {
        return Ok(false);
    }
    let netloc = rest.strip_prefix("//").filter(|_| well_formed).and_then(|rest| rest.split(['/', '?', '#']).next());
    Ok(match kind {
        // Ansible takes every text for a URI, relative ones included.
        Scheme::Any => true,
        Scheme::Url => netloc.is_some_and(|netloc| !netloc.is_empty()) || scheme == "file",
        Scheme::Urn => scheme == "urn",
    })
}

//! Regular expressions in Python's syntax, run by fancy-regex.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use fancy_regex::{Captures, Regex};
use minijinja::value::Tuple;

use super::{Filter, all};
use crate::sync::lock;
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py;
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    all("regex_replace", replace),
    all("regex_search", search),
    all("regex_findall", find_all),
    all("regex_escape", escape),
];

/// Reads the `ignorecase` and `multiline` arguments in the order of the signature.
pub fn flags(call: &mut Call<'_>, multiline_first: bool) -> Eval<(bool, bool)> {
    if multiline_first {
        let multiline = call.flag("multiline", false)?;
        return Ok((call.flag("ignorecase", false)?, multiline));
    }
    Ok((call.flag("ignorecase", false)?, call.flag("multiline", false)?))
}

/// A pattern, compiled once.
pub fn compile(pattern: &str, ignore_case: bool, multiline: bool) -> Eval<Arc<Regex>> {
    static CACHE: OnceLock<Mutex<HashMap<String, Arc<Regex>>>> = OnceLock::new();
    let flags = match (ignore_case, multiline) {
        (false, false) => "",
        (true, false) => "(?i)",
        (false, true) => "(?m)",
        (true, true) => "(?im)",
    };
    let text = format!("{flags}{}", translate(pattern, multiline));
    let cache = CACHE.get_or_init(Mutex::default);
    if let Some(regex) = lock(cache).get(&text) {
        return Ok(Arc::clone(regex));
    }
    let regex =
        Regex::new(&text).map_err(|error| Stop::error(format!("`{pattern}` is not a regular expression: {error}")))?;
    let regex = Arc::new(regex);
    lock(cache).insert(text, Arc::clone(&regex));
    Ok(regex)
}

/// Python's syntax where it differs: `\Z`, and `$`, which also matches before a newline at the end.
fn translate(pattern: &str, multiline: bool) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Z') => out.push_str("\\z"),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            },
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                if let Some(caret) = chars.next_if_eq(&'^') {
                    out.push(caret);
                }
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            // Rust's classes have operators that Python's have not.
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '$' if !in_class && !multiline => out.push_str("(?=\\n?\\z)"),
            c => out.push(c),
        }
    }
    out
}

fn failed(error: &fancy_regex::Error) -> Stop {
    Stop::error(format!("the regular expression fails: {error}"))
}

/// The replacement's groups: `\1`, `\g<1>`, `\g<name>`, `\\` and `\n`.
fn expand(template: &str, captures: &Captures<'_>) -> Eval<String> {
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    let group = |name: &str| -> Eval<String> {
        let found = match name.parse::<usize>() {
            Ok(index) if index < captures.len() => captures.get(index),
            Ok(_) => return Err(Stop::error(format!("the replacement names the group {name}, which is not there"))),
            Err(_) => captures.name(name),
        };
        Ok(found.map_or_else(String::new, |found| found.as_str().to_owned()))
    };
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('g') if chars.next_if_eq(&'<').is_some() => {
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                out.push_str(&group(&name)?);
            }
            Some(digit) if digit.is_ascii_digit() => {
                let mut name = digit.to_string();
                if let Some(second) = chars.next_if(char::is_ascii_digit) {
                    name.push(second);
                }
                out.push_str(&group(&name)?);
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    Ok(out)
}

fn replace(call: &mut Call<'_>) -> Eval<Value> {
    let pattern = call.text("pattern")?.unwrap_or_default();
    let replacement = call.text("replacement")?.unwrap_or_default();
    let (ignore_case, multiline) = flags(call, false)?;
    let limit = call.count("count")?.filter(|count| *count > 0).unwrap_or(usize::MAX);
    let mandatory = call.count("mandatory_count")?.filter(|count| *count > 0);
    let regex = compile(&pattern, ignore_case, multiline)?;
    let text = call.input_text()?;
    let mut out = String::new();
    let (mut last, mut count) = (0, 0);
    for captures in regex.captures_iter(&text) {
        if count >= limit {
            break;
        }
        let captures = captures.map_err(|error| failed(&error))?;
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(text.get(last..whole.start()).unwrap_or_default());
        out.push_str(&expand(&replacement, &captures)?);
        last = whole.end();
        count += 1;
    }
    if let Some(mandatory) = mandatory.filter(|mandatory| *mandatory != count) {
        return Err(Stop::error(format!("`{pattern}` should match {mandatory} times, but matches {count} times")));
    }
    out.push_str(text.get(last..).unwrap_or_default());
    Ok(Value::from(out))
}

fn search(call: &mut Call<'_>) -> Eval<Value> {
    let pattern = call.require_text("regex")?;
    let mut groups = vec![];
    while let Some(group) = call.args.pop_front() {
        let group = py::text(&group)?;
        let name = match group.strip_prefix("\\g<").and_then(|rest| rest.strip_suffix('>')) {
            Some(name) => name,
            None => group.strip_prefix('\\').ok_or_else(|| {
                Stop::hint(format!("`{group}` does not name a group"), "write `\\\\1` or `\\\\g<name>`")
            })?,
        };
        groups.push(name.to_owned());
    }
    let (ignore_case, multiline) = flags(call, false)?;
    let regex = compile(&pattern, ignore_case, multiline)?;
    let text = call.input_text()?;
    let Some(captures) = regex.captures(&text).map_err(|error| failed(&error))? else { return Ok(Value::from(())) };
    if groups.is_empty() {
        return Ok(captures.get(0).map_or_else(|| Value::from(()), |found| Value::from(found.as_str())));
    }
    let mut out = vec![];
    for group in &groups {
        let known = regex.capture_names().flatten().any(|name| name == group);
        let found = match group.parse::<usize>() {
            Ok(index) if index < captures.len() => captures.get(index),
            Err(_) if known => captures.name(group),
            _ => return Err(Stop::error(format!("the regular expression has no group `{group}`"))),
        };
        out.push(found.map_or_else(|| Value::from(()), |found| Value::from(found.as_str())));
    }
    Ok(Value::from(out))
}

fn find_all(call: &mut Call<'_>) -> Eval<Value> {
    let pattern = call.require_text("regex")?;
    let (ignore_case, multiline) = flags(call, true)?;
    let regex = compile(&pattern, ignore_case, multiline)?;
    let text = call.input_text()?;
    let mut out = vec![];
    for captures in regex.captures_iter(&text) {
        let captures = captures.map_err(|error| failed(&error))?;
        let group = |index: usize| Value::from(captures.get(index).map_or("", |found| found.as_str()));
        out.push(match captures.len() {
            1 => group(0),
            2 => group(1),
            len => Value::from(Tuple::from((1..len).map(group).collect::<Vec<_>>())),
        });
    }
    Ok(Value::from(out))
}

fn escape(call: &mut Call<'_>) -> Eval<Value> {
    let special = match call.text("re_type")?.as_deref() {
        None | Some("python") => "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}",
        Some("posix_basic") => "].[^$*\\",
        Some(other) => return Err(Stop::error(format!("`{other}` is not a kind of regular expression"))),
    };
    let mut out = String::new();
    for c in call.input_text()?.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(Value::from(out))
}

//! Lookups: values from variables, the environment and files of this machine.

mod data;
mod files;

use super::call::Call;
use super::filters::short;
use super::marker::{Eval, Stop, need, trip};
use super::py;
use crate::diagnostic::Diagnostic;
use crate::value::Value;

/// What a lookup is given.
pub struct Lookup<'c, 'a> {
    call: &'c mut Call<'a>,
    /// The terms, one or many.
    terms: Vec<Value>,
}

type Run = fn(&mut Lookup<'_, '_>) -> Eval<Vec<Value>>;

const LOOKUPS: &[(&str, Run)] = &[
    ("dict", data::dict),
    ("env", data::env),
    ("file", files::file),
    ("fileglob", files::fileglob),
    ("first_found", files::first_found),
    ("indexed_items", data::indexed_items),
    ("items", data::items),
    ("lines", files::lines),
    ("list", data::list),
    ("nested", data::nested),
    ("password", files::password),
    ("pipe", files::pipe),
    ("random_choice", data::random_choice),
    ("sequence", data::sequence),
    ("subelements", data::subelements),
    ("template", files::template),
    ("together", data::together),
    ("varnames", data::varnames),
    ("vars", data::vars),
];

/// Whether there is a lookup with this name.
pub fn exists(name: &str) -> bool {
    LOOKUPS.iter().any(|(known, _)| *known == short(name))
}

/// The names of all lookups.
pub fn names() -> Vec<&'static str> {
    LOOKUPS.iter().map(|(name, _)| *name).collect()
}

/// What to say about a lookup that does not exist.
pub fn unknown(name: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("there is no lookup `{name}`"));
    match short(name) {
        "url" => diagnostic.hint("fetch it in a task with the `uri` module"),
        "ini" | "csvfile" | "config" | "unvault" | "inventory_hostnames" => diagnostic.hint("mms does not support it"),
        name if name.contains('.') => diagnostic.hint("mms supports the lookups of `ansible.builtin`"),
        name => diagnostic.did_you_mean(name, names()),
    }
}

/// `query(…)`: always a list.
pub fn query(call: &mut Call<'_>) -> Eval<Value> {
    call.kwargs.retain(|(name, _)| name != "wantlist");
    call.kwargs.push(("wantlist".to_owned(), Value::from(true)));
    lookup(call)
}

/// `lookup(…)`: one value as it is, several texts joined by commas.
pub fn lookup(call: &mut Call<'_>) -> Eval<Value> {
    let name = py::text(&need(call.require("name")?)?)?;
    let Some((_, run)) = LOOKUPS.iter().find(|(known, _)| *known == short(&name)) else {
        return Err(Stop::Error(unknown(&name).into()));
    };
    if matches!(short(&name), "lines" | "password" | "pipe") && call.context.scope.is_speculative() {
        return Err(Stop::error(format!("the lookup `{name}` is not run in a look ahead")));
    }
    let want_list = call.named("wantlist").is_some_and(|value| value.is_true());
    let errors = call.named("errors").map(|value| py::text(&value)).transpose()?;
    let lenient = matches!(errors.as_deref(), Some("ignore" | "warn"));
    let accepts_undefined = matches!(short(&name), "first_found" | "env");
    let terms: Vec<Value> = call.args.drain(..).collect();
    if let Some(stop) = terms.iter().filter(|_| !accepts_undefined).find_map(trip) {
        return Err(stop);
    }
    if let Some(stop) = call.kwargs.iter().filter(|_| !accepts_undefined).find_map(|(_, value)| trip(value)) {
        return Err(stop);
    }
    let mut lookup = Lookup { call, terms };
    let found = run(&mut lookup).and_then(|found| lookup.call.end().map(|()| found));
    let found = match found {
        Ok(found) => found,
        Err(Stop::Error(_)) if lenient => {
            return Ok(if want_list { Value::from(Vec::<Value>::new()) } else { Value::from(()) });
        }
        Err(stop) => return Err(stop),
    };
    if want_list {
        return Ok(Value::from(found));
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Ok(Value::from(found)),
        many => match many.iter().map(|value| Some(value.as_str()?.to_owned())).collect::<Option<Vec<String>>>() {
            Some(texts) => Ok(Value::from(texts.join(","))),
            None => Ok(Value::from(found)),
        },
    }
}

impl Lookup<'_, '_> {
    /// The terms, with lists among them opened.
    fn flat_terms(&self) -> Eval<Vec<Value>> {
        let mut out = vec![];
        for term in &self.terms {
            if py::is_list(term) { out.extend(py::iterate(term)?) } else { out.push(need(term.clone())?) }
        }
        Ok(out)
    }

    fn texts(&self) -> Eval<Vec<String>> {
        self.flat_terms()?.iter().map(py::text).collect()
    }

    fn flag(&mut self, name: &str, default: bool) -> Eval<bool> {
        self.call.named(name).map_or(Ok(default), |value| py::truth(&value))
    }
}

//! A task's arguments against its module's [`Spec`]: aliases, unknown names, required ones, types, choices, defaults and rules,
//! in the order and with the meaning of ansible-core's argument specification.
//!
//! [`names`] is the part that can be checked before any host is asked; [`args`] makes the [`Args`] that modules see;
//! [`free_form`] reads tasks written as `module: key=value`.

mod coerce;
mod kv;

use super::{Args, Default, Failure, FreeForm, Opt, Rule, Spec, Type};
use crate::diagnostic::{Diagnostic, nearest};
use crate::value::{Fields, Value, is_omit};

pub use coerce::{boolean, coerce, python_text};
pub use kv::{free_form, parse_kv};

/// One thing that is wrong with a task's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgProblem {
    /// The argument it is about, as the user wrote it; nothing when one is missing.
    pub argument: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Whether it is about how arguments go together, so that it may vanish when one of them is omitted.
    pub by_rule: bool,
}

impl ArgProblem {
    fn new(argument: Option<&str>, message: impl Into<String>) -> Self {
        Self { argument: argument.map(str::to_owned), message: message.into(), hints: vec![], by_rule: false }
    }

    fn by_rule(argument: Option<&str>, message: impl Into<String>) -> Self {
        Self { by_rule: true, ..Self::new(argument, message) }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// As a diagnostic, for a check before anything is run.
    pub fn diagnostic(&self) -> Diagnostic {
        self.hints.iter().fold(Diagnostic::error(&self.message), |diagnostic, hint| diagnostic.hint(hint))
    }
}

/// The failure of a task whose arguments are wrong.
pub fn failure(problems: &[ArgProblem]) -> Failure {
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    problems.iter().flat_map(|problem| &problem.hints).fold(Failure::new(messages.join("; ")), Failure::hint)
}

/// What is wrong with the names of arguments: those the module does not have, and two names of the same one.
pub fn names<'a>(spec: &Spec, keys: impl IntoIterator<Item = &'a str>) -> Vec<ArgProblem> {
    if spec.free_form == FreeForm::Any {
        return vec![];
    }
    let known = || spec.options.iter().flat_map(|opt| std::iter::once(opt.name).chain(opt.aliases.iter().copied()));
    keys.into_iter()
        .filter(|key| option(spec, key).is_none())
        .map(|key| {
            let problem = ArgProblem::new(Some(key), format!("`{}` has no argument `{key}`", spec.name));
            match nearest(key, known()) {
                Some(name) => problem.hint(format!("did you mean `{name}`?")),
                None if spec.options.is_empty() => problem.hint("it takes no arguments"),
                None => {
                    let names: Vec<_> = spec.options.iter().map(|opt| opt.name).collect();
                    problem.hint(format!("it has {}", names.join(", ")))
                }
            }
        })
        .collect()
}

/// The option that a name or alias stands for. `_raw_params` is the one that takes free-form text.
pub fn option<'a>(spec: &'a Spec, name: &str) -> Option<&'a Opt> {
    let by_name = |name: &str| spec.options.iter().find(|opt| opt.name == name || opt.aliases.contains(&name));
    by_name(name).or_else(|| match spec.free_form {
        FreeForm::Option(raw) | FreeForm::Verbatim(raw) if name == "_raw_params" => by_name(raw),
        _ => None,
    })
}

/// The arguments a module sees, from templated values: omitted ones are dropped, aliases resolved, types coerced, defaults
/// filled in. Unknown values stay as they are. Everything that is wrong is reported at once.
pub fn args(spec: &Spec, given: Fields) -> Result<Args, Vec<ArgProblem>> {
    let mut given = given;
    given.retain(|_, value| !is_omit(value));
    if spec.free_form == FreeForm::Any {
        return Ok(Args::new(given));
    }
    let mut problems = names(spec, given.keys().map(String::as_str));
    let mut named: Fields = Fields::new();
    for (key, value) in given {
        if let Some(opt) = option(spec, &key) {
            // Of two names of one option Ansible takes the alias.
            if key != opt.name || !named.contains_key(opt.name) {
                named.insert(opt.name.to_owned(), value);
            }
        }
    }
    problems.extend(spec.rules.iter().filter_map(|rule| exclusive(rule, &named)));
    let missing: Vec<_> = spec
        .options
        .iter()
        .filter(|opt| opt.default == Default::Required && !named.contains_key(opt.name))
        .map(|opt| opt.name)
        .collect();
    if !missing.is_empty() {
        problems.push(ArgProblem::new(None, format!("missing required arguments: {}", missing.join(", "))));
    }
    let mut fields = Fields::new();
    for opt in spec.options {
        let value = match named.shift_remove(opt.name) {
            None => default(opt),
            // A null means "not given", except where there must be a value.
            Some(value) if value.is_none() && opt.default == Default::None => None,
            Some(value) => match checked(opt, value) {
                Ok(value) => Some(value),
                Err(problem) => {
                    problems.push(problem);
                    None
                }
            },
        };
        if let Some(value) = value {
            fields.insert(opt.name.to_owned(), value);
        }
    }
    if problems.is_empty() {
        problems.extend(spec.rules.iter().filter_map(|rule| broken(rule, &fields)));
    }
    if problems.is_empty() { Ok(Args::new(fields)) } else { Err(problems) }
}

fn default(opt: &Opt) -> Option<Value> {
    match opt.default {
        Default::None | Default::Required => None,
        Default::Str(text) => Some(text.into()),
        Default::Bool(value) => Some(value.into()),
        Default::Int(value) => Some(value.into()),
        Default::EmptyList => Some(Value::from(Vec::<Value>::new())),
        Default::EmptyDict => Some(crate::value::from_fields(&Fields::new())),
    }
}

/// The value coerced to the option's type and checked against its choices.
fn checked(opt: &Opt, value: Value) -> Result<Value, ArgProblem> {
    if crate::value::unknown_inside(&value).is_some() {
        return Ok(value);
    }
    let value = coerce(opt.kind, value)
        .map_err(|why| ArgProblem::new(Some(opt.name), format!("argument `{}`: {why}", opt.name)))?;
    if opt.choices.is_empty() {
        return Ok(value);
    }
    let choose = |value: &Value| {
        choice(opt, &python_text(value)).ok_or_else(|| {
            let written = python_text(value);
            let message = format!("value of `{}` must be one of: {}, got: {written}", opt.name, opt.choices.join(", "));
            let problem = ArgProblem::new(Some(opt.name), message);
            match nearest(&written, opt.choices.iter().copied()) {
                Some(name) => problem.hint(format!("did you mean `{name}`?")),
                None => problem,
            }
        })
    };
    match opt.kind {
        Type::StrList | Type::List => {
            let items = value.try_iter().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
            Ok(items.iter().map(choose).collect::<Result<Vec<_>, _>>()?.into_iter().map(Value::from).collect())
        }
        Type::Str => Ok(choose(&value)?.into()),
        _ => choose(&value).map(|_| value),
    }
}

/// The choice that a text stands for. YAML reads `yes` and `no` as booleans: if exactly one choice is a spelling of that
/// boolean, it is meant.
fn choice(opt: &Opt, text: &str) -> Option<&'static str> {
    if let Some(exact) = opt.choices.iter().find(|choice| **choice == text) {
        return Some(exact);
    }
    let spellings: &[&str] = match text {
        "True" => &["y", "yes", "on", "1", "true", "t"],
        "False" => &["n", "no", "off", "0", "false", "f"],
        _ => return None,
    };
    let mut matching = opt.choices.iter().filter(|choice| spellings.contains(choice));
    matching.next().filter(|_| matching.next().is_none()).copied()
}

/// Rules that look at what was written, before defaults.
fn exclusive(rule: &Rule, given: &Fields) -> Option<ArgProblem> {
    let Rule::Exclusive(options) = rule else { return None };
    let present: Vec<_> = options.iter().filter(|name| given.contains_key(**name)).copied().collect();
    (present.len() > 1).then(|| {
        ArgProblem::by_rule(Some(present[1]), format!("parameters are mutually exclusive: {}", options.join("|")))
    })
}

/// Rules that look at the final values.
fn broken(rule: &Rule, fields: &Fields) -> Option<ArgProblem> {
    let absent = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().filter(|name| !fields.contains_key(**name)).copied().collect()
    };
    let problem = |message: String| Some(ArgProblem::by_rule(None, message));
    match rule {
        Rule::Exclusive(_) => None,
        Rule::OneOf(options) if absent(options).len() == options.len() => {
            problem(format!("one of the following is required: {}", options.join(", ")))
        }
        Rule::Together(options) if !matches!(absent(options).len(), 0) && absent(options).len() < options.len() => {
            problem(format!("parameters are required together: {}", options.join(", ")))
        }
        Rule::If(option, value, options)
            if fields.get(*option).is_some_and(|given| same(given, value)) && !absent(options).is_empty() =>
        {
            let missing = absent(options).join(", ");
            problem(format!("{option} is {value} but all of the following are missing: {missing}"))
        }
        Rule::By(option, options) if fields.contains_key(*option) && !absent(options).is_empty() => {
            problem(format!("missing parameter(s) required by '{option}': {}", absent(options).join(", ")))
        }
        _ => None,
    }
}

fn same(given: &Value, wanted: &str) -> bool {
    let text = python_text(given);
    text == wanted || (matches!(text.as_str(), "True" | "False") && text.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
#[path = "validate/tests.rs"]
mod tests;

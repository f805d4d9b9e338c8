//! One entry of a list of tasks: which module it calls, and the keywords that only tasks have.

use std::sync::Arc;

use super::keywords::{COMMON, TASK, as_nodes};
use super::model::{Loop, LoopControl, Parent, Task};
use super::{Arguments, Keywords};
use crate::diagnostic::{Diagnostic, Span};
use crate::error::{Error, Result};
use crate::modules::{self, Module};
use crate::yaml::{Kind, Map, Node};

/// What a task's mapping says, before imports are resolved.
pub struct Read {
    /// The task.
    pub task: Task,
    /// `listen:`; empty unless it is a handler.
    pub listen: Vec<Node>,
}

/// Whether a module brings in tasks while the play runs.
pub fn is_include(task: &Task) -> bool {
    matches!(task.module.spec.name, "include_tasks" | "include_role")
}

struct Call {
    name: String,
    span: Span,
    value: Node,
    local: bool,
}

/// Reads a task.
pub fn read(node: &Node, map: &Map, parent: &Arc<Parent>) -> Result<Read> {
    let mut call: Option<Call> = None;
    let mut looping = None;
    let mut set_call = |new: Call| match &call {
        Some(first) => Err(Error::from(
            Diagnostic::error(format!("a task calls one module, this one calls `{}` and `{}`", first.name, new.name))
                .at(&new.span)
                .related(&first.span, "the first one")
                .did_you_mean(&new.name, COMMON.iter().chain(TASK).copied()),
        )),
        None => {
            call = Some(new);
            Ok(())
        }
    };
    let keywords = Keywords::read(map, TASK, "a task", |key, value| {
        let name = key.as_str().unwrap_or_default();
        if let Some(lookup) = name.strip_prefix("with_") {
            looping = Some(Loop::With { lookup: lookup.to_owned(), terms: value.clone() });
            return Ok(true);
        }
        set_call(Call { name: name.to_owned(), span: key.span.clone(), value: value.clone(), local: false })?;
        Ok(true)
    })?;
    for (keyword, local) in [("action", false), ("local_action", true)] {
        if let Some((key, value)) = map.entry(keyword) {
            set_call(read_action(key, value, local)?)?;
        }
    }
    let Some(call) = call else {
        return Err(Error::user("this task calls no module")
            .at(&node.span)
            .hint("a task is a name and a module, e.g. `copy:`"));
    };
    let module = find_module(&call)?;
    let arguments = Arguments::read(module.spec, &call.span, &call.value, map.get("args"))?;

    if module.spec.name == "meta" {
        check_meta(&arguments, &call.span)?;
    }
    if let Some(list) = map.get("loop").filter(|list| !list.is_null()) {
        looping = Some(Loop::List(list.clone()));
    }
    let time_limit = map.get("async").cloned();
    if let Some(poll) = map.get("poll")
        && time_limit.is_some()
        && matches!(poll.kind, Kind::Int(0))
    {
        return Err(Error::user("`poll: 0` (fire and forget) is not supported")
            .at(&poll.span)
            .hint("start long work as a systemd unit, or leave `poll` out to wait for it"));
    }
    let mut keywords = keywords;
    if call.local {
        keywords.delegate_to = Some(Node::new(Kind::Str("localhost".into()), call.span.clone()));
    }
    let task = Task {
        span: node.span.clone(),
        module_name: call.name,
        module_span: call.span,
        module,
        arguments,
        keywords,
        parent: Arc::clone(parent),
        register: read_register(map)?,
        looping,
        loop_control: read_loop_control(map.get("loop_control"))?,
        until: as_nodes(map.get("until")),
        retries: map.get("retries").cloned(),
        delay: map.get("delay").cloned(),
        changed_when: map.get("changed_when").map(|node| as_nodes(Some(node))),
        failed_when: map.get("failed_when").map(|node| as_nodes(Some(node))),
        time_limit,
    };
    Ok(Read { task, listen: as_nodes(map.get("listen")) })
}

/// What `meta` can do.
const META: &[&str] = &[
    "clear_facts",
    "clear_host_errors",
    "end_batch",
    "end_host",
    "end_play",
    "flush_handlers",
    "noop",
    "reset_connection",
];

fn check_meta(arguments: &Arguments, at: &Span) -> Result<()> {
    let node = arguments.get("free_form");
    let name = node.and_then(Node::as_str).unwrap_or_default();
    if META.contains(&name) {
        return Ok(());
    }
    Err(Diagnostic::error(format!("`meta` cannot `{name}`"))
        .at(node.map_or(at, |node| &node.span))
        .did_you_mean(name, META.iter().copied())
        .hint(format!("it has {}", META.join(", ")))
        .into())
}

/// `action: copy src=a dest=b` and `action: {module: copy, src: a}`.
fn read_action(key: &Node, value: &Node, local: bool) -> Result<Call> {
    let wrong = || Error::user(format!("`{}` must name a module", key.as_str().unwrap_or("action"))).at(&value.span);
    match &value.kind {
        Kind::Str(text) => {
            let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let kind = if rest.trim().is_empty() { Kind::Null } else { Kind::Str(rest.trim().into()) };
            Ok(Call { name: name.to_owned(), span: value.span.clone(), value: Node { kind, ..value.clone() }, local })
        }
        Kind::Map(map) => {
            let (name_key, name) = map.entry("module").ok_or_else(wrong)?;
            let rest = map
                .iter()
                .filter(|(key, _)| key.as_str() != Some("module"))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            let kind = Kind::Map(Arc::new(Map::new(rest)));
            Ok(Call {
                name: name.as_str().ok_or_else(wrong)?.to_owned(),
                span: name_key.span.clone(),
                value: Node { kind, ..value.clone() },
                local,
            })
        }
        _ => Err(wrong()),
    }
}

fn find_module(call: &Call) -> Result<&'static Module> {
    if let Some(module) = modules::find(&call.name) {
        return Ok(module);
    }
    let short = call.name.rsplit('.').next().unwrap_or(&call.name);
    let names = || modules::all().map(|module| module.spec.name).chain(COMMON.iter().chain(TASK).copied());
    Err(Diagnostic::error(format!("mms has no module or keyword `{}`", call.name))
        .at(&call.span)
        .did_you_mean(short, names())
        .hint("`mms check` lists everything in the project that mms does not support")
        .into())
}

fn read_register(map: &Map) -> Result<Option<String>> {
    let Some(node) = map.get("register").filter(|node| !node.is_null()) else { return Ok(None) };
    match node.as_str() {
        Some(name) if super::keywords::is_variable_name(name) => Ok(Some(name.to_owned())),
        _ => Err(Error::user("`register` must be the name of a variable").at(&node.span)),
    }
}

fn read_loop_control(node: Option<&Node>) -> Result<LoopControl> {
    const KNOWN: &[&str] = &["loop_var", "index_var", "label", "pause", "extended", "extended_allitems", "break_when"];
    let mut control = LoopControl::default();
    let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(control) };
    let Some(map) = node.as_map() else {
        return Err(
            Error::user(format!("`loop_control` must be a mapping, this is {}", node.kind_name())).at(&node.span)
        );
    };
    for (key, value) in map.iter() {
        let text = || value.as_str().map(str::to_owned);
        match key.as_str().unwrap_or_default() {
            "loop_var" => control.loop_var = text(),
            "index_var" => control.index_var = text(),
            "label" => control.label = Some(value.clone()),
            "pause" => control.pause = Some(value.clone()),
            "extended" => control.extended = value.kind == Kind::Bool(true),
            "extended_allitems" => {}
            "break_when" => control.break_when = as_nodes(Some(value)),
            other => {
                return Err(Diagnostic::error(format!("`{other}` is not a key of `loop_control`"))
                    .at(&key.span)
                    .did_you_mean(other, KNOWN.iter().copied())
                    .into());
            }
        }
    }
    Ok(control)
}

//! The keywords that plays, roles, blocks and tasks share, and the tables of what each may carry.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::error::{Error, Result};
use crate::yaml::{Kind, Map, Node};

use super::Vars;
use crate::value::Raw;

/// Keywords as they were written; all but `vars` may be templates.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of that name in Ansible's playbook reference")]
pub struct Keywords {
    pub name: Option<Node>,
    pub when: Vec<Node>,
    pub tags: Vec<Node>,
    pub vars: Arc<Vars>,
    pub environment: Vec<Node>,
    pub module_defaults: Vec<Node>,
    pub notify: Vec<Node>,
    pub r#become: Option<Node>,
    pub become_user: Option<Node>,
    pub become_method: Option<Node>,
    pub become_flags: Option<Node>,
    pub become_exe: Option<Node>,
    pub connection: Option<Node>,
    pub remote_user: Option<Node>,
    pub port: Option<Node>,
    pub delegate_to: Option<Node>,
    pub delegate_facts: Option<Node>,
    pub run_once: Option<Node>,
    pub any_errors_fatal: Option<Node>,
    pub ignore_errors: Option<Node>,
    pub ignore_unreachable: Option<Node>,
    pub no_log: Option<Node>,
    pub check_mode: Option<Node>,
    pub diff: Option<Node>,
    pub timeout: Option<Node>,
}

/// Keywords of every level.
pub const COMMON: &[&str] = &[
    "any_errors_fatal",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "check_mode",
    "collections",
    "connection",
    "diff",
    "environment",
    "ignore_errors",
    "ignore_unreachable",
    "module_defaults",
    "name",
    "no_log",
    "port",
    "remote_user",
    "run_once",
    "tags",
    "timeout",
    "vars",
];

/// Keywords of a play beside the common ones.
pub const PLAY: &[&str] = &[
    "force_handlers",
    "gather_facts",
    "gather_subset",
    "gather_timeout",
    "handlers",
    "hosts",
    "max_fail_percentage",
    "order",
    "post_tasks",
    "pre_tasks",
    "roles",
    "serial",
    "strategy",
    "tasks",
    "user",
    "vars_files",
];

/// Keywords of a block beside the common ones.
pub const BLOCK: &[&str] = &["always", "block", "delegate_facts", "delegate_to", "notify", "rescue", "when"];

/// Keywords of an entry of `roles:` beside the common ones; everything else is a parameter of the role.
pub const ROLE: &[&str] = &["delegate_facts", "delegate_to", "role", "when"];

/// Keywords of a task beside the common ones.
pub const TASK: &[&str] = &[
    "action",
    "args",
    "async",
    "changed_when",
    "delay",
    "delegate_facts",
    "delegate_to",
    "failed_when",
    "listen",
    "local_action",
    "loop",
    "loop_control",
    "notify",
    "poll",
    "register",
    "retries",
    "until",
    "when",
];

/// Ansible's keywords that mms refuses, with what to do instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("debugger", "run the task alone with `--start-at-task` and `-vvv` instead"),
    ("fact_path", "local facts are read from `/etc/ansible/facts.d`"),
    ("throttle", "limit the hosts of the play with `serial`"),
    ("vars_prompt", "pass the value with `-e` or keep it in the vault"),
];

impl Keywords {
    /// Takes the shared keywords out of a mapping. `own` are the further keywords that the caller reads itself; any other key
    /// is given to `other`, which says whether it knows it.
    pub fn read(
        map: &Map,
        own: &[&str],
        level: &str,
        mut other: impl FnMut(&Node, &Node) -> Result<bool>,
    ) -> Result<Self> {
        let mut keywords = Self::default();
        for (key, value) in map.iter() {
            let Some(name) = key.as_str() else {
                return Err(Error::user(format!("a keyword of {level} must be a string, this is {}", key.kind_name()))
                    .at(&key.span));
            };
            if let Some((_, hint)) = UNSUPPORTED.iter().find(|(keyword, _)| *keyword == name) {
                return Err(Error::user(format!("the keyword `{name}` is not supported")).at(&key.span).hint(*hint));
            }
            if COMMON.contains(&name) || own.contains(&name) {
                keywords.take(name, value)?;
            } else if !other(key, value)? {
                let known = COMMON.iter().chain(own).copied();
                return Err(Diagnostic::error(format!("`{name}` is not a keyword of {level}"))
                    .at(&key.span)
                    .did_you_mean(name, known)
                    .into());
            }
        }
        Ok(keywords)
    }

    fn take(&mut self, name: &str, value: &Node) -> Result<()> {
        let slot = match name {
            "when" => return extend(&mut self.when, value),
            "tags" => return extend(&mut self.tags, value),
            "notify" => return extend(&mut self.notify, value),
            "environment" => return extend(&mut self.environment, value),
            "module_defaults" => return extend(&mut self.module_defaults, value),
            "vars" => {
                self.vars = Arc::new(read_vars(value)?);
                return Ok(());
            }
            "name" => &mut self.name,
            "become" => &mut self.r#become,
            "become_user" => &mut self.become_user,
            "become_method" => &mut self.become_method,
            "become_flags" => &mut self.become_flags,
            "become_exe" => &mut self.become_exe,
            "connection" => &mut self.connection,
            "remote_user" | "user" => &mut self.remote_user,
            "port" => &mut self.port,
            "delegate_to" => &mut self.delegate_to,
            "delegate_facts" => &mut self.delegate_facts,
            "run_once" => &mut self.run_once,
            "any_errors_fatal" => &mut self.any_errors_fatal,
            "ignore_errors" => &mut self.ignore_errors,
            "ignore_unreachable" => &mut self.ignore_unreachable,
            "no_log" => &mut self.no_log,
            "check_mode" => &mut self.check_mode,
            "diff" => &mut self.diff,
            "timeout" => &mut self.timeout,
            // Read by the caller, or without meaning for mms (`collections`: every name is looked up in full).
            _ => return Ok(()),
        };
        if !value.is_null() {
            *slot = Some(value.clone());
        }
        Ok(())
    }
}

/// Adds a list, or one value, to a keyword that takes several.
fn extend(slot: &mut Vec<Node>, value: &Node) -> Result<()> {
    match &value.kind {
        Kind::Null => {}
        Kind::List(items) => slot.extend(items.iter().cloned()),
        _ => slot.push(value.clone()),
    }
    Ok(())
}

/// A list of nodes from a list, one value or nothing.
pub fn as_nodes(value: Option<&Node>) -> Vec<Node> {
    let mut nodes = vec![];
    // Extending cannot fail.
    let _ = value.map(|value| extend(&mut nodes, value));
    nodes
}

/// The entries of a `vars:` mapping, or of a file of variables.
pub fn read_vars(value: &Node) -> Result<Vars> {
    match &value.kind {
        Kind::Null => Ok(Vars::new()),
        Kind::Map(map) => {
            map.iter()
                .map(|(key, value)| match key.as_str() {
                    Some(name) if is_variable_name(name) => Ok((name.to_owned(), Raw::Node(value.clone()))),
                    Some(name) => Err(Error::user(format!("`{name}` is not a valid variable name"))
                        .at(&key.span)
                        .hint("letters, digits and underscores, not starting with a digit")),
                    None => Err(Error::user(format!("a variable name must be a string, this is {}", key.kind_name()))
                        .at(&key.span)),
                })
                .collect()
        }
        // A list of mappings was allowed once and still is for `vars:`.
        Kind::List(items) => {
            let mut vars = Vars::new();
            for item in items.iter() {
                vars.extend(read_vars(item)?);
            }
            Ok(vars)
        }
        _ => Err(Error::user(format!("variables must be a mapping, this is {}", value.kind_name())).at(&value.span)),
    }
}

/// Whether Ansible accepts this as the name of a variable.
pub fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
}

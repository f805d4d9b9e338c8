//! `ansible.cfg` at the project's root: the few of its settings that mean something to mms, so that an existing project runs as it
//! is. `mms.toml` has precedence. What is not known here is passed over: most of it is about Python and plugins. Only what a run
//! would miss, the passwords of Ansible vaults, is told.

use std::sync::Arc;
use std::time::Duration;

use super::{Color, Given, environment, expand, expand_inventory};
use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::Result;
use crate::project::Project;

pub(super) fn given(project: &Project) -> Result<Given> {
    let path = project.root().join("ansible.cfg");
    if !path.is_file() {
        return Ok(Given::default());
    }
    let source = project.source(&path)?;
    let file = File { entries: entries(&source.text), source };
    let base = project.root();
    for key in ["vault_password_file", "vault_identity_list"] {
        if let Some((_, span)) = file.get("defaults", key) {
            project.warn([Diagnostic::warning(format!(
                "`{key}` has no effect: mms does not read what ansible-vault encrypted"
            ))
            .at(&span)
            .hint("decrypt what it protects with `ansible-vault decrypt`, and encrypt it with `mms vault encrypt`")]);
        }
    }
    let text = |section, key| file.get(section, key).map(|(value, _)| value.to_owned());
    let defaults = |key| text("defaults", key);
    let force_color = file.boolean("defaults", "force_color")?.filter(|on| *on).map(|_| Color::Always);
    let no_color = file.boolean("defaults", "nocolor")?.filter(|on| *on).map(|_| Color::Never);
    Ok(Given {
        lock_timeout: None,
        inventory: defaults("inventory").map(|value| match value.ends_with(',') {
            true => vec![value],
            false => environment::words(&value).iter().map(|word| expand_inventory(word, base)).collect(),
        }),
        roles_path: defaults("roles_path")
            .map(|value| value.split(':').filter(|part| !part.is_empty()).map(|part| expand(part, base)).collect()),
        forks: file.number("defaults", "forks")?.and_then(|forks| usize::try_from(forks).ok()),
        diff: file.boolean("diff", "always")?,
        color: no_color.or(force_color),
        remote_user: defaults("remote_user"),
        private_key: defaults("private_key_file").map(|value| expand(&value, base)),
        timeout: file.number("defaults", "timeout")?.map(Duration::from_secs),
        accept_new: file.boolean("defaults", "host_key_checking")?.map(|checking| !checking),
        become_enabled: file.boolean("privilege_escalation", "become")?,
        become_user: text("privilege_escalation", "become_user"),
        become_method: file.become_method()?,
        identities: None,
        recipients: None,
    })
}

struct File {
    source: Arc<Source>,
    entries: Vec<Entry>,
}

/// A setting, and where its value stands.
struct Entry {
    section: String,
    key: String,
    value: String,
    start: usize,
}

impl File {
    /// The last value of a setting that is not empty.
    fn get(&self, section: &str, key: &str) -> Option<(&str, Span)> {
        let entry = self.entries.iter().rfind(|entry| entry.section == section && entry.key == key)?;
        let span = Span::new(&self.source, entry.start, entry.start + entry.value.len());
        (!entry.value.is_empty()).then_some((entry.value.as_str(), span))
    }

    fn boolean(&self, section: &str, key: &str) -> Result<Option<bool>> {
        let Some((value, span)) = self.get(section, key) else { return Ok(None) };
        match environment::parse_boolean(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Diagnostic::error(format!("`{key}` must be true or false")).at(&span).into()),
        }
    }

    fn number(&self, section: &str, key: &str) -> Result<Option<u64>> {
        let Some((value, span)) = self.get(section, key) else { return Ok(None) };
        match value.parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(Diagnostic::error(format!("`{key}` must be a number above zero")).at(&span).into()),
        }
    }

    fn become_method(&self) -> Result<Option<crate::connection::BecomeMethod>> {
        let Some((value, span)) = self.get("privilege_escalation", "become_method") else { return Ok(None) };
        match environment::parse_become_method(value) {
            Some(method) => Ok(Some(method)),
            None => Err(Diagnostic::error(format!("unknown become method `{value}`"))
                .at(&span)
                .did_you_mean(value, environment::BECOME_METHODS)
                .hint(format!("known: {}", environment::BECOME_METHODS.join(", ")))
                .into()),
        }
    }
}

/// The settings of an INI file as Python's configparser reads it, as far as Ansible's own files use it: values of one line, and
/// comments that start a line or follow ` ;`.
fn entries(text: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut found = vec![];
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let line_start = start;
        start += line.len();
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = name.0.trim().to_owned();
        } else if let Some(at) = line.find(['=', ':']) {
            let value = &line[at + 1..];
            let value_start = line_start + at + 1 + value.len() - value.trim_start().len();
            let value = value.split(" ;").next().unwrap_or(value).trim();
            let key = line[..at].trim().to_lowercase();
            found.push(Entry { section: section.clone(), key, value: value.to_owned(), start: value_start });
        }
    }
    found
}

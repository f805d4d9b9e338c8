//! The environment's settings: `MMS_*`, and Ansible's variables where they mean the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Color, Given, expand, expand_inventory};
use crate::connection::BecomeMethod;
use crate::diagnostic::Diagnostic;
use crate::env_vars::{self, EnvVar};
use crate::error::{Error, Result};

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn given(env: Env<'_>) -> Result<Given> {
    let base = std::env::current_dir().map_err(|error| Error::io("open", Path::new("."), &error))?;
    let paths = |text: &str| text.split(':').filter(|part| !part.is_empty()).map(|part| expand(part, &base)).collect();
    let text = |var: EnvVar| lookup(env, var).map(|(_, value)| value);
    let path = |var: EnvVar| text(var).map(|value| expand(&value, &base));
    Ok(Given {
        inventory: text(env_vars::INVENTORY).map(|value| inventory(&value, &base)),
        roles_path: text(env_vars::ROLES_PATH).map(|value| paths(&value)),
        forks: number(env, env_vars::FORKS)?.and_then(|forks| usize::try_from(forks).ok()),
        lock_timeout: number(env, env_vars::LOCK_TIMEOUT)?.map(Duration::from_secs),
        diff: boolean(env, env_vars::DIFF)?,
        color: color(env)?,
        remote_user: text(env_vars::REMOTE_USER),
        private_key: path(env_vars::PRIVATE_KEY),
        timeout: number(env, env_vars::TIMEOUT)?.map(Duration::from_secs),
        accept_new: match boolean(env, env_vars::ACCEPT_NEW)? {
            Some(accept) => Some(accept),
            None => boolean(env, env_vars::HOST_KEY_CHECKING)?.map(|checking| !checking),
        },
        become_enabled: boolean(env, env_vars::BECOME)?,
        become_user: text(env_vars::BECOME_USER),
        become_method: become_method(env)?,
        identities: text(env_vars::IDENTITY).map(|value| paths(&value)),
        recipients: text(env_vars::RECIPIENTS).map(|value| words(&value)),
    })
}

/// The variable that is set, and its value.
fn lookup(env: Env<'_>, var: EnvVar) -> Option<(&'static str, String)> {
    [Some(var.name), var.ansible]
        .into_iter()
        .flatten()
        .find_map(|name| env(name).filter(|value| !value.is_empty()).map(|value| (name, value)))
}

/// Words separated by commas.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Paths separated by commas, unless it is a list of hosts: then none of the words names a file.
fn inventory(value: &str, base: &Path) -> Vec<String> {
    let exists = |word: &String| -> bool {
        let path: PathBuf = expand(word, base);
        path.exists()
    };
    if value.contains(',') && !words(value).iter().any(exists) {
        return vec![value.to_owned()];
    }
    words(value).iter().map(|word| expand_inventory(word, base)).collect()
}

fn number(env: Env<'_>, var: EnvVar) -> Result<Option<u64>> {
    let Some((name, value)) = lookup(env, var) else { return Ok(None) };
    match value.trim().parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(Error::user(format!("environment variable `{name}` must be a number above zero, not `{value}`"))),
    }
}

fn boolean(env: Env<'_>, var: EnvVar) -> Result<Option<bool>> {
    let Some((name, value)) = lookup(env, var) else { return Ok(None) };
    match parse_boolean(&value) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::user(format!("environment variable `{name}` must be true or false, not `{value}`"))),
    }
}

/// A boolean in any of Ansible's spellings.
pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

fn color(env: Env<'_>) -> Result<Option<Color>> {
    if let Some((name, value)) = lookup(env, env_vars::COLOR) {
        return match value.as_str() {
            "auto" => Ok(Some(Color::Auto)),
            "always" => Ok(Some(Color::Always)),
            "never" => Ok(Some(Color::Never)),
            _ => Err(wrong_choice(name, &value, &["auto", "always", "never"])),
        };
    }
    let off = lookup(env, env_vars::NO_COLOR).map(|_| Color::Never);
    let on = || lookup(env, env_vars::FORCE_COLOR).filter(|(_, value)| value != "0").map(|_| Color::Always);
    Ok(off.or_else(on))
}

fn become_method(env: Env<'_>) -> Result<Option<BecomeMethod>> {
    let Some((name, value)) = lookup(env, env_vars::BECOME_METHOD) else { return Ok(None) };
    parse_become_method(&value).map(Some).ok_or_else(|| wrong_choice(name, &value, &BECOME_METHODS))
}

/// The values of `become_method`.
pub(super) const BECOME_METHODS: [&str; 3] = ["sudo", "su", "doas"];

/// A `become_method`, perhaps by its full name.
pub(super) fn parse_become_method(text: &str) -> Option<BecomeMethod> {
    match text.trim_start_matches("ansible.builtin.").trim_start_matches("community.general.") {
        "sudo" => Some(BecomeMethod::Sudo),
        "su" => Some(BecomeMethod::Su),
        "doas" => Some(BecomeMethod::Doas),
        _ => None,
    }
}

fn wrong_choice(name: &str, value: &str, choices: &[&str]) -> Error {
    Diagnostic::error(format!("environment variable `{name}` must be one of {}, not `{value}`", choices.join(", ")))
        .did_you_mean(value, choices.iter().copied())
        .into()
}

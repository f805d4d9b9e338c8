//! URLs: `urlencode`, `urldecode`, `urlsplit`.

use super::{Filter, all};
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py;
use crate::value::Value;

pub const FILTERS: &[Filter] = &[all("urlencode", encode), all("urldecode", decode), all("urlsplit", split)];

fn quote(text: &str, safe: &[u8], plus: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' if plus => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.contains(&byte) => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn encode(call: &mut Call<'_>) -> Eval<Value> {
    let pairs = match py::pairs(&call.input) {
        Some(pairs) => pairs,
        None if py::is_list(&call.input) => {
            let mut pairs = vec![];
            for item in call.input_items()? {
                match py::iterate(&item)?.as_slice() {
                    [key, value] => pairs.push((key.clone(), value.clone())),
                    _ => return Err(Stop::error("`urlencode` needs pairs of a key and a value")),
                }
            }
            pairs
        }
        None => return Ok(Value::from(quote(&call.input_text()?, b"/", false))),
    };
    let mut parts = vec![];
    for (key, value) in pairs {
        parts.push(format!("{}={}", quote(&py::text(&key)?, b"", true), quote(&py::text(&value)?, b"", true)));
    }
    Ok(Value::from(parts.join("&")))
}

fn decode(call: &mut Call<'_>) -> Eval<Value> {
    let text = call.input_text()?.replace('+', " ");
    let mut out = vec![];
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(*byte));
        at += if hex.is_some() { 3 } else { 1 };
    }
    Ok(Value::from(String::from_utf8_lossy(&out).into_owned()))
}

fn split(call: &mut Call<'_>) -> Eval<Value> {
    let text = call.input_text()?;
    let (rest, fragment) = text.split_once('#').unwrap_or((&text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_lowercase(), rest),
        _ => (String::new(), rest),
    };
    let (netloc, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (user, host) = match netloc.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, netloc),
    };
    let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        },
    };
    let optional = |text: Option<&str>| text.map_or_else(|| Value::from(()), Value::from);
    let (username, password) = match user.map(|user| user.split_once(':')) {
        Some(Some((name, password))) => (Some(name), Some(password)),
        _ => (user, None),
    };
    let hostname = Some(host.to_lowercase()).filter(|host| !host.is_empty());
    let parts = [
        ("fragment", Value::from(fragment)),
        ("hostname", optional(hostname.as_deref())),
        ("netloc", Value::from(netloc)),
        ("password", optional(password)),
        ("path", Value::from(path)),
        ("port", port.and_then(|port| port.parse::<u16>().ok()).map_or_else(|| Value::from(()), Value::from)),
        ("query", Value::from(query)),
        ("scheme", Value::from(scheme)),
        ("username", optional(username)),
    ];
    match call.text("component")?.filter(|part| !part.is_empty()) {
        None => Ok(Value::from_pairs(parts)),
        Some(name) => {
            let known: Vec<&str> = parts.iter().map(|(part, _)| *part).collect();
            parts.iter().find(|(part, _)| *part == name).map(|(_, value)| value.clone()).ok_or_else(|| {
                let error = crate::diagnostic::Diagnostic::error(format!("a URL has no part `{name}`"));
                Stop::Error(error.did_you_mean(&name, known).into())
            })
        }
    }
}

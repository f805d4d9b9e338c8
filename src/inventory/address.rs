//! Host entries: `host`, `host:port`, `[ipv6]:port`, and ranges such as `web[01:20:2].example.org`.

use std::net::Ipv6Addr;

/// The names that a host entry stands for, and its port.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub names: Vec<String>,
    pub port: Option<u16>,
}

/// Reads a host entry; the error says what is wrong with its range.
pub(super) fn expand(text: &str) -> Result<Entry, String> {
    let (host, port) = match split_port(text) {
        Some((host, port)) if is_address(host) => (host, Some(port)),
        _ => (text, None),
    };
    if text.ends_with(':') && port.is_none() && text.parse::<Ipv6Addr>().is_err() {
        return Err("a host entry cannot end with a colon".to_owned());
    }
    Ok(Entry { names: expand_ranges(host)?, port })
}

/// Whether the text is one host, perhaps with a port or ranges: then a colon in it does not separate patterns.
pub(super) fn is_host_entry(text: &str) -> bool {
    is_address(text) || split_port(text).is_some_and(|(host, _)| is_address(host))
}

fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return Some((inner, port));
    }
    // Outside of ranges there is no second colon: that would be an IPv6 address.
    let mut depth = 0_i32;
    for c in host.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ':' if depth == 0 => return None,
            _ => {}
        }
    }
    (depth == 0).then_some((host, port))
}

fn is_address(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok() || is_host_name(text)
}

/// Labels of letters, digits, `_` and `-` separated by dots; ranges may stand for any of these.
fn is_host_name(text: &str) -> bool {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((range, after)) = after.split_once(']') else { return false };
        if !is_range(range) {
            return false;
        }
        plain.push_str(before);
        plain.push('0');
        rest = after;
    }
    plain.push_str(rest);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    plain.split('.').all(|label| {
        label.starts_with(word) && label.chars().all(|c| word(c) || c == '-') && !label.ends_with(['-', '_'])
    })
}

fn is_range(range: &str) -> bool {
    let parts: Vec<&str> = range.split(':').collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let letter = |part: &str| part.len() == 1 && part.bytes().all(|b| b.is_ascii_alphabetic());
    match parts.as_slice() {
        [from, to] | [from, to, _] => {
            (digits(from) && digits(to) || letter(from) && letter(to)) && parts.get(2).is_none_or(|step| digits(step))
        }
        _ => false,
    }
}

/// More hosts than this from one entry are a slip.
const MOST: usize = 100_000;

fn expand_ranges(text: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let (range, after) = after.split_once(']').ok_or("a range needs a closing `]`")?;
        let items = range_items(range)?;
        if names.len() * items.len() > MOST {
            return Err(format!("this stands for over {MOST} hosts"));
        }
        names = names.iter().flat_map(|name| items.iter().map(move |item| format!("{name}{before}{item}"))).collect();
        rest = after;
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

fn range_items(range: &str) -> Result<Vec<String>, String> {
    let wrong = || "a host range is written `[begin:end]` or `[begin:end:step]`".to_owned();
    let parts: Vec<&str> = range.split(':').collect();
    let (from, to, step) = match parts.as_slice() {
        [from, to] => (*from, *to, 1),
        [from, to, step] => (*from, *to, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    let from = if from.is_empty() { "0" } else { from };
    if to.is_empty() {
        return Err("a host range needs an end".to_owned());
    }
    let backwards = || "a host range must begin before its end".to_owned();
    if let (Some(first), Some(last)) = (letter_index(from), letter_index(to)) {
        if first > last {
            return Err(backwards());
        }
        return Ok(LETTERS[first..=last].chars().step_by(step).map(String::from).collect());
    }
    let width = if from.len() > 1 && from.starts_with('0') { from.len() } else { 0 };
    if width > 0 && to.len() != width {
        return Err("begin and end of a host range with leading zeros must have the same length".to_owned());
    }
    let first: u64 = from.parse().map_err(|_| wrong())?;
    let last: u64 = to.parse().map_err(|_| wrong())?;
    if first > last {
        return Err(backwards());
    }
    if usize::try_from(last - first).map_or(true, |count| count > MOST) {
        return Err(format!("this stands for over {MOST} hosts"));
    }
    Ok((first..=last).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn letter_index(text: &str) -> Option<usize> {
    if text.len() == 1 { LETTERS.find(text) } else { None }
}

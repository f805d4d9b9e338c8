//! Tasks written as text: `module: key="value with spaces" other={{ x }} …`, split as Ansible's splitter does, before anything is
//! templated.

use indexmap::IndexMap;

use super::{ArgProblem, option};
use crate::modules::{FreeForm, Spec};

/// A task's text as arguments, still to be templated. What is not `key=value` is the value of the option that takes free-form
/// text, and a mistake for modules that have none.
pub fn free_form(spec: &Spec, text: &str) -> Result<IndexMap<String, String>, ArgProblem> {
    if let FreeForm::Verbatim(name) = spec.free_form {
        return Ok(IndexMap::from([(name.to_owned(), text.to_owned())]));
    }
    let raw = match spec.free_form {
        FreeForm::Option(name) => Some(name),
        _ => None,
    };
    let is_option = |key: &str| raw.is_none() || option(spec, key).is_some_and(|opt| Some(opt.name) != raw);
    let (mut args, rest) = parse(text, is_option).map_err(|why| ArgProblem::new(None, why))?;
    match (rest, raw) {
        (Some(rest), Some(name)) => {
            args.insert(name.to_owned(), rest);
        }
        (Some(rest), None) => {
            return Err(ArgProblem::new(None, format!("`{}` takes `key=value` arguments, not `{rest}`", spec.name))
                .hint("write the arguments as a mapping below the module's name"));
        }
        (None, _) => {}
    }
    Ok(args)
}

/// `key=value` text as a mapping. What is not `key=value` is under `_raw_params`.
pub fn parse_kv(text: &str) -> Result<IndexMap<String, String>, String> {
    let (mut args, rest) = parse(text, |_| true)?;
    args.extend(rest.map(|rest| ("_raw_params".to_owned(), rest)));
    Ok(args)
}

type Parsed = (IndexMap<String, String>, Option<String>);

fn parse(text: &str, is_option: impl Fn(&str) -> bool) -> Result<Parsed, String> {
    let mut args = IndexMap::new();
    let mut raw = vec![];
    for param in split(text)? {
        let decoded = decode_escapes(&param);
        if !decoded.contains('=') {
            raw.push(param);
            continue;
        }
        let equals = decoded.match_indices('=').map(|(at, _)| at).find(|at| *at > 0 && !decoded[..*at].ends_with('\\'));
        match equals {
            None => raw.push(decoded.replace("\\=", "=")),
            Some(at) if is_option(decoded[..at].trim()) => {
                args.insert(decoded[..at].trim().to_owned(), unquote(decoded[at + 1..].trim()).to_owned());
            }
            Some(_) => raw.push(param),
        }
    }
    let rest = raw.iter().fold(String::new(), |mut rest, param| {
        if !rest.is_empty() && !rest.ends_with('\n') {
            rest.push(' ');
        }
        rest.push_str(param);
        rest
    });
    Ok((args, (!raw.is_empty()).then_some(rest)))
}

/// Takes away the quotes around a text, if it both starts and ends with the same.
fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote))
            && !inner.ends_with('\\')
        {
            return inner;
        }
    }
    text
}

/// `\n`, `\t`, `\x41`, `\u0041` and the like.
fn decode_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let numbered = |digits: usize| {
            let hex = after.get(1..=digits)?;
            let all = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            all.then(|| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)).flatten().map(|c| (c, digits + 1))
        };
        let decoded = match after.chars().next() {
            Some(c @ ('\\' | '\'' | '"')) => Some((c, 1)),
            Some('a') => Some(('\x07', 1)),
            Some('b') => Some(('\x08', 1)),
            Some('f') => Some(('\x0c', 1)),
            Some('n') => Some(('\n', 1)),
            Some('r') => Some(('\r', 1)),
            Some('t') => Some(('\t', 1)),
            Some('v') => Some(('\x0b', 1)),
            Some('x') => numbered(2),
            Some('u') => numbered(4),
            Some('U') => numbered(8),
            _ => None,
        };
        match decoded {
            Some((c, length)) => {
                out.push(c);
                rest = &after[length..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// What quotes and Jinja blocks a text is inside of.
#[derive(Default)]
struct Nesting {
    quote: Option<char>,
    depth: [usize; 3],
}

impl Nesting {
    const PAIRS: [(&'static str, &'static str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

    fn in_block(&self) -> bool {
        self.depth.iter().any(|depth| *depth > 0)
    }

    fn scan_quotes(&mut self, token: &str) {
        let mut before = None;
        for c in token.chars() {
            if matches!(c, '"' | '\'') && before != Some('\\') {
                match self.quote {
                    Some(open) if open == c => self.quote = None,
                    Some(_) => {}
                    None => self.quote = Some(c),
                }
            }
            before = Some(c);
        }
    }

    /// Counts block delimiters; whether a depth has changed.
    fn scan_blocks(&mut self, token: &str) -> bool {
        let mut changed = false;
        for (depth, (open, close)) in self.depth.iter_mut().zip(Self::PAIRS) {
            let after = (*depth + token.matches(open).count()).saturating_sub(token.matches(close).count());
            changed |= after != *depth;
            *depth = after;
        }
        changed
    }
}

/// Splits at blanks outside of quotes and Jinja blocks; blanks between words and newlines are kept at the end of the word before, so
/// that joining gives the text again.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut params: Vec<String> = vec![];
    let mut nesting = Nesting::default();
    let lines: Vec<_> = text.split('\n').collect();
    for (number, line) in lines.iter().enumerate() {
        let mut continued = false;
        for (index, token) in line.split(' ').enumerate() {
            if token.is_empty() && index != 0 {
                last(&mut params).push(' ');
                continue;
            }
            if token == "\\" && nesting.quote.is_none() {
                continued = true;
                continue;
            }
            let was_quoted = nesting.quote.is_some();
            let was_block = nesting.in_block();
            nesting.scan_quotes(token);
            let quoted = nesting.quote.is_some();
            let mut placed = true;
            if quoted && !was_quoted && !was_block {
                params.push(token.to_owned());
            } else if was_block || quoted || was_quoted {
                if index > 0 {
                    last(&mut params).push(' ');
                }
                last(&mut params).push_str(token);
            } else {
                placed = false;
            }
            if (nesting.scan_blocks(token) || !nesting.in_block()) && !placed && !token.is_empty() {
                params.push(token.to_owned());
            }
        }
        if number + 1 != lines.len() && !continued {
            last(&mut params).push('\n');
        }
    }
    if nesting.in_block() || nesting.quote.is_some() {
        return Err("a quotation mark or a `{{` is not closed in the arguments".to_owned());
    }
    Ok(params)
}

fn last(params: &mut Vec<String>) -> &mut String {
    if params.is_empty() {
        params.push(String::new());
    }
    let end = params.len() - 1;
    &mut params[end]
}

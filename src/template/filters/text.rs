//! Filters on text.

use minijinja::value::Tuple;

use super::{Filter, all};
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::{format, methods, py};
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    all("upper", |call| Ok(Value::from(call.input_text()?.to_uppercase()))),
    all("lower", |call| Ok(Value::from(call.input_text()?.to_lowercase()))),
    all("capitalize", |call| Ok(Value::from(methods::capitalize(&call.input_text()?)))),
    all("title", title),
    all("trim", trim),
    all("replace", replace),
    all("split", split),
    all("indent", indent),
    all("truncate", truncate),
    all("wordwrap", wordwrap),
    all("wordcount", wordcount),
    all("center", center),
    all("format", format_text),
    all("quote", quote),
    all("striptags", striptags),
    all("e", escape),
    all("escape", escape),
    all("forceescape", escape),
    all("pprint", |call| py::repr(&call.input).map(Value::from)),
];

/// Jinja's `title`: words start after white space and opening brackets, not after an apostrophe.
fn title(call: &mut Call<'_>) -> Eval<Value> {
    let mut out = String::new();
    let mut start = true;
    for c in call.input_text()?.chars() {
        match start {
            true => out.extend(c.to_uppercase()),
            false => out.extend(c.to_lowercase()),
        }
        start = c.is_whitespace() || "-({[<".contains(c);
    }
    Ok(Value::from(out))
}

fn trim(call: &mut Call<'_>) -> Eval<Value> {
    let set = call.text("chars")?;
    Ok(Value::from(methods::strip(&call.input_text()?, set.as_deref(), true, true)))
}

fn replace(call: &mut Call<'_>) -> Eval<Value> {
    let (from, to) = (call.require_text("old")?, call.require_text("new")?);
    let text = call.input_text()?;
    Ok(Value::from(match call.integer("count")?.and_then(|count| usize::try_from(count).ok()) {
        Some(count) => text.replacen(&from, &to, count),
        None => text.replace(&from, &to),
    }))
}

fn split(call: &mut Call<'_>) -> Eval<Value> {
    let separator = call.text("sep")?;
    let limit = call.integer("maxsplit")?.unwrap_or(-1);
    let Some(text) = call.input.as_str() else {
        return Err(Stop::error(format!("`split` needs a string, not {}", py::described(&call.input))));
    };
    methods::split(text, separator.as_deref(), limit, false).map(Value::from)
}

fn indent(call: &mut Call<'_>) -> Eval<Value> {
    let by = match call.value("width") {
        None => "    ".to_owned(),
        Some(width) => match width.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(width.as_usize().unwrap_or(4).min(1 << 12)),
        },
    };
    let first = call.flag("first", false)?;
    let blank = call.flag("blank", false)?;
    let text = call.input_text()?;
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if (index == 0 && first) || (index > 0 && (blank || !line.is_empty())) {
            out.push_str(&by);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn truncate(call: &mut Call<'_>) -> Eval<Value> {
    let length = call.count("length")?.unwrap_or(255);
    let kill_words = call.flag("killwords", false)?;
    let end = call.text("end")?.unwrap_or_else(|| "...".to_owned());
    let leeway = call.count("leeway")?.unwrap_or(5);
    let text = call.input_text()?;
    if text.chars().count() <= length + leeway {
        return Ok(Value::from(text));
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = match kept.rsplit_once(' ') {
        Some((words, _)) if !kill_words => words,
        _ => &kept,
    };
    Ok(Value::from(format!("{kept}{end}")))
}

fn wordwrap(call: &mut Call<'_>) -> Eval<Value> {
    let width = call.count("width")?.unwrap_or(79).max(1);
    let break_long = call.flag("break_long_words", true)?;
    let between = call.text("wrapstring")?.unwrap_or_else(|| "\n".to_owned());
    let break_on_hyphens = call.flag("break_on_hyphens", true)?;
    let text = call.input_text()?;
    let mut lines = vec![];
    for paragraph in text.lines() {
        let before = lines.len();
        wrap(paragraph, width, break_long, break_on_hyphens, &mut lines);
        if lines.len() == before {
            lines.push(String::new());
        }
    }
    Ok(Value::from(lines.join(&between)))
}

fn wrap(paragraph: &str, width: usize, break_long: bool, break_on_hyphens: bool, lines: &mut Vec<String>) {
    let mut chunks: std::collections::VecDeque<String> = chunks(paragraph, break_on_hyphens).into();
    let mut line = String::new();
    let count = |text: &str| text.chars().count();
    while let Some(chunk) = chunks.pop_front() {
        if line.is_empty() && chunk.trim().is_empty() && !lines.is_empty() {
            continue;
        }
        if count(&line) + count(&chunk) <= width {
            line.push_str(&chunk);
            continue;
        }
        if break_long && count(&chunk) > width {
            let room = width - count(&line).min(width);
            if room > 0 {
                line.extend(chunk.chars().take(room));
            }
            chunks.push_front(chunk.chars().skip(room).collect());
        } else if line.is_empty() {
            line = chunk;
        } else {
            chunks.push_front(chunk);
        }
        let full = std::mem::take(&mut line);
        if !full.trim_end().is_empty() {
            lines.push(full.trim_end().to_owned());
        }
    }
    if !line.trim_end().is_empty() {
        lines.push(line.trim_end().to_owned());
    }
}

/// Words and the white space between them; words with hyphens in parts.
fn chunks(text: &str, break_on_hyphens: bool) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let mut previous: Option<char> = None;
    for c in text.chars() {
        let same_kind = previous.is_some_and(|p| p.is_whitespace() == c.is_whitespace());
        let after_hyphen = break_on_hyphens
            && previous == Some('-')
            && c.is_alphabetic()
            && out.last().is_some_and(|word| word.chars().rev().nth(1).is_some_and(char::is_alphabetic));
        match out.last_mut() {
            Some(chunk) if same_kind && !after_hyphen => chunk.push(c),
            _ => out.push(c.to_string()),
        }
        previous = Some(c);
    }
    out
}

fn wordcount(call: &mut Call<'_>) -> Eval<Value> {
    let text = call.input_text()?;
    Ok(Value::from(text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()))
}

fn center(call: &mut Call<'_>) -> Eval<Value> {
    let width = call.integer("width")?.unwrap_or(80);
    // Python puts the odd space on the left only when the width is odd.
    let text = call.input_text()?;
    let odd = width % 2 == 1;
    Ok(Value::from(methods::justify(&text, width, ' ', if odd { |n| n.div_ceil(2) } else { |n| n / 2 })))
}

fn format_text(call: &mut Call<'_>) -> Eval<Value> {
    let text = call.input_text()?;
    let args: Vec<Value> = call.args.drain(..).collect();
    let kwargs = std::mem::take(&mut call.kwargs);
    let arguments = match kwargs.is_empty() {
        true => Value::from(Tuple::from(args)),
        false => Value::from_pairs(kwargs),
    };
    format::percent(&text, &arguments).map(Value::from)
}

fn quote(call: &mut Call<'_>) -> Eval<Value> {
    let text = if call.input.is_none() { String::new() } else { call.input_text()? };
    Ok(Value::from(shell_quote(&text)))
}

/// As Python's `shlex.quote` writes it, which differs from [`crate::sh::quote`] in how it writes a single quote.
fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

fn striptags(call: &mut Call<'_>) -> Eval<Value> {
    let mut text = call.input_text()?;
    for (open, close) in [("<!--", "-->"), ("<", ">")] {
        while let Some(start) = text.find(open) {
            let Some(end) = text.get(start..).and_then(|rest| rest.find(close)) else { break };
            text.replace_range(start..start + end + close.len(), "");
        }
    }
    Ok(Value::from(text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

fn escape(call: &mut Call<'_>) -> Eval<Value> {
    let text = call.input_text()?;
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Ok(Value::from(text.replace('\'', "&#39;").replace('"', "&#34;")))
}

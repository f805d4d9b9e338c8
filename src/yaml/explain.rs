//! What is wrong with text that is not YAML, in words that help: the YAML parser only knows which token it did not expect,
//! and often notices it a line late.

use std::sync::Arc;

use super::Node;
use super::compose::MAX_DEPTH;
use crate::diagnostic::{Diagnostic, Source, Span};

/// One line of the text.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn containing(text: &'a str, offset: usize) -> Self {
        let offset = offset.min(text.len());
        let before = text.get(..offset).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(start..).unwrap_or_default();
        Self { start, text: rest.split('\n').next().unwrap_or_default().trim_end_matches('\r') }
    }

    /// The nearest line above that is neither blank nor a comment.
    fn above(self, text: &'a str) -> Option<Self> {
        let mut line = self;
        while line.start > 0 {
            line = Self::containing(text, line.start - 1);
            if !line.content().is_empty() && !line.content().starts_with('#') {
                return Some(line);
            }
        }
        None
    }

    fn content(self) -> &'a str {
        self.text.trim()
    }

    fn indent(self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    fn span(self, source: &Arc<Source>) -> Span {
        let start = self.start + self.indent();
        Span::new(source, start, start + self.content().len())
    }

    /// The key and the place of the value when this is `key: value` or `- key: value`.
    fn value_at(self) -> Option<usize> {
        let at = self.text.find(": ").map(|at| at + 2).or_else(|| {
            let indent = self.indent();
            self.text[indent..].starts_with("- ").then_some(indent + 2)
        })?;
        let value = &self.text[at..];
        Some(at + value.len() - value.trim_start().len())
    }
}

/// A message for an error of the YAML parser at a byte offset.
pub(super) fn scan_error(source: &Arc<Source>, offset: usize, info: &str) -> Diagnostic {
    let text = source.text.as_str();
    let here = Line::containing(text, offset);
    let above = here.above(text);
    let lines = || std::iter::once(here).chain(above).filter(|line| !line.content().is_empty());
    if let Some(diagnostic) = lines().find_map(|line| unquoted_template(source, line)) {
        return diagnostic;
    }
    if let Some(diagnostic) = tab(source, here, offset, info) {
        return diagnostic;
    }
    let sign = text.get(offset..).and_then(|rest| rest.chars().next());
    let at = Span::new(source, offset, offset + sign.map_or(0, char::len_utf8));
    let rest_of_line = text.get(offset..here.start + here.text.len()).unwrap_or_default();
    match info {
        _ if info.contains("unexpected end of stream") || info.contains("indentation in quoted scalar") => {
            unclosed_quote(source, offset).unwrap_or_else(|| generic(info, &at))
        }
        _ if info.contains("mapping values are not allowed") => misplaced_colon(source, here, above, &at),
        _ if info.starts_with("simple key expect") => {
            lines().find_map(|line| key_without_value(source, line)).unwrap_or_else(|| indentation(source, here, above))
        }
        _ if info.contains("did not find expected key") || info.contains("trailing content") => {
            after_quote(source, here, offset)
                .or_else(|| shallow_block_text(source, here))
                .or_else(|| above.and_then(|line| key_without_value(source, line)))
                .unwrap_or_else(|| indentation(source, here, above))
        }
        "invalid indentation" => indentation(source, here, above),
        _ if info.contains("expected '-' indicator") || info.contains("block sequence entries") => {
            indentation(source, here, above)
        }
        _ if info.starts_with("unexpected character") => {
            let sign =
                sign.map_or_else(String::new, |c| if c == '`' { "a backtick".to_owned() } else { format!("`{c}`") });
            Diagnostic::error(format!("an unquoted value cannot start with {sign}"))
                .at(&at)
                .hint(format!("put the value in quotes: {}", quoted(rest_of_line)))
        }
        _ if info.contains("unknown anchor") => {
            Diagnostic::error("this alias refers to an anchor that is not defined above it")
                .at(&word(source, offset))
                .hint("if the value is meant to start with `*`, put it in quotes")
        }
        _ if info.contains("flow sequence")
            || info.contains("flow mapping")
            || info.contains("illegal placement of ':'") =>
        {
            unclosed_bracket(source, offset, &at)
        }
        "misplaced bracket" => Diagnostic::error("this bracket closes nothing")
            .at(&at)
            .hint(format!("if it is meant to be text, put the value in quotes: {}", quoted(rest_of_line))),
        _ if info.contains("unknown escape character") => unknown_escape(source, offset),
        _ if info.contains("a block scalar, did not find expected comment") => {
            Diagnostic::error("there is text behind the sign that starts a block of text")
                .at(&Span::new(source, offset, offset + rest_of_line.len()))
                .hint("start the text on the next line, deeper than the key")
        }
        "recursion limit exceeded" => too_deep(&at),
        _ => generic(info, &at),
    }
}

/// Collections are nested deeper than anything people write.
pub(super) fn too_deep(at: &Span) -> Diagnostic {
    Diagnostic::error(format!("collections are nested deeper than {MAX_DEPTH}")).at(at)
}

/// A list or mapping stands where a key is expected: nearly always a template that is not quoted.
pub(super) fn collection_as_key(source: &Arc<Source>, mapping: &Span, key: &Node) -> Diagnostic {
    let text = source.text.as_str();
    let is_template = text.get(mapping.start..).is_some_and(|rest| rest.starts_with("{{"));
    if is_template {
        let line = Line::containing(text, mapping.start);
        return template_diagnostic(source, mapping.start, line);
    }
    Diagnostic::error(format!("{} cannot be a key", key.kind_name()))
        .at(&key.span)
        .hint("if this is meant to be text, put it in quotes")
}

/// A hint for text that stands where a mapping is expected and looks like `key:value`.
pub fn missing_space_hint(node: &Node) -> Option<String> {
    let text = node.as_str()?;
    let (key, value) = text.split_once(':')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (is_key && !value.starts_with([' ', '/'])).then(|| {
        format!("put a space after the colon: `{key}: {}`", value.lines().next().unwrap_or_default().trim_end())
    })
}

fn unquoted_template(source: &Arc<Source>, line: Line<'_>) -> Option<Diagnostic> {
    let at = line.value_at()?;
    line.text[at..].starts_with("{{").then(|| template_diagnostic(source, line.start + at, line))
}

fn template_diagnostic(source: &Arc<Source>, start: usize, line: Line<'_>) -> Diagnostic {
    let value = line.text.get(start - line.start..).unwrap_or_default();
    let value = value.split(" #").next().unwrap_or(value).trim_end();
    Diagnostic::error("a value that starts with a template must be quoted")
        .at(&Span::new(source, start, start + value.len()))
        .label("YAML reads `{` as the start of a mapping")
        .hint(format!("write {}", quoted(value)))
}

fn quoted(value: &str) -> String {
    let value = value.trim();
    if value.contains('`') {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else if value.contains('"') || value.contains('\\') {
        format!("`'{}'`", value.replace('\'', "''"))
    } else {
        format!("`\"{value}\"`")
    }
}

fn tab(source: &Arc<Source>, line: Line<'_>, offset: usize, info: &str) -> Option<Diagnostic> {
    let in_indent = |line: Line<'_>| line.text[..line.indent()].find('\t').map(|at| line.start + at);
    let at = match in_indent(line) {
        Some(at) => at,
        None if info.contains("tab") => {
            let below = source.text.get(offset..)?;
            let breaks = below.match_indices('\n').map(|(at, _)| offset + at + 1);
            breaks.map(|at| Line::containing(&source.text, at)).find_map(in_indent)?
        }
        None => return None,
    };
    Some(
        Diagnostic::error("a tab is used for indentation")
            .at(&Span::new(source, at, at + 1))
            .hint("YAML is indented with spaces only: replace the tab by spaces"),
    )
}

fn unclosed_quote(source: &Arc<Source>, offset: usize) -> Option<Diagnostic> {
    // The parser points at the quote, or at the end of the text.
    let before = source.text.get(..=offset.min(source.text.len().checked_sub(1)?))?;
    let at = before.match_indices(['"', '\'']).map(|(at, _)| at).rfind(|at| {
        let lead = before[..*at].trim_end_matches(' ');
        lead.is_empty() || lead.ends_with([':', '-', '[', '{', ',', '\n'])
    })?;
    let quote = &before[at..=at];
    Some(
        Diagnostic::error(format!("this {quote} is never closed"))
            .at(&Span::new(source, at, at + 1))
            .hint(format!("add the closing {quote}, or put the whole value in the other kind of quotes")),
    )
}

fn unknown_escape(source: &Arc<Source>, offset: usize) -> Diagnostic {
    let rest = source.text.get(offset..).unwrap_or_default();
    let mut signs = rest.char_indices();
    let mut found = None;
    while let Some((at, sign)) = signs.next() {
        if sign == '\\'
            && let Some((_, code)) = signs.next()
            && !"0abtnvfre \"/\\N_LPxuU\t\n\r".contains(code)
        {
            found = Some((offset + at, code));
            break;
        }
    }
    match found {
        Some((at, code)) => Diagnostic::error(format!("`\\{code}` means nothing in double quotes"))
            .at(&Span::new(source, at, at + 1 + code.len_utf8()))
            .hint("use single quotes, in which a backslash is just a backslash, or write `\\\\`"),
        None => generic("unknown escape sequence", &word(source, offset)),
    }
}

/// `key: "quoted" and more`
fn after_quote(source: &Arc<Source>, line: Line<'_>, offset: usize) -> Option<Diagnostic> {
    let value_at = line.value_at()?;
    let value = &line.text[value_at..];
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let start = offset.max(line.start + value_at);
    (start > line.start + value_at).then(|| {
        let other = if quote == '"' { '\'' } else { '"' };
        Diagnostic::error("there is text after the closing quote")
            .at(&Span::new(source, start, line.start + line.text.trim_end().len()))
            .hint(format!("put the whole value in quotes of the other kind: {other}{}{other}", value.trim_end()))
    })
}

/// `a: b: c`, or a key that stands deeper than its siblings.
fn misplaced_colon(source: &Arc<Source>, here: Line<'_>, above: Option<Line<'_>>, at: &Span) -> Diagnostic {
    let column = at.start.saturating_sub(here.start);
    let before = here.text.get(..column).unwrap_or_default();
    if before.contains(": ") {
        let value = here.value_at().and_then(|at| here.text.get(at..)).unwrap_or_default();
        return Diagnostic::error("an unquoted value cannot contain `: `")
            .at(at)
            .hint(format!("put the value in quotes: {}", quoted(value)));
    }
    indentation(source, here, above)
}

/// A line that should be `key: value` and is not.
fn key_without_value(source: &Arc<Source>, line: Line<'_>) -> Option<Diagnostic> {
    let content = line.content().trim_start_matches("- ");
    if content.contains(": ") || content.ends_with(':') || content.starts_with(['-', '"', '\'', '[', '{']) {
        return None;
    }
    let diagnostic = Diagnostic::error("expected `key: value` here").at(&line.span(source));
    Some(match content.split_once(':') {
        Some((key, value)) if !value.starts_with("//") => {
            diagnostic.hint(format!("put a space after the colon: `{key}: {value}`"))
        }
        _ => match content.split_once('=') {
            Some((key, value)) if !key.contains(' ') => diagnostic.hint(format!("write `{key}: {value}`")),
            _ => diagnostic.hint(format!("is a colon missing: `{content}:`?")),
        },
    })
}

/// A line of a `|` or `>` text that starts further left than the first one.
fn shallow_block_text(source: &Arc<Source>, here: Line<'_>) -> Option<Diagnostic> {
    let mut first = None;
    let mut line = here;
    while let Some(above) = line.above(&source.text) {
        if above.indent() < here.indent() {
            let header = above.content().split(" #").next().unwrap_or_default().trim_end_matches(['+', '-']);
            let first: Line<'_> = first.filter(|_| header.ends_with(['|', '>']))?;
            return Some(
                Diagnostic::error("this line of a block of text starts further left than its first line")
                    .at(&here.span(source))
                    .related(&first.span(source), format!("the text starts in column {}", first.indent() + 1))
                    .hint(format!("start the line in column {} or further right", first.indent() + 1)),
            );
        }
        first = Some(above);
        line = above;
    }
    None
}

fn indentation(source: &Arc<Source>, here: Line<'_>, above: Option<Line<'_>>) -> Diagnostic {
    let diagnostic = Diagnostic::error("wrong indentation").at(&here.span(source));
    let general =
        "items of one list, and keys of one mapping, start in the same column; what belongs to a key stands deeper";
    let Some(above) = above else { return diagnostic.hint(general) };
    let indent = here.indent();
    let diagnostic = diagnostic.label(format!("starts in column {}", indent + 1));
    if indent > above.indent() && above.value_at().is_some() && !above.content().ends_with(':') {
        let name = above.content().trim_start_matches("- ").split(':').next().unwrap_or_default();
        let column = above.indent() + 1 + if above.content().starts_with("- ") { 2 } else { 0 };
        return diagnostic
            .related(&above.span(source), format!("`{name}` has a value already"))
            .hint(format!("start this line in column {column}, like `{name}`"));
    }
    // The lines that the collections around this line started or go on in; the one that is nearest was probably meant.
    let mut around = vec![above];
    let mut line = above;
    while let Some(next) = line.above(&source.text) {
        if around.last().is_some_and(|last| next.indent() < last.indent()) {
            around.push(next);
        }
        line = next;
    }
    let is_item = here.content().starts_with("- ");
    if let Some(other) = around.iter().find(|line| line.indent() == indent) {
        let (this, that) = if is_item { ("a list item", "a key") } else { ("a key", "a list item") };
        if other.content().starts_with("- ") != is_item {
            return diagnostic
                .related(&other.span(source), format!("{that} in the same column"))
                .hint(format!("{this} cannot follow {that} in one collection: indent it by two more, or by less"));
        }
        return diagnostic.related(&other.span(source), "starts in the same column").hint(general);
    }
    let nearest = around.iter().rev().filter(|line| line.content().starts_with("- ") == is_item);
    match nearest.min_by_key(|line| line.indent().abs_diff(indent)) {
        Some(line) => diagnostic
            .related(&line.span(source), format!("this starts in column {}", line.indent() + 1))
            .hint(format!("should it start in column {}? {general}", line.indent() + 1)),
        None => diagnostic.hint(general),
    }
}

fn unclosed_bracket(source: &Arc<Source>, offset: usize, at: &Span) -> Diagnostic {
    // The last bracket before the place that is still open; quotes are not looked into.
    let mut closed = 0_usize;
    let before = source.text.get(..offset).unwrap_or_default();
    let opener = before.char_indices().rev().find(|(_, c)| {
        match c {
            ']' | '}' => closed += 1,
            '[' | '{' if closed == 0 => return true,
            '[' | '{' => closed -= 1,
            _ => {}
        }
        false
    });
    match opener {
        Some((start, open)) => Diagnostic::error(format!("expected `,` or `{}`", if open == '[' { ']' } else { '}' }))
            .at(at)
            .related(&Span::new(source, start, start + 1), format!("this `{open}` is still open")),
        None => Diagnostic::error("expected `,` or a closing bracket").at(at),
    }
}

fn word(source: &Arc<Source>, offset: usize) -> Span {
    let rest = source.text.get(offset..).unwrap_or_default();
    let length = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(rest.len());
    Span::new(source, offset, offset + length)
}

fn generic(info: &str, at: &Span) -> Diagnostic {
    let info = info.strip_prefix("while ").map_or(info, |rest| rest.split_once(", ").map_or(rest, |(_, what)| what));
    Diagnostic::error(format!("this is not valid YAML: {info}")).at(at)
}

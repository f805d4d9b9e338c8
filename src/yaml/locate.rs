//! Where a part of a string's value stands in the file: templates are parsed from the value, and their errors must point into
//! what the user wrote.

use std::ops::Range;

use super::Node;
use crate::diagnostic::Span;

impl Node {
    /// The place of a range of bytes of this string's value. Exact unless the text was folded or escaped in a way that
    /// cannot be followed, in which case it is the whole node.
    pub fn span_within(&self, range: Range<usize>) -> Span {
        self.locate(range).unwrap_or_else(|| self.span.clone())
    }

    fn locate(&self, range: Range<usize>) -> Option<Span> {
        let value = self.as_str()?;
        let raw = self.span.source.text.get(self.span.start..self.span.end)?;
        let body = Body::of(raw)?;
        let mut at = body.start;
        let mut start = (range.start >= value.len()).then_some(raw.len());
        let mut end = None;
        for (offset, wanted) in value.char_indices() {
            if offset >= range.end && end.is_some() {
                break;
            }
            let (from, to) = body.next(raw, at, wanted)?;
            if offset <= range.start {
                start = Some(from);
            }
            if offset < range.end {
                end = Some(to);
            }
            at = to;
        }
        let start = start?;
        let end = end.unwrap_or(start).max(start);
        Some(Span::new(&self.span.source, self.span.start + start, self.span.start + end))
    }
}

/// How the text of a scalar is written.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Block,
}

#[derive(Clone, Copy)]
struct Body {
    style: Style,
    /// Where the content starts.
    start: usize,
}

impl Body {
    fn of(raw: &str) -> Option<Self> {
        let mut at = 0;
        // Tags and anchors stand in front of the text and belong to the node.
        while raw[at..].starts_with(['!', '&']) {
            at += raw[at..].find(char::is_whitespace)?;
            at += raw[at..].find(|c: char| !c.is_whitespace())?;
        }
        let (style, start) = match raw[at..].chars().next()? {
            '\'' => (Style::Single, at + 1),
            '"' => (Style::Double, at + 1),
            '|' | '>' => (Style::Block, at + raw[at..].find('\n')? + 1),
            _ => (Style::Plain, at),
        };
        Some(Self { style, start })
    }

    /// Where the next character of the value stands at or after `at`: its first byte and the byte after it.
    fn next(self, raw: &str, at: usize, wanted: char) -> Option<(usize, usize)> {
        let rest = raw.get(at..)?;
        let Some(first) = rest.chars().next() else {
            // The line break at the end of a block scalar is not part of the node.
            return (wanted == '\n').then_some((at, at));
        };
        if self.style == Style::Double && first == '\\' {
            return escape(rest, wanted).map(|(skip, length)| (at + skip, at + skip + length));
        }
        if self.style == Style::Single && rest.starts_with("''") {
            return (wanted == '\'').then_some((at, at + 2));
        }
        if first == wanted {
            return Some((at, at + first.len_utf8()));
        }
        if !first.is_whitespace() {
            return None;
        }
        // Indentation that is not content, or a line break folded to a space.
        let skipped = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        if wanted.is_whitespace() { Some((at, at + skipped)) } else { self.next(raw, at + skipped, wanted) }
    }
}

/// An escape sequence of a double-quoted text: how much of an escaped line break comes before it, and its length.
fn escape(rest: &str, wanted: char) -> Option<(usize, usize)> {
    let code = rest[1..].chars().next()?;
    if code == '\n' || code == '\r' {
        let skip = 1 + rest[1..].find(|c: char| !c.is_whitespace())?;
        let next = rest[skip..].chars().next()?;
        if next == '\\' {
            return escape(&rest[skip..], wanted).map(|(more, length)| (skip + more, length));
        }
        return (next == wanted).then_some((skip, next.len_utf8()));
    }
    let digits = match code {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    Some((0, 1 + code.len_utf8() + digits))
}

//! From bytes of a template to the place in the user's file.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Source, Span};
use crate::yaml::{Kind, Node};

/// Where the text of a template stands.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a scalar of a YAML file, or on a command line.
    Node(Span),
    /// It is a file; the number of bytes before the template starts (a `#jinja2:` header).
    File(Arc<Source>, usize),
}

impl Place {
    /// The place of some bytes of the template.
    pub fn span(&self, text: &str, range: &Range<usize>) -> Span {
        let range = &whole_characters(text, range);
        match self {
            Self::Node(span) => inside(span, text, range),
            Self::File(source, before) => Span::new(source, range.start + before, range.end + before),
        }
    }
}

/// The place of some bytes of a scalar's value, which quotes, escapes and folding make differ from what is written.
pub fn inside(span: &Span, text: &str, range: &Range<usize>) -> Span {
    let range = whole_characters(text, range);
    let written = span.source.text.get(span.start..span.end).unwrap_or_default();
    if let Some(start) = written.find(text) {
        let start = span.start + start;
        return Span::new(&span.source, start + range.start, start + range.end);
    }
    Node::new(Kind::Str(text.into()), span.clone()).span_within(range.clone())
}

/// The range within the text, from the start of a character to the end of one. The parser's ranges may end behind the
/// text when it ends too early.
fn whole_characters(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    start..text.ceil_char_boundary(range.end).max(start)
}

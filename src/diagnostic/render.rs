//! Diagnostics as text: `error: message`, the source line with a caret, related places, then hints.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};

use super::{Diagnostic, Severity, Source, Span};

/// Renders one diagnostic; `color` allows ANSI colours. The text ends without a newline.
pub fn render(diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    let mut places = Places::default();
    if let Some(span) = &diagnostic.span {
        places.add(span, diagnostic.label.as_deref(), AnnotationKind::Primary);
    }
    for (span, label) in &diagnostic.related {
        places.add(span, Some(label), AnnotationKind::Context);
    }
    for (source, marks) in &places.0 {
        group = if source.text.is_empty() {
            let line = marks.first().map_or(1, |mark| source.line_col(mark.start).0);
            group.element(Origin::path(source.name.as_str()).line(line))
        } else {
            let (line, start, end) = window(source, marks);
            let annotations = marks
                .iter()
                .map(|mark| mark.kind.span(mark.range.start - start..mark.range.end - start).label(mark.label));
            let text = source.text.get(start..end).unwrap_or_default();
            group.element(Snippet::source(text).line_start(line).path(source.name.as_str()).annotations(annotations))
        };
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.decor_style(DecorStyle::Ascii).render(&[group]);
    if !diagnostic.hints.is_empty() {
        let (on, off) = if color {
            let style = anstyle::AnsiColor::Cyan.on_default().bold();
            (style.render().to_string(), style.render_reset().to_string())
        } else {
            (String::new(), String::new())
        };
        text.push('\n');
        for hint in &diagnostic.hints {
            let hint = hint.replace('\n', "\n      ");
            text.push_str(&format!("\n{on}hint{off}: {hint}"));
        }
    }
    text
}

/// The lines of a place in a source: `--> file:line:col`, the source line and a caret.
pub fn snippet(span: &Span, color: bool) -> Vec<String> {
    let text = render(&Diagnostic::error("").at(span), color);
    text.lines().skip(1).map(str::to_owned).collect()
}

/// One place to show in a source.
struct Mark<'a> {
    /// Where it starts, also in a text that is not there to be shown.
    start: usize,
    range: Range<usize>,
    label: Option<&'a str>,
    kind: AnnotationKind,
}

/// The places of a diagnostic by source, the source of the primary one first.
#[derive(Default)]
struct Places<'a>(Vec<(&'a Source, Vec<Mark<'a>>)>);

impl<'a> Places<'a> {
    fn add(&mut self, span: &'a Span, label: Option<&'a str>, kind: AnnotationKind) {
        let mark = Mark { start: span.start, range: visible(span), label, kind };
        match self.0.iter_mut().find(|(source, _)| std::ptr::eq(*source, &raw const *span.source)) {
            Some((_, marks)) => marks.push(mark),
            None => self.0.push((&span.source, vec![mark])),
        }
    }
}

/// The number of the first marked line, where it starts, and where the last one ends. The renderer reads every line it is given,
/// so giving it the whole file would make many messages about a long file slow.
fn window(source: &Source, marks: &[Mark<'_>]) -> (usize, usize, usize) {
    let first = marks.iter().map(|mark| mark.range.start).min().unwrap_or(0);
    let last = marks.iter().map(|mark| mark.range.end).max().unwrap_or(first);
    let line = source.line_col(first).0;
    let rest = source.text.get(last..).unwrap_or_default();
    let end = last + rest.lines().next().unwrap_or_default().len();
    (line, source.line_start(line), end)
}

/// No more than this many bytes are underlined: the start of a long value (a ciphertext) says where it is, and the line stays
/// readable.
const LONGEST: usize = 60;

/// The part of a span that is underlined: no more than its first line, on character boundaries.
fn visible(span: &Span) -> Range<usize> {
    let text = &span.source.text;
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let end = floor(span.end.min(start + LONGEST));
    let marked = text.get(start..end).unwrap_or_default();
    let length = marked.find(['\n', '\r']).unwrap_or(marked.len());
    start..start + length
}

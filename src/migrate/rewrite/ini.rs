//! Options of INI files, with ConfigObj's nested sections, quotes and comments behind values.

use std::ops::Range;

use super::{Editor, Wanted};
use crate::service::ini::{Kind, lines};

/// Finds what the rule names.
pub(super) fn scan(text: &str, editor: &mut Editor<'_>) {
    let mut sections: Vec<&str> = vec![];
    for line in lines(text) {
        match line.kind {
            Kind::Section { depth, name } => {
                sections.truncate(depth - 1);
                // A nested section without one above it still has its depth.
                sections.resize(depth - 1, "");
                sections.push(name);
            }
            Kind::Option { name, value } => {
                let steps: Vec<&str> = sections.iter().copied().chain([name]).collect();
                option(text, &steps, &value, editor);
            }
            Kind::Other => {}
        }
    }
}

fn option(text: &str, steps: &[&str], at: &Range<usize>, editor: &mut Editor<'_>) {
    let written = text.get(at.clone()).unwrap_or_default();
    let inner = value_in(written);
    let value = written.get(inner.clone()).unwrap_or_default();
    let new = match editor.wanted(steps) {
        Wanted::Nothing => return,
        Wanted::Value(wanted) => wanted.to_owned(),
        Wanted::Path => paths(value, steps, editor),
    };
    if new != value {
        editor.note(steps, value, &new);
        editor.edits.push((at.start + inner.start..at.start + inner.end, new));
    }
}

/// The value without its quotes or the comment behind it.
fn value_in(written: &str) -> Range<usize> {
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        let Some(rest) = written.strip_prefix(quote) else { continue };
        if let Some(end) = rest.find(quote) {
            let after = rest.get(end + quote.len()..).unwrap_or_default().trim_start();
            if after.is_empty() || after.starts_with('#') {
                return quote.len()..quote.len() + end;
            }
        }
    }
    let comment = written.match_indices('#').map(|(at, _)| at);
    let end = comment
        .filter(|at| written.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t'])))
        .min()
        .unwrap_or(written.len());
    0..written.get(..end).unwrap_or_default().trim_end().len()
}

/// A path, or several with commas between them: a comma is between two paths when the next thing is a path as well.
fn paths(value: &str, steps: &[&str], editor: &mut Editor<'_>) -> String {
    let mut out = String::new();
    let mut rest = value;
    loop {
        let next = rest.match_indices(',').map(|(at, _)| at).find(|at| {
            let after = rest.get(at + 1..).unwrap_or_default().trim_start_matches([' ', '"', '\'']);
            after.starts_with('/')
        });
        let item = rest.get(..next.unwrap_or(rest.len())).unwrap_or_default();
        let path = item.trim_matches([' ', '"', '\'']);
        let start = item.find(path).unwrap_or_default();
        let mapped = editor.path(steps, path);
        out.push_str(item.get(..start).unwrap_or_default());
        out.push_str(mapped.as_deref().unwrap_or(path));
        out.push_str(item.get(start + path.len()..).unwrap_or_default());
        let Some(next) = next else { return out };
        out.push(',');
        rest = rest.get(next + 1..).unwrap_or_default();
    }
}

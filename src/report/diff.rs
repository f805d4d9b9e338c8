//! Diffs as unified text.

use similar::TextDiff;

use crate::modules::Diff;
use crate::ui::{Paint, Style};

/// A diff as the lines of a unified diff with three lines of context. Binary content is only named.
pub fn unified(diff: &Diff, paint: Paint) -> Vec<String> {
    if [&diff.before, &diff.after].iter().any(|text| text.contains('\0') || text.contains('\u{FFFD}')) {
        return vec![format!("binary content of {} differs", diff.after_header)];
    }
    let text = TextDiff::from_lines(&diff.before, &diff.after);
    let header = |header: &str, other: &str| if header.is_empty() { other.to_owned() } else { header.to_owned() };
    let before = header(&diff.before_header, "before");
    let after = header(&diff.after_header, "after");
    text.unified_diff()
        .context_radius(3)
        .header(&before, &after)
        .to_string()
        .lines()
        .map(|line| match line.as_bytes().first() {
            Some(b'+') => paint.text(Style::Added, line),
            Some(b'-') => paint.text(Style::Removed, line),
            Some(b'@') => paint.text(Style::Dim, line),
            _ => line.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_with_context() {
        let diff = Diff {
            before_header: "/etc/a".into(),
            after_header: "/etc/a".into(),
            before: "one\ntwo\nthree\n".into(),
            after: "one\n2\nthree\n".into(),
        };
        let lines = unified(&diff, Paint::new(false));
        assert_eq!(lines, ["--- /etc/a", "+++ /etc/a", "@@ -1,3 +1,3 @@", " one", "-two", "+2", " three"]);
    }
}

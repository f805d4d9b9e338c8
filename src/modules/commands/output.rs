//! What a command wrote, as Ansible's results hold it.

use crate::connection::Answer;
use crate::value::{Fields, Value};

/// The lines of a text by the rules of Python's `str.splitlines`, which knows more line ends than `\n`.
pub(in crate::modules) fn lines(text: &str) -> Vec<&str> {
    const ENDS: &[char] = &['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut lines = vec![];
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(ENDS).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        lines.push(line);
        let mut after = tail.chars();
        let first = after.next();
        rest = after.as_str();
        if first == Some('\r') {
            rest = rest.strip_prefix('\n').unwrap_or(rest);
        }
    }
    lines
}

/// Sets a text and its `_lines`.
pub(in crate::modules) fn set_text(fields: &mut Fields, name: &str, text: &str) {
    fields.insert(name.to_owned(), Value::from(text));
    fields.insert(format!("{name}_lines"), lines(text).into_iter().map(Value::from).collect());
}

/// Sets `stdout`, `stderr` and their `_lines` from an answer; `strip` takes line ends off the ends, as `command` does.
pub(in crate::modules) fn set_output(fields: &mut Fields, answer: &Answer, strip: bool) {
    for (name, text) in [("stdout", answer.stdout_text()), ("stderr", answer.stderr_text())] {
        let text = if strip { text.trim_end_matches(['\r', '\n']) } else { &*text };
        set_text(fields, name, text);
    }
}

/// A short name of a command for a summary: its first line. It is cut to a readable length where it is shown, after secrets
/// were masked: half of a secret could not be found any more.
pub(in crate::modules) fn title(command: &str) -> String {
    let mut lines = command.trim().lines();
    let line = lines.next().unwrap_or_default();
    let more = if lines.next().is_some() { "…" } else { "" };
    format!("{line}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_lines_as_python_does() {
        assert_eq!(lines("a\r\nb\rc\n\nd"), ["a", "b", "c", "", "d"]);
        assert_eq!(lines("a\u{2028}b\n"), ["a", "b"]);
        assert!(lines("").is_empty());
    }
}

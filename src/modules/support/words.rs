//! Command lines taken apart as Python's `shlex.split` does.

use crate::modules::Failure;

/// The words of a command line: quotes and backslashes as in a POSIX shell, nothing expanded.
pub fn split(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(unclosed(text)),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(unclosed(text)),
                        },
                        Some(c) => word.push(c),
                        None => return Err(unclosed(text)),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(Failure::new(format!("`{text}` ends with a backslash"))),
            },
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn unclosed(text: &str) -> Failure {
    Failure::new(format!("a quotation mark is not closed in `{text}`"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_shlex_does() {
        assert_eq!(split(r#"a 'b c'd "e\"f\n" \g ''"#).unwrap(), ["a", "b cd", r#"e"f\n"#, "g", ""]);
        assert!(split("a 'b").is_err());
        assert!(split("a\\").is_err());
    }
}

//! Text of systemd and Quadlet units, and their quoting.
//!
//! Quadlet copies values into the `ExecStart=` line of the service it generates, after splitting some of them into words.
//! systemd then expands `%` specifiers and `$` variables there. So both signs are doubled in everything that lands on
//! that line, and words that Quadlet splits are quoted as systemd quotes (systemd.syntax(7), systemd.service(5)).

use std::fmt;

/// A unit under construction: sections of key and value in the order they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    comment: String,
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: &'static str,
    lines: Vec<(&'static str, String)>,
}

impl Unit {
    /// An empty unit; the comment says who wrote it.
    pub fn new(comment: impl Into<String>) -> Self {
        Self { comment: comment.into(), sections: vec![] }
    }

    /// Starts a section.
    pub fn section(&mut self, name: &'static str) {
        self.sections.push(Section { name, lines: vec![] });
    }

    /// Adds a line whose value is already quoted.
    pub fn line(&mut self, key: &'static str, value: impl fmt::Display) {
        if let Some(section) = self.sections.last_mut() {
            section.lines.push((key, value.to_string()));
        }
    }

    /// Section, key and value of every line.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        self.sections
            .iter()
            .flat_map(|section| section.lines.iter().map(|(key, value)| (section.name, *key, value.as_str())))
    }

    /// The first value that cannot stand on one line of a unit file: such text would become other keys.
    pub fn broken(&self) -> Option<(&'static str, &str)> {
        let bad =
            |value: &str| value.contains(|c: char| c.is_control()) || value.ends_with('\\') || value != value.trim();
        self.entries().find(|(_, _, value)| bad(value)).map(|(_, key, value)| (key, value))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", self.comment)?;
        for section in self.sections.iter().filter(|section| !section.lines.is_empty()) {
            writeln!(f, "\n[{}]", section.name)?;
            for (key, value) in &section.lines {
                writeln!(f, "{key}={value}")?;
            }
        }
        Ok(())
    }
}

/// Text for a key that systemd itself reads: `%` is doubled.
pub fn literal(text: &str) -> String {
    text.replace('%', "%%")
}

/// Text for a key that Quadlet puts on the command line as one word: `%` and `$` are doubled.
pub fn on_command_line(text: &str) -> String {
    literal(text).replace('$', "$$")
}

/// One word for a key that Quadlet splits into words and puts on the command line.
pub fn word(text: &str) -> String {
    let text = on_command_line(text);
    let special = |c: char| c.is_whitespace() || c.is_control() || "\"'\\;".contains(c);
    if !text.is_empty() && !text.contains(special) {
        return text;
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Words joined by spaces.
pub fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The word that [`word`] quoted.
pub fn unquote(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut text = String::new();
    let mut chars = inner.unwrap_or(quoted).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if inner.is_some() => match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    text.extend(u8::from_str_radix(&digits, 16).map(char::from));
                }
                Some(c) => text.push(c),
                None => {}
            },
            '%' | '$' if chars.peek() == Some(&c) => {
                chars.next();
                text.push(c);
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_words() {
        for (text, quoted) in [
            ("plain=1", "plain=1"),
            ("", "\"\""),
            ("A=b c", "\"A=b c\""),
            ("50%", "50%%"),
            ("$HOME", "$$HOME"),
            ("it's \"so\"", "\"it's \\\"so\\\"\""),
            ("a\nb\\c\u{1}", "\"a\\nb\\\\c\\x01\""),
        ] {
            assert_eq!(word(text), quoted);
            assert_eq!(unquote(quoted), text, "{quoted}");
        }
    }

    #[test]
    fn a_value_never_becomes_another_line() {
        let mut unit = Unit::new("x");
        unit.section("Container");
        unit.line("HostName", "a\nPodmanArgs=--privileged");
        assert_eq!(unit.broken().map(|(key, _)| key), Some("HostName"));
    }
}

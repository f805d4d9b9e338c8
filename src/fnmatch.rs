//! Shell patterns over names as Python's `fnmatch` has them, and so Ansible, in patterns of hosts, of tasks, of packages and of file names:
//! `*`, `?`, `[…]` and `[!…]`, case included; `/` and a leading dot are nothing special.
//!
//! Patterns that programs of others define are not these: `known_hosts` has no `[…]`, `tar` and `find` know `\`.

use regex::Regex;

/// A pattern that can be asked.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    // Nothing when the pattern is too large to be compiled: it matches itself alone.
    regex: Option<Regex>,
}

impl Pattern {
    /// Reads a pattern. There is none that is wrong.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), regex: Regex::new(&translate(text)).ok() }
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.as_ref().map_or(self.text == name, |regex| regex.is_match(name))
    }

    /// Whether the name matches, or is the pattern itself: for names that may hold brackets.
    pub fn matches_or_is(&self, name: &str) -> bool {
        self.text == name || self.matches(name)
    }
}

/// Whether a whole name matches a pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).matches(name)
}

/// The regular expression, of `regex` and of `fancy_regex`, that matches the names that a pattern does.
pub fn translate(pattern: &str) -> String {
    let mut out = String::from(r"\A(?s:");
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => match set_of(rest.as_str()) {
                Some((set, after)) => {
                    out.push_str(&class(set));
                    rest = after.chars();
                }
                None => out.push_str(r"\["),
            },
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push_str(r")\z");
    out
}

/// What stands between brackets, and what comes after them. A `]` that comes first, or after `!`, is a member.
fn set_of(rest: &str) -> Option<(&str, &str)> {
    let start = usize::from(rest.starts_with('!'));
    let first = rest.get(start..)?.chars().next()?.len_utf8();
    let end = start + first + rest.get(start + first..)?.find(']')?;
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

/// A set as a class. A range that runs backwards has no members.
fn class(set: &str) -> String {
    let (negated, members) = set.strip_prefix('!').map_or((false, set), |members| (true, members));
    let escaped = |c: char| if r"\[]^-&~|".contains(c) { format!(r"\{c}") } else { c.to_string() };
    let mut text = String::new();
    let mut rest = members.chars();
    while let Some(from) = rest.next() {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                if from <= to {
                    text.push_str(&format!("{}-{}", escaped(from), escaped(to)));
                }
                rest = ahead;
            }
            _ => text.push_str(&escaped(from)),
        }
    }
    match (text.is_empty(), negated) {
        (false, false) => format!("[{text}]"),
        (false, true) => format!("[^{text}]"),
        (true, false) => r"[^\s\S]".to_owned(),
        (true, true) => ".".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Patterns, names, and what Python 3.11 says of them.
    const CASES: &[(&str, &str, bool)] = &[
        ("1.0*", "1.0-1", true),
        ("1.?", "1.10", false),
        ("a.c", "abc", false),
        ("*.yml", "a\nb.yml", true),
        ("a", "a\n", false),
        ("[!a]b", "cb", true),
        ("[!a]b", "ab", false),
        ("[ab]+", "a+", true),
        ("[^a]", "^", true),
        ("[^a]", "b", false),
        ("[", "[", true),
        ("a[b", "a[b", true),
        ("[!", "[!", true),
        ("[]", "[]", true),
        ("[]]", "]", true),
        ("[!]]", "]", false),
        ("[!]x]?", "ab", true),
        ("[!]x]?", "]b", false),
        ("[a-c]", "b", true),
        ("[a-c]", "-", false),
        ("[a-c-e]", "-", true),
        ("[a-c-e]", "d", false),
        ("[-a]", "-", true),
        ("[a-]", "-", true),
        ("[c-a]", "b", false),
        ("[c-a]", "-", false),
        ("[!c-a]", "b", true),
        ("[c-ax]", "x", true),
        (r"[\]", r"\", true),
        (r"a\*", r"a\b", true),
        ("[a&&b]", "&", true),
        ("[a~|[]", "[", true),
        ("*[^]*", "x^y", true),
        ("[é-ü]", "ö", true),
        ("", "", true),
        ("Web*", "web1", false),
        ("*", ".hidden/x", true),
    ];

    #[test]
    fn as_python_has_them() {
        for (pattern, name, expected) in CASES {
            assert_eq!(matches(pattern, name), *expected, "{pattern} {name}");
            let fancy = fancy_regex::Regex::new(&translate(pattern)).unwrap();
            assert_eq!(fancy.is_match(name).unwrap(), *expected, "{pattern} {name} (fancy)");
        }
        assert!(Pattern::new("Install [x]").matches_or_is("Install [x]"));
    }
}

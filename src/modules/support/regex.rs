//! Python's `re` on top of fancy-regex: patterns are translated where the dialects differ, and replacement templates
//! (`\1`, `\g<name>`) are expanded as `re.sub` does.

use fancy_regex::{Captures, Regex};

use crate::modules::Failure;

/// Python's flags that modules turn on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// `re.M`: `^` and `$` match at every line.
    pub multiline: bool,
    /// `re.S`: `.` matches newlines.
    pub dot_all: bool,
    /// `re.I`.
    pub ignore_case: bool,
}

/// Compiles a pattern written for Python's `re`.
pub fn compile(pattern: &str, flags: Flags) -> Result<Regex, Failure> {
    let mut letters = String::new();
    for (on, letter) in [(flags.multiline, 'm'), (flags.dot_all, 's'), (flags.ignore_case, 'i')] {
        if on {
            letters.push(letter);
        }
    }
    let multiline = flags.multiline || leading_flags(pattern).contains('m');
    let mut translated = translate(pattern, multiline);
    if !letters.is_empty() {
        translated = format!("(?{letters}){translated}");
    }
    Regex::new(&translated).map_err(|error| Failure::new(format!("`{pattern}` is not a regular expression: {error}")))
}

fn leading_flags(pattern: &str) -> &str {
    pattern
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'))
        .map_or("", |(flags, _)| if flags.chars().all(|c| c.is_ascii_lowercase()) { flags } else { "" })
}

/// The pattern in the dialect of fancy-regex: `$` before a last newline, `\Z`, literal braces and brackets, comments, and the
/// set operators of Rust's classes, which are literal characters in Python.
pub fn translate(pattern: &str, multiline: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let chars: Vec<char> = pattern.chars().collect();
    let at = |index: usize| chars.get(index).copied();
    let mut index = 0;
    let mut class_start: Option<usize> = None;
    while let Some(c) = at(index) {
        match (c, class_start) {
            ('\\', _) => {
                index += 1;
                match (at(index), class_start) {
                    (Some('Z'), None) => out.push_str(r"\z"),
                    (Some('0'), _) => out.push_str(r"\x00"),
                    (Some(plain @ ('<' | '>')), _) => out.push(plain),
                    (Some(escaped), _) => {
                        out.push('\\');
                        out.push(escaped);
                    }
                    (None, _) => out.push('\\'),
                }
            }
            // A `]` that comes first is literal.
            (']', Some(start)) if index > start => {
                out.push(']');
                class_start = None;
            }
            ('[' | ']' | '&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            (_, Some(_)) => out.push(c),
            ('[', None) => {
                out.push('[');
                if at(index + 1) == Some('^') {
                    out.push('^');
                    index += 1;
                }
                class_start = Some(index + 1);
            }
            ('$', None) if !multiline => out.push_str(r"(?=\n?\z)"),
            ('{', None) if !is_quantifier(&chars[index..]) => out.push_str(r"\{"),
            ('(', None) if at(index + 1) == Some('?') && at(index + 2) == Some('#') => {
                while at(index).is_some_and(|c| c != ')') {
                    index += 1;
                }
            }
            (_, None) => out.push(c),
        }
        index += 1;
    }
    out
}

fn is_quantifier(chars: &[char]) -> bool {
    let body: String = chars.iter().skip(1).take_while(|c| **c != '}').collect();
    let closed = chars.len() > body.chars().count() + 1;
    let (low, high) = body.split_once(',').unwrap_or((&body, "0"));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    closed && body != "," && !body.is_empty() && digits(low) && digits(high) && !(low.is_empty() && high.is_empty())
}

/// Whether the pattern matches somewhere (`re.search`).
pub fn is_match(regex: &Regex, text: &str) -> Result<bool, Failure> {
    regex.is_match(text).map_err(|error| too_hard(&error))
}

/// The first match and its groups (`re.search`).
pub fn search<'t>(regex: &Regex, text: &'t str) -> Result<Option<Captures<'t>>, Failure> {
    regex.captures(text).map_err(|error| too_hard(&error))
}

/// Replaces every match by the expanded template (`re.subn`): the new text and how many were replaced.
pub fn replace_all(regex: &Regex, text: &str, template: &str) -> Result<(String, usize), Failure> {
    let mut out = String::with_capacity(text.len());
    let (mut last, mut count) = (0, 0);
    for captures in regex.captures_iter(text) {
        let captures = captures.map_err(|error| too_hard(&error))?;
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(&text[last..whole.start()]);
        out.push_str(&expand(&captures, template)?);
        last = whole.end();
        count += 1;
    }
    out.push_str(&text[last..]);
    Ok((out, count))
}

fn too_hard(error: &fancy_regex::Error) -> Failure {
    Failure::new(format!("the regular expression cannot be matched: {error}"))
        .hint("rewrite it so that it needs less backtracking")
}

/// A replacement template with the groups of a match put in (`Match.expand`): `\1`, `\g<1>`, `\g<name>`, `\n`, `\t`, `\\`.
/// A group that took no part is empty.
pub fn expand(captures: &Captures<'_>, template: &str) -> Result<String, Failure> {
    let bad = |what: &str| Failure::new(format!("bad replacement `{template}`: {what}"));
    let mut out = String::with_capacity(template.len());
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escaped) = chars.next() else {
            return Err(bad("it ends with a backslash"));
        };
        match escaped {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'f' => out.push('\x0c'),
            'v' => out.push('\x0b'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            '0' => out.push('\0'),
            '1'..='9' => {
                let mut number = escaped.to_digit(10).unwrap_or_default() as usize;
                if let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    number = number * 10 + digit as usize;
                    chars.next();
                }
                if number >= captures.len() {
                    return Err(bad(&format!("there is no group {number}")));
                }
                out.push_str(captures.get(number).map_or("", |group| group.as_str()));
            }
            'g' => {
                if chars.next() != Some('<') {
                    return Err(bad("`\\g` needs a group in angle brackets"));
                }
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                let group = match name.parse::<usize>() {
                    Ok(number) if number >= captures.len() => return Err(bad(&format!("there is no group {number}"))),
                    Ok(number) => captures.get(number),
                    Err(_) => captures.name(&name),
                };
                out.push_str(group.map_or("", |group| group.as_str()));
            }
            letter if letter.is_ascii_alphabetic() => return Err(bad(&format!("bad escape `\\{letter}`"))),
            other => {
                out.push('\\');
                out.push(other);
                if other == '\\' {
                    out.pop();
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        is_match(&compile(pattern, Flags::default()).unwrap(), text).unwrap()
    }

    #[test]
    fn reads_patterns_as_python_does() {
        assert!(found(r"b$", "a\nb\n"));
        assert!(!found(r"a$", "a\nb\n"));
        assert!(!found(r"b\Z", "b\n"));
        assert!(found(r"^[[]x]$", "[x]"));
        assert!(found(r"[]a]+$", "]a"));
        assert!(found(r"[a&&b]{2}", "&b"));
        assert!(found(r"foo{bar}", "foo{bar}"));
        assert!(found(r"^\<x\>$", "<x>"));
        assert!(found(r"(?P<q>['\x22])x(?P=q)", "'x'"));
        assert!(found(r"a(?#note)b", "ab"));
        assert!(found(r"(?i)PORT", "port"));
        assert!(found(r"(?m)^b$", "a\nb\nc"));
        assert!(found(r"^(?!#)\s*key\b", "  key = 1"));
        assert!(compile("(", Flags::default()).is_err());
    }

    #[test]
    fn expands_templates_as_python_does() {
        let regex = compile(r"(?P<k>\w+)=(\w+)", Flags::default()).unwrap();
        assert_eq!(replace_all(&regex, "a=1 b=2", r"\2=\g<k>\n").unwrap(), ("1=a\n 2=b\n".to_owned(), 2));
        assert_eq!(replace_all(&regex, "a=1", r"\\1\g<0>").unwrap().0, r"\1a=1");
        assert!(replace_all(&regex, "a=1", r"\3").is_err());
        assert!(replace_all(&regex, "a=1", r"\q").is_err());
    }
}

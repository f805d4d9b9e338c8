//! INI files that the application owns: where their options stand, and options set there while the rest stays byte for byte.

use std::ops::Range;

use indexmap::IndexMap;

use super::model::Text;

/// A line (or, for a value in triple quotes, several) of an INI file.
pub(crate) struct Line<'a> {
    /// Where it is, without its line end.
    pub at: Range<usize>,
    pub kind: Kind<'a>,
}

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// `[name]`, or `[[name]]` (depth 2) as ConfigObj nests sections. `[[x]]` ends the options of the section above.
    Section { depth: usize, name: &'a str },
    /// `name = value`, and where the value stands, without white space around it.
    Option { name: &'a str, value: Range<usize> },
    /// A comment, nothing, or something else.
    Other,
}

/// The lines of a text.
pub(crate) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = vec![];
    let mut start = 0;
    while start < text.len() {
        let rest = text.get(start..).unwrap_or_default();
        let full = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let line = rest.get(..full).unwrap_or_default().trim_end_matches(['\n', '\r']);
        let mut at = start..start + line.len();
        let mut next = start + full;
        let mut kind = kind(line, start);
        if let Kind::Option { value, .. } = &mut kind
            && let Some(end) = long_value(text, value)
        {
            value.end = end;
            let tail = text.get(end..).unwrap_or_default();
            at.end = end + tail.find(['\r', '\n']).unwrap_or(tail.len());
            next = end + tail.find('\n').map_or(tail.len(), |at| at + 1);
        }
        lines.push(Line { at, kind });
        start = next;
    }
    lines
}

fn kind(line: &str, start: usize) -> Kind<'_> {
    let trimmed = line.trim();
    if trimmed.starts_with('[') {
        let depth = trimmed.bytes().take_while(|byte| *byte == b'[').count();
        let inner = trimmed.get(depth..).and_then(|rest| rest.strip_suffix(&"]".repeat(depth)));
        return inner.map_or(Kind::Other, |name| Kind::Section { depth, name: name.trim() });
    }
    if trimmed.starts_with(['#', ';']) {
        return Kind::Other;
    }
    let Some(equals) = line.find('=') else { return Kind::Other };
    let name = line.get(..equals).unwrap_or_default().trim();
    let value = line.get(equals + 1..).unwrap_or_default();
    let from = start + equals + 1 + (value.len() - value.trim_start().len());
    Kind::Option { name, value: from..from + value.trim().len() }
}

/// The end of a value in triple quotes that goes on in the lines below.
fn long_value(text: &str, value: &Range<usize>) -> Option<usize> {
    let written = text.get(value.clone())?;
    let quote = ["\"\"\"", "'''"].into_iter().find(|quote| written.starts_with(quote))?;
    if written.get(quote.len()..)?.contains(quote) {
        return None;
    }
    let inner = value.start + quote.len();
    text.get(inner..)?.find(quote).map(|end| inner + end + quote.len())
}

/// The text with the options set; the same text when they are set already. Sections and options that are missing are added.
/// Names are compared as they are written.
pub fn set(text: &str, sections: &IndexMap<String, IndexMap<String, Text>>) -> String {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out = text.to_owned();
    for (section, options) in sections {
        if find(&lines(&out), section).is_none() {
            if out.is_empty() || out.ends_with('\n') {
                out.push_str(&format!("[{section}]{end}"));
            } else {
                out.push_str(&format!("{end}[{section}]"));
            }
        }
        for (name, Text(wanted)) in options {
            let place = place_of(&out, section, name);
            match place {
                Some(Ok(value)) if out.get(value.clone()) != Some(wanted) => out.replace_range(value, wanted),
                Some(Err(after)) => out.insert_str(after, &format!("{end}{name} = {wanted}")),
                _ => {}
            }
        }
    }
    out
}

/// Where the value of an option stands, or behind which byte the option belongs when it is missing.
fn place_of(text: &str, section: &str, name: &str) -> Option<Result<Range<usize>, usize>> {
    let lines = lines(text);
    let header = find(&lines, section)?;
    let mut after = lines.get(header)?.at.end;
    for line in lines.iter().skip(header + 1) {
        match &line.kind {
            Kind::Section { .. } => break,
            Kind::Option { name: key, value } if *key == name => return Some(Ok(value.clone())),
            _ if text.get(line.at.clone()).is_some_and(|line| !line.trim().is_empty()) => after = line.at.end,
            _ => {}
        }
    }
    Some(Err(after))
}

/// The index of the line that starts a section.
fn find(lines: &[Line<'_>], section: &str) -> Option<usize> {
    lines.iter().position(|line| matches!(line.kind, Kind::Section { depth: 1, name } if name == section))
}

/// The lines of the options that are set, as they stand in the text: what a diff shows. The rest of the file is the
/// application's own, and holds its keys and passwords.
pub fn managed(text: &str, sections: &IndexMap<String, IndexMap<String, Text>>) -> String {
    let mut out = String::new();
    for (section, options) in sections {
        if find(&lines(text), section).is_none() {
            continue;
        }
        out.push_str(&format!("[{section}]\n"));
        for name in options.keys() {
            if let Some(Ok(value)) = place_of(text, section, name) {
                out.push_str(&format!("{name} = {}\n", text.get(value).unwrap_or_default()));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(section: &str, options: &[(&str, &str)]) -> IndexMap<String, IndexMap<String, Text>> {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), Text((*value).to_owned()))).collect();
        IndexMap::from([(section.to_owned(), options)])
    }

    #[test]
    fn sets_changes_and_adds() {
        let text =
            "__version__ = 19\n[misc]\nport=8080\n; host = x\nhost = 127.0.0.1\n\n[servers]\n[[news]]\nport = 563\n";
        let out = set(text, &settings("misc", &[("port", "8080"), ("host", "0.0.0.0"), ("new", "1")]));
        assert_eq!(
            out,
            "__version__ = 19\n[misc]\nport=8080\n; host = x\nhost = 0.0.0.0\nnew = 1\n\n[servers]\n[[news]]\nport = 563\n"
        );
        assert_eq!(set(&out, &settings("misc", &[("host", "0.0.0.0")])), out);
    }

    #[test]
    fn shows_only_what_is_its_own() {
        let text = "api_key = a\n[misc]\napi_key = b\nport=8080\nhost = ::\n[servers]\npassword = c\n";
        let sections = settings("misc", &[("host", "0.0.0.0"), ("new", "1")]);
        assert_eq!(managed(text, &sections), "[misc]\nhost = ::\n");
        assert_eq!(managed(&set(text, &sections), &sections), "[misc]\nhost = 0.0.0.0\nnew = 1\n");
        assert_eq!(managed("", &sections), "");
    }

    #[test]
    fn keeps_line_ends_and_what_stands_around_a_value() {
        let text = "[misc]\r\n  host=127.0.0.1  \r\nempty =\r\n";
        let out = set(text, &settings("misc", &[("host", "::"), ("empty", "x"), ("new", "1")]));
        assert_eq!(out, "[misc]\r\n  host=::  \r\nempty =x\r\nnew = 1\r\n");
    }

    #[test]
    fn does_not_look_into_values_of_several_lines() {
        let text = "[misc]\nnote = '''a\nhost = b\n[x]'''\nhost = c\n";
        let out = set(text, &settings("misc", &[("host", "d")]));
        assert_eq!(out, text.replace("host = c", "host = d"));
        // Quotes that nobody closes are no such value.
        assert_eq!(set("[m]\na = '''\nb = 1\n", &settings("m", &[("b", "2")])), "[m]\na = '''\nb = 2\n");
    }

    #[test]
    fn makes_a_file() {
        assert_eq!(set("", &settings("misc", &[("a", "1"), ("b", "2")])), "[misc]\na = 1\nb = 2\n");
        assert_eq!(set("[x]\ny=1", &settings("misc", &[("a", "1")])), "[x]\ny=1\n[misc]\na = 1");
    }
}

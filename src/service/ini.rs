//! Settings in INI files that the application owns: options are set where they stand, the rest stays byte for byte.

use indexmap::IndexMap;

use super::model::Text;

/// The text with the options set; the same text when they are set already. Sections and options that are missing are added.
/// Names are compared as they are written. `[[x]]` (ConfigObj's nested sections, as SABnzbd writes them) end the options of
/// the section above.
pub fn set(text: &str, sections: &IndexMap<String, IndexMap<String, Text>>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (section, options) in sections {
        let start = match lines.iter().position(|line| header(line) == Some(section.as_str())) {
            Some(at) => at + 1,
            None => {
                lines.push(format!("[{section}]"));
                lines.len()
            }
        };
        for (name, value) in options {
            let body = lines.get(start..).unwrap_or_default();
            let end = start + body.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(body.len());
            let body = lines.get(start..end).unwrap_or_default();
            let wanted = value.0.as_str();
            match body.iter().position(|line| option(line).is_some_and(|(key, _)| key == name)) {
                Some(at) => {
                    let line = lines.get(start + at).and_then(|line| option(line)).map(|(_, value)| value == wanted);
                    if line != Some(true) {
                        lines.splice(start + at..=start + at, [format!("{name} = {wanted}")]);
                    }
                }
                None => {
                    let used = body.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at + 1);
                    lines.insert(start + used, format!("{name} = {wanted}"));
                }
            }
        }
    }
    let mut out = lines.join("\n");
    if !out.is_empty() && (text.ends_with('\n') || text.is_empty()) {
        out.push('\n');
    }
    out
}

/// The lines of the options that are set, as they stand in the text: what a diff shows. The rest of the file is the
/// application's own, and holds its keys and passwords.
pub fn managed(text: &str, sections: &IndexMap<String, IndexMap<String, Text>>) -> String {
    let mut out = String::new();
    for (section, options) in sections {
        let start = text.lines().position(|line| header(line) == Some(section.as_str()));
        let Some(start) = start else { continue };
        out.push_str(&format!("[{section}]\n"));
        let body = text.lines().skip(start + 1).take_while(|line| !line.trim_start().starts_with('['));
        let body: Vec<_> = body.filter_map(option).collect();
        for name in options.keys() {
            if let Some((_, value)) = body.iter().find(|(key, _)| key == name) {
                out.push_str(&format!("{name} = {value}\n"));
            }
        }
    }
    out
}

fn header(line: &str) -> Option<&str> {
    let inner = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    (!inner.starts_with('[')).then(|| inner.trim())
}

fn option(line: &str) -> Option<(&str, &str)> {
    let trimmed = line.trim();
    if trimmed.starts_with(['#', ';', '[']) {
        return None;
    }
    let (key, value) = trimmed.split_once('=')?;
    Some((key.trim(), value.trim()))
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
    fn makes_a_file() {
        assert_eq!(set("", &settings("misc", &[("a", "1"), ("b", "2")])), "[misc]\na = 1\nb = 2\n");
        assert_eq!(set("[x]\ny=1", &settings("misc", &[("a", "1")])), "[x]\ny=1\n[misc]\na = 1");
    }
}

//! Facts that the host's own `*.fact` files give: JSON, or INI; programs are run for theirs.

use serde_json::{Value as Json, json};

use super::Facts;
use super::answer::{Material, basename};

/// `local`: one entry per file. A file that is neither JSON nor INI, or a program that fails, yields a message instead.
pub fn local(material: &Material) -> Facts {
    let mut found = Facts::new();
    let mut sections = material.sections().peekable();
    while let Some((name, content)) = sections.next() {
        if name != "fact" {
            continue;
        }
        let (path, text) = content.split_once('\n').unwrap_or((content, ""));
        let (code, error) = match sections.peek() {
            Some(("fact_end", end)) => end.split_once('\n').unwrap_or((end, "")),
            _ => ("0", ""),
        };
        let fact = if code == "0" {
            read(path, text)
        } else {
            json!(format!("Failure executing fact script ({path}), rc: {code}, err: {error}"))
        };
        found.insert(basename(path).replace(".fact", ""), fact);
    }
    Facts::from_iter([("local".to_owned(), Json::Object(found))])
}

fn read(path: &str, text: &str) -> Json {
    serde_json::from_str(text)
        .ok()
        .or_else(|| ini(text))
        .unwrap_or_else(|| json!(format!("error loading facts as JSON or ini - please check content: {path}")))
}

/// INI as Python's configparser reads it: `=` or `:`, comments at the start of a line, indented lines continue a value,
/// `DEFAULT` is the base of every section.
fn ini(text: &str) -> Option<Json> {
    let mut sections: Vec<(String, Facts)> = vec![];
    let mut defaults = Facts::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[') {
            sections.push((header.split_once(']')?.0.to_owned(), Facts::new()));
            last = None;
            continue;
        }
        let (section, options) = sections.last_mut()?;
        let options = if section == "DEFAULT" { &mut defaults } else { options };
        if line.starts_with(char::is_whitespace)
            && let Some(key) = &last
        {
            if let Some(Json::String(value)) = options.get_mut(key) {
                value.push('\n');
                value.push_str(trimmed);
            }
            continue;
        }
        let (key, value) = trimmed.split_once(['=', ':'])?;
        let key = key.trim().to_lowercase();
        options.insert(key.clone(), json!(value.trim()));
        last = Some(key);
    }
    let own = sections.into_iter().filter(|(name, _)| name != "DEFAULT");
    Some(
        own.map(|(name, options)| {
            let mut all = defaults.clone();
            all.extend(options);
            (name, Json::Object(all))
        })
        .collect(),
    )
}

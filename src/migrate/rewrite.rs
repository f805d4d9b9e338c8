//! Settings of an application adapted to its new surroundings, byte for byte but for what the rules of its `migrate.rewrite` name.
//! Everything here is pure.

mod encoding;
mod ini;
mod stale;
mod xml;

use std::ops::Range;

pub use stale::{Stale, stale_paths};

use crate::secret::MASK;
use crate::service::model::migrate::{Format, Rule};
use encoding::Encoded;

/// What a directory of the source is in the target's container. A map of a directory to itself says that it is there under the
/// same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathMap {
    pub from: String,
    pub to: String,
}

/// An option that got another value. Values of options that look like secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// INI: `section/option`. XML: the elements from the root. Empty for a file that is one path.
    pub place: String,
    pub from: String,
    pub to: String,
}

/// An option whose path is in none of the directories that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// As in [`Change`].
    pub place: String,
    pub path: String,
}

/// A file after the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    pub text: Vec<u8>,
    /// What differs, in the order of the file.
    pub changes: Vec<Change>,
    /// Paths that were left as they are, and probably lead nowhere in the container.
    pub unknown: Vec<Unknown>,
}

/// Why a file cannot be rewritten. No value of it is in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// It is not written as it should be.
    #[error("line {line}: {message}")]
    Syntax { line: usize, message: String },
    /// The encoding of the file has no such characters.
    #[error("the encoding of the file cannot hold `{0}`")]
    Encoding(String),
}

/// Rewrites the content of one file. The same content comes back, byte for byte, when nothing has to be changed; so it does when the
/// result is rewritten again, unless the maps lead in circles.
pub fn apply(rule: &Rule, maps: &[PathMap], text: &[u8]) -> Result<Rewritten, RewriteError> {
    let decoded = Encoded::decode(text);
    let mut editor = Editor { rule, maps, changes: vec![], unknown: vec![], edits: vec![] };
    match rule.format {
        Format::Ini => ini::scan(&decoded.text, &mut editor),
        Format::Xml => xml::scan(&decoded.text, &mut editor)?,
        Format::Text => editor.whole(&decoded.text),
    }
    let Editor { changes, unknown, mut edits, .. } = editor;
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(decoded.text.len());
    let mut done = 0;
    for (range, new) in &edits {
        out.push_str(decoded.text.get(done..range.start).unwrap_or_default());
        out.push_str(new);
        done = range.end;
    }
    out.push_str(decoded.text.get(done..).unwrap_or_default());
    let text = if edits.is_empty() { text.to_vec() } else { decoded.encode(&out)? };
    Ok(Rewritten { text, changes, unknown })
}

/// The path in the container of a path of the source: by the longest directory that it is in, whole names only (`/mnt/media` holds
/// `/mnt/media/x`, not `/mnt/media2`). `None` when it is in none of them.
pub fn map_path(maps: &[PathMap], path: &str) -> Option<String> {
    let rest_below = |from: &str| {
        let from = from.trim_end_matches('/');
        path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let found = maps.iter().filter_map(|map| Some((map, rest_below(&map.from)?)));
    let (map, rest) = found.max_by_key(|(map, _)| map.from.trim_end_matches('/').len())?;
    let mapped = format!("{}{rest}", map.to.trim_end_matches('/'));
    Some(if mapped.is_empty() { "/".to_owned() } else { mapped })
}

/// What the formats have in common: which option the rule names, and what becomes of its value.
struct Editor<'a> {
    rule: &'a Rule,
    maps: &'a [PathMap],
    changes: Vec<Change>,
    unknown: Vec<Unknown>,
    /// What is put where, in bytes of the decoded text.
    edits: Vec<(Range<usize>, String)>,
}

/// What the rule says about an option.
enum Wanted<'a> {
    Value(&'a str),
    Path,
    Nothing,
}

impl Editor<'_> {
    fn wanted(&self, steps: &[&str]) -> Wanted<'_> {
        if let Some((_, value)) = self.rule.set.iter().find(|(name, _)| matches(name, steps)) {
            return Wanted::Value(&value.0);
        }
        if self.rule.paths.0.iter().any(|name| matches(name, steps)) { Wanted::Path } else { Wanted::Nothing }
    }

    /// The path that belongs into the container, when it is another one. One that is in no known directory is noted.
    fn path(&mut self, steps: &[&str], path: &str) -> Option<String> {
        if !path.starts_with('/') {
            // Relative to a directory that the application knows, or a name for a place of its own.
            return None;
        }
        match map_path(self.maps, path) {
            Some(mapped) => (mapped != path).then_some(mapped),
            None => {
                self.unknown.push(Unknown { place: steps.join("/"), path: path.to_owned() });
                None
            }
        }
    }

    fn note(&mut self, steps: &[&str], from: &str, to: &str) {
        let shown = |text: &str| {
            if steps.last().is_some_and(|name| is_secret(name)) { MASK.to_owned() } else { text.to_owned() }
        };
        self.changes.push(Change { place: steps.join("/"), from: shown(from), to: shown(to) });
    }

    fn whole(&mut self, text: &str) {
        let path = text.trim();
        if let Some(new) = self.path(&[], path) {
            self.note(&[], path, &new);
            let start = text.len() - text.trim_start().len();
            self.edits.push((start..start + path.len(), new));
        }
    }
}

/// Whether the name of an option in a rule means the option at these steps.
fn matches(name: &str, steps: &[&str]) -> bool {
    let mut wanted = name.split('/');
    steps.iter().all(|step| wanted.next().is_some_and(|name| name == "*" || name == *step)) && wanted.next().is_none()
}

/// Whether an option holds what nobody should see, by its name.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '-'], "");
    ["password", "passwd", "passphrase", "apikey", "secret", "token", "nzbkey", "privatekey", "credential"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! A vault file as text: encrypted values are replaced in place, so comments, order and everything unchanged stay byte for byte.

use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::keyring::is_age;
use super::seal::{check_key, decode, seal};
use super::{Keyring, Recipients};
use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::{Error, ErrorKind, Result};
use crate::yaml::{self, Kind, Node, Tag};

/// A vault file that was read.
#[derive(Debug)]
pub struct Document {
    source: Arc<Source>,
    leaves: Vec<Leaf>,
    /// Keys without a value: their paths, and where a value belongs.
    empty: Vec<(String, usize)>,
    /// Keys that are written twice; YAML counts the last one.
    twice: Vec<Diagnostic>,
}

/// One scalar value.
#[derive(Debug, Clone)]
struct Leaf {
    /// The keys to it, e.g. `smtp.password` or `tokens[0]`.
    path: String,
    /// Its bytes in the text, with the tag.
    range: Range<usize>,
    /// How far a block of lines in its place must at least be indented, less one.
    indent: usize,
    /// Whether it stands between braces or brackets, where no block of lines can.
    flow: bool,
    node: Node,
}

impl Leaf {
    fn is_sealed(&self) -> bool {
        self.node.tag == Some(Tag::Vault)
    }

    fn text(&self, source: &Source) -> String {
        match &self.node.kind {
            Kind::Str(text) => text.to_string(),
            Kind::Null => String::new(),
            // Numbers and booleans are kept as they were written.
            _ => source.text.get(self.range.clone()).unwrap_or_default().trim().to_owned(),
        }
    }
}

/// Whether a whole file is encrypted with age.
pub fn is_encrypted_file(content: &[u8]) -> bool {
    is_age(content)
}

impl Document {
    /// Reads a vault file.
    ///
    /// # Errors
    /// When it is not a YAML mapping.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let source = Source::new(name, text);
        let yaml::Parsed { node, warnings } = yaml::parse(&source)?;
        if !matches!(node.kind, Kind::Map(_) | Kind::Null) {
            return Err(Error::user(format!("a vault file is a mapping, this is {}", node.kind_name())).at(&node.span));
        }
        let mut document = Self { source, leaves: vec![], empty: vec![], twice: warnings };
        document.collect(&node, String::new(), 0, false);
        document.leaves.sort_by_key(|leaf| leaf.range.start);
        Ok(document)
    }

    /// The text as it is.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// The paths of all values.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.leaves.iter().map(|leaf| leaf.path.as_str())
    }

    /// The plaintext of the value at a path; nothing when there is none.
    pub fn get(&self, path: &str, keyring: &Keyring) -> Result<Option<Zeroizing<String>>> {
        self.leaves.iter().find(|leaf| leaf.path == path).map(|leaf| self.open(leaf, keyring)).transpose()
    }

    /// The same file with every value in clear.
    pub fn decrypted(&self, keyring: &Keyring) -> Result<Zeroizing<String>> {
        let replaced = |leaf: &Leaf| -> Result<Option<String>> {
            if !leaf.is_sealed() {
                return Ok(None);
            }
            let rest = self.source.text.get(leaf.range.end..).unwrap_or_default();
            // A comment behind a block of lines would become a part of it.
            let last = self.source.text.get(..leaf.range.end).is_some_and(|text| text.ends_with('\n'))
                || rest.lines().next().is_none_or(|rest| rest.trim().is_empty());
            let block = (last && !leaf.flow).then_some(leaf.indent);
            self.open(leaf, keyring).map(|plain| Some(scalar(&plain, block)))
        };
        self.each_once()?;
        self.replace(replaced).map(Zeroizing::new)
    }

    /// The same file with every value encrypted. Values that `before` holds under the same path keep its ciphertext.
    ///
    /// # Errors
    /// When a value would stay in clear: one whose key is written twice, an alias, text that only claims to be encrypted.
    pub fn encrypted(&self, before: Option<(&Self, &Keyring)>, recipients: &Recipients) -> Result<String> {
        if let Some(twice) = self.twice.first() {
            let error = Error::user(twice.message.clone());
            let error = match &twice.span {
                Some(span) => error.at(&self.hidden(span)),
                None => error,
            };
            return Err(error.hint("remove one of them: the other one would stay in clear"));
        }
        self.each_once()?;
        self.replace(|leaf| {
            if leaf.is_sealed() {
                // Kept as it is, once it is sure that it is what its tag says.
                decode(leaf.node.as_str().unwrap_or_default())
                    .map_err(|error| error.at(&self.hidden(&leaf.node.span)))?;
                Self::check_key(leaf)?;
                return Ok(None);
            }
            let plain = Zeroizing::new(leaf.text(&self.source));
            if let Some((old, keyring)) = before
                && let Some(kept) = old.leaves.iter().find(|old| old.path == leaf.path && old.is_sealed())
                && *old.open(kept, keyring)? == *plain
            {
                return Ok(old.source.text.get(kept.range.clone()).map(str::to_owned));
            }
            seal(&plain, &leaf.path, recipients).map(|sealed| Some(format!("!age {sealed}")))
        })
    }

    /// The file with one value set: replaced where it stands, or added at the end.
    pub fn set(&self, path: &str, plain: &str, recipients: &Recipients) -> Result<String> {
        let sealed = format!("!age {}", seal(plain, path, recipients)?);
        let text = if self.leaves.iter().any(|leaf| leaf.path == path) {
            self.each_once()?;
            self.replace(|leaf| Ok((leaf.path == path).then(|| sealed.clone())))?
        } else if let Some((_, at)) = self.empty.iter().find(|(empty, _)| empty == path) {
            let mut text = self.source.text.clone();
            text.insert_str(*at, &format!(" {sealed}"));
            text
        } else {
            self.added(path, &sealed)?
        };
        let there = Self::parse(&self.source.name, &text).is_ok_and(|document| {
            let values = document.leaves.iter().map(|leaf| leaf.path.as_str());
            let kept = self.leaves.iter().all(|old| values.clone().any(|path| path == old.path));
            kept && document.twice.len() == self.twice.len() && values.clone().any(|value| value == path)
        });
        if there {
            return Ok(text);
        }
        Err(Error::user(format!("`{path}` cannot be added to `{}` as it is written", self.source.name))
            .hint("add it with `mms vault edit`"))
    }

    /// The file with a line at the end.
    fn added(&self, path: &str, sealed: &str) -> Result<String> {
        let below = |value: &str| value.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        let values = self.leaves.iter().map(|leaf| &leaf.path).chain(self.empty.iter().map(|(path, _)| path));
        if let Some(inner) = values.into_iter().find(|value| below(value)) {
            return Err(Error::user(format!("`{path}` is not one value: there is `{inner}` in it"))
                .hint("name the value that is meant, or use `mms vault edit`"));
        }
        if path.is_empty() || !path.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(Error::user(format!("there is no value at `{path}` and it is not a plain name"))
                .hint("add it with `mms vault edit`"));
        }
        let mut text = self.source.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{path}: {sealed}\n"));
        Ok(text)
    }

    /// The same place, for an error that must not quote what stands there in clear.
    fn hidden(&self, span: &Span) -> Span {
        Span::new(&Source::hidden(self.source.name.as_str(), &self.source.text), span.start, span.end)
    }

    /// Refuses values that stand at several keys by an alias or a merge key, and values that share a path.
    fn each_once(&self) -> Result<()> {
        let mut paths = std::collections::HashSet::new();
        for (index, leaf) in self.leaves.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| self.leaves.get(index));
            if let Some(other) = before.filter(|other| other.range.start == leaf.range.start) {
                return Err(Error::user(format!("`{}` and `{}` are one value, by an alias", other.path, leaf.path))
                    .at(&self.hidden(&leaf.node.span))
                    .hint("every value of a vault is encrypted for its own key: write it twice, or `\"{{ … }}\"` outside of the vault"));
            }
            if !paths.insert(leaf.path.as_str()) {
                return Err(Error::user(format!("two values have the path `{}`", leaf.path))
                    .at(&self.hidden(&leaf.node.span))
                    .hint("rename a key with a dot or bracket in it"));
            }
        }
        Ok(())
    }

    /// Every encrypted value that stands at another key than the one it was encrypted for.
    ///
    /// # Errors
    /// Names the first one, with its place.
    pub fn check_keys(&self) -> Result<()> {
        self.leaves.iter().filter(|leaf| leaf.is_sealed()).try_for_each(Self::check_key)
    }

    fn check_key(leaf: &Leaf) -> Result<()> {
        let Some(text) = leaf.node.as_str() else { return Ok(()) };
        let sealed = decode(text).map_err(|error| error.at(&leaf.node.span))?;
        check_key(&sealed, &leaf.path, &leaf.node.span)
    }

    fn open(&self, leaf: &Leaf, keyring: &Keyring) -> Result<Zeroizing<String>> {
        if !leaf.is_sealed() {
            return Ok(Zeroizing::new(leaf.text(&self.source)));
        }
        Self::check_key(leaf)?;
        let sealed = decode(leaf.node.as_str().unwrap_or_default()).map_err(|error| error.at(&leaf.node.span))?;
        let plain = keyring.open(&sealed).map_err(|error| error.at(&leaf.node.span))?;
        String::from_utf8(plain.to_vec())
            .map(Zeroizing::new)
            .map_err(|_| Error::new(ErrorKind::Vault, "this secret is not text").at(&leaf.node.span))
    }

    fn replace(&self, mut with: impl FnMut(&Leaf) -> Result<Option<String>>) -> Result<String> {
        let mut text = String::with_capacity(self.source.text.len());
        let mut from = 0;
        for leaf in &self.leaves {
            let Some(new) = with(leaf)? else { continue };
            text.push_str(self.source.text.get(from..leaf.range.start).unwrap_or_default());
            // A block scalar ends with its line; what replaces it does not.
            let old = self.source.text.get(leaf.range.clone()).unwrap_or_default();
            text.push_str(&new);
            if old.ends_with('\n') && !new.ends_with('\n') {
                text.push('\n');
            }
            from = leaf.range.end;
        }
        text.push_str(self.source.text.get(from..).unwrap_or_default());
        Ok(text)
    }

    fn collect(&mut self, node: &Node, path: String, indent: usize, flow: bool) {
        let flow = flow || self.source.text.get(node.span.start..).is_some_and(|text| text.starts_with(['{', '[']));
        match &node.kind {
            Kind::Map(map) => {
                for (key, value) in map.iter() {
                    let path = below(&path, key);
                    // Nothing was written: there is nothing to encrypt.
                    if matches!(value.kind, Kind::Null) && value.span.start == value.span.end {
                        let rest = self.source.text.get(key.span.end..).unwrap_or_default();
                        if let Some(colon) = rest.find(':') {
                            self.empty.push((path, key.span.end + colon + 1));
                        }
                        continue;
                    }
                    self.collect(value, path, key.span.line_col().1 - 1, flow);
                }
            }
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    // The item stands behind its dash, which a block must be indented more than.
                    self.collect(item, format!("{path}[{index}]"), item.span.line_col().1 - 1, flow);
                }
            }
            Kind::Null if node.span.start == node.span.end => {}
            _ => {
                let range = with_tag(&self.source, node);
                self.leaves.push(Leaf { path, range, indent, flow, node: node.clone() });
            }
        }
    }
}

/// The path of the value at a key of the mapping at `path`. Keys that are no text count as they are written.
pub fn below(path: &str, key: &Node) -> String {
    let written = || key.span.source.text.get(key.span.start..key.span.end).unwrap_or_default();
    let name = key.as_str().unwrap_or_else(|| written());
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The bytes of a scalar with the tag before it.
fn with_tag(source: &Source, node: &Node) -> Range<usize> {
    let before = source.text.get(..node.span.start).unwrap_or_default();
    // The tag may stand on the line before.
    let trimmed = before.trim_end();
    let word = trimmed.rfind([' ', '\t', '\n']).map_or(0, |at| at + 1);
    let start = if node.tag.is_some() && trimmed.get(word..).is_some_and(|word| word.starts_with('!')) {
        word
    } else {
        node.span.start
    };
    start..node.span.end
}

/// Text as a YAML scalar: a literal block for several lines where one may stand (`block`: indented more than so much), else
/// double-quoted.
fn scalar(text: &str, block: Option<usize>) -> String {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    let nice = lines.contains('\n')
        && !lines.starts_with([' ', '\n'])
        && !lines.ends_with('\n')
        && lines.lines().all(|line| !line.ends_with([' ', '\t']))
        && lines.chars().all(|c| c == '\n' || !(c.is_control() || LINE_ENDS.contains(&c)));
    if let (true, Some(indent)) = (nice, block) {
        let chomp = if text.ends_with('\n') { "|" } else { "|-" };
        let pad = " ".repeat(indent + 2);
        let body: Vec<String> =
            lines.lines().map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") }).collect();
        return format!("{chomp}\n{}", body.join("\n"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if u32::from(c) > 0xffff => quoted.push(c),
            c if c.is_control() || LINE_ENDS.contains(&c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What YAML 1.1 takes for the end of a line, besides those that are control characters, and the byte order mark.
const LINE_ENDS: [char; 3] = ['\u{2028}', '\u{2029}', '\u{feff}'];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

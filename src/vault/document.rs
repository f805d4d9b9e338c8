//! A vault file as text: encrypted values are replaced in place, so comments, order and everything unchanged stay byte for byte.

use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::keyring::is_age;
use super::seal::{check_key, decode, seal};
use super::{Keyring, Recipients};
use crate::diagnostic::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::yaml::{self, Kind, Node, Tag};

/// A vault file that was read.
#[derive(Debug)]
pub struct Document {
    source: Arc<Source>,
    leaves: Vec<Leaf>,
}

/// One scalar value.
#[derive(Debug, Clone)]
struct Leaf {
    /// The keys to it, e.g. `smtp.password` or `tokens[0]`.
    path: String,
    /// Its bytes in the text, with the tag.
    range: Range<usize>,
    /// The column of the key it belongs to.
    indent: usize,
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
        let node = yaml::parse(&source)?.node;
        if !matches!(node.kind, Kind::Map(_) | Kind::Null) {
            return Err(Error::user(format!("a vault file is a mapping, this is {}", node.kind_name())).at(&node.span));
        }
        let mut leaves = vec![];
        collect(&source, &node, String::new(), 0, &mut leaves);
        leaves.sort_by_key(|leaf| leaf.range.start);
        Ok(Self { source, leaves })
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
            self.open(leaf, keyring).map(|plain| Some(scalar(&plain, leaf.indent)))
        };
        self.replace(replaced).map(Zeroizing::new)
    }

    /// The same file with every value encrypted. Values that `before` holds under the same path keep its ciphertext.
    pub fn encrypted(&self, before: Option<(&Self, &Keyring)>, recipients: &Recipients) -> Result<String> {
        self.replace(|leaf| {
            if leaf.is_sealed() {
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
        if self.leaves.iter().any(|leaf| leaf.path == path) {
            return self.replace(|leaf| Ok((leaf.path == path).then(|| sealed.clone())));
        }
        if !path.chars().all(|c| c.is_alphanumeric() || c == '_') {
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
}

fn collect(source: &Arc<Source>, node: &Node, path: String, indent: usize, leaves: &mut Vec<Leaf>) {
    match &node.kind {
        Kind::Map(map) => {
            for (key, value) in map.iter() {
                let name = key.as_str().map_or_else(
                    || source.text.get(key.span.start..key.span.end).unwrap_or_default().to_owned(),
                    str::to_owned,
                );
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                collect(source, value, path, key.span.line_col().1 - 1, leaves);
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(source, item, format!("{path}[{index}]"), indent, leaves);
            }
        }
        // Nothing was written: there is nothing to encrypt.
        Kind::Null if node.span.start == node.span.end => {}
        _ => leaves.push(Leaf { path, range: with_tag(source, node), indent, node: node.clone() }),
    }
}

/// The bytes of a scalar with the tag before it.
fn with_tag(source: &Source, node: &Node) -> Range<usize> {
    let before = source.text.get(..node.span.start).unwrap_or_default();
    let trimmed = before.trim_end_matches([' ', '\t']);
    let word = trimmed.rfind([' ', '\t', '\n']).map_or(0, |at| at + 1);
    let start = if node.tag.is_some() && trimmed.get(word..).is_some_and(|word| word.starts_with('!')) {
        word
    } else {
        node.span.start
    };
    start..node.span.end
}

/// Text as a YAML scalar: plain where that is safe, a literal block for several lines, else double-quoted.
fn scalar(text: &str, indent: usize) -> String {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    let nice = lines.contains('\n')
        && !lines.starts_with([' ', '\n'])
        && !lines.ends_with('\n')
        && lines.lines().all(|line| !line.ends_with([' ', '\t']))
        && lines.chars().all(|c| c == '\n' || !c.is_control());
    if nice {
        let chomp = if text.ends_with('\n') { "|" } else { "|-" };
        let pad = " ".repeat(indent + 2);
        let body: Vec<String> =
            lines.lines().map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") }).collect();
        return format!("{chomp}\n{}", body.join("\n"));
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::IdentitySource;
    use age::secrecy::ExposeSecret;

    struct Nobody;
    impl crate::connection::Prompter for Nobody {
        fn confirm(&self, _: &str) -> Option<bool> {
            None
        }
        fn line(&self, _: &str, _: bool) -> Option<String> {
            None
        }
        fn password(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn keys() -> (tempfile::TempDir, Keyring, Recipients) {
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let path = dir.path().join("identity.txt");
        std::fs::write(&path, format!("{}\n", key.to_string().expose_secret())).unwrap();
        let keyring = Keyring::new(vec![IdentitySource { path, from: "test".into() }], Arc::new(Nobody));
        let recipients = Recipients::parse([key.to_public().to_string().as_str()]).unwrap();
        (dir, keyring, recipients)
    }

    const PLAIN: &str = "# comment\nvault_a: first\nnested:\n  pin: 0042   # kept\n  key: |\n    line one\n    line two\nlist:\n- x: 'it''s'\n- \"two\"\nlast: end";

    #[test]
    fn everything_but_values_stays_and_the_values_come_back() {
        let (_dir, keyring, recipients) = keys();
        let sealed = Document::parse("v.yml", PLAIN).unwrap().encrypted(None, &recipients).unwrap();
        assert!(sealed.contains("# comment\nvault_a: !age ") && sealed.contains("   # kept\n"), "{sealed}");
        // With what stands before it: short words alone turn up in base64 now and then.
        for secret in ["first", ": 0042", "line one", "it''s", "\"two\"", ": end"] {
            assert!(!sealed.contains(secret), "{secret} in {sealed}");
        }
        let document = Document::parse("v.yml", &sealed).unwrap();
        document.check_keys().unwrap();
        for (path, want) in [
            ("vault_a", "first"),
            ("nested.pin", "0042"),
            ("nested.key", "line one\nline two\n"),
            ("list[0].x", "it's"),
            ("list[1]", "two"),
            ("last", "end"),
        ] {
            assert_eq!(document.get(path, &keyring).unwrap().unwrap().as_str(), want, "{path}");
        }
        let clear = document.decrypted(&keyring).unwrap();
        let again =
            Document::parse("v.yml", &clear).unwrap().encrypted(Some((&document, &keyring)), &recipients).unwrap();
        assert_eq!(again, sealed);
    }

    #[test]
    fn one_edit_changes_one_line() {
        let (_dir, keyring, recipients) = keys();
        let plain: String = (0..50).map(|number| format!("secret_{number}: value {number}\n")).collect();
        let sealed = Document::parse("v.yml", &plain).unwrap().encrypted(None, &recipients).unwrap();
        let before = Document::parse("v.yml", &sealed).unwrap();
        let edited = before.decrypted(&keyring).unwrap().replace("value 17", "other");
        let after =
            Document::parse("v.yml", &edited).unwrap().encrypted(Some((&before, &keyring)), &recipients).unwrap();
        let differ: Vec<_> = sealed.lines().zip(after.lines()).filter(|(a, b)| a != b).collect();
        assert_eq!((differ.len(), sealed.lines().count()), (1, after.lines().count()));
        assert!(differ[0].0.starts_with("secret_17: "));
        let set = before.set("secret_3", "new", &recipients).unwrap();
        assert_eq!(sealed.lines().zip(set.lines()).filter(|(a, b)| a != b).count(), 1);
    }

    #[test]
    fn a_moved_value_is_noticed() {
        let (_dir, keyring, recipients) = keys();
        let sealed =
            Document::parse("v.yml", "admin: root\nguest: none\n").unwrap().encrypted(None, &recipients).unwrap();
        let swapped = sealed.replace("admin", "tmp").replace("guest", "admin").replace("tmp", "guest");
        let document = Document::parse("v.yml", &swapped).unwrap();
        let error = document.check_keys().unwrap_err();
        assert_eq!(
            error.to_string(),
            "this value was encrypted for the key `admin`, but stands at `guest` (v.yml:1:8)"
        );
        assert!(document.get("guest", &keyring).is_err());
    }
}

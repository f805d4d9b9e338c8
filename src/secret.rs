//! Secrets that are in play in this process, and the one routine that masks them.
//!
//! Everything decrypted from a vault (and every password) is registered with a [`Redactor`]. Every sink (terminal, diff, JSON,
//! error) passes its text through [`Redactor::redact`], which also masks the common encodings of a secret.

mod forms;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};

/// What is printed instead of a secret.
pub const MASK: &str = "********";

/// Texts shorter than this many bytes are not masked inside other text: masking every `a` would destroy the output and
/// tell the secret.
pub const SHORTEST: usize = 4;

/// The registry of secrets. Clones share it.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    needles: BTreeSet<String>,
    /// Made of the needles when it is first needed after one was added.
    matcher: Option<AhoCorasick>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Registers a secret text: from now on it is masked in every sink, also line by line and in the forms that templates and
    /// programs give it: base64 (also inside of a longer text), URL, JSON, YAML, Python, HTML and shell quoting, other case.
    pub fn add(&self, secret: &str) {
        let mut forms = BTreeSet::new();
        let lines = secret.lines().filter(|_| secret.contains('\n'));
        for text in std::iter::once(secret).chain(std::iter::once(secret.trim())).chain(lines.map(str::trim)) {
            if text.len() >= SHORTEST {
                forms::of(text, &mut forms);
            }
        }
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = state.needles.len();
        state.needles.extend(forms.into_iter().filter(|form| form.len() >= SHORTEST));
        if state.needles.len() != before {
            state.matcher = None;
        }
    }

    /// The text with every registered secret masked.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if state.needles.is_empty() {
            return Cow::Borrowed(text);
        }
        if let Some(matcher) = &state.matcher {
            return mask(matcher, text);
        }
        drop(state);
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&state.needles);
        match built {
            Ok(matcher) => mask(state.matcher.insert(matcher), text),
            // Too many secrets for one automaton: better no text than a secret.
            Err(_) => Cow::Borrowed(MASK),
        }
    }

    /// Whether the text holds a registered secret.
    pub fn is_tainted(&self, text: &str) -> bool {
        matches!(self.redact(text), Cow::Owned(_))
    }
}

fn mask<'a>(matcher: &AhoCorasick, text: &'a str) -> Cow<'a, str> {
    let mut matches = matcher.find_iter(text).peekable();
    if matches.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut start = 0;
    for found in matches {
        masked.push_str(text.get(start..found.start()).unwrap_or_default());
        masked.push_str(MASK);
        start = found.end();
    }
    masked.push_str(text.get(start..).unwrap_or_default());
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_a_secret_and_its_encodings() {
        let redactor = Redactor::default();
        redactor.add("pa'ss \"word\"\n");
        for text in
            ["x pa'ss \"word\" y", r#"{"a":"pa'ss \"word\"\n"}"#, "echo 'pa'\\''ss \"word\"'", "pa%27ss%20%22word%22"]
        {
            let masked = redactor.redact(text);
            assert!(masked.contains(MASK), "{text}");
            assert!(!masked.contains("word"), "{masked}");
        }
        assert_eq!(redactor.redact("nothing here"), "nothing here");
    }

    #[test]
    fn masks_a_secret_inside_of_encoded_text() {
        use base64::Engine as _;
        let redactor = Redactor::default();
        redactor.add("correct horse battery");
        for before in ["", "u", "us", "user:", "root:x"] {
            let encoded =
                base64::engine::general_purpose::STANDARD.encode(format!("{before}correct horse battery and more"));
            assert!(redactor.is_tainted(&encoded), "{encoded}");
        }
    }

    #[test]
    fn what_is_added_later_counts_and_short_texts_do_not() {
        let redactor = Redactor::default();
        redactor.add("first secret");
        assert_eq!(redactor.redact("a first secret"), format!("a {MASK}"));
        redactor.add("second\nlines of it\n");
        redactor.add("abc");
        assert_eq!(redactor.redact("lines of it, abc"), format!("{MASK}, abc"));
    }
}

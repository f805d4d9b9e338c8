//! Secrets that are in play in this process, and the one routine that masks them.
//!
//! Everything decrypted from a vault (and every password) is registered with a [`Redactor`]. Every sink (terminal, diff, JSON,
//! run log, error) passes its text through [`Redactor::redact`], which also masks the common encodings of a secret.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use base64::Engine as _;

/// What is printed instead of a secret.
pub const MASK: &str = "********";

/// Texts shorter than this many bytes are not masked inside other text: masking every `a` would destroy the output and
/// tell the secret.
const SHORTEST: usize = 4;

/// The registry of secrets. Clones share it.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    needles: BTreeSet<String>,
    matcher: Option<aho_corasick::AhoCorasick>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Registers a secret text: from now on it is masked in every sink, also line by line, in base64, JSON, URL and shell
    /// quoting.
    pub fn add(&self, secret: &str) {
        let mut forms = BTreeSet::new();
        let lines = secret.lines().filter(|_| secret.contains('\n'));
        for text in std::iter::once(secret).chain(std::iter::once(secret.trim())).chain(lines) {
            if text.len() < SHORTEST {
                continue;
            }
            forms.insert(text.to_owned());
            forms.insert(crate::sh::quote(text).trim_matches('\'').to_owned());
            forms.insert(serde_json::Value::from(text).to_string().trim_matches('"').to_owned());
            let b64 = base64::engine::general_purpose::STANDARD.encode(text);
            forms.insert(b64.trim_end_matches('=').to_owned());
            forms.insert(percent_encode(text));
        }
        let mut state = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = state.needles.len();
        state.needles.extend(forms.into_iter().filter(|form| form.len() >= SHORTEST));
        if state.needles.len() != before {
            state.matcher = aho_corasick::AhoCorasick::builder()
                .match_kind(aho_corasick::MatchKind::LeftmostLongest)
                .build(&state.needles)
                .ok();
        }
    }

    /// The text with every registered secret masked.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let state = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &state.matcher {
            Some(matcher) if matcher.is_match(text) => {
                let masks = vec![MASK; state.needles.len()];
                Cow::Owned(matcher.replace_all(text, &masks))
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// Whether the text holds a registered secret.
    pub fn is_tainted(&self, text: &str) -> bool {
        matches!(self.redact(text), Cow::Owned(_))
    }
}

fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
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
}

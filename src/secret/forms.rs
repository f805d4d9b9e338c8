//! The forms in which a secret turns up in output: what filters, encoders and quoting make of it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Base64 inside of longer text is looked for only when this many characters of it are certain.
const CERTAIN: usize = 8;

/// Adds every form of a text, each also as JSON shows it, and as JSON inside of JSON does.
pub(super) fn of(text: &str, into: &mut BTreeSet<String>) {
    let mut forms = BTreeSet::new();
    plain(text, &mut forms);
    for _ in 0..2 {
        let quoted: Vec<String> = forms.iter().map(|form| json(form)).collect();
        forms.extend(quoted);
    }
    into.extend(forms);
}

fn json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.get(1..json.len() - 1).unwrap_or_default().to_owned()
}

fn plain(text: &str, into: &mut BTreeSet<String>) {
    into.insert(text.to_owned());
    into.insert(text.to_uppercase());
    into.insert(text.to_lowercase());
    for (quote, written) in [
        // POSIX shells, as `mms` and as Python's `shlex.quote` write it.
        ("'", "'\\''"),
        ("'", "'\"'\"'"),
        // YAML's single quotes.
        ("'", "''"),
    ] {
        into.insert(text.replace(quote, written));
    }
    // Python's `repr`, in both of its quotes.
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r");
    into.insert(escaped.replace('\'', "\\'"));
    into.insert(escaped);
    // JSON with nothing but ASCII.
    into.insert(json(text).chars().map(|c| if c.is_ascii() { c.to_string() } else { utf16(c) }).collect());
    into.insert(
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;")
            .replace('\'', "&#39;"),
    );
    for keep in ["-._~", "-._~/"] {
        let encoded = percent_encode(text, keep);
        into.insert(encoded.replace("%20", "+"));
        into.insert(encoded);
    }
    for form in base64(text) {
        into.insert(form.replace('+', "-").replace('/', "_"));
        into.insert(form);
    }
}

fn utf16(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// The base64 of a text, and the part of it that stays the same when bytes stand before and behind the text.
fn base64(text: &str) -> Vec<String> {
    let mut forms = vec![STANDARD.encode(text).trim_end_matches('=').to_owned()];
    for (before, unsure) in [(0, 0), (1, 2), (2, 3)] {
        let bytes = [&[0; 2][..before], text.as_bytes()].concat();
        let encoded = STANDARD.encode(&bytes);
        let encoded = encoded.trim_end_matches('=');
        // A last character that is not full also depends on what follows.
        let end = encoded.len() - usize::from(bytes.len() % 3 != 0);
        let certain = encoded.get(unsure..end).unwrap_or_default();
        if certain.len() >= CERTAIN {
            forms.push(certain.to_owned());
        }
    }
    forms
}

fn percent_encode(text: &str, keep: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

//! One secret value: base64 of an age file on one line, bound to the key it stands at.

use std::collections::HashSet;

use age::{EncryptError, Recipient};
use age_core::format::{FileKey, Stanza};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Recipients;
use super::keyring::is_armored;
use crate::diagnostic::Span;
use crate::error::{Error, ErrorKind, Result};

/// The type of the stanza that names the key.
const STANZA: &str = "mms-key";

/// A recipient that nobody can decrypt with: it only writes the key's name into the header.
pub(super) struct Bound {
    stanza: String,
}

impl Bound {
    pub(super) fn new(key: &str) -> Self {
        Self { stanza: STANDARD_NO_PAD.encode(key) }
    }
}

impl Recipient for Bound {
    fn wrap_file_key(&self, _file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        // An argument of a stanza cannot be empty; nothing is noted for the key that has no name.
        let args = Some(self.stanza.clone()).filter(|stanza| !stanza.is_empty());
        let stanza = args.map(|argument| Stanza { tag: STANZA.into(), args: vec![argument], body: vec![] });
        Ok((stanza.into_iter().collect(), HashSet::new()))
    }
}

/// A value as it stands behind `!age`.
pub(super) fn seal(plain: &str, key: &str, recipients: &Recipients) -> Result<String> {
    recipients.encrypt(plain.as_bytes(), Some(key), false).map(|sealed| STANDARD.encode(sealed))
}

/// The age file of a value: base64 on one or more lines, or armored text.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    let text = text.trim();
    if is_armored(text.as_bytes()) {
        return Ok(text.as_bytes().to_vec());
    }
    if text.starts_with("$ANSIBLE_VAULT;") {
        return Err(Error::new(ErrorKind::Vault, "this value is encrypted by ansible-vault")
            .hint("decrypt it with `ansible-vault decrypt` and encrypt it with `mms vault encrypt`"));
    }
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    match STANDARD.decode(compact) {
        Ok(bytes) if bytes.starts_with(b"age-encryption.org/") => Ok(bytes),
        _ => Err(Error::new(ErrorKind::Vault, "this is not an encrypted value")
            .hint("`mms vault set` and `mms vault edit` write them")),
    }
}

/// Refuses a value that stands at another key than the one it was encrypted for.
pub fn check_key(age_file: &[u8], path: &str, span: &Span) -> Result<()> {
    match bound_key(age_file) {
        Some(key) if key != path => Err(Error::new(
            ErrorKind::Vault,
            format!("this value was encrypted for the key `{key}`, but stands at `{path}`"),
        )
        .at(span)
        .hint("if you renamed the key on purpose, set the value again with `mms vault set`")),
        _ => Ok(()),
    }
}

/// The key that a value was encrypted for, if that was noted. It can be trusted once the value has been decrypted.
pub fn bound_key(age_file: &[u8]) -> Option<String> {
    let prefix = format!("-> {STANZA} ");
    age_file
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.starts_with(b"---"))
        .find_map(|line| line.strip_prefix(prefix.as_bytes()))
        .and_then(|argument| STANDARD_NO_PAD.decode(argument).ok())
        .and_then(|key| String::from_utf8(key).ok())
}

//! The vault: secrets in the project, encrypted with age, decrypted on the workstation only.
//!
//! A vault file is YAML with readable keys. Each value is an age file of its own, base64 on one line behind the tag `!age`, so an
//! unchanged value keeps its ciphertext and `git diff` shows one line for one edit. The key a value stands at is written into its
//! age header as a stanza of the type `mms-key` (other age programs skip stanzas they do not know; the header is
//! authenticated), so a value cannot be moved to another key unnoticed. Whole files encrypted with age, armored or binary, are
//! read too. Plain `base64 -d | age -d` opens a value and `age -d` a file.

mod document;
mod keyring;
mod recipients;
mod seal;

pub use document::{Document, below, is_encrypted_file};
pub use keyring::{IdentitySource, Keyring, is_age};
pub use recipients::Recipients;
pub use seal::{check_key, decode};

//! One-way marks of content: what was deployed can be compared without being kept.

use crate::hex::hex;
use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// HMAC-SHA-256 (RFC 2104) in hexadecimal.
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    let short = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block.iter_mut().zip(short).for_each(|(slot, byte)| *slot = byte);
    let pad = |mask: u8| block.iter().map(|byte| byte ^ mask).collect::<Vec<_>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    hex(&Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize())
}

/// The name a secret has in Podman. It holds a mark of the value, salted with the host's salt, so a new value is a new
/// secret: the units that use it change with it, the old one is there to go back to, and nothing tells the value.
pub(super) fn secret_name(salt: &str, name: &str, value: &str) -> String {
    let mark = hmac_sha256(salt.as_bytes(), format!("{name}\0{value}").as_bytes());
    format!("{name}-{}", mark.get(..MARK).unwrap_or_default())
}

/// Digits of the mark in a secret's name.
const MARK: usize = 12;

/// The secret that a name in Podman stands for.
pub(super) fn secret_of(podman_name: &str) -> Option<&str> {
    let (name, mark) = podman_name.rsplit_once('-')?;
    (mark.len() == MARK && mark.chars().all(|c| c.is_ascii_hexdigit())).then_some(name)
}

/// A new salt.
pub(super) fn new_salt() -> String {
    hex(&rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_matches_rfc_4231() {
        assert_eq!(
            hmac_sha256(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_secret_name_changes_with_value_and_salt() {
        let name = secret_name("salt", "db", "one");
        assert_eq!(secret_of(&name), Some("db"));
        assert_ne!(name, secret_name("salt", "db", "two"));
        assert_ne!(name, secret_name("other", "db", "one"));
        assert_eq!(secret_of("db-password"), None);
    }
}

//! Public keys, and encrypting to them.

use std::io::Write;
use std::str::FromStr;

use age::Recipient;
use age::armor::{ArmoredWriter, Format};

use super::seal::Bound;
use crate::error::{Error, ErrorKind, Result};

/// Whom secrets are encrypted to: age keys (`age1…`) and SSH keys (`ssh-ed25519 …`, `ssh-rsa …`).
pub struct Recipients {
    keys: Vec<Box<dyn Recipient + Send + Sync>>,
}

impl Recipients {
    /// Reads public keys.
    ///
    /// # Errors
    /// When there is none, or one is not a public key.
    pub fn parse<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut parsed: Vec<Box<dyn Recipient + Send + Sync>> = vec![];
        for key in keys.into_iter().map(str::trim).filter(|key| !key.is_empty() && !key.starts_with('#')) {
            if let Ok(recipient) = age::x25519::Recipient::from_str(key) {
                parsed.push(Box::new(recipient));
            } else if let Ok(recipient) = age::ssh::Recipient::from_str(key) {
                parsed.push(Box::new(recipient));
            } else {
                // Whatever looks like a private key is not shown.
                let upper = key.to_ascii_uppercase();
                let secret = ["AGE-SECRET-KEY-", "AGE-PLUGIN-", "PRIVATE KEY"].iter().any(|mark| upper.contains(mark));
                let shown = if secret { "a private key".to_owned() } else { format!("`{key}`") };
                let error = vault_error(format!("{shown} is not a recipient"))
                    .hint("a recipient is a public key: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`");
                let plugin = key.starts_with("age1") && key.matches('1').count() > 1;
                return Err(if plugin {
                    error.hint("keys of plugins (`age1yubikey1…`) are not known to mms")
                } else {
                    error
                });
            }
        }
        if parsed.is_empty() {
            return Err(vault_error("there is no recipient to encrypt to").hint(
                "list public keys under `vault.recipients` in mms.toml; `mms vault init` does it for a new project",
            ));
        }
        Ok(Self { keys: parsed })
    }

    /// Encrypts; `key` is bound into the header when given. Armored when `armor`.
    pub(super) fn encrypt(&self, plain: &[u8], key: Option<&str>, armor: bool) -> Result<Vec<u8>> {
        let bound = key.map(Bound::new);
        let all = self.keys.iter().map(|key| key.as_ref() as &dyn Recipient);
        let all = all.chain(bound.as_ref().map(|bound| bound as &dyn Recipient));
        let failed = |error: &dyn std::fmt::Display| vault_error(format!("cannot encrypt: {error}"));
        let encryptor = age::Encryptor::with_recipients(all).map_err(|error| failed(&error))?;
        let format = if armor { Format::AsciiArmor } else { Format::Binary };
        let output = ArmoredWriter::wrap_output(vec![], format).map_err(|error| failed(&error))?;
        let mut writer = encryptor.wrap_output(output).map_err(|error| failed(&error))?;
        writer.write_all(plain).map_err(|error| failed(&error))?;
        writer.finish().and_then(ArmoredWriter::finish).map_err(|error| failed(&error))
    }

    /// A whole file, armored, as `age -e -a` writes it.
    pub fn encrypt_file(&self, plain: &[u8]) -> Result<Vec<u8>> {
        self.encrypt(plain, None, true)
    }
}

fn vault_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Vault, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_not_shown() {
        let long = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----";
        for key in ["AGE-SECRET-KEY-1QQQQ", "age-secret-key-1qqqq", long] {
            let error = Recipients::parse([key]).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some("a private key is not a recipient"));
        }
        let error = Recipients::parse(["age1yubikey1qw"]).err();
        assert_eq!(error.as_ref().map(Error::to_string).as_deref(), Some("`age1yubikey1qw` is not a recipient"));
    }
}

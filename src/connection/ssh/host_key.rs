//! Whether a host is the one it should be.

use std::sync::{Arc, Mutex};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::super::{ConnectionError, ConnectionErrorKind, UnknownHostKey};
use super::config::{Config, Strict, is_nowhere};
use super::known_hosts::{self, KnownHosts, Verdict};
use crate::sync::lock;

/// What is known of a host before it shows its key.
pub(crate) struct HostCheck {
    known: KnownHosts,
    /// Its name in known_hosts.
    name: String,
    /// The name a certificate must hold.
    host: String,
    /// The host for messages.
    place: String,
    /// Whether a key that is in no file may be used.
    accept_new: bool,
    /// A key that the user has just said yes to.
    confirmed: Option<PublicKey>,
}

/// What came of a check.
#[derive(Debug, Clone)]
pub(crate) enum Finding {
    /// The host is trusted; a key that is to be added to known_hosts.
    Trusted(Option<PublicKey>),
    /// Its key is in no file.
    New(PublicKey),
    /// It must not be talked to.
    Refused(ConnectionError),
}

impl HostCheck {
    /// Reads the known_hosts files of a host. Files that do not exist are as good as empty.
    pub(crate) fn new(config: &Config, place: &str, wanted: UnknownHostKey, confirmed: Option<PublicKey>) -> Self {
        let mut known = KnownHosts::default();
        for file in config.user_known_hosts.iter().chain(&config.global_known_hosts) {
            if let Ok(text) = std::fs::read(file) {
                known.read(file, &String::from_utf8_lossy(&text));
            }
        }
        let accept_new = wanted == UnknownHostKey::AcceptNew || matches!(config.strict, Strict::AcceptNew | Strict::No);
        Self {
            known,
            name: config.known_as(),
            host: config.host_key_alias.as_ref().unwrap_or(&config.host).to_lowercase(),
            place: place.to_owned(),
            accept_new,
            confirmed,
        }
    }

    /// The algorithms to offer: those of the known keys first.
    pub(crate) fn algorithms(&self, offered: &[Algorithm]) -> Vec<Algorithm> {
        known_hosts::order(offered, &self.known.key_types(&self.name))
    }

    /// Whether certificates are worth asking for.
    pub(crate) fn has_authorities(&self) -> bool {
        !self.known.authorities(&self.name).is_empty()
    }

    /// Judges what a host has shown.
    pub(crate) fn judge(&self, shown: &PublicKeyOrCertificate, now: u64) -> Finding {
        let key = shown.public_key();
        let certificate = shown.certificate().map(|certificate| self.certificate(certificate, now));
        let blob = key.to_bytes().unwrap_or_default();
        let title = describe(&key);
        let place = &self.place;
        match self.known.check(&self.name, &blob) {
            Verdict::Revoked(at) => Finding::Refused(
                host_key_error(format!(
                    "the host key of {place} is revoked in `{}` line {}: {title}",
                    at.file.display(),
                    at.line
                ))
                .hint("do not use this host until it has a new key"),
            ),
            Verdict::Known => Finding::Trusted(None),
            _ if certificate == Some(Ok(())) => Finding::Trusted(None),
            Verdict::Changed(at) => Finding::Refused(
                host_key_error(format!(
                    "the host key of {place} is not the known one: it sent {title}, but `{}` line {} has another",
                    at.file.display(),
                    at.line
                ))
                .hint("someone may be listening in, or the host was installed anew")
                .hint(format!(
                    "if it was, and the fingerprint is right, forget the old key: ssh-keygen -R {} -f {}",
                    crate::sh::quote(&self.name),
                    crate::sh::quote(&at.file.to_string_lossy())
                )),
            ),
            Verdict::Unknown => match certificate {
                Some(Err(why)) => Finding::Refused(
                    host_key_error(format!("the host certificate of {place} cannot be accepted: {why}"))
                        .hint("have the host's certificate signed anew, or add its plain key to known_hosts"),
                ),
                _ if self.confirmed.as_ref().is_some_and(|confirmed| confirmed.key_data() == key.key_data()) => {
                    Finding::Trusted(Some(key))
                }
                _ if self.accept_new => Finding::Trusted(Some(key)),
                _ => Finding::New(key),
            },
        }
    }

    /// Why a certificate is not good for this host, if it is not.
    fn certificate(&self, certificate: &Certificate, now: u64) -> Result<(), String> {
        let authorities = self.known.authorities(&self.name);
        let signer = PublicKey::new(certificate.signature_key().clone(), "");
        if !authorities.iter().any(|authority| authority.key_data() == signer.key_data()) {
            return Err(format!("no @cert-authority of known_hosts has signed it (signed by {})", describe(&signer)));
        }
        if certificate.cert_type() != CertType::Host {
            return Err("it is not a host certificate".to_owned());
        }
        if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
            return Err("it is signed with SHA-1".to_owned());
        }
        let principals = certificate.valid_principals();
        if !principals.iter().any(|principal| known_hosts::glob(&principal.to_lowercase(), &self.host)) {
            return Err(format!("it is for {}, not for `{}`", list(principals), self.host));
        }
        if !certificate.critical_options().is_empty() {
            return Err("it has critical options, which a host certificate must not have".to_owned());
        }
        // Also verifies the signature.
        match certificate.validate_at(now, [&signer.fingerprint(HashAlg::Sha256)]) {
            Ok(()) => Ok(()),
            Err(_) if now < certificate.valid_after() => Err("it is not valid yet".to_owned()),
            Err(_) if now >= certificate.valid_before() => Err("it has expired".to_owned()),
            Err(_) => Err("its signature is wrong".to_owned()),
        }
    }
}

/// The refusal of a key that is in no file.
pub(crate) fn unknown(key: &PublicKey, config: &Config, place: &str) -> ConnectionError {
    let port = if config.port == 22 { String::new() } else { format!(" -p {}", config.port) };
    host_key_error(format!("the host key of {place} is not known: {}", describe(key)))
        .hint(
            "compare the fingerprint with that on the host's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
        .hint(format!(
            "if it is the same, run again with `--accept-new`, or log in once with: ssh{port} {}@{}",
            config.user, config.host
        ))
}

/// The question that [`UnknownHostKey::Ask`] asks.
pub(crate) fn question(key: &PublicKey, place: &str) -> String {
    format!("The host key of {place} is not known: {}. Trust it?", describe(key))
}

/// Adds a key to the user's first known_hosts file.
pub(crate) fn remember(config: &Config, key: &PublicKey) -> Result<(), ConnectionError> {
    let Some(file) = config.user_known_hosts.first().filter(|file| !is_nowhere(file)) else { return Ok(()) };
    let salt = config.hash_known_hosts.then(rand::random::<[u8; 20]>);
    let Some(line) = known_hosts::line(&config.known_as(), key, salt) else { return Ok(()) };
    match known_hosts::append(file, &line) {
        Ok(()) => Ok(()),
        // Who says "no" does not care whether it is kept.
        Err(_) if config.strict == Strict::No => Ok(()),
        Err(error) => Err(host_key_error(format!("cannot add a host key to `{}`: {error}", file.display()))),
    }
}

fn host_key_error(message: String) -> ConnectionError {
    ConnectionError::new(ConnectionErrorKind::HostKey, message)
}

fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

fn list(names: &[String]) -> String {
    match names {
        [] => "no host".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

/// What russh calls during a connection.
pub(crate) struct Client {
    pub check: Arc<HostCheck>,
    pub finding: Arc<Mutex<Option<Finding>>>,
}

impl russh::client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let finding = self.check.judge(shown, now);
        let trusted = matches!(finding, Finding::Trusted(_));
        // On a later key exchange the host must still be trusted, but nothing is learnt.
        lock(&self.finding).get_or_insert(finding);
        Ok(trusted)
    }
}

//! Who is trusted to be the Proxmox host: what the system trusts, one authority, one certificate, or (loudly) anybody.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;

/// Who is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// The authorities that this machine trusts.
    System,
    /// The authorities in a PEM file, and no others.
    Authority(PathBuf),
    /// The one with this certificate, whatever its name and age.
    Leaf(Fingerprint),
    /// Everybody.
    Anybody,
}

/// SHA-256 of a certificate. Written in hexadecimal digits with or without colons, in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not a SHA-256 fingerprint: it has 64 hexadecimal digits, as `pvenode cert info` shows them"
            )
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Makes encrypted streams of TCP connections.
pub(super) struct Connector {
    connector: TlsConnector,
    verifier: Arc<Verifier>,
    name: ServerName<'static>,
    trust: Trust,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(host: &str, trust: Trust) -> Result<Self> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::user(format!("`{host}` is not the name or address of a Proxmox host")))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let policy = match &trust {
            Trust::System => Policy::Authorities(webpki(system_roots()?, &provider)?),
            Trust::Authority(path) => Policy::Authorities(webpki(roots_in(path)?, &provider)?),
            Trust::Leaf(fingerprint) => Policy::Leaf(*fingerprint),
            Trust::Anybody => Policy::Anybody,
        };
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(Verifier { policy, algorithms, seen: Mutex::new(None) });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), verifier, name, trust })
    }

    pub(super) async fn connect(&self, stream: TcpStream, server: &str) -> Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| self.refused(&error, server))
    }

    fn refused(&self, error: &std::io::Error, server: &str) -> Error {
        let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::InvalidCertificate(why)) = rustls else {
            let error =
                Error::new(ErrorKind::Unreachable, format!("{server} does not speak TLS as it should: {error}"));
            return error.hint("is it the API of Proxmox VE (port 8006)?");
        };
        let seen = *lock(&self.verifier.seen);
        let seen = seen.map_or_else(String::new, |seen| seen.to_string());
        if let Trust::Leaf(wanted) = &self.trust {
            let message = format!("{server} shows another certificate than the one that is trusted");
            return Error::new(ErrorKind::Unreachable, message).hint(format!(
                "trusted: {wanted}; shown: {seen}. If `pvenode cert info` on the Proxmox host shows the same, set `proxmox_fingerprint` to it"
            ));
        }
        let why = match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "nobody trusted has signed it".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "it is for another name".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "it is not valid yet; is the clock right?".to_owned()
            }
            other => other.to_string(),
        };
        Error::new(ErrorKind::Unreachable, format!("the certificate of {server} is not trusted: {why}")).hint(format!(
            "Proxmox signs its own: if `pvenode cert info` on the host shows this fingerprint, set `proxmox_fingerprint: \"{seen}\"`; \
             or copy /etc/pve/pve-root-ca.pem and name it in `proxmox_ca_path`"
        ))
    }
}

fn webpki(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Error::user(format!("there is no certificate authority to trust: {error}")))
}

fn system_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Some systems ship certificates that are older than the rules; the others are as good as ever.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = Error::user("this machine has no certificate authorities that it trusts");
        return Err(error.hint("install `ca-certificates`, or set `proxmox_fingerprint` or `proxmox_ca_path`"));
    }
    Ok(roots)
}

fn roots_in(path: &Path) -> Result<RootCertStore> {
    let pem = std::fs::read(path).map_err(|error| Error::io("read", path, &error))?;
    let wrong =
        |why: String| Error::user(format!("`{}` is not a file with certificates in PEM form: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(roots) }
}

#[derive(Debug)]
enum Policy {
    Authorities(Arc<WebPkiServerVerifier>),
    Leaf(Fingerprint),
    Anybody,
}

/// Decides on a certificate, and remembers it, so that an error can name it.
#[derive(Debug)]
struct Verifier {
    policy: Policy,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<Fingerprint>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(leaf);
        *lock(&self.seen) = Some(seen);
        match &self.policy {
            Policy::Authorities(verifier) => verifier.verify_server_cert(leaf, chain, name, ocsp, now),
            Policy::Leaf(wanted) if *wanted != seen => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            Policy::Leaf(_) | Policy::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    // The handshake is signed with the key of the certificate in every case: a copied certificate alone is worth nothing.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

//! Private keys on this machine: found by the configuration, unlocked by a passphrase that is asked for once per run.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key, load_openssh_certificate, load_public_key};
use tokio::sync::Mutex;

use super::super::ConnectOptions;
use super::auth::{beside, lower};
use super::config::Config;

/// How often a passphrase is asked for.
const ATTEMPTS: usize = 3;

/// A private key file as far as it can be read without its passphrase.
pub(crate) struct KeyFile {
    pub path: PathBuf,
    /// Why it is of no use.
    pub error: Option<String>,
    pub encrypted: bool,
    public: Option<PublicKey>,
    /// Certificates for the key.
    pub certificates: Vec<Certificate>,
}

/// A key that can be used, or why it cannot.
pub(crate) enum Unlocked {
    Key(Arc<PrivateKey>),
    No(String),
}

impl KeyFile {
    /// Whether this is the file of a key.
    pub(crate) fn is(&self, key: PublicKey) -> bool {
        self.public.as_ref().is_some_and(|public| public.key_data() == key.key_data())
    }
}

/// The private keys of a configuration that exist, best first.
pub(crate) fn find(config: &Config) -> Vec<KeyFile> {
    let mut files = Vec::new();
    for path in &config.identity_files {
        match std::fs::read_to_string(path) {
            Ok(text) => files.push(inspect(path, &text, config)),
            // `ssh` lists its default names whether they exist or not. With the public half alone the agent may have the rest.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let public = load_public_key(beside(path, ".pub")).ok();
                let chosen = !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("id_"));
                if public.is_some() || chosen {
                    let error = Some("there is no such file".to_owned());
                    let certificates = certificates(path, public.as_ref(), config);
                    files.push(KeyFile { path: path.clone(), error, encrypted: false, public, certificates });
                }
            }
            Err(error) => files.push(KeyFile {
                path: path.clone(),
                error: Some(lower(&error.to_string())),
                encrypted: false,
                public: None,
                certificates: Vec::new(),
            }),
        }
    }
    files
}

fn inspect(path: &Path, text: &str, config: &Config) -> KeyFile {
    let (mut error, mut encrypted) = (None, false);
    let mut public = None;
    match decode_secret_key(text, None) {
        Ok(key) => public = Some(key.public_key().clone()),
        Err(russh::keys::Error::KeyIsEncrypted) => encrypted = true,
        // Old formats say it in words.
        Err(_) if text.contains("ENCRYPTED") => encrypted = true,
        Err(_) if PublicKey::from_openssh(text).is_ok() => {
            public = PublicKey::from_openssh(text).ok();
            error = Some("that is the public half of the key".to_owned());
        }
        Err(why) => error = Some(format!("it cannot be read ({})", lower(&why.to_string()))),
    }
    if encrypted {
        // The OpenSSH format shows its public half; of the others it stands beside.
        let own = PrivateKey::from_openssh(text).ok().map(|key| key.public_key().clone());
        public = own.or_else(|| load_public_key(beside(path, ".pub")).ok());
    }
    let certificates = certificates(path, public.as_ref(), config);
    KeyFile { path: path.to_owned(), error, encrypted, public, certificates }
}

fn certificates(path: &Path, public: Option<&PublicKey>, config: &Config) -> Vec<Certificate> {
    let beside = beside(path, "-cert.pub");
    let files = config.certificate_files.iter().chain([&beside]);
    let all = files.filter_map(|file| load_openssh_certificate(file).ok());
    all.filter(|certificate| public.is_some_and(|public| public.key_data() == certificate.public_key())).collect()
}

/// The keys that were unlocked in this run: a passphrase is asked for once, however many hosts want the key.
static OPENED: LazyLock<Mutex<HashMap<PathBuf, Opened>>> = LazyLock::new(Mutex::default);

type Opened = Result<Arc<PrivateKey>, String>;

/// Decrypts a key, asking for its passphrase if it has one.
pub(crate) async fn unlock(file: &KeyFile, options: &ConnectOptions) -> Unlocked {
    let text = match std::fs::read_to_string(&file.path) {
        Ok(text) => text,
        Err(error) => return Unlocked::No(lower(&error.to_string())),
    };
    if !file.encrypted {
        return match decode_secret_key(&text, None) {
            Ok(key) => Unlocked::Key(Arc::new(key)),
            Err(error) => Unlocked::No(lower(&error.to_string())),
        };
    }
    // Held while asking, so that one question is asked at a time.
    let mut opened = OPENED.lock().await;
    let result = match opened.get(&file.path) {
        Some(result) => result.clone(),
        None => {
            let result = ask(&file.path, text, options.clone()).await;
            opened.insert(file.path.clone(), result.clone());
            result
        }
    };
    match result {
        Ok(key) => Unlocked::Key(key),
        Err(why) => Unlocked::No(why),
    }
}

/// Asks for a passphrase. Both the question and the key derivation take their time, so they have a thread of their own.
async fn ask(path: &Path, text: String, options: ConnectOptions) -> Opened {
    let title = path.display().to_string();
    let asking = tokio::task::spawn_blocking(move || {
        for attempt in 0..ATTEMPTS {
            let again = if attempt == 0 { "" } else { "wrong passphrase; " };
            let Some(passphrase) = options.prompter.password(&format!("{again}passphrase of the key {title}: ")) else {
                return Err("it has a passphrase, and there is nobody to ask for it".to_owned());
            };
            options.redactor.add(&passphrase);
            if let Ok(key) = decode_secret_key(&text, Some(&passphrase)) {
                return Ok(Arc::new(key));
            }
        }
        Err(format!("the passphrase was wrong {ATTEMPTS} times"))
    });
    asking.await.unwrap_or_else(|_| Err("asking for its passphrase failed".to_owned()))
}

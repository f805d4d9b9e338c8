//! Private keys, and opening what is encrypted to them.
//!
//! Identities are read when the first secret is opened, so that a run without secrets asks for no passphrase. They live on a
//! thread of their own: a passphrase is asked for once, and age's identities cannot be shared between threads.

use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use age::secrecy::SecretString;
use age::ssh::UnsupportedKey;
use age::{Callbacks, DecryptError, Identity};
use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use crate::connection::Prompter;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;

/// Where a private key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySource {
    /// A file with age identities (also one encrypted with a passphrase) or an SSH private key.
    pub path: PathBuf,
    /// How the user named it: `--identity`, `MMS_AGE_IDENTITY`, `mms.toml`.
    pub from: String,
}

type Opened = Result<Zeroizing<Vec<u8>>>;

type Identities = Result<Vec<Box<dyn Identity>>>;

/// Work for the thread that holds the identities.
type Job = Box<dyn FnOnce(&Identities) + Send>;

/// Opens secrets. Clones share the keys.
#[derive(Clone)]
pub struct Keyring {
    sources: Arc<Vec<IdentitySource>>,
    prompter: Arc<dyn Prompter>,
    worker: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} sources)", self.sources.len())
    }
}

impl Keyring {
    /// A keyring of these sources; nothing is read yet.
    pub fn new(sources: Vec<IdentitySource>, prompter: Arc<dyn Prompter>) -> Self {
        Self { sources: Arc::new(sources), prompter, worker: Arc::default() }
    }

    /// Opens an age file, armored or binary.
    ///
    /// # Errors
    /// When there is no identity, none of them fits, a passphrase is wrong, or the content is damaged.
    pub fn open(&self, content: &[u8]) -> Opened {
        let content = content.to_vec();
        self.with_identities(move |identities| decrypt(&content, identities))
    }

    /// Opens an age file of any size, armored or binary: the reader gives its plaintext, of which nothing is authentic beyond
    /// what was read, and its end only once it was reached without an error.
    ///
    /// # Errors
    /// As [`Keyring::open`], of kind `Failed` when the file itself is damaged.
    pub fn open_stream(
        &self,
        mut file: impl BufRead + Send + 'static,
    ) -> Result<age::stream::StreamReader<Box<dyn BufRead + Send>>> {
        let damaged = |error: age::DecryptError| {
            // What the reader below said of itself is the better message.
            match error {
                age::DecryptError::Io(error) => crate::backup::archive::of_io(&error),
                other => crate::backup::archive::damaged(format!("its encryption cannot be read: {other}")),
            }
        };
        // A reader of armor copies what it does not have to take apart, twice.
        let start = file.fill_buf().map_err(|error| crate::backup::archive::of_io(&error))?;
        let file: Box<dyn BufRead + Send> = match is_armored(start) {
            true => Box::new(age::armor::ArmoredReader::new(file)),
            false => Box::new(file),
        };
        let decryptor = age::Decryptor::new_buffered(file).map_err(damaged)?;
        self.with_identities(move |identities| {
            decryptor.decrypt(identities.iter().map(AsRef::as_ref)).map_err(|error| match error {
                age::DecryptError::NoMatchingKeys => vault_error("none of the identities fits this backup")
                    .hint("it was encrypted for other recipients: `--identity FILE` names the key of one of them")
                    .hint("or its beginning is damaged"),
                other => damaged(other),
            })
        })
    }

    /// Does something with the identities, on their thread.
    fn with_identities<T: Send + 'static>(
        &self,
        work: impl FnOnce(&[Box<dyn Identity>]) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = mpsc::channel();
        let gone = || Error::internal("the thread that holds the private keys is gone");
        let job: Job = Box::new(move |identities| {
            let done = match identities {
                Ok(identities) => work(identities),
                Err(error) => Err(error.clone()),
            };
            // The one who asked may have given up.
            let _ = reply.send(done);
        });
        {
            let mut worker = lock(&self.worker);
            worker.get_or_insert_with(|| self.start()).send(job).map_err(|_| gone())?;
        }
        answer.recv().map_err(|_| gone())?
    }

    /// Whether one of the identities is protected by a passphrase, so that opening a secret may ask for it.
    pub fn may_ask(&self) -> bool {
        self.sources.iter().filter_map(|source| std::fs::read(&source.path).ok()).any(|content| {
            let content = Zeroizing::new(content);
            is_age(&content) || content.starts_with(b"-----BEGIN") && !is_plain_ssh_key(&content)
        })
    }

    fn start(&self) -> mpsc::Sender<Job> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let keyring = self.clone();
        std::thread::spawn(move || {
            let identities = keyring.load();
            for job in jobs {
                job(&identities);
            }
        });
        sender
    }

    fn load(&self) -> Identities {
        let mut identities: Vec<Box<dyn Identity>> = vec![];
        let mut missing = vec![];
        for source in self.sources.iter() {
            match std::fs::read(&source.path) {
                Ok(content) => identities.extend(self.read(&source.path, Zeroizing::new(content))?),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    missing.push(format!("`{}` ({}) does not exist", source.path.display(), source.from));
                }
                Err(error) => {
                    return Err(vault_error(format!("cannot read the identity `{}`: {error}", source.path.display())));
                }
            }
        }
        if identities.is_empty() {
            let why = if missing.is_empty() { "none is configured".to_owned() } else { missing.join(", ") };
            return Err(vault_error(format!("there is no identity to open the vault with: {why}"))
                .hint("name one with `--identity FILE`, `MMS_AGE_IDENTITY`, or `vault.identities` in mms.toml")
                .hint("`mms vault init` makes one for a new project"));
        }
        Ok(identities)
    }

    fn read(&self, path: &Path, content: Zeroizing<Vec<u8>>) -> Result<Vec<Box<dyn Identity>>> {
        let name = path.display().to_string();
        let wrong = |what: String| vault_error(format!("the identity `{name}` cannot be used: {what}"));
        let callbacks = Ask { prompter: Arc::clone(&self.prompter), name: name.clone(), given: Arc::default() };
        if content.starts_with(b"-----BEGIN") && content.windows(11).any(|window| window == b"PRIVATE KEY") {
            let identity = age::ssh::Identity::from_buffer(&content[..], Some(name.clone()))
                .map_err(|error| wrong(error.to_string()))?;
            if let age::ssh::Identity::Unsupported(why) = &identity {
                return Err(unsupported(why, wrong));
            }
            return Ok(vec![Box::new(OfSsh(identity.with_callbacks(callbacks)))]);
        }
        if is_age(&content) {
            return self.read_encrypted(&name, &content, &callbacks);
        }
        let file = age::IdentityFile::from_buffer(&content[..]).map_err(|error| wrong(error.to_string()))?;
        file.with_callbacks(callbacks).into_identities().map_err(|error| wrong(error.to_string()))
    }

    /// A file of identities that is itself encrypted with a passphrase.
    fn read_encrypted(&self, name: &str, content: &[u8], callbacks: &Ask) -> Result<Vec<Box<dyn Identity>>> {
        let wrong = |what: String| vault_error(format!("the identity `{name}` cannot be used: {what}"));
        let Some(passphrase) = callbacks.request_passphrase(&format!("passphrase of `{name}`")) else {
            return Err(wrong("it is encrypted and there is no terminal to ask for its passphrase".into()));
        };
        let mut identity = age::scrypt::Identity::new(passphrase);
        identity.set_max_work_factor(22);
        let plain =
            decrypt_with(content, std::iter::once(&identity as &dyn Identity)).map_err(|error| match error {
                DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
                    wrong("the passphrase is wrong".into())
                }
                other => wrong(other.to_string()),
            })?;
        let file = age::IdentityFile::from_buffer(&plain[..]).map_err(|error| wrong(error.to_string()))?;
        file.with_callbacks(callbacks.clone()).into_identities().map_err(|error| wrong(error.to_string()))
    }
}

/// What can be done about a key that age does not read.
fn unsupported(why: &UnsupportedKey, wrong: impl Fn(String) -> Error) -> Error {
    match why {
        UnsupportedKey::EncryptedPem | UnsupportedKey::EncryptedSsh(_) => {
            wrong("age does not know how it is encrypted".into())
                .hint("`ssh-keygen -p -f FILE` writes it anew, in the form of today's OpenSSH")
        }
        UnsupportedKey::Hardware(_) => wrong("it is in a hardware token, which age cannot use for this".into()),
        _ => wrong("age knows only ed25519 and RSA keys of SSH".into()),
    }
}

/// An SSH key that looks only at what is encrypted to SSH keys: age asks for the passphrase before it looks whether that is of any use.
struct OfSsh<I>(I);

impl<I: Identity> Identity for OfSsh<I> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        stanza.tag.starts_with("ssh-").then(|| self.0.unwrap_stanza(stanza)).flatten()
    }
}

/// Whether an SSH private key has no passphrase: OpenSSH's format names the cipher first.
fn is_plain_ssh_key(content: &[u8]) -> bool {
    use base64::Engine as _;
    let text = String::from_utf8_lossy(content);
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let start: String = body.chars().take(60).collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(start).unwrap_or_default();
    decoded.starts_with(b"openssh-key-v1\0\0\0\0\x04none")
}

/// Whether the content starts like an age file.
pub fn is_age(content: &[u8]) -> bool {
    content.starts_with(b"age-encryption.org/") || is_armored(content)
}

/// Whether the content starts like an age file in ASCII armor.
pub(super) fn is_armored(content: &[u8]) -> bool {
    content.trim_ascii_start().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

fn decrypt(content: &[u8], identities: &[Box<dyn Identity>]) -> Opened {
    decrypt_with(content, identities.iter().map(AsRef::as_ref)).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => vault_error("none of the identities fits this secret")
            .hint("it was encrypted for other recipients; ask one of their owners to add you"),
        age::DecryptError::KeyDecryptionFailed => vault_error("the passphrase of the SSH key is wrong"),
        other => vault_error(format!("the secret cannot be opened: {other}"))
            .hint("it is damaged: take it from an earlier commit, or set it again with `mms vault set`"),
    })
}

fn decrypt_with<'a>(
    content: &[u8],
    identities: impl Iterator<Item = &'a dyn Identity>,
) -> Result<Zeroizing<Vec<u8>>, age::DecryptError> {
    let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(content.trim_ascii_start()))?;
    let mut plain = Zeroizing::new(vec![]);
    decryptor.decrypt(identities)?.read_to_end(&mut plain)?;
    Ok(plain)
}

fn vault_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Vault, message)
}

/// Asks for passphrases.
#[derive(Clone)]
struct Ask {
    prompter: Arc<dyn Prompter>,
    name: String,
    /// age asks anew for every secret; the person is asked once.
    given: Arc<Mutex<Option<SecretString>>>,
}

impl Callbacks for Ask {
    fn display_message(&self, _message: &str) {}

    fn confirm(&self, message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        self.prompter.confirm(message)
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.prompter.line(description, true)
    }

    fn request_passphrase(&self, _description: &str) -> Option<SecretString> {
        let mut given = lock(&self.given);
        if given.is_none() {
            *given = self.prompter.password(&format!("passphrase of `{}`", self.name)).map(SecretString::from);
        }
        given.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! `mms vault`.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{Global, Session, signals};
use crate::diagnostic::{Source, Span};
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::secret::{Redactor, SHORTEST};
use crate::ui::Ui;
use crate::vault::{Document, Recipients, is_encrypted_file};

/// Keep secrets in the project, encrypted with age
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mms vault init\n  mms vault set vault_tailscale_auth_key\n  mms vault edit\n  mms vault get vault_immich_db_password"
)]
pub struct Vault {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an identity (unless there is one) and a vault, and note both in mms.toml
    Init {
        /// Where the identity is written
        #[arg(long, value_name = "FILE")]
        identity_file: Option<PathBuf>,
    },
    /// Edit the values in clear with $EDITOR; unchanged values keep their ciphertext
    Edit {
        /// The vault file
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show the file in clear
    View {
        /// The vault file
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show one value in clear
    Get {
        /// The key, e.g. `vault_token` or `smtp.password`
        key: String,
        /// The vault file
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Set one value, read from stdin or asked for: never an argument, which others could see
    Set {
        /// The key, e.g. `vault_token` or `smtp.password`
        key: String,
        /// The vault file
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Encrypt files: the values of a YAML mapping one by one, anything else as a whole
    Encrypt {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Encrypt YAML as a whole, too
        #[arg(long)]
        whole: bool,
    },
    /// Decrypt files in place
    Decrypt {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl Vault {
    pub(super) fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let session = Session::open(global, ui)?;
        match self.verb {
            Verb::Init { identity_file } => init(&session, identity_file)?,
            Verb::Edit { file } => edit(&session, &vault_file(&session, file))?,
            Verb::View { file } => {
                let path = vault_file(&session, file);
                let content = read_vault(&path)?;
                let clear = clear(&session, &path, &content)?;
                session.ui.secret_data(&clear);
            }
            Verb::Get { key, file } => {
                let path = vault_file(&session, file);
                let document = document(&session, &path)?;
                match document.get(&key, &session.keyring)? {
                    Some(plain) => session.ui.secret_data(format!("{}\n", plain.trim_end_matches('\n')).as_bytes()),
                    None => return Err(no_such_key(&document, &key, &session.project.name_of(&path))),
                }
            }
            Verb::Set { key, file } => set(&session, &key, &vault_file(&session, file))?,
            Verb::Encrypt { files, whole } => {
                for path in files {
                    encrypt(&session, &path, whole)?;
                }
            }
            Verb::Decrypt { files } => {
                for path in files {
                    decrypt(&session, &path)?;
                    ui.note(&format!("`{}` is in clear now: do not commit it", path.display()));
                }
            }
        }
        Ok(Exit::Ok)
    }
}

/// The vault that is meant when none is named.
fn vault_file(session: &Session, given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| session.project.root().join("inventory/group_vars/all/vault.yml"))
}

fn recipients(session: &Session) -> Result<Recipients> {
    Recipients::parse(session.settings.recipients.iter().map(String::as_str))
}

fn document(session: &Session, path: &Path) -> Result<Document> {
    let content = read_vault(path)?;
    let text = if is_encrypted_file(&content) { session.keyring.open(&content)? } else { Zeroizing::new(content) };
    let text = Zeroizing::new(
        String::from_utf8(text.to_vec()).map_err(|_| Error::user(format!("`{}` is not text", path.display())))?,
    );
    Document::parse(&session.project.name_of(path), &text)
}

fn no_such_key(document: &Document, key: &str, file: &str) -> Error {
    let error = Error::user(format!("`{file}` has no value `{key}`"));
    error.map(|diagnostic| diagnostic.did_you_mean(key, document.paths()))
}

/// The content in clear, whichever way it is encrypted.
fn clear(session: &Session, path: &Path, content: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    if is_encrypted_file(content) {
        return session.keyring.open(content);
    }
    let text =
        std::str::from_utf8(content).map_err(|_| Error::user(format!("`{}` is not encrypted", path.display())))?;
    let document = Document::parse(&session.project.name_of(path), text)?;
    document.decrypted(&session.keyring).map(|text| Zeroizing::new(text.as_bytes().to_vec()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io("read", path, &error))
}

fn read_vault(path: &Path) -> Result<Vec<u8>> {
    let read = read(path);
    if path.exists() { read } else { read.map_err(|error| error.hint("`mms vault init` makes a vault")) }
}

/// Writes a file whole or not at all, readable as before (a new one by its owner only).
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Error::io("write", path, &error);
    // A link stays one: what it leads to is written.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = target.as_path();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    if let Ok(before) = std::fs::metadata(path) {
        std::fs::set_permissions(file.path(), before.permissions()).map_err(failed)?;
    }
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn set(session: &Session, key: &str, path: &Path) -> Result<()> {
    let plain = if std::io::stdin().is_terminal() {
        let typed = session.prompter.password(&format!("value of `{key}`"));
        Zeroizing::new(typed.ok_or_else(|| Error::user(format!("no value was given for `{key}`")))?)
    } else {
        let mut text = Zeroizing::new(String::new());
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Error::user(format!("cannot read the value from stdin: {error}")))?;
        // `echo secret | mms vault set key` does not mean the line end.
        let one_line = text.trim_end_matches('\n').lines().count() <= 1;
        if one_line { Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()) } else { text }
    };
    if plain.is_empty() {
        // As a rule the program before the pipe has failed.
        return Err(
            Error::user(format!("no value was given for `{key}`")).hint("`mms vault edit` can set an empty one")
        );
    }
    session.ui.redactor().add(&plain);
    if plain.len() < SHORTEST {
        session.ui.note(&format!("a secret of less than {SHORTEST} bytes cannot be masked in output"));
    }
    let document =
        if path.exists() { document(session, path)? } else { Document::parse(&session.project.name_of(path), "")? };
    write(path, document.set(key, &plain, &recipients(session)?)?.as_bytes())?;
    session.ui.note(&format!("`{key}` is set in `{}`", session.project.name_of(path)));
    Ok(())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml")
}

fn encrypt(session: &Session, path: &Path, whole: bool) -> Result<()> {
    let content = read(path)?;
    if is_encrypted_file(&content) {
        return Err(Error::user(format!("`{}` is encrypted already", path.display())));
    }
    let recipients = recipients(session)?;
    let text = std::str::from_utf8(&content).ok().filter(|_| !whole);
    let sealed = match text {
        Some(text) if is_yaml(path) => {
            let name = session.project.name_of(path);
            let sealed = Document::parse(&name, text).and_then(|document| document.encrypted(None, &recipients));
            // What is still in clear is not shown.
            sealed.map_err(|error| without_text(error, text, &name, session.ui.redactor()))?.into_bytes()
        }
        _ => recipients.encrypt_file(&content)?,
    };
    write(path, &sealed)
}

fn decrypt(session: &Session, path: &Path) -> Result<()> {
    let content = read(path)?;
    let in_clear = || Error::user(format!("`{}` is in clear already", path.display()));
    let name = session.project.name_of(path);
    let has_values = || std::str::from_utf8(&content).is_ok_and(|text| Document::parse(&name, text).is_ok());
    // What is wrong with YAML is told; any other file was encrypted as a whole, if at all.
    if !is_encrypted_file(&content) && !is_yaml(path) && !has_values() {
        return Err(in_clear());
    }
    let clear = clear(session, path, &content)?;
    if *clear == content {
        return Err(in_clear());
    }
    write(path, &clear)
}

/// Edits a vault in clear in a private file in memory, until what comes back can be encrypted.
fn edit(session: &Session, path: &Path) -> Result<()> {
    let recipients = recipients(session)?;
    let content = if path.exists() { read(path)? } else { vec![] };
    let whole = is_encrypted_file(&content);
    let before = document(session, path).or_else(|error| {
        if path.exists() { Err(error) } else { Document::parse(&session.project.name_of(path), "") }
    })?;
    let clear = before.decrypted(&session.keyring)?;
    let dir = signals::guard(private_dir()?);
    let file = dir.path().join("edit.yml");
    write(&file, clear.as_bytes())?;
    loop {
        run_editor(&file)?;
        let edited = Zeroizing::new(std::fs::read_to_string(&file).map_err(|error| Error::io("read", &file, &error))?);
        if *edited == *clear {
            session.ui.note("nothing was changed");
            return Ok(());
        }
        let sealed = Document::parse(&session.project.name_of(path), &edited).and_then(|document| {
            if whole {
                recipients.encrypt_file(edited.as_bytes())
            } else {
                document.encrypted(Some((&before, &session.keyring)), &recipients).map(String::into_bytes)
            }
        });
        match sealed {
            Ok(sealed) => {
                write(path, &sealed)?;
                session.ui.note(&format!("`{}` is written", session.project.name_of(path)));
                return Ok(());
            }
            Err(error) => {
                let error = without_text(error, &edited, &session.project.name_of(path), session.ui.redactor());
                // The text is still in the editor's file: nothing typed is lost while the user goes on.
                session.ui.error(&error);
                if session.prompter.confirm("edit again?") != Some(true) {
                    return Err(Error::user("the vault was not changed"));
                }
            }
        }
    }
}

/// The error without what it quotes of a vault in clear: what cannot be parsed cannot be masked value by value.
fn without_text(error: Error, clear: &str, name: &str, redactor: &Redactor) -> Error {
    for line in clear.lines() {
        let value = line.split_once(':').map_or(line, |(_, value)| value);
        redactor.add(value.trim().trim_matches(['"', '\'', '-', ' ']));
    }
    let hidden = Source::hidden(name, clear);
    error.map(|mut diagnostic| {
        diagnostic.span = diagnostic.span.map(|span| Span::new(&hidden, span.start, span.end));
        diagnostic.related.clear();
        diagnostic
    })
}

/// A directory that only the user can read, in memory where the system has such a place.
fn private_dir() -> Result<tempfile::TempDir> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let place = [runtime, Some(PathBuf::from("/dev/shm"))]
        .into_iter()
        .flatten()
        .find(|dir| dir.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new().prefix("mms-").tempdir_in(&place).map_err(|error| Error::io("write", &place, &error))
}

fn run_editor(file: &Path) -> Result<()> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "vi".to_owned());
    // Editors are often given with arguments, as shells run them.
    let mut command = std::process::Command::new("/bin/sh");
    let status = command.args(["-c", &format!("{editor} \"$1\""), "editor"]).arg(file).spawn().and_then(|mut child| {
        let _lent = signals::lend(&child);
        child.wait()
    });
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let error = Error::user(format!("the editor `{editor}` ended with {status}; the vault was not changed"));
            Err(error.hint("`EDITOR` (or `VISUAL`) names the editor, e.g. `EDITOR=nano mms vault edit`"))
        }
        Err(error) => Err(Error::user(format!("cannot start the editor `{editor}`: {error}")).hint("set EDITOR")),
    }
}

/// Makes what a project needs to keep secrets. What is there already is kept.
fn init(session: &Session, identity_file: Option<PathBuf>) -> Result<()> {
    let ui = &session.ui;
    let root = session.project.root();
    let manifest_path = root.join("mms.toml");
    let manifest = if manifest_path.exists() {
        String::from_utf8_lossy(&read(&manifest_path)?).into_owned()
    } else {
        String::new()
    };
    let vault = vault_file(session, None);
    if !session.settings.recipients.is_empty() {
        ui.note("there are recipients already (`recipients` in mms.toml, or `MMS_RECIPIENTS`)");
    } else {
        let table = manifest.parse::<toml::Table>().unwrap_or_default();
        if table.contains_key("vault") {
            return Err(Error::user("mms.toml has a [vault] section without recipients")
                .hint("add `recipients = [\"age1…\"]` to it"));
        }
        let path = identity_file.map_or_else(default_identity, Ok)?;
        let public = if path.exists() { public_key(&path)? } else { new_identity(&path)? };
        let section = format!(
            "[vault]\n# Private keys that open the vault: never in the project.\nidentities = [{}]\n# Public keys that it is encrypted for.\nrecipients = [{}]\n",
            toml::Value::from(path.to_string_lossy().into_owned()),
            toml::Value::from(public.as_str())
        );
        let text = if manifest.is_empty() { section } else { format!("{}\n\n{section}", manifest.trim_end()) };
        write(&manifest_path, text.as_bytes())?;
        ui.note(&format!(
            "identity: `{}`\nkeep a copy of it somewhere safe: without it the vault cannot be opened",
            path.display()
        ));
        ui.note(&format!("recipient: {public}"));
    }
    if vault.exists() {
        ui.note(&format!("`{}` is there already", session.project.name_of(&vault)));
    } else {
        write(&vault, b"# Secrets, each encrypted for the recipients in mms.toml. Edit with `mms vault edit`.\n")?;
        ui.note(&format!("vault: `{}`", session.project.name_of(&vault)));
    }
    Ok(())
}

fn default_identity() -> Result<PathBuf> {
    use etcetera::BaseStrategy as _;
    let dirs = etcetera::choose_base_strategy()
        .map_err(|error| Error::user(format!("cannot find the home directory: {error}")))?;
    Ok(dirs.config_dir().join("mms/identity.txt"))
}

fn new_identity(path: &Path) -> Result<String> {
    let key = age::x25519::Identity::generate();
    let public = key.to_public().to_string();
    let secret = key.to_string();
    let text = Zeroizing::new(format!("# public key: {public}\n{}\n", secret.expose_secret()));
    write(path, text.as_bytes())?;
    Ok(public)
}

/// The public key of an identity that is there already.
fn public_key(path: &Path) -> Result<String> {
    let text = Zeroizing::new(String::from_utf8_lossy(&read(path)?).into_owned());
    let key = text.lines().find_map(|line| line.trim().parse::<age::x25519::Identity>().ok());
    key.map(|key| key.to_public().to_string()).ok_or_else(|| {
        Error::new(ErrorKind::Vault, format!("`{}` is there but is no age identity", path.display())).hint(
            "name another file with `--identity-file`, or list its public key under `vault.recipients` in mms.toml",
        )
    })
}

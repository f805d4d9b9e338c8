//! Logging in: agent, keys, certificates, password, in the order in which `ssh` tries them. Everything that was tried and why
//! it did not work ends up in the error.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;

use super::super::{ConnectOptions, ConnectionError, ConnectionErrorKind};
use super::config::Config;
use super::host_key::Client;
use super::keys::{self, KeyFile, Unlocked};

/// How many keys are tried when there is a password behind them: sshd hangs up after six attempts.
const KEYS_BEFORE_PASSWORD: usize = 4;

/// How long the host may think about one attempt. PAM waits a few seconds after a wrong password.
const PATIENCE: Duration = Duration::from_secs(30);

/// Logs in.
pub(crate) async fn log_in(
    handle: &mut Handle<Client>,
    config: &Config,
    password: Option<&str>,
    options: &ConnectOptions,
    place: &str,
) -> Result<(), ConnectionError> {
    let mut login = Login { handle, config, tried: Vec::new(), attempts: 0, allowed: None, password, hung_up: false };
    if login.with_keys(options).await || login.with_password().await {
        return Ok(());
    }
    Err(login.refused(place).await)
}

struct Login<'a> {
    handle: &'a mut Handle<Client>,
    config: &'a Config,
    password: Option<&'a str>,
    /// What was tried, and what came of it.
    tried: Vec<String>,
    attempts: usize,
    /// The methods that the server still takes, once it has said so.
    allowed: Option<Vec<MethodKind>>,
    hung_up: bool,
}

impl Login<'_> {
    async fn with_keys(&mut self, options: &ConnectOptions) -> bool {
        let files = keys::find(self.config);
        let mut agent = self.agent().await;
        let mut in_agent = match &mut agent {
            Some(agent) => self.identities(agent).await,
            None => Vec::new(),
        };
        let wanted = |identity: &AgentIdentity| files.iter().any(|file| file.is(identity_key(identity)));
        if self.config.identities_only {
            in_agent.retain(wanted);
        }
        // As `ssh` does: first the agent's keys that are also configured.
        in_agent.sort_by_key(|identity| !wanted(identity));
        if let Some(agent) = &mut agent {
            for identity in &in_agent {
                let certificates = files.iter().flat_map(|file| &file.certificates);
                let fitting = certificates.filter(|one| one.public_key() == identity_key(identity).key_data()).cloned();
                let identities = fitting
                    .map(|certificate| AgentIdentity::Certificate { certificate, comment: "agent".to_owned() })
                    .chain([identity.clone()]);
                for identity in identities.collect::<Vec<_>>() {
                    if self.with_agent_key(agent, &identity).await {
                        return true;
                    }
                }
            }
        }
        // Those that need nobody at the terminal first.
        let (open, locked): (Vec<&KeyFile>, Vec<&KeyFile>) = files
            .iter()
            .filter(|file| !in_agent.iter().any(|identity| file.is(identity_key(identity))))
            .partition(|file| !file.encrypted);
        for file in open.into_iter().chain(locked) {
            if let Some(error) = &file.error {
                self.tried.push(format!("key `{}`: {error}", file.path.display()));
                continue;
            }
            if !self.may(MethodKind::PublicKey) {
                continue;
            }
            match keys::unlock(file, options).await {
                Unlocked::Key(key) => {
                    if self.with_key_file(file, &key).await {
                        return true;
                    }
                }
                Unlocked::No(why) => self.tried.push(format!("key `{}`: {why}", file.path.display())),
            }
        }
        false
    }

    async fn agent(&mut self) -> Option<AgentClient<UnixStream>> {
        let socket = self.config.identity_agent.as_ref()?;
        match AgentClient::connect_uds(socket).await {
            Ok(mut agent) => {
                if let Some(binding) = self.handle.agent_session_binding() {
                    // Agents that do not know the extension refuse it, which is fine.
                    let _ = agent.bind_session(binding, false).await;
                }
                Some(agent)
            }
            Err(_) => {
                self.tried.push(format!("agent `{}`: it does not answer", socket.display()));
                None
            }
        }
    }

    async fn identities(&mut self, agent: &mut AgentClient<UnixStream>) -> Vec<AgentIdentity> {
        match agent.request_identities().await {
            Ok(identities) => {
                if identities.is_empty() {
                    self.tried.push("agent: it holds no keys".to_owned());
                }
                identities
            }
            Err(error) => {
                self.tried.push(format!("agent: {}", lower(&error.to_string())));
                Vec::new()
            }
        }
    }

    async fn with_agent_key(&mut self, agent: &mut AgentClient<UnixStream>, identity: &AgentIdentity) -> bool {
        if !self.may(MethodKind::PublicKey) {
            return false;
        }
        let user = self.config.user.clone();
        let (result, title) = match identity {
            AgentIdentity::PublicKey { key, comment } => {
                let hash = self.rsa_hash(key).await;
                let result = self.handle.authenticate_publickey_with(user, key.clone(), hash, agent).await;
                (result, format!("agent key {}", title(key, comment)))
            }
            AgentIdentity::Certificate { certificate, comment } => {
                let key = PublicKey::new(certificate.public_key().clone(), "");
                let hash = self.rsa_hash(&key).await;
                let result = self.handle.authenticate_certificate_with(user, certificate.clone(), hash, agent).await;
                (result, format!("agent certificate `{}` {}", certificate.key_id(), title(&key, comment)))
            }
        };
        match result {
            Ok(result) => self.took(result, &title),
            Err(_) => {
                self.tried.push(format!("{title}: the agent did not sign"));
                false
            }
        }
    }

    async fn with_key_file(&mut self, file: &KeyFile, key: &Arc<PrivateKey>) -> bool {
        let user = self.config.user.clone();
        for certificate in &file.certificates {
            if !self.may(MethodKind::PublicKey) {
                return false;
            }
            let certificate: Certificate = certificate.clone();
            let title = format!("certificate `{}` of key `{}`", certificate.key_id(), file.path.display());
            let result =
                patient(self.handle.authenticate_openssh_cert(user.clone(), Arc::clone(key), certificate)).await;
            if self.took_or_lost(result, &title) {
                return true;
            }
        }
        if !self.may(MethodKind::PublicKey) {
            return false;
        }
        let hash = self.rsa_hash(key.public_key()).await;
        let login = self.handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key), hash));
        let result = patient(login).await;
        self.took_or_lost(result, &format!("key `{}`", file.path.display()))
    }

    async fn with_password(&mut self) -> bool {
        let Some(password) = self.password.map(str::to_owned) else { return false };
        if self.hung_up {
            return false;
        }
        let user = self.config.user.clone();
        if self.allows(MethodKind::Password) {
            let result = patient(self.handle.authenticate_password(user.clone(), password.clone())).await;
            if self.took_or_lost(result, "password") {
                return true;
            }
        }
        if self.hung_up || !self.allows(MethodKind::KeyboardInteractive) {
            return false;
        }
        self.keyboard_interactive(&user, &password).await
    }

    async fn keyboard_interactive(&mut self, user: &str, password: &str) -> bool {
        let mut reply = patient(self.handle.authenticate_keyboard_interactive_start(user, None::<String>)).await;
        let mut answered = false;
        loop {
            match reply {
                Ok(KeyboardInteractiveAuthResponse::Success) => return true,
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => {
                    if prompts.len() > 1 || (answered && !prompts.is_empty()) {
                        self.tried.push("keyboard-interactive: the host asks for more than the password".to_owned());
                        return false;
                    }
                    let answers = prompts.iter().map(|_| password.to_owned()).collect();
                    answered |= !prompts.is_empty();
                    reply = patient(self.handle.authenticate_keyboard_interactive_respond(answers)).await;
                }
                Ok(KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success }) => {
                    let failure = AuthResult::Failure { remaining_methods, partial_success };
                    return self.took(failure, "password by keyboard-interactive");
                }
                Err(_) => {
                    self.hang_up("password by keyboard-interactive");
                    return false;
                }
            }
        }
    }

    /// Whether another attempt of a method makes sense.
    fn may(&self, method: MethodKind) -> bool {
        let enough = self.password.is_some() && self.attempts >= KEYS_BEFORE_PASSWORD;
        !self.hung_up && !enough && self.allows(method)
    }

    fn allows(&self, method: MethodKind) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&method))
    }

    fn took_or_lost(&mut self, result: Result<AuthResult, russh::Error>, title: &str) -> bool {
        match result {
            Ok(result) => self.took(result, title),
            Err(error) => {
                self.tried.push(format!("{title}: {}", lower(&error.to_string())));
                self.hung_up = self.handle.is_closed() || matches!(error, russh::Error::ConnectionTimeout);
                false
            }
        }
    }

    fn took(&mut self, result: AuthResult, title: &str) -> bool {
        self.attempts += 1;
        match result {
            AuthResult::Success => true,
            AuthResult::Failure { partial_success, .. } if partial_success => {
                self.tried.push(format!("{title}: accepted, but the host wants more"));
                self.note_allowed(&result);
                false
            }
            AuthResult::Failure { .. } if self.handle.is_closed() => {
                self.hang_up(title);
                false
            }
            AuthResult::Failure { .. } => {
                self.tried.push(format!("{title}: not accepted"));
                self.note_allowed(&result);
                false
            }
        }
    }

    fn note_allowed(&mut self, result: &AuthResult) {
        if let AuthResult::Failure { remaining_methods, .. } = result {
            self.allowed = Some(remaining_methods.to_vec());
        }
    }

    fn hang_up(&mut self, title: &str) {
        self.hung_up = true;
        self.tried.push(format!("{title}: the host hung up"));
    }

    /// The hash for RSA signatures. Asked for only when it matters: it may take a second.
    async fn rsa_hash(&self, key: &PublicKey) -> Option<HashAlg> {
        if !key.algorithm().is_rsa() {
            return None;
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(best)) => best,
            // The host does not say: every sshd since 2016 takes this one.
            _ => Some(HashAlg::Sha256),
        }
    }

    async fn refused(mut self, place: &str) -> ConnectionError {
        if self.allowed.is_none() && !self.hung_up {
            // Nothing was tried. This tells what could be, or logs in where nothing is asked.
            let user = self.config.user.clone();
            if let Ok(result) = patient(self.handle.authenticate_none(user)).await {
                self.note_allowed(&result);
            }
        }
        let tried = if self.tried.is_empty() {
            "there is no key and no password to try".to_owned()
        } else {
            self.tried.join("; ")
        };
        let allowed: Vec<&str> = self.allowed.iter().flatten().map(<&str>::from).collect();
        let mut error = ConnectionError::new(ConnectionErrorKind::Auth, format!("cannot log in to {place}: {tried}"));
        if !allowed.is_empty() {
            error = error.hint(format!("the host takes: {}", allowed.join(", ")));
        }
        if self.hung_up && self.attempts > 1 {
            error = error.hint("sshd hangs up after a few attempts: name the right key (`ansible_ssh_private_key_file`) and set `IdentitiesOnly yes`");
        }
        let port = if self.config.port == 22 { String::new() } else { format!("-p {} ", self.config.port) };
        if self.password.is_some() {
            return error.hint("check `ansible_user` and `ansible_password`");
        }
        if self.tried.iter().any(|line| line.contains("passphrase")) {
            error = error.hint("load the key into an agent first: ssh-add");
        }
        error.hint(format!(
            "put your public key on the host: ssh-copy-id {port}{}@{}",
            self.config.user, self.config.host
        ))
    }
}

/// An answer of the host, or that it did not come. The agent is given all the time it wants: it may be asking a person.
async fn patient<T>(answer: impl Future<Output = Result<T, russh::Error>>) -> Result<T, russh::Error> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(russh::Error::ConnectionTimeout))
}

fn identity_key(identity: &AgentIdentity) -> PublicKey {
    match identity {
        AgentIdentity::PublicKey { key, .. } => key.clone(),
        AgentIdentity::Certificate { certificate, .. } => PublicKey::new(certificate.public_key().clone(), ""),
    }
}

fn title(key: &PublicKey, comment: &str) -> String {
    let comment: String = comment.chars().filter(|c| !c.is_control()).collect();
    format!("`{comment}` ({})", key.fingerprint(HashAlg::Sha256))
}

/// An error of a library as the middle of a sentence.
pub(super) fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Whether a path names the file of a public key of that name.
pub(super) fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

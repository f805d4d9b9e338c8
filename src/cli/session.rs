//! A command's project, settings, inventory and keys, and the parts of an engine made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::BoxFuture;
use indexmap::IndexMap;

use super::Global;
use crate::connection::{
    self, BecomeMethod, ConnectOptions, Connection, ConnectionError, Prompter, Target, UnknownHostKey,
};
use crate::diagnostic::Span;
use crate::engine::{Connector, Hosts, Secrets, TargetDefaults};
use crate::env_vars;
use crate::error::{Error, ErrorKind, Result};
use crate::inventory::{self, Content, Growth, Inventory, variables_of};
use crate::playbook::{Files, Loader, Vars};
use crate::project::{Document, EncryptedFile, Project};
use crate::secret::Redactor;
use crate::settings::{Color, Settings};
use crate::template::{Scope, Services, Templar};
use crate::ui::{TerminalPrompter, Ui};
use crate::value::{Raw, Value};
use crate::vars::{Opener, Roster, RunOptions, World};
use crate::vault::{self, IdentitySource, Keyring};
use crate::yaml::{Kind, Node, Tag};

/// What a command works with.
pub struct Session {
    /// The terminal.
    pub ui: Ui,
    /// The project.
    pub project: Arc<Project>,
    /// The resolved settings.
    pub settings: Settings,
    /// The keys to the vault.
    pub keyring: Keyring,
    /// Asks the person at the terminal.
    pub prompter: Arc<dyn Prompter>,
    /// `--ask-pass`.
    ask_pass: bool,
    /// `--ask-become-pass`.
    ask_become_pass: bool,
}

/// Arguments of every verb that takes the lock of hosts.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct LockArgs {
    /// Seconds that another run on the same host is waited for
    #[arg(long, value_name = "SECONDS")]
    lock_timeout: Option<u64>,
}

impl LockArgs {
    /// Says it instead of the settings.
    pub fn apply(self, settings: &mut Settings) {
        if let Some(seconds) = self.lock_timeout {
            settings.lock_timeout = Duration::from_secs(seconds);
        }
    }
}

impl Session {
    /// When colours are used, as far as that can be told. What is wrong with the project is told by [`Session::open`].
    pub fn color(global: &Global) -> Color {
        let resolved = || Self::resolve(global).ok().map(|(_, settings)| settings.color);
        global.color.or_else(resolved).unwrap_or_default()
    }

    fn resolve(global: &Global) -> Result<(Arc<Project>, Settings)> {
        let start = match &global.project {
            Some(dir) => dir.clone(),
            None => std::env::current_dir().map_err(|error| Error::io("find", Path::new("."), &error))?,
        };
        let project = Arc::new(Project::discover(&start)?);
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let settings = Settings::resolve(global.given(), &env, &project)?;
        Ok((project, settings))
    }

    /// Finds the project and resolves the settings. Nothing is decrypted and nobody is asked yet.
    pub fn open(global: &Global, ui: &Ui) -> Result<Self> {
        let (project, settings) = Self::resolve(global)?;
        let prompter: Arc<dyn Prompter> = Arc::new(TerminalPrompter::new(ui.clone()));
        let from = if !global.identity.is_empty() {
            "--identity"
        } else if std::env::var_os(env_vars::IDENTITY.name).is_some_and(|value| !value.is_empty()) {
            env_vars::IDENTITY.name
        } else {
            "mms.toml"
        };
        let sources =
            settings.identities.iter().map(|path| IdentitySource { path: path.clone(), from: from.to_owned() });
        let keyring = Keyring::new(sources.collect(), Arc::clone(&prompter));
        Ok(Self {
            ui: ui.clone(),
            project,
            settings,
            keyring,
            prompter,
            ask_pass: global.ask_pass,
            ask_become_pass: global.ask_become_pass,
        })
    }

    /// Shows what came up while reading files.
    pub fn show_warnings(&self) {
        for warning in self.project.take_warnings() {
            self.ui.diagnostic(&warning);
        }
    }

    /// The inventory.
    pub fn inventory(&self) -> Result<Arc<Inventory>> {
        Inventory::load(&self.settings.inventory, &self.project).map(Arc::new)
    }

    /// A template engine that opens secrets with the session's keys.
    pub fn templar(&self) -> Templar {
        Templar::new(Arc::new(Vaulted { keyring: self.keyring.clone(), redactor: self.ui.redactor().clone() }))
    }

    /// A loader of playbooks whose imports may use these extra variables.
    pub fn loader(&self, templar: &Templar, extra: &Arc<Vars>) -> Loader {
        let files = ProjectFiles {
            project: Arc::clone(&self.project),
            roles: self.settings.roles_path.clone(),
            keyring: self.keyring.clone(),
            redactor: self.ui.redactor().clone(),
        };
        Loader::new(Arc::new(files), templar.clone(), Arc::new(Extra(Arc::clone(extra))))
    }

    /// The world of a run: every host with its inventory variables.
    pub fn world(
        &self,
        inventory: &Arc<Inventory>,
        playbook_dir: &Path,
        extra: Arc<Vars>,
        options: RunOptions,
    ) -> Result<Arc<World>> {
        let opener = VarsOpener { keyring: self.keyring.clone(), redactor: self.ui.redactor().clone() };
        let roster = Roster::new(Arc::clone(inventory), playbook_dir, Box::new(opener));
        let source = self.settings.inventory.first().map(PathBuf::from).filter(|path| path.exists());
        let absolute = source.map(|path| std::path::absolute(&path).unwrap_or(path));
        let inventory_dir = absolute
            .as_ref()
            .and_then(|path| if path.is_dir() { Some(path.clone()) } else { path.parent().map(Path::to_path_buf) });
        let mut world = World::of(roster, extra, options)?;
        (world.inventory_dir, world.inventory_file) = (inventory_dir, absolute);
        Ok(Arc::new(world))
    }

    /// Opens every encrypted value of the hosts that a run may work on, so that a missing or wrong identity stops it before
    /// anything is changed. Not when a passphrase would have to be asked for, which a run without secrets must not do.
    pub fn check_secrets(&self, inventory: &Inventory, limit: Option<&str>, playbook_dir: &Path) -> Result<()> {
        if self.keyring.may_ask() {
            return Ok(());
        }
        let mut seen = std::collections::HashSet::new();
        for host in inventory.select("all", limit)?.hosts {
            for layer in inventory.layers(&host, Some(playbook_dir))? {
                let Content::Plain(vars) = &layer.content else { continue };
                for node in vars.values() {
                    self.check_node(node, &mut seen)?;
                }
            }
        }
        Ok(())
    }

    fn check_node(&self, node: &Node, seen: &mut std::collections::HashSet<Arc<str>>) -> Result<()> {
        match &node.kind {
            Kind::Str(text) if node.tag == Some(Tag::Vault) && seen.insert(Arc::clone(text)) => {
                // What ansible-vault made is refused when it is used.
                if text.trim_start().starts_with("$ANSIBLE_VAULT") {
                    return Ok(());
                }
                let sealed = vault::decode(text).map_err(|error| error.at(&node.span))?;
                let plain = self.keyring.open(&sealed).map_err(|error| error.at(&node.span))?;
                if let Ok(text) = std::str::from_utf8(&plain) {
                    self.ui.redactor().add(text);
                }
                Ok(())
            }
            Kind::List(items) => items.iter().try_for_each(|item| self.check_node(item, seen)),
            Kind::Map(map) => map.iter().try_for_each(|(_, value)| self.check_node(value, seen)),
            _ => Ok(()),
        }
    }

    /// Refuses a `--limit` that selects nobody.
    pub fn check_limit(&self, inventory: &Inventory, limit: Option<&str>) -> Result<()> {
        let Some(limit) = limit else { return Ok(()) };
        let selection = inventory.select(limit, None)?;
        if !selection.hosts.is_empty() {
            self.project.warn(selection.warnings);
            return Ok(());
        }
        let hosts = inventory.hosts().map(|host| host.name.as_str());
        let groups = inventory.groups().map(|group| group.name.as_str());
        let known: Vec<&str> = hosts.chain(groups).collect();
        let error = Error::user(format!("no host matches `--limit {limit}`"));
        Err(error
            .map(|diagnostic| diagnostic.did_you_mean(limit, known.iter().copied()))
            .hint("a limit is a host, a group or a pattern of the inventory: `web`, `web:!db`, `~regex`, `@file`"))
    }

    /// How hosts are reached, passwords asked for now if the command line says so.
    pub fn target_defaults(&self) -> TargetDefaults {
        let settings = &self.settings;
        let password = if self.ask_pass { self.prompter.password("login password") } else { None };
        let become_password = if self.ask_become_pass { self.prompter.password("become password") } else { None };
        TargetDefaults {
            user: settings.remote_user.clone(),
            private_key: settings.private_key.clone(),
            password,
            ssh_args: vec![],
            timeout: Some(settings.timeout),
            unknown_host_key: if settings.accept_new { UnknownHostKey::AcceptNew } else { UnknownHostKey::Ask },
            r#become: settings.become_enabled,
            become_user: settings.become_user.clone(),
            become_method: Some(
                match settings.become_method {
                    BecomeMethod::Sudo => "sudo",
                    BecomeMethod::Su => "su",
                    BecomeMethod::Doas => "doas",
                }
                .to_owned(),
            ),
            become_password,
        }
    }

    /// What makes connections.
    pub fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(RealConnector(ConnectOptions {
            redactor: self.ui.redactor().clone(),
            prompter: Arc::clone(&self.prompter),
        }))
    }

    /// What opens encrypted files that modules copy.
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::new(VaultFiles { keyring: self.keyring.clone(), redactor: self.ui.redactor().clone() })
    }
}

/// Inventory variables as the engine takes them. Encrypted values must stand at the key they were encrypted for.
/// Opens the inventory's files of variables with the session's keys.
struct VarsOpener {
    keyring: Keyring,
    redactor: Redactor,
}

impl Opener for VarsOpener {
    fn plain(&self, vars: &inventory::Vars) -> Result<Arc<Vars>> {
        raw(vars)
    }

    fn encrypted(&self, file: &EncryptedFile) -> Result<Arc<Vars>> {
        raw(&*variables_of(&open_yaml(file, &self.keyring, &self.redactor)?)?)
    }
}

fn raw(vars: &IndexMap<String, Node>) -> Result<Arc<Vars>> {
    for (name, node) in vars {
        check_keys(name, node)?;
    }
    Ok(Arc::new(vars.iter().map(|(name, node)| (name.clone(), Raw::Node(node.clone()))).collect()))
}

fn check_keys(path: &str, node: &Node) -> Result<()> {
    match &node.kind {
        Kind::Str(text) if node.tag == Some(Tag::Vault) => {
            // What is no age value is refused when it is used; here only the key matters.
            let Ok(sealed) = vault::decode(text) else { return Ok(()) };
            vault::check_key(&sealed, path, &node.span)
        }
        Kind::Map(map) => map.iter().try_for_each(|(key, value)| check_keys(&vault::below(path, key), value)),
        Kind::List(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| check_keys(&format!("{path}[{index}]"), item))
        }
        _ => Ok(()),
    }
}

/// The YAML of a file that is encrypted as a whole. Everything in it is a secret.
fn open_yaml(file: &EncryptedFile, keyring: &Keyring, redactor: &Redactor) -> Result<Node> {
    let plain = keyring.open(&file.bytes).map_err(|error| cannot_open(&file.name, error))?;
    let text = std::str::from_utf8(&plain).map_err(|_| Error::user(format!("`{}` is not text", file.name)))?;
    let parsed = crate::yaml::parse_hidden(&file.name, text)?;
    register(&parsed.node, redactor);
    Ok(parsed.node)
}

fn cannot_open(name: &str, error: Error) -> Error {
    error.map(|mut diagnostic| {
        diagnostic.message = format!("cannot open `{name}`: {}", diagnostic.message);
        diagnostic
    })
}

/// Registers every text and number of an encrypted file as a secret.
fn register(node: &Node, redactor: &Redactor) {
    match &node.kind {
        Kind::Str(text) => redactor.add(text),
        Kind::Int(number) => redactor.add(&number.to_string()),
        Kind::Float(number) => redactor.add(&number.to_string()),
        Kind::List(items) => items.iter().for_each(|item| register(item, redactor)),
        Kind::Map(map) => map.iter().for_each(|(_, value)| register(value, redactor)),
        _ => {}
    }
}

/// Secrets and files for templates.
#[derive(Debug)]
struct Vaulted {
    keyring: Keyring,
    redactor: Redactor,
}

impl Services for Vaulted {
    fn decrypt(&self, _name: Option<&str>, ciphertext: &str, span: &Span) -> Result<String> {
        let sealed = vault::decode(ciphertext).map_err(|error| error.at(span))?;
        let plain = self.keyring.open(&sealed).map_err(|error| error.at(span))?;
        let text = std::str::from_utf8(&plain)
            .map_err(|_| Error::new(ErrorKind::Vault, "this secret is not text").at(span))?;
        self.redactor.add(text);
        Ok(text.to_owned())
    }

    fn find_file(&self, scope: &dyn Scope, dir: &str, name: &str) -> Option<PathBuf> {
        let path = crate::fs::expand_home(name);
        if path.is_absolute() {
            return Some(path).filter(|path| path.exists());
        }
        let base = |variable: &str| match scope.get(variable) {
            Some(Raw::Value(value)) => value.as_str().map(PathBuf::from),
            _ => None,
        };
        [base("role_path"), base("playbook_dir")]
            .into_iter()
            .flatten()
            .flat_map(|base| [base.join(dir), base])
            .map(|place| place.join(&path))
            .find(|path| path.exists())
    }
}

/// Encrypted files that modules copy to a host.
struct VaultFiles {
    keyring: Keyring,
    redactor: Redactor,
}

impl Secrets for VaultFiles {
    fn open(&self, path: &Path, content: Vec<u8>) -> Result<Vec<u8>> {
        if !vault::is_encrypted_file(&content) {
            return Ok(content);
        }
        let plain = self.keyring.open(&content).map_err(|error| cannot_open(&path.display().to_string(), error))?;
        if let Ok(text) = std::str::from_utf8(&plain) {
            self.redactor.add(text);
        }
        Ok(plain.to_vec())
    }
}

/// YAML files of the project, for playbooks.
struct ProjectFiles {
    project: Arc<Project>,
    roles: Vec<PathBuf>,
    keyring: Keyring,
    redactor: Redactor,
}

impl Files for ProjectFiles {
    fn yaml(&self, path: &Path) -> Result<Node> {
        match self.project.document(path)? {
            Document::Plain(node) => Ok((*node).clone()),
            Document::Encrypted(file) => open_yaml(&file, &self.keyring, &self.redactor),
        }
    }

    fn shown(&self, path: &Path) -> String {
        self.project.name_of(path)
    }

    fn role_paths(&self) -> Vec<PathBuf> {
        self.roles.clone()
    }

    fn root(&self) -> PathBuf {
        self.project.root().to_path_buf()
    }
}

/// Extra variables as a scope of their own.
#[derive(Debug)]
struct Extra(Arc<Vars>);

impl Scope for Extra {
    fn get(&self, name: &str) -> Option<Raw> {
        match name {
            "omit" => Some(Raw::Value(crate::value::omit())),
            _ => self.0.get(name).cloned(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

struct RealConnector(ConnectOptions);

impl Connector for RealConnector {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Arc<dyn Connection>, ConnectionError>> {
        Box::pin(connection::connect(target, &self.0))
    }
}

/// Hosts by pattern, within `--limit`.
pub struct Selected {
    /// The inventory.
    pub inventory: Arc<Inventory>,
    /// `--limit`.
    pub limit: Option<String>,
}

impl Hosts for Selected {
    fn select(&self, pattern: &str, growth: &Growth) -> Result<Vec<String>> {
        let limit = self.limit.as_deref();
        if growth.members.is_empty() {
            return self.inventory.select(pattern, limit).map(|selection| selection.hosts);
        }
        self.inventory.extended(growth)?.select(pattern, limit).map(|selection| selection.hosts)
    }
}

/// Text of a value.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Who runs mms, and where: `user@workstation`.
pub(super) fn owner() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = set("USER").or_else(|| set("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    format!("{user}@{}", host.or_else(|| set("HOSTNAME")).unwrap_or_else(|| "a workstation".to_owned()))
}

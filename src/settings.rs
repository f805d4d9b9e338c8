//! What applies to a run, resolved: command line, then environment, then `mms.toml`, then `ansible.cfg`, then the default.
//!
//! Each of the first four yields a [`Given`]; [`Settings::resolve`] is the one place that knows their precedence.

mod ansible_cfg;
mod environment;
mod manifest;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::connection::BecomeMethod;
use crate::error::Result;
use crate::project::Project;

/// The settings of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Inventory sources in the order in which they are read: paths, or host lists with a comma.
    pub inventory: Vec<String>,
    /// Where roles are searched, first match first.
    pub roles_path: Vec<PathBuf>,
    /// How many hosts are worked on at the same time.
    pub forks: usize,
    /// How long another run on the same host is waited for.
    pub lock_timeout: Duration,
    /// Whether differences are shown.
    pub diff: bool,
    /// When colours are used.
    pub color: Color,
    /// `remote_user`; ssh's own choice when not set.
    pub remote_user: Option<String>,
    /// The key to log in with; ssh's own choice when not set.
    pub private_key: Option<PathBuf>,
    /// How long connecting and logging in may take.
    pub timeout: Duration,
    /// Whether host keys that were never seen are accepted and remembered.
    pub accept_new: bool,
    /// Whether tasks run as another user unless they say otherwise.
    pub become_enabled: bool,
    /// The user to become.
    pub become_user: Option<String>,
    /// How to become that user.
    pub become_method: BecomeMethod,
    /// Files with identities that open the vault.
    pub identities: Vec<PathBuf>,
    /// Public keys that the vault is encrypted for.
    pub recipients: Vec<String>,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Also into files and pipes
    Always,
    /// Nowhere
    Never,
}

/// What one of the places says. Fields mean what they mean in [`Settings`]; paths are absolute already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Given {
    pub inventory: Option<Vec<String>>,
    pub roles_path: Option<Vec<PathBuf>>,
    pub forks: Option<usize>,
    pub lock_timeout: Option<Duration>,
    pub diff: Option<bool>,
    pub color: Option<Color>,
    pub remote_user: Option<String>,
    pub private_key: Option<PathBuf>,
    pub timeout: Option<Duration>,
    pub accept_new: Option<bool>,
    pub become_enabled: Option<bool>,
    pub become_user: Option<String>,
    pub become_method: Option<BecomeMethod>,
    pub identities: Option<Vec<PathBuf>>,
    pub recipients: Option<Vec<String>>,
}

impl Given {
    /// What this says, and where it says nothing, what `lower` says.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        Self {
            inventory: self.inventory.or(lower.inventory),
            roles_path: self.roles_path.or(lower.roles_path),
            forks: self.forks.or(lower.forks),
            lock_timeout: self.lock_timeout.or(lower.lock_timeout),
            diff: self.diff.or(lower.diff),
            color: self.color.or(lower.color),
            remote_user: self.remote_user.or(lower.remote_user),
            private_key: self.private_key.or(lower.private_key),
            timeout: self.timeout.or(lower.timeout),
            accept_new: self.accept_new.or(lower.accept_new),
            become_enabled: self.become_enabled.or(lower.become_enabled),
            become_user: self.become_user.or(lower.become_user),
            become_method: self.become_method.or(lower.become_method),
            identities: self.identities.or(lower.identities),
            recipients: self.recipients.or(lower.recipients),
        }
    }
}

impl Settings {
    /// The settings for a run in a project. `env` is the environment; a variable that is set to nothing counts as not set.
    pub fn resolve(cli: Given, env: &dyn Fn(&str) -> Option<String>, project: &Project) -> Result<Self> {
        let given = cli.or(environment::given(env)?).or(manifest::given(project)?).or(ansible_cfg::given(project)?);
        Ok(Self {
            inventory: given.inventory.unwrap_or_else(|| {
                project.default_inventory().iter().map(|path| path.to_string_lossy().into_owned()).collect()
            }),
            roles_path: given.roles_path.unwrap_or_else(|| vec![project.roles()]),
            forks: given.forks.unwrap_or(50),
            lock_timeout: given.lock_timeout.unwrap_or(Duration::from_secs(60)),
            diff: given.diff.unwrap_or(false),
            color: given.color.unwrap_or_default(),
            remote_user: given.remote_user,
            private_key: given.private_key,
            timeout: given.timeout.unwrap_or(Duration::from_secs(10)),
            accept_new: given.accept_new.unwrap_or(false),
            become_enabled: given.become_enabled.unwrap_or(false),
            become_user: given.become_user,
            become_method: given.become_method.unwrap_or_default(),
            identities: given.identities.unwrap_or_default(),
            recipients: given.recipients.unwrap_or_default(),
        })
    }
}

/// A path that stands in a setting: `~` is the home directory, and a relative path is relative to `base`.
pub(crate) fn expand(path: &str, base: &Path) -> PathBuf {
    let home = || etcetera::home_dir().ok();
    let path = match path.strip_prefix('~') {
        Some("") => home(),
        Some(rest) => rest.strip_prefix('/').and_then(|rest| Some(home()?.join(rest))),
        None => None,
    }
    .unwrap_or_else(|| PathBuf::from(path));
    base.join(path)
}

/// An inventory source that stands in a setting: a host list stays as it is, a path is resolved.
fn expand_inventory(source: &str, base: &Path) -> String {
    if source.contains(',') { source.to_owned() } else { expand(source, base).to_string_lossy().into_owned() }
}

//! How a service is backed up.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::read::{ReadError, Step};
use super::Names;

/// How a service is backed up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// How its data is copied consistently.
    pub strategy: Strategy,
    /// Host directories that are saved.
    #[serde(default)]
    pub paths: Names,
    /// For `sqlite`: database files that must be there, relative to the first path or absolute; every other file below the paths
    /// that is a SQLite database is copied in the same way. For `postgres`: database names; the whole cluster when left out.
    #[serde(default)]
    pub databases: Names,
    /// For `postgres`: the container that runs the server. Needed only when the service has several.
    #[serde(default)]
    pub container: Option<String>,
    /// For `postgres`: the superuser; `postgres` when left out.
    #[serde(default)]
    pub user: Option<String>,
    /// What is left out: patterns relative to the paths, as `tar --exclude` takes them.
    #[serde(default)]
    pub excludes: Names,
    /// How many are kept. What is left out is that of the machine (`mms_backup_retention`).
    #[serde(default)]
    pub retention: Option<Retention>,
    /// Public keys it is encrypted to (`age1…`, `ssh-ed25519 …`, `ssh-rsa …`), instead of those of the machine
    /// (`mms_backup_recipients`). An empty list means that it is not encrypted.
    #[serde(default)]
    pub recipients: Option<Names>,
    /// Directory that backups are kept below, instead of that of the machine (`mms_backup_dir`).
    #[serde(default)]
    pub dir: Option<String>,
    /// Mount point that must be there before anything is written, instead of that of the machine (`mms_backup_mount`).
    #[serde(default)]
    pub mount: Option<String>,
    /// A backup with so many percent less files or bytes than the one before is suspicious: it alarms, and nothing is pruned.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub shrink: Option<u8>,
    /// Who is told how the backups of this service went. Addresses are secrets: take them from the vault.
    #[serde(default)]
    pub notify: Vec<Notify>,
    /// Directories of large files that are mirrored once a week, besides.
    #[serde(default)]
    pub mirror: Option<Mirror>,
}

/// How many backups are kept: the newest of each of so many days, weeks and months that have one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The newest of all, whatever day they are of; 1 when left out.
    #[serde(default)]
    pub last: Option<u32>,
    /// Days; 7 when left out.
    #[serde(default)]
    pub daily: Option<u32>,
    /// Weeks, from Monday; 4 when left out.
    #[serde(default)]
    pub weekly: Option<u32>,
    /// Months; 6 when left out.
    #[serde(default)]
    pub monthly: Option<u32>,
}

/// Somebody who is told how backups went.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// What answers at the address.
    #[serde(rename = "type")]
    pub kind: Notified,
    /// The address. Whoever knows it can use it, so it belongs into the vault.
    pub url: String,
    /// What is told; `start`, `success` and `failure` when left out, without `start` for those who cannot take it.
    // YAML 1.1 reads the key `on` as true.
    #[serde(default, alias = "true")]
    pub on: Option<Vec<Occasion>>,
}

/// What answers at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Notified {
    /// healthchecks.io and what works like it: `/start` and `/fail` behind the address.
    Healthchecks,
    /// A topic of ntfy.
    Ntfy,
    /// A push monitor of Uptime Kuma.
    Kuma,
    /// Anything that takes `{"event": …, "host": …, "message": …}`.
    Webhook,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// A backup begins.
    Start,
    /// It is done.
    Success,
    /// It failed, or is suspicious.
    Failure,
}

/// Directories of large files that are mirrored once a week: each mirror is a whole tree, in which what did not change is the same
/// file as in the one before (`rsync --link-dest`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Host directories.
    pub paths: Names,
    /// What is left out: patterns relative to the paths, as `rsync --exclude` takes them.
    #[serde(default)]
    pub excludes: Names,
    /// Directory that mirrors are kept below, instead of that of the machine (`mms_backup_mirror_dir`).
    #[serde(default)]
    pub to: Option<String>,
    /// Mount point that must be there before anything is written, instead of that of the machine (`mms_backup_mirror_mount`).
    #[serde(default)]
    pub mount: Option<String>,
    /// How many are kept; 4 when left out.
    #[serde(default)]
    pub keep: Option<u32>,
}

impl Backup {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<(), ReadError> {
        let mirror = self.mirror.iter().flat_map(|mirror| mirror.paths.0.iter().enumerate());
        let lists = [("paths", &self.paths), ("databases", &self.databases), ("excludes", &self.excludes)];
        for (key, names) in lists {
            if let Some((index, name)) = names.0.iter().enumerate().find(|(_, name)| name.contains(['\n', '\0'])) {
                return Err(wrong(&[key], Some(index), format!("{name:?} holds a line end")));
            }
        }
        let paths = self.paths.0.iter().enumerate().map(|(index, path)| (vec!["paths"], Some(index), path));
        let mirrored = mirror.map(|(index, path)| (vec!["mirror", "paths"], Some(index), path));
        let places = [(vec!["dir"], &self.dir), (vec!["mount"], &self.mount)];
        let places = places.into_iter().filter_map(|(key, path)| Some((key, None, path.as_ref()?)));
        for (keys, index, path) in paths.chain(mirrored).chain(places) {
            if !path.starts_with('/') || path.trim_end_matches('/').is_empty() || path.contains(['\n', '\0']) {
                return Err(wrong(&keys, index, format!("`{path}` is not an absolute path")));
            }
        }
        if let Some(notify) = self.notify.iter().position(|notify| !is_url(&notify.url)) {
            // The address itself is a secret.
            return Err(wrong(&["notify"], Some(notify), "`url` is not an `http://` or `https://` address".to_owned()));
        }
        if matches!(self.strategy, Strategy::Sqlite | Strategy::Cold | Strategy::Rsync) && self.paths.0.is_empty() {
            return Err(wrong(&["paths"], None, "there are no `paths`, so there is nothing to save".to_owned()));
        }
        Ok(())
    }
}

/// Whether a text can be an address: no white space, which would make another line or word of it.
pub fn is_url(text: &str) -> bool {
    let scheme = text.starts_with("https://") || text.starts_with("http://");
    scheme && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn wrong(keys: &[&str], index: Option<usize>, message: String) -> ReadError {
    let keys = ["backup"].iter().chain(keys).map(|key| Step::Key((*key).to_owned()));
    ReadError::new(keys.chain(index.map(Step::Index)).collect(), message)
}

/// How data is copied consistently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The service keeps running; databases are copied by SQLite's backup API.
    Sqlite,
    /// The service is stopped for the shortest time and always started again.
    Cold,
    /// `pg_dumpall` (or `pg_dump` of `databases`) in the running container, then the paths.
    Postgres,
    /// Not archived, only mirrored once a week (see `mirror`).
    Rsync,
    /// Not backed up.
    None,
}

//! How a service is backed up.

use schemars::JsonSchema;
use serde::Deserialize;

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
    /// For `sqlite`: database files, relative to the first path or absolute; all files that are SQLite databases when left
    /// out. For `postgres`: database names; the whole cluster when left out.
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
    /// Large files are mirrored, not archived.
    Rsync,
    /// Not backed up.
    None,
}

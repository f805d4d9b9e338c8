//! The typed form of `services/<name>.yml`. The doc comments are the descriptions in `services/.schema.json`.

mod backup;
mod container;
pub mod migrate;
mod port;
mod scalar;
mod validate;
mod volume;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

pub use backup::{Backup, Mirror, Notified, Notify, Occasion, Retention, Strategy, is_url};
pub use container::{Container, Gpu, Health, OnFailure, Restart, Secret};
pub use migrate::Migrate;
pub use port::{Port, Protocol};
pub use scalar::{Command, Mode, Names, Seconds, Size, Text};
pub use volume::{Origin, Volume};

/// One service: one or more containers that are deployed, health-checked, backed up and rolled back together.
///
/// A service of a single container may write the container's keys at the top level, without `containers`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name of the service: lower-case letters, digits, `-` and `_`. The file name without `.yml` when left out.
    #[serde(default)]
    pub name: String,
    /// One line on what it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The containers by name. The name is also the container's host name on its networks.
    pub containers: IndexMap<String, Container>,
    /// Directories that must exist on the host before the containers start.
    #[serde(default)]
    pub directories: Vec<Directory>,
    /// Settings that are kept in INI files of the application; everything else in the files is left alone.
    #[serde(default)]
    pub ini: Vec<IniFile>,
    /// Ports made reachable by HTTPS in the tailnet (`tailscale serve`).
    #[serde(default)]
    pub expose: Vec<Expose>,
    /// How it is backed up.
    #[serde(default)]
    pub backup: Option<Backup>,
    /// How the same application is found and moved when it runs on another host (`mms migrate`).
    #[serde(default)]
    pub migrate: Option<Migrate>,
}

/// A directory on the host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Owner: a user name or number of the host. The user that runs the containers when left out.
    #[serde(default)]
    pub owner: Option<Text>,
    /// Group: a group name or number of the host. Left as it is when left out.
    #[serde(default)]
    pub group: Option<Text>,
    /// Permissions, e.g. "0755". Left as they are when left out; new directories get 0755.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// Settings in one INI file of the application.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IniFile {
    /// Absolute path of the file on the host. Made when it does not exist.
    pub path: String,
    /// The container that is stopped while the file changes. Needed only when the service has several.
    #[serde(default)]
    pub container: Option<String>,
    /// Section name → option → value.
    pub sections: IndexMap<String, IndexMap<String, Text>>,
}

/// A port made reachable by HTTPS in the tailnet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expose {
    /// The HTTPS port in the tailnet.
    pub https: u16,
    /// The port on the host that answers plain HTTP at 127.0.0.1.
    pub port: u16,
    /// The path below which it is served; `/` when left out.
    #[serde(default)]
    pub path: Option<String>,
}

impl Service {
    /// The services and containers outside this one that it starts after, as they were written.
    pub fn outside(&self) -> impl Iterator<Item = &str> {
        self.containers
            .values()
            .flat_map(|container| container.after.0.iter().chain(&container.requires.0))
            .map(String::as_str)
            .filter(|name| !self.containers.contains_key(*name))
    }
}

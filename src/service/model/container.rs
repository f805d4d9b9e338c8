//! One container of a service.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Command, Mode, Names, Port, Seconds, Size, Text, Volume};

/// One container.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The image with registry and version: `docker.io/jellyfin/jellyfin:12.2`, or by digest.
    pub image: String,
    /// Allows an image without a version or with a moving tag such as `latest`. Rolling back is then by digest only.
    #[serde(default)]
    pub allow_floating: bool,
    /// What the container runs, after the entrypoint: a list of words, or text that is split like a command line.
    #[serde(default)]
    pub command: Option<Command>,
    /// Replaces the entrypoint of the image.
    #[serde(default)]
    pub entrypoint: Option<String>,
    /// Published ports: `[address:][host:]container[/protocol]`, or a mapping.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Mounts: `source:target[:options]`, or a mapping. A source that starts with `/` is a path of the host; any other is
    /// a named volume, which is never deleted by mms.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Paths in memory: `/path[:options]`.
    #[serde(default)]
    pub tmpfs: Names,
    /// Environment variables. Not for secrets: these stand readable in the unit file.
    #[serde(default)]
    pub environment: IndexMap<String, Text>,
    /// Secrets by name: each is a Podman secret made from a variable of the vault.
    #[serde(default)]
    pub secrets: IndexMap<String, Secret>,
    /// Networks it joins. They are made when missing. `host`, `none`, `pasta` and `slirp4netns` are Podman's modes.
    #[serde(default = "default_networks")]
    pub networks: Names,
    /// Further names on its networks.
    #[serde(default)]
    pub network_aliases: Names,
    /// Host name inside the container.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Names put in the container's `/etc/hosts`: host name → address.
    #[serde(default)]
    pub hosts: IndexMap<String, String>,
    /// DNS servers.
    #[serde(default)]
    pub dns: Names,
    /// How it is known to be well. Without it, a container counts as well when it stays up.
    #[serde(default)]
    pub health: Option<Health>,
    /// Containers of this service, or other services, that are started first.
    #[serde(default)]
    pub after: Names,
    /// The same, and this one is stopped when they stop.
    #[serde(default)]
    pub requires: Names,
    /// User inside the container: `uid`, `uid:gid` or a name.
    #[serde(default)]
    pub user: Option<Text>,
    /// Groups it is added to; `keep-groups` keeps those of the host's user.
    #[serde(default)]
    pub groups: Names,
    /// User namespace: `keep-id` maps the host's user to itself, `keep-id:uid=1000,gid=1000` to another, `auto` to nobody else.
    #[serde(default)]
    pub userns: Option<String>,
    /// `PUID` of linuxserver.io images: the user in the container that owns the data.
    #[serde(default)]
    pub puid: Option<u32>,
    /// `PGID` of linuxserver.io images.
    #[serde(default)]
    pub pgid: Option<u32>,
    /// Time zone; `local` is the host's. Sets `TZ` as well.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Devices of the host: `/dev/x[:target[:permissions]]`.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Gives it the graphics processor.
    #[serde(default)]
    pub gpu: Option<Gpu>,
    /// Size of `/dev/shm`, e.g. 128M.
    #[serde(default)]
    pub shm_size: Option<Size>,
    /// The memory it may use before it is killed, e.g. 2G.
    #[serde(default)]
    pub memory_max: Option<Size>,
    /// The memory above which it is slowed down.
    #[serde(default)]
    pub memory_high: Option<Size>,
    /// Makes the image's file system read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Runs a small init that reaps processes.
    #[serde(default)]
    pub init: bool,
    /// Capabilities added.
    #[serde(default)]
    pub cap_add: Names,
    /// Capabilities dropped; `all` drops every one.
    #[serde(default)]
    pub cap_drop: Names,
    /// Forbids gaining privileges (setuid programs). True when left out.
    #[serde(default = "default_true")]
    pub no_new_privileges: bool,
    /// Turns SELinux separation off for this container: for sockets and devices that cannot be labelled.
    #[serde(default)]
    pub label_disable: bool,
    /// Labels.
    #[serde(default)]
    pub labels: IndexMap<String, Text>,
    /// Resource limits: name → `soft:hard`.
    #[serde(default)]
    pub ulimits: IndexMap<String, Text>,
    /// Kernel settings of the container's namespaces.
    #[serde(default)]
    pub sysctls: IndexMap<String, Text>,
    /// How long it may take to stop before it is killed; 10 seconds when left out.
    #[serde(default)]
    pub stop_timeout: Option<Seconds>,
    /// The signal that stops it.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// When systemd starts it again after it ended.
    #[serde(default)]
    pub restart: Restart,
    /// Words put on Podman's command line as they are, for what has no key here.
    #[serde(default)]
    pub podman_args: Names,
}

/// A Podman secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The variable that holds it, e.g. `vault_immich_db_password`.
    pub variable: String,
    /// The environment variable it is given in.
    #[serde(default)]
    pub env: Option<String>,
    /// The file it is given in: a path, or a name in `/run/secrets`. Its own name there when neither this nor `env` is given.
    #[serde(default)]
    pub file: Option<String>,
    /// Owner of the file in the container.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group of the file in the container.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Permissions of the file; 0444 when left out.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// How a container is known to be well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Command in the container that succeeds when it is well: text for the container's shell, or a list of words that is run
    /// without a shell.
    pub cmd: Command,
    /// Time between two checks; 30 seconds when left out. Until the first success it is checked every 2 seconds.
    #[serde(default = "default_interval")]
    pub interval: Seconds,
    /// How long a check may take; 10 seconds when left out.
    #[serde(default = "default_check_timeout")]
    pub timeout: Seconds,
    /// How many failures in a row mean it is not well; 3 when left out.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// How long it may take to start: failures do not count so long. 60 seconds when left out.
    #[serde(default = "default_start_period")]
    pub start_period: Seconds,
    /// What Podman does when it is not well any more. `kill` lets systemd start it again.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long a deploy waits for it to be well. When left out: start_period + interval + timeout.
    #[serde(default)]
    pub gate: Option<Seconds>,
}

/// What happens to a container that is not well any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing.
    #[default]
    None,
    /// It is killed, and started again by systemd.
    Kill,
}

/// When systemd starts a container again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whenever it ended.
    #[default]
    Always,
    /// When it ended with an error.
    OnFailure,
    /// Never.
    No,
}

/// A graphics processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gpu {
    /// Intel: `/dev/dri`.
    Intel,
    /// AMD: `/dev/dri` and `/dev/kfd`.
    Amd,
    /// NVIDIA through the container device interface.
    Nvidia,
}

impl Health {
    /// How long a deploy waits for the container to be well.
    pub fn gate_timeout(&self) -> Seconds {
        let default = self.start_period.0.saturating_add(self.interval.0).saturating_add(self.timeout.0);
        self.gate.unwrap_or(Seconds(default))
    }
}

impl Container {
    /// How long a deploy waits for the container: its health gate, or a minute when it has none.
    pub fn start_timeout(&self) -> Seconds {
        self.health.as_ref().map_or(Seconds(60), Health::gate_timeout)
    }
}

fn default_networks() -> Names {
    Names(vec!["mms".to_owned()])
}

fn default_true() -> bool {
    true
}

fn default_interval() -> Seconds {
    Seconds(30)
}

fn default_check_timeout() -> Seconds {
    Seconds(10)
}

fn default_retries() -> u32 {
    3
}

fn default_start_period() -> Seconds {
    Seconds(60)
}

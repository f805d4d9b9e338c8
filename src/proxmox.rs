//! Snapshots of virtual machines and containers through the API of Proxmox VE, as a way back that is independent of everything mms
//! does inside of them.
//!
//! [`Proxmox::from_vars`] reads how the API is reached ([`settings`]); `tls` decides who is trusted, `http` carries one request, `trouble`
//! makes of an answer what people can act on, `task` waits for what the API does in the background. The secret of the token is in no
//! error, and is registered with the redactor.

mod http;
mod settings;
mod task;
mod tls;
mod trouble;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::error::{Error, ErrorKind, Result};
use http::{Api, Method};
use settings::Settings;

/// A name that the API takes for a snapshot has at most so many characters.
const LONGEST_NAME: usize = 40;

/// The API of one Proxmox VE host or cluster.
#[derive(Debug)]
pub struct Proxmox {
    api: Api,
    vmid: Option<u32>,
    node: Option<String>,
    verified: bool,
    /// How long a task may take.
    limit: Duration,
    /// How long to wait before looking at a task again.
    pause: Duration,
}

/// What runs a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

impl fmt::Display for Kind {
    /// As it is called in paths of the API.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        })
    }
}

/// A virtual machine or container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    pub kind: Kind,
    pub vmid: u32,
    /// The node that it is on.
    pub node: String,
    /// Its name, when the API tells it.
    pub name: Option<String>,
    /// Whether it ran when it was looked up.
    pub running: bool,
}

impl fmt::Display for Guest {
    /// `container 105 (media)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Qemu => "virtual machine ",
            Kind::Lxc => "container ",
        })?;
        write!(f, "{}", self.vmid)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// A snapshot of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub name: String,
    pub description: String,
    /// When it was made, in seconds since 1970.
    pub time: Option<i64>,
}

/// What is told while a task runs.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

impl Proxmox {
    /// The API as the variables of a host describe it, with those of the environment behind them. `None` when `proxmox_api_host` is
    /// not set. The secret is registered with the redactor.
    pub fn from_vars(
        variable: impl Fn(&str) -> Result<Option<crate::value::Value>>,
        redactor: &crate::secret::Redactor,
    ) -> Result<Option<Self>> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(settings) = Settings::read(&variable, &environment, redactor)? else { return Ok(None) };
        let verified = settings.trust != tls::Trust::Anybody;
        Ok(Some(Self {
            vmid: settings.vmid,
            node: settings.node.clone(),
            api: Api::new(settings)?,
            verified,
            limit: Duration::from_secs(15 * 60),
            pause: Duration::from_millis(700),
        }))
    }

    /// Waits for a task for at most `limit`, and looks at it again after each `pause`.
    #[must_use]
    pub fn with_patience(mut self, limit: Duration, pause: Duration) -> Self {
        self.limit = limit;
        self.pause = pause;
        self
    }

    /// The guest that the host is (`proxmox_vmid`).
    pub fn vmid(&self) -> Option<u32> {
        self.vmid
    }

    /// What a person should hear before the token is sent.
    pub fn warning(&self) -> Option<String> {
        (!self.verified).then(|| {
            format!(
                "the certificate of {} is not verified (`proxmox_validate_certs: false`): whoever answers there gets the token; \
                 `proxmox_fingerprint` or `proxmox_ca_path` ends this",
                self.api.name()
            )
        })
    }

    /// Looks a guest up.
    pub async fn find(&self, vmid: u32) -> Result<Guest> {
        #[derive(Deserialize)]
        struct Resource {
            vmid: Option<u32>,
            node: Option<String>,
            name: Option<String>,
            status: Option<String>,
            #[serde(rename = "type")]
            kind: String,
        }
        let resources: Vec<Resource> = self.api.get("/cluster/resources?type=vm").await?;
        let Some(found) = resources.into_iter().find(|resource| resource.vmid == Some(vmid)) else {
            let error = Error::new(ErrorKind::Failed, format!("{} shows no guest {vmid}", self.api.name()));
            return Err(error.hint(format!(
                "look at `proxmox_vmid`; a token sees only guests that it has `VM.Audit` on: \
                 `pveum acl modify /vms/{vmid} --tokens '{}' --roles PVEAuditor`",
                self.api.token()
            )));
        };
        let kind = match found.kind.as_str() {
            "qemu" => Kind::Qemu,
            "lxc" => Kind::Lxc,
            other => {
                return Err(Error::new(ErrorKind::Failed, format!("guest {vmid} is of the unknown type `{other}`")));
            }
        };
        let Some(node) = found.node else {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{} does not say where guest {vmid} is", self.api.name()),
            ));
        };
        if let Some(wanted) = self.node.as_ref().filter(|wanted| **wanted != node) {
            let error = Error::user(format!("guest {vmid} is on the node `{node}`, not on `{wanted}`"));
            return Err(error.hint("correct `proxmox_node`, or leave it out: mms finds the node"));
        }
        Ok(Guest { kind, vmid, node, name: found.name, running: found.status.as_deref() == Some("running") })
    }

    /// The snapshots of a guest, oldest first.
    pub async fn snapshots(&self, guest: &Guest) -> Result<Vec<Snapshot>> {
        #[derive(Deserialize)]
        struct Listed {
            name: String,
            #[serde(default)]
            description: String,
            snaptime: Option<i64>,
        }
        let listed: Vec<Listed> = self.api.get(&format!("{}/snapshot", path(guest))).await?;
        // `current` is the state of now, not a snapshot.
        let mut snapshots: Vec<Snapshot> = listed
            .into_iter()
            .filter(|listed| listed.name != "current")
            .map(|listed| Snapshot {
                name: listed.name,
                description: listed.description.trim_end().to_owned(),
                time: listed.snaptime,
            })
            .collect();
        snapshots.sort_by_key(|snapshot| snapshot.time);
        Ok(snapshots)
    }

    /// Makes a snapshot of the disks of a guest, which goes on running.
    pub async fn snapshot(&self, guest: &Guest, name: &str, description: &str, progress: Progress<'_>) -> Result<()> {
        check_name(name)?;
        let body = json!({ "snapname": name, "description": description });
        let path = format!("{}/snapshot", path(guest));
        let what = format!("make the snapshot `{name}` of {guest}");
        self.task(guest, &what, Method::Post, &path, Some(&body), progress).await
    }

    /// Puts the disks of a guest back to a snapshot: everything that came after is lost. A guest that ran when it was looked up runs
    /// again afterwards.
    pub async fn rollback(&self, guest: &Guest, name: &str, progress: Progress<'_>) -> Result<()> {
        check_name(name)?;
        let body = json!({ "start": u8::from(guest.running) });
        let path = format!("{}/snapshot/{name}/rollback", path(guest));
        let what = format!("put {guest} back to the snapshot `{name}`");
        self.task(guest, &what, Method::Post, &path, Some(&body), progress).await
    }

    /// Removes a snapshot.
    pub async fn delete_snapshot(&self, guest: &Guest, name: &str, progress: Progress<'_>) -> Result<()> {
        check_name(name)?;
        let path = format!("{}/snapshot/{name}", path(guest));
        let what = format!("remove the snapshot `{name}` of {guest}");
        self.task(guest, &what, Method::Delete, &path, None::<&Json>, progress).await
    }
}

fn path(guest: &Guest) -> String {
    format!("/nodes/{}/{}/{}", http::escape(&guest.node), guest.kind, guest.vmid)
}

/// What the API calls `pve-configid`, without the names that mean something else.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let fits = name.len() > 1
        && name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(allowed)
        && !["current", "pending", "vzdump"].contains(&name);
    if fits {
        return Ok(());
    }
    let error = Error::user(format!("`{name}` cannot be the name of a snapshot"));
    Err(error.hint(format!("it starts with a letter, and has letters, digits, `-` and `_`, {LONGEST_NAME} at most")))
}

//! What the API answers when it does not do what it is asked, and what a person can do about it.

use super::http::Api;
use crate::error::{Error, ErrorKind};

/// Why there is no answer, or none that says yes.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody answers; nothing was sent.
    Unreachable(Error),
    /// The one who answers is not trusted; nothing was sent.
    Refused(Error),
    /// The request was sent, and no answer came.
    Lost(Error),
    /// The API says no.
    Answer { status: u16, message: String },
}

impl Trouble {
    /// Whether the same request may succeed a little later: somebody else holds a lock of the guest or its storage for a moment.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Answer { status: 500, message } if lock_timed_out(message))
    }

    /// Whether a question may simply be asked again.
    pub(super) fn may_be_asked_again(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) => true,
            // Another node of the cluster did not answer the one that was asked.
            Self::Answer { status, .. } => (595..600).contains(status),
            Self::Refused(_) => false,
        }
    }

    /// The error. `what` is what was to be done: `make the snapshot …`.
    pub(super) fn explain(self, api: &Api, what: Option<&str>) -> Error {
        let (status, message) = match self {
            Self::Unreachable(error) | Self::Refused(error) => return error,
            Self::Lost(error) => {
                return match what {
                    Some(what) => {
                        error.hint(format!("it is not known whether Proxmox has begun to {what}; look there"))
                    }
                    None => error,
                };
            }
            Self::Answer { status, message } => (status, message),
        };
        match status {
            401 => Error::new(ErrorKind::Failed, format!("{} does not accept the token `{}`", api.name(), api.token()))
                .hint("its name or secret is wrong, or it has expired: `pveum user token list USER` shows the tokens of a user"),
            403 => forbidden(api, what, &message),
            595..600 => failed(what, &format!("the node does not answer: {message}"))
                .hint(format!("{} reached no other node of the cluster", api.name())),
            _ => of_task(what, &message),
        }
    }
}

/// `Permission check failed (/vms/105, VM.Snapshot)`: where which privileges are missing; `|` stands between those of which one is
/// enough.
fn forbidden(api: &Api, what: Option<&str>, message: &str) -> Error {
    let inside = message.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map(|(inside, _)| inside);
    let Some((path, privileges)) = inside.and_then(|inside| inside.split_once(',')) else {
        return failed(what, message).hint(format!("the token `{}` has too few rights", api.token()));
    };
    let (path, privileges) = (path.trim(), privileges.trim());
    let names: Vec<_> = privileges.split(['|', ',']).map(|name| format!("`{}`", name.trim())).collect();
    let names = names.join(if privileges.contains('|') { " or " } else { " and " });
    failed(what, &format!("the token `{}` lacks {names} on `{path}`", api.token())).hint(format!(
        "give it a role that has it: `pveum acl modify {path} --tokens '{}' --roles ROLE`; a token with privilege separation needs rights of \
         its own besides those of its user",
        api.token()
    ))
}

/// The error of a task that has ended, or of a request that would have made one, by its text.
pub(super) fn of_task(what: Option<&str>, message: &str) -> Error {
    let error = failed(what, message);
    let has = |part: &str| message.contains(part);
    if has("snapshot feature is not available") {
        error.hint(
            "every disk has to be on storage that makes snapshots (ZFS, LVM-thin, Ceph, Btrfs, qcow2), and a container must have no bind \
             mounts (`mp0: /mnt/…` in its configuration)",
        )
    } else if has("is locked (") {
        error.hint("another task of Proxmox is at work on it (a backup?): wait for it; `qm unlock` or `pct unlock` ends a lock that was left behind")
    } else if lock_timed_out(message) {
        error.hint("another task held a lock all the time: try again later")
    } else if has("is not most recent snapshot") {
        error.hint("this storage can only go back to the newest snapshot: remove those after it first")
    } else if has("already used") {
        error.hint("there is a snapshot of this name: choose another one, or remove it")
    } else if has("Configuration file") && has("does not exist") {
        error.hint("the guest was removed or has moved to another node")
    } else {
        error
    }
}

/// Whether a lock was not to be had in time: `can't lock file '…' - got timeout`, `cfs-lock '…' error: got lock request timeout`.
pub(super) fn lock_timed_out(message: &str) -> bool {
    message.contains("got timeout") || message.contains("got lock request timeout")
}

fn failed(what: Option<&str>, why: &str) -> Error {
    let message = match what {
        Some(what) => format!("Proxmox does not {what}: {why}"),
        None => format!("Proxmox refuses: {why}"),
    };
    Error::new(ErrorKind::Failed, message)
}

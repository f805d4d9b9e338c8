//! What a user sees: the built `mms` is run in a project of its own, and what it prints is compared with snapshots.
//!
//! Tests against a host use an sshd that the test starts (`MMS_REQUIRE_SSHD=1`, set in CI, makes a missing one a failure), those of
//! the vault the `age` program. The ones in `lab` need a machine of the lab (`tests/lab/README.md`); `MMS_TEST_MACHINE=0`
//! leaves them out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "cli/canary.rs"]
mod canary;
#[path = "cli/command_line.rs"]
mod command_line;
#[path = "cli/connected.rs"]
mod connected;
#[path = "cli/depth.rs"]
mod depth;
#[path = "cli/events.rs"]
mod events;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/hosts.rs"]
mod hosts;
#[path = "cli/lab.rs"]
mod lab;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/owed.rs"]
mod owed;
#[path = "cli/project.rs"]
mod project;
#[path = "cli/signals.rs"]
mod signals;
#[allow(dead_code, reason = "shared with the tests of the connection, which use more of it")]
#[path = "connection/sshd.rs"]
mod sshd;
#[path = "cli/vault.rs"]
mod vault;

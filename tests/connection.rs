//! The connection layer against real shells and a real sshd.
//!
//! Needs what a developer's machine has: bash, the OpenSSH client and server. dash and BusyBox are used when they are there;
//! `MMS_REQUIRE_SHELLS=1` and `MMS_REQUIRE_SSHD=1` (set in CI) make what is missing a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "connection/become.rs"]
mod become_user;
#[path = "connection/cases.rs"]
mod cases;
#[path = "connection/local.rs"]
mod local;
#[path = "connection/ssh.rs"]
mod ssh;
#[path = "connection/sshd.rs"]
mod sshd;
#[path = "connection/support.rs"]
mod support;

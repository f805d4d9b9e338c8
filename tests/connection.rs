//! The connection layer against real shells and a real sshd.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "connection/cases.rs"]
mod cases;
#[path = "connection/local.rs"]
mod local;
#[path = "connection/support.rs"]
mod support;

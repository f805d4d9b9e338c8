//! What several module families share: probing files, owner, mode and SELinux context, atomic writes, Python's regular
//! expressions, text that may hold any bytes, and the fields that Ansible adds to the results of file modules.
//!
//! Everything here follows the contract of [`super::StateModule`]: scripts are built and answers parsed, nothing is run.

pub mod attrs;
pub mod mode;
pub mod path;
pub mod regex;
pub mod result;
pub mod stat;
pub mod text;
pub mod words;
pub mod write;

pub use attrs::Attrs;
pub use stat::{Ask, FileState, Stat};

//! Running commands: `command`, `shell`, `script`, `raw`.
//!
//! Their effects are not known, so they are [`super::Next::Action`]s: run when reached, shown as unknown by a plan, unless
//! `creates` or `removes` says that nothing is to be done.

mod clock;
mod command;
mod guard;
pub(super) mod output;
mod raw;
mod script;
pub(super) mod words;

#[cfg(test)]
pub(super) mod harness;
#[cfg(test)]
mod tests;

use super::{Kind, Module};

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    Module { spec: &command::COMMAND, kind: Kind::State(&command::Command { shell: false }) },
    Module { spec: &raw::SPEC, kind: Kind::State(&raw::Raw) },
    Module { spec: &script::SPEC, kind: Kind::State(&script::Script) },
    Module { spec: &command::SHELL, kind: Kind::State(&command::Command { shell: true }) },
];

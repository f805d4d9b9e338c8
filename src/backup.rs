//! Backups: what is set up on the target to make them, and what the workstation asks of it.
//!
//! The work is done by a program on the target ([`target`], in `backup/target/`), by itself every night and on demand by `mms backup`.
//! [`config`] turns the `backup:` key of services into its files, [`module`] brings them there (`mms.backup`), and [`answer`]
//! reads what the program says.

pub mod answer;
pub mod config;
pub mod module;
pub mod target;

pub use module::MODULES;

//! Backups: what is set up on the target to make them, and what the workstation asks of it and reads from it.
//!
//! The work is done by a program on the target ([`target`], in `backup/target/`), by itself every night and on demand by `mms backup`.
//! [`config`] turns the `backup:` key of services into its files, [`module`] brings them there (`mms.backup`), and [`answer`]
//! reads what the program says. What lies there is found by [`source`], [`name`] and [`note`], read by [`archive`], and proved by [`verify`].

pub mod answer;
pub mod archive;
pub mod config;
pub mod module;
pub mod name;
pub mod note;
pub mod source;
pub mod target;
pub mod verify;

pub use module::MODULES;

//! Backups: their names, where they lie, reading and checking what is in them. The target writes them; mms on the workstation
//! reads.

pub mod archive;
pub mod name;
pub mod source;
pub mod verify;

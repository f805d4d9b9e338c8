//! Moving services to a new host: from the containers or native installations of an old one, with their data.
//!
//! `rewrite` adapts copied settings to where things are in the containers of the new host.

pub mod rewrite;

//! Events as output: lines for people, JSON lines for scripts. Nothing here prints; [`terminal::lines`] and [`json::line`] make
//! text, and the sinks hand it to `ui`.

pub mod diff;
pub mod json;
mod mask;
mod services;
pub mod terminal;

pub use json::JsonSink;
pub use terminal::TerminalSink;

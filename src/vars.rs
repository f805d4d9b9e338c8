//! Variables: who set them, and who wins. The order is that of ansible-core's documented 22 levels of precedence.
//!
//! A [`World`] holds what lives as long as a run: hosts with their inventory variables and what tasks set on them, extra variables,
//! and the run's options. A [`TaskScope`] is what one task on one host sees; it is the [`Scope`] that templates look
//! variables up in.

mod facts;
mod host;
mod magic;
mod roster;
mod scope;
mod world;

pub use facts::{is_connection_variable, is_fact};
pub use host::HostVars;
pub use magic::delegated;
pub use roster::{Opener, Roster};
pub use scope::{PlayVars, TaskScope};
pub use world::{Grown, RunOptions, World};

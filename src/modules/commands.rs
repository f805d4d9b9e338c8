//! Running commands.

use super::Module;

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[];

//! YAML as Ansible reads it: YAML 1.1 scalars, `!vault` and `!unsafe`, merge keys, and a span on every node.
//!
//! [`parse`] and [`parse_all`] compose events of the YAML parser into [`Node`]s, [`from_node`] makes typed configuration of them,
//! and [`emit`](mod@emit) writes values as PyYAML does. Nothing is templated here.

mod compose;
mod de;
pub mod emit;
mod explain;
mod lenient;
mod locate;
mod node;
mod scalar;

pub use compose::{Parsed, ParsedAll, parse, parse_all, parse_hidden};
pub use de::{Spanned, from_node};
pub use explain::missing_space_hint;
pub use node::{Kind, Map, Node, Tag};

//! YAML as Ansible reads it: YAML 1.1 scalars, `!vault` and `!unsafe`, merge keys, and a span on every node.
//!
//! [`parse`] and [`parse_all`] compose events of the YAML parser into [`Node`]s. Nothing is templated here.

mod node;

pub use node::{Kind, Map, Node, Tag};

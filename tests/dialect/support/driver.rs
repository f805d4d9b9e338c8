//! What the differential tests are made of: twin machines, two tools, records of what they did, and a comparison.

pub mod bench;
pub mod compare;
pub mod differences;
pub mod machines;
pub mod record;
pub mod tally;
pub mod tools;

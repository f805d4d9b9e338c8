//! What a command said, as fields of a result.

use crate::value::{Fields, Value};

/// Adds `stdout` and `stderr`, each with its lines, where there is anything.
pub fn add(fields: &mut Fields, stdout: &str, stderr: &str) {
    for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
        if !text.is_empty() {
            fields.insert(name.to_owned(), text.into());
            fields.insert(format!("{name}_lines"), text.lines().map(Value::from).collect());
        }
    }
}

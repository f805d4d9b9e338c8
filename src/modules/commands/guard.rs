//! The conditions around a command: `creates`, `removes` and `chdir`, asked in one probe.

use super::words;
use crate::connection::Answer;
use crate::modules::{Args, Probe};
use crate::sh;

/// What the probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// The directory of `chdir` can be entered, or none is given.
    pub directory: bool,
    /// Something matches `creates`.
    pub creates: bool,
    /// Something matches `removes`.
    pub removes: bool,
}

/// The probe for the conditions that are given. Patterns are expanded from `chdir`, where the command would run.
pub(super) fn probe(args: &Args) -> Probe {
    let mut script = String::new();
    if let Some(directory) = args.str("chdir") {
        script.push_str(&format!("cd {} 2>/dev/null || exit 0\n", words::expand(directory)));
    }
    script.push_str("echo directory\n");
    for name in ["creates", "removes"] {
        if let Some(pattern) = args.str(name) {
            script.push_str(&format!(
                "for f in {}; do if [ -e \"$f\" ] || [ -L \"$f\" ]; then echo {}; break; fi; done\n",
                words::expand_glob(pattern),
                sh::quote(name),
            ));
        }
    }
    script.push_str(":\n");
    Probe::new(script)
}

/// Whether there is anything to ask before the command is run.
pub(super) fn needed(args: &Args, check: bool) -> bool {
    given(args) || (check && args.str("chdir").is_some())
}

/// Whether `creates` or `removes` is given.
pub(super) fn given(args: &Args) -> bool {
    args.str("creates").is_some() || args.str("removes").is_some()
}

/// Reads the answer to [`probe`].
pub(super) fn read(answer: &Answer) -> Found {
    let text = answer.stdout_text();
    let has = |name: &str| text.lines().any(|line| line == name);
    Found { directory: has("directory"), creates: has("creates"), removes: has("removes") }
}

//! Atomic writes: content goes over stdin to a hidden file in the same directory, gets its owner and mode, and is renamed; unless
//! what was there is no longer what the plan was made from.

use super::attrs::Plan;
use super::stat::{FileState, PRELUDE};
use super::{path, words};
use crate::modules::{Failure, Step};
use crate::sh;

/// The script ends with this when the file is not the one that was probed.
pub const MOVED: i32 = 81;
/// The script ends with this when the `validate` command refuses the content.
pub const INVALID: i32 = 82;

/// A file to write.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// What was there, probed with its SHA-1 or content if it is a regular file.
    pub before: &'a FileState,
    /// Whether a link is followed; otherwise it is replaced by a file.
    pub follow: bool,
    /// Attributes to set; owner and mode that are not asked for stay as they are.
    pub attrs: &'a Plan,
    /// Whether what was there is kept beside it as `path.PID.YYYY-MM-DD@HH:MM:SS~`.
    pub backup: bool,
    /// A command that must accept the content first; `%s` in it is the temporary file.
    pub validate: Option<&'a str>,
    /// Whether to write in place when the file cannot be renamed over.
    pub unsafe_writes: bool,
    /// Whether missing directories above it are made.
    pub make_parents: bool,
}

/// The step that sets the attributes of something that is there, and prints what is there afterwards.
pub fn attributes_step(path: &str, attrs: &Plan) -> Step {
    let script = format!(
        "{PRELUDE}p={}; d=\n{}{}mms_look\nprintf '\\0'\n",
        sh::quote(&plain(path)),
        attrs.script("\"$p\""),
        attrs.script_last("\"$p\""),
    );
    Step::judged(script)
}

impl<'a> Write<'a> {
    /// A write with nothing special.
    pub fn new(before: &'a FileState, attrs: &'a Plan) -> Self {
        Self { before, follow: true, attrs, backup: false, validate: None, unsafe_writes: false, make_parents: false }
    }

    /// The step that writes this content. Its answer is read by [`super::result::finish`].
    pub fn step(&self, content: Vec<u8>) -> Result<Step, Failure> {
        let script = self.script("cat >\"$t\"")?;
        Ok(Step::Run { script, stdin: Some(content), live: false, timeout: None, check: false })
    }

    /// The script that writes what `fill` (a command that puts the content into the file `$t`) yields; it prints what is
    /// there afterwards.
    pub fn script(&self, fill: &str) -> Result<String, Failure> {
        let target = if self.follow { self.before.real_path() } else { &self.before.path };
        // A file that replaces a link is like the one that the link led to.
        let existing = self.before.stat.as_ref();
        let mut script = format!(
            "{PRELUDE}p={}; d={}\n{}",
            sh::quote(&plain(target)),
            sh::quote(&plain(path::parent(target))),
            self.guard()
        );
        if self.make_parents && existing.is_none() {
            script.push_str("mkdir -p -- \"$d\" || exit 1\n");
        }
        script.push_str("umask 077\n");
        script.push_str("t=$(mktemp \"$d/.mms.XXXXXX\") || exit 1\ntrap 'rm -f -- \"$t\"' EXIT\n");
        script.push_str(&format!("{fill} || exit 1\n"));
        if let Some(command) = self.validate {
            // What it ended with and wrote, for `result::check`.
            let refused = format!("{{ printf '%s\\0%s' \"$?\" \"$o\"; exit {INVALID}; }}");
            script.push_str(&format!("o=$({}) || {refused}\n", validation(command)?));
        }
        if self.backup && existing.is_some() {
            script.push_str("b=$p.$$.$(date +%Y-%m-%d@%H:%M:%S~); cp -p -- \"$p\" \"$b\" || exit 1\n");
        }
        match existing {
            Some(stat) => {
                script.push_str(&format!("chown {}:{} -- \"$t\" 2>/dev/null\n", stat.uid, stat.gid));
                script.push_str(&format!("chmod {:04o} -- \"$t\" || exit 1\n", stat.mode()));
                script.push_str("[ ! -e /sys/fs/selinux/enforce ] || chcon --reference=\"$p\" -- \"$t\" 2>/dev/null\n");
            }
            None => script.push_str(&format!("chmod {:04o} -- \"$t\" || exit 1\n", 0o666 & !self.before.umask)),
        }
        script.push_str(&self.attrs.script("\"$t\""));
        // Without -T a directory that appeared meanwhile would be moved into.
        script.push_str("[ ! -d \"$p\" ] || [ -L \"$p\" ] || { echo \"$p is a directory\" >&2; exit 1; }\n");
        if self.unsafe_writes {
            script.push_str("mv -f -- \"$t\" \"$p\" 2>/dev/null || cat <\"$t\" >\"$p\" || exit 1\n");
        } else {
            script.push_str("mv -f -- \"$t\" \"$p\" || exit 1\n");
        }
        if existing.is_none() && !self.attrs.sets_context() {
            script.push_str(
                "[ ! -e /sys/fs/selinux/enforce ] || ! command -v restorecon >/dev/null || restorecon -- \"$p\"\n",
            );
        }
        script.push_str(&self.attrs.script_last("\"$p\""));
        script.push_str("mms_look\n[ -z \"$b\" ] || printf 'backup=%s\\0' \"$b\"\nprintf '\\0'\n");
        Ok(script)
    }

    /// Ends the script unless the file is the one that was probed.
    fn guard(&self) -> String {
        let test = if !self.follow && self.before.is_link() {
            format!("[ \"$(readlink -n -- \"$p\")\" = {} ]", sh::quote(self.before.link.as_deref().unwrap_or_default()))
        } else {
            let sum = self.before.sum.clone().or_else(|| self.before.content.as_deref().map(super::text::sha1_hex));
            match sum {
                Some(sum) => format!("[ \"$(sha1sum <\"$p\")\" = '{sum}  -' ]"),
                None if self.before.stat.is_none() => "[ ! -e \"$p\" ]".to_owned(),
                None => return "b=\n".to_owned(),
            }
        };
        format!(
            "b=\n{test} || {{ echo \"$p was changed by somebody else since it was looked at\" >&2; exit {MOVED}; }}\n"
        )
    }
}

/// A path that no tool takes for an option.
fn plain(path: &str) -> String {
    if path.starts_with('-') { format!("./{path}") } else { path.to_owned() }
}

/// The `validate` command with the temporary file put in.
fn validation(command: &str) -> Result<String, Failure> {
    if !command.contains("%s") {
        return Err(Failure::new(format!("validate must contain %s: {command}")));
    }
    let quoted = words::split(command)?
        .iter()
        .map(|word| {
            word.split("%s")
                .map(|part| if part.is_empty() { String::new() } else { sh::quote(part) })
                .collect::<Vec<_>>()
                .join("\"$t\"")
        })
        .collect::<Vec<_>>();
    Ok(quoted
        .into_iter()
        .map(|word| if word.is_empty() { "''".to_owned() } else { word })
        .collect::<Vec<_>>()
        .join(" "))
}

//! `ansible.builtin.tempfile`: a new temporary file or directory.

use crate::connection::Answer;
use crate::modules::support::stat::PRELUDE;
use crate::modules::support::{FileState, path, result};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Spec, StateModule, Step, Type};
use crate::sh;
use crate::value::{Fields, unknown};

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "tempfile",
    fqcn: &["ansible.builtin.tempfile", "ansible.legacy.tempfile"],
    summary: "Makes a temporary file or directory.",
    options: &[
        Opt::new("state", Type::Str, "What is made.").choices(&["file", "directory"]).default(Default::Str("file")),
        Opt::new("path", Type::Path, "The directory it is made in."),
        Opt::new("prefix", Type::Str, "What its name starts with.").default(Default::Str("ansible.")),
        Opt::new("suffix", Type::Str, "What its name ends with.").default(Default::Str("")),
    ],
    differs: "In check mode `path` is unknown; Ansible skips the task.",
    ..Spec::NONE
};

/// The module.
pub struct Tempfile;

impl StateModule for Tempfile {
    fn plan(&self, _cx: &Context<'_>, args: &Args, _seen: &[Answer]) -> Result<Next, Failure> {
        for name in ["prefix", "suffix"] {
            if args.text(name).contains('/') {
                let msg = format!("{name} must be a valid file name component, got '{}'", args.text(name));
                return Err(Failure::new(msg));
            }
        }
        let dir = args.str("path").map_or_else(|| "\"${TMPDIR:-/tmp}\"".to_owned(), path::word);
        let directory = args.text("state") == "directory";
        let flag = if directory { "-d " } else { "" };
        let mut script = format!(
            "umask 077\nd={dir}\nt=$(mktemp {flag}\"$d\"/{}XXXXXXXX) || exit 1\n",
            sh::quote(args.text("prefix"))
        );
        if !args.text("suffix").is_empty() {
            // BusyBox has no suffix; both ways fail when the longer name is taken.
            script.push_str(&format!("n=$t{}\n", sh::quote(args.text("suffix"))));
            script.push_str(if directory {
                "mkdir -- \"$n\" && rmdir -- \"$t\" && t=$n || exit 1\n"
            } else {
                "ln -- \"$t\" \"$n\" && rm -f -- \"$t\" && t=$n || exit 1\n"
            });
        }
        script.push_str(&format!("{PRELUDE}p=$t; d=\nmms_look\nprintf '\\0'\n"));
        let step = Step::judged(script);
        let later = unknown("the temporary file is not made yet");
        Ok(Next::Change(Change {
            summary: vec![format!("created ({})", args.text("state"))],
            diff: vec![],
            steps: vec![step],
            result: Fields::from([("path".to_owned(), later)]),
        }))
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        _change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let Some(answer) = applied.last() else { return Ok(Fields::new()) };
        result::check(answer)?;
        let made = FileState::parse(answer)?;
        let mut fields = Fields::from([("path".to_owned(), made.path.as_str().into())]);
        result::add_path_info(&mut fields, &made);
        Ok(fields)
    }
}

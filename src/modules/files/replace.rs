//! `ansible.builtin.replace`: every match of a pattern in a file.

use super::edit::{self, Edit};
use crate::connection::Answer;
use crate::modules::support::attrs::file_options;
use crate::modules::support::regex;
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Spec, StateModule, Type};
use crate::value::Fields;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "replace",
    fqcn: &["ansible.builtin.replace", "ansible.legacy.replace"],
    summary: "Replaces every match of a regular expression in a file.",
    options: file_options![
        edit::PATH,
        Opt::new("regexp", Type::Str, "What to replace; ^ and $ match at every line.").required(),
        Opt::new("replace", Type::Str, "What to put there; \\1 is the first group.").default(Default::Str("")),
        Opt::new("after", Type::Str, "Only what follows a match of this is looked at."),
        Opt::new("before", Type::Str, "Only what precedes a match of this is looked at."),
        edit::BACKUP,
        edit::VALIDATE,
        Opt::new("encoding", Type::Str, "The encoding of the file.")
            .choices(&["utf-8", "utf8", "UTF-8", "ascii"])
            .default(Default::Str("utf-8")),
    ],
    differs: "`encoding` is UTF-8 only; bytes that are not UTF-8 are kept as they are.",
    ..Spec::NONE
};

/// The module.
pub struct Replace;

impl StateModule for Replace {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else {
            return Ok(edit::probe(args));
        };
        let (state, content) = edit::read(answer)?;
        let Some(content) = content else {
            let msg = format!("Path {} does not exist !", state.path);
            return Err(Failure::missing(msg).field("rc", 257));
        };
        let range = match section(args) {
            None => 0..content.len(),
            Some(pattern) => {
                let regexp = regex::compile(&pattern, regex::Flags { dot_all: true, ..regex::Flags::default() })?;
                match regex::search(&regexp, &content)?.and_then(|captures| captures.name("subsection")) {
                    Some(group) => group.range(),
                    None => {
                        let msg = format!("Pattern for before/after params did not match the given file: {pattern}");
                        let mut fields = edit::field("msg", msg);
                        fields.insert("rc".into(), 0.into());
                        return Ok(Next::Ok(fields));
                    }
                }
            }
        };
        let regexp = regex::compile(args.text("regexp"), regex::Flags { multiline: true, ..regex::Flags::default() })?;
        let (new, count) = regex::replace_all(&regexp, &content[range.clone()], args.text("replace"))?;
        let mut edit = Edit { fields: edit::field("rc", 0), ..Edit::default() };
        if count > 0 && new != content[range.clone()] {
            edit.after = Some(format!("{}{new}{}", &content[..range.start], &content[range.end..]));
            edit.msg = format!("{count} replacements made");
        }
        edit::plan(cx, args, &state, edit)
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        edit::finish(change, applied, "backup_file")
    }
}

/// The pattern whose group `subsection` is the part that is looked at.
fn section(args: &Args) -> Option<String> {
    let text = |name: &str| args.str(name).filter(|text| !text.is_empty());
    match (text("after"), text("before")) {
        (Some(after), Some(before)) => Some(format!("{after}(?P<subsection>.*?){before}")),
        (Some(after), None) => Some(format!("{after}(?P<subsection>.*)")),
        (None, Some(before)) => Some(format!("(?P<subsection>.*){before}")),
        (None, None) => None,
    }
}

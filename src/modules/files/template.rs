//! `ansible.builtin.template`: a local template, rendered here, to the target.

use super::put::{self, Put};
use crate::connection::Answer;
use crate::modules::support::attrs::file_options;
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Spec, StateModule, Thing, Type};
use crate::template::FileOptions;
use crate::value::{Fields, unknown_why};

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "template",
    fqcn: &["ansible.builtin.template", "ansible.legacy.template"],
    summary: "Renders a Jinja template to a file on the target.",
    options: file_options![
        Opt::new("src", Type::Path, "The template, in `templates/`.").required(),
        Opt::new("dest", Type::Path, "Where to.").required(),
        put::BACKUP,
        Opt::new("force", Type::Bool, "Whether a file that is there is replaced.").default(Default::Bool(true)),
        put::VALIDATE,
        Opt::new("follow", Type::Bool, "Whether a link at dest is followed.").default(Default::Bool(false)),
        Opt::new("newline_sequence", Type::Str, "How lines end.")
            .choices(&["\\n", "\\r", "\\r\\n", "\n", "\r", "\r\n"])
            .default(Default::Str("\n")),
        Opt::new("block_start_string", Type::Str, "What opens a block.").default(Default::Str("{%")),
        Opt::new("block_end_string", Type::Str, "What closes a block.").default(Default::Str("%}")),
        Opt::new("variable_start_string", Type::Str, "What opens an expression.").default(Default::Str("{{")),
        Opt::new("variable_end_string", Type::Str, "What closes an expression.").default(Default::Str("}}")),
        Opt::new("comment_start_string", Type::Str, "What opens a comment.").default(Default::Str("{#")),
        Opt::new("comment_end_string", Type::Str, "What closes a comment.").default(Default::Str("#}")),
        Opt::new("trim_blocks", Type::Bool, "Whether the newline after a block goes.").default(Default::Bool(true)),
        Opt::new("lstrip_blocks", Type::Bool, "Whether blanks before a block go.").default(Default::Bool(false)),
        Opt::new("output_encoding", Type::Str, "The encoding of the file.")
            .choices(&["utf-8", "utf8", "UTF-8", "ascii"])
            .default(Default::Str("utf-8")),
    ],
    differs: "`output_encoding` is UTF-8 only. The result's `src` is the local path.",
    ..Spec::NONE
};

/// The module.
pub struct Template;

impl StateModule for Template {
    fn makes(&self, args: &Args) -> Vec<Thing> {
        vec![Thing::Path(args.text("dest").trim_end_matches('/').to_owned())]
    }

    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        let local = cx.workstation.find_file("templates", args.text("src"))?;
        if local.is_dir() {
            return Err(Failure::new(format!("the template `{}` is a directory", local.display())));
        }
        let pair = |what: &str| {
            (args.text(&format!("{what}_start_string")).to_owned(), args.text(&format!("{what}_end_string")).to_owned())
        };
        let options = FileOptions {
            trim_blocks: args.bool("trim_blocks"),
            lstrip_blocks: args.bool("lstrip_blocks"),
            block: pair("block"),
            variable: pair("variable"),
            comment: pair("comment"),
            newline: args.text("newline_sequence").replace("\\n", "\n").replace("\\r", "\r"),
        };
        let rendered = cx.workstation.render_file(&local, args.text("src"), args.text("dest"), &options)?;
        if let Some(why) = unknown_why(&rendered) {
            return Ok(Next::Unknown(why));
        }
        let bytes = crate::modules::validate::python_text(&rendered).into_bytes();
        let put = Put {
            name: local.file_name().map(|name| name.to_string_lossy().into_owned()),
            src: Some(local.display().to_string()),
            mode: std::fs::metadata(&local).ok().map(|meta| meta.permissions().mode() & 0o7777),
            follow: args.bool("follow"),
            ..Put::bytes(bytes)
        };
        put.plan(cx, args, seen, 0)
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        put::finish(change, applied)
    }
}

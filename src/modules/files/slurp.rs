//! `ansible.builtin.slurp`: the content of a file, in base64.

use base64::Engine as _;

use crate::connection::Answer;
use crate::modules::support::{Ask, FileState};
use crate::modules::{Args, Context, Failure, Next, Opt, Spec, StateModule, Type};
use crate::value::Fields;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "slurp",
    fqcn: &["ansible.builtin.slurp", "ansible.legacy.slurp"],
    summary: "Reads a file of the target; the content is in base64.",
    options: &[Opt::new("src", Type::Path, "The file.").required().aliases(&["path"])],
    ..Spec::NONE
};

/// The module.
pub struct Slurp;

impl StateModule for Slurp {
    fn tells_of(&self, args: &Args) -> Vec<crate::modules::Thing> {
        vec![crate::modules::Thing::Path(args.text("src").trim_end_matches('/').to_owned())]
    }

    fn plan(&self, _cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else {
            return Ok(Next::Probe(Ask::new(args.text("src")).content().probe()));
        };
        let state = FileState::parse(answer)?;
        let path = &state.path;
        if state.stat.is_none() {
            return Err(Failure::missing(format!("File not found: {path}")));
        }
        if state.is_dir() {
            return Err(Failure::new(format!("Source is a directory and must be a file: {path}")));
        }
        if !state.access.contains('r') {
            return Err(Failure::new(format!("File is not readable: {path}")));
        }
        let content = state.content.ok_or_else(|| Failure::new(format!("{path} is not a regular file")))?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(content);
        Ok(Next::Ok(Fields::from([
            ("content".to_owned(), encoded.into()),
            ("source".to_owned(), path.as_str().into()),
            ("encoding".to_owned(), "base64".into()),
        ])))
    }
}

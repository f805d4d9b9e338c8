//! What the modules that edit a file have in common: fetch the content, change it here, write it back if it is still the same.

use crate::connection::Answer;
use crate::modules::support::attrs::{Attrs, New};
use crate::modules::support::write::{Write, attributes_step};
use crate::modules::support::{Ask, FileState, result, text};
use crate::modules::{Args, Change, Context, Failure, Next, Opt, Type};
use crate::value::{Fields, Value};

pub(super) use super::put::{BACKUP, VALIDATE};

/// The file that is edited.
pub(super) const PATH: Opt =
    Opt::new("path", Type::Path, "The file.").required().aliases(&["dest", "destfile", "name"]);

/// What an edit came to.
#[derive(Debug, Default)]
pub struct Edit {
    /// The new content; nothing when the content is as wanted.
    pub after: Option<String>,
    /// What Ansible says (`line added`).
    pub msg: String,
    /// More fields of the result.
    pub fields: Fields,
}

/// The question about the file at `path`: its content and what the attribute arguments need.
pub fn ask(args: &Args) -> Ask {
    Attrs::of(args).ask(Ask::new(args.text("path")).content())
}

/// The question as the first step of a plan.
pub fn probe(args: &Args) -> Next {
    Next::Probe(ask(args).probe())
}

/// The answer: the file, and its [`content`].
pub fn read(answer: &Answer) -> Result<(FileState, Option<String>), Failure> {
    let state = FileState::parse(answer)?;
    let content = content(&state)?;
    Ok((state, content))
}

/// The content as text; nothing when there is no file. Fails for what cannot be edited.
pub fn content(state: &FileState) -> Result<Option<String>, Failure> {
    let path = &state.path;
    if state.is_dir() {
        return Err(Failure::new(format!("Path {path} is a directory !")).field("rc", 256));
    }
    match (&state.stat, &state.content) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) if !state.access.contains('r') => {
            Err(Failure::new(format!("{path} cannot be read")).hint("run the task with `become: true`"))
        }
        (Some(_), Some(bytes)) => Ok(Some(text::decode(bytes))),
        (Some(_), None) => Err(Failure::new(format!("{path} is not a regular file"))),
    }
}

/// What is to be done to write an edit back, with the attributes that the arguments ask for.
pub fn plan(cx: &Context<'_>, args: &Args, state: &FileState, edit: Edit) -> Result<Next, Failure> {
    write_back(cx, args, state, edit, true)
}

/// The same, and links are followed or replaced.
pub fn write_back(cx: &Context<'_>, args: &Args, state: &FileState, edit: Edit, follow: bool) -> Result<Next, Failure> {
    let attrs = Attrs::of(args).plan(state, state.stat.as_ref(), New::file(state.umask))?;
    let mut change = Change { result: edit.fields, ..Change::default() };
    let Edit { after, mut msg, .. } = edit;
    let exists = state.stat.is_some();
    let attrs_differ = exists && !attrs.is_empty();
    if after.is_some() {
        change.summary.push(if msg.is_empty() { "content".to_owned() } else { msg.clone() });
    }
    // Ansible makes a new file first and then finds that its mode is not the one that was asked for.
    let new_differs = !exists && !cx.check && attrs.mode.is_some_and(|mode| mode != 0o666 & !state.umask);
    if attrs_differ || new_differs {
        if after.is_some() {
            msg.push_str(" and ");
        }
        msg.push_str("ownership, perms or SE linux context changed");
    }
    change.result.insert("msg".into(), msg.into());
    if after.is_none() && !attrs_differ {
        return Ok(Next::Ok(change.result));
    }
    change.summary.extend(attrs.summary.iter().cloned());
    if let Some(after) = &after {
        let after = text::encode(after);
        change.diff.push(result::content_diff(&state.path, state.content.as_deref(), &after));
        let write = Write {
            follow,
            backup: args.bool("backup"),
            validate: args.str("validate"),
            unsafe_writes: args.bool("unsafe_writes"),
            make_parents: true,
            ..Write::new(state, &attrs)
        };
        change.steps.push(write.step(after)?);
    } else {
        change.steps.push(attributes_step(state.real_path(), &attrs));
    }
    if attrs_differ {
        change.diff.push(result::attribute_diff(&state.path, &attrs.before, &attrs.after));
    }
    Ok(Next::Change(change))
}

/// The result after the write. Editing modules do not report the file's attributes, only the backup, under `backup_key`.
pub fn finish(change: &Change, applied: &[Answer], backup_key: &str) -> Result<Fields, Failure> {
    let mut all = result::finish(change, applied).map_err(|mut failure| {
        if failure.msg == "failed to validate" {
            let field = |name: &str| failure.fields.get(name).cloned().unwrap_or_default();
            failure.msg = format!("failed to validate: rc:{} error:{}", field("exit_status"), field("stderr"));
            failure.fields.clear();
        }
        failure
    })?;
    let backup = all.shift_remove("backup_file");
    let mut fields = change.result.clone();
    if let Some(backup) = backup {
        fields.insert(backup_key.to_owned(), backup);
    }
    Ok(fields)
}

/// A field with a text.
pub fn field(name: &str, value: impl Into<Value>) -> Fields {
    Fields::from([(name.to_owned(), value.into())])
}

//! `ansible.builtin.blockinfile`: a block of lines between two marker lines.

use super::edit::{self, Edit};
use crate::connection::Answer;
use crate::modules::support::attrs::file_options;
use crate::modules::support::{regex, text};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Rule, Spec, StateModule, Type};
use crate::value::Fields;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "blockinfile",
    fqcn: &["ansible.builtin.blockinfile", "ansible.legacy.blockinfile"],
    summary: "Inserts, updates or removes a block of lines between marker lines.",
    options: file_options![
        edit::PATH,
        Opt::new("state", Type::Str, "Whether the block is there or not.")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("marker", Type::Str, "The marker lines; {mark} in it becomes BEGIN and END.")
            .default(Default::Str("# {mark} ANSIBLE MANAGED BLOCK")),
        Opt::new("block", Type::Str, "The lines between the markers; none removes the block.")
            .aliases(&["content"])
            .default(Default::Str("")),
        Opt::new("insertafter", Type::Str, "Where a new block goes: after the last match of this, or EOF."),
        Opt::new("insertbefore", Type::Str, "Where a new block goes: before the last match of this, or BOF."),
        Opt::new("create", Type::Bool, "Whether a missing file is made.").default(Default::Bool(false)),
        edit::BACKUP,
        edit::VALIDATE,
        Opt::new("marker_begin", Type::Str, "What {mark} becomes above the block.").default(Default::Str("BEGIN")),
        Opt::new("marker_end", Type::Str, "What {mark} becomes below the block.").default(Default::Str("END")),
        Opt::new("append_newline", Type::Bool, "Whether an empty line follows the block.")
            .default(Default::Bool(false)),
        Opt::new("prepend_newline", Type::Bool, "Whether an empty line precedes the block.")
            .default(Default::Bool(false)),
    ],
    rules: &[Rule::Exclusive(&["insertbefore", "insertafter"])],
    ..Spec::NONE
};

/// The module.
pub struct Blockinfile;

impl StateModule for Blockinfile {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else {
            return Ok(edit::probe(args));
        };
        let (state, content) = edit::read(answer)?;
        let present = args.text("state") == "present";
        if content.is_none() {
            if !args.bool("create") {
                let msg = format!("Path {} does not exist !", state.path);
                return Err(Failure::missing(msg).field("rc", 257).hint("`create: true` makes it"));
            }
            if !present {
                return Ok(Next::Ok(edit::field("msg", format!("File {} not present", state.path))));
            }
        }
        let block = if present { args.text("block") } else { "" };
        let after = with_block(args, content.as_deref().unwrap_or_default(), block)?;
        let msg = match &content {
            Some(before) if *before == after => "",
            None => "File created",
            Some(_) if block.is_empty() => "Block removed",
            Some(_) => "Block inserted",
        };
        let after = (content.as_ref() != Some(&after)).then_some(after);
        edit::plan(cx, args, &state, Edit { after, msg: msg.to_owned(), fields: Fields::new() })
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

/// The content with the block put in, replaced, or (an empty one) removed.
fn with_block(args: &Args, content: &str, block: &str) -> Result<String, Failure> {
    let marker = |mark: &str| format!("{}\n", args.text("marker").replace("{mark}", args.text(mark)));
    let (begin, end) = (marker("marker_begin"), marker("marker_end"));
    let mut lines: Vec<String> = text::splitlines(content).into_iter().map(str::to_owned).collect();
    let last = |wanted: &str| lines.iter().rposition(|line| line == wanted);
    let at = match (last(&begin), last(&end)) {
        (Some(from), Some(to)) => {
            let (from, to) = (from.min(to), from.max(to));
            lines.drain(from..=to);
            from
        }
        _ => place(args, content, &lines)?,
    };
    if let Some(before) = at.checked_sub(1).and_then(|before| lines.get_mut(before))
        && !before.ends_with('\n')
    {
        before.push('\n');
    }
    let present = args.text("state") == "present";
    let mut new: Vec<String> = lines[..at].to_vec();
    if present && args.bool("prepend_newline") && new.last().is_some_and(|line| line != "\n") {
        new.push("\n".to_owned());
    }
    if !block.is_empty() {
        new.push(begin);
        new.push(block.to_owned());
        if !block.ends_with('\n') {
            new.push("\n".to_owned());
        }
        new.push(end);
    }
    if present && args.bool("append_newline") && lines.get(at).is_some_and(|line| line != "\n") {
        new.push("\n".to_owned());
    }
    new.extend_from_slice(&lines[at..]);
    Ok(new.concat())
}

/// The line number at which a new block goes.
fn place(args: &Args, content: &str, lines: &[String]) -> Result<usize, Failure> {
    let (before, after) = (args.str("insertbefore"), args.str("insertafter"));
    let pattern = match (after, before) {
        (None | Some("EOF"), None) => return Ok(lines.len()),
        (_, Some("BOF")) => return Ok(0),
        (Some("EOF"), Some(pattern)) | (None, Some(pattern)) | (Some(pattern), _) => pattern,
    };
    let regexp = regex::compile(pattern, regex::Flags::default())?;
    let mut found = None;
    if pattern.starts_with("(?m)") {
        // A pattern that spans lines is matched against the whole content.
        if let Some(whole) = regex::search(&regexp, content)?.and_then(|captures| captures.get(0)) {
            let end = if after.is_some() { whole.end() } else { whole.start() };
            found = Some(content[..end].matches('\n').count());
        }
    } else {
        for (number, line) in lines.iter().enumerate() {
            if regex::is_match(&regexp, line)? {
                found = Some(number);
            }
        }
    }
    Ok(match found {
        None => lines.len(),
        Some(number) => (number + usize::from(after.is_some())).min(lines.len()),
    })
}

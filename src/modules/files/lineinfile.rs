//! `ansible.builtin.lineinfile`: one line of a file is there, or lines are not.

use super::edit::{self, Edit};
use crate::connection::Answer;
use crate::modules::support::attrs::file_options;
use crate::modules::support::{regex, text};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Rule, Spec, StateModule, Type};
use crate::value::Fields;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "lineinfile",
    fqcn: &["ansible.builtin.lineinfile", "ansible.legacy.lineinfile"],
    summary: "Ensures that a line is in a file, or replaces or removes lines.",
    options: file_options![
        edit::PATH,
        Opt::new("state", Type::Str, "Whether the line is there or not.")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("regexp", Type::Str, "The line to replace (the last match) or the lines to remove.")
            .aliases(&["regex"]),
        Opt::new("search_string", Type::Str, "The same as plain text."),
        Opt::new("line", Type::Str, "The line.").aliases(&["value"]),
        Opt::new("insertafter", Type::Str, "Where a new line goes: after the last match of this, or EOF or BOF."),
        Opt::new("insertbefore", Type::Str, "Where a new line goes: before the last match of this, or BOF."),
        Opt::new("backrefs", Type::Bool, "Whether the line may refer to groups of regexp.")
            .default(Default::Bool(false)),
        Opt::new("create", Type::Bool, "Whether a missing file is made.").default(Default::Bool(false)),
        edit::BACKUP,
        Opt::new("firstmatch", Type::Bool, "Whether the first match counts instead of the last.")
            .default(Default::Bool(false)),
        edit::VALIDATE,
    ],
    rules: &[
        Rule::Exclusive(&["insertbefore", "insertafter"]),
        Rule::Exclusive(&["regexp", "search_string"]),
        Rule::Exclusive(&["backrefs", "search_string"]),
    ],
    ..Spec::NONE
};

/// The module.
pub struct Lineinfile;

impl StateModule for Lineinfile {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let present = args.text("state") == "present";
        if present && args.bool("backrefs") && args.str("regexp").is_none() {
            return Err(Failure::new("regexp is required with backrefs=true"));
        }
        if present && args.str("line").is_none() {
            return Err(Failure::new("line is required with state=present"));
        }
        if !present && ["regexp", "search_string", "line"].iter().all(|name| args.str(name).is_none()) {
            return Err(Failure::new("one of line, search_string, or regexp is required with state=absent"));
        }
        let Some(answer) = seen.first() else {
            return Ok(edit::probe(args));
        };
        let (state, content) = edit::read(answer)?;
        let edit = match (&content, present) {
            (None, false) => return Ok(Next::Ok(edit::field("msg", "file not present"))),
            (None, true) if !args.bool("create") => {
                let msg = format!("Destination {} does not exist !", state.path);
                return Err(Failure::missing(msg).field("rc", 257).hint("`create: true` makes it"));
            }
            (content, true) => insert(args, content.as_deref())?,
            (Some(content), false) => remove(args, content)?,
        };
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
        edit::finish(change, applied, "backup")
    }
}

/// Decides whether a line of the file is the one that `regexp` or `search_string` means.
struct Finder<'a> {
    regexp: Option<fancy_regex::Regex>,
    search: Option<&'a str>,
}

impl<'a> Finder<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        Ok(Self { regexp: pattern(args.str("regexp"))?, search: args.str("search_string") })
    }

    fn finds(&self, line: &str) -> Result<bool, Failure> {
        match (&self.regexp, self.search) {
            (Some(regexp), _) => regex::is_match(regexp, line),
            (None, Some(search)) => Ok(line.contains(search)),
            (None, None) => Ok(false),
        }
    }
}

fn pattern(text: Option<&str>) -> Result<Option<fancy_regex::Regex>, Failure> {
    text.map(|text| regex::compile(text, regex::Flags::default())).transpose()
}

/// The place of the last line (or the first, if asked) that satisfies the condition.
fn locate(
    lines: &[&str],
    first: bool,
    mut condition: impl FnMut(&str) -> Result<bool, Failure>,
) -> Result<Option<usize>, Failure> {
    let mut place = None;
    for (number, line) in lines.iter().enumerate() {
        if condition(line)? {
            place = Some(number);
            if first {
                break;
            }
        }
    }
    Ok(place)
}

fn insert(args: &Args, content: Option<&str>) -> Result<Edit, Failure> {
    let line = args.text("line");
    let first = args.bool("firstmatch");
    let (before, mut after) = (args.str("insertbefore"), args.str("insertafter"));
    if before.is_none() && after.is_none() {
        after = Some("EOF");
    }
    let lines = text::lines(content.unwrap_or_default());
    let finder = Finder::new(args)?;
    let ended = |line: &str| if line.ends_with('\n') { line.to_owned() } else { format!("{line}\n") };
    let mut new: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let done = |new: Vec<String>, msg: &str| {
        let after = new.concat();
        let changed = content.unwrap_or_default() != after;
        let msg = if changed { msg.to_owned() } else { String::new() };
        Edit { after: changed.then_some(after), msg, fields: edit::field("backup", "") }
    };

    if let Some(number) = locate(&lines, first, |line| finder.finds(line))? {
        let line = match &finder.regexp {
            Some(regexp) if args.bool("backrefs") => match regex::search(regexp, lines[number])? {
                Some(captures) => regex::expand(&captures, line)?,
                None => line.to_owned(),
            },
            _ => line.to_owned(),
        };
        new[number] = ended(&line);
        return Ok(done(new, "line replaced"));
    }

    let is_end = |place: Option<&str>| matches!(place, Some("BOF" | "EOF") | None);
    let anchor = if is_end(after) && is_end(before) { None } else { pattern(after.or(before))? };
    let (mut exact, mut place) = (None, None);
    for (number, current) in lines.iter().enumerate() {
        if text::chomp(current) == line {
            exact = Some(number);
        } else if let Some(anchor) = &anchor
            && regex::is_match(anchor, current)?
        {
            place = Some(if after.is_some() { number + 1 } else { number });
            if first {
                break;
            }
        }
    }
    if let Some(number) = exact {
        new[number] = ended(line);
        return Ok(done(new, "line replaced"));
    }
    if after.is_some() && place.and_then(|place| lines.get(place)).is_some_and(|next| text::chomp(next) == line) {
        return Ok(done(new, ""));
    }
    if args.bool("backrefs") {
        // Without a match there are no groups to make the line from.
        return Ok(done(new, ""));
    }
    let line = format!("{line}\n");
    if before == Some("BOF") || after == Some("BOF") {
        new.insert(0, line);
    } else {
        let end = place.is_none_or(|place| place == new.len());
        if end && let Some(last) = new.last_mut().filter(|last| !last.ends_with(['\n', '\r'])) {
            last.push('\n');
        }
        new.insert(place.unwrap_or(new.len()), line);
    }
    Ok(done(new, "line added"))
}

fn remove(args: &Args, content: &str) -> Result<Edit, Failure> {
    let finder = Finder::new(args)?;
    let by_line = finder.regexp.is_none() && finder.search.is_none();
    let (mut kept, mut found) = (String::with_capacity(content.len()), 0);
    for line in text::lines(content) {
        let gone = if by_line { text::chomp(line) == args.text("line") } else { finder.finds(line)? };
        if gone {
            found += 1;
        } else {
            kept.push_str(line);
        }
    }
    let mut fields = edit::field("found", found);
    fields.insert("backup".into(), "".into());
    let msg = if found > 0 { format!("{found} line(s) removed") } else { String::new() };
    Ok(Edit { after: (found > 0).then_some(kept), msg, fields })
}

//! `community.general.ini_file`: options of a section of an INI file.

use super::edit::{self, Edit};
use crate::connection::Answer;
use crate::modules::support::attrs::file_options;
use crate::modules::support::{FileState, result};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Rule, Spec, StateModule, Type};
use crate::value::{Fields, Value};

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "ini_file",
    fqcn: &["community.general.ini_file"],
    summary: "Sets or removes options of a section of an INI file.",
    options: file_options![
        Opt::new("path", Type::Path, "The file.").required().aliases(&["dest"]),
        Opt::new("section", Type::Str, "The section; none is what stands before the first one."),
        Opt::new("section_has_values", Type::List, "Options (`option`, `value` or `values`) the section must have.")
            .aliases(&["section_has"]),
        Opt::new("option", Type::Str, "The option; without it the whole section is meant."),
        Opt::new("value", Type::Str, "Its value."),
        Opt::new("values", Type::StrList, "Its values, each on a line of its own."),
        edit::BACKUP,
        Opt::new("state", Type::Str, "Whether it is there or not.")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("exclusive", Type::Bool, "Whether other values of the option are removed.")
            .default(Default::Bool(true)),
        Opt::new("no_extra_spaces", Type::Bool, "Whether `=` is written without blanks.").default(Default::Bool(false)),
        Opt::new("ignore_spaces", Type::Bool, "Whether a line that differs in blanks alone is left.")
            .default(Default::Bool(false)),
        Opt::new("allow_no_value", Type::Bool, "Whether an option may stand without `=`.")
            .default(Default::Bool(false)),
        Opt::new("modify_inactive_option", Type::Bool, "Whether an option that is commented out is put to use.")
            .default(Default::Bool(true)),
        Opt::new("create", Type::Bool, "Whether a missing file is made.").default(Default::Bool(true)),
        Opt::new("follow", Type::Bool, "Whether a link is followed instead of replaced.").default(Default::Bool(false)),
    ],
    rules: &[Rule::Exclusive(&["value", "values"])],
    ..Spec::NONE
};

/// The module.
pub struct IniFile;

impl StateModule for IniFile {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let wanted = Wanted::new(args)?;
        let Some(answer) = seen.first() else {
            return Ok(Next::Probe(edit::ask(args).probe()));
        };
        let state = FileState::parse(answer)?;
        let content = edit::content(&state)?;
        if content.is_none() && !args.bool("create") {
            let msg = format!("Destination {} does not exist!", state.path);
            return Err(Failure::missing(msg).field("rc", 257));
        }
        let before = content.as_deref().unwrap_or_default();
        let (bom, text) = match before.strip_prefix('\u{feff}') {
            Some(text) => ("\u{feff}", text),
            None => ("", before),
        };
        let (after, msg) = wanted.apply(text);
        let after = (after != text).then(|| format!("{bom}{after}"));
        let mut fields = edit::field("path", state.path.as_str());
        result::add_path_info(&mut fields, &state);
        let next =
            edit::write_back(cx, args, &state, Edit { after, msg: msg.to_owned(), fields }, args.bool("follow"))?;
        // This module says nothing of attributes in its message.
        Ok(match next {
            Next::Ok(mut fields) => {
                fields.insert("msg".into(), msg.into());
                Next::Ok(fields)
            }
            Next::Change(mut change) => {
                change.result.insert("msg".into(), msg.into());
                Next::Change(change)
            }
            other => other,
        })
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        result::finish(change, applied)
    }
}

/// What the file is to hold.
struct Wanted<'a> {
    section: Option<&'a str>,
    section_has: Vec<(String, Vec<String>)>,
    option: Option<&'a str>,
    values: Vec<String>,
    present: bool,
    exclusive: bool,
    equals: &'static str,
    ignore_spaces: bool,
    allow_no_value: bool,
    inactive: bool,
}

/// A line that gives (or, commented out, would give) an option a value.
struct Found<'t> {
    inactive: bool,
    value: &'t str,
}

fn find<'t>(option: &str, line: &'t str) -> Option<Found<'t>> {
    let line = line.trim_end_matches('\n');
    let blank = [' ', '\t'];
    let active = line.strip_prefix(['#', ';']);
    let rest = active.unwrap_or(line).trim_start_matches(blank).strip_prefix(option)?.trim_start_matches(blank);
    let value = if rest.is_empty() { rest } else { rest.strip_prefix('=')?.trim_start_matches(blank) };
    Some(Found { inactive: active.is_some(), value })
}

impl<'a> Wanted<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let mut values = match args.str("value") {
            Some(value) => vec![value.to_owned()],
            None => args.strings("values"),
        };
        let mut unique = vec![];
        values.retain(|value| {
            !unique.contains(value) && {
                unique.push(value.clone());
                true
            }
        });
        let present = args.text("state") == "present";
        if present && !args.bool("allow_no_value") && values.is_empty() && args.str("option").is_some() {
            return Err(Failure::new(
                "Parameter 'value(s)' must be defined if state=present and allow_no_value=False.",
            ));
        }
        let text = |value: &Value| crate::modules::validate::python_text(value);
        let given =
            |item: &Value, key: &str| item.get_attr(key).ok().filter(|value| !value.is_undefined() && !value.is_none());
        let section_has = args
            .list("section_has_values")
            .iter()
            .map(|item| {
                let option = given(item, "option").ok_or_else(|| Failure::new("section_has_values needs `option`"))?;
                let mut values: Vec<_> = given(item, "value").iter().map(text).collect();
                if let Some(more) = given(item, "values").and_then(|list| list.try_iter().ok()) {
                    values.extend(more.map(|value| text(&value)));
                }
                Ok((text(&option), values))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            section: args.str("section").filter(|section| !section.is_empty()),
            section_has,
            option: args.str("option").filter(|option| !option.is_empty()),
            values,
            present,
            exclusive: args.bool("exclusive"),
            equals: if args.bool("no_extra_spaces") { "=" } else { " = " },
            ignore_spaces: args.bool("ignore_spaces"),
            allow_no_value: args.bool("allow_no_value"),
            inactive: args.bool("modify_inactive_option"),
        })
    }

    /// The content as wanted, and what was done.
    fn apply(&self, content: &str) -> (String, &'static str) {
        let mut lines: Vec<String> = content.split_inclusive('\n').map(str::to_owned).collect();
        match lines.last_mut() {
            None => lines.push("\n".to_owned()),
            Some(last) if !last.ends_with('\n') => last.push('\n'),
            Some(_) => {}
        }
        let Some((start, end)) = self.locate(&lines) else {
            let msg = if self.present { self.append(&mut lines) } else { "OK" };
            // An empty file of which nothing is wanted stays empty.
            return if msg == "OK" && content.is_empty() { (String::new(), msg) } else { (lines.concat(), msg) };
        };
        let mut section: Vec<String> = lines[start..end].to_vec();
        let header = usize::from(self.section.is_some());
        let msg = match (self.present, self.option) {
            (true, Some(option)) => self.set(option, &mut section, header),
            (true, None) => "OK",
            (false, Some(option)) => self.unset(option, &mut section),
            (false, None) if section.is_empty() => "OK",
            (false, None) => {
                section.clear();
                "section removed"
            }
        };
        lines.splice(start..end, section);
        (lines.concat(), msg)
    }

    /// The lines of the section, with its header.
    fn locate(&self, lines: &[String]) -> Option<(usize, usize)> {
        let end_after = |start: usize| {
            lines[start..].iter().position(|line| line.starts_with('[')).map_or(lines.len(), |length| start + length)
        };
        let Some(section) = self.section else { return Some((0, end_after(0))) };
        let header = format!("[{section}]");
        lines.iter().enumerate().filter(|(_, line)| line.starts_with(&header)).find_map(|(start, _)| {
            let end = end_after(start + 1);
            self.section_has
                .iter()
                .all(|(option, values)| {
                    let held: Vec<_> = lines[start..end].iter().filter_map(|line| find(option, line)).collect();
                    let holds = |value: &String| held.iter().any(|found| found.value == value);
                    if values.is_empty() { !held.is_empty() } else { values.iter().all(holds) }
                })
                .then_some((start, end))
        })
    }

    fn line(&self, option: &str, value: &str) -> String {
        format!("{option}{}{value}\n", self.equals)
    }

    /// Adds the section at the end.
    fn append(&self, lines: &mut Vec<String>) -> &'static str {
        if let Some(section) = self.section {
            lines.push(format!("[{section}]\n"));
        }
        for (option, values) in &self.section_has {
            lines.extend(values.iter().map(|value| self.line(option, value)));
        }
        match self.option {
            Some(option) if !self.values.is_empty() => {
                lines.extend(self.values.iter().map(|value| self.line(option, value)));
                "section and option added"
            }
            Some(option) if self.allow_no_value => {
                lines.push(format!("{option}\n"));
                "section and option added"
            }
            _ => "only section added",
        }
    }

    /// Gives the option its values: lines that have one of them stay, other lines of the option take the remaining ones or (exclusive)
    /// go, and what is left is added below the last line that says something.
    fn set(&self, option: &str, section: &mut Vec<String>, header: usize) -> &'static str {
        let mut msg = "OK";
        let mut pending = self.values.clone();
        let mut done = vec![false; section.len()];
        let mut bare = false;
        let matching = |line: &str| find(option, line).filter(|found| self.inactive || !found.inactive).is_some();
        let write = |slot: &mut String, line: String, msg: &mut &'static str| {
            let same = match (find(option, slot), find(option, &line)) {
                (Some(old), Some(new)) if self.ignore_spaces && !old.inactive => old.value == new.value,
                _ => *slot == line,
            };
            if !same {
                *slot = line;
                *msg = "option changed";
            }
        };
        for (slot, done) in section.iter_mut().zip(&mut done).skip(header) {
            if !matching(slot) {
                continue;
            }
            let value = find(option, slot).map(|found| found.value.to_owned()).unwrap_or_default();
            if let Some(at) = pending.iter().position(|wanted| *wanted == value) {
                pending.remove(at);
                bare |= value.is_empty() && self.allow_no_value;
                let line = if value.is_empty() && self.allow_no_value {
                    format!("{option}\n")
                } else {
                    self.line(option, &value)
                };
                write(slot, line, &mut msg);
                *done = true;
            } else if self.values.is_empty() && self.allow_no_value {
                write(slot, format!("{option}\n"), &mut msg);
                *done = true;
                bare = true;
                break;
            }
        }
        if self.exclusive && !self.allow_no_value {
            let mut kept = vec![];
            for (index, mut line) in std::mem::take(section).into_iter().enumerate() {
                let free = index >= header && !done[index] && matching(&line);
                if free && !pending.is_empty() {
                    let value = pending.remove(0);
                    write(&mut line, self.line(option, &value), &mut msg);
                } else if free {
                    msg = "option changed";
                    continue;
                }
                kept.push(line);
            }
            *section = kept;
        }
        let mut added: Vec<_> = pending.iter().map(|value| self.line(option, value)).collect();
        if added.is_empty() && self.values.is_empty() && self.allow_no_value && !bare {
            added.push(format!("{option}\n"));
        }
        if !added.is_empty() {
            let says = |line: &String| {
                let line = line.trim_matches([' ', '\t', '\n']);
                !line.is_empty() && !line.starts_with(['#', ';'])
            };
            let at = section.iter().rposition(says).map_or(header, |last| last + 1);
            section.splice(at..at, added);
            msg = "option added";
        }
        msg
    }

    fn unset(&self, option: &str, section: &mut Vec<String>) -> &'static str {
        let before = section.len();
        section.retain(|line| {
            find(option, line).is_none_or(|found| {
                found.inactive || !(self.exclusive || self.values.iter().any(|value| value == found.value))
            })
        });
        if section.len() == before { "OK" } else { "option changed" }
    }
}

//! `ansible.builtin.find`: paths that satisfy conditions. The target lists, the conditions are decided here.

mod filter;

use fancy_regex::Regex;

use super::stat::{info, sum_command};
use crate::connection::Answer;
use crate::modules::support::stat::{FileType, PRELUDE, Stat};
use crate::modules::support::{path, regex, text};
use crate::modules::{Args, Context, Default, Failure, Next, Opt, Probe, Spec, StateModule, Thing, Type};
use crate::value::{Fields, Value, from_fields};
use filter::Filter;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "find",
    fqcn: &["ansible.builtin.find", "ansible.legacy.find"],
    summary: "Finds files by name, type, age, size, mode and content.",
    options: &[
        Opt::new("paths", Type::StrList, "The directories to look in.").required().aliases(&["name", "path"]),
        Opt::new("patterns", Type::StrList, "Names: shell patterns or regular expressions.")
            .aliases(&["pattern"])
            .default(Default::EmptyList),
        Opt::new("excludes", Type::StrList, "Names that are left out.").aliases(&["exclude"]),
        Opt::new("contains", Type::Str, "A regular expression that a line of the file must start with."),
        Opt::new("read_whole_file", Type::Bool, "Whether contains is searched in the whole content.")
            .default(Default::Bool(false)),
        Opt::new("file_type", Type::Str, "What is looked for.")
            .choices(&["any", "directory", "file", "link"])
            .default(Default::Str("file")),
        Opt::new("age", Type::Str, "At least this old, or (negative) at most; s, m, h, d or w."),
        Opt::new("age_stamp", Type::Str, "Which time age means.")
            .choices(&["atime", "ctime", "mtime"])
            .default(Default::Str("mtime")),
        Opt::new("size", Type::Str, "At least this large, or (negative) at most; b, k, m, g or t."),
        Opt::new("recurse", Type::Bool, "Whether directories below are looked into.").default(Default::Bool(false)),
        Opt::new("hidden", Type::Bool, "Whether names with a dot in front count.").default(Default::Bool(false)),
        Opt::new("follow", Type::Bool, "Whether links to directories are followed.").default(Default::Bool(false)),
        Opt::new("get_checksum", Type::Bool, "Whether checksums are told.").default(Default::Bool(false)),
        Opt::new("checksum_algorithm", Type::Str, "Which checksum.")
            .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
            .aliases(&["checksum", "checksum_algo"])
            .default(Default::Str("sha1")),
        Opt::new("use_regex", Type::Bool, "Whether patterns are regular expressions.").default(Default::Bool(false)),
        Opt::new("depth", Type::Int, "How deep to look."),
        Opt::new("mode", Type::Mode, "The permissions."),
        Opt::new("exact_mode", Type::Bool, "Whether other permissions may be set as well.")
            .default(Default::Bool(true)),
        Opt::new("limit", Type::Int, "How many at most."),
    ],
    differs: "Files come sorted by path.",
    ..Spec::NONE
};

/// The module.
pub struct Find;

impl StateModule for Find {
    fn tells_of(&self, args: &Args) -> Vec<Thing> {
        args.strings("paths").iter().map(|path| Thing::Tree(path.trim_end_matches('/').to_owned())).collect()
    }

    fn plan(&self, _cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let filter = Filter::new(args)?;
        let Some(listing) = seen.first() else {
            return Ok(Next::Probe(list(args)));
        };
        let depth = args.int("depth").filter(|depth| *depth > 0 && args.bool("recurse"));
        let (now, entries, skipped, examined) = read(listing, depth)?;
        let mut found: Vec<_> = entries.into_iter().filter(|entry| filter.accepts(now, &entry.0, &entry.1)).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.dedup_by(|a, b| a.0 == b.0);
        let regular = |entry: &(String, Stat)| entry.1.file_type() == FileType::File;
        let paths = || found.iter().filter(|entry| regular(entry)).map(|entry| entry.0.as_str());
        let mut answers = seen[1..].iter();
        if let Some(pattern) = args.str("contains").filter(|_| args.text("file_type") == "file") {
            let Some(answer) = answers.next() else {
                return Ok(Next::Probe(over(paths(), "wc -c <\"$p\"; cat <\"$p\"")));
            };
            let whole = args.bool("read_whole_file");
            let pattern = if whole { pattern.to_owned() } else { format!(r"\A(?:{pattern})") };
            let regexp = regex::compile(&pattern, regex::Flags::default())?;
            let holding = contents(answer, found.len())?
                .iter()
                .map(|content| holds(&regexp, content, whole))
                .collect::<Result<Vec<_>, _>>()?;
            let mut holding = holding.into_iter();
            found.retain(|_| holding.next().unwrap_or(false));
        }
        if let Some(limit) = args.int("limit").and_then(|limit| usize::try_from(limit).ok()) {
            found.truncate(limit);
        }
        let mut sums = vec![];
        if args.bool("get_checksum") && found.iter().any(regular) {
            let Some(answer) = answers.next() else {
                let command = sum_command(args.text("checksum_algorithm"));
                let paths = found.iter().filter(|entry| regular(entry)).map(|entry| entry.0.as_str());
                return Ok(Next::Probe(over(paths, &format!("{command} <\"$p\""))));
            };
            let text = answer.stdout_text();
            sums = text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
        }
        let mut sums = sums.into_iter();
        let files: Value = found
            .iter()
            .map(|entry| {
                let mut fields = Fields::from([("path".to_owned(), entry.0.as_str().into())]);
                fields.extend(info(&entry.1));
                if regular(entry)
                    && let Some(sum) = sums.next()
                {
                    fields.insert("checksum".into(), sum.into());
                }
                from_fields(&fields)
            })
            .collect();
        let msg = if skipped.is_empty() {
            "All paths examined"
        } else {
            "Not all paths examined, check warnings for details"
        };
        Ok(Next::Ok(Fields::from([
            ("files".to_owned(), files),
            ("matched".to_owned(), found.len().into()),
            ("examined".to_owned(), examined.into()),
            ("skipped_paths".to_owned(), from_fields(&skipped)),
            ("msg".to_owned(), msg.into()),
        ])))
    }
}

/// Lists the directories: the time, then a record per entry and per path that is none, each ended by a line of two slashes.
fn list(args: &Args) -> Probe {
    let mut script = format!("{PRELUDE}date +%s\n");
    let follow = if args.bool("follow") { "-L " } else { "" };
    let depth = match (args.bool("recurse"), args.int("depth")) {
        (false, _) => " -maxdepth 1".to_owned(),
        // Ansible counts what is one level deeper as examined.
        (true, Some(depth)) if depth > 0 => format!(" -maxdepth {}", depth.saturating_add(1)),
        (true, _) => String::new(),
    };
    for at in args.strings("paths") {
        script.push_str(&format!(
            "p={}\nif [ -d \"$p\" ]; then printf '=%s\\n//\\n' \"${{p%/}}\"; find {follow}\"${{p%/}}/\"{depth} -mindepth 1 -exec stat -c \"$f\n%n\n//\" -- {{}} + 2>/dev/null\n\
             else printf '!%s\\n//\\n' \"$p\"; fi\n",
            path::word(&at)
        ));
    }
    script.push_str(":\n");
    Probe::new(script)
}

type Listed = (f64, Vec<(String, Stat)>, Fields, usize);

/// What the directories hold, as deep as was asked for.
fn read(listing: &Answer, depth: Option<i64>) -> Result<Listed, Failure> {
    let bad = || Failure::of_answer("cannot list the paths", listing);
    let all = text::decode(&listing.stdout);
    let (now, records) = all.split_once('\n').ok_or_else(bad)?;
    let now = now.parse().map_err(|_| bad())?;
    let (mut entries, mut skipped, mut examined) = (vec![], Fields::new(), 0);
    let mut root = String::new();
    for record in records.split_terminator("\n//\n") {
        if let Some(path) = record.strip_prefix('!') {
            skipped.insert(path.to_owned(), format!("'{path}' is not a directory").into());
            continue;
        }
        if let Some(path) = record.strip_prefix('=') {
            path.clone_into(&mut root);
            continue;
        }
        examined += 1;
        // Six lines of `stat`, one for the context, then the name.
        let name = record.splitn(8, '\n').nth(7).ok_or_else(bad)?;
        let stat = Stat::parse(record).ok_or_else(bad)?;
        let below = name.strip_prefix(root.as_str()).unwrap_or(name).matches('/').count();
        if depth.is_some_and(|depth| i64::try_from(below).unwrap_or(i64::MAX) > depth) {
            continue;
        }
        entries.push((name.replace("//", "/"), stat));
    }
    Ok((now, entries, skipped, examined))
}

/// Runs shell text for each path (`$p`); the paths travel over stdin.
fn over<'a>(paths: impl Iterator<Item = &'a str>, command: &str) -> Probe {
    let stdin = paths.flat_map(|path| [text::encode(path), vec![0]].concat()).collect();
    let script = format!("LC_ALL=C; export LC_ALL\nxargs -0 sh -c 'for p do {command}; done' mms\n:\n");
    Probe { script, stdin: Some(stdin) }
}

/// The contents that `wc -c` and `cat` printed one after the other.
fn contents(answer: &Answer, count: usize) -> Result<Vec<&[u8]>, Failure> {
    let bad = || Failure::of_answer("cannot read the files", answer);
    let mut rest: &[u8] = &answer.stdout;
    let mut contents = vec![];
    for _ in 0..count {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(bad)?;
        let size: usize = String::from_utf8_lossy(&rest[..end]).trim().parse().map_err(|_| bad())?;
        let (content, after) = rest.get(end + 1..).and_then(|rest| rest.split_at_checked(size)).ok_or_else(bad)?;
        contents.push(content);
        rest = after;
    }
    Ok(contents)
}

fn holds(regexp: &Regex, content: &[u8], whole: bool) -> Result<bool, Failure> {
    let content = text::decode(content);
    if whole {
        return regex::is_match(regexp, &content);
    }
    for line in text::lines(&content) {
        if regex::is_match(regexp, line)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_are_a_failure() {
        let answer = |text: &str| Answer { rc: 0, stdout: text.as_bytes().to_vec(), stderr: vec![] };
        assert_eq!(contents(&answer(" 2\nab0\n"), 2).unwrap(), [b"ab".as_slice(), b""]);
        for size in ["3", "18446744073709551615", "99999999999999999999999", "-1", ""] {
            assert!(contents(&answer(&format!("{size}\nab")), 1).is_err(), "{size}");
        }
    }
}

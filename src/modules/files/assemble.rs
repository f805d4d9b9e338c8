//! `ansible.builtin.assemble`: one file out of the fragments in a directory.

use super::put::{self, Put};
use crate::connection::Answer;
use crate::modules::support::attrs::file_options;
use crate::modules::support::{path, regex, result, text};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Probe, Spec, StateModule, Type};
use crate::value::Fields;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "assemble",
    fqcn: &["ansible.builtin.assemble", "ansible.legacy.assemble"],
    summary: "Makes a file out of the fragments in a directory.",
    options: file_options![
        Opt::new("src", Type::Path, "The directory of fragments.").required(),
        Opt::new("dest", Type::Path, "The file.").required(),
        Opt::new("remote_src", Type::Bool, "Whether the fragments are on the target.").default(Default::Bool(true)),
        Opt::new("delimiter", Type::Str, "What stands between fragments."),
        Opt::new("regexp", Type::Str, "Only fragments whose name matches are taken."),
        Opt::new("ignore_hidden", Type::Bool, "Whether names with a dot in front are left out.")
            .default(Default::Bool(false)),
        put::BACKUP,
        put::VALIDATE,
        Opt::new("decrypt", Type::Bool, "Whether fragments in the vault's format are decrypted.")
            .default(Default::Bool(true)),
    ],
    ..Spec::NONE
};

/// The module.
pub struct Assemble;

impl StateModule for Assemble {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let src = args.text("src");
        let (mut fragments, rest) = if args.bool("remote_src") {
            let Some((answer, rest)) = seen.split_first() else {
                return Ok(Next::Probe(list(src)));
            };
            (read(src, answer)?, rest)
        } else {
            (local(cx, args, src)?, seen)
        };
        let regexp = args.str("regexp").map(|text| regex::compile(text, regex::Flags::default())).transpose()?;
        let mut taken = vec![];
        fragments.sort();
        for (name, content) in fragments {
            let matches = regexp.as_ref().map_or(Ok(true), |regexp| regex::is_match(regexp, &name))?;
            if matches && !(args.bool("ignore_hidden") && name.starts_with('.')) {
                taken.push(content);
            }
        }
        let bytes = join(&taken, args.str("delimiter"));
        let put = Put { src: Some(src.to_owned()), ..Put::bytes(bytes) };
        let ok = |mut fields: Fields| {
            fields.insert("msg".into(), "OK".into());
            fields
        };
        Ok(match put.plan(cx, args, rest, 0)? {
            Next::Ok(mut fields) => {
                fields.shift_remove("path");
                fields.extend(put.md5()?.map(|sum| ("md5sum".to_owned(), sum.into())));
                Next::Ok(ok(fields))
            }
            Next::Change(change) => Next::Change(Change { result: ok(change.result.clone()), ..change }),
            next => next,
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

type Fragments = Vec<(String, Vec<u8>)>;

/// Prints name, size and content of every file in the directory.
fn list(src: &str) -> Probe {
    Probe::new(format!(
        "LC_ALL=C; export LC_ALL; d={}\n[ -d \"$d\" ] || exit 44\nfor p in \"$d\"/* \"$d\"/.*; do\n\
         if [ -f \"$p\" ]; then printf '%s\\0' \"${{p##*/}}\"; wc -c <\"$p\"; cat <\"$p\" || exit 1; fi\ndone\n:\n",
        path::word(src)
    ))
}

fn read(src: &str, answer: &Answer) -> Result<Fragments, Failure> {
    let bad = || Failure::of_answer(format!("cannot read the fragments in {src}"), answer);
    match answer.rc {
        0 => {}
        44 => return Err(Failure::missing(format!("Source ({src}) is not a directory"))),
        _ => return Err(bad()),
    }
    let mut fragments = vec![];
    let mut rest: &[u8] = &answer.stdout;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
        let name = text::decode(&rest[..end]);
        rest = &rest[end + 1..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(bad)?;
        let size: usize = String::from_utf8_lossy(&rest[..end]).trim().parse().map_err(|_| bad())?;
        let (content, after) = rest.get(end + 1..).and_then(|rest| rest.split_at_checked(size)).ok_or_else(bad)?;
        rest = after;
        fragments.push((name, content.to_vec()));
    }
    Ok(fragments)
}

fn local(cx: &Context<'_>, args: &Args, src: &str) -> Result<Fragments, Failure> {
    let dir = cx.workstation.find_file("files", src)?;
    let entries = std::fs::read_dir(&dir)
        .map_err(|error| Failure::new(format!("Source ({}) is not a directory: {error}", dir.display())))?;
    let mut fragments = vec![];
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.path().is_file()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        fragments.push((name, cx.workstation.read_file(&entry.path(), args.bool("decrypt"))?));
    }
    Ok(fragments)
}

/// Fragments never share a line; the delimiter has a line of its own.
fn join(fragments: &[Vec<u8>], delimiter: Option<&str>) -> Vec<u8> {
    let delimiter =
        delimiter.filter(|text| !text.is_empty()).map(|text| text.replace("\\n", "\n").replace("\\t", "\t"));
    let mut out: Vec<u8> = vec![];
    for (index, fragment) in fragments.iter().enumerate() {
        if index > 0 {
            if !fragments[index - 1].ends_with(b"\n") {
                out.push(b'\n');
            }
            if let Some(delimiter) = &delimiter {
                out.extend_from_slice(delimiter.as_bytes());
                if !delimiter.ends_with('\n') {
                    out.push(b'\n');
                }
            }
        }
        out.extend_from_slice(fragment);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_are_a_failure() {
        let answer = |text: &str| Answer { rc: 0, stdout: text.as_bytes().to_vec(), stderr: vec![] };
        assert_eq!(read("/d", &answer("a\0 2\nxy")).unwrap(), [("a".to_owned(), b"xy".to_vec())]);
        for size in ["3", "18446744073709551615", "99999999999999999999999", "-1", ""] {
            assert!(read("/d", &answer(&format!("a\0{size}\nxy"))).is_err(), "{size}");
        }
    }
}

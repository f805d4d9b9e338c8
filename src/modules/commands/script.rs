//! `script`: a local file is copied to the target, run there, and removed.

use super::{guard, output, raw, words};
use crate::connection::Answer;
use crate::modules::support;
use crate::modules::{Args, Change, Context, Failure, FreeForm, Next, Opt, Spec, StateModule, Type};
use crate::sh;
use crate::value::Fields;

/// The arguments of `script`.
pub static SPEC: Spec = Spec {
    name: "script",
    fqcn: &["ansible.builtin.script", "ansible.legacy.script"],
    summary: "Runs a local script on the target.",
    options: &[
        Opt::new("cmd", Type::Str, "The path of a local script, and arguments for it.").required(),
        Opt::new("chdir", Type::Str, "The directory on the target to run in; an absolute path."),
        Opt::new("creates", Type::Str, "A path on the target; when it exists, nothing is run."),
        Opt::new("removes", Type::Str, "A path on the target; when it does not exist, nothing is run."),
        Opt::new("executable", Type::Str, "The program that runs the script; its `#!` line when not set."),
        Opt::new("decrypt", Type::Bool, "Whether a vault file is decrypted first.")
            .default(crate::modules::Default::Bool(true)),
    ],
    free_form: FreeForm::Option("cmd"),
    ..Spec::NONE
};

/// `script`.
pub struct Script;

impl StateModule for Script {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let line = args.text("cmd").trim();
        let (source, arguments) = first_word(line)?;
        if let Some(directory) = args.str("chdir")
            && !directory.starts_with('/')
        {
            return Err(Failure::new(format!(
                "chdir {directory} must be an absolute path for a Unix-aware remote node"
            )));
        }
        if guard::given(args) {
            let Some(answer) = seen.first() else { return Ok(Next::Probe(guard_probe(args))) };
            let found = guard::read(answer);
            if let Some(why) = skip(args, found) {
                return Ok(Next::Skip(Fields::from_iter([("msg".to_owned(), why.into())])));
            }
        }
        let path = cx.workstation.find_file("files", &source)?;
        let content = cx.workstation.read_file(&path, args.bool("decrypt"))?;
        let mut result = Fields::new();
        if cx.check {
            result.insert("changed".into(), guard::given(args).into());
            if !guard::given(args) {
                result.insert("skipped".into(), true.into());
                result.insert("msg".into(), "Check mode is not supported for this task.".into());
            }
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let script = script(args, &name, arguments);
        Ok(raw::action(format!("run the script `{}`", output::title(line)), script, Some(content), result))
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        _change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        raw::result_of(applied)
    }
}

/// The first word of a line without its quotes, and the rest of the line as it stands.
fn first_word(line: &str) -> Result<(String, &str), Failure> {
    let words = support::words::split(line)?;
    let Some(first) = words.into_iter().next() else { return Err(Failure::new("no script given")) };
    let ends = line.match_indices(char::is_whitespace).map(|(at, _)| at);
    let end = ends
        .into_iter()
        .find(|at| {
            line.get(..*at).is_some_and(|start| support::words::split(start).is_ok_and(|words| words.len() == 1))
        })
        .unwrap_or(line.len());
    Ok((first, line.get(end..).unwrap_or_default()))
}

/// Unlike for `command`, the paths are no patterns and are not looked up from `chdir`.
fn guard_probe(args: &Args) -> crate::modules::Probe {
    let mut script = String::new();
    for name in ["creates", "removes"] {
        if let Some(path) = args.str(name) {
            script.push_str(&format!("[ ! -e {} ] || echo {name}\n", words::expand(path)));
        }
    }
    script.push_str(":\n");
    crate::modules::Probe::new(script)
}

fn skip(args: &Args, found: guard::Found) -> Option<String> {
    if let Some(path) = args.str("creates").filter(|_| found.creates) {
        return Some(format!("{path} exists, matching creates option"));
    }
    let path = args.str("removes").filter(|_| !found.removes)?;
    Some(format!("{path} does not exist, matching removes option"))
}

/// The script around the script. Its arguments are shell text, as in Ansible.
fn script(args: &Args, name: &str, arguments: &str) -> String {
    let chdir = args.str("chdir").map(|directory| format!("cd {} && ", words::expand(directory))).unwrap_or_default();
    let executable = args.str("executable").map(|program| format!("{program} ")).unwrap_or_default();
    let command = format!("{chdir}{executable}\"$mms_file\"{arguments}");
    format!(
        "mms_dir=$(umask 077; mktemp -d) || exit 1\n\
         trap 'rm -rf \"$mms_dir\"' EXIT\n\
         mms_file=$mms_dir/{}\n\
         cat >\"$mms_file\" && chmod 0700 \"$mms_file\" || exit 1\n\
         (eval {}) </dev/null\n\
         exit \"$?\"\n",
        sh::quote(name),
        sh::quote(&command),
    )
}

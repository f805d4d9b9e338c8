//! `raw`: a text for the login shell, for targets where nothing else works yet.

use super::{command, output};
use crate::connection::Answer;
use crate::modules::{Args, Change, Context, Failure, FreeForm, Next, Opt, Spec, StateModule, Step, Type};
use crate::sh;
use crate::value::Fields;

/// The arguments of `raw`.
pub static SPEC: Spec = Spec {
    name: "raw",
    fqcn: &["ansible.builtin.raw", "ansible.legacy.raw"],
    summary: "Runs a text in a shell, without anything around it.",
    options: &[
        Opt::new("free_form", Type::Str, "The text for the shell.").required(),
        Opt::new("executable", Type::Path, "The shell; `/bin/sh` when not set."),
    ],
    free_form: FreeForm::Option("free_form"),
    differs: "A plan shows it as unknown instead of skipping it silently.",
    ..Spec::NONE
};

/// `raw`.
pub struct Raw;

impl StateModule for Raw {
    fn plan(&self, cx: &Context<'_>, args: &Args, _seen: &[Answer]) -> Result<Next, Failure> {
        let text = args.text("free_form");
        let shell = args.str("executable").unwrap_or("/bin/sh");
        let script = format!("set -- {}\n{}\n", sh::quote(shell), command::in_shell(shell, text));
        let mut result = Fields::new();
        if cx.check {
            result.insert("skipped".into(), true.into());
        }
        Ok(action(format!("run `{}`", output::title(text)), script, None, result))
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        _change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        result_of(applied)
    }
}

/// The plan of a command whose output is shown while it runs, and whose status is its result: `raw` and `script`.
pub(super) fn action(summary: String, script: String, stdin: Option<Vec<u8>>, result: Fields) -> Next {
    let steps = vec![Step::Run { script, stdin, live: true, timeout: None, check: false }];
    Next::Action(Change { summary: vec![summary], diff: vec![], steps, result })
}

/// The result of commands whose output is given as it is: `raw` and `script`.
pub(super) fn result_of(applied: &[Answer]) -> Result<Fields, Failure> {
    let answer = applied.last().cloned().unwrap_or_default();
    let mut fields = Fields::new();
    fields.insert("rc".into(), answer.rc.into());
    output::set_output(&mut fields, &answer, false);
    fields.insert("changed".into(), true.into());
    if answer.rc == 0 {
        return Ok(fields);
    }
    let mut failure = Failure::new("non-zero return code");
    failure.fields = fields;
    Err(failure)
}

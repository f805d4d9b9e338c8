//! The commands, run by every shell of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value as Json, json};

use super::harness::{self, End};
use super::{command, raw, script};
use crate::modules::{Failure, Spec, StateModule};
use crate::value::to_json;

const COMMAND: command::Command = command::Command { shell: false };
const SHELL: command::Command = command::Command { shell: true };

/// Runs a task by every shell and returns the results as JSON: all must agree, times aside.
fn each(spec: &Spec, module: &dyn StateModule, args: Json, check: bool) -> Result<(String, Json), Failure> {
    let args = harness::args(spec, args);
    let mut results = harness::shells().into_iter().map(|shell| {
        let end = harness::run(shell, module, &args, check)?;
        let how = match end {
            End::Ok(_) => "ok",
            End::Done(_) => "done",
            End::Skipped(_) => "skipped",
        };
        let fields: serde_json::Map<_, _> = end
            .fields()
            .iter()
            .filter(|(name, _)| !["start", "end", "delta"].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), to_json(value)))
            .collect();
        Ok((how.to_owned(), Json::Object(fields)))
    });
    let first = results.next().expect("a shell")?;
    for other in results {
        assert_eq!(first, other?);
    }
    Ok(first)
}

fn done(spec: &Spec, module: &dyn StateModule, args: Json) -> Json {
    let (how, fields) = each(spec, module, args, false).unwrap();
    assert_eq!(how, "done");
    fields
}

#[test]
fn a_command_has_ansibles_result() {
    let fields = done(&command::COMMAND, &COMMAND, json!({"cmd": "printf '%s|' 'a  b' \"c'd\" '\\n'"}));
    let expected = json!({
        "cmd": ["printf", "%s|", "a  b", "c'd", "\\n"], "rc": 0, "msg": "", "changed": true,
        "stdout": "a  b|c'd|\\n|", "stdout_lines": ["a  b|c'd|\\n|"], "stderr": "", "stderr_lines": [],
    });
    assert_eq!(fields, expected);
}

#[test]
fn a_command_runs_the_program_and_not_the_built_in() {
    // The built-in of dash would make a newline of it.
    let fields = done(&command::COMMAND, &COMMAND, json!({"argv": ["echo", "a\\nb"]}));
    assert_eq!(fields["stdout"], "a\\nb");
    let failure = each(&command::COMMAND, &COMMAND, json!({"cmd": "export"}), false).unwrap_err();
    assert_eq!(failure.msg, "Error executing command.");
    assert_eq!(to_json(&failure.fields["rc"]), 2);
    let failure = each(&command::COMMAND, &COMMAND, json!({"cmd": "/etc/passwd x"}), false).unwrap_err();
    assert_eq!(to_json(&failure.fields["rc"]), 13);
}

#[test]
fn variables_are_expanded_unless_told_not_to() {
    let path = std::env::var("PATH").unwrap();
    let cmd = "echo $PATH '${PATH}' $NO_SUCH_VARIABLE ${NO_SUCH_VARIABLE} * $1";
    let fields = done(&command::COMMAND, &COMMAND, json!({"cmd": cmd}));
    assert_eq!(fields["stdout"], format!("{path} {path} $NO_SUCH_VARIABLE ${{NO_SUCH_VARIABLE}} * $1"));
    let fields = done(&command::COMMAND, &COMMAND, json!({"cmd": cmd, "expand_argument_vars": false}));
    assert_eq!(fields["stdout"], "$PATH ${PATH} $NO_SUCH_VARIABLE ${NO_SUCH_VARIABLE} * $1");
}

#[test]
fn stdin_and_empty_ends_are_as_asked() {
    let fields = done(&command::COMMAND, &COMMAND, json!({"cmd": "cat", "stdin": "a\n\n"}));
    assert_eq!(fields["stdout"], "a");
    let exact = json!({"cmd": "cat", "stdin": "a\n", "stdin_add_newline": false, "strip_empty_ends": false});
    assert_eq!(done(&command::COMMAND, &COMMAND, exact)["stdout"], "a\n");
    assert_eq!(done(&command::COMMAND, &COMMAND, json!({"cmd": "cat"}))["stdout"], "");
}

#[test]
fn a_failure_keeps_everything() {
    let text = "echo a; printf b >&2; exit 3";
    let failure = each(&command::SHELL, &SHELL, json!({"cmd": text}), false).unwrap_err();
    assert_eq!(failure.msg, "non-zero return code");
    let field = |name: &str| to_json(&failure.fields[name]);
    assert_eq!((field("rc"), field("stdout"), field("stderr")), (json!(3), json!("a"), json!("b")));
    assert_eq!((field("cmd"), field("changed")), (json!(text), json!(true)));
}

#[test]
fn a_shell_text_is_not_an_argument_of_a_process() {
    let text = "# a secret\ntr '\\0' ' ' </proc/$$/cmdline; cat <<'X'\nit's \"quoted\"\nX\necho ${MMS_TEXT-unset}";
    for executable in ["/bin/sh", "/bin/bash"] {
        let fields = done(&command::SHELL, &SHELL, json!({"cmd": text, "executable": executable}));
        let stdout = fields["stdout"].as_str().unwrap();
        assert!(stdout.ends_with("it's \"quoted\"\nunset"), "{stdout}");
        assert!(!stdout.contains("secret"), "{stdout}");
    }
    let failure = each(&command::SHELL, &SHELL, json!({"cmd": ":", "executable": "/no/sh"}), false).unwrap_err();
    assert_eq!(to_json(&failure.fields["rc"]), 2);
}

#[test]
fn a_shell_that_is_no_posix_shell_takes_an_argument() {
    let fields = done(&command::SHELL, &SHELL, json!({"cmd": "BEGIN { print 42 }", "executable": "/bin/true"}));
    assert_eq!(fields["rc"], 0);
}

#[test]
fn creates_and_removes_decide() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a b.txt"), "").unwrap();
    let dir = dir.path().to_str().unwrap();
    let task = json!({"cmd": "echo hi", "chdir": dir, "creates": "a*.txt"});
    let (how, fields) = each(&command::COMMAND, &COMMAND, task, false).unwrap();
    assert_eq!(how, "ok");
    assert_eq!(fields["msg"], "Did not run command since 'a*.txt' exists");
    assert_eq!(fields["stdout"], "skipped, since a*.txt exists");
    assert_eq!(fields["rc"], 0);
    let task = json!({"cmd": "echo hi", "removes": format!("{dir}/nothing")});
    let (how, fields) = each(&command::SHELL, &SHELL, task, true).unwrap();
    assert_eq!(how, "ok");
    assert_eq!(fields["msg"], format!("Would not run command since '{dir}/nothing' does not exist"));
    let task = json!({"cmd": "pwd", "chdir": dir, "removes": "a b.txt", "creates": "*.html"});
    assert_eq!(done(&command::COMMAND, &COMMAND, task)["stdout"], *dir);
}

#[test]
fn check_mode_says_what_is_known() {
    let (how, fields) = each(&command::SHELL, &SHELL, json!({"cmd": "exit 1"}), true).unwrap();
    assert_eq!(how, "done");
    assert_eq!((&fields["skipped"], &fields["changed"]), (&json!(true), &json!(false)));
    let task = json!({"cmd": "exit 1", "creates": "/no/such"});
    let (_, fields) = each(&command::SHELL, &SHELL, task, true).unwrap();
    assert_eq!((fields.get("skipped"), &fields["changed"]), (None, &json!(true)));
    assert_eq!(fields["msg"], "Command would have run if not in check mode");
}

#[test]
fn a_missing_directory_is_a_failure_that_an_earlier_task_may_mend() {
    for check in [false, true] {
        let failure = each(&command::COMMAND, &COMMAND, json!({"cmd": "pwd", "chdir": "/no/such"}), check).unwrap_err();
        assert_eq!(failure.msg, "Unable to change directory before execution.");
        assert!(failure.missing);
    }
}

#[test]
fn times_are_those_of_the_target() {
    let args = harness::args(&command::COMMAND, json!({"cmd": "true"}));
    let end = harness::run(&["/bin/sh"], &COMMAND, &args, false).unwrap();
    assert!(end.fields()["delta"].as_str().unwrap().starts_with("0:00:0"));
    assert_eq!(end.fields()["start"].as_str().unwrap().len(), "2026-01-01 00:00:00.000000".len());
}

#[test]
fn raw_gives_the_output_as_it_is() {
    let fields = done(&raw::SPEC, &raw::Raw, json!({"free_form": "echo a\necho b"}));
    assert_eq!(fields["stdout"], "a\nb\n");
    let failure = each(&raw::SPEC, &raw::Raw, json!({"free_form": "exit 2", "executable": "/bin/bash"}), false);
    assert_eq!(to_json(&failure.unwrap_err().fields["rc"]), 2);
}

#[test]
fn a_script_runs_on_the_target_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("my script.sh");
    std::fs::write(&file, "#!/bin/sh\nprintf '%s,' \"${0##*/}\" \"$@\" \"$(pwd)\"\necho \"$0\" >>\"$1\"\ncat\n")
        .unwrap();
    let log = dir.path().join("log");
    let cmd = format!("'{}' {} 'a b' \"$(echo c)\"", file.display(), log.display());
    let fields = done(&script::SPEC, &script::Script, json!({"cmd": cmd, "chdir": "/"}));
    assert_eq!(fields["stdout"], format!("my script.sh,{},a b,c,/,", log.display()));
    for place in std::fs::read_to_string(&log).unwrap().lines() {
        assert!(!std::path::Path::new(place).exists(), "{place} is still there");
    }
    let (how, fields) =
        each(&script::SPEC, &script::Script, json!({"cmd": cmd, "creates": log.to_str()}), false).unwrap();
    assert_eq!(how, "skipped");
    assert_eq!(fields["msg"], format!("{} exists, matching creates option", log.display()));
}

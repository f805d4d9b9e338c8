//! `command` and `shell`: one program with arguments, or a text for a shell.
//!
//! A command's words are run with `exec`, so that the program of that name runs and never the shell's built-in of the same
//! name. A shell text reaches its shell through the environment of that one process and not as an argument, where every
//! user of the target could read it in `ps`; it is taken out of the environment before the text runs.

use super::{clock, guard, output, words};
use crate::connection::Answer;
use crate::modules::support;
use crate::modules::{
    Args, Change, Context, Default, Failure, FreeForm, Next, Opt, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, Value};

const CHDIR: Opt = Opt::new("chdir", Type::Path, "The directory to run in.");
const CREATES: Opt = Opt::new("creates", Type::Path, "A path or pattern; when something matches it, nothing is run.");
const REMOVES: Opt = Opt::new("removes", Type::Path, "A path or pattern; when nothing matches it, nothing is run.");
const STDIN: Opt = Opt::new("stdin", Type::Str, "Text for the command's stdin.");
const STDIN_ADD_NEWLINE: Opt =
    Opt::new("stdin_add_newline", Type::Bool, "Whether a newline follows the text on stdin.")
        .default(Default::Bool(true));
const STRIP_EMPTY_ENDS: Opt = Opt::new(
    "strip_empty_ends",
    Type::Bool,
    "Whether empty lines at the end of the output are left out of the result.",
)
.default(Default::Bool(true));

const DIFFERS: &str = "A command that SIGINT or SIGPIPE ends has the return code 128+n, not -n.";

/// The arguments of `command`.
pub static COMMAND: Spec = Spec {
    name: "command",
    fqcn: &["ansible.builtin.command", "ansible.legacy.command"],
    summary: "Runs a program with arguments, without a shell.",
    options: &[
        Opt::new("cmd", Type::Str, "The command line, split into words as a shell would."),
        Opt::new("argv", Type::StrList, "The command as a list of words."),
        CHDIR,
        CREATES,
        REMOVES,
        Opt::new("executable", Type::Str, "Without effect, as in Ansible."),
        Opt::new("expand_argument_vars", Type::Bool, "Whether `~`, `$VAR` and `${VAR}` in words are expanded.")
            .default(Default::Bool(true)),
        STDIN,
        STDIN_ADD_NEWLINE,
        STRIP_EMPTY_ENDS,
    ],
    free_form: FreeForm::Option("cmd"),
    rules: &[Rule::OneOf(&["cmd", "argv"]), Rule::Exclusive(&["cmd", "argv"])],
    differs: DIFFERS,
    ..Spec::NONE
};

/// The arguments of `shell`.
pub static SHELL: Spec = Spec {
    name: "shell",
    fqcn: &["ansible.builtin.shell", "ansible.legacy.shell"],
    summary: "Runs a text in a shell.",
    options: &[
        Opt::new("cmd", Type::Str, "The text for the shell.").required(),
        CHDIR,
        CREATES,
        REMOVES,
        Opt::new("executable", Type::Path, "The shell; `/bin/sh` when not set."),
        STDIN,
        STDIN_ADD_NEWLINE,
        STRIP_EMPTY_ENDS,
    ],
    free_form: FreeForm::Option("cmd"),
    differs: DIFFERS,
    ..Spec::NONE
};

/// `command` (false) or `shell` (true).
pub struct Command {
    /// Whether the text is for a shell.
    pub shell: bool,
}

impl StateModule for Command {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let line = Line::read(args, self.shell)?;
        let mut result = line.result();
        if guard::needed(args, cx.check) {
            let Some(answer) = seen.first() else { return Ok(Next::Probe(guard::probe(args))) };
            let found = guard::read(answer);
            if !found.directory {
                return Err(no_directory(args, result));
            }
            if let Some((why, stdout)) = skip(cx.check, args, found) {
                result.insert("msg".into(), why.into());
                result.insert("rc".into(), 0.into());
                output::set_text(&mut result, "stdout", &stdout);
                output::set_text(&mut result, "stderr", "");
                return Ok(Next::Ok(result));
            }
        }
        if cx.check {
            result.insert("rc".into(), 0.into());
            result.insert("msg".into(), "Command would have run if not in check mode".into());
            output::set_text(&mut result, "stdout", "");
            output::set_text(&mut result, "stderr", "");
            result.insert("changed".into(), guard::given(args).into());
            if !guard::given(args) {
                result.insert("skipped".into(), true.into());
            }
        }
        let stdin = args.str("stdin").filter(|text| !text.is_empty()).map(|text| {
            let newline = if args.bool("stdin_add_newline") { "\n" } else { "" };
            format!("{text}{newline}").into_bytes()
        });
        Ok(Next::Action(Change {
            summary: vec![format!("run `{}`", output::title(&line.text()))],
            diff: vec![],
            steps: vec![Step::Run { script: script(args, &line), stdin, live: true, timeout: None, check: false }],
            result,
        }))
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let answer = applied.last().cloned().unwrap_or_default();
        result_of(args, change.result.clone(), answer)
    }
}

/// What is to be run.
enum Line {
    Words { words: Vec<String>, expand: bool },
    Text { text: String, shell: String },
}

impl Line {
    fn read(args: &Args, shell: bool) -> Result<Self, Failure> {
        if shell && args.text("cmd").is_empty() {
            // Ansible does not tell its two modules apart here.
            return Err(Failure::new("one of the following is required: _raw_params, cmd, argv"));
        }
        if shell {
            let shell = args.str("executable").unwrap_or("/bin/sh").to_owned();
            return Ok(Self::Text { text: args.text("cmd").to_owned(), shell });
        }
        let words = match args.str("cmd") {
            Some(line) => support::words::split(line)?,
            None => args.strings("argv"),
        };
        if words.is_empty() {
            let mut failure = Failure::new("no command given").field("rc", 257);
            if args.str("cmd").is_some() {
                failure.fields.insert("cmd".into(), ().into());
            } else {
                failure.fields.insert("cmd".into(), "".into());
                output::set_text(&mut failure.fields, "stdout", "");
                output::set_text(&mut failure.fields, "stderr", "");
            }
            return Err(failure);
        }
        Ok(Self::Words { words, expand: args.bool("expand_argument_vars") })
    }

    fn text(&self) -> String {
        match self {
            Self::Words { words, .. } => sh::join(words),
            Self::Text { text, .. } => text.clone(),
        }
    }

    /// The result before anything is known.
    fn result(&self) -> Fields {
        let command = match self {
            Self::Words { words, .. } => words.iter().map(Value::from).collect(),
            Self::Text { text, .. } => Value::from(text.as_str()),
        };
        let mut fields = Fields::new();
        fields.insert("cmd".into(), command);
        for name in ["rc", "start", "end", "delta"] {
            fields.insert(name.into(), Value::from(()));
        }
        fields.insert("msg".into(), "".into());
        fields
    }
}

/// Why nothing is to be run, and the `stdout` that Ansible gives for it.
fn skip(check: bool, args: &Args, found: guard::Found) -> Option<(String, String)> {
    let verb = if check { "Would" } else { "Did" };
    if let Some(path) = args.str("creates").filter(|_| found.creates) {
        return Some((
            format!("{verb} not run command since '{path}' exists"),
            format!("skipped, since {path} exists"),
        ));
    }
    let path = args.str("removes").filter(|_| !found.removes)?;
    Some((
        format!("{verb} not run command since '{path}' does not exist"),
        format!("skipped, since {path} does not exist"),
    ))
}

fn no_directory(args: &Args, result: Fields) -> Failure {
    let mut failure = Failure::missing("Unable to change directory before execution.")
        .hint(format!("`chdir: {}` is not a directory that the task's user can enter", args.text("chdir")));
    failure.fields = result;
    output::set_text(&mut failure.fields, "stdout", "");
    output::set_text(&mut failure.fields, "stderr", "");
    failure
}

/// The script for the target. Its last words on stderr are the trailer of [`clock`], or the two fields `chdir` or `errno` and
/// why.
fn script(args: &Args, line: &Line) -> String {
    let mut script = String::new();
    if let Some(directory) = args.str("chdir") {
        script.push_str(&format!(
            "cd {} 2>/dev/null || {{ printf '\\036chdir\\036' >&2; exit 1; }}\n",
            words::expand(directory)
        ));
    }
    let run = match line {
        Line::Words { words, expand } => {
            let words: Vec<String> =
                words.iter().map(|word| if *expand { words::expand(word) } else { sh::quote(word) }).collect();
            script.push_str(&format!("set -- {}\n", words.join(" ")));
            "(exec \"$@\")".to_owned()
        }
        Line::Text { text, shell } => {
            script.push_str(&format!("set -- {}\n", words::expand(shell)));
            format!("({})", in_shell(shell, text))
        }
    };
    script.push_str(FIND_PROGRAM);
    script.push_str(clock::START);
    // The shell's words on how the program ended come on the pipe, and nothing of the program does.
    script
        .push_str(&format!("{{ {{ {WORDS_OF_SHELL}{run} 1>&4 2>&3 3>&- 4>&-; echo \"mms $?\"; }} 2>&1 | {{\n{LISTEN}"));
    script.push_str(clock::STOP);
    script.push_str("exit \"$mms_rc\"; }; } 3>&2 4>&1\n");
    script
}

/// bash is silent about signals in POSIX mode; other shells do not know the word.
const WORDS_OF_SHELL: &str = "case $BASH_VERSION in ?*) (set +o posix) 2>/dev/null && set +o posix ;; esac\n";

/// Takes from the pipe how the program ended. A shell says `Killed` and the like about a program that a signal ended, and
/// nothing about one that ended by itself with the same code.
const LISTEN: &str = r#"mms_rc=1; mms_signal=
while IFS= read -r mms_line; do
    case $mms_line in "mms "*) mms_rc=${mms_line#mms } ;; ?*) mms_signal=- ;; esac
done
"#;

/// Ends the script with the error number that `execve` would give when `$1` names no program. A shell says 127 or 126, which a
/// program may say as well.
const FIND_PROGRAM: &str = r#"mms_errno=2
case $1 in
*/*) if [ -f "$1" ] && [ -x "$1" ]; then mms_errno=; elif [ -e "$1" ]; then mms_errno=13; fi ;;
*)
    mms_ifs=$IFS; IFS=:; set -f
    for mms_dir in $PATH; do
        if [ -f "${mms_dir:-.}/$1" ] && [ -x "${mms_dir:-.}/$1" ]; then mms_errno=; break; fi
    done
    IFS=$mms_ifs; set +f ;;
esac
[ -z "$mms_errno" ] || { printf '\036errno\036%s' "$mms_errno" >&2; exit "$mms_errno"; }
"#;

/// Shell text that runs a text in the shell whose path is `$1`. Shells of the POSIX family take it from their environment; to
/// others (`/usr/bin/python3`, `fish`) it can only be given as the argument of `-c`.
pub(super) fn in_shell(shell: &str, text: &str) -> String {
    const POSIX: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"];
    let name = shell.rsplit('/').next().unwrap_or_default();
    let text = sh::quote(text);
    if POSIX.contains(&name) {
        let applet = if name == "busybox" { " sh" } else { "" };
        let eval = "mms_text=$MMS_TEXT; unset MMS_TEXT; eval \"$mms_text\"";
        format!("export MMS_TEXT={text}; exec \"$1\"{applet} -c '{eval}'")
    } else {
        format!("exec \"$1\" -c {text}")
    }
}

/// The result of an answer to [`script`].
fn result_of(args: &Args, mut fields: Fields, mut answer: Answer) -> Result<Fields, Failure> {
    let trailer = clock::trailer(&answer.stderr);
    if let Some(trailer) = &trailer {
        answer.stderr.truncate(trailer.length);
        match trailer.first.as_str() {
            "chdir" => return Err(no_directory(args, fields)),
            "errno" => return Err(no_program(&trailer.second, fields)),
            _ => {}
        }
    }
    // 128+n is how a shell says -n.
    let killed = answer.rc > 128 && trailer.as_ref().is_some_and(|trailer| trailer.signalled);
    fields.insert("rc".into(), if killed { 128 - answer.rc } else { answer.rc }.into());
    clock::set_times(&mut fields, trailer.as_ref());
    output::set_output(&mut fields, &answer, args.opt_bool("strip_empty_ends").unwrap_or(true));
    fields.insert("changed".into(), true.into());
    if answer.rc == 0 {
        return Ok(fields);
    }
    let mut failure = Failure::new("non-zero return code");
    fields.shift_remove("msg");
    failure.fields = fields;
    Err(failure)
}

fn no_program(errno: &str, fields: Fields) -> Failure {
    let mut failure = Failure::missing("Error executing command.").hint(match errno {
        "13" => "the program is there but the task's user cannot execute it",
        _ => "there is no such program on the target: install it, or name it by its whole path",
    });
    // Ansible names it as text here, even when it was given as words.
    let command = fields.get("cmd").map(|cmd| match cmd.as_str() {
        Some(text) => text.to_owned(),
        None => sh::join(
            cmd.try_iter().map(|words| words.map(|word| word.to_string()).collect()).unwrap_or_else(|_| vec![]),
        ),
    });
    failure.fields.extend(command.map(|command| ("cmd".to_owned(), command.into())));
    failure.fields.insert("rc".into(), errno.parse::<i64>().unwrap_or(2).into());
    output::set_text(&mut failure.fields, "stdout", "");
    output::set_text(&mut failure.fields, "stderr", "");
    failure
}

//! Modules that steer the run itself. The engine carries them out; here are only their arguments.

use super::{Default, FreeForm, Kind, Module, Opt, Rule, Spec, Type};

const fn engine(spec: &'static Spec) -> Module {
    Module { spec, kind: Kind::Engine }
}

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    engine(&ADD_HOST),
    engine(&ASSERT),
    engine(&DEBUG),
    engine(&FAIL),
    engine(&GROUP_BY),
    engine(&IMPORT_ROLE),
    engine(&IMPORT_TASKS),
    engine(&INCLUDE_ROLE),
    engine(&INCLUDE_TASKS),
    engine(&INCLUDE_VARS),
    engine(&META),
    engine(&PAUSE),
    engine(&SET_FACT),
];

static ADD_HOST: Spec = Spec {
    name: "add_host",
    fqcn: &["ansible.builtin.add_host"],
    summary: "Adds a host, and variables of it, to the inventory of this run",
    free_form: FreeForm::Any,
    ..Spec::NONE
};

static ASSERT: Spec = Spec {
    name: "assert",
    fqcn: &["ansible.builtin.assert"],
    summary: "Fails unless all conditions hold",
    options: &[
        Opt::new("that", Type::List, "conditions that must all hold").required(),
        Opt::new("fail_msg", Type::Raw, "what is said when one does not").aliases(&["msg"]),
        Opt::new("success_msg", Type::Raw, "what is said when all do"),
        Opt::new("quiet", Type::Bool, "say less").default(Default::Bool(false)),
    ],
    ..Spec::NONE
};

static DEBUG: Spec = Spec {
    name: "debug",
    fqcn: &["ansible.builtin.debug"],
    summary: "Shows a message or the value of an expression",
    options: &[
        Opt::new("msg", Type::Raw, "the message"),
        Opt::new("var", Type::Raw, "an expression whose value is shown"),
        Opt::new("verbosity", Type::Int, "shown only with that many `-v`").default(Default::Int(0)),
    ],
    rules: &[Rule::Exclusive(&["msg", "var"])],
    ..Spec::NONE
};

static FAIL: Spec = Spec {
    name: "fail",
    fqcn: &["ansible.builtin.fail"],
    summary: "Fails with a message",
    options: &[Opt::new("msg", Type::Str, "the message").default(Default::Str("Failed as requested from task"))],
    ..Spec::NONE
};

static GROUP_BY: Spec = Spec {
    name: "group_by",
    fqcn: &["ansible.builtin.group_by"],
    summary: "Puts the host into a group that a value names",
    options: &[
        Opt::new("key", Type::Str, "the name of the group").required(),
        Opt::new("parents", Type::StrList, "groups that the group is in"),
    ],
    ..Spec::NONE
};

const ROLE_OPTIONS: &[Opt] = &[
    Opt::new("name", Type::Str, "the role").aliases(&["role"]).required(),
    Opt::new("tasks_from", Type::Str, "instead of `tasks/main.yml`"),
    Opt::new("vars_from", Type::Str, "instead of `vars/main.yml`"),
    Opt::new("defaults_from", Type::Str, "instead of `defaults/main.yml`"),
    Opt::new("handlers_from", Type::Str, "instead of `handlers/main.yml`"),
    Opt::new("allow_duplicates", Type::Bool, "whether it may run more than once").default(Default::Bool(true)),
    Opt::new("public", Type::Bool, "whether later tasks see its variables"),
    Opt::new(
        "rolespec_validate",
        Type::Bool,
        "read for compatibility; argument specifications of roles are not checked",
    ),
    Opt::new("apply", Type::Raw, "keywords for the tasks brought in"),
];

static IMPORT_ROLE: Spec = Spec {
    name: "import_role",
    fqcn: &["ansible.builtin.import_role"],
    summary: "Brings in a role before the play starts",
    options: ROLE_OPTIONS,
    ..Spec::NONE
};

static IMPORT_TASKS: Spec = Spec {
    name: "import_tasks",
    fqcn: &["ansible.builtin.import_tasks"],
    summary: "Brings in a file of tasks before the play starts",
    options: &[Opt::new("file", Type::Str, "the file").required()],
    free_form: FreeForm::Verbatim("file"),
    ..Spec::NONE
};

static INCLUDE_ROLE: Spec = Spec {
    name: "include_role",
    fqcn: &["ansible.builtin.include_role"],
    summary: "Brings in a role when the task is reached",
    options: ROLE_OPTIONS,
    ..Spec::NONE
};

static INCLUDE_TASKS: Spec = Spec {
    name: "include_tasks",
    fqcn: &["ansible.builtin.include_tasks"],
    summary: "Brings in a file of tasks when the task is reached",
    options: &[
        Opt::new("file", Type::Str, "the file").required(),
        Opt::new("apply", Type::Raw, "keywords for the tasks brought in"),
    ],
    free_form: FreeForm::Verbatim("file"),
    ..Spec::NONE
};

static INCLUDE_VARS: Spec = Spec {
    name: "include_vars",
    fqcn: &["ansible.builtin.include_vars"],
    summary: "Reads variables from a file or a directory",
    options: &[
        Opt::new("file", Type::Path, "the file"),
        Opt::new("dir", Type::Path, "the directory, read in sorted order"),
        Opt::new("name", Type::Str, "a variable to put them under"),
        Opt::new("depth", Type::Int, "how many levels of directories are read; 0 is all").default(Default::Int(0)),
        Opt::new("files_matching", Type::Str, "a regular expression that names of files must match"),
        Opt::new("ignore_files", Type::StrList, "regular expressions of names that are left out"),
        Opt::new("extensions", Type::StrList, "endings of files that are read"),
        Opt::new("ignore_unknown_extensions", Type::Bool, "leave out files of other endings")
            .default(Default::Bool(false)),
    ],
    rules: &[Rule::Exclusive(&["file", "dir"]), Rule::OneOf(&["file", "dir"])],
    free_form: FreeForm::Verbatim("file"),
    ..Spec::NONE
};

static META: Spec = Spec {
    name: "meta",
    fqcn: &["ansible.builtin.meta"],
    summary: "Flushes handlers, ends the play or the host, clears facts or errors, resets the connection",
    options: &[Opt::new("free_form", Type::Str, "what to do").required().choices(&[
        "clear_facts",
        "clear_host_errors",
        "end_batch",
        "end_host",
        "end_play",
        "flush_handlers",
        "noop",
        "reset_connection",
    ])],
    free_form: FreeForm::Verbatim("free_form"),
    ..Spec::NONE
};

static PAUSE: Spec = Spec {
    name: "pause",
    fqcn: &["ansible.builtin.pause"],
    summary: "Waits for some time",
    options: &[
        Opt::new("seconds", Type::Float, "how long"),
        Opt::new("minutes", Type::Float, "how long"),
        Opt::new("prompt", Type::Str, "what is shown; with no time given, a confirmation is waited for"),
        Opt::new("echo", Type::Bool, "whether what is typed is shown").default(Default::Bool(true)),
    ],
    rules: &[Rule::Exclusive(&["minutes", "seconds"])],
    differs: "without a terminal a `prompt` with no time does not wait, as in Ansible",
    ..Spec::NONE
};

static SET_FACT: Spec = Spec {
    name: "set_fact",
    fqcn: &["ansible.builtin.set_fact"],
    summary: "Sets variables of the host",
    free_form: FreeForm::Any,
    ..Spec::NONE
};

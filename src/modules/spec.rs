//! What a module's arguments may be: Ansible's argument specification as data. Arguments are validated and coerced by it
//! before a module sees them, `mms check` reports from it, and the module reference in the docs is generated from it.

/// A module's name and arguments.
#[derive(Debug)]
pub struct Spec {
    /// The short name: `copy`.
    pub name: &'static str,
    /// Every fully qualified name it answers to: `ansible.builtin.copy`.
    pub fqcn: &'static [&'static str],
    /// One sentence on what it does.
    pub summary: &'static str,
    /// The arguments.
    pub options: &'static [Opt],
    /// What a task may give as text instead of a mapping.
    pub free_form: FreeForm,
    /// Conditions across arguments.
    pub rules: &'static [Rule],
    /// Whether it reads facts of the host: they are gathered first.
    pub facts: bool,
    /// Where it differs from Ansible's module of that name, for the docs. Empty when it does not.
    pub differs: &'static str,
}

impl Spec {
    /// A spec with nothing but a name, for `..Spec::NONE`.
    pub const NONE: Self = Self {
        name: "",
        fqcn: &[],
        summary: "",
        options: &[],
        free_form: FreeForm::KeyValue,
        rules: &[],
        facts: false,
        differs: "",
    };
}

/// One argument.
#[derive(Debug)]
pub struct Opt {
    /// Its name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it must be; values are coerced to it as Ansible does.
    pub kind: Type,
    /// What it is when not given.
    pub default: Default,
    /// The allowed values; empty when any.
    pub choices: &'static [&'static str],
    /// Whether it is a secret: its value is masked everywhere.
    pub no_log: bool,
    /// One sentence for the docs.
    pub help: &'static str,
}

impl Opt {
    /// An optional argument.
    pub const fn new(name: &'static str, kind: Type, help: &'static str) -> Self {
        Self { name, aliases: &[], kind, default: Default::None, choices: &[], no_log: false, help }
    }

    /// Makes it required.
    pub const fn required(mut self) -> Self {
        self.default = Default::Required;
        self
    }

    /// Adds other names.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Limits the values.
    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    /// Sets what it is when not given.
    pub const fn default(mut self, default: Default) -> Self {
        self.default = default;
        self
    }

    /// Marks it as a secret.
    pub const fn no_log(mut self) -> Self {
        self.no_log = true;
        self
    }
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Text; numbers and booleans are written as text.
    Str,
    /// Ansible's booleans in every spelling.
    Bool,
    /// A whole number, or text of one.
    Int,
    /// A number, or text of one.
    Float,
    /// Text with `~` and `$VAR` kept for the module to resolve on the target.
    Path,
    /// A file mode: octal number or text, or symbolic; a value that YAML read as a decimal is taken as Ansible does.
    Mode,
    /// A list of text; text is split at commas.
    StrList,
    /// A list of anything.
    List,
    /// A mapping; `k=v` text and JSON text are read.
    Dict,
    /// Whatever was given.
    Raw,
    /// JSON text; structures are written as JSON.
    Json,
}

/// What an argument is when it is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// Absent.
    None,
    /// It must be given.
    Required,
    /// Text.
    Str(&'static str),
    /// A boolean.
    Bool(bool),
    /// A number.
    Int(i64),
    /// An empty list.
    EmptyList,
    /// An empty mapping.
    EmptyDict,
}

/// What a task may give as text instead of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeForm {
    /// `key=value` pairs, as for most modules.
    KeyValue,
    /// The text is the value of this option, after `key=value` pairs of the spec's options are taken out of it (`command`, `shell`).
    Option(&'static str),
    /// The text as it stands is the value of this option (`raw`, `meta`, `include_tasks`).
    Verbatim(&'static str),
    /// The mapping's keys are the user's own (`set_fact`).
    Any,
}

/// A condition across arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// At most one of them.
    Exclusive(&'static [&'static str]),
    /// At least one of them.
    OneOf(&'static [&'static str]),
    /// All or none of them.
    Together(&'static [&'static str]),
    /// When the first has this value, the others are required.
    If(&'static str, &'static str, &'static [&'static str]),
    /// When the first is given, the others are required.
    By(&'static str, &'static [&'static str]),
}

//! `user`: accounts, their groups, home directories, passwords and SSH keys.
//!
//! Hashes never stand on a command line: `chpasswd` reads them. One probe asks for the account, all groups and, only when a task is
//! about passwords or dates, the shadow entry.

mod commands;
mod home;
mod ssh_key;

use super::accounts::{Group, PRELUDE, Passwd, Shadow};
use super::output;
use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Spec, StateModule, Step, Thing, Type,
};
use crate::sh;
use crate::value::Fields;
use commands::Tools;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&User) };

static SPEC: Spec = Spec {
    name: "user",
    fqcn: &["ansible.builtin.user"],
    summary: "Adds, changes and removes accounts",
    options: &[
        Opt::new("name", Type::Str, "The login name").required().aliases(&["user"]),
        Opt::new("state", Type::Str, "Whether it exists")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("uid", Type::Int, "Its number"),
        Opt::new("non_unique", Type::Bool, "Allow a number that another account has").default(Default::Bool(false)),
        Opt::new("group", Type::Str, "The primary group, by name or number"),
        Opt::new("groups", Type::StrList, "The other groups; an empty list removes it from all"),
        Opt::new("append", Type::Bool, "Add to the groups it has already").default(Default::Bool(false)),
        Opt::new("comment", Type::Str, "The full name"),
        Opt::new("home", Type::Path, "The home directory"),
        Opt::new("shell", Type::Path, "The login shell"),
        Opt::new("password", Type::Str, "The hash of the password").no_log(),
        Opt::new("update_password", Type::Str, "Whether the password of an existing account is set")
            .choices(&["always", "on_create"])
            .default(Default::Str("always")),
        Opt::new("password_lock", Type::Bool, "Whether logging in with the password is impossible"),
        Opt::new("password_expire_max", Type::Int, "Days after which the password must be changed"),
        Opt::new("password_expire_min", Type::Int, "Days before the password may be changed again"),
        Opt::new("password_expire_warn", Type::Int, "Days of warning before it must be changed"),
        Opt::new("password_expire_account_disable", Type::Int, "Days after which an old password disables the account"),
        Opt::new("expires", Type::Float, "When the account ends, in seconds since 1970; negative: never"),
        Opt::new("create_home", Type::Bool, "Make the home directory")
            .aliases(&["createhome"])
            .default(Default::Bool(true)),
        Opt::new("move_home", Type::Bool, "Move the home directory to a new `home`").default(Default::Bool(false)),
        Opt::new("skeleton", Type::Str, "What a new home directory is a copy of"),
        Opt::new("umask", Type::Str, "The umask for a new home directory"),
        Opt::new("system", Type::Bool, "Make a system account").default(Default::Bool(false)),
        Opt::new("seuser", Type::Str, "The SELinux user"),
        Opt::new("uid_min", Type::Int, "Lowest number to choose"),
        Opt::new("uid_max", Type::Int, "Highest number to choose"),
        Opt::new("force", Type::Bool, "Remove it even if it is logged in; overwrite an SSH key")
            .default(Default::Bool(false)),
        Opt::new("remove", Type::Bool, "Remove its directories with it").default(Default::Bool(false)),
        Opt::new("generate_ssh_key", Type::Bool, "Make an SSH key if there is none"),
        Opt::new("ssh_key_bits", Type::Int, "Length of the key; 0: what ssh-keygen chooses").default(Default::Int(0)),
        Opt::new("ssh_key_type", Type::Str, "Kind of the key").default(Default::Str("rsa")),
        Opt::new("ssh_key_file", Type::Path, "Where the key is, from the home directory"),
        Opt::new("ssh_key_comment", Type::Str, "Comment of the key"),
        Opt::new("ssh_key_passphrase", Type::Str, "Passphrase of the key").no_log(),
    ],
    differs: "`local` and the options of other systems than Linux are not supported; hashes are handed to `chpasswd` and not \
              seen in the process list",
    ..Spec::NONE
};

struct User;

/// What was seen of an account.
struct Seen {
    tools: Tools,
    passwd: Option<Passwd>,
    groups: Vec<Group>,
    shadow: Option<Shadow>,
    home_exists: bool,
    key: Option<ssh_key::Key>,
}

impl Seen {
    fn parse(answer: &Answer) -> Self {
        let text = answer.stdout_text();
        let mut parts = text.split('\0');
        let mut next = || parts.next().unwrap_or_default().trim_end_matches('\n');
        let tools = if next() == "busybox" { Tools::BusyBox } else { Tools::Shadow };
        let passwd = next().lines().next().and_then(Passwd::parse);
        let groups = next().lines().filter_map(Group::parse).collect();
        let shadow = next().lines().next().and_then(Shadow::parse);
        let home_exists = next() == "home";
        let rest: Vec<&str> = parts.collect();
        Self { tools, passwd, groups, shadow, home_exists, key: ssh_key::Key::parse(&rest) }
    }

    /// The hash, from the shadow entry where the account has one.
    fn hash(&self) -> &str {
        match &self.passwd {
            Some(passwd) if passwd.password.len() > 1 => &passwd.password,
            _ => self.shadow.as_ref().map_or("", |shadow| &shadow.password),
        }
    }
}

/// The question, also asked after a change.
fn look(args: &Args) -> String {
    let name = sh::quote(args.text("name"));
    let secret = ["password", "password_lock", "expires"].iter().any(|option| args.get(option).is_some())
        || ["min", "max", "warn"].iter().any(|what| args.get(&format!("password_expire_{what}")).is_some());
    let shadow = if secret { format!("mms_entry shadow {name}\n") } else { String::new() };
    let home = args.str("home").map_or_else(
        || "h=${e#*:*:*:*:*:}; h=${h%%:*}\n".to_owned(),
        |home| format!("h={}\n", crate::modules::support::path::word(home)),
    );
    let key = if args.bool("generate_ssh_key") { ssh_key::look(args) } else { String::new() };
    format!(
        "command -v useradd >/dev/null || printf busybox\nprintf '\\0'\n\
         e=$(mms_entry passwd {name}); printf '%s\\0' \"$e\"\nmms_groups; printf '\\0'\n{shadow}printf '\\0'\n\
         {home}[ -e \"$h\" ] && printf home\nprintf '\\0'\n{key}"
    )
}

impl StateModule for User {
    fn makes(&self, args: &Args) -> Vec<Thing> {
        if args.str("state") == Some("absent") {
            return vec![];
        }
        let name = args.text("name");
        let home = args.str("home").map_or_else(|| format!("/home/{name}"), str::to_owned);
        let mut makes = vec![Thing::User(name.to_owned()), Thing::Path(home)];
        if args.str("group").is_none() {
            makes.push(Thing::Group(name.to_owned()));
        }
        makes
    }

    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else {
            return Ok(Next::Probe(Probe::new(format!("{PRELUDE}{}exit 0\n", look(args)))));
        };
        let seen = Seen::parse(answer);
        let name = args.text("name");
        let work = match (args.text("state"), &seen.passwd) {
            ("absent", None) => return Ok(Next::Ok(base(args))),
            ("absent", Some(_)) => commands::remove(args, seen.tools),
            (_, None) => commands::create(args, &seen)?,
            (_, Some(passwd)) => commands::modify(args, &seen, passwd)?,
        };
        if work.is_empty() {
            return Ok(Next::Ok(described(args, &seen, true)));
        }
        // Of an account that is only to be made or removed, Ansible's check mode tells nothing.
        let result = match (args.text("state"), &seen.passwd) {
            ("present", Some(_)) => described(args, &seen, true),
            _ if cx.check => Fields::new(),
            _ => base(args),
        };
        let script = format!("{PRELUDE}{}printf '\\0'\n{}exit 0\n", work.script, look(args));
        let step = Step::judged(script);
        let summary = work.summary.into_iter().map(|phrase| format!("{name}: {phrase}")).collect();
        Ok(Next::Change(Change { summary, diff: vec![], steps: vec![step], result }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let Some(answer) = applied.first() else { return Ok(change.result.clone()) };
        if !answer.ok() {
            let msg = answer.stderr_text().into_owned();
            return Err(Failure::new(msg).field("name", args.text("name")).field("rc", answer.rc));
        }
        let text = answer.stdout_text();
        let (said, rest) = text.split_once('\0').unwrap_or(("", &text));
        let existed = seen.first().is_some_and(|answer| Seen::parse(answer).passwd.is_some());
        let mut fields = if args.text("state") == "absent" {
            let mut fields = base(args);
            fields.insert("force".into(), args.bool("force").into());
            fields.insert("remove".into(), args.bool("remove").into());
            fields
        } else {
            let after = Answer { stdout: rest.as_bytes().to_vec(), ..Answer::default() };
            described(args, &Seen::parse(&after), existed)
        };
        output::add(&mut fields, said, &answer.stderr_text());
        Ok(fields)
    }
}

fn base(args: &Args) -> Fields {
    let mut fields = Fields::new();
    fields.insert("name".into(), args.text("name").into());
    fields.insert("state".into(), args.text("state").into());
    fields
}

/// The result's fields about an account that exists (again).
fn described(args: &Args, seen: &Seen, existed: bool) -> Fields {
    let mut fields = base(args);
    let mut set = |name: &str, value: crate::value::Value| fields.insert(name.to_owned(), value);
    if existed {
        set("append", args.bool("append").into());
        set("move_home", args.bool("move_home").into());
    } else {
        set("system", args.bool("system").into());
        set("create_home", args.bool("create_home").into());
    }
    if args.get("password").is_some() {
        set("password", "NOT_LOGGING_PASSWORD".into());
    }
    if let Some(passwd) = &seen.passwd {
        set("uid", passwd.uid.into());
        set("group", passwd.gid.into());
        set("comment", passwd.gecos.as_str().into());
        set("home", passwd.home.as_str().into());
        set("shell", passwd.shell.as_str().into());
        if args.get("groups").is_some() {
            set("groups", args.strings("groups").join(",").into());
        }
    }
    if let Some(key) = &seen.key {
        key.describe(&mut fields);
    }
    fields
}

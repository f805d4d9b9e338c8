//! `authorized_key`: the keys that may log in as a user.

mod keys;

use super::accounts::{PRELUDE, Passwd};
use crate::connection::Answer;
use crate::modules::support::attrs::New;
use crate::modules::support::{Ask, Attrs, FileState, path, result, stat, text, write::Write};
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, Value};
use keys::{Entry, Keys};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&AuthorizedKey) };

static SPEC: Spec = Spec {
    name: "authorized_key",
    fqcn: &["ansible.posix.authorized_key"],
    summary: "Adds and removes SSH keys that may log in as a user",
    options: &[
        Opt::new("user", Type::Str, "The user").required(),
        Opt::new("key", Type::Str, "The public keys, one per line").required(),
        Opt::new("path", Type::Path, "The file, when it is not the usual one"),
        Opt::new("manage_dir", Type::Bool, "Make the directory and set its owner and mode")
            .default(Default::Bool(true)),
        Opt::new("state", Type::Str, "Whether the keys are there")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("key_options", Type::Str, "Options put before the keys"),
        Opt::new("exclusive", Type::Bool, "Remove every other key").default(Default::Bool(false)),
        Opt::new("comment", Type::Str, "Replaces the comment of the keys"),
        Opt::new("validate_certs", Type::Bool, "Means nothing: keys are not fetched").default(Default::Bool(true)),
        Opt::new("follow", Type::Bool, "Follow a link instead of replacing it").default(Default::Bool(false)),
    ],
    differs: "keys are given as text; URLs are not fetched",
    ..Spec::NONE
};

struct AuthorizedKey;

impl StateModule for AuthorizedKey {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let user = args.text("user");
        let wanted = args.text("key");
        if wanted.starts_with("http") || wanted.starts_with("file") {
            return Err(Failure::new(format!("Error getting key from: {wanted}"))
                .hint("give the key itself, for instance with `lookup('file', …)` or `lookup('url', …)`"));
        }
        let file = args.str("path").map_or_else(|| format!("~{user}/.ssh/authorized_keys"), str::to_owned);
        let Some(answer) = seen.first() else {
            let entry = format!("{PRELUDE}mms_entry passwd {}\nprintf '\\0'\n", sh::quote(user));
            let ask = Ask::new(file).content().probe();
            return Ok(Next::Probe(Probe::new(entry + &ask.script)));
        };
        let (passwd, state) = read(answer)?;
        let Some(passwd) = passwd else {
            return Err(Failure::missing(if cx.check && args.str("path").is_none() {
                "Either user must exist or you must provide full path to key file in check mode".to_owned()
            } else {
                format!("Failed to lookup user {user}: \"getpwnam(): name not found: '{user}'\"")
            }));
        };
        let before = state.content.as_deref().map(text::decode).unwrap_or_default();
        let mut keys = Keys::parse(&before);
        if !edit(&mut keys, args)? {
            return Ok(Next::Ok(described(args, &state)));
        }
        let after = keys.serialize();
        let name = if args.bool("follow") { state.real_path() } else { &state.path };
        let diff = crate::modules::Diff {
            before_header: state.path.clone(),
            after_header: name.to_owned(),
            before,
            after: after.clone(),
        };
        let attrs = Attrs {
            mode: Some("0600".into()),
            owner: Some(passwd.uid.to_string()),
            group: Some(passwd.gid.to_string()),
            ..Attrs::default()
        };
        let existing = if args.bool("follow") { state.stat.as_ref() } else { state.lstat.as_ref() };
        let plan = attrs.plan(&state, existing, New::file(state.umask))?;
        let write = Write { follow: args.bool("follow"), ..Write::new(&state, &plan) };
        let script = directory(args, &passwd, name) + &write.script("cat >\"$t\"")?;
        let step = Step::Run { script, stdin: Some(text::encode(&after)), live: false, timeout: None, check: false };
        let summary = vec![format!("keys of {user}")];
        Ok(Next::Change(Change { summary, diff: vec![diff], steps: vec![step], result: described(args, &state) }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        _: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        applied.iter().try_for_each(result::check)?;
        Ok(change.result.clone())
    }
}

/// The user's entry and the file.
fn read(answer: &Answer) -> Result<(Option<Passwd>, FileState), Failure> {
    let broken = || Failure::of_answer("cannot look at the key file", answer);
    let end = answer.stdout.iter().position(|byte| *byte == 0).ok_or_else(broken)?;
    let (entry, rest) = answer.stdout.split_at(end);
    let entry = String::from_utf8_lossy(entry);
    let (state, _) = stat::parse_one(rest.get(1..).unwrap_or_default()).ok_or_else(broken)?;
    Ok((entry.lines().next().and_then(Passwd::parse), state))
}

/// Makes the keys what the task wants; whether that changed anything.
fn edit(keys: &mut Keys, args: &Args) -> Result<bool, Failure> {
    let present = args.text("state") == "present";
    let options = args.str("key_options").map(keys::options);
    let last = keys.len();
    let mut changed = false;
    let mut kept = vec![];
    let wanted = args.text("key").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (index, line) in wanted.enumerate() {
        let mut entry =
            Entry::parse(line, index).ok_or_else(|| Failure::new(format!("invalid key specified: {line}")))?;
        if let Some(options) = &options {
            entry.options.clone_from(options);
        }
        if let Some(comment) = args.str("comment") {
            comment.clone_into(&mut entry.comment);
        }
        kept.push(entry.id.clone());
        let matched = keys.get(&entry.id).is_some_and(|existing| !present || existing.says_the_same(&entry));
        if present && !matched {
            keys.remove(&entry.id);
            entry.rank += last;
            keys.insert(entry);
            changed = true;
        } else if !present && matched {
            keys.remove(&entry.id);
            changed = true;
        }
    }
    if present && args.bool("exclusive") {
        changed |= keys.keep_only(&kept);
    }
    Ok(changed)
}

/// Makes the file's directory, owned by the user and closed to others.
fn directory(args: &Args, passwd: &Passwd, file: &str) -> String {
    let directory = sh::quote(path::parent(file));
    if args.bool("manage_dir") {
        format!(
            "if [ ! -e {directory} ]; then mkdir -m 700 -- {directory} || exit 1\n\
             [ ! -e /sys/fs/selinux/enforce ] || ! command -v restorecon >/dev/null || restorecon -- {directory}; fi\n\
             chown {}:{} -- {directory} || exit 1\nchmod 700 -- {directory} || exit 1\n",
            passwd.uid, passwd.gid
        )
    } else {
        format!("mkdir -p -- {directory} || exit 1\n")
    }
}

/// Ansible returns every argument, and the file.
fn described(args: &Args, state: &FileState) -> Fields {
    let none = || Value::from(());
    let mut fields: Fields = SPEC
        .options
        .iter()
        .map(|opt| (opt.name.to_owned(), args.get(opt.name).cloned().unwrap_or_else(none)))
        .collect();
    fields.insert("keyfile".into(), state.path.as_str().into());
    fields
}

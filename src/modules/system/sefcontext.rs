//! `sefcontext`: which SELinux context files get, by their paths.
//!
//! What holds is read from the policy's own files; only a change starts `semanage`.

use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Default, Diff, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, Value};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Sefcontext) };

static SPEC: Spec = Spec {
    name: "sefcontext",
    fqcn: &["community.general.sefcontext"],
    summary: "Maps paths to SELinux contexts",
    options: &[
        Opt::new("target", Type::Str, "A regular expression for paths").required().aliases(&["path"]),
        Opt::new("ftype", Type::Str, "The kind of files: `a` all, `b` and `c` devices, `d` directories, `f` regular, `l` links, `p` pipes, `s` sockets")
            .choices(&["a", "b", "c", "d", "f", "l", "p", "s"])
            .default(Default::Str("a")),
        Opt::new("setype", Type::Str, "The type of the context"),
        Opt::new("substitute", Type::Str, "A path whose rules hold for the target").aliases(&["equal"]),
        Opt::new("seuser", Type::Str, "The user of the context"),
        Opt::new("selevel", Type::Str, "The level of the context").aliases(&["serange"]),
        Opt::new("state", Type::Str, "Whether the mapping is there")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("reload", Type::Bool, "Load the policy after a change").default(Default::Bool(true)),
        Opt::new("ignore_selinux_state", Type::Bool, "Do it even where SELinux is disabled").default(Default::Bool(false)),
    ],
    rules: &[
        Rule::Exclusive(&["setype", "substitute"]),
        Rule::Exclusive(&["substitute", "seuser"]),
        Rule::Exclusive(&["substitute", "selevel"]),
    ],
    ..Spec::NONE
};

struct Sefcontext;

/// What the policy's files say of the target: the context of its exact line, and the path it stands for.
#[derive(Default)]
struct Seen {
    context: Option<[String; 4]>,
    substitute: Option<String>,
}

fn kind_flag(ftype: &str) -> &'static str {
    match ftype {
        "b" => "-b",
        "c" => "-c",
        "d" => "-d",
        "f" => "--",
        "l" => "-l",
        "p" => "-p",
        "s" => "-s",
        _ => "",
    }
}

impl Seen {
    fn parse(text: &str, args: &Args) -> Self {
        let (target, kind) = (args.text("target"), kind_flag(args.text("ftype")));
        let (mut seen, mut distributed) = (Self::default(), None);
        for line in text.lines() {
            let Some((file, rule)) = line.split_once(':') else { continue };
            let words: Vec<&str> = rule.split_whitespace().collect();
            if words.first() != Some(&target) {
                continue;
            }
            if file.ends_with("subs_dist") {
                distributed = words.get(1).map(|path| (*path).to_owned());
            } else if file.ends_with("subs") {
                seen.substitute = words.get(1).map(|path| (*path).to_owned());
            } else {
                let (own, context) = match words[..] {
                    [_, context] => ("", context),
                    [_, own, context] => (own, context),
                    _ => continue,
                };
                if own == kind {
                    let mut parts = context.splitn(4, ':').map(str::to_owned);
                    seen.context = Some(std::array::from_fn(|_| parts.next().unwrap_or_default()));
                }
            }
        }
        seen.substitute = distributed.or(seen.substitute);
        seen
    }
}

impl StateModule for Sefcontext {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let target = args.text("target");
        let present = args.text("state") == "present";
        if present && args.get("setype").is_none() && args.get("substitute").is_none() {
            return Err(Failure::new("state is present but any of the following are missing: setype, substitute"));
        }
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(look(target)))) };
        let text = answer.stdout_text();
        if !text.contains("enabled=yes") && !args.bool("ignore_selinux_state") {
            return Err(Failure::new("SELinux is disabled on this host."));
        }
        if !text.contains("semanage=yes") {
            return Err(Failure::missing("this host has no `semanage`")
                .hint("install `policycoreutils-python-utils` on it first"));
        }
        let seen = Seen::parse(&text, args);
        let work = if present { add(args, &seen) } else { remove(args, &seen) };
        let mut result: Fields = ["target", "ftype", "setype", "substitute", "state"]
            .into_iter()
            .map(|name| (name.to_owned(), args.get(name).cloned().unwrap_or_else(|| Value::from(()))))
            .collect();
        if present {
            result.insert("seuser".into(), work.seuser);
            result.insert("serange".into(), work.serange);
        }
        if work.commands.is_empty() {
            return Ok(Next::Ok(result));
        }
        let lines = |sign: char| {
            let lines = work.prepared.lines().filter_map(|line| line.strip_prefix(sign));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let diff = Diff {
            before_header: "SELinux file contexts".into(),
            after_header: "SELinux file contexts".into(),
            before: lines('-'),
            after: lines('+'),
        };
        let reload = if args.bool("reload") { "" } else { "-N " };
        let script = work.commands.iter().fold(String::from("PATH=$PATH:/usr/sbin:/sbin\n"), |script, command| {
            script + &format!("semanage fcontext {reload}{command} || exit\n")
        });
        let summary = vec![format!("{} the context of {target}", if present { "set" } else { "remove" })];
        Ok(Next::Change(Change { summary, diff: vec![diff], steps: vec![Step::run(script)], result }))
    }
}

/// What is to be done, and the lines of Ansible's diff.
struct Work {
    commands: Vec<String>,
    prepared: String,
    seuser: Value,
    serange: Value,
}

fn given(args: &Args, name: &str) -> Value {
    args.get(name).cloned().unwrap_or_else(|| Value::from(()))
}

fn add(args: &Args, seen: &Seen) -> Work {
    let (target, ftype) = (args.text("target"), args.text("ftype"));
    let word = sh::quote(target);
    if let Some(substitute) = args.str("substitute") {
        let same = seen.substitute.as_deref() == Some(substitute);
        let flag = if seen.substitute.is_some() { "-m" } else { "-a" };
        let command = format!("{flag} -e {} {word}", sh::quote(substitute));
        let before = seen.substitute.as_ref().map(|path| format!("-{target} = {path}\n")).unwrap_or_default();
        return Work {
            commands: if same { vec![] } else { vec![command] },
            prepared: format!("{before}+{target} = {substitute}\n"),
            seuser: given(args, "seuser"),
            serange: given(args, "selevel"),
        };
    }
    let setype = args.text("setype");
    let [old_user, role, old_type, old_range] = seen
        .context
        .clone()
        .unwrap_or_else(|| ["system_u".to_owned(), "object_r".to_owned(), String::new(), "s0".to_owned()]);
    let user = args.str("seuser").unwrap_or(&old_user).to_owned();
    let range = args.str("selevel").unwrap_or(&old_range).to_owned();
    let exists = seen.context.is_some();
    let differs = !exists || setype != old_type || user != old_user || range != old_range;
    let before = if exists {
        format!("-{target}      {ftype}      {old_user}:{role}:{old_type}:{old_range}\n")
    } else {
        String::new()
    };
    let command = format!(
        "{} -t {} -f {ftype} -r {} -s {} {word}",
        if exists { "-m" } else { "-a" },
        sh::quote(setype),
        sh::quote(&range),
        sh::quote(&user)
    );
    Work {
        commands: if differs { vec![command] } else { vec![] },
        prepared: format!("{before}+{target}      {ftype}      {user}:{role}:{setype}:{range}\n"),
        seuser: user.into(),
        serange: range.into(),
    }
}

fn remove(args: &Args, seen: &Seen) -> Work {
    let (target, ftype) = (args.text("target"), args.text("ftype"));
    let word = sh::quote(target);
    let (mut commands, mut prepared) = (vec![], String::new());
    let substitute = args.str("substitute");
    if let Some(context) = seen.context.as_ref().filter(|_| substitute.is_none()) {
        commands.push(format!("-d -f {ftype} {word}"));
        prepared.push_str(&format!("-{target}      {ftype}      {}\n", context.join(":")));
    }
    if let Some(path) = &seen.substitute
        && args.get("setype").is_none()
        && substitute.is_none_or(|wanted| wanted == path)
    {
        commands.push(format!("-d -e {} {word}", sh::quote(path)));
        prepared.push_str(&format!("-{target} = {path}\n"));
    }
    Work { commands, prepared, seuser: Value::from(()), serange: Value::from(()) }
}

/// The lines of the policy's files that hold the target, local ones last, so that they count.
fn look(target: &str) -> String {
    format!(
        "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; t=targeted\n\
         [ ! -r /sys/fs/selinux/policyvers ] || echo enabled=yes\n\
         ! command -v semanage >/dev/null || echo semanage=yes\n\
         [ ! -r /etc/selinux/config ] || while IFS='= ' read -r k x _; do [ \"$k\" != SELINUXTYPE ] || t=$x; done </etc/selinux/config\n\
         f=/etc/selinux/$t/contexts/files/file_contexts\n\
         grep -sHF -e {} \"$f\" \"$f.homedirs\" \"$f.local\" \"$f.subs\" \"$f.subs_dist\"\nexit 0\n",
        sh::quote(target)
    )
}

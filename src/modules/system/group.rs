//! `group`: groups of the account database.

use super::accounts::{Group, PRELUDE};
use super::output;
use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Thing, Type,
};
use crate::sh;
use crate::value::Fields;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Groups) };

static SPEC: Spec = Spec {
    name: "group",
    fqcn: &["ansible.builtin.group"],
    summary: "Adds and removes groups",
    options: &[
        Opt::new("name", Type::Str, "The group").required(),
        Opt::new("state", Type::Str, "Whether it exists")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("gid", Type::Int, "Its number"),
        Opt::new("system", Type::Bool, "Take the number from the range for the system").default(Default::Bool(false)),
        Opt::new("force", Type::Bool, "Remove it even if it is somebody's primary group").default(Default::Bool(false)),
        Opt::new("non_unique", Type::Bool, "Allow a number that another group has").default(Default::Bool(false)),
        Opt::new("gid_min", Type::Int, "Lowest number to choose"),
        Opt::new("gid_max", Type::Int, "Highest number to choose"),
    ],
    rules: &[Rule::If("non_unique", "true", &["gid"])],
    differs: "`local` is not supported",
    ..Spec::NONE
};

struct Groups;

impl StateModule for Groups {
    fn makes(&self, args: &Args) -> Vec<Thing> {
        if args.str("state") == Some("absent") {
            return vec![];
        }
        vec![Thing::Group(args.text("name").to_owned())]
    }

    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let name = args.text("name");
        let Some(answer) = seen.first() else {
            let ask = format!(
                "{PRELUDE}mms_entry group {}\ncommand -v groupadd >/dev/null || printf '\\0busybox'\nexit 0\n",
                sh::quote(name)
            );
            return Ok(Next::Probe(Probe::new(ask)));
        };
        let text = answer.stdout_text();
        let (line, tools) = text.split_once('\0').unwrap_or((&text, ""));
        let tools = if tools == "busybox" { Tools::BusyBox } else { Tools::Shadow };
        let found = line.lines().next().and_then(Group::parse);
        let (command, summary) = match (args.text("state"), &found) {
            ("absent", None) => return Ok(Next::Ok(result(args, None))),
            ("absent", Some(_)) => (tools.remove(args), format!("remove group {name}")),
            (_, None) => (tools.add(args), format!("add group {name}")),
            (_, Some(group)) => match args.int("gid").filter(|gid| *gid != group.gid) {
                None => return Ok(Next::Ok(result(args, found.as_ref()))),
                Some(gid) => (tools.renumber(args, gid)?, format!("group {name}: number {} → {gid}", group.gid)),
            },
        };
        // In check mode Ansible says no more than that it would change, unless the group is there.
        let result = match (&found, args.text("state")) {
            (Some(group), "present") => result(args, Some(group)),
            _ if cx.check => Fields::new(),
            _ => result(args, None),
        };
        let script = format!("{PRELUDE}{command} || exit\nprintf '\\0'\nmms_entry group {}\nexit 0\n", sh::quote(name));
        let step = Step::judged(script);
        Ok(Next::Change(Change { summary: vec![summary], diff: vec![], steps: vec![step], result }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let Some(answer) = applied.first() else { return Ok(change.result.clone()) };
        let name = args.text("name");
        if !answer.ok() {
            return Err(Failure::new(answer.stderr_text()).field("name", name));
        }
        let text = answer.stdout_text();
        let (said, entry) = text.rsplit_once('\0').unwrap_or(("", &text));
        let mut fields = result(args, entry.lines().next().and_then(Group::parse).as_ref());
        output::add(&mut fields, said, &answer.stderr_text());
        Ok(fields)
    }
}

fn result(args: &Args, group: Option<&Group>) -> Fields {
    let mut fields = Fields::new();
    fields.insert("name".into(), args.text("name").into());
    fields.insert("state".into(), args.text("state").into());
    if let Some(group) = group {
        fields.insert("system".into(), args.bool("system").into());
        fields.insert("gid".into(), group.gid.into());
    }
    fields
}

#[derive(Clone, Copy)]
enum Tools {
    Shadow,
    BusyBox,
}

impl Tools {
    fn remove(self, args: &Args) -> String {
        let name = sh::quote(args.text("name"));
        match self {
            Self::Shadow if args.bool("force") => format!("groupdel -f {name}"),
            Self::Shadow => format!("groupdel {name}"),
            Self::BusyBox => format!("delgroup {name}"),
        }
    }

    fn add(self, args: &Args) -> String {
        let mut words = vec![];
        let gid = args.int("gid").map(|gid| gid.to_string());
        match self {
            Self::Shadow => {
                words.push("groupadd".to_owned());
                if let Some(gid) = gid {
                    words.extend(["-g".into(), gid]);
                    words.extend(args.bool("non_unique").then(|| "-o".to_owned()));
                }
                words.extend(args.bool("system").then(|| "-r".to_owned()));
                for (option, key) in [("gid_min", "GID_MIN"), ("gid_max", "GID_MAX")] {
                    if let Some(number) = args.int(option) {
                        words.extend(["-K".into(), format!("{key}={number}")]);
                    }
                }
            }
            Self::BusyBox => {
                words.push("addgroup".to_owned());
                words.extend(gid.into_iter().flat_map(|gid| ["-g".to_owned(), gid]));
                words.extend(args.bool("system").then(|| "-S".to_owned()));
            }
        }
        words.push(args.text("name").to_owned());
        sh::join(words)
    }

    fn renumber(self, args: &Args, gid: i64) -> Result<String, Failure> {
        let name = sh::quote(args.text("name"));
        let other = if args.bool("non_unique") { " -o" } else { "" };
        match self {
            Self::Shadow => Ok(format!("groupmod -g {gid}{other} {name}")),
            Self::BusyBox => {
                Err(Failure::new(format!("cannot change the number of group `{name}` without `groupmod`"))
                    .hint("install the `shadow` package on the host"))
            }
        }
    }
}

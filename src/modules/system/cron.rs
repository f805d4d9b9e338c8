//! `cron`: jobs and variables in a user's crontab or a file of `/etc/cron.d`.

mod table;

use crate::connection::Answer;
use crate::modules::support::attrs::Plan;
use crate::modules::support::{Ask, FileState, result, text, write::Write};
use crate::modules::{
    Args, Change, Context, Default, Diff, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, Value};
use table::Table;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Cron) };

static SPEC: Spec = Spec {
    name: "cron",
    fqcn: &["ansible.builtin.cron"],
    summary: "Manages jobs that cron runs",
    options: &[
        Opt::new("name", Type::Str, "What the job, or the variable, is called").required(),
        Opt::new("user", Type::Str, "Whose crontab; with `cron_file`, who runs the job"),
        Opt::new("job", Type::Str, "The command, or the variable's value").aliases(&["value"]),
        Opt::new("cron_file", Type::Path, "A file of `/etc/cron.d` instead of a user's crontab"),
        Opt::new("state", Type::Str, "Whether it is there")
            .choices(&["present", "absent"])
            .default(Default::Str("present")),
        Opt::new("minute", Type::Str, "The minutes").default(Default::Str("*")),
        Opt::new("hour", Type::Str, "The hours").default(Default::Str("*")),
        Opt::new("day", Type::Str, "The days of the month").aliases(&["dom"]).default(Default::Str("*")),
        Opt::new("month", Type::Str, "The months").default(Default::Str("*")),
        Opt::new("weekday", Type::Str, "The days of the week").aliases(&["dow"]).default(Default::Str("*")),
        Opt::new("special_time", Type::Str, "A time by its name")
            .choices(&["reboot", "yearly", "annually", "monthly", "weekly", "daily", "hourly"]),
        Opt::new("disabled", Type::Bool, "Comment the job out").default(Default::Bool(false)),
        Opt::new("env", Type::Bool, "It is a variable, not a job").default(Default::Bool(false)),
        Opt::new("insertafter", Type::Str, "Put a new variable after this one"),
        Opt::new("insertbefore", Type::Str, "Put a new variable before this one"),
    ],
    rules: &[Rule::Exclusive(&["insertafter", "insertbefore"])],
    differs: "`backup` is not supported",
    ..Spec::NONE
};

struct Cron;

impl StateModule for Cron {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        check(args)?;
        let file = args.str("cron_file").map(|file| crate::modules::support::path::join("/etc/cron.d", file));
        let Some(answer) = seen.first() else {
            return Ok(Next::Probe(match &file {
                Some(file) => Ask::new(file.as_str()).content().probe(),
                None => Probe::new(format!("LC_ALL=C; export LC_ALL\n{} -l\n", crontab(args))),
            }));
        };
        let state = file.as_ref().map(|_| FileState::parse(answer)).transpose()?;
        let before = match &state {
            Some(state) => state.content.as_deref().map(text::decode).unwrap_or_default(),
            None if answer.rc == 127 => {
                return Err(Failure::missing("Failed to find required executable \"crontab\" in paths"));
            }
            // Status 1 means that there is no crontab yet.
            None if answer.rc > 1 => return Err(Failure::of_answer("Unable to read crontab", answer)),
            None if answer.rc == 1 => String::new(),
            None => text::decode(&answer.stdout),
        };
        let mut table = Table::parse(&before, file.is_none());
        let existing = table.text().to_owned();
        let edited = table.apply(args)?;
        let unfinished = !existing.is_empty() && !existing.ends_with(['\r', '\n']);
        let removes =
            edited && args.text("state") == "absent" && !args.bool("env") && file.is_some() && table.is_empty();
        let mut fields = Fields::new();
        if !removes {
            fields.insert("jobs".into(), table.jobs().into_iter().map(Value::from).collect());
            fields.insert("envs".into(), table.variables().into_iter().map(Value::from).collect());
        }
        if let Some(file) = args.str("cron_file") {
            fields.insert("cron_file".into(), file.into());
        }
        if removes {
            fields.insert("state".into(), "absent".into());
        }
        if !edited && !unfinished {
            return Ok(Next::Ok(fields));
        }
        let after = if removes { String::new() } else { table.render() };
        let title = match (&file, args.str("user")) {
            (Some(file), _) => file.clone(),
            (None, Some(user)) => format!("crontab for user \"{user}\""),
            (None, None) => "crontab".to_owned(),
        };
        let script = match &state {
            Some(_) if removes => format!("rm -f -- {}\n", sh::quote(file.as_deref().unwrap_or_default())),
            Some(state) => Write::new(state, &Plan::default()).script("cat >\"$t\"")?,
            None => format!("{} -\n", crontab(args)),
        };
        let diff = Diff {
            before_header: title.clone(),
            after_header: if removes { "/dev/null".into() } else { title.clone() },
            before: existing,
            after: after.clone(),
        };
        let step = Step::Run { script, stdin: Some(text::encode(&after)), live: false, timeout: None, check: false };
        let summary = vec![format!("{title}: {}", args.text("name"))];
        Ok(Next::Change(Change { summary, diff: vec![diff], steps: vec![step], result: fields }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        for answer in applied {
            if args.get("cron_file").is_none() && !answer.ok() {
                return Err(Failure::of_answer("Failed to install new cronfile", answer));
            }
            result::check(answer)?;
        }
        Ok(change.result.clone())
    }
}

/// `crontab`, of the user that is named unless the task runs as that user anyway.
fn crontab(args: &Args) -> String {
    match args.str("user") {
        Some(user) => {
            let user = sh::quote(user);
            format!("u=; [ \"$(id -un)\" = {user} ] || u='-u'\ncrontab $u ${{u:+{user}}}")
        }
        None => "crontab".to_owned(),
    }
}

fn check(args: &Args) -> Result<(), Failure> {
    let refuse = |msg: &str| Err(Failure::new(msg));
    let times = ["minute", "hour", "day", "month", "weekday"].iter().any(|name| args.text(name) != "*");
    if args.str("cron_file") == Some("/etc/crontab") {
        return refuse("Will not manage /etc/crontab via cron_file, see documentation.");
    }
    if args.get("special_time").is_some() && times {
        return refuse("You cannot combine special_time with any of the time or day/date parameters.");
    }
    if args.text("state") == "present" {
        if args.get("cron_file").is_some() && args.get("user").is_none() {
            return refuse("To use cron_file=... parameter you must specify user=... as well");
        }
        if args.get("job").is_none() {
            return refuse("You must specify 'job' to install a new cron job or variable");
        }
        if (args.get("insertafter").is_some() || args.get("insertbefore").is_some()) && !args.bool("env") {
            return refuse("Insertafter and insertbefore parameters are valid only with env=yes");
        }
    }
    if args.bool("env") && args.text("name").contains(' ') {
        return refuse("Invalid name for environment variable");
    }
    Ok(())
}

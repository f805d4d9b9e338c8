//! `mms.backup`: the program, its configuration and its timers on a host.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize as _;
use serde_json::Value as Json;

use super::config::{self, Files, Machine, Wrong};
use super::target;
use crate::connection::{Answer, Frame};
use crate::hex::hex;
use crate::modules::{
    ActionModule, Args, Context, Default, Failure, Gate, Host, Kind, Module, Opt, Outcome, Spec, Type,
};
use crate::service::load;
use crate::service::model::{Retention, Service};
use crate::service::observe::PRELUDE;
use crate::sh;
use crate::value::{Fields, to_json, unknown_inside};

/// The modules of this family.
pub static MODULES: &[Module] = &[Module { spec: &SPEC, kind: Kind::Action(&SetUp) }];

static SPEC: Spec = Spec {
    name: "mms.backup",
    fqcn: &["mms.backup"],
    summary: "Sets up the backups of services: the program that makes them, and the timers that run it. Services that are not named are not backed up any longer; backups that exist stay.",
    options: &[
        Opt::new("services", Type::StrList, "Names of files in `services/`. Their `backup:` key says how.").required(),
        Opt::new(
            "partly",
            Type::Bool,
            "Only the settings of these services: the program, the timers and what other services have stay as they are, and where no backups are set up, nothing is done.",
        )
        .default(Default::Bool(false)),
        Opt::new("user", Type::Str, "The user that runs the containers (rootless).").default(Default::Str("mms")),
        Opt::new("dir", Type::Path, "Directory that backups are kept below, `<dir>/<service>/`.").required(),
        Opt::new("mount", Type::Path, "Mount point that must be there before a backup is written."),
        Opt::new(
            "recipients",
            Type::StrList,
            "Public keys that backups are encrypted to (`age1…`, `ssh-ed25519 …`, `ssh-rsa …`). An empty list means that they are not encrypted.",
        ),
        Opt::new("retention", Type::Dict, "How many are kept: `last`, `daily`, `weekly`, `monthly`; 1, 7, 4 and 6."),
        Opt::new(
            "shrink",
            Type::Int,
            "A backup with so many percent less files or bytes than the one before alarms, and nothing is pruned.",
        )
        .default(Default::Int(30)),
        Opt::new(
            "notify",
            Type::List,
            "Who is told how the runs of the timers went: mappings with `type` (healthchecks, ntfy, kuma, webhook), `url` and `on` (start, success, failure).",
        )
        .no_log(),
        Opt::new("mirror_dir", Type::Path, "Directory that mirrors of large files are kept below: a second place."),
        Opt::new("mirror_mount", Type::Path, "Mount point that must be there before a mirror is written."),
        Opt::new("daily", Type::Str, "When backups are made, as in systemd.time(7).")
            .default(Default::Str("*-*-* 03:00:00")),
        Opt::new("weekly", Type::Str, "When mirrors are made, as in systemd.time(7).")
            .default(Default::Str("Sun *-*-* 04:30:00")),
        Opt::new("host", Type::Str, "What the machine is called in notes and notifications."),
    ],
    ..Spec::NONE
};

struct SetUp;

impl ActionModule for SetUp {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        set_up(cx, args, host).boxed()
    }
}

async fn set_up(cx: &Context<'_>, args: &Args, host: &dyn Host) -> Result<Outcome, Failure> {
    let mut services = vec![];
    for name in args.strings("services") {
        let (node, value) = cx.workstation.project_file(&format!("services/{name}.yml"))?;
        if let Some(why) = unknown_inside(&value) {
            return Ok(Outcome::Unknown(why));
        }
        let service = load::read(&name, &value, Some(&node)).map_err(crate::service::module::of_error)?;
        services.push((service, definition(cx, &to_json(&value))));
    }
    let machine = machine(args)?;
    let described = |service: &Service| {
        let found = services.iter().find(|(other, _)| other.name == service.name);
        found.map(|(_, definition)| definition.clone()).unwrap_or_default()
    };
    let all: Vec<&Service> = services.iter().map(|(service, _)| service).collect();
    let user = args.text("user");
    let site = Site { host, user, direct: cx.user == Some(user) };
    let seen = site.look(cx.check).await?;
    let partly = args.bool("partly");
    let mut result = Fields::new();
    if partly && !seen.hashes.contains_key(target::PROGRAM) {
        result.insert("services".to_owned(), std::iter::empty::<&str>().collect());
        return Ok(Outcome::Ok(result));
    }
    let files = config::files(&machine, &all, &described).map_err(of_wrong)?;
    let todo = if partly { Todo::of_some(&files, &seen, &all) } else { Todo::of(&files, &seen) };
    result.insert(
        "services".to_owned(),
        all.iter().filter(|it| it.backup.is_some()).map(|it| it.name.as_str()).collect(),
    );
    if todo.is_empty() {
        return Ok(Outcome::Ok(result));
    }
    let mut summary = todo.summary(&files);
    summary.extend(unencrypted(&files).into_iter().map(|name| format!("{name}: NOT encrypted")));
    if host.change(&summary, &[]).await == Gate::CheckOnly {
        return Ok(Outcome::Changed(result));
    }
    if !todo.parts.is_empty() {
        let frame = Frame::new(write_parts(&todo.parts, user));
        checked("write the backup program", host.run(frame).await?)?;
    }
    checked("set up the backups", site.run(write_files(&todo, &files)).await?)?;
    Ok(Outcome::Changed(result))
}

fn of_wrong(wrong: Wrong) -> Failure {
    Failure::new(wrong.message).hint(wrong.hint)
}

fn machine(args: &Args) -> Result<Machine, Failure> {
    let text = |name: &str| args.str(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let retention =
        Json::Object(args.dict("retention").into_iter().map(|(key, value)| (key, to_json(&value))).collect());
    let retention = Retention::deserialize(&retention).map_err(|error| {
        Failure::new(format!("`retention`: {error}")).hint("write for example `{daily: 7, weekly: 4, monthly: 6}`")
    })?;
    let notify = args.list("notify").iter().map(|entry| config::notify(&to_json(entry))).collect::<Result<_, _>>();
    let shrink =
        args.int("shrink").and_then(|shrink| u8::try_from(shrink).ok()).filter(|shrink| (1..=100).contains(shrink));
    let calendar = |name: &str| {
        let text = args.text(name);
        let plain = !text.is_empty() && !text.contains(char::is_control);
        plain.then(|| text.to_owned()).ok_or_else(|| Failure::new(format!("`{name}` is not a time of systemd.time(7)")))
    };
    Ok(Machine {
        host: text("host").unwrap_or_default(),
        dir: text("dir").unwrap_or_default(),
        mount: text("mount"),
        recipients: args.get("recipients").map(|_| args.strings("recipients")),
        retention,
        shrink: shrink.ok_or_else(|| Failure::new("`shrink` is not a percentage from 1 to 100"))?,
        notify: notify.map_err(of_wrong)?,
        mirror_dir: text("mirror_dir"),
        mirror_mount: text("mirror_mount"),
        daily: calendar("daily")?,
        weekly: calendar("weekly")?,
    })
}

/// The definition as it goes into backups: everything but secrets, and what is about backups only.
fn definition(cx: &Context<'_>, json: &Json) -> Json {
    let mut json = json.clone();
    if let Some(backup) = json.get_mut("backup").and_then(Json::as_object_mut) {
        backup.remove("notify");
    }
    mask(cx, &mut json);
    json
}

fn mask(cx: &Context<'_>, json: &mut Json) {
    match json {
        // Short values are let through, as in units: a vault that holds a number would make every mention of it a secret.
        Json::String(text) if text.len() >= 8 && cx.workstation.is_secret(text) => "***".clone_into(text),
        Json::Array(items) => items.iter_mut().for_each(|item| mask(cx, item)),
        Json::Object(map) => map.values_mut().for_each(|value| mask(cx, value)),
        _ => {}
    }
}

fn unencrypted(files: &Files) -> Vec<&str> {
    let open = |text: &str| text.lines().any(|line| line == "encrypt=no");
    files
        .iter()
        .filter(|(path, file)| path.ends_with(".conf") && open(&file.text))
        .map(|(_, file)| file.about.as_str())
        .collect()
}

/// The host as the containers' user.
struct Site<'a> {
    host: &'a dyn Host,
    user: &'a str,
    direct: bool,
}

/// What is on the host: SHA-256 of files by path (those of the user below its home), and what is enabled and started.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    hashes: BTreeMap<String, String>,
    enabled: Vec<String>,
    active: Vec<String>,
}

impl Site<'_> {
    async fn look(&self, check: bool) -> Result<Seen, Failure> {
        let frame = Frame::new(look_script());
        let asked = if self.direct { self.host.probe(frame).await } else { self.host.probe_as(self.user, frame).await };
        match asked {
            Ok(answer) => Ok(parse(&checked("look at the backups", answer)?.stdout_text())),
            // A user that does not exist cannot be become; that is only wrong when it is not an earlier task's work.
            Err(failure) => {
                let script = format!("id -u {} >/dev/null 2>&1", sh::quote(self.user));
                match self.host.probe(Frame::new(script)).await {
                    Ok(answer) if !answer.ok() && check => Ok(Seen::default()),
                    Ok(answer) if !answer.ok() => Err(Failure::missing(format!(
                        "the user `{}` that runs the containers does not exist",
                        self.user
                    ))
                    .hint("the role `base_system` makes it (playbook `setup-base.yml`)")),
                    _ => Err(failure),
                }
            }
        }
    }

    async fn run(&self, script: String) -> Result<Answer, Failure> {
        let frame = Frame::new(script);
        if self.direct { self.host.run(frame).await } else { self.host.run_as(self.user, frame).await }
    }
}

fn checked(what: &str, answer: Answer) -> Result<Answer, Failure> {
    if answer.ok() {
        return Ok(answer);
    }
    let stderr = answer.stderr_text();
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let why = if last.is_empty() { format!("status {}", answer.rc) } else { last.trim().to_owned() };
    Err(Failure::of_answer(format!("cannot {what}: {why}"), &answer))
}

/// The notes on backups that this host should have.
fn look_script() -> String {
    let parts = target::PARTS.map(|(name, _)| format!("{}/{name}", target::LIBRARY));
    let timers: Vec<&str> = target::ENABLED.iter().map(|(name, _)| *name).collect();
    format!(
        "{PRELUDE}sha256sum -- {parts} {config}/*.notify {config}/services/* {units} 2>/dev/null\n\
         for unit in {timers}; do\n\
           printf '@%s %s %s\\n' \"$unit\" \"$(systemctl --user is-enabled \"$unit\" 2>/dev/null)\" \"$(systemctl --user is-active \"$unit\" 2>/dev/null)\"\n\
         done\nexit 0\n",
        parts = sh::join(parts),
        config = target::CONFIG,
        units = sh::join(target::unit_names().iter().map(|name| format!("{}/{name}", target::UNITS))),
        timers = timers.join(" "),
    )
}

fn parse(answer: &str) -> Seen {
    let mut seen = Seen::default();
    for line in answer.lines() {
        if let Some(unit) = line.strip_prefix('@') {
            let mut words = unit.split(' ');
            let name = words.next().unwrap_or_default();
            if words.next() == Some("enabled") {
                seen.enabled.push(name.to_owned());
            }
            if words.next() == Some("active") {
                seen.active.push(name.to_owned());
            }
        } else if let Some((hash, path)) = line.split_once("  ") {
            seen.hashes.insert(path.to_owned(), hash.to_owned());
        }
    }
    seen
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
struct Todo {
    /// Parts of the program.
    parts: Vec<(&'static str, &'static str)>,
    /// Paths of files to write, and whether each is new.
    write: BTreeMap<String, bool>,
    /// Paths of files that nobody needs any longer.
    remove: Vec<String>,
    /// Units to enable, and whether to start them.
    enable: Vec<(&'static str, bool)>,
    /// Whether a timer changed, which then has to be started anew.
    timers: bool,
}

impl Todo {
    fn of(files: &Files, seen: &Seen) -> Self {
        let differs = |path: &str, text: &str| seen.hashes.get(path).is_none_or(|hash| *hash != sha256(text));
        let mut todo = Self {
            parts: target::PARTS
                .into_iter()
                .filter(|(name, text)| differs(&format!("{}/{name}", target::LIBRARY), text))
                .collect(),
            ..Self::default()
        };
        for (path, _) in files.iter().filter(|(path, file)| differs(path, &file.text)) {
            // A file more of a service that is set up already makes it no new one.
            let settings = path.rsplit_once('.').map(|(stem, _)| format!("{stem}.conf"));
            let known = |path: &String| seen.hashes.contains_key(path);
            todo.write.insert(path.clone(), !known(path) && !settings.is_some_and(|settings| known(&settings)));
            todo.timers |= path.ends_with(".timer");
        }
        let ours = |path: &&String| path.starts_with(target::CONFIG) && !files.contains_key(*path);
        todo.remove = seen.hashes.keys().filter(ours).cloned().collect();
        let armed = |(name, started): &(&str, bool)| {
            let has = |list: &[String]| list.iter().any(|other| other == name);
            has(&seen.enabled) && (!started || has(&seen.active))
        };
        todo.enable = target::ENABLED.into_iter().filter(|unit| !armed(unit)).collect();
        todo
    }

    /// What is to be done for these services alone.
    fn of_some(files: &Files, seen: &Seen, services: &[&Service]) -> Self {
        let place = format!("{}/services/", target::CONFIG);
        let own = |path: &str| {
            let name = path.strip_prefix(&place).and_then(|file| file.rsplit_once('.')).map(|(name, _)| name);
            services.iter().any(|service| Some(service.name.as_str()) == name)
        };
        let mut todo = Self::of(files, seen);
        todo.write.retain(|path, _| own(path));
        todo.remove.retain(|path| own(path));
        Self { write: todo.write, remove: todo.remove, ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.write.is_empty() && self.remove.is_empty() && self.enable.is_empty()
    }

    fn summary(&self, files: &Files) -> Vec<String> {
        let mut lines = vec![];
        if !self.parts.is_empty() {
            lines.push("the backup program".to_owned());
        }
        // One line for all files of a service; new when the first of them is.
        let mut about: BTreeMap<&str, bool> = BTreeMap::new();
        for (path, new) in &self.write {
            if let Some(file) = files.get(path) {
                *about.entry(&file.about).or_insert(true) &= new;
            }
        }
        lines
            .extend(about.into_iter().map(|(name, new)| format!("{name}: {}", if new { "set up" } else { "changed" })));
        let gone = self.remove.iter().filter_map(|path| path.rsplit('/').next()?.strip_suffix(".conf"));
        lines.extend(gone.map(|name| format!("{name}: not backed up any longer")));
        if lines.is_empty() && !self.remove.is_empty() {
            lines.push("files that nobody needs any longer".to_owned());
        }
        lines.extend(self.enable.iter().map(|(name, _)| format!("enable {name}")));
        lines
    }
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(text.as_bytes()))
}

/// Writes a file through a temporary one beside it.
fn write_line(path: &str, text: &str, mode: &str) -> String {
    let (new, path) = (sh::quote(&format!("{path}.mms-new")), sh::quote(path));
    format!("printf %s {} >{new} && chmod {mode} {new} && mv -f {new} {path} || exit 1\n", sh::quote(text))
}

/// As root: the program, and a service manager for the user, now and at every boot.
fn write_parts(parts: &[(&str, &str)], user: &str) -> String {
    let mut text = format!("umask 022\nmkdir -p {} || exit 1\n", target::LIBRARY);
    for (name, content) in parts {
        let mode = if name.ends_with(".awk") { "0644" } else { "0755" };
        text.push_str(&write_line(&format!("{}/{name}", target::LIBRARY), content, mode));
    }
    text.push_str(&format!(
        "user={}\nid=$(id -u \"$user\") || exit 1\n[ -e \"/var/lib/systemd/linger/$user\" ] || loginctl enable-linger \"$user\" || exit 1\n\
         i=0\nwhile [ ! -S \"/run/user/$id/bus\" ] && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.2; done\nexit 0\n",
        sh::quote(user)
    ));
    text
}

/// As the user: configuration and units, read and armed.
fn write_files(todo: &Todo, files: &Files) -> String {
    let (config, units) = (target::CONFIG, target::UNITS);
    let mut text = format!("{PRELUDE}mkdir -p {config}/services {units} || exit 1\n");
    for path in todo.write.keys() {
        if let Some(file) = files.get(path) {
            let mode = if path.starts_with(units) { "0644" } else { "0600" };
            text.push_str(&write_line(path, &file.text, mode));
        }
    }
    if !todo.remove.is_empty() {
        text.push_str(&format!("rm -f -- {} || exit 1\n", sh::join(&todo.remove)));
    }
    text.push_str("systemctl --user daemon-reload || exit 1\n");
    for (name, start) in &todo.enable {
        let now = if *start { "--now " } else { "" };
        text.push_str(&format!("systemctl --user enable --quiet {now}{name} || exit 1\n"));
    }
    if todo.timers {
        for (name, _) in target::ENABLED.iter().filter(|(_, start)| *start) {
            text.push_str(&format!("systemctl --user restart {name} || exit 1\n"));
        }
    }
    text.push_str("exit 0\n");
    text
}

#[cfg(test)]
#[path = "module/tests.rs"]
mod tests;

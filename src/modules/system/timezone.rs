//! `timezone`: the zone of the system's clock, and whether the hardware clock keeps local time.

use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Diff, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, Value, from_fields};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Timezone) };

static SPEC: Spec = Spec {
    name: "timezone",
    fqcn: &["community.general.timezone"],
    summary: "Sets the time zone",
    options: &[
        Opt::new("name", Type::Str, "The zone: `Europe/Berlin`"),
        Opt::new("hwclock", Type::Str, "What the hardware clock keeps").aliases(&["rtc"]).choices(&["local", "UTC"]),
    ],
    rules: &[Rule::OneOf(&["hwclock", "name"])],
    differs: "only hosts that have `timedatectl`",
    ..Spec::NONE
};

/// Prints where `timedatectl` is, what `/etc/localtime` leads to, and the third line of `/etc/adjtime`: what `timedatectl` itself
/// looks at.
const LOOK: &str = "command -v timedatectl\nprintf '\\0'\nreadlink /etc/localtime\nprintf '\\0'\n\
a=; [ ! -r /etc/adjtime ] || { read -r _; read -r _; read -r a; } </etc/adjtime\nprintf '%s\\0' \"$a\"\n";

struct Timezone;

struct Seen {
    program: String,
    name: String,
    hwclock: &'static str,
    exists: bool,
}

impl Seen {
    fn parse(text: &str) -> Self {
        let mut parts = text.split('\0').map(str::trim);
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (program, link, clock, exists) = (next(), next(), next(), next() == "exists");
        let name = link.split_once("zoneinfo/").map_or("UTC", |(_, name)| name).to_owned();
        Self { program, name, hwclock: if clock == "LOCAL" { "local" } else { "UTC" }, exists }
    }

    fn get(&self, key: &str) -> &str {
        if key == "name" { &self.name } else { self.hwclock }
    }
}

const KEYS: [&str; 2] = ["hwclock", "name"];

impl StateModule for Timezone {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else {
            let zone = args.str("name").map_or_else(String::new, |name| {
                format!("[ -f /usr/share/zoneinfo/{} ] && printf exists\n", sh::quote(name))
            });
            return Ok(Next::Probe(Probe::new(format!("{LOOK}{zone}exit 0\n"))));
        };
        let seen = Seen::parse(&answer.stdout_text());
        if seen.program.is_empty() {
            return Err(Failure::missing("this host has no `timedatectl`"));
        }
        if let Some(name) = args.str("name").filter(|_| !seen.exists) {
            return Err(Failure::missing(format!("Error message:\ngiven timezone \"{name}\" is not available"))
                .hint("`timedatectl list-timezones` on the host lists them; they come with the package `tzdata`"));
        }
        let (mut before, mut after) = (Fields::new(), Fields::new());
        let (mut script, mut msgs, mut summary) = (String::new(), vec![], vec![]);
        for key in KEYS {
            let Some(wanted) = args.str(key) else { continue };
            let current = seen.get(key);
            before.insert(key.into(), current.into());
            after.insert(key.into(), wanted.into());
            if current != wanted {
                let (verb, value) = match (key, wanted) {
                    ("name", name) => ("set-timezone", name),
                    (_, "local") => ("set-local-rtc", "yes"),
                    _ => ("set-local-rtc", "no"),
                };
                script.push_str(&format!("timedatectl {verb} {} || exit\n", sh::quote(value)));
                msgs.push(format!("executed `{} {verb} {value}`", seen.program));
                summary.push(format!("{key} {current} → {wanted}"));
            }
        }
        let text = |fields: &Fields| from_fields(fields).to_string() + "\n";
        let diff = Diff { before: text(&before), after: text(&after), ..Diff::default() };
        let pair = [("before".to_owned(), from_fields(&before)), ("after".to_owned(), from_fields(&after))];
        let mut result = Fields::from_iter([("diff".to_owned(), from_fields(&pair.into_iter().collect()))]);
        if msgs.is_empty() {
            return Ok(Next::Ok(result));
        }
        if !cx.check {
            result.insert("msg".into(), Value::from(msgs.join("\n")));
        }
        script.push_str(LOOK);
        let step = Step::judged(script);
        Ok(Next::Change(Change { summary, diff: vec![diff], steps: vec![step], result }))
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
        if !answer.ok() {
            return Err(Failure::of_answer(answer.stderr_text().trim(), answer));
        }
        let after = Seen::parse(&answer.stdout_text());
        let differs = KEYS.into_iter().find(|key| args.str(key).is_some_and(|wanted| wanted != after.get(key)));
        match differs {
            Some(key) => Err(Failure::new(format!(
                "Error message:\nstill not desired state, though changes have made - planned: {}, after: {}",
                args.text(key),
                after.get(key)
            ))),
            None => Ok(change.result.clone()),
        }
    }
}

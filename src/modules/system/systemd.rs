//! `systemd_service` (and `service`, which is the same thing on a host that systemd runs): start, stop, enable and mask units.
//!
//! One `systemctl show` tells everything: whether the unit exists, runs, is enabled or masked. `daemon_reload` comes before
//! that question, as in Ansible, so a task that asks for it is an action: reload, look again, and act on what is seen then.

mod unit;

use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, Value};
use unit::{Decision, Seen};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Systemd) };
pub const SERVICE: Module = Module { spec: &SERVICE_SPEC, kind: Kind::State(&Systemd) };

const STATES: &[&str] = &["reloaded", "restarted", "started", "stopped"];

static SPEC: Spec = Spec {
    name: "systemd_service",
    fqcn: &["ansible.builtin.systemd_service", "systemd", "ansible.builtin.systemd"],
    summary: "Starts, stops, enables and masks systemd units",
    options: &[
        Opt::new("name", Type::Str, "The unit; `.service` may be left out").aliases(&["service", "unit"]),
        Opt::new("state", Type::Str, "Whether it runs; `restarted` and `reloaded` always act").choices(STATES),
        Opt::new("enabled", Type::Bool, "Whether it starts at boot"),
        Opt::new("force", Type::Bool, "Replace existing links when enabling"),
        Opt::new("masked", Type::Bool, "Whether starting it is impossible"),
        Opt::new("daemon_reload", Type::Bool, "Read unit files anew first")
            .aliases(&["daemon-reload"])
            .default(Default::Bool(false)),
        Opt::new("daemon_reexec", Type::Bool, "Run systemd anew first")
            .aliases(&["daemon-reexec"])
            .default(Default::Bool(false)),
        Opt::new("scope", Type::Str, "Which manager: the system's, the user's, or the defaults of all users")
            .choices(&["system", "user", "global"])
            .default(Default::Str("system")),
        Opt::new("no_block", Type::Bool, "Do not wait until it is done").default(Default::Bool(false)),
    ],
    rules: &[
        Rule::OneOf(&["state", "enabled", "masked", "daemon_reload", "daemon_reexec"]),
        Rule::By("state", &["name"]),
        Rule::By("enabled", &["name"]),
        Rule::By("masked", &["name"]),
    ],
    differs: "`scope: user` needs no environment: the runtime directory and the bus are found, and waited for where the user \
              lingers",
    ..Spec::NONE
};

static SERVICE_SPEC: Spec = Spec {
    name: "service",
    fqcn: &["ansible.builtin.service"],
    summary: "Starts, stops and enables services",
    options: &[
        Opt::new("name", Type::Str, "The service").required(),
        Opt::new("state", Type::Str, "Whether it runs; `restarted` and `reloaded` always act").choices(STATES),
        Opt::new("enabled", Type::Bool, "Whether it starts at boot"),
        Opt::new("sleep", Type::Int, "Means nothing to systemd"),
        Opt::new("pattern", Type::Str, "Means nothing to systemd"),
        Opt::new("runlevel", Type::Str, "Means nothing to systemd").default(Default::Str("default")),
        Opt::new("arguments", Type::Str, "Means nothing to systemd").aliases(&["args"]).default(Default::Str("")),
        Opt::new("use", Type::Str, "The service manager").choices(&["auto", "systemd"]).default(Default::Str("auto")),
    ],
    rules: &[Rule::OneOf(&["state", "enabled"])],
    differs: "only hosts that systemd runs",
    ..Spec::NONE
};

/// A script ends with this when the user has no manager to talk to.
const NO_MANAGER: i32 = 90;
/// A script ends with one of these when that part of the work failed.
const RELOAD: i32 = 91;
const REEXEC: i32 = 92;
const MASK: i32 = 93;
const ENABLE: i32 = 94;
const STATE: i32 = 95;

struct Systemd;

impl StateModule for Systemd {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let job = Job::of(args)?;
        if job.reloads() && !cx.check {
            return Ok(Next::Action(job.reload_and_act()));
        }
        let Some(unit) = &job.unit else { return Ok(Next::Ok(job.result(None))) };
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(job.prelude() + &job.look()))) };
        let state = job.seen(answer)?;
        let decision = Decision::make(args, unit, &state)?;
        let result = job.result(Some((&state, &decision)));
        if !decision.changes() {
            return Ok(Next::Ok(result));
        }
        let script = format!("{}{}", job.prelude(), decision.script(&job.command(), unit));
        Ok(Next::Change(Change {
            summary: decision.summary(unit),
            diff: vec![],
            steps: vec![Step::judged(script)],
            result,
        }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let job = Job::of(args)?;
        let Some(answer) = applied.last() else { return Ok(change.result.clone()) };
        job.judge(answer)?;
        if !job.reloads() {
            return Ok(change.result.clone());
        }
        // What was seen after the reload decides, and the script has acted on the same.
        let mut result = match &job.unit {
            Some(unit) => {
                let state = job.seen(answer)?;
                let decision = Decision::make(args, unit, &state)?;
                let mut result = job.result(Some((&state, &decision)));
                result.insert("changed".into(), decision.changes().into());
                result
            }
            None => job.result(None),
        };
        result.entry("changed".to_owned()).or_insert_with(|| false.into());
        Ok(result)
    }
}

/// What a task asks for, apart from the unit's state.
struct Job<'a> {
    args: &'a Args,
    unit: Option<String>,
}

impl<'a> Job<'a> {
    fn of(args: &'a Args) -> Result<Self, Failure> {
        let unit = args.str("name").map(str::to_owned);
        if let Some(name) = &unit
            && let Some(pattern) = ["*", "?", "["].into_iter().find(|pattern| name.contains(pattern))
        {
            return Err(Failure::new(format!(
                "This module does not currently support using glob patterns, found '{pattern}' in service name: {name}"
            )));
        }
        Ok(Self { args, unit })
    }

    fn reloads(&self) -> bool {
        self.args.bool("daemon_reload") || self.args.bool("daemon_reexec")
    }

    fn scope(&self) -> &str {
        self.args.str("scope").unwrap_or("system")
    }

    /// `systemctl` with the options that every call has.
    fn command(&self) -> String {
        let mut command = String::from("systemctl");
        if self.scope() != "system" {
            command.push_str(&format!(" --{}", self.scope()));
        }
        for (name, flag) in [("no_block", " --no-block"), ("force", " --force")] {
            if self.args.bool(name) {
                command.push_str(flag);
            }
        }
        command
    }

    /// Finds the user's manager: its sockets are where the user's number says, whatever the login left in the environment.
    fn prelude(&self) -> String {
        let mut script = String::from("LC_ALL=C; export LC_ALL\n");
        if self.scope() == "user" {
            script.push_str(&format!(
                "XDG_RUNTIME_DIR=/run/user/$(id -u)\n\
                 DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus\n\
                 export XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS\n\
                 there() {{ [ -S \"$XDG_RUNTIME_DIR/bus\" ] || [ -S \"$XDG_RUNTIME_DIR/systemd/private\" ]; }}\n\
                 if ! there; then\n\
                 n=$(id -un); i=0\n\
                 while [ -e \"/var/lib/systemd/linger/$n\" ] && ! there && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done\n\
                 there || {{ printf '%s' \"$n\"; exit {NO_MANAGER}; }}\n\
                 fi\n"
            ));
        }
        script
    }

    /// The read-only script: what `systemctl show` says and its status, then whether there is an init script of that name; only if
    /// one of them is unusual, what `is-enabled` says.
    fn look(&self) -> String {
        let unit = sh::quote(self.unit.as_deref().unwrap_or_default());
        let command = self.command();
        format!(
            "nl='\n'\n\
             command -v systemctl >/dev/null || exit 127\n\
             o=$({command} show -- {unit}); r=$?\n\
             printf '%s\\0%s' \"$o\" $r\n\
             i=; [ ! -e /etc/init.d/{unit} ] || i=1\n\
             e=; l=\n\
             if [ $r != 0 ] || [ -n \"$i\" ]; then e=$({command} is-enabled -- {unit} 2>/dev/null); fi\n\
             if [ $r != 0 ]; then {command} list-unit-files -- {unit} >/dev/null 2>&1 && l=listed; fi\n\
             printf '\\0%s\\0%s\\0%s\\0' \"$i\" \"$e\" \"$l\"\n"
        )
    }

    fn seen(&self, answer: &Answer) -> Result<Seen, Failure> {
        match answer.rc {
            127 => Err(Failure::of_answer("Failed to find required executable \"systemctl\" in paths", answer)),
            NO_MANAGER => Err(no_manager(answer)),
            _ => Seen::parse(answer, self.unit.as_deref().unwrap_or_default()),
        }
    }

    /// Reload, look, then act on what is there now: the shell's tests are those of [`Decision::make`].
    fn reload_and_act(&self) -> Change {
        let command = self.command();
        let mut script = self.prelude();
        let mut summary = vec![];
        for (name, verb, code) in
            [("daemon_reload", "daemon-reload", RELOAD), ("daemon_reexec", "daemon-reexec", REEXEC)]
        {
            if self.args.bool(name) {
                script.push_str(&format!("{command} {verb} || exit {code}\n"));
                summary.push(verb.to_owned());
            }
        }
        if let Some(unit) = &self.unit {
            script.push_str(&self.look());
            script.push_str(&unit::act_on_sight(self.args, &command, unit));
        }
        script.push_str("exit 0\n");
        let step = Step::judged(script);
        Change { summary, steps: vec![step], result: self.result(None), ..Change::default() }
    }

    fn judge(&self, answer: &Answer) -> Result<(), Failure> {
        let unit = self.unit.as_deref().unwrap_or_default();
        let err = answer.stderr_text();
        let (err, out) = (err.trim_end(), answer.stdout_text());
        // After a reload the properties stand before what the command said.
        let out = out.rsplit('\0').next().unwrap_or_default();
        let action = |name: &str| self.args.bool(name);
        match answer.rc {
            0 => Ok(()),
            NO_MANAGER => Err(no_manager(answer)),
            RELOAD | REEXEC => {
                let verb = if answer.rc == RELOAD { "daemon-reload" } else { "daemon-reexec" };
                Err(Failure::new(format!("failure 1 during {verb}: {err}")))
            }
            MASK => {
                let verb = if action("masked") { "mask" } else { "unmask" };
                Err(Failure::new(format!("Failed to {verb} the service ({unit}): {err}")))
            }
            ENABLE => {
                let verb = if action("enabled") { "enable" } else { "disable" };
                Err(Failure::new(format!("Unable to {verb} service {unit}: {out}{err}")))
            }
            STATE => {
                let user = if self.scope() == "user" { "--user " } else { "" };
                let verb = out.lines().last().unwrap_or("change").to_owned();
                Err(Failure::new(format!("Unable to {verb} service {unit}: {err}"))
                    .hint(format!("`journalctl {user}-u {unit} -n 50` on the host tells why")))
            }
            rc => Err(Failure::of_answer(format!("systemctl ended with status {rc}: {err}"), answer)),
        }
    }

    fn result(&self, found: Option<(&Seen, &Decision)>) -> Fields {
        let mut fields = Fields::new();
        fields.insert("name".into(), self.unit.as_deref().map_or(Value::from(()), Value::from));
        let status = found.map(|(state, _)| state.status.clone()).unwrap_or_default();
        fields.insert("status".into(), crate::value::from_fields(&status));
        if let Some((_, decision)) = found {
            if let Some(enabled) = decision.enabled_after {
                fields.insert("enabled".into(), enabled.into());
            }
            if let Some(state) = &decision.state_after {
                fields.insert("state".into(), state.as_str().into());
            }
        }
        fields
    }
}

fn no_manager(answer: &Answer) -> Failure {
    let user = answer.stdout_text();
    Failure::missing(format!("no systemd user manager runs for `{user}`"))
        .hint(format!("`loginctl enable-linger {user}` starts it at boot and now"))
}

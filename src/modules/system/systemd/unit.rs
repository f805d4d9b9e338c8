//! What `systemctl` says of one unit, and what is to be done about it.

use crate::connection::Answer;
use crate::modules::{Args, Failure};
use crate::sh;
use crate::value::{Fields, Value};

const SUFFIXES: &[&str] = &[
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".mount",
    ".automount",
    ".path",
    ".slice",
    ".scope",
    ".swap",
    ".device",
];

/// What was seen of a unit.
pub struct Seen {
    /// The properties that `systemctl show` prints: the result's `status`.
    pub status: Fields,
    /// Whether the unit, or an init script of that name, exists.
    pub found: bool,
    /// What `is-enabled` says, or would say.
    pub enablement: String,
}

impl Seen {
    /// Reads the answer to the look script.
    pub fn parse(answer: &Answer, unit: &str) -> Result<Self, Failure> {
        let text = answer.stdout_text();
        let mut parts = text.split('\0');
        let (show, rc) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("1"));
        let initd = parts.next() == Some("1");
        let is_enabled = parts.next().unwrap_or_default().trim().to_owned();
        let listed = parts.next().unwrap_or_default().contains("listed");
        let stderr = answer.stderr_text();
        let ignored = |text: &str| {
            !text.contains('=') && (text.contains("ignoring request") || text.contains("ignoring command"))
        };
        if rc == "0" && !ignored(show) && !ignored(&stderr) {
            let status = properties(show);
            let get = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let load = get("LoadState");
            let loaded = !load.is_empty() && load != "not-found";
            let error = get("LoadError");
            if loaded && load != "masked" && !error.is_empty() {
                return Err(Failure::new(format!("Error loading unit file '{unit}': {error}")));
            }
            let alias = loaded && !get("Id").is_empty() && get("Id") != full_name(unit);
            let enablement = match (is_enabled.as_str(), get("UnitFileState")) {
                ("", _) if alias => "alias".to_owned(),
                ("", state) => state,
                (said, _) => said.to_owned(),
            };
            return Ok(Self { found: loaded || initd, enablement, status });
        }
        let known = !is_enabled.is_empty() && is_enabled != "not-found";
        Ok(Self { status: Fields::new(), found: known || listed || initd, enablement: is_enabled })
    }

    fn active(&self) -> Option<&str> {
        self.status.get("ActiveState").and_then(Value::as_str)
    }

    /// The states with which `is-enabled -l` succeeds. `indirect` is left out as Ansible does: enabling can still do something.
    fn enabled(&self) -> bool {
        let states = ["enabled", "enabled-runtime", "static", "alias", "generated", "transient"];
        states.contains(&self.enablement.as_str())
    }
}

/// The name with its suffix.
fn full_name(unit: &str) -> String {
    if SUFFIXES.iter().any(|suffix| unit.ends_with(suffix)) { unit.to_owned() } else { format!("{unit}.service") }
}

/// `key=value` lines; only values of keys that start with `Exec` can span several lines, in braces.
fn properties(text: &str) -> Fields {
    let mut fields = Fields::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some((key, mut value)) = open.take() {
            value.push('\n');
            value.push_str(line);
            if line.trim_end().ends_with('}') {
                fields.insert(key, value.trim().into());
            } else {
                open = Some((key, value));
            }
        } else if let Some((key, value)) = line.split_once('=') {
            if key.starts_with("Exec") && value.trim_start().starts_with('{') && !value.trim_end().ends_with('}') {
                open = Some((key.to_owned(), value.to_owned()));
            } else {
                fields.insert(key.to_owned(), value.trim().into());
            }
        }
    }
    fields
}

/// What is to be done about a unit.
pub struct Decision {
    mask: Option<&'static str>,
    enable: Option<&'static str>,
    act: Option<&'static str>,
    /// The result's `enabled`.
    pub enabled_after: Option<bool>,
    /// The result's `state`.
    pub state_after: Option<String>,
}

impl Decision {
    /// Compares what is asked for with what was seen.
    pub fn make(args: &Args, unit: &str, seen: &Seen) -> Result<Self, Failure> {
        let mut decision = Self { mask: None, enable: None, act: None, enabled_after: None, state_after: None };
        if let Some(wanted) = args.opt_bool("masked")
            && wanted != (seen.enablement == "masked")
        {
            decision.mask = Some(if wanted { "mask" } else { "unmask" });
        }
        let missing = || Failure::missing(format!("Could not find the requested service {unit}: host"));
        if let Some(wanted) = args.opt_bool("enabled") {
            if !seen.found {
                return Err(missing());
            }
            if wanted != seen.enabled() {
                decision.enable = Some(if wanted { "enable" } else { "disable" });
            }
            decision.enabled_after = Some(wanted);
        }
        if let Some(wanted) = args.str("state") {
            if !seen.found {
                return Err(missing());
            }
            let Some(active) = seen.active() else {
                let status = crate::value::from_fields(&seen.status);
                return Err(Failure::new("Service is in unknown state").field("status", status));
            };
            let running = matches!(active, "active" | "activating");
            decision.act = match (wanted, running) {
                ("started", true) => None,
                ("stopped", false) if active != "deactivating" => None,
                ("stopped", _) => Some("stop"),
                ("restarted", true) => Some("restart"),
                ("reloaded", true) => Some("reload"),
                (_, _) => Some("start"),
            };
            decision.state_after = Some(if wanted == "stopped" { "stopped" } else { "started" }.to_owned());
        }
        Ok(decision)
    }

    /// Whether anything is to be done.
    pub fn changes(&self) -> bool {
        self.mask.is_some() || self.enable.is_some() || self.act.is_some()
    }

    /// For people.
    pub fn summary(&self, unit: &str) -> Vec<String> {
        [self.mask, self.enable, self.act].into_iter().flatten().map(|verb| format!("{verb} {unit}")).collect()
    }

    /// The commands, in Ansible's order; each failure has its status.
    pub fn script(&self, command: &str, unit: &str) -> String {
        let steps = [(self.mask, super::MASK), (self.enable, super::ENABLE), (self.act, super::STATE)];
        steps.into_iter().filter_map(|(verb, code)| Some(line(command, verb?, unit, code))).collect()
    }
}

fn line(command: &str, verb: &str, unit: &str, code: i32) -> String {
    let tell = if code == super::STATE { format!("echo {verb}; ") } else { String::new() };
    format!("{command} {verb} -- {} || {{ {tell}exit {code}; }}\n", sh::quote(unit))
}

/// The same decision by the shell, over what it has just seen in `$o` (the properties), `$r` (0 when they are there) and
/// `$e` (what `is-enabled` said, if it was asked).
pub fn act_on_sight(args: &Args, command: &str, unit: &str) -> String {
    let mut script = format!(
        "is() {{ case \"$nl$o$nl\" in *\"$nl$1$nl\"*) return 0 ;; esac; return 1; }}\n\
         if [ -z \"$e\" ]; then\n\
         e=${{o##*\"$nl\"UnitFileState=}}; [ \"$e\" != \"$o\" ] || e=; e=${{e%%\"$nl\"*}}\n\
         is Id={} || is LoadState=not-found || e=alias\n\
         fi\n",
        sh::quote(&full_name(unit))
    );
    let run = |verb: &str, code| line(command, verb, unit, code);
    if let Some(wanted) = args.opt_bool("masked") {
        let (test, verb) = if wanted { ("!=", "mask") } else { ("=", "unmask") };
        script
            .push_str(&format!("if [ \"$e\" {test} masked ]; then {} fi\n", run(verb, super::MASK).replace('\n', ";")));
    }
    let needs_unit = args.opt_bool("enabled").is_some() || args.str("state").is_some();
    if needs_unit {
        script.push_str("if is LoadState=not-found && [ -z \"$i\" ]; then exit 0; fi\n");
    }
    if let Some(wanted) = args.opt_bool("enabled") {
        let (on, off) = if wanted {
            (":\n".to_owned(), run("enable", super::ENABLE))
        } else {
            (run("disable", super::ENABLE), ":\n".to_owned())
        };
        script.push_str(&format!(
            "case $e in\nenabled | enabled-runtime | static | alias | generated | transient) {on};;\n*) {off};;\nesac\n"
        ));
    }
    if let Some(wanted) = args.str("state") {
        let (running, resting) = match wanted {
            "started" => (":\n".to_owned(), run("start", super::STATE)),
            "stopped" => (
                run("stop", super::STATE),
                format!("if is ActiveState=deactivating; then {} fi\n", run("stop", super::STATE).replace('\n', ";")),
            ),
            "restarted" => (run("restart", super::STATE), run("start", super::STATE)),
            _ => (run("reload", super::STATE), run("start", super::STATE)),
        };
        script.push_str(&format!(
            "[ \"$r\" = 0 ] || exit 0\nif is ActiveState=active || is ActiveState=activating; then\n{running}else\n{resting}fi\n"
        ));
    }
    script
}

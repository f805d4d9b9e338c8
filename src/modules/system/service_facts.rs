//! `service_facts`: every service as a fact.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use crate::connection::Answer;
use crate::modules::{Args, Context, Failure, Kind, Module, Next, Probe, Spec, StateModule};
use crate::sh;
use crate::value::{Fields, from_json};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&ServiceFacts) };

static SPEC: Spec = Spec {
    name: "service_facts",
    fqcn: &["ansible.builtin.service_facts"],
    summary: "Gathers the services of the host as facts",
    differs: "systemd and init scripts only",
    ..Spec::NONE
};

/// States that count wherever they stand in a line.
const BAD: [&str; 3] = ["not-found", "masked", "failed"];

const LOOK: &str = "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin\n\
if command -v service >/dev/null && ! command -v chkconfig >/dev/null && ! command -v rc-status >/dev/null; then\n\
service --status-all 2>/dev/null\nfi\nprintf '\\0'\n\
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then\n\
systemctl list-units --no-pager --type service --all --plain\nprintf '\\0'\n\
systemctl list-unit-files --no-pager --type service --all\nfi\nexit 0\n";

struct ServiceFacts;

impl StateModule for ServiceFacts {
    fn plan(&self, _: &Context<'_>, _: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(LOOK))) };
        let text = answer.stdout_text();
        let mut parts = text.split('\0');
        let (scripts, units, files) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut services = Map::new();
        init_scripts(scripts, &mut services);
        loaded(units, &mut services);
        let unloaded = unloaded(files, &services);
        // Units that are not loaded are asked for their state, all at once. Templates have none.
        let names: Vec<&str> = unloaded.iter().copied().filter(|name| !name.contains("@.")).collect();
        let states: HashMap<&str, String> = match seen.get(1) {
            Some(answer) => {
                let text = answer.stdout_text();
                let states = text.lines().filter_map(|line| line.strip_prefix("ActiveState=")).map(str::to_owned);
                names.iter().copied().zip(states).collect()
            }
            None if names.is_empty() => HashMap::new(),
            None => {
                let ask = format!("LC_ALL=C systemctl show --property=ActiveState -- {}; exit 0\n", sh::join(names));
                return Ok(Next::Probe(Probe::new(ask)));
            }
        };
        add_files(files, &states, &mut services);
        if services.is_empty() {
            let msg = "Failed to find any services. This can be due to privileges or some other configuration issue.";
            return Ok(Next::Skip(Fields::from_iter([("msg".to_owned(), msg.into())])));
        }
        let facts = from_json(&json!({ "services": services }));
        Ok(Next::Ok(Fields::from_iter([("ansible_facts".to_owned(), facts)])))
    }
}

/// ` [ + ]  name` lines.
fn init_scripts(text: &str, services: &mut Map<String, Json>) {
    for line in text.lines().map(str::trim_start) {
        let (state, rest) = match (line.strip_prefix("[ + ]"), line.strip_prefix("[ - ]")) {
            (Some(rest), _) => ("running", rest),
            (_, Some(rest)) => ("stopped", rest),
            _ => continue,
        };
        let name = rest.trim_start();
        services.insert(name.to_owned(), json!({ "name": name, "state": state, "source": "sysv" }));
    }
}

fn service_lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| line.contains(".service")).map(|line| line.split_whitespace().collect())
}

/// Units as systemd has loaded them. A bad state stands in any column but the last word of the description.
fn loaded(text: &str, services: &mut Map<String, Json>) {
    for words in service_lines(text) {
        let (Some(name), Some(active), Some(sub)) = (words.first(), words.get(2), words.get(3)) else { continue };
        let columns = words.get(..words.len() - 1).unwrap_or_default();
        let status = BAD.into_iter().find(|bad| columns.contains(bad)).unwrap_or(active);
        let state = if *sub == "running" { "running" } else { "stopped" };
        services
            .insert((*name).to_owned(), json!({ "name": name, "state": state, "status": status, "source": "systemd" }));
    }
}

fn unloaded<'a>(files: &'a str, services: &Map<String, Json>) -> Vec<&'a str> {
    let names = service_lines(files).filter_map(|words| words.first().copied());
    names.filter(|name| !services.contains_key(*name)).collect()
}

fn add_files(files: &str, states: &HashMap<&str, String>, services: &mut Map<String, Json>) {
    for words in service_lines(files) {
        let [name, status, ..] = words[..] else { continue };
        match services.get_mut(name) {
            None => {
                let state = states.get(name).map_or("unknown", String::as_str);
                services.insert(
                    name.to_owned(),
                    json!({ "name": name, "state": state, "status": status, "source": "systemd" }),
                );
            }
            Some(known) => {
                let good = known.get("status").and_then(Json::as_str).is_none_or(|status| !BAD.contains(&status));
                if let Some(known) = known.as_object_mut().filter(|_| good) {
                    known.insert("status".into(), json!(status));
                }
            }
        }
    }
}

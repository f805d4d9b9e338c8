//! `mms.tailscale`: a host in the tailnet, and what it serves there by HTTPS.
//!
//! The auth key is read by `tailscale up` from stdin, so it is never an argument of a process. Serve entries are compared one by
//! one with what the host serves.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::load;
use crate::connection::Answer;
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Probe, Spec, StateModule, Step, Type};
use crate::sh;
use crate::value::{Fields, Value, to_json, unknown_inside};

pub(super) static SPEC: Spec = Spec {
    name: "mms.tailscale",
    fqcn: &["mms.tailscale"],
    summary: "Joins a host to a tailnet and serves local ports there by HTTPS.",
    options: &[
        Opt::new("state", Type::Str, "Whether the host is in the tailnet.")
            .choices(&["up", "down"])
            .default(Default::Str("up")),
        Opt::new("auth_key", Type::Str, "Key to log in with; needed only while the host is not logged in.").no_log(),
        Opt::new("hostname", Type::Str, "Name in the tailnet."),
        Opt::new("accept_routes", Type::Bool, "Whether routes of other hosts are used."),
        Opt::new("accept_dns", Type::Bool, "Whether the tailnet's DNS settings are used."),
        Opt::new("ssh", Type::Bool, "Whether Tailscale SSH is on."),
        Opt::new(
            "serve",
            Type::List,
            "What is served: mappings with `https` (port in the tailnet), `port` (on 127.0.0.1) and `path`.",
        ),
        Opt::new("services", Type::StrList, "Services whose `expose` entries are served as well."),
    ],
    ..Spec::NONE
};

pub(super) struct Tailscale;

/// HTTPS port and path → what answers.
type Served = BTreeMap<(u16, String), String>;

const PROBE: &str = r#"LC_ALL=C; export LC_ALL
command -v tailscale >/dev/null 2>&1 || { echo '{"absent":true}'; exit 0; }
status=$(tailscale status --json --peers=false 2>/dev/null) || status=$(tailscale status --json 2>/dev/null)
serve=$(tailscale serve status --json 2>/dev/null)
prefs=$(tailscale debug prefs 2>/dev/null)
printf '{"status":%s,"serve":%s,"prefs":%s}\n' "${status:-null}" "${serve:-null}" "${prefs:-null}"
"#;

impl StateModule for Tailscale {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(PROBE))) };
        let Ok(is) = serde_json::from_slice::<Json>(&answer.stdout) else {
            return Err(Failure::of_answer("cannot read the state of Tailscale", answer));
        };
        if is.get("absent").is_some() {
            return Err(Failure::missing("Tailscale is not installed").hint("the role `tailscale` installs it"));
        }
        let Some(backend) = is.pointer("/status/BackendState").and_then(Json::as_str) else {
            return Err(
                Failure::missing("tailscaled does not answer").hint("start it: `systemctl enable --now tailscaled`")
            );
        };
        let mut change = Change::default();
        if args.text("state") == "down" {
            if backend == "Running" {
                change.summary.push("leave the tailnet".to_owned());
                change.steps.push(Step::run("tailscale down"));
            }
            return Ok(finish(change, &is));
        }
        connect(&mut change, args, backend, &is)?;
        if args.get("serve").is_some() || args.get("services").is_some() {
            match wanted(cx, args)? {
                Ok(wanted) => serve(&mut change, &wanted, &served(&is)),
                Err(why) => return Ok(Next::Unknown(why)),
            }
        }
        Ok(finish(change, &is))
    }
}

fn finish(mut change: Change, is: &Json) -> Next {
    let mut fields = Fields::new();
    for (name, pointer) in [("name", "/status/Self/DNSName"), ("address", "/status/Self/TailscaleIPs/0")] {
        if let Some(text) = is.pointer(pointer).and_then(Json::as_str) {
            fields.insert(name.to_owned(), Value::from(text.trim_end_matches('.')));
        }
    }
    if change.steps.is_empty() {
        return Next::Ok(fields);
    }
    change.result = fields;
    Next::Change(change)
}

fn connect(change: &mut Change, args: &Args, backend: &str, is: &Json) -> Result<(), Failure> {
    let mut flags = vec![];
    let mut differs = vec![];
    if let Some(name) = args.str("hostname") {
        flags.push(format!("--hostname={name}"));
        let prefs = is.pointer("/prefs/Hostname").and_then(Json::as_str).filter(|name| !name.is_empty());
        let now = prefs.or_else(|| is.pointer("/status/Self/HostName").and_then(Json::as_str)).unwrap_or_default();
        if now != name {
            differs.push(format!("hostname {now} → {name}"));
        }
    }
    for (option, flag, pref) in [
        ("accept_routes", "--accept-routes", "/prefs/RouteAll"),
        ("accept_dns", "--accept-dns", "/prefs/CorpDNS"),
        ("ssh", "--ssh", "/prefs/RunSSH"),
    ] {
        if let Some(wanted) = args.opt_bool(option) {
            flags.push(format!("{flag}={wanted}"));
            // Preferences that cannot be read are set only together with others.
            let now = is.pointer(pref).and_then(Json::as_bool).unwrap_or(wanted);
            if now != wanted {
                differs.push(format!("{option} {now} → {wanted}"));
            }
        }
    }
    let flags = sh::join(flags);
    match backend {
        "Running" | "Starting" if differs.is_empty() => {}
        "Running" | "Starting" => {
            change.summary.extend(differs);
            change.steps.push(Step::run(format!("tailscale set {flags}")));
        }
        "NeedsMachineAuth" => {
            return Err(Failure::new("the host waits to be approved in the tailnet")
                .hint("approve it in the admin console of Tailscale, or use a pre-approved auth key"));
        }
        "Stopped" => {
            change.summary.push("join the tailnet".to_owned());
            change.steps.push(Step::run(format!("tailscale up --reset --timeout=60s {flags}")));
        }
        _ => {
            let Some(key) = args.str("auth_key").filter(|key| !key.is_empty()) else {
                return Err(Failure::new("the host is not logged in to a tailnet and there is no `auth_key`").hint(
                    "make a key in the admin console and put it in the vault: `mms vault set vault_tailscale_auth_key`",
                ));
            };
            change.summary.push("log in to the tailnet".to_owned());
            let script = format!("tailscale up --reset --timeout=60s --auth-key=file:/dev/stdin {flags}");
            change.steps.push(Step::feed(script, key.as_bytes().to_vec()));
        }
    }
    Ok(())
}

/// What is to be served; the inner error says why it is not known yet.
fn wanted(cx: &Context<'_>, args: &Args) -> Result<Result<Served, String>, Failure> {
    let mut wanted = Served::new();
    let mut add = |https: u16, port: u16, path: Option<&str>, from: &str| {
        let path = match path {
            Some(path) if path.starts_with('/') => path.to_owned(),
            Some(path) => format!("/{path}"),
            None => "/".to_owned(),
        };
        let target = format!("http://127.0.0.1:{port}");
        match wanted.insert((https, path.clone()), target.clone()) {
            Some(earlier) if earlier != target => {
                Err(Failure::new(format!("{from}: https port {https}{path} already serves {earlier}")))
            }
            _ => Ok(()),
        }
    };
    for entry in args.list("serve") {
        if let Some(why) = unknown_inside(&entry) {
            return Ok(Err(why));
        }
        let json = to_json(&entry);
        let expose: super::model::Expose =
            super::read::from_json(&json).map_err(|error| Failure::new(format!("an entry of `serve`: {error}")))?;
        add(expose.https, expose.port, expose.path.as_deref(), "`serve`")?;
    }
    for name in args.strings("services") {
        let (node, value) = cx.workstation.project_file(&format!("services/{name}.yml"))?;
        if let Some(why) = unknown_inside(&value) {
            return Ok(Err(why));
        }
        let service = load::read(&name, &value, Some(&node)).map_err(super::module::of_error)?;
        for expose in &service.expose {
            add(expose.https, expose.port, expose.path.as_deref(), &format!("service `{name}`"))?;
        }
    }
    Ok(Ok(wanted))
}

/// What the host serves: only proxies, which is what this module makes.
fn served(is: &Json) -> Served {
    let mut served = Served::new();
    let Some(hosts) = is.pointer("/serve/Web").and_then(Json::as_object) else { return served };
    for (host, web) in hosts {
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let handlers = web.get("Handlers").and_then(Json::as_object);
        let (Some(port), Some(handlers)) = (port, handlers) else { continue };
        for (path, handler) in handlers {
            if let Some(target) = handler.get("Proxy").and_then(Json::as_str) {
                served.insert((port, path.clone()), target.trim_end_matches('/').to_owned());
            }
        }
    }
    served
}

fn serve(change: &mut Change, wanted: &Served, is: &Served) {
    let at = |(port, path): &(u16, String)| sh::join([format!("--https={port}"), format!("--set-path={path}")]);
    for key in is.keys().filter(|key| !wanted.contains_key(*key)) {
        change.summary.push(format!("stop serving https port {}{}", key.0, key.1));
        change.steps.push(Step::run(format!("tailscale serve --yes {} off", at(key))));
    }
    for (key, target) in wanted.iter().filter(|(key, target)| is.get(*key) != Some(*target)) {
        change.summary.push(format!("serve {target} at https port {}{}", key.0, key.1));
        change.steps.push(Step::run(format!("tailscale serve --bg --yes {} {}", at(key), sh::quote(target))));
    }
}

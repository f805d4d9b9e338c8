//! `mms.service`, `mms.services` and `mms.tailscale`: the door for playbooks.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::deploy::{self, Request};
use super::load;
use super::model::{Command, Service};
use super::plan::Aim;
use super::tailscale;
use crate::error::Error;
use crate::modules::{ActionModule, Args, Context, Default, Failure, Host, Kind, Module, Opt, Outcome, Spec, Type};
use crate::value::{Value, unknown_inside, unknown_why};
use crate::yaml::Node;

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    Module { spec: &SERVICE, kind: Kind::Action(&OneService) },
    Module { spec: &SERVICES, kind: Kind::Action(&ManyServices) },
    Module { spec: &tailscale::SPEC, kind: Kind::State(&tailscale::Tailscale) },
];

const STATE: Opt = Opt::new(
    "state",
    Type::Str,
    "`present`: deployed and well. `restarted`: the same, and every container started anew. `absent`: stopped and removed; data stays.",
)
.choices(&["present", "absent", "restarted"])
.default(Default::Str("present"));
const USER: Opt =
    Opt::new("user", Type::Str, "The user that runs the containers (rootless).").default(Default::Str("mms"));
const PULL: Opt = Opt::new(
    "pull",
    Type::Str,
    "`missing`: images are pulled when the host does not have them. `newer`: registries are asked for new content behind the same versions.",
)
.choices(&["missing", "newer"])
.default(Default::Str("missing"));

static SERVICE: Spec = Spec {
    name: "mms.service",
    fqcn: &["mms.service"],
    summary: "Deploys one service as rootless Podman Quadlet units, waits until it is well, and rolls back when it is not.",
    options: &[
        Opt::new("name", Type::Str, "The service. Without `definition`, `services/<name>.yml` describes it.")
            .required(),
        Opt::new("definition", Type::Dict, "The description itself, in the form of a file in `services/`."),
        STATE,
        USER,
        PULL,
    ],
    ..Spec::NONE
};

static SERVICES: Spec = Spec {
    name: "mms.services",
    fqcn: &["mms.services"],
    summary: "Deploys several services of a host at once, in the order of their `after`. A service that fails does not hold up the others.",
    options: &[
        Opt::new("services", Type::List, "Names of files in `services/`, or descriptions with a `name`.").required(),
        Opt::new(
            "declared",
            Type::List,
            "Names of all services that the host is to have. When `services` has them all, a warning names those that mms deployed there earlier and that are in neither list.",
        ),
        STATE,
        USER,
        PULL,
    ],
    ..Spec::NONE
};

struct OneService;
struct ManyServices;

impl ActionModule for OneService {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        let entry = Entry { name: args.text("name").to_owned(), definition: args.get("definition").cloned() };
        deploy(cx, args, host, vec![entry]).boxed()
    }
}

impl ActionModule for ManyServices {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        async move {
            let entries = args.list("services").into_iter().map(Entry::of).collect::<Result<Vec<_>, _>>()?;
            deploy(cx, args, host, entries).await
        }
        .boxed()
    }
}

/// A service as a task names it.
struct Entry {
    name: String,
    definition: Option<Value>,
}

impl Entry {
    fn of(value: Value) -> Result<Self, Failure> {
        if let Some(name) = value.as_str() {
            return Ok(Self { name: name.to_owned(), definition: None });
        }
        let name = value.get_attr("name").ok().and_then(|name| name.as_str().map(str::to_owned));
        let missing = || Failure::new("an entry of the list is neither a name nor a description with a `name`");
        Ok(Self { name: name.ok_or_else(missing)?, definition: Some(value) })
    }
}

async fn deploy(cx: &Context<'_>, args: &Args, host: &dyn Host, entries: Vec<Entry>) -> Result<Outcome, Failure> {
    let aim = match args.text("state") {
        "absent" => Aim::Absent,
        "restarted" => Aim::Restarted,
        _ => Aim::Present,
    };
    let mut services = vec![];
    for entry in entries {
        let (written, value) = match entry.definition {
            Some(value) => (None, value),
            None => {
                let (node, value) = cx.workstation.project_file(&format!("services/{}.yml", entry.name))?;
                (Some(node), value)
            }
        };
        if let Some(why) = unknown_inside(&value) {
            return Ok(Outcome::Unknown(why));
        }
        let service = load::read(&entry.name, &value, written.as_ref()).map_err(of_error)?;
        let secrets = if aim == Aim::Absent { Ok(BTreeMap::new()) } else { secrets(cx, &service, written.as_ref())? };
        match secrets {
            Ok(secrets) => services.push((service, secrets)),
            Err(why) => return Ok(Outcome::Unknown(why)),
        }
    }
    let names = || args.list("declared").into_iter().map(|value| Entry::of(value).map(|entry| entry.name)).collect();
    let declared = args.get("declared").map(|_| names()).transpose()?;
    let elsewhere = elsewhere(cx, services.iter().map(|(service, _)| service));
    let request = Request {
        services,
        aim,
        newer: args.text("pull") == "newer",
        user: args.text("user"),
        declared,
        elsewhere: &|name| elsewhere.get(name).cloned(),
    };
    deploy::run(cx, host, request).await
}

/// The values of a service's secrets; the inner error says why one is not known yet.
fn secrets(
    cx: &Context<'_>,
    service: &Service,
    written: Option<&Node>,
) -> Result<Result<BTreeMap<String, String>, String>, Failure> {
    let mut values = BTreeMap::new();
    for (container, name, secret) in service
        .containers
        .iter()
        .flat_map(|(container, it)| it.secrets.iter().map(move |(name, secret)| (container, name, secret)))
    {
        let place = || written.map(|node| format!(" ({})", load::locate_secret(node, container, name)));
        let Some(value) = cx.workstation.variable(&secret.variable)? else {
            let place = place().unwrap_or_default();
            return Err(Failure::new(format!(
                "service `{}`: the variable `{}` of the secret `{name}` is not defined{place}",
                service.name, secret.variable
            ))
            .hint(format!("set it in the vault: `mms vault set {}`", secret.variable)));
        };
        if let Some(why) = unknown_why(&value) {
            return Ok(Err(why));
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if text.is_empty() {
            let place = place().unwrap_or_default();
            return Err(Failure::new(format!("service `{}`: the secret `{name}` is empty{place}", service.name)));
        }
        if values.insert(name.clone(), text.clone()).is_some_and(|earlier| earlier != text) {
            return Err(Failure::new(format!(
                "service `{}`: two containers have a secret `{name}` with different values",
                service.name
            )));
        }
    }
    clear_text(cx, service)?;
    Ok(Ok(values))
}

/// Refuses secrets where they would stand readable in a unit file. Short values are let through: a vault that holds a user name
/// or a number would make every mention of it a secret.
fn clear_text(cx: &Context<'_>, service: &Service) -> Result<(), Failure> {
    for (container, it) in &service.containers {
        let environment = it.environment.iter().map(|(name, value)| ("environment", name, value.0.as_str()));
        let environment = environment.map(|(what, name, value)| (format!("{what} `{name}`"), value));
        let labels = it.labels.iter().map(|(name, value)| (format!("label `{name}`"), value.0.as_str()));
        let health = it.health.as_ref().map(|health| &health.cmd);
        let commands = [("command", it.command.as_ref()), ("health command", health)];
        let commands = commands.into_iter().flat_map(|(what, command)| {
            let words = match command {
                Some(Command::Shell(text)) => std::slice::from_ref(text),
                Some(Command::Words(words)) => words,
                None => &[],
            };
            words.iter().map(move |word| (what.to_owned(), word.as_str()))
        });
        let arguments = it.podman_args.0.iter().map(|word| ("`podman_args`".to_owned(), word.as_str()));
        let entrypoint = it.entrypoint.iter().map(|text| ("entrypoint".to_owned(), text.as_str()));
        let mut texts = environment.chain(labels).chain(commands).chain(arguments).chain(entrypoint);
        if let Some((what, _)) = texts.find(|(_, text)| text.len() >= 8 && cx.workstation.is_secret(text)) {
            return Err(Failure::new(format!(
                "service `{}`: the {what} of `{container}` holds a secret, which would stand readable in its unit file",
                service.name
            ))
            .hint("list it under `secrets:` with its variable and `env:`, or as a file in /run/secrets"));
        }
    }
    Ok(())
}

/// The containers of services that others wait for but that are not part of this task.
fn elsewhere<'a>(cx: &Context<'_>, services: impl Iterator<Item = &'a Service>) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for name in services.flat_map(Service::outside) {
        if let Ok((node, _)) = cx.workstation.project_file(&format!("services/{name}.yml")) {
            let containers = node.as_map().and_then(|map| map.get("containers")).and_then(Node::as_map);
            let names =
                containers.map(|map| map.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect());
            found.insert(name.to_owned(), names.unwrap_or_else(|| vec![name.to_owned()]));
        }
    }
    found
}

/// An error about what the user wrote as the failure of a task.
pub fn of_error(error: Error) -> Failure {
    let mut failure = Failure::new(error.to_string());
    failure.hints = error.diagnostics().iter().flat_map(|diagnostic| diagnostic.hints.clone()).collect();
    failure
}

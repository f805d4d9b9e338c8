//! `mms status`.

use std::sync::Arc;

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::session::{Selected, text_of};
use super::{Global, Session, complete, services, signals};
use crate::diagnostic::Diagnostic;
use crate::engine::{Engine, Host, LockOptions, Parts, Question};
use crate::error::{Error, Exit, Result};
use crate::event::{Event, Sink};
use crate::playbook::Vars;
use crate::service::status::{self, Condition, ContainerStatus, HostStatus, ServiceStatus};
use crate::ui::{Style, Ui};
use crate::vars::RunOptions;

/// Show how the services are doing
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms status\n  mms status radarr --json")]
pub struct Status {
    /// Only these services
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
}

impl Status {
    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let session = Session::open(global, ui)?;
        services::variables(&session, &self.services)?;
        let engine = looking(&session, self.limit.clone())?;
        let hosts = with_services(&engine)?;
        let asking = futures::future::join_all(hosts.iter().map(|host| known(&engine, host)));
        let asked = signals::until_stopped(asking).await;
        engine.close().await;
        let asked = asked.map_err(signals::Signal::error)?;
        let mut exit = Exit::Ok;
        for (host, answer) in hosts.iter().zip(asked) {
            match answer {
                Ok(mut found) => {
                    found.retain(|service| self.services.is_empty() || self.services.contains(&service.service));
                    if found.iter().any(|service| !service.is_well()) {
                        exit = exit.or_worse(Exit::Failed);
                    }
                    show(ui, global.json, host.name(), &found);
                }
                Err(error) => {
                    exit = exit.or_worse(error.exit());
                    ui.error(&error);
                }
            }
        }
        Ok(exit)
    }
}

/// An engine for verbs that only look.
pub(super) fn looking(session: &Session, limit: Option<String>) -> Result<Engine> {
    engine(session, limit, None)
}

/// An engine for a verb that changes hosts by itself: it can [`Engine::lock`] them, and says when it waits for another run. `what` is
/// what others are told, without arguments.
pub(super) fn working(session: &Session, limit: Option<String>, what: &str) -> Result<Engine> {
    let lock = LockOptions {
        owner: super::session::owner(),
        what: format!("{what} of {}", session.project.root().display()),
        patience: session.settings.lock_timeout,
    };
    engine(session, limit, Some(lock))
}

fn engine(session: &Session, limit: Option<String>, lock: Option<LockOptions>) -> Result<Engine> {
    let templar = session.templar();
    let extra = Arc::new(Vars::new());
    let loader = session.loader(&templar, &extra);
    let inventory = session.inventory()?;
    session.check_limit(&inventory, limit.as_deref())?;
    if inventory.hosts().next().is_none() {
        let hint = "put hosts into `inventory/hosts.yml`, or name another inventory with `-i`";
        session.project.warn([Diagnostic::warning("the inventory has no hosts").hint(hint)]);
    }
    let options = RunOptions { forks: session.settings.forks, limit: limit.clone(), ..RunOptions::default() };
    let world = session.world(&inventory, &session.project.playbooks(), extra, options)?;
    session.show_warnings();
    Ok(Engine::new(Parts {
        world,
        templar,
        loader,
        connector: session.connector(),
        hosts: Arc::new(Selected { inventory, limit }),
        secrets: session.secrets(),
        sink: Arc::new(Quiet { ui: session.ui.clone() }),
        redactor: session.ui.redactor().clone(),
        target: session.target_defaults(),
        prompter: Arc::clone(&session.prompter),
        start_at: None,
        force_handlers: false,
        // Nothing here notifies handlers.
        journal: false,
        lock,
    }))
}

/// Shows nothing but that somebody else is waited for, and what must not be missed.
struct Quiet {
    ui: Ui,
}

impl Sink for Quiet {
    fn emit(&self, event: Event) {
        match event {
            Event::Message { host, text } => self.ui.note(&format!("{host}: {text}")),
            Event::Warning(warning) => self.ui.diagnostic(&warning),
            _ => {}
        }
    }
}

/// The hosts that have services (`mms_services`); all of them when nobody says which. Others of the inventory, such as one that is
/// migrated from, have no user of containers.
pub(super) fn with_services(engine: &Engine) -> Result<Vec<Arc<Host>>> {
    let all = engine.select("all")?;
    let mut some = vec![];
    for host in &all {
        if engine.variable_of(host, "mms_services")?.is_some() {
            some.push(Arc::clone(host));
        }
    }
    Ok(if some.is_empty() { all } else { some })
}

/// The user that the containers of a host run as.
pub(super) fn user_of(engine: &Engine, host: &Host) -> Result<String> {
    Ok(engine.variable_of(host, "mms_user")?.map_or_else(|| "mms".to_owned(), |user| text_of(&user)))
}

/// The services of a host. A host whose media user does not exist has none.
pub(super) async fn of_host(engine: &Engine, host: &Arc<Host>) -> Result<HostStatus> {
    let question = Question { script: status::probe_script(), user: Some(user_of(engine, host)?) };
    let answer = engine.ask(host, &question, None).await?;
    if !answer.ok() {
        let error =
            Error::new(crate::error::ErrorKind::Failed, format!("{}: {}", host.name(), answer.stderr_text().trim()));
        return Err(error);
    }
    Ok(status::read(&answer.stdout))
}

/// The same, where systemd and Podman both say how they are.
async fn known(engine: &Engine, host: &Arc<Host>) -> Result<Vec<ServiceStatus>> {
    let HostStatus { services, silent } = of_host(engine, host).await?;
    let Some(silent) = silent else { return Ok(services) };
    let (who, ask) =
        if silent == "systemd" { ("systemd", "systemctl --user list-units") } else { ("Podman", "podman ps --all") };
    let text = format!("{}: {who} of `{}` does not answer", host.name(), user_of(engine, host)?);
    Err(Error::new(crate::error::ErrorKind::Failed, text).hint(format!("`{ask}` there, as that user, says why")))
}

fn show(ui: &Ui, json: bool, host: &str, found: &[ServiceStatus]) {
    if json {
        ui.data(&serde_json::json!({"host": host, "services": found}).to_string());
        return;
    }
    let paint = ui.paint();
    let containers =
        || found.iter().flat_map(|service| service.containers.iter().map(move |container| (service, container)));
    let width = |get: fn(&ServiceStatus, &ContainerStatus) -> usize, least: usize| {
        containers().map(|(service, container)| get(service, container)).max().unwrap_or(0).max(least)
    };
    let service_width = width(|service, _| service.service.chars().count(), 7);
    let name_width = width(|_, container| container.name.chars().count(), 9);
    let image_width = width(|_, container| container.image.chars().count(), 5);
    let well = containers().filter(|(_, container)| container.condition == Condition::Well).count();
    ui.data(&paint.text(Style::Strong, &format!("{host}: {well} of {} containers well", containers().count())));
    if found.is_empty() {
        return;
    }
    let header = format!(
        "  {:service_width$}  {:name_width$}  {:9}  {:image_width$}  SINCE",
        "SERVICE", "CONTAINER", "STATE", "IMAGE"
    );
    ui.data(&paint.text(Style::Dim, &header));
    let mut before = "";
    for (service, container) in containers() {
        let shown = if service.service == before { "" } else { service.service.as_str() };
        before = &service.service;
        let (word, style) = match container.condition {
            Condition::Well => ("well", Style::Good),
            Condition::Starting => ("starting", Style::Unknown),
            Condition::Unhealthy => ("unhealthy", Style::Bad),
            Condition::Failed => ("failed", Style::Bad),
            Condition::Stopped => ("stopped", Style::Changed),
        };
        let state = paint.text(style, &format!("{word:9}"));
        let mut line = format!(
            "  {shown:service_width$}  {:name_width$}  {state}  {:image_width$}  {}",
            container.name, container.image, container.since
        );
        if container.restarts > 0 {
            line.push_str(&format!("  {} restarts", container.restarts));
        }
        if container.drifted {
            line.push_str("  (its unit is not the one that mms deployed)");
        }
        ui.data(line.trim_end());
    }
}

//! `mms logs`.

use std::sync::Arc;

use clap::Args;
use clap_complete::ArgValueCandidates;
use tokio::sync::mpsc;

use super::session::text_of;
use super::signals::{self, Signal};
use super::status::{looking, of_host};
use super::{Global, Session, complete, services};
use crate::engine::{Engine, Host, Question};
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::service::logs::{LogOptions, script};
use crate::ui::Ui;

/// Show what the containers of a service wrote
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms logs radarr\n  mms logs immich -f\n  mms logs sonarr --since '1 hour ago'")]
pub struct Logs {
    /// The service
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    service: String,
    /// Keep showing new lines until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many lines from the end
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100)]
    lines: u32,
    /// Only lines since then, as journalctl understands it
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only hosts that match this pattern
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    limit: Option<String>,
}

impl Logs {
    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let session = Session::open(global, ui)?;
        services::variables(&session, std::slice::from_ref(&self.service))?;
        let engine = looking(&session, self.limit.clone())?;
        let hosts = super::status::with_services(&engine)?;
        let many = hosts.len() > 1;
        let work = futures::future::join_all(hosts.iter().map(|host| self.of_host(&engine, host, ui, many)));
        let outcome = match signals::until_stopped(work).await {
            Ok(outcomes) => outcomes.into_iter().collect::<Result<Vec<bool>>>(),
            // That is how following ends.
            Err(Signal::Interrupt) if self.follow => Ok(vec![true]),
            Err(signal) => Err(signal.error()),
        };
        engine.close().await;
        if !outcome?.contains(&true) {
            return Err(Error::new(ErrorKind::Failed, format!("no host runs `{}`", self.service))
                .hint("`mms status` shows what runs where"));
        }
        Ok(Exit::Ok)
    }

    /// Shows the lines of one host; false when it does not run the service.
    async fn of_host(&self, engine: &Engine, host: &Arc<Host>, ui: &Ui, many: bool) -> Result<bool> {
        let found = of_host(engine, host).await?;
        let containers: Vec<String> = found
            .services
            .iter()
            .filter(|service| service.service == self.service)
            .flat_map(|service| service.containers.iter().map(|container| container.name.clone()))
            .collect();
        if containers.is_empty() {
            return Ok(false);
        }
        let uid = engine.variable_of(host, "mms_uid")?.and_then(|uid| text_of(&uid).parse().ok()).unwrap_or(1100);
        let options = LogOptions { lines: Some(self.lines), follow: self.follow, since: self.since.clone() };
        let question = Question { script: script(&containers, uid, &options, true), user: Some("root".to_owned()) };
        let (sender, mut lines) = mpsc::unbounded_channel();
        let printing = async {
            while let Some(line) = lines.recv().await {
                ui.data(&if many { format!("{} {line}", host.name()) } else { line });
            }
        };
        let (answer, ()) = futures::future::join(engine.ask(host, &question, Some(sender)), printing).await;
        let answer = answer?;
        if !answer.ok() {
            return Err(Error::new(ErrorKind::Failed, format!("{}: {}", host.name(), answer.stderr_text().trim())));
        }
        Ok(true)
    }
}

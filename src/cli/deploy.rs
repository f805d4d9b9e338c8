//! `mms deploy`, `deploy-service`, `update` and `plan`: the project's own playbooks by the verbs people think in.

use std::path::PathBuf;

use clap::Args;
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use super::playbook_run::{PlaybookRun, RunArgs};
use super::restore::Restore;
use super::{Global, Session, complete, services};
use crate::error::{Exit, Result};
use crate::playbook::Vars;
use crate::ui::Ui;

/// Bring every host into its state: base system, storage, firewall, Tailscale, Podman, services
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mms deploy\n  mms deploy --limit mms --diff\n  mms deploy --restore --from-dir /mnt/usb/backups"
)]
pub struct Deploy {
    /// Then give every service its data back from its newest backup: an empty machine becomes what the old one was
    #[arg(long)]
    restore: bool,
    /// Where the backups are, on this machine or (`HOST:/path`) on the target; `mms_backup_dir` of the target when left out
    #[arg(long, value_name = "DIR", requires = "restore")]
    from_dir: Option<String>,
    /// Do not ask whether to restore
    #[arg(short, long, requires = "restore")]
    yes: bool,
    #[command(flatten)]
    run: RunArgs,
}

/// Deploy services, each gated on its health and rolled back when it stays unhealthy
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms deploy-service radarr\n  mms deploy-service immich --diff")]
pub struct DeployService {
    /// The services, as their files in `services/` are called
    #[arg(required = true, value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
}

/// Pull new images for services and restart those whose image changed, gated on their health
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms update\n  mms update radarr sonarr")]
pub struct Update {
    /// Only these services
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
}

/// Show what would change, with differences, without changing anything
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms plan\n  mms plan --service radarr\n  mms plan playbooks/setup-base.yml")]
pub struct Plan {
    /// Another playbook than `playbooks/site.yml`
    #[arg(value_name = "PLAYBOOK", add = ArgValueCompleter::new(complete::playbooks))]
    playbook: Option<PathBuf>,
    /// Only these services (can be repeated)
    #[arg(long = "service", value_name = "SERVICE", conflicts_with = "playbook", add = ArgValueCandidates::new(complete::services))]
    services: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
}

impl Deploy {
    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        if !self.restore {
            return run_own(global, ui, &self.run, "site.yml", Vars::new(), false).await;
        }
        let began = std::time::Instant::now();
        let restore = Restore::everything(self.from_dir, self.run.limit.clone(), self.run.lock);
        restore.check(global, ui, self.yes)?;
        let exit = run_own(global, ui, &self.run, "site.yml", Vars::new(), false).await?;
        if exit != Exit::Ok {
            ui.note(
                "no data was restored, because the deploy did not succeed; `mms deploy --restore` may be run again",
            );
            return Ok(exit);
        }
        let exit = restore.run(global, ui).await?;
        ui.note(&format!("deployed and restored in {:.0} s", began.elapsed().as_secs_f64()));
        Ok(exit)
    }
}

impl DeployService {
    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let own = services::variables(&Session::open(global, ui)?, &self.services)?;
        run_own(global, ui, &self.run, "deploy-service.yml", own, false).await
    }
}

impl Update {
    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let own = services::variables(&Session::open(global, ui)?, &self.services)?;
        run_own(global, ui, &self.run, "update-services.yml", own, false).await
    }
}

impl Plan {
    pub(super) async fn run(mut self, global: &Global, ui: &Ui) -> Result<Exit> {
        // A plan is read: what changes in files is its point.
        self.run.diff = true;
        if let Some(path) = &self.playbook {
            let run =
                PlaybookRun { global, args: &self.run, check: true, own: Vars::new(), of_verb: false, listing: None };
            return run.run(std::slice::from_ref(path), ui).await;
        }
        if self.services.is_empty() {
            return run_own(global, ui, &self.run, "site.yml", Vars::new(), true).await;
        }
        let own = services::variables(&Session::open(global, ui)?, &self.services)?;
        run_own(global, ui, &self.run, "deploy-service.yml", own, true).await
    }
}

/// Runs one of the project's own playbooks.
async fn run_own(global: &Global, ui: &Ui, args: &RunArgs, name: &str, own: Vars, check: bool) -> Result<Exit> {
    let path = Session::open(global, ui)?.project.playbooks().join(name);
    PlaybookRun { global, args, check, own, of_verb: true, listing: None }.run(&[path], ui).await
}

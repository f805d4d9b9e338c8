//! `mms run`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::listing::Listing;
use super::playbook_run::{PlaybookRun, RunArgs};
use super::{Global, complete};
use crate::error::{Exit, Result};
use crate::playbook::Vars;
use crate::ui::Ui;

/// Run Ansible-dialect playbooks
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mms run playbooks/site.yml --check --diff\n  mms run playbooks/site.yml --limit 'web:!db' --tags firewall -e debug=true"
)]
pub struct Run {
    /// The playbooks, run one after the other
    #[arg(required = true, value_name = "PLAYBOOK", add = ArgValueCompleter::new(complete::playbooks))]
    playbooks: Vec<PathBuf>,
    /// Show what would change without changing anything
    #[arg(short = 'C', long)]
    check: bool,
    /// List the tasks instead of running them
    #[arg(long, conflicts_with_all = ["list_hosts", "list_tags"])]
    list_tasks: bool,
    /// List the hosts instead of running anything
    #[arg(long, conflicts_with = "list_tags")]
    list_hosts: bool,
    /// List the tags instead of running anything
    #[arg(long)]
    list_tags: bool,
    #[command(flatten)]
    run: RunArgs,
}

impl Run {
    pub(super) async fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let listing = match (self.list_tasks, self.list_hosts, self.list_tags) {
            (true, ..) => Some(Listing::Tasks),
            (_, true, _) => Some(Listing::Hosts),
            (.., true) => Some(Listing::Tags),
            _ => None,
        };
        let run = PlaybookRun { global, args: &self.run, check: self.check, own: Vars::new(), of_verb: false, listing };
        run.run(&self.playbooks, ui).await
    }
}

//! What the user typed: one file per verb, and the way from arguments to an exit code.

mod backup;
mod check;
mod complete;
mod deploy;
mod extra_vars;
mod global;
mod listing;
mod logs;
mod migrate;
mod playbook_run;
mod restore;
mod run;
mod selection;
mod services;
mod session;
mod signals;
mod status;
mod vault;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{Error, Exit, Result};
use crate::secret::Redactor;
use crate::settings::Color;
use crate::ui::Ui;

pub use global::Global;
pub use session::Session;

/// Deploy, back up and restore a self-hosted media stack over plain SSH
///
/// mms runs Ansible-dialect playbooks and the services described in `services/*.yml`. The target needs nothing but `sh`.
#[derive(Debug, Parser)]
#[command(name = "mms", version, propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  mms plan                     show what would change\n  mms deploy                   bring everything into its state\n  mms deploy-service radarr    deploy one service\n  mms run playbooks/x.yml      run any playbook"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Deploy(deploy::Deploy),
    DeployService(deploy::DeployService),
    Update(deploy::Update),
    Backup(backup::Backup),
    Plan(deploy::Plan),
    Run(run::Run),
    Check(check::Check),
    Status(status::Status),
    Logs(logs::Logs),
    Restore(restore::Restore),
    Migrate(migrate::Migrate),
    Vault(vault::Vault),
}

/// Variables are made of variables, templates of templates, and each has its limits; this is room for all of them at their limits
/// together. It is only reserved, not used.
const STACK: usize = 256 << 20;

/// Runs what was typed and says how it ended.
pub fn main() -> ExitCode {
    match std::thread::Builder::new().name("main".to_owned()).stack_size(STACK).spawn(start) {
        Ok(thread) => thread.join().unwrap_or_else(|_| {
            // What it was has been written already.
            let ui = Ui::new(Color::Never, 0, false, Redactor::default());
            ui.error(&Error::internal("mms came to an end that nobody meant it to have"));
            ExitCode::from(Exit::Internal as u8)
        }),
        // Where so much cannot be reserved, the usual stack does for all but the strangest playbooks.
        Err(_) => start(),
    }
}

fn start() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a terminal that is gone is nobody's.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::User as u8 } else { Exit::Ok as u8 });
        }
    };
    let redactor = Redactor::default();
    let color = Session::color(&cli.global);
    let ui = Ui::new(color, cli.global.verbose, !cli.global.json, redactor);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&Error::internal(format!("cannot start: {error}")));
            return ExitCode::from(Exit::Internal as u8);
        }
    };
    if let Err(error) = signals::watch() {
        ui.error(&Error::internal(format!("cannot listen for signals: {error}")));
        return ExitCode::from(Exit::Internal as u8);
    }
    let exit = match runtime.block_on(dispatch(cli, &ui)) {
        Ok(exit) => exit,
        Err(error) => {
            ui.progress().clear();
            ui.error(&error);
            error.exit()
        }
    };
    // Something that blocks (a prompt, a running command of a lookup) must not keep mms from ending.
    runtime.shutdown_background();
    ExitCode::from(exit as u8)
}

async fn dispatch(cli: Cli, ui: &Ui) -> Result<Exit> {
    let Cli { global, command } = cli;
    match command {
        Command::Deploy(args) => args.run(&global, ui).await,
        Command::DeployService(args) => args.run(&global, ui).await,
        Command::Update(args) => args.run(&global, ui).await,
        Command::Backup(args) => args.run(&global, ui).await,
        Command::Plan(args) => args.run(&global, ui).await,
        Command::Run(args) => args.run(&global, ui).await,
        Command::Check(args) => args.run(&global, ui),
        Command::Status(args) => args.run(&global, ui).await,
        Command::Logs(args) => args.run(&global, ui).await,
        Command::Restore(args) => args.run(&global, ui).await,
        Command::Migrate(args) => args.run(&global, ui).await,
        Command::Vault(args) => args.run(&global, ui),
    }
}

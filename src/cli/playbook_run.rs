//! Running playbooks: what `run`, `plan` and the deploy verbs share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::listing::Listing;
use super::session::{LockArgs, Selected};
use super::{Global, Session, complete, extra_vars, selection, signals};
use crate::engine::{self, Engine, LockOptions, Parts};
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::event::Sink;
use crate::playbook::{Checker, TagFilter, Vars};
use crate::report::{JsonSink, TerminalSink};
use crate::ui::Ui;
use crate::value::{Raw, Value};
use crate::vars::RunOptions;

/// Arguments of every verb that runs playbooks.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Work only on hosts that match this pattern, e.g. `web:!db`, `~regex`, `@file`
    #[arg(short, long, value_name = "PATTERN", add = ArgValueCandidates::new(complete::hosts))]
    pub limit: Option<String>,
    /// Set variables: `key=value`, a YAML or JSON mapping, or `@file` (can be repeated)
    #[arg(short = 'e', long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Run only tasks with one of these tags (can be repeated)
    #[arg(short, long, value_name = "TAGS", value_delimiter = ',', add = ArgValueCandidates::new(complete::tags))]
    pub tags: Vec<String>,
    /// Leave out tasks with one of these tags (can be repeated)
    #[arg(long, value_name = "TAGS", value_delimiter = ',', add = ArgValueCandidates::new(complete::tags))]
    pub skip_tags: Vec<String>,
    /// Show what changes in files
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// Start at the task of this name; may be a shell pattern
    #[arg(long, value_name = "NAME")]
    pub start_at_task: Option<String>,
    /// How many hosts are worked on at the same time
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub forks: Option<u16>,
    #[command(flatten)]
    pub lock: LockArgs,
    /// Run handlers even on hosts where a task failed
    #[arg(long)]
    pub force_handlers: bool,
}

/// The variable that holds the public keys of the vault.
const VAULT_RECIPIENTS: &str = "mms_vault_recipients";

/// A run that was put together.
pub struct PlaybookRun<'a> {
    /// Arguments that every verb has.
    pub global: &'a Global,
    /// Arguments of the run.
    pub args: &'a RunArgs,
    /// `--check`, `mms plan`.
    pub check: bool,
    /// Variables that the verb itself sets.
    pub own: Vars,
    /// Whether the verb itself names the playbook, not the user.
    pub of_verb: bool,
    /// Listed instead of run.
    pub listing: Option<Listing>,
}

impl PlaybookRun<'_> {
    /// Runs playbooks one after the other, on one set of connections each.
    pub async fn run(&self, paths: &[PathBuf], ui: &Ui) -> Result<Exit> {
        let mut session = Session::open(self.global, ui)?;
        if let Some(forks) = self.args.forks {
            session.settings.forks = usize::from(forks);
        }
        self.args.lock.apply(&mut session.settings);
        let mut worst = Exit::Ok;
        for path in paths {
            let exit = self.run_one(&session, path).await?;
            worst = worst.or_worse(exit);
            if exit != Exit::Ok {
                break;
            }
        }
        Ok(worst)
    }

    async fn run_one(&self, session: &Session, path: &Path) -> Result<Exit> {
        let ui = &session.ui;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        if !path.is_file() {
            return Err(self.no_playbook(session, &path));
        }
        let mut extra = extra_vars::parse(&self.args.extra_vars, &session.project)?;
        extra.extend(self.own.clone());
        let recipients: Value = session.settings.recipients.iter().map(String::as_str).collect();
        if !session.settings.recipients.is_empty() {
            // Backups are encrypted to whom the vault is, unless the inventory names others.
            extra.entry(VAULT_RECIPIENTS.to_owned()).or_insert(Raw::Value(recipients));
        }
        let extra = Arc::new(extra);
        let templar = session.templar();
        let loader = session.loader(&templar, &extra);
        let playbook = loader.playbook(&path)?;
        let mut checker = Checker::new(&loader, &templar);
        checker.playbook(&playbook);
        if let Some(error) = Error::from_diagnostics(ErrorKind::User, checker.finish()) {
            return Err(error);
        }
        let inventory = session.inventory()?;
        session.check_limit(&inventory, self.args.limit.as_deref())?;
        let split =
            |tags: &[String]| tags.iter().map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect();
        let options = RunOptions {
            check: self.check,
            diff: self.args.diff || session.settings.diff,
            tags: TagFilter { only: split(&self.args.tags), skip: split(&self.args.skip_tags) },
            verbosity: ui.verbosity(),
            forks: session.settings.forks,
            limit: self.args.limit.clone(),
        };
        let dir = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let diff = options.diff;
        let world = session.world(&inventory, &dir, extra, options)?;
        session.show_warnings();
        let hosts = Selected { inventory, limit: self.args.limit.clone() };
        if let Some(listing) = self.listing {
            listing.print(ui, self.global.json, &playbook, &hosts, &templar)?;
            return Ok(Exit::Ok);
        }
        for warning in selection::unknown_tags(&playbook, [&self.args.tags, &self.args.skip_tags]) {
            ui.diagnostic(&warning);
        }
        if let Some(name) = &self.args.start_at_task {
            selection::check_start(&playbook, name)?;
        }
        session.check_secrets(&hosts.inventory, self.args.limit.as_deref(), &dir)?;
        let sink: Arc<dyn Sink> = if self.global.json {
            Arc::new(JsonSink::new(ui.clone()))
        } else {
            Arc::new(TerminalSink::new(ui.clone(), diff, self.check))
        };
        let engine = Engine::new(Parts {
            world,
            templar,
            loader,
            connector: session.connector(),
            hosts: Arc::new(hosts),
            secrets: session.secrets(),
            sink,
            redactor: ui.redactor().clone(),
            target: session.target_defaults(),
            prompter: Arc::clone(&session.prompter),
            start_at: self.args.start_at_task.clone(),
            force_handlers: self.args.force_handlers,
            journal: true,
            lock: (!self.check).then(|| LockOptions {
                owner: super::session::owner(),
                what: format!("{} of {}", session.project.name_of(&path), session.project.root().display()),
                patience: session.settings.lock_timeout,
            }),
        });
        let outcome = match signals::until_stopped(engine.run(&playbook)).await {
            Ok(outcome) => outcome,
            Err(signal) => {
                ui.progress().finish();
                ui.note("stopping what runs on the hosts (Ctrl-C again leaves at once)");
                engine.close().await;
                return Err(signal.error().hint("what was finished stays; run the same command again to go on"));
            }
        };
        session.show_warnings();
        let summary = outcome?;
        Ok(match engine::exit_kind(&summary) {
            None => Exit::Ok,
            Some(kind) => Error::new(kind, "").exit(),
        })
    }
}

impl PlaybookRun<'_> {
    fn no_playbook(&self, session: &Session, path: &Path) -> Error {
        let project = &session.project;
        let name = project.name_of(path);
        if path.is_dir() {
            return Error::user(format!("`{name}` is a directory, not a playbook"))
                .hint(format!("name the playbooks in it: `mms run {}`", path.join("site.yml").display()));
        }
        let files = project.yaml_files(&project.playbooks()).unwrap_or_default();
        let known: Vec<String> = files.iter().map(|path| project.name_of(path)).collect();
        let hint = match known.as_slice() {
            [] => format!(
                "`{}` has no `playbooks/`: is it the project you mean? (`--project DIR`)",
                project.root().display()
            ),
            _ => format!("the project has: {}", known.join(", ")),
        };
        if self.of_verb {
            return Error::user(format!("there is no playbook `{name}`, which this verb runs"))
                .hint("`mms run PLAYBOOK` runs another one")
                .hint(hint);
        }
        Error::user(format!("there is no playbook `{name}`"))
            .map(|diagnostic| diagnostic.did_you_mean(&name, known.iter().map(String::as_str)))
            .hint(hint)
    }
}

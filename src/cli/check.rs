//! `mms check`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::{Global, Session, complete, extra_vars};
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::{Error, ErrorKind, Exit, Result};
use crate::playbook::Checker;
use crate::report::terminal::counted;
use crate::service::load;
use crate::ui::Ui;

/// Find everything wrong or unsupported in playbooks, roles, inventory and services, without connecting
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mms check\n  mms check playbooks/site.yml")]
pub struct Check {
    /// The playbooks; all of `playbooks/` when none is named
    #[arg(value_name = "PLAYBOOK", add = ArgValueCompleter::new(complete::playbooks))]
    playbooks: Vec<PathBuf>,
    /// Set variables that names of imported files need (can be repeated)
    #[arg(short = 'e', long = "extra-vars", value_name = "VARS")]
    extra_vars: Vec<String>,
}

impl Check {
    pub(super) fn run(self, global: &Global, ui: &Ui) -> Result<Exit> {
        let session = Session::open(global, ui)?;
        let extra = Arc::new(extra_vars::parse(&self.extra_vars, &session.project)?);
        let templar = session.templar();
        let loader = session.loader(&templar, &extra);
        let paths = if self.playbooks.is_empty() {
            session.project.yaml_files(&session.project.playbooks())?
        } else {
            self.playbooks.clone()
        };
        let mut found: Vec<Diagnostic> = vec![];
        let mut checker = Checker::new(&loader, &templar);
        for path in &paths {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            match loader.playbook(&path) {
                Ok(playbook) => checker.playbook(&playbook),
                Err(error) => found.extend_from_slice(error.diagnostics()),
            }
        }
        let services = session.project.yaml_files(&session.project.services())?;
        for path in &services {
            match session.project.yaml(path) {
                Ok(node) => {
                    checker.node(&node);
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    if let Err(error) = load::check(&name, &node) {
                        found.extend_from_slice(error.diagnostics());
                    }
                }
                Err(error) => found.extend_from_slice(error.diagnostics()),
            }
        }
        found.extend(checker.finish());
        match session.inventory() {
            Ok(inventory) => {
                for host in inventory.hosts() {
                    if let Err(error) = inventory.layers(&host.name, Some(&session.project.playbooks())) {
                        let new = error.diagnostics().iter().filter(|new| !found.contains(new));
                        let new: Vec<Diagnostic> = new.cloned().collect();
                        found.extend(new);
                    }
                }
            }
            Err(error) => found.extend_from_slice(error.diagnostics()),
        }
        if found.is_empty() && paths.is_empty() && services.is_empty() {
            let root = session.project.root().display();
            return Err(Error::user(format!(
                "there is nothing to check: `{root}` has no `playbooks/` and no `services/`"
            ))
            .hint("is it the project you mean? (`--project DIR`)")
            .hint("playbooks that are elsewhere are named: `mms check site.yml`"));
        }
        let warnings = session.project.take_warnings();
        let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        found.extend(warnings);
        if global.json {
            for diagnostic in &found {
                ui.data(&to_json(diagnostic).to_string());
            }
        } else {
            for diagnostic in found.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning) {
                ui.diagnostic(diagnostic);
            }
        }
        found.retain(|diagnostic| diagnostic.severity == Severity::Error);
        if global.json {
            return Ok(if errors == 0 { Exit::Ok } else { Exit::User });
        }
        match Error::from_diagnostics(ErrorKind::User, found) {
            None => {
                ui.data(&format!(
                    "{} and {} checked: nothing is wrong",
                    counted(paths.len(), "playbook"),
                    counted(services.len(), "service")
                ));
                Ok(Exit::Ok)
            }
            Some(error) => {
                ui.error(&error);
                ui.note(&format!("\n{} found", counted(errors, "error")));
                Ok(Exit::User)
            }
        }
    }
}

fn to_json(diagnostic: &Diagnostic) -> serde_json::Value {
    let place = diagnostic.span.as_ref().map(|span| {
        let (line, column) = span.line_col();
        serde_json::json!({"file": span.source.name, "line": line, "column": column})
    });
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    serde_json::json!({"severity": severity, "message": diagnostic.message, "place": place, "hints": diagnostic.hints})
}

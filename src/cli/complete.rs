//! What the shell completes: names of services, playbooks, hosts, groups and tags of the project around the current directory.
//! Whatever is wrong with the project, completing says nothing: there are fewer candidates.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};

use super::{Global, Session, selection, services};
use crate::playbook::Vars;
use crate::secret::Redactor;
use crate::settings::Color;
use crate::ui::Ui;

fn session() -> Option<Session> {
    let ui = Ui::new(Color::Never, 0, false, Redactor::default());
    Session::open(&Global::default(), &ui).ok()
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Names of services.
pub fn services() -> Vec<CompletionCandidate> {
    candidates(session().and_then(|session| services::known(&session).ok()).unwrap_or_default())
}

/// Playbooks of the project, and files.
pub fn playbooks(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut found: Vec<CompletionCandidate> = vec![];
    if let (Some(session), Ok(here)) = (session(), std::env::current_dir()) {
        let files = session.project.yaml_files(&session.project.playbooks()).unwrap_or_default();
        let shown = files.iter().map(|path| path.strip_prefix(&here).unwrap_or(path).as_os_str().to_owned());
        let typed = current.as_encoded_bytes();
        found.extend(shown.filter(|path| path.as_encoded_bytes().starts_with(typed)).map(CompletionCandidate::new));
    }
    if found.is_empty() { PathCompleter::any().complete(current) } else { found }
}

/// Hosts and groups.
pub fn hosts() -> Vec<CompletionCandidate> {
    let Some(inventory) = session().and_then(|session| session.inventory().ok()) else { return vec![] };
    let hosts = inventory.hosts().map(|host| host.name.clone());
    candidates(hosts.chain(inventory.groups().map(|group| group.name.clone())))
}

/// Tags of the project's playbooks.
pub fn tags() -> Vec<CompletionCandidate> {
    let Some(session) = session() else { return vec![] };
    let templar = session.templar();
    let loader = session.loader(&templar, &Arc::new(Vars::new()));
    let files = session.project.yaml_files(&session.project.playbooks()).unwrap_or_default();
    let mut tags = BTreeSet::new();
    for playbook in files.iter().filter_map(|path| loader.playbook(path).ok()) {
        tags.extend(selection::tags(&playbook));
    }
    candidates(tags)
}

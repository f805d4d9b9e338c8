//! What `mms backup` and its subcommands print.

use std::sync::Arc;

use super::{Site, nothing, open};
use crate::backup::answer::{self, Ended, Kept, Verdict};
use crate::cli::Global;
use crate::cli::signals::{self, Signal};
use crate::engine::{Engine, Host};
use crate::error::{ErrorKind, Exit, Result};
use crate::size;
use crate::ui::{Style, Ui};

/// One line on how a run ended.
pub(super) fn ended(ui: &Ui, json: bool, host: &str, ended: &Ended) {
    if json {
        let mut line = serde_json::to_value(ended).unwrap_or_default();
        if let Some(map) = line.as_object_mut() {
            map.insert("host".to_owned(), host.into());
        }
        ui.data(&line.to_string());
        return;
    }
    let (word, style) = if ended.ok { ("done", Style::Good) } else { ("failed", Style::Bad) };
    let word = ui.paint().text(style, &format!("{word:6}"));
    ui.data(&format!("{word} {host}: {}: {}", ended.service, ended.message));
}

/// `mms backup list`.
pub(super) async fn list(global: &Global, ui: &Ui, names: &[String], limit: Option<String>) -> Result<Exit> {
    let (engine, hosts) = open(global, ui, names, limit)?;
    let of_host = |host: Arc<Host>| {
        let engine = &engine;
        async move { Site::new(engine, &host)?.kept(names).await }
    };
    let answers = signals::until_stopped(futures::future::join_all(hosts.iter().cloned().map(of_host))).await;
    engine.close().await;
    let answers = answers.map_err(Signal::error)?;
    let mut exit = Exit::Ok;
    for (host, answer) in hosts.iter().zip(answers) {
        match answer {
            Ok(kept) if global.json => ui.data(&serde_json::json!({"host": host.name(), "backups": kept}).to_string()),
            Ok(kept) => table(ui, host.name(), &kept),
            Err(error) => {
                exit = exit.or_worse(error.exit());
                ui.error(&error);
            }
        }
    }
    Ok(exit)
}

fn table(ui: &Ui, host: &str, kept: &[Kept]) {
    let paint = ui.paint();
    let count = kept.len();
    let bytes = kept.iter().map(|kept| kept.size).sum();
    let plural = if count == 1 { "" } else { "s" };
    ui.data(&paint.text(Style::Strong, &format!("{host}: {count} backup{plural}, {}", size::human(bytes))));
    if kept.is_empty() {
        return;
    }
    let width = kept.iter().map(|kept| kept.service.len()).max().unwrap_or(0).max(7);
    let name = |kept: &Kept| kept.file.clone().or_else(|| kept.mirror.clone()).unwrap_or_default();
    let names = kept.iter().map(|kept| name(kept).len()).max().unwrap_or(0).max(4);
    let header = format!("  {:width$}  {:names$}  {:>9}  {:>7}  VERIFIED", "SERVICE", "NAME", "SIZE", "FILES");
    ui.data(&paint.text(Style::Dim, &header));
    let mut before = "";
    for kept in kept {
        let shown = if kept.service == before { "" } else { kept.service.as_str() };
        before = &kept.service;
        let files =
            kept.note.as_ref().and_then(|note| note.files).map_or_else(|| "-".to_owned(), |files| files.to_string());
        let (size, verified) = match &kept.mirror {
            Some(_) => ("mirror".to_owned(), ""),
            None => (size::human(kept.size), kept.verified.as_deref().unwrap_or("-")),
        };
        let mut line = format!("  {shown:width$}  {:names$}  {size:>9}  {files:>7}  {verified}", name(kept));
        match &kept.note {
            Some(note) if note.suspicious => line.push_str("  suspiciously small"),
            None if kept.mirror.is_none() => line.push_str("  (no note beside it)"),
            _ => {}
        }
        if kept.file.as_ref().is_some_and(|file| file.ends_with(".tar.zst")) {
            line.push_str("  NOT ENCRYPTED");
        }
        ui.data(line.trim_end());
    }
}

/// `mms backup prune`.
pub(super) async fn prune(
    global: &Global,
    ui: &Ui,
    names: &[String],
    dry_run: bool,
    limit: Option<String>,
) -> Result<Exit> {
    let (engine, hosts) = open(global, ui, names, limit)?;
    let work = futures::future::join_all(hosts.iter().map(|host| prune_host(&engine, host, names, dry_run)));
    let answers = signals::until_stopped(work).await;
    engine.close().await;
    let answers = answers.map_err(Signal::error)?;
    let mut exit = Exit::Ok;
    let mut any = false;
    for (host, answer) in hosts.iter().zip(answers) {
        match answer {
            Ok(services) => {
                any |= !services.is_empty();
                for (service, plan) in services {
                    match plan {
                        Ok(plan) => verdicts(ui, global.json, host.name(), &service, &plan, dry_run),
                        Err(error) => {
                            exit = exit.or_worse(error.exit());
                            ui.error(&error.hint("`mms backup prune --dry-run` shows what is left to remove"));
                        }
                    }
                }
            }
            Err(error) => {
                any = true;
                exit = exit.or_worse(error.exit());
                ui.error(&error.hint("nothing was removed"));
            }
        }
    }
    if any { Ok(exit) } else { Err(nothing(names)) }
}

async fn prune_host(
    engine: &Engine,
    host: &Arc<Host>,
    names: &[String],
    dry_run: bool,
) -> Result<Vec<(String, Result<Vec<Verdict>>)>> {
    let site = Site::new(engine, host)?;
    let mut all = vec![];
    // One that cannot be pruned does not hold up the others, unless the host is gone.
    for (name, kinds) in site.services().await? {
        if (names.is_empty() || names.contains(&name)) && kinds.iter().any(|kind| kind == "backup") {
            let mut arguments = vec!["prune", name.as_str()];
            arguments.extend(dry_run.then_some("--dry-run"));
            let plan = site.ask(&arguments, None).await.map(|text| answer::verdicts(&text));
            let lost = plan.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unreachable);
            all.push((name, plan));
            if lost {
                break;
            }
        }
    }
    Ok(all)
}

fn verdicts(ui: &Ui, json: bool, host: &str, service: &str, plan: &[Verdict], dry_run: bool) {
    if json {
        let line = serde_json::json!({"host": host, "service": service, "dry_run": dry_run, "plan": plan});
        ui.data(&line.to_string());
        return;
    }
    let removed = plan.iter().filter(|verdict| verdict.kept_as.is_empty()).count();
    let word = if dry_run { "to be removed" } else { "removed" };
    ui.data(&format!("{host}: {service}: {} kept, {removed} {word}", plan.len() - removed));
    let paint = ui.paint();
    for verdict in plan {
        if verdict.kept_as.is_empty() {
            ui.data(&format!("  {} {}", paint.text(Style::Bad, "remove"), verdict.file));
        } else {
            ui.data(&format!(
                "  {}   {}  {}",
                paint.text(Style::Good, "keep"),
                verdict.file,
                verdict.kept_as.join(", ")
            ));
        }
    }
}

//! `mms restore --mirror`: what a mirror has comes back to the paths it was made of. The program on the target does it, as a unit of its
//! own, so that it goes on when nobody follows.

use std::sync::Arc;

use serde::Deserialize;

use super::Site;
use super::show;
use crate::backup::name::{At, BackupName, select};
use crate::cli::Session;
use crate::engine::{Engine, Host};
use crate::error::{Error, ErrorKind, Result};

/// What is asked for.
pub(in super::super) struct Wanted<'a> {
    pub service: &'a str,
    pub at: &'a At,
    pub dry_run: bool,
    pub yes: bool,
    pub json: bool,
}

/// What would come back to a path: a line of `mms-backup return --dry-run`.
#[derive(Deserialize)]
struct Planned {
    path: String,
    files: u64,
}

/// Shows the plan, asks, and brings the files of a mirror back.
pub(in super::super) async fn bring_back(
    session: &Session,
    engine: &Engine,
    host: &Arc<Host>,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let (ui, service) = (&session.ui, wanted.service);
    let unchanged = |error: Error| error.hint(format!("nothing has changed: `{service}` is as it was"));
    let site = Site::new(engine, host)?;
    let mirror = choose(&site, wanted).await.map_err(unchanged)?;
    ui.progress().set(host.name(), &format!("{service}: comparing with the mirror {mirror}"));
    let answer = site.ask(&["return", service, &mirror, "--dry-run"], None).await;
    ui.progress().clear();
    ui.note(&format!("{}: bring back the mirror {mirror} of `{service}`", host.name()));
    for line in answer.map_err(unchanged)?.lines() {
        let planned: Planned = serde_json::from_str(line).map_err(|error| {
            unchanged(Error::new(ErrorKind::Failed, format!("{}: cannot read the plan: {error}", host.name())))
        })?;
        let plural = if planned.files == 1 { "" } else { "s" };
        ui.note(&format!("  {}: {} file{plural} missing or different by size or time", planned.path, planned.files));
    }
    ui.note("  what is replaced is kept beside the path; what the mirror does not have stays; the service is stopped meanwhile");
    if wanted.dry_run {
        ui.data(&format!("{}: nothing was changed (--dry-run)", host.name()));
        return Ok(());
    }
    if !wanted.yes {
        match session.prompter.confirm(&format!("bring back the mirror of `{service}` on {}?", host.name())) {
            Some(true) => {}
            Some(false) => {
                ui.data(&format!("{}: nothing was changed", host.name()));
                return Ok(());
            }
            None => {
                return Err(unchanged(
                    Error::user("there is nobody to ask whether to restore").hint("`--yes` says so"),
                ));
            }
        }
    }
    engine.lock(host).await.map_err(unchanged)?;
    ui.progress().start(host.name(), &format!("{service}: return"));
    let ended = site.follow(service, &["start", service, "return", &mirror], None, ui).await;
    ui.progress().clear();
    let ended = ended.map_err(|error| match error.kind() {
        ErrorKind::Unreachable => error.hint("what was begun goes on on its host; the same command may be given again"),
        _ => error,
    })?;
    show::ended(ui, wanted.json, host.name(), &ended);
    if ended.ok {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Failed, format!("{}: the mirror {mirror} of `{service}` is not back", host.name()))
        .hint("every file is whole, the old one or that of the mirror; the same command may be given again"))
}

/// The mirror that is meant.
async fn choose(site: &Site<'_>, wanted: &Wanted<'_>) -> Result<String> {
    let service = wanted.service;
    let kept = site.kept(std::slice::from_ref(&service.to_owned())).await?;
    // Mirrors are named by their time, as backups are.
    let as_backup = |mirror: &String| BackupName::parse(&format!("{service}-{mirror}.tar.zst"));
    let names: Vec<BackupName> = kept.iter().filter_map(|kept| kept.mirror.as_ref()).filter_map(as_backup).collect();
    if names.is_empty() {
        return Err(Error::user(format!("{}: there is no mirror of `{service}`", site.host.name()))
            .hint("`mms backup list` shows what there is"));
    }
    let chosen = select(service, &names, wanted.at, "the place of mirrors")?;
    let stem = chosen.file.strip_prefix(&format!("{service}-")).and_then(|stem| stem.strip_suffix(".tar.zst"));
    stem.map(str::to_owned).ok_or_else(|| Error::internal("a mirror without a name"))
}

//! What is done to a copy that is known to be one, before it is put in place: settings adapted, owners set.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::rewrite::{self, PathMap};
use super::{Hosts, target};
use crate::error::{Error, ErrorKind, Result};
use crate::restore::journal::Journal;
use crate::service::Service;
use crate::service::model::migrate::Rule;
use crate::service::model::{Container, Strategy};

/// What was done, for people.
#[derive(Debug, Default)]
pub struct Finished {
    /// What was adapted.
    pub changes: Vec<String>,
    /// What to look at.
    pub warnings: Vec<String>,
}

/// Largest settings file that is adapted.
const LIMIT: usize = 16 << 20;

impl Hosts<'_> {
    pub(super) async fn finish(&self, service: &Service, journal: &Journal) -> Result<Finished> {
        let mut finished = Finished::default();
        let maps: Vec<PathMap> = journal
            .origin
            .iter()
            .flat_map(|origin| &origin.maps)
            .map(|(from, to)| PathMap { from: from.clone(), to: to.clone() })
            .collect();
        // What the definition sets needs no rule.
        self.settings(service, journal, &mut finished).await?;
        for rule in service.migrate.iter().flat_map(|migrate| &migrate.rewrite) {
            self.rewrite(service, journal, rule, &maps, &mut finished).await?;
        }
        self.stale_paths(service, journal, &maps, &mut finished).await?;
        self.give(service, journal).await?;
        self.open_cluster(service, journal, |path| Self::staged(journal, path)).await?;
        Ok(finished)
    }

    /// Where a path of the service is in the copy.
    fn staged(journal: &Journal, path: &str) -> Option<String> {
        let path = path.trim_end_matches('/');
        journal.places.iter().find_map(|place| {
            // The journal has real paths; the definition may name a link to one.
            let rest = path.strip_prefix(place.live.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", place.staged))
        })
    }

    /// The directories of the copy that files are named relative to.
    fn roots(service: &Service, journal: &Journal) -> Vec<String> {
        let mut roots: Vec<String> = journal.places.iter().map(|place| place.staged.clone()).collect();
        for target in service.places() {
            roots.extend(Self::staged(journal, &target.place.path).filter(|root| !roots.contains(root)));
        }
        roots
    }

    async fn rewrite(
        &self,
        service: &Service,
        journal: &Journal,
        rule: &Rule,
        maps: &[PathMap],
        finished: &mut Finished,
    ) -> Result<()> {
        for root in Self::roots(service, journal) {
            let answer = self.target.must("look for settings", target::glob(&root, &rule.file)).await;
            let Ok(answer) = answer else { continue };
            let files: Vec<String> = answer.stdout_text().lines().map(str::to_owned).collect();
            for file in files {
                let path = format!("{root}/{file}");
                let text = self.read(&path).await?;
                let rewritten = rewrite::apply(rule, maps, &text).map_err(|error| {
                    Error::new(
                        ErrorKind::Failed,
                        format!("the settings in `{file}` of `{}` cannot be adapted: {error}", service.name),
                    )
                })?;
                for change in &rewritten.changes {
                    let place = if change.place.is_empty() { String::new() } else { format!(" {}", change.place) };
                    finished.changes.push(format!("{file}{place}: {} → {}", shown(&change.from), shown(&change.to)));
                }
                for unknown in &rewritten.unknown {
                    finished.warnings.push(format!(
                        "{file} {}: `{}` may lead nowhere in the container; `mms_migrate_paths` of {} can say where it is",
                        unknown.place, unknown.path, self.source.name
                    ));
                }
                if rewritten.text != text {
                    self.write(&path, rewritten.text).await?;
                }
            }
        }
        Ok(())
    }

    /// The settings that a deploy keeps in INI files of the service.
    async fn settings(&self, service: &Service, journal: &Journal, finished: &mut Finished) -> Result<()> {
        for file in &service.ini {
            let Some(path) = Self::staged(journal, &file.path) else { continue };
            let before = self.read(&path).await?;
            let Ok(text) = String::from_utf8(before) else { continue };
            if text.is_empty() {
                continue;
            }
            let after = crate::service::ini::set(&text, &file.sections);
            if after == text {
                continue;
            }
            let name = file.path.rsplit('/').next().unwrap_or(&file.path);
            for (section, options) in &file.sections {
                for (option, value) in options {
                    let one = [(section.clone(), [(option.clone(), value.clone())].into_iter().collect())]
                        .into_iter()
                        .collect();
                    if crate::service::ini::set(&text, &one) != text {
                        let value = shown(&value.0);
                        finished
                            .changes
                            .push(format!("{name} {section}/{option}: {value}, as the definition of the service says"));
                    }
                }
            }
            self.write(&path, after.into_bytes()).await?;
        }
        Ok(())
    }

    /// Root folders and the like in databases, which the application itself has to be told to change.
    async fn stale_paths(
        &self,
        service: &Service,
        journal: &Journal,
        maps: &[PathMap],
        finished: &mut Finished,
    ) -> Result<()> {
        for column in service.migrate.iter().flat_map(|migrate| &migrate.paths_in) {
            for root in Self::roots(service, journal) {
                let script = target::column(&format!("{root}/{}", column.database), &column.table, &column.column);
                let Ok(answer) = self.target.must("look at paths in a database", script).await else { continue };
                for rewrite::Stale { path, now } in rewrite::stale_paths(answer.stdout_text().lines(), maps) {
                    let now = now.map(|now| format!("; it is `{now}` now")).unwrap_or_default();
                    finished.warnings.push(format!(
                        "`{path}` ({} of {}) will not be there in the container{now}: change it in the application",
                        column.table, column.database
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everything belongs to the user that the container runs as.
    async fn give(&self, service: &Service, journal: &Journal) -> Result<()> {
        let cluster = service.backup.as_ref().filter(|backup| backup.strategy == Strategy::Postgres);
        let server =
            cluster.and_then(|backup| backup.container.clone().or_else(|| service.containers.keys().next().cloned()));
        for place in &journal.places {
            let target = service
                .places()
                .into_iter()
                .find(|target| Self::staged(journal, &target.place.path).as_deref() == Some(place.staged.as_str()));
            let Some(container) = target.as_ref().and_then(|target| service.containers.get(target.container)) else {
                continue;
            };
            let is_cluster = target.as_ref().is_some_and(|target| server.as_deref() == Some(target.container));
            let script = target::give(&place.staged, owner(container, self.ids), is_cluster.then_some("0700"));
            self.target.must("give the copy to its user", script).await?;
        }
        Ok(())
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self.target.must("read the settings", target::read_file(path)).await?;
        if answer.stdout.len() > LIMIT {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{}: `{path}` is too large for settings", self.target.name),
            ));
        }
        Ok(answer.stdout)
    }

    async fn write(&self, path: &str, content: Vec<u8>) -> Result<()> {
        let (sender, pieces) = mpsc::channel(1);
        let command = target::write_file(path);
        let feeding = async {
            let _ = sender.send(Bytes::from(content)).await;
            drop(sender);
        };
        let (answer, ()) = futures::future::join(self.target.send(&command, pieces), feeding).await;
        self.target.checked("write the settings", answer?).map(drop)
    }
}

fn shown(value: &str) -> String {
    if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") }
}

/// Whom the data of a container belongs to, as `podman unshare` sees it: 0 is the user that runs the containers.
fn owner(container: &Container, ids: (u32, u32)) -> (u32, u32) {
    let named = container.user.as_ref().map(|user| user.0.as_str()).unwrap_or_default();
    let (user, group) = named.split_once(':').unwrap_or((named, ""));
    let number = |text: &str| text.parse::<u32>().ok();
    // An image that changes its user itself does so from root, and takes what it needs.
    let inside = (container.puid.or_else(|| number(user)).unwrap_or(0), container.pgid.or_else(|| number(group)));
    let inside = (inside.0, inside.1.unwrap_or(inside.0));
    let userns = container.userns.as_deref().unwrap_or_default();
    let Some(rest) = userns.strip_prefix("keep-id") else {
        return inside;
    };
    let option = |name: &str| {
        rest.trim_start_matches(':')
            .split(',')
            .find_map(|option| option.strip_prefix(name)?.strip_prefix('=')?.parse::<u32>().ok())
    };
    let mapped = |inside: u32, own: u32| match inside.cmp(&own) {
        std::cmp::Ordering::Less => inside + 1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => inside,
    };
    (mapped(inside.0, option("uid").unwrap_or(ids.0)), mapped(inside.1, option("gid").unwrap_or(ids.1)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn data_belongs_to_whom_the_container_runs_as() {
        let of = |more: serde_json::Value| {
            let mut definition = serde_json::json!({"image": "docker.io/x/y:1"});
            definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let service = crate::service::load::read("s", &crate::value::from_json(&definition), None).unwrap();
            owner(service.containers.values().next().unwrap(), (1100, 1100))
        };
        assert_eq!(of(serde_json::json!({})), (0, 0));
        assert_eq!(of(serde_json::json!({"user": "999:998"})), (999, 998));
        assert_eq!(of(serde_json::json!({"userns": "keep-id", "user": "1100:1100"})), (0, 0));
        assert_eq!(of(serde_json::json!({"userns": "keep-id", "user": "0:0", "puid": 1100, "pgid": 1100})), (0, 0));
        assert_eq!(of(serde_json::json!({"userns": "keep-id", "user": "0:0"})), (1, 1));
        assert_eq!(of(serde_json::json!({"userns": "keep-id", "user": "999:2000"})), (1000, 2000));
        assert_eq!(of(serde_json::json!({"userns": "keep-id:uid=1000,gid=1000", "user": "1000"})), (0, 0));
    }
}

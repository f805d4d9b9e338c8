//! Databases of PostgreSQL: a dump is loaded into a fresh data directory by a server of its own, which nobody else can reach,
//! before anything that runs is touched. A dump that does not load costs no downtime.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::Journal;
use super::plan::{Database, Targets};
use super::scripts;
use super::site::Site;
use super::trial::{self, Trial};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

/// What fails in every load and means nothing: the role and the database that the fresh server was made with are in the dump too.
const EXPECTED: [&str; 2] = ["42710", "42P04"];

/// The staging path of a database's data directory.
pub(super) fn staged(database: &Database, targets: &Targets, journal: &Journal) -> Option<String> {
    match targets.inside(&database.directory) {
        Some((at, rest)) => journal.places.get(at).map(|place| format!("{}/{rest}", place.staged)),
        None => journal.places.last().map(|place| place.staged.clone()),
    }
}

/// Loads the dumps of a backup into the staged data directory.
pub(super) async fn load(
    site: &Site<'_>,
    service: &Service,
    database: &Database,
    targets: &Targets,
    journal: &Journal,
    dumps: &BTreeSet<String>,
    directory: &str,
) -> Result<()> {
    let wrong = |text: String| Error::new(ErrorKind::Failed, text);
    let own: Vec<(&String, Option<&str>)> =
        dumps.iter().filter_map(|dump| Some((dump, part(dump, &database.container)?))).collect();
    if own.is_empty() {
        return Err(wrong(format!("the backup holds no dump of `{}`", database.container)));
    }
    let fresh = staged(database, targets, journal).ok_or_else(|| Error::internal("a database without a place"))?;
    let prefix = format!("mms-load-{}-", service.name);
    let outcome = async {
        // One that was cut off may be left.
        site.must("remove an earlier trial", scripts::end_trial(&prefix, &[])).await?;
        site.must("make a fresh data directory", scripts::fresh(&database.directory, &fresh)).await?;
        let container = start(site, service, database, &prefix, &fresh).await?;
        site.must("wait for the database server", scripts::await_server(&container, &database.user)).await?;
        for (dump, name) in own {
            let script = scripts::load(&container, &database.user, name, &format!("{directory}/{dump}"));
            let answer = site.must("load the dump", script).await?;
            judge(dump, &answer.stdout_text())?;
        }
        Ok(())
    }
    .await;
    // Stopped in order, so that the data directory is one that was shut down.
    let ended = site.must("stop the trial", scripts::end_trial(&prefix, &[])).await;
    outcome.and(ended.map(drop))
}

/// Starts a server of its own on a data directory that nothing else uses. Gives the name of its container.
pub(crate) async fn start(
    site: &Site<'_>,
    service: &Service,
    database: &Database,
    prefix: &str,
    fresh: &str,
) -> Result<String> {
    let name = &database.container;
    let texts = units(site, std::slice::from_ref(name)).await?;
    let text = texts.get(name).ok_or_else(|| not_deployed(&service.name, name))?;
    let trial = Trial {
        prefix: prefix.to_owned(),
        containers: vec![name.clone()],
        network: None,
        copies: BTreeMap::from([(database.directory.clone(), fresh.to_owned())]),
        empty: format!("{fresh}.empty"),
    };
    let (text, empty) = trial::unit(text, name, &trial);
    let container = format!("{prefix}{name}");
    let unit = (format!("{container}.container"), text);
    site.must("start a database server", scripts::start_trial(&[unit], &empty, &[format!("{container}.service")]))
        .await?;
    let definition = service.containers.get(name).map(|definition| (container.clone(), definition));
    match site.settle(definition.into_iter().collect()).await?.first() {
        None => Ok(container),
        Some((_, why)) => Err(Error::new(
            ErrorKind::Failed,
            format!("a database server of its own does not become well on the data: {why}"),
        )),
    }
}

/// The unit files of containers on the target, by container.
pub(super) async fn units(site: &Site<'_>, names: &[String]) -> Result<BTreeMap<String, String>> {
    let answer = site.must("read the units", scripts::units(names)).await?;
    let mut rest = answer.stdout.as_slice();
    let mut found = BTreeMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let head = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        let record = head.strip_prefix("@unit ").and_then(|head| head.split_once(' '));
        let Some((length, file)) = record.and_then(|(length, file)| Some((length.parse::<usize>().ok()?, file))) else {
            break;
        };
        let text = rest.get(end + 1..end + 1 + length).unwrap_or_default();
        let name = file.strip_suffix(".container").unwrap_or(file);
        found.insert(name.to_owned(), String::from_utf8_lossy(text).into_owned());
        rest = rest.get(end + 2 + length..).unwrap_or_default();
    }
    Ok(found)
}

pub(super) fn not_deployed(service: &str, container: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("the target has no unit for `{container}`"))
        .hint(format!("deploy it first: `mms deploy-service {service}`, or `mms deploy --restore` for everything"))
}

/// The database of a dump of this container: the inner `None` is the whole cluster. `None` when it is another container's.
fn part<'a>(dump: &'a str, container: &str) -> Option<Option<&'a str>> {
    match dump.strip_prefix(container)? {
        ".sql" => Some(None),
        rest => rest.strip_prefix('/')?.strip_suffix(".sql").map(Some),
    }
}

/// What psql said.
fn judge(dump: &str, text: &str) -> Result<()> {
    let wrong = |why: String| Err(Error::new(ErrorKind::Failed, format!("the dump `{dump}` does not load: {why}")));
    let unexpected = text.lines().find(|line| !line.starts_with('@') && !EXPECTED.contains(line));
    if let Some(state) = unexpected {
        return wrong(format!("a statement failed with SQLSTATE {state}"));
    }
    match text.lines().find_map(|line| line.strip_prefix("@status ")) {
        Some("0") => Ok(()),
        Some(status) => wrong(format!("psql ended with status {status}")),
        None => wrong("psql did not end".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_whose_dump_it_is() {
        assert_eq!(part("db.sql", "db"), Some(None));
        assert_eq!(part("db/app.sql", "db"), Some(Some("app")));
        assert_eq!(part("db2.sql", "db"), None);
        assert_eq!(part("db/app.txt", "db"), None);
    }

    #[test]
    fn only_what_a_fresh_server_has_anyway_may_fail() {
        assert!(judge("d", "42710\n42P04\n@status 0\n").is_ok());
        assert!(judge("d", "42710\n23505\n@status 0\n").is_err());
        assert!(judge("d", "@status 2\n").is_err());
        assert!(judge("d", "").is_err());
    }
}

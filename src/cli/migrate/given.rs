//! What arguments and variables say about the old host.

use std::collections::BTreeMap;

use super::super::session::text_of;
use crate::engine::{Engine, Host};
use crate::error::{Error, Result};
use crate::migrate::Given;
use crate::migrate::rewrite::PathMap;
use crate::value::Value;

/// Reads `radarr=/opt/radarr`.
pub fn parse(text: &str) -> std::result::Result<(String, Given), String> {
    let (service, place) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` does not say of which service: `radarr=/opt/radarr`, `radarr=unit:radarr.service`, `radarr=container:radarr`")
    })?;
    Ok((service.to_owned(), Given::parse(place)?))
}

/// `mms_migrate_sources` of a host.
pub fn of_host(engine: &Engine, host: &Host) -> Result<BTreeMap<String, Given>> {
    let mut all = BTreeMap::new();
    for (service, place) in pairs(engine, host, "mms_migrate_sources")? {
        let given = Given::parse(&place)
            .map_err(|why| Error::user(format!("`mms_migrate_sources` of {}: `{service}`: {why}", host.name())))?;
        all.insert(service, given);
    }
    Ok(all)
}

/// `mms_migrate_paths` of a host.
pub fn paths_of_host(engine: &Engine, host: &Host) -> Result<Vec<PathMap>> {
    let pairs = pairs(engine, host, "mms_migrate_paths")?;
    if let Some((from, to)) = pairs.iter().find(|(from, to)| !from.starts_with('/') || !to.starts_with('/')) {
        return Err(Error::user(format!(
            "`mms_migrate_paths` of {}: `{from}: {to}` are no absolute paths",
            host.name()
        )));
    }
    Ok(pairs.into_iter().map(|(from, to)| PathMap { from, to }).collect())
}

fn pairs(engine: &Engine, host: &Host, name: &str) -> Result<Vec<(String, String)>> {
    let Some(value) = engine.variable_of(host, name)? else { return Ok(vec![]) };
    let wrong = || Error::user(format!("`{name}` of {} is not a mapping of names to texts", host.name()));
    let keys = value.try_iter().map_err(|_| wrong())?;
    keys.map(|key| {
        let entry = value.get_item(&key).map_err(|_| wrong())?;
        match (key.as_str(), entry.as_str()) {
            (Some(key), Some(entry)) => Ok((key.to_owned(), entry.to_owned())),
            _ => Err(wrong()),
        }
    })
    .collect()
}

/// The words by which the new host would log in to the old one.
pub fn ssh_words(engine: &Engine, host: &Host) -> Result<Vec<String>> {
    let text = |name: &str| -> Result<Option<String>> {
        Ok(engine.variable_of(host, name)?.filter(|value: &Value| !value.is_none()).map(|value| text_of(&value)))
    };
    let mut words: Vec<String> =
        ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5"]
            .map(str::to_owned)
            .into();
    if let Some(port) = text("ansible_port")? {
        words.extend(["-p".to_owned(), port]);
    }
    let address = text("ansible_host")?.unwrap_or_else(|| host.name().to_owned());
    let user = text("ansible_user")?.unwrap_or_else(|| "root".to_owned());
    words.push(format!("{user}@{address}"));
    Ok(words)
}

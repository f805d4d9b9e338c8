//! The `backup:` key of services as files for the program on the target. Pure: settings in, files out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::target;
use crate::service::Service;
use crate::service::model::{Notified, Notify, Occasion, Retention, Strategy};
use crate::sh;

/// What holds for every service that does not say otherwise.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Its name, for notes and notifications.
    pub host: String,
    /// Where backups are kept.
    pub dir: String,
    /// What must be mounted for that.
    pub mount: Option<String>,
    /// Public keys; nothing when nobody said, which is not the same as none.
    pub recipients: Option<Vec<String>>,
    /// How many are kept.
    pub retention: Retention,
    /// Percent.
    pub shrink: u8,
    /// Who is told how the runs of the timers went.
    pub notify: Vec<Notify>,
    /// Where mirrors are kept.
    pub mirror_dir: Option<String>,
    /// What must be mounted for that.
    pub mirror_mount: Option<String>,
    /// When backups are made, as systemd.time(7) has it.
    pub daily: String,
    /// When mirrors are made.
    pub weekly: String,
}

/// A file on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its text.
    pub text: String,
    /// What it is for; several files may be for the same.
    pub about: String,
}

/// Everything that belongs to the containers' user, by path below its home.
pub type Files = BTreeMap<String, File>;

/// What is wrong with the settings, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// One sentence.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Wrong {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Reads a notification as it stands in a variable: a mapping, or an address alone, which is that of a healthchecks.io check.
pub fn notify(json: &Json) -> Result<Notify, Wrong> {
    let mapping = match json {
        Json::String(url) => serde_json::json!({"type": "healthchecks", "url": url}),
        other => other.clone(),
    };
    // Serde would show the value, which is a secret.
    let notify = Notify::deserialize(&mapping).map_err(|_| {
        Wrong::new(
            "an entry of `notify` is not what it should be",
            "write `{type: healthchecks, url: …}`; types: healthchecks, ntfy, kuma, webhook; `on: [start, success, failure]`",
        )
    })?;
    if !crate::service::model::is_url(&notify.url) {
        return Err(Wrong::new(
            "the `url` of an entry of `notify` is no address",
            "it begins with `https://` or `http://`",
        ));
    }
    Ok(notify)
}

/// The files for these services and the timers. `definition` gives the definition of a service as it goes into its backups: without
/// secret values.
pub fn files(machine: &Machine, services: &[&Service], definition: &dyn Fn(&Service) -> Json) -> Result<Files, Wrong> {
    let mut files = Files::new();
    for (name, text) in target::units(&machine.daily, &machine.weekly) {
        files.insert(format!("{}/{name}", target::UNITS), File { text, about: "units".to_owned() });
    }
    for scope in ["daily", "weekly"] {
        let text = notifications(&machine.notify);
        if !text.is_empty() {
            let path = format!("{}/{scope}.notify", target::CONFIG);
            files.insert(path, File { text, about: "notifications".to_owned() });
        }
    }
    for service in services {
        let Some(backup) = &service.backup else { continue };
        if backup.strategy == Strategy::None {
            continue;
        }
        let keys = match &backup.recipients {
            Some(own) => Some(own.0.clone()),
            None => machine.recipients.clone(),
        };
        let keys = recipients(&service.name, keys)?;
        let mut add = |ending: &str, text: String| {
            let path = format!("{}/services/{}.{ending}", target::CONFIG, service.name);
            files.insert(path, File { text, about: service.name.clone() });
        };
        add("conf", settings(machine, service, !keys.is_empty()));
        add("json", format!("{}\n", definition(service)));
        if !keys.is_empty() {
            add("recipients", keys.join("\n") + "\n");
        }
        let told = notifications(&backup.notify);
        if !told.is_empty() {
            add("notify", told);
        }
    }
    Ok(files)
}

/// The public keys of a service. None at all is a decision that somebody must have made.
fn recipients(service: &str, keys: Option<Vec<String>>) -> Result<Vec<String>, Wrong> {
    let Some(keys) = keys else {
        return Err(Wrong::new(
            format!("service `{service}`: nobody is named whom its backups are encrypted to"),
            "`mms vault init` makes a key and names it in mms.toml; or set `mms_backup_recipients` to public keys; an empty list means that \
             backups are not encrypted",
        ));
    };
    let keys: Vec<String> = keys.iter().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()).collect();
    for key in &keys {
        let known = ["age1", "ssh-ed25519 ", "ssh-rsa "].iter().any(|start| key.starts_with(start));
        if !known || key.contains(['\n', '\0']) {
            let shown =
                if key.starts_with("AGE-SECRET-KEY-") { "a private key".to_owned() } else { format!("`{key}`") };
            return Err(Wrong::new(
                format!("service `{service}`: {shown} is not a recipient of backups"),
                "a recipient is a public key: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`",
            ));
        }
    }
    Ok(keys)
}

/// Lines of `type events address`.
fn notifications(entries: &[Notify]) -> String {
    let line = |entry: &Notify| {
        let kind = match entry.kind {
            Notified::Healthchecks => "healthchecks",
            Notified::Ntfy => "ntfy",
            Notified::Kuma => "kuma",
            Notified::Webhook => "webhook",
        };
        let starts = matches!(entry.kind, Notified::Healthchecks | Notified::Webhook);
        let all = [Occasion::Start, Occasion::Success, Occasion::Failure];
        let on = entry.on.clone().unwrap_or_else(|| all.into_iter().skip(usize::from(!starts)).collect());
        let events: Vec<_> = on
            .iter()
            .map(|event| match event {
                Occasion::Start => "start",
                Occasion::Success => "success",
                Occasion::Failure => "failure",
            })
            .collect();
        format!("{kind} {} {}\n", events.join(","), entry.url)
    };
    entries.iter().map(line).collect()
}

/// The assignments of a service. Lists have one entry on each line.
fn settings(machine: &Machine, service: &Service, encrypt: bool) -> String {
    let Some(backup) = &service.backup else { return String::new() };
    let list = |names: &[String]| names.join("\n");
    let paths = |names: &[String]| names.iter().map(|path| path.trim_end_matches('/')).collect::<Vec<_>>().join("\n");
    let or = |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone()).unwrap_or_default();
    let own = backup.retention.unwrap_or_default();
    let count = |get: fn(&Retention) -> Option<u32>, otherwise: u32| {
        get(&own).or_else(|| get(&machine.retention)).unwrap_or(otherwise).to_string()
    };
    let containers: Vec<String> = service.containers.keys().cloned().collect();
    let (strategy, mirror) = match backup.strategy {
        Strategy::Sqlite => ("sqlite", backup.mirror.as_ref()),
        Strategy::Cold => ("cold", backup.mirror.as_ref()),
        Strategy::Postgres => ("postgres", backup.mirror.as_ref()),
        Strategy::Rsync => ("rsync", backup.mirror.as_ref()),
        Strategy::None => ("none", None),
    };
    // `rsync` mirrors the paths themselves, unless it says more exactly what.
    let only = backup.strategy == Strategy::Rsync && mirror.is_none();
    let mirrored = if only { paths(&backup.paths.0) } else { mirror.map(|it| paths(&it.paths.0)).unwrap_or_default() };
    let left_out = if only { &backup.excludes } else { mirror.map_or(&backup.excludes, |mirror| &mirror.excludes) };
    let server = backup.container.clone().or_else(|| containers.first().cloned()).unwrap_or_default();
    let values = [
        ("strategy", strategy.to_owned()),
        ("paths", paths(&backup.paths.0)),
        ("databases", list(&backup.databases.0)),
        ("excludes", list(&backup.excludes.0)),
        ("containers", containers.join(" ")),
        ("container", server),
        ("user", backup.user.clone().unwrap_or_else(|| "postgres".to_owned())),
        ("dir", backup.dir.clone().unwrap_or_else(|| machine.dir.clone())),
        ("mount", or(&backup.mount, &machine.mount)),
        ("last_kept", count(|it| it.last, 1)),
        ("daily", count(|it| it.daily, 7)),
        ("weekly", count(|it| it.weekly, 4)),
        ("monthly", count(|it| it.monthly, 6)),
        ("shrink", backup.shrink.unwrap_or(machine.shrink).to_string()),
        ("encrypt", if encrypt { "yes" } else { "no" }.to_owned()),
        ("mirror_paths", mirrored.clone()),
        ("mirror_excludes", if mirrored.is_empty() { String::new() } else { list(&left_out.0) }),
        ("mirror_to", or(&mirror.and_then(|mirror| mirror.to.clone()), &machine.mirror_dir)),
        ("mirror_mount", or(&mirror.and_then(|mirror| mirror.mount.clone()), &machine.mirror_mount)),
        ("mirror_keep", mirror.and_then(|mirror| mirror.keep).unwrap_or(4).to_string()),
        ("host", machine.host.clone()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut text = format!("# mms wrote this from services/{}.yml; `mms deploy` writes it again.\n", service.name);
    for (name, value) in values {
        text.push_str(&format!("{name}={}\n", sh::quote(&value)));
    }
    text
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;

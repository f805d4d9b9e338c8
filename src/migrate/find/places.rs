//! Where the data of a service may be on the old host, by what its unit says, and by where people keep it.

use super::super::look::{Seen, Unit};
use super::Tier;
use crate::service::Service;
use crate::service::model::migrate::Target;

/// Where people keep the data of a service.
pub(super) fn usual(name: &str) -> Vec<String> {
    let places = [
        "/opt/{}",
        "/opt/{}/config",
        "/var/lib/{}",
        "/srv/{}",
        "/srv/{}/config",
        "/srv/docker/{}",
        "/srv/docker/{}/config",
        "/docker/{}",
        "/docker/{}/config",
        "/opt/appdata/{}",
        "/opt/docker/{}",
        "/home/*/{}",
        "/home/*/docker/{}",
        "/home/*/.config/{}",
        "/root/.config/{}",
        "/config/{}",
        "/etc/{}",
    ];
    let own = places.iter().map(|pattern| pattern.replace("{}", name));
    // As the applications themselves write it.
    let title = title(name);
    let titled = ["/opt/{}", "/home/*/.config/{}", "/root/.config/{}"];
    let titled = titled.iter().map(|pattern| pattern.replace("{}", &title));
    own.chain(titled).chain([format!("/var/lib/{name}/.config/{title}")]).collect()
}

/// `radarr` as `Radarr`.
pub(super) fn title(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}

/// Options that name the data of most applications.
const OPTIONS: [&str; 6] = ["-data", "--data", "--datadir", "--data-dir", "--config-dir", "-f"];

/// What the commands and environments of units name.
pub(super) fn by_command(target: &Target<'_>, units: &[&Unit]) -> Vec<Tier> {
    let mut options: Vec<&str> = target.place.options.0.iter().map(String::as_str).collect();
    if options.is_empty() && !target.place.optional {
        options = OPTIONS.to_vec();
    }
    let (mut commands, mut environments) = (vec![], vec![]);
    for unit in units {
        let words = unit.command();
        for (at, word) in words.iter().enumerate() {
            for option in &options {
                let value = match word.strip_prefix(option) {
                    Some("") => words.get(at + 1).copied(),
                    Some(rest) => rest.strip_prefix('='),
                    None => None,
                };
                commands.extend(value.map(|value| value.trim_matches(['"', '\'']).to_owned()));
            }
        }
        let assignments =
            unit.get("Environment").split_whitespace().filter_map(|word| word.trim_matches('"').split_once('='));
        let wanted = |name: &&str| target.place.environment.0.iter().any(|one| one == name);
        environments.extend(assignments.filter(|(name, _)| wanted(name)).map(|(_, value)| value.to_owned()));
    }
    let tier = |why: &str, values: Vec<String>| {
        let mut directories = vec![];
        for value in values.iter().filter(|value| value.starts_with('/')) {
            directories.push(value.trim_end_matches('/').to_owned());
            // It may be a file in the directory.
            if let Some((parent, _)) =
                value.rsplit_once('/').filter(|(parent, name)| !parent.is_empty() && name.contains('.'))
            {
                directories.push(parent.to_owned());
            }
        }
        Tier { why: why.to_owned(), certain: !directories.is_empty(), ordered: false, directories }
    };
    vec![tier("the command of its unit", commands), tier("the environment of its unit", environments)]
}

/// What systemd gives the unit, and the home of its user.
pub(super) fn by_user(service: &Service, seen: &Seen, units: &[&Unit]) -> Tier {
    let mut directories = vec![];
    for unit in units {
        directories.extend(unit.get("StateDirectory").split_whitespace().map(|name| format!("/var/lib/{name}")));
        let user =
            unit.user.as_deref().or_else(|| Some(unit.get("User")).filter(|user| !user.is_empty())).unwrap_or("root");
        if let Some((_, home)) = seen.users.get(user) {
            let (name, title) = (&service.name, title(&service.name));
            directories.extend([
                home.clone(),
                format!("{home}/.config/{name}"),
                format!("{home}/.config/{title}"),
                format!("{home}/.{name}"),
            ]);
        }
    }
    Tier { why: "its unit and its user".to_owned(), directories, certain: false, ordered: false }
}

/// The directories that were seen and may be this place.
pub(super) fn by_directory(service: &Service, target: &Target<'_>, seen: &Seen, is_base: bool) -> Vec<Tier> {
    let tier = |why: &str, patterns: &[String]| {
        let matching = |directory: &&String| patterns.iter().any(|pattern| matches(pattern, directory));
        Tier {
            why: why.to_owned(),
            directories: seen.directories.iter().filter(matching).cloned().collect(),
            certain: false,
            ordered: false,
        }
    };
    let mut tiers = vec![tier("where it is usually installed", &target.place.directories.0)];
    if is_base {
        tiers.push(tier("where people keep it", &usual(&service.name)));
    }
    tiers
}

/// Whether a path is one of a pattern, in which `*` stands for any name.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(pattern, name)| match pattern.split_once('*') {
            Some((before, after)) => {
                name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            }
            None => pattern == name,
        })
}

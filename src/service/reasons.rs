//! Why a container is restarted, in words, from its old and new unit text.

use std::collections::BTreeMap;

use super::seal;
use super::unit::unquote;

/// What changed between two texts of a unit, one phrase each.
pub(super) fn between(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (Lines::parse(old), Lines::parse(new));
    let mut reasons = vec![];
    let keys: std::collections::BTreeSet<_> = old.0.keys().chain(new.0.keys()).collect();
    let none = vec![];
    for key in keys {
        let before = old.0.get(key).unwrap_or(&none);
        let after = new.0.get(key).unwrap_or(&none);
        if before == after {
            continue;
        }
        match key.1.as_str() {
            "Environment" => named("environment", before, after, "=", &mut reasons),
            "Secret" => secrets(before, after, &mut reasons),
            "Image" => reasons.push(image(before, after)),
            "Label" => named("label", before, after, "=", &mut reasons),
            "PublishPort" => listed("port", before, after, &mut reasons),
            "Volume" => listed("volume", before, after, &mut reasons),
            name => changed(name, before, after, &mut reasons),
        }
    }
    if reasons.is_empty() {
        reasons.push("the unit's text changed".to_owned());
    }
    reasons
}

/// Section and key → values in order.
struct Lines(BTreeMap<(String, String), Vec<String>>);

impl Lines {
    fn parse(text: &str) -> Self {
        let mut lines: BTreeMap<_, Vec<String>> = BTreeMap::new();
        let mut section = String::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                lines.entry((section.clone(), key.to_owned())).or_default().push(unquote(value));
            }
        }
        Self(lines)
    }
}

fn image(before: &[String], after: &[String]) -> String {
    let (Some(old), Some(new)) = (before.first(), after.first()) else { return "image changed".to_owned() };
    let split = |image: &str| image.rsplit_once(':').map(|(name, tag)| (name.to_owned(), tag.to_owned()));
    match (split(old), split(new)) {
        (Some((old_name, old_tag)), Some((new_name, new_tag))) if old_name == new_name => {
            format!("image {old_tag} → {new_tag}")
        }
        _ => format!("image {old} → {new}"),
    }
}

fn named(what: &str, before: &[String], after: &[String], separator: &str, reasons: &mut Vec<String>) {
    let map = |list: &[String]| -> BTreeMap<String, String> {
        list.iter().filter_map(|line| line.split_once(separator)).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let (old, new) = (map(before), map(after));
    for (name, value) in &new {
        match old.get(name) {
            None => reasons.push(format!("{what} {name} added: {value}")),
            Some(was) if was != value => reasons.push(format!("{what} {name} changed: {was} → {value}")),
            Some(_) => {}
        }
    }
    reasons.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{what} {name} removed")));
}

fn secrets(before: &[String], after: &[String], reasons: &mut Vec<String>) {
    let map = |list: &[String]| -> BTreeMap<String, String> {
        list.iter()
            .map(|line| {
                let podman = line.split(',').next().unwrap_or_default();
                (seal::secret_of(podman).unwrap_or(podman).to_owned(), line.clone())
            })
            .collect()
    };
    let (old, new) = (map(before), map(after));
    for (name, line) in &new {
        match old.get(name) {
            None => reasons.push(format!("secret {name} added")),
            Some(was) if was != line => reasons.push(format!("secret {name} changed")),
            Some(_) => {}
        }
    }
    reasons.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("secret {name} removed")));
}

fn listed(what: &str, before: &[String], after: &[String], reasons: &mut Vec<String>) {
    reasons.extend(after.iter().filter(|item| !before.contains(item)).map(|item| format!("{what} {item} added")));
    reasons.extend(before.iter().filter(|item| !after.contains(item)).map(|item| format!("{what} {item} removed")));
}

fn changed(key: &str, before: &[String], after: &[String], reasons: &mut Vec<String>) {
    let text = |list: &[String]| list.join(" ");
    reasons.push(match (before.is_empty(), after.is_empty()) {
        (true, _) => format!("{key} set: {}", text(after)),
        (_, true) => format!("{key} removed"),
        _ => format!("{key} changed: {} → {}", text(before), text(after)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why() {
        let old = "# c\n[Container]\nImage=lscr.io/x/radarr:6.0.3\nEnvironment=TZ=Europe/Berlin\nEnvironment=\"A=b c\"\n\
                   Secret=db-aaaaaaaaaaaa,type=env,target=P\nPublishPort=1:1/tcp\n[Service]\nRestart=always\n";
        let new = "# d\n[Container]\nImage=lscr.io/x/radarr:6.0.4\nEnvironment=TZ=UTC\nEnvironment=N=1\n\
                   Secret=db-bbbbbbbbbbbb,type=env,target=P\nPublishPort=2:1/tcp\n[Service]\nRestart=no\n";
        assert_eq!(
            between(old, new),
            [
                "environment N added: 1",
                "environment TZ changed: Europe/Berlin → UTC",
                "environment A removed",
                "image 6.0.3 → 6.0.4",
                "port 2:1/tcp added",
                "port 1:1/tcp removed",
                "secret db changed",
                "Restart changed: always → no",
            ]
        );
        assert_eq!(between("# a\n[Unit]\n", "# b\n[Unit]\n"), ["the unit's text changed"]);
    }
}

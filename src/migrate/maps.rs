//! Where the paths that an application knows on the old host are in the containers of the new one.

use super::find::Candidate;
use super::rewrite::PathMap;
use crate::service::Service;
use crate::service::model::Origin;

/// The maps of a service: what somebody said (`said`: directories of the old host → paths in the containers), then the service's own
/// directories, then what both hosts have at the same place, such as a share of a NAS.
pub fn of(
    service: &Service,
    candidate: &Candidate,
    settled: &[Option<String>],
    said: &[PathMap],
) -> Vec<(String, String)> {
    let mut maps: Vec<(String, String)> = vec![];
    let mut add = |from: &str, to: &str| {
        let (from, to) = (trim(from), trim(to));
        if !from.is_empty() && !maps.iter().any(|(known, _)| *known == from) {
            maps.push((from, to));
        }
    };
    for map in said {
        add(&map.from, &map.to);
    }
    for (inside, there) in &candidate.mounts {
        if let Some(to) = said.iter().find_map(|map| moved(there, &map.from, &map.to)) {
            add(inside, &to);
        }
    }
    for (target, found) in service.places().iter().zip(settled) {
        let Some(found) = found else { continue };
        // What a container sees of it there; without a container, the directory itself.
        let seen =
            candidate.mounts.iter().filter_map(|(inside, there)| moved(found, there, inside)).max_by_key(String::len);
        add(seen.as_deref().unwrap_or(found), &target.inside);
    }
    let here: Vec<(&str, &str)> = service
        .containers
        .values()
        .flat_map(|container| &container.volumes)
        .filter_map(|volume| match &volume.source {
            Origin::Path(path) => Some((path.as_str(), volume.target.as_str())),
            Origin::Named(_) => None,
        })
        .collect();
    for (inside, there) in &candidate.mounts {
        let longest = here.iter().filter_map(|(path, to)| Some((path.len(), moved(there, path, to)?))).max();
        if let Some((_, to)) = longest {
            add(inside, &to);
        }
    }
    if candidate.mounts.is_empty() {
        for (path, to) in here {
            add(path, to);
        }
    }
    maps
}

fn trim(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() && path.starts_with('/') { "/".to_owned() } else { trimmed.to_owned() }
}

/// A path below one directory as it is below another.
fn moved(path: &str, from: &str, to: &str) -> Option<String> {
    let rest = path.strip_prefix(from.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", to.trim_end_matches('/')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn service() -> Service {
        let definition = serde_json::json!({
            "image": "docker.io/x/radarr:1", "volumes": ["/home/mms/config/radarr:/config", "/data:/data"],
            "backup": {"strategy": "sqlite", "paths": "/home/mms/config/radarr", "databases": "radarr.db"},
        });
        crate::service::load::read("radarr", &crate::value::from_json(&definition), None).unwrap()
    }

    fn candidate(mounts: &[(&str, &str)]) -> Candidate {
        let mounts = mounts.iter().map(|(inside, there)| ((*inside).to_owned(), (*there).to_owned())).collect();
        Candidate { mounts, ..Candidate::default() }
    }

    fn maps(candidate: &Candidate, found: &str, said: &[(&str, &str)]) -> Vec<String> {
        let said: Vec<PathMap> =
            said.iter().map(|(from, to)| PathMap { from: (*from).to_owned(), to: (*to).to_owned() }).collect();
        let all = of(&service(), candidate, &[Some(found.to_owned())], &said);
        all.into_iter().map(|(from, to)| format!("{from} {to}")).collect()
    }

    #[test]
    fn containers_know_their_own_paths() {
        let candidate =
            candidate(&[("/config", "/srv/docker/radarr"), ("/movies", "/data/media/movies"), ("/dl", "/mnt/dl/")]);
        assert_eq!(
            maps(&candidate, "/srv/docker/radarr", &[("/mnt", "/data/usenet")]),
            ["/mnt /data/usenet", "/dl /data/usenet/dl", "/config /config", "/movies /data/media/movies"]
        );
    }

    #[test]
    fn without_containers_paths_are_those_of_the_host() {
        assert_eq!(
            maps(&candidate(&[]), "/var/lib/radarr", &[("/mnt/media/", "/data/media")]),
            ["/mnt/media /data/media", "/var/lib/radarr /config", "/home/mms/config/radarr /config", "/data /data"]
        );
    }
}

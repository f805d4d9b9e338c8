//! What a restore is about to do, worked out from what was seen on the target; refused while nothing is touched.

use super::journal::{Found, Journal, Phase, Place, Verb};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;
use crate::service::model::{Origin, Strategy};
use crate::size;

/// How a path is on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathSeen {
    /// `directory`, `file`, `link` (one that leads nowhere) or `absent`.
    pub kind: String,
    /// Where it really is: a path may be a link to the data.
    pub real: String,
    /// Whether something is mounted there.
    pub mount: bool,
    /// Whether the containers' user may rename there.
    pub writable: bool,
    /// Free space in KiB.
    pub free: u64,
    /// The file system.
    pub file_system: String,
}

/// What was seen on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The user's service manager can be talked to.
    pub bus: bool,
    /// There is a `tar`.
    pub tar: bool,
    /// Containers of the service that have no unit.
    pub missing: Vec<String>,
    /// Earlier restores of the service.
    pub earlier: Vec<Found>,
    /// The paths that were asked about, in order.
    pub paths: Vec<PathSeen>,
}

impl Seen {
    /// Reads what the look script answered.
    pub fn parse(answer: &str) -> Self {
        let mut seen = Self::default();
        for line in answer.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "@bus" => seen.bus = true,
                "@tar" => seen.tar = true,
                "@missing" => seen.missing.push(rest.to_owned()),
                "@restore" => {
                    let found = rest.split_once(' ').and_then(|(phase, journal)| {
                        let journal: Journal = serde_json::from_str(journal).ok()?;
                        Some(Found { journal, phase: Phase::parse(phase)? })
                    });
                    seen.earlier.extend(found);
                }
                "@path" => {
                    let words: Vec<&str> = rest.splitn(5, ' ').collect();
                    if let [kind, mount, writable, free, file_system] = words.as_slice() {
                        seen.paths.push(PathSeen {
                            kind: (*kind).to_owned(),
                            real: String::new(),
                            mount: *mount == "yes",
                            writable: *writable == "yes",
                            free: free.parse().unwrap_or_default(),
                            file_system: (*file_system).to_owned(),
                        });
                    }
                }
                "@real" => {
                    if let Some(seen) = seen.paths.last_mut() {
                        rest.clone_into(&mut seen.real);
                    }
                }
                _ => {}
            }
        }
        seen
    }
}

/// What is restored: the service's paths, and the data directory of its database server where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// `backup.paths`, in order.
    pub paths: Vec<String>,
    /// The database server.
    pub database: Option<Database>,
}

/// A PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its container.
    pub container: String,
    /// Its data directory on the host.
    pub directory: String,
    /// The superuser.
    pub user: String,
}

impl Targets {
    /// What a service's definition says.
    pub fn of(service: &Service) -> Result<Self> {
        let wrong = |text: String| Error::user(format!("service `{}`: {text}", service.name));
        let Some(backup) = service.backup.as_ref().filter(|backup| backup.strategy != Strategy::None) else {
            return Err(wrong("it has no `backup`, so there is nothing to restore".to_owned()));
        };
        if backup.strategy == Strategy::Rsync {
            return Err(wrong("it is mirrored, not archived".to_owned())
                .hint(format!("`mms restore {} --mirror` brings back what a mirror has", service.name)));
        }
        let paths: Vec<String> = backup.paths.0.iter().map(|path| path.trim_end_matches('/').to_owned()).collect();
        if let Some(path) = paths.iter().find(|path| !path.starts_with('/') || path.len() < 2 || path.contains("/../"))
        {
            return Err(wrong(format!("`{path}` of `backup.paths` is no absolute path that could be replaced")));
        }
        let inside = |one: &str, other: &str| other.starts_with(&format!("{one}/")) || one == other;
        for (at, path) in paths.iter().enumerate() {
            if let Some(other) = paths.iter().skip(at + 1).find(|other| inside(path, other) || inside(other, path)) {
                return Err(wrong(format!("`{path}` and `{other}` of `backup.paths` hold one another")));
            }
        }
        let database = if backup.strategy == Strategy::Postgres { Some(database(service)?) } else { None };
        if paths.is_empty() && database.is_none() {
            return Err(wrong("`backup.paths` is empty, so there is nothing to restore".to_owned()));
        }
        Ok(Self { paths, database })
    }

    /// Everything that is swapped by itself.
    pub fn places(&self) -> Vec<String> {
        let own = self.database.iter().map(|database| &database.directory);
        let own = own.filter(|directory| self.inside(directory).is_none());
        self.paths.iter().chain(own).cloned().collect()
    }

    /// The number of the path that a directory is inside of, and the rest of its path.
    pub fn inside<'a>(&self, directory: &'a str) -> Option<(usize, &'a str)> {
        self.paths.iter().enumerate().find_map(|(at, path)| Some((at, directory.strip_prefix(&format!("{path}/"))?)))
    }
}

fn database(service: &Service) -> Result<Database> {
    let wrong = |text: String| Error::user(format!("service `{}`: {text}", service.name));
    let backup = service.backup.as_ref();
    let named = backup.and_then(|backup| backup.container.clone());
    let name = named.or_else(|| service.containers.keys().next().filter(|_| service.containers.len() == 1).cloned());
    let name =
        name.ok_or_else(|| wrong("`backup.container` must say which container is the database server".into()))?;
    let container = service.containers.get(&name).ok_or_else(|| wrong(format!("there is no container `{name}`")))?;
    let at = container.environment.get("PGDATA").map_or("/var/lib/postgresql/data", |path| path.0.as_str());
    let volume = container
        .volumes
        .iter()
        .filter(|volume| at == volume.target || at.starts_with(&format!("{}/", volume.target.trim_end_matches('/'))));
    let volume = volume.max_by_key(|volume| volume.target.len());
    match volume.map(|volume| &volume.source) {
        Some(Origin::Path(path)) => Ok(Database {
            container: name,
            directory: path.trim_end_matches('/').to_owned(),
            user: backup.and_then(|backup| backup.user.clone()).unwrap_or_else(|| "postgres".to_owned()),
        }),
        Some(Origin::Named(volume)) => Err(wrong(format!(
            "the database of `{name}` is in the volume `{volume}`; only one in a directory of the host can be swapped"
        ))),
        None => Err(wrong(format!("`{name}` keeps its database (`{at}`) on no volume"))),
    }
}

/// The journal of a restore or migration that begins now.
pub fn journal(verb: Verb, id: &str, service: &Service, backup: &str, seen: &Seen, active: Vec<String>) -> Journal {
    let places = seen.paths.iter().map(|seen| {
        let live = seen.real.clone();
        let (parent, name) = live.rsplit_once('/').unwrap_or(("", &live));
        Place {
            staged: format!("{parent}/.mms-{}-{id}-{name}", verb.word()),
            replaced: format!("{live}.mms-replaced-{id}"),
            existed: seen.kind != "absent",
            live,
        }
    });
    Journal {
        id: id.to_owned(),
        verb,
        service: service.name.clone(),
        backup: backup.to_owned(),
        places: places.collect(),
        units: service.containers.keys().map(|name| format!("{name}.service")).collect(),
        active,
        origin: None,
    }
}

/// Refuses what cannot go well. `bytes` is what the backup unpacks to, where that is known.
pub fn check(paths: &[String], seen: &Seen, bytes: Option<u64>) -> Result<()> {
    let refuse = |text: String| Err(Error::new(ErrorKind::Failed, text));
    if !seen.bus {
        return refuse("the service manager of the containers' user does not run on the target".to_owned())
            .map_err(|error: Error| error.hint("`mms deploy` sets the machine up; `mms deploy --restore` does both"));
    }
    if !seen.tar {
        return refuse("there is no `tar` on the target".to_owned())
            .map_err(|error: Error| error.hint("the role `backup` installs it"));
    }
    if let Some(name) = seen.missing.first() {
        return refuse(format!("the container `{name}` is not deployed on the target")).map_err(|error: Error| {
            error.hint("deploy it first: `mms deploy-service`, or `mms deploy --restore` for everything")
        });
    }
    for (path, seen) in paths.iter().zip(&seen.paths) {
        if seen.mount {
            return refuse(format!("`{path}` is a mount point, which cannot be swapped by renaming"))
                .map_err(|error: Error| error.hint("name a directory below it in `backup.paths`"));
        }
        if seen.kind == "link" {
            return refuse(format!("`{path}` is a symbolic link that leads nowhere"));
        }
        if !seen.writable {
            return refuse(format!("the containers' user may not rename `{path}`"))
                .map_err(|error: Error| error.hint("the directory above it must belong to that user"));
        }
    }
    // The data is unpacked once, all of it on the file system of the path it belongs to; which share that is, is not known.
    let needed = bytes.unwrap_or_default() / 1024 * 11 / 10 + 16 * 1024;
    match seen.paths.iter().max_by_key(|seen| seen.free).filter(|seen| seen.free < needed) {
        Some(seen) => refuse(format!(
            "{} are needed, and {} are free in `{}`",
            size::human(needed * 1024),
            size::human(seen.free * 1024),
            seen.file_system
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn read(definition: &serde_json::Value) -> Result<Service> {
        crate::service::load::read("s", &crate::value::from_json(definition), None)
    }

    fn service(definition: serde_json::Value) -> Service {
        read(&definition).unwrap()
    }

    fn seen(kind: &str, free: u64) -> Seen {
        let path = PathSeen {
            kind: kind.into(),
            real: "/c/s".into(),
            mount: false,
            writable: true,
            free,
            file_system: "/".into(),
        };
        Seen { bus: true, tar: true, paths: vec![path], ..Seen::default() }
    }

    #[test]
    fn knows_what_is_swapped() {
        let definition = serde_json::json!({
            "containers": {
                "web": {"image": "docker.io/x/web:1"},
                "db": {"image": "docker.io/x/db:1", "volumes": ["/c/pg:/var/lib/postgresql/data:Z"]},
            },
            "backup": {"strategy": "postgres", "container": "db", "user": "me", "paths": ["/d/photos/"]},
        });
        let targets = Targets::of(&service(definition.clone())).unwrap();
        assert_eq!(targets.places(), ["/d/photos", "/c/pg"]);
        assert_eq!(targets.database.as_ref().unwrap().user, "me");
        let mut inside = definition.clone();
        inside["backup"]["paths"] = serde_json::json!(["/c"]);
        let targets = Targets::of(&service(inside)).unwrap();
        assert_eq!((targets.places(), targets.inside("/c/pg")), (vec!["/c".to_owned()], Some((0, "pg"))));
        for paths in [serde_json::json!(["c"]), serde_json::json!(["/"]), serde_json::json!(["/c", "/c/d"])] {
            let mut wrong = definition.clone();
            wrong["backup"]["paths"] = paths;
            assert!(read(&wrong).and_then(|service| Targets::of(&service)).is_err());
        }
    }

    #[test]
    fn refuses_before_anything_is_touched() {
        let definition =
            serde_json::json!({"image": "docker.io/x/web:1", "backup": {"strategy": "sqlite", "paths": "/c/s"}});
        let targets = Targets::of(&service(definition)).unwrap();
        let gib = 1 << 30;
        check(&targets.places(), &seen("directory", 2 << 20), Some(gib)).unwrap();
        check(&targets.places(), &seen("absent", 2 << 20), None).unwrap();
        let why = |seen: &Seen| check(&targets.places(), seen, Some(gib)).unwrap_err().to_string();
        assert!(why(&seen("directory", 1 << 20)).contains("are needed"));
        assert!(why(&seen("link", 2 << 20)).contains("symbolic link"));
        let mut mounted = seen("directory", 2 << 20);
        mounted.paths[0].mount = true;
        assert!(why(&mounted).contains("mount point"));
        assert!(why(&Seen { missing: vec!["x".into()], ..seen("directory", 2 << 20) }).contains("not deployed"));
        assert!(why(&Seen { bus: false, ..seen("directory", 2 << 20) }).contains("service manager"));
    }

    #[test]
    fn reads_what_the_target_says() {
        let journal = r#"{"id":"1","service":"s","backup":"b","places":[],"units":["a.service"],"active":[]}"#;
        let text = format!(
            "@bus\n@restore swapped {journal}\n@restore strange {journal}\n@path file no yes 12 /my disk\n@real /a b\n"
        );
        let seen = Seen::parse(&text);
        assert!(seen.bus && !seen.tar);
        assert_eq!(seen.earlier.len(), 1);
        assert_eq!((seen.paths[0].free, seen.paths[0].file_system.as_str()), (12, "/my disk"));
        assert_eq!(seen.paths[0].real, "/a b");
    }
}

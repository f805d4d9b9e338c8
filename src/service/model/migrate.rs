//! How the same application is found, taken over and adapted when it runs on another host without mms: the facts about an
//! application that `mms migrate` needs and that differ from one to the next.

mod validate;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Names, Origin, Service, Strategy, Text};

/// How the same application is found on another host, and what is adapted when its data comes from there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// Other names that its containers have elsewhere, by the name of the container here: names of containers, of Compose services,
    /// or last parts of images. `_` and `-` are the same. The names of the service and its containers need not be listed.
    #[serde(default)]
    pub names: IndexMap<String, Names>,
    /// systemd units that run it when it was installed without containers. They are stopped in this order and started in the
    /// reverse one. `<service>.service` when left out.
    #[serde(default)]
    pub units: Names,
    /// The directories that are moved. When left out: the mounted directories of the host that `backup.paths` names, and the data
    /// directory of a `postgres` server.
    #[serde(default)]
    pub places: Vec<Place>,
    /// Files that tell the version of the application on the other host: the first number with a dot in the first of them.
    #[serde(default)]
    pub version_files: Names,
    /// Packages (deb or rpm) that the application comes in on the other host; they tell its version.
    #[serde(default)]
    pub packages: Names,
    /// Settings that are adapted in copied files. What is not named stays byte for byte.
    #[serde(default)]
    pub rewrite: Vec<Rule>,
    /// Columns of SQLite databases that hold paths. They are not rewritten, but paths that are not there in the container are told.
    #[serde(default)]
    pub paths_in: Vec<PathColumn>,
}

/// A directory that is moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Where it is on the new host: a directory that the service mounts, or one below it.
    pub path: String,
    /// Files that show that a directory is the one that is looked for, relative to it; one of them is enough.
    /// `backup.databases` when left out.
    #[serde(default)]
    pub marks: Names,
    /// Where it is in containers of other images, tried after the path that it has in the container here. The marks decide.
    #[serde(default)]
    pub container_paths: Names,
    /// Where it is without containers, unless the unit says otherwise. `*` stands for any name.
    #[serde(default)]
    pub directories: Names,
    /// Options of the application's command line that name it, or a file in it.
    #[serde(default)]
    pub options: Names,
    /// Environment variables that name it.
    #[serde(default)]
    pub environment: Names,
    /// Only these files are moved: patterns relative to the directory. Everything when left out.
    #[serde(default)]
    pub files: Names,
    /// It need not be there.
    #[serde(default)]
    pub optional: bool,
    /// What to do when it is not found: a hint for people.
    #[serde(default)]
    pub missing: Option<String>,
}

/// A rule for files of one format.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The file, relative to a place. `*` stands for any part of a name.
    pub file: String,
    /// How it is written.
    pub format: Format,
    /// Options that get a value, where they stand; none is added. INI: `section/option`, with the names of nested sections before it.
    /// XML: the names of the elements from the root. `*` stands for any one name.
    #[serde(default)]
    pub set: IndexMap<String, Text>,
    /// Options whose value is a path (in INI files also several, separated by commas): a path of the other host becomes the one in the
    /// container. Named as in `set`.
    #[serde(default)]
    pub paths: Names,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Sections and options; nested sections as ConfigObj writes them (`[[name]]`).
    Ini,
    /// Elements.
    Xml,
    /// The whole text is one path.
    Text,
}

/// A column that holds paths.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathColumn {
    /// The SQLite database, relative to a place.
    pub database: String,
    /// The table. A database without it is of another version of the application, and nothing is told of it.
    pub table: String,
    /// The column.
    pub column: String,
}

/// A place with what the definition of the service says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The container that has it.
    pub container: &'a str,
    /// Where it is in the container.
    pub inside: String,
    /// The place, with what was left out filled in.
    pub place: Place,
}

impl Service {
    /// The places that are moved, as `migrate.places` lists them, or by what is backed up.
    pub fn places(&self) -> Vec<Target<'_>> {
        let written = self.migrate.iter().flat_map(|migrate| migrate.places.iter().cloned());
        let mut places: Vec<Place> = written.collect();
        if places.is_empty() {
            places = self.default_places().into_iter().map(|path| Place { path, ..Place::default() }).collect();
        }
        let mut targets = vec![];
        for mut place in places {
            if place.marks.0.is_empty() {
                place.marks = self.default_marks();
            }
            if let Some((container, inside)) = self.inside(&place.path) {
                targets.push(Target { container, inside, place });
            }
        }
        targets
    }

    /// The systemd units that run it elsewhere without containers.
    pub fn units_elsewhere(&self) -> Vec<String> {
        let written = self.migrate.as_ref().map(|migrate| migrate.units.0.clone()).unwrap_or_default();
        if written.is_empty() {
            return vec![format!("{}.service", self.name)];
        }
        written.into_iter().map(|unit| if unit.contains('.') { unit } else { format!("{unit}.service") }).collect()
    }

    /// Container, directory of the host, and where the container sees it.
    fn mounts(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.containers.iter().flat_map(|(name, container)| {
            container.volumes.iter().filter_map(move |volume| match &volume.source {
                Origin::Path(host) => Some((name.as_str(), host.as_str(), volume.target.as_str())),
                Origin::Named(_) => None,
            })
        })
    }

    /// The container that sees a directory of the host, and where it sees it.
    fn inside(&self, path: &str) -> Option<(&str, String)> {
        // The deepest mount is what the container sees.
        let found = self.mounts().filter_map(|(name, host, target)| Some((name, host, target, below(path, host)?)));
        let (name, _, target, rest) = found.max_by_key(|(_, host, ..)| host.len())?;
        let inside =
            if rest.is_empty() { target.to_owned() } else { format!("{}/{rest}", target.trim_end_matches('/')) };
        Some((name, inside))
    }

    fn default_places(&self) -> Vec<String> {
        let Some(backup) = &self.backup else { return vec![] };
        let server = backup.container.as_ref().or_else(|| self.containers.keys().next());
        let mut places: Vec<String> = vec![];
        for (name, host, target) in self.mounts() {
            let saved = backup.paths.0.iter().filter_map(|path| match below(path, host) {
                Some(_) => Some(path.as_str()),
                None => below(host, path).map(|_| host),
            });
            let cluster = backup.strategy == Strategy::Postgres
                && server.is_some_and(|server| server == name)
                && target.trim_end_matches('/') == "/var/lib/postgresql/data";
            for place in saved.chain(cluster.then_some(host)) {
                let place = place.trim_end_matches('/').to_owned();
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        places
    }

    fn default_marks(&self) -> Names {
        match &self.backup {
            Some(backup) if backup.strategy == Strategy::Postgres => Names(vec!["PG_VERSION".to_owned()]),
            Some(backup) => {
                let relative = backup.databases.0.iter().filter(|name| !name.starts_with('/'));
                Names(relative.cloned().collect())
            }
            None => Names::default(),
        }
    }
}

/// What is left of a path below a directory; empty when it is the directory itself.
pub(super) fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let path = path.trim_end_matches('/');
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(extra: Value) -> Service {
        let mut definition = json!({
            "name": "app",
            "containers": { "app": {
                "image": "docker.io/library/app:1.0",
                "volumes": ["/srv/app/config:/config:Z", "/srv/app/cache:/cache", "models:/models", "/data:/data/"]
            } }
        });
        definition.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(definition).unwrap()
    }

    fn places(service: &Service) -> Vec<(String, String)> {
        service.places().into_iter().map(|target| (target.place.path, target.inside)).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(path, inside)| ((*path).to_owned(), (*inside).to_owned())).collect()
    }

    #[test]
    fn without_places_it_is_what_is_backed_up() {
        let backup =
            |paths: Value| service(json!({ "backup": { "strategy": "sqlite", "paths": paths, "databases": "a.db" } }));
        assert_eq!(places(&backup(json!("/srv/app/config"))), pairs(&[("/srv/app/config", "/config")]));
        // Everything below a directory that is saved, and what is saved below a mount.
        let all = pairs(&[("/srv/app/config", "/config"), ("/srv/app/cache", "/cache")]);
        assert_eq!(places(&backup(json!("/srv/app/"))), all);
        assert_eq!(places(&backup(json!(["/data/x", "/etc"]))), pairs(&[("/data/x", "/data/x")]));
        assert_eq!(backup(json!("/srv/app/config")).places()[0].place.marks, Names(vec!["a.db".to_owned()]));
        assert_eq!(places(&service(json!({}))), vec![]);
    }

    #[test]
    fn a_server_of_postgres_has_its_data_directory() {
        let mut service = service(json!({ "backup": { "strategy": "postgres", "container": "db" } }));
        let container = json!({ "image": "docker.io/library/pg:1.0", "volumes": ["/srv/pg:/var/lib/postgresql/data"] });
        service.containers.insert("db".to_owned(), serde_json::from_value(container).unwrap());
        let targets = service.places();
        assert_eq!(places(&service), pairs(&[("/srv/pg", "/var/lib/postgresql/data")]));
        assert_eq!((targets[0].container, &targets[0].place.marks.0[..]), ("db", &["PG_VERSION".to_owned()][..]));
    }

    #[test]
    fn written_places_and_units() {
        let service = service(json!({ "migrate": {
            "units": ["app", "app-worker.timer"],
            "places": [{ "path": "/srv/app/config/sub/", "marks": "x" }]
        } }));
        assert_eq!(places(&service), pairs(&[("/srv/app/config/sub/", "/config/sub")]));
        assert_eq!(service.units_elsewhere(), ["app.service", "app-worker.timer"]);
    }
}

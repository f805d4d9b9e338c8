use super::*;
use crate::migrate::journal::Origin;
use crate::migrate::look::{self, Probed};
use crate::migrate::source::Holder;

/// The service of the cases: one container, a directory with its database.
fn service(more: &serde_json::Value) -> Service {
    let mut definition = serde_json::json!({
        "image": "lscr.io/linuxserver/radarr:6.4.4", "volumes": ["/c/radarr:/config", "/data:/data"],
        "backup": {"strategy": "sqlite", "paths": "/c/radarr", "databases": "radarr.db", "excludes": ["logs", "logs.db*"]},
    });
    definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    crate::service::load::read("radarr", &crate::value::from_json(&definition), None).unwrap()
}

fn plain() -> Service {
    service(&serde_json::json!({}))
}

fn container(name: &str, image: &str, running: bool) -> Container {
    Container {
        engine: "docker".into(),
        id: format!("id-{name}"),
        name: name.into(),
        image: image.into(),
        mounts: vec![("/config".into(), format!("/srv/{name}"))],
        running,
        ..Container::default()
    }
}

fn unit(name: &str, command: &str, active: bool) -> Unit {
    let state = if active { "active" } else { "inactive" };
    let properties =
        [("Id", name), ("LoadState", "loaded"), ("ActiveState", state), ("UnitFileState", "enabled"), ("User", "joe")];
    let mut properties: BTreeMap<String, String> =
        properties.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    properties.insert("ExecStart".into(), format!("{{ path=x ; argv[]={command} ; ignore_errors=no }}"));
    Unit { user: None, properties }
}

fn seen(containers: Vec<Container>, units: Vec<Unit>, directories: &[&str]) -> Seen {
    Seen {
        containers,
        units,
        directories: directories.iter().map(|path| (*path).to_owned()).collect(),
        users: BTreeMap::from([("joe".into(), (1000, "/home/joe".into()))]),
        ..Seen::default()
    }
}

/// What comes of it when these directories exist and have the service's mark.
fn found(
    service: &Service,
    seen: &Seen,
    given: Option<&Given>,
    marked: &[&str],
) -> std::result::Result<Option<Origin>, String> {
    let told = |error: Error| {
        let hints = error.diagnostics().iter().flat_map(|diagnostic| diagnostic.hints.clone());
        std::iter::once(error.message().to_owned())
            .chain(hints.map(|hint| hint.to_string()))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let Some(candidate) = candidate(service, seen, given, "old").map_err(told)? else { return Ok(None) };
    let probed: Vec<Probed> = to_probe(service, &candidate)
        .into_iter()
        .map(|(path, _)| {
            let good = marked.contains(&path.as_str());
            Probed { real: (good || seen.directories.contains(&path)).then_some(path), marked: good, cluster: None }
        })
        .collect();
    let Some(settled) = settle(service, &candidate, &probed, "old").map_err(told)? else { return Ok(None) };
    Ok(Some(origin(service, &candidate, &settled, "old").1))
}

fn from(origin: &Origin) -> Vec<&str> {
    origin.places.iter().flatten().map(|part| part.from.as_str()).collect()
}

#[test]
fn a_container_is_known_by_name_label_or_image() {
    let other = container("web", "docker.io/x/web:1", true);
    let mut labelled = container("media-radarr-1", "docker.io/x/y", true);
    labelled.labels.insert("com.docker.compose.service".into(), "radarr".into());
    for one in [
        container("Radarr", "docker.io/x/y:1", true),
        labelled,
        container("movies", "ghcr.io/hotio/radarr@sha256:00", false),
    ] {
        let directory = format!("/srv/{}", one.name);
        let origin = found(&plain(), &seen(vec![other.clone(), one.clone()], vec![], &[]), None, &[&directory])
            .unwrap()
            .unwrap();
        assert_eq!(from(&origin), [directory.as_str()]);
        assert_eq!(origin.runners, [Runner::Container { engine: "docker".into(), user: None, name: one.name }]);
        assert_eq!(origin.places[0][0].excludes, ["logs", "logs.db*"]);
    }
    // The name says more than the image.
    let two = vec![container("radarr", "x/radarr", true), container("radarr-4k", "x/radarr", true)];
    let origin = found(&plain(), &seen(two, vec![], &[]), None, &["/srv/radarr", "/srv/radarr-4k"]).unwrap().unwrap();
    assert_eq!(from(&origin), ["/srv/radarr"]);
}

#[test]
fn what_could_be_two_things_is_refused() {
    let two = vec![container("a", "x/radarr:1", true), container("b", "x/radarr:2", false)];
    let why = found(&plain(), &seen(two.clone(), vec![], &[]), None, &["/srv/a", "/srv/b"]).unwrap_err();
    assert!(why.contains("--source radarr=container:a") && why.contains("--source radarr=container:b"), "{why}");
    let given = Given::parse("container:b").unwrap();
    let origin = found(&plain(), &seen(two, vec![], &[]), Some(&given), &["/srv/a", "/srv/b"]).unwrap().unwrap();
    assert_eq!(from(&origin), ["/srv/b"]);

    let both = |active| {
        seen(
            vec![container("radarr", "x/radarr", true)],
            vec![unit("radarr.service", "/opt/Radarr -data=/var/lib/radarr", active)],
            &[],
        )
    };
    let why = found(&plain(), &both(true), None, &["/srv/radarr", "/var/lib/radarr"]).unwrap_err();
    assert!(why.contains("--source radarr=unit:radarr.service"), "{why}");
    assert_eq!(from(&found(&plain(), &both(false), None, &["/srv/radarr"]).unwrap().unwrap()), ["/srv/radarr"]);

    let directories = seen(vec![], vec![], &["/opt/radarr", "/srv/radarr"]);
    let why = found(&plain(), &directories, None, &["/opt/radarr", "/srv/radarr"]).unwrap_err();
    assert!(why.contains("--source radarr=/opt/radarr") && why.contains("--source radarr=/srv/radarr"), "{why}");
}

#[test]
fn a_unit_says_where_its_data_is() {
    for command in
        ["/opt/Radarr -nobrowser -data=/a/radarr", "/opt/Radarr --data /a/radarr", "/opt/Radarr -f /a/radarr/radarr.db"]
    {
        let there = seen(vec![], vec![unit("radarr.service", command, true)], &[]);
        let origin = found(&plain(), &there, None, &["/a/radarr", "/home/joe/.config/Radarr"]).unwrap().unwrap();
        assert_eq!((from(&origin), origin.runners.len()), (vec!["/a/radarr"], 1), "{command}");
    }
    let silent = seen(vec![], vec![unit("radarr.service", "/opt/Radarr -nobrowser", true)], &[]);
    assert_eq!(
        from(&found(&plain(), &silent, None, &["/home/joe/.config/Radarr"]).unwrap().unwrap()),
        ["/home/joe/.config/Radarr"]
    );
    // What it says and is not so is not passed over.
    let wrong = seen(vec![], vec![unit("radarr.service", "/opt/Radarr -data=/a/radarr", true)], &[]);
    let why = found(&plain(), &wrong, None, &["/home/joe/.config/Radarr"]).unwrap_err();
    assert!(why.contains("`/a/radarr`") && why.contains("is not there"), "{why}");
    let why = found(&plain(), &silent, None, &[]).unwrap_err();
    assert!(why.contains("was not found") && why.contains("--source radarr=/directory"), "{why}");
}

#[test]
fn a_directory_counts_only_with_its_mark() {
    assert_eq!(found(&plain(), &seen(vec![], vec![], &["/opt/radarr"]), None, &[]), Ok(None));
    assert_eq!(found(&plain(), &seen(vec![], vec![], &[]), None, &[]), Ok(None));
    let origin =
        found(&plain(), &seen(vec![], vec![], &["/opt/radarr", "/opt/radarr/config"]), None, &["/opt/radarr/config"])
            .unwrap();
    assert_eq!(from(&origin.unwrap()), ["/opt/radarr/config"]);
    let given = Given::parse("/x/y/").unwrap();
    let why = found(&plain(), &seen(vec![], vec![], &["/x/y"]), Some(&given), &[]).unwrap_err();
    assert!(why.contains("holds none of `radarr.db`"), "{why}");
}

#[test]
fn a_container_that_could_not_be_started_again_is_refused() {
    let mut gone = container("radarr", "x/radarr", true);
    gone.vanishes = true;
    let why = found(&plain(), &seen(vec![gone.clone()], vec![], &[]), None, &["/srv/radarr"]).unwrap_err();
    assert!(why.contains("`--rm`"), "{why}");
    // systemd makes it anew each time.
    gone.labels.insert("PODMAN_SYSTEMD_UNIT".into(), "radarr.service".into());
    let origin = found(&plain(), &seen(vec![gone], vec![], &[]), None, &["/srv/radarr"]).unwrap().unwrap();
    assert_eq!(origin.runners, [Runner::Unit { user: None, name: "radarr.service".into() }]);
    let mut without = container("radarr", "x/radarr", true);
    without.mounts = vec![("/other".into(), "/srv/x".into())];
    let why = found(&plain(), &seen(vec![without], vec![], &[]), None, &[]).unwrap_err();
    assert!(why.contains("mounts nothing at `/config`") && why.contains("`/other`"), "{why}");
}

#[test]
fn two_directories_become_one_place() {
    let service = service(&serde_json::json!({"migrate": {"places": [
        {"path": "/c/radarr", "marks": "radarr.db"},
        {"path": "/c/radarr/etc", "directories": "/etc/radarr", "marks": "x.xml", "files": "*.xml", "options": "--configdir"},
    ]}}));
    let there =
        seen(vec![], vec![unit("radarr.service", "/r -data=/var/lib/radarr --configdir=/etc/radarr", true)], &[]);
    let origin = found(&service, &there, None, &["/var/lib/radarr", "/etc/radarr"]).unwrap().unwrap();
    assert_eq!(origin.places.len(), 1);
    let parts: Vec<(&str, &str)> =
        origin.places[0].iter().map(|part| (part.from.as_str(), part.into.as_str())).collect();
    assert_eq!(parts, [("/var/lib/radarr", ""), ("/etc/radarr", "etc")]);
    assert_eq!(
        (origin.places[0][0].elsewhere.as_slice(), origin.places[0][1].files.as_slice()),
        (["etc".to_owned()].as_slice(), ["*.xml".to_owned()].as_slice())
    );
    // In a container it is one directory there as well.
    let origin = found(
        &service,
        &seen(vec![container("radarr", "x", true)], vec![], &[]),
        None,
        &["/srv/radarr", "/srv/radarr/etc"],
    );
    assert_eq!(from(&origin.unwrap().unwrap()), ["/srv/radarr"]);
}

#[test]
fn processes_name_what_runs() {
    let there = seen(vec![container("radarr", "x", true)], vec![], &[]);
    let holder = |cgroup: &str| Holder { pid: 7, name: "x".into(), cgroup: cgroup.into() };
    let runners = |cgroups: &[&str], known: &[Runner]| {
        let holders: Vec<Holder> = cgroups.iter().map(|cgroup| holder(cgroup)).collect();
        runners_of(&plain(), &there, &holders, known, "old").map_err(|error| error.message().to_owned())
    };
    let unit = |user: Option<&str>| Runner::Unit { user: user.map(str::to_owned), name: "x.service".into() };
    assert_eq!(
        runners(
            &[
                "/system.slice/x.service",
                "/system.slice/x.service",
                "/user.slice/user@1000.service/app.slice/x.service"
            ],
            &[]
        )
        .unwrap(),
        [unit(None), unit(Some("joe"))]
    );
    let own = Runner::Container { engine: "docker".into(), user: None, name: "radarr".into() };
    assert_eq!(runners(&["/docker/id-radarr"], &[]).unwrap(), [own.clone()]);
    assert_eq!(
        runners(&["/machine.slice/libpod-id-radarr.scope", "/system.slice/x.service"], &[own, unit(None)]).unwrap(),
        []
    );
    for cgroup in ["/user.slice/session-3.scope", "/kubepods/pod1", "/user.slice/user@7.service/x.service"] {
        assert!(runners(&[cgroup], &[]).unwrap_err().contains("belongs to no unit"), "{cgroup}");
    }
}

#[test]
fn versions_are_compared_as_far_as_they_go() {
    for (there, here, newer) in [
        ("6.0.4.10291-ls275", "6.4.4", false),
        ("6.5.0", "v6.4.4", true),
        ("v1.120.0", "v1.119.9", true),
        ("4.0.20", "4.0.20", false),
        ("4.0.20.1", "4.0.20", false),
        ("14-vectorchord0.4", "13-x", false),
        ("latest", "1.0", false),
        ("1:10.11.2+deb", "10.10", true),
    ] {
        assert_eq!(is_newer(there, here), newer, "{there} {here}");
    }
    assert_eq!(image_name("ghcr.io:5000/x/radarr:v1@sha256:aa").as_deref(), Some("radarr"));
    assert_eq!((image_tag("localhost:5000/x"), image_tag("a/b:1.2@sha256:x")), (None, Some("1.2")));
}

#[test]
fn what_is_given_is_read() {
    assert_eq!(Given::parse("unit:sonarr"), Ok(Given::Unit("sonarr.service".into())));
    assert_eq!(Given::parse("/opt/x/"), Ok(Given::Directory("/opt/x".into())));
    for wrong in ["", "/", "opt", "unit:", "container:", "what:x"] {
        assert!(Given::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_question_names_what_the_service_may_be() {
    let question =
        question(&[&plain()], &BTreeMap::from([("radarr".to_owned(), Given::Unit("movies.service".into()))]));
    assert_eq!(question.units, ["movies.service", "radarr.service"]);
    for path in ["/opt/Radarr", "/home/*/.config/Radarr", "/var/lib/radarr", "/var/lib/radarr/.config/Radarr"] {
        assert!(question.directories.iter().any(|own| own == path), "{path}");
    }
    let script = look::script(&question);
    assert!(script.contains("/home/*/.config/Radarr") && script.contains("movies.service"));
}

#[test]
fn a_group_is_stopped_as_a_whole() {
    let definition = serde_json::json!({
        "containers": {
            "web-server": {"image": "docker.io/x/web:1", "requires": ["web-db"]},
            "web-db": {"image": "docker.io/x/db:1", "volumes": ["/c/web:/config"]},
        },
        "backup": {"strategy": "cold", "paths": "/c/web"},
        "migrate": {"names": {"web-db": "database"}},
    });
    let service = crate::service::load::read("web", &crate::value::from_json(&definition), None).unwrap();
    let there = seen(
        vec![
            container("web_server", "x/a", true),
            container("database", "x/b", true),
            container("database2", "x/b", true),
        ],
        vec![],
        &[],
    );
    let names = |given: Option<&str>| {
        let given = given.map(|given| Given::parse(given).unwrap());
        let candidate = candidate(&service, &there, given.as_ref(), "old").unwrap().unwrap();
        candidate.runners.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["container `web_server`", "container `database`"]);
    assert_eq!(names(Some("container:web_server")), ["container `web_server`", "container `database`"]);
    assert_eq!(names(Some("container:database2")), ["container `web_server`", "container `database2`"]);
}

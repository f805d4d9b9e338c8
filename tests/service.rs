//! Service definitions: the units they become (`tests/service/units`), and how mistakes in them are told
//! (`tests/service/errors`), also before templates are filled in (`tests/service/checked`). Each file is a definition; `x-podman` is the
//! target's Podman.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/nodes.rs"]
mod nodes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mms::diagnostic::{Source, render};
use mms::service::model::Service;
use mms::service::quadlet::{self, Target};
use mms::service::{load, schema, version::Version};
use mms::value::from_json;
use mms::yaml::{self, Node};
use nodes::json_of;

fn files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "yml")
                && !path.file_name().unwrap().to_str().unwrap().starts_with('.')
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{directory}");
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn parse(path: &Path, text: String) -> Node {
    yaml::parse(&Source::new(format!("services/{}.yml", stem(path)), text)).unwrap().node
}

fn read(path: &Path, text: String) -> mms::error::Result<(Service, Option<Version>)> {
    let node = parse(path, text);
    let podman =
        node.as_map().and_then(|map| map.get("x-podman")).and_then(Node::as_str).map(|text| text.parse().unwrap());
    load::read(&stem(path), &from_json(&json_of(&node)), Some(&node)).map(|service| (service, podman))
}

fn units(service: &Service, podman: Option<Version>) -> Result<BTreeMap<String, String>, String> {
    let other = |name: &str| (name == "other").then(|| vec!["other-web".to_owned(), "other-db".to_owned()]);
    let secret = |name: &str| format!("{name}-0123456789ab");
    quadlet::units(service, &Target { podman: podman.unwrap_or(Version::NEWEST), secret: &secret, service: &other })
}

fn shown(units: &BTreeMap<String, String>) -> String {
    units.iter().map(|(file, text)| format!("---- {file}\n{text}\n")).collect()
}

#[test]
fn definitions_become_units() {
    for path in files("tests/service/units") {
        let (service, podman) = read(&path, std::fs::read_to_string(&path).unwrap()).unwrap();
        insta::assert_snapshot!(format!("unit_{}", stem(&path)), shown(&units(&service, podman).unwrap()));
    }
}

#[test]
fn mistakes_are_told() {
    for path in files("tests/service/errors") {
        let told = match read(&path, std::fs::read_to_string(&path).unwrap()) {
            Err(error) => error.diagnostics().iter().map(|diagnostic| render(diagnostic, false)).collect(),
            Ok((service, podman)) => units(&service, podman).expect_err(&stem(&path)),
        };
        insta::assert_snapshot!(format!("error_{}", stem(&path)), told);
    }
}

/// What `mms check` says of definitions that hold templates.
#[test]
fn mistakes_beside_templates_are_told() {
    for path in files("tests/service/checked") {
        let node = parse(&path, std::fs::read_to_string(&path).unwrap());
        let told = match load::check(&stem(&path), &node) {
            Err(error) => error.diagnostics().iter().map(|diagnostic| render(diagnostic, false)).collect(),
            Ok(()) => "nothing is wrong as far as that is known".to_owned(),
        };
        insta::assert_snapshot!(format!("checked_{}", stem(&path)), told);
    }
}

/// The shipped definitions with the values of the shipped inventory.
fn shipped() -> Vec<Service> {
    let values = [
        ("mms_publish_address", "127.0.0.1"),
        ("mms_config_dir", "/home/mms/config"),
        ("mms_data_dir", "/data"),
        ("mms_timezone", "Europe/Berlin"),
        ("mms_uid", "1100"),
        ("mms_gid", "1100"),
        ("inventory_hostname", "mms"),
    ];
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = values.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{{ {name} }}}}"), value));
        assert!(!text.contains("{{"), "{}: a variable is not set in the inventory", path.display());
        read(&path, text).unwrap_or_else(|error| panic!("{error}")).0
    };
    files("services").into_iter().map(read).collect()
}

#[test]
fn shipped_services_become_units() {
    let services = shipped();
    assert_eq!(services.iter().map(|service| service.containers.len()).sum::<usize>(), 10);
    for service in services {
        insta::assert_snapshot!(format!("shipped_{}", service.name), shown(&units(&service, None).unwrap()));
    }
}

#[test]
fn shipped_services_do_not_get_in_each_others_way() {
    let services = shipped();
    let ports: Vec<_> = services
        .iter()
        .flat_map(|service| {
            service.containers.values().flat_map(|container| &container.ports).map(|port| (&service.name, port))
        })
        .collect();
    for (index, (name, port)) in ports.iter().enumerate() {
        assert!(!ports.iter().skip(index + 1).any(|(_, other)| port.collides(other)), "{name} {port}");
    }
}

/// `MMS_UPDATE=1` writes the file.
#[test]
fn the_schema_in_the_repository_is_the_one_of_the_types() {
    let schema = serde_json::to_string_pretty(&schema::service()).unwrap() + "\n";
    let path = "services/.schema.json";
    if std::env::var_os("MMS_UPDATE").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), schema, "run with MMS_UPDATE=1");
}

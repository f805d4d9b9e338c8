//! Typed configuration from YAML: what is read, and how mistakes are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use mms::diagnostic::{Source, render};
use mms::yaml::{self, Node, Spanned};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    image: String,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    restart: Restart,
    backup: Option<Backup>,
    #[serde(default)]
    environment: BTreeMap<String, Node>,
    after: Option<Spanned<Vec<Spanned<String>>>>,
    limits: Option<BTreeMap<u16, f64>>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Port {
    host: u16,
    container: Option<u16>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Restart {
    #[default]
    Always,
    OnFailure,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Backup {
    None,
    Sqlite(Vec<String>),
    Postgres { container: String },
}

fn read(text: &str) -> mms::error::Result<Service> {
    yaml::from_node(&yaml::parse(&Source::new("services/radarr.yml", text))?.node)
}

fn complaint(text: &str) -> String {
    let error = read(text).unwrap_err();
    render(&error.diagnostics()[0], false)
}

#[test]
fn reads_structs_enums_nodes_and_places() {
    let text = "image: x:1\nports: [{host: 80, container: ~}]\nrestart: on-failure\nbackup: {sqlite: [a.db]}\n\
                environment: {A: yes, 8080: '{{ port }}', on: 1}\nafter: [db, web]\nlimits: {80: 1, 81: 0.5}\n";
    let service = read(text).unwrap();
    assert_eq!(service.image, "x:1");
    assert_eq!(service.ports, [Port { host: 80, container: None }]);
    assert_eq!(service.restart, Restart::OnFailure);
    assert_eq!(service.backup, Some(Backup::Sqlite(vec!["a.db".to_owned()])));
    assert_eq!(service.environment.keys().collect::<Vec<_>>(), ["8080", "A", "on"]);
    let template = &service.environment["8080"];
    assert_eq!(template.as_str(), Some("{{ port }}"));
    assert_eq!(template.span.to_string(), "services/radarr.yml:5:29");
    let after = service.after.unwrap();
    assert_eq!(after.span.to_string(), "services/radarr.yml:6:8");
    assert_eq!(after[1].span.to_string(), "services/radarr.yml:6:13");
    assert_eq!(after[1].value, "web");
    assert_eq!(service.limits.unwrap()[&81], 0.5);
    assert_eq!(read("image: x\nbackup: none\n").unwrap().backup, Some(Backup::None));
    let postgres = read("image: x\nbackup: {postgres: {container: db}}\n").unwrap().backup;
    assert_eq!(postgres, Some(Backup::Postgres { container: "db".to_owned() }));
}

#[test]
fn tells_mistakes_with_place_and_path() {
    let cases = [
        ("unknown_key", "image: x\nprots: []\n"),
        ("unknown_key_far", "image: x\nzzz: []\n"),
        ("missing_key", "ports: []\n"),
        ("number_for_text", "image: 1.10\n"),
        ("text_for_number", "image: x\nports:\n  - host: 80\n  - host: eighty\n"),
        ("out_of_range", "image: x\nports:\n  - host: 80000\n"),
        ("mapping_for_list", "image: x\nports: {host: 80}\n"),
        ("text_for_mapping", "image: x\nports:\n  - host:80\n"),
        ("unknown_variant", "image: x\nrestart: on-failur\n"),
        ("inside_enum", "image: x\nbackup:\n  postgres:\n    contaner: db\n"),
        ("unknown_enum_key", "image: x\nbackup:\n  postgre:\n    container: db\n"),
        ("inside_spanned", "image: x\nafter:\n  - a\n  - [b]\n"),
        ("not_a_mapping", "- image: x\n"),
        ("nothing", ""),
    ];
    for (name, text) in cases {
        insta::with_settings!({ snapshot_path => "yaml/snapshots/typed", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, complaint(text));
        });
    }
}

#[test]
fn schemas_see_through_places_and_nodes() {
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Example {
        name: Spanned<String>,
        environment: BTreeMap<String, Node>,
    }
    let schema = serde_json::to_value(schemars::schema_for!(Example)).unwrap();
    assert_eq!(schema["properties"]["name"]["type"], "string");
    assert_eq!(schema["properties"]["environment"]["additionalProperties"], true);
    assert_eq!(schema["required"], serde_json::json!(["name", "environment"]));
}

//! Inventories against ansible-core's reference results (see `inventory/reference.py`), and their error messages.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mms::diagnostic::{Diagnostic, render};
use mms::inventory::{Content, Inventory, Level, Vars};
use mms::project::Project;
use mms::yaml::{Kind, Node};
use serde_json::{Map, Value as Json, json};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventory")
}

fn read_json(path: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn to_json(node: &Node) -> Json {
    match &node.kind {
        Kind::Null => Json::Null,
        Kind::Bool(value) => json!(value),
        Kind::Int(value) => json!(value),
        Kind::Float(value) => json!(value),
        Kind::Str(text) => json!(**text),
        Kind::List(items) => items.iter().map(to_json).collect(),
        Kind::Map(map) => map
            .iter()
            .map(|(key, value)| (key.as_str().unwrap().to_owned(), to_json(value)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

/// What the layers of a host come to.
fn variables(inventory: &Inventory, host: &str, playbook_dir: Option<&Path>) -> Map<String, Json> {
    let layers = inventory.layers(host, playbook_dir).unwrap();
    let levels: Vec<Level> = layers.iter().map(|layer| layer.level).collect();
    assert!(levels.is_sorted(), "{levels:?}");
    let mut merged = Vars::new();
    for layer in layers {
        let Content::Plain(vars) = layer.content else { panic!("nothing is encrypted here") };
        merged.extend(vars.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    if inventory.is_implicit_localhost(host) {
        merged.insert("ansible_connection".to_owned(), merged_text("local"));
    }
    merged.sort_keys();
    merged.iter().map(|(key, value)| (key.clone(), to_json(value))).collect()
}

fn merged_text(text: &str) -> Node {
    Node::new(Kind::Str(text.into()), mms::diagnostic::Span::new(&mms::diagnostic::Source::new("", ""), 0, 0))
}

/// Everything that the reference says about an inventory.
fn describe(case: &Path, config: &Json) -> Json {
    let project = Arc::new(Project::at(case));
    let sources: Vec<String> = config["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source.as_str().unwrap())
        .map(|source| if source.contains(',') { source.to_owned() } else { case.join(source).display().to_string() })
        .collect();
    let inventory = Inventory::load(&sources, &project).unwrap();
    let playbook_dir = config["playbook_dir"].as_str().map(|dir| case.join(dir));
    let extra = config["extra_hosts"].as_array().cloned().unwrap_or_default();
    let names = inventory
        .hosts()
        .map(|host| host.name.clone())
        .chain(extra.iter().map(|name| name.as_str().unwrap().to_owned()));
    let hosts: Map<String, Json> = names
        .map(|name| {
            let groups: Vec<&str> = inventory.ancestry(&name).iter().map(|group| group.name.as_str()).collect();
            let vars = variables(&inventory, &name, playbook_dir.as_deref());
            (name.clone(), json!({ "groups": groups, "vars": vars }))
        })
        .collect();
    let groups: Map<String, Json> = inventory
        .groups()
        .map(|group| {
            let value = json!({
                "hosts": inventory.hosts_of(&group.name),
                "children": group.children,
                "depth": group.depth,
                "priority": group.priority,
            });
            (group.name.clone(), value)
        })
        .collect();
    let patterns: Vec<Json> = config["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| {
            let limit = pair[1].as_str().map(|limit| limit.replace('@', &format!("@{}/", case.display())));
            let selected =
                inventory.select(pair[0].as_str().unwrap(), limit.as_deref()).ok().map(|selection| selection.hosts);
            json!([pair[0], pair[1], selected])
        })
        .collect();
    json!({ "hosts": hosts, "groups": groups, "patterns": patterns })
}

/// Integers beyond 64 bits keep their digits as text.
fn without_big_numbers(json: Json) -> Json {
    match json {
        Json::Number(number) if number.is_f64() && number.as_f64().unwrap().abs() > 1e19 => {
            json!("123456789012345678901234567890")
        }
        Json::Array(items) => items.into_iter().map(without_big_numbers).collect(),
        Json::Object(map) => {
            map.into_iter().map(|(key, value)| (key, without_big_numbers(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

#[test]
fn reads_inventories_as_ansible_does() {
    let mut count = 0;
    for entry in fs::read_dir(data()).unwrap() {
        let case = entry.unwrap().path();
        let Ok(config) = fs::read_to_string(case.join("case.json")) else { continue };
        let ours = describe(&case, &serde_json::from_str(&config).unwrap());
        let reference = without_big_numbers(read_json(&case.join("expected.json")));
        for part in ["groups", "hosts", "patterns"] {
            similar_asserts(&ours[part], &reference[part], &format!("{}: {part}", case.display()));
        }
        count += 1;
    }
    assert!(count >= 5, "only {count} inventories were found");
}

fn similar_asserts(ours: &Json, reference: &Json, what: &str) {
    let (ours, reference) =
        (serde_json::to_string_pretty(ours).unwrap(), serde_json::to_string_pretty(reference).unwrap());
    if ours != reference {
        let diff = similar::TextDiff::from_lines(&reference, &ours);
        panic!("{what}\n{}", diff.unified_diff().context_radius(3).header("ansible-core", "mms"));
    }
}

/// Loads one inventory file; yields its error or its warnings.
fn complaint(name: &str, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::write(root.join(name), text).unwrap();
    let project = Arc::new(Project::at(root.clone()));
    let found: Vec<Diagnostic> = match Inventory::load(&[root.join(name).display().to_string()], &project) {
        Ok(_) => project.take_warnings(),
        Err(error) => error.diagnostics().to_vec(),
    };
    found.iter().map(|diagnostic| render(diagnostic, false)).collect::<Vec<_>>().join("\n")
}

#[test]
fn explains_mistakes() {
    let cases = [
        ("list_of_hosts", "hosts.yml", "web:\n  hosts:\n    - a\n    - b\n"),
        ("unexpected_key", "hosts.yml", "web:\n  host:\n    a:\n"),
        ("vars_beside_hosts", "hosts.yml", "web:\n  hosts: {a: }\n  port: 80\n"),
        ("host_without_vars", "hosts.yml", "web:\n  hosts:\n    a: 10.0.0.1\n"),
        ("number_as_host", "hosts.yml", "web:\n  hosts:\n    10:\n"),
        ("group_in_a_circle", "hosts.yml", "a:\n  children:\n    b:\n      children:\n        a:\n"),
        ("bad_group_name", "hosts.yml", "web-servers:\n  hosts: {a: }\n"),
        ("host_and_group", "hosts.yml", "web:\n  hosts: {web: }\n"),
        ("bad_range", "hosts.yml", "web:\n  hosts:\n    a[5:1]:\n"),
        ("plugin", "hosts.yml", "plugin: amazon.aws.aws_ec2\n"),
        ("not_a_mapping", "hosts.yml", "- a\n- b\n"),
        ("two_hosts_on_a_line", "hosts.ini", "[web]\na b\n"),
        ("unknown_section", "hosts.ini", "[web:childs]\na\n"),
        ("unknown_child", "hosts.ini", "[web]\na\n[all_web:children]\nwebs\n"),
        ("vars_without_group", "hosts.ini", "[web]\na\n[wep:vars]\na=1\n"),
        ("yaml_in_ini", "hosts.ini", "---\nall:\n"),
        ("unclosed_quote", "hosts.ini", "[web]\na name=\"x\n"),
        ("not_a_header", "hosts.ini", "[web servers]\na\n"),
        ("script", "hosts", "#!/usr/bin/env python3\nprint()\n"),
        ("encrypted", "hosts.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
    ];
    for (name, file, text) in cases {
        insta::with_settings!({ snapshot_path => "inventory/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, complaint(file, text));
        });
    }
}

#[test]
fn finds_encrypted_files_of_variables() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("group_vars/all")).unwrap();
    fs::write(root.join("hosts.ini"), "a\n").unwrap();
    fs::write(root.join("group_vars/all/1.yml"), "x: 1\n").unwrap();
    fs::write(root.join("group_vars/all/vault.yml"), "-----BEGIN AGE ENCRYPTED FILE-----\nYQ==\n").unwrap();
    fs::write(root.join("group_vars/ungrouped.yml"), b"age-encryption.org/v1\n\xff\xfe").unwrap();
    let project = Arc::new(Project::at(&root));
    let inventory = Inventory::load(&[root.join("hosts.ini").display().to_string()], &project).unwrap();
    let layers = inventory.layers("a", None).unwrap();
    let found: Vec<String> = layers
        .iter()
        .map(|layer| match &layer.content {
            Content::Plain(vars) => format!("{:?} plain {}", layer.level, vars.len()),
            Content::Encrypted(file) => format!("{:?} {:?} {}", layer.level, file.encryption, file.name),
        })
        .collect();
    assert_eq!(
        found,
        [
            "InventoryGroupVarsAll plain 1",
            "InventoryGroupVarsAll AgeArmored group_vars/all/vault.yml",
            "InventoryGroupVars Age group_vars/ungrouped.yml"
        ]
    );
}

#[test]
fn patterns_that_match_nothing_are_told_with_a_suggestion() {
    let project = Arc::new(Project::at("/"));
    let inventory = Inventory::load(&["web1,web2,database,".to_owned()], &project).unwrap();
    let selection = inventory.select("web1:databse", None).unwrap();
    assert_eq!(selection.hosts, ["web1"]);
    assert_eq!(selection.warnings[0].message, "no host or group matches `databse`");
    assert_eq!(selection.warnings[0].hints, ["did you mean `database`?"]);
    let error = inventory.select("all[7]", None).unwrap_err();
    assert_eq!(error.message(), "`all[7]` names a host that is not there: `all` has 3 hosts");
    assert!(inventory.select("~(", None).is_err());
}

#[test]
fn hosts_and_groups_can_be_added_while_running() {
    let project = Arc::new(Project::at("/"));
    let mut inventory = Inventory::load(&["a,b,".to_owned()], &project).unwrap();
    let vars = || Vars::from_iter([("x".to_owned(), merged_text("1"))]);
    assert!(inventory.add_host("c", &["new".to_owned()], vars()).unwrap());
    assert!(!inventory.add_host("c", &["new".to_owned()], vars()).unwrap());
    assert_eq!(inventory.group_names("c"), ["new"]);
    assert!(inventory.add_to_group("a", "os_fedora", &["os".to_owned()]).unwrap());
    assert!(!inventory.add_to_group("a", "os_fedora", &["os".to_owned()]).unwrap());
    assert_eq!(inventory.group_names("a"), ["os", "os_fedora"]);
    assert_eq!(inventory.hosts_of("os"), ["a"]);
    assert_eq!(inventory.hosts_of("ungrouped"), ["b"]);
    assert_eq!(inventory.select("all", None).unwrap().hosts, ["c", "b", "a"]);
}

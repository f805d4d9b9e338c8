//! The YAML reader and writer against PyYAML's reference results (see `yaml/reference.py`), and its error messages.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use mms::diagnostic::Source;
use mms::yaml::{self, Kind, Node, Tag};
use serde_json::{Value as Json, json};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/yaml").join(path)
}

fn read_json(path: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The JSON that `reference.py` writes for the same value.
fn to_json(node: &Node) -> Json {
    let value = match &node.kind {
        Kind::Null => Json::Null,
        Kind::Bool(value) => json!(value),
        Kind::Int(value) => json!(value),
        Kind::Float(value) if !value.is_finite() => json!({ "$float": value.to_string().to_lowercase() }),
        Kind::Float(value) => json!(value),
        Kind::Str(text) => json!(**text),
        Kind::List(items) => items.iter().map(to_json).collect(),
        Kind::Map(map) => Json::Object(map.iter().map(|(key, value)| (key_name(key), to_json(value))).collect()),
    };
    match node.tag {
        Some(Tag::Vault) => json!({ "$vault": value }),
        Some(Tag::Unsafe) => json!({ "$unsafe": value }),
        None => value,
    }
}

fn key_name(key: &Node) -> String {
    match &key.kind {
        Kind::Null => "NoneType:None".to_owned(),
        Kind::Bool(value) => format!("bool:{}", if *value { "True" } else { "False" }),
        Kind::Int(value) => format!("int:{value}"),
        Kind::Float(value) => format!("float:{value}"),
        _ => key.as_str().unwrap().to_owned(),
    }
}

#[test]
fn reads_scalars_as_pyyaml_does() {
    let reference = read_json(&data("scalars.json"));
    let mut wrong = vec![];
    for (text, expected) in reference.as_object().unwrap() {
        let node = yaml::parse(&Source::new("x", format!("- {text}\n"))).unwrap().node;
        let ours = to_json(&node.as_list().unwrap()[0]);
        // Integers beyond 64 bits keep their digits as text.
        let expected = if expected.get("$big").is_some() { &json!(text) } else { expected };
        if ours != *expected {
            wrong.push(format!("{text}: {ours} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn reads_documents_as_pyyaml_does() {
    let mut count = 0;
    for entry in fs::read_dir(data("documents")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let source = Source::new("x.yml", fs::read_to_string(&path).unwrap());
            let parsed = yaml::parse_all(&source).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let ours = Json::Array(parsed.nodes.iter().map(to_json).collect());
            let reference = read_json(&path.with_extension("json"));
            assert_eq!(
                serde_json::to_string_pretty(&ours).unwrap(),
                serde_json::to_string_pretty(&reference).unwrap(),
                "{}",
                path.display()
            );
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} documents were found");
}

#[test]
fn writes_template_values_with_keys_of_any_kind() {
    use minijinja::Value;
    use mms::yaml::emit::{Options, emit_value};
    let value = Value::from_pairs([
        (Value::from(10), Value::from("on")),
        (Value::from(9), Value::from(vec![Value::from(1.0), Value::from(()), Value::from(true)])),
    ]);
    assert_eq!(emit_value(&value, &Options::nice()), "9:\n- 1.0\n- null\n- true\n10: 'on'\n");
    let mixed = Value::from_pairs([(Value::from("b"), Value::from(1)), (Value::from(1), Value::from(2))]);
    assert_eq!(emit_value(&mixed, &Options::terse()), "{b: 1, 1: 2}\n");
}

/// The diagnostics for a text, rendered.
fn complaint(text: &str) -> String {
    let source = Source::new("tasks/main.yml", text);
    let diagnostics = match yaml::parse(&source) {
        Ok(parsed) => parsed.warnings,
        Err(error) => error.diagnostics().to_vec(),
    };
    let rendered: Vec<_> = diagnostics.iter().map(|diagnostic| mms::diagnostic::render(diagnostic, false)).collect();
    rendered.join("\n")
}

#[test]
fn explains_mistakes() {
    let dir = data("mistakes");
    let mut paths: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 20);
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        insta::with_settings!({ snapshot_path => "yaml/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, complaint(&text));
        });
    }
}

/// Every node of a tree.
fn walk<'a>(node: &'a Node, visit: &mut impl FnMut(&'a Node)) {
    visit(node);
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| walk(item, visit)),
        Kind::Map(map) => {
            for (key, value) in map.iter() {
                walk(key, visit);
                walk(value, visit);
            }
        }
        _ => {}
    }
}

#[test]
fn spans_are_exact_to_the_byte() {
    let text = "# größe\na: 'ü'\nb: [1, {c: d}]\ne:\n  - f # no\n  - |\n    text\n    more\n\ng: &x !unsafe yes\n";
    let node = yaml::parse(&Source::new("x", text)).unwrap().node;
    let mut spans = vec![];
    walk(&node, &mut |node| spans.push(&text[node.span.start..node.span.end]));
    assert_eq!(
        spans,
        [
            "a: 'ü'\nb: [1, {c: d}]\ne:\n  - f # no\n  - |\n    text\n    more\n\ng: &x !unsafe yes",
            "a",
            "'ü'",
            "b",
            "[1, {c: d}]",
            "1",
            "{c: d}",
            "c",
            "d",
            "e",
            "- f # no\n  - |\n    text\n    more",
            "f",
            "|\n    text\n    more",
            "g",
            "&x !unsafe yes",
        ]
    );
}

#[test]
fn spans_are_exact_where_lines_stand_too_far_left() {
    let text =
        "größe:\n  list: [\n    'ä',\n    b\n  ]\n  text: \"first\n  sec {{ x }}\"\n  tab:\t[\n c ]\nend: 'ü\nv'\n";
    let node = yaml::parse(&Source::new("x", text)).unwrap().node;
    let mut spans = vec![];
    walk(&node, &mut |node| spans.push(&text[node.span.start..node.span.end]));
    let lists = [
        "[\n    'ä',\n    b\n  ]",
        "'ä'",
        "b",
        "text",
        "\"first\n  sec {{ x }}\"",
        "tab",
        "[\n c ]",
        "c",
        "end",
        "'ü\nv'",
    ];
    assert_eq!(spans[4..], lists);
    let value = node.as_map().unwrap().get("größe").unwrap().as_map().unwrap().get("text").unwrap();
    let at = value.as_str().unwrap().find("{{").unwrap();
    let span = value.span_within(at..at + 7);
    assert_eq!(&text[span.start..span.end], "{{ x }}");
}

#[test]
fn parts_of_values_are_found_in_the_file() {
    let cases = [
        "plain {{ x }} after",
        "'it''s {{ x }} after'",
        "\"a \\\"b\\\" \\u00fc {{ x }}\\n\"",
        "\"a \\\n  folded {{ x }}\"",
        "plain text\n  goes on {{ x }} here",
        "|\n  first ü\n    second\n\n  third {{ x }}\n  end",
        "|2-\n    first\n  {{ x }}",
        ">\n  folded\n  text {{ x }}\n\n  end",
        "!unsafe &a |\n  first\n  {{ x }}",
        "!unsafe 'a {{ x }}'",
    ];
    for case in cases {
        let text = format!("# größe\nkey: {case}\n");
        let node = yaml::parse(&Source::new("x", text.clone())).unwrap().node;
        let value = node.as_map().unwrap().get("key").unwrap();
        let at = value.as_str().unwrap().find("{{ x }}").unwrap();
        let span = value.span_within(at..at + 7);
        assert_eq!(&text[span.start..span.end], "{{ x }}", "{case}");
        let whole = value.span_within(0..value.as_str().unwrap().len());
        assert!(whole.start >= value.span.start && whole.end <= value.span.end, "{case}");
    }
}

#[test]
fn aliases_cannot_blow_up() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(complaint(&text).contains("the aliases of this document stand for over 1000000 values"));
    assert!(complaint(&"[".repeat(5000)).contains("nested deeper than 128"));
    assert!(complaint(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_empty());
}

#[test]
fn writes_as_pyyaml_does() {
    use mms::yaml::emit::{Flow, Options, emit};
    let cases = read_json(&data("emitted.json"));
    let mut wrong = vec![];
    for case in cases.as_array().unwrap() {
        let [value, options, expected] = case.as_array().unwrap().as_slice() else { panic!("{case}") };
        let number = |name: &str, default| options[name].as_u64().map_or(default, |value| value.try_into().unwrap());
        let options = Options {
            indent: number("indent", 2),
            width: number("width", 80),
            sort_keys: options["sort_keys"].as_bool().unwrap_or(true),
            flow: match options["default_flow_style"] {
                Json::Bool(true) => Flow::Always,
                Json::Bool(false) => Flow::Never,
                _ => Flow::Leaves,
            },
            explicit_start: options["explicit_start"].as_bool().unwrap_or(false),
        };
        let ours = emit(value, &options);
        if ours != expected.as_str().unwrap() {
            wrong.push(format!("{value} {options:?}\n--- ours\n{ours}--- PyYAML\n{}", expected.as_str().unwrap()));
        }
    }
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} wrong:\n{}", wrong[..count.min(12)].join("\n"));
}

#[test]
fn decrypted_text_is_never_shown() {
    let text = "password: hunter2\npassword: hunter3\nlist:\n  - hunter4\n";
    let parsed = yaml::parse_hidden("vault.yml", text).unwrap();
    let node = parsed.node.as_map().unwrap().get("list").unwrap().as_list().unwrap()[0].clone();
    assert_eq!(node.as_str(), Some("hunter4"));
    assert_eq!(node.span.line_col().0, 4);
    let mut shown = mms::diagnostic::render(&parsed.warnings[0], false);
    shown.push_str(&mms::diagnostic::render(&mms::diagnostic::Diagnostic::error("x").at(&node.span), false));
    for broken in ["a: hunter5: x\n", "a: {{ hunter6 }}\n", "- 'hunter7\n", "a:\n\thunter8: 1\n"] {
        let error = yaml::parse_hidden("vault.yml", broken).unwrap_err();
        shown.push_str(&mms::diagnostic::render(&error.diagnostics()[0], false));
    }
    assert!(!shown.contains("hunter"), "{shown}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// Whatever is thrown at the reader: it answers, its errors can be shown, and places in values can be asked for.
    #[test]
    fn nothing_makes_the_reader_panic(parts in proptest::collection::vec(proptest::sample::select(TOKENS), 0..24)) {
        let text = parts.concat();
        let source = Source::new("x.yml", text.as_str());
        match yaml::parse_all(&source) {
            Ok(parsed) => {
                for node in &parsed.nodes {
                    walk(node, &mut |node| {
                        if let Some(value) = node.as_str() {
                            let span = node.span_within(value.len() / 2..value.len());
                            assert!(text.get(span.start..span.end).is_some(), "{text:?} {span:?}");
                        }
                    });
                }
            }
            Err(error) => error.diagnostics().iter().for_each(|diagnostic| {
                assert!(!mms::diagnostic::render(diagnostic, false).is_empty());
            }),
        }
    }
}

const TOKENS: &[&str] = &[
    "a",
    "key",
    ": ",
    ":",
    "- ",
    "-",
    "\n",
    "\n  ",
    "\n    ",
    "\t",
    " ",
    "'",
    "\"",
    "\\",
    "{{ ",
    " }}",
    "{",
    "}",
    "[",
    "]",
    ",",
    "|",
    ">",
    "|2-",
    "#",
    " #",
    "&a",
    "*a",
    "!vault ",
    "!unsafe ",
    "!x ",
    "!!int ",
    "<<: ",
    "? ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "ü",
    "💾",
    "\r\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "@",
    "`",
    "%",
    "1",
    "0644",
    "~",
    "=",
    "\0",
    "''",
    "\\u00e9",
    "\\x4",
    "yes",
];

#[test]
fn tells_of_a_few_of_many_keys_written_twice() {
    let text = "a: 1\n".repeat(100_000);
    let warnings = yaml::parse(&Source::new("x.yml", text)).unwrap().warnings;
    assert_eq!(warnings.len(), 21);
    assert_eq!(warnings[0].message, "the key `a` is written twice; the last one counts");
    assert_eq!(warnings[20].message, "99979 more keys are written twice");
    assert_eq!(warnings[20].span.as_ref().unwrap().line_col(), (22, 1));
}

#[test]
fn refuses_what_is_nested_too_deeply() {
    for text in
        ["[".repeat(100_000), "{a: ".repeat(100_000), format!("x: {}", "- ".repeat(100_000)), "? ".repeat(100_000)]
    {
        assert!(yaml::parse(&Source::new("x.yml", text)).is_err());
    }
}

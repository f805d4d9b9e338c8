//! Every case of `tests/template/*.yml` against what ansible-core 2.19 made of it (`*.json`, written by `oracle.py`).
//!
//! A case is `{vars, template | expression | condition}`. Where mms means to differ it also has `differs` (why) and either
//! `mms` (the value) or `mms_error` (words of the message).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mms::diagnostic::{Source, Span};
use mms::error::Result;
use mms::template::{Scope, Services, Templar, truth};
use mms::value::{Raw, Value, to_json};
use mms::yaml::{self, Node};

#[derive(Debug)]
struct Vars(indexmap::IndexMap<String, Raw>);

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Raw> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

#[derive(Debug)]
struct NoServices;

impl Services for NoServices {
    fn decrypt(&self, _name: Option<&str>, ciphertext: &str, _span: &Span) -> Result<String> {
        Ok(ciphertext.to_uppercase())
    }

    fn find_file(&self, _scope: &dyn Scope, _dir: &str, name: &str) -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/template/files").join(name);
        path.is_file().then_some(path)
    }
}

fn scope(case: &Node) -> Arc<dyn Scope> {
    let vars = case.as_map().unwrap().get("vars").and_then(Node::as_map);
    let entries = vars.into_iter().flat_map(|map| map.iter());
    let entries = entries.map(|(key, value)| (key.as_str().unwrap().to_owned(), Raw::Node(value.clone())));
    Arc::new(Vars(entries.collect()))
}

fn run(templar: &Templar, case: &Node) -> (String, Result<Value>) {
    let map = case.as_map().unwrap();
    let scope = scope(case);
    for key in ["expression", "condition"] {
        if let Some(node) = map.get(key) {
            let text = node.as_str().unwrap_or_default();
            let value = templar.expression(text, &node.span, &scope);
            let value = if key == "condition" { value.and_then(|v| truth(&v).map(Value::from)) } else { value };
            return (text.to_owned(), value);
        }
    }
    let node = map.get("template").unwrap();
    (node.as_str().unwrap_or("(not text)").to_owned(), templar.node(node, &scope))
}

#[test]
fn templates_are_those_of_ansible() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/template");
    let mut files: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    let templar = Templar::new(Arc::new(NoServices));
    let (mut count, mut wrong) = (0, vec![]);
    for path in files {
        let source = Source::new(path.file_name().unwrap().to_string_lossy(), fs::read_to_string(&path).unwrap());
        let cases = yaml::parse(&source).unwrap().node;
        let answers = fs::read_to_string(path.with_extension("json")).unwrap();
        let answers: Vec<serde_json::Value> = serde_json::from_str(&answers).unwrap();
        let cases = cases.as_list().unwrap();
        assert_eq!(cases.len(), answers.len(), "{}: run oracle.py", source.name);
        for (case, answer) in cases.iter().zip(&answers) {
            count += 1;
            let map = case.as_map().unwrap();
            let (text, got) = run(&templar, case);
            let own = map.get("mms").map(|node| to_json(&templar.node(node, &scope(case)).unwrap()));
            let own_error = map.get("mms_error").and_then(Node::as_str);
            let want = own.as_ref().or_else(|| answer.get("want").filter(|_| own_error.is_none()));
            let problem = match (&got, want) {
                (Ok(value), Some(want)) if same(&to_json(value), want) => None,
                (Ok(value), Some(want)) => Some(format!("got  {}\n    want {want}", to_json(value))),
                (Ok(value), None) => Some(format!("got  {}\n    want an error: {answer}", to_json(value))),
                (Err(error), Some(want)) => Some(format!("got  the error: {error}\n    want {want}")),
                (Err(error), None) if own_error.is_some_and(|words| !error.to_string().contains(words)) => {
                    Some(format!("got  the error: {error}\n    want {own_error:?}"))
                }
                (Err(_), None) => None,
            };
            if let Some(problem) = problem {
                wrong.push(format!("{}: {text:?}\n    {problem}", case.span));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 550, "only {count} cases were found");
}

/// JSON numbers compare by value: `1.0` is not `1`, but `1e3` is `1000.0`.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (a, b) {
        (Json::Number(a), Json::Number(b)) if a.is_f64() || b.is_f64() => {
            a.is_f64() == b.is_f64()
                && (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-12 * b.as_f64().unwrap().abs().max(1.0)
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        (a, b) => a == b,
    }
}

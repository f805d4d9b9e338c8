#![allow(clippy::unwrap_used)]

use super::*;
use crate::value::{from_json, to_json};

static SPEC: Spec = Spec {
    name: "thing",
    options: &[
        Opt::new("path", Type::Path, "").required().aliases(&["dest", "name"]),
        Opt::new("state", Type::Str, "").choices(&["present", "absent", "no"]).default(Default::Str("present")),
        Opt::new("mode", Type::Mode, ""),
        Opt::new("force", Type::Bool, "").default(Default::Bool(false)),
        Opt::new("count", Type::Int, ""),
        Opt::new("tags", Type::StrList, ""),
        Opt::new("env", Type::Dict, ""),
        Opt::new("src", Type::Str, ""),
        Opt::new("content", Type::Str, ""),
    ],
    rules: &[Rule::Exclusive(&["src", "content"]), Rule::If("state", "absent", &["count"]), Rule::By("tags", &["env"])],
    ..Spec::NONE
};

static COMMAND: Spec = Spec {
    name: "command",
    options: &[Opt::new("cmd", Type::Str, ""), Opt::new("chdir", Type::Path, ""), Opt::new("creates", Type::Path, "")],
    free_form: FreeForm::Option("cmd"),
    ..Spec::NONE
};

fn check(given: serde_json::Value) -> Result<serde_json::Value, String> {
    let fields = given.as_object().unwrap().iter().map(|(key, value)| (key.clone(), from_json(value))).collect();
    args(&SPEC, fields).map(|args| to_json(&crate::value::from_fields(args.fields()))).map_err(|problems| {
        problems.iter().map(|p| format!("{} {}", p.message, p.hints.join(" "))).collect::<Vec<_>>().join("; ")
    })
}

#[test]
fn coerces_as_ansible_does() {
    let json = serde_json::json!({
        "dest": "/x", "mode": 420, "force": "Yes", "count": "10", "tags": "a, b", "state": false,
        "env": "a=1, b='x y'", "src": null, "content": ["a", true, null, 1.5]
    });
    assert!(check(json.clone()).unwrap_err().contains("mutually exclusive: src|content"));
    let mut json = json;
    json.as_object_mut().unwrap().shift_remove("src");
    assert_eq!(
        check(json).unwrap(),
        serde_json::json!({
            "path": "/x", "state": "no", "mode": "0644", "force": true, "count": 10, "tags": ["a", " b"],
            "env": {"a": "1", "b": "x y"}, "content": "['a', True, None, 1.5]"
        })
    );
}

#[test]
fn says_what_is_wrong() {
    for (given, want) in [
        (serde_json::json!({}), "missing required arguments: path"),
        (serde_json::json!({"path": "/x", "stat": "present"}), "no argument `stat` did you mean `state`?"),
        (serde_json::json!({"path": "/x", "qqq": 1}), "it has path, state"),
        (serde_json::json!({"path": "/x", "state": "absnt"}), "got: absnt did you mean `absent`?"),
        (
            serde_json::json!({"path": "/x", "state": "absent"}),
            "state is absent but all of the following are missing: count",
        ),
        (serde_json::json!({"path": "/x", "tags": []}), "required by 'tags': env"),
        (serde_json::json!({"path": "/x", "force": "maybe"}), "`maybe` is not a boolean"),
        (serde_json::json!({"path": "/x", "count": 1.5}), "cannot be converted to a whole number"),
        (serde_json::json!({"path": "/x", "env": "a"}), "neither JSON nor"),
        (serde_json::json!({"path": "/x", "mode": true}), "not a file mode"),
    ] {
        let said = check(given.clone()).unwrap_err();
        assert!(said.contains(want), "{given}: {said}");
    }
}

#[test]
fn drops_what_is_omitted_and_keeps_what_is_unknown() {
    let given = Fields::from([
        ("path".to_owned(), "/x".into()),
        ("mode".to_owned(), crate::value::omit()),
        ("count".to_owned(), crate::value::unknown("later")),
    ]);
    let args = args(&SPEC, given).unwrap();
    assert_eq!(args.get("mode"), None);
    assert!(crate::value::unknown_why(args.get("count").unwrap()).is_some());
}

#[test]
fn reads_free_form_text() {
    let parse = |spec, text: &str| free_form(spec, text).map(|args| args.into_iter().collect::<Vec<_>>());
    let pairs =
        |items: &[(&str, &str)]| items.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    assert_eq!(
        parse(&SPEC, r#"path=/x content="a b\nc" state={{ 'absent' if x else "b" }} src='it is'"#).unwrap(),
        pairs(&[("path", "/x"), ("content", "a b\nc"), ("state", r#"{{ 'absent' if x else "b" }}"#), ("src", "it is")])
    );
    assert_eq!(
        parse(&COMMAND, "chdir=/tmp echo a=b  'x  y' \\\n  c").unwrap(),
        pairs(&[("chdir", "/tmp"), ("cmd", "echo a=b  'x  y'  c")])
    );
    assert_eq!(parse(&COMMAND, "echo one\necho two").unwrap(), pairs(&[("cmd", "echo one\necho two")]));
    assert!(parse(&SPEC, "path=/x loose").unwrap_err().message.contains("not `loose`"));
    assert!(parse(&SPEC, "path='/x").unwrap_err().message.contains("not closed"));
}

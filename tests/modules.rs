//! The cases of `tests/modules/<module>/*.yml`: arguments and recorded answers in, what the module says out. No host is needed.
//!
//! A case is a mapping:
//! - `name`, `args`, `check` (false), `user`;
//! - `seen`: what the probes answered, oldest first, each `{rc, stdout, stderr}` or just its stdout (`\0` is NUL); `asks`: a text
//!   that the probe after them holds, when there is to be one more;
//! - one of `ok` (fields of the result), `skip`, `change` or `action` (`result`, `summary`, `diff` as before and after, `script`:
//!   texts that the steps hold, `stdin`), `fails` (the message) with `missing` and `hint`;
//! - `applied`: what the steps answered, and `finished` (fields of the final result) or `breaks` (the message).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "modules/runner.rs"]
mod runner;

use std::path::Path;

use mms::connection::Answer;
use mms::modules::{Args, Change, Context, Failure, Next, StateModule, Step};
use mms::value::{Fields, from_fields, to_json};
use runner::{Folder, holds, task, yaml_files};
use serde_json::{Map, Value as Json, json};

fn answer(json: &Json) -> Answer {
    let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default().as_bytes().to_vec();
    match json {
        Json::String(stdout) => Answer { stdout: stdout.as_bytes().to_vec(), ..Answer::default() },
        _ => Answer {
            rc: json.get("rc").and_then(Json::as_i64).unwrap_or(0).try_into().unwrap(),
            stdout: text("stdout"),
            stderr: text("stderr"),
        },
    }
}

fn answers(case: &Map<String, Json>, key: &str) -> Vec<Answer> {
    case.get(key).and_then(Json::as_array).into_iter().flatten().map(answer).collect()
}

fn fields(fields: &Fields) -> Json {
    to_json(&from_fields(fields))
}

fn expect(place: &str, what: &str, want: &Json, got: &Json) {
    assert!(holds(want, got), "{place}: {what}\nwant {want:#}\ngot {got:#}");
}

fn fails(place: &str, case: &Map<String, Json>, key: &str, failure: &Failure) {
    assert_eq!(case[key].as_str().unwrap(), failure.msg, "{place}");
    let missing = case.get("missing").and_then(Json::as_bool).unwrap_or(false);
    assert_eq!(missing, failure.missing, "{place}: missing");
    if let Some(hint) = case.get("hint").and_then(Json::as_str) {
        assert!(failure.hints.iter().any(|known| known.contains(hint)), "{place}: {:?}", failure.hints);
    }
}

fn check_change(place: &str, want: &Json, change: &Change) {
    if let Some(result) = want.get("result") {
        expect(place, "result", result, &fields(&change.result));
    }
    if let Some(summary) = want.get("summary") {
        assert_eq!(summary, &json!(change.summary), "{place}: summary");
    }
    if let Some(diff) = want.get("diff") {
        let got: Vec<Json> =
            change.diff.iter().map(|diff| json!({ "before": diff.before, "after": diff.after })).collect();
        expect(place, "diff", diff, &json!(got));
    }
    let (mut scripts, mut input) = (String::new(), vec![]);
    for step in &change.steps {
        match step {
            Step::Run { script, stdin, .. } => {
                scripts.push_str(script);
                input.extend(stdin.iter().flatten());
            }
            Step::Upload { script, .. } | Step::Download { script, .. } => scripts.push_str(script),
        }
    }
    for text in want.get("script").and_then(Json::as_array).into_iter().flatten() {
        let text = text.as_str().unwrap();
        match text.strip_prefix("! ") {
            Some(text) => assert!(!scripts.contains(text), "{place}: `{text}` in\n{scripts}"),
            None => assert!(scripts.contains(text), "{place}: no `{text}` in\n{scripts}"),
        }
    }
    if let Some(text) = want.get("stdin").and_then(Json::as_str) {
        assert_eq!(text, String::from_utf8_lossy(&input), "{place}: stdin");
    }
}

fn check_case(place: &str, module: &str, case: &Map<String, Json>) {
    let (module, args): (&dyn StateModule, Args) = match task(module, case.get("args").unwrap_or(&Json::Null)) {
        Ok(task) => task,
        Err(failure) => return fails(place, case, "fails", &failure),
    };
    let folder = Folder("tests/modules".into());
    let check = case.get("check").and_then(Json::as_bool).unwrap_or(false);
    let cx = Context { check, diff: true, user: case.get("user").and_then(Json::as_str), workstation: &folder };
    let seen = answers(case, "seen");
    for known in 0..seen.len() {
        let next = module.plan(&cx, &args, &seen[..known]);
        assert!(matches!(next, Ok(Next::Probe(_))), "{place}: no question after {known} answers but {next:?}");
    }
    let next = match module.plan(&cx, &args, &seen) {
        Ok(next) => next,
        Err(failure) => {
            assert!(case.contains_key("fails"), "{place}: {failure:?}");
            return fails(place, case, "fails", &failure);
        }
    };
    let got = match &next {
        Next::Probe(probe) => {
            let text = case.get("asks").and_then(Json::as_str);
            let text = text.unwrap_or_else(|| panic!("{place}: it asks more:\n{}", probe.script));
            return assert!(probe.script.contains(text), "{place}: no `{text}` in\n{}", probe.script);
        }
        Next::Ok(result) => {
            return expect(place, "result", case.get("ok").unwrap_or(&json!("not ok")), &fields(result));
        }
        Next::Skip(result) => {
            return expect(place, "result", case.get("skip").unwrap_or(&json!("no skip")), &fields(result));
        }
        Next::Unknown(why) => panic!("{place}: unknown: {why}"),
        Next::Change(change) => ("change", change),
        Next::Action(change) => ("action", change),
    };
    let (kind, change) = got;
    let want = case.get(kind).unwrap_or_else(|| panic!("{place}: a {kind}: {change:#?}"));
    check_change(place, want, change);
    if case.contains_key("applied") {
        match module.finish(&cx, &args, change, &seen, &answers(case, "applied")) {
            Ok(result) => {
                let finished = case.get("finished").unwrap_or_else(|| panic!("{place}: it did not break"));
                expect(place, "final result", finished, &fields(&result));
            }
            Err(failure) => {
                assert!(case.contains_key("breaks"), "{place}: {failure:?}");
                fails(place, case, "breaks", &failure);
            }
        }
    }
}

#[test]
fn cases_hold() {
    let mut count = 0;
    for file in yaml_files(Path::new("tests/modules")) {
        let module = file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: Json = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for case in cases.as_array().unwrap() {
            let case = case.as_object().unwrap();
            let place = format!("{}: {}", file.display(), case["name"].as_str().unwrap());
            check_case(&place, &module, case);
            count += 1;
        }
    }
    assert!(count > 0);
}

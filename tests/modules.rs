//! Plans of state modules from data, without a host: each file `tests/modules/MODULE/*.yml` is a list of cases
//! `{name, args, check?, answers: [{rc?, stdout?, stderr?}], applied?, want}`. `want` names what comes next (`probe`, `ok`, `change`, `action`, `skip`,
//! `unknown` or `fail`) and any of: `result` (fields), `summary` (whole), `diff` (texts that stand in before or after), `steps` and
//! `script` (texts that the steps or the probe hold), `not_in_steps`, `msg` (part of a failure), `missing`, `hints` (texts). `applied` is what the steps answered, and
//! `finished` what came of it: `result`, or `msg` and `missing`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "modules/runner.rs"]
mod runner;

use std::path::Path;

use mms::connection::Answer;
use mms::modules::{Change, Context, Failure, Next, Step};
use mms::value::{Fields, from_fields, to_json};
use runner::{Folder, holds, task, yaml_files};
use serde_json::{Value as Json, json};

fn answers(case: &Json, key: &str) -> Vec<Answer> {
    let bytes = |answer: &Json, key: &str| answer[key].as_str().unwrap_or_default().as_bytes().to_vec();
    case[key]
        .as_array()
        .into_iter()
        .flatten()
        .map(|answer| Answer {
            rc: answer["rc"].as_i64().unwrap_or(0).try_into().unwrap(),
            stdout: bytes(answer, "stdout"),
            stderr: bytes(answer, "stderr"),
        })
        .collect()
}

fn scripts(steps: &[Step]) -> String {
    steps
        .iter()
        .map(|step| match step {
            Step::Run { script, stdin, .. } => {
                format!("{script}\n{}", String::from_utf8_lossy(stdin.as_deref().unwrap_or_default()))
            }
            Step::Upload { script, .. } | Step::Download { script, .. } => script.clone(),
        })
        .collect()
}

/// What the module answered, as data.
fn outcome(module: &str, case: &Json) -> Json {
    let folder = Folder(Path::new("tests/modules").join(module));
    let check = case["check"].as_bool().unwrap_or(false);
    let cx = Context { check, diff: true, user: None, workstation: &folder };
    let result = |fields: &Fields| to_json(&from_fields(fields));
    let failed = |failure: &Failure| {
        json!({
            "next": "fail", "msg": failure.msg, "missing": failure.missing, "result": result(&failure.fields),
            "hints": failure.hints.join("\n"),
        })
    };
    let (module, args) = match task(module, &case["args"]) {
        Ok(task) => task,
        Err(failure) => return failed(&failure),
    };
    let seen = answers(case, "answers");
    let next = module.plan(&cx, &args, &seen);
    let finished = |change: &Change| {
        let applied = answers(case, "applied");
        if applied.is_empty() {
            return Json::Null;
        }
        match module.finish(&cx, &args, change, &seen, &applied) {
            Ok(fields) => json!({ "result": result(&fields) }),
            Err(failure) => failed(&failure),
        }
    };
    match next {
        Ok(Next::Probe(probe)) => json!({"next": "probe", "script": probe.script}),
        Ok(Next::Ok(fields)) => json!({"next": "ok", "result": result(&fields)}),
        Ok(Next::Skip(fields)) => json!({"next": "skip", "result": result(&fields)}),
        Ok(Next::Unknown(why)) => json!({"next": "unknown", "msg": why}),
        Ok(ref next @ (Next::Change(ref change) | Next::Action(ref change))) => json!({
            "next": if matches!(next, Next::Change(_)) { "change" } else { "action" },
            "result": result(&change.result),
            "summary": change.summary,
            "steps": scripts(&change.steps),
            "finished": finished(change),
            "hints": finished(change)["hints"],
            "diff": change.diff.iter().map(|diff| format!("{}\n{}\n", diff.before, diff.after)).collect::<String>(),
        }),
        Err(failure) => failed(&failure),
    }
}

fn check(want: &Json, got: &Json) -> Result<(), String> {
    for (key, value) in want.as_object().unwrap() {
        let found = &got[if key == "not_in_steps" { "steps" } else { key.as_str() }];
        let texts: Vec<&str> = match value {
            Json::String(text) => vec![text],
            Json::Array(texts) => texts.iter().filter_map(Json::as_str).collect(),
            _ => vec![],
        };
        let within = |text: &str| found.as_str().is_some_and(|found| found.contains(text));
        let good = match key.as_str() {
            "steps" | "script" | "diff" | "msg" | "hints" => texts.iter().all(|text| within(text)),
            "not_in_steps" => !texts.iter().any(|text| within(text)),
            _ => holds(value, found),
        };
        if !good {
            return Err(format!("{key}: want {value}, got {found}"));
        }
    }
    Ok(())
}

#[test]
fn plans_are_as_written() {
    let mut wrong = vec![];
    let mut count = 0;
    for file in yaml_files(Path::new("tests/modules")) {
        let module = file.parent().and_then(Path::file_name).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: Vec<Json> =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for case in cases {
            count += 1;
            if let Err(why) = check(&case["want"], &outcome(&module, &case)) {
                wrong.push(format!("{} `{}`: {why}", file.display(), case["name"].as_str().unwrap_or_default()));
            }
        }
    }
    assert!(count > 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

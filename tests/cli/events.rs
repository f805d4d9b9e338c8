//! Every kind of event as lines for people, at every verbosity.

use std::sync::Arc;
use std::time::Duration;

use mms::diagnostic::{Source, Span};
use mms::event::{Event, HostSummary, Report, Status, Summary, TaskLabel};
use mms::modules::Diff;
use mms::report::terminal::{Options, lines};
use mms::ui::Paint;
use mms::value::{Fields, Value};

fn label(name: &str) -> Arc<TaskLabel> {
    Arc::new(TaskLabel {
        name: name.to_owned(),
        role: None,
        module: "copy".into(),
        place: "playbooks/site.yml:7:7".into(),
        handler: false,
        no_log: false,
    })
}

fn report(status: Status) -> Report {
    Report {
        status,
        summary: vec![],
        diff: vec![],
        result: Fields::new(),
        looped: false,
        hints: vec![],
        place: None,
        duration: Duration::from_millis(1234),
    }
}

fn failed(status: Status) -> Report {
    let long: String = (1..=25).map(|n| format!("line {n}\n")).collect();
    let fields = [
        ("msg", Value::from("non-zero return code")),
        ("rc", 3.into()),
        ("stdout", long.into()),
        ("stderr", "no such thing".into()),
    ];
    Report {
        result: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        hints: vec!["install the thing".into()],
        ..report(status)
    }
}

fn done(task: &Arc<TaskLabel>, report: Report) -> Event {
    Event::TaskFinished { task: Arc::clone(task), host: "nas".into(), report }
}

/// A deploy of services: one that is new, one that changed, one that failed and one that was left alone.
fn deployed(status: Status) -> Report {
    let service = |changed: bool, failed: bool, reasons: &[&str], downtime: f64| serde_json::json!({"changed": changed, "failed": failed, "existed": true, "reasons": reasons, "downtime": downtime});
    let services = serde_json::json!({
        "radarr": service(true, false, &["new, lscr.io/linuxserver/radarr:6.0.4", "directory /srv/radarr is new"], 0.0),
        "immich": service(true, true, &["immich-server: image v2.1 → v2.2", "immich-machine-learning: image v2.1 → v2.2"], 0.0),
        "jellyfin": service(true, false, &["environment TZ changed: Europe/Berlin → UTC"], 2.3),
        "sonarr": service(false, false, &[], 0.0),
    });
    let failed = (status == Status::Failed).then(|| ("msg".to_owned(), Value::from("service `immich`: it crashed")));
    let services = ("services".to_owned(), mms::value::from_json(&services));
    Report {
        summary: vec!["radarr: new, lscr.io/linuxserver/radarr:6.0.4".into(), "immich: image v2.1 → v2.2".into()],
        result: failed.into_iter().chain([services]).collect(),
        ..report(status)
    }
}

fn events() -> Vec<(&'static str, Event)> {
    let task = label("Write the settings");
    let role = Arc::new(TaskLabel { role: Some("podman".into()), ..(*task).clone() });
    let services = Arc::new(TaskLabel { module: "mms.services".into(), ..(*label("Deploy the services")).clone() });
    let handler = Arc::new(TaskLabel { handler: true, ..(*label("restart podman")).clone() });
    let diff = Diff {
        before_header: "/etc/a".into(),
        after_header: "/etc/a".into(),
        before: "a\nb\n".into(),
        after: "a\nc\n".into(),
    };
    let source = Source::new("playbooks/site.yml", "- copy:\n    content: \"{{ http_prot }}\"\n");
    let place = Span::new(&source, 25, 34);
    let undefined = Report {
        result: Fields::from_iter([("msg".into(), Value::from(format!("`http_prot` is undefined ({place})")))]),
        hints: vec!["did you mean `http_port`?".into()],
        place: Some(place),
        ..report(Status::Failed)
    };
    let unknown = Report { hints: vec!["its effect is known only when it is run".into()], ..report(Status::Unknown) };
    let changed = Report {
        summary: vec!["mode 0644 → 0600".into(), "owner root → mms".into()],
        diff: vec![diff],
        ..report(Status::Changed)
    };
    let skipped = Report {
        result: Fields::from_iter([("false_condition".into(), Value::from("x is defined"))]),
        ..report(Status::Skipped)
    };
    let hidden =
        Report { result: Fields::from_iter([("censored".into(), Value::from("…"))]), ..report(Status::Failed) };
    let item = |item: &str, report| Event::ItemFinished {
        task: Arc::clone(&task),
        host: "nas".into(),
        item: item.into(),
        report,
    };
    let looped = |status| done(&task, Report { looped: true, ..report(status) });
    let host = |name: &str| HostSummary { host: name.into(), ok: 3, changed: 1, ..HostSummary::default() };
    let hosts = vec![
        host("nas"),
        HostSummary { failed: 1, skipped: 2, ..host("media") },
        HostSummary { rescued: 1, ignored: 2, unknown: 4, ..host("web") },
        HostSummary { unreachable: true, ..host("gone") },
    ];
    let summary = Summary { hosts, duration: Duration::from_millis(61_234), check: false, secret: false };
    vec![
        (
            "play",
            Event::PlayStarted { name: "Base system".into(), hosts: vec!["nas".into(), "media".into()], check: false },
        ),
        ("connecting", Event::Connecting { host: "nas".into() }),
        ("connected", Event::Connected { host: "nas".into(), duration: Duration::from_millis(84) }),
        ("task started", Event::TaskStarted { task: Arc::clone(&task), host: "nas".into() }),
        ("live", Event::Live { host: "nas".into(), line: "Downloading".into() }),
        ("ok", done(&task, report(Status::Ok))),
        ("changed", done(&role, changed)),
        ("unknown", done(&task, unknown)),
        ("skipped", done(&task, skipped)),
        ("failed", done(&task, failed(Status::Failed))),
        ("failed at a place", done(&task, undefined)),
        ("failed and hidden", done(&task, hidden)),
        ("ignored", done(&task, failed(Status::Ignored))),
        ("rescued", done(&task, failed(Status::Rescued))),
        ("services", done(&services, deployed(Status::Changed))),
        ("services, one failed", done(&services, deployed(Status::Failed))),
        ("handler", done(&handler, report(Status::Changed))),
        ("item", item("first", report(Status::Changed))),
        ("long item", item(&"x".repeat(200), report(Status::Changed))),
        ("failed item", item("second", failed(Status::Failed))),
        ("loop changed", looped(Status::Changed)),
        ("loop failed", looped(Status::Failed)),
        ("loop ignored", looped(Status::Ignored)),
        ("loop skipped", looped(Status::Skipped)),
        (
            "unreachable",
            Event::Unreachable {
                host: "nas".into(),
                message: "cannot reach nas".into(),
                hints: vec!["is it on?".into()],
            },
        ),
        ("message", Event::Message { host: "nas".into(), text: "two\nlines".into() }),
        ("summary", Event::Finished(summary.clone())),
        ("summary of a plan", Event::Finished(Summary { check: true, ..summary })),
    ]
}

fn shown(options: &Options) -> String {
    let mut text = String::new();
    for (name, event) in events() {
        text.push_str(&format!("## {name}\n"));
        for line in lines(&event, options) {
            text.push_str(&line.replace('\u{1b}', "␛"));
            text.push('\n');
        }
    }
    text
}

#[test]
fn every_event_at_every_verbosity() {
    let options = Options { paint: Paint::new(false), verbosity: 0, diff: false, check: false, host_width: 0 };
    insta::assert_snapshot!("quiet", shown(&options));
    insta::assert_snapshot!("diff", shown(&Options { diff: true, ..options }));
    insta::assert_snapshot!("plan_of_several_hosts", shown(&Options { check: true, host_width: 5, ..options }));
    insta::assert_snapshot!("colours", shown(&Options { paint: Paint::new(true), diff: true, ..options }));
    insta::assert_snapshot!("v3", shown(&Options { verbosity: 3, diff: true, ..options }));
}

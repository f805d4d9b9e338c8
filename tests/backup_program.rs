//! The program on the target, as far as it needs no target: retention (`src/backup/target/mms-backup-retention.awk`) against an oracle that
//! was written from the rules alone, with every awk that is here; and that every shell reads the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "support/web.rs"]
mod web;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::civil::{Date, DateTime, date};
use proptest::prelude::*;
use web::{Listener, Told};

#[derive(Debug, Clone, Copy)]
struct Rule {
    last: usize,
    daily: usize,
    weekly: usize,
    monthly: usize,
}

/// A backup: minutes after the beginning of 2026, how its time is written, whether it is encrypted, whether it was verified.
type Made = (u32, u8, bool, bool);

const PROGRAM: &str = include_str!("../src/backup/target/mms-backup-retention.awk");

fn awks() -> Vec<Vec<&'static str>> {
    let all = [
        vec!["mawk"],
        vec!["gawk"],
        vec!["gawk", "--posix"],
        vec!["original-awk"],
        vec!["busybox", "awk"],
        vec!["awk"],
    ];
    let works = |awk: &Vec<&str>| {
        let tried = Command::new(awk[0]).args(&awk[1..]).arg("BEGIN { exit 0 }").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let found: Vec<_> = all.into_iter().filter(works).collect();
    assert!(!found.is_empty(), "there is no awk here");
    found
}

/// Names that are kept and names that are removed.
fn ask(awk: &[&str], names: &[(String, bool)], rule: Rule, protect: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut command = Command::new(awk[0]);
    command.args(&awk[1..]).args(["-v", "service=app", "-v", &format!("protect={protect}")]);
    for (name, value) in
        [("last", rule.last), ("daily", rule.daily), ("weekly", rule.weekly), ("monthly", rule.monthly)]
    {
        command.args(["-v", &format!("{name}={value}")]);
    }
    // No time zone may matter.
    command.arg(PROGRAM).env("TZ", "America/New_York").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input: String =
        names.iter().map(|(name, verified)| format!("{name}{}\n", if *verified { " verified" } else { "" })).collect();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{awk:?}");
    let (mut kept, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "keep" => assert!(kept.insert(words[1].to_owned()) && !words[2].is_empty(), "{line}"),
            "remove" => assert!(removed.insert(words[1].to_owned()), "{line}"),
            _ => panic!("{line}"),
        }
    }
    (kept, removed)
}

fn name_of(made: &Made) -> (String, DateTime) {
    let (minutes, form, encrypted, _) = *made;
    let at = date(2026, 1, 1).at(0, 0, 0, 0).checked_add(jiff::Span::new().minutes(i64::from(minutes))).unwrap();
    let (stamp, at) = match form {
        0 => (at.strftime("%Y-%m-%d").to_string(), at.date().at(0, 0, 0, 0)),
        1 => (at.strftime("%Y-%m-%dT%H%M%S").to_string(), at),
        _ => (at.strftime("%Y-%m-%dT%H%M%SZ").to_string(), at),
    };
    (format!("app-{stamp}.tar.zst{}", if encrypted { ".age" } else { "" }), at)
}

/// What the documentation says, as directly as can be.
fn oracle(all: &[(String, DateTime, bool)], rule: Rule) -> BTreeSet<String> {
    let mut sorted: Vec<_> = all.to_vec();
    sorted.sort_by(|one, other| (other.1, &other.0).cmp(&(one.1, &one.0)));
    let newest_of = |count: usize, period: &dyn Fn(Date) -> (i16, i8, i8)| -> Vec<String> {
        let mut periods: Vec<_> = sorted.iter().map(|it| period(it.1.date())).collect();
        periods.dedup();
        periods.truncate(count);
        let newest =
            |wanted: &(i16, i8, i8)| sorted.iter().find(|it| period(it.1.date()) == *wanted).unwrap().0.clone();
        periods.iter().map(newest).collect()
    };
    let day = |date: Date| (date.year(), date.month(), date.day());
    let week = |date: Date| (date.iso_week_date().year(), date.iso_week_date().week(), 0);
    let month = |date: Date| (date.year(), date.month(), 0);
    let mut kept: BTreeSet<String> = sorted.iter().take(rule.last.max(1)).map(|it| it.0.clone()).collect();
    kept.extend(newest_of(rule.daily, &day));
    kept.extend(newest_of(rule.weekly, &week));
    kept.extend(newest_of(rule.monthly, &month));
    kept.extend(sorted.iter().find(|it| it.2).map(|it| it.0.clone()));
    kept
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    // Up to three years, often several of a day.
    let spread = prop_oneof![0..1_500_000_u32, 0..40_000_u32];
    prop::collection::vec((spread, 0..4_u8, any::<bool>(), prop::bool::weighted(0.1)), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_what_the_rules_say(
        made in made(), last in 0..4_usize, daily in 0..10_usize, weekly in 0..6_usize, monthly in 0..8_usize, shuffle in any::<u64>()
    ) {
        let rule = Rule { last, daily, weekly, monthly };
        let mut all: Vec<(String, DateTime, bool)> =
            made.iter().map(|it| { let (name, at) = name_of(it); (name, at, it.3) }).collect();
        all.sort();
        all.dedup_by(|one, other| one.0 == other.0);
        let mut names: Vec<_> = all.iter().map(|it| (it.0.clone(), it.2)).collect();
        if !names.is_empty() {
            let by = usize::try_from(shuffle % names.len() as u64).unwrap();
            names.rotate_left(by);
        }
        let wanted = oracle(&all, rule);
        let everything: BTreeSet<String> = names.iter().map(|(name, _)| name.clone()).collect();
        for awk in awks() {
            let (kept, removed) = ask(&awk, &names, rule, "");
            prop_assert_eq!(&kept, &wanted, "{:?}", awk);
            prop_assert_eq!(kept.union(&removed).cloned().collect::<BTreeSet<_>>(), everything.clone());
            // Again: nothing more goes.
            let left: Vec<_> = names.iter().filter(|(name, _)| kept.contains(name)).cloned().collect();
            let (again, removed) = ask(&awk, &left, rule, "");
            prop_assert_eq!((again, removed.len()), (kept, 0));
        }
    }
}

#[test]
fn never_touches_what_is_none_of_its_own() {
    let strange = [
        "app-2-2026-01-01T030000Z.tar.zst.age",
        "app-2026-02-30T030000Z.tar.zst.age",
        "app-2026-13-01.tar.zst",
        "app-2026-01-01T250000Z.tar.zst.age",
        "app-2026-01-01T0300Z.tar.zst.age",
        "app-2026-1-01.tar.zst",
        "app-2026-01-01T030000Z.tar.zst.age.json",
        "app-2026-01-01T030000Z.tar.gz",
        "other-2026-01-01T030000Z.tar.zst.age",
        "notes.txt",
    ];
    let names: Vec<_> = strange.iter().map(|name| ((*name).to_owned(), false)).collect();
    for awk in awks() {
        let (kept, removed) = ask(&awk, &names, Rule { last: 0, daily: 0, weekly: 0, monthly: 0 }, "");
        assert_eq!((kept.len(), removed.len()), (0, 0), "{awk:?}");
    }
}

#[test]
fn the_newest_the_verified_and_the_one_just_made_stay() {
    let names: Vec<_> = ["01", "02", "03", "04", "05"]
        .map(|day| (format!("app-2026-03-{day}T030000Z.tar.zst.age"), day == "02" || day == "01"))
        .into();
    for awk in awks() {
        let rule = Rule { last: 0, daily: 0, weekly: 0, monthly: 0 };
        // The clock was set back, so the one just made is not the newest.
        let (kept, _) = ask(&awk, &names, rule, "app-2026-03-03T030000Z.tar.zst.age");
        let days: Vec<_> = kept.iter().map(|name| &name[12..14]).collect();
        assert_eq!(days, ["02", "03", "05"], "{awk:?}");
    }
}

/// With curl and, where there is none, with wget: the same requests, and no address in an argument.
#[test]
fn others_are_told_by_curl_or_wget() {
    let found = |tool: &str| {
        let path = Command::new("sh").args(["-c", "command -v \"$0\"", tool]).output().unwrap().stdout;
        let path = String::from_utf8(path).unwrap().trim().to_owned();
        (!path.is_empty()).then_some(path)
    };
    let mut tried = 0;
    for tool in ["curl", "wget"] {
        let Some(real) = found(tool) else {
            let _ = writeln!(std::io::stderr(), "skipped: there is no {tool} here");
            continue;
        };
        tried += 1;
        let server = Listener::at("127.0.0.1");
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir_all(dir.path().join("services")).unwrap();
        std::fs::create_dir(&bin).unwrap();
        for needed in ["sh", "sed", "tr", "cat"] {
            std::os::unix::fs::symlink(found(needed).unwrap(), bin.join(needed)).unwrap();
        }
        let arguments = dir.path().join("arguments");
        let wrapper = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >>{}\nexec {real} \"$@\"\n", arguments.display());
        std::fs::write(bin.join(tool), wrapper).unwrap();
        std::fs::set_permissions(bin.join(tool), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let lines = [
            format!("healthchecks start,success,failure {}\n", server.url("s3cret/hc")),
            format!("ntfy failure {}\n", server.url("s3cret/ntfy")),
            format!("kuma success,failure {}\n", server.url("s3cret/kuma?status=up&msg=OK")),
            format!("webhook start,success,failure {}\n", server.url("s3cret/hook")),
        ];
        std::fs::write(dir.path().join("services/app.notify"), lines.concat()).unwrap();
        let part = mms::backup::target::PARTS.iter().find(|(name, _)| *name == "mms-backup-notify").unwrap().1;
        let script = format!(
            "config={}; host=media; json() {{ printf '\"%s\"' \"$1\"; }}\n{part}\n\
             for event in start success failure; do ping services/app $event \"app: it's a \\\\ $event\"; done; ping services/none start x",
            dir.path().display()
        );
        let mut shell = Command::new(found("sh").unwrap());
        let output = shell.arg("-c").arg(script).env("PATH", &bin).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{tool}: {output:?}");
        let text = |event: &str| format!("app: it's a \\ {event}");
        let hook =
            |event: &str| format!("{{\"event\":\"{event}\",\"host\":\"media\",\"message\":\"{}\"}}", text(event));
        let expected = [
            ("hc/start", text("start")),
            ("hook", hook("start")),
            ("hc", text("success")),
            ("kuma?status=up&msg=app+it+s+a+success", String::new()),
            ("hook", hook("success")),
            ("hc/fail", text("failure")),
            ("ntfy", text("failure")),
            ("kuma?status=down&msg=app+it+s+a+failure", String::new()),
            ("hook", hook("failure")),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(path, body)| Told { path: format!("/s3cret/{path}"), body }).collect();
        assert_eq!(server.take(), expected, "{tool}");
        let seen = std::fs::read_to_string(&arguments).unwrap();
        assert!(!seen.is_empty() && !seen.contains("s3cret"), "{tool}: {seen}");
    }
    assert!(tried > 0, "there is neither curl nor wget");
}

#[test]
fn every_shell_reads_every_part() {
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"], &["sh"]] {
        for (name, text) in mms::backup::target::PARTS.into_iter().filter(|(_, text)| text.starts_with("#!/bin/sh")) {
            let child = Command::new(shell[0]).args(&shell[1..]).arg("-n").stdin(Stdio::piped()).spawn();
            let Ok(mut child) = child else { continue };
            child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{shell:?} does not read {name}");
        }
    }
}

/// The program with one service and a stand-in for systemctl, in a directory.
struct Program(tempfile::TempDir);

impl Program {
    fn new(systemctl: &str) -> Self {
        let it = Self(tempfile::tempdir().unwrap());
        for name in ["bin", "program", "config/services", "state"] {
            std::fs::create_dir_all(it.at(name)).unwrap();
        }
        for (name, text) in mms::backup::target::PARTS {
            std::fs::write(it.at("program").join(name), text).unwrap();
        }
        std::fs::write(it.at("config/services/radarr.conf"), "strategy=cold\n").unwrap();
        std::fs::write(it.at("bin/systemctl"), systemctl).unwrap();
        std::fs::set_permissions(it.at("bin/systemctl"), PermissionsExt::from_mode(0o755)).unwrap();
        it
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.arg(self.at("program/mms-backup")).args(arguments).env("PATH", path);
        command.env("MMS_BACKUP_CONFIG", self.at("config")).env("MMS_BACKUP_STATE", self.at("state"));
        command
    }

    /// Processes of the program.
    fn running(&self) -> usize {
        let mine = self.at("program/mms-backup").display().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&mine)).count()
    }
}

/// A run that was under way already when somebody joined it has not heard that it may be small, and neither shall the next one.
#[test]
fn what_is_accepted_is_accepted_for_one_run() {
    // The run that is under way ends, and has never looked.
    let program =
        Program::new("#!/bin/sh\nflag=$MMS_BACKUP_STATE/radarr/accept-shrink\n[ ! -e $flag ] || : >$flag.seen\n");
    let output = program.command(&["start", "radarr", "--accept-shrink"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(r#"@result {"service":"radarr","kind":"backup","ok":false"#), "{told}");
    assert!(program.at("state/radarr/accept-shrink.seen").exists(), "the run was not told");
    assert!(!program.at("state/radarr/accept-shrink").exists(), "the next run would take a small backup as right");
}

/// Who is killed while a run comes along leaves nobody behind that looks at it for ever.
#[test]
fn nobody_watches_for_nobody() {
    let program = Program::new("#!/bin/sh\nexec sleep 2\n");
    let mut child = program.command(&["start", "radarr"]).stdout(Stdio::null()).spawn().unwrap();
    let until = |wanted: fn(usize) -> bool| {
        for _ in 0..400 {
            if wanted(program.running()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{} of it run", program.running());
    };
    until(|count| count > 1);
    child.kill().unwrap();
    child.wait().unwrap();
    until(|count| count == 0);
}

/// The timers' run begins with the next service when the one before has come to its end, also when somebody stopped its unit.
#[test]
fn one_backup_at_a_time_also_when_one_is_stopped() {
    let program = Program::new(
        r#"#!/bin/sh
        shift
        case $1 in
        start) echo "start $2" >>$MMS_BACKUP_STATE/log; : >$MMS_BACKUP_STATE/stopping; case $2 in *radarr*) exit 1 ;; esac ;;
        show) echo run ;;
        is-active)
            echo "asked" >>$MMS_BACKUP_STATE/log
            [ "$(grep -c asked $MMS_BACKUP_STATE/log)" -lt 3 ] && echo deactivating || echo failed ;;
        esac
        "#,
    );
    std::fs::write(program.at("config/services/sonarr.conf"), "strategy=cold\n").unwrap();
    let output = program.command(&["all", "daily"]).output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()),
        (Some(1), "failed: radarr\n")
    );
    let log = std::fs::read_to_string(program.at("state/log")).unwrap();
    let (radarr, sonarr) = ("start mms-backup@radarr.service", "start mms-backup@sonarr.service");
    assert_eq!(log.lines().collect::<Vec<_>>(), [radarr, "asked", "asked", "asked", sonarr]);
}

//! Backups on real machines: services that write all the time, cold ones, what is suspicious, retention. What can go wrong under way is in
//! `faults.rs`.
//!
//! They run unless `MMS_TEST_MACHINE=0` (root, Debian; `tests/lab/README.md`). Backups are opened with `age`, `zstd`, `tar`, `sha256sum`
//! and `sqlite3` alone, on the machine, where these programs are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "support/lab.rs"]
mod lab;
// Not every test uses all of it.
#[allow(dead_code)]
#[path = "stack/project.rs"]
mod project;
#[path = "backup/site.rs"]
mod site;
#[path = "support/web.rs"]
mod web;
#[path = "backup/writers.rs"]
mod writers;

use std::io::Write as _;
use std::process::{Command, Stdio};

use site::Site;
use web::Listener;
use writers::{CONFIG, Rows};

/// Part of every address that is told something.
const SECRET: &str = "s3cret-of-the-night";

#[test]
fn services_that_write_are_backed_up_consistently() {
    if !lab::wanted("services_that_write_are_backed_up_consistently") {
        return;
    }
    let site = Site::new("bw", &["radarr", "immich"]);
    // Every restore waits until the service is well.
    for service in ["services/radarr.yml", "services/immich.yml"] {
        site.project.edit(service, "interval: 15s", "interval: 2s");
    }
    let listener = Listener::at("10.99.0.1");
    let entry = |kind: &str| {
        let on = if kind == "ntfy" { ", on: [success, failure]" } else { "" };
        format!("  - {{type: {kind}, url: \"{}\"{on}}}\n", listener.url(&format!("{SECRET}/{kind}")))
    };
    site.project.write(
        "inventory/group_vars/mms/zz-notify.yml",
        &format!(
            "mms_backup_mirror_dir: /home/mms/mirrors\nmms_backup_retention: {{last: 500}}\nmms_backup_notify:\n{}",
            ["healthchecks", "ntfy", "kuma", "webhook"].map(entry).concat()
        ),
    );
    site.deploy().exits(0);
    let again = site.deploy_json();
    assert_eq!(again.count("changed"), 0, "{again:?}");

    writers::prepare(&site);
    site.machine.as_user_ok(&format!(
        "echo old >{CONFIG}/stale.db-journal; mkdir -p {CONFIG}/logs; echo x >{CONFIG}/logs/left-out; ln -s config.xml {CONFIG}/link"
    ));
    site.machine.ok("install -o mms -g mms /dev/null /data/photos/one.jpg && echo photo >/data/photos/one.jpg");
    writers::start(&site);
    let made = rounds(&site);
    let members = site.members("radarr");
    for (name, there) in [
        ("data/0/radarr.db", true),
        ("data/0/config.xml", true),
        ("data/0/link", true),
        (".mms/service.json", true),
        ("data/0/radarr.db-wal", false),
        ("data/0/radarr.db-shm", false),
        ("data/0/logs/left-out", false),
    ] {
        assert_eq!(members.iter().any(|member| member == name), there, "{name} in {members:?}");
    }
    assert_eq!(members[members.len() - 2..], [".mms/SHA256SUMS", ".mms/manifest.json"]);
    let described = site.machine.ok(&format!("cat {}/.mms/service.json", site.open("radarr")));
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["paths"][0]["path"], CONFIG);
    assert!(described["containers"]["radarr"]["digest"].as_str().unwrap().starts_with("sha256:"), "{described}");
    assert!(
        described["units"]["radarr.container"].as_str().unwrap().ends_with("WantedBy=default.target\n"),
        "{described}"
    );

    every_one_restores(&site, &made);
    writers::start(&site);
    timers(&site, &listener);
    mirrors(&site);
    pulled(&site);
    told_of_one_service(&site, &listener);
    a_whole_cluster_restores(&site);
}

/// The backups of one round, and the rows in them.
struct Round {
    names: [String; 2],
    rows: Rows,
}

/// Backs up again and again what is written to all the time. What is in a backup had been written before it was done, and what had
/// been written before it began is in it.
fn rounds(site: &Site) -> Vec<Round> {
    let mut made: Vec<Round> = vec![];
    let mut before = writers::running(site);
    // MMS_BACKUP_ROUNDS=50 takes half an hour, on a busy machine more.
    let rounds = std::env::var("MMS_BACKUP_ROUNDS").ok().map_or(2, |rounds| rounds.parse().unwrap());
    for _ in 0..rounds {
        site.mms(&["backup", "radarr", "immich", "--no-mirror"]).exits(0);
        let rows = writers::backed_up(site);
        let after = writers::running(site);
        assert!(writers::reach(rows, before) && writers::reach(after, rows), "{before:?}, {rows:?}, {after:?}");
        assert!(after[0] > before[0] && after[1] > before[1], "the writers did not get on: {after:?} after {before:?}");
        made.push(Round { names: ["radarr", "immich"].map(|name| site.backups(name).pop().unwrap()), rows });
        before = after;
    }
    assert!(made.last().is_some_and(|last| last.rows[2] > 0), "PostgreSQL was not written to");
    made
}

/// From the first to the last, each is what the services are well on, with the rows that it had, no more and no fewer.
fn every_one_restores(site: &Site, made: &[Round]) {
    writers::stop(site);
    let mut before = Rows::default();
    for (number, round) in made.iter().enumerate() {
        let which = format!("latest~{}", made.len() - 1 - number);
        let restored = site.mms(&["restore", "radarr", "immich", "--at", &which, "--yes"]).exits(0);
        assert!(
            round.names.iter().all(|name| restored.stdout.contains(&format!("is well on `{name}`"))),
            "{restored:?}"
        );
        let rows = writers::running(site);
        assert_eq!(rows, round.rows, "{:?} restored", round.names);
        assert!(writers::reach(rows, before), "{rows:?} after {before:?}");
        assert!(site.is_active("radarr") && site.is_active("immich-server"));
        site.mms(&["restore", "radarr", "immich", "--confirm"]).exits(0);
        before = rows;
    }
    let [main, plugin, postgres] = before;
    let _ = writeln!(
        std::io::stderr(),
        "backup: {0} of {0} backups restored, every one to a prefix of what was written; the last to {main} and {plugin} rows of \
         SQLite, {postgres} of PostgreSQL",
        made.len()
    );
}

/// Who is named by a service is told of its runs, also of those on demand.
fn told_of_one_service(site: &Site, listener: &Listener) {
    let entry = |kind: &str, on: &str| {
        format!("    - {{type: {kind}, url: \"{}\"{on}}}\n", listener.url(&format!("{SECRET}/one/{kind}")))
    };
    let notify = format!("  notify:\n{}{}", entry("healthchecks", ""), entry("ntfy", ", on: [failure]"));
    site.project.edit("services/radarr.yml", "  databases: radarr.db\n", &format!("  databases: radarr.db\n{notify}"));
    // The whole cluster, as nobody names its databases any longer.
    site.project.edit("services/immich.yml", "  databases: immich\n", "");
    let deployed = site.mms(&["deploy-service", "radarr", "immich"]).exits(0);
    assert!(deployed.text().contains("radarr: changed") && deployed.text().contains("immich: changed"), "{deployed:?}");
    listener.take();
    site.mms(&["backup", "radarr"]).exits(0);
    site.machine.ok("mv /home/mms/config/radarr /home/mms/config/away");
    site.mms(&["backup", "radarr"]).exits(2);
    site.machine.ok("mv /home/mms/config/away /home/mms/config/radarr");
    let told: Vec<_> = listener.take().into_iter().map(|told| (told.path, told.body)).collect();
    let expected = [
        ("healthchecks/start", "radarr: backup begins"),
        ("healthchecks", "radarr: backup done"),
        ("healthchecks/start", "radarr: backup begins"),
        ("healthchecks/fail", "radarr: backup failed"),
        ("ntfy", "radarr: backup failed"),
    ];
    assert_eq!(told, expected.map(|(path, body)| (format!("/{SECRET}/one/{path}"), body.to_owned())));
}

/// A dump of the whole cluster is such a prefix, too.
fn a_whole_cluster_restores(site: &Site) {
    let before = writers::running(site);
    site.mms(&["backup", "radarr", "immich", "--no-mirror"]).exits(0);
    let opened = site.open("immich");
    site.machine
        .ok(&format!("tail -n 5 {opened}/postgres/immich-postgres.sql | grep 'database cluster dump complete'"));
    site.mms(&["restore", "radarr", "immich", "--yes"]).exits(0);
    let rows = writers::running(site);
    assert!(writers::reach(rows, before), "{rows:?} after {before:?}");
}

/// What the timers start makes backups by itself and tells others, who are not told anywhere else.
fn timers(site: &Site, listener: &Listener) {
    let timers = site.machine.as_user_ok("systemctl --user list-timers --all --no-pager --output=json");
    assert!(timers.contains("mms-backup.timer") && timers.contains("mms-backup-weekly.timer"), "{timers}");
    // The usual hours, which no test machine has: each is a time that systemd knows.
    let defaults = std::fs::read_to_string("roles/backup/defaults/main.yml").unwrap();
    let hours: Vec<_> = ["daily", "weekly"]
        .into_iter()
        .map(|which| {
            let start = format!("backup_{which}: \"{{{{ mms_backup_{which} | default('");
            let hour = defaults.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix("') }}\""));
            site.machine.ok(&format!("systemd-analyze calendar '{}'", hour.unwrap()))
        })
        .collect();
    assert!(hours[0].contains("*-*-* 03:00:00") && hours[1].contains("Sun *-*-* 04:30:00"), "{hours:?}");
    let before = site.backups("radarr").len();
    site.background("while :; do cat /proc/[0-9]*/cmdline; done 2>/dev/null >/tmp/arguments");
    site.machine.as_user_ok("systemctl --user start mms-backup.service");
    assert_eq!(site.backups("radarr").len(), before + 1);
    let told = listener.take();
    let paths: Vec<_> = told.iter().map(|told| told.path.strip_prefix(&format!("/{SECRET}/")).unwrap()).collect();
    assert_eq!(
        paths,
        [
            "healthchecks/start",
            "webhook",
            "healthchecks",
            "ntfy",
            "kuma?status=up&msg=the+daily+backups+are+done+2",
            "webhook"
        ],
        "{told:?}"
    );
    let body: serde_json::Value = serde_json::from_str(&told[5].body).unwrap();
    assert_eq!((&body["event"], &body["host"]), (&"success".into(), &"media".into()));

    // One that fails does not hold up the other, and the unit says so.
    site.machine.as_user_ok("systemctl --user stop immich-postgres.service");
    let failed = site.machine.as_user(&site::user_script("systemctl --user start mms-backup.service"), None);
    assert!(!failed.ok());
    assert_eq!(site.backups("radarr").len(), before + 2);
    let told = listener.take();
    let paths: Vec<_> = told.iter().map(|told| told.path.strip_prefix(&format!("/{SECRET}/")).unwrap()).collect();
    assert_eq!(paths[2..4], ["healthchecks/fail", "ntfy"], "{told:?}");
    assert!(told[3].body.contains("failed: immich"), "{told:?}");
    site.machine.as_user_ok("systemctl --user start immich-server.service");

    let journal = site.machine.ok("journalctl --no-pager --output=cat");
    assert!(journal.contains("immich: the container immich-postgres does not run"), "nothing was logged");
    assert!(!journal.contains(SECRET), "the address of the notifications is in the journal");
    assert!(site.project.outputs().iter().all(|(_, text)| !text.contains(SECRET)));
    let arguments = site.machine.ok("tr '\\0' ' ' </tmp/arguments");
    assert!(arguments.contains("mms-backup-archive"), "nothing was seen");
    assert!(!arguments.contains(SECRET), "the address of the notifications is an argument of a process");
}

/// What did not change is the same file in the next mirror, what is gone is gone only there.
fn mirrors(site: &Site) {
    site.mms(&["backup", "immich"]).exits(0);
    site.machine.ok("echo another >/data/photos/two.jpg && chown mms: /data/photos/two.jpg");
    site.mms(&["backup", "immich"]).exits(0);
    let links = site.machine.ok("cd /home/mms/mirrors/immich && stat -c '%h %n' */0/*.jpg");
    let links: Vec<_> = links.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(links.iter().map(|(count, _)| *count).collect::<Vec<_>>(), ["2", "2", "1"], "{links:?}");

    // A disk that takes nothing: `sync` alone says nothing of that. No mirror is made of it, and none is given up for it.
    let bad_disk = |arguments: &[&str]| {
        let bad = r#"[ "$1" = -f ] || exec /usr/bin/sync "$@"; echo sync: Input/output error >&2; exit 1"#;
        site.machine.stand_in("sync", bad);
        let failed = site.mms(arguments).exits(2).text();
        site.machine.stood_in("sync");
        failed
    };
    let failed = bad_disk(&["backup", "immich"]);
    assert!(failed.contains("cannot bring everything in /home/mms/mirrors/immich/."), "{failed}");
    assert_eq!(site.machine.ok("ls /home/mms/mirrors/immich").lines().count(), 2);

    // Lost, spoilt with the same size and time, and new since then.
    let photos = "cd /data/photos";
    site.machine.as_user_ok(&format!(
        "{photos} && mv one.jpg /tmp/ && touch -r two.jpg /tmp/then && echo spoiled >two.jpg && touch -r /tmp/then two.jpg && echo new >three.jpg"
    ));
    let plan = site.mms(&["restore", "immich", "--mirror", "--dry-run"]).exits(0);
    assert!(plan.text().contains("/data/photos: 1 file missing or different"), "{plan:?}");
    let asked = site.mms(&["restore", "immich", "--mirror"]).exits(1);
    assert!(asked.stderr.contains("--yes") && asked.stderr.contains("nothing has changed"), "{asked:?}");
    site.machine.ok("test ! -e /data/photos/one.jpg");
    let back = site.mms(&["restore", "immich", "--mirror", "--yes"]).exits(0);
    assert!(back.stdout.contains("what they replaced is kept: /data/photos.mms-replaced-"), "{back:?}");
    let now =
        site.machine.ok(&format!("{photos} && cat one.jpg two.jpg three.jpg && cat ../photos.mms-replaced-*/two.jpg"));
    assert_eq!(now, "photo\nanother\nnew\nspoiled\n");
    assert!(site.is_active("immich-server"));
    site.mms(&["restore", "immich", "--mirror", "--yes", "--at", "latest~1"]).exits(0);
    let none = site.mms(&["restore", "radarr", "--mirror", "--yes"]).exits(1);
    assert!(none.stderr.contains("there is no mirror of `radarr`"), "{none:?}");
    let failed = bad_disk(&["restore", "immich", "--mirror", "--yes"]);
    assert!(failed.contains("cannot bring everything in /data/photos to the disk"), "{failed}");
    assert!(site.is_active("immich-server"));
    site.machine.ok("rm -r /data/photos.mms-replaced-*");
}

/// `--to` brings the new one here, byte for byte.
fn pulled(site: &Site) {
    site.mms(&["backup", "radarr", "--to", "here"]).exits(0);
    let name = site.backups("radarr").pop().unwrap();
    let here = std::fs::read(site.project.path(&format!("here/radarr/{name}"))).unwrap();
    let there = site.machine.as_root(&format!("cat /home/mms/backups/radarr/{name}"), None).stdout;
    assert!(here == there && !here.is_empty());
    // Decrypted by age and, where it is, by rage: the same bytes, and they are zstd's.
    let decrypted = |tool: &str| {
        let mut command = Command::new(tool);
        command.args(["-d", "-i"]).arg(site.project.path("identity.txt"));
        command.arg(site.project.path(&format!("here/radarr/{name}"))).stdin(Stdio::null()).output()
    };
    let by_age = decrypted("age").unwrap();
    assert!(by_age.status.success() && by_age.stdout.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    match decrypted("rage") {
        Ok(by_rage) => assert!(by_rage.status.success() && by_rage.stdout == by_age.stdout, "{}", by_rage.status),
        Err(_) => drop(writeln!(std::io::stderr(), "skipped: there is no rage here")),
    }
    let left: Vec<_> =
        std::fs::read_dir(site.project.path("here/radarr")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let listed = site.mms(&["backup", "list", "radarr", "--json"]).exits(0).json();
    assert_eq!(listed[0]["backups"][0]["file"], name.as_str(), "newest first");

    // A program that does not tell the hash of what it wrote yet: nothing that came is taken for whole.
    let program = "/usr/local/libexec/mms-backup";
    site.machine.ok(&format!(
        "cp -p {program} /tmp/newer && sed -i '/\"kind\":\"%s\"/s/\"sha256\"/\"untold\"/' {program} && ! cmp -s {program} /tmp/newer"
    ));
    let older = site.mms(&["backup", "radarr", "--to", "here"]).exits(2);
    assert!(older.text().contains("older than this mms, and `mms deploy`"), "{older:?}");
    assert_eq!(std::fs::read_dir(site.project.path("here/radarr")).unwrap().count(), 2);
    site.machine.ok(&format!("mv /tmp/newer {program}"));
}

#[test]
fn a_cold_service_is_never_left_stopped() {
    if !lab::wanted("a_cold_service_is_never_left_stopped") {
        return;
    }
    let site = Site::new("bc", &["sabnzbd"]);
    site.project.edit("services/sabnzbd.yml", "  strategy: sqlite", "  strategy: cold");
    site.project.edit("services/sabnzbd.yml", "  databases: admin/history1.db\n", "");
    site.deploy().exits(0);
    let done = site.mms(&["backup", "sabnzbd", "--json"]).exits(0).json();
    assert!(done[0]["downtime_seconds"].as_f64().unwrap() > 0.0, "{done:?}");
    assert!(site.is_active("sabnzbd"));

    // Where systemd does not say what runs, nothing is taken for stopped and read while it writes.
    let before = site.backups("sabnzbd");
    for silent in ["list-units", "list-dependencies"] {
        site.machine.stand_in("systemctl", &format!("case $* in *{silent}*) exit 1 ;; esac"));
        let ran = site.mms(&["backup", "sabnzbd"]).exits(2);
        site.machine.stood_in("systemctl");
        assert!(ran.text().contains("systemd does not say what runs"), "{silent}: {}", ran.text());
        assert!(site.is_active("sabnzbd"));
        assert_eq!(site.backups("sabnzbd"), before);
    }

    // Something that takes its time to be read.
    site.machine.ok(
        "head -c 400000000 /dev/urandom >/home/mms/config/sabnzbd/large && chown mms: /home/mms/config/sabnzbd/large",
    );
    let stopped = "test -s /home/mms/.local/state/mms/backup/sabnzbd/stopped";
    let idle = || site.until_idle("mms-backup@sabnzbd.service");

    // The program is killed on the machine.
    let kept = site.backups("sabnzbd");
    let mut following = site.project.command(&["backup", "sabnzbd"]).spawn().unwrap();
    site.until(stopped);
    site.machine.as_user_ok("kill -9 $(systemctl --user show --property MainPID --value mms-backup@sabnzbd.service)");
    assert_eq!(following.wait().unwrap().code(), Some(2));
    idle();
    assert!(site.is_active("sabnzbd"), "killed on the machine: the service stays stopped");
    assert_eq!(site.backups("sabnzbd"), kept);
    assert_eq!(site.machine.ok("ls -A /home/mms/backups/sabnzbd | grep part || true"), "");

    // mms is killed: the backup goes on.
    let mut following = site.project.command(&["backup", "sabnzbd"]).spawn().unwrap();
    site.until(stopped);
    following.kill().unwrap();
    following.wait().unwrap();
    idle();
    assert!(site.is_active("sabnzbd"), "mms was killed: the service stays stopped");
    let after = site.backups("sabnzbd");
    assert!(after != kept && !after.is_empty(), "{after:?}");

    // Ctrl-C: mms says that it goes on.
    let mut command = site.project.command(&["backup", "sabnzbd"]);
    let following = command.stderr(Stdio::piped()).spawn().unwrap();
    site.until(stopped);
    lab::run(Command::new("kill").args(["-INT", &following.id().to_string()]), None);
    let ended = following.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), told.contains("goes on on its host")), (Some(130), true), "{told}");
    idle();
    assert!(site.is_active("sabnzbd"), "mms was interrupted: the service stays stopped");
    assert!(site.backups("sabnzbd") != after, "mms was interrupted: the backup was not made");

    // Two at once: the second one says who is at work, and harms nothing.
    let mut first = site.project.command(&["backup", "sabnzbd"]).spawn().unwrap();
    site.until(stopped);
    let second = site.program("run sabnzbd");
    assert_eq!(
        (second.rc, second.stderr_text().contains("a backup is under way")),
        (75, true),
        "{}",
        second.stderr_text()
    );
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert!(site.is_active("sabnzbd"));

    // The machine went down while it was stopped: it is started at the next boot.
    site.machine.as_user_ok(
        "systemctl --user stop sabnzbd.service; d=.local/state/mms/backup/sabnzbd; echo sabnzbd.service >$d/stopped; echo backup >$d/running; \
         printf '%s\\n' '4000000 1 0-0' backup then 0 >$d/lock; systemctl --user restart mms-backup-recover.service",
    );
    assert!(site.is_active("sabnzbd"));
    // And a lock of a process that is gone is no lock.
    site.machine
        .as_user_ok("printf '%s\\n' '4000000 1 0-0' backup then 9999999999 >.local/state/mms/backup/sabnzbd/lock");
    site.machine.ok("rm /home/mms/config/sabnzbd/large");
    site.mms(&["backup", "sabnzbd", "--accept-shrink"]).exits(0);
}

#[test]
fn what_is_suspicious_unencrypted_or_old_is_told() {
    if !lab::wanted("what_is_suspicious_unencrypted_or_old_is_told") {
        return;
    }
    let site = Site::new("bf", &["radarr"]);
    site.project.write("inventory/group_vars/mms/zz-retention.yml", "mms_backup_retention: {last: 50}\n");
    site.deploy().exits(0);
    site.mms(&["backup"]).exits(0);
    let config = "/home/mms/config/radarr";
    shrunken(&site, config);
    without_its_mount(&site);
    unencrypted(&site);
    pruned(&site);
}

/// Much is missing: the backup is kept, the older ones as well, and somebody has to say that it is right.
fn shrunken(site: &Site, config: &str) {
    site.machine.as_user_ok(&format!("mkdir {config}/many; for i in $(seq 40); do echo $i >{config}/many/$i; done"));
    site.mms(&["backup", "radarr"]).exits(0);
    let before = site.backups("radarr").len();
    site.machine.ok(&format!("rm -r {config}/many; echo x >{config}/roots; chmod 600 {config}/roots"));
    // What is said of a run that fails is not said of the next one.
    site.mms(&["backup", "radarr", "--accept-shrink"]).exits(2);
    site.machine.ok(&format!("rm {config}/roots"));
    for more in 1..3 {
        let ran = site.mms(&["backup", "radarr"]).exits(2);
        assert!(ran.text().contains("suspiciously small") && ran.text().contains("nothing was pruned"), "{ran:?}");
        assert_eq!(site.backups("radarr").len(), before + more);
    }
    assert!(site.mms(&["backup", "list"]).exits(0).text().contains("suspiciously small"));
    site.mms(&["backup", "radarr", "--accept-shrink"]).exits(0);
    site.mms(&["backup", "radarr"]).exits(0);
}

/// Where a disk belongs and is not, nothing is written.
fn without_its_mount(site: &Site) {
    site.project.write(
        "inventory/group_vars/mms/zz-mount.yml",
        "mms_backup_mount: /mnt/backups\nmms_backup_dir: /mnt/backups/mms\n",
    );
    site.deploy().exits(0);
    let ran = site.mms(&["backup", "radarr"]).exits(2);
    assert!(ran.text().contains("nothing is mounted at /mnt/backups"), "{ran:?}");
    assert!(!site.machine.as_root("ls /mnt/backups/mms/radarr", None).ok());
    site.machine.ok("mkdir -p /mnt/backups && mount -t tmpfs -o uid=1100,mode=700 none /mnt/backups");
    site.mms(&["backup", "radarr"]).exits(0);
    site.machine.ok("test $(ls /mnt/backups/mms/radarr/*.age | wc -l) = 1 && umount /mnt/backups");
    std::fs::remove_file(site.project.path("inventory/group_vars/mms/zz-mount.yml")).unwrap();
    site.deploy().exits(0);
}

/// Not encrypted is said in the plan, in the run and in the list; several may read one that is.
fn unencrypted(site: &Site) {
    site.project.write("inventory/group_vars/mms/zz-open.yml", "mms_backup_recipients: []\n");
    let deploy = site.deploy().exits(0);
    assert!(deploy.text().contains("radarr: NOT encrypted"), "{deploy:?}");
    let ran = site.mms(&["backup", "radarr"]).exits(0);
    assert!(ran.text().contains("NOT ENCRYPTED"), "{ran:?}");
    assert!(site.mms(&["backup", "list"]).exits(0).text().contains("NOT ENCRYPTED"));
    let newest = site.backups("radarr").pop().unwrap();
    assert!(newest.ends_with("Z.tar.zst"), "{newest}");
    site.machine.ok(&format!("zstd -d </home/mms/backups/radarr/{newest} | tar -t | grep -x data/0/config.xml"));

    // An SSH key opens what is encrypted to it and to others.
    let toml = site.project.read("mms.toml");
    let age = toml.split('"').find(|text| text.starts_with("age1")).unwrap();
    let lab_key = lab::run(&mut lab::lab(&["key"]), None).stdout_text().trim().to_owned();
    let public = std::fs::read_to_string(format!("{lab_key}.pub")).unwrap();
    let keys = format!("mms_backup_recipients:\n  - {age}\n  - {}\n", public.trim());
    site.project.write("inventory/group_vars/mms/zz-open.yml", &keys);
    site.deploy().exits(0);
    site.mms(&["backup", "radarr"]).exits(0);
    site.open("radarr");
    let private = std::fs::read(&lab_key).unwrap();
    assert!(site.machine.as_root("umask 077; cat >/root/identity", Some(private)).ok());
    site.open("radarr");
    std::fs::remove_file(site.project.path("inventory/group_vars/mms/zz-open.yml")).unwrap();
}

/// A dry run removes nothing, and says exactly what the real one removes.
fn pruned(site: &Site) {
    site.project.write(
        "inventory/group_vars/mms/zz-retention.yml",
        "mms_backup_retention: {daily: 2, weekly: 1, monthly: 1}\n",
    );
    site.deploy().exits(0);
    site.machine.as_user_ok(
        "cd backups/radarr; for day in 01 02 03 04 05; do n=radarr-2024-01-${day}T030000Z.tar.zst.age; echo x >$n; echo '{}' >$n.json; done; \
         date -u +%Y-%m-%dT%H:%M:%SZ >radarr-2024-01-02T030000Z.tar.zst.age.verified; echo mine >radarr-notes.txt",
    );
    let before = site.backups("radarr");
    let plan = site.mms(&["backup", "prune", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(site.backups("radarr"), before);
    let kept: Vec<_> = plan[0]["plan"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|verdict| !verdict["kept_as"].as_array().unwrap().is_empty())
        .map(|verdict| verdict["file"].as_str().unwrap().to_owned())
        .collect();
    site.mms(&["backup", "prune"]).exits(0);
    let mut left = site.backups("radarr");
    left.reverse();
    assert_eq!(left, kept);
    assert!(left.iter().any(|name| name.contains("2024-01-02")), "the one that was verified is gone: {left:?}");
    site.machine.ok("test -e /home/mms/backups/radarr/radarr-notes.txt");
    assert_eq!(site.machine.ok("ls /home/mms/backups/radarr/*.json | wc -l").trim(), left.len().to_string());
}

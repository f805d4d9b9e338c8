//! Migrations between two real machines, by the built binary over real SSH: seven services of an old host, each installed in another
//! way, become those of the new one; and whatever goes wrong, one of the two has them as they were.
//!
//! They run unless `MMS_TEST_MACHINE=0` (root, Debian; `tests/lab/README.md`). `MMS_MIGRATE_KILLS` says how often a migration is
//! killed (5 when not set), `MMS_MIGRATE_SEED` repeats the moments of a run before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "support/lab.rs"]
mod lab;
#[path = "migrate/pair.rs"]
mod pair;
#[path = "stack/project.rs"]
#[allow(dead_code)]
mod project;

use std::process::Stdio;
use std::time::{Duration, Instant};

use pair::{Pair, SERVICES, say};

#[test]
fn seven_services_become_those_of_the_new_host_and_come_back() {
    if !lab::wanted("seven_services_become_those_of_the_new_host_and_come_back") {
        return;
    }
    let pair = Pair::up();
    pair.mark_new("new");
    let before = (pair.running_there(), pair.hashes_here());

    looks_only(&pair);
    damaged_is_refused(&pair);
    ambiguous_is_refused(&pair);
    no_room(&pair);
    fetched_by_itself(&pair);

    // The live copy can be repeated, and changes nothing that runs.
    pair.migrate(&["--first-pass", "--yes"]).exits(0);
    let again = pair.migrate(&["--first-pass", "--yes", "--json"]).exits(0).json();
    assert_eq!(again.iter().filter(|line| line["outcome"] == "copied").count(), SERVICES.len(), "{again:?}");
    assert_eq!((pair.running_there(), pair.hashes_here()), before);
    pair.there.ok(
        "printf changed >/srv/docker/radarr/deep/er/blob; rm /srv/docker/radarr/empty; mkdir /srv/docker/radarr/empty",
    );

    let began = Instant::now();
    let moved = pair.migrate(&["--yes", "--json"]).exits(0);
    say(&format!("seven services moved in {:.0} s", began.elapsed().as_secs_f64()));
    for line in moved.json().iter().filter(|line| line["outcome"] == "migrated") {
        say(&format!(
            "{} was away for {} s, second pass {} bytes",
            line["service"], line["downtime"], line["second_pass"]
        ));
    }
    for (service, _, _) in SERVICES {
        pair.arrived(service);
    }
    let radarr = pair.here.ok("cat /home/mms/config/radarr/config.xml");
    assert!(radarr.contains("<BindAddress>*</BindAddress>") && radarr.contains("<Port>7878</Port>"), "{radarr}");
    assert!(radarr.contains("0123456789abcdef"), "the key of the API is kept: {radarr}");
    let sabnzbd = pair.here.ok("cat /home/mms/config/sabnzbd/sabnzbd.ini");
    assert!(
        sabnzbd.contains("complete_dir = /data/usenet/complete")
            && sabnzbd.contains("00112233445566778899aabbccddeeff"),
        "{sabnzbd}"
    );
    let text = moved.text();
    assert!(
        text.contains("`/mnt/media/sonarr` (RootFolders of sonarr.db)")
            && text.contains("it is `/data/media/sonarr` now"),
        "{text}"
    );
    // The old host has no services of this project, and is not asked for them.
    pair.project.run(&["status"]).exits(0);

    let nothing = pair.migrate(&["--yes"]).exits(0);
    assert_eq!(nothing.stdout.matches("there is nothing to do").count(), SERVICES.len(), "{nothing:?}");
    let status = pair.migrate(&["--status"]).exits(0);
    assert_eq!(status.stdout.matches("the data from before is kept").count(), SERVICES.len(), "{status:?}");

    // Back to the start, on both.
    pair.migrate(&["--rollback", "--yes"]).exits(0);
    assert_eq!((pair.running_there(), pair.hashes_here()), before);
    assert_eq!(pair.there.ok("ls /var/lib/mms 2>/dev/null; true"), "");
    let nothing = pair.migrate(&["--rollback", "--yes"]).exits(0);
    assert!(nothing.stdout.contains("no migration from old-lxc that could be taken back"), "{nothing:?}");
    pair.migrate(&["--confirm"]).exits(0);
    pair.nothing_left();

    not_well(&pair);
    cut_off(&pair);
    killed(&pair);

    // Final: no way back, and nothing more is asked of the old host.
    pair.migrate(&["radarr", "--confirm"]).exits(0);
    let already = pair.migrate(&["radarr", "--yes"]).exits(0);
    assert!(already.stdout.contains("there is nothing to do"), "{already:?}");
    assert_eq!(pair.there.ok("cat /srv/docker/radarr/marker").trim(), "old", "the old host keeps its data");
    pair.nothing_left();
}

/// A plan touches nothing, nobody is asked where there is no terminal, and what is not understood is said.
fn looks_only(pair: &Pair) {
    let before = (pair.there.untouched(), pair.here.untouched());
    let plan = pair.migrate(&["--dry-run"]).exits(0);
    for how in [
        "container `media-radarr-1`",
        "container `prowlarr`",
        "unit `lidarr.service` of joe",
        "/etc/jellyfin → /home/mms/config/jellyfin/config/config",
    ] {
        assert!(plan.stderr.contains(how), "{how}: {plan:?}");
    }
    let asked = pair.migrate(&[]).exits(1);
    assert!(asked.stderr.contains("--yes") && asked.stderr.contains("nothing was changed"), "{asked:?}");
    let differs = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!(differs(&pair.there.untouched(), &before.0), [""; 0]);
    assert_eq!(differs(&pair.here.untouched(), &before.1), [""; 0]);

    let unknown = pair.project.run(&["migrate", "--from", "old-lcx", "--dry-run"]).exits(1);
    assert!(
        unknown.stderr.contains("inventory has no host `old-lcx`") && unknown.stderr.contains("inventory/hosts.yml"),
        "{unknown:?}"
    );
    let wrong = pair.migrate(&["sonarr", "--source", "sonarr=/var/lib", "--dry-run"]).exits(2);
    assert!(wrong.stderr.contains("holds none of `sonarr.db`"), "{wrong:?}");
}

/// A damaged database is seen before anything is stopped.
fn damaged_is_refused(pair: &Pair) {
    let file = "/home/joe/.config/Lidarr/other.db";
    pair.there.ok(&format!(
        "sqlite3 {file} \"CREATE TABLE t (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT hex(randomblob(50)) FROM n\"; \
         dd if=/dev/urandom of={file} bs=4096 seek=3 count=2 conv=notrunc 2>/dev/null"
    ));
    let before = pair.running_there();
    let refused = pair.migrate(&["lidarr", "--yes"]).exits(2);
    assert!(refused.stderr.contains("other.db` is damaged"), "{refused:?}");
    assert_eq!(pair.running_there(), before);
    pair.there.ok(&format!("rm {file}"));
}

/// Two that could be meant: both are named, with the argument that decides.
fn ambiguous_is_refused(pair: &Pair) {
    pair.there
        .ok("mkdir /srv/other; podman create --name sonarr -v /srv/other:/config lscr.io/linuxserver/sonarr:4.0.20");
    let refused = pair.migrate(&["sonarr", "--dry-run"]).exits(1);
    for argument in ["--source sonarr=container:sonarr", "--source sonarr=unit:sonarr.service"] {
        assert!(refused.stderr.contains(argument), "{refused:?}");
    }
    pair.migrate(&["sonarr", "--dry-run", "--source", "sonarr=unit:sonarr"]).exits(0);
    pair.there.ok("podman rm sonarr; rmdir /srv/other");

    // Somebody who has a file of it open, and belongs to nothing that could be stopped.
    pair.there.ok("systemd-run --scope --unit=reader --quiet sh -c 'exec 5</var/lib/sonarr/marker; exec sleep 1000' >/dev/null 2>&1 & sleep 1");
    let refused = pair.migrate(&["sonarr", "--dry-run"]).exits(2);
    assert!(refused.stderr.contains("(`sleep`) has files of `sonarr` open"), "{refused:?}");
    pair.there.ok("systemctl stop reader.scope");
}

/// A disk that is full, before and while it is copied to.
fn no_room(pair: &Pair) {
    let paths = |from: &str, to: &str| pair.project.edit("services/sonarr.yml", from, to);
    let before = pair.running_there();
    paths("{{ mms_config_dir }}/sonarr", "/home/mms/other/sonarr");
    pair.here.ok("mkdir /home/mms/other; mount -t tmpfs -o size=10m,uid=1100,gid=1100,mode=755 none /home/mms/other");
    let full = pair.migrate(&["sonarr", "--yes"]).exits(2);
    assert!(full.stderr.contains("are needed"), "{full:?}");
    pair.here.ok("mount -o remount,size=100m,nr_inodes=8 /home/mms/other");
    let full = pair.migrate(&["sonarr", "--yes"]).exits(2);
    assert!(full.stderr.contains("No space left") && full.stderr.contains("runs on old-lxc as before"), "{full:?}");
    assert_eq!(pair.running_there(), before);
    pair.migrate(&["sonarr", "--rollback", "--yes"]).exits(0);
    pair.here.ok("ls -A /home/mms/other | grep . && exit 1; umount /home/mms/other; rmdir /home/mms/other");
    paths("/home/mms/other/sonarr", "{{ mms_config_dir }}/sonarr");
}

/// The new host may log in to the old one, and fetches by itself.
fn fetched_by_itself(pair: &Pair) {
    let refused = pair.migrate(&["radarr", "--first-pass", "--yes", "--via", "direct"]).exits(2);
    assert!(refused.stderr.contains("media cannot log in to old-lxc by itself"), "{refused:?}");
    pair.here.as_user_ok("mkdir -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519");
    let key = pair.here.ok("cat /home/mms/.ssh/id_ed25519.pub");
    let known = format!("{} {}", pair.there.lab("addr"), pair.there.ok("cat /etc/ssh/ssh_host_ed25519_key.pub"));
    pair.there.ok(&format!(
        "cp -p /root/.ssh/authorized_keys /root/keys; echo '{}' >>/root/.ssh/authorized_keys",
        key.trim()
    ));
    pair.here.as_user_ok(&format!("echo '{}' >.ssh/known_hosts", known.trim()));
    pair.migrate(&["radarr", "--first-pass", "--yes", "--via", "direct"]).exits(0);
    let list = |root: &str| format!("cd {root} && sha256sum deep/er/blob deep/line* && stat -c %a deep/er/blob");
    let (here, there) =
        (pair.here.ok(&list("/home/mms/config/.mms-migrate-*-radarr")), pair.there.ok(&list("/srv/docker/radarr")));
    assert_eq!(here, there);
    pair.migrate(&["radarr", "--rollback", "--yes"]).exits(0);
    pair.there.ok("mv /root/keys /root/.ssh/authorized_keys");
    pair.here.ok("rm -r /home/mms/.ssh");
}

/// Data on which the service does not become well: both hosts have what they had.
fn not_well(pair: &Pair) {
    let before = (pair.running_there(), pair.hashes_here());
    let database = "/var/lib/sonarr/sonarr.db";
    pair.there.ok(&format!("systemctl stop sonarr; sqlite3 {database} 'DROP TABLE counter; CREATE VIEW counter AS SELECT 1 AS value'; systemctl start sonarr"));
    let told = pair.migrate(&["sonarr", "--yes"]).exits(2);
    assert!(told.stderr.contains("not well on the migrated data") && told.stderr.contains("swapped back"), "{told:?}");
    assert!(told.stderr.contains("`sonarr` runs on old-lxc again, as before"), "{told:?}");
    assert_eq!((pair.running_there(), pair.hashes_here()), before);
    pair.there.ok(&format!(
        "systemctl stop sonarr; sqlite3 {database} 'DROP VIEW counter; CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER); INSERT INTO counter SELECT '\"'rows'\"', count(*) FROM history'; systemctl start sonarr"
    ));
}

/// The old host goes away at the moment its service has been stopped.
fn cut_off(pair: &Pair) {
    pair.there.ok(
        "mkdir -p /run/systemd/system/sonarr.service.d; \
         printf '[Service]\\nExecStopPost=/bin/sh -c \"systemctl stop ssh.service; pkill -KILL sshd; pkill -KILL sshd-session; true\"\\n' >/run/systemd/system/sonarr.service.d/cut.conf; systemctl daemon-reload",
    );
    let hashes = pair.hashes_here();
    let cut = pair.migrate(&["sonarr", "--yes"]).exits(3);
    assert!(
        cut.stderr.contains("nothing has changed on media") && cut.stderr.contains("is stopped on old-lxc"),
        "{cut:?}"
    );
    assert_eq!(pair.hashes_here(), hashes);
    assert_eq!(pair.there.as_root("systemctl is-active sonarr", None).stdout_text().trim(), "inactive");
    pair.there.ok("rm -r /run/systemd/system/sonarr.service.d; systemctl daemon-reload; systemctl start ssh.service");
    let resumed = pair.migrate(&["sonarr", "--yes"]).exits(0);
    assert!(resumed.stderr.contains("cut off"), "{resumed:?}");
    pair.arrived("sonarr");
    pair.migrate(&["sonarr", "--rollback", "--yes"]).exits(0);
    assert_eq!(pair.hashes_here(), hashes);
    assert_eq!(pair.there.ok("systemctl is-active sonarr; systemctl is-enabled sonarr"), "active\nenabled\n");
    pair.migrate(&["sonarr", "--confirm"]).exits(0);
}

/// Killed at any moment, a migration that is run again ends where one that was left alone does; and a rollback at the start.
fn killed(pair: &Pair) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("MMS_MIGRATE_KILLS").unwrap_or(5);
    let mut seed = number("MMS_MIGRATE_SEED").unwrap_or_else(|| rand::random_range(1..u64::from(u32::MAX)));
    say(&format!("killed {kills} times, MMS_MIGRATE_SEED={seed}"));
    let before = (pair.running_there(), pair.hashes_here());
    // How long one takes that is left alone.
    let whole = Duration::from_secs(7).as_millis() as u64;
    let (mut resumed, mut finished) = (0, 0);
    for turn in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_millis(300 + (seed >> 33) % whole);
        let mut migrate = pair
            .project
            .command(&["migrate", "radarr", "--from", "old-lxc", "--yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        let _ = migrate.kill();
        let _ = migrate.wait();
        let last = turn + 1 == kills;
        if turn % 2 == 0 || last {
            let again = pair.migrate(&["radarr", "--yes"]).exits(0);
            resumed += u64::from(again.stderr.contains("cut off"));
            finished += u64::from(again.stdout.contains("nothing to do"));
            pair.arrived("radarr");
        }
        if !last {
            pair.migrate(&["radarr", "--rollback", "--yes"]).exits(0);
            let now = (pair.running_there(), pair.hashes_here());
            assert_eq!(now, before, "killed after {moment:?}");
        }
    }
    say(&format!("{resumed} were resumed, {finished} had come to their end"));
}

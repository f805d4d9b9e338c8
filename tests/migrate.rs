//! Migrations between two real machines, by the built binary over real SSH: seven services of an old host, each installed in another
//! way, become those of the new one, and come back. What may go wrong under way is in `tests/faults.rs`.
//!
//! They run unless `MMS_TEST_MACHINE=0` (root, Debian; `tests/lab/README.md`). `MMS_MIGRATE_KILLS` says how often a migration is
//! killed (3 when not set), `MMS_MIGRATE_SEED` repeats the moments of a run before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "support/lab.rs"]
mod lab;
#[path = "migrate/pair.rs"]
mod pair;
#[path = "stack/project.rs"]
#[allow(dead_code)]
mod project;

use std::collections::BTreeMap;
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
    ambiguous_is_refused(&pair);
    fetched_by_itself(&pair);
    with_what_is_left_out(&pair);
    with_busybox_there(&pair, &before);

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
        "container `prowlarr` of joe",
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
    pair.there.ok("cd /srv/docker/radarr && touch bad && mount --bind /sys/class/net/lo/speed bad");
    // The second time, too: what tar made of it is not taken for its copy.
    for _ in 0..2 {
        let refused = pair.migrate(&["radarr", "--first-pass", "--yes", "--via", "direct"]).exits(2);
        assert!(refused.stderr.contains("`/srv/docker/radarr/bad` cannot be read: Invalid argument"), "{refused:?}");
    }
    pair.there.ok("cd /srv/docker/radarr && umount bad && rm bad");
    pair.migrate(&["radarr", "--first-pass", "--yes", "--via", "direct"]).exits(0);
    let list = |root: &str| format!("cd {root} && sha256sum deep/er/blob deep/line* && stat -c %a deep/er/blob");
    let (here, there) =
        (pair.here.ok(&list("/home/mms/config/.mms-migrate-*-radarr")), pair.there.ok(&list("/srv/docker/radarr")));
    assert_eq!(here, there);
    pair.migrate(&["radarr", "--rollback", "--yes"]).exits(0);
    pair.there.ok("mv /root/keys /root/.ssh/authorized_keys");
    pair.here.ok("rm -r /home/mms/.ssh");
}

/// Logs and caches come along when that is asked for, and go again when it is not.
fn with_what_is_left_out(pair: &Pair) {
    let there = |wanted: bool| {
        pair.here.ok(&format!(
            "cd /home/mms/config/.mms-migrate-*-lidarr; test {} -e logs/old.txt",
            if wanted { "" } else { "!" }
        ));
    };
    pair.migrate(&["lidarr", "--first-pass", "--yes", "--with-excluded"]).exits(0);
    there(true);
    pair.migrate(&["lidarr", "--first-pass", "--yes"]).exits(0);
    there(false);
    pair.migrate(&["lidarr", "--rollback", "--yes"]).exits(0);
}

/// An old host with the tools of BusyBox. Debian's BusyBox has a `tar` without `-T`, unlike Alpine's.
fn with_busybox_there(pair: &Pair, before: &(String, BTreeMap<String, String>)) {
    pair.there.ok(
        "mkdir /opt/busybox && busybox --install -s /opt/busybox; \
         printf 'SetEnv PATH=/opt/busybox:/usr/sbin:/usr/bin\n' >/etc/ssh/sshd_config.d/busybox.conf; systemctl reload ssh",
    );
    let refused = pair.migrate(&["sonarr", "--yes"]).exits(2);
    assert!(refused.stderr.contains("its `tar` cannot take a list of files"), "{refused:?}");
    pair.there.ok("rm /opt/busybox/tar");
    let refused = pair.migrate(&["sonarr", "--yes"]).exits(2);
    assert!(refused.stderr.contains("line end"), "{refused:?}");
    pair.there.ok("cd /var/lib/sonarr/deep && mv line* /root/");
    pair.migrate(&["sonarr", "--yes"]).exits(0);
    let list = |root: &str| {
        format!(
            "cd {root} && sha256sum deep/er/blob deep/*igns marker && readlink deep/link && stat -c '%a %n' deep/er/blob empty deep"
        )
    };
    assert_eq!(pair.here.ok(&list("/home/mms/config/sonarr")), pair.there.ok(&list("/var/lib/sonarr")));
    assert!(pair.running_there().contains("sonarr inactive disabled"));
    pair.migrate(&["sonarr", "--rollback", "--yes"]).exits(0);
    pair.migrate(&["sonarr", "--confirm"]).exits(0);
    pair.there.ok("mv /root/line* /var/lib/sonarr/deep/; rm /etc/ssh/sshd_config.d/busybox.conf; systemctl reload ssh");
    assert_eq!((pair.running_there(), pair.hashes_here()), *before);
}

/// Killed at any moment, a migration that is run again ends where one that was left alone does; and a rollback at the start.
fn killed(pair: &Pair) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("MMS_MIGRATE_KILLS").unwrap_or(3);
    let mut seed = number("MMS_MIGRATE_SEED").unwrap_or_else(|| rand::random_range(1..u64::from(u32::MAX)));
    say(&format!("killed {kills} times, MMS_MIGRATE_SEED={seed}"));
    let before = (pair.running_there(), pair.hashes_here());
    // How long one takes that is left alone, on this machine as it is now: so that every part of it is hit.
    let began = Instant::now();
    pair.migrate(&["radarr", "--yes"]).exits(0);
    let whole = u64::try_from(began.elapsed().as_millis()).unwrap();
    pair.migrate(&["radarr", "--rollback", "--yes"]).exits(0);
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

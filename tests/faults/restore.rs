//! Faults of restores. Data is `saved` in the backup and `now` before each restore, so one word tells which is in place.

use std::collections::BTreeSet;

use super::bench::{Bench, By, Fault, ITS_SHELL, ITS_SSHD, Then, told};
use super::by_hand::{by_hand, marker, set_marker};
use super::project::Ran;

const fn fault(what: &'static str, by: By, exit: &'static [i32], told: &'static str, then: Then) -> Fault {
    Fault { operation: "restore", what, by, exit, told, then }
}

/// One that is refused, or gives up, before anything was touched.
const fn refused(
    what: &'static str,
    before: &'static str,
    after: &'static str,
    exit: &'static [i32],
    told: &'static str,
) -> Fault {
    fault(what, By::Around(before, after), exit, told, Then::Unchanged)
}

/// The backup is another; the right one is kept aside.
macro_rules! spoilt {
    ($how:literal) => {
        concat!("f=$(newest); cp -p $f /root/whole; size=$(stat -c %s $f); ", $how)
    };
}

const MEND: &str = "cat /root/whole >$(newest)";

/// The journal of a restore of the newest backup that was cut off at `$1`; its id is in the past.
macro_rules! journal {
    ($phase:literal) => {
        concat!(
            "i=20260101T000000Z; mkdir -p $r/$i; printf '{\"id\":\"%s\",\"service\":\"radarr\",\"backup\":\"%s\",\"places\":[{\"live\":\"%s\",\"staged\":\"%s\",",
            "\"replaced\":\"%s\",\"existed\":true}],\"units\":[\"radarr.service\"],\"active\":[\"radarr.service\"]}' $i $(basename $(newest)) $c ",
            "${c%/*}/.mms-restore-$i-radarr $c.mms-replaced-$i >$r/$i/journal; echo ",
            $phase,
            " >$r/$i/phase; printf '%s\\n' '1 1 0-0' somebody@else 2026-01-01T00:00:00Z 9999999999 >$r/lock; chown -R mms: ${r%/*}; "
        )
    };
}

pub const FAULTS: &[Fault] = &[
    fault("the wrong key", By::During(wrong_key), &[4], "none of the identities", Then::Unchanged),
    refused("a bit of the header is another", spoilt!("flip $f 30"), MEND, &[4], "nothing has changed"),
    refused("a bit of the body is another", spoilt!("flip $f $((size / 2))"), MEND, &[2], "damaged"),
    refused("a bit of the end is another", spoilt!("flip $f $((size - 5))"), MEND, &[2], "damaged"),
    refused("its end is missing", spoilt!("truncate -s -70000 $f"), MEND, &[2], "nothing has changed"),
    refused("it is empty", spoilt!("truncate -s 0 $f"), MEND, &[2, 4], "nothing has changed"),
    refused(
        "it is another one of the same name",
        "cp -p $(newest).json /root/note; sed -i 's/\"sha256\":\"..../\"sha256\":\"0000/' $(newest).json",
        "cat /root/note >$(newest).json",
        &[2],
        "its SHA-256 is not the one in the note",
    ),
    refused(
        "it cannot be read",
        "chown root: $(newest); chmod 000 $(newest)",
        "chmod 600 $(newest); chown mms: $(newest)",
        &[1],
        "no backup",
    ),
    fault("it is cut short while it is read", By::During(cut_short), &[2], "nothing has changed", Then::Unchanged),
    fault("it is renamed while it is read", By::During(renamed), &[0], "complete", Then::Complete),
    fault("there is no room for it", By::During(no_room), &[2], "are needed", Then::Unchanged),
    fault("the disk becomes full while it is unpacked", By::During(disk_full), &[2], "No space left", Then::Unchanged),
    refused(
        "it cannot be brought to the disk",
        // As where a disk is bad: `sync` alone says nothing.
        "stand_in sync '[ \"$1\" = -f ] || exec /usr/bin/sync \"$@\"; echo \"sync: error syncing: Input/output error\" >&2; exit 1'",
        "stood_in sync",
        &[2],
        "cannot write everything to the disk",
    ),
    refused(
        "there is no room for the journal",
        "mkdir -p ${r%/*}; mount -t tmpfs -o size=4k,uid=1100,mode=700 none ${r%/*}; head -c 5000 /dev/zero >${r%/*}/full 2>/dev/null; true",
        "umount ${r%/*}; rmdir ${r%/*}",
        &[2],
        "cannot take the lock",
    ),
    refused("the data is a mount point", "mount --bind $c $c", "umount $c", &[2], "is a mount point"),
    refused(
        "the service is not deployed",
        "cd /home/mms/.config/containers/systemd && mv radarr.container /root/",
        "mv /root/radarr.container /home/mms/.config/containers/systemd/",
        &[2],
        "is not deployed",
    ),
    refused(
        "there is no tar",
        "mv /usr/bin/tar /usr/bin/tar.away",
        "mv /usr/bin/tar.away /usr/bin/tar",
        &[2],
        "there is no `tar`",
    ),
    refused(
        "systemd does not say what runs",
        "stand_in systemctl 'case $* in *list-units*) echo \"Failed to list units: Connection timed out\" >&2; exit 1 ;; esac'",
        "stood_in systemctl",
        &[2],
        "Failed to list units",
    ),
    refused("a backup is under way", "hold $s/lock backup", "release $s/lock", &[2], "a backup since"),
    refused(
        "a deploy is under way",
        "l=/home/admin/.local/state/mms; mkdir -p $l; hold $l/lock deploy; me=$(head -n 1 $l/lock); \
         printf '%s\\n' \"$me other\" '{\"owner\":\"alice@laptop\",\"what\":\"site.yml\",\"since\":\"noon\"}' >$l/lock; chown -R admin: $l",
        "release /home/admin/.local/state/mms/lock",
        &[3],
        "alice@laptop runs site.yml since noon",
    ),
    fault("another restore is under way", By::During(two_at_once), &[0], "complete", Then::Complete),
    fault(
        "the tar that unpacks is killed",
        By::During(|bench| bench.kill_when_staging("pgrep -f '[t]ar -C / --numeric-owner'")),
        &[2],
        "nothing has changed",
        Then::Unchanged,
    ),
    fault(
        "its sshd is killed",
        By::During(|bench| bench.kill_when_staging(ITS_SSHD)),
        &[3],
        "nothing has changed",
        Then::Unchanged,
    ),
    fault(
        "its shell is killed in the middle of the swap",
        By::During(kill_swap),
        &[0, 2],
        "connected again or swapped back",
        Then::Either,
    ),
    fault("the service does not become well on it", By::During(not_well), &[2], "swapped back", Then::Unchanged),
    fault(
        "the clock is ten years back",
        By::Around(
            "printf '%s\\n' '#!/bin/sh' 'echo >/tmp/looks; exec /usr/bin/date -d \"now - 10 years\" \"$@\"' >/usr/local/bin/date; chmod 755 /usr/local/bin/date",
            "test -e /tmp/looks || exit 1; rm /usr/local/bin/date /tmp/looks",
        ),
        &[0],
        "complete",
        Then::Complete,
    ),
    fault(
        "what a loss of power leaves before the swap",
        By::Around(
            concat!(
                journal!("staging"),
                "mkdir ${c%/*}/.mms-restore-$i-radarr; chown -R mms: ${c%/*}/.mms-restore-$i-radarr"
            ),
            "! ls -A /home/mms/config | grep 20260101",
        ),
        &[0],
        "cut off before anything had changed",
        Then::Complete,
    ),
    fault(
        "what a loss of power leaves in the middle of the swap",
        By::During(half_swapped),
        &[0],
        "completing the restore",
        Then::Complete,
    ),
    fault("mms is killed", By::Kill(6), &[0, 255], "complete", Then::Either),
    fault(
        "the network is cut anywhere",
        By::Cut(10),
        &[0, 3],
        "nothing has changed or completes or undoes",
        Then::Either,
    ),
    fault(
        "nothing comes through any longer",
        By::Silence,
        &[0, 3],
        "nothing has changed or completes or undoes",
        Then::Either,
    ),
];

const RESTORE: [&str; 3] = ["restore", "radarr", "--yes"];

impl Bench {
    /// Starts a restore and kills what a script names as soon as its tar unpacks.
    fn kill_when_staging(&self, pids: &str) -> Ran {
        let killer = self.alongside(&format!(
            "n=0; until pgrep -f '[t]ar -C / --numeric-owner' >/dev/null; do n=$((n + 1)); [ $n -lt 50000 ] || exit 1; done; kill -9 $({pids})"
        ));
        let ran = self.site.mms(&RESTORE);
        killer.killed();
        ran
    }
}

fn wrong_key(bench: &Bench) -> Ran {
    let other = bench.site.project.path("other.txt");
    let _ = std::fs::remove_file(&other);
    assert!(std::process::Command::new("age-keygen").arg("-o").arg(&other).output().unwrap().status.success());
    bench.site.mms(&["restore", "radarr", "--yes", "--identity", "other.txt"])
}

fn cut_short(bench: &Bench) -> Ran {
    bench.root("cp -p $(newest) /root/whole");
    // Read by a slow reader, since the machine's own is done in an instant.
    let cutting =
        bench.alongside("until [ -e ${c%/*}/.mms-restore-*/filler ]; do :; done; truncate -s 1000000 $(newest)");
    let ran = bench.site.mms(&RESTORE);
    cutting.ended();
    bench.root(MEND);
    ran
}

fn renamed(bench: &Bench) -> Ran {
    bench.root("newest >/root/name");
    let renaming =
        bench.alongside("until [ -e ${c%/*}/.mms-restore-*/filler ]; do :; done; f=$(newest); mv $f $f.away");
    let ran = bench.site.mms(&RESTORE);
    renaming.ended();
    bench.root("f=$(cat /root/name); mv $f.away $f");
    ran
}

/// The data belongs onto a small disk.
fn elsewhere(bench: &Bench, arguments: &[&str]) -> Ran {
    let (usual, other) = ("  paths: \"{{ mms_config_dir }}/radarr\"", "  paths: /home/mms/other/radarr");
    bench.site.project.edit("services/radarr.yml", usual, other);
    let ran = bench.site.mms(arguments);
    bench.site.project.edit("services/radarr.yml", other, usual);
    assert_eq!(bench.root("ls -A /home/mms/other | grep -v '^full$' || true"), "", "left behind: {}", ran.text());
    bench.root("umount /home/mms/other");
    ran
}

fn no_room(bench: &Bench) -> Ran {
    bench.root("mkdir -p /home/mms/other; mount -t tmpfs -o size=30m,uid=1100,gid=1100,mode=755 none /home/mms/other");
    elsewhere(bench, &RESTORE)
}

/// Somebody else fills it when there seemed to be room.
fn disk_full(bench: &Bench) -> Ran {
    bench.root("mkdir -p /home/mms/other; mount -t tmpfs -o size=90m,uid=1100,gid=1100,mode=755 none /home/mms/other");
    let filling = bench.alongside(
        "until [ -e /home/mms/other/.mms-restore-*/filler ]; do :; done; cat /dev/zero >/home/mms/other/full",
    );
    let ran = elsewhere(bench, &RESTORE);
    filling.ended();
    ran
}

fn two_at_once(bench: &Bench) -> Ran {
    bench.second(&RESTORE, "[ -e ${c%/*}/.mms-restore-*/filler ]")
}

fn kill_swap(bench: &Bench) -> Ran {
    bench.kill_in(&RESTORE, "$r", "swapping", ITS_SHELL)
}

fn not_well(bench: &Bench) -> Ran {
    let file = "radarr-2099-01-01T000000Z.tar.zst.age";
    set_marker(bench.machine(), "saved");
    by_hand(bench.machine(), &bench.site.project, file, false);
    set_marker(bench.machine(), "now");
    let ran = bench.site.mms(&RESTORE);
    bench.root(&format!("rm $b/{file}"));
    ran
}

/// The old data is moved away, the restored one is not in place yet, and nothing runs.
fn half_swapped(bench: &Bench) -> Ran {
    bench.user("systemctl --user stop radarr.service");
    bench.root(concat!(
        journal!("swapping"),
        "cp -a $c ${c%/*}/.mms-restore-$i-radarr; echo saved >${c%/*}/.mms-restore-$i-radarr/marker; mv $c $c.mms-replaced-$i"
    ));
    bench.site.mms(&RESTORE)
}

/// Every fault of a restore.
pub fn run(bench: &Bench) {
    // Enough that there is a moment while it is unpacked.
    bench.root("head -c 40000000 /dev/urandom >$c/filler; rm $b/*");
    bench.site.mms(&["backup", "radarr", "--accept-shrink"]).exits(0);
    let filler = bench.root("sha256sum <$c/filler");
    let mut seen = BTreeSet::new();
    let usual = || bench.usual(&RESTORE);
    for fault in FAULTS.iter().filter(|fault| fault.wanted()) {
        bench.suffer(fault, &RESTORE, &usual, |name, run| {
            set_marker(bench.machine(), "now");
            let before = bench.rows();
            let ran = run();
            bench.settled();
            told(fault, name, &ran);
            let place = marker(bench.machine());
            match fault.then {
                Then::Unchanged => assert_eq!(place, "now", "{name}: {}", ran.text()),
                Then::Complete => assert_eq!(place, "saved", "{name}: {}", ran.text()),
                _ if ran.text().contains("nothing has changed") => assert_eq!(place, "now", "{name}"),
                _ if ran.exit == Some(2) => assert_eq!(place, "now", "{name}"),
                _ if ran.exit == Some(0) => assert_eq!(place, "saved", "{name}"),
                _ => {}
            }
            seen.insert(format!("{} {place}", ran.exit.unwrap_or(255)));
            assert!(bench.site.is_active("radarr"), "{name}: the service does not run");
            let rows = bench.rows();
            assert!(place == "saved" || rows >= before, "{name}: {rows} rows after {before}");

            let again = bench.site.mms(&RESTORE).exits(0);
            assert!(again.stdout.contains("complete"), "{name}: {again:?}");
            assert_eq!(marker(bench.machine()), "saved", "{name}");
            assert_eq!(bench.root("sha256sum <$c/filler"), filler, "{name}");
            bench.rows();
            let left = bench.root("ls -A ${c%/*} | grep '^\\.mms-restore' || true; ls $r");
            assert_eq!(left.lines().count(), 1, "{name}: one journal of the last restore is kept: {left}");
            bench.site.mms(&["restore", "radarr", "--confirm"]).exits(0);
        });
    }
    super::bench::say(&format!("restores ended as {seen:?}"));
}

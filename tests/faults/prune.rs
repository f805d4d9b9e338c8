//! Faults of pruning. A prune that is interrupted has removed some of what it was to remove, each as a whole, and nothing else.

use std::collections::BTreeSet;

use super::backup::listing;
use super::bench::{Bench, By, Fault, Then, told};

const fn fault(what: &'static str, by: By, exit: &'static [i32], told: &'static str, then: Then) -> Fault {
    Fault { operation: "prune", what, by, exit, told, then }
}

const fn around(
    what: &'static str,
    before: &'static str,
    after: &'static str,
    exit: &'static [i32],
    told: &'static str,
    then: Then,
) -> Fault {
    fault(what, By::Around(before, after), exit, told, then)
}

pub const FAULTS: &[Fault] = &[
    around(
        "it is killed in the middle",
        // Between a backup and its note, by the one who is to remove the note.
        "stand_in rm 'case $*:$(id -u) in *01-20T03*json*:1100) echo >/tmp/killed; kill -9 $PPID ;; esac'",
        "stood_in rm && /usr/bin/rm /tmp/killed",
        &[2],
        "was killed by signal 9",
        Then::Begun,
    ),
    around(
        "one that cannot be removed",
        "f=$b/radarr-2024-01-14T030000Z.tar.zst.age; mount --bind $f $f",
        "umount $b/radarr-2024-01-14T030000Z.tar.zst.age",
        &[2],
        "cannot be removed",
        Then::Begun,
    ),
    around(
        "the disk is read-only",
        "mount --bind $b $b; mount -o remount,ro,bind $b",
        "umount $b",
        &[2],
        "cannot be removed",
        Then::Unchanged,
    ),
    around(
        "what looks like a backup and is none",
        "mkdir $b/radarr-2023-01-01T030000Z.tar.zst.age; for name in radarr-2023-02-30T030000Z.tar.zst.age sonarr-2023-01-01T030000Z.tar.zst.age \
         radarr-2023-01-01.tar.gz radarr-notes.txt .hidden; do echo mine >$b/$name; done",
        "for name in radarr-2023-02-30T030000Z.tar.zst.age sonarr-2023-01-01T030000Z.tar.zst.age radarr-2023-01-01.tar.gz radarr-notes.txt \
         .hidden; do rm $b/$name || exit 1; done; rmdir $b/radarr-2023-01-01T030000Z.tar.zst.age",
        &[0],
        "removed",
        Then::Complete,
    ),
    around(
        "another prune is at work",
        "hold $s/lock prune",
        "release $s/lock",
        &[2],
        "a prune is under way",
        Then::Unchanged,
    ),
    around(
        "a backup is under way",
        "hold $s/lock backup",
        "release $s/lock",
        &[2],
        "a backup is under way",
        Then::Unchanged,
    ),
    around("the directory is not there", "mv $b $b.away", "mv $b.away $b", &[0], "0 kept, 0 removed", Then::Unchanged),
    around(
        "the disk of backups is not mounted",
        "cp -p $k/radarr.conf /root/conf; sed -i \"s|^mount=.*|mount=/mnt/absent|\" $k/radarr.conf",
        "cat /root/conf >$k/radarr.conf",
        &[2],
        "nothing is mounted at /mnt/absent",
        Then::Unchanged,
    ),
    around(
        "there is no room for its plan",
        "mount -t tmpfs -o size=4k,uid=1100,mode=700 none $s; head -c 5000 /dev/zero >$s/full 2>/dev/null; true",
        "umount $s",
        &[2],
        "cannot write",
        Then::Unchanged,
    ),
    around(
        "notes that are damaged or missing",
        "echo garbage >$b/radarr-2024-01-20T030000Z.tar.zst.age.json; rm $b/radarr-2024-01-21T030000Z.tar.zst.age.json",
        "true",
        &[0],
        "removed",
        Then::Complete,
    ),
    around(
        "the clock is ten years ahead",
        "stand_in date 'echo >/tmp/looks; exec /usr/bin/date -d \"now + 10 years\" \"$@\"'",
        "stood_in date && rm /tmp/looks",
        &[0],
        "removed",
        Then::Complete,
    ),
    fault(
        "the network is cut anywhere",
        By::Cut(5),
        &[0, 2, 3],
        "what is left to remove or nothing was removed",
        Then::Begun,
    ),
];

/// Many that are old; one of them was verified.
fn fill(bench: &Bench) {
    bench.user(
        "cd $b; rm -f radarr-2024-*; for day in 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28; do \
         for hour in 03 07 11 15 19 23; do n=radarr-2024-01-${day}T${hour}0000Z.tar.zst.age; echo $n >$n; echo \"{\\\"size\\\":$hour}\" >$n.json; done; done; \
         echo 2024-02-01T00:00:00Z >radarr-2024-01-02T030000Z.tar.zst.age.verified",
    );
}

/// The files that a prune leaves, as its dry run says.
fn wanted(bench: &Bench) -> BTreeSet<String> {
    let plan = bench.site.mms(&["backup", "prune", "radarr", "--dry-run", "--json"]).exits(0).json();
    let verdicts = plan[0]["plan"].as_array().unwrap();
    let kept = verdicts.iter().filter(|verdict| !verdict["kept_as"].as_array().unwrap().is_empty());
    kept.map(|verdict| verdict["file"].as_str().unwrap().to_owned()).collect()
}

/// Every fault of a prune.
pub fn run(bench: &Bench) {
    let retention = "mms_backup_retention: {daily: 2, weekly: 1, monthly: 1}\n";
    bench.site.project.write("inventory/group_vars/mms/zz-faults.yml", retention);
    bench.site.deploy().exits(0);
    bench.site.mms(&["backup", "prune", "radarr"]).exits(0);
    let arguments = ["backup", "prune", "radarr"];
    let usual = || bench.usual(&arguments);
    for fault in FAULTS.iter().filter(|fault| fault.wanted()) {
        fill(bench);
        bench.suffer(fault, &arguments, &usual, |name, run| {
            fill(bench);
            let (before, kept) = (listing(bench), wanted(bench));
            assert!(kept.iter().any(|file| file.contains("2024-01-02T03")), "the verified one is kept: {kept:?}");
            let backups = || -> BTreeSet<String> { bench.site.backups("radarr").into_iter().collect() };
            let ran = run();
            bench.settled();
            told(fault, name, &ran);
            let (now, left) = (listing(bench), backups());
            match fault.then {
                Then::Unchanged => assert_eq!(now, before, "{name}"),
                Then::Begun => assert!(left.is_superset(&kept), "{name}: {left:?} of {kept:?}"),
                _ => assert_eq!(left, kept, "{name}"),
            }
            if ran.exit == Some(0) && fault.then == Then::Begun {
                assert_eq!(left, kept, "{name}");
            }
            // What is there is as it was, with its note.
            let whole = |file: &String| now.get(&format!("./{file}.json")) == before.get(&format!("./{file}.json"));
            let damaged = |file: &&String| !file.contains("2024-01-2");
            assert!(
                now.iter()
                    .filter(|(name, _)| !name.contains("2024-01-2"))
                    .all(|(name, hash)| before.get(name) == Some(hash)),
                "{name}"
            );
            assert!(kept.iter().filter(damaged).all(whole), "{name}: a note of one that is kept is gone");
            bench.site.mms(&arguments).exits(0);
            assert_eq!(backups(), kept, "{name}: the second one");
            let notes =
                bench.root("cd $b; for note in *.json *.verified; do [ -e \"${note%.*}\" ] || echo $note; done");
            assert_eq!(notes, "", "{name}: notes of nothing");
        });
    }
}

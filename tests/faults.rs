//! What may go wrong under way, on real machines with the built binary and real SSH. After each fault the operation is complete or nothing
//! has changed; the exit code and the message say which; a second run succeeds. (A prune removes one backup after the other: one that is
//! interrupted has removed some of what it was to remove, each with its note, and nothing else.)
//!
//! | # | operation | fault | exit | says | after it |
//! |--|--|--|--|--|--|
//! | 1 | backup | a file that cannot be read | 2 | `cannot read everything` | nothing has changed |
//! | 2 | backup | a damaged database | 2 | `bad.db` | nothing has changed |
//! | 3 | backup | a database that lacks a page, which is seen while it is packed | 2 | `config/radarr/bad.db is damaged` | nothing has changed |
//! | 4 | backup | it cannot be brought to the disk | 2 | `cannot bring the backup to the disk` | nothing has changed |
//! | 5 | backup | the data is not there | 2 | `does not exist` | nothing has changed |
//! | 6 | backup | the data is empty | 2 | `does not exist` or `there is nothing in the paths` | nothing has changed |
//! | 7 | backup | no room for the backup | 2 | `are free in` | nothing has changed |
//! | 8 | backup | the disk becomes full while it is written | 2 | `cannot write the backup` | nothing has changed |
//! | 9 | backup | the disk becomes full while databases are staged | 2 | `cannot copy the database` or `are free in` | nothing has changed |
//! | 10 | backup | the disk of backups is read-only | 2 | `cannot write to` | nothing has changed |
//! | 11 | backup | the disk of backups is not mounted | 2 | `nothing is mounted at /mnt/absent` | nothing has changed |
//! | 12 | backup | nobody to encrypt to | 2 | `nobody to encrypt to` | nothing has changed |
//! | 13 | backup | a wrong recipient | 2 | `age failed` | nothing has changed |
//! | 14 | backup | a program is missing | 2 | `zstd is not installed` | nothing has changed |
//! | 15 | backup | the tar that reads is killed | 2 | `cannot read everything` | nothing has changed |
//! | 16 | backup | what hashes the stream is killed | 2 | `the archive cannot be hashed` | nothing has changed |
//! | 17 | backup | zstd is killed | 2 | `zstd failed` | nothing has changed |
//! | 18 | backup | age is killed | 2 | `age failed` | nothing has changed |
//! | 19 | backup | what writes the backup is killed | 2 | `the backup cannot be saved` | nothing has changed |
//! | 20 | backup | the hash of the file is killed | 2 | `sha256sum failed` or `cannot write to` | nothing has changed |
//! | 21 | backup | sqlite3 is killed | 2 | `the database` | nothing has changed |
//! | 22 | backup | the shell of the archive is killed | 2 | `the archive failed` | nothing has changed |
//! | 23 | backup | the program itself is killed | 2 | `was killed before it ended` | nothing has changed |
//! | 24 | backup | its unit is stopped | 2 | `media: radarr: it ended with status 143` or `media: radarr: the archive failed` | nothing has changed |
//! | 25 | backup | mms is killed | killed |  | complete |
//! | 26 | backup | another run is at work | 75 | `a backup is under way` | complete |
//! | 27 | backup | a restore is under way | 2 | `a restore is under way` | nothing has changed |
//! | 28 | backup | what a loss of power leaves | 0 | `files,` | complete |
//! | 29 | backup | the clock is ten years back | 0 | `radarr-201` | complete |
//! | 30 | backup | the clock is ten years ahead | 0 | `radarr-203` | complete |
//! | 31 | backup | the clock jumps back at each look | 0 | `files,` | complete |
//! | 32 | backup | a file grows while it is read | 0 | `warnings` | complete |
//! | 33 | backup | a file shrinks while it is read | 0 | `warnings` | complete |
//! | 34 | backup | a file vanishes while it is read | 0 | `files,` | complete |
//! | 35 | backup | files come and go | 0 | `files,` | complete |
//! | 36 | backup | a database is replaced while it is copied | 0, 2 | `the database` or `files,` | complete, or nothing has changed |
//! | 37 | backup | the network is cut anywhere | 0, 3 | `goes on on its host` or `no backup was begun` | complete, or nothing has changed |
//! | 38 | pull | the network is cut anywhere | 0, 2, 3 | `it is not here` or `goes on on its host` or `no backup was begun` | complete, or nothing has changed |
//! | 39 | pull | mms is killed | 0, killed | `here as` | complete, or nothing has changed |
//! | 40 | pull | there is no place for it | 2 | `it was made, but it is not here` | complete |
//! | 41 | prune | it is killed in the middle | 2 | `was killed by signal 9` | what is kept is all there |
//! | 42 | prune | one that cannot be removed | 2 | `cannot be removed` | what is kept is all there |
//! | 43 | prune | the disk is read-only | 2 | `cannot be removed` | nothing has changed |
//! | 44 | prune | what looks like a backup and is none | 0 | `removed` | complete |
//! | 45 | prune | another prune is at work | 2 | `a prune is under way` | nothing has changed |
//! | 46 | prune | a backup is under way | 2 | `a backup is under way` | nothing has changed |
//! | 47 | prune | the directory is not there | 0 | `0 kept, 0 removed` | nothing has changed |
//! | 48 | prune | the disk of backups is not mounted | 2 | `nothing is mounted at /mnt/absent` | nothing has changed |
//! | 49 | prune | there is no room for its plan | 2 | `cannot write` | nothing has changed |
//! | 50 | prune | notes that are damaged or missing | 0 | `removed` | complete |
//! | 51 | prune | the clock is ten years ahead | 0 | `removed` | complete |
//! | 52 | prune | the network is cut anywhere | 0, 2, 3 | `what is left to remove` or `nothing was removed` | what is kept is all there |
//! | 53 | restore | the wrong key | 4 | `none of the identities` | nothing has changed |
//! | 54 | restore | a bit of the header is another | 4 | `nothing has changed` | nothing has changed |
//! | 55 | restore | a bit of the body is another | 2 | `damaged` | nothing has changed |
//! | 56 | restore | a bit of the end is another | 2 | `damaged` | nothing has changed |
//! | 57 | restore | its end is missing | 2 | `nothing has changed` | nothing has changed |
//! | 58 | restore | it is empty | 2, 4 | `nothing has changed` | nothing has changed |
//! | 59 | restore | it is another one of the same name | 2 | `its SHA-256 is not the one in the note` | nothing has changed |
//! | 60 | restore | it cannot be read | 1 | `no backup` | nothing has changed |
//! | 61 | restore | it is cut short while it is read | 2 | `nothing has changed` | nothing has changed |
//! | 62 | restore | it is renamed while it is read | 0 | `complete` | complete |
//! | 63 | restore | there is no room for it | 2 | `are needed` | nothing has changed |
//! | 64 | restore | the disk becomes full while it is unpacked | 2 | `No space left` | nothing has changed |
//! | 65 | restore | it cannot be brought to the disk | 2 | `cannot write everything to the disk` | nothing has changed |
//! | 66 | restore | there is no room for the journal | 2 | `cannot take the lock` | nothing has changed |
//! | 67 | restore | the data is a mount point | 2 | `is a mount point` | nothing has changed |
//! | 68 | restore | the service is not deployed | 2 | `is not deployed` | nothing has changed |
//! | 69 | restore | there is no tar | 2 | `there is no `tar`` | nothing has changed |
//! | 70 | restore | systemd does not say what runs | 2 | `Failed to list units` | nothing has changed |
//! | 71 | restore | a backup is under way | 2 | `a backup since` | nothing has changed |
//! | 72 | restore | a deploy is under way | 3 | `alice@laptop runs site.yml since noon` | nothing has changed |
//! | 73 | restore | another restore is under way | 0 | `complete` | complete |
//! | 74 | restore | the tar that unpacks is killed | 2 | `nothing has changed` | nothing has changed |
//! | 75 | restore | its sshd is killed | 3 | `nothing has changed` | nothing has changed |
//! | 76 | restore | its shell is killed in the middle of the swap | 0, 2 | `connected again` or `swapped back` | complete, or nothing has changed |
//! | 77 | restore | the service does not become well on it | 2 | `swapped back` | nothing has changed |
//! | 78 | restore | the clock is ten years back | 0 | `complete` | complete |
//! | 79 | restore | what a loss of power leaves before the swap | 0 | `cut off before anything had changed` | complete |
//! | 80 | restore | what a loss of power leaves in the middle of the swap | 0 | `completing the restore` | complete |
//! | 81 | restore | mms is killed | 0, killed | `complete` | complete, or nothing has changed |
//! | 82 | restore | the network is cut anywhere | 0, 3 | `nothing has changed` or `completes` or `undoes` | complete, or nothing has changed |
//! | 83 | restore | nothing comes through any longer | 0, 3 | `nothing has changed` or `completes` or `undoes` | complete, or nothing has changed |
//! | 84 | migrate | the old host cannot be reached | 3 | `nothing was changed` | nothing has changed |
//! | 85 | migrate | a damaged database | 2 | `is damaged` | nothing has changed |
//! | 86 | migrate | the data is not there | 2 | `/srv/radarr` | nothing has changed |
//! | 87 | migrate | a file that cannot be read | 2 | `unreadable` cannot be read: Invalid argument` | nothing has changed |
//! | 88 | migrate | an empty file that cannot be read | 2 | `unreadable: Input/output error` | nothing has changed |
//! | 89 | migrate | there is no tar | 2 | `there is no `tar`` | nothing has changed |
//! | 90 | migrate | its containers are not known | 2 | `does not say which containers there are` | nothing has changed |
//! | 91 | migrate | its units are not known | 2 | `systemd does not say which units there are` | nothing has changed |
//! | 92 | migrate | its systemd does not say what runs | 2 | `look at what runs` | nothing has changed |
//! | 93 | migrate | its version is newer | 2 | `which is older` | nothing has changed |
//! | 94 | migrate | its version is newer, and that is accepted | 0 | `complete:` | complete |
//! | 95 | migrate | no room for the notes there | 2 | `No space left` | nothing has changed |
//! | 96 | migrate | no room for the notes on what is stopped | 2 | `cannot note what is stopped` | nothing has changed |
//! | 97 | migrate | the service cannot be stopped | 2 | `cannot stop `radarr`` | nothing has changed |
//! | 98 | migrate | the service hangs when it is stopped | 0 | `complete:` | complete |
//! | 99 | migrate | something starts the service again | 2 | `does not stay stopped` or `files of `radarr` open` or `cannot stop `radarr`` | nothing has changed |
//! | 100 | migrate | something writes to the data all the time | 2 | `differ from their copies` | nothing has changed |
//! | 101 | migrate | a file changes, and keeps its size and time | 0 | `complete:` | complete |
//! | 102 | migrate | a file grows while it is read | 0 | `complete:` | complete |
//! | 103 | migrate | a file shrinks while it is read | 0 | `complete:` | complete |
//! | 104 | migrate | a file vanishes while it is read | 0 | `complete:` | complete |
//! | 105 | migrate | the tar that reads is killed | 2 | `cannot read the files` | nothing has changed |
//! | 106 | migrate | the tar that unpacks is killed | 2 | `cannot unpack the files` | nothing has changed |
//! | 107 | migrate | the sshd of the old host is killed | 3 | `as before` | nothing has changed |
//! | 108 | migrate | the sshd of the new host is killed | 3 | `as before` | nothing has changed |
//! | 109 | migrate | the connections to the old host end when the service has stopped | 3 | `runs on old-lxc again` | nothing has changed |
//! | 110 | migrate | the old host goes away when the service has stopped | 3 | `is stopped on old-lxc` | nothing has changed, but that it is stopped there |
//! | 111 | migrate | the new host goes away when the service is stopped | 3 | `runs on old-lxc again` | nothing has changed |
//! | 112 | migrate | there is no room for it | 2 | `are needed` | nothing has changed |
//! | 113 | migrate | the disk becomes full while it is copied | 2 | `No space left` | nothing has changed |
//! | 114 | migrate | there is no room for the journal | 2 | `cannot note what is about to be done` | nothing has changed |
//! | 115 | migrate | the data is a mount point | 2 | `is a mount point` | nothing has changed |
//! | 116 | migrate | the service is not deployed | 2 | `is not deployed` | nothing has changed |
//! | 117 | migrate | a backup is under way, and ends | 0 | `complete:` | complete |
//! | 118 | migrate | a deploy is under way | 3 | `alice@laptop runs site.yml since noon` | nothing has changed |
//! | 119 | migrate | another migration is under way | 2 | `has been at work meanwhile` | complete |
//! | 120 | migrate | its shell is killed in the middle of the swap | 0, 2 | `connected again` or `swapped back` | complete, or nothing has changed |
//! | 121 | migrate | the service does not become well on it | 2 | `swapped back` | nothing has changed |
//! | 122 | migrate | the clock is ten years back | 0 | `complete:` | complete |
//! | 123 | migrate | mms is killed | 0, killed | `complete:` | complete, or nothing has changed, or what was begun is noted |
//! | 124 | migrate | the network to the old host is cut anywhere | 0, 3 | `nothing was changed` or `as before` or `stopped on old-lxc` or `completes` or `undoes` | complete, or nothing has changed, or what was begun is noted |
//! | 125 | migrate | the network to the new host is cut anywhere | 0, 3 | `nothing was changed` or `as before` or `stopped on old-lxc` or `completes` or `undoes` | complete, or nothing has changed, or what was begun is noted |
//! | 126 | migrate | nothing comes through from the old host | 0, 3 | `nothing was changed` or `as before` or `stopped on old-lxc` or `completes` or `undoes` | complete, or nothing has changed, or what was begun is noted |
//! | 127 | migrate | nothing comes through from the new host | 0, 3 | `nothing was changed` or `as before` or `stopped on old-lxc` or `completes` or `undoes` | complete, or nothing has changed, or what was begun is noted |
//! | 128 | rollback | its sshd is killed while the service becomes well on the new host | 3 | `goes on where this one ended` | complete, or nothing has changed, or what was begun is noted |
//! | 129 | rollback | mms is killed | 0, killed | `as before` | complete, or nothing has changed, or what was begun is noted |
//! | 130 | rollback | the network to the old host is cut anywhere | 0, 3 | `nothing was changed` or `goes on where this one ended` | complete, or nothing has changed, or what was begun is noted |
//! | 131 | rollback | the network to the new host is cut anywhere | 0, 3 | `nothing was changed` or `goes on where this one ended` | complete, or nothing has changed, or what was begun is noted |
//!
//! Killed at any moment on the machine, services that are stopped for their backup are in `tests/backup.rs`; killed migrations of
//! containers in `tests/migrate.rs`. They run unless `MMS_TEST_MACHINE=0` (root, Debian; `tests/lab/README.md`). Random numbers are told, so that a
//! failure can be tried again; `MMS_FAULTS='pull,zstd is killed'` has only some, `MMS_FAULT_CUTS=100` cuts the network more often.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "faults/backup.rs"]
mod backup;
#[path = "faults/bench.rs"]
mod bench;
#[path = "restore/by_hand.rs"]
#[allow(dead_code)]
mod by_hand;
#[path = "support/lab.rs"]
mod lab;
#[path = "faults/migrate.rs"]
mod migrate;
#[path = "faults/moved.rs"]
mod moved;
#[path = "stack/project.rs"]
#[allow(dead_code)]
mod project;
#[path = "faults/proxy.rs"]
mod proxy;
#[path = "faults/prune.rs"]
mod prune;
#[path = "faults/restore.rs"]
mod restore;
#[path = "backup/site.rs"]
#[allow(dead_code)]
mod site;

use bench::Bench;

/// The table above is that of the cases below.
#[test]
fn the_table_lists_every_fault() {
    let cases = backup::FAULTS.iter().chain(prune::FAULTS).chain(restore::FAULTS).chain(migrate::FAULTS);
    let wanted: Vec<_> = cases.enumerate().map(|(at, fault)| format!("//! | {} {}", at + 1, fault.row())).collect();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults.rs");
    let text = std::fs::read_to_string(&path).unwrap();
    let found: Vec<_> =
        text.lines().filter(|line| line.starts_with("//! | ") && !line.starts_with("//! | # ")).collect();
    if found != wanted && std::env::var_os("UPDATE_DOCS").is_some() {
        let (head, rest) = text.split_once("//! |--").unwrap();
        let (line, rest) = rest.split_once('\n').unwrap();
        let rest: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with("//! | ")).collect();
        std::fs::write(&path, format!("{head}//! |--{line}\n{}\n{rest}", wanted.join("\n"))).unwrap();
        return;
    }
    let wrong =
        (0..found.len().max(wanted.len())).find(|at| found.get(*at).copied() != wanted.get(*at).map(String::as_str));
    let told = wrong.map(|at| (found.get(at), wanted.get(at)));
    assert_eq!(told, None, "the table, and what it should have; `make docs` writes it");
    assert!(wanted.len() >= 30);
}

#[test]
fn backups_and_prunes_are_complete_or_change_nothing() {
    if !lab::wanted("backups_and_prunes_are_complete_or_change_nothing") {
        return;
    }
    let bench = Bench::new("fab");
    backup::run(&bench);
    prune::run(&bench);
}

#[test]
fn restores_are_complete_or_change_nothing() {
    if !lab::wanted("restores_are_complete_or_change_nothing") {
        return;
    }
    restore::run(&Bench::new("far"));
}

#[test]
fn migrations_are_complete_or_change_nothing() {
    if !lab::wanted("migrations_are_complete_or_change_nothing") {
        return;
    }
    moved::run(&moved::bench());
}

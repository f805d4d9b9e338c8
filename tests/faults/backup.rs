//! Faults of backups, and of bringing one to the workstation.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::bench::{Bench, By, Fault, Then, told, user_script};
use super::project::Ran;

const fn fault(what: &'static str, by: By, exit: &'static [i32], told: &'static str, then: Then) -> Fault {
    Fault { operation: "backup", what, by, exit, told, then }
}

const fn around(what: &'static str, before: &'static str, after: &'static str, told: &'static str) -> Fault {
    fault(what, By::Around(before, after), &[2], told, Then::Unchanged)
}

const fn killed(what: &'static str, does: fn(&Bench) -> Ran, told: &'static str) -> Fault {
    fault(what, By::During(does), &[2], told, Then::Unchanged)
}

/// A clock that is not that of the machine: the program asks `date`, and finds this one first.
macro_rules! clock {
    ($when:literal) => {
        concat!(
            "rm -f /tmp/looks; stand_in date 'n=$(cat /tmp/looks 2>/dev/null || echo 0); echo $((n + 1)) >/tmp/looks; ",
            "exec /usr/bin/date -d \"",
            $when,
            "\" \"$@\"'"
        )
    };
}

const MEND_CLOCK: &str = "test -s /tmp/looks || exit 1; stood_in date && rm /tmp/looks";

const LARGE: &str = "head -c 300000000 /dev/urandom >$c/large; chown mms: $c/large";

/// So much of the archive is written.
const STREAMING: u32 = 20_000_000;

/// The same, as a condition.
const IS_STREAMING: &str = "[ \"$(stat -c %s $b/.radarr-*.part 2>/dev/null || echo 0)\" -gt 20000000 ]";

/// Kills the processes of the containers' user whose command matches, once so many bytes are written. A loop of `stat` and `pgrep` would miss
/// the moment on a busy machine.
const KILLER: &str = r#"
my ($pattern, $least) = @ARGV;
my $uid = getpwnam "mms";
for (my $end = time + 100; time < $end;) {
    next if $least and not grep { (-s) > $least } glob "/home/mms/backups/radarr/.radarr-*.part";
    my @found = grep {
        my ($file, @stat) = (undef, stat "/proc/$_");
        @stat and $stat[4] == $uid and open $file, "<", "/proc/$_/cmdline" and join(" ", split /\0/, <$file> // "") =~ /$pattern/;
    } map { m{(\d+)$} } glob "/proc/[0-9]*";
    exit 0 if @found and kill 9, @found;
}
exit 1;
"#;

pub const FAULTS: &[Fault] = &[
    around(
        "a file that cannot be read",
        "echo x >$c/roots; chmod 600 $c/roots",
        "rm $c/roots",
        "cannot read everything",
    ),
    around(
        "a damaged database",
        "printf 'SQLite format 3\\0garbage' >$c/bad.db; chown mms: $c/bad.db",
        "rm $c/bad.db",
        "bad.db",
    ),
    around(
        "a database that lacks a page, which is seen while it is packed",
        "sqlite3 -cmd '.dbconfig defensive off' $c/bad.db 'CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1); PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = char(105)' && chown mms: $c/bad.db",
        "rm $c/bad.db",
        "config/radarr/bad.db is damaged",
    ),
    around(
        "it cannot be brought to the disk",
        "stand_in sync 'echo \"sync: error syncing: Input/output error\" >&2; exit 1'",
        "stood_in sync",
        "cannot bring the backup to the disk",
    ),
    around("the data is not there", "mv $c $c.away", "mv $c.away $c", "does not exist"),
    around(
        "the data is empty",
        "mkdir $c.empty; chown mms: $c.empty; mv $c $c.away; mv $c.empty $c",
        "rmdir $c; mv $c.away $c",
        "does not exist or there is nothing in the paths",
    ),
    around("no room for the backup", "mount -t tmpfs -o size=4m,uid=1100,mode=700 none $b", "umount $b", "are free in"),
    around(
        "the disk becomes full while it is written",
        "head -c 60000000 /dev/urandom >$c/large; chown mms: $c/large; mount -t tmpfs -o size=30m,uid=1100,mode=700 none $b",
        "umount $b; rm $c/large",
        "cannot write the backup",
    ),
    around(
        "the disk becomes full while databases are staged",
        "sqlite3 $c/big.db 'CREATE TABLE a(b); INSERT INTO a VALUES (randomblob(20000000))'; chown mms: $c/big.db; \
         mount -t tmpfs -o size=4m,uid=1100,mode=700 none $s",
        "umount $s; rm $c/big.db",
        "cannot copy the database or are free in",
    ),
    around(
        "the disk of backups is read-only",
        "mount --bind $b $b; mount -o remount,ro,bind $b",
        "umount $b",
        "cannot write to",
    ),
    around(
        "the disk of backups is not mounted",
        "cp -p $k/radarr.conf /root/conf; sed -i \"s|^mount=.*|mount=/mnt/absent|\" $k/radarr.conf",
        "cat /root/conf >$k/radarr.conf",
        "nothing is mounted at /mnt/absent",
    ),
    around(
        "nobody to encrypt to",
        "mv $k/radarr.recipients /root/",
        "mv /root/radarr.recipients $k/",
        "nobody to encrypt to",
    ),
    around(
        "a wrong recipient",
        "cp -p $k/radarr.recipients /root/; echo age1broken >$k/radarr.recipients",
        "cat /root/radarr.recipients >$k/radarr.recipients",
        "age failed",
    ),
    around(
        "a program is missing",
        "mv /usr/bin/zstd /usr/bin/zstd.away",
        "mv /usr/bin/zstd.away /usr/bin/zstd",
        "zstd is not installed",
    ),
    killed("the tar that reads is killed", |bench| bench.kill("[t]ar --create", STREAMING), "cannot read everything"),
    killed(
        "what hashes the stream is killed",
        |bench| bench.kill("[p]erl .* hash", STREAMING),
        "the archive cannot be hashed",
    ),
    killed("zstd is killed", |bench| bench.kill("[z]std -q", STREAMING), "zstd failed"),
    killed("age is killed", |bench| bench.kill("[a]ge --encrypt", STREAMING), "age failed"),
    killed(
        "what writes the backup is killed",
        |bench| bench.kill("[p]erl .* save", STREAMING),
        "the backup cannot be saved",
    ),
    killed(
        "the hash of the file is killed",
        |bench| bench.kill("[s]ha256sum", STREAMING),
        "sha256sum failed or cannot write to",
    ),
    killed("sqlite3 is killed", kill_sqlite, "the database"),
    killed(
        "the shell of the archive is killed",
        |bench| bench.kill("[s]h /usr/local/libexec/mms-backup-archive", STREAMING),
        "the archive failed",
    ),
    killed(
        "the program itself is killed",
        |bench| bench.kill("[m]ms-backup run radarr", STREAMING),
        "was killed before it ended",
    ),
    killed(
        "its unit is stopped",
        stop_unit,
        "media: radarr: it ended with status 143 or media: radarr: the archive failed",
    ),
    fault("mms is killed", By::During(kill_mms), &[255], "", Then::Complete),
    fault("another run is at work", By::During(two_at_once), &[75], "a backup is under way", Then::Complete),
    around(
        "a restore is under way",
        "mkdir -p $r; hold $r/lock somebody; chown -R mms: ${r%/*}",
        "release $r/lock; rm -r ${r%/*}",
        "a restore is under way",
    ),
    fault(
        "what a loss of power leaves",
        By::Around(
            "echo half >$b/.radarr-2026-01-01T000000Z.tar.zst.age.part; cp $b/.radarr-*.part $b/.radarr-2026-01-01T000000Z.tar.zst.age.part.json; \
             echo backup >$s/running; mkdir -p $s/stage/.mms-staged; echo x >$s/stage/.mms-staged/file; echo archiving >$s/progress; \
             printf '%s\\n' '1 1 00000000-0000-0000-0000-000000000000' backup 2026-01-01T00:00:00Z 9999999999 >$s/lock; chown -R mms: $b $s",
            "! ls -A $b | grep '\\.part'",
        ),
        &[0],
        "files,",
        Then::Complete,
    ),
    fault(
        "the clock is ten years back",
        By::Around(clock!("now - 10 years"), MEND_CLOCK),
        &[0],
        "radarr-201",
        Then::Complete,
    ),
    fault(
        "the clock is ten years ahead",
        By::Around(clock!("now + 10 years"), MEND_CLOCK),
        &[0],
        "radarr-203",
        Then::Complete,
    ),
    fault(
        "the clock jumps back at each look",
        By::Around(clock!("now - $n days"), MEND_CLOCK),
        &[0],
        "files,",
        Then::Complete,
    ),
    fault(
        "a file grows while it is read",
        By::During(|bench| bench.disturb("head -c 9000000 /dev/zero >>$c/large")),
        &[0],
        "warnings",
        Then::Complete,
    ),
    fault(
        "a file shrinks while it is read",
        By::During(|bench| bench.disturb("truncate -s 1000 $c/large")),
        &[0],
        "warnings",
        Then::Complete,
    ),
    fault(
        "a file vanishes while it is read",
        By::During(|bench| bench.disturb("rm $c/large")),
        &[0],
        "files,",
        Then::Complete,
    ),
    fault("files come and go", By::During(come_and_go), &[0], "files,", Then::Complete),
    fault(
        "a database is replaced while it is copied",
        By::During(replaced_database),
        &[0, 2],
        "the database or files,",
        Then::Either,
    ),
    fault(
        "the network is cut anywhere",
        By::Cut(6),
        &[0, 3],
        "goes on on its host or no backup was begun",
        Then::Either,
    ),
    Fault {
        operation: "pull",
        what: "the network is cut anywhere",
        by: By::Cut(8),
        exit: &[0, 2, 3],
        told: "it is not here or goes on on its host or no backup was begun",
        then: Then::Either,
    },
    Fault {
        operation: "pull",
        what: "mms is killed",
        by: By::Kill(4),
        exit: &[0, 255],
        told: "here as",
        then: Then::Either,
    },
    Fault {
        operation: "pull",
        what: "there is no place for it",
        by: By::Around("true", "true"),
        exit: &[2],
        told: "it was made, but it is not here",
        then: Then::Complete,
    },
];

impl Bench {
    /// Starts a backup and kills what it runs by such a command, once so many bytes of the archive are written.
    fn kill(&self, pattern: &str, moment: u32) -> Ran {
        self.root(LARGE);
        let killer = self.alongside(&format!("exec nice -n -15 perl -e '{KILLER}' '{pattern}' {moment}"));
        let ran = self.site.mms(&["backup", "radarr"]);
        killer.killed();
        self.idle();
        self.root("rm $c/large");
        ran
    }

    /// Does something again and again as long as a backup takes.
    fn while_backed_up(&self, script: &str) -> Ran {
        let doing = self.alongside(&format!(
            "rm -f /run/enough; n=0; until [ -e /run/enough ] || [ $n -ge 50000 ]; do n=$((n + 1)); {script}; done"
        ));
        let ran = self.site.mms(&["backup", "radarr", "--accept-shrink"]);
        self.root("touch /run/enough");
        doing.ended();
        ran
    }

    /// Does something to the large file while it is read.
    fn disturb(&self, script: &str) -> Ran {
        self.root(LARGE);
        let disturbing = self.alongside(&format!("until {IS_STREAMING}; do :; done; {script}"));
        let ran = self.site.mms(&["backup", "radarr", "--accept-shrink"]);
        disturbing.ended();
        self.root("rm -f $c/large");
        ran
    }
}

fn kill_sqlite(bench: &Bench) -> Ran {
    bench.root("sqlite3 $c/big.db 'CREATE TABLE a(b)'; for i in 1 2 3 4 5 6; do sqlite3 $c/big.db 'INSERT INTO a VALUES (randomblob(30000000))'; done; chown mms: $c/big.db");
    let ran = bench.kill("[s]qlite3 -batch", 0);
    bench.root("rm -f $c/big.db");
    ran
}

fn stop_unit(bench: &Bench) -> Ran {
    bench.root(LARGE);
    let stop = user_script("systemctl --user stop mms-backup@radarr.service");
    let stopping = bench.alongside(&format!(
        "until {IS_STREAMING}; do :; done; runuser -u mms -- sh -c '{}'",
        stop.replace('\'', "'\\''")
    ));
    let ran = bench.site.mms(&["backup", "radarr"]);
    stopping.ended();
    bench.idle();
    bench.root("rm $c/large");
    ran
}

fn kill_mms(bench: &Bench) -> Ran {
    bench.root(LARGE);
    let ran = bench.interrupted(&["backup", "radarr"], IS_STREAMING, |child| child.kill().unwrap());
    bench.idle();
    bench.root("rm $c/large");
    ran
}

/// The second one; the first goes on to its end.
fn two_at_once(bench: &Bench) -> Ran {
    bench.root(LARGE);
    let mut second = None;
    bench
        .interrupted(&["backup", "radarr"], IS_STREAMING, |_| second = Some(bench.site.program("run radarr")))
        .exits(0);
    bench.root("rm $c/large");
    let second = second.unwrap();
    Ran {
        exit: Some(second.rc),
        stdout: second.stdout_text().into_owned(),
        stderr: second.stderr_text().into_owned(),
        took: Duration::ZERO,
    }
}

fn come_and_go(bench: &Bench) -> Ran {
    bench.while_backed_up("for i in 1 2 3 4 5 6 7 8 9; do echo $i >$c/come-$i; done; rm -f $c/come-*")
}

fn replaced_database(bench: &Bench) -> Ran {
    bench.root(
        "sqlite3 $c/other.db 'CREATE TABLE a(b); INSERT INTO a VALUES (randomblob(9000000))'; chown mms: $c/other.db",
    );
    let ran = bench.while_backed_up("cp -p $c/other.db /home/mms/new.db; mv /home/mms/new.db $c/other.db; sleep 0.01");
    bench.root("rm -f $c/other.db /home/mms/new.db");
    ran
}

/// The backups and notes that there are, with their hashes.
pub fn listing(bench: &Bench) -> BTreeMap<String, String> {
    let listed = bench.root("cd $b && find . -type f -exec sha256sum {} +");
    let lines = listed.lines().map(|line| line.split_once("  ").unwrap());
    lines.map(|(hash, name)| (name.to_owned(), hash.to_owned())).collect()
}

/// What a run leaves when it has ended, however it did: nothing half made, nothing stopped.
fn tidy(bench: &Bench, name: &str) {
    let left = bench.root("ls -A $b | grep '\\.part' || true; ls -A $s | grep -vx 'result\\|retention' || true; ls -d /run/user/*/mms-backup-* 2>/dev/null || true");
    assert_eq!(left, "", "{name}: left behind");
    assert!(bench.site.is_active("radarr"), "{name}: the service does not run");
}

/// Exactly one backup is new, it opens with plain tools, and all its hashes are right.
fn complete(bench: &Bench, name: &str, before: &BTreeMap<String, String>) {
    let after = listing(bench);
    let new: Vec<_> = after.keys().filter(|file| !before.contains_key(*file)).collect();
    assert!(before.iter().all(|(file, hash)| after.get(file) == Some(hash)), "{name}: an older one is different");
    let [file, note] = new.as_slice() else { panic!("{name}: not one backup and its note: {new:?}") };
    assert_eq!(**note, format!("{file}.json"), "{name}");
    let opened = bench.site.open_one("radarr", file.trim_start_matches("./"));
    bench.root(&format!(
        "test \"$(sqlite3 {opened}/data/0/radarr.db 'PRAGMA integrity_check')\" = ok && test -s {opened}/data/0/filler"
    ));
}

/// Every fault of a backup or a pull.
pub fn run(bench: &Bench) {
    for fault in FAULTS.iter().filter(|fault| fault.wanted()) {
        let mut arguments = vec!["backup", "radarr"];
        match (fault.operation, &fault.by) {
            ("pull", By::Around(..)) => arguments.extend(["--to", "mms.toml"]),
            ("pull", _) => arguments.extend(["--to", "here"]),
            _ => {}
        }
        let again: Vec<_> = arguments.iter().map(|word| if *word == "mms.toml" { "here" } else { *word }).collect();
        let usual = || bench.usual(&arguments);
        bench.suffer(fault, &arguments, &usual, |name, run| {
            let before = listing(bench);
            let ran = run();
            bench.idle();
            told(fault, name, &ran);
            tidy(bench, name);
            let now = listing(bench);
            match fault.then {
                Then::Unchanged => assert_eq!(now, before, "{name}"),
                Then::Either if before.len() == now.len() => assert_eq!(now, before, "{name}"),
                _ => complete(bench, name, &before),
            }
            here(bench, name, ran.exit == Some(255));
            bench.site.mms(&[again.as_slice(), &["--accept-shrink"]].concat()).exits(0);
            tidy(bench, name);
            complete(bench, name, &now);
            here(bench, name, false);
        });
    }
}

/// What has a backup's name on the workstation is whole. Whoever was killed may have left something, but not under such a name.
fn here(bench: &Bench, name: &str, killed: bool) {
    let Ok(entries) = std::fs::read_dir(bench.site.project.path("here/radarr")) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if killed && file.starts_with(".mms-") {
            continue;
        }
        if file.ends_with(".age") && !file.starts_with('.') {
            let there = bench.root(&format!("sha256sum <$b/{file}"));
            let own = super::lab::run(Command::new("sha256sum").arg(&path), None);
            let own = own.stdout_text().into_owned();
            assert_eq!(own.split(' ').next(), there.split(' ').next(), "{name}: {file} is not whole");
        } else {
            assert!(file.ends_with(".json") && !file.starts_with('.'), "{name}: {file} is left behind here");
        }
    }
}

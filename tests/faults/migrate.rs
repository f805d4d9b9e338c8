//! Faults of migrations and of their way back.

use super::bench::{Bench, By, Fault, ITS_SHELL, ITS_SSHD, Then};
use super::moved::{MIGRATE, ROLLBACK};
use super::project::Ran;

const fn fault(what: &'static str, by: By, exit: &'static [i32], told: &'static str, then: Then) -> Fault {
    Fault { operation: "migrate", what, by, exit, told, then }
}

/// On the old host; nothing has changed afterwards.
const fn there(
    what: &'static str,
    before: &'static str,
    after: &'static str,
    exit: &'static [i32],
    told: &'static str,
) -> Fault {
    fault(what, By::AroundOld(before, after), exit, told, Then::Unchanged)
}

/// The same on the new host.
const fn here(
    what: &'static str,
    before: &'static str,
    after: &'static str,
    exit: &'static [i32],
    told: &'static str,
) -> Fault {
    fault(what, By::Around(before, after), exit, told, Then::Unchanged)
}

const fn during(what: &'static str, does: fn(&Bench) -> Ran, exit: &'static [i32], told: &'static str) -> Fault {
    fault(what, By::During(does), exit, told, Then::Unchanged)
}

const fn rollback(what: &'static str, by: By, exit: &'static [i32], told: &'static str, then: Then) -> Fault {
    Fault { operation: "rollback", what, by, exit, told, then }
}

/// More settings of the old host's unit, and how they go.
macro_rules! unit {
    ($lines:literal) => {
        concat!(
            "mkdir -p /run/systemd/system/radarr.service.d; printf '",
            $lines,
            "' >/run/systemd/system/radarr.service.d/fault.conf; systemctl daemon-reload"
        )
    };
}

const MEND_UNIT: &str = "rm -r /run/systemd/system/radarr.service.d; systemctl daemon-reload";

/// systemd does not answer such a command.
macro_rules! systemctl {
    ($which:literal) => {
        concat!("stand_in systemctl 'case $* in ", $which, ") echo \"Failed to connect to bus\" >&2; exit 1 ;; esac'")
    };
}

const MEND_SYSTEMCTL: &str = "stood_in systemctl";

pub const FAULTS: &[Fault] = &[
    there(
        "the old host cannot be reached",
        "systemctl stop ssh.socket ssh.service",
        START_SSH,
        &[3],
        "nothing was changed",
    ),
    there(
        "a damaged database",
        "sqlite3 $d/other.db \"CREATE TABLE t (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t \
         SELECT hex(randomblob(50)) FROM n\"; dd if=/dev/urandom of=$d/other.db bs=4096 seek=3 count=2 conv=notrunc 2>/dev/null",
        "rm $d/other.db",
        &[2],
        "is damaged",
    ),
    there("the data is not there", "mv $d $d.away", "mv $d.away $d", &[2], "/srv/radarr"),
    there(
        "a file that cannot be read",
        // Not even by root: the file of a loopback device has a size, and reading it is an error. The service must never be stopped for it.
        "touch $d/unreadable; mount --bind /sys/class/net/lo/speed $d/unreadable; systemctl show -P InvocationID radarr >/run/before",
        "umount $d/unreadable; rm $d/unreadable; systemctl show -P InvocationID radarr | diff /run/before -",
        &[2],
        "unreadable` cannot be read: Invalid argument",
    ),
    there(
        "an empty file that cannot be read",
        // tar reads nothing of it, and is content.
        "touch $d/unreadable; mount --bind /proc/1/mem $d/unreadable",
        "umount $d/unreadable; rm $d/unreadable",
        &[2],
        "unreadable: Input/output error",
    ),
    there(
        "there is no tar",
        "mv /usr/bin/tar /usr/bin/tar.away",
        "mv /usr/bin/tar.away /usr/bin/tar",
        &[2],
        "there is no `tar`",
    ),
    there(
        "its containers are not known",
        "stand_in podman 'exit 1'",
        "stood_in podman",
        &[2],
        "does not say which containers there are",
    ),
    there(
        "its units are not known",
        systemctl!("*--property=*Id,*"),
        MEND_SYSTEMCTL,
        &[2],
        "systemd does not say which units there are",
    ),
    there("its systemd does not say what runs", systemctl!("*is-active*"), MEND_SYSTEMCTL, &[2], "look at what runs"),
    there("its version is newer", "echo 99.1 >/root/.radarr", "rm /root/.radarr", &[2], "which is older"),
    fault("its version is newer, and that is accepted", By::During(downgraded), &[0], "complete:", Then::Complete),
    there(
        "no room for the notes there",
        "mkdir -p /var/lib/mms; mount -t tmpfs -o size=4k none /var/lib/mms; head -c 5000 /dev/zero >/var/lib/mms/full 2>/dev/null; true",
        "umount /var/lib/mms; rmdir /var/lib/mms",
        &[2],
        "No space left",
    ),
    there(
        "no room for the notes on what is stopped",
        // Enough for the list of files that is kept there for a moment, and no more.
        "mkdir -p /var/lib/mms; mount -t tmpfs -o nr_inodes=4 none /var/lib/mms",
        "ls -A /var/lib/mms | grep . && exit 1; umount /var/lib/mms; rmdir /var/lib/mms",
        &[2],
        "cannot note what is stopped",
    ),
    there(
        "the service cannot be stopped",
        unit!("[Unit]\\nRefuseManualStop=yes\\n"),
        MEND_UNIT,
        &[2],
        "cannot stop `radarr`",
    ),
    fault(
        "the service hangs when it is stopped",
        By::AroundOld(unit!("[Service]\\nExecStop=/bin/sleep 1000\\nTimeoutStopSec=3\\n"), MEND_UNIT),
        &[0],
        "complete:",
        Then::Complete,
    ),
    there(
        "something starts the service again",
        "systemd-run --quiet --unit=watch sh -c 'while :; do systemctl start radarr; done'",
        "systemctl stop watch",
        &[2],
        "does not stay stopped or files of `radarr` open or cannot stop `radarr`",
    ),
    there(
        "something writes to the data all the time",
        "systemd-run --quiet --unit=writes sh -c 'n=0; while :; do n=$((n + 1)); echo $n >/srv/radarr/busy; sleep 0.05; done'",
        "systemctl stop writes; rm -f $d/busy",
        &[2],
        "differ from their copies",
    ),
    fault(
        "a file changes, and keeps its size and time",
        By::AroundOld(
            unit!(
                "[Service]\\nExecStopPost=/bin/sh -c \"cd /srv/radarr && cp -p deep/er/blob /run/blob && printf changed | dd of=deep/er/blob conv=notrunc && touch -r /run/blob deep/er/blob\"\\n"
            ),
            MEND_UNIT,
        ),
        &[0],
        "complete:",
        Then::Complete,
    ),
    fault(
        "a file grows while it is read",
        By::During(|bench| copying(bench, "head -c 9000000 /dev/zero >>$d/large", "")),
        &[0],
        "complete:",
        Then::Complete,
    ),
    fault(
        "a file shrinks while it is read",
        By::During(|bench| copying(bench, "truncate -s 1000 $d/large", "")),
        &[0],
        "complete:",
        Then::Complete,
    ),
    fault(
        "a file vanishes while it is read",
        By::During(|bench| copying(bench, "rm $d/large", "")),
        &[0],
        "complete:",
        Then::Complete,
    ),
    during(
        "the tar that reads is killed",
        |bench| copying(bench, "kill -9 $(tars)", ""),
        &[2],
        "cannot read the files",
    ),
    during(
        "the tar that unpacks is killed",
        |bench| copying(bench, "", "kill -9 $(tars)"),
        &[2],
        "cannot unpack the files",
    ),
    during(
        "the sshd of the old host is killed",
        |bench| copying(bench, "kill -9 $(pgrep -x sshd-session)", ""),
        &[3],
        "as before",
    ),
    during(
        "the sshd of the new host is killed",
        |bench| copying(bench, "", "kill -9 $(pgrep -u admin sshd)"),
        &[3],
        "as before",
    ),
    there(
        "the connections to the old host end when the service has stopped",
        unit!("[Service]\\nExecStopPost=/bin/sh -c \"kill -9 $(pgrep -x sshd-session)\"\\n"),
        MEND_UNIT,
        &[3],
        "runs on old-lxc again",
    ),
    fault(
        "the old host goes away when the service has stopped",
        By::During(gone),
        &[3],
        "is stopped on old-lxc",
        Then::Stopped,
    ),
    during("the new host goes away when the service is stopped", here_gone, &[3], "runs on old-lxc again"),
    during("there is no room for it", no_room, &[2], "are needed"),
    during("the disk becomes full while it is copied", disk_full, &[2], "No space left"),
    here(
        "there is no room for the journal",
        "mkdir -p ${m%/*}; mount -t tmpfs -o size=4k,uid=1100,mode=700 none ${m%/*}; head -c 5000 /dev/zero >${m%/*}/full 2>/dev/null; true",
        "umount ${m%/*}; rmdir ${m%/*}",
        &[2],
        "cannot note what is about to be done",
    ),
    here("the data is a mount point", "mount --bind $c $c", "umount $c", &[2], "is a mount point"),
    here(
        "the service is not deployed",
        "cd /home/mms/.config/containers/systemd && mv radarr.container /root/",
        "mv /root/radarr.container /home/mms/.config/containers/systemd/",
        &[2],
        "is not deployed",
    ),
    fault("a backup is under way, and ends", By::During(backed_up), &[0], "complete:", Then::Complete),
    here(
        "a deploy is under way",
        "l=/home/admin/.local/state/mms; mkdir -p $l; hold $l/lock deploy; me=$(head -n 1 $l/lock); \
         printf '%s\\n' \"$me other\" '{\"owner\":\"alice@laptop\",\"what\":\"site.yml\",\"since\":\"noon\"}' >$l/lock; chown -R admin: $l",
        "release /home/admin/.local/state/mms/lock",
        &[3],
        "alice@laptop runs site.yml since noon",
    ),
    fault(
        "another migration is under way",
        By::During(two_at_once),
        &[2],
        "has been at work meanwhile",
        Then::Complete,
    ),
    fault(
        "its shell is killed in the middle of the swap",
        By::During(kill_swap),
        &[0, 2],
        "connected again or swapped back",
        Then::Either,
    ),
    there(
        "the service does not become well on it",
        "systemctl stop radarr; sqlite3 $d/radarr.db 'DROP TABLE counter; CREATE VIEW counter AS SELECT 1 AS value'; systemctl start radarr",
        "systemctl stop radarr; sqlite3 $d/radarr.db \"DROP VIEW counter; CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER); \
         INSERT INTO counter SELECT 'rows', count(*) FROM history\"; systemctl start radarr",
        &[2],
        "swapped back",
    ),
    fault(
        "the clock is ten years back",
        By::Around(
            "stand_in date 'echo >/tmp/looks; exec /usr/bin/date -d \"now - 10 years\" \"$@\"'",
            "stood_in date && rm /tmp/looks",
        ),
        &[0],
        "complete:",
        Then::Complete,
    ),
    fault("mms is killed", By::Kill(3), &[0, 255], "complete:", Then::Noted),
    fault("the network to the old host is cut anywhere", By::CutOld(3), &[0, 3], SAID, Then::Noted),
    fault("the network to the new host is cut anywhere", By::Cut(3), &[0, 3], SAID, Then::Noted),
    fault("nothing comes through from the old host", By::SilenceOld, &[0, 3], SAID, Then::Noted),
    fault("nothing comes through from the new host", By::Silence, &[0, 3], SAID, Then::Noted),
    rollback(
        "its sshd is killed while the service becomes well on the new host",
        By::During(|bench| bench.kill_in(&ROLLBACK, "$m", "undone", ITS_SSHD)),
        &[3],
        "goes on where this one ended",
        Then::Noted,
    ),
    rollback("mms is killed", By::Kill(2), &[0, 255], "as before", Then::Noted),
    rollback("the network to the old host is cut anywhere", By::CutOld(2), &[0, 3], SAID_BACK, Then::Noted),
    rollback("the network to the new host is cut anywhere", By::Cut(2), &[0, 3], SAID_BACK, Then::Noted),
];

const START_SSH: &str = "systemctl start ssh.service";
const SAID: &str = "nothing was changed or as before or stopped on old-lxc or completes or undoes";
const SAID_BACK: &str = "nothing was changed or goes on where this one ended";

fn downgraded(bench: &Bench) -> Ran {
    bench.there("echo 99.1 >/root/.radarr");
    let ran = bench.site.mms(&[MIGRATE.as_slice(), &["--accept-downgrade"]].concat());
    bench.there("rm /root/.radarr");
    ran
}

/// Something happens on the old or the new host as soon as files are read or unpacked there, one of them large.
fn copying(bench: &Bench, there: &str, here: &str) -> Ran {
    // A look at the host asks tar for its version.
    let once = |script: &str| {
        format!(
            "tars() {{ pgrep -a -x tar | sed -n 's/ tar -[cx] .*//p'; }}
             n=0; until [ \"$(tars)\" ]; do n=$((n + 1)); [ $n -lt 20000 ] || exit 1; done; {script}"
        )
    };
    bench.there("head -c 30000000 /dev/urandom >$d/large");
    let (there, here) = (
        (!there.is_empty()).then(|| bench.alongside_there(&once(there))),
        (!here.is_empty()).then(|| bench.alongside(&once(here))),
    );
    let ran = bench.site.mms(&MIGRATE);
    for disturbing in [there, here].into_iter().flatten() {
        disturbing.ended();
    }
    let taken = |root: &str| format!("cat {root}/large 2>/dev/null | sha256sum; rm -f {root}/large");
    let (there, here) = (bench.there(&taken("$d")), bench.root(&taken("$c")));
    assert!(ran.exit != Some(0) || there == here, "{}", ran.text());
    ran
}

fn gone(bench: &Bench) -> Ran {
    bench.there(unit!(
        "[Service]\\nExecStopPost=/bin/sh -c \"systemctl stop ssh.socket ssh.service; kill -9 $(pgrep -x sshd-session)\"\\n"
    ));
    let ran = bench.site.mms(&MIGRATE);
    bench.there(MEND_UNIT);
    bench.there(START_SSH);
    ran
}

/// Stopping takes a moment, in which the new host is lost.
fn here_gone(bench: &Bench) -> Ran {
    bench.there(unit!("[Service]\\nExecStopPost=/bin/sh -c \"touch /run/stopped; sleep 3\"\\n"));
    let ran = bench.interrupted_there(&MIGRATE, "rm /run/stopped", || bench.proxy.break_after(0, false));
    bench.proxy.heal();
    bench.there(MEND_UNIT);
    ran
}

/// The data belongs onto a small disk of the new host.
fn elsewhere(bench: &Bench, size: &str, filled: bool) -> Ran {
    let (usual, other) = ("{{ mms_config_dir }}/radarr", "/home/mms/other/radarr");
    bench.root(&format!(
        "mkdir -p /home/mms/other; mount -t tmpfs -o size={size},uid=1100,gid=1100,mode=755 none /home/mms/other"
    ));
    let filling = filled.then(|| {
        bench.alongside(
            "until [ -e /home/mms/other/.mms-migrate-*/deep ]; do :; done; cat /dev/zero >/home/mms/other/full",
        )
    });
    bench.site.project.edit("services/radarr.yml", usual, other);
    let ran = bench.site.mms(&MIGRATE);
    bench.site.project.edit("services/radarr.yml", other, usual);
    if let Some(filling) = filling {
        filling.ended();
    }
    bench.root("umount /home/mms/other");
    ran
}

fn no_room(bench: &Bench) -> Ran {
    elsewhere(bench, "10m", false)
}

/// Somebody else fills it when there seemed to be room.
fn disk_full(bench: &Bench) -> Ran {
    elsewhere(bench, "50m", true)
}

/// It is waited for.
fn backed_up(bench: &Bench) -> Ran {
    bench.root("hold $s/lock backup");
    let backup = bench.alongside("sleep 5; release $s/lock");
    let ran = bench.site.mms(&MIGRATE);
    backup.ended();
    ran
}

/// The second one has looked before the first one was at its end.
fn two_at_once(bench: &Bench) -> Ran {
    bench.second(&MIGRATE, "[ -e ${c%/*}/.mms-migrate-*/deep ]")
}

fn kill_swap(bench: &Bench) -> Ran {
    bench.kill_in(&MIGRATE, "$m", "swapping", ITS_SHELL)
}

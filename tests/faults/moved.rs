//! The two hosts of a migration, and what holds after one. Data is `old` on the old host and `now` on the new one, so one word tells
//! which is in place; the service runs on one of the two.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::bench::{Bench, Fault, Old, Then, Usual, told};
use super::by_hand::set_marker;
use super::lab::Machine;
use super::migrate::FAULTS;
use super::project::Ran;
use super::proxy::Proxy;

pub const MIGRATE: [&str; 5] = ["migrate", "radarr", "--from", "old-lxc", "--yes"];
pub const ROLLBACK: [&str; 6] = ["migrate", "radarr", "--from", "old-lxc", "--rollback", "--yes"];

/// Makes a machine the old host: Radarr as a unit.
const OLD_HOST: &str = concat!(
    include_str!("../migrate/service.sh"),
    r"
extras /srv/radarr
config 17878 >/srv/radarr/config.xml
head -c 12000000 /dev/urandom >/srv/radarr/filler
cat >/etc/systemd/system/radarr.service <<'UNIT'
[Service]
ExecStart=/opt/lab/service radarr /srv/radarr/radarr.db -data=/srv/radarr
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --quiet --now radarr.service
"
);

/// The bench, with an old host beside it.
pub fn bench() -> Bench {
    let old = std::thread::spawn(|| {
        let machine = Machine::up_as("gold", Some("debian"));
        machine.ok(OLD_HOST);
        machine
    });
    let mut bench = Bench::new("gnew");
    let machine = old.join().unwrap();
    let (near, far) = (bench.machine().lab("addr"), machine.lab("addr"));
    let proxy = Proxy::to(&far);
    let ports = [&bench.proxy, &proxy].map(|proxy| format!("ansible_port: {}", proxy.port));
    let alias = [&near, &far].map(|address| format!("HostKeyAlias={address}"));
    bench.site.project.add_old_host(&[(&ports[0], &ports[1]), (&alias[0], &alias[1])], "");
    bench.old = Some(Old { machine, proxy });
    set_marker(bench.machine(), "now");
    bench
}

/// How both hosts are, once nothing that was begun goes on there.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The new host: whose data is in place, whether the service runs, and the hash of what it does not write to.
    here: [String; 3],
    /// The old one: how the service is, whether it starts by itself, and what is noted.
    there: [String; 3],
}

const NOTES: &str = "./migrate/radarr/start ./migrate/radarr/stopped";
const RUNS: [&str; 3] = ["active", "enabled", ""];

impl Seen {
    fn of(bench: &Bench) -> Self {
        const WAIT: &str = "n=0; until ended; do n=$((n + 1)); [ $n -lt 2400 ] || exit 1; sleep 0.1; done";
        let here = bench.root(&format!(
            "ended() {{ [ ! -e $r/lock ] || ! kill -0 $(head -n 1 $r/lock | cut -d' ' -f1); }}\n{WAIT}
             active() {{ runuser -u mms -- env XDG_RUNTIME_DIR=/run/user/1100 systemctl --user is-active radarr.service; }}
             n=0; until [ $n -ge 300 ] || [ \"$(active)\" = active ]; do n=$((n + 1)); sleep 0.2; done
             echo $(cat $c/marker); echo $(active); echo $(sha256sum <$c/filler)"
        ));
        let there = bench.there(&format!(
            "ended() {{ [ ! -e $n/.busy ] || ! kill -0 $(cat $n/.busy/pid); }}\n{WAIT}
             echo $(systemctl is-active radarr); echo $(systemctl is-enabled radarr); echo $(cd /var/lib/mms 2>/dev/null && find . -type f ! -name list | sort)"
        ));
        let words = |text: &str| {
            let mut lines = text.lines().map(str::to_owned);
            [(); 3].map(|()| lines.next().unwrap_or_default())
        };
        Self { here: words(&here), there: words(&there) }
    }

    fn stopped(&self) -> bool {
        self.there[0] != "active"
    }

    /// Everything is as it was: what is here, what runs, and nothing is noted on the old host.
    #[track_caller]
    fn at_the_start(&self, start: &Self, name: &str) {
        assert_eq!(self, start, "{name}");
    }

    /// What was there is here, and runs here alone.
    #[track_caller]
    fn complete(&self, bench: &Bench, name: &str) {
        // One that had to be killed has failed.
        assert!(matches!(self.there[0].as_str(), "inactive" | "failed"), "{name}: {self:?}");
        assert_eq!(self.there[1..], ["disabled", NOTES], "{name}: {self:?}");
        assert_eq!(self.here[..2], ["old", "active"], "{name}: {self:?}");
        // What the service writes to is looked at by itself; caches are not taken along.
        let all = |root: &str, user: &str| {
            format!(
                "cd {root}; sha256sum filler deep/er/blob; find . -type f ! -name '*.db*' ! -path './logs/*' | sort; echo @
                 runuser -u {user} -- sqlite3 radarr.db 'SELECT count(*), max(id), (SELECT value FROM counter) FROM history'"
            )
        };
        let (here, there) = (bench.root(&all("$c", "mms")), bench.there(&all("$d", "root")));
        let (here, there) = (here.split_once('@').unwrap(), there.split_once('@').unwrap());
        assert_eq!(here.0, there.0, "{name}");
        let rows = |text: &str| -> Vec<u64> { text.trim().split('|').map(|number| number.parse().unwrap()).collect() };
        let (here, there) = (rows(here.1), rows(there.1));
        assert!(here.iter().all(|number| *number == here[0]) && here[0] >= there[0], "{name}: {here:?} {there:?}");
    }
}

/// What holds after a first run, however it ended.
fn watched(bench: &Bench, fault: &Fault, start: &Seen, name: &str, ran: &Ran) -> String {
    let (seen, text) = (Seen::of(bench), ran.text());
    let place = seen.here[0].as_str();
    match fault.then {
        Then::Unchanged => {
            seen.at_the_start(start, name);
            let which = ["nothing was changed", "nothing has changed", "runs on old-lxc as before", "swapped back"];
            assert!(
                which.iter().any(|which| text.contains(which)),
                "{name}: it does not say that nothing has changed\n{text}"
            );
        }
        Then::Complete => seen.complete(bench, name),
        Then::Stopped => assert!(seen.here == start.here && seen.stopped(), "{name}: {seen:?} {text}"),
        _ => {
            assert!(place == "now" || seen.stopped(), "{name}: it runs on both: {seen:?}\n{text}");
            assert!(!seen.stopped() || seen.there[2] == NOTES, "{name}: it is stopped and not noted: {seen:?}\n{text}");
            match (fault.operation, ran.exit) {
                ("migrate", Some(0)) => seen.complete(bench, name),
                (_, Some(255)) => {}
                // A new host that could not be told keeps its journal; the old one was not asked in vain.
                ("migrate", _) if !seen.stopped() => assert_eq!(seen.here, start.here, "{name}: {text}"),
                ("migrate", _) => assert!(text.contains("stopped on old-lxc"), "{name}: {seen:?}\n{text}"),
                (_, Some(0)) => seen.at_the_start(start, name),
                _ => {}
            }
        }
    }
    format!("{}: exit {}, {place} here, {} there", fault.operation, ran.exit.unwrap_or(255), seen.there[0])
}

/// Goes back to the start. The copy that is kept is taken away, so that the next migration copies all of it.
fn back(bench: &Bench, start: &Seen, name: &str) {
    bench.site.mms(&ROLLBACK).exits(0);
    Seen::of(bench).at_the_start(start, name);
    assert_eq!(bench.there("ls -A /var/lib/mms 2>/dev/null || true"), "", "{name}: left behind there");
    let left = bench.root("rm -r ${c%/*}/.mms-migrate-*-radarr $m; ls -A ${c%/*} | grep 'mms-' || true; ls -d ${m%/*} $r/* 2>/dev/null || true");
    assert_eq!(left, "/home/mms/.local/state/mms/migrate\n", "{name}: left behind");
}

/// Every fault of a migration or of its way back.
pub fn run(bench: &Bench) {
    let start = &Seen::of(bench);
    assert_eq!((start.here[0].as_str(), &start.there), ("now", &RUNS.map(str::to_owned)));
    let source = || bench.there("cd $d; sha256sum filler config.xml marker");
    let before = source();
    let (migrate, rollback) = (Cell::<Option<Usual>>::default(), Cell::<Option<Usual>>::default());
    let measured = || {
        if migrate.get().is_none() {
            migrate.set(Some(bench.usual(&MIGRATE)));
            Seen::of(bench).complete(bench, "left alone");
            rollback.set(Some(bench.usual(&ROLLBACK)));
            back(bench, start, "left alone");
        }
    };
    let mut seen = BTreeSet::new();
    for fault in FAULTS.iter().filter(|fault| fault.wanted()) {
        let forth = fault.operation == "migrate";
        let arguments = if forth { MIGRATE.as_slice() } else { ROLLBACK.as_slice() };
        let usual = || {
            measured();
            if forth { migrate.get().unwrap() } else { rollback.get().unwrap() }
        };
        bench.suffer(fault, arguments, &usual, |name, run| {
            if !forth {
                bench.site.mms(&MIGRATE).exits(0);
            }
            let ran = run();
            told(fault, name, &ran);
            seen.insert(watched(bench, fault, start, name, &ran));
            if forth {
                bench.site.mms(&MIGRATE).exits(0);
                Seen::of(bench).complete(bench, name);
            }
            back(bench, start, name);
        });
    }
    assert_eq!(source(), before, "the old host's data is another");
    super::bench::say(&format!("migrations ended as {seen:#?}"));
}

//! One machine with Radarr, its backups and a network that can break, and for migrations an old host with another such network; what a
//! fault is, and what must hold after it.

use std::io::Write as _;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use super::lab::{self, Machine};
use super::project::Ran;
use super::proxy::Proxy;
use super::site::{self, Site};

/// What scripts on the machines begin with: the places of Radarr's configuration, backups, state and settings;
/// its data and the notes on the old host; and ways to do harm.
const HEAD: &str = r#"c=/home/mms/config/radarr b=/home/mms/backups/radarr s=/home/mms/.local/state/mms/backup/radarr
k=/home/mms/.config/mms/backup/services r=/home/mms/.local/state/mms/restore/radarr m=/home/mms/.local/state/mms/migrate/radarr
d=/srv/radarr n=/var/lib/mms/migrate/radarr
newest() { ls $b/*.age | tail -n 1; }
# hold FILE WHAT: a lock of a process that lives.
hold() {
    rm -f /run/holder
    setsid sh -c 'echo $$ >/run/holder; exec sleep 3000' >/dev/null 2>&1 </dev/null &
    until [ -s /run/holder ]; do :; done
    pid=$(cat /run/holder)
    start=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20)
    printf '%s\n' "$pid $start $(cat /proc/sys/kernel/random/boot_id)" "$2" 2026-01-01T00:00:00Z 9999999999 >$1
    chown mms: $1
}
release() { kill -9 $(cat /run/holder); rm -f $1; }
# flip FILE AT: one bit is another.
flip() {
    byte=$(dd if=$1 bs=1 skip=$2 count=1 2>/dev/null | od -An -tu1)
    printf "\\$(printf %o $((byte ^ 4)))" | dd of=$1 bs=1 seek=$2 conv=notrunc 2>/dev/null
}
"#;

/// A script with all that.
fn headed(script: &str) -> String {
    format!("{}{HEAD}{script}", lab::STAND_IN)
}

/// How a fault comes about.
pub enum By {
    /// A script as root before the run, and one that mends it afterwards.
    Around(&'static str, &'static str),
    /// The same on the old host.
    AroundOld(&'static str, &'static str),
    /// While it goes on. Gives how the run ended.
    During(fn(&Bench) -> Ran),
    /// The network is cut after a random number of bytes, so many times, spread over all bytes. `MMS_FAULT_CUTS` has more of them.
    Cut(u64),
    /// The same to the old host.
    CutOld(u64),
    /// mms is killed at a random moment, so many times.
    Kill(usize),
    /// Nothing comes through any longer after a random number of bytes.
    Silence,
    /// The same from the old host.
    SilenceOld,
}

/// What must hold when the first run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It was done in spite of the fault.
    Complete,
    /// Nothing is different.
    Unchanged,
    /// It was done or nothing is different; which of them, depends on the moment.
    Either,
    /// Some of what was to be removed is gone, all else is there.
    Begun,
    /// On the new host nothing is different; on the old one the service is stopped, and that is said.
    Stopped,
    /// One of them, or what was begun is noted on both hosts, for the next run; what is stopped is said.
    Noted,
}

impl Then {
    pub fn shown(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Unchanged => "nothing has changed",
            Self::Either => "complete, or nothing has changed",
            Self::Begun => "what is kept is all there",
            Self::Noted => "complete, or nothing has changed, or what was begun is noted",
            Self::Stopped => "nothing has changed, but that it is stopped there",
        }
    }
}

/// A fault.
pub struct Fault {
    /// `backup`, `pull`, `prune`, `restore`, `migrate` or `rollback`.
    pub operation: &'static str,
    /// In a few words.
    pub what: &'static str,
    pub by: By,
    /// Exit codes that the first run may end with; 255 is a process that was killed.
    pub exit: &'static [i32],
    /// What it must say, one of several that are separated by ` or `.
    pub told: &'static str,
    pub then: Then,
}

impl Fault {
    /// `MMS_FAULTS` names some, separated by `,`: all whose operation and words contain one of them.
    pub fn wanted(&self) -> bool {
        let own = format!("{}: {}", self.operation, self.what);
        std::env::var("MMS_FAULTS").map_or(true, |some| some.split(',').any(|some| own.contains(some)))
    }

    /// Its line in the table.
    pub fn row(&self) -> String {
        let exits: Vec<_> =
            self.exit.iter().map(|exit| if *exit == 255 { "killed".to_owned() } else { exit.to_string() }).collect();
        let told =
            if self.told.is_empty() { String::new() } else { format!("`{}`", self.told.replace(" or ", "` or `")) };
        format!("| {} | {} | {} | {told} | {} |", self.operation, self.what, exits.join(", "), self.then.shown())
    }
}

pub struct Bench {
    pub site: Site,
    pub proxy: Proxy,
    /// Where migrations come from.
    pub old: Option<Old>,
}

/// The host that a service is moved from.
pub struct Old {
    pub machine: Machine,
    pub proxy: Proxy,
}

/// What a run takes that is left alone.
#[derive(Clone, Copy)]
pub struct Usual {
    /// Bytes through the network.
    bytes: u64,
    /// The same to the old host.
    old: u64,
    took: Duration,
}

impl Bench {
    /// A machine on which Radarr runs, with some megabytes of data, and one backup.
    pub fn new(kind: &str) -> Self {
        let site = Site::new(kind, &["radarr"]);
        site.project.edit("services/radarr.yml", "interval: 15s", "interval: 2s");
        site.project.edit("services/radarr.yml", "start_period: 90s", "start_period: 20s");
        site.project.write("inventory/group_vars/mms/zz-faults.yml", "mms_backup_retention: {last: 500}\n");
        let address = site.machine.lab("addr");
        let proxy = Proxy::to(&address);
        site.project.edit(
            "inventory/hosts.yml",
            &format!("ansible_host: {address}"),
            &format!("ansible_host: 127.0.0.1\n      ansible_port: {}", proxy.port),
        );
        let alias = format!("-o IdentitiesOnly=yes -o HostKeyAlias={address}");
        site.project.edit("inventory/hosts.yml", "-o IdentitiesOnly=yes", &alias);
        let settings = site.project.read("mms.toml");
        site.project.write("mms.toml", &format!("lock_timeout = 3\n{settings}"));
        site.deploy().exits(0);
        let bench = Self { site, proxy, old: None };
        bench.root("head -c 3000000 /dev/urandom >$c/filler; echo saved >$c/marker; chown mms: $c/filler $c/marker");
        bench.site.mms(&["backup", "radarr"]).exits(0);
        bench
    }

    pub fn machine(&self) -> &Machine {
        &self.site.machine
    }

    /// A script as root.
    pub fn root(&self, script: &str) -> String {
        self.machine().ok(&headed(script))
    }

    /// A script as the containers' user.
    pub fn user(&self, script: &str) -> String {
        self.machine().as_user_ok(&headed(script))
    }

    /// The old host.
    pub fn old(&self) -> &Old {
        self.old.as_ref().expect("there is an old host")
    }

    /// A script as root on the old host.
    pub fn there(&self, script: &str) -> String {
        self.old().machine.ok(&headed(script))
    }

    /// A script as root that goes on until it ends by itself.
    pub fn alongside(&self, script: &str) -> Alongside {
        Self::begun(self.machine(), script)
    }

    /// The same on the old host.
    pub fn alongside_there(&self, script: &str) -> Alongside {
        Self::begun(&self.old().machine, script)
    }

    fn begun(machine: &Machine, script: &str) -> Alongside {
        let script = headed(script);
        let mut command = lab::lab(&["exec", machine.name(), "sh", "-c", &script]);
        Alongside(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Starts mms, waits until a script succeeds as root, does something, and gives how it ended.
    pub fn interrupted(&self, arguments: &[&str], until: &str, does: impl FnOnce(&mut Child)) -> Ran {
        self.interrupted_when(arguments, self.machine(), until, does)
    }

    /// The same with a script on the old host.
    pub fn interrupted_there(&self, arguments: &[&str], until: &str, does: impl FnOnce()) -> Ran {
        self.interrupted_when(arguments, &self.old().machine, until, |_| does())
    }

    fn interrupted_when(
        &self,
        arguments: &[&str],
        machine: &Machine,
        until: &str,
        does: impl FnOnce(&mut Child),
    ) -> Ran {
        let mut command = self.site.project.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let since = std::time::Instant::now();
        site::until(machine, &headed(until));
        does(&mut child);
        ran(&child.wait_with_output().unwrap(), since)
    }

    /// Runs mms with the patience to wait for another run, however long that takes.
    pub fn patient(&self, arguments: &[&str]) -> Ran {
        let since = std::time::Instant::now();
        ran(&self.site.project.command(arguments).env("MMS_LOCK_TIMEOUT", "600").output().unwrap(), since)
    }

    /// How a second run ended that began when a script had succeeded during the first one, which is to succeed.
    pub fn second(&self, arguments: &[&str], when: &str) -> Ran {
        let mut second = None;
        self.interrupted(arguments, when, |_| second = Some(self.patient(arguments))).exits(0);
        second.unwrap()
    }

    /// Runs mms, and kills what a script names as soon as a phase is noted in one of the journals of a directory.
    pub fn kill_in(&self, arguments: &[&str], journals: &str, phase: &str, pids: &str) -> Ran {
        let killer = self.alongside(&format!(
            "n=0; until grep -qs {phase} {journals}/*/phase; do n=$((n + 1)); [ $n -lt 50000 ] || exit; done; kill -9 $({pids})"
        ));
        let ran = self.site.mms(arguments);
        killer.ended();
        ran
    }

    /// Waits until no backup is under way.
    pub fn idle(&self) {
        self.site.until_idle("mms-backup@radarr.service");
    }

    /// Waits until nothing of a restore or prune is under way: what was begun on the machine goes on to its end.
    pub fn settled(&self) {
        self.site.until(&format!(
            "{HEAD}! pgrep -f '[m]ms-backup prune' >/dev/null || exit 1
             for lock in $r/lock $s/lock; do [ ! -e $lock ] || ! kill -0 $(head -n 1 $lock | cut -d' ' -f1) || exit 1; done"
        ));
    }

    /// Rows of the service's own database, none of which may be missing before the last one.
    pub fn rows(&self) -> u64 {
        let query = "SELECT count(*), max(id), (SELECT value FROM counter) FROM history";
        let answer = self
            .user(&format!("podman exec radarr sqlite3 -readonly -cmd '.timeout 5000' /config/radarr.db '{query}'"));
        let numbers: Vec<u64> = answer.trim().split('|').map(|number| number.parse().unwrap()).collect();
        assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2], "{answer}");
        numbers[0]
    }

    /// What a run takes that is left alone.
    pub fn usual(&self, arguments: &[&str]) -> Usual {
        let heal = || (self.proxy.heal(), self.old.as_ref().map_or(0, |old| old.proxy.heal()));
        heal();
        let took = self.site.mms(arguments).exits(0).took;
        let (bytes, old) = heal();
        Usual { bytes, old, took }
    }

    /// Has a fault happen as often as it is to. `watch` gets a name for messages and what does it.
    pub fn suffer(
        &self,
        fault: &Fault,
        arguments: &[&str],
        usual: &dyn Fn() -> Usual,
        mut watch: impl FnMut(&str, &dyn Fn() -> Ran),
    ) {
        let random = |from: u64, to: u64| rand::random_range(from..to);
        match &fault.by {
            By::Around(before, after) => watch(fault.what, &|| {
                self.root(before);
                let ran = self.site.mms(arguments);
                self.root(after);
                ran
            }),
            By::AroundOld(before, after) => watch(fault.what, &|| {
                self.there(before);
                let ran = self.site.mms(arguments);
                self.there(after);
                ran
            }),
            By::During(does) => watch(fault.what, &|| does(self)),
            By::Cut(times) | By::CutOld(times) => {
                let (proxy, all) = self.line(fault, usual());
                let times = cuts(*times);
                for slice in 0..times {
                    let at = random(all * slice / times, all * (slice + 1) / times);
                    self.broken(proxy, fault, arguments, (at, all), false, &mut watch);
                }
            }
            By::Silence | By::SilenceOld => {
                let (proxy, all) = self.line(fault, usual());
                self.broken(proxy, fault, arguments, (random(all / 2, all * 3 / 4), all), true, &mut watch);
            }
            By::Kill(times) => {
                let took = usual().took;
                for _ in 0..*times {
                    let moment = took.mul_f64(rand::random_range(0.0..1.0));
                    let name = format!("{}, after {moment:?} of {took:?}", fault.what);
                    watch(&name, &|| {
                        self.interrupted(arguments, "true", |child| {
                            std::thread::sleep(moment);
                            let _ = child.kill();
                        })
                    });
                }
            }
        }
    }

    /// The network that a fault breaks, and how many bytes usually come through it.
    fn line(&self, fault: &Fault, usual: Usual) -> (&Proxy, u64) {
        match fault.by {
            By::CutOld(_) | By::SilenceOld => (&self.old().proxy, usual.old),
            _ => (&self.proxy, usual.bytes),
        }
    }

    /// A run through a network that breaks at a byte of so many.
    fn broken(
        &self,
        proxy: &Proxy,
        fault: &Fault,
        arguments: &[&str],
        (at, all): (u64, u64),
        silent: bool,
        watch: &mut impl FnMut(&str, &dyn Fn() -> Ran),
    ) {
        watch(&format!("{}, at byte {at} of {all}", fault.what), &|| {
            proxy.break_after(at, silent);
            let ran = self.site.mms(arguments);
            proxy.heal();
            ran
        });
    }
}

fn cuts(usual: u64) -> u64 {
    std::env::var("MMS_FAULT_CUTS").map_or(usual, |cuts| cuts.parse().expect("MMS_FAULT_CUTS: a number"))
}

fn ran(ended: &Output, since: std::time::Instant) -> Ran {
    Ran {
        exit: Some(ended.status.code().unwrap_or(255)),
        stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
        took: since.elapsed(),
    }
}

/// The shell that has the lock, and what it runs.
pub const ITS_SHELL: &str = "p=$(head -n 1 $r/lock | cut -d' ' -f1); echo $p $(pgrep -P $p)";
/// What the connection of mms runs in.
pub const ITS_SSHD: &str = "pgrep -u admin sshd";

/// Something that goes on over there.
pub struct Alongside(Child);

impl Alongside {
    /// Waits for its end.
    pub fn ended(mut self) {
        let _ = self.0.wait();
    }

    /// The same of what was to kill something, and did.
    pub fn killed(mut self) {
        assert!(self.0.wait().unwrap().success(), "nothing was killed: the moment did not come, or nothing matched");
    }
}

/// The first run ended as the fault says, and said so.
pub fn told(fault: &Fault, name: &str, ran: &Ran) {
    let exit = ran.exit.unwrap_or(255);
    say(&format!("{}: {name}: exit {exit}", fault.operation));
    assert!(fault.exit.contains(&exit), "{name}: exit {exit}\n{}", ran.text());
    assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
    // What ended before the moment came has nothing to tell, and what was killed cannot.
    let random = !matches!(fault.by, By::Around(..) | By::AroundOld(..) | By::During(_));
    let silent = exit == 255 || random && exit == 0;
    let said = fault.told.split(" or ").any(|told| ran.text().contains(told));
    assert!(silent || said, "{name}: `{}` is not said\n{}", fault.told, ran.text());
}

pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "faults: {text}");
}

/// A script with what a session of the containers' user has.
pub fn user_script(script: &str) -> String {
    site::user_script(&headed(script))
}

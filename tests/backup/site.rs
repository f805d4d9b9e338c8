//! A machine with some services, their project, and ways to look at backups with plain tools.

use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mms::connection::Answer;

use super::lab::{self, Machine};
use super::project::{Project, Ran};

/// How long something may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(240);

pub struct Site {
    // First, so that what runs in the background ends before the machine.
    background: Mutex<Vec<Child>>,
    pub project: Project,
    pub machine: Machine,
}

/// A script with what a session of the containers' user has.
pub fn user_script(script: &str) -> String {
    format!(
        "HOME=/home/mms; cd; export HOME XDG_RUNTIME_DIR=/run/user/$(id -u) DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u)/bus; {script}"
    )
}

/// Waits until a script succeeds as root.
pub fn until(machine: &Machine, script: &str) {
    let since = Instant::now();
    while !machine.as_root(script, None).ok() {
        assert!(since.elapsed() < PATIENCE, "never came true: {script}");
    }
}

impl Site {
    /// A fresh machine, and a project with only these services.
    pub fn new(kind: &str, services: &[&str]) -> Self {
        let machine = Machine::up(kind);
        let project = Project::new(&machine);
        let all = "  - prowlarr\n  - radarr\n  - sonarr\n  - lidarr\n  - sabnzbd\n  - jellyfin\n  - immich\n";
        let some: String = services.iter().map(|name| format!("  - {name}\n")).collect();
        project.edit("inventory/group_vars/mms/vars.yml", all, &some);
        project.secret("vault_immich_db_password", "of-no-use-elsewhere");
        let site = Self { background: Mutex::default(), project, machine };
        let identity = site.project.read("identity.txt").into_bytes();
        let kept = site.machine.as_root("umask 077; cat >/root/identity", Some(identity));
        assert!(kept.ok());
        site
    }

    pub fn mms(&self, arguments: &[&str]) -> Ran {
        self.project.run(arguments)
    }

    pub fn deploy(&self) -> Ran {
        self.mms(&["deploy", "--skip-tags", "tailscale,firewall"])
    }

    pub fn deploy_json(&self) -> Ran {
        self.mms(&["deploy", "--skip-tags", "tailscale,firewall", "--json"]).exits(0)
    }

    /// Runs something as the containers' user until the test ends.
    pub fn background(&self, script: &str) {
        let script = user_script(script);
        let child = lab::lab(&["exec", self.machine.name(), "runuser", "-u", "mms", "--", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.background.lock().unwrap().push(child);
    }

    /// The names of a service's backups, oldest first.
    pub fn backups(&self, service: &str) -> Vec<String> {
        let listed = self
            .machine
            .ok(&format!("ls -1 /home/mms/backups/{service} 2>/dev/null | grep -E 'zst(\\.age)?$' || true"));
        listed.lines().map(str::to_owned).collect()
    }

    /// Opens the newest backup with plain tools, checks every hash, and says where it lies.
    pub fn open(&self, service: &str) -> String {
        self.open_one(service, &self.backups(service).pop().expect("there is a backup"))
    }

    /// The same with one that is named.
    pub fn open_one(&self, service: &str, name: &str) -> String {
        let place = format!("/root/opened/{service}");
        self.machine.ok(&format!(
            "rm -rf {place} && mkdir -p {place} && cd {place} && age -d -i /root/identity /home/mms/backups/{service}/{name} | zstd -d | \
             tar -x && sha256sum --quiet --strict -c .mms/SHA256SUMS && \
             test \"$(sha256sum </home/mms/backups/{service}/{name} | cut -d' ' -f1)\" = \"$(jq -r .sha256 /home/mms/backups/{service}/{name}.json)\" && \
             test \"$(find data postgres .mms/service.json -type f 2>/dev/null | wc -l)\" = \"$(jq -r .files .mms/manifest.json)\""
        ));
        place
    }

    /// The members of the newest backup, in their order.
    pub fn members(&self, service: &str) -> Vec<String> {
        let name = self.backups(service).pop().expect("there is a backup");
        let listed =
            self.machine.ok(&format!("age -d -i /root/identity /home/mms/backups/{service}/{name} | zstd -d | tar -t"));
        listed.lines().map(str::to_owned).collect()
    }

    /// The database is whole, and its rows are those that were written first.
    pub fn prefix_of_sqlite(&self, path: &str) -> u64 {
        let asked = format!(
            "sqlite3 -cmd '.timeout 60000' '{path}' 'PRAGMA integrity_check; SELECT count(*), coalesce(max(n), 0) FROM proof'"
        );
        let answer = self.machine.ok(&asked);
        let (whole, counted) = answer.trim().split_once('\n').unwrap();
        let (count, last) = counted.split_once('|').unwrap();
        assert_eq!((whole, count), ("ok", last), "{path}");
        last.parse().unwrap()
    }

    pub fn is_active(&self, name: &str) -> bool {
        let script = format!(
            "for i in $(seq 300); do systemctl --user is-active --quiet {name}.service && exit 0; sleep 0.2; done; exit 1"
        );
        self.machine.as_user(&user_script(&script), None).ok()
    }

    /// The program itself, as the containers' user.
    pub fn program(&self, arguments: &str) -> Answer {
        self.machine.as_user(&user_script(&format!("/usr/local/libexec/mms-backup {arguments}")), None)
    }

    /// Waits until a script succeeds as root.
    pub fn until(&self, script: &str) {
        until(&self.machine, script);
    }

    /// Waits until a unit of the containers' user is at rest.
    pub fn until_idle(&self, unit: &str) {
        let since = Instant::now();
        let asked = format!("systemctl --user show --property ActiveState --value {unit}");
        while !matches!(self.machine.as_user_ok(&asked).trim(), "inactive" | "failed") {
            assert!(since.elapsed() < PATIENCE, "{unit} does not come to rest");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in self.background.get_mut().unwrap() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

//! An old host with seven services, and a new one on which the stack is deployed.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::lab::Machine;
use super::project::{Project, Ran};

/// Service, where its data is on the old host, and its database below that.
pub const SERVICES: [(&str, &str, &str); 7] = [
    ("prowlarr", "/home/joe/.local/share/containers/storage/volumes/prowlarr_config/_data", "prowlarr.db"),
    ("radarr", "/srv/docker/radarr", "radarr.db"),
    ("sonarr", "/var/lib/sonarr", "sonarr.db"),
    ("lidarr", "/home/joe/.config/Lidarr", "lidarr.db"),
    ("sabnzbd", "/home/sab/.sabnzbd", "admin/history1.db"),
    ("jellyfin", "/var/lib/jellyfin", "data/jellyfin.db"),
    ("immich", "/opt/immich/postgres", ""),
];

/// Prints a figure past the capture of the test harness.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "migrate: {text}");
}

pub struct Pair {
    pub there: Machine,
    pub here: Machine,
    pub project: Project,
}

impl Pair {
    pub fn up() -> Self {
        let old = std::thread::spawn(|| {
            let machine = Machine::up_as("mol", Some("debian"));
            machine.ok(concat!(include_str!("service.sh"), include_str!("old-host.sh")));
            machine
        });
        let here = Machine::up("mne");
        here.add_user();
        here.ok("mkdir -p /data/media/movies /data/usenet /data/photos && chown -R mms:mms /data");
        let project = Project::new(&here);
        project.secret("vault_immich_db_password", "new-Passw0rd");
        for (service, _, _) in SERVICES {
            let file = format!("services/{service}.yml");
            let text = project.read(&file);
            let quick = text.replace("interval: 15s", "interval: 2s").replace("interval: 10s", "interval: 2s");
            project.write(&file, &quick);
        }
        let names: Vec<&str> = SERVICES.iter().map(|(name, _, _)| *name).collect();
        project.run(&[&["deploy-service"], names.as_slice()].concat()).exits(0);
        let there = old.join().unwrap();
        let address = (here.lab("addr"), there.lab("addr"));
        let paths = "      mms_migrate_paths:\n        /mnt/media: /data/media\n";
        project.add_old_host(&[(&address.0, &address.1)], paths);
        let pair = Self { there, here, project };
        // The NAS has the photos, and both see them.
        let photos = pair.there.as_root("tar -C /mnt/media/photos -c .", None).stdout;
        let unpacked = pair.here.as_root("tar -C /data/photos -x && chown -R mms:mms /data/photos", Some(photos));
        assert!(unpacked.ok(), "{unpacked:?}");
        pair
    }

    pub fn migrate(&self, arguments: &[&str]) -> Ran {
        self.project.run(&[&["migrate", "--from", "old-lxc"], arguments].concat())
    }

    /// A file in every directory of the new host that tells which data is in place.
    pub fn mark_new(&self, text: &str) {
        for (service, _, _) in SERVICES {
            self.here.ok(&format!("printf '%s\\n' {text} >{}/marker", place(service)));
        }
    }

    /// What runs on the old host, and what starts by itself.
    pub fn running_there(&self) -> String {
        const CONTAINERS: &str = "podman ps --all --format '{{.Names}} {{.State}}' | sort; \
             for name in $(podman ps --all --format '{{.Names}}' | sort); do podman inspect --format '{{.Name}} {{.HostConfig.RestartPolicy.Name}}' $name; done";
        let units = "for unit in sonarr sabnzbd jellyfin; do echo $unit $(systemctl is-active $unit) $(systemctl is-enabled $unit); done";
        let own = "echo lidarr $(systemctl --user is-active lidarr) $(systemctl --user is-enabled lidarr)";
        let joe = format!("cd; XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR; {own}; {CONTAINERS}");
        self.there.ok(&format!("{CONTAINERS}; {units}; su -s /bin/sh joe <<'JOE'\n{joe}\nJOE"))
    }

    /// The data of the new host: what does not change while the services run.
    pub fn hashes_here(&self) -> BTreeMap<String, String> {
        let script = |path: &str| {
            format!(
                "cd {path} && find . -type f ! -name '*.db*' ! -path '*/pg_*' ! -path './base/*' ! -path './global/*' ! -name 'postmaster.*' -exec sha256sum {{}} + | sort -k 2; stat -c '%U %a' ."
            )
        };
        SERVICES.iter().map(|(service, _, _)| ((*service).to_owned(), self.here.ok(&script(place(service))))).collect()
    }

    /// A service is here as it was there, and stopped there.
    pub fn arrived(&self, service: &str) {
        let (_, from, database) = SERVICES.iter().find(|(name, _, _)| *name == service).unwrap();
        let to = place(service);
        if service == "immich" {
            self.immich_arrived();
            return;
        }
        // What the service itself does not write: equal, and the user's. Caches are not taken along.
        let list = |root: &str| {
            format!(
                "cd {root} && sha256sum deep/er/blob deep/*igns deep/line* marker && readlink deep/link && stat -c '%a %n' deep/er/blob empty deep"
            )
        };
        assert_eq!(self.here.ok(&list(to)), self.there.ok(&list(from)), "{service}");
        let owners = self.here.ok(&format!(
            "find {to} ! -user mms; test ! -e {to}/logs/old.txt || test {service} = jellyfin || echo logs"
        ));
        assert_eq!(owners, "", "{service}");
        // Every row that was there is here.
        let rows = |machine: &Machine, root: &str| -> (u64, u64) {
            let query = "SELECT count(*), max(id), (SELECT min(date) FROM history) FROM history";
            let text = machine.ok(&format!(
                "cp {root}/{database}* /tmp/ && sqlite3 /tmp/{} \"{query}\"; rm -f /tmp/*.db*",
                database.rsplit('/').next().unwrap()
            ));
            let words: Vec<&str> = text.trim().split('|').collect();
            assert_eq!(words[0], words[1], "{service}: rows are missing: {text}");
            (words[0].parse().unwrap(), u64::from(words[2].is_empty()))
        };
        let (there, here) = (rows(&self.there, from), rows(&self.here, to));
        assert!(here.0 >= there.0 && there.0 > 0, "{service}: {there:?} {here:?}");
        let states = self.running_there();
        let stopped = match service {
            "prowlarr" => "prowlarr exited",
            "radarr" => "media-radarr-1 exited",
            "lidarr" => "lidarr inactive disabled",
            _ => &format!("{service} inactive disabled"),
        };
        assert!(states.lines().any(|line| line == stopped), "{stopped}: {states}");
    }

    fn immich_arrived(&self) {
        let states = self.running_there();
        assert!(states.contains("immich_postgres exited") && states.contains("immich_server exited"), "{states}");
        // The server there is stopped, so its rows are asked of the data's own copy: the first row was made there.
        let query = "SELECT count(*), min(id), max(id) FROM asset WHERE id <= (SELECT min(one.id) FROM asset one LEFT JOIN asset two ON two.id = one.id + 1 WHERE two.id IS NULL)";
        let rows =
            self.here.as_user_ok(&format!("podman exec immich-postgres psql -U immich -d immich -Atc '{query}'"));
        let words: Vec<&str> = rows.trim().split('|').collect();
        assert!(words[0] == words[2] && words[1] == "1", "{rows}");
        let first = self.here.as_user_ok("podman exec immich-postgres psql -U postgres -d immich -Atc 'SELECT \"createdAt\" FROM asset WHERE id = 1'");
        let started = self.there.ok("podman inspect --format '{{.Created.Unix}}' immich_server");
        let first = self.there.ok(&format!("date -d '{}' +%s", first.trim()));
        let apart = first.trim().parse::<i64>().unwrap() - started.trim().parse::<i64>().unwrap();
        assert!((0..60).contains(&apart), "the first row is {apart} s younger than the old container");
        assert_eq!(self.here.ok("stat -c '%U %a' /home/mms/config/immich/postgres").trim(), "mms 700");
        // The password of the vault, over the network, as the service uses it.
        let login = "podman exec immich-server sh -c 'PGPASSWORD=\"$DB_PASSWORD\" psql -h immich-postgres -U immich -d immich -Atc \"SELECT 1\"'";
        assert_eq!(self.here.as_user_ok(login).trim(), "1");
    }

    /// No staging places, nothing that was replaced, no journals.
    pub fn nothing_left(&self) {
        let left = self.here.ok("find /home/mms -xdev -path '*/.local/share' -prune -o \\( -name '.mms-migrate-*' -o -name '*.mms-replaced-*' -o -path '*/state/mms/migrate' \\) -print");
        assert_eq!(left.trim(), "", "left behind");
    }
}

/// Where a service has its data on the new host.
fn place(service: &str) -> &'static str {
    match service {
        "prowlarr" => "/home/mms/config/prowlarr",
        "radarr" => "/home/mms/config/radarr",
        "sonarr" => "/home/mms/config/sonarr",
        "lidarr" => "/home/mms/config/lidarr",
        "sabnzbd" => "/home/mms/config/sabnzbd",
        "jellyfin" => "/home/mms/config/jellyfin/config",
        "immich" => "/home/mms/config/immich/postgres",
        other => panic!("{other}"),
    }
}

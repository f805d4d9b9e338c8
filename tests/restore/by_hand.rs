//! Backups as docs/restore.md says they are made by hand: with sqlite3, tar, sha256sum, zstd and age, on the machine itself.

use super::lab::Machine;
use super::project::Project;

pub const CONFIG: &str = "/home/mms/config/radarr";

/// Makes a backup of Radarr. `well` says whether its database is one; all else is right in both cases.
pub fn by_hand(machine: &Machine, project: &Project, file: &str, well: bool) {
    let identity = project.read("identity.txt");
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let database = if well {
        "sqlite3 /config/radarr.db \".backup '/config/.copy'\""
    } else {
        "sh -c 'echo this is no database >/config/.copy'"
    };
    machine.as_user_ok(&format!(
        "set -e; cd; rm -rf work; mkdir -p backups/radarr work/data work/.mms; podman exec radarr {database}; \
         podman unshare sh -ec 'cp -a {CONFIG} work/data/0; mv {CONFIG}/.copy work/data/0/radarr.db; \
           rm -f work/data/0/.copy work/data/0/radarr.db-*; cd work; \
           find data -type f -exec sha256sum {{}} + >.mms/SHA256SUMS; \
           printf \"{{\\\"format\\\":1,\\\"files\\\":%d}}\\n\" $(wc -l <.mms/SHA256SUMS) >.mms/manifest.json; \
           tar -c data .mms/SHA256SUMS .mms/manifest.json' | zstd -q | age -r {recipient} >backups/radarr/{file}; \
         podman unshare rm -rf work"
    ));
}

/// A file that tells which data is in place.
pub fn set_marker(machine: &Machine, text: &str) {
    machine.as_user_ok(&format!("printf '%s\\n' {text} >{CONFIG}/marker"));
}

pub fn marker(machine: &Machine) -> String {
    machine.ok(&format!("cat {CONFIG}/marker")).trim().to_owned()
}

/// Makes a backup of Immich: a dump of the whole cluster, and the photos. `spoil` is done to the dump.
pub fn immich(machine: &Machine, project: &Project, file: &str, spoil: &str) {
    let identity = project.read("identity.txt");
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    machine.as_user_ok(&format!(
        "set -e; cd; rm -rf work; mkdir -p backups/immich work/data work/postgres work/.mms; \
         podman exec immich-postgres pg_dumpall -U immich >work/postgres/immich-postgres.sql; cd work/postgres; {spoil}
         cd; podman unshare sh -ec 'cp -a /data/photos work/data/0; cd work; \
           find data postgres -type f -exec sha256sum {{}} + >.mms/SHA256SUMS; \
           printf \"{{\\\"format\\\":1,\\\"files\\\":%d}}\\n\" $(wc -l <.mms/SHA256SUMS) >.mms/manifest.json; \
           tar -c data postgres .mms/SHA256SUMS .mms/manifest.json' | zstd -q | age -r {recipient} >backups/immich/{file}; \
         podman unshare rm -rf work"
    ));
}

//! Writers that number their rows: a consistent copy of what they write holds 1 to n and nothing else.

use super::site::Site;

/// The container that has the database.
const PSQL: &str = "podman exec -i immich-postgres psql -qAt -U immich -d immich";
/// Writers go on as long as this is there.
const MARK: &str = "/home/mms/writing";

/// The directory of the service whose files are databases.
pub const CONFIG: &str = "/home/mms/config/radarr";
/// Its databases.
pub const SQLITE: [&str; 2] = ["radarr.db", "a plugin/its data"];

/// How many rows each database has: those of [`SQLITE`], then PostgreSQL's.
pub type Rows = [u64; 3];

/// Whether none has fewer.
pub fn reach(rows: Rows, least: Rows) -> bool {
    rows.iter().zip(least).all(|(rows, least)| *rows >= least)
}

/// Makes the tables, empty.
pub fn prepare(site: &Site) {
    site.machine.as_user_ok(&format!("mkdir -p '{CONFIG}/a plugin'"));
    for name in SQLITE {
        let create = "CREATE TABLE proof(n INTEGER PRIMARY KEY, pad TEXT)";
        site.machine.as_user_ok(&format!("sqlite3 '{CONFIG}/{name}' '{create}' >/dev/null"));
    }
    site.machine.as_user_ok(&format!("echo 'CREATE TABLE proof(n int PRIMARY KEY)' | {PSQL}"));
}

/// Writes on from the last row of each, all the time.
pub fn start(site: &Site) {
    site.machine.as_user_ok(&format!("touch {MARK}"));
    for name in SQLITE {
        site.background(&format!(
            "while test -e {MARK}; do echo \"INSERT INTO proof(pad) VALUES (hex(randomblob(400)));\"; sleep 0.002; done | \
             sqlite3 -cmd '.timeout 60000' '{CONFIG}/{name}'"
        ));
    }
    site.background(&format!(
        "i=$(echo 'SELECT coalesce(max(n), 0) FROM proof' | {PSQL}); \
         while test -e {MARK}; do i=$((i + 1)); echo \"INSERT INTO proof VALUES ($i);\"; sleep 0.01; done | {PSQL}"
    ));
}

/// Lets the writers end.
pub fn stop(site: &Site) {
    site.machine.ok(&format!("rm {MARK}"));
}

/// What the services have now, each a prefix of what was written.
pub fn running(site: &Site) -> Rows {
    let [one, other] = SQLITE.map(|name| site.prefix_of_sqlite(&format!("{CONFIG}/{name}")));
    let counted = site.machine.as_user_ok(&format!("echo 'SELECT count(*), coalesce(max(n), 0) FROM proof' | {PSQL}"));
    let (count, last) = counted.trim().split_once('|').unwrap();
    assert_eq!(count, last, "rows of PostgreSQL are missing");
    [one, other, last.parse().unwrap()]
}

/// What the newest backups have, opened with plain tools, each a prefix as well.
pub fn backed_up(site: &Site) -> Rows {
    let opened = site.open("radarr");
    let [one, other] = SQLITE.map(|name| site.prefix_of_sqlite(&format!("{opened}/data/0/{name}")));
    let opened = site.open("immich");
    let dump = site.machine.ok(&format!(
        "sed -n '/^COPY public.proof /,/^\\\\\\.$/p' {opened}/postgres/immich-postgres/immich.sql | grep '^[0-9]' | sort -n | \
         awk '$1 != NR {{ exit 1 }} END {{ print NR }}'"
    ));
    [one, other, dump.trim().parse().unwrap()]
}

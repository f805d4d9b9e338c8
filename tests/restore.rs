//! Restores on real machines, by the built binary over real SSH, from backups made by hand with plain tools: that the data comes
//! back, and that what is refused leaves the service as it was. What can go wrong under way is in `faults.rs`.
//!
//! They run unless `MMS_TEST_MACHINE=0` (root, Debian; `tests/lab/README.md`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "restore/by_hand.rs"]
mod by_hand;
#[path = "support/lab.rs"]
mod lab;
#[path = "stack/project.rs"]
#[allow(dead_code)]
mod project;

use std::process::Stdio;
use std::time::Duration;

use by_hand::{CONFIG, by_hand, marker, set_marker};
use lab::Machine;
use project::Project;

/// A machine that runs Radarr, with its database growing all the while.
fn radarr(kind: &str) -> (Machine, Project) {
    let machine = Machine::up(kind);
    machine.add_user();
    machine.ok("mkdir -p /data && chown mms:mms /data");
    let project = Project::new(&machine);
    project.edit("services/radarr.yml", "interval: 15s", "interval: 2s");
    project.edit("services/radarr.yml", "start_period: 90s", "start_period: 20s");
    project.run(&["deploy-service", "radarr"]).exits(0);
    (machine, project)
}

fn container(machine: &Machine) -> String {
    machine.as_user_ok("podman inspect --format '{{.Id}} {{.State.StartedAt}}' radarr")
}

/// Rows of the database, none of which may be missing before the last one.
fn rows(machine: &Machine) -> u64 {
    let query = "SELECT count(*), max(id), (SELECT value FROM counter) FROM history";
    let answer = machine
        .as_user_ok(&format!("podman exec radarr sqlite3 -readonly -cmd '.timeout 5000' /config/radarr.db '{query}'"));
    let numbers: Vec<u64> = answer.trim().split('|').map(|number| number.parse().unwrap()).collect();
    assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2], "{answer}");
    numbers[0]
}

/// What a restore that was refused must leave.
fn nothing_left(machine: &Machine) {
    let left = machine.ok("find /home/mms -xdev -path '*/.local/share' -prune -o \\( -name '.mms-restore-*' -o -name '.mms-drill-*' -o -name '*.mms-replaced-*' -o -path '*/state/mms/restore' \\) -print");
    assert_eq!(left.trim(), "", "left behind");
}

#[test]
fn a_restore_brings_data_back_or_changes_nothing() {
    if !lab::wanted("a_restore_brings_data_back_or_changes_nothing") {
        return;
    }
    let (machine, project) = radarr("res");
    set_marker(&machine, "saved");
    let saved = rows(&machine);
    by_hand(&machine, &project, "radarr-2026-10-01T030000Z.tar.zst.age", true);
    set_marker(&machine, "now");
    let id = container(&machine);

    // A plan touches nothing, and nobody is asked where there is no terminal.
    let plan = project.run(&["restore", "radarr", "--dry-run"]).exits(0);
    assert!(plan.stderr.contains(CONFIG) && plan.stdout.contains("nothing was changed"), "{plan:?}");
    let asked = project.run(&["restore", "radarr"]).exits(1);
    assert!(asked.stderr.contains("--yes") && asked.stderr.contains("nothing has changed"), "{asked:?}");

    let verified = project.run(&["backup", "verify", "radarr", "--json"]).exits(0).json();
    assert_eq!(verified[0]["verified"]["databases"], 1, "{verified:?}");

    // Neither a wrong key nor a damaged backup touches what runs.
    let other = project.path("other.txt");
    let made = std::process::Command::new("age-keygen").arg("-o").arg(&other).output().unwrap();
    assert!(made.status.success());
    let wrong = project.run(&["restore", "radarr", "--yes", "--identity", &other.display().to_string()]).exits(4);
    assert!(
        wrong.stderr.contains("none of the identities") && wrong.stderr.contains("nothing has changed"),
        "{wrong:?}"
    );
    nothing_left(&machine);
    let before = machine.untouched();
    for (at, code, why) in [
        // The header says for whom it is: broken, it is for nobody that is known.
        ("30", 4, "its beginning is damaged"),
        ("180", 2, "damaged"),
        ("$((size / 2))", 2, "damaged"),
        ("$((size - 5))", 2, "damaged"),
    ] {
        let file = "backups/radarr/radarr-2026-11-01T030000Z.tar.zst.age";
        machine.as_user_ok(&format!(
            "cd; cp backups/radarr/radarr-2026-10-01T030000Z.tar.zst.age {file}; size=$(wc -c <{file}); at={at}; \
             byte=$(dd if={file} bs=1 skip=$at count=1 2>/dev/null | od -An -tu1); \
             printf \"\\\\$(printf %o $((byte ^ 4)))\" | dd of={file} bs=1 seek=$at conv=notrunc 2>/dev/null"
        ));
        let refused = project.run(&["restore", "radarr", "--yes"]).exits(code);
        assert!(refused.stderr.contains(why) && refused.stderr.contains("nothing has changed"), "{refused:?}");
        let seen = project.run(&["backup", "verify", "radarr"]).exits(code);
        assert!(seen.stderr.contains(why) && seen.stdout.is_empty(), "{seen:?}");
        machine.as_user_ok(&format!("cd; truncate -s -100 {file}"));
        let refused = project.run(&["restore", "radarr", "--yes"]).exits(code);
        assert!(refused.stderr.contains("nothing has changed"), "{refused:?}");
        machine.as_user_ok(&format!("rm {file}"));
    }
    assert_eq!(machine.ok("ls /home/mms/backups/radarr | grep -c verified").trim(), "1");
    every_damage_is_refused(&machine, &project);
    nothing_left(&machine);
    let after = machine.untouched();
    let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!((container(&machine), marker(&machine).as_str()), (id, "now"));

    // The real one.
    let restored = project.run(&["restore", "radarr", "--yes"]).exits(0);
    assert!(restored.stdout.contains("complete: `radarr` is well"), "{restored:?}");
    assert_eq!(marker(&machine), "saved");
    assert!(rows(&machine) >= saved);
    assert_eq!(machine.ok(&format!("stat -c '%U %a' {CONFIG}")).trim(), "mms 750");
    let replaced = machine.ok("cat /home/mms/config/radarr.mms-replaced-*/marker");
    assert_eq!(replaced.trim(), "now");

    another_run_is_waited_for(&machine, &project);

    // Back to what was replaced, and forward again; then the old data goes.
    project.run(&["restore", "radarr", "--undo"]).exits(0);
    assert_eq!(marker(&machine), "now");
    nothing_left(&machine);
    project.run(&["restore", "radarr", "--yes", "--at", "2026-10-01"]).exits(0);
    assert_eq!(marker(&machine), "saved");
    project.run(&["restore", "radarr", "--confirm"]).exits(0);
    assert!(machine.ok("ls /home/mms/config").lines().all(|name| !name.contains("replaced")));

    unhealthy(&machine, &project);
    from_the_workstation(&machine, &project);
}

/// Damage at thousands of places of the one backup, each a bit that is flipped or a cut: the header and the end densely, what is between
/// them at random. All of it is put before `mms backup verify`, which needs no machine for that; a part of it before `mms restore`.
/// `MMS_RESTORE_DAMAGES=2000` has it refuse more.
fn every_damage_is_refused(machine: &Machine, project: &Project) {
    let whole = newest(machine);
    let places = project.path("damaged");
    std::fs::create_dir_all(places.join("radarr")).unwrap();
    let dense = (0..400).chain(whole.len() - 200..whole.len());
    let random = (0..1500).map(|_| rand::random_range(0..whole.len()));
    let flips = dense.chain(random).map(|at| (at, Some(rand::random_range(0..8))));
    let cuts = (0..200).map(|at| (at * whole.len() / 200, None));
    let damages: Vec<(usize, Option<u8>)> = flips.chain(cuts).collect();
    let mut files = vec![];
    for (number, (at, bit)) in damages.iter().enumerate() {
        let mut damaged = whole.clone();
        match bit {
            Some(bit) => damaged[*at] ^= 1 << bit,
            None => damaged.truncate(*at),
        }
        let (hours, rest) = (number / 3600, number % 3600);
        let file = format!("radarr/radarr-2026-10-02T{hours:02}{:02}{:02}Z.tar.zst.age", rest / 60, rest % 60);
        std::fs::write(places.join(&file), damaged).unwrap();
        files.push(file);
    }
    let verify = ["backup", "verify", "radarr", "--all", "--from-dir", "damaged", "--json"];
    let verified = project.run(&verify);
    let good: Vec<_> = verified.json().into_iter().filter(|line| line["ok"] != false).collect();
    assert!(good.is_empty(), "{good:?}");
    assert_eq!(verified.json().len(), damages.len());

    let wanted = std::env::var("MMS_RESTORE_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    for number in rand::seq::index::sample(&mut rand::rng(), files.len(), wanted).iter() {
        let file = format!("damaged/{}", files[number]);
        let refused = project.run(&["restore", "radarr", "--yes", "--file", &file]);
        let (at, bit) = damages[number];
        assert!(matches!(refused.exit, Some(2 | 4)), "byte {at}, bit {bit:?}: {refused:?}");
        assert!(refused.stderr.contains("nothing has changed"), "byte {at}, bit {bit:?}: {refused:?}");
    }
    std::fs::remove_dir_all(places).unwrap();
}

/// The newest backup, as it lies on the machine.
fn newest(machine: &Machine) -> Vec<u8> {
    use base64::Engine as _;
    let text = machine.as_user_ok("base64 -w0 $(ls backups/radarr/*.age | tail -n 1)");
    base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap()
}

/// While another run has the host's lock, a restore gives up when it has waited as long as it was told to.
fn another_run_is_waited_for(machine: &Machine, project: &Project) {
    let state = "/home/admin/.local/state/mms";
    machine.ok(&format!(
        "mkdir -p {state}; sleep 3000 >/dev/null 2>&1 & pid=$!; echo $pid >/run/holder; start=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20); \
         printf '%s\\n' \"$pid $start $(cat /proc/sys/kernel/random/boot_id) other\" \
         '{{\"owner\":\"alice@laptop\",\"what\":\"site.yml\",\"since\":\"noon\"}}' >{state}/lock; chown -R admin: /home/admin/.local"
    ));
    for more in [&["--undo"][..], &["--yes"]] {
        let arguments = [&["restore", "radarr", "--lock-timeout", "0"], more].concat();
        let refused = project.run(&arguments).exits(3);
        assert!(refused.stderr.contains("alice@laptop runs site.yml since noon"), "{refused:?}");
        assert!(refused.stderr.contains("it was waited for 0 s; `--lock-timeout`"), "{refused:?}");
    }
    machine.ok(&format!("kill $(cat /run/holder); rm {state}/lock"));
}

/// Data on which the service does not become well is swapped back.
fn unhealthy(machine: &Machine, project: &Project) {
    set_marker(machine, "good");
    machine.as_user_ok("cd; mkdir -p bad; mv backups/radarr/* bad/");
    let intact = rows(machine);
    by_hand(machine, project, "radarr-2026-11-05.tar.zst.age", false);
    let id = container(machine);
    let drilled = project.run(&["backup", "drill", "radarr"]).exits(2);
    assert!(drilled.stderr.contains("does not become well on the backup"), "{drilled:?}");
    assert_eq!(container(machine), id);
    nothing_left(machine);
    let told = project.run(&["restore", "radarr", "--yes"]).exits(2);
    assert!(told.stderr.contains("not well on the restored data"), "{told:?}");
    assert!(told.stderr.contains("swapped back"), "{told:?}");
    assert_eq!(marker(machine), "good");
    assert!(rows(machine) >= intact);
    nothing_left(machine);
    machine.as_user_ok("cd; rm backups/radarr/*; mv bad/* backups/radarr/; rmdir bad");
}

/// A file that lies on the workstation, one without a manifest, and one that is not encrypted.
fn from_the_workstation(machine: &Machine, project: &Project) {
    std::fs::create_dir_all(project.path("copies")).unwrap();
    std::fs::write(project.path("copies/radarr-2026-10-01.tar.zst.age"), newest(machine)).unwrap();
    let restored =
        project.run(&["restore", "radarr", "--yes", "--file", "copies/radarr-2026-10-01.tar.zst.age"]).exits(0);
    assert!(restored.stdout.contains("complete"), "{restored:?}");
    assert_eq!(marker(machine), "saved");
    project.run(&["restore", "radarr", "--yes", "--from-dir", "copies", "--json"]).exits(0);

    set_marker(machine, "plain");
    machine.as_user_ok(
        "cd; rm -rf plain; mkdir -p plain/data; podman unshare cp -a config/radarr plain/data/0; \
         podman exec radarr sqlite3 /config/radarr.db \".backup '/config/copy'\"; \
         podman unshare sh -c 'rm -f plain/data/0/radarr.db*; mv config/radarr/copy plain/data/0/radarr.db; cd plain; tar -c data' | zstd -q >/home/mms/by-hand.tar.zst",
    );
    set_marker(machine, "later");
    let restored = project.run(&["restore", "radarr", "--yes", "--file", "media:/home/mms/by-hand.tar.zst"]).exits(0);
    assert!(restored.stderr.contains("no hashes inside"), "{restored:?}");
    assert_eq!(marker(machine), "plain");
    let elsewhere = project.run(&["restore", "radarr", "--yes", "--file", "nas:/x.tar.zst"]).exits(1);
    assert!(elsewhere.stderr.contains("the target is `media`"), "{elsewhere:?}");
}

/// Killed at any moment, a restore that is run again ends where one that was left alone does.
#[test]
fn a_restore_that_was_killed_is_completed_by_the_next() {
    if !lab::wanted("a_restore_that_was_killed_is_completed_by_the_next") {
        return;
    }
    let (machine, project) = radarr("rki");
    set_marker(&machine, "saved");
    // Large enough that there is a moment while it is unpacked.
    machine.as_user_ok("head -c 60000000 /dev/urandom >config/radarr/large");
    by_hand(&machine, &project, "radarr-2026-10-01T030000Z.tar.zst.age", true);
    let hash = machine.ok(&format!("sha256sum {CONFIG}/large"));
    let mut recovered = 0;
    for moment in [400, 800, 1200, 1600, 2000, 2600, 3200, 4000] {
        set_marker(&machine, "now");
        let mut restore = project
            .command(&["restore", "radarr", "--yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        let _ = restore.kill();
        let _ = restore.wait();
        let again = project.run(&["restore", "radarr", "--yes"]).exits(0);
        recovered += usize::from(again.stderr.contains("was cut off"));
        assert!(again.stdout.contains("complete"), "{again:?}");
        assert_eq!(marker(&machine), "saved", "killed after {moment} ms: {again:?}");
        assert_eq!(machine.ok(&format!("sha256sum {CONFIG}/large")), hash);
        rows(&machine);
        let left = machine.ok(
            "find /home/mms/config -maxdepth 1 -name '.mms-restore-*'; ls /home/mms/.local/state/mms/restore/radarr",
        );
        assert_eq!(left.lines().count(), 1, "one journal of the last restore is kept: {left}");
    }
    assert!(recovered > 0, "no restore was cut off");
}

/// A service with a database server: verified, drilled and restored.
#[test]
fn databases_of_postgresql_are_loaded_afresh() {
    if !lab::wanted("databases_of_postgresql_are_loaded_afresh") {
        return;
    }
    let machine = Machine::up("rpg");
    machine.add_user();
    machine.ok("mkdir -p /data/photos && chown -R mms:mms /data");
    let project = Project::new(&machine);
    project.secret("vault_immich_db_password", "first-Passw0rd");
    immich_backup(&project, "");
    project.run(&["deploy-service", "immich"]).exits(0);
    machine.as_user_ok("echo saved >/data/photos/marker");
    let saved = assets(&machine);
    by_hand::immich(&machine, &project, "immich-2026-10-01T030000Z.tar.zst.age", "");
    machine.as_user_ok("echo now >/data/photos/marker");

    let verified = project.run(&["backup", "verify", "immich", "--json"]).exits(0).json();
    assert_eq!((&verified[0]["ok"], &verified[0]["verified"]["dumps"]), (&true.into(), &1.into()), "{verified:?}");
    assert!(machine.ok("cat /home/mms/backups/immich/*.verified").contains("20"));

    // A drill leaves what runs alone, and nothing behind.
    let names = "podman ps -a --format '{{.Names}} {{.ID}}' | sort; podman network ls -q | sort; podman volume ls -q | sort; ls /run/user/1100/containers/systemd 2>/dev/null; true";
    let before = machine.as_user_ok(names);
    let drilled = project.run(&["backup", "drill", "immich"]).exits(0);
    assert!(drilled.stdout.contains("is well on `immich-2026-10-01T030000Z"), "{drilled:?}");
    assert_eq!(machine.as_user_ok(names), before);
    nothing_left(&machine);

    // The password was changed after the backup: the one of now is the right one.
    project.secret("vault_immich_db_password", "second-Passw0rd");
    machine.as_user_ok(
        "podman exec immich-postgres psql -U immich -d immich -qc \"ALTER ROLE immich PASSWORD 'second-Passw0rd'\"",
    );
    project.run(&["deploy-service", "immich"]).exits(0);
    let restored = project.run(&["restore", "immich", "--yes"]).exits(0);
    assert!(restored.stdout.contains("complete: `immich` is well"), "{restored:?}");
    assert_eq!(machine.ok("cat /data/photos/marker").trim(), "saved");
    assert!(assets(&machine) >= saved);

    // A dump that does not load costs nothing.
    machine.as_user_ok("rm backups/immich/*");
    by_hand::immich(
        &machine,
        &project,
        "immich-2026-11-01T030000Z.tar.zst.age",
        "echo 'SELECT no_such_function();' >>immich-postgres.sql",
    );
    let id = machine.as_user_ok("podman ps --format '{{.Names}} {{.ID}}' | sort");
    let refused = project.run(&["restore", "immich", "--yes"]).exits(2);
    assert!(refused.stderr.contains("SQLSTATE 42883") && refused.stderr.contains("nothing has changed"), "{refused:?}");
    assert_eq!(machine.as_user_ok("podman ps --format '{{.Names}} {{.ID}}' | sort"), id);
    for (verb, output) in project.outputs() {
        assert!(!output.contains("-Passw0rd"), "`mms {verb}` shows a secret");
    }
}

/// The database and the photos, which this test takes for small.
fn immich_backup(project: &Project, more: &str) {
    let text = project.read("services/immich.yml");
    let (text, _) = text.split_once("\nbackup:\n").unwrap();
    let quick = text.replace("interval: 15s", "interval: 2s").replace("interval: 10s", "interval: 2s");
    let backup =
        "strategy: postgres\n  container: immich-postgres\n  user: immich\n  paths: \"{{ mms_data_dir }}/photos\"";
    project.write("services/immich.yml", &format!("{quick}\nbackup:\n  {backup}\n  {more}\n"));
}

/// Rows of Immich's stand-in, none of which may be missing before the last one.
fn assets(machine: &Machine) -> u64 {
    let query = "SELECT count(*), max(id) FROM asset WHERE id <= (SELECT min(one.id) FROM asset one LEFT JOIN asset two ON two.id = one.id + 1 WHERE two.id IS NULL)";
    let answer = machine.as_user_ok(&format!("podman exec immich-postgres psql -U immich -d immich -Atc '{query}'"));
    let (count, last) = answer.trim().split_once('|').unwrap();
    assert_eq!(count, last);
    count.parse().unwrap()
}

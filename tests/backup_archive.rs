//! The part of the program on the target that writes archives (`src/backup/target/mms-backup-archive`), run here: whatever names, links and sizes
//! there are, and while all of it changes, what it writes is what mms and plain tools read, and every sum is that of the archive's content.
//!
//! It needs GNU tar, zstd and perl; without them these tests do nothing, unless `MMS_REQUIRE_SHELLS=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mms::backup::archive::{self, Expected, Kind, Member, Report, Visitor};
use mms::connection::Nobody;
use mms::vault::Keyring;
use tempfile::TempDir;

const LARGE: usize = 5 << 20;

/// The members of an archive: name, kind, size.
#[derive(Default)]
struct Seen(Vec<(String, Kind, u64)>);

impl Visitor for Seen {
    fn member(&mut self, member: &Member) -> mms::error::Result<()> {
        self.0.push((String::from_utf8_lossy(&member.path).into_owned(), member.kind, member.size));
        Ok(())
    }
    fn data(&mut self, _: &[u8]) -> mms::error::Result<()> {
        Ok(())
    }
    fn end(&mut self) -> mms::error::Result<()> {
        Ok(())
    }
}

/// A service's data, and where it is archived to.
struct Bench {
    dir: TempDir,
}

impl Bench {
    /// None where the programs are not there.
    fn new() -> Option<Self> {
        let there =
            |script: &str| Command::new("sh").args(["-c", script]).status().is_ok_and(|status| status.success());
        if !there("tar --version | grep -q 'GNU tar' && command -v zstd && command -v perl") {
            let required = std::env::var("MMS_REQUIRE_SHELLS").is_ok_and(|value| value == "1");
            assert!(!required, "GNU tar, zstd or perl is missing");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data of it");
        fs::create_dir(&data).unwrap();
        for (name, content) in mms::backup::target::PARTS {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let excludes = "logs\n*.tmp\nc[a]che";
        let config = format!("strategy=cold\nencrypt=no\npaths='{}'\nexcludes='{excludes}'\n", data.display());
        fs::write(dir.path().join("conf"), config).unwrap();
        Some(Self { dir })
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join("data of it").join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::create_dir_all(self.data(name).parent().unwrap()).unwrap();
        fs::write(self.data(name), content).unwrap();
    }

    /// Writes the archive: what is in it, and what tar warned of.
    fn archive(&self) -> (Report, Seen, String) {
        let at = |name: &str| self.dir.path().join(name);
        let _ = fs::remove_dir_all(at("stage"));
        fs::create_dir_all(at("stage/.mms-staged/.mms")).unwrap();
        fs::write(at("stage/.mms-staged/.mms/service.json"), "{}").unwrap();
        let mut command = Command::new("sh");
        command.arg(at("mms-backup-archive")).args([at("conf"), at("stage"), at("part")]);
        let output = command.output().unwrap();
        let why = fs::read_to_string(at("stage/error")).unwrap_or_default();
        assert!(output.status.success(), "{why}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(!at("stage/unpacked").exists(), "what was unpacked is left behind");
        let mut seen = Seen::default();
        let file = fs::File::open(at("part")).unwrap();
        let sha256 = fs::read_to_string(at("stage/sha256")).unwrap().trim().to_owned();
        let expected = Expected { encrypted: Some(false), sha256: Some(sha256), size: None };
        let report =
            archive::check(Box::new(file), &expected, &Keyring::new(vec![], Arc::new(Nobody)), &mut seen).unwrap();
        assert!(report.manifest);
        (report, seen, fs::read_to_string(at("stage/tar.warnings")).unwrap())
    }

    /// Opens the archive with plain tools.
    fn open(&self) -> PathBuf {
        let opened = self.dir.path().join("opened");
        let _ = fs::remove_dir_all(&opened);
        fs::create_dir(&opened).unwrap();
        let script = "zstd -dcq ../part | tar -xp && sha256sum --quiet --strict -c .mms/SHA256SUMS";
        run(Command::new("sh").args(["-c", script]).current_dir(&opened));
        opened.join("data/0")
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Names, kinds, permissions, times, sizes and links of a tree, without what is excluded or never archived.
fn look(tree: &Path) -> String {
    let script = "find . \\( -path ./logs -o -name '*.tmp' -o -name 'cache' -o -type s \\) -prune -o -type d -printf '%P %y %m %T@\\0' -o -printf '%P %y %m %T@ %n %l %s\\0' | sort -z | tr '\\0' '\\n'";
    let seen = run(Command::new("sh").args(["-c", script]).current_dir(tree));
    // tar keeps whole seconds.
    seen.lines().map(|line| format!("{}\n", without_fractions(line))).collect()
}

fn without_fractions(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once('.') {
        Some((whole, fraction)) if fraction.len() == 10 && whole.parse::<u64>().is_ok() => whole,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn whatever_there_is_comes_back() {
    let Some(bench) = Bench::new() else { return };
    let names =
        ["plain", "with space", "back\\slash", "quo'te\"", "st*r[x]?", "ünï", "cr\rname", "new\nline", "-dash", "end "];
    for (at, name) in names.into_iter().enumerate() {
        bench.write(name, name.as_bytes());
        bench.write(&format!("deep/{name}/{name}"), &vec![at as u8; LARGE + at]);
        bench.write(&format!("deep/{at}.tmp"), b"left out");
    }
    bench.write("empty", b"");
    bench.write("zeros", &vec![0; LARGE]);
    bench.write("logs/one", &vec![1; LARGE]);
    bench.write("cache", b"left out");
    for at in 0..700 {
        bench.write(&format!("many/{}/{at}", at % 7), &vec![at as u8; at * 200]);
    }
    fs::hard_link(bench.data("plain"), bench.data("many/same")).unwrap();
    fs::hard_link(bench.data("zeros"), bench.data("many/large and same")).unwrap();
    symlink("/etc/passwd", bench.data("absolute")).unwrap();
    symlink("../../..", bench.data("deep/up")).unwrap();
    symlink("plain", bench.data("beside")).unwrap();
    run(Command::new("mkfifo").arg(bench.data("pipe")));
    let _socket = std::os::unix::net::UnixListener::bind(bench.data("socket")).unwrap();
    bench.write("closed/inside", b"x");
    fs::set_permissions(bench.data("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(bench.data("plain"), fs::Permissions::from_mode(0o4751)).unwrap();
    run(Command::new("touch").args(["-d", "2001-02-03 04:05:06"]).args([bench.data("closed"), bench.data("deep")]));

    let (report, seen, warnings) = bench.archive();
    assert_eq!(warnings, "");
    assert_eq!(report.counts.links, 5);
    assert!(
        !seen.0.iter().any(|(name, ..)| name.contains("logs") || name.ends_with(".tmp") || name.ends_with("cache"))
    );
    let opened = bench.open();
    assert_eq!(look(&opened), look(&bench.data("")));
    let compared =
        Command::new("diff").args(["-r", "--no-dereference"]).args([bench.data(""), opened]).output().unwrap();
    let differing = String::from_utf8(compared.stdout).unwrap();
    let foreseen = |line: &&str| !line.contains("Only in") && !line.contains("is a fifo");
    assert_eq!(differing.lines().filter(foreseen).collect::<Vec<_>>(), Vec::<&str>::new());
    // Whoever removes the directory may not be root.
    fs::set_permissions(bench.data("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    run(Command::new("chmod").args(["-R", "u+rwX"]).arg(bench.dir.path()));
}

#[test]
fn sums_are_of_the_archive_while_everything_changes() {
    let Some(bench) = Bench::new() else { return };
    for at in 0..200 {
        bench.write(&format!("small/{at}"), &vec![at as u8; 50_000]);
    }
    for at in 0..6 {
        bench.write(&format!("large/{at}"), &vec![at as u8; LARGE]);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_usize.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (small, large) =
                    (bench.data(&format!("small/{}", round % 200)), bench.data(&format!("large/{}", round % 6)));
                fs::write(&small, vec![round as u8; round % 90_000]).unwrap();
                let _ = fs::remove_file(&large);
                bench.write(&format!("large/{}", (round + 3) % 6), &vec![round as u8; LARGE]);
                let _ = fs::rename(bench.data(&format!("large/{}", (round + 4) % 6)), bench.data("small/rotated"));
                let _ = fs::hard_link(&small, bench.data(&format!("small/same-{}", round % 5)));
            }
        });
        let stop_at_last = Stop(&stop);
        let mut warned = false;
        for _ in 0..4 {
            let (report, _, warnings) = bench.archive();
            assert!(report.counts.files >= 200);
            warned |= !warnings.is_empty();
        }
        assert!(warned, "nothing changed meanwhile");
        drop(stop_at_last);
    });
}

/// Between pipes nothing is copied. It is copied where perl was made for another machine, from a file, and to one that only grows.
#[test]
fn both_ends_copy_only_what_cannot_be_shared() {
    let Some(bench) = Bench::new() else { return };
    bench.write("large", &vec![7; LARGE]);
    bench.write("small", b"8");
    let script = r#"
        mkdir -p stage/.mms-staged/.mms lib/Config
        printf 'package Config; our %%Config = (archname => "pdp11-unix"); 1;' >lib/Config/Config.pm
        printf 'END { open(my $io, "<", "/proc/thread-self/io"); print STDERR <$io> =~ /rchar: (\d+)/ && $1 > 3 << 20 ? "copied\n" : "shared\n" } 1;' >lib/Tell.pm
        tar --create --format=gnu --file=archive 'data of it'
        run() { perl -Ilib -MTell "$@" 2>>ways; }
        other=-Ilib/Config
        hash() { run "$@" mms-backup-stream.pl hash stage "$PWD/unpacked"; cat stage/.mms-staged/.mms/SHA256SUMS >>sums; }
        save() { run "$@" mms-backup-stream.pl save stage "$to"; cat stage/sha256 >>hashes; }
        cat archive | hash | cat >1
        cat archive | hash $other | cat >2
        hash <archive >3
        : >4; cat archive | hash >>4
        to=5; cat 1 | save
        to=6; cat 1 | save $other
        to=7; save <1
        for each in 2 3 4 5 6 7; do cmp 1 "$each"; done
        sort sums | uniq -c | sed "s/$(sha256sum 'data of it/large' | cut -c -64)/right/"
        sort hashes | uniq -c | sed "s/$(sha256sum <1 | cut -c -64)/right/"
        cat ways
    "#;
    let said = run(Command::new("sh").args(["-euc", script]).current_dir(bench.dir.path()));
    let known = cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));
    let ways = if known {
        "shared copied copied copied shared copied copied"
    } else {
        "copied copied copied copied copied copied copied"
    };
    let small = "2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3";
    let expected = format!("4 {small} data of it/small 4 right data of it/large 3 right {ways}");
    assert_eq!(said.split_whitespace().collect::<Vec<_>>().join(" "), expected);
}

/// A program that is older than the one that calls it must not take what it does not know for something else.
#[test]
fn a_verb_that_is_not_known_is_an_error() {
    let Some(bench) = Bench::new() else { return };
    for verb in ["", "keep"] {
        let mut command = Command::new("perl");
        command.args(["mms-backup-stream.pl", verb, "stage", "part"]).current_dir(bench.dir.path());
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        let why = format!("`{verb}` is nothing that this program does\n");
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), why));
        assert!(!bench.dir.path().join("part").exists());
    }
}

/// What `mms backup --to` runs on the host: all of the file comes, also what came just before it was renamed or removed.
#[test]
fn a_file_is_followed_until_its_name_is_gone() {
    let Some(bench) = Bench::new() else { return };
    fs::write(bench.dir.path().join("follow.pl"), include_str!("../src/cli/backup/follow.pl")).unwrap();
    let script = r#"
        mkdir -p lib/Config
        printf 'package Config; our %%Config = (archname => "pdp11-unix"); 1;' >lib/Config/Config.pm
        printf 'my $read = 0; *CORE::GLOBAL::sysread = sub { $read = 1; CORE::sysread($_[0], $_[1], $_[2]) };
            END { print STDERR $read ? "copied\n" : "sent\n" } 1;' >lib/Tell.pm
        head -c 3000000 /dev/urandom >piece
        follow() {
            : >part
            { sleep 0.2; cat piece >>part; sleep 0.2; cat piece >>part; "$@"; } &
            perl -Ilib -MTell $other follow.pl "$PWD/part" 2>>ways | cat >got
            wait
            cat piece piece | cmp - got
        }
        other=''; follow mv part whole; follow rm part
        other=-Ilib/Config; follow mv part whole; follow rm part
        cat ways
        ! perl follow.pl "$PWD/part" 2>why; cat why
    "#;
    let said = run(Command::new("sh").args(["-euc", script]).current_dir(bench.dir.path()));
    let known = cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));
    let ways = if known { "sent sent copied copied" } else { "copied copied copied copied" };
    let missing = format!("cannot open {}/part: No such file or directory", bench.dir.path().display());
    assert_eq!(said.split_whitespace().collect::<Vec<_>>().join(" "), format!("{ways} {missing}"));
}

/// Ends the other thread, also when this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A service of which only dumps are saved.
#[test]
fn there_may_be_no_paths() {
    let Some(bench) = Bench::new() else { return };
    fs::write(bench.dir.path().join("conf"), "strategy=postgres\nencrypt=no\npaths=\n").unwrap();
    let (report, seen, warnings) = bench.archive();
    assert_eq!((report.counts.files, seen.0.len(), warnings.as_str()), (1, 0, ""));
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let Some(bench) = Bench::new() else { return };
    bench.write("one", b"x");
    let stage = bench.dir.path().join("stage");
    fs::create_dir_all(stage.join(".mms-staged/.mms")).unwrap();
    fs::write(bench.dir.path().join("conf"), "strategy=cold\nencrypt=no\npaths=/nowhere/at/all\n").unwrap();
    let mut command = Command::new("sh");
    command.arg(bench.dir.path().join("mms-backup-archive")).args([
        bench.dir.path().join("conf"),
        stage.clone(),
        bench.dir.path().join("part"),
    ]);
    assert!(!command.status().unwrap().success());
    assert_eq!(fs::read_to_string(stage.join("error")).unwrap().trim(), "the path /nowhere/at/all does not exist");
}

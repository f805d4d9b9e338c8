//! Backups made in memory: whole ones are read, and every way of breaking one is seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{Cursor, Read as _, Write as _};
use std::sync::Arc;

use super::*;
use crate::connection::Nobody;
use crate::error::ErrorKind;
use crate::hex::hex;
use crate::vault::IdentitySource;

/// A key, and the keyring that has it.
struct Key {
    _dir: tempfile::TempDir,
    recipient: age::x25519::Recipient,
    keyring: Keyring,
}

fn key() -> Key {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.txt");
    std::fs::write(&path, identity.to_string().expose_secret()).unwrap();
    let keyring = Keyring::new(vec![IdentitySource { path, from: "a test".into() }], Arc::new(Nobody));
    Key { _dir: dir, recipient: identity.to_public(), keyring }
}

fn member(path: &str, kind: Kind, size: usize) -> Member {
    Member {
        path: path.into(),
        kind,
        size: size as u64,
        mode: 0o640,
        uid: 0,
        gid: 3_000_000,
        mtime: (1_790_000_000, 5),
        link: vec![],
        attributes: vec![],
    }
}

enum Part<'a> {
    File(&'a str, &'a [u8]),
    Dir(&'a str),
    Sym(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Other(&'a str, Kind),
}
use Part::{Dir, File, Hard, Other, Sym};

fn tar(parts: &[Part<'_>]) -> Vec<u8> {
    let mut out = Rewriter::new(vec![]);
    for part in parts {
        match part {
            File(path, content) => {
                out.member(&member(path, Kind::File, content.len())).unwrap();
                out.data(content).unwrap();
            }
            Dir(path) => out.member(&member(path, Kind::Directory, 0)).unwrap(),
            Sym(path, to) => out.member(&Member { link: (*to).into(), ..member(path, Kind::Symlink, 0) }).unwrap(),
            Hard(path, to) => out.member(&Member { link: (*to).into(), ..member(path, Kind::Hardlink, 0) }).unwrap(),
            Other(path, kind) => out.member(&member(path, *kind, 0)).unwrap(),
        }
    }
    out.finish().unwrap()
}

fn line(path: &str, content: &[u8]) -> String {
    format!("{}  {path}\n", hex(&Sha256::digest(content)))
}

/// A small backup as the target writes it.
fn whole() -> Vec<u8> {
    let long = format!("data/0/{}end", "a-long-name/".repeat(20));
    let database = [b"SQLite format 3\0".as_slice(), &[7; 5000]].concat();
    let service = br#"{"service":"radarr"}"#;
    let sums = [
        line("data/0/config.xml", b"<Config/>\n"),
        line("data/0/radarr.db", &database),
        line(&long, b""),
        line(".mms/service.json", service),
    ]
    .concat();
    let bytes = 10 + database.len() + service.len();
    let manifest = format!(r#"{{"format":1,"files":4,"directories":2,"links":2,"bytes":{bytes}}}"#);
    tar(&[
        Dir("data"),
        Dir("data/0"),
        File("data/0/config.xml", b"<Config/>\n"),
        File("data/0/radarr.db", &database),
        File(&long, b""),
        Sym("data/0/link", "/elsewhere"),
        Hard("data/0/other", "data/0/config.xml"),
        File(".mms/service.json", service),
        File(".mms/SHA256SUMS", sums.as_bytes()),
        File(".mms/manifest.json", manifest.as_bytes()),
    ])
}

fn pack(tar: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(vec![], 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn seal(content: &[u8], recipient: &age::x25519::Recipient) -> Vec<u8> {
    let recipients = std::iter::once(recipient as &dyn age::Recipient);
    let mut sealed = vec![];
    let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut sealed).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap();
    sealed
}

fn read(bytes: &[u8], keyring: &Keyring) -> Result<Report> {
    check(Box::new(Cursor::new(bytes.to_vec())), &Expected::default(), keyring, &mut Nothing)
}

#[test]
fn a_whole_backup_is_read_and_counted() {
    let key = key();
    let sealed = seal(&pack(&whole()), &key.recipient);
    let report = read(&sealed, &key.keyring).unwrap();
    assert!(report.encrypted && report.manifest);
    assert_eq!((report.counts.files, report.counts.directories, report.counts.links), (4, 2, 2));
    assert_eq!((report.size, report.sha256), (sealed.len() as u64, hex(&Sha256::digest(&sealed))));
    assert_eq!(report.service.unwrap()["service"], "radarr");
    let report = read(&pack(&whole()), &key.keyring).unwrap();
    assert!(!report.encrypted && report.manifest);
}

/// `age --armor`, by hand.
#[test]
fn an_armored_backup_is_read() {
    let key = key();
    let sealed = seal(&pack(&whole()), &key.recipient);
    let mut armor = age::armor::ArmoredWriter::wrap_output(vec![], age::armor::Format::AsciiArmor).unwrap();
    armor.write_all(&sealed).unwrap();
    let armored = armor.finish().unwrap();
    let report = read(&armored, &key.keyring).unwrap();
    assert!(report.encrypted && report.counts.files == 4);
    let cut = &armored[..armored.len() / 2];
    assert!(read(cut, &key.keyring).is_err());
}

#[test]
fn the_note_beside_it_must_fit() {
    let key = key();
    let sealed = seal(&pack(&whole()), &key.recipient);
    let with = |expected: Expected| {
        check(Box::new(Cursor::new(sealed.clone())), &expected, &key.keyring, &mut Nothing).map_err(|it| it.to_string())
    };
    let right = Expected {
        encrypted: Some(true),
        sha256: Some(hex(&Sha256::digest(&sealed))),
        size: Some(sealed.len() as u64),
    };
    with(right.clone()).unwrap();
    assert!(with(Expected { sha256: Some("0".repeat(64)), ..right.clone() }).unwrap_err().contains("SHA-256"));
    assert!(with(Expected { size: Some(1), ..right }).unwrap_err().contains("says 1"));
    let plain = pack(&whole());
    let error = check(
        Box::new(Cursor::new(plain)),
        &Expected { encrypted: Some(true), ..Expected::default() },
        &key.keyring,
        &mut Nothing,
    );
    assert!(error.unwrap_err().to_string().contains("not encrypted"));
}

#[test]
fn another_key_is_the_vaults_trouble() {
    let (one, other) = (key(), key());
    let error = read(&seal(&pack(&whole()), &one.recipient), &other.keyring).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Vault);
}

/// Done when 3 of the requirements: each single bit that is flipped, and each cut, is seen.
#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let key = key();
    let plain = pack(&whole());
    for (file, what) in [(seal(&plain, &key.recipient), "encrypted"), (plain, "plain")] {
        read(&file, &key.keyring).unwrap();
        let mut tried = 0;
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut broken = file.clone();
                broken[at] ^= 1 << bit;
                // zstd has bits that mean nothing (reserved ones, the size of the window): what is read must then be right.
                match read(&broken, &key.keyring) {
                    Ok(_) if what == "plain" => {
                        let guarded = Expected { sha256: Some(hex(&Sha256::digest(&file))), ..Expected::default() };
                        let source = Box::new(Cursor::new(broken));
                        assert!(check(source, &guarded, &key.keyring, &mut Nothing).is_err(), "byte {at}, bit {bit}");
                    }
                    Ok(_) => panic!("{what}: byte {at}, bit {bit} flipped, and nothing was seen"),
                    Err(_) => {}
                }
                tried += 1;
            }
            assert!(read(&file[..at], &key.keyring).is_err(), "{what}: cut at {at}");
            tried += 1;
        }
        assert!(tried > 2000, "only {tried} faults in {} bytes of the {what} one", file.len());
    }
}

/// Faults below the encryption: the stream itself is right, its content is not.
#[test]
fn every_flipped_bit_of_the_tar_stream_is_seen() {
    let key = key();
    let tar = whole();
    let mut harmless = 0;
    for at in (0..tar.len()).step_by(3) {
        let mut broken = tar.clone();
        broken[at] ^= 1 << (at % 8);
        match read(&pack(&broken), &key.keyring) {
            // Fractions of seconds stand in no header that has a checksum, and times are not in the sums.
            Ok(_) => harmless += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Failed),
        }
    }
    let fractions = 10 * "mtime=1790000000.000000005".len();
    assert!(harmless < fractions / 3, "{harmless} flipped bits were not seen");
    for at in (0..tar.len() - 1024).step_by(512) {
        assert!(read(&pack(&tar[..at]), &key.keyring).is_err(), "cut at {at}");
    }
}

#[test]
fn what_follows_the_end_is_seen() {
    let key = key();
    let mut longer = whole();
    longer.extend([0; 9 * 512]);
    read(&pack(&longer), &key.keyring).unwrap();
    longer.extend(b"more");
    assert!(read(&pack(&longer), &key.keyring).unwrap_err().to_string().contains("something follows"));
    let sealed = seal(&pack(&whole()), &key.recipient);
    assert!(read(&[sealed.as_slice(), b"x"].concat(), &key.keyring).is_err());
    assert!(read(&[pack(&whole()), b"more".to_vec()].concat(), &key.keyring).is_err());
    let twice = [pack(&whole()), pack(&whole())].concat();
    assert!(read(&twice, &key.keyring).is_err());
}

#[test]
fn nothing_leads_out_of_its_place() {
    let key = key();
    let file = |path| File(path, b"x");
    for (parts, why) in [
        (vec![file("/data/0/x")], "leads out"),
        (vec![file("data/0/../../x")], "leads out"),
        (vec![file("..")], "leads out"),
        (vec![file("etc/passwd")], "stands neither"),
        (vec![Sym("data/0/out", "/etc"), file("data/0/out/x")], "through a symbolic link"),
        (vec![Sym("data/0", "/etc"), file("data/0/x")], "through a symbolic link"),
        (vec![file("data/0/a"), file("data/0/a/x")], "no directory"),
        (vec![Hard("data/0/h", "data/0/missing")], "hard link"),
        (vec![Hard("data/0/h", "/etc/shadow")], "hard link"),
        (vec![Sym("data/0/s", "/etc/shadow"), Hard("data/0/h", "data/0/s")], "hard link"),
        (vec![file("data/0/a"), Hard("data/1/h", "data/0/a")], "hard link"),
        (vec![file("data/0/a"), file("data/0/./a")], "twice"),
        (vec![Dir("data/0/a"), file("data/0/a")], "twice"),
        (vec![Dir("data/0/d"), Dir("data/0/d/")], "twice"),
        (vec![Sym(".mms", "/etc")], "must stand there"),
    ] {
        let error = read(&pack(&tar(&parts)), &key.keyring).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(why), "{why}: {error}");
    }
    // A device is never written by this crate; its header is made of another one's.
    let mut device = tar(&[Other("data/0/null", Kind::Fifo)]);
    read(&pack(&device), &key.keyring).unwrap();
    let at = device.len() - 3 * 512;
    device[at + 156] = b'3';
    let sum: u32 = device[at..at + 512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    device[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(read(&pack(&device), &key.keyring).unwrap_err().to_string().contains("device node"));
}

#[test]
fn sums_and_counts_must_be_those_of_the_content() {
    let key = key();
    let content = b"content";
    let sums = line("data/0/a", content);
    let good = r#"{"format":1,"files":1,"directories":0,"links":0,"bytes":7}"#;
    let file = ("data/0/a", content.as_slice());
    let build = |files: &[(&str, &[u8])], sums: Option<&str>, manifest: Option<&str>| {
        let mut parts: Vec<Part<'_>> = files.iter().map(|(path, content)| File(path, content)).collect();
        parts.extend(sums.map(|sums| File(".mms/SHA256SUMS", sums.as_bytes())));
        parts.extend(manifest.map(|manifest| File(".mms/manifest.json", manifest.as_bytes())));
        read(&pack(&tar(&parts)), &key.keyring).map_err(|error| error.to_string())
    };
    assert!(build(&[file], Some(&sums), Some(good)).unwrap().manifest);
    assert!(!build(&[file], None, None).unwrap().manifest);
    let fails = |result: std::result::Result<Report, String>, why: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    };
    fails(build(&[file, ("data/0/b", b"")], Some(&sums), Some(good)), "`data/0/b` is in the archive but not in");
    fails(build(&[], Some(&sums), Some(good)), "`data/0/a` is in `.mms/SHA256SUMS` but not in the archive");
    fails(build(&[("data/0/a", b"c0ntent")], Some(&sums), Some(good)), "content of `data/0/a`");
    fails(build(&[file], Some(&sums.repeat(2)), Some(good)), "twice");
    fails(build(&[file], Some(sums.trim_end()), Some(good)), "no end");
    fails(build(&[file], Some("nonsense\n"), Some(good)), "line 1");
    fails(build(&[file], Some(&sums), None), "manifest.json` is missing");
    fails(build(&[file], None, Some(good)), "SHA256SUMS` is missing");
    fails(
        build(&[file], Some(&sums), Some(&good.replace("\"files\":1", "\"files\":2"))),
        "says 2 files, and there are 1",
    );
    fails(build(&[file], Some(&sums), Some(&good.replace("\"format\":1", "\"format\":9"))), "format 9");
    fails(build(&[file], Some(&sums), Some("{")), "manifest.json`:");
}

/// Names that `sha256sum` escapes, and those that need pax or GNU records, as the programs themselves write them.
#[test]
fn reads_what_tar_and_sha256sum_write() {
    let key = key();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data/0");
    std::fs::create_dir_all(root.join("x".repeat(120))).unwrap();
    for name in
        ["plain", "with space", "new\nline", "back\\slash", "ünï", &format!("{}/{}", "x".repeat(120), "y".repeat(120))]
    {
        std::fs::write(root.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("z".repeat(150), root.join("far")).unwrap();
    std::fs::hard_link(root.join("plain"), root.join("same")).unwrap();
    for format in ["gnu", "pax", "ustar"] {
        let limit = if format == "ustar" { "rm -rf data/0/xxx* data/0/far;" } else { "" };
        let script = format!(
            "set -e; cd {}; {limit} mkdir -p .mms; tar --format={format} -b1 -c data | head -c -1024 >../$$.tar
             find data -type f ! -samefile data/0/plain -exec sha256sum {{}} + >.mms/SHA256SUMS; sha256sum data/0/plain >>.mms/SHA256SUMS
             echo '{{\"format\": 1, \"files\": '$(wc -l <.mms/SHA256SUMS)', \"links\": '$(({}))'}}' >.mms/manifest.json
             tar --format={format} -b1 -c .mms/SHA256SUMS .mms/manifest.json >>../$$.tar; cat ../$$.tar; rm ../$$.tar",
            dir.path().display(),
            if format == "ustar" { "1" } else { "2" },
        );
        let output = std::process::Command::new("sh").arg("-c").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut seen = Seen::default();
        let source = Box::new(Cursor::new(seal(&pack(&output.stdout), &key.recipient)));
        // tar takes one of the names of a file as the file and the others as links to it.
        let report = check(source, &Expected::default(), &key.keyring, &mut seen);
        match report {
            Ok(report) => assert!(report.manifest),
            Err(error) => assert!(
                error.to_string().contains("data/0/same") || error.to_string().contains("data/0/plain"),
                "{format}: {error}"
            ),
        }
        assert!(seen.names.iter().any(|name| name.contains("new\nline")), "{:?}", seen.names);
        // What is written anew is what tar reads.
        let mut tar = std::process::Command::new("tar")
            .arg("-tf")
            .arg("-")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&seen.out.finish().unwrap()).unwrap();
        let mut list = String::new();
        tar.stdout.take().unwrap().read_to_string(&mut list).unwrap();
        assert!(tar.wait().unwrap().success());
        assert_eq!(list.lines().count(), seen.names.len(), "{list}");
    }
}

struct Seen {
    names: Vec<String>,
    out: Rewriter<Vec<u8>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { names: vec![], out: Rewriter::new(vec![]) }
    }
}

impl Visitor for Seen {
    fn member(&mut self, member: &Member) -> Result<()> {
        self.names.push(String::from_utf8_lossy(&member.path).into_owned());
        self.out.member(member).unwrap();
        Ok(())
    }
    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.data(bytes).unwrap();
        Ok(())
    }
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

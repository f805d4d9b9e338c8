use super::*;

fn listing(text: &str) -> Listing {
    parse(format!("gnu\n{}", text.replace('\n', "\0")).as_bytes()).unwrap()
}

fn paths(listing: &Listing) -> Vec<String> {
    listing.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

#[test]
fn reads_what_gnu_and_busybox_write() {
    let gnu = parse(
        b"gnu\nf 640 5 1700000000.1234567890 a b\0d 755 4096 1700000000.5 d\0l 777 1 3.0 d/l\0s 755 0 1.0 sock\0",
    )
    .unwrap();
    let a = Entry { kind: Kind::File, mode: 0o640, size: 5, mtime: 1_700_000_000_123_456_789 };
    assert_eq!(gnu.get(b"a b".as_slice()), Some(&a));
    assert_eq!(paths(&gnu), ["a b", "d", "d/l"]);
    let plain = parse(b"plain\n81a0 5 1700000000 ./a b\n41ed 4096 1700000000 ./d\nc1ed 0 1 ./sock\n").unwrap();
    assert_eq!(plain.get(b"a b".as_slice()), Some(&Entry { mtime: 1_700_000_000_000_000_000, ..a }));
    assert_eq!(paths(&plain), ["a b", "d"]);
    for wrong in ["", "what\n", "gnu\nf 640 x 1.0 a\0", "plain\n81a0 5 17 ./with\nline end\n", "plain\n81a0 5 17 a\n"] {
        assert!(parse(wrong.as_bytes()).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_differs_is_sent_and_what_is_gone_removed() {
    let source = listing(
        "f 644 5 10.5 same\nf 644 5 10.7 newer\nf 600 5 10.5 mode\nf 644 6 10.5 longer\nd 755 1 1.0 dir\nf 644 1 1.0 dir/x\nl 777 3 1.0 link\nd 755 9 9.0 was-file\nf 644 5 10.25 coarse",
    );
    let copy = listing(
        "f 644 5 10.5 same\nf 644 5 10.5 newer\nf 644 5 10.5 mode\nf 644 5 10.5 longer\nd 700 1 2.0 dir\nf 644 1 1.0 dir/x\nf 644 3 1.0 was-file\nd 755 1 1.0 gone\nd 755 1 1.0 gone/deep\nf 644 1 1.0 gone/deep/x\nf 644 1 1.0 gone-too\nf 644 5 10.0 coarse",
    );
    let difference = Difference::between(&source, &copy);
    let text =
        |paths: &[Vec<u8>]| paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect::<Vec<_>>();
    assert_eq!(text(&difference.send), ["dir", "link", "longer", "mode", "newer", "was-file"]);
    assert_eq!(text(&difference.remove), ["gone", "gone-too", "was-file"]);
    assert_eq!(difference.bytes, 16);
    assert!(Difference::between(&source, &source).is_empty());
    assert_eq!(Difference::between(&source, &Listing::new()).send.len(), source.len());
}

#[test]
fn patterns_are_those_of_backups() {
    let all = listing(
        "d 755 0 1.0 logs\nf 644 1 1.0 logs/a.txt\nf 644 1 1.0 logs.db\nf 644 1 1.0 logs.db-wal\nf 644 1 1.0 data/logs\nd 755 0 1.0 data\nf 644 1 1.0 x[1]",
    );
    let part = |excludes: &[&str], files: &[&str]| Part {
        from: "/x".into(),
        into: String::new(),
        excludes: excludes.iter().map(|text| (*text).to_owned()).collect(),
        files: files.iter().map(|text| (*text).to_owned()).collect(),
        elsewhere: vec![],
        optional: false,
    };
    let kept = |part: &Part, everything: bool| paths(&Filter::of(part, everything).unwrap().apply(all.clone()));
    assert_eq!(kept(&part(&["logs", "logs.db*"], &[]), false), ["data", "data/logs", "x[1]"]);
    assert_eq!(kept(&part(&["logs", "logs.db*"], &[]), true).len(), all.len());
    assert_eq!(kept(&part(&[], &["data/l?gs"]), false), ["data", "data/logs"]);
    assert_eq!(kept(&part(&["x\\[1]"], &["x*"]), false), [""; 0]);
    assert_eq!(kept(&part(&[], &["*gs"]), false), [""; 0]);
    assert_eq!(
        kept(&Part { elsewhere: vec!["logs".into(), "data".into()], ..part(&[], &[]) }, true),
        ["logs.db", "logs.db-wal", "x[1]"]
    );
    assert_eq!(kept(&part(&[], &["logs.d[ab]"]), false), ["logs.db"]);
    assert_eq!(kept(&part(&[], &["logs.d[!b]"]), false), [""; 0]);
}

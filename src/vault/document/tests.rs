//! Vault files round trip, byte for byte where nothing changed, and what must not slip through.

use super::*;
use crate::connection::Nobody;
use crate::vault::IdentitySource;
use age::secrecy::ExposeSecret;

fn keys() -> (tempfile::TempDir, Keyring, Recipients) {
    let dir = tempfile::tempdir().unwrap();
    let key = age::x25519::Identity::generate();
    let path = dir.path().join("identity.txt");
    std::fs::write(&path, format!("{}\n", key.to_string().expose_secret())).unwrap();
    let keyring = Keyring::new(vec![IdentitySource { path, from: "test".into() }], Arc::new(Nobody));
    let recipients = Recipients::parse([key.to_public().to_string().as_str()]).unwrap();
    (dir, keyring, recipients)
}

const PLAIN: &str = "# comment\nvault_a: first\nnested:\n  pin: 0042   # kept\n  key: |\n    line one\n    line two\nlist:\n- x: 'it''s'\n- \"two\"\nlast: end";

#[test]
fn everything_but_values_stays_and_the_values_come_back() {
    let (_dir, keyring, recipients) = keys();
    let sealed = Document::parse("v.yml", PLAIN).unwrap().encrypted(None, &recipients).unwrap();
    assert!(sealed.contains("# comment\nvault_a: !age ") && sealed.contains("   # kept\n"), "{sealed}");
    // With what stands before it: short words alone turn up in base64 now and then.
    for secret in ["first", ": 0042", "line one", "it''s", "\"two\"", ": end"] {
        assert!(!sealed.contains(secret), "{secret} in {sealed}");
    }
    let document = Document::parse("v.yml", &sealed).unwrap();
    document.check_keys().unwrap();
    for (path, want) in [
        ("vault_a", "first"),
        ("nested.pin", "0042"),
        ("nested.key", "line one\nline two\n"),
        ("list[0].x", "it's"),
        ("list[1]", "two"),
        ("last", "end"),
    ] {
        assert_eq!(document.get(path, &keyring).unwrap().unwrap().as_str(), want, "{path}");
    }
    let clear = document.decrypted(&keyring).unwrap();
    let again = Document::parse("v.yml", &clear).unwrap().encrypted(Some((&document, &keyring)), &recipients).unwrap();
    assert_eq!(again, sealed);
}

#[test]
fn one_edit_changes_one_line() {
    let (_dir, keyring, recipients) = keys();
    let plain: String = (0..50).map(|number| format!("secret_{number}: value {number}\n")).collect();
    let sealed = Document::parse("v.yml", &plain).unwrap().encrypted(None, &recipients).unwrap();
    let before = Document::parse("v.yml", &sealed).unwrap();
    let edited = before.decrypted(&keyring).unwrap().replace("value 17", "other");
    let after = Document::parse("v.yml", &edited).unwrap().encrypted(Some((&before, &keyring)), &recipients).unwrap();
    let differ: Vec<_> = sealed.lines().zip(after.lines()).filter(|(a, b)| a != b).collect();
    assert_eq!((differ.len(), sealed.lines().count()), (1, after.lines().count()));
    assert!(differ[0].0.starts_with("secret_17: "));
    let set = before.set("secret_3", "new", &recipients).unwrap();
    assert_eq!(sealed.lines().zip(set.lines()).filter(|(a, b)| a != b).count(), 1);
}

#[test]
fn a_moved_value_is_noticed() {
    let (_dir, keyring, recipients) = keys();
    let sealed = Document::parse("v.yml", "admin: root\nguest: none\n").unwrap().encrypted(None, &recipients).unwrap();
    let swapped = sealed.replace("admin", "tmp").replace("guest", "admin").replace("tmp", "guest");
    let document = Document::parse("v.yml", &swapped).unwrap();
    let error = document.check_keys().unwrap_err();
    assert_eq!(error.to_string(), "this value was encrypted for the key `admin`, but stands at `guest` (v.yml:1:8)");
    assert!(document.get("guest", &keyring).is_err());
}

#[test]
fn nothing_stays_in_clear_unnoticed() {
    let (_dir, _keyring, recipients) = keys();
    let cases = [
        ("a: first\na: second\n", "the key `a` is written twice; the last one counts"),
        ("a: &x secret\nb: *x\n", "`a` and `b` are one value, by an alias"),
        ("a: &x {s: secret}\nb: {<<: *x}\n", "`a.s` and `b.s` are one value, by an alias"),
        ("a: !age hunter2\n", "this is not an encrypted value"),
        ("a: !age\n  hunter2\n", "this is not an encrypted value"),
        ("a.b: first\na: {b: second}\n", "two values have the path `a.b`"),
        ("a: x\n---\nb: y\n", "expected one YAML document, but here another one starts"),
    ];
    for (text, message) in cases {
        let sealed = Document::parse("v.yml", text).and_then(|document| document.encrypted(None, &recipients));
        let error = sealed.expect_err(text);
        assert!(error.to_string().starts_with(message), "{text}: {error}");
        let shown: String = error.diagnostics().iter().map(|each| crate::diagnostic::render(each, false)).collect();
        for secret in ["first", "second", "secret", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn a_tag_on_the_line_before_goes_with_its_value() {
    let (_dir, keyring, recipients) = keys();
    let sealed = Document::parse("v.yml", "a: secret\nb: x\n").unwrap().encrypted(None, &recipients).unwrap();
    let wrapped = sealed.replacen("a: !age ", "a: !age\n  ", 1);
    let clear = Document::parse("v.yml", &wrapped).unwrap().decrypted(&keyring).unwrap();
    assert_eq!(*clear, "a: \"secret\"\nb: \"x\"\n");
}

#[test]
fn values_of_several_lines_come_back_wherever_they_stand() {
    let (_dir, keyring, recipients) = keys();
    let text = r#"
comment: "one\ntwo"   # behind it
flow: {a: "one\ntwo", b: ["three\nfour", x]}
deep:
    - "one\ntwo"
    -   - "three\nfour"
        - name: "five\nsix\n"
    -
      "seven\neight"
"#;
    let sealed = Document::parse("v.yml", text).unwrap().encrypted(None, &recipients).unwrap();
    let document = Document::parse("v.yml", &sealed).unwrap();
    let clear = document.decrypted(&keyring).unwrap();
    let again = Document::parse("v.yml", &clear).unwrap_or_else(|error| panic!("{error}\n{}", *clear));
    let wanted = [
        ("comment", "one\ntwo"),
        ("flow.a", "one\ntwo"),
        ("flow.b[0]", "three\nfour"),
        ("flow.b[1]", "x"),
        ("deep[0]", "one\ntwo"),
        ("deep[1][0]", "three\nfour"),
        ("deep[1][1].name", "five\nsix\n"),
        ("deep[2]", "seven\neight"),
    ];
    for (path, value) in wanted {
        assert_eq!(document.get(path, &keyring).unwrap().unwrap().as_str(), value, "{path}");
        assert_eq!(again.get(path, &keyring).unwrap().unwrap().as_str(), value, "{path} in {}", *clear);
    }
    assert_eq!(again.encrypted(Some((&document, &keyring)), &recipients).unwrap(), sealed);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn any_text_comes_back_from_the_editor(text in "(\\PC|[ \t\r\n\u{85}\u{a0}\u{7f}\u{2028}\u{2029}\u{feff}#:'\"|\\\\]){0,40}") {
        for block in [None, Some(0), Some(6)] {
            let pad = " ".repeat(block.unwrap_or_default());
            let yaml = format!("a:\n{pad} b: {}\n{pad} c: x\n", scalar(&text, block.map(|indent| indent + 1)));
            let node = yaml::parse(&Source::new("v.yml", yaml.as_str())).unwrap_or_else(|error| panic!("{error}\n{yaml}")).node;
            let value = node.as_map().and_then(|map| map.get("a")).and_then(|a| a.as_map()).and_then(|a| a.get("b"));
            proptest::prop_assert_eq!(value.and_then(Node::as_str), Some(text.as_str()), "{}", yaml);
        }
    }
}

#[test]
fn keys_that_are_odd() {
    let (_dir, keyring, recipients) = keys();
    let text = "\"\": nameless\n8080: number\nyes: boolean\n\"with space\": x\n\"tab\\tbed\": y\n";
    let sealed = Document::parse("v.yml", text).unwrap().encrypted(None, &recipients).unwrap();
    let document = Document::parse("v.yml", &sealed).unwrap();
    document.check_keys().unwrap();
    for (path, value) in
        [("", "nameless"), ("8080", "number"), ("yes", "boolean"), ("with space", "x"), ("tab\tbed", "y")]
    {
        assert_eq!(document.get(path, &keyring).unwrap().unwrap().as_str(), value, "{path}");
    }
}

#[test]
fn set_puts_a_value_where_it_belongs_or_says_no() {
    let (_dir, keyring, recipients) = keys();
    let set = |text: &str, path: &str| Document::parse("v.yml", text).unwrap().set(path, "new", &recipients);
    let good = [
        ("", "a"),
        ("a:\n", "a"),
        ("a:   # to be set\nb: 1\n", "a"),
        ("smtp:\n  host: x\n  password:\n", "smtp.password"),
        ("b: 1", "a"),
        ("a: |\n  two\n  lines\nb: 1\n", "a"),
        ("{a: 1, b: 2}\n", "a"),
    ];
    for (text, path) in good {
        let new = set(text, path).unwrap_or_else(|error| panic!("{text}: {error}"));
        let document = Document::parse("v.yml", &new).unwrap();
        assert_eq!(document.get(path, &keyring).unwrap().unwrap().as_str(), "new", "{new}");
        for comment in ["# to be set", "b: 1", "host: x"] {
            assert_eq!(text.contains(comment), new.contains(comment), "{new}");
        }
    }
    let bad = [
        ("smtp:\n  password: x\n", "smtp", "`smtp` is not one value: there is `smtp.password` in it"),
        ("list: [x]\n", "list", "`list` is not one value: there is `list[0]` in it"),
        ("smtp: {}\n", "smtp", "`smtp` cannot be added to `v.yml` as it is written"),
        ("{b: 2}\n", "a", "`a` cannot be added to `v.yml` as it is written"),
        ("  b: 2\n", "a", "`a` cannot be added to `v.yml` as it is written"),
        ("a: 1\n...\n", "b", "`b` cannot be added to `v.yml` as it is written"),
        ("x: &x 1\na: *x\n", "a", "`x` and `a` are one value, by an alias"),
        ("a: 1\n", "b.c", "there is no value at `b.c` and it is not a plain name"),
        ("a: 1\n", "", "there is no value at `` and it is not a plain name"),
    ];
    for (text, path, message) in bad {
        let error = set(text, path).expect_err(text);
        assert!(error.to_string().starts_with(message), "{text}: {error}");
    }
}

//! How often a passphrase is asked for, and what is told when it is wrong.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::vault::{Document, Recipients};

/// Knows one passphrase, and counts how often it is wanted.
struct Person(&'static str, AtomicUsize);

impl Prompter for Person {
    fn confirm(&self, _: &str) -> Option<bool> {
        None
    }
    fn line(&self, _: &str, _: bool) -> Option<String> {
        None
    }
    fn password(&self, _: &str) -> Option<String> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Some(self.0.to_owned())
    }
}

/// An SSH key with a passphrase, made by OpenSSH, and another age key.
fn keys(directory: &Path) -> (PathBuf, String, String) {
    let path = directory.join("id_ed25519");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-a", "1", "-N", "open sesame", "-C", "test", "-f"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success(), "this test needs ssh-keygen");
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public, age::x25519::Identity::generate().to_public().to_string())
}

fn keyring(path: &Path, passphrase: &'static str) -> (Keyring, Arc<Person>) {
    let person = Arc::new(Person(passphrase, AtomicUsize::new(0)));
    let source = IdentitySource { path: path.to_owned(), from: "a test".into() };
    (Keyring::new(vec![source], Arc::clone(&person) as Arc<dyn Prompter>), person)
}

#[test]
fn a_passphrase_is_asked_for_once_and_only_when_it_is_of_use() {
    let directory = tempfile::tempdir().unwrap();
    let (path, ssh, other) = keys(directory.path());
    let sealed = |keys: &[&str]| {
        let recipients = Recipients::parse(keys.iter().copied()).unwrap();
        let plain = Document::parse("v.yml", "a: one\nb: two\nc: three\n").unwrap();
        Document::parse("v.yml", &plain.encrypted(None, &recipients).unwrap()).unwrap()
    };
    let (keyring, person) = keyring(&path, "open sesame");
    let error = sealed(&[&other]).get("a", &keyring).unwrap_err();
    assert!(error.to_string().starts_with("none of the identities fits this secret"), "{error}");
    assert_eq!(person.1.load(Ordering::SeqCst), 0, "it is not for an SSH key");
    let document = sealed(&[&other, &ssh]);
    for (key, value) in [("a", "one"), ("b", "two"), ("c", "three")] {
        assert_eq!(document.get(key, &keyring).unwrap().unwrap().as_str(), value);
    }
    assert_eq!(person.1.load(Ordering::SeqCst), 1);
}

#[test]
fn a_wrong_passphrase_is_told_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let (path, ssh, _) = keys(directory.path());
    let recipients = Recipients::parse([ssh.as_str()]).unwrap();
    let text = Document::parse("v.yml", "a: one\n").unwrap().encrypted(None, &recipients).unwrap();
    let document = Document::parse("v.yml", &text).unwrap();
    let error = document.get("a", &keyring(&path, "wrong").0).unwrap_err();
    assert!(error.to_string().starts_with("the passphrase of the SSH key is wrong"), "{error}");

    let identity = age::x25519::Identity::generate();
    let recipients = Recipients::parse([identity.to_public().to_string().as_str()]).unwrap();
    let text = Document::parse("v.yml", "a: one\n").unwrap().encrypted(None, &recipients).unwrap();
    let document = Document::parse("v.yml", &text).unwrap();
    let locked = {
        use age::secrecy::ExposeSecret as _;
        let mut scrypt = age::scrypt::Recipient::new("open sesame".to_owned().into());
        scrypt.set_work_factor(2);
        age::encrypt(&scrypt, identity.to_string().expose_secret().as_bytes()).unwrap()
    };
    let path = directory.path().join("identity.age");
    std::fs::write(&path, locked).unwrap();
    let error = document.get("a", &keyring(&path, "wrong").0).unwrap_err().to_string();
    assert!(error.contains("cannot be used: the passphrase is wrong"), "{error}");
    assert_eq!(document.get("a", &keyring(&path, "open sesame").0).unwrap().unwrap().as_str(), "one");
}

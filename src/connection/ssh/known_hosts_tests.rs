#![allow(clippy::unwrap_used)]
//! The keys, the hashed file and the certificates were made by OpenSSH's ssh-keygen.

use russh::keys::PublicKeyOrCertificate;

use super::*;
use crate::connection::UnknownHostKey;
use crate::connection::ssh::config::Config;
use crate::connection::ssh::host_key::{Finding, HostCheck};

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/connection/keys/", $name))
    };
}

const ED25519: &str = data!("ed25519.pub");
const ECDSA: &str = data!("ecdsa.pub");
const RSA: &str = data!("rsa.pub");
const OTHER: &str = data!("other.pub");

fn known(text: &str) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.read(Path::new("kh"), text);
    known
}

fn blob(key: &str) -> Vec<u8> {
    PublicKey::from_openssh(key).unwrap().to_bytes().unwrap()
}

fn check(known: &KnownHosts, name: &str, key: &str) -> Verdict {
    known.check(name, &blob(key))
}

fn at(line: usize) -> Place {
    Place { file: "kh".into(), line }
}

#[test]
fn plain_names() {
    let file = known(&format!("# comment\n\nweb1,10.0.0.1\t{ED25519}\n[web1]:2222  {RSA} some comment\nbroken line\n"));
    assert_eq!(check(&file, "web1", ED25519), Verdict::Known);
    assert_eq!(check(&file, "WEB1", ED25519), Verdict::Known);
    assert_eq!(check(&file, "10.0.0.1", ED25519), Verdict::Known);
    assert_eq!(check(&file, "web2", ED25519), Verdict::Unknown);
    assert_eq!(check(&file, "web1", OTHER), Verdict::Changed(at(3)));
    assert_eq!(check(&file, "[web1]:2222", RSA), Verdict::Known);
    assert_eq!(check(&file, "[web1]:2222", OTHER), Verdict::Changed(at(4)));
    // A key of another kind than the known one is not a new host.
    assert_eq!(check(&file, "web1", ECDSA), Verdict::Changed(at(3)));
    // Known without its port is known; another key there says nothing of this port.
    assert_eq!(check(&file, "[10.0.0.1]:99", ED25519), Verdict::Known);
    assert_eq!(check(&file, "[10.0.0.1]:99", OTHER), Verdict::Unknown);
}

#[test]
fn wildcards_and_negation() {
    let file = known(&format!("*.example.org,!bad.example.org,db?  {ED25519}\n"));
    for (name, verdict) in [
        ("a.example.org", Verdict::Known),
        ("a.b.example.org", Verdict::Known),
        ("bad.example.org", Verdict::Unknown),
        ("example.org", Verdict::Unknown),
        ("db1", Verdict::Known),
        ("db", Verdict::Unknown),
        ("db12", Verdict::Unknown),
    ] {
        assert_eq!(check(&file, name, ED25519), verdict, "{name}");
    }
}

#[test]
fn hashed_names_of_ssh_keygen() {
    let file = known(data!("hashed"));
    for name in ["web1", "10.0.0.1"] {
        assert_eq!(check(&file, name, ED25519), Verdict::Known, "{name}");
    }
    assert_eq!(check(&file, "hashed.example", ECDSA), Verdict::Known);
    assert_eq!(check(&file, "[hashed.example]:2222", RSA), Verdict::Known);
    assert_eq!(check(&file, "web2", ED25519), Verdict::Unknown);
    assert!(matches!(check(&file, "hashed.example", OTHER), Verdict::Changed(Place { line: 5, .. })));
}

#[test]
fn revoked_wins() {
    let file = known(&format!("web1 {ED25519}\n@revoked * {ED25519}\n@unknown-marker web2 {RSA}\n"));
    assert_eq!(check(&file, "web1", ED25519), Verdict::Revoked(at(2)));
    assert_eq!(check(&file, "web9", ED25519), Verdict::Revoked(at(2)));
    assert_eq!(check(&file, "web2", RSA), Verdict::Unknown);
}

#[test]
fn new_lines_are_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sub/known_hosts");
    let key = PublicKey::from_openssh(RSA).unwrap();
    append(&file, &line("web1", &key, None).unwrap()).unwrap();
    // A file that somebody left without a last newline.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.trim_end()).unwrap();
    append(&file, &line("[Web2]:2222", &key, Some([7; 20])).unwrap()).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.starts_with("web1 ssh-rsa ") && !text.contains("eb2"));
    let file = known(&text);
    assert_eq!(check(&file, "web1", RSA), Verdict::Known);
    assert_eq!(check(&file, "[web2]:2222", RSA), Verdict::Known);
}

#[test]
fn known_kinds_of_keys_are_asked_for_first() {
    let file = known(&format!("web1 {RSA}\n"));
    let order = order(&russh::Preferred::DEFAULT.key, &file.key_types("web1"));
    assert!(matches!(order[0], Algorithm::Rsa { .. }), "{order:?}");
    assert_eq!(order.len(), russh::Preferred::DEFAULT.key.len());
}

#[test]
fn globs() {
    for (pattern, name, fits) in
        [("*", "", true), ("a*b*c", "aXXbYYc", true), ("a*b*c", "aXXbYY", false), ("??", "ab", true), ("", "a", false)]
    {
        assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
    }
}

/// What is thought of a host certificate for `web1`.
fn certificate(text: &str, known_hosts: &str) -> Finding {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    std::fs::write(&file, known_hosts).unwrap();
    let mut config = Config::parse("hostname web1\nport 22\nuser root\nglobalknownhostsfile none\n", "web1");
    config.user_known_hosts = vec![file];
    let check = HostCheck::new(&config, "web1 (root@web1:22)", UnknownHostKey::Refuse, None);
    let certificate = russh::keys::Certificate::from_openssh(text).unwrap();
    check.judge(&PublicKeyOrCertificate::Certificate(certificate), 1_800_000_000)
}

#[test]
fn host_certificates() {
    let authority = format!("@cert-authority web1,*.example.org {}\n", data!("ca.pub"));
    assert!(matches!(certificate(data!("good-cert.pub"), &authority), Finding::Trusted(None)));
    for (text, why) in [
        (data!("expired-cert.pub"), "it has expired"),
        (data!("other-authority-cert.pub"), "no @cert-authority of known_hosts has signed it"),
        (data!("user-cert.pub"), "it is not a host certificate"),
    ] {
        let Finding::Refused(error) = certificate(text, &authority) else { panic!("{why}: accepted") };
        assert!(error.message.contains(why), "{error}");
    }
    let elsewhere = format!("@cert-authority web2 {}\n", data!("ca.pub"));
    assert!(matches!(certificate(data!("good-cert.pub"), &elsewhere), Finding::Refused(_)));
    let revoked = format!("{authority}@revoked * {}\n", data!("ca.pub"));
    assert!(matches!(certificate(data!("good-cert.pub"), &revoked), Finding::Refused(_)));
    // The key itself may be known without its certificate.
    let plain = format!("web1 {}\n", data!("host.pub"));
    assert!(matches!(certificate(data!("expired-cert.pub"), &plain), Finding::Trusted(None)));
}

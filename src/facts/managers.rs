//! Which package manager and which service manager a host has, chosen as Ansible chooses.

use serde_json::json;

use super::Facts;
use super::answer::{Material, basename};

/// Package managers by the path of a program; the last one that exists wins.
const PACKAGE_MANAGERS: &[(&str, &str)] = &[
    ("/usr/bin/rpm-ostree", "atomic_container"),
    ("/usr/bin/yum", "dnf"),
    ("/usr/bin/dnf-3", "dnf"),
    ("/usr/bin/dnf5", "dnf5"),
    ("/usr/bin/apt-get", "apt"),
    ("/usr/bin/zypper", "zypper"),
    ("/usr/sbin/urpmi", "urpmi"),
    ("/usr/bin/pacman", "pacman"),
    ("/bin/opkg", "opkg"),
    ("/usr/pkg/bin/pkgin", "pkgin"),
    ("/usr/local/bin/brew", "homebrew"),
    ("/sbin/apk", "apk"),
    ("/usr/sbin/pkg", "pkgng"),
    ("/usr/bin/emerge", "portage"),
    ("/usr/sbin/pkgadd", "svr4pkg"),
    ("/usr/bin/pkg", "pkg5"),
    ("/usr/bin/xbps-install", "xbps"),
    ("/usr/local/sbin/pkg", "pkgng"),
    ("/usr/bin/swupd", "swupd"),
    ("/usr/sbin/sorcery", "sorcery"),
];

/// `pkg_mgr`: on the RedHat family what `dnf` is a link to decides, so Fedora 41 and later have `dnf5`.
pub fn package(material: &Material, family: &str) -> Facts {
    let found = PACKAGE_MANAGERS
        .iter()
        .filter(|(path, _)| !(family == "Altlinux" && *path == "/usr/bin/pkg"))
        .rfind(|(path, _)| material.exists(path))
        .map_or("unknown", |(_, name)| name);
    let name = match (family, found) {
        ("RedHat", _) => redhat(material),
        ("Altlinux", "apt") => "apt_rpm",
        ("Debian", _) | (_, "apt") if material.section("apt_rpm").is_some_and(|text| text.contains("yes")) => "apt_rpm",
        ("Debian", _) => "apt",
        (_, found) => found,
    };
    Facts::from_iter([("pkg_mgr".to_owned(), json!(name))])
}

fn redhat(material: &Material) -> &'static str {
    if material.exists("/run/ostree-booted") {
        return "atomic_container";
    }
    for name in ["dnf", "microdnf"] {
        if material.exists(&format!("/usr/bin/{name}")) {
            return if material.exists(&format!("{name}=dnf5")) { "dnf5" } else { "dnf" };
        }
    }
    "unknown"
}

/// `service_mgr`: the name of process 1 where it tells something, traces of the known managers otherwise.
pub fn service(material: &Material, distribution: &str) -> Facts {
    let process =
        material.file("/proc/1/comm").or_else(|| material.link("/sbin/init")).map(|name| basename(name).trim());
    let name = match process.filter(|name| *name != "init" && !name.ends_with("sh")) {
        Some("procd") => "openwrt_init",
        Some("runit-init") => "runit",
        Some("svscan") => "svc",
        Some("openrc-init") => "openrc",
        Some(name) => name,
        None => traces(material, distribution),
    };
    Facts::from_iter([("service_mgr".to_owned(), json!(name))])
}

fn traces(material: &Material, distribution: &str) -> &'static str {
    let exists = |path: &str| material.exists(path);
    let booted = ["/run/systemd/system", "/dev/.run/systemd", "/dev/.systemd"].into_iter().any(exists);
    let installed = material.link("/sbin/init").is_some_and(|target| basename(target) == "systemd");
    match distribution {
        "OpenWrt" => "openwrt_init",
        "SMGL" => "simpleinit_msb",
        _ if exists("systemctl") && booted => "systemd",
        _ if exists("initctl") && exists("/etc/init") => "upstart",
        _ if exists("/sbin/openrc") => "openrc",
        _ if exists("systemctl") && installed => "systemd",
        _ if exists("/etc/init.d") => "sysvinit",
        _ if exists("/etc/dinit.d") => "dinit",
        _ => "service",
    }
}

/// `systemd`: version and features, where it runs.
pub fn systemd(material: &Material) -> Facts {
    let mut lines = material.section("systemd").unwrap_or_default().lines();
    let version = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|text| text.parse::<i64>().ok());
    match (version, lines.next()) {
        (Some(version), Some(features)) => {
            Facts::from_iter([("systemd".to_owned(), json!({ "features": features, "version": version }))])
        }
        _ => Facts::new(),
    }
}

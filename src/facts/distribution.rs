//! Which distribution a host runs, told from the files distributions put into `/etc`, in Ansible's order.

use regex::Regex;
use serde_json::{Value as Json, json};

use super::Facts;
use super::answer::{Material, basename};

/// Files and the distribution they speak for; the first that is recognised wins. `true`: its existence is enough.
const FILES: &[(&str, &str, bool)] = &[
    ("/etc/altlinux-release", "Altlinux", false),
    ("/etc/oracle-release", "OracleLinux", false),
    ("/etc/slackware-version", "Slackware", false),
    ("/etc/centos-release", "CentOS", false),
    ("/etc/redhat-release", "RedHat", false),
    ("/etc/vmware-release", "VMwareESX", true),
    ("/etc/openwrt_release", "OpenWrt", false),
    ("/etc/os-release", "Amazon", false),
    ("/etc/system-release", "Amazon", false),
    ("/etc/alpine-release", "Alpine", false),
    ("/etc/arch-release", "Archlinux", true),
    ("/etc/os-release", "Archlinux", false),
    ("/etc/os-release", "SUSE", false),
    ("/etc/SuSE-release", "SUSE", false),
    ("/etc/os-release", "Debian", false),
    ("/etc/lsb-release", "Debian", false),
    ("/etc/lsb-release", "Mandriva", false),
    ("/etc/sourcemage-release", "SMGL", false),
    ("/usr/lib/os-release", "ClearLinux", false),
    ("/etc/coreos/update.conf", "Coreos", false),
    ("/etc/os-release", "Flatcar", false),
    ("/etc/os-release", "NA", false),
];

const FAMILIES: &[(&str, &[&str])] = &[
    (
        "RedHat",
        &[
            "RedHat",
            "RHEL",
            "Fedora",
            "CentOS",
            "Scientific",
            "SLC",
            "Ascendos",
            "CloudLinux",
            "PSBM",
            "OracleLinux",
            "OVS",
            "OEL",
            "Amazon",
            "Amzn",
            "Virtuozzo",
            "XenServer",
            "Alibaba",
            "EulerOS",
            "openEuler",
            "AlmaLinux",
            "Rocky",
            "TencentOS",
            "EuroLinux",
            "Kylin Linux Advanced Server",
            "MIRACLE",
        ],
    ),
    (
        "Debian",
        &[
            "Debian",
            "Ubuntu",
            "Raspbian",
            "Neon",
            "KDE neon",
            "Linux Mint",
            "SteamOS",
            "Devuan",
            "Kali",
            "Cumulus Linux",
            "Pop!_OS",
            "Parrot",
            "Pardus GNU/Linux",
            "Uos",
            "Deepin",
            "OSMC",
            "Linux Mint Debian Edition",
        ],
    ),
    (
        "Suse",
        &[
            "SuSE",
            "SLES",
            "SLED",
            "openSUSE",
            "openSUSE Tumbleweed",
            "SLES_SAP",
            "SUSE_LINUX",
            "openSUSE Leap",
            "ALP-Dolomite",
            "SL-Micro",
            "openSUSE MicroOS",
        ],
    ),
    ("Archlinux", &["Archlinux", "Antergos", "Manjaro"]),
    ("Mandrake", &["Mandrake", "Mandriva"]),
    ("Gentoo", &["Gentoo", "Funtoo"]),
    ("ClearLinux", &["Clear Linux OS", "Clear Linux Mix"]),
];

/// `distribution`, its version and release, and `os_family`.
pub fn distribution(material: &Material) -> Facts {
    let release = OsRelease::read(material);
    let version = release.best_version(material);
    let version = if version.is_empty() { "NA".to_owned() } else { version };
    let mut facts = Facts::new();
    let mut set = |name: &str, value: &str| facts.insert(name.to_owned(), json!(value));
    set("distribution", &release.name());
    set("distribution_version", &version);
    set("distribution_release", release.codename().as_deref().unwrap_or("NA"));
    set("distribution_major_version", version.split('.').next().unwrap_or("NA"));
    for (path, name, empty) in FILES {
        if *empty {
            if material.exists(path) {
                facts.insert("distribution".into(), json!(name));
                facts.insert("distribution_file_path".into(), json!(path));
                facts.insert("distribution_file_variety".into(), json!(name));
                break;
            }
            continue;
        }
        let Some(content) = material.file(path) else { continue };
        let content = content.trim_matches(['\'', '"', '\\']);
        let Some(found) = recognise(name, path, content, &facts, &release, material) else { continue };
        facts.insert("distribution".into(), json!(name));
        facts.insert("distribution_file_path".into(), json!(path));
        facts.insert("distribution_file_variety".into(), json!(name));
        facts.insert("distribution_file_parsed".into(), json!(true));
        facts.extend(found.into_iter().map(|(key, value)| (key.to_owned(), Json::from(value))));
        break;
    }
    let name = super::text(&facts, "distribution");
    let family =
        FAMILIES.iter().find(|(_, names)| names.contains(&name.as_str())).map_or(name.as_str(), |(family, _)| family);
    facts.insert("os_family".into(), json!(family));
    facts
}

type Found = Vec<(&'static str, String)>;

/// What a file says, if it is of the distribution that it may be of.
fn recognise(
    name: &str,
    path: &str,
    content: &str,
    guess: &Facts,
    release: &OsRelease,
    material: &Material,
) -> Option<Found> {
    let first_word = || content.split_whitespace().next().unwrap_or_default().to_owned();
    let named = |needle: &str| {
        Some(if content.contains(needle) {
            vec![("distribution", name.to_owned()), ("distribution_file_search_string", needle.to_owned())]
        } else {
            vec![("distribution", first_word())]
        })
    };
    match name {
        "OracleLinux" => named("Oracle Linux"),
        "RedHat" => named("Red Hat"),
        "Altlinux" => named("ALT"),
        "SMGL" => named("Source Mage GNU/Linux"),
        "Archlinux" => content.contains("Arch Linux").then(|| vec![("distribution", name.to_owned())]),
        "Slackware" => content.contains("Slackware").then(|| {
            optional([("distribution_version", capture(r"(\w+[.]\w+\+?)", content))], [("distribution", name)])
        }),
        "CentOS" if content.contains("CentOS Stream") => Some(vec![("distribution_release", "Stream".into())]),
        "CentOS" if content.contains("TencentOS Server") => Some(vec![("distribution", "TencentOS".into())]),
        "OpenWrt" => content.contains("OpenWrt").then(|| {
            let version = capture(r#"DISTRIB_RELEASE="(.*)""#, content);
            let codename = capture(r#"DISTRIB_CODENAME="(.*)""#, content);
            optional([("distribution_version", version), ("distribution_release", codename)], [("distribution", name)])
        }),
        "Amazon" => content.contains("Amazon").then(|| amazon(path, content)),
        "Alpine" => Some(vec![("distribution", name.into()), ("distribution_version", content.into())]),
        "SUSE" => content.to_lowercase().contains("suse").then(|| suse(path, content, material)),
        "Debian" => debian(content, material),
        "Mandriva" => content.contains("Mandriva").then(|| {
            let version = capture(r#"DISTRIB_RELEASE="(.*)""#, content);
            let codename = capture(r#"DISTRIB_CODENAME="(.*)""#, content);
            optional([("distribution_version", version), ("distribution_release", codename)], [("distribution", name)])
        }),
        "ClearLinux" => {
            let title = capture(r#"NAME="(.*)""#, content);
            if title.as_deref().is_some_and(|title| !title.contains("Clear Linux")) {
                return None;
            }
            let version = capture(r"VERSION_ID=(.*)", content);
            Some(optional(
                [
                    ("distribution", title),
                    ("distribution_major_version", version.clone()),
                    ("distribution_version", version),
                    ("distribution_release", capture(r"ID=(.*)", content)),
                ],
                [],
            ))
        }
        "Coreos" if release.name() == "Coreos" => {
            Some(optional([("distribution_release", capture(r"^GROUP=(.*)", content).map(unquote))], []))
        }
        "Flatcar" if release.name() == "Flatcar" => {
            let version = capture(r"VERSION=(.*)", content).map(unquote);
            let major = version.as_deref().and_then(|text| text.split('.').next()).map(str::to_owned);
            Some(optional([("distribution_major_version", major), ("distribution_version", version)], []))
        }
        "NA" => {
            let version = (super::text(guess, "distribution_version") == "NA")
                .then(|| capture(r"(?m)^VERSION=(.*)", content).map(unquote))
                .flatten();
            let title = capture(r"(?m)^NAME=(.*)", content).map(unquote);
            Some(optional([("distribution", title), ("distribution_version", version)], []))
        }
        _ => None,
    }
}

fn amazon(path: &str, content: &str) -> Found {
    let mut found: Found = vec![("distribution", "Amazon".into())];
    if path == "/etc/os-release" {
        if let Some(version) = capture(r#"VERSION_ID="(.*)""#, content) {
            let (major, minor) = version.split_once('.').unwrap_or((&version, "NA"));
            found.push(("distribution_major_version", major.into()));
            found.push(("distribution_minor_version", minor.into()));
            found.push(("distribution_version", version));
        }
    } else {
        let digits = |word: &&str| word.chars().all(|c| c.is_ascii_digit());
        found.push(("distribution_version", content.split_whitespace().find(digits).unwrap_or("NA").to_owned()));
    }
    found
}

fn suse(path: &str, content: &str, material: &Material) -> Found {
    let mut found = Found::new();
    let lower = content.to_lowercase();
    if path == "/etc/os-release" {
        if let Some(name) = capture(r"(?m)^NAME=(.*)", content) {
            found.push(("distribution", unquote(name)));
        }
        if let Some(version) = capture(r#"(?m)^VERSION_ID="?([0-9]+\.?[0-9]*)"?"#, content) {
            found.push(("distribution_major_version", version.split('.').next().unwrap_or_default().to_owned()));
            found.push(("distribution_version", version));
        }
        if let Some(minor) = capture(r#"(?m)^VERSION_ID="?[0-9]+\.?([0-9]*)"?"#, content) {
            if lower.contains("open") {
                found.push(("distribution_release", minor));
            } else if lower.contains("enterprise") {
                found.push(("distribution_release", if minor.is_empty() { "0".into() } else { minor }));
            }
        }
    }
    let special = match capture(r#"(?m)^VARIANT_ID="?([^"\n]*)"?"#, content).as_deref() {
        Some("server-sap" | "sles-sap") => Some("SLES_SAP"),
        Some("transactional") => Some("SL-Micro"),
        Some(_) => None,
        None => match material.link("/etc/products.d/baseproduct").map(basename) {
            Some(product) if product.ends_with("SLES_SAP.prod") => Some("SLES_SAP"),
            Some(product) if product.ends_with("SL-Micro.prod") => Some("SL-Micro"),
            _ => None,
        },
    };
    found.extend(special.map(|name| ("distribution", name.to_owned())));
    found
}

fn debian(content: &str, material: &Material) -> Option<Found> {
    let has = |needle: &str| content.contains(needle);
    let quoted_version = || capture(r#"VERSION_ID="(.*)""#, content);
    let major =
        |version: &Option<String>| version.as_deref().and_then(|text| text.split('.').next()).map(str::to_owned);
    if has("Debian") || has("Raspbian") {
        let release = capture(r"PRETTY_NAME=[^(]+ \(?([^)]+?)\)", content);
        let minor = material.lines("/etc/debian_version").filter_map(|line| capture(r"\d+\.(\d+)", line)).last();
        return Some(optional(
            [("distribution_release", release), ("distribution_minor_version", minor)],
            [("distribution", "Debian")],
        ));
    }
    let simple = |name: &'static str| Some(vec![("distribution", name.to_owned())]);
    if has("Ubuntu") {
        return simple("Ubuntu");
    }
    if has("SteamOS") {
        return simple("SteamOS");
    }
    if has("Kali") || has("Parrot") {
        let name = if has("Kali") { "Kali" } else { "Parrot" };
        let release = capture(r"DISTRIB_RELEASE=(.*)", content);
        return Some(optional([("distribution_release", release)], [("distribution", name)]));
    }
    let versioned = |name: &'static str, release: Option<String>| {
        let version = quoted_version();
        Some(optional(
            [
                ("distribution_release", release),
                ("distribution_major_version", major(&version)),
                ("distribution_version", version),
            ],
            [("distribution", name)],
        ))
    };
    if has("Devuan") {
        let version = quoted_version();
        let release = capture(r#"PRETTY_NAME="?[^("]+ \(?([^) "]+)\)?"#, content);
        return Some(optional(
            [
                ("distribution_release", release),
                ("distribution_major_version", version.clone()),
                ("distribution_version", version),
            ],
            [("distribution", "Devuan")],
        ));
    }
    if has("Cumulus") {
        let version = capture(r"VERSION_ID=(.*)", content);
        return Some(optional(
            [
                ("distribution_major_version", major(&version)),
                ("distribution_version", version),
                ("distribution_release", capture(r#"VERSION="(.*)""#, content)),
            ],
            [("distribution", "Cumulus Linux")],
        ));
    }
    let codename = || capture(r#"VERSION_CODENAME="?([^"\n]+)"?"#, content);
    if has("Mint") {
        return versioned("Linux Mint", None);
    }
    if has("UOS") || has("Uos") || has("uos") {
        return versioned("Uos", codename());
    }
    if has("Deepin") || has("deepin") {
        return versioned("Deepin", codename());
    }
    if has("LMDE") { simple("Linux Mint Debian Edition") } else { None }
}

/// `lsb`: from `lsb_release`, else from `/etc/lsb-release`.
pub fn lsb(material: &Material) -> Facts {
    let mut lsb = Facts::new();
    for line in material.section("lsb_release").unwrap_or_default().lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let name = match key {
            "LSB Version" | "Release" => "release",
            "Distributor ID" => "id",
            "Description" => "description",
            "Codename" => "codename",
            _ => continue,
        };
        lsb.insert(name.into(), json!(value.trim()));
    }
    if lsb.is_empty() {
        for line in material.lines("/etc/lsb-release") {
            let Some((key, value)) = line.split_once('=') else { continue };
            let name = match key {
                "DISTRIB_ID" => "id",
                "DISTRIB_RELEASE" => "release",
                "DISTRIB_DESCRIPTION" => "description",
                "DISTRIB_CODENAME" => "codename",
                _ => continue,
            };
            lsb.insert(name.into(), json!(value.trim()));
        }
    }
    if let Some(release) = lsb.get("release").and_then(Json::as_str) {
        let major = json!(release.split('.').next().unwrap_or_default());
        lsb.insert("major_release".into(), major);
    }
    for value in lsb.values_mut() {
        if let Json::String(text) = value {
            *text = text.trim_matches(['\'', '"', '\\']).to_owned();
        }
    }
    Facts::from_iter([("lsb".to_owned(), Json::Object(lsb))])
}

/// `/etc/os-release`, or `/usr/lib/os-release`.
struct OsRelease(Vec<(String, String)>);

impl OsRelease {
    fn read(material: &Material) -> Self {
        let path = if material.exists("/etc/os-release") { "/etc/os-release" } else { "/usr/lib/os-release" };
        let pairs = material.lines(path).filter(|line| !line.trim_start().starts_with('#'));
        Self(
            pairs
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.trim().to_lowercase(), unquote(value.trim().to_owned())))
                .collect(),
        )
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rfind(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// `ID`, capitalised, with Ansible's exceptions.
    fn name(&self) -> String {
        let id = match self.get("id").unwrap_or_default().to_lowercase().replace(' ', "_").as_str() {
            "ol" => "oracle".to_owned(),
            "opensuse-leap" => "opensuse".to_owned(),
            id => id.to_owned(),
        };
        match id.as_str() {
            "" => "OtherLinux".into(),
            "amzn" => "Amazon".into(),
            "rhel" => "Redhat".into(),
            id => {
                let mut letters = id.chars();
                letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
            }
        }
    }

    /// `VERSION_ID`; for Debian and CentOS, whose file lacks the minor version, the most exact version found.
    fn best_version(&self, material: &Material) -> String {
        let version = self.get("version_id").unwrap_or_default();
        let debian_version = || material.file("/etc/debian_version").unwrap_or_default().to_owned();
        let exact = match self.get("id") {
            Some("debian") => debian_version(),
            Some("centos") => {
                let release = material.file("/etc/centos-release").unwrap_or_default();
                capture(r"release ([\d.]+)", release).unwrap_or_default()
            }
            _ if version.is_empty() && self.get("id_like").is_some_and(|like| like.contains("debian")) => {
                debian_version()
            }
            _ => String::new(),
        };
        let dots = |text: &str| text.matches('.').count();
        let best = if version.is_empty() || dots(&exact) > dots(version) { exact } else { version.to_owned() };
        if self.get("id") == Some("centos") { best.split('.').take(2).collect::<Vec<_>>().join(".") } else { best }
    }

    /// The code name. Present and empty where the distribution says that it has none (Fedora).
    fn codename(&self) -> Option<String> {
        self.get("version_codename").or_else(|| self.get("ubuntu_codename")).map(str::to_owned).or_else(|| {
            let version = self.get("version")?;
            capture(r"\((\D+)\)", version).or_else(|| capture(r",\s*(\D+)", version))
        })
    }
}

fn capture(pattern: &str, text: &str) -> Option<String> {
    let found = Regex::new(pattern).ok()?.captures(text)?;
    Some(found.get(1)?.as_str().to_owned())
}

fn unquote(text: String) -> String {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.or_else(|| trimmed.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''))).unwrap_or(trimmed).to_owned()
}

fn optional<const N: usize, const M: usize>(
    found: [(&'static str, Option<String>); N],
    always: [(&'static str, &str); M],
) -> Found {
    let always = always.into_iter().map(|(key, value)| (key, value.to_owned()));
    always.chain(found.into_iter().filter_map(|(key, value)| Some((key, value?)))).collect()
}

//! What the kernel, the login and the clock tell: platform, user, date, environment, SELinux and the small groups.

use serde_json::{Value as Json, json};

use super::Facts;
use super::answer::Material;

fn one(name: &str, value: Json) -> Facts {
    Facts::from_iter([(name.to_owned(), value)])
}

/// Names and versions of kernel and host.
pub fn platform(material: &Material) -> Facts {
    let kernel = |name: &str| material.file(&format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let machine = material.section("machine").unwrap_or_default().trim();
    let bits = match material.section("bits").map(str::trim) {
        Some(bits @ ("32" | "64")) => bits,
        _ if machine.contains("64") || machine == "s390x" => "64",
        _ => "32",
    };
    let nodename = kernel("hostname");
    let fqdn = fqdn(material, nodename);
    let i86 = machine.len() == 4 && machine.starts_with('i') && machine.ends_with("86");
    let mut facts = Facts::new();
    let mut set = |name: &str, value: &str| facts.insert(name.to_owned(), json!(value));
    set("system", kernel("ostype"));
    set("kernel", kernel("osrelease"));
    set("kernel_version", kernel("version"));
    set("machine", machine);
    set("fqdn", &fqdn);
    set("hostname", nodename.split('.').next().unwrap_or_default());
    set("nodename", nodename);
    set("domain", fqdn.split_once('.').map_or("", |(_, domain)| domain));
    set("userspace_bits", bits);
    set("architecture", if i86 { "i386" } else { machine });
    if machine == "x86_64" || i86 {
        set("userspace_architecture", if bits == "64" { "x86_64" } else { "i386" });
    }
    let id = material.file("/var/lib/dbus/machine-id").or_else(|| material.file("/etc/machine-id"));
    if let Some(id) = id.and_then(|text| text.lines().next()) {
        set("machine_id", id);
    }
    facts
}

/// The first name with a dot of the host's own address; its first name when none has one.
fn fqdn(material: &Material, nodename: &str) -> String {
    let line = material.section("fqdn").and_then(|text| text.lines().next()).unwrap_or_default();
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if words.len() > 1 {
        words.remove(0);
    }
    let dotted = words.iter().find(|name| name.contains('.'));
    (*dotted.or(words.first()).unwrap_or(&nodename)).to_owned()
}

/// Who the script ran as, from the account database.
pub fn user(material: &Material) -> Facts {
    let mut lines = material.section("user").unwrap_or_default().lines();
    let (uid, name) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let entries: Vec<Vec<&str>> = lines.map(|line| line.split(':').collect()).collect();
    let field = |entry: &Vec<&str>, index: usize| entry.get(index).copied().unwrap_or_default().to_owned();
    let entry = entries
        .iter()
        .find(|entry| !name.is_empty() && field(entry, 0) == name)
        .or_else(|| entries.iter().find(|entry| field(entry, 2) == uid))
        .cloned()
        .unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().map_or(Json::Null, Json::from);
    let ids = |key: &str, index: usize| {
        let line = material.lines("/proc/self/status").find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().nth(index)).map_or(Json::Null, number)
    };
    let login = if name.is_empty() { field(&entry, 0) } else { name.to_owned() };
    let json = json!({
        "user_id": login,
        "user_uid": number(&field(&entry, 2)),
        "user_gid": number(&field(&entry, 3)),
        "user_gecos": field(&entry, 4),
        "user_dir": field(&entry, 5),
        "user_shell": field(&entry, 6),
        "real_user_id": ids("Uid:", 0),
        "effective_user_id": ids("Uid:", 1),
        "real_group_id": ids("Gid:", 0),
        "effective_group_id": ids("Gid:", 0),
    });
    object(json)
}

/// `date_time`, local and UTC of one instant.
pub fn date_time(material: &Material) -> Facts {
    let mut lines = material.section("date").unwrap_or_default().lines();
    let words: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let [epoch, nanos, year, month, weekday, number, week, day, hour, minute, second, zone, offset] = words[..] else {
        return Facts::new();
    };
    let micros = nanos.parse::<u32>().map_or(0, |nanos| nanos / 1000);
    let utc = epoch.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let utc = utc.map(|instant| instant.strftime("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default();
    let dst = daylight_name(lines.next(), lines.next()).unwrap_or(zone);
    let json = json!({
        "year": year,
        "month": month,
        "weekday": weekday,
        "weekday_number": number,
        "weeknumber": week,
        "day": day,
        "hour": hour,
        "minute": minute,
        "second": second,
        "epoch": epoch,
        "epoch_int": epoch,
        "date": format!("{year}-{month}-{day}"),
        "time": format!("{hour}:{minute}:{second}"),
        "iso8601_micro": format!("{utc}.{micros:06}Z"),
        "iso8601": format!("{utc}Z"),
        "iso8601_basic": format!("{year}{month}{day}T{hour}{minute}{second}{micros:06}"),
        "iso8601_basic_short": format!("{year}{month}{day}T{hour}{minute}{second}"),
        "tz": zone,
        "tz_dst": dst,
        "tz_offset": offset,
    });
    one("date_time", json)
}

/// The name of the zone in the half of the year in which clocks are ahead.
fn daylight_name<'a>(winter: Option<&'a str>, summer: Option<&'a str>) -> Option<&'a str> {
    let (winter, winter_offset) = winter?.split_once(' ')?;
    let (summer, summer_offset) = summer?.split_once(' ')?;
    let minutes = |text: &str| text.parse::<i32>().ok();
    Some(if minutes(winter_offset)? > minutes(summer_offset)? { winter } else { summer })
}

/// `env`: the environment of the shell.
pub fn environment(material: &Material) -> Facts {
    let pairs = material.section("environ").unwrap_or_default().split('\0').filter_map(|pair| pair.split_once('='));
    one("env", Json::Object(pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect()))
}

/// `selinux`, from its file system and configuration.
pub fn selinux(material: &Material) -> Facts {
    let mode = |text: &str| match text {
        "1" | "enforcing" => "enforcing",
        "0" | "permissive" => "permissive",
        "-1" | "disabled" => "disabled",
        _ => "unknown",
    };
    let configured = |key: &str| {
        let lines = material.lines("/etc/selinux/config").map(str::trim);
        lines.filter_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('=')).last().map(str::trim)
    };
    let policy = material.file("/sys/fs/selinux/policyvers");
    let facts = match policy {
        None => json!({ "status": "disabled" }),
        Some(version) => json!({
            "status": "enabled",
            "policyvers": version.parse::<i64>().map_or(json!("unknown"), Json::from),
            "config_mode": configured("SELINUX").map_or("unknown", |text| mode(text.to_lowercase().as_str())),
            "mode": material.file("/sys/fs/selinux/enforce").map_or("unknown", mode),
            "type": configured("SELINUXTYPE").unwrap_or("targeted"),
        }),
    };
    object(json!({ "selinux_python_present": true, "selinux": facts }))
}

/// `apparmor`.
pub fn apparmor(material: &Material) -> Facts {
    let status = if material.exists("/sys/kernel/security/apparmor") { "enabled" } else { "disabled" };
    one("apparmor", json!({ "status": status }))
}

/// `is_chroot`: whether `/` is another directory than that of process 1.
pub fn chroot(material: &Material) -> Facts {
    let marked = material
        .section("environ")
        .unwrap_or_default()
        .split('\0')
        .any(|pair| pair.strip_prefix("debian_chroot=").is_some_and(|value| !value.is_empty()));
    let lines: Vec<&str> = material.section("root").unwrap_or_default().lines().collect();
    let is_chroot = match lines[..] {
        _ if marked => true,
        [mine, init, _] => mine != init,
        [mine, kind] => {
            let root = if kind.contains("btrfs") {
                "256"
            } else if kind.contains("xfs") {
                "128"
            } else {
                "2"
            };
            mine.split(' ').next() != Some(root)
        }
        _ => false,
    };
    one("is_chroot", json!(is_chroot))
}

/// `fips`.
pub fn fips(material: &Material) -> Facts {
    one("fips", json!(material.file("/proc/sys/crypto/fips_enabled") == Some("1")))
}

/// `system_capabilities`, as `capsh` words them.
pub fn capabilities(material: &Material) -> Facts {
    let current = material.section("capsh").unwrap_or_default().lines().find(|line| line.starts_with("Current:"));
    let (enforced, list) = match current {
        None if material.section("capsh").is_some() => (json!("NA"), json!([])),
        None => (json!("N/A"), json!("N/A")),
        Some(line) if line.split(':').nth(1).map(str::trim) == Some("=ep") => (json!("False"), json!([])),
        Some(line) => {
            let names: Vec<&str> = line.split('=').nth(1).unwrap_or_default().split(',').map(str::trim).collect();
            (json!("True"), json!(names))
        }
    };
    object(json!({ "system_capabilities_enforced": enforced, "system_capabilities": list }))
}

/// `cmdline`, and `proc_cmdline` which keeps every value of a repeated key.
pub fn cmdline(material: &Material) -> Facts {
    let Some(text) = material.file("/proc/cmdline") else { return Facts::new() };
    let (mut last, mut every) = (Facts::new(), Facts::new());
    for word in words(text) {
        let Some((key, value)) = word.split_once('=') else {
            last.insert(word.clone(), json!(true));
            every.insert(word, json!(true));
            continue;
        };
        last.insert(key.to_owned(), json!(value));
        match every.get_mut(key) {
            Some(Json::Array(values)) => values.push(json!(value)),
            Some(first) => *first = json!([first.clone(), value]),
            None => {
                every.insert(key.to_owned(), json!(value));
            }
        }
    }
    object(json!({ "cmdline": last, "proc_cmdline": every }))
}

/// Words split at blanks. A word that starts with a quote ends with it and keeps both; other quotes mean nothing.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (vec![], String::new(), None);
    for c in text.chars() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        let closes = quote == Some(c);
        if word.is_empty() && matches!(c, '"' | '\'') {
            quote = Some(c);
        }
        word.push(c);
        if closes {
            quote = None;
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `loadavg`.
pub fn loadavg(material: &Material) -> Facts {
    let numbers: Vec<f64> = material
        .file("/proc/loadavg")
        .unwrap_or_default()
        .split(' ')
        .take(3)
        .filter_map(|text| text.parse().ok())
        .collect();
    match numbers[..] {
        [one_minute, five, fifteen] => one("loadavg", json!({ "1m": one_minute, "5m": five, "15m": fifteen })),
        _ => Facts::new(),
    }
}

/// The host's public SSH keys, from the first directory that has any.
pub fn ssh_host_keys(material: &Material) -> Facts {
    let mut facts = Facts::new();
    for directory in ["/etc/ssh", "/etc/openssh", "/etc"] {
        for kind in ["dsa", "rsa", "ecdsa", "ed25519"] {
            let Some(line) = material.file(&format!("{directory}/ssh_host_{kind}_key.pub")) else { continue };
            let mut words = line.split_whitespace();
            if let (Some(keytype), Some(key)) = (words.next(), words.next()) {
                facts.insert(format!("ssh_host_key_{kind}_public"), json!(key));
                facts.insert(format!("ssh_host_key_{kind}_public_keytype"), json!(keytype));
            }
        }
        if !facts.is_empty() {
            break;
        }
    }
    facts
}

/// The entries of a JSON object.
pub fn object(json: Json) -> Facts {
    match json {
        Json::Object(map) => map,
        _ => Facts::new(),
    }
}

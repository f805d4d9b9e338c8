//! Mounted file systems, block devices and volume groups.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::Facts;
use super::answer::{Material, basename};

/// `mounts`, `devices`, `device_links` and `lvm`.
pub fn storage(material: &Material) -> Facts {
    let links = Links::read(material);
    let mut facts = Facts::new();
    facts.insert("devices".into(), devices(material, &links));
    facts.insert("device_links".into(), links.all());
    facts.insert("lvm".into(), volume_groups(material));
    facts.insert("mounts".into(), mounts(material, &links));
    facts
}

/// Undoes the octal escapes of `/proc/mounts`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let code = after.get(1..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(4..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    out + rest
}

fn mounts(material: &Material, links: &Links) -> Json {
    let bound: Vec<String> = material
        .lines("/proc/self/mountinfo")
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(3);
            (fields.next()? != "/").then_some(unescape(fields.next()?))
        })
        .collect();
    let mut sizes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in material.section("statfs").unwrap_or_default().lines() {
        let mut words = line.splitn(7, ' ');
        let numbers: Vec<u64> = words.by_ref().take(6).filter_map(|word| word.parse().ok()).collect();
        if let Some(mount) = words.next() {
            sizes.insert(mount, numbers);
        }
    }
    let mut found: IndexMap<String, Json> = IndexMap::new();
    for line in material.lines("/proc/mounts") {
        let fields: Vec<String> = line.split_whitespace().map(unescape).collect();
        let [device, mount, fstype, options, dump, passno] = &fields[..] else { continue };
        if !(device.starts_with(['/', '\\']) || device.contains(":/")) || fstype == "none" {
            continue;
        }
        let bind = if bound.contains(mount) { ",bind" } else { "" };
        let number = |text: &String| text.parse::<i64>().unwrap_or(0);
        let mut info = json!({
            "mount": mount,
            "device": device,
            "fstype": fstype,
            "options": format!("{options}{bind}"),
            "dump": number(dump),
            "passno": number(passno),
        });
        if let Json::Object(info) = &mut info {
            match sizes.get(mount.as_str()).map(Vec::as_slice) {
                Some([fragment, block, total, available, inodes, free_inodes]) => {
                    info.insert("size_total".into(), json!(fragment * total));
                    info.insert("size_available".into(), json!(fragment * available));
                    info.insert("block_size".into(), json!(block));
                    info.insert("block_total".into(), json!(total));
                    info.insert("block_available".into(), json!(available));
                    info.insert("block_used".into(), json!(total.saturating_sub(*available)));
                    info.insert("inode_total".into(), json!(inodes));
                    info.insert("inode_available".into(), json!(free_inodes));
                    info.insert("inode_used".into(), json!(inodes.saturating_sub(*free_inodes)));
                }
                _ => {
                    info.insert("note".into(), json!("Could not get extra information due to timeout"));
                }
            }
            info.insert("uuid".into(), json!(links.uuid(device, material).unwrap_or("N/A")));
        }
        found.insert(mount.clone(), info);
    }
    found.into_values().collect()
}

/// The names that udev gives to block devices, by device.
struct Links {
    kinds: [(&'static str, BTreeMap<String, Vec<String>>); 4],
}

impl Links {
    fn read(material: &Material) -> Self {
        let by = |directory: &str| {
            let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (name, device) in material.links_in(directory) {
                map.entry(device.to_owned()).or_default().push(name.to_owned());
            }
            map
        };
        let mut masters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for device in material.names_in("/sys/block") {
            for slave in material.names_in(&format!("/sys/block/{device}/slaves")) {
                masters.entry(slave.to_owned()).or_default().push(device.to_owned());
            }
        }
        Self {
            kinds: [
                ("ids", by("/dev/disk/by-id")),
                ("uuids", by("/dev/disk/by-uuid")),
                ("labels", by("/dev/disk/by-label")),
                ("masters", masters),
            ],
        }
    }

    fn all(&self) -> Json {
        self.kinds.iter().map(|(kind, map)| ((*kind).to_owned(), json!(map))).collect()
    }

    fn of(&self, device: &str) -> Json {
        self.kinds
            .iter()
            .map(|(kind, map)| ((*kind).to_owned(), json!(map.get(device).cloned().unwrap_or_default())))
            .collect()
    }

    fn uuid(&self, path: &str, material: &Material) -> Option<&str> {
        let name = basename(path);
        let mapped = path.starts_with("/dev/mapper/").then(|| {
            let devices = material.names_in("/sys/block");
            devices.into_iter().find(|device| material.file(&format!("/sys/block/{device}/dm/name")) == Some(name))
        });
        let (_, uuids) = self.kinds.iter().find(|(kind, _)| *kind == "uuids")?;
        uuids.get(mapped.flatten().unwrap_or(name))?.first().map(String::as_str)
    }
}

fn devices(material: &Material, links: &Links) -> Json {
    let wwns: BTreeMap<&str, &str> = material
        .links_in("/dev/disk/by-id")
        .into_iter()
        .filter_map(|(name, device)| Some((device, name.strip_prefix("wwn-")?)))
        .collect();
    let devices = material.names_in("/sys/block").into_iter();
    devices.map(|name| (name.to_owned(), device(material, links, name, wwns.get(name).copied()))).collect()
}

fn device(material: &Material, links: &Links, name: &str, wwn: Option<&str>) -> Json {
    let at = |file: &str| material.file(&format!("/sys/block/{name}/{file}"));
    let mut facts = Facts::new();
    facts.insert("virtual".into(), json!(1));
    facts.insert("links".into(), links.of(name));
    for key in ["vendor", "model", "sas_address", "sas_device_handle"] {
        facts.insert(key.into(), json!(at(&format!("device/{key}"))));
    }
    if let Some(serial) = at("device/serial") {
        facts.insert("serial".into(), json!(serial));
    }
    facts.insert("removable".into(), json!(at("removable")));
    let discard =
        if at("queue/discard_max_hw_bytes") == Some("0") { Some("0") } else { at("queue/discard_granularity") };
    facts.insert("support_discard".into(), json!(discard));
    if let Some(wwn) = wwn {
        facts.insert("wwn".into(), json!(wwn));
    }
    facts.insert("partitions".into(), partitions(material, links, name));
    facts.insert("rotational".into(), json!(at("queue/rotational")));
    let chosen = at("queue/scheduler").and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0));
    facts.insert("scheduler_mode".into(), json!(chosen.unwrap_or_default()));
    let sector = at("queue/logical_block_size").or_else(|| at("queue/hw_sector_size")).unwrap_or("512");
    facts.insert("sectorsize".into(), json!(sector));
    let bytes = at("size").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 512;
    let sector = sector.parse::<u64>().unwrap_or(512).max(1);
    facts.insert("sectors".into(), json!(bytes / sector));
    facts.insert("size".into(), json!(human(bytes / sector * sector)));
    facts.insert("host".into(), json!(pci_host(material, name)));
    facts.insert("holders".into(), holders(material, &format!("/sys/block/{name}/holders")));
    Json::Object(facts)
}

fn partitions(material: &Material, links: &Links, device: &str) -> Json {
    let directory = format!("/sys/block/{device}/");
    let mut found = Facts::new();
    for (path, start) in material.files_under(&directory) {
        let Some(name) = path.strip_prefix(&directory).and_then(|rest| rest.strip_suffix("/start")) else { continue };
        let size =
            material.file(&format!("{directory}{name}/size")).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        found.insert(
            name.to_owned(),
            json!({
                "links": links.of(name),
                "start": start,
                "sectorsize": 512,
                "sectors": size,
                "size": human(size * 512),
                "uuid": links.uuid(name, material),
                "holders": holders(material, &format!("{directory}{name}/holders")),
            }),
        );
    }
    Json::Object(found)
}

/// The device-mapper devices on top of a device, by name.
fn holders(material: &Material, directory: &str) -> Json {
    let names = material.names_in(directory).into_iter().filter(|name| name.starts_with("dm-"));
    names.map(|name| material.file(&format!("/sys/block/{name}/dm/name")).unwrap_or(name)).collect()
}

/// What `lspci` calls the controller of a device.
fn pci_host(material: &Material, device: &str) -> String {
    let path = material.link(&format!("/sys/block/{device}")).unwrap_or_default();
    let is_pci = |part: &&str| {
        regex::Regex::new(r"^[a-f0-9]{4}:[a-f0-9]{2}:[01][a-f0-9]\.[0-7]$").is_ok_and(|id| id.is_match(part))
    };
    let Some(id) = path.split('/').rfind(is_pci) else { return String::new() };
    let lines = material.section("lspci").unwrap_or_default().lines();
    lines.filter_map(|line| line.strip_prefix(id)?.strip_prefix(' ')).next().unwrap_or_default().to_owned()
}

/// A size as Ansible words it: `256.00 GB`.
fn human(bytes: u64) -> String {
    let units = [("YB", 80), ("ZB", 70), ("EB", 60), ("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)];
    #[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let size = bytes as f64;
    let unit = units.into_iter().map(|(name, power)| (name, 2f64.powi(power))).find(|(_, limit)| size >= *limit);
    let (name, limit) = unit.unwrap_or(("Bytes", 1.0));
    format!("{:.2} {name}", size / limit)
}

/// `lvm`, from its own tools. A host without a device-mapper device is taken to have no volume groups.
fn volume_groups(material: &Material) -> Json {
    let uid = material.section("user").unwrap_or_default().split(' ').next();
    if !material.exists("vgs") || uid != Some("0") {
        return json!("N/A");
    }
    let rows = |section: &str| -> Vec<Vec<String>> {
        let lines = material.section(section).unwrap_or_default().lines();
        lines.map(|line| line.trim().split(',').map(str::to_owned).collect()).collect()
    };
    let cell = |row: &[String], index: usize| row.get(index).cloned().unwrap_or_default();
    let mut groups = Facts::new();
    for row in rows("vgs") {
        let (size, free) = (cell(&row, row.len().saturating_sub(2)), cell(&row, row.len().saturating_sub(1)));
        let group = json!({ "size_g": size, "free_g": free, "num_lvs": cell(&row, 2), "num_pvs": cell(&row, 1) });
        groups.insert(cell(&row, 0), group);
    }
    let volumes: Facts =
        rows("lvs").iter().map(|row| (cell(row, 0), json!({ "size_g": cell(row, 3), "vg": cell(row, 1) }))).collect();
    let physical: Facts = rows("pvs")
        .iter()
        .map(|row| {
            let device = cell(row, 0);
            let mapped = device.strip_prefix("/dev/").filter(|name| name.starts_with("dm-"));
            let name = mapped.and_then(|name| material.file(&format!("/sys/block/{name}/dm/name")));
            let device = name.map_or(device.clone(), |name| format!("/dev/mapper/{name}"));
            (device, json!({ "size_g": cell(row, 4), "free_g": cell(row, 5), "vg": cell(row, 1) }))
        })
        .collect();
    json!({ "lvs": volumes, "vgs": groups, "pvs": physical })
}

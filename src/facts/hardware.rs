//! Processors, memory and the names the firmware gives.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::Facts;
use super::answer::Material;

const DMI: &str = "/sys/devices/virtual/dmi/id";

/// Fact and file below [`DMI`].
const FIRMWARE: &[(&str, &str)] = &[
    ("bios_date", "bios_date"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("form_factor", "chassis_type"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

/// The chassis types of the DMI standard by number.
const FORM_FACTORS: &[&str] = &[
    "Unknown",
    "Other",
    "Unknown",
    "Desktop",
    "Low Profile Desktop",
    "Pizza Box",
    "Mini Tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand Held",
    "Docking Station",
    "All In One",
    "Sub Notebook",
    "Space-saving",
    "Lunch Box",
    "Main Server Chassis",
    "Expansion Chassis",
    "Sub Chassis",
    "Bus Expansion Chassis",
    "Peripheral Chassis",
    "RAID Chassis",
    "Rack Mount Chassis",
    "Sealed-case PC",
    "Multi-system",
    "CompactPCI",
    "AdvancedTCA",
    "Blade",
    "Blade Enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT Gateway",
    "Embedded PC",
    "Mini PC",
    "Stick PC",
];

/// `processor*`, `mem*_mb`, `uptime_seconds`, `product_*` and the like.
pub fn hardware(material: &Material, architecture: &str) -> Facts {
    let mut facts = processors(material, architecture);
    facts.extend(memory(material));
    facts.extend(firmware(material));
    if let Some(uptime) =
        material.file("/proc/uptime").and_then(|text| text.split(['.', ' ']).next()?.parse::<i64>().ok())
    {
        facts.insert("uptime_seconds".into(), json!(uptime));
    }
    facts
}

/// Counts as Ansible counts them: sockets by `physical id`, cores by `cpu cores`, threads by `siblings`.
fn processors(material: &Material, architecture: &str) -> Facts {
    let (mut list, mut flags) = (vec![], None);
    let (mut vendors, mut models, mut numbers) = (0, 0, 0);
    let (mut socket, mut core) = (String::from("0"), String::from("0"));
    let mut sockets: IndexMap<String, i64> = IndexMap::new();
    let mut cores: IndexMap<String, i64> = IndexMap::new();
    for line in material.lines("/proc/cpuinfo") {
        let (key, value) = line.split_once(':').map_or((line.trim(), ""), |(key, value)| (key.trim(), value.trim()));
        let number = || value.parse::<i64>().unwrap_or(0);
        match key {
            "flags" => flags = Some(value.split_whitespace().collect::<Vec<_>>()),
            "model name" | "Processor" | "vendor_id" | "cpu" | "Vendor" | "processor" => {
                list.push(value);
                vendors += i64::from(key == "vendor_id");
                models += i64::from(key == "model name");
                numbers += i64::from(key == "processor");
            }
            "physical id" => {
                value.clone_into(&mut socket);
                sockets.entry(socket.clone()).or_insert(1);
            }
            "core id" => {
                value.clone_into(&mut core);
                if !sockets.contains_key(&core) {
                    cores.insert(core.clone(), 1);
                }
            }
            "cpu cores" => {
                sockets.insert(socket.clone(), number());
            }
            "siblings" => {
                cores.insert(core.clone(), number());
            }
            _ => {}
        }
    }
    let mut count = i64::try_from(list.len()).unwrap_or(i64::MAX);
    if vendors > 0 && vendors == models {
        count = vendors;
    }
    if ["armv", "aarch", "ppc"].iter().any(|prefix| architecture.starts_with(prefix)) {
        count = numbers;
    }
    let sockets_found = i64::try_from(sockets.len()).unwrap_or(0);
    let count = if sockets_found > 0 { sockets_found } else { count };
    let per_socket = sockets.values().next().copied().filter(|cores| *cores > 0).unwrap_or(1);
    let threads = half_even(cores.values().next().copied().unwrap_or(1), per_socket);
    let mut facts = Facts::new();
    facts.insert("processor".into(), json!(list));
    if let Some(flags) = flags {
        facts.insert("flags".into(), json!(flags));
    }
    facts.insert("processor_count".into(), json!(count));
    facts.insert("processor_cores".into(), json!(per_socket));
    facts.insert("processor_threads_per_core".into(), json!(threads));
    facts.insert("processor_vcpus".into(), json!(threads * count * per_socket));
    facts.insert("processor_nproc".into(), json!(usable(material).unwrap_or(numbers)));
    facts
}

/// A quotient rounded half to even, as Python's `round` does.
fn half_even(dividend: i64, divisor: i64) -> i64 {
    let (whole, rest) = (dividend / divisor, dividend % divisor);
    match (2 * rest).cmp(&divisor) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Equal => whole + whole % 2,
        std::cmp::Ordering::Greater => whole + 1,
    }
}

/// How many processors the process may use: the bits of its mask.
fn usable(material: &Material) -> Option<i64> {
    let mask = material.lines("/proc/self/status").find_map(|line| line.strip_prefix("Cpus_allowed:"))?;
    let bits: u32 = mask.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum();
    Some(i64::from(bits))
}

fn memory(material: &Material) -> Facts {
    let mut sizes: IndexMap<&str, i64> = IndexMap::new();
    for line in material.lines("/proc/meminfo") {
        let Some((key, value)) = line.split_once(':') else { continue };
        if let Some(kib) = value.split_whitespace().next().and_then(|text| text.parse::<i64>().ok()) {
            sizes.insert(key, kib / 1024);
        }
    }
    if sizes.is_empty() {
        return Facts::new();
    }
    let size = |key: &str| sizes.get(key).copied();
    let less = |total: Option<i64>, free: Option<i64>| Some(total? - free?);
    let (total, free, swap) = (size("MemTotal"), size("MemFree"), size("SwapTotal"));
    let uncached =
        free.zip(size("Cached")).zip(size("Buffers")).map(|((free, cached), buffers)| free + cached + buffers);
    let mut facts = Facts::new();
    for (name, key) in [
        ("memtotal_mb", "MemTotal"),
        ("memfree_mb", "MemFree"),
        ("swaptotal_mb", "SwapTotal"),
        ("swapfree_mb", "SwapFree"),
    ] {
        if let Some(mib) = size(key) {
            facts.insert(name.into(), json!(mib));
        }
    }
    facts.insert(
        "memory_mb".into(),
        json!({
            "real": { "total": total, "used": less(total, free), "free": free },
            "nocache": { "free": uncached, "used": less(total, uncached) },
            "swap": {
                "total": swap,
                "free": size("SwapFree"),
                "used": less(swap, size("SwapFree")),
                "cached": size("SwapCached"),
            },
        }),
    );
    facts
}

fn firmware(material: &Material) -> Facts {
    FIRMWARE
        .iter()
        .map(|(name, file)| {
            let text = material.file(&format!("{DMI}/{file}"));
            let value = match (*name, text) {
                (_, None) => json!("NA"),
                ("form_factor", Some(number)) => {
                    let known = number.parse::<usize>().ok().and_then(|number| FORM_FACTORS.get(number));
                    known.map_or_else(|| json!(format!("unknown ({number})")), |name| json!(name))
                }
                (_, Some(text)) => Json::from(text),
            };
            ((*name).to_owned(), value)
        })
        .collect()
}

//! Interfaces, addresses, routes and name servers.

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::Facts;
use super::answer::{Material, basename};

const NET: &str = "/sys/class/net";

/// `interfaces`, one fact per interface, `default_ipv4`, `default_ipv6` and the lists of addresses. None without `ip`.
pub fn network(material: &Material) -> Facts {
    if !material.exists("ip") {
        return Facts::new();
    }
    let mut state = State {
        interfaces: material
            .names_in(NET)
            .into_iter()
            .map(|name| (name.to_owned(), interface(material, name)))
            .collect(),
        default_ipv4: default_route(material.section("route4"), "8.8.8.8"),
        default_ipv6: default_route(material.section("route6"), "2404:6800:400a:800::1012"),
        ipv4: vec![],
        ipv6: vec![],
    };
    let names: Vec<String> = state.interfaces.keys().cloned().collect();
    let lines = address_lines(material.section("addr").unwrap_or_default());
    for device in &names {
        for secondary in [false, true] {
            for (_, words) in lines.iter().filter(|(owner, words)| owner == device && is_secondary(words) == secondary)
            {
                state.address(device, words, secondary);
            }
        }
    }
    let mut facts = Facts::new();
    let fact_name = |name: &String| name.replace(':', "_");
    facts.insert("interfaces".into(), state.interfaces.keys().map(fact_name).collect());
    for (name, interface) in &state.interfaces {
        facts.insert(fact_name(name), Json::Object(interface.clone()));
    }
    facts.insert("default_ipv4".into(), Json::Object(state.default_ipv4));
    facts.insert("default_ipv6".into(), Json::Object(state.default_ipv6));
    facts.insert("all_ipv4_addresses".into(), json!(state.ipv4));
    facts.insert("all_ipv6_addresses".into(), json!(state.ipv6));
    facts.insert(
        "locally_reachable_ips".into(),
        json!({ "ipv4": local_routes(material.section("local4")), "ipv6": local_routes(material.section("local6")) }),
    );
    facts
}

struct State {
    interfaces: IndexMap<String, Facts>,
    default_ipv4: Facts,
    default_ipv6: Facts,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
}

impl State {
    fn address(&mut self, device: &str, words: &[&str], secondary: bool) {
        // A line that is cut short is passed over.
        let _ = match words.first() {
            Some(&"inet") => self.inet(device, words, secondary),
            Some(&"inet6") => self.inet6(device, words),
            _ => None,
        };
    }

    fn inet(&mut self, device: &str, words: &[&str], secondary: bool) -> Option<()> {
        let (text, label) = (*words.get(1)?, *words.last()?);
        let (address, prefix, broadcast) = match text.split_once('/') {
            Some((address, prefix)) => {
                let broadcast = if words.len() > 3 && words.get(2) == Some(&"brd") { words.get(3)? } else { "" };
                (address, prefix, broadcast)
            }
            // A point-to-point interface has no prefix.
            None => (text, "32", ""),
        };
        let bits: u32 = prefix.parse().ok().filter(|bits| *bits <= 32)?;
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0));
        let network = Ipv4Addr::from(u32::from(address.parse::<Ipv4Addr>().ok()?) & u32::from(mask));
        let entry = json!({
            "address": address,
            "broadcast": broadcast,
            "netmask": mask.to_string(),
            "network": network.to_string(),
            "prefix": prefix,
        });
        if label != device {
            self.interfaces.insert(label.to_owned(), Facts::new());
        }
        let owner = self.interfaces.get_mut(label)?;
        if !secondary && !owner.contains_key("ipv4") {
            owner.insert("ipv4".into(), entry.clone());
        } else {
            push(owner, "ipv4_secondaries", entry.clone());
        }
        if secondary && label != device {
            push(self.interfaces.get_mut(device)?, "ipv4_secondaries", entry.clone());
        }
        if self.default_ipv4.get("address").and_then(Json::as_str) == Some(address) {
            for key in ["broadcast", "netmask", "network", "prefix"] {
                self.default_ipv4.insert(key.into(), entry.get(key).cloned().unwrap_or_default());
            }
            describe(&mut self.default_ipv4, self.interfaces.get(device)?);
            self.default_ipv4.insert("alias".into(), json!(label));
        }
        if !address.starts_with("127.") {
            self.ipv4.push(address.to_owned());
        }
        Some(())
    }

    fn inet6(&mut self, device: &str, words: &[&str]) -> Option<()> {
        let (address, prefix, scope) = if words.get(2) == Some(&"peer") {
            (*words.get(1)?, words.get(3)?.split_once('/')?.1, *words.get(5)?)
        } else {
            let (address, prefix) = words.get(1)?.split_once('/')?;
            (address, prefix, *words.get(3)?)
        };
        let entry = json!({ "address": address, "prefix": prefix, "scope": scope });
        push(self.interfaces.get_mut(device)?, "ipv6", entry);
        if self.default_ipv6.get("address").and_then(Json::as_str) == Some(address) {
            self.default_ipv6.insert("prefix".into(), json!(prefix));
            self.default_ipv6.insert("scope".into(), json!(scope));
            describe(&mut self.default_ipv6, self.interfaces.get(device)?);
        }
        if address != "::1" {
            self.ipv6.push(address.to_owned());
        }
        Some(())
    }
}

/// Copies what the default route's fact says of its interface.
fn describe(route: &mut Facts, interface: &Facts) {
    let of = |key: &str| interface.get(key).cloned();
    route.insert("macaddress".into(), of("macaddress").unwrap_or_else(|| json!("")));
    route.insert("mtu".into(), of("mtu").unwrap_or_default());
    route.insert("type".into(), of("type").unwrap_or_else(|| json!("unknown")));
}

fn push(facts: &mut Facts, key: &str, entry: Json) {
    if let Json::Array(list) = facts.entry(key).or_insert_with(|| json!([])) {
        list.push(entry);
    }
}

/// The `inet` and `inet6` lines of `ip addr show`, each with its device.
fn address_lines(text: &str) -> Vec<(String, Vec<&str>)> {
    let mut device = String::new();
    let mut lines = vec![];
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            let name = words.get(1).copied().unwrap_or_default().trim_end_matches(':');
            device = name.split('@').next().unwrap_or_default().to_owned();
        } else if matches!(words.first(), Some(&("inet" | "inet6"))) {
            lines.push((device.clone(), words));
        }
    }
    lines
}

/// The kernel has one flag for a secondary IPv4 address and a temporary IPv6 one.
fn is_secondary(words: &[&str]) -> bool {
    words.iter().any(|word| *word == "secondary" || *word == "temporary")
}

/// What `/sys` tells of an interface.
fn interface(material: &Material, name: &str) -> Facts {
    let at = |file: &str| material.file(&format!("{NET}/{name}/{file}"));
    let exists = |part: &str| material.exists(&format!("{NET}/{name}/{part}"));
    let word = |file: &str| at(file).and_then(|text| text.split_whitespace().next()).unwrap_or_default();
    let mut facts = Facts::new();
    let mut set = |key: &str, value: Json| facts.insert(key.to_owned(), value);
    set("device", json!(name));
    if let Some(address) = at("address").filter(|address| *address != "00:00:00:00:00:00") {
        set("macaddress", json!(address));
    }
    if let Some(mtu) = at("mtu").and_then(|text| text.parse::<i64>().ok()) {
        set("mtu", json!(mtu));
    }
    if let Some(state) = at("operstate") {
        set("active", json!(state != "down"));
    }
    if let Some(module) = material.link(&format!("{NET}/{name}/device/driver/module")) {
        set("module", json!(basename(module)));
    }
    if let Some(kind) = at("type") {
        let kind = match kind {
            "1" => "ether",
            "32" => "infiniband",
            "512" => "ppp",
            "772" => "loopback",
            "65534" => "tunnel",
            _ => "unknown",
        };
        set("type", json!(kind));
    }
    if exists("bridge") {
        set("type", json!("bridge"));
        set("interfaces", json!(material.names_in(&format!("{NET}/{name}/brif"))));
        if let Some(id) = at("bridge/bridge_id") {
            set("id", json!(id));
        }
        if let Some(stp) = at("bridge/stp_state") {
            set("stp", json!(stp == "1"));
        }
    }
    if exists("bonding") {
        set("type", json!("bonding"));
        set("slaves", json!(at("bonding/slaves").unwrap_or_default().split_whitespace().collect::<Vec<_>>()));
        for key in ["mode", "miimon", "lacp_rate"] {
            set(key, json!(word(&format!("bonding/{key}"))));
        }
        if let Some(primary) = at("bonding/primary") {
            set("primary", json!(primary));
            if let Some(all) = at("bonding/all_slaves_active") {
                set("all_slaves_active", json!(all == "1"));
            }
        }
    }
    if exists("bonding_slave") {
        set("perm_macaddress", json!(at("bonding_slave/perm_hwaddr").unwrap_or_default()));
    }
    if let Some(device) = material.link(&format!("{NET}/{name}/device")) {
        set("pciid", json!(basename(device)));
    }
    if let Some(speed) = at("speed").and_then(|text| text.parse::<i64>().ok()) {
        set("speed", json!(speed));
    }
    if let Some(flags) = at("flags").and_then(|text| i64::from_str_radix(text.trim_start_matches("0x"), 16).ok()) {
        set("promisc", json!(flags & 0x100 > 0));
    }
    facts
}

/// Device, source and gateway of the route to a well-known address.
fn default_route(answer: Option<&str>, target: &str) -> Facts {
    let words: Vec<&str> = answer.and_then(|text| text.lines().next()).unwrap_or_default().split_whitespace().collect();
    let mut facts = Facts::new();
    if words.first() == Some(&target) {
        for pair in words.windows(2) {
            let [key, value] = pair else { continue };
            let name = match *key {
                "dev" => "interface",
                "src" => "address",
                "via" if *value != target => "gateway",
                _ => continue,
            };
            facts.insert(name.into(), json!(value));
        }
    }
    facts
}

fn local_routes(answer: Option<&str>) -> Vec<&str> {
    let mut found = vec![];
    for line in answer.unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        if let (Some("local"), Some(address)) = (words.next(), words.next())
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// `dns`, from `/etc/resolv.conf`.
pub fn dns(material: &Material) -> Facts {
    let mut dns = Facts::new();
    for line in material.lines("/etc/resolv.conf").filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let (Some(key), rest) = (words.next(), words.collect::<Vec<_>>()) else { continue };
        match key {
            "nameserver" => rest.iter().for_each(|server| push(&mut dns, "nameservers", json!(server))),
            "domain" => {
                rest.first().map(|domain| dns.insert("domain".into(), json!(domain)));
            }
            "search" | "sortlist" => {
                dns.insert(key.into(), json!(rest));
            }
            "options" => {
                let option = |word: &&str| match word.split_once(':') {
                    Some((name, value)) if !value.is_empty() => (name.to_owned(), json!(value)),
                    Some((name, _)) => (name.to_owned(), json!(true)),
                    None => ((*word).to_owned(), json!(true)),
                };
                dns.insert("options".into(), rest.iter().map(option).collect());
            }
            _ => {}
        }
    }
    Facts::from_iter([("dns".to_owned(), Json::Object(dns))])
}

/// The names this host has as an initiator of network storage.
pub fn initiators(material: &Material) -> Facts {
    let mut facts = Facts::new();
    if material.wants("fibre_channel_wwn") {
        let names = material.files_under("/sys/class/fc_host/").map(|(_, text)| text.get(2..).unwrap_or_default());
        facts.insert("fibre_channel_wwn".into(), names.collect());
    }
    let first =
        |path: &str, prefix: &str| material.lines(path).find(|line| line.starts_with(prefix)).map(str::to_owned);
    if material.wants("iscsi") {
        let name = first("/etc/iscsi/initiatorname.iscsi", "InitiatorName=");
        let name = name.as_deref().and_then(|line| line.split_once('=')).map_or("", |(_, name)| name);
        facts.insert("iscsi_iqn".into(), json!(name));
    }
    if material.wants("nvme") {
        facts.insert("hostnqn".into(), json!(first("/etc/nvme/hostnqn", "nqn.").unwrap_or_default()));
    }
    facts
}

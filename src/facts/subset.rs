//! `gather_subset`: which groups of facts are wanted.

use std::collections::BTreeSet;

use crate::diagnostic::nearest;
use crate::modules::Failure;

/// What is always gathered unless `!min` says otherwise.
const MINIMAL: &[&str] = &[
    "apparmor",
    "caps",
    "cmdline",
    "date_time",
    "distribution",
    "dns",
    "env",
    "fips",
    "local",
    "lsb",
    "pkg_mgr",
    "platform",
    "python",
    "selinux",
    "service_mgr",
    "ssh_pub_keys",
    "user",
];

/// The groups, each with the single facts that name it as well.
const GROUPS: &[(&str, &[&str])] = &[
    ("platform", &["system", "kernel", "kernel_version", "machine", "python_version", "architecture", "machine_id"]),
    ("distribution", &["distribution_version", "distribution_release", "distribution_major_version", "os_family"]),
    ("lsb", &[]),
    ("selinux", &[]),
    ("apparmor", &[]),
    ("chroot", &["is_chroot"]),
    ("fips", &[]),
    ("python", &[]),
    ("caps", &["system_capabilities", "system_capabilities_enforced"]),
    ("pkg_mgr", &[]),
    ("service_mgr", &[]),
    ("cmdline", &[]),
    ("date_time", &[]),
    ("env", &[]),
    ("loadavg", &[]),
    (
        "ssh_pub_keys",
        &[
            "ssh_host_pub_keys",
            "ssh_host_key_dsa_public",
            "ssh_host_key_rsa_public",
            "ssh_host_key_ecdsa_public",
            "ssh_host_key_ed25519_public",
        ],
    ),
    (
        "user",
        &[
            "user_id",
            "user_uid",
            "user_gid",
            "user_gecos",
            "user_dir",
            "user_shell",
            "real_user_id",
            "effective_user_id",
            "effective_group_ids",
        ],
    ),
    ("systemd", &[]),
    (
        "virtual",
        &["virtualization_type", "virtualization_role", "virtualization_tech_guest", "virtualization_tech_host"],
    ),
    ("hardware", &["processor", "processor_cores", "processor_count", "mounts", "devices"]),
    ("dns", &[]),
    ("fibre_channel_wwn", &[]),
    ("network", &["interfaces", "default_ipv4", "default_ipv6", "all_ipv4_addresses", "all_ipv6_addresses"]),
    ("iscsi", &[]),
    ("nvme", &[]),
    ("local", &[]),
    ("facter", &[]),
    ("ohai", &[]),
];

/// What a group cannot do without.
const NEEDS: &[(&str, &[&str])] = &[
    ("pkg_mgr", &["distribution"]),
    ("service_mgr", &["platform", "distribution"]),
    ("hardware", &["platform"]),
    ("network", &["distribution", "platform"]),
];

/// The names of the groups to gather, in order.
pub fn resolve(subset: &[String]) -> Result<Vec<&'static str>, Failure> {
    let known: BTreeSet<&str> = GROUPS.iter().flat_map(|(group, facts)| facts.iter().chain([group])).copied().collect();
    let mut added: BTreeSet<&str> = MINIMAL.iter().copied().collect();
    let mut excluded: BTreeSet<&str> = BTreeSet::new();
    let mut explicit: BTreeSet<&str> = BTreeSet::new();
    for name in subset {
        match (name.strip_prefix('!'), name.as_str()) {
            (Some("all"), _) => excluded.extend(known.iter().filter(|name| !MINIMAL.contains(name))),
            (Some("min"), _) => excluded.extend(MINIMAL),
            (Some(name), _) => {
                excluded.extend(GROUPS.iter().filter(|(group, _)| *group == name).flat_map(|(_, facts)| *facts));
                excluded.extend(known.get(name));
            }
            (None, "all") => added.extend(&known),
            (None, "min") => added.extend(MINIMAL),
            (None, name) => {
                let Some(known) = known.get(name) else { return Err(unknown(name, &known)) };
                explicit.insert(*known);
                added.insert(known);
            }
        }
    }
    let mut wanted: BTreeSet<&str> =
        added.into_iter().filter(|name| !excluded.contains(name) || explicit.contains(name)).collect();
    for (group, needs) in NEEDS {
        if holds(&wanted, group) {
            wanted.extend(*needs);
        }
    }
    Ok(GROUPS.iter().map(|(group, _)| *group).filter(|group| holds(&wanted, group)).collect())
}

fn holds(wanted: &BTreeSet<&str>, group: &str) -> bool {
    GROUPS.iter().any(|(name, facts)| {
        *name == group && (wanted.contains(name) || facts.iter().any(|fact| wanted.contains(fact)))
    })
}

fn unknown(name: &str, known: &BTreeSet<&str>) -> Failure {
    let allowed: Vec<&str> = known.iter().copied().collect();
    let failure = Failure::new(format!(
        "Bad subset '{name}' given to Ansible. gather_subset options allowed: all, {}",
        allowed.join(", ")
    ));
    match nearest(name, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    }
}

//! What a host runs on, and what it could run: `virtualization_type`, `_role` and the sets of techniques.
//!
//! Traces are looked at in Ansible's order: the first that says something decides type and role, all of them fill the sets.

use std::collections::BTreeSet;

use serde_json::json;

use super::Facts;
use super::answer::Material;
use super::platform::object;

#[derive(Default)]
struct Verdict {
    kind: Option<String>,
    role: Option<&'static str>,
    guest: BTreeSet<String>,
    host: BTreeSet<String>,
}

impl Verdict {
    fn guest(&mut self, name: &str) {
        self.guest.insert(name.to_owned());
        self.decide(name, "guest");
    }

    fn host(&mut self, name: &str) {
        self.host.insert(name.to_owned());
        self.decide(name, "host");
    }

    fn decide(&mut self, name: &str, role: &'static str) {
        if self.kind.is_none() {
            self.kind = Some(name.to_owned());
            self.role = Some(role);
        }
    }
}

/// The facts.
pub fn virtualization(material: &Material) -> Facts {
    let mut verdict = Verdict::default();
    containers(material, &mut verdict);
    if material.exists("/proc/xen") {
        if material.lines("/proc/xen/capabilities").any(|line| line.contains("control_d")) {
            verdict.host("xen");
        } else {
            verdict.decide("xen", "guest");
        }
    }
    firmware(material, &mut verdict);
    for line in material.lines("/proc/self/status") {
        match line.strip_prefix("VxID:").map(str::trim) {
            Some(id) if id.starts_with('0') => verdict.host("linux_vserver"),
            Some(id) if id.starts_with(|c: char| c.is_ascii_digit()) => verdict.guest("linux_vserver"),
            _ => {}
        }
    }
    processors(material, &mut verdict);
    let modules: Vec<&str> = material.lines("/proc/modules").filter_map(|line| line.split(' ').next()).collect();
    let loaded = |name: &str| modules.contains(&name);
    if loaded("kvm") {
        verdict.host("kvm");
    }
    if loaded("vboxdrv") {
        verdict.host("virtualbox");
    }
    if loaded("virtio") {
        verdict.host.insert("kvm".into());
        verdict.decide("kvm", "guest");
    }
    if material.exists("/dev/kvm") {
        verdict.host("kvm");
    }
    object(json!({
        "virtualization_type": verdict.kind.as_deref().unwrap_or("NA"),
        "virtualization_role": verdict.role.unwrap_or("NA"),
        "virtualization_tech_guest": verdict.guest,
        "virtualization_tech_host": verdict.host,
    }))
}

fn containers(material: &Material, verdict: &mut Verdict) {
    for line in material.lines("/proc/1/cgroup") {
        let docker = line.split_once("/docker").is_some_and(|(_, rest)| rest.starts_with('/') || scope(rest))
            || line.match_indices("/docker").any(|(at, name)| line.get(at + name.len()..).is_some_and(scope));
        if docker {
            verdict.guest("docker");
        }
        if line.contains("/lxc/") || line.contains("/machine.slice/machine-lxc") {
            verdict.guest("lxc");
        }
        if line.contains("/system.slice/containerd.service") {
            verdict.guest("containerd");
        }
    }
    for variable in material.section("environ1").unwrap_or_default().split('\0') {
        if variable.contains("container=lxc") {
            verdict.guest("lxc");
        }
        if variable.contains("container=podman") {
            verdict.guest("podman");
        }
        if variable.strip_prefix("container=").is_some_and(|value| !value.is_empty()) {
            verdict.guest("container");
        }
    }
    if material.exists("/proc/vz") && !material.exists("/proc/lve") {
        if material.exists("/proc/bc") { verdict.host("openvz") } else { verdict.guest("openvz") }
    }
    let systemd = material.file("/run/systemd/container");
    if let Some(name) = systemd {
        verdict.guest(name);
    }
    if material.exists("/.dockerenv") || material.exists("/.dockerinit") {
        verdict.guest("docker");
    }
    let engines = ["docker", "lxc", "podman", "openvz", "containerd"];
    if systemd.is_some() || engines.iter().any(|name| verdict.guest.contains(*name)) {
        verdict.guest.insert("container".into());
    }
}

/// `-<hex>.scope`, as systemd names the cgroup of a Docker container.
fn scope(rest: &str) -> bool {
    let id = rest.strip_prefix('-').and_then(|rest| rest.split_once(".scope"));
    id.is_some_and(|(id, _)| !id.is_empty() && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
}

fn firmware(material: &Material, verdict: &mut Verdict) {
    let dmi = |name: &str| material.file(&format!("/sys/devices/virtual/dmi/id/{name}")).unwrap_or_default();
    let (product, vendor, bios) = (dmi("product_name"), dmi("sys_vendor"), dmi("bios_vendor"));
    if matches!(product, "KVM" | "KVM Server" | "Bochs" | "AHV" | "CloudStack KVM Hypervisor") {
        verdict.guest("kvm");
    }
    if vendor == "oVirt" {
        verdict.guest("oVirt");
    }
    if vendor == "Red Hat" {
        if dmi("product_family") == "RHV" {
            verdict.guest("RHV");
        } else if product == "RHEV Hypervisor" {
            verdict.guest("RHEV");
        }
    }
    if product.starts_with("VMware") {
        verdict.guest("VMware");
    }
    if matches!(product, "OpenStack Compute" | "OpenStack Nova") {
        verdict.guest("openstack");
    }
    match bios {
        "Xen" => verdict.guest("xen"),
        "innotek GmbH" => verdict.guest("virtualbox"),
        "Amazon EC2" | "DigitalOcean" | "Hetzner" | "Linode" => verdict.guest("kvm"),
        _ => {}
    }
    match vendor {
        "QEMU" | "Amazon EC2" | "DigitalOcean" | "Google" | "Scaleway" | "Nutanix" => verdict.guest("kvm"),
        "KubeVirt" => verdict.guest("KubeVirt"),
        "Microsoft Corporation" => verdict.guest("VirtualPC"),
        "Parallels Software International Inc." => verdict.guest("parallels"),
        "OpenStack Foundation" => verdict.guest("openstack"),
        _ => {}
    }
    if product.contains("BHYVE") {
        verdict.guest("bhyve");
    }
}

fn processors(material: &Material, verdict: &mut Verdict) {
    for line in material.lines("/proc/cpuinfo") {
        let Some((key, value)) = line.split_once(':') else { continue };
        let name = match key.trim() {
            "model name" if value.contains("QEMU Virtual CPU") => "kvm",
            "vendor_id" if value.contains("User Mode Linux") => "uml",
            "model name" if value.contains("UML") => "uml",
            "machine" if value.contains("CHRP IBM pSeries (emulated by qemu)") => "kvm",
            "vendor_id" if value.contains("PowerVM Lx86") => "powervm_lx86",
            _ => continue,
        };
        verdict.guest(name);
    }
}

//! Facts: what Ansible's `setup` knows of a host, under Ansible's names without `ansible_`, from one read-only script.
//!
//! [`probe`] gives the script (`facts/gather.sh` with the wanted subsets put before it), [`parse`] makes facts of its answer. The
//! script only prints raw material; every rule is here, so that it is tested with recorded answers. There is no `python` fact:
//! mms needs no Python on the target.

mod answer;
mod distribution;
mod hardware;
mod local;
mod managers;
mod network;
mod platform;
mod storage;
mod subset;
mod virtualization;

use serde_json::{Map, Value as Json, json};

use crate::connection::Answer;
use crate::modules::{Failure, Probe};
use crate::value::{Fields, from_json};
use answer::Material;

/// Facts under construction.
type Facts = Map<String, Json>;

const GATHER: &str = include_str!("facts/gather.sh");

/// Which facts are wanted: the arguments of `setup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `gather_subset`: `all`, `min`, names of subsets or facts, and any of them after `!`.
    pub subset: Vec<String>,
    /// `fact_path`: the directory of local facts on the target.
    pub fact_path: String,
    /// `gather_timeout`: seconds that the file systems may take to tell their sizes.
    pub timeout: u64,
}

impl Default for Request {
    fn default() -> Self {
        Self { subset: vec!["all".into()], fact_path: "/etc/ansible/facts.d".into(), timeout: 10 }
    }
}

/// The script that gathers what is wanted. Fails when a subset does not exist.
pub fn probe(request: &Request) -> Result<Probe, Failure> {
    let wanted = subset::resolve(&request.subset)?;
    let head = format!(
        "S=' {} ' P={} T={} G={}\n",
        wanted.join(" "),
        crate::sh::quote(&request.fact_path),
        request.timeout,
        crate::sh::quote(&request.subset.join("\n")),
    );
    Ok(Probe::new(head + GATHER))
}

/// The facts in an answer to [`probe`], `gather_subset` and `module_setup` included.
pub fn parse(answer: &Answer) -> Result<Fields, Failure> {
    let material = Material::read(&answer.stdout);
    if !material.complete() {
        return Err(Failure::of_answer("the script that gathers facts broke off", answer));
    }
    let mut facts = Facts::new();
    let wants = |name: &str| material.wants(name);
    let platform = platform::platform(&material);
    let distribution = distribution::distribution(&material);
    let family = text(&distribution, "os_family");
    let architecture = text(&platform, "architecture");
    let parts: [(&str, &dyn Fn() -> Facts); 24] = [
        ("platform", &|| platform.clone()),
        ("distribution", &|| distribution.clone()),
        ("lsb", &|| distribution::lsb(&material)),
        ("selinux", &|| platform::selinux(&material)),
        ("apparmor", &|| platform::apparmor(&material)),
        ("chroot", &|| platform::chroot(&material)),
        ("fips", &|| platform::fips(&material)),
        ("caps", &|| platform::capabilities(&material)),
        ("pkg_mgr", &|| managers::package(&material, &family)),
        ("service_mgr", &|| managers::service(&material, &text(&distribution, "distribution"))),
        ("systemd", &|| managers::systemd(&material)),
        ("cmdline", &|| platform::cmdline(&material)),
        ("date_time", &|| platform::date_time(&material)),
        ("env", &|| platform::environment(&material)),
        ("loadavg", &|| platform::loadavg(&material)),
        ("ssh_pub_keys", &|| platform::ssh_host_keys(&material)),
        ("user", &|| platform::user(&material)),
        ("virtual", &|| virtualization::virtualization(&material)),
        ("hardware", &|| hardware::hardware(&material, &architecture)),
        ("hardware", &|| storage::storage(&material)),
        ("dns", &|| network::dns(&material)),
        ("network", &|| network::network(&material)),
        ("initiators", &|| network::initiators(&material)),
        ("local", &|| local::local(&material)),
    ];
    for (name, gather) in parts {
        if wants(name) || name == "initiators" {
            facts.extend(gather());
        }
    }
    facts.insert("gather_subset".into(), json!(material.requested()));
    facts.insert("module_setup".into(), json!(true));
    Ok(facts.iter().map(|(name, value)| (name.clone(), from_json(value))).collect())
}

fn text(facts: &Facts, name: &str) -> String {
    facts.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

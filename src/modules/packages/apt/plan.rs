//! Which packages `apt-get` is to be told to install or remove.

use std::collections::BTreeMap;

use super::installed::{Policy, Status, policies};
use super::options::word;
use super::spec::{Operator, PackageSpec};
use crate::connection::Answer;
use crate::modules::{Args, Failure, Probe};
use crate::sh;

/// What is to be done about packages to install.
#[derive(Debug)]
pub(super) enum Decision {
    /// It cannot be told without asking this.
    Ask(Probe),
    /// apt-get is to be given these words (none: nothing is to be done) for packages of these names.
    Install {
        /// Quoted words.
        words: Vec<String>,
        /// Names without versions.
        names: Vec<String>,
    },
}

/// Shell text that marks packages as wanted for themselves, after a command that succeeded.
pub(super) fn mark(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!(" && {{ ! command -v apt-mark >/dev/null || apt-mark manual {} >/dev/null; }}", sh::join(names))
}

/// Decides from what dpkg said and, if it must, from what apt says (`asked`).
pub(super) fn decide(
    args: &Args,
    specs: &[PackageSpec],
    status: &Status,
    asked: &[Answer],
) -> Result<Decision, Failure> {
    let latest = args.text("state") == "latest";
    let only_upgrade = args.bool("only_upgrade");
    let settled = |spec: &PackageSpec| {
        let installed = status.of(&spec.name).filter(|package| package.installed);
        match installed {
            Some(package) => !latest && !spec.is_loose() && spec.accepts(&package.version),
            None => only_upgrade && !spec.is_pattern(),
        }
    };
    let open: Vec<&PackageSpec> = specs.iter().filter(|spec| !settled(spec)).collect();
    let mut names: Vec<String> = specs.iter().filter(|spec| settled(spec)).map(|spec| spec.name.clone()).collect();
    if open.is_empty() {
        return Ok(Decision::Install { words: vec![], names });
    }
    let Some(answer) = asked.first() else { return Ok(Decision::Ask(policy_probe(args, &open)?)) };
    let text = answer.stdout_text();
    let (matched, policy) = text.split_once("policy=\n").unwrap_or(("", &text));
    let policies = policies(policy);
    let open = expand(&open, matched)?;

    let unknown: Vec<&str> = open
        .iter()
        .map(|spec| spec.name.as_str())
        .filter(|name| policy_of(&policies, name).is_none_or(|policy| policy.versions.is_empty()))
        .filter(|name| status.of(name).is_none())
        .collect();
    let virtual_names = if unknown.is_empty() {
        BTreeMap::new()
    } else {
        let Some(answer) = asked.get(1) else { return Ok(Decision::Ask(provides_probe(&unknown))) };
        providers(&answer.stdout_text())
    };
    let mut words = vec![];
    for spec in &open {
        names.push(spec.name.clone());
        if unknown.contains(&spec.name.as_str()) {
            names.pop();
            match virtual_names.get(&spec.name) {
                Some(true) => {}
                Some(false) => words.push(word(&spec.text)?),
                None => {
                    return Err(Failure::missing(format!("No package matching '{}' is available", spec.name))
                        .hint("check the spelling, or update the package lists with `update_cache: true`"));
                }
            }
            continue;
        }
        let installed = status.of(&spec.name).filter(|package| package.installed);
        let best = policy_of(&policies, &spec.name).and_then(|policy| spec.best(policy));
        let installable = best
            .filter(|best| spec.accepts(best))
            .filter(|best| installed.is_none_or(|package| package.version != *best));
        let accepted = installed.is_some_and(|package| spec.accepts(&package.version));
        if installed.is_none() && only_upgrade {
            continue;
        }
        match installable {
            None if !accepted => {
                return Err(Failure::missing(format!("no available installation candidate for {}", spec.text)));
            }
            Some(version) if installed.is_none() || latest || !accepted => {
                words.push(word(&format!("{}={version}", spec.name))?);
            }
            Some(_) => {
                if let Some((Operator::Matches, version)) = &spec.version {
                    words.push(word(&format!("{}={version}", spec.name))?);
                }
            }
            None => {}
        }
    }
    Ok(Decision::Install { words, names })
}

/// The words of what is to be removed.
pub(super) fn removals(args: &Args, specs: &[PackageSpec], status: &Status) -> Result<Vec<String>, Failure> {
    let mut words = vec![];
    for spec in specs {
        let found = if spec.is_pattern() {
            status.matching(&spec.name).into_iter().map(|name| (name.clone(), name)).collect()
        } else {
            vec![(spec.name.clone(), spec.text.clone())]
        };
        for (name, text) in found {
            let Some(package) = status.of(&name) else { continue };
            if (package.installed && spec.accepts(&package.version)) || args.bool("purge") {
                words.push(word(&text)?);
            }
        }
    }
    Ok(words)
}

fn policy_of<'a>(policies: &'a BTreeMap<String, Policy>, name: &str) -> Option<&'a Policy> {
    policies.get(name).or_else(|| policies.get(name.split(':').next().unwrap_or(name)))
}

/// Asks apt's cache for versions, and for the names that match patterns.
fn policy_probe(args: &Args, specs: &[&PackageSpec]) -> Result<Probe, Failure> {
    let mut script = String::from("LC_ALL=C; export LC_ALL; set -f; x=\n");
    let mut names = vec![];
    for spec in specs {
        if !spec.is_pattern() {
            names.push(spec.name.as_str());
            continue;
        }
        if spec.name.chars().any(|c| !c.is_ascii_alphanumeric() && !"+.:~_*?[]!-".contains(c)) {
            return Err(Failure::new(format!("invalid package spec: {}", spec.text)));
        }
        let prefix = spec.name.split(['*', '?', '[', ']', '!']).next().unwrap_or_default();
        script.push_str(&format!(
            "for n in $(apt-cache pkgnames {}); do case $n in {}) x=\"$x $n\"; printf 'match=%s\\t%s\\n' {} \"$n\" ;; esac; done\n",
            sh::quote(prefix),
            spec.name,
            sh::quote(&spec.name),
        ));
    }
    let release = args
        .str("default_release")
        .map(|release| format!(" -o {}", sh::quote(&format!("APT::Default-Release={release}"))));
    script.push_str(&format!(
        "echo policy=\n[ -z {}\"$x\" ] || apt-cache{} policy {} $x 2>/dev/null\n:\n",
        sh::quote(&names.join(" ")),
        release.unwrap_or_default(),
        sh::join(&names),
    ));
    Ok(Probe::new(script))
}

/// The specs with patterns replaced by the names that match them.
fn expand(specs: &[&PackageSpec], matched: &str) -> Result<Vec<PackageSpec>, Failure> {
    let mut expanded = vec![];
    for spec in specs {
        if !spec.is_pattern() {
            expanded.push((*spec).clone());
            continue;
        }
        let before = expanded.len();
        let found = matched.lines().filter_map(|line| line.strip_prefix("match=")?.split_once('\t'));
        let found = found.filter(|(pattern, _)| *pattern == spec.name);
        // As in Ansible, a version beside a pattern is not looked at.
        expanded.extend(found.map(|(_, name)| PackageSpec { text: name.into(), name: name.into(), version: None }));
        if expanded.len() == before {
            return Err(Failure::missing(format!("No package(s) matching '{}' available", spec.name)));
        }
    }
    Ok(expanded)
}

/// Asks which packages provide names that are none of a package.
fn provides_probe(names: &[&str]) -> Probe {
    Probe::new(format!(
        "LC_ALL=C; export LC_ALL\napt-cache showpkg {} 2>/dev/null\necho installed=\n\
         dpkg-query -W -f '${{Package}}\\t${{db:Status-Abbrev}}\\n'\n",
        sh::join(names)
    ))
}

/// For every virtual package, whether a package that provides it is installed.
fn providers(text: &str) -> BTreeMap<String, bool> {
    let (packages, dpkg) = text.split_once("installed=\n").unwrap_or((text, ""));
    let is_installed = |name: &str| {
        dpkg.lines()
            .filter_map(|line| line.split_once('\t'))
            .any(|(package, state)| package == name && state.starts_with("ii"))
    };
    let mut found = BTreeMap::new();
    let mut name = "";
    let mut providing = false;
    for line in packages.lines() {
        if let Some(package) = line.strip_prefix("Package: ") {
            (name, providing) = (package.trim(), false);
        } else if line.starts_with("Reverse Provides:") {
            providing = true;
        } else if providing && let Some(provider) = line.split(' ').next().filter(|provider| !provider.is_empty()) {
            let provider = provider.split(':').next().unwrap_or(provider);
            *found.entry(name.to_owned()).or_insert(false) |= is_installed(provider);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_package_is_installed_when_a_provider_is() {
        let text = "Package: mail-agent\nVersions: \n\nReverse Depends: \n  x,mail-agent\nDependencies: \nProvides: \n\
                    Reverse Provides: \nexim4 4.96 (= )\npostfix 3.7 (= )\nPackage: other\nReverse Provides: \nfoo 1 (= )\n\
                    installed=\npostfix\tii \nfoo\trc \n";
        let found = providers(text);
        assert!(found["mail-agent"]);
        assert!(!found["other"]);
    }
}

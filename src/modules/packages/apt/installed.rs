//! What is installed, asked of dpkg in one script, and what could be, asked of apt's cache only when it matters.

use std::collections::BTreeMap;

use super::spec::PackageSpec;
use crate::connection::Answer;
use crate::fnmatch::Pattern;
use crate::modules::{Failure, Probe};
use crate::sh;

/// A package that dpkg knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub arch: String,
    /// Whether it is installed; otherwise only its configuration files are left.
    pub installed: bool,
    /// Its version.
    pub version: String,
}

impl Installed {
    fn is_named(&self, name: &str) -> bool {
        self.name == name || name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix(':')) == Some(&self.arch)
    }
}

/// What dpkg and the clock say.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// When the package lists were updated; 0 when never.
    pub stamp: Stamp,
    /// The target's time, in seconds since 1970.
    pub now: i64,
    /// The packages that were asked for.
    pub packages: Vec<Installed>,
    /// Names of packages that were installed only because others need them.
    pub automatic: Vec<String>,
    /// Deb files: path or URL, package and version.
    pub debs: Vec<(String, String, String)>,
}

/// A time in nanoseconds since 1970: two updates in a second are two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp(i64);

impl Stamp {
    const SECOND: i64 = 1_000_000_000;

    /// Reads what [`STAMP`] prints.
    pub fn read(text: &str) -> Option<Self> {
        let (seconds, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        seconds.parse::<i64>().ok()?.checked_mul(Self::SECOND)?.checked_add(nanoseconds).map(Self)
    }

    /// In seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }
}

/// Shell text that prints when the package lists were updated, in seconds since 1970, with what is behind the point where `stat` tells.
pub(super) const STAMP: &str = "for f in /var/lib/apt/periodic/update-success-stamp /var/lib/apt/lists; do\n\
                                [ -e \"$f\" ] || continue\n\
                                stat -c %.9Y \"$f\" 2>/dev/null || stat -c %Y \"$f\"\nbreak\ndone\n";

const DPKG: &str = "dpkg-query -W -f '${Package}\\t${Architecture}\\t${db:Status-Abbrev}\\t${Version}\\n'";

/// The probe for specs and deb files.
pub(super) fn probe(specs: &[PackageSpec], debs: &[String]) -> Probe {
    let mut script = format!(
        "LC_ALL=C; export LC_ALL\ncommand -v apt-get >/dev/null || exit 127\nprintf 'stamp=%s\\n' \"$({STAMP})\"\n\
         echo \"now=$(date +%s)\"\n"
    );
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    if !names.is_empty() {
        script.push_str(&format!("{DPKG} -- {} 2>/dev/null\n", sh::join(&names)));
        let lines: Vec<String> =
            names.iter().map(|name| format!("-e {}", sh::quote(&format!("Package: {}", bare(name))))).collect();
        script.push_str(&format!("grep -A 2 -x -F {} /var/lib/apt/extended_states 2>/dev/null\n", lines.join(" ")));
    }
    for deb in debs {
        let quoted = sh::quote(deb);
        script.push_str(&fetch(deb));
        script.push_str(&format!(
            "n=$(dpkg-deb --field \"$f\" Package) && v=$(dpkg-deb --field \"$f\" Version) || {{ printf 'bad=%s\\n' {quoted}; exit 0; }}\n\
             printf 'deb=%s\\t%s\\t%s\\n' {quoted} \"$n\" \"$v\"\n{DPKG} -- \"$n\" 2>/dev/null\n"
        ));
    }
    script.push_str(":\n");
    Probe::new(script)
}

/// Shell text that puts a deb file's path into `f`, downloading it if it is at a URL.
pub(super) fn fetch(deb: &str) -> String {
    let quoted = sh::quote(deb);
    if deb.contains("://") {
        format!(
            "f=$(mktemp -d)/package.deb; trap 'rm -rf \"${{f%/*}}\"' EXIT\n\
             if command -v curl >/dev/null; then curl -fsSL -o \"$f\" -- {quoted}; else wget -q -O \"$f\" -- {quoted}; fi || \
             {{ echo \"cannot download \"{quoted} >&2; exit 1; }}\n"
        )
    } else {
        format!("f={}\n", crate::modules::support::path::word(deb))
    }
}

fn bare(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

impl Status {
    /// Reads the answer to [`probe`].
    pub fn read(answer: &Answer) -> Result<Self, Failure> {
        if answer.rc == 127 {
            return Err(Failure::missing("there is no apt-get on the target")
                .hint("this module is for Debian and its relatives; `package` chooses by the target's facts"));
        }
        if answer.rc != 0 {
            return Err(Failure::of_answer(
                format!("Unable to install package: {}", answer.stderr_text().trim()),
                answer,
            ));
        }
        let mut status = Self::default();
        let mut stanza = "";
        let text = answer.stdout_text();
        for line in text.lines() {
            let number = |text: &str| text.trim().parse().unwrap_or(0);
            if let Some(stamp) = line.strip_prefix("stamp=") {
                status.stamp = Stamp::read(stamp).unwrap_or_default();
            } else if let Some(now) = line.strip_prefix("now=") {
                status.now = number(now);
            } else if let Some(name) = line.strip_prefix("Package: ") {
                stanza = name;
            } else if line == "Auto-Installed: 1" {
                status.automatic.push(stanza.to_owned());
            } else if let Some(path) = line.strip_prefix("bad=") {
                let why = answer.stderr_text().trim().to_owned();
                return Err(Failure::missing(format!("Unable to install package: {path}: {why}")));
            } else if let Some(deb) = line.strip_prefix("deb=") {
                let mut fields = deb.split('\t').map(str::to_owned);
                if let (Some(path), Some(name), Some(version)) = (fields.next(), fields.next(), fields.next()) {
                    status.debs.push((path, name, version));
                }
            } else if let [name, arch, state, version] = line.split('\t').collect::<Vec<_>>()[..] {
                // The second letter is the state: installed, config-files, not-installed, …
                let state = state.chars().nth(1).unwrap_or('n');
                if state != 'n' {
                    status.packages.push(Installed {
                        name: name.to_owned(),
                        arch: arch.to_owned(),
                        installed: state == 'i',
                        version: version.to_owned(),
                    });
                }
            }
        }
        Ok(status)
    }

    /// What dpkg knows of a name.
    pub fn of(&self, name: &str) -> Option<&Installed> {
        let mut found = self.packages.iter().filter(|package| package.is_named(name));
        let first = found.next()?;
        Some(if first.installed { first } else { found.find(|package| package.installed).unwrap_or(first) })
    }

    /// The names that match a pattern.
    pub fn matching(&self, pattern: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern);
        let found = self.packages.iter().filter(|package| pattern.matches(&package.name));
        found.map(|package| package.name.clone()).collect()
    }
}

/// What apt could install of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// The version that `apt-get install` would take.
    pub candidate: Option<String>,
    /// Every version, newest first.
    pub versions: Vec<String>,
}

/// Reads `apt-cache policy`.
pub(super) fn policies(text: &str) -> BTreeMap<String, Policy> {
    let mut policies: BTreeMap<String, Policy> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            name = title.to_owned();
            policies.insert(name.clone(), Policy::default());
            continue;
        }
        let Some(policy) = policies.get_mut(&name) else { continue };
        if let Some(version) = line.strip_prefix("  Candidate: ") {
            policy.candidate = Some(version.to_owned()).filter(|version| version != "(none)");
        } else if let Some(rest) = line.strip_prefix(" *** ").or_else(|| line.strip_prefix("     ")) {
            // Lines of sources are indented further.
            let version = rest.split(' ').next().unwrap_or_default();
            if !version.is_empty() {
                policy.versions.push(version.to_owned());
            }
        }
    }
    policies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_apt_cache_policy() {
        let found = policies(
            "foo:\n  Installed: 1.0\n  Candidate: 2.0\n  Version table:\n     2.0 500\n        500 file:/srv ./ Packages\n \
             *** 1.0 500\n        500 file:/srv ./ Packages\n        100 /var/lib/dpkg/status\nvirt:\n  Installed: (none)\n  \
             Candidate: (none)\n  Version table:\n",
        );
        assert_eq!(found["foo"], Policy { candidate: Some("2.0".into()), versions: vec!["2.0".into(), "1.0".into()] });
        assert_eq!(found["virt"], Policy::default());
    }
}

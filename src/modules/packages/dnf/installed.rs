//! What is installed, asked of rpm in one script: starting dnf takes a hundred times as long.

use std::collections::BTreeSet;

use super::super::rpm::{FORMAT, Package};
use super::options::Tool;
use super::request::{Request, State, Want};
use crate::connection::Answer;
use crate::modules::{Args, Failure, Probe};
use crate::sh;

/// What the probe found.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// Whether the task's user is root.
    pub root: bool,
    /// The target's dnf.
    pub tool: Option<Tool>,
    packages: Vec<Package>,
    unprovided: BTreeSet<String>,
    globs: BTreeSet<String>,
    files: Vec<(String, Package)>,
}

/// `rpm`, in the root directory that the task names.
pub(super) fn rpm(args: &Args) -> String {
    match args.str("installroot").filter(|root| *root != "/") {
        Some(root) => format!("rpm --root={}", sh::quote(root)),
        None => "rpm".to_owned(),
    }
}

/// The probe for a request.
pub(super) fn probe(args: &Args, request: &Request) -> Probe {
    let rpm = rpm(args);
    let mut script = String::from(
        "LC_ALL=C; export LC_ALL\necho \"uid=$(id -u)\"\n\
         if [ -x /usr/bin/dnf5 ] && { [ ! -e /usr/bin/dnf ] || [ /usr/bin/dnf -ef /usr/bin/dnf5 ]; }; then echo tool=5\n\
         elif [ -x /usr/bin/dnf ]; then echo tool=4; fi\n",
    );
    let mut names: Vec<&str> = vec![];
    let mut provided: Vec<&str> = vec![];
    for want in &request.wants {
        match want {
            Want::Name(spec) => {
                names.push(spec);
                names.extend(stems(spec));
                provided.push(spec);
            }
            Want::Compare { name, .. } => names.push(name),
            Want::Path(path) => provided.push(path),
            Want::Glob(glob) if request.state == State::Absent => {
                let glob = sh::quote(glob);
                script.push_str(&format!("[ -z \"$({rpm} -qa {glob})\" ] || printf 'glob=%s\\n' {glob}\n"));
            }
            Want::File(path) => {
                // What is installed of the same name is asked for as well.
                let path = sh::quote(path);
                script.push_str(&format!(
                    "if [ -f {path} ]; then p=$(rpm -qp --nosignature --qf '{FORMAT}' {path} 2>/dev/null); \
                     printf 'file=%s\\n%s\\n' {path} \"$p\"; n=${{p%%\"$(printf '\\t')\"*}}; \
                     echo packages=; {rpm} -q --qf '{FORMAT}' -- \"$n\"; fi\n"
                ));
            }
            Want::Glob(_) | Want::Group(_) | Want::Url(_) => {}
        }
    }
    if !names.is_empty() || !provided.is_empty() {
        let query = if names.is_empty() {
            "false".to_owned()
        } else {
            format!("{rpm} -q --qf '{FORMAT}' -- {}", sh::join(&names))
        };
        script.push_str(&format!("echo packages=\n{query} || {{ echo provides=\n"));
        if !provided.is_empty() {
            script.push_str(&format!("{rpm} -q --whatprovides --qf '' -- {} 2>&1\n", sh::join(&provided)));
        }
        script.push_str(":; }\n");
    }
    script.push_str(":\n");
    Probe::new(script)
}

/// The names that a spec with a version may be of: `foo` and `foo-1` for `foo-1-2`.
fn stems(spec: &str) -> impl Iterator<Item = &str> {
    spec.match_indices('-').filter_map(|(at, _)| {
        let (name, rest) = spec.split_at(at);
        rest.get(1..)?.starts_with(|c: char| c.is_ascii_digit()).then_some(name).filter(|name| !name.is_empty())
    })
}

impl Installed {
    /// Reads the answer to [`probe`].
    pub fn read(answer: &Answer) -> Result<Self, Failure> {
        let mut found = Self::default();
        let mut section = "";
        let mut file = None;
        let text = answer.stdout_text();
        for line in text.lines() {
            match line.split_once('=') {
                Some(("uid", uid)) => found.root = uid == "0",
                Some(("tool", tool)) => found.tool = Some(if tool == "5" { Tool::Dnf5 } else { Tool::Dnf4 }),
                Some(("glob", glob)) => {
                    found.globs.insert(glob.to_owned());
                }
                Some(("file", path)) => file = Some(path.to_owned()),
                Some((name @ ("packages" | "provides"), "")) => {
                    section = if name == "packages" { "packages" } else { "provides" }
                }
                _ => match (file.take(), Package::parse(line)) {
                    (Some(path), Some(package)) => found.files.push((path, package)),
                    (None, Some(package)) => found.packages.push(package),
                    (_, None) if section == "provides" => found.unprovided.extend(unprovided(line)),
                    _ => {}
                },
            }
        }
        if found.tool.is_none() {
            return Err(Failure::missing("there is no dnf on the target")
                .hint("this module is for Fedora and its relatives; `package` chooses by the target's facts"));
        }
        Ok(found)
    }

    /// Whether what is wanted is installed. Nothing: only dnf can tell.
    pub fn has(&self, want: &Want) -> Option<bool> {
        let named = || self.packages.iter().any(|package| want.is_met_by(package));
        match want {
            // dnf 5 does not take a package that merely provides the name for the package of that name.
            Want::Name(_) if named() => Some(true),
            Want::Name(name) if self.unprovided.contains(name) => Some(false),
            Want::Name(_) if self.tool == Some(Tool::Dnf5) => None,
            Want::Name(_) => Some(true),
            Want::Compare { .. } => Some(named()),
            Want::Path(path) => Some(!self.unprovided.contains(path)),
            Want::File(path) => {
                let (_, package) = self.files.iter().find(|(file, _)| file == path)?;
                self.packages.contains(package).then_some(true)
            }
            Want::Glob(_) | Want::Group(_) | Want::Url(_) => None,
        }
    }

    /// Whether some installed package matches a pattern. Asked only for what is to be removed.
    pub fn has_glob(&self, glob: &str) -> bool {
        self.globs.contains(glob)
    }

    /// Whether a newer version than the wanted one is installed.
    pub fn has_newer(&self, want: &Want) -> bool {
        match want {
            Want::Name(spec) => self.packages.iter().any(|package| package.is_newer_than(spec)),
            Want::File(path) => self.files.iter().filter(|(file, _)| file == path).any(|(_, wanted)| {
                let same = |package: &&Package| package.name == wanted.name && package.arch == wanted.arch;
                self.packages.iter().filter(same).any(|package| package.evr().compare(&wanted.evr()).is_gt())
            }),
            _ => false,
        }
    }
}

/// The name that rpm says nothing provides.
fn unprovided(line: &str) -> Option<String> {
    let name = line
        .strip_prefix("no package provides ")
        .or_else(|| line.strip_prefix("file ").and_then(|rest| rest.strip_suffix(" is not owned by any package")))
        .or_else(|| line.strip_prefix("error: file ").and_then(|rest| rest.rsplit_once(": ").map(|(name, _)| name)))?;
    Some(name.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Installed {
        Installed::read(&Answer { stdout: text.as_bytes().to_vec(), ..Answer::default() }).unwrap()
    }

    #[test]
    fn tells_names_from_what_provides_them() {
        let text = "uid=0\ntool=4\npackages=\nvim-enhanced\t2\t9.1\t1\tx86_64\npackage vi is not installed\n\
                    package nope is not installed\nprovides=\nno package provides nope\nerror: file /usr/bin/x: No such file or directory\n";
        let has = |found: &Installed, name: &str| found.has(&Want::Name(name.to_owned()));
        let found = read(text);
        assert!(found.root);
        assert_eq!(has(&found, "vim-enhanced"), Some(true));
        assert_eq!(has(&found, "vi"), Some(true));
        assert_eq!(has(&found, "nope"), Some(false));
        assert_eq!(found.has(&Want::Path("/usr/bin/x".into())), Some(false));
        assert_eq!(has(&read(&text.replace("tool=4", "tool=5")), "vi"), None);
    }

    #[test]
    fn guesses_the_name_of_a_spec_with_a_version() {
        assert_eq!(stems("foo-1.0-1.fc40").collect::<Vec<_>>(), ["foo", "foo-1.0"]);
        assert_eq!(stems("vim-enhanced").count(), 0);
    }
}

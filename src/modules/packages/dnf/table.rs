//! What dnf says that it would do: the table of a transaction, as dnf 4 and dnf 5 print it, and its complaints.

use std::collections::BTreeSet;

use super::super::rpm::Package;
use crate::modules::Failure;
use crate::value::Value;

/// The packages of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Transaction {
    /// Packages that come: installed, upgraded to, downgraded to, reinstalled.
    pub incoming: BTreeSet<Package>,
    /// Packages that go. Those that an upgrade replaces are not in dnf 4's table.
    pub outgoing: BTreeSet<Package>,
    /// Packages of `incoming` that replace an installed one of the same name.
    pub replacing: BTreeSet<Package>,
}

impl Transaction {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.incoming.is_empty() && self.outgoing.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    None,
    Incoming,
    Replacing,
    Outgoing,
}

/// Reads the tables in an output (several commands may have run).
pub(super) fn read(output: &str) -> Transaction {
    let mut transaction = Transaction::default();
    let mut section = Section::None;
    let mut row: Vec<&str> = vec![];
    for line in output.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            section = heading(line.trim_end());
            row.clear();
        } else if section == Section::None || words.is_empty() {
            continue;
        } else if words[0] == "replacing" {
            transaction.outgoing.extend(replaced(&words));
            row.clear();
        } else if line.starts_with("  ") && !row.is_empty() {
            // dnf 4 breaks a row after a column that is too wide.
            row.extend(words);
        } else {
            row = words;
        }
        if row.len() >= 3 && section != Section::None {
            let package = Package::of_columns(row[0], row[1], row[2]);
            row.clear();
            match section {
                Section::Outgoing => {
                    transaction.outgoing.insert(package);
                }
                _ => {
                    if section == Section::Replacing {
                        transaction.replacing.insert(package.clone());
                    }
                    transaction.incoming.insert(package);
                }
            }
        }
    }
    transaction
}

fn heading(line: &str) -> Section {
    let line = line.to_lowercase();
    let Some(title) = line.strip_suffix(':') else { return Section::None };
    let packages = !title.contains("group") || title.ends_with("group/module packages");
    match title.split(' ').next() {
        Some("installing") if packages => Section::Incoming,
        Some("upgrading" | "downgrading" | "reinstalling") if packages => Section::Replacing,
        Some("removing") if packages => Section::Outgoing,
        _ => Section::None,
    }
}

/// `replacing name.arch evr` (dnf 4) or `replacing name arch evr` (dnf 5).
fn replaced(words: &[&str]) -> Option<Package> {
    match words {
        [_, name, arch, evr, _, ..] => Some(Package::of_columns(name, arch, evr)),
        [_, package, evr] => {
            let (name, arch) = package.rsplit_once('.')?;
            Some(Package::of_columns(name, arch, evr))
        }
        _ => None,
    }
}

/// Why dnf refused, in Ansible's words.
pub(super) fn refusal(output: &str) -> Failure {
    let after = |line: &str, start: &str| line.trim().strip_prefix(start).map(|rest| rest.trim().to_owned());
    let mut failures = vec![];
    for line in output.lines() {
        if let Some(name) = after(line, "No match for argument:").or_else(|| after(line, "No package matched:")) {
            let text = format!("No package {name} available.");
            if !failures.contains(&text) {
                failures.push(text);
            }
        } else if let Some(rest) = after(line, "Module or Group '")
            && let Some((name, _)) = rest.split_once('\'')
        {
            return done(&format!("No group {name} available."), vec![]);
        }
    }
    if !failures.is_empty() {
        return done("Failed to install some of the specified packages", failures)
            .hint("check the spelling, or enable the repository that has them");
    }
    let error = output
        .lines()
        .position(|line| {
            line.starts_with("Error:") || line.starts_with("Failed to") || line.trim_start().starts_with("Problem")
        })
        .map(|at| output.lines().skip(at).collect::<Vec<_>>().join("\n"));
    let error = error.as_deref().unwrap_or(output).trim();
    let text = error.strip_prefix("Error:").unwrap_or(error).trim();
    if text.starts_with("Problem") || text.contains("\n  - ") {
        done(&format!("Depsolve Error occurred: \n {text}"), vec![])
    } else if text.contains("superuser privileges") || text.contains("run under the root user") {
        done("This command has to be run under the root user.", vec![])
    } else {
        let line = text.lines().next().unwrap_or("dnf failed without saying why");
        done(if text.contains("metadata") { line } else { text }, vec![])
    }
}

fn done(msg: &str, failures: Vec<String>) -> Failure {
    Failure::new(msg)
        .field("failures", failures.into_iter().map(Value::from).collect::<Value>())
        .field("results", Value::from(Vec::<Value>::new()))
        .field("rc", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(packages: &BTreeSet<Package>) -> Vec<String> {
        packages.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_a_table_of_dnf4() {
        let transaction = read(
            "Dependencies resolved.\n\
             ================================================================================\n \
             Package                              Arch      Version         Repository  Size\n\
             ================================================================================\n\
             Installing:\n \
             foo                                  noarch    1.0-1           local      6.0 k\n     \
             replacing  old-foo.noarch 0.9-1\n\
             Upgrading:\n \
             a-package-with-a-name-that-is-wider-than-its-column\n                                      \
             x86_64    1:2.0-1.fc40    updates     10 k\n\
             Installing dependencies:\n \
             bar                                  x86_64    3-1             local      6.0 k\n\
             Removing unused dependencies:\n \
             baz                                  noarch    1.0-1           @local     0  \n\
             Skipping packages with conflicts:\n\
             (add '--best --allowerasing' to command line to force their upgrade):\n \
             qux                                  noarch    1.0-1           local      6.0 k\n\n\
             Transaction Summary\n\
             ================================================================================\n\
             Install  2 Packages\n\nTotal size: 18 k\nOperation aborted.\n",
        );
        assert_eq!(
            names(&transaction.incoming),
            [
                "a-package-with-a-name-that-is-wider-than-its-column-1:2.0-1.fc40.x86_64",
                "bar-3-1.x86_64",
                "foo-1.0-1.noarch"
            ]
        );
        assert_eq!(names(&transaction.outgoing), ["baz-1.0-1.noarch", "old-foo-0.9-1.noarch"]);
        assert_eq!(transaction.replacing.len(), 1);
    }

    #[test]
    fn reads_a_table_of_dnf5() {
        let transaction = read(
            "Updating and loading repositories:\nRepositories loaded.\n\
             Package       Arch   Version      Repository      Size\n\
             Upgrading:\n foo          noarch 2.0-1        local        0.0   B\n   \
             replacing foo noarch 1.0-1        local        0.0   B\n\
             Installing group/module packages:\n bar          x86_64 1:1.0-1      local        0.0   B\n\
             Installing groups:\n My Group\n\n\
             Transaction Summary:\n Installing:        1 package\n Upgrading:         1 package\n\nOperation aborted by the user.\n",
        );
        assert_eq!(names(&transaction.incoming), ["bar-1:1.0-1.x86_64", "foo-2.0-1.noarch"]);
        assert_eq!(names(&transaction.outgoing), ["foo-1.0-1.noarch"]);
    }

    #[test]
    fn says_why_in_ansibles_words() {
        let failure = refusal(
            "Last metadata expiration check: 0:00:01 ago.\nNo match for argument: nope\nError: Unable to find a match: nope\n",
        );
        assert_eq!(failure.msg, "Failed to install some of the specified packages");
        assert_eq!(failure.fields["failures"].to_string(), "['No package nope available.']");
        let failure =
            refusal("Error: \n Problem: conflicting requests\n  - nothing provides x needed by foo-1-1.noarch\n");
        assert!(failure.msg.starts_with("Depsolve Error occurred: \n Problem: conflicting"), "{}", failure.msg);
        assert!(read("Nothing to do.\nComplete!\n").is_empty());
    }
}

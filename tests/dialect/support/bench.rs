//! One playbook on the bench: both tools run it twice, at the same time, each on its own twin.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::compare;
use super::differences::Exceptions;
use super::machines::{Twins, Web, run};
use super::record::{Names, neutral, of_ansible, of_mms};
use super::tally::Tally;
use super::tools::{self, Output, Tool};

/// The host's address in the lab, where the web server listens.
const HOST: &str = "10.99.0.1";

/// What one tool came to; the names that the twins cannot share are replaced in it.
#[derive(Debug, Serialize, Deserialize)]
struct Side {
    runs: Vec<Output>,
    state: Vec<String>,
}

/// Runs a playbook with both tools and tells every difference.
pub fn compare(root: &Path, topic: &str, tally: &Tally) -> Result<(), String> {
    let exceptions = Exceptions::read(root)?;
    let path = root.join(format!("{topic}.yml"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let scratch = tempfile::Builder::new().prefix("dia").tempdir().map_err(|error| error.to_string())?;
    let python = tools::python()?;
    let twins = flavour(&text).map(Twins::up).transpose()?;
    let web = twins.is_some().then(|| Web::start(HOST)).transpose()?;
    let side = |tool: Tool| -> Result<Side, String> {
        let work = scratch.path().join(tool.dir());
        std::fs::create_dir(&work).map_err(|error| error.to_string())?;
        let mut inventory = format!("all:\n  vars:\n    work: {}\n", work.display());
        if let Some(web) = &web {
            writeln!(inventory, "    web: {}", web.url).ok();
        }
        writeln!(
            inventory,
            "local:\n  vars:\n    scratch: {}\n    ansible_python_interpreter: {}",
            work.display(),
            python.display()
        )
        .ok();
        let mut names: Names = vec![(work.display().to_string(), "{work}")];
        names.extend(web.as_ref().map(|web| (web.url.clone(), "{web}")));
        let twin = usize::from(tool == Tool::Mms);
        if let (Some(twins), Some(flavour)) = (&twins, flavour(&text)) {
            let (name, address) = (twins.name(twin), &twins.addresses[twin]);
            writeln!(inventory, "{flavour}:\n  hosts:\n    machine:\n      ansible_host: {address}").ok();
            // Found by itself, it would be a fact in the first result.
            writeln!(inventory, "      ansible_python_interpreter: /usr/bin/python3").ok();
            writeln!(inventory, "  vars:\n    scratch: /srv/dialect\n{}", twins.login()?.trim_end()).ok();
            names.extend([(name.to_owned(), "{machine}"), (address.clone(), "{address}")]);
        }
        let file = scratch.path().join(format!("{}.yml", tool.dir()));
        std::fs::write(&file, inventory).map_err(|error| error.to_string())?;
        let mut runs = vec![];
        for _ in 0..2 {
            let output = tools::playbook(tool, root, topic, &options(&text), &file, scratch.path())?;
            let broke = output.end == "broke";
            runs.push(Output { stdout: neutral(&output.stdout, &names), ..output });
            if broke {
                break;
            }
        }
        let mut state = workstation(&work)?;
        if let Some(twins) = &twins {
            state.extend(twins.snapshot(twin)?);
        }
        let state = state.iter().map(|line| neutral(line, &names)).collect();
        Ok(Side { runs, state })
    };
    let recorded = Recording::of(topic, root);
    let (ansible, mms) = std::thread::scope(|scope| {
        let ansible = scope.spawn(|| match recorded.read() {
            Some(ansible) => Ok(ansible),
            None => side(Tool::Ansible).inspect(|ansible| recorded.write(ansible)),
        });
        let mms = side(Tool::Mms);
        (ansible.join().unwrap_or_else(|_| Err("the thread of ansible panicked".to_owned())), mms)
    });
    judge(root, topic, &ansible?, &mms?, &exceptions, tally)
}

/// Where Ansible's side of a playbook is kept. With `MMS_DIALECT_RECORDED=1` it is not run again while the playbook is
/// the same: for work on mms only, as it does not see changes of the files that the playbook uses.
struct Recording {
    path: PathBuf,
    use_it: bool,
}

impl Recording {
    fn of(topic: &str, root: &Path) -> Self {
        let script = format!("cat {topic}.yml support/requirements.txt | sha256sum");
        let key = run(Command::new("sh").args(["-c", &script]).current_dir(root)).unwrap_or_default();
        let name = format!("dialect-{topic}-{}.json", key.get(..16).unwrap_or_default());
        Self {
            path: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name),
            use_it: std::env::var("MMS_DIALECT_RECORDED").is_ok_and(|value| value == "1"),
        }
    }

    fn read(&self) -> Option<Side> {
        let text = self.use_it.then(|| std::fs::read_to_string(&self.path).ok())??;
        serde_json::from_str(&text).ok()
    }

    fn write(&self, side: &Side) {
        if let Ok(text) = serde_json::to_string(side) {
            std::fs::write(&self.path, text).ok();
        }
    }
}

fn judge(
    root: &Path,
    topic: &str,
    ansible: &Side,
    mms: &Side,
    exceptions: &Exceptions,
    tally: &Tally,
) -> Result<(), String> {
    let mut lines = vec![];
    let (mut cases, mut differing, mut compared) =
        (std::collections::BTreeSet::new(), std::collections::BTreeSet::new(), 0);
    for (index, (left, right)) in ansible.runs.iter().zip(&mms.runs).enumerate() {
        let number = index + 1;
        for (name, output) in [("ansible", left), ("mms", right)] {
            if output.end == "broke" {
                lines.push(format!("run {number}: {name} broke: {}", output.stderr.trim()));
            }
        }
        if left.end != right.end {
            lines.push(format!("run {number}: ansible {}, mms {}", left.end, right.end));
        }
        let verdict = compare::records(
            topic,
            number,
            &of_ansible(&left.stdout, root)?,
            &of_mms(&right.stdout, root)?,
            exceptions,
        );
        lines.extend(verdict.lines);
        cases.extend(verdict.cases);
        differing.extend(verdict.differing);
        compared += verdict.compared;
    }
    lines.extend(compare::states(topic, &ansible.state, &mms.state, exceptions));
    tally.add(cases.len(), differing.len(), compared);
    if cases.is_empty() {
        lines.push("no task was run".to_owned());
    }
    if lines.is_empty() {
        lines = exceptions.unused(topic);
    }
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

/// The flavour of machine that a playbook names in its `hosts:`; none when it stays on the workstation.
fn flavour(playbook: &str) -> Option<&'static str> {
    let hosts = |flavour: &str| {
        playbook.lines().any(|line| {
            line.trim_start_matches("- ")
                .trim_start()
                .strip_prefix("hosts:")
                .is_some_and(|value| value.contains(flavour))
        })
    };
    ["fedora", "debian"].into_iter().find(|flavour| hosts(flavour))
}

/// The words of a comment `# options: …` of the playbook: both tools get them.
fn options(playbook: &str) -> Vec<String> {
    let line = playbook.lines().find_map(|line| line.strip_prefix("# options: "));
    line.and_then(shlex::split).unwrap_or_default()
}

/// What a tool left on the workstation.
fn workstation(work: &Path) -> Result<Vec<String>, String> {
    let script = "find . -printf 'local %p %y %m %l\\n'; find . -type f -exec sha256sum {} +";
    let text = run(Command::new("sh").args(["-c", script]).current_dir(work))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

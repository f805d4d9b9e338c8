//! ansible-core and mms run the same playbooks on twin fresh machines and must end in the same state, with the same
//! status and the same registered result for every task. `tests/dialect/README.md` says how a playbook is added: no
//! Rust is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "dialect/support/driver.rs"]
mod support;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::tally::Tally;
use support::{bench, differences};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect");
    let left_out = std::env::var("MMS_TEST_MACHINE").is_ok_and(|value| value == "0");
    let tally = Tally::default();
    let trials = playbooks(&root).into_iter().map(|topic| {
        let (root, tally) = (root.clone(), tally.clone());
        let name = topic.clone();
        Trial::test(name, move || Ok(bench::compare(&root, &topic, &tally)?)).with_ignored_flag(left_out)
    });
    let mut trials: Vec<Trial> = trials.collect();
    let root_of_rules = root.clone();
    trials.push(Trial::test("every_exception_has_a_reason", move || Ok(differences::check(&root_of_rules)?)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(report) = tally.report() {
        println!("{report}");
    }
    conclusion.exit_code()
}

/// The topics: the names of the playbooks, without `.yml`.
fn playbooks(root: &Path) -> Vec<String> {
    let mut topics: Vec<String> = std::fs::read_dir(root)
        .expect("tests/dialect is there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yml").map(str::to_owned))
        .filter(|name| name != "differences")
        .collect();
    topics.sort();
    topics
}

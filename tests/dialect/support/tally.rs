//! How many cases there are, and how many agree: said at the end of the whole run.

use std::sync::{Arc, Mutex};

/// Counts over all playbooks of this process.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    playbooks: usize,
    cases: usize,
    differing: usize,
    results: usize,
}

impl Tally {
    /// Adds a playbook.
    pub fn add(&self, cases: usize, differing: usize, results: usize) {
        let mut counts = self.0.lock().expect("no test panics while counting");
        counts.playbooks += 1;
        counts.cases += cases;
        counts.differing += differing;
        counts.results += results;
    }

    /// One line; nothing when nothing ran.
    pub fn report(&self) -> Option<String> {
        let counts = self.0.lock().expect("no test panics while counting");
        (counts.playbooks > 0).then(|| {
            format!(
                "{} task cases in {} playbooks ({} results compared): {} agree, {} differ",
                counts.cases,
                counts.playbooks,
                counts.results,
                counts.cases - counts.differing,
                counts.differing
            )
        })
    }
}

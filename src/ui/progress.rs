//! One line per host that is being worked on: what runs there and the last line it printed. Only on a terminal.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::secret::Redactor;
use crate::sync::lock;

/// The progress lines. Without a terminal every call does nothing.
pub struct Progress {
    bars: MultiProgress,
    lines: Mutex<HashMap<String, ProgressBar>>,
    on: AtomicBool,
    redactor: Redactor,
}

impl Progress {
    /// Progress lines on stderr, if `on`.
    pub fn new(on: bool, redactor: Redactor) -> Self {
        let target = if on { ProgressDrawTarget::stderr_with_hz(12) } else { ProgressDrawTarget::hidden() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            lines: Mutex::default(),
            on: AtomicBool::new(on),
            redactor,
        }
    }

    /// Sets what is shown for a host.
    pub fn set(&self, host: &str, text: &str) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let mut lines = lock(&self.lines);
        let bar = lines.entry(host.to_owned()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {wide_msg} {elapsed:.dim}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(host.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let text = self.redactor.redact(text);
        let line: String = text.chars().filter(|c| !c.is_control()).collect();
        bar.set_message(line);
    }

    /// A new task started on a host: its clock starts again.
    pub fn start(&self, host: &str, text: &str) {
        self.set(host, text);
        if let Some(bar) = lock(&self.lines).get(host) {
            bar.reset_elapsed();
        }
    }

    /// Takes a host's line away.
    pub fn remove(&self, host: &str) {
        if let Some(bar) = lock(&self.lines).remove(host) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    /// Takes every line away for good: what comes in while a run is being stopped is not shown.
    pub fn finish(&self) {
        self.on.store(false, Ordering::Relaxed);
        self.clear();
    }

    /// Takes every line away.
    pub fn clear(&self) {
        let lines: Vec<_> = lock(&self.lines).drain().collect();
        for (_, bar) in lines {
            bar.finish_and_clear();
        }
        // Drawing to a terminal that is gone fails; there is nobody to tell.
        let _ = self.bars.clear();
    }

    /// Does something while no progress line is drawn: printing, asking.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bars.suspend(work)
    }
}

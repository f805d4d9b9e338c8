//! The terminal: the only code that prints. Data goes to stdout, everything else to stderr, and all of it through the redactor.

mod progress;
mod prompt;
mod style;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, render};
use crate::error::Error;
use crate::secret::Redactor;
use crate::settings::Color;

pub use progress::Progress;
pub use prompt::TerminalPrompter;
pub use style::{Paint, Style};

/// The terminal of a command. Clones share it.
#[derive(Clone)]
pub struct Ui {
    inner: Arc<Inner>,
}

struct Inner {
    paint_out: Paint,
    paint_err: Paint,
    verbosity: u8,
    redactor: Redactor,
    progress: Progress,
}

impl Ui {
    /// The terminal. `animate` allows progress lines when stderr is a terminal.
    pub fn new(color: Color, verbosity: u8, animate: bool, redactor: Redactor) -> Self {
        let paint = |terminal: bool| {
            Paint::new(match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
            })
        };
        let stderr = std::io::stderr().is_terminal();
        let progress = Progress::new(animate && stderr, redactor.clone());
        let inner = Inner {
            paint_out: paint(std::io::stdout().is_terminal()),
            paint_err: paint(stderr),
            verbosity,
            redactor,
            progress,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Colours for stdout.
    pub fn paint(&self) -> Paint {
        self.inner.paint_out
    }

    /// How many `-v` were given.
    pub fn verbosity(&self) -> u8 {
        self.inner.verbosity
    }

    /// The secrets that are masked.
    pub fn redactor(&self) -> &Redactor {
        &self.inner.redactor
    }

    /// The progress lines.
    pub fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    /// Writes a line of data to stdout. A closed pipe (`| head`) is no error.
    pub fn data(&self, line: &str) {
        let line = self.inner.redactor.redact(line);
        self.inner.progress.suspend(|| {
            let mut out = std::io::stdout().lock();
            // Nobody reads any longer: there is nobody to tell.
            let _ = writeln!(out, "{}", printable(&line, self.inner.paint_out.is_on()));
        });
    }

    /// Writes text to stdout as it is, unmasked and unchanged: for `vault view` and the like, where a secret is what was
    /// asked for.
    pub fn secret_data(&self, bytes: &[u8]) {
        self.inner.progress.suspend(|| {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        });
    }

    /// Writes a line to stderr.
    pub fn note(&self, line: &str) {
        let line = self.inner.redactor.redact(line);
        self.inner.progress.suspend(|| {
            let _ = writeln!(std::io::stderr().lock(), "{}", printable(&line, self.inner.paint_err.is_on()));
        });
    }

    /// Shows a warning or an error with its place and hints.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        let mut text = render(diagnostic, self.inner.paint_err.is_on());
        if diagnostic.severity == Severity::Warning {
            // What follows is about something else.
            text.push('\n');
        }
        self.note(&text);
    }

    /// Shows everything an error says.
    pub fn error(&self, error: &Error) {
        for (index, diagnostic) in error.diagnostics().iter().enumerate() {
            if index > 0 {
                self.note("");
            }
            self.diagnostic(diagnostic);
        }
    }
}

/// Text with the escape sequences and control characters of foreign output taken out, except line ends and tabs. Colours stay
/// where there are colours; they end with the text.
fn printable(text: &str, colours: bool) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return text.into();
    }
    let plain = |text: &str| -> String {
        anstream::adapter::strip_str(text).to_string().chars().filter(|c| harmless(*c)).collect()
    };
    if !colours {
        return plain(text).into();
    }
    let mut clean = String::with_capacity(text.len() + RESET.len());
    let mut start = 0;
    for (at, _) in text.match_indices('\u{1b}') {
        let rest = text.get(at..).unwrap_or_default();
        let length = style::colour(rest);
        if length > 0 {
            clean.push_str(&plain(text.get(start..at).unwrap_or_default()));
            clean.push_str(rest.get(..length).unwrap_or_default());
            start = at + length;
        }
    }
    clean.push_str(&plain(text.get(start..).unwrap_or_default()));
    if start > 0 && !clean.ends_with(RESET) {
        clean.push_str(RESET);
    }
    clean.into()
}

/// Ends every colour.
const RESET: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_escapes_are_dropped_and_colours_kept() {
        let foreign = "a\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}\u{1b}[2Jb\r";
        assert_eq!(printable(foreign, true), "a\u{1b}[31mred\u{1b}[0mb\u{1b}[0m");
        assert_eq!(printable(foreign, false), "aredb");
        assert_eq!(printable("plain\ttext\n", true), "plain\ttext\n");
        assert_eq!(printable("\u{1b}[1mbold", true), "\u{1b}[1mbold\u{1b}[0m");
    }
}

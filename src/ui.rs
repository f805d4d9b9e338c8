//! The terminal: the only code that prints. Data goes to stdout, everything else to stderr, and all of it through the redactor.

mod progress;
mod prompt;
mod style;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, render};
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
            let _ = writeln!(out, "{}", printable(&line));
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
            let _ = writeln!(std::io::stderr().lock(), "{}", printable(&line));
        });
    }

    /// Shows a warning or an error with its place and hints.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        self.note(&render(diagnostic, self.inner.paint_err.is_on()));
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

/// Text with control characters of foreign output taken out, except line ends, tabs and our own colours.
fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '\u{1b}' {
            let length = style::own_colour(rest);
            clean.push_str(rest.get(..length).unwrap_or_default());
            rest = rest.get(length.max(1)..).unwrap_or_default();
            continue;
        }
        if harmless(c) {
            clean.push(c);
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_escapes_are_dropped_and_colours_kept() {
        assert_eq!(
            printable("a\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}\u{1b}[2Jb\r"),
            "a\u{1b}[31mred\u{1b}[0m]0;title[2Jb"
        );
        assert_eq!(printable("plain\ttext\n"), "plain\ttext\n");
    }
}

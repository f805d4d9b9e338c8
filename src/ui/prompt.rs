//! Asking the person at the terminal.

use std::io::{IsTerminal, Write};

use super::Ui;
use crate::connection::Prompter;

/// Asks on the terminal; nobody is asked when stdin or stderr is not one.
pub struct TerminalPrompter {
    ui: Ui,
}

impl TerminalPrompter {
    /// A prompter that keeps progress lines out of the way.
    pub fn new(ui: Ui) -> Self {
        Self { ui }
    }

    fn somebody() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    fn read_line(&self, prompt: &str) -> Option<String> {
        self.ui.progress().suspend(|| {
            let mut err = std::io::stderr().lock();
            write!(err, "{prompt}").and_then(|()| err.flush()).ok()?;
            let mut line = String::new();
            let read = std::io::stdin().read_line(&mut line).ok()?;
            (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
        })
    }
}

impl Prompter for TerminalPrompter {
    fn confirm(&self, question: &str) -> Option<bool> {
        if !Self::somebody() {
            return None;
        }
        let answer = self.read_line(&format!("{question} [y/N] "))?;
        Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    fn line(&self, prompt: &str, echo: bool) -> Option<String> {
        if !echo {
            return self.password(prompt);
        }
        if !Self::somebody() {
            return None;
        }
        self.read_line(&format!("{prompt}: "))
    }

    fn password(&self, prompt: &str) -> Option<String> {
        if !Self::somebody() {
            return None;
        }
        let typed = self.ui.progress().suspend(|| rpassword::prompt_password(format!("{prompt}: "))).ok()?;
        self.ui.redactor().add(&typed);
        Some(typed)
    }
}

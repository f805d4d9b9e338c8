//! Collecting mistakes, so that one look at a playbook shows all of them.

use crate::diagnostic::Diagnostic;
use crate::error::{Error, ErrorKind, Result};

/// What users did wrong, so far.
#[derive(Default)]
pub(super) struct Wrong(Vec<Diagnostic>);

impl Wrong {
    /// Keeps what the user did wrong; anything else is for the caller now.
    pub(super) fn note(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if error.kind() == ErrorKind::User => {
                self.0.extend_from_slice(error.diagnostics());
                Ok(())
            }
            other => other,
        }
    }

    /// The error of everything that was kept, if there is anything.
    pub(super) fn finish(self) -> Result<()> {
        Error::from_diagnostics(ErrorKind::User, self.0).map_or(Ok(()), Err)
    }
}

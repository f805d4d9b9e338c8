//! A package as an `apt` task names it: `foo`, `foo=1.0*`, `foo>=1.0`, `foo*`.

use super::version::compare;
use crate::fnmatch::matches;
use crate::modules::Failure;

/// A package and the version it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageSpec {
    /// As it was written.
    pub text: String,
    /// The name, perhaps with `:arch`; perhaps a pattern.
    pub name: String,
    /// `=` (with patterns) or `>=`, and a version.
    pub version: Option<(Operator, String)>,
}

/// How versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `=`: the version matches the pattern.
    Matches,
    /// `>=`.
    AtLeast,
}

impl PackageSpec {
    /// Reads a spec.
    pub fn read(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.matches('=').count() > 1 {
            return Err(Failure::new(format!("invalid package spec: {text}")));
        }
        let split = match text.split_once(">=") {
            Some((name, version)) => Some((name, Operator::AtLeast, version)),
            None => text.split_once('=').map(|(name, version)| (name, Operator::Matches, version)),
        };
        Ok(match split {
            Some((name, operator, version)) => {
                Self { text: text.into(), name: name.into(), version: Some((operator, version.into())) }
            }
            None => Self { text: text.into(), name: text.into(), version: None },
        })
    }

    /// Whether the name is a pattern.
    pub fn is_pattern(&self) -> bool {
        self.name.contains(['*', '?', '[', ']', '!'])
    }

    /// Whether a version is what is asked for.
    pub fn accepts(&self, version: &str) -> bool {
        match &self.version {
            None => true,
            Some((Operator::Matches, pattern)) => matches(pattern, version),
            Some((Operator::AtLeast, least)) => compare(version, least).is_ge(),
        }
    }

    /// Whether the version is a pattern that several versions may match.
    pub fn is_loose(&self) -> bool {
        matches!(&self.version, Some((Operator::Matches, pattern)) if pattern.contains(['*', '?', '[']))
    }

    /// The newest version that can be installed and is accepted.
    pub fn best(&self, policy: &super::installed::Policy) -> Option<String> {
        match &self.version {
            Some((Operator::Matches, _)) => {
                let mut accepted: Vec<&String> =
                    policy.versions.iter().filter(|version| self.accepts(version)).collect();
                accepted.sort_by(|a, b| compare(a, b));
                accepted.pop().cloned()
            }
            _ => policy.candidate.clone(),
        }
    }
}

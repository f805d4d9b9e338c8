//! The note beside a backup, `<name>.json`: what is known of it without opening it.

use serde::{Deserialize, Serialize};

/// A note. One that cannot be read counts as none, and what it does not say is not known: the backup guards itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Note {
    /// The host it was made on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When it was begun (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How the data was copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Bytes of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Regular files in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Public keys it is encrypted to.
    pub recipients: Vec<String>,
    /// How long the service was stopped for it.
    pub downtime_seconds: f64,
    /// Whether much was missing that the one before had.
    pub suspicious: bool,
}

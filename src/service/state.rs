//! What mms remembers on the host of a service it deployed: which unit files are its own, and what was last seen well.
//!
//! The file is `~/.local/state/mms/services/<name>.json` of the user that runs the containers. It is written after the
//! health gate only, so a deploy that was cut off is seen as unfinished by the next one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is remembered of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The service.
    pub service: String,
    /// Its unit files and the SHA-256 of the text each was well with.
    pub units: BTreeMap<String, String>,
    /// The images its containers were well with.
    pub images: BTreeMap<String, Image>,
}

/// An image a container was well with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// As it is named in the unit.
    pub reference: String,
    /// Podman's identifier of its content.
    pub id: String,
}

impl State {
    /// Reads a state file; one that is damaged counts as missing, which means that the service is deployed again.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of the state file.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }
}

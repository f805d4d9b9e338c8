//! Mounts.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What is mounted.
    pub source: Origin,
    /// Where it is in the container.
    pub target: String,
    /// `ro`, `Z`, …
    pub options: Vec<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A path of the host.
    Path(String),
    /// A named volume.
    Named(String),
}

/// The options `podman run --volume` knows.
const OPTIONS: &[&str] = &[
    "rw",
    "ro",
    "z",
    "Z",
    "O",
    "U",
    "copy",
    "nocopy",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "bind",
    "rbind",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "unbindable",
    "runbindable",
    "idmap",
];

impl Volume {
    fn new(source: &str, target: &str, options: Vec<String>) -> Result<Self, String> {
        if !target.starts_with('/') {
            return Err(format!("`{target}` is not an absolute path in the container"));
        }
        for part in [source, target] {
            if part.contains(':') {
                return Err(format!("`{part}` has a colon in it, which Podman cannot mount"));
            }
        }
        for option in &options {
            if !OPTIONS.contains(&option.as_str()) && !option.starts_with("idmap=") {
                return Err(format!("`{option}` is not a mount option; `ro`, `Z` and `z` are the usual ones"));
            }
        }
        let name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let source = if source.starts_with('/') {
            Origin::Path(source.to_owned())
        } else if source.starts_with(|c: char| c.is_ascii_alphanumeric()) && source.chars().all(name) {
            Origin::Named(source.to_owned())
        } else {
            return Err(format!("`{source}` is neither an absolute path of the host nor the name of a volume"));
        };
        Ok(Self { source, target: target.to_owned(), options })
    }
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return Err(format!("`{text}` does not say where it is mounted; write `source:target`"));
        };
        let options = parts.next().map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default();
        Self::new(source, target, options)
    }
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VolumeVisitor)
    }
}

/// The long form.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    source: String,
    target: String,
    #[serde(default)]
    options: super::Names,
}

struct VolumeVisitor;

impl<'de> Visitor<'de> for VolumeVisitor {
    type Value = Volume;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mount such as `/data:/data`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Volume, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Volume, A::Error> {
        let long = Long::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Volume::new(&long.source, &long.target, long.options.0).map_err(de::Error::custom)
    }
}

impl JsonSchema for Volume {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Volume".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A mount: `source:target[:options]`, or a mapping.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "source": { "type": "string", "description": "Path of the host, or name of a volume." },
                        "target": { "type": "string", "description": "Path in the container." },
                        "options": {
                            "description": "`ro`, `Z` (private SELinux label), `z` (shared), …",
                            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
                        }
                    },
                    "required": ["source", "target"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let volume = "/data:/data:ro,z".parse::<Volume>();
        let options = vec!["ro".to_owned(), "z".to_owned()];
        let source = Origin::Path("/data".to_owned());
        assert_eq!(volume, Ok(Volume { source, target: "/data".to_owned(), options }));
        assert!(matches!("cache:/cache".parse(), Ok(Volume { source: Origin::Named(_), .. })));
        for text in ["/data", "./x:/y", "~/x:/y", "/a:b", "/a:/b:zz", ":/x"] {
            assert!(text.parse::<Volume>().is_err(), "{text}");
        }
    }
}

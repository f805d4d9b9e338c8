//! Published ports.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// A published port. A range keeps its text on both sides: `8000-8010`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Address of the host it listens on; every address when not set.
    pub address: Option<String>,
    /// First and last port on the host.
    pub host: (u16, u16),
    /// First and last port in the container.
    pub container: (u16, u16),
    /// The protocol.
    pub protocol: Protocol,
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Port {
    /// As `PublishPort=` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) if address.contains(':') => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        let range = |(first, last): (u16, u16)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        write!(f, "{}:{}/{}", range(self.host), range(self.container), self.protocol)
    }
}

impl Port {
    /// Whether both cannot be published on one host.
    pub fn collides(&self, other: &Self) -> bool {
        let any = |address: &Option<String>| matches!(address.as_deref(), None | Some("0.0.0.0" | "::"));
        self.protocol == other.protocol
            && self.host.0 <= other.host.1
            && other.host.0 <= self.host.1
            && (any(&self.address) || any(&other.address) || self.address == other.address)
    }
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("`{text}` is not a port (1 to 65535) or a range of ports");
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first <= last { Ok((first, last)) } else { Err(wrong()) }
        }
        None => number(text).map(|port| (port, port)),
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, protocol) = match text.split_once('/') {
            Some((rest, "tcp")) => (rest, Protocol::Tcp),
            Some((rest, "udp")) => (rest, Protocol::Udp),
            Some((_, other)) => return Err(format!("`{other}` is not a protocol; `tcp` and `udp` are")),
            None => (text, Protocol::Tcp),
        };
        let (rest, container) = rest.rsplit_once(':').map_or((None, rest), |(rest, port)| (Some(rest), port));
        let (address, host) = match rest {
            None => (None, container),
            Some(rest) => match rest.rsplit_once(':') {
                Some((address, host)) => (Some(address), host),
                None => (None, rest),
            },
        };
        Self::new(address, range(host)?, range(container)?, protocol)
    }
}

impl Port {
    fn new(address: Option<&str>, host: (u16, u16), container: (u16, u16), protocol: Protocol) -> Result<Self, String> {
        if host.1 - host.0 != container.1 - container.0 {
            return Err("the ranges of host and container ports differ in length".to_owned());
        }
        let address = address.map(|address| address.trim_start_matches('[').trim_end_matches(']').to_owned());
        if let Some(address) = &address
            && address.parse::<std::net::IpAddr>().is_err()
        {
            return Err(format!("`{address}` is not an address of the host"));
        }
        Ok(Self { address, host, container, protocol })
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortVisitor)
    }
}

/// The long form.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    host: Option<super::Text>,
    container: super::Text,
    #[serde(default)]
    protocol: Protocol,
}

struct PortVisitor;

impl<'de> Visitor<'de> for PortVisitor {
    type Value = Port;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port such as `8080:80`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Port, E> {
        if number > u64::from(u16::MAX) {
            let message = "is not a port; `host:container` must be quoted, because YAML reads 8080:22 as one number";
            return Err(E::custom(format_args!("{number} {message}")));
        }
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Port, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Port, A::Error> {
        let long = Long::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let error = <A::Error as de::Error>::custom;
        let container = range(&long.container.0).map_err(error)?;
        let host = long.host.map_or(Ok(container), |host| range(&host.0)).map_err(error)?;
        Port::new(long.address.as_deref(), host, container, long.protocol).map_err(error)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A published port: `[address:][host:]container[/protocol]`, or a mapping.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 65535 },
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "address": { "type": "string", "description": "Address of the host; every address when left out." },
                        "host": { "type": ["integer", "string"], "description": "Port or range on the host." },
                        "container": { "type": ["integer", "string"], "description": "Port or range in the container." },
                        "protocol": { "enum": ["tcp", "udp"] }
                    },
                    "required": ["container"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, written) in [
            ("8080", "8080:8080/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("127.0.0.1:8080:80/udp", "127.0.0.1:8080:80/udp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("8000-8002:9000-9002", "8000-8002:9000-9002/tcp"),
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), written);
        }
        for text in ["", "0", "70000", "80:x", "a:80:80", "8000-8002:9000", "80/sctp", "9-8"] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }

    #[test]
    fn collisions() {
        let collide = |a: &str, b: &str| a.parse::<Port>().unwrap().collides(&b.parse().unwrap());
        assert!(collide("80", "127.0.0.1:80:8080"));
        assert!(collide("8000-8010:8000-8010", "8005:1"));
        assert!(!collide("80", "80/udp"));
        assert!(!collide("127.0.0.1:80:80", "127.0.0.2:80:80"));
    }
}

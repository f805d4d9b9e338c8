//! Small values of a service definition and the spellings they are written in.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// Text; numbers and booleans are taken as they are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

/// A list of text; a single text is a list of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

/// A time span in whole seconds: `90`, `90s`, `1m30s`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

/// A size in bytes: `512M`, `2G`, `128mb`; units are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// Permissions: `"0755"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// A command: text for a shell, or words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Text.
    Shell(String),
    /// Words.
    Words(Vec<String>),
}

impl fmt::Display for Seconds {
    /// As systemd and Podman read it: `90s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

impl fmt::Display for Size {
    /// With the largest unit that is exact, as systemd (and, in lower case, Podman) reads it: `128M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
        match units.iter().find(|(_, bits)| self.0 > 0 && self.0.trailing_zeros() >= *bits) {
            Some((unit, bits)) => write!(f, "{}{unit}", self.0 >> bits),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl std::str::FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time span; write for example `90s` or `1m30s`");
        let mut total = 0_u64;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let factor = match unit {
                "" | "s" | "sec" => 1,
                "m" | "min" => 60,
                "h" | "hr" => 3600,
                "d" => 86_400,
                _ => return Err(wrong()),
            };
            let number: u64 = number.parse().map_err(|_| wrong())?;
            total = number.checked_mul(factor).and_then(|span| total.checked_add(span)).ok_or_else(wrong)?;
            rest = tail.trim_start();
        }
        Ok(Self(total))
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write for example `512M` or `2G`");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let bits = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(1 << bits).map(Self).ok_or_else(wrong)
    }
}

/// What a scalar may be written as, given to a function as text.
struct Scalar<T>(&'static str, fn(String) -> Result<T, String>, fn(u64) -> Result<T, String>);

impl<T> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text.to_owned()).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.2)(number).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => self.visit_str(&number.to_string()),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        self.visit_str(if value { "true" } else { "false" })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("text", |text| Ok(Self(text)), |number| Ok(Self(number.to_string()))))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("a time span", |text| text.parse(), |number| Ok(Self(number))))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("a size", |text| text.parse(), |number| Ok(Self(number))))
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn bits(number: u64) -> Result<Mode, String> {
            u32::try_from(number).ok().filter(|mode| *mode <= 0o7777).map(Mode).ok_or_else(|| {
                format!("{number} is not a file mode; write it as quoted octal digits, for example \"0755\"")
            })
        }
        deserializer.deserialize_any(Scalar(
            "a file mode",
            |text| {
                let number = u64::from_str_radix(text.trim_start_matches("0o"), 8);
                number.map_err(|_| format!("`{text}` is not a file mode; write for example \"0755\"")).and_then(bits)
            },
            bits,
        ))
    }
}

struct Sequence<T>(&'static str, fn(String) -> Result<T, String>, fn(Vec<String>) -> T);

impl<'de, T> Visitor<'de> for Sequence<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text.to_owned()).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        let mut words = vec![];
        while let Some(Text(word)) = items.next_element()? {
            words.push(word);
        }
        Ok((self.2)(words))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Sequence("a list of text", |name| Ok(Self(vec![name])), Self))
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Sequence("a command", |text| Ok(Self::Shell(text)), Self::Words))
    }
}

macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Text, "Text", { "type": ["string", "number", "boolean"] });
schema!(Seconds, "Seconds", { "type": ["string", "integer"], "description": "A time span: 90, 90s, 1m30s, 2h." });
schema!(Size, "Size", { "type": ["string", "integer"], "description": "A size: 512M, 2G; units are powers of 1024." });
schema!(Mode, "Mode", { "type": ["string", "integer"], "description": "Permissions as quoted octal digits: \"0755\"." });
schema!(Names, "Names", {
    "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": ["string", "number"] } }]
});
schema!(Command, "Command", {
    "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": ["string", "number", "boolean"] } }]
});

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn time_spans() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("1m30s", 90), ("1m 30s", 90), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(text.parse(), Ok(Seconds(seconds)), "{text}");
        }
        for text in ["", "s", "1x", "1.5s", "99999999999999999999s"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!("128mb".parse::<Size>().unwrap().to_string(), "128M");
        assert_eq!("2048M".parse::<Size>().unwrap().to_string(), "2G");
        assert_eq!("1000".parse::<Size>().unwrap().to_string(), "1000");
        assert!("2 apples".parse::<Size>().is_err());
        assert!("99999999999T".parse::<Size>().is_err());
    }
}

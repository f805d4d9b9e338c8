//! Podman's versions and what its Quadlet generator understands.
//!
//! The generator refuses a unit with a key it does not know, and the service silently vanishes; so keys are compared with the
//! target's Podman before anything is touched. The table holds every key mms writes; the versions are those of the
//! Podman release notes.

use std::fmt;
use std::str::FromStr;

use super::unit::Unit;

/// A version of Podman.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
}

impl Version {
    /// The first with Quadlet.
    pub const QUADLET: Self = Self::new(4, 4);
    /// The first whose Quadlet knows `Notify=healthy`.
    pub const NOTIFY_HEALTHY: Self = Self::new(5, 0);
    /// What is assumed of a Podman that a plan has yet to install.
    pub const NEWEST: Self = Self::new(5, 6);

    const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = ();

    /// Reads the answer of `podman --version`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).ok_or(())?;
        let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => Err(()),
        }
    }
}

/// Section, key and the first version that knows it. Keys of 4.4, the first version with Quadlet, are not listed.
const KEYS: &[(&str, &str, Version)] = &[
    ("Container", "HealthCmd", Version::new(4, 5)),
    ("Container", "HealthInterval", Version::new(4, 5)),
    ("Container", "HealthOnFailure", Version::new(4, 5)),
    ("Container", "HealthRetries", Version::new(4, 5)),
    ("Container", "HealthStartPeriod", Version::new(4, 5)),
    ("Container", "HealthStartupCmd", Version::new(4, 5)),
    ("Container", "HealthStartupInterval", Version::new(4, 5)),
    ("Container", "HealthStartupRetries", Version::new(4, 5)),
    ("Container", "HealthStartupTimeout", Version::new(4, 5)),
    ("Container", "HealthTimeout", Version::new(4, 5)),
    ("Container", "Secret", Version::new(4, 5)),
    ("Container", "Tmpfs", Version::new(4, 5)),
    ("Container", "UserNS", Version::new(4, 5)),
    ("Network", "NetworkName", Version::new(4, 7)),
    ("Volume", "VolumeName", Version::new(4, 7)),
    ("Container", "HostName", Version::new(4, 6)),
    ("Container", "Sysctl", Version::new(4, 6)),
    ("Container", "DNS", Version::new(4, 7)),
    ("Container", "ShmSize", Version::new(4, 7)),
    ("Container", "Ulimit", Version::new(4, 7)),
    ("Container", "Entrypoint", Version::new(5, 0)),
    ("Container", "StopTimeout", Version::new(5, 0)),
    ("Container", "GroupAdd", Version::new(5, 1)),
    ("Container", "NetworkAlias", Version::new(5, 2)),
    ("Container", "StopSignal", Version::new(5, 2)),
    ("Container", "AddHost", Version::new(5, 3)),
];

/// The first key of a unit that a Podman does not know, and the version that does.
pub fn too_new(unit: &Unit, target: Version) -> Option<(&'static str, Version)> {
    unit.entries().find_map(|(section, key, _)| {
        let (_, name, since) = KEYS.iter().find(|(in_section, name, _)| *in_section == section && *name == key)?;
        (*since > target).then_some((*name, *since))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_podman_says() {
        assert_eq!("podman version 5.4.2".parse(), Ok(Version::new(5, 4)));
        assert_eq!("podman version 4.10.0-dev".parse(), Ok(Version::new(4, 10)));
        assert_eq!("5.6".parse(), Ok(Version::new(5, 6)));
        assert_eq!("podman: not found".parse::<Version>(), Err(()));
        assert!(Version::new(4, 10) > Version::new(4, 9));
    }

    #[test]
    fn names_the_key_and_its_version() {
        let mut unit = Unit::new("x");
        unit.section("Container");
        unit.line("Image", "docker.io/x:1");
        unit.line("AddHost", "a:1.2.3.4");
        assert_eq!(too_new(&unit, Version::new(5, 2)), Some(("AddHost", Version::new(5, 3))));
        assert_eq!(too_new(&unit, Version::new(5, 3)), None);
    }
}

//! RPM packages as data: names, versions and their order, by rpm's own rules, so that no process is needed to compare.

use std::cmp::Ordering;

/// The format for `rpm --qf` that [`Package::parse`] reads.
pub(super) const FORMAT: &str = "%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\n";

/// One package: an installed one, or one of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    /// Its name.
    pub name: String,
    /// Its epoch; 0 when it has none.
    pub epoch: u32,
    /// Its version.
    pub version: String,
    /// Its release.
    pub release: String,
    /// Its architecture.
    pub arch: String,
}

impl Package {
    /// Reads a line in [`FORMAT`].
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().map(str::to_owned);
        let package =
            Self { name: next()?, epoch: next()?.parse().ok()?, version: next()?, release: next()?, arch: next()? };
        fields.next().is_none().then_some(package)
    }

    /// A package from its columns in a transaction table: `evr` is `[epoch:]version-release`.
    pub fn of_columns(name: &str, arch: &str, evr: &str) -> Self {
        let evr = Evr::parse(evr);
        Self {
            name: name.to_owned(),
            epoch: evr.epoch.unwrap_or(0),
            version: evr.version.to_owned(),
            release: evr.release.unwrap_or_default().to_owned(),
            arch: arch.to_owned(),
        }
    }

    /// Epoch, version and release.
    pub fn evr(&self) -> Evr<'_> {
        Evr { epoch: Some(self.epoch), version: &self.version, release: Some(&self.release) }
    }

    /// Whether a spec names this package in one of the forms that dnf knows: `name`, `name.arch`, `name-version`,
    /// `name-version-release`, `name-[epoch:]version-release.arch`, `epoch:name-version-release.arch`.
    pub fn is_named(&self, spec: &str) -> bool {
        let Self { name, epoch, version, release, arch } = self;
        let evr = [
            format!("{version}-{release}"),
            format!("{epoch}:{version}-{release}"),
            version.clone(),
            format!("{epoch}:{version}"),
        ];
        spec == name
            || spec == format!("{name}.{arch}")
            || evr.iter().any(|evr| {
                let plain = format!("{name}-{evr}");
                spec == plain || spec == format!("{plain}.{arch}")
            })
            || spec == format!("{epoch}:{name}-{version}-{release}.{arch}")
            || spec == format!("{epoch}:{name}-{version}-{release}")
    }

    /// Whether the spec asks for an older version of this package (`foo-1.0` when foo-2.0 is here). An epoch that is not given
    /// is this package's.
    pub fn is_newer_than(&self, spec: &str) -> bool {
        let Some(wanted) = spec.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('-')) else { return false };
        let wanted = wanted.strip_suffix(&format!(".{}", self.arch)).unwrap_or(wanted);
        let mut evr = Evr::parse(wanted);
        evr.epoch.get_or_insert(self.epoch);
        wanted.starts_with(|c: char| c.is_ascii_digit()) && self.evr().compare(&evr).is_gt()
    }
}

impl std::fmt::Display for Package {
    /// As dnf writes it: `name-[epoch:]version-release.arch`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, epoch, version, release, arch } = self;
        if *epoch == 0 {
            write!(f, "{name}-{version}-{release}.{arch}")
        } else {
            write!(f, "{name}-{epoch}:{version}-{release}.{arch}")
        }
    }
}

/// Epoch, version and release. What is absent matches anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evr<'a> {
    /// The epoch, if one is given.
    pub epoch: Option<u32>,
    /// The version.
    pub version: &'a str,
    /// The release, if one is given.
    pub release: Option<&'a str>,
}

impl<'a> Evr<'a> {
    /// Reads `[epoch:]version[-release]`.
    pub fn parse(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if epoch.parse::<u32>().is_ok() => (epoch.parse().ok(), rest),
            _ => (None, text),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        Self { epoch, version, release }
    }

    /// rpm's order. An absent epoch is 0; an absent release is equal to every release.
    pub fn compare(&self, other: &Self) -> Ordering {
        let epoch = self.epoch.unwrap_or(0).cmp(&other.epoch.unwrap_or(0));
        let release = match (self.release, other.release) {
            (Some(a), Some(b)) => compare_versions(a, b),
            _ => Ordering::Equal,
        };
        epoch.then(compare_versions(self.version, other.version)).then(release)
    }
}

/// rpm's order of versions: runs of digits and of letters in turn; `~` sorts before everything, `^` after the end only.
pub(super) fn compare_versions(a: &str, b: &str) -> Ordering {
    let skip =
        |text: &str| text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^').to_owned();
    let (mut a, mut b) = (skip(a), skip(b));
    loop {
        match (a.starts_with('~'), b.starts_with('~')) {
            (true, true) => {
                (a, b) = (skip(&a[1..]), skip(&b[1..]));
                continue;
            }
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        match (a.starts_with('^'), b.starts_with('^')) {
            (true, true) => {
                (a, b) = (skip(&a[1..]), skip(&b[1..]));
                continue;
            }
            (true, false) => return if b.is_empty() { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if a.is_empty() { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        let Some(first) = a.chars().next() else {
            return if b.is_empty() { Ordering::Equal } else { Ordering::Less };
        };
        if b.is_empty() {
            return Ordering::Greater;
        }
        let digits = first.is_ascii_digit();
        let same = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let cut = |text: &str| text.find(|c: char| !same(c)).unwrap_or(text.len());
        let (head_a, tail_a) = a.split_at(cut(&a));
        let (head_b, tail_b) = b.split_at(cut(&b));
        if head_b.is_empty() {
            // Digits are newer than letters.
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let order = if digits {
            let (x, y) = (head_a.trim_start_matches('0'), head_b.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            head_a.cmp(head_b)
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (skip(tail_a), skip(tail_b));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn orders_versions_as_rpm_does() {
        // From rpm's own test suite, tests/rpmvercmp.at.
        let cases = [
            ("1.0", "1.0", 0),
            ("1.0", "2.0", -1),
            ("2.0.1a", "2.0.1", 1),
            ("5.5p10", "5.5p1", 1),
            ("10xyz", "10.1xyz", -1),
            ("xyz10", "xyz10.1", -1),
            ("xyz.4", "8", -1),
            ("5.5p2", "5.6p1", -1),
            ("6.0.rc1", "6.0", 1),
            ("10b2", "10a1", 1),
            ("1.0aa", "1.0a", 1),
            ("10.0001", "10.0039", -1),
            ("4.999.9", "5.0", -1),
            ("20101121", "20101122", -1),
            ("2_0", "2.0", 0),
            ("a+", "a_", 0),
            ("1.0~rc1", "1.0", -1),
            ("1.0~rc1", "1.0~rc2", -1),
            ("1.0~rc1~git123", "1.0~rc1", -1),
            ("1.0^", "1.0", 1),
            ("1.0^git1", "1.0", 1),
            ("1.0^git1", "1.01", -1),
            ("1.0^20160101^git1", "1.0^20160102", -1),
            ("1.0~rc1^git1", "1.0~rc1", 1),
            ("1.0^git1~pre", "1.0^git1", -1),
            ("1.900", "1.8000", -1),
            ("00001", "1", 0),
        ];
        for (a, b, expected) in cases {
            assert_eq!(compare_versions(a, b) as i32, expected, "{a} {b}");
            assert_eq!(compare_versions(b, a) as i32, -expected, "{b} {a}");
        }
    }

    #[test]
    fn knows_the_forms_of_a_name() {
        let package = Package::parse("vim-enhanced\t2\t9.1.0\t1.fc40\tx86_64").unwrap();
        assert_eq!(package.to_string(), "vim-enhanced-2:9.1.0-1.fc40.x86_64");
        for spec in [
            "vim-enhanced",
            "vim-enhanced.x86_64",
            "vim-enhanced-9.1.0",
            "vim-enhanced-9.1.0-1.fc40",
            "vim-enhanced-2:9.1.0-1.fc40.x86_64",
            "2:vim-enhanced-9.1.0-1.fc40.x86_64",
        ] {
            assert!(package.is_named(spec), "{spec}");
        }
        for spec in ["vim", "vim-enhanced-9.1", "vim-enhanced.i686", "vim-enhanced-1:9.1.0"] {
            assert!(!package.is_named(spec), "{spec}");
        }
        assert!(package.is_newer_than("vim-enhanced-9.0"));
        assert!(package.is_newer_than("vim-enhanced-9.1.0-0.x86_64"));
        assert!(!package.is_newer_than("vim-enhanced-9.2"));
        assert!(!package.is_newer_than("vim-common-9.0"));
    }
}

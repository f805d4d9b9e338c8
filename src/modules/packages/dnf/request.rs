//! What a `dnf` task asks for: packages in every form that dnf takes, and the state they are to be in.

use super::super::rpm::{Evr, Package};
use crate::modules::{Args, Failure};

/// The state that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Installed, whatever version.
    Present,
    /// Installed in the newest version.
    Latest,
    /// Not installed.
    Absent,
}

/// One package or group that a task names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// A name, perhaps with version, release and architecture.
    Name(String),
    /// `name >= version` and the like.
    Compare {
        /// As dnf takes it: with spaces around the operator.
        text: String,
        /// The name alone.
        name: String,
        /// `<`, `<=`, `=`, `>=` or `>`.
        operator: String,
        /// What it is compared with.
        evr: String,
    },
    /// A file that some package has: `/usr/bin/vi`.
    Path(String),
    /// A pattern of names.
    Glob(String),
    /// `@group`, or a stream of a module.
    Group(String),
    /// An rpm file on the target.
    File(String),
    /// The URL of an rpm file.
    Url(String),
}

impl Want {
    fn read(text: &str) -> Self {
        let owned = || text.to_owned();
        if text.contains("://") {
            return Self::Url(owned());
        }
        if text.ends_with(".rpm") {
            return Self::File(owned());
        }
        if text.starts_with('/') {
            return Self::Path(owned());
        }
        if text.starts_with('@') {
            return Self::Group(owned());
        }
        if let Some(at) = text.find(['<', '>', '=']) {
            let (name, rest) = text.split_at(at);
            let operator: String = rest.chars().take_while(|c| "<>=".contains(*c)).collect();
            let evr = rest.get(operator.len()..).unwrap_or_default().trim().to_owned();
            let name = name.trim().to_owned();
            let text = format!("{name} {operator} {evr}");
            return Self::Compare { text, name, operator, evr };
        }
        if text.contains(['*', '?', '[']) { Self::Glob(owned()) } else { Self::Name(owned()) }
    }

    /// How it is written for dnf.
    pub fn text(&self) -> &str {
        match self {
            Self::Compare { text, .. } => text,
            Self::Name(text)
            | Self::Path(text)
            | Self::Glob(text)
            | Self::Group(text)
            | Self::File(text)
            | Self::Url(text) => text,
        }
    }

    /// Whether an installed package is what is asked for.
    pub fn is_met_by(&self, package: &Package) -> bool {
        match self {
            Self::Name(spec) => package.is_named(spec),
            Self::Compare { name, operator, evr, .. } => {
                let order = package.evr().compare(&Evr::parse(evr));
                package.name == *name
                    && match operator.as_str() {
                        "<" => order.is_lt(),
                        "<=" => order.is_le(),
                        ">=" => order.is_ge(),
                        ">" => order.is_gt(),
                        _ => order.is_eq(),
                    }
            }
            _ => false,
        }
    }
}

/// What a task asks for.
#[derive(Debug)]
pub(super) struct Request {
    /// Packages and groups, in order.
    pub wants: Vec<Want>,
    /// The state that is wanted.
    pub state: State,
    /// Every installed package is to be upgraded (`name: "*"`, `state: latest`).
    pub all: bool,
}

impl Request {
    /// Reads a task's arguments.
    pub fn read(args: &Args) -> Result<Self, Failure> {
        let names = super::split_commas(&args.strings("name"));
        if names.iter().any(|name| name.contains(' ') && !name.contains(['@', '>', '<', '='])) {
            return Err(Failure::new(
                "It appears that a space separated string of packages was passed in as an argument. To operate on several \
                 packages, pass a comma separated string of packages or a list of packages.",
            ));
        }
        let autoremove = args.bool("autoremove");
        let state = match args.str("state") {
            Some("absent" | "removed") => State::Absent,
            Some("latest") => State::Latest,
            Some(_) => State::Present,
            None if autoremove => State::Absent,
            None => State::Present,
        };
        if autoremove && state != State::Absent {
            return Err(failure("Autoremove should be used alone or with state=absent"));
        }
        let all = state == State::Latest && names == ["*"];
        let wants: Vec<Want> = names.iter().map(|name| Want::read(name)).collect();
        if state == State::Absent && wants.iter().any(|want| matches!(want, Want::File(_) | Want::Url(_))) {
            return Err(failure("Cannot remove paths -- please specify package name."));
        }
        Ok(Self { wants, state, all })
    }
}

/// A failure with the empty `results` that Ansible's has.
pub(super) fn failure(msg: &str) -> Failure {
    Failure::new(msg).field("results", crate::value::Value::from(Vec::<crate::value::Value>::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_forms_apart() {
        let kinds = [
            ("foo-1.0", Want::Name("foo-1.0".into())),
            ("/usr/bin/vi", Want::Path("/usr/bin/vi".into())),
            ("/tmp/foo.rpm", Want::File("/tmp/foo.rpm".into())),
            ("https://x/foo.rpm", Want::Url("https://x/foo.rpm".into())),
            ("@core", Want::Group("@core".into())),
            ("foo*", Want::Glob("foo*".into())),
        ];
        for (text, want) in kinds {
            assert_eq!(Want::read(text), want);
        }
        let want = Want::read("foo>=1:1.0-2");
        assert_eq!(want.text(), "foo >= 1:1.0-2");
        let package = |evr| Package::of_columns("foo", "noarch", evr);
        assert!(want.is_met_by(&package("1:1.0-2")));
        assert!(want.is_met_by(&package("1:1.1-1")));
        assert!(!want.is_met_by(&package("2.0-1")), "an epoch decides first");
    }
}

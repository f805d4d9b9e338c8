//! Packages and their sources.

mod apt;
mod deb822_repository;
mod dnf;
mod package;
mod rpm;
mod rpm_key;
mod yum_repository;

#[cfg(test)]
mod tests;

use super::{Kind, Module};

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    Module { spec: &apt::SPEC, kind: Kind::State(&apt::Apt) },
    Module { spec: &deb822_repository::SPEC, kind: Kind::State(&deb822_repository::Deb822Repository) },
    Module { spec: &dnf::SPEC, kind: Kind::State(&dnf::Dnf) },
    Module { spec: &package::SPEC, kind: Kind::State(&package::Package) },
    Module { spec: &rpm_key::SPEC, kind: Kind::State(&rpm_key::RpmKey) },
    Module { spec: &yum_repository::SPEC, kind: Kind::State(&yum_repository::YumRepository) },
];

/// The items of a list argument with those taken apart that hold commas: Ansible's package modules take both.
fn split_commas(items: &[String]) -> Vec<String> {
    items
        .iter()
        .flat_map(|item| item.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// Whether a text matches a pattern of Python's `fnmatch`: `*`, `?`, `[…]`, `[!…]`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut regex = String::from("(?s)^");
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => match rest.as_str().get(1..).and_then(|tail| tail.find(']')).map(|at| at + 1) {
                Some(end) => {
                    let set = rest.as_str().get(..end).unwrap_or_default();
                    let (not, set) = set.strip_prefix('!').map_or(("", set), |set| ("^", set));
                    regex.push_str(&format!(
                        "[{not}{}]",
                        set.replace('\\', "\\\\").replace('[', "\\[").replace('^', "\\^")
                    ));
                    rest = rest.as_str().get(end + 1..).unwrap_or_default().chars();
                }
                None => regex.push_str("\\["),
            },
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    regex::Regex::new(&regex).is_ok_and(|regex| regex.is_match(text))
}

#[cfg(test)]
mod pattern_tests {
    use super::matches;

    #[test]
    fn matches_as_fnmatch_does() {
        for (pattern, text, expected) in [
            ("1.0*", "1.0-1", true),
            ("1.?", "1.10", false),
            ("[!a]b", "cb", true),
            ("[ab]+", "a+", true),
            ("[", "[", true),
            ("1.0+b*", "1.0+b1", true),
            ("[]]", "]", true),
            ("a.c", "abc", false),
            ("*[^]*", "x^y", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}

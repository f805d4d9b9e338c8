//! Packages and their sources.

mod dnf;
mod rpm;

use super::{Kind, Module};

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[Module { spec: &dnf::SPEC, kind: Kind::State(&dnf::Dnf) }];

/// The items of a list argument with those taken apart that hold commas: Ansible's package modules take both.
fn split_commas(items: &[String]) -> Vec<String> {
    items
        .iter()
        .flat_map(|item| item.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

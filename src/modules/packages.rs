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

//! Files and their content.

mod assemble;
mod blockinfile;
mod copy;
mod edit;
mod fetch;
mod file;
mod find;
mod ini_file;
mod lineinfile;
mod put;
mod replace;
mod slurp;
mod stat;
mod tempfile;
mod template;
mod unarchive;

use super::{Kind, Module};

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    Module { spec: &assemble::SPEC, kind: Kind::State(&assemble::Assemble) },
    Module { spec: &blockinfile::SPEC, kind: Kind::State(&blockinfile::Blockinfile) },
    Module { spec: &copy::SPEC, kind: Kind::State(&copy::Copy) },
    Module { spec: &fetch::SPEC, kind: Kind::State(&fetch::Fetch) },
    Module { spec: &file::SPEC, kind: Kind::State(&file::File) },
    Module { spec: &find::SPEC, kind: Kind::State(&find::Find) },
    Module { spec: &ini_file::SPEC, kind: Kind::State(&ini_file::IniFile) },
    Module { spec: &lineinfile::SPEC, kind: Kind::State(&lineinfile::Lineinfile) },
    Module { spec: &replace::SPEC, kind: Kind::State(&replace::Replace) },
    Module { spec: &slurp::SPEC, kind: Kind::State(&slurp::Slurp) },
    Module { spec: &stat::SPEC, kind: Kind::State(&stat::StatModule) },
    Module { spec: &tempfile::SPEC, kind: Kind::State(&tempfile::Tempfile) },
    Module { spec: &template::SPEC, kind: Kind::State(&template::Template) },
    Module { spec: &unarchive::SPEC, kind: Kind::State(&unarchive::Unarchive) },
];

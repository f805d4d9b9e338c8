//! Files and their content.

mod blockinfile;
mod copy;
mod edit;
mod file;
mod ini_file;
mod lineinfile;
mod put;
mod replace;
mod template;

use super::{Kind, Module};

/// The modules of this family, in alphabetical order.
pub static MODULES: &[Module] = &[
    Module { spec: &blockinfile::SPEC, kind: Kind::State(&blockinfile::Blockinfile) },
    Module { spec: &copy::SPEC, kind: Kind::State(&copy::Copy) },
    Module { spec: &file::SPEC, kind: Kind::State(&file::File) },
    Module { spec: &ini_file::SPEC, kind: Kind::State(&ini_file::IniFile) },
    Module { spec: &lineinfile::SPEC, kind: Kind::State(&lineinfile::Lineinfile) },
    Module { spec: &replace::SPEC, kind: Kind::State(&replace::Replace) },
    Module { spec: &template::SPEC, kind: Kind::State(&template::Template) },
];

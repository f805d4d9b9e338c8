//! `ansible.builtin.stat`: everything about a path.

use crate::connection::Answer;
use crate::modules::support::stat::FileType;
use crate::modules::support::{Ask, FileState, Stat, mode};
use crate::modules::{Args, Context, Default, Failure, Next, Opt, Spec, StateModule, Type};
use crate::value::{Fields, Value, from_fields};

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "stat",
    fqcn: &["ansible.builtin.stat", "ansible.legacy.stat"],
    summary: "Tells everything about a path.",
    options: &[
        Opt::new("path", Type::Path, "The path.").required().aliases(&["dest", "name"]),
        Opt::new("follow", Type::Bool, "Whether a link is followed.").default(Default::Bool(false)),
        Opt::new("get_checksum", Type::Bool, "Whether the checksum of a file is told.").default(Default::Bool(true)),
        Opt::new("get_mime", Type::Bool, "Whether the MIME type is told.")
            .aliases(&["mime", "mime_type", "mime-type"])
            .default(Default::Bool(true)),
        Opt::new("get_attributes", Type::Bool, "Whether the ext2 attributes are told.")
            .aliases(&["attr", "attributes"])
            .default(Default::Bool(true)),
        Opt::new("checksum_algorithm", Type::Str, "Which checksum.")
            .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
            .aliases(&["checksum", "checksum_algo"])
            .default(Default::Str("sha1")),
    ],
    ..Spec::NONE
};

/// The command that computes a checksum.
pub(super) fn sum_command(algorithm: &str) -> &'static str {
    match algorithm {
        "md5" => "md5sum",
        "sha224" => "sha224sum",
        "sha256" => "sha256sum",
        "sha384" => "sha384sum",
        "sha512" => "sha512sum",
        _ => "sha1sum",
    }
}

/// The module.
pub struct StatModule;

impl StateModule for StatModule {
    fn tells_of(&self, args: &Args) -> Vec<crate::modules::Thing> {
        vec![crate::modules::Thing::Path(args.text("path").trim_end_matches('/').to_owned())]
    }

    fn plan(&self, _cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let mime = args.bool("get_mime");
        let Some(answer) = seen.first() else {
            let mut ask = Ask::new(args.text("path"));
            ask.sum = args.bool("get_checksum").then(|| sum_command(args.text("checksum_algorithm")));
            ask.attributes = args.bool("get_attributes");
            if mime {
                // Of the link itself even with `follow`, as in Ansible.
                ask.extra = format!(
                    "[ -z \"$s\" ] || ! command -v file >/dev/null || \
                     printf 'x.mime=%s\\0' \"$(file -b --mime-type --mime-encoding -- \"$p\" 2>/dev/null)\"\n"
                );
            }
            return Ok(Next::Probe(ask.probe()));
        };
        let state = FileState::parse(answer)?;
        let follow = args.bool("follow");
        let found = if follow { &state.stat } else { &state.lstat };
        let Some(found) = found else {
            return Ok(result(Fields::from([("exists".to_owned(), false.into())])));
        };
        let mut fields = Fields::from([("exists".to_owned(), true.into())]);
        fields.insert("path".into(), state.path.as_str().into());
        fields.extend(info(found));
        let mut add = |key: &str, value: Value| {
            fields.insert(key.to_owned(), value);
        };
        add("blocks", found.blocks.into());
        add("block_size", found.block_size.into());
        add("device_type", found.rdev.into());
        for (key, letter) in [("readable", 'r'), ("writeable", 'w'), ("executable", 'x')] {
            add(key, state.access.contains(letter).into());
        }
        if let (Some(target), false) = (&state.link, follow) {
            let resolved =
                crate::modules::support::path::join(crate::modules::support::path::parent(&state.path), target);
            add("lnk_source", state.real.clone().unwrap_or(resolved).into());
            add("lnk_target", target.as_str().into());
        }
        if found.file_type() == FileType::File
            && let Some(sum) = &state.sum
        {
            add("checksum", sum.as_str().into());
        }
        if mime {
            let said = state.extra.get("mime").map(ToString::to_string).unwrap_or_default();
            let (kind, charset) = said.split_once("; charset=").unwrap_or(("unknown", "unknown"));
            add("mimetype", kind.trim().into());
            add("charset", charset.trim().into());
        }
        if args.bool("get_attributes") {
            attributes(state.lsattr.as_deref(), &mut fields);
        }
        Ok(result(fields))
    }
}

fn result(stat: Fields) -> Next {
    Next::Ok(Fields::from([("stat".to_owned(), from_fields(&stat))]))
}

/// The fields that `stat` and `find` share.
pub(super) fn info(stat: &Stat) -> Fields {
    let kind = stat.file_type();
    let mut fields = Fields::new();
    let mut add = |key: &str, value: Value| {
        fields.insert(key.to_owned(), value);
    };
    add("mode", format!("{:04o}", stat.raw_mode & mode::PERM_BITS).into());
    for (key, wanted) in [
        ("isdir", FileType::Directory),
        ("ischr", FileType::Char),
        ("isblk", FileType::Block),
        ("isreg", FileType::File),
        ("isfifo", FileType::Fifo),
        ("islnk", FileType::Link),
        ("issock", FileType::Socket),
    ] {
        add(key, (kind == wanted).into());
    }
    add("uid", stat.uid.into());
    add("gid", stat.gid.into());
    add("size", stat.size.into());
    add("inode", stat.ino.into());
    add("dev", stat.dev.into());
    add("nlink", stat.nlink.into());
    add("atime", stat.atime.into());
    add("mtime", stat.mtime.into());
    add("ctime", stat.ctime.into());
    for (key, bit) in [
        ("wusr", 0o200),
        ("rusr", 0o400),
        ("xusr", 0o100),
        ("wgrp", 0o020),
        ("rgrp", 0o040),
        ("xgrp", 0o010),
        ("woth", 0o002),
        ("roth", 0o004),
        ("xoth", 0o001),
        ("isuid", 0o4000),
        ("isgid", 0o2000),
    ] {
        add(key, (stat.raw_mode & bit != 0).into());
    }
    if let Some(owner) = &stat.owner {
        add("pw_name", owner.as_str().into());
    }
    if let Some(group) = &stat.group {
        add("gr_name", group.as_str().into());
    }
    fields
}

fn attributes(lsattr: Option<&str>, fields: &mut Fields) {
    let mut words = lsattr.unwrap_or_default().split_whitespace();
    let version = words.next().map_or_else(|| Value::from(()), Value::from);
    let flags: String = words.next().unwrap_or_default().replace('-', "");
    let names: Value = flags.chars().filter_map(attribute_name).map(Value::from).collect();
    fields.insert("version".into(), version);
    fields.insert("attributes".into(), names);
    fields.insert("attr_flags".into(), flags.into());
}

fn attribute_name(flag: char) -> Option<&'static str> {
    Some(match flag {
        'A' => "noatime",
        'a' => "append",
        'c' => "compressed",
        'C' => "nocow",
        'd' => "nodump",
        'D' => "dirsync",
        'e' => "extents",
        'E' => "encrypted",
        'h' => "blocksize",
        'i' => "immutable",
        'I' => "indexed",
        'j' => "journalled",
        'N' => "inline",
        's' => "zero",
        'S' => "synchronous",
        't' => "notail",
        'T' => "blockroot",
        'u' => "undelete",
        'X' => "compressedraw",
        'Z' => "compressederror",
        _ => return None,
    })
}

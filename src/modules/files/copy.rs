//! `ansible.builtin.copy`: content, local files and directories, or files of the target, to the target.

mod listing;
mod remote;
mod tar;
mod tree;

use std::path::Path;

use super::put::{self, Content, Put};
use crate::connection::Answer;
use crate::modules::support::attrs::file_options;
use crate::modules::support::{Ask, path, stat, text};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Rule, Spec, StateModule, Thing, Type};
use crate::value::{Fields, Value, to_json};

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "copy",
    fqcn: &["ansible.builtin.copy", "ansible.legacy.copy"],
    summary: "Copies files, directories or text to the target.",
    options: file_options![
        Opt::new("src", Type::Path, "A local file or directory; with a slash at the end, what is in it."),
        Opt::new("content", Type::Raw, "The content itself; structures are written as JSON."),
        Opt::new("dest", Type::Path, "Where to.").required(),
        put::BACKUP,
        Opt::new("force", Type::Bool, "Whether a file that is there is replaced.").default(Default::Bool(true)),
        put::VALIDATE,
        Opt::new("directory_mode", Type::Mode, "The mode of directories that are made."),
        Opt::new("remote_src", Type::Bool, "Whether src is on the target.").default(Default::Bool(false)),
        Opt::new("local_follow", Type::Bool, "Whether links in a source directory are followed."),
        Opt::new("checksum", Type::Str, "The SHA-1 that the source must have."),
        Opt::new("follow", Type::Bool, "Whether a link at dest is followed.").default(Default::Bool(false)),
        Opt::new("decrypt", Type::Bool, "Whether a source in the vault's format is decrypted.")
            .default(Default::Bool(true)),
    ],
    rules: &[Rule::Exclusive(&["src", "content"]), Rule::OneOf(&["src", "content"])],
    differs: "The result's `src` is the local path, not that of a temporary file on the target.",
    ..Spec::NONE
};

/// The module.
pub struct Copy;

impl StateModule for Copy {
    fn makes(&self, args: &Args) -> Vec<Thing> {
        vec![Thing::Path(args.text("dest").trim_end_matches('/').to_owned())]
    }

    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        if let Some(content) = args.get("content") {
            if args.text("dest").ends_with('/') {
                return Err(Failure::new("can not use content with a dir as dest"));
            }
            let bytes = text_of(content).into_bytes();
            return Put { follow: args.bool("follow"), ..Put::bytes(bytes) }.plan(cx, args, seen, 0);
        }
        let src = args.text("src");
        if args.bool("remote_src") {
            return remote_file(cx, args, src, seen);
        }
        let local = cx.workstation.find_file("files", src)?;
        if local.is_dir() {
            return tree::plan(cx, args, &local, seen);
        }
        local_file(cx, args, &local, args.bool("decrypt"))?.plan(cx, args, seen, 0)
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        put::finish(change, applied)
    }
}

/// Text as it is, structures as JSON, anything else as Python writes it.
fn text_of(content: &Value) -> String {
    use minijinja::value::ValueKind;
    match content.kind() {
        ValueKind::Map | ValueKind::Seq => python_json(&to_json(content)),
        _ => crate::modules::validate::python_text(content),
    }
}

/// JSON with Python's separators (`, ` and `: `) and its ASCII escapes.
fn python_json(json: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match json {
        Json::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", python_json(&Json::from(key.as_str())), python_json(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::String(_) => json.to_string().chars().fold(String::new(), |mut out, c| {
            if c.is_ascii() {
                out.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            out
        }),
        other => other.to_string(),
    }
}

/// A local file to put.
pub(super) fn local_file(cx: &Context<'_>, args: &Args, local: &Path, decrypt: bool) -> Result<Put, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = std::fs::metadata(local)
        .map_err(|error| Failure::new(format!("cannot read `{}`: {error}", local.display())))?;
    let (content, sum) = if meta.len() > put::LARGE {
        (Content::Local(local.to_owned()), put::sum_of_local(local)?)
    } else {
        let bytes = cx.workstation.read_file(local, decrypt)?;
        let sum = text::sha1_hex(&bytes);
        (Content::Bytes(bytes), sum)
    };
    Ok(Put {
        content,
        sum,
        name: local.file_name().map(|name| name.to_string_lossy().into_owned()),
        src: Some(local.display().to_string()),
        mode: Some(meta.permissions().mode() & 0o7777),
        follow: args.bool("follow"),
    })
}

/// `remote_src: true`.
fn remote_file(cx: &Context<'_>, args: &Args, src: &str, seen: &[Answer]) -> Result<Next, Failure> {
    let name = Some(path::basename(src)).filter(|name| !name.is_empty());
    let Some(first) = seen.first() else {
        let mut from = Ask::new(src).sha1();
        from.extra = "[ ! -f \"$p\" ] || printf 'x.md5=%s\\0' \"$(md5sum <\"$p\" 2>/dev/null)\"\n".to_owned();
        let mut asks = vec![from];
        asks.extend(put::asks(args, name));
        return Ok(Next::Probe(stat::probe(&asks)));
    };
    let source = stat::parse_many(first)?.into_iter().next().unwrap_or_default();
    if source.is_dir() {
        return remote::plan(args, &source, seen);
    }
    let Some(found) = &source.stat else {
        return Err(Failure::missing(format!("Source {} not found", source.path)));
    };
    let Some(sum) = source.sum.clone().filter(|_| source.access.contains('r')) else {
        return Err(Failure::new(format!("Source {} not readable", source.path)));
    };
    let put = Put {
        sum,
        name: name.map(str::to_owned),
        src: Some(source.path.clone()),
        mode: Some(found.mode()),
        follow: args.bool("follow"),
        content: Content::Remote(Box::new(source)),
    };
    put.plan(cx, args, seen, 1)
}

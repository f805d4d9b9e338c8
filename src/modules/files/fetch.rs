//! `ansible.builtin.fetch`: a file of the target to the workstation.

use std::path::{Component, Path, PathBuf};

use super::put::sum_of_local;
use crate::connection::Answer;
use crate::hex::hex;
use crate::modules::support::{Ask, FileState, path};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Spec, StateModule, Step, Type};
use crate::sh;
use crate::value::Fields;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "fetch",
    fqcn: &["ansible.builtin.fetch", "ansible.legacy.fetch"],
    summary: "Copies a file of the target to the workstation.",
    options: &[
        Opt::new("src", Type::Path, "The file on the target.").required(),
        Opt::new("dest", Type::Str, "The local directory; below it come the host's name and the file's path.")
            .required(),
        Opt::new("flat", Type::Bool, "Whether dest is the file itself, or (with a slash) its directory.")
            .default(Default::Bool(false)),
        Opt::new("fail_on_missing", Type::Bool, "Whether a file that is not there is a failure.")
            .default(Default::Bool(true)),
        Opt::new("validate_checksum", Type::Bool, "Whether what has arrived is compared.").default(Default::Bool(true)),
    ],
    differs: "In check mode it says what would be fetched; Ansible skips the task.",
    ..Spec::NONE
};

/// The module.
pub struct Fetch;

impl StateModule for Fetch {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else {
            return Ok(Next::Probe(Ask::new(args.text("src")).sha1().probe()));
        };
        let state = FileState::parse(answer)?;
        let ignored = |msg: &str| {
            let mut fields = Fields::from([("msg".to_owned(), msg.into())]);
            fields.insert("file".into(), state.path.as_str().into());
            Ok(Next::Ok(fields))
        };
        let must = args.bool("fail_on_missing");
        if state.stat.is_none() {
            let msg = "the remote file does not exist, not transferring, ignored";
            return if must { Err(Failure::missing(msg)) } else { ignored(msg) };
        }
        let Some(sum) = state.sum.clone().filter(|_| state.access.contains('r')) else {
            let what = if state.is_dir() {
                "remote file is a directory, fetch cannot work on directories"
            } else {
                "the remote file cannot be read"
            };
            return if must { Err(Failure::new(what)) } else { ignored(&format!("{what}, not transferring, ignored")) };
        };
        let to = destination(cx, args, &state.path)?;
        let mut fields = Fields::from([("dest".to_owned(), to.display().to_string().into())]);
        fields.insert("checksum".into(), sum.as_str().into());
        if to.is_file() && sum_of_local(&to)? == sum {
            fields.insert("file".into(), state.path.as_str().into());
            fields.insert("md5sum".into(), md5(&to)?.into());
            return Ok(Next::Ok(fields));
        }
        fields.insert("remote_checksum".into(), sum.into());
        fields.insert("remote_md5sum".into(), ().into());
        let script = format!("cat <{}", sh::quote(state.real_path()));
        Ok(Next::Change(Change {
            summary: vec![format!("fetched to {}", to.display())],
            diff: vec![],
            steps: vec![Step::Download { script, to }],
            result: fields,
        }))
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        args: &Args,
        change: &Change,
        _seen: &[Answer],
        _applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let mut fields = change.result.clone();
        let Some(Step::Download { to, .. }) = change.steps.first() else { return Ok(fields) };
        let sum = sum_of_local(to)?;
        fields.insert("md5sum".into(), md5(to)?.into());
        if args.bool("validate_checksum") && fields.get("remote_checksum").and_then(|sum| sum.as_str()) != Some(&sum) {
            return Err(Failure { fields, ..Failure::new("checksum mismatch").field("checksum", sum) });
        }
        Ok(fields)
    }
}

/// Where the file goes. A relative `dest` is beside the playbook.
fn destination(cx: &Context<'_>, args: &Args, remote: &str) -> Result<PathBuf, Failure> {
    let variable = |name: &str| -> Result<Option<String>, Failure> {
        Ok(cx.workstation.variable(name)?.and_then(|value| value.as_str().map(str::to_owned)))
    };
    let dest = args.text("dest");
    let base = |dest: &str| -> Result<PathBuf, Failure> {
        let expanded = match (dest.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => PathBuf::from(dest),
        };
        Ok(match variable("playbook_dir")? {
            Some(dir) => Path::new(&dir).join(expanded),
            None => expanded,
        })
    };
    if !args.bool("flat") {
        let host = variable("inventory_hostname")?.unwrap_or_else(|| "localhost".to_owned());
        return Ok(normal(&base(dest)?.join(host).join(remote.trim_start_matches('/'))));
    }
    let at = base(dest)?;
    if dest.ends_with('/') {
        return Ok(normal(&at.join(path::basename(remote))));
    }
    if at.is_dir() {
        return Err(Failure::new(
            "dest is an existing directory, use a trailing slash if you want to fetch src into that directory",
        ));
    }
    Ok(normal(&at))
}

/// The path without `.` and `..`, so that no name of the target leads out of the destination unseen.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
        normal
    })
}

fn md5(path: &Path) -> Result<String, Failure> {
    use md5::Digest as _;
    let bytes =
        std::fs::read(path).map_err(|error| Failure::new(format!("cannot read `{}`: {error}", path.display())))?;
    Ok(hex(&md5::Md5::digest(bytes)))
}

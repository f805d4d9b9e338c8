//! `remote_src: true` with a directory: what differs is copied on the target.

use std::collections::BTreeMap;

use super::super::put::make_directories;
use crate::connection::Answer;
use crate::modules::support::attrs::{Attrs, New};
use crate::modules::support::{FileState, path, result, stat, text};
use crate::modules::{Args, Change, Failure, Next, Probe, Step};
use crate::sh;
use crate::value::Fields;

/// Compares the two directories and plans what differs. Nothing is removed, as in Ansible.
pub(super) fn plan(args: &Args, source: &FileState, seen: &[Answer]) -> Result<Next, Failure> {
    let states = seen.first().map(stat::parse_many).transpose()?.unwrap_or_default();
    let dest = states.get(1).cloned().unwrap_or_default();
    if dest.exists() && !dest.is_dir() {
        return Err(Failure::new("Cannot copy a directory over a file").field("dest", dest.path));
    }
    let root = dest.path.trim_end_matches('/');
    let from = source.path.trim_end_matches('/');
    // Without a slash at its end the directory itself is copied into the destination, if that is there.
    let inside = !args.text("src").ends_with('/');
    let into = if inside { path::join(root, path::basename(from)) } else { root.to_owned() };
    let follow = args.opt_bool("local_follow").unwrap_or(false);
    let Some(answer) = seen.get(1) else {
        return Ok(Next::Probe(list(from, &into, follow)));
    };
    let listing = text::decode(&answer.stdout);
    let (here, there) =
        listing.split_once("==\n").ok_or_else(|| Failure::of_answer("cannot list the directories", answer))?;
    let (here, there) = (records(here), records(there));
    let attrs = Attrs::of(args);
    let mut script = String::new();
    let mut summary = vec![];
    if !dest.exists() {
        let wanted = Attrs { mode: args.str("directory_mode").map(str::to_owned), ..attrs.clone() };
        let plan = wanted.plan(&dest, None, New::directory(dest.umask))?;
        script.push_str(&make_directories(root, &plan.script("\"$1\"")));
        summary.push("created (directory)".to_owned());
    }
    let owner = Attrs { owner: attrs.owner.clone(), group: attrs.group.clone(), ..Attrs::default() };
    let owner = owner.plan(&dest, None, New::default())?;
    let mut count = 0;
    for (name, entry) in &here {
        if there.get(name) == Some(entry) {
            continue;
        }
        count += 1;
        let (src, dst) = (sh::quote(&format!("{from}{name}")), sh::quote(&format!("{into}{name}")));
        script.push_str(&match entry {
            Entry::Directory => {
                format!("[ -d {dst} ] || mkdir -- {dst} || exit 1\nchmod \"$(stat -Lc %a -- {src})\" {dst} || exit 1\n")
            }
            Entry::Link(to) => format!("rm -f -- {dst}; ln -s -- {} {dst} || exit 1\n", sh::quote(to)),
            Entry::File(_) => format!(
                "t={dst}; t=$(mktemp \"${{t%/*}}/.mms.XXXXXX\") || exit 1\ncat <{src} >\"$t\" && \
                 chmod \"$(stat -Lc %a -- {src})\" \"$t\" && mv -f -- \"$t\" {dst} || {{ rm -f -- \"$t\"; exit 1; }}\n"
            ),
        });
        script.push_str(&owner.script(&dst));
    }
    if count > 0 {
        summary.push(format!("{count} copied"));
    }
    if dest.exists() {
        let plan = attrs.plan(&dest, dest.stat.as_ref(), New::default())?;
        script.push_str(&plan.script(&sh::quote(root)));
        summary.extend(plan.summary.iter().cloned());
    }
    let mut fields = Fields::new();
    fields.insert("dest".into(), dest.path.as_str().into());
    fields.insert("src".into(), source.path.as_str().into());
    // A directory has neither; Ansible says so.
    fields.insert("checksum".into(), ().into());
    fields.insert("md5sum".into(), ().into());
    if script.is_empty() {
        result::add_path_info(&mut fields, &dest);
        return Ok(Next::Ok(fields));
    }
    let script = format!("{}{script}p={}; d=\nmms_look\nprintf '\\0'\n", stat::PRELUDE, sh::quote(root));
    let step = Step::judged(script);
    Ok(Next::Change(Change { summary, diff: vec![], steps: vec![step], result: fields }))
}

/// What is at a place of a tree.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Directory,
    /// With its SHA-1.
    File(String),
    /// With what it says.
    Link(String),
}

/// Both trees, a record per entry: kind, checksum or target, then the name below the root.
fn list(from: &str, into: &str, follow: bool) -> Probe {
    let one = |root: &str| {
        let root = sh::quote(root);
        let (find, links) = if follow { ("find -L", "") } else { ("find", "y") };
        format!(
            "[ ! -d {root} ] || {find} {root} -exec sh -c 'r=$1; links=$2; shift 2; for p do \
             if [ -n \"$links\" ] && [ -L \"$p\" ]; then printf \"l%s\\n//\\n\" \"$(readlink -n -- \"$p\")\"; \
             elif [ -d \"$p\" ]; then printf \"d\\n//\\n\"; \
             else printf \"f%s\\n//\\n\" \"$(sha1sum <\"$p\")\"; fi; \
             printf \"%s\\n//\\n\" \"${{p#\"$r\"}}\"; done' mms {root} '{links}' {{}} +\n"
        )
    };
    Probe::new(format!("LC_ALL=C; export LC_ALL\n{}echo ==\n{}:\n", one(from), one(into)))
}

fn records(listing: &str) -> BTreeMap<String, Entry> {
    let mut records = listing.split_terminator("\n//\n");
    let mut entries = BTreeMap::new();
    while let (Some(what), Some(name)) = (records.next(), records.next()) {
        let entry = match what.split_at_checked(1) {
            Some(("f", sum)) => Entry::File(sum.trim_end_matches(" -").trim_end().to_owned()),
            Some(("l", to)) => Entry::Link(to.to_owned()),
            _ => Entry::Directory,
        };
        entries.insert(name.to_owned(), entry);
    }
    entries
}

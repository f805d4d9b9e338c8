//! A local directory to the target: one listing to compare with, one archive for everything that differs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::super::put;
use super::listing::Listing;
use super::tar::Archive;
use crate::connection::Answer;
use crate::modules::support::attrs::{Attrs, New, Plan};
use crate::modules::support::{Ask, FileState, Stat, mode, path, result, text};
use crate::modules::{Args, Change, Context, Diff, Failure, Next, Step};
use crate::sh;
use crate::value::Fields;

/// What is to be below the destination.
enum Entry {
    Directory,
    File { local: PathBuf, mode: u32 },
    Link(String),
}

/// Compares the local directory with the destination and plans what differs.
pub(super) fn plan(cx: &Context<'_>, args: &Args, local: &Path, seen: &[Answer]) -> Result<Next, Failure> {
    let attrs = Attrs::of(args);
    let Some(first) = seen.first() else {
        return Ok(Next::Probe(attrs.ask(Ask::new(args.text("dest"))).probe()));
    };
    let dest = FileState::parse(first)?;
    if dest.exists() && !dest.is_dir() {
        return Err(Failure::new(format!("the destination {} is not a directory", dest.path)));
    }
    let mut entries = vec![];
    let name = local.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = if args.text("src").ends_with('/') { String::new() } else { name };
    if !prefix.is_empty() {
        entries.push((prefix.clone(), Entry::Directory));
    }
    walk(local, &prefix, args.opt_bool("local_follow").unwrap_or(true), &mut HashSet::new(), &mut entries)?;
    let root = dest.path.trim_end_matches('/');
    let at = |name: &str| format!("{root}/{name}");
    let Some(answer) = seen.get(1) else {
        return Ok(Next::Probe(Listing::probe(entries.iter().map(|(name, _)| at(name)))));
    };
    let there = Listing::parse(answer)?;
    let dest = FileState { umask: there.umask, ..dest.clone() };
    let for_directories = Attrs { mode: args.str("directory_mode").map(str::to_owned), ..attrs.clone() };
    let mut work = Work { backup: args.bool("backup"), ..Work::default() };
    if !dest.exists() {
        let plan = for_directories.plan(&dest, None, New::directory(there.umask))?;
        work.script.push_str(&put::make_directories(root, &plan.script("\"$1\"")));
        work.made += 1;
    }
    for (name, entry) in &entries {
        let at = at(name);
        let word = sh::quote(&at);
        let stat = there.stats.get(&at);
        let asked = FileState { path: at.clone(), ..dest.clone() };
        match entry {
            Entry::Directory => {
                if stat.is_none() {
                    work.script.push_str(&format!("mkdir -- {word} || exit 1\n"));
                    work.made += 1;
                }
                // Ansible looks after the directories below the one that is copied, not after that one, once it is there.
                if stat.is_some() && *name == prefix {
                    continue;
                }
                let plan = for_directories.plan(&asked, stat, New::directory(there.umask))?;
                work.attributes(&plan, &word, stat.is_some());
            }
            Entry::Link(to) if there.links.get(&at) == Some(to) => {}
            Entry::Link(to) => {
                work.script.push_str(&format!("rm -f -- {word}; ln -s -- {} {word} || exit 1\n", sh::quote(to)));
                work.made += 1;
            }
            Entry::File { .. } if stat.is_some() && !args.bool("force") => {}
            Entry::File { local, mode: own } => {
                let bytes = cx.workstation.read_file(local, args.bool("decrypt"))?;
                let mut wanted = attrs.clone();
                if args.str("mode") == Some("preserve") {
                    wanted.mode = Some(mode::show(*own));
                }
                // A link is replaced by the file.
                let existing = stat.filter(|_| !there.links.contains_key(&at));
                let plan = wanted.plan(&asked, existing, New::file(there.umask))?;
                if existing.is_some() && there.sums.get(&at) == Some(&text::sha1_hex(&bytes)) {
                    work.attributes(&plan, &word, true);
                    continue;
                }
                if cx.diff && existing.is_none() {
                    work.diff.push(result::content_diff(&at, None, &bytes));
                }
                work.put(&word, &bytes, &plan, existing, there.umask);
            }
        }
    }
    let mut fields = Fields::new();
    fields.insert("dest".into(), format!("{root}/").into());
    fields.insert("src".into(), local.display().to_string().into());
    Ok(if work.script.is_empty() { Next::Ok(fields) } else { Next::Change(work.change(root, fields)) })
}

/// Lists a directory into `entries`, parents before children.
fn walk(
    dir: &Path,
    prefix: &str,
    follow: bool,
    open: &mut HashSet<PathBuf>,
    entries: &mut Vec<(String, Entry)>,
) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let broken = |at: &Path, error: std::io::Error| Failure::new(format!("cannot read `{}`: {error}", at.display()));
    let real = dir.canonicalize().map_err(|error| broken(dir, error))?;
    if !open.insert(real.clone()) {
        // A link to a directory above: it would never end.
        return Ok(());
    }
    let mut children: Vec<_> =
        std::fs::read_dir(dir).and_then(Iterator::collect::<Result<_, _>>).map_err(|error| broken(dir, error))?;
    children.sort_by_key(std::fs::DirEntry::file_name);
    for child in children {
        let local = child.path();
        let name = child
            .file_name()
            .into_string()
            .map_err(|_| Failure::new(format!("the name of `{}` is not UTF-8", local.display())))?;
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let kind = child.file_type().map_err(|error| broken(&local, error))?;
        if kind.is_symlink() && !follow {
            let to = std::fs::read_link(&local).map_err(|error| broken(&local, error))?;
            entries.push((name, Entry::Link(to.to_string_lossy().into_owned())));
            continue;
        }
        let meta = std::fs::metadata(&local).map_err(|error| broken(&local, error))?;
        if meta.is_dir() {
            entries.push((name.clone(), Entry::Directory));
            walk(&local, &name, follow, open, entries)?;
        } else {
            entries.push((name, Entry::File { local, mode: meta.permissions().mode() & mode::PERM_BITS }));
        }
    }
    open.remove(&real);
    Ok(())
}

/// What is to be done.
#[derive(Default)]
struct Work {
    script: String,
    archive: Archive,
    files: usize,
    made: usize,
    adjusted: usize,
    backup: bool,
    diff: Vec<Diff>,
}

impl Work {
    fn attributes(&mut self, plan: &Plan, word: &str, existing: bool) {
        if !plan.is_empty() {
            self.script.push_str(&plan.script(word));
            self.script.push_str(&plan.script_last(word));
            self.adjusted += usize::from(existing);
        }
    }

    fn put(&mut self, word: &str, bytes: &[u8], plan: &Plan, existing: Option<&Stat>, umask: u32) {
        let name = self.files.to_string();
        self.archive.add(&name, bytes);
        self.files += 1;
        let from = format!("\"$t/{name}\"");
        let script = &mut self.script;
        if self.backup && existing.is_some() {
            let backup = format!("{word}.$$.\"$(date +%Y-%m-%d@%H:%M:%S~)\"");
            script.push_str(&format!("cp -p -- {word} {backup} || exit 1\n"));
        }
        if let Some(stat) = existing {
            script.push_str(&format!("chown {}:{} -- {from} 2>/dev/null\n", stat.uid, stat.gid));
        }
        let mode = existing.map_or(0o666 & !umask, Stat::mode);
        script.push_str(&format!("chmod {mode:04o} -- {from} || exit 1\n{}", plan.script(&from)));
        script.push_str(&format!("mv -f -- {from} {word} || exit 1\n{}", plan.script_last(word)));
    }

    fn change(self, root: &str, fields: Fields) -> Change {
        let counts = [
            (self.files, "files copied"),
            (self.made, "directories and links made"),
            (self.adjusted, "attributes changed"),
        ];
        let summary = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let mut script = String::from("LC_ALL=C; export LC_ALL\n");
        let mut stdin = None;
        if self.files > 0 {
            // Unpacked in or beside the destination, so that every file is renamed into its place.
            script.push_str(&format!(
                "d={}; [ -d \"$d\" ] || d={}\nwhile [ ! -d \"$d\" ]; do d=$(dirname -- \"$d\"); done\n\
                 t=$(umask 077; mktemp -d \"$d/.mms.XXXXXX\") || exit 1\ntrap 'rm -rf -- \"$t\"' EXIT\n\
                 tar -xmf - -C \"$t\" || exit 1\n",
                sh::quote(root),
                sh::quote(path::parent(root)),
            ));
            stdin = Some(self.archive.finish());
        }
        script.push_str(&self.script);
        let step = Step::Run { script, stdin, live: false, timeout: None, check: false };
        Change { summary: summary.collect(), diff: self.diff, steps: vec![step], result: fields }
    }
}

//! `ansible.builtin.unarchive`: unpacks an archive, unless everything in it is there already.
//!
//! `tar --diff` (GNU tar) or `unzip -p` on the target tell what differs. A local archive travels to them over stdin, so nothing
//! is left behind.

use crate::connection::Answer;
use crate::modules::support::attrs::{Attrs, New, file_options};
use crate::modules::support::{Ask, FileState, path, result, stat, text};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type};
use crate::sh;
use crate::size;
use crate::value::{Fields, Value};

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "unarchive",
    fqcn: &["ansible.builtin.unarchive", "ansible.legacy.unarchive"],
    summary: "Unpacks a tar or zip archive.",
    options: file_options![
        Opt::new("src", Type::Path, "The archive, local unless remote_src.").required(),
        Opt::new("dest", Type::Path, "The directory it is unpacked in, which must exist.").required(),
        Opt::new("remote_src", Type::Bool, "Whether the archive is on the target.").default(Default::Bool(false)),
        Opt::new("creates", Type::Path, "Nothing is done when this exists."),
        Opt::new("list_files", Type::Bool, "Whether the result lists the files.").default(Default::Bool(false)),
        Opt::new("keep_newer", Type::Bool, "Whether newer files are kept.").default(Default::Bool(false)),
        Opt::new("exclude", Type::StrList, "What is left out.").default(Default::EmptyList),
        Opt::new("include", Type::StrList, "What alone is unpacked.").default(Default::EmptyList),
        Opt::new("extra_opts", Type::StrList, "More options for tar or unzip.").default(Default::EmptyList),
        Opt::new("decrypt", Type::Bool, "Whether an archive in the vault's format is decrypted.")
            .default(Default::Bool(true)),
    ],
    rules: &[Rule::Exclusive(&["include", "exclude"])],
    differs: "`src` is not a URL. The files of a zip archive are compared by content alone; owner and mode are set \
              when something is unpacked.",
    ..Spec::NONE
};

/// The largest local archive in bytes: it travels in a frame.
const LARGEST: u64 = 256_000_000;

/// The module.
pub struct Unarchive;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// tar with the option that names its compression.
    Tar(&'static str, &'static str),
    Zip,
}

impl Format {
    /// By the first bytes, as `file` does.
    fn of(head: &[u8]) -> Self {
        match head {
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            [0x1f, 0x8b, ..] => Self::Tar("-z", "TgzArchive"),
            [b'B', b'Z', b'h', ..] => Self::Tar("-j", "TarBzipArchive"),
            [0xfd, b'7', b'z', b'X', ..] => Self::Tar("-J", "TarXzArchive"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Tar("--zstd", "TarZstdArchive"),
            _ => Self::Tar("", "TarArchive"),
        }
    }

    fn handler(self) -> &'static str {
        match self {
            Self::Tar(_, handler) => handler,
            Self::Zip => "ZipArchive",
        }
    }
}

impl StateModule for Unarchive {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let attrs = Attrs::of(args);
        let src = args.text("src");
        if src.contains("://") {
            return Err(
                Failure::new("unarchive does not download").hint("fetch it with get_url, then use remote_src: true")
            );
        }
        let Some(first) = seen.first() else {
            let mut archive = Ask::new(if args.bool("remote_src") { src } else { "/" });
            archive.extra =
                "[ ! -f \"$p\" ] || printf 'x.head=%s\\0' \"$(head -c 4 <\"$p\" | od -An -tx1)\"\n".to_owned();
            let creates = Ask::new(args.str("creates").unwrap_or("/"));
            return Ok(Next::Probe(stat::probe(&[creates, attrs.ask(Ask::new(args.text("dest"))), archive])));
        };
        let states = stat::parse_many(first)?;
        let [creates, dest, archive] = states.as_slice() else {
            return Err(Failure::of_answer("cannot read the destination", first));
        };
        if args.str("creates").is_some() && creates.exists() {
            let msg = format!("skipped, since {} exists", creates.path);
            return Ok(Next::Skip(Fields::from([("msg".to_owned(), msg.into())])));
        }
        if !dest.is_dir() {
            return Err(Failure::missing(format!("dest '{}' must be an existing dir", dest.path)));
        }
        let job = if args.bool("remote_src") {
            let Some(head) = archive.extra.get("head").and_then(Value::as_str) else {
                return Err(Failure::missing(format!("Source '{}' does not exist", archive.path)));
            };
            let head: Vec<u8> = head.split_whitespace().filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
            Job { args, dest, format: Format::of(&head), local: None, from: archive.path.clone() }
        } else {
            let local = cx.workstation.find_file("files", src)?;
            let bytes = std::fs::metadata(&local).map(|meta| meta.len()).unwrap_or_default();
            if bytes > LARGEST {
                return Err(Failure::new(format!("`{}` is larger than {}", local.display(), size::human(LARGEST)))
                    .hint("bring it to the target with copy, then use remote_src: true"));
            }
            let bytes = cx.workstation.read_file(&local, args.bool("decrypt"))?;
            Job { args, dest, format: Format::of(&bytes), from: local.display().to_string(), local: Some(bytes) }
        };
        let Some(listing) = seen.get(1) else {
            return Ok(Next::Probe(Probe { script: job.compare(), stdin: job.local.clone() }));
        };
        job.plan(&attrs, listing)
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        for answer in applied {
            if answer.rc == 83 {
                let text = |name: &str| change.result.get(name).map(ToString::to_string).unwrap_or_default();
                let msg = format!("failed to unpack {} to {}", text("src"), text("dest"));
                let mut failure = Failure::of_answer(msg, answer);
                // What the directory is like is told as well, as Ansible does.
                let told = change.result.iter().filter(|(name, _)| *name != "src");
                failure.fields.extend(told.map(|(name, value)| (name.clone(), value.clone())));
                return Err(failure);
            }
        }
        result::finish(change, applied)
    }
}

/// One archive to one directory.
struct Job<'a> {
    args: &'a Args,
    dest: &'a FileState,
    format: Format,
    local: Option<Vec<u8>>,
    from: String,
}

impl Job<'_> {
    /// Puts the archive where the tools can read it, as `$archive` (a name that [`stat::PRELUDE`] does not use: what is removed at
    /// the end is named by it). Only unzip needs a file.
    fn archive(&self) -> String {
        match (&self.local, self.format) {
            (None, _) => format!("archive={}\n", sh::quote(&self.from)),
            (Some(_), Format::Tar(..)) => "archive=-\n".to_owned(),
            (Some(_), Format::Zip) => "archive=$(umask 077; mktemp \"${TMPDIR:-/tmp}/.mms.XXXXXX\") || exit 1\n\
                 trap 'rm -f -- \"$archive\"' EXIT\ncat >\"$archive\" || exit 1\n"
                .to_owned(),
        }
    }

    fn tar(&self, flag: &str) -> String {
        let mut words = vec!["-C".to_owned(), self.dest.path.clone()];
        words.extend(self.args.strings("extra_opts"));
        for pattern in self.args.strings("exclude") {
            words.push(format!("--exclude={pattern}"));
        }
        let includes = self.args.strings("include");
        format!("{} {} -f \"$archive\" {}", sh::join(&words), flag, sh::join(&includes))
    }

    /// Prints what differs, a line `==`, then the names in the archive.
    fn compare(&self) -> String {
        let dest = sh::quote(&self.dest.path);
        match self.format {
            Format::Tar(flag, _) => {
                // Standard input can be read once: list and compare in one go is `--diff -v`, whose names come first.
                let options = self.tar(flag);
                format!(
                    "LC_ALL=C; export LC_ALL\ntar --version 2>/dev/null | grep -q 'GNU tar' || exit 84\n{}\
                     tar --diff -v --quoting-style=literal --show-transformed-names {options} 2>&1\necho \"==$? $(id -u)\"\n",
                    self.archive()
                )
            }
            Format::Zip => {
                let excluded = self.args.strings("exclude");
                let exclude = if excluded.is_empty() { String::new() } else { format!("-x {}", sh::join(&excluded)) };
                format!(
                    "LC_ALL=C; export LC_ALL\ncommand -v unzip >/dev/null || exit 85\n{}\
                     unzip -Z1 \"$archive\" {} {exclude} | while IFS= read -r n; do\n\
                     echo \"$n\"\n\
                     case $n in\n*/) [ -d {dest}/\"$n\" ] || echo \"$n: Contents differ\" ;;\n\
                     *) g=$(printf '%s' \"$n\" | sed 's/[][*?]/\\\\&/g'); unzip -p \"$archive\" \"$g\" | cmp -s - {dest}/\"$n\" || echo \"$n: Contents differ\" ;;\n\
                     esac\ndone\necho \"==0 $(id -u)\"\n",
                    self.archive(),
                    sh::join(self.args.strings("include")),
                )
            }
        }
    }

    fn plan(&self, attrs: &Attrs, listing: &Answer) -> Result<Next, Failure> {
        match listing.rc {
            84 => return Err(Failure::new("unarchive needs GNU tar on the target").hint("install the package `tar`")),
            85 => return Err(Failure::new("unarchive needs unzip on the target").hint("install the package `unzip`")),
            _ => {}
        }
        let said = text::decode(&listing.stdout);
        let Some((said, status)) = said.rsplit_once("==") else {
            return Err(Failure::of_answer(format!("cannot read the archive {}", self.from), listing));
        };
        let mut status = status.split_whitespace();
        let failed = status.next() != Some("0");
        // Nobody but root can give files the owners that the archive names.
        let as_root = status.next() == Some("0");
        let (mut names, mut differs) = (vec![], 0);
        for line in said.lines() {
            match difference(line) {
                Difference::None => names.push(line.to_owned()),
                Difference::Ignored => {}
                Difference::Owner if attrs.owner.is_some() || !as_root => {}
                Difference::Group if attrs.group.is_some() || !as_root => {}
                Difference::Mode if attrs.mode.is_some() => {}
                Difference::Broken => {
                    return Err(Failure::of_answer(format!("Failed to find handler for \"{}\"", self.from), listing));
                }
                _ => differs += 1,
            }
        }
        if failed && differs == 0 && names.is_empty() {
            return Err(Failure::of_answer(format!("Failed to find handler for \"{}\"", self.from), listing));
        }
        let mut fields = Fields::from([("dest".to_owned(), self.dest.path.as_str().into())]);
        fields.insert("src".into(), self.from.as_str().into());
        fields.insert("handler".into(), self.format.handler().into());
        if self.args.bool("list_files") {
            fields.insert("files".into(), names.iter().map(|name| Value::from(name.as_str())).collect());
        }
        result::add_path_info(&mut fields, self.dest);
        if differs == 0 {
            return Ok(Next::Ok(fields));
        }
        // Each file has a mode of its own to start from, so a symbolic mode is left to chmod.
        let owner = Attrs { mode: None, ..attrs.clone() }.plan(self.dest, None, New::default())?;
        let mut script = format!("{}{}{} || exit 83\n", stat::PRELUDE, self.archive(), self.unpack());
        for name in &names {
            let at = sh::quote(&path::join(&self.dest.path, name.trim_start_matches("./")));
            script.push_str(&owner.script(&at));
            if let Some(mode) = &attrs.mode {
                script.push_str(&format!("[ -L {at} ] || chmod {} -- {at} || exit 1\n", sh::quote(mode)));
            }
        }
        script.push_str(&format!("p={}; d=\nmms_look\nprintf '\\0'\n", sh::quote(&self.dest.path)));
        let step = Step::Run { script, stdin: self.local.clone(), live: false, timeout: None, check: false };
        Ok(Next::Change(Change {
            summary: vec![format!("unpacked {}", self.from)],
            diff: vec![],
            steps: vec![step],
            result: fields,
        }))
    }

    fn unpack(&self) -> String {
        match self.format {
            Format::Tar(flag, _) => {
                let newer = if self.args.bool("keep_newer") { " --keep-newer-files" } else { "" };
                format!("tar --extract{newer} {}", self.tar(flag))
            }
            Format::Zip => {
                let how = if self.args.bool("keep_newer") { "-uo" } else { "-o" };
                let excluded = self.args.strings("exclude");
                let exclude = if excluded.is_empty() { String::new() } else { format!(" -x {}", sh::join(&excluded)) };
                format!(
                    "unzip -q {how} {} \"$archive\" {}{exclude} -d {} >&2",
                    sh::join(self.args.strings("extra_opts")),
                    sh::join(self.args.strings("include")),
                    sh::quote(&self.dest.path)
                )
            }
        }
    }
}

/// What a line of the comparison says.
enum Difference {
    /// It is a name.
    None,
    Owner,
    Group,
    Mode,
    Other,
    /// Noise.
    Ignored,
    /// It is not an archive.
    Broken,
}

fn difference(line: &str) -> Difference {
    if line.ends_with(": Uid differs") {
        Difference::Owner
    } else if line.ends_with(": Gid differs") {
        Difference::Group
    } else if line.ends_with(": Mode differs") {
        Difference::Mode
    } else if line.starts_with("tar: This does not look like a tar archive") || line.starts_with("tar: Unrecognized") {
        Difference::Broken
    } else if line.contains(": : Warning: Cannot stat") {
        // A name that --strip-components left nothing of.
        Difference::Ignored
    } else if line.ends_with(": Warning: Cannot stat: No such file or directory")
        || [": Mod time differs", ": Symlink differs", ": Contents differ", ": Size differs", ": File type differs"]
            .iter()
            .any(|end| line.ends_with(end))
        || line.contains(": Not linked to ")
    {
        Difference::Other
    } else if line.starts_with("tar: ") || line.is_empty() {
        Difference::Ignored
    } else {
        Difference::None
    }
}

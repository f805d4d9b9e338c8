//! Putting one file on the target: what copy, template and assemble have in common.

use std::path::PathBuf;

use sha1::Digest as _;

use crate::connection::Answer;
use crate::hex::hex;
use crate::modules::support::attrs::{Attrs, New};
use crate::modules::support::write::{Write, attributes_step};
use crate::modules::support::{Ask, FileState, mode, path, result, stat, text};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Step, Thing, Type};
use crate::value::{Fields, Value};

/// Whether the file as it was is kept.
pub(super) const BACKUP: Opt =
    Opt::new("backup", Type::Bool, "Whether the file as it was is kept.").default(Default::Bool(false));
/// What must accept the file before it takes its place.
pub(super) const VALIDATE: Opt =
    Opt::new("validate", Type::Str, "A command that must accept the new file, which is %s in it.");

/// Files larger than this many bytes travel on a channel of their own.
pub const LARGE: u64 = 4 << 20;

/// What the file is to hold.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes of this process.
    Bytes(Vec<u8>),
    /// A large local file.
    Local(PathBuf),
    /// A file on the target.
    Remote(Box<FileState>),
}

/// A file to put.
#[derive(Debug, Clone)]
pub struct Put {
    /// What it is to hold.
    pub content: Content,
    /// The SHA-1 of that.
    pub sum: String,
    /// The name it gets in a directory; nothing when the destination cannot be one.
    pub name: Option<String>,
    /// The result's `src`.
    pub src: Option<String>,
    /// The mode of the source, for `mode: preserve`.
    pub mode: Option<u32>,
    /// Whether a link at the destination is followed.
    pub follow: bool,
}

impl Put {
    /// A file of these bytes, at the destination itself.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        let sum = text::sha1_hex(&bytes);
        Self { content: Content::Bytes(bytes), sum, name: None, src: None, mode: None, follow: false }
    }

    /// What a destination may be: itself, or the file of that name in it. All in one question.
    pub fn asks(&self, args: &Args) -> Vec<Ask> {
        asks(args, self.name.as_deref())
    }

    /// Plans it. `seen` holds the answer to [`Put::asks`] and then those to this function's own probes; `skip` states
    /// of the first answer belong to the caller.
    pub fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer], skip: usize) -> Result<Next, Failure> {
        let Some(first) = seen.first() else {
            return Ok(Next::Probe(stat::probe(&self.asks(args))));
        };
        let mut states = stat::parse_many(first)?.into_iter().skip(skip);
        let given = states.next().ok_or_else(|| Failure::of_answer("cannot read the destination", first))?;
        let inside = states.next();
        let into = given.is_dir() || given.path.ends_with('/');
        let state = match inside {
            Some(inside) if into => inside,
            _ if given.is_dir() => {
                return Err(Failure::new(format!("the destination {} is a directory", given.path)));
            }
            _ => given,
        };
        if let Some(wanted) = args.str("checksum").filter(|wanted| *wanted != self.sum) {
            return Err(Failure::new("Copied file does not match the expected checksum. Transfer failed.")
                .field("checksum", self.sum.as_str())
                .field("expected_checksum", wanted));
        }
        self.plan_at(cx, args, &state, seen.get(1), into).map_err(|failure| match self.content {
            Content::Remote(_) => failure,
            _ => failure.field("checksum", self.sum.as_str()),
        })
    }

    fn plan_at(
        &self,
        cx: &Context<'_>,
        args: &Args,
        state: &FileState,
        content: Option<&Answer>,
        into: bool,
    ) -> Result<Next, Failure> {
        let replaces_link = state.is_link() && !self.follow;
        let at = if replaces_link { &state.path } else { state.real_path() };
        let mut fields = Fields::new();
        fields.insert("dest".into(), at.into());
        if let Some(src) = &self.src {
            fields.insert("src".into(), src.as_str().into());
        }
        if state.exists() && !args.opt_bool("force").unwrap_or(true) {
            return Ok(Next::Ok(fields));
        }
        if state.is_dir() && !replaces_link {
            return Err(Failure::new(format!("the destination {at} is a directory")));
        }
        // Directories are made for a destination that ends with a slash alone.
        let makes_directory = !state.exists() && !state.parent && into && args.text("dest").ends_with('/');
        if !state.exists() && !state.parent && !makes_directory {
            let msg = format!("Destination directory {} does not exist", path::parent(&state.path));
            return Err(Failure::missing(msg).needs(Thing::Path(path::parent(&state.path).to_owned())));
        }
        fields.insert("checksum".into(), self.sum.as_str().into());
        let mut attrs = Attrs::of(args);
        if args.str("mode") == Some("preserve") {
            attrs.mode = self.mode.map(mode::show);
        }
        let differs = replaces_link || state.sum.as_deref() != Some(&self.sum);
        if !differs {
            let state = if self.follow { state.followed() } else { state.clone() };
            if matches!(self.content, Content::Remote(_)) {
                fields.extend(self.md5()?.map(|sum| ("md5sum".to_owned(), sum.into())));
            } else {
                fields.insert("path".into(), state.path.as_str().into());
            }
            return unchanged(&state, &attrs, fields);
        }
        let existing = state.stat.as_ref();
        let plan = attrs.plan(state, existing, New::file(state.umask))?;
        fields.extend(self.md5()?.map(|sum| ("md5sum".to_owned(), sum.into())));
        let mut change = Change { result: fields, ..Change::default() };
        change.summary.push(if state.exists() { "content" } else { "created" }.to_owned());
        change.summary.extend(plan.summary.iter().cloned());
        if cx.diff
            && let Content::Bytes(after) = &self.content
        {
            let looks = state.sum.is_some() && existing.is_some_and(|stat| stat.size < LARGE);
            let before = match content {
                Some(answer) => FileState::parse(answer)?.content,
                None if looks => return Ok(Next::Probe(Ask::new(at).content().probe())),
                None => None,
            };
            change.diff.push(result::content_diff(at, before.as_deref(), after));
        }
        if !plan.before.is_empty() {
            change.diff.push(result::attribute_diff(at, &plan.before, &plan.after));
        }
        let write = Write {
            follow: !replaces_link,
            backup: args.bool("backup"),
            validate: args.str("validate"),
            unsafe_writes: args.bool("unsafe_writes"),
            ..Write::new(state, &plan)
        };
        let mut steps = vec![];
        if makes_directory {
            steps.push(directories(args, &attrs, state)?);
        }
        steps.push(match &self.content {
            Content::Bytes(bytes) => write.step(bytes.clone())?,
            Content::Local(from) => Step::Upload { from: from.clone(), script: write.script("cat >\"$t\"")? },
            Content::Remote(from) => {
                let from = crate::sh::quote(from.real_path());
                Step::Run {
                    script: write.script(&format!("cat <{from} >\"$t\""))?,
                    stdin: None,
                    live: false,
                    timeout: None,
                    check: false,
                }
            }
        });
        change.steps = steps;
        change.result.insert("size".into(), self.size());
        if let Some(mode) = plan.mode.or_else(|| existing.map(stat::Stat::mode)) {
            change.result.insert("mode".into(), mode::show(mode).into());
        }
        change.result.insert("state".into(), "file".into());
        Ok(Next::Change(change))
    }

    /// The MD5 that Ansible reports for what it has written.
    pub fn md5(&self) -> Result<Option<String>, Failure> {
        Ok(match &self.content {
            Content::Bytes(bytes) => Some(hex(&md5::Md5::digest(bytes))),
            Content::Local(path) => Some(digest_of_local::<md5::Md5>(path)?),
            Content::Remote(from) => {
                let said = from.extra.get("md5").and_then(Value::as_str).unwrap_or_default();
                said.split(' ').next().filter(|sum| !sum.is_empty()).map(str::to_owned)
            }
        })
    }

    fn size(&self) -> Value {
        match &self.content {
            Content::Bytes(bytes) => bytes.len().into(),
            Content::Local(from) => std::fs::metadata(from).map(|meta| meta.len().into()).unwrap_or_default(),
            Content::Remote(from) => from.stat.as_ref().map(|stat| stat.size.into()).unwrap_or_default(),
        }
    }
}

/// The questions about a destination and about the file of this name in it.
pub fn asks(args: &Args, name: Option<&str>) -> Vec<Ask> {
    let attrs = Attrs::of(args);
    let dest = args.text("dest");
    let mut asks = vec![attrs.ask(Ask::new(dest).sha1())];
    if let Some(name) = name {
        asks.push(attrs.ask(Ask::new(path::join(dest, name)).sha1()));
    }
    asks
}

/// The content is as wanted: what is left are the attributes.
fn unchanged(state: &FileState, attrs: &Attrs, mut fields: Fields) -> Result<Next, Failure> {
    let plan = attrs.plan(state, state.lstat.as_ref(), New::default())?;
    result::add_path_info(&mut fields, state);
    if plan.is_empty() {
        return Ok(Next::Ok(fields));
    }
    Ok(Next::Change(Change {
        summary: plan.summary.clone(),
        diff: vec![result::attribute_diff(&state.path, &plan.before, &plan.after)],
        steps: vec![attributes_step(&state.path, &plan)],
        result: fields,
    }))
}

/// Makes the missing directories of a destination; new ones get the owner and `directory_mode`.
fn directories(args: &Args, attrs: &Attrs, state: &FileState) -> Result<Step, Failure> {
    let wanted = Attrs { mode: args.str("directory_mode").map(str::to_owned), ..attrs.clone() };
    let plan = wanted.plan(state, None, New::directory(state.umask))?;
    let script = make_directories(path::parent(&state.path), &plan.script("\"$1\""));
    Ok(Step::Run { script, stdin: None, live: false, timeout: None, check: true })
}

/// A script that makes a directory and those above it, and runs `attributes` for each new one (`$1`).
pub fn make_directories(at: &str, attributes: &str) -> String {
    let mut script = format!("mms_make() {{\n[ ! -d \"$1\" ] || return 0\nmkdir -- \"$1\" || exit 1\n{attributes}}}\n");
    let trimmed = at.trim_end_matches('/');
    let ends = trimmed.match_indices('/').map(|(at, _)| at).chain([trimmed.len()]).filter(|end| *end > 0);
    for end in ends {
        script.push_str(&format!("mms_make {}\n", crate::sh::quote(&trimmed[..end])));
    }
    script
}

/// The result after the steps.
pub fn finish(change: &Change, applied: &[Answer]) -> Result<Fields, Failure> {
    let done = applied.iter().try_for_each(result::check).and_then(|()| result::finish(change, applied));
    done.map_err(|failure| {
        let mut failure = not_writable(change, failure);
        failure.fields.extend(change.result.get("checksum").map(|sum| ("checksum".to_owned(), sum.clone())));
        failure
    })
}

/// Says it in Ansible's words when the temporary file could not be made.
fn not_writable(change: &Change, failure: Failure) -> Failure {
    if !(failure.msg.contains("mktemp") && failure.msg.contains("ermission denied")) {
        return failure;
    }
    let dest = change.result.get("dest").map(ToString::to_string).unwrap_or_default();
    Failure::new(format!("Destination {} not writable", path::parent(&dest)))
        .hint("`become: true` works as root, if that is what is wanted")
}

/// The SHA-1 of a large local file.
pub fn sum_of_local(path: &std::path::Path) -> Result<String, Failure> {
    digest_of_local::<sha1::Sha1>(path)
}

/// The digest of a large local file, read in pieces.
fn digest_of_local<D: sha1::Digest>(path: &std::path::Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let broken = |error: std::io::Error| Failure::new(format!("cannot read `{}`: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(broken)?;
    let mut hasher = D::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(broken)?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

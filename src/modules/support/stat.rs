//! What is at a path: one script for all modules, and its typed answer.
//!
//! The script costs one process for a file that exists (`stat`), one more for its checksum or content, and none for one that does
//! not: everything else is shell builtins, because a run that changes nothing is made of these. It needs `stat -c`, `readlink` and
//! `sha1sum`, as GNU coreutils and BusyBox have them. Fields are separated by NUL, so any path is safe; content comes last.

use crate::connection::Answer;
use crate::modules::support::path;
use crate::modules::{Failure, Probe};
use crate::sh;
use crate::value::Fields;

/// What to ask of a path.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The path as the user wrote it.
    pub path: String,
    /// The command whose output starts with the checksum (`sha1sum`), when the path leads to a regular file.
    pub sum: Option<&'static str>,
    /// Whether the content of a regular file is wanted. Only the last path of a script can have it.
    pub content: bool,
    /// An owner to look up.
    pub owner: Option<String>,
    /// A group to look up.
    pub group: Option<String>,
    /// Whether the default SELinux context of the path is wanted.
    pub default_context: bool,
    /// Whether the ext2 attributes (`lsattr`) are wanted.
    pub attributes: bool,
    /// Shell lines that look at `$p` and print `x.NAME=VALUE` with a NUL behind.
    pub extra: String,
}

impl Ask {
    /// Asks what is at the path and nothing more.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// Asks for the SHA-1 as well.
    #[must_use]
    pub fn sha1(mut self) -> Self {
        self.sum = Some("sha1sum");
        self
    }

    /// Asks for the content as well.
    #[must_use]
    pub fn content(mut self) -> Self {
        self.content = true;
        self
    }

    /// The shell lines that ask this; [`PRELUDE`] must stand before them.
    pub fn script(&self) -> String {
        let mut script =
            format!("p={}; d={}\nmms_look\n", path::word(&self.path), path::word(path::parent(&self.path)));
        for (file, name, key) in [("passwd", &self.owner, "uid"), ("group", &self.group, "gid")] {
            if let Some(name) = name.as_deref().filter(|name| name.parse::<u32>().is_err()) {
                script.push_str(&format!("mms_id {file} {} {key}\n", sh::quote(name)));
            }
        }
        if self.default_context {
            script.push_str("printf 'sedef=%s\\0' \"$(matchpathcon -n \"$p\" 2>/dev/null)\"\n");
        }
        if self.attributes {
            script.push_str("[ -z \"$s\" ] || printf 'attr=%s\\0' \"$(lsattr -vd -- \"$p\" 2>/dev/null)\"\n");
        }
        if let Some(command) = self.sum {
            script.push_str(&format!("[ ! -f \"$p\" ] || printf 'sum=%s\\0' \"$({command} <\"$p\")\"\n"));
        }
        script.push_str(&self.extra);
        if self.content {
            script.push_str("if [ -f \"$p\" ]; then printf 'content=\\0'; cat <\"$p\"; else printf '\\0'; fi\n");
        } else {
            script.push_str("printf '\\0'\n");
        }
        script
    }

    /// A probe that asks this alone; [`FileState::parse`] reads the answer.
    pub fn probe(&self) -> Probe {
        probe(std::slice::from_ref(self))
    }
}

/// One probe of several paths; [`parse_many`] reads the answer.
pub fn probe(asks: &[Ask]) -> Probe {
    let mut script = PRELUDE.to_owned();
    for ask in asks {
        script.push_str(&ask.script());
    }
    Probe::new(script)
}

/// Defines `mms_look`, which writes what is at `$p` (its directory being `$d`), and `mms_id`, which looks up a user or group.
pub const PRELUDE: &str = r#"LC_ALL=C; export LC_ALL; nl='
'
f="%f %u %g %h %i %d %s %b %o %t %T %X %Y %Z${nl}U:%U${nl}G:%G${nl}%x${nl}%y${nl}%z${nl}"
[ ! -e /sys/fs/selinux/enforce ] || f="${f}C:%C"
mms_look() {
  s=
  printf 'path=%s\0' "$p"
  if [ -L "$p" ]; then
    printf 'lstat=%s\0link=%s\0' "$(stat -c "$f" -- "$p")" "$(readlink -n -- "$p")"
    if [ -e "$p" ]; then
      s=$(stat -Lc "$f" -- "$p")
      printf 'real=%s\0' "$(readlink -f -- "$p")"
    else
      printf 'umask=%s\0' "$(umask)"
    fi
  elif [ -e "$p" ]; then
    s=$(stat -c "$f" -- "$p")
  else
    printf 'umask=%s\0' "$(umask)"
    if [ -d "$d" ]; then printf 'parent=\0'; fi
  fi
  if [ -n "$s" ]; then
    a=
    if [ -r "$p" ]; then a=r; fi
    if [ -w "$p" ]; then a=${a}w; fi
    if [ -x "$p" ]; then a=${a}x; fi
    printf 'stat=%s\0access=%s\0' "$s" "$a"
  fi
}
mms_id() {
  i=
  while IFS=: read -r n _ i _; do [ "$n" != "$2" ] || break; i=; done <"/etc/$1"
  if [ -z "$i" ] && command -v getent >/dev/null; then
    i=$(getent "$1" "$2") && { i=${i#*:*:}; i=${i%%:*}; }
  fi
  printf '%s=%s\0' "$3" "$i"
}
"#;

/// What `stat` says of one inode.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stat {
    /// Type and permissions (`st_mode`).
    pub raw_mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Hard links.
    pub nlink: u64,
    /// Inode.
    pub ino: u64,
    /// Device it is on.
    pub dev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Preferred size of reads and writes in bytes.
    pub block_size: u64,
    /// For device files: their number.
    pub rdev: u64,
    /// Last access, in seconds since 1970.
    pub atime: f64,
    /// Last change of content.
    pub mtime: f64,
    /// Last change of the inode.
    pub ctime: f64,
    /// Owner's name; nothing when no user has that number.
    pub owner: Option<String>,
    /// Group's name; nothing when no group has that number.
    pub group: Option<String>,
    /// SELinux context, when SELinux is enabled.
    pub context: Option<String>,
}

/// What kind of thing is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Stat {
    /// Permissions, set-id bits and sticky bit.
    pub fn mode(&self) -> u32 {
        self.raw_mode & super::mode::PERM_BITS
    }

    /// What kind of thing it is.
    pub fn file_type(&self) -> FileType {
        match self.raw_mode & 0o170_000 {
            0o040_000 => FileType::Directory,
            0o120_000 => FileType::Link,
            0o020_000 => FileType::Char,
            0o060_000 => FileType::Block,
            0o010_000 => FileType::Fifo,
            0o140_000 => FileType::Socket,
            _ => FileType::File,
        }
    }

    /// Reads one output of the prelude's `stat` format.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut numbers = lines.next()?.split(' ');
        let raw_mode = u32::from_str_radix(numbers.next()?, 16).ok()?;
        let uid = numbers.next()?.parse().ok()?;
        let gid = numbers.next()?.parse().ok()?;
        let mut rest = [0_u64; 6];
        for slot in &mut rest {
            *slot = numbers.next()?.parse().ok()?;
        }
        let [nlink, ino, dev, size, blocks, block_size] = rest;
        let major = u64::from_str_radix(numbers.next()?, 16).ok()?;
        let minor = u64::from_str_radix(numbers.next()?, 16).ok()?;
        let mut seconds = [0_i64; 3];
        for slot in &mut seconds {
            *slot = numbers.next()?.parse().ok()?;
        }
        let known = |name: &str| (name != "UNKNOWN").then(|| name.to_owned());
        let owner = known(lines.next()?.strip_prefix("U:")?);
        let group = known(lines.next()?.strip_prefix("G:")?);
        let mut times = seconds.iter().map(|seconds| time(*seconds, lines.next().unwrap_or_default()));
        let (atime, mtime, ctime) = (times.next()?, times.next()?, times.next()?);
        let context = lines.next().and_then(|line| line.strip_prefix("C:")).filter(|c| c.contains(':'));
        let rdev = (major & 0xfff) << 8 | (major & !0xfff) << 32 | (minor & 0xff) | (minor & !0xff) << 12;
        Some(Self {
            raw_mode,
            uid,
            gid,
            nlink,
            ino,
            dev,
            size,
            blocks,
            block_size,
            rdev,
            atime,
            mtime,
            ctime,
            owner,
            group,
            context: context.map(str::to_owned),
        })
    }
}

/// Seconds with the fraction that the readable form (`2024-01-02 03:04:05.123456789 +0000`) has.
fn time(seconds: i64, readable: &str) -> f64 {
    let fraction = readable.split_once('.').map_or("", |(_, rest)| rest.split(' ').next().unwrap_or_default());
    format!("{seconds}.{fraction}0").parse().unwrap_or_default()
}

/// What the target says of a user or group name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Lookup {
    /// It was not asked for.
    #[default]
    NotAsked,
    /// It does not exist.
    Missing,
    /// Its number.
    Id(u32),
}

/// What is at a path.
#[derive(Debug, Clone, Default)]
pub struct FileState {
    /// The path with `~` and variables expanded.
    pub path: String,
    /// The thing itself: of a link, the link. Nothing when there is nothing.
    pub lstat: Option<Stat>,
    /// What the path leads to: the same as `lstat` unless it is a link. Nothing for a dangling link.
    pub stat: Option<Stat>,
    /// What a link says.
    pub link: Option<String>,
    /// The path that a link leads to in the end.
    pub real: Option<String>,
    /// Whether the task's user may read, write and execute (search) it: letters out of `rwx`.
    pub access: String,
    /// First word of the checksum command's output, for a regular file that can be read.
    pub sum: Option<String>,
    /// The content of a regular file, if it was asked for.
    pub content: Option<Vec<u8>>,
    /// When there is nothing: whether its directory exists.
    pub parent: bool,
    /// When there is nothing, or a link to nothing: the umask.
    pub umask: u32,
    /// The owner that was asked for.
    pub owner: Lookup,
    /// The group that was asked for.
    pub group: Lookup,
    /// The default SELinux context, if it was asked for and the policy has one.
    pub default_context: Option<String>,
    /// Output of `lsattr -vd`, if it was asked for and the file system has attributes.
    pub lsattr: Option<String>,
    /// The backup that a step made before it wrote.
    pub backup: Option<String>,
    /// What a module's own lines wrote as `x.NAME=VALUE`.
    pub extra: Fields,
}

impl FileState {
    /// Reads the answer to a probe of one path.
    pub fn parse(answer: &Answer) -> Result<Self, Failure> {
        parse_many(answer)?.into_iter().next().ok_or_else(|| unreadable(answer))
    }

    /// Whether there is something, be it a dangling link.
    pub fn exists(&self) -> bool {
        self.lstat.is_some()
    }

    /// Whether it is a link itself.
    pub fn is_link(&self) -> bool {
        self.link.is_some()
    }

    /// Whether it leads to a directory.
    pub fn is_dir(&self) -> bool {
        self.leads_to(FileType::Directory)
    }

    /// Whether it leads to a regular file.
    pub fn is_file(&self) -> bool {
        self.leads_to(FileType::File)
    }

    fn leads_to(&self, wanted: FileType) -> bool {
        self.stat.as_ref().is_some_and(|stat| stat.file_type() == wanted)
    }

    /// What Ansible calls its state: `absent`, `link`, `directory`, `hard` (more than one link) or `file`.
    pub fn state(&self) -> &'static str {
        match (&self.lstat, &self.stat) {
            (None, _) => "absent",
            _ if self.is_link() => "link",
            (_, Some(stat)) if stat.file_type() == FileType::Directory => "directory",
            (_, Some(stat)) if stat.nlink > 1 => "hard",
            _ => "file",
        }
    }

    /// What a link leads to, as if it had been asked for itself. The same for what is no link or leads nowhere.
    #[must_use]
    pub fn followed(&self) -> Self {
        match &self.real {
            Some(real) => Self { path: real.clone(), lstat: self.stat.clone(), link: None, real: None, ..self.clone() },
            None => self.clone(),
        }
    }

    /// The path that a change must be made at when links are followed.
    pub fn real_path(&self) -> &str {
        self.real.as_deref().unwrap_or(&self.path)
    }
}

/// Reads the answer to a probe of several paths, in the order they were asked.
pub fn parse_many(answer: &Answer) -> Result<Vec<FileState>, Failure> {
    let mut rest: &[u8] = &answer.stdout;
    let mut states = vec![];
    while rest.starts_with(b"path=") {
        let (state, after) = parse_one(rest).ok_or_else(|| unreadable(answer))?;
        states.push(state);
        rest = after;
    }
    Ok(states)
}

/// Reads one record from the start of the bytes; what is left.
pub fn parse_one(bytes: &[u8]) -> Option<(FileState, &[u8])> {
    let mut state = FileState::default();
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let field = super::text::decode(&rest[..end]);
        rest = &rest[end + 1..];
        if field.is_empty() {
            break;
        }
        let (key, value) = field.split_once('=')?;
        let owned = || (!value.is_empty()).then(|| value.to_owned());
        let lookup = || value.parse().map_or(Lookup::Missing, Lookup::Id);
        match key {
            "path" => value.clone_into(&mut state.path),
            "lstat" => state.lstat = Some(Stat::parse(value)?),
            "stat" => state.stat = Some(Stat::parse(value)?),
            "link" => state.link = Some(value.to_owned()),
            "real" => state.real = owned(),
            "access" => value.clone_into(&mut state.access),
            "umask" => state.umask = super::mode::octal(value)?,
            "parent" => state.parent = true,
            "uid" => state.owner = lookup(),
            "gid" => state.group = lookup(),
            "backup" => state.backup = owned(),
            "sedef" => state.default_context = owned(),
            "attr" => state.lsattr = owned(),
            "sum" => state.sum = value.split_whitespace().next().map(str::to_owned),
            "content" => {
                state.content = Some(rest.to_vec());
                rest = &[];
                break;
            }
            _ => {
                state.extra.insert(key.strip_prefix("x.")?.to_owned(), value.into());
            }
        }
    }
    if state.lstat.is_none() {
        state.lstat.clone_from(&state.stat);
    }
    Some((state, rest))
}

fn unreadable(answer: &Answer) -> Failure {
    Failure::of_answer("cannot read the state of a file", answer)
        .hint("the target needs `stat -c`, `readlink` and `sha1sum`, as GNU coreutils or BusyBox have them")
}

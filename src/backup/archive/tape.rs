//! Reading a tar stream strictly: every field that decides what lands where is checked, nothing is guessed, and nothing that an
//! archive says can make the reader hold more than [`MOST_HEADER`] bytes.
//!
//! Formats: POSIX ustar and pax, GNU long names and binary numbers. Sparse files, multi-volume archives and the like are refused
//! by name: a reader that skips what it does not know would restore less than was saved.

use std::collections::BTreeMap;
use std::io::{self, Read};

/// Everything in a tar file stands at a multiple of this.
pub const BLOCK: usize = 512;

/// The most that names and attributes of one member may take.
const MOST_HEADER: u64 = 1 << 20;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its content follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file that came earlier.
    Hardlink,
    /// A named pipe.
    Fifo,
    /// A device node.
    Device,
}

/// One member of an archive, as its headers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name as it stands in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Bytes of content; 0 for all but files.
    pub size: u64,
    /// Permissions.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u64,
    /// Numeric group.
    pub gid: u64,
    /// Modification time: seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Extended attributes and ACLs, as pax records (`SCHILY.xattr.…`, `SCHILY.acl.…`).
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads members one after the other.
pub struct Tape<R> {
    inner: R,
    position: u64,
    /// Content of the current member that was not read yet.
    left: u64,
    /// What fills its last block.
    padding: u64,
    /// pax records for all members that follow.
    global: Records,
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// A mistake in the archive itself.
fn wrong(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

impl<R: Read> Tape<R> {
    /// A reader at the beginning of an archive.
    pub fn new(inner: R) -> Self {
        Self { inner, position: 0, left: 0, padding: 0, global: Records::new() }
    }

    /// Where it stands, in bytes of the tar stream.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next member; none at the end mark. What was not read of the one before is skipped.
    pub fn next_member(&mut self) -> io::Result<Option<Member>> {
        let mut rest = std::mem::take(&mut self.left);
        let mut buffer = [0_u8; 4096];
        while rest > 0 {
            let part = usize::try_from(rest).unwrap_or(buffer.len()).min(buffer.len());
            self.fill(buffer.get_mut(..part).unwrap_or_default())?;
            rest -= part as u64;
        }
        self.pad()?;
        let (mut name, mut link, mut own) = (None, None, None::<Records>);
        loop {
            let Some(header) = self.header()? else {
                return if name.is_none() && link.is_none() && own.is_none() {
                    Ok(None)
                } else {
                    Err(wrong("a header without its member"))
                };
            };
            let once =
                |seen: bool| if seen { Err(wrong("two headers of the same kind for one member")) } else { Ok(()) };
            match header.flag {
                b'L' => {
                    once(name.is_some())?;
                    name = Some(until_nul(&self.small(header.size)?).to_vec());
                }
                b'K' => {
                    once(link.is_some())?;
                    link = Some(until_nul(&self.small(header.size)?).to_vec());
                }
                b'x' => {
                    once(own.is_some())?;
                    own = Some(records(&self.small(header.size)?)?);
                }
                b'g' => {
                    let more = records(&self.small(header.size)?)?;
                    self.global.extend(more);
                }
                _ => {
                    let mut records = self.global.clone();
                    records.extend(own.unwrap_or_default());
                    let member = header.member(name, link, &records)?;
                    self.left = member.size;
                    self.padding = member.size.next_multiple_of(BLOCK as u64) - member.size;
                    return Ok(Some(member));
                }
            }
        }
    }

    /// Content of the current member; 0 at its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(part) = buffer.get_mut(..part).filter(|part| !part.is_empty()) else { return Ok(0) };
        let count = self.inner.read(part)?;
        if count == 0 {
            return Err(truncated());
        }
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }

    /// After the end mark: only zeros may follow. Reads to the very end.
    pub fn finish(mut self) -> io::Result<R> {
        let mut buffer = vec![0_u8; 64 << 10];
        loop {
            let count = self.inner.read(&mut buffer)?;
            let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { return Ok(self.inner) };
            if let Some(at) = part.iter().position(|byte| *byte != 0) {
                let at = self.position + at as u64;
                return Err(wrong(format!("something follows the end of the tar archive (at its byte {at})")));
            }
            self.position += count as u64;
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof if error.get_ref().is_none_or(|inner| !inner.is::<super::layers::Told>()) => {
                truncated()
            }
            _ => error,
        })?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let mut block = [0_u8; BLOCK];
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or_default();
        self.fill(block.get_mut(..padding).unwrap_or_default())?;
        // Every tar fills blocks with zeros; anything else was changed later.
        if block.iter().any(|byte| *byte != 0) { Err(wrong("something stands where only zeros may")) } else { Ok(()) }
    }

    /// The content of a header that describes another member.
    fn small(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MOST_HEADER {
            return Err(wrong(format!("a header of {size} bytes, more than any file needs")));
        }
        let mut content = vec![0; usize::try_from(size).unwrap_or_default()];
        self.fill(&mut content)?;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        self.pad()?;
        Ok(content)
    }

    /// The next header; none at the end mark, which is two blocks of zeros.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0_u8; BLOCK];
        self.fill(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            self.fill(&mut block)?;
            if block.iter().any(|byte| *byte != 0) {
                return Err(wrong("an end mark in the middle of the tar archive"));
            }
            return Ok(None);
        }
        Header::parse(block).map(Some)
    }
}

fn truncated() -> io::Error {
    wrong("the tar archive ends too early: it is truncated")
}

struct Header {
    block: [u8; BLOCK],
    flag: u8,
    size: u64,
}

impl Header {
    fn parse(block: [u8; BLOCK]) -> io::Result<Self> {
        let field = |from: usize, length: usize| block.get(from..from + length).unwrap_or_default();
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if number(field(148, 8)) != Some(i128::from(sum)) {
            return Err(wrong("the checksum of a header is wrong"));
        }
        let size = number(field(124, 12)).and_then(|size| u64::try_from(size).ok());
        let flag = block.get(156).copied().unwrap_or_default();
        Ok(Self { block, flag, size: size.ok_or_else(|| wrong("a size that is no number"))? })
    }

    fn field(&self, from: usize, length: usize) -> &[u8] {
        self.block.get(from..from + length).unwrap_or_default()
    }

    fn member(&self, name: Option<Vec<u8>>, link: Option<Vec<u8>>, records: &Records) -> io::Result<Member> {
        let posix = self.field(257, 6) == b"ustar\0";
        let short = || {
            let (name, prefix) = (until_nul(self.field(0, 100)), until_nul(self.field(345, 155)));
            if posix && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
        };
        let record = |key: &str| records.get(key.as_bytes()).cloned();
        let path = record("path").or(name).unwrap_or_else(short);
        let link = record("linkpath").or(link).unwrap_or_else(|| until_nul(self.field(157, 100)).to_vec());
        let shown = String::from_utf8_lossy(&path).into_owned();
        let wrong = |what: &str| wrong(format!("`{shown}`: {what}"));
        if records.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
            return Err(wrong("sparse files are not supported (make the archive without `tar --sparse`)"));
        }
        let kind = match self.flag {
            b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => return Err(wrong("sparse files are not supported (make the archive without `tar --sparse`)")),
            other => return Err(wrong(&format!("a member of the type `{}` is not supported", other.escape_ascii()))),
        };
        let whole = |key: &str, from: usize, length: usize| -> io::Result<u64> {
            match record(key) {
                Some(text) => std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()),
                None => number(self.field(from, length)).and_then(|value| u64::try_from(value).ok()),
            }
            .ok_or_else(|| wrong(&format!("its {key} is no number")))
        };
        let mut size = whole("size", 124, 12)?;
        match kind {
            Kind::File => {}
            // What a directory has here is a hint that nothing follows.
            Kind::Directory if self.flag == b'5' => size = 0,
            _ if size != 0 => return Err(wrong("it has content although it is no regular file")),
            _ => {}
        }
        let mtime = match record("mtime") {
            Some(text) => seconds(&text),
            None => number(self.field(136, 12)).and_then(|value| i64::try_from(value).ok()).map(|value| (value, 0)),
        };
        let kept = |key: &[u8]| key.starts_with(b"SCHILY.xattr.") || key.starts_with(b"SCHILY.acl.");
        Ok(Member {
            kind,
            size,
            mode: number(self.field(100, 8)).map_or(0, |mode| u32::try_from(mode & 0o7777).unwrap_or_default()),
            uid: whole("uid", 108, 8)?,
            gid: whole("gid", 116, 8)?,
            mtime: mtime.ok_or_else(|| wrong("its time is no number"))?,
            link: if matches!(kind, Kind::Symlink | Kind::Hardlink) { link } else { vec![] },
            attributes: records
                .iter()
                .filter(|(key, _)| kept(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            path,
        })
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number of a header: octal digits, or GNU's binary form. An empty field is 0.
fn number(field: &[u8]) -> Option<i128> {
    match field.first()? {
        first @ (0x80 | 0xff) => {
            let start = if *first == 0xff { -1_i128 } else { 0 };
            Some(field.iter().skip(1).fold(start, |sum, byte| (sum << 8) | i128::from(*byte)))
        }
        _ => {
            let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
            if text.is_empty() { Some(0) } else { i128::from_str_radix(text, 8).ok() }
        }
    }
}

/// A time of a pax record: `-12.5` is 12.5 s before 1970.
fn seconds(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (whole, nanos): (i64, u32) = (whole.parse().ok()?, digits.parse().ok()?);
    if text.starts_with('-') && nanos > 0 { Some((whole - 1, 1_000_000_000 - nanos)) } else { Some((whole, nanos)) }
}

/// pax records: `length key=value\n`, where the value may hold anything, line ends too.
fn records(mut text: &[u8]) -> io::Result<Records> {
    let broken = || wrong("an extended header that cannot be read");
    let mut found = Records::new();
    while !text.is_empty() {
        let space = text.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length: usize =
            text.get(..space).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).ok_or_else(broken)?;
        let record = text.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let (key, value) = (record.get(..equals).unwrap_or_default(), record.get(equals + 1..).unwrap_or_default());
        found.insert(key.to_vec(), value.to_vec());
        text = text.get(length..).unwrap_or_default();
    }
    Ok(found)
}

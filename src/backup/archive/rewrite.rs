//! Writing a tar stream of members that were checked: what reaches the target holds nothing but what the reader understood, so it
//! does not matter whether the target's tar would have read the original differently.
//!
//! GNU format, which BusyBox reads too: long names in `L` and `K` members, large numbers in binary. Fractions of seconds,
//! extended attributes and ACLs go into pax records, which BusyBox skips.

use std::io::{self, Write};

use super::tape::{BLOCK, Kind, Member};

/// Writes members one after the other.
pub struct Rewriter<W> {
    out: W,
    padding: usize,
}

impl<W: Write> Rewriter<W> {
    /// A writer of an empty archive.
    pub fn new(out: W) -> Self {
        Self { out, padding: 0 }
    }

    /// Writes the headers of a member. Exactly its `size` bytes of content must follow by [`Rewriter::data`].
    pub fn member(&mut self, member: &Member) -> io::Result<()> {
        self.pad()?;
        let mut extended = vec![];
        let (seconds, nanos) = member.mtime;
        if nanos > 0 && seconds >= 0 {
            extended.extend(record(b"mtime", format!("{seconds}.{nanos:09}").as_bytes()));
        }
        // The target labels what it gets by its own policy.
        let foreign = |key: &[u8]| key == b"SCHILY.xattr.security.selinux" || key == b"RHT.security.selinux";
        for (key, value) in member.attributes.iter().filter(|(key, _)| !foreign(key)) {
            extended.extend(record(key, value));
        }
        if !extended.is_empty() {
            self.special(b'x', b"././@PaxHeader", &extended)?;
        }
        for (flag, text) in [(b'K', &member.link), (b'L', &member.path)] {
            if text.len() > 100 {
                let content = [text.as_slice(), b"\0"].concat();
                self.special(flag, b"././@LongLink", &content)?;
            }
        }
        let flag = match member.kind {
            Kind::File => b'0',
            Kind::Hardlink => b'1',
            Kind::Symlink => b'2',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
            Kind::Device => return Err(io::Error::other("a device node is never written")),
        };
        self.out.write_all(&header(member, flag))?;
        self.padding = usize::try_from(member.size.next_multiple_of(BLOCK as u64) - member.size).unwrap_or_default();
        Ok(())
    }

    /// Writes content of the current member.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Writes the end mark.
    pub fn finish(mut self) -> io::Result<W> {
        self.pad()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn pad(&mut self) -> io::Result<()> {
        let zeros = [0_u8; BLOCK];
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(zeros.get(..padding).unwrap_or_default())
    }

    fn special(&mut self, flag: u8, name: &[u8], content: &[u8]) -> io::Result<()> {
        let member = Member {
            path: name.to_vec(),
            kind: Kind::File,
            size: content.len() as u64,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            link: vec![],
            attributes: vec![],
        };
        self.out.write_all(&header(&member, flag))?;
        self.out.write_all(content)?;
        self.padding = content.len().next_multiple_of(BLOCK) - content.len();
        self.pad()
    }
}

fn header(member: &Member, flag: u8) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |from: usize, length: usize, bytes: &[u8]| {
        let field = block.get_mut(from..from + length).unwrap_or_default();
        field.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    };
    put(0, 100, &member.path);
    put(100, 8, format!("{:07o}\0", member.mode & 0o7777).as_bytes());
    put(108, 8, &number(i128::from(member.uid), 8));
    put(116, 8, &number(i128::from(member.gid), 8));
    put(124, 12, &number(i128::from(member.size), 12));
    put(136, 12, &number(i128::from(member.mtime.0), 12));
    put(148, 8, b"        ");
    put(156, 1, &[flag]);
    put(157, 100, &member.link);
    put(257, 8, b"ustar  \0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    let field = block.get_mut(148..156).unwrap_or_default();
    field.iter_mut().zip(sum.bytes()).for_each(|(slot, byte)| *slot = byte);
    block
}

/// Octal while it fits, else GNU's binary form.
fn number(value: i128, length: usize) -> Vec<u8> {
    let digits = length - 1;
    if (0..1_i128 << (3 * digits)).contains(&value) {
        return format!("{value:0digits$o}\0").into_bytes();
    }
    let bytes = value.to_be_bytes();
    let mut field = bytes.get(bytes.len() - length..).unwrap_or_default().to_vec();
    if let Some(first) = field.first_mut() {
        *first = if value < 0 { 0xff } else { 0x80 };
    }
    field
}

/// A pax record, whose length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

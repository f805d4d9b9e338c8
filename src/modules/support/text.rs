//! File content as text without losing a byte: what is not UTF-8 becomes private-use characters and back, as Python's
//! `surrogateescape` does.

/// Stands for byte 0x00 of what cannot be decoded; the last private-use plane has room for 256.
const ESCAPE: u32 = 0x0010_ff00;

/// Text of bytes; [`encode`] gives the same bytes back.
pub fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if u32::from(c) < ESCAPE {
                text.push(c);
            } else {
                text.extend(c.encode_utf8(&mut [0; 4]).bytes().filter_map(escape));
            }
        }
        text.extend(chunk.invalid().iter().copied().filter_map(escape));
    }
    text
}

/// The bytes of a text made by [`decode`], edited or not.
pub fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(ESCAPE).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn escape(byte: u8) -> Option<char> {
    char::from_u32(ESCAPE + u32::from(byte))
}

/// Lines with their endings, as Python's `readlines` on bytes gives them: only `\n` ends a line.
pub fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Lines with their endings, as Python's `splitlines` on bytes gives them: `\n`, `\r` and `\r\n` end a line.
pub fn splitlines(text: &str) -> Vec<&str> {
    let mut lines = vec![];
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let end = if rest[at..].starts_with("\r\n") { at + 2 } else { at + 1 };
        let (line, after) = rest.split_at(end);
        lines.push(line);
        rest = after;
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// A line without its ending (`\n`, `\r\n` or several).
pub fn chomp(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// What a diff shows of content: the text, or what it is when it is binary or too large to look at.
pub fn for_diff(bytes: &[u8]) -> String {
    /// Ansible's `MAX_FILE_SIZE_FOR_DIFF`.
    const LARGEST: usize = 104_448;
    if bytes.len() > LARGEST {
        format!("({} bytes, too large for a diff, sha1 {})\n", bytes.len(), sha1_hex(bytes))
    } else if bytes.iter().take(8192).any(|byte| *byte == 0) {
        format!("(binary, {} bytes, sha1 {})\n", bytes.len(), sha1_hex(bytes))
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Lower-case hex of the SHA-1, Ansible's checksum of files.
pub fn sha1_hex(bytes: &[u8]) -> String {
    use sha1::Digest as _;
    crate::hex::hex(&sha1::Sha1::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        let all: Vec<u8> = (0..=255).chain("ä€😀\u{10ffff}\u{10ff41}".bytes()).collect();
        assert_eq!(encode(&decode(&all)), all);
        assert_eq!(lines("a\r\nb\n\nc"), ["a\r\n", "b\n", "\n", "c"]);
        assert_eq!(sha1_hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}

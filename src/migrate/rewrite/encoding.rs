//! The text of a file whatever its encoding, and back without loss.

use super::RewriteError;

/// A decoded file.
pub(super) struct Encoded {
    /// Without the byte order mark.
    pub text: String,
    encoding: Encoding,
    /// The byte order mark.
    mark: &'static [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// One that is ASCII where it matters (Latin 1, Windows 1252, …): each byte is taken for a character.
    Bytes,
}

impl Encoded {
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let marks: [(&'static [u8], Encoding); 3] =
            [(b"\xef\xbb\xbf", Encoding::Utf8), (b"\xff\xfe", Encoding::Utf16Le), (b"\xfe\xff", Encoding::Utf16Be)];
        let marked = marks.iter().find(|(mark, _)| bytes.starts_with(mark));
        let (mark, encoding) = marked.copied().unwrap_or((b"", Encoding::Utf8));
        let body = bytes.get(mark.len()..).unwrap_or_default();
        let text = match encoding {
            Encoding::Utf16Le => utf16(body, u16::from_le_bytes),
            Encoding::Utf16Be => utf16(body, u16::from_be_bytes),
            _ => std::str::from_utf8(body).ok().map(str::to_owned),
        };
        match text {
            Some(text) => Self { text, encoding, mark },
            None => Self {
                text: bytes.iter().map(|byte| char::from(*byte)).collect(),
                encoding: Encoding::Bytes,
                mark: b"",
            },
        }
    }

    /// A text in the encoding of the file.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u8>, RewriteError> {
        let mut out = self.mark.to_vec();
        match self.encoding {
            Encoding::Utf8 => out.extend_from_slice(text.as_bytes()),
            Encoding::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            Encoding::Utf16Be => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Encoding::Bytes => {
                for c in text.chars() {
                    out.push(u8::try_from(u32::from(c)).map_err(|_| RewriteError::Encoding(c.to_string()))?);
                }
            }
        }
        Ok(out)
    }
}

fn utf16(body: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, rest) = body.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}

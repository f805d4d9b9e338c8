//! Encodings and digests.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md5::Digest as _;

use super::{Filter, all};
use crate::hex::hex;
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    all("b64encode", b64encode),
    all("b64decode", b64decode),
    all("hash", hash),
    all("checksum", |call| Ok(Value::from(digest("sha1", &bytes(call)?)?))),
    all("sha1", |call| Ok(Value::from(digest("sha1", &bytes(call)?)?))),
    all("md5", |call| Ok(Value::from(digest("md5", &bytes(call)?)?))),
    all("to_uuid", to_uuid),
];

fn bytes(call: &Call<'_>) -> Eval<Vec<u8>> {
    match call.input.as_bytes() {
        Some(bytes) => Ok(bytes.to_vec()),
        None => Ok(call.input_text()?.into_bytes()),
    }
}

/// The bytes of a text in an encoding.
fn encoded(text: &str, encoding: &str) -> Eval<Vec<u8>> {
    match encoding.to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => Ok(text.as_bytes().to_vec()),
        "ascii" if text.is_ascii() => Ok(text.as_bytes().to_vec()),
        "latin-1" | "latin1" | "iso-8859-1" => text
            .chars()
            .map(|c| u8::try_from(c as u32).map_err(|_| Stop::error(format!("`{c}` is not in latin-1"))))
            .collect(),
        "utf-16-le" => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf-16-be" => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        "utf-16" => Ok([0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()),
        other => Err(Stop::hint(format!("the encoding `{other}` is not supported"), "utf-8, latin-1 and utf-16 are")),
    }
}

fn decoded(bytes: &[u8], encoding: &str) -> Eval<String> {
    let wide = |from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| from([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match encoding.to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "ascii" => Ok(String::from_utf8_lossy(bytes).into_owned()),
        "latin-1" | "latin1" | "iso-8859-1" => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        "utf-16-le" => Ok(wide(u16::from_le_bytes)),
        "utf-16-be" => Ok(wide(u16::from_be_bytes)),
        "utf-16" => Ok(wide(u16::from_le_bytes).trim_start_matches('\u{feff}').to_owned()),
        other => Err(Stop::hint(format!("the encoding `{other}` is not supported"), "utf-8, latin-1 and utf-16 are")),
    }
}

fn b64encode(call: &mut Call<'_>) -> Eval<Value> {
    let encoding = call.text("encoding")?.unwrap_or_else(|| "utf-8".to_owned());
    let url_safe = call.flag("urlsafe", false)?;
    let bytes = match call.input.as_str() {
        Some(text) => encoded(text, &encoding)?,
        None => bytes(call)?,
    };
    Ok(Value::from(if url_safe { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) }))
}

fn b64decode(call: &mut Call<'_>) -> Eval<Value> {
    let encoding = call.text("encoding")?.unwrap_or_else(|| "utf-8".to_owned());
    let url_safe = call.flag("urlsafe", false)?;
    // Python skips what is not base64, line ends above all.
    let text = call.input_text()?;
    let accepted = |c: &char| c.is_ascii_alphanumeric() || (if url_safe { "-_" } else { "+/" }).contains(*c);
    let clean: String = text.chars().filter(accepted).collect();
    let padded = text.chars().filter(|c| accepted(c) || *c == '=').count();
    if padded % 4 != 0 {
        return Err(Stop::error("the text is not base64: its padding is wrong"));
    }
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if url_safe { &base64::alphabet::URL_SAFE } else { &base64::alphabet::STANDARD };
    let bytes = GeneralPurpose::new(alphabet, config)
        .decode(clean)
        .map_err(|error| Stop::error(format!("the text is not base64: {error}")))?;
    decoded(&bytes, &encoding).map(Value::from)
}

fn hash(call: &mut Call<'_>) -> Eval<Value> {
    let kind = call.text("hashtype")?.unwrap_or_else(|| "sha1".to_owned());
    Ok(Value::from(digest(&kind, &bytes(call)?)?))
}

/// A digest in hexadecimal.
pub fn digest(kind: &str, data: &[u8]) -> Eval<String> {
    Ok(match kind {
        "md5" => hex(&md5::Md5::digest(data)),
        "sha1" => hex(&sha1::Sha1::digest(data)),
        "sha224" => hex(&sha2::Sha224::digest(data)),
        "sha256" => hex(&sha2::Sha256::digest(data)),
        "sha384" => hex(&sha2::Sha384::digest(data)),
        "sha512" => hex(&sha2::Sha512::digest(data)),
        other => {
            let known = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
            let error = crate::diagnostic::Diagnostic::error(format!("the digest `{other}` is not supported"));
            return Err(Stop::Error(error.hint(format!("there are: {}", known.join(", "))).into()));
        }
    })
}

/// The namespace of Ansible's own UUIDs.
const NAMESPACE: uuid::Uuid = uuid::uuid!("361E6D51-FAEC-444A-9079-341386DA8E2E");

fn to_uuid(call: &mut Call<'_>) -> Eval<Value> {
    let namespace = match call.text("namespace")? {
        None => NAMESPACE,
        Some(text) => {
            uuid::Uuid::parse_str(&text).map_err(|error| Stop::error(format!("`{text}` is not a UUID: {error}")))?
        }
    };
    let name = call.input_text()?;
    Ok(Value::from(uuid::Uuid::new_v5(&namespace, name.as_bytes()).to_string()))
}

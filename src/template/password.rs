//! `password_hash`: the hashes of passwords that `/etc/shadow` holds.

use md5::{Digest as _, Md5};
use sha_crypt::{Params, sha256_crypt, sha512_crypt};

use super::call::Call;
use super::filters::{Filter, Takes};
use super::marker::{Eval, Stop};
use super::py;
use crate::value::Value;

pub const FILTERS: &[Filter] = &[Filter::new("password_hash", Takes::All, password_hash)];

/// The alphabet of crypt's base 64, and of salts.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The order in which Drepper's specification writes the bytes of a digest.
const SHA512_ORDER: [usize; 64] = sha512_order();
const SHA256_ORDER: [usize; 32] = sha256_order();

/// Triples (42, 21, 0), (1, 43, 22), …: each one rotated and one further; the last byte stands alone.
const fn sha512_order() -> [usize; 64] {
    let mut order = [0; 64];
    let mut group = 0;
    while group < 21 {
        let triple = [group + 42, group + 21, group];
        let mut at = 0;
        while at < 3 {
            order[group * 3 + at] = triple[(at + 2 * group) % 3];
            at += 1;
        }
        group += 1;
    }
    order[63] = 63;
    order
}

/// Triples (20, 10, 0), (11, 1, 21), …, rotated the other way; the last two bytes stand alone.
const fn sha256_order() -> [usize; 32] {
    let mut order = [0; 32];
    let mut group = 0;
    while group < 10 {
        let triple = [group + 20, group + 10, group];
        let mut at = 0;
        while at < 3 {
            order[group * 3 + at] = triple[(at + group) % 3];
            at += 1;
        }
        group += 1;
    }
    order[30] = 30;
    order[31] = 31;
    order
}

fn picked(bytes: &[u8], order: &[usize]) -> Vec<u8> {
    order.iter().filter_map(|index| bytes.get(*index).copied()).collect()
}

fn password_hash(call: &mut Call<'_>) -> Eval<Value> {
    let kind = call.text("hashtype")?.unwrap_or_else(|| "sha512".to_owned());
    let salt = call.value("salt").filter(|salt| !salt.is_none()).map(|salt| py::text(&salt)).transpose()?;
    let salt_size = call.count("salt_size")?;
    let rounds = call.count("rounds")?.and_then(|rounds| u32::try_from(rounds).ok());
    call.text("ident")?;
    let (id, most, default_rounds) = match kind.as_str() {
        "sha512" | "sha512_crypt" => ("6", 16, 656_000),
        "sha256" | "sha256_crypt" => ("5", 16, 535_000),
        "md5" | "md5_crypt" => ("1", 8, 0),
        "blowfish" | "bcrypt" => {
            return Err(Stop::hint("`password_hash` has no bcrypt", "use `sha512`, which every Linux reads"));
        }
        other => {
            let error = crate::diagnostic::Diagnostic::error(format!("`{other}` is not a hash of passwords"));
            let known = ["sha512", "sha256", "md5"];
            return Err(Stop::Error(error.did_you_mean(other, known).hint("there are: sha512, sha256, md5").into()));
        }
    };
    let salt = match salt {
        Some(salt) => salt,
        None => random_text(salt_size.unwrap_or(most).min(most), std::str::from_utf8(ALPHABET).unwrap_or_default()),
    };
    if salt.len() > most || !salt.bytes().all(|byte| ALPHABET.contains(&byte)) {
        return Err(Stop::error(format!("a salt is at most {most} letters, digits, `.` or `/`")));
    }
    let password = call.input_text()?;
    if id == "1" {
        return Ok(Value::from(md5_crypt(password.as_bytes(), salt.as_bytes())));
    }
    let rounds = rounds.unwrap_or(default_rounds);
    let params = Params::new(rounds).map_err(|_| Stop::error("`rounds` must be 1000 to 999999999"))?;
    let digest = match id {
        "6" => encode(&picked(&sha512_crypt(password.as_bytes(), salt.as_bytes(), params), &SHA512_ORDER)),
        _ => encode(&picked(&sha256_crypt(password.as_bytes(), salt.as_bytes(), params), &SHA256_ORDER)),
    };
    // 5000 rounds are what crypt does when none are named.
    let rounds = if rounds == Params::RECOMMENDED_ROUNDS { String::new() } else { format!("rounds={rounds}$") };
    Ok(Value::from(format!("${id}${rounds}{salt}${digest}")))
}

/// A random text of these characters, from the operating system's generator.
pub fn random_text(length: usize, characters: &str) -> String {
    let characters: Vec<char> = characters.chars().collect();
    (0..length).filter_map(|_| characters.get(rand::random_range(0..characters.len().max(1)))).collect()
}

/// crypt's base 64: least significant bits first.
fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = chunk.iter().rev().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for _ in 0..=chunk.len() {
            out.push(ALPHABET.get((bits & 63) as usize).map_or('.', |byte| char::from(*byte)));
            bits >>= 6;
        }
    }
    out
}

/// Poul-Henning Kamp's MD5 crypt (FreeBSD, 1994).
fn md5_crypt(password: &[u8], salt: &[u8]) -> String {
    let mut second = Md5::new();
    for part in [password, salt, password] {
        second.update(part);
    }
    let second = second.finalize();
    let mut first = Md5::new();
    for part in [password, b"$1$", salt] {
        first.update(part);
    }
    for index in 0..password.len() {
        first.update(second.get(index % 16..=index % 16).unwrap_or_default());
    }
    let mut length = password.len();
    while length > 0 {
        first.update(if length & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() });
        length >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        if round & 1 == 1 {
            next.update(password)
        } else {
            next.update(digest)
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        if round & 1 == 1 {
            next.update(digest)
        } else {
            next.update(password)
        }
        digest = next.finalize();
    }
    let order = [12, 6, 0, 13, 7, 1, 14, 8, 2, 15, 9, 3, 5, 10, 4, 11];
    format!("$1${}${}", String::from_utf8_lossy(salt), encode(&picked(&digest, &order)))
}

//! What an unquoted word of YAML means: the implicit types of YAML 1.1, as PyYAML (and so Ansible) reads them.
//!
//! The rules are those of <https://yaml.org/type/>, with PyYAML's two deviations: single letters (`y`, `n`) are text, and a
//! float's exponent needs a sign. Dates stay text: Ansible writes them back as they were written.

use super::Kind;

/// The implicit type of an unquoted scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Null,
    Bool(bool),
    Int,
    Float,
    /// A date, `=` or `<<`: text to us, but something else to a YAML 1.1 reader.
    Special,
    Text,
}

/// The value of an unquoted scalar.
pub(super) fn resolve(text: &str) -> Kind {
    let value = match classify(text) {
        Class::Null => Some(Kind::Null),
        Class::Bool(value) => Some(Kind::Bool(value)),
        Class::Int => int(text).map(Kind::Int),
        Class::Float => float(text).map(Kind::Float),
        Class::Special | Class::Text => None,
    };
    // An integer too large for 64 bits keeps its exact digits as text.
    value.unwrap_or_else(|| Kind::Str(text.into()))
}

/// Whether an unquoted scalar of this text is read back as the same text by every YAML 1.1 reader.
pub(super) fn is_text(text: &str) -> bool {
    classify(text) == Class::Text
}

fn classify(text: &str) -> Class {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Class::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Class::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Class::Bool(false),
        "=" | "<<" => Class::Special,
        _ if looks_like_int(text) => Class::Int,
        _ if looks_like_float(text) => Class::Float,
        _ if looks_like_date(text) => Class::Special,
        _ => Class::Text,
    }
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

fn digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// `[0-5]?[0-9]`
fn is_sixtieth(part: &str) -> bool {
    match part.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    }
}

fn looks_like_int(text: &str) -> bool {
    let (_, body) = split_sign(text);
    if let Some(digits) = body.strip_prefix("0b") {
        return !digits.is_empty() && all(digits, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(digits) = body.strip_prefix("0x") {
        return !digits.is_empty() && all(digits, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    if let Some(digits) = body.strip_prefix('0') {
        return all(digits, |b| matches!(b, b'0'..=b'7' | b'_'));
    }
    let mut parts = body.split(':');
    let first = parts.next().unwrap_or_default();
    first.starts_with(|c: char| c.is_ascii_digit()) && all(first, digit_or_underscore) && parts.all(is_sixtieth)
}

fn looks_like_float(text: &str) -> bool {
    let (_, body) = split_sign(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, rest)) = body.split_once('.') else { return false };
    if let Some((first, sixtieths)) = whole.split_once(':') {
        return first.starts_with(|c: char| c.is_ascii_digit())
            && all(first, digit_or_underscore)
            && sixtieths.split(':').all(is_sixtieth)
            && all(rest, digit_or_underscore);
    }
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['+', '-'])
            .is_some_and(|digits| !digits.is_empty() && all(digits, |b| b.is_ascii_digit()))
    });
    let mantissa_fits = if whole.is_empty() {
        // `.5` may have no sign.
        body.len() == text.len() && fraction.starts_with(|c: char| c.is_ascii_digit())
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit()) && all(whole, digit_or_underscore)
    };
    exponent_fits && mantissa_fits && all(fraction, digit_or_underscore)
}

/// `2001-12-14`, `2001-12-14t21:59:43.10-05:00`, `2001-12-14 21:59:43.10 -5`
fn looks_like_date(text: &str) -> bool {
    let mut rest = text;
    let digits = |rest: &mut &str, least: usize, most: usize| {
        let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        *rest = &rest[count..];
        count >= least
    };
    let literal = |rest: &mut &str, wanted: char| match rest.strip_prefix(wanted) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    };
    let short = text.len() == 10;
    let fewest = if short { 2 } else { 1 };
    if !(digits(&mut rest, 4, 4)
        && literal(&mut rest, '-')
        && digits(&mut rest, fewest, 2)
        && literal(&mut rest, '-')
        && digits(&mut rest, fewest, 2))
    {
        return false;
    }
    if rest.is_empty() {
        return short;
    }
    if !(literal(&mut rest, 'T') || literal(&mut rest, 't')) {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        if trimmed.len() == rest.len() {
            return false;
        }
        rest = trimmed;
    }
    if !(digits(&mut rest, 1, 2)
        && literal(&mut rest, ':')
        && digits(&mut rest, 2, 2)
        && literal(&mut rest, ':')
        && digits(&mut rest, 2, 2))
    {
        return false;
    }
    if literal(&mut rest, '.') {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    if rest.is_empty() {
        return true;
    }
    rest = rest.trim_start_matches([' ', '\t']);
    if rest == "Z" {
        return true;
    }
    (literal(&mut rest, '+') || literal(&mut rest, '-'))
        && digits(&mut rest, 1, 2)
        && (rest.is_empty() || literal(&mut rest, ':') && digits(&mut rest, 2, 2) && rest.is_empty())
}

fn int(text: &str) -> Option<i64> {
    let (negative, body) = split_sign(text);
    let body = body.replace('_', "");
    let magnitude = if let Some(digits) = body.strip_prefix("0b") {
        i128::from_str_radix(digits, 2).ok()?
    } else if let Some(digits) = body.strip_prefix("0x") {
        i128::from_str_radix(digits, 16).ok()?
    } else if body.starts_with('0') {
        i128::from_str_radix(&body, 8).ok()?
    } else {
        body.split(':').try_fold(0_i128, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))?
    };
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn float(text: &str) -> Option<f64> {
    let (negative, body) = split_sign(text);
    let body = body.replace('_', "").to_lowercase();
    let magnitude = match body.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ => body.split(':').try_fold(0.0, |sum: f64, part| Some(sum.mul_add(60.0, part.parse::<f64>().ok()?)))?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

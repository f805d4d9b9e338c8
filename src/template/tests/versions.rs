//! The `version` test: loose, strict, semantic and PEP 440 order.

use std::cmp::Ordering;

use super::Run;
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py;

pub const TESTS: &[(&str, Run)] = &[("version", version), ("version_compare", version)];

fn version(call: &mut Call<'_>) -> Eval<bool> {
    let other = call.require_text("version")?;
    let operator = call.text("operator")?.unwrap_or_else(|| "eq".to_owned());
    let strict = call.value("strict").filter(|value| !value.is_none());
    let kind = call.text("version_type")?;
    if strict.is_some() && kind.is_some() {
        return Err(Stop::error("`strict` and `version_type` cannot be given together"));
    }
    let this = py::text(&call.input)?;
    if this.is_empty() || other.is_empty() {
        return Err(Stop::error("a version cannot be empty"));
    }
    let strict = match strict {
        Some(value) => py::truth(&value)?,
        None => false,
    };
    let ordering = match if strict { "strict" } else { kind.as_deref().unwrap_or("loose") } {
        "loose" => loose_order(&loose(&this), &loose(&other))?,
        "strict" => strict_parts(&this)?.cmp(&strict_parts(&other)?),
        "semver" | "semantic" => semantic(&this)?.order(&semantic(&other)?),
        "pep440" => pep440(&this)?.cmp(&pep440(&other)?),
        kind => {
            let hint = "there are: loose, strict, semver, semantic, pep440";
            return Err(Stop::hint(format!("`{kind}` is not a type of versions"), hint));
        }
    };
    Ok(match operator.as_str() {
        "==" | "=" | "eq" => ordering.is_eq(),
        "!=" | "<>" | "ne" => ordering.is_ne(),
        "<" | "lt" => ordering.is_lt(),
        "<=" | "le" => ordering.is_le(),
        ">" | "gt" => ordering.is_gt(),
        ">=" | "ge" => ordering.is_ge(),
        other => {
            let hint = "there are: ==, !=, <, <=, >, >=";
            return Err(Stop::hint(format!("`{other}` is not a comparison of versions"), hint));
        }
    })
}

/// A part of a loose version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Number(u64),
    Text(String),
}

/// Numbers, runs of letters, and what is between them but for dots.
fn loose(text: &str) -> Vec<Part> {
    let mut parts = vec![];
    let mut rest = text;
    let class = |c: char| match c {
        c if c.is_ascii_digit() => 0,
        c if c.is_ascii_lowercase() => 1,
        '.' => 2,
        _ => 3,
    };
    while let Some(first) = rest.chars().next() {
        let kind = class(first);
        let end = if kind == 2 { 1 } else { rest.find(|c| class(c) != kind).unwrap_or(rest.len()) };
        let (part, tail) = rest.split_at(end);
        match kind {
            0 => parts.push(Part::Number(part.parse().unwrap_or(u64::MAX))),
            2 => {}
            _ => parts.push(Part::Text(part.to_owned())),
        }
        rest = tail;
    }
    parts
}

fn loose_order(left: &[Part], right: &[Part]) -> Eval<Ordering> {
    for (a, b) in left.iter().zip(right) {
        let ordering = match (a, b) {
            (Part::Number(a), Part::Number(b)) => a.cmp(b),
            (Part::Text(a), Part::Text(b)) => a.cmp(b),
            _ => {
                let hint = "name the `version_type`, for example `semver`";
                return Err(Stop::hint(
                    "these versions cannot be compared: one has a number where the other has text",
                    hint,
                ));
            }
        };
        if ordering.is_ne() {
            return Ok(ordering);
        }
    }
    Ok(left.len().cmp(&right.len()))
}

/// Major, minor, patch, whether it is a release, and the number of the pre-release.
type Strict = ([u64; 3], (bool, char, u64));

fn strict_parts(text: &str) -> Eval<Strict> {
    let wrong = || Stop::error(format!("`{text}` is not a strict version (like `1.2.3` or `1.2b1`)"));
    let text = text.trim();
    let (numbers, pre) = match text.find(['a', 'b']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let numbers: Vec<u64> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let release = match numbers.as_slice() {
        [major, minor] => [*major, *minor, 0],
        [major, minor, patch] => [*major, *minor, *patch],
        _ => return Err(wrong()),
    };
    let mut chars = pre.chars();
    match chars.next() {
        None => Ok((release, (true, ' ', 0))),
        Some(letter) => Ok((release, (false, letter, chars.as_str().parse().map_err(|_| wrong())?))),
    }
}

/// A semantic version.
struct Semantic {
    numbers: [u64; 3],
    pre: Vec<String>,
}

fn semantic(text: &str) -> Eval<Semantic> {
    let wrong = || Stop::error(format!("`{text}` is not a semantic version (like `1.2.3`)"));
    let (rest, _build) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, pre) = match rest.split_once('-') {
        Some((numbers, pre)) => (numbers, pre.split('.').map(str::to_owned).collect()),
        None => (rest, vec![]),
    };
    let numbers: Vec<u64> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let numbers: [u64; 3] = numbers.try_into().map_err(|_| wrong())?;
    Ok(Semantic { numbers, pre })
}

impl Semantic {
    fn order(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        if numbers.is_ne() {
            return numbers;
        }
        match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        for (a, b) in self.pre.iter().zip(&other.pre) {
            let ordering = match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        self.pre.len().cmp(&other.pre.len())
    }
}

/// Epoch, release without zeros at its end, then the place of pre-release, post-release and development release.
type Pep440 = (u64, Vec<u64>, (i8, u64), i64, i64, Vec<String>);

fn pep440(text: &str) -> Eval<Pep440> {
    let wrong = || Stop::error(format!("`{text}` is not a PEP 440 version"));
    let pattern = regex::Regex::new(concat!(
        r"(?i)^\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?",
        r"(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$",
    ))
    .map_err(|_| wrong())?;
    let found = pattern.captures(text).ok_or_else(wrong)?;
    let number = |index: usize| found.get(index).map_or(0, |text| text.as_str().parse().unwrap_or(0));
    let mut release: Vec<u64> =
        found.get(2).map_or("", |text| text.as_str()).split('.').map(|part| part.parse().unwrap_or(0)).collect();
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let has_post = found.get(5).is_some() || found.get(6).is_some();
    let has_dev = found.get(8).is_some();
    let pre = match found.get(3).map(|kind| kind.as_str().to_lowercase()).as_deref() {
        Some("a" | "alpha") => (0, number(4)),
        Some("b" | "beta") => (1, number(4)),
        Some(_) => (2, number(4)),
        // A development release without pre- or post-release comes before all of them.
        None if has_dev && !has_post => (-1, 0),
        None => (3, 0),
    };
    let post = if has_post { i64::try_from(number(5).max(number(7))).unwrap_or(i64::MAX) } else { -1 };
    let dev = if has_dev { i64::try_from(number(9)).unwrap_or(i64::MAX - 1) } else { i64::MAX };
    let local = found
        .get(10)
        .map_or_else(Vec::new, |text| text.as_str().split(['-', '_', '.']).map(str::to_lowercase).collect());
    Ok((number(1), release, pre, post, dev, local))
}

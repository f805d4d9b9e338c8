//! The order of Debian versions, by dpkg's rules.

use std::cmp::Ordering;

/// dpkg's order of `[epoch:]upstream[-revision]`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, upstream_a, revision_a) = parts(a);
    let (epoch_b, upstream_b, revision_b) = parts(b);
    epoch_a.cmp(&epoch_b).then_with(|| part(upstream_a, upstream_b)).then_with(|| part(revision_a, revision_b))
}

fn parts(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) =
        version.split_once(':').map_or((0, version), |(epoch, rest)| (epoch.parse().unwrap_or(0), rest));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Where a character sorts: `~` before the end, letters before everything else.
fn order(c: Option<char>) -> i64 {
    match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 256,
    }
}

/// The text without its first character.
fn rest(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let plain = |text: &str| text.chars().next().filter(|c| !c.is_ascii_digit());
        while plain(a).is_some() || plain(b).is_some() {
            let ordering = order(a.chars().next()).cmp(&order(b.chars().next()));
            if ordering.is_ne() {
                return ordering;
            }
            (a, b) = (rest(a), rest(b));
        }
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (head_a, tail_a) = a.split_at(digits(a));
        let (head_b, tail_b) = b.split_at(digits(b));
        let (x, y) = (head_a.trim_start_matches('0'), head_b.trim_start_matches('0'));
        let ordering = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if ordering.is_ne() {
            return ordering;
        }
        (a, b) = (tail_a, tail_b);
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_versions_as_dpkg_does() {
        for (a, expected, b) in [
            ("1.0", Ordering::Equal, "1.0"),
            ("1.0-1", Ordering::Less, "1.0-2"),
            ("1.0~rc1", Ordering::Less, "1.0"),
            ("1:0.1", Ordering::Greater, "9.9"),
            ("1.10", Ordering::Greater, "1.9"),
            ("1.0a", Ordering::Less, "1.0+"),
            ("1.0", Ordering::Less, "1.0a"),
            ("1.0-1~bpo1", Ordering::Less, "1.0-1"),
            ("0:1.0", Ordering::Equal, "1.0"),
            ("2.36-9+deb12u4", Ordering::Less, "2.36-9+deb12u10"),
            ("1.2.3", Ordering::Greater, "1.2"),
            ("1.0-0", Ordering::Equal, "1.0"),
        ] {
            assert_eq!(compare(a, b), expected, "{a} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} {a}");
        }
    }
}

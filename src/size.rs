//! Sizes for people. What counts in blocks of 1024 (the facts of Ansible, `human_readable`) words its own.

/// Bytes in decimal units: `3.4 MB`. The program on the target words them so, too.
pub fn human(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if amount < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1000.0;
    }
    format!("{amount:.1} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!([0, 999, 1000, 3_400_000].map(human), ["0 B", "999 B", "1.0 kB", "3.4 MB"]);
        assert_eq!(human(u64::MAX), "18446.7 PB");
    }
}

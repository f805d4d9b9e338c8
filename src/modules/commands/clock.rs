//! When a command started and ended, by the target's clock.
//!
//! The script around the command asks `date` before and after it and appends both readings to stderr as a trailer that
//! starts with a record separator; the trailer is cut off before anyone sees stderr. Two short processes buy the exact
//! `start`, `end` and `delta` of Ansible without another round trip.

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::value::{Fields, Value};

/// Shell text that keeps the time in `mms_start`.
pub(in crate::modules) const START: &str = "mms_start=$(date '+%Y-%m-%d %H:%M:%S.%N')\n";

/// Shell text that writes the trailer: both times. `mms_signal` is `-` when a signal ended the command.
pub(in crate::modules) const STOP: &str =
    "printf '\\036%s\\036%s' \"${mms_signal-}$mms_start\" \"$(date '+%Y-%m-%d %H:%M:%S.%N')\" >&2\n";

/// The trailer of a stderr.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::modules) struct Trailer {
    /// How much of stderr is the command's own.
    pub length: usize,
    /// Whether a signal ended the command.
    pub signalled: bool,
    /// The first field: when it started, or why it could not be started.
    pub first: String,
    /// The second field: when it ended.
    pub second: String,
}

/// Finds the trailer that [`STOP`] wrote.
pub(in crate::modules) fn trailer(stderr: &[u8]) -> Option<Trailer> {
    let last = stderr.iter().rposition(|byte| *byte == 0x1e)?;
    let length = stderr.get(..last)?.iter().rposition(|byte| *byte == 0x1e)?;
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let first = text(stderr.get(length + 1..last))?;
    let second = text(stderr.get(last + 1..))?;
    let signalled = first.starts_with('-');
    let first = first.trim_start_matches('-').to_owned();
    (first.len() < 64 && second.len() < 64).then_some(Trailer { length, signalled, first, second })
}

/// Sets `start`, `end` and `delta` as Python writes them; null where the target's clock could not be read.
pub(in crate::modules) fn set_times(fields: &mut Fields, trailer: Option<&Trailer>) {
    let times = trailer.and_then(|trailer| Some((parse(&trailer.first)?, parse(&trailer.second)?)));
    for (name, text) in [
        ("start", times.map(|(start, _)| written(start))),
        ("end", times.map(|(_, end)| written(end))),
        ("delta", times.map(|(start, end)| delta(end.duration_since(start)))),
    ] {
        fields.insert(name.to_owned(), Value::from(text));
    }
}

/// A reading of `date`. BusyBox may not know `%N`; whole seconds are taken then.
fn parse(text: &str) -> Option<DateTime> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let time: DateTime = seconds.replace(' ', "T").parse().ok()?;
    let micros: i32 = fraction.get(..6).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    time.with().subsec_nanosecond(micros * 1000).build().ok()
}

/// Python's `str(datetime)`.
fn written(time: DateTime) -> String {
    let micros = time.subsec_nanosecond() / 1000;
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{} {:02}:{:02}:{:02}{fraction}", time.date(), time.hour(), time.minute(), time.second())
}

/// Python's `str(timedelta)`. A clock that was set back during the command counts as no time at all.
fn delta(duration: SignedDuration) -> String {
    let duration = duration.max(SignedDuration::ZERO);
    let seconds = duration.as_secs();
    let days = match seconds / 86_400 {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let fraction = match duration.subsec_micros() {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    format!("{days}{}:{:02}:{:02}{fraction}", seconds % 86_400 / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_as_python_does() {
        let stderr = b"oops\x1e2026-01-01 23:59:59.500000123\x1e2026-01-02 01:00:00.000250000";
        let found = trailer(stderr).unwrap();
        assert_eq!(found.length, 4);
        let mut fields = Fields::new();
        set_times(&mut fields, Some(&found));
        assert_eq!(fields["start"], Value::from("2026-01-01 23:59:59.500000"));
        assert_eq!(fields["end"], Value::from("2026-01-02 01:00:00.000250"));
        assert_eq!(fields["delta"], Value::from("1:00:00.500250"));
        assert_eq!(delta(SignedDuration::from_secs(86_400 * 2 + 5)), "2 days, 0:00:05");
    }

    #[test]
    fn takes_whole_seconds_from_a_date_without_nanoseconds() {
        assert_eq!(written(parse("2026-01-01 23:59:59.%N").unwrap()), "2026-01-01 23:59:59");
        assert!(trailer(b"no trailer").is_none());
    }
}

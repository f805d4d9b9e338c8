//! `now()`, `to_datetime`, `strftime` and what can be done with a moment.

use std::fmt;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};

use super::call::Call;
use super::filters::{Filter, Takes};
use super::marker::{Eval, Stop};
use super::py;
use crate::value::Value;

pub const FILTERS: &[Filter] =
    &[Filter::new("to_datetime", Takes::All, to_datetime), Filter::new("strftime", Takes::All, strftime)];

/// A date and time, as Python's `datetime`.
#[derive(Clone)]
pub struct Moment {
    at: DateTime,
    /// Where it is, for `%Z` and `timestamp()`.
    zone: TimeZone,
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}

impl Moment {
    /// A time as the clocks here show it, to the microsecond as Python has it.
    pub fn here(at: Timestamp) -> Value {
        let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
        let zone = TimeZone::system();
        Value::from_object(Self { at: at.to_zoned(zone.clone()).datetime(), zone })
    }

    fn text(&self, separator: char) -> String {
        let micros = self.at.subsec_nanosecond() / 1000;
        let base = self.at.strftime(&format!("%Y-%m-%d{separator}%H:%M:%S")).to_string();
        if micros == 0 { base } else { format!("{base}.{micros:06}") }
    }

    fn zoned(&self) -> Eval<Zoned> {
        self.at.to_zoned(self.zone.clone()).map_err(|error| Stop::error(format!("the time is out of range: {error}")))
    }

    /// Methods of Python's `datetime`.
    pub fn method(&self, name: &str, args: &[Value]) -> Eval<Option<Value>> {
        Ok(Some(match name {
            "strftime" => {
                let format = args.first().map(py::text).transpose()?.unwrap_or_default();
                Value::from(formatted(&self.zoned()?, &format)?)
            }
            "isoformat" => {
                let separator = args.first().map(py::text).transpose()?.and_then(|text| text.chars().next());
                Value::from(self.text(separator.unwrap_or('T')))
            }
            "timestamp" => {
                let stamp = self.zoned()?.timestamp();
                Value::from(stamp.as_duration().as_secs_f64())
            }
            "weekday" => Value::from(i64::from(self.at.weekday().to_monday_zero_offset())),
            "isoweekday" => Value::from(i64::from(self.at.weekday().to_monday_one_offset())),
            "date" => Value::from(self.at.strftime("%Y-%m-%d").to_string()),
            "time" => Value::from(self.at.strftime("%H:%M:%S").to_string()),
            _ => return Ok(None),
        }))
    }

    /// The difference to another moment.
    pub fn since(&self, other: &Self) -> Value {
        let duration = other.at.duration_until(self.at);
        Value::from_object(Span { micros: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) })
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let number = |value: i64| Some(Value::from(value));
        match key.as_str()? {
            "year" => number(self.at.year().into()),
            "month" => number(self.at.month().into()),
            "day" => number(self.at.day().into()),
            "hour" => number(self.at.hour().into()),
            "minute" => number(self.at.minute().into()),
            "second" => number(self.at.second().into()),
            "microsecond" => number(i64::from(self.at.subsec_nanosecond()) / 1000),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        let other = other.downcast_ref::<Self>()?;
        Some(self.at.cmp(&other.at))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}

/// The difference of two moments, as Python's `timedelta`.
#[derive(Debug)]
struct Span {
    micros: i64,
}

impl Object for Span {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        const DAY: i64 = 86_400_000_000;
        let rest = self.micros.rem_euclid(DAY);
        Some(Value::from(match key.as_str()? {
            "days" => self.micros.div_euclid(DAY),
            "seconds" => rest / 1_000_000,
            "microseconds" => rest % 1_000_000,
            _ => return None,
        }))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.micros.div_euclid(1_000_000);
        let (days, seconds) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        if days != 0 {
            write!(f, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// `total_seconds()` of a difference.
pub fn span_method(value: &Value, name: &str) -> Option<Value> {
    let span = value.downcast_object_ref::<Span>()?;
    #[expect(clippy::cast_precision_loss, reason = "Python returns a float as well")]
    (name == "total_seconds").then(|| Value::from(span.micros as f64 / 1e6))
}

/// Which of two moments is earlier, or which of two differences is shorter.
pub fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    if let (Some(left), Some(right)) = (left.downcast_object_ref::<Moment>(), right.downcast_object_ref::<Moment>()) {
        return Some(left.at.cmp(&right.at));
    }
    let (left, right) = (left.downcast_object_ref::<Span>()?, right.downcast_object_ref::<Span>()?);
    Some(left.micros.cmp(&right.micros))
}

/// What Python calls the type of a moment, or of a difference between two.
pub fn type_name(value: &Value) -> Option<&'static str> {
    let moment = value.downcast_object_ref::<Moment>().map(|_| "datetime");
    moment.or_else(|| value.downcast_object_ref::<Span>().map(|_| "timedelta"))
}

/// `a - b` of two moments.
pub fn difference(left: &Value, right: &Value) -> Option<Value> {
    let (left, right) = (left.downcast_object_ref::<Moment>()?, right.downcast_object_ref::<Moment>()?);
    Some(left.since(right))
}

fn formatted(at: &Zoned, format: &str) -> Eval<String> {
    jiff::fmt::strtime::format(format, at)
        .map_err(|error| Stop::error(format!("`{format}` is not a format of times: {error}")))
}

/// `now(utc=False, fmt=None)`.
pub fn now(call: &mut Call<'_>) -> Eval<Value> {
    let utc = call.flag("utc", false)?;
    let format = call.text("fmt")?;
    call.end()?;
    let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
    let now = Timestamp::now().to_zoned(zone.clone());
    match format {
        Some(format) if !format.is_empty() => formatted(&now, &format).map(Value::from),
        _ => Ok(Value::from_object(Moment { at: now.datetime(), zone })),
    }
}

fn to_datetime(call: &mut Call<'_>) -> Eval<Value> {
    let format = call.text("format")?.unwrap_or_else(|| "%Y-%m-%d %H:%M:%S".to_owned());
    let text = call.input_text()?;
    let wrong = |error: jiff::Error| Stop::error(format!("`{text}` is not a time in the format `{format}`: {error}"));
    let broken = jiff::fmt::strtime::parse(&format, &text).map_err(wrong)?;
    let zone = broken.offset().map_or_else(TimeZone::system, Offset::to_time_zone);
    let at = broken.to_datetime().or_else(|_| broken.to_date().map(|date| date.at(0, 0, 0, 0))).map_err(wrong)?;
    Ok(Value::from_object(Moment { at, zone }))
}

/// `'%Y' | strftime(seconds, utc)`.
fn strftime(call: &mut Call<'_>) -> Eval<Value> {
    let seconds = call.value("second").filter(|value| !value.is_none());
    let utc = call.flag("utc", false)?;
    let at = match seconds {
        None => Timestamp::now(),
        Some(value) => {
            let seconds = match value.as_str() {
                Some(text) => text.trim().parse().ok(),
                None => py::number(&value).map(py::Number::float),
            };
            let wrong = || Stop::error(format!("`strftime` needs seconds since 1970, not {}", py::described(&value)));
            let seconds: f64 = seconds.ok_or_else(wrong)?;
            #[expect(clippy::cast_possible_truncation, reason = "whole seconds are meant; the range is checked")]
            Timestamp::from_second(seconds.floor() as i64).map_err(|_| wrong())?
        }
    };
    let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
    formatted(&at.to_zoned(zone), &call.input_text()?).map(Value::from)
}

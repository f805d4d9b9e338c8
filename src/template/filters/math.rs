//! Numbers.

use minijinja::value::ValueKind;

use super::{Filter, all};
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py::{self, Number};
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    all("int", int),
    all("float", float),
    all("abs", abs),
    all("round", round),
    all("log", log),
    all("pow", pow),
    all("root", root),
    all("human_readable", human_readable),
    all("human_to_bytes", human_to_bytes),
    all("filesizeformat", file_size),
    all("random", random),
    all("shuffle", shuffle),
];

fn must_number(call: &Call<'_>) -> Eval<Number> {
    let wrong = || Stop::error(format!("`{}` needs a number, not {}", call.name, py::described(&call.input)));
    py::number(&call.input).ok_or_else(wrong)
}

fn number_arg(call: &mut Call<'_>, name: &str) -> Eval<Option<f64>> {
    let Some(value) = call.value(name) else { return Ok(None) };
    let wrong = || Stop::error(format!("the argument `{name}` of `{}` must be a number", call.name));
    py::number(&value).map(|number| Some(number.float())).ok_or_else(wrong)
}

/// Python reads `1_000` and white space around a number.
fn clean(text: &str) -> String {
    text.trim().replace('_', "")
}

#[expect(clippy::cast_possible_truncation, reason = "Python's int(float) truncates")]
fn truncated(value: f64) -> Option<Value> {
    value.is_finite().then(|| py::int(value as i128))
}

fn int(call: &mut Call<'_>) -> Eval<Value> {
    let default = call.value("default").unwrap_or_else(|| Value::from(0));
    let base = call.integer("base")?.unwrap_or(10);
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base) || *base == 0);
    let Some(base) = base else { return Err(Stop::error("the base of `int` is 2 to 36")) };
    if let Some(text) = call.input.as_str() {
        let text = clean(text).to_lowercase();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let (base, digits) = [("0x", 16), ("0o", 8), ("0b", 2)]
            .into_iter()
            .find_map(|(prefix, of)| {
                digits.strip_prefix(prefix).filter(|_| base == of || base == 0).map(|rest| (of, rest))
            })
            .unwrap_or((if base == 0 { 10 } else { base }, digits));
        if let Ok(value) = i128::from_str_radix(digits, base) {
            return Ok(py::int(if negative { -value } else { value }));
        }
        // As Jinja: `'42.7'` is a number as well.
        return Ok(text.parse::<f64>().ok().and_then(truncated).unwrap_or(default));
    }
    Ok(match py::number(&call.input) {
        Some(Number::Int(value)) => py::int(value),
        Some(Number::Float(value)) => truncated(value).unwrap_or(default),
        None => default,
    })
}

fn float(call: &mut Call<'_>) -> Eval<Value> {
    let default = call.value("default").unwrap_or_else(|| Value::from(0.0));
    if let Some(text) = call.input.as_str() {
        return Ok(clean(text).parse::<f64>().map_or(default, Value::from));
    }
    Ok(py::number(&call.input).map_or(default, |number| Value::from(number.float())))
}

fn abs(call: &mut Call<'_>) -> Eval<Value> {
    Ok(match must_number(call)? {
        Number::Int(value) => py::int(value.saturating_abs()),
        Number::Float(value) => Value::from(value.abs()),
    })
}

fn round(call: &mut Call<'_>) -> Eval<Value> {
    let precision = call.integer("precision")?.unwrap_or(0).clamp(-300, 300);
    let method = call.text("method")?.unwrap_or_else(|| "common".to_owned());
    let number = must_number(call)?;
    let factor = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    let value = number.float();
    match method.as_str() {
        "common" => {
            if let (Number::Int(int), true) = (number, precision >= 0) {
                return Ok(py::int(int));
            }
            let rounded = match usize::try_from(precision) {
                // Formatting rounds the exact value half to even, as Python does.
                Ok(digits) => format!("{value:.digits$}").parse().unwrap_or(value),
                Err(_) => (value * factor).round_ties_even() / factor,
            };
            match number {
                Number::Int(_) => Ok(truncated(rounded).unwrap_or_else(|| Value::from(rounded))),
                Number::Float(_) => Ok(Value::from(rounded)),
            }
        }
        "ceil" => Ok(Value::from((value * factor).ceil() / factor)),
        "floor" => Ok(Value::from((value * factor).floor() / factor)),
        other => Err(Stop::error(format!("`round` is `common`, `ceil` or `floor`, not `{other}`"))),
    }
}

fn log(call: &mut Call<'_>) -> Eval<Value> {
    let base = number_arg(call, "base")?;
    let value = must_number(call)?.float();
    if value <= 0.0 {
        return Err(Stop::error("`log` needs a number above 0"));
    }
    Ok(Value::from(match base {
        Some(10.0) => value.log10(),
        Some(base) => value.ln() / base.ln(),
        None => value.ln(),
    }))
}

fn pow(call: &mut Call<'_>) -> Eval<Value> {
    let exponent = number_arg(call, "y")?.ok_or_else(|| Stop::error("`pow` needs an exponent"))?;
    Ok(Value::from(must_number(call)?.float().powf(exponent)))
}

fn root(call: &mut Call<'_>) -> Eval<Value> {
    let base = number_arg(call, "base")?.unwrap_or(2.0);
    let value = must_number(call)?.float();
    if value < 0.0 {
        return Err(Stop::error("`root` needs a number that is not below 0"));
    }
    Ok(Value::from(if base == 2.0 { value.sqrt() } else { value.powf(1.0 / base) }))
}

/// The letters of sizes and their factors, largest first.
const SIZES: [(char, u64); 9] = [
    ('Y', 0),
    ('Z', 0),
    ('E', 1 << 60),
    ('P', 1 << 50),
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
    ('B', 1),
];

#[expect(clippy::cast_precision_loss, reason = "powers of two are exact")]
fn factor(letter: char, power: u64) -> f64 {
    match letter {
        'Y' => 2f64.powi(80),
        'Z' => 2f64.powi(70),
        _ => power as f64,
    }
}

fn human_readable(call: &mut Call<'_>) -> Eval<Value> {
    let bits = call.flag("isbits", false)?;
    let unit = call.text("unit")?;
    let size = match &call.input {
        value if value.as_str().is_some() => clean(value.as_str().unwrap_or_default())
            .parse::<f64>()
            .map_err(|_| Stop::error("`human_readable` needs a number"))?,
        _ => must_number(call)?.float(),
    };
    let base = if bits { "bits" } else { "Bytes" };
    let chosen = SIZES.iter().find(|(letter, power)| match &unit {
        Some(unit) => unit.to_uppercase().starts_with(*letter),
        None => size >= factor(*letter, *power),
    });
    let (letter, power) = chosen.copied().unwrap_or(('B', 1));
    let name = if letter == 'B' { base.to_owned() } else { format!("{letter}{}", if bits { "b" } else { "B" }) };
    Ok(Value::from(format!("{:.2} {name}", size / factor(letter, power))))
}

fn human_to_bytes(call: &mut Call<'_>) -> Eval<Value> {
    let default_unit = call.text("default_unit")?;
    let bits = call.flag("isbits", false)?;
    let text = call.input_text()?;
    let trimmed = text.trim();
    let wrong = || Stop::hint(format!("`{text}` is not a size"), "write a number and a unit: `10MB`, `1.5 G`");
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let unit = match unit.trim() {
        "" => default_unit.unwrap_or_default(),
        unit => unit.to_owned(),
    };
    let Some(letter) = unit.chars().next() else { return truncated(number.round_ties_even()).ok_or_else(wrong) };
    let (_, power) = SIZES.iter().find(|(known, _)| letter.to_ascii_uppercase() == *known).ok_or_else(wrong)?;
    let rest = unit.get(letter.len_utf8()..).unwrap_or_default();
    let (byte, long) = if bits { ("b", "bit") } else { ("B", "byte") };
    let fits = match letter.to_ascii_uppercase() {
        'B' => {
            let whole = unit.to_lowercase();
            (rest.is_empty() && unit == byte) || whole == long || whole == format!("{long}s")
        }
        _ => rest.is_empty() || rest == byte || rest.to_lowercase().starts_with(long),
    };
    if !fits {
        return Err(wrong());
    }
    truncated((number * factor(letter.to_ascii_uppercase(), *power)).round_ties_even()).ok_or_else(wrong)
}

fn file_size(call: &mut Call<'_>) -> Eval<Value> {
    let binary = call.flag("binary", false)?;
    let bytes = match call.input.as_str() {
        Some(text) => text.trim().parse::<f64>().map_err(|_| Stop::error("`filesizeformat` needs a number"))?,
        None => must_number(call)?.float(),
    };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes.trunc() == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{} Bytes", bytes.trunc())));
    }
    let units = if binary {
        ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    } else {
        ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
    };
    let mut value = bytes / base;
    let mut name = units[0];
    for unit in units.iter().skip(1) {
        if value < base {
            break;
        }
        value /= base;
        name = unit;
    }
    Ok(Value::from(format!("{value:.1} {name}")))
}

/// Numbers from a seed: the same on every run, but not those that Python would draw.
struct Dice(Option<u64>);

impl Dice {
    fn new(seed: Option<&Value>) -> Eval<Self> {
        let Some(seed) = seed.filter(|seed| !seed.is_none()) else { return Ok(Self(None)) };
        let digest = super::encode::digest("sha256", py::text(seed)?.as_bytes())?;
        Ok(Self(Some(u64::from_str_radix(digest.get(..16).unwrap_or("1"), 16).unwrap_or(1))))
    }

    fn below(&mut self, limit: u64) -> u64 {
        let limit = limit.max(1);
        match &mut self.0 {
            None => rand::random_range(0..limit),
            Some(state) => {
                // SplitMix64: short, and good enough to spread cron jobs.
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (z ^ (z >> 31)) % limit
            }
        }
    }
}

fn random(call: &mut Call<'_>) -> Eval<Value> {
    let start = call.integer("start")?;
    let step = call.integer("step")?;
    let seed = call.value("seed");
    let mut dice = Dice::new(seed.as_ref())?;
    if call.input.kind() == ValueKind::Number && call.input.is_integer() {
        let end = call.input.as_i64().unwrap_or(0);
        let (start, step) = (start.unwrap_or(0), step.filter(|step| *step != 0).unwrap_or(1));
        let count = (i128::from(end) - i128::from(start) + i128::from(step - step.signum())) / i128::from(step);
        let Ok(count) = u64::try_from(count) else { return Err(Stop::error("`random` has no number to draw")) };
        if count == 0 {
            return Err(Stop::error("`random` has no number to draw"));
        }
        return Ok(Value::from(
            start.saturating_add(step.saturating_mul(i64::try_from(dice.below(count)).unwrap_or(0))),
        ));
    }
    if start.is_some() || step.is_some() {
        return Err(Stop::error("`start` and `step` of `random` need a number to draw below"));
    }
    let items = call.input_items()?;
    let index = usize::try_from(dice.below(items.len() as u64)).unwrap_or(0);
    items.get(index).cloned().ok_or_else(|| Stop::error("`random` has nothing to choose from"))
}

fn shuffle(call: &mut Call<'_>) -> Eval<Value> {
    let seed = call.value("seed");
    let mut dice = Dice::new(seed.as_ref())?;
    let mut items = call.input_items()?;
    for last in (1..items.len()).rev() {
        items.swap(last, usize::try_from(dice.below(last as u64 + 1)).unwrap_or(0));
    }
    Ok(Value::from(items))
}

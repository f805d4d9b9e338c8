//! Python's two ways of formatting strings: `'%05d' % n` (also the `format` filter) and `'{:>5}'.format(n)`.

use crate::value::Value;

use super::marker::{Eval, Stop};
use super::py::{self, Number};

/// How one value is laid out.
#[derive(Debug, Default, Clone)]
struct Layout {
    fill: Option<char>,
    /// `<`, `>`, `^` or `=` (padding after the sign).
    align: Option<char>,
    /// `+`, ` ` or `-`.
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    comma: Option<char>,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

/// `format % arguments`.
pub fn percent(format: &str, arguments: &Value) -> Eval<String> {
    let positional = match arguments.is_tuple() {
        true => py::iterate(arguments)?,
        false => vec![arguments.clone()],
    };
    let mut next = positional.iter();
    let mut named = false;
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut layout = Layout::default();
        let mut key = None;
        if chars.next_if_eq(&'(').is_some() {
            let name: String = chars.by_ref().take_while(|c| *c != ')').collect();
            key = Some(name);
        }
        while let Some(flag) = chars.next_if(|c| "-+ 0#".contains(*c)) {
            match flag {
                '-' => layout.align = Some('<'),
                '+' | ' ' if layout.sign != Some('+') => layout.sign = Some(flag),
                '0' => layout.zero = true,
                '#' => layout.alternate = true,
                _ => {}
            }
        }
        layout.width = digits(&mut chars).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            layout.precision = Some(digits(&mut chars).unwrap_or(0));
        }
        while chars.next_if(|c| "hlL".contains(*c)).is_some() {}
        let Some(kind) = chars.next() else {
            return Err(Stop::error("the format string ends in the middle of a `%` place holder"));
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match &key {
            Some(key) => {
                named = true;
                let value = arguments.get_attr(key)?;
                if value.is_undefined() {
                    return Err(Stop::error(format!("the format string needs `{key}`, which is not there")));
                }
                value
            }
            None => next
                .next()
                .cloned()
                .ok_or_else(|| Stop::error("the format string has more place holders than there are values"))?,
        };
        let text = match kind {
            's' | 'r' | 'a' => {
                let text = if kind == 's' { py::text(&value)? } else { py::repr(&value)? };
                layout.align.get_or_insert('>');
                layout.zero = false;
                pad_text(&text, &layout)
            }
            'd' | 'i' | 'u' => {
                let number = match py::number(&value) {
                    Some(Number::Float(float)) => Number::Int(truncate(float)),
                    Some(int) => int,
                    None => {
                        return Err(Stop::error(format!("`%{kind}` needs a number, not {}", py::described(&value))));
                    }
                };
                layout.kind = Some('d');
                pad_number(number, &layout)?
            }
            'x' | 'X' | 'o' | 'f' | 'F' | 'e' | 'E' | 'g' | 'G' => match py::number(&value) {
                Some(number) => {
                    layout.kind = Some(kind);
                    pad_number(number, &layout)?
                }
                None => return Err(Stop::error(format!("`%{kind}` needs a number, not {}", py::described(&value)))),
            },
            'c' => py::text(&value)?,
            other => return Err(Stop::error(format!("`%{other}` is not a place holder of a format string"))),
        };
        out.push_str(&text);
    }
    if !named && next.next().is_some() && !matches!(arguments.kind(), minijinja::value::ValueKind::Map) {
        return Err(Stop::error("the format string has fewer place holders than there are values"));
    }
    Ok(out)
}

/// `format.format(…)`.
pub fn braces(format: &str, args: &[Value], kwargs: &[(String, Value)]) -> Eval<String> {
    let mut out = String::new();
    let mut numbering = Numbering::Undecided;
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.next_if_eq(&'{').is_some() => out.push('{'),
            '}' => {
                chars.next_if_eq(&'}');
                out.push('}');
            }
            '{' => {
                let mut field = String::new();
                let mut depth = 1;
                for c in chars.by_ref() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if depth == 0 {
                        break;
                    }
                    field.push(c);
                }
                if depth != 0 {
                    return Err(Stop::error("the format string has a `{` without `}`"));
                }
                let (name, spec) = field.split_once(':').unwrap_or((&field, ""));
                let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
                let value = lookup(name, args, kwargs, &mut numbering)?;
                let spec = match (spec.contains('{'), &numbering) {
                    (true, Numbering::Automatic(next)) => braces(spec, args.get(*next..).unwrap_or_default(), kwargs)?,
                    (true, _) => braces(spec, args, kwargs)?,
                    (false, _) => spec.to_owned(),
                };
                let value = match conversion {
                    "r" | "a" => Value::from(py::repr(&value)?),
                    "s" => Value::from(py::text(&value)?),
                    _ => value,
                };
                out.push_str(&spec_format(&value, &spec)?);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Whether the fields of a format string are numbered.
enum Numbering {
    Undecided,
    /// `{}`; the next argument.
    Automatic(usize),
    /// `{0}`.
    Manual,
}

fn lookup(name: &str, args: &[Value], kwargs: &[(String, Value)], numbering: &mut Numbering) -> Eval<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(end);
    let missing = || Stop::error(format!("the format string needs `{{{first}}}`, which is not given"));
    let manual = first.parse::<usize>();
    match (first.is_empty(), manual.is_ok(), &mut *numbering) {
        (true, _, Numbering::Manual) | (_, true, Numbering::Automatic(_)) => {
            return Err(Stop::error("a format string numbers all its fields or none"));
        }
        (true, _, Numbering::Automatic(next)) => *next += 1,
        (true, ..) => *numbering = Numbering::Automatic(1),
        (_, true, _) => *numbering = Numbering::Manual,
        _ => {}
    }
    let mut value = match (manual, &*numbering) {
        (Ok(index), _) => args.get(index).cloned(),
        (Err(_), Numbering::Automatic(next)) if first.is_empty() => args.get(next - 1).cloned(),
        _ => kwargs.iter().find(|(key, _)| key == first).map(|(_, value)| value.clone()),
    }
    .ok_or_else(missing)?;
    while !rest.is_empty() {
        let key;
        if let Some(attr) = rest.strip_prefix('.') {
            let end = attr.find(['.', '[']).unwrap_or(attr.len());
            (key, rest) = attr.split_at(end);
        } else {
            let inner = rest.trim_start_matches('[');
            (key, rest) = inner.split_once(']').unwrap_or((inner, ""));
        }
        value = match key.parse::<usize>() {
            Ok(index) if py::is_list(&value) => value.get_item_by_index(index)?,
            _ => value.get_attr(key)?,
        };
        if value.is_undefined() {
            return Err(missing());
        }
    }
    Ok(value)
}

/// Python's `format(value, spec)`.
fn spec_format(value: &Value, spec: &str) -> Eval<String> {
    if spec.is_empty() {
        return py::text(value);
    }
    let mut layout = Layout::default();
    let chars: Vec<char> = spec.chars().collect();
    let mut at = 0;
    if chars.get(1).is_some_and(|c| "<>^=".contains(*c)) {
        layout.fill = chars.first().copied();
        layout.align = chars.get(1).copied();
        at = 2;
    } else if chars.first().is_some_and(|c| "<>^=".contains(*c)) {
        layout.align = chars.first().copied();
        at = 1;
    }
    let mut rest = chars.get(at..).unwrap_or_default().iter().copied().peekable();
    layout.sign = rest.next_if(|c| "+- ".contains(*c));
    layout.alternate = rest.next_if_eq(&'#').is_some();
    layout.zero = rest.next_if_eq(&'0').is_some();
    layout.width = digits(&mut rest).unwrap_or(0);
    layout.comma = rest.next_if(|c| ",_".contains(*c));
    if rest.next_if_eq(&'.').is_some() {
        layout.precision = digits(&mut rest);
    }
    layout.kind = rest.next();
    if rest.next().is_some() {
        return Err(Stop::error(format!("`{spec}` is not a format")));
    }
    match py::number(value) {
        Some(number) if layout.kind != Some('s') && value.is_number() => pad_number(number, &layout),
        _ if matches!(layout.kind, None | Some('s')) => {
            let text = py::text(value)?;
            layout.align.get_or_insert('<');
            Ok(pad_text(&text, &layout))
        }
        _ => Err(Stop::error(format!("the format `{spec}` does not fit {}", py::described(value)))),
    }
}

fn digits(chars: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> Option<usize> {
    let mut value: Option<usize> = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) {
        // Nobody needs more; it keeps a slip from asking for gigabytes of spaces.
        value = Some((value.unwrap_or(0) * 10 + digit as usize).min(1 << 16));
    }
    value
}

fn pad_text(text: &str, layout: &Layout) -> String {
    let text: String = match layout.precision {
        Some(limit) => text.chars().take(limit).collect(),
        None => text.to_owned(),
    };
    pad(&text, layout)
}

fn pad(text: &str, layout: &Layout) -> String {
    let missing = layout.width.saturating_sub(text.chars().count());
    let fill = layout.fill.unwrap_or(' ');
    let (left, right) = match layout.align {
        Some('<') => (0, missing),
        Some('^') => (missing / 2, missing - missing / 2),
        _ => (missing, 0),
    };
    let side = |count: usize| fill.to_string().repeat(count);
    format!("{}{text}{}", side(left), side(right))
}

fn pad_number(number: Number, layout: &Layout) -> Eval<String> {
    let negative = match number {
        Number::Int(value) => value < 0,
        Number::Float(value) => value.is_sign_negative() && !value.is_nan(),
    };
    let digits = match (number, layout.kind) {
        (Number::Int(value), None | Some('d' | 'n')) => value.unsigned_abs().to_string(),
        (Number::Int(value), Some(kind @ ('x' | 'X' | 'o' | 'b'))) => {
            let value = value.unsigned_abs();
            let (prefix, digits) = match kind {
                'x' => ("0x", format!("{value:x}")),
                'X' => ("0X", format!("{value:X}")),
                'o' => ("0o", format!("{value:o}")),
                _ => ("0b", format!("{value:b}")),
            };
            if layout.alternate { format!("{prefix}{digits}") } else { digits }
        }
        (Number::Int(value), Some('c')) => {
            return Ok(u32::try_from(value).ok().and_then(char::from_u32).map_or_else(String::new, String::from));
        }
        (number, kind) => float_digits(number.float().abs(), kind, layout)?,
    };
    let digits = match layout.comma {
        Some(comma) => group(&digits, comma),
        None => digits,
    };
    let sign = match (negative, layout.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    if (layout.zero && layout.align.is_none()) || layout.align == Some('=') {
        let fill = layout.fill.unwrap_or(if layout.zero { '0' } else { ' ' });
        let missing = layout.width.saturating_sub(sign.len() + digits.chars().count());
        return Ok(format!("{sign}{}{digits}", fill.to_string().repeat(missing)));
    }
    Ok(pad(&format!("{sign}{digits}"), layout))
}

fn float_digits(value: f64, kind: Option<char>, layout: &Layout) -> Eval<String> {
    let precision = layout.precision.unwrap_or(6).min(400);
    Ok(match kind {
        Some('f' | 'F') => format!("{value:.precision$}"),
        Some('%') => format!("{:.precision$}%", value * 100.0),
        Some(kind @ ('e' | 'E')) => exponent(&format!("{value:.precision$e}"), kind),
        Some('g') => general(value, precision.max(1)),
        Some('G') => general(value, precision.max(1)).to_uppercase(),
        None if layout.precision.is_some() => general(value, precision.max(1)),
        None => py::float_text(value),
        Some(other) => return Err(Stop::error(format!("the format `{other}` does not fit a number"))),
    })
}

/// Python writes at least two digits and the sign of an exponent.
fn exponent(text: &str, letter: char) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let value: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}{letter}{}{:02}", if value < 0 { '-' } else { '+' }, value.abs())
}

fn general(value: f64, precision: usize) -> String {
    let scientific = format!("{value:.*e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let digits = i32::try_from(precision).unwrap_or(i32::MAX);
    if power < -4 || power >= digits {
        let (mantissa, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
        return exponent(&format!("{}e{power}", trim(mantissa)), 'e');
    }
    let decimals = usize::try_from((digits - 1 - power).max(0)).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

fn group(digits: &str, comma: char) -> String {
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(comma);
        }
        out.push(digit);
    }
    out + rest
}

#[expect(clippy::cast_possible_truncation, reason = "Python's int(float) truncates")]
fn truncate(value: f64) -> i128 {
    value as i128
}

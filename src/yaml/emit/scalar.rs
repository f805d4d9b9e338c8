//! Which quotes a text needs.

use super::super::scalar::is_text;

/// The ways to write a text, from the nicest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    Plain,
    Single,
    Double,
}

/// Where a text stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// Inside `[]` or `{}`.
    pub flow: bool,
    /// As the key of a mapping, on one line.
    pub key: bool,
}

/// The nicest way to write a string at a place.
pub(super) fn quoting(text: &str, context: Context) -> Quoting {
    let traits = Traits::of(text);
    let multiline_key = context.key && traits.multiline;
    let plain_fits = if context.flow { traits.flow_plain } else { traits.block_plain };
    if plain_fits && is_text(text) && !multiline_key && !(context.key && text.is_empty()) {
        Quoting::Plain
    } else if traits.single && !multiline_key {
        Quoting::Single
    } else {
        Quoting::Double
    }
}

/// What can be said of a text without knowing where it stands.
#[derive(Debug)]
pub(super) struct Traits {
    /// It has line breaks.
    pub multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single: bool,
}

impl Traits {
    pub(super) fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let document_marker = text.starts_with("---") || text.starts_with("...");
        let (mut block_sign, mut flow_sign) = (document_marker, document_marker);
        let mut special = false;
        let (mut multiline, mut break_then_space, mut space_then_break) = (false, false, false);
        for (index, &c) in chars.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|at| chars.get(at)).copied();
            let blank_follows = chars.get(index + 1).is_none_or(|next| is_blank(*next));
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                    if index == 0 =>
                {
                    (block_sign, flow_sign) = (true, true);
                }
                '?' | ':' => {
                    flow_sign = true;
                    block_sign |= blank_follows && (index == 0 || c == ':');
                }
                '-' if index == 0 && blank_follows => (block_sign, flow_sign) = (true, true),
                ',' | '[' | ']' | '{' | '}' => flow_sign = true,
                '#' if before.is_some_and(is_blank) => (block_sign, flow_sign) = (true, true),
                _ => {}
            }
            multiline |= is_break(c);
            special |= c != '\n' && !is_printable(c);
            break_then_space |= c == ' ' && before.is_some_and(is_break);
            space_then_break |= is_break(c) && before == Some(' ');
        }
        let padded = [chars.first(), chars.last()].into_iter().flatten().any(|c| *c == ' ' || is_break(*c));
        let hard = space_then_break || special;
        let plain = !padded && !break_then_space && !hard && !multiline;
        Self {
            multiline,
            flow_plain: plain && !flow_sign && !text.is_empty(),
            block_plain: plain && !block_sign,
            single: !break_then_space && !hard,
        }
    }
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(c: char) -> bool {
    matches!(c, '\0' | ' ' | '\t' | '\r') || is_break(c)
}

/// What libyaml writes as it stands. Its idea of Unicode ends at U+FFFD.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// A character of double-quoted text that cannot stand there itself.
pub(super) fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(c);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// A float as Python writes it, with the `.0` without which YAML 1.1 would not take an exponent for a float.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = if mantissa.contains('.') { mantissa.to_owned() } else { format!("{mantissa}.0") };
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value:?}")
}

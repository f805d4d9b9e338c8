//! Values in INI inventories: Python literals where the text is one, and text otherwise.

use std::sync::Arc;

use crate::diagnostic::Span;
use crate::yaml::{Kind, Map, Node};

/// The value of a text as Ansible's INI inventory takes it. What is not a Python literal is text.
pub(super) fn value(text: &str, span: &Span) -> Node {
    let mut reader = Reader { text, at: 0, depth: 0, span };
    reader.blanks();
    match reader.expression() {
        Some(node) if reader.at_end() => node,
        _ => Node::new(Kind::Str(text.into()), span.clone()),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    span: &'a Span,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Nothing but blanks and a comment are left.
    fn at_end(&mut self) -> bool {
        self.blanks();
        self.rest().is_empty() || self.rest().starts_with('#')
    }

    fn take(&mut self, sign: char) -> bool {
        self.blanks();
        let found = self.peek() == Some(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn node(&self, kind: Kind) -> Node {
        Node::new(kind, self.span.clone())
    }

    fn expression(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > 60 {
            return None;
        }
        self.blanks();
        let node = match self.peek()? {
            '[' => {
                self.at += 1;
                let items = self.items(']')?.0;
                self.node(Kind::List(Arc::new(items)))
            }
            '(' => {
                self.at += 1;
                let (mut items, comma) = self.items(')')?;
                // Parentheses around one value are just that; a comma makes a tuple of it.
                if items.len() == 1 && !comma { items.pop()? } else { self.node(Kind::List(Arc::new(items))) }
            }
            '{' => self.braces()?,
            '\'' | '"' => self.strings()?,
            // Python's ellipsis, which Ansible turns back into text.
            '.' if self.rest().starts_with("...") => {
                self.at += 3;
                self.node(Kind::Str("...".into()))
            }
            '+' | '-' | '.' | '0'..='9' => self.number()?,
            c if c.is_alphabetic() => self.word()?,
            _ => return None,
        };
        self.depth -= 1;
        Some(node)
    }

    fn items(&mut self, close: char) -> Option<(Vec<Node>, bool)> {
        let mut items = vec![];
        let mut comma = false;
        loop {
            if self.take(close) {
                return Some((items, comma));
            }
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.expression()?);
            comma = self.take(',');
        }
    }

    /// A mapping, or a set, which becomes a list.
    fn braces(&mut self) -> Option<Node> {
        self.at += 1;
        let mut entries: Vec<(Node, Node)> = vec![];
        let mut items = vec![];
        let mut comma = true;
        loop {
            if self.take('}') {
                break;
            }
            if !comma {
                return None;
            }
            let key = self.expression()?;
            if self.take(':') {
                let value = self.expression()?;
                match entries.iter_mut().find(|(known, _)| known.kind == key.kind) {
                    Some(entry) => entry.1 = value,
                    None => entries.push((key, value)),
                }
            } else {
                items.push(key);
            }
            comma = self.take(',');
        }
        match (entries.is_empty(), items.is_empty()) {
            (_, true) => Some(self.node(Kind::Map(Arc::new(Map::new(entries))))),
            (true, false) => Some(self.node(Kind::List(Arc::new(items)))),
            (false, false) => None,
        }
    }

    fn strings(&mut self) -> Option<Node> {
        let mut text = self.string(false)?;
        loop {
            self.blanks();
            match self.peek() {
                // Adjacent strings are one.
                Some('\'' | '"') => text.push_str(&self.string(false)?),
                _ => return Some(self.node(Kind::Str(text.into()))),
            }
        }
    }

    fn string(&mut self, raw: bool) -> Option<String> {
        let quote = self.peek()?;
        let triple: String = [quote; 3].iter().collect();
        let end = if self.rest().starts_with(&triple) { triple } else { quote.to_string() };
        self.at += end.len();
        let mut out = String::new();
        while !self.rest().starts_with(&end) {
            let c = self.peek()?;
            if c == '\n' && end.len() == 1 {
                return None;
            }
            self.at += c.len_utf8();
            if c != '\\' {
                out.push(c);
                continue;
            }
            let code = self.peek()?;
            self.at += code.len_utf8();
            if raw {
                out.extend([c, code]);
            } else {
                self.escape(code, &mut out)?;
            }
        }
        self.at += end.len();
        Some(out)
    }

    fn escape(&mut self, code: char, out: &mut String) -> Option<()> {
        let plain = match code {
            '\n' => return Some(()),
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' | '\'' | '"' => code,
            '0'..='7' => {
                let more = self.rest().bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                let digits = format!("{code}{}", &self.rest()[..more]);
                self.at += more;
                char::from_u32(u32::from_str_radix(&digits, 8).ok()?)?
            }
            'x' | 'u' | 'U' => {
                let count = match code {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits = self.rest().get(..count)?;
                let value = u32::from_str_radix(digits, 16).ok()?;
                self.at += count;
                char::from_u32(value)?
            }
            'N' => return None,
            _ => {
                out.push('\\');
                code
            }
        };
        out.push(plain);
        Some(())
    }

    fn word(&mut self) -> Option<Node> {
        let length = self.rest().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        let word = self.rest()[..length].to_owned();
        self.at += length;
        let raw = match word.to_ascii_lowercase().as_str() {
            "r" | "rb" | "br" => true,
            "b" | "u" => false,
            _ => {
                return Some(self.node(match word.as_str() {
                    "True" => Kind::Bool(true),
                    "False" => Kind::Bool(false),
                    "None" => Kind::Null,
                    _ => return None,
                }));
            }
        };
        matches!(self.peek(), Some('\'' | '"')).then_some(())?;
        let text = self.string(raw)?;
        Some(self.node(Kind::Str(text.into())))
    }

    fn number(&mut self) -> Option<Node> {
        let mut negative = false;
        if let Some(sign @ ('+' | '-')) = self.peek() {
            negative = sign == '-';
            self.at += 1;
            self.blanks();
        }
        let rest = self.rest();
        let length = rest
            .char_indices()
            .find(|(at, c)| {
                let exponent_sign = matches!(c, '+' | '-')
                    && rest[..*at].ends_with(['e', 'E'])
                    && !rest[..*at].starts_with("0x")
                    && !rest[..*at].starts_with("0X");
                !c.is_ascii_alphanumeric() && *c != '.' && *c != '_' && !exponent_sign
            })
            .map_or(rest.len(), |(at, _)| at);
        let text = rest[..length].to_owned();
        self.at += length;
        let kind = number_kind(&text, negative)?;
        Some(self.node(kind))
    }
}

/// A Python number without its sign.
fn number_kind(text: &str, negative: bool) -> Option<Kind> {
    // Underscores stand between digits only.
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") || text.contains("_.") || text.contains("._")
    {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let digits = lower.replace('_', "");
    let signed = |magnitude: i128| {
        let value = if negative { -magnitude } else { magnitude };
        // A number too large for 64 bits keeps its digits as text.
        i64::try_from(value).map_or_else(|_| Kind::Str(value.to_string().into()), Kind::Int)
    };
    let radix = match digits.get(..2) {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        Some("0b") => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        return i128::from_str_radix(&digits[2..], radix).ok().map(signed);
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let zero = digits.bytes().all(|b| b == b'0');
        return if digits.starts_with('0') && !zero { None } else { digits.parse().ok().map(signed) };
    }
    let is_float = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'))
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let value: f64 = if is_float { digits.parse().ok()? } else { return None };
    Some(Kind::Float(if negative { -value } else { value }))
}

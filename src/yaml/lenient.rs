//! What PyYAML reads and the YAML parser refuses: lines of a flow collection or a quoted text that are not indented deeper than the
//! key they belong to, and a tab behind a colon. YAML's specification forbids them, people write them, Ansible accepts them.
//!
//! When the parser refuses such a line, it gets the text again with spaces put in front of that line, where spaces mean
//! nothing. Places are counted back to the text that the user wrote.

use std::borrow::Cow;

/// How often a text is mended before it is given up.
const MOST: usize = 1000;

/// More than anybody indents by.
const PADDING: usize = 100;

/// The text that the parser gets.
pub(super) struct Text<'a> {
    pub text: Cow<'a, str>,
    /// Character offsets in `text` at which spaces were put in, in order.
    padded: Vec<usize>,
    rounds: usize,
}

/// What the parser refused, and at which character of [`Text::text`].
pub(super) struct Refusal {
    pub at: usize,
    pub info: String,
}

impl<'a> Text<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), padded: vec![], rounds: 0 }
    }

    /// The character offset in the user's text of one in the parser's.
    pub fn original(&self, index: usize) -> usize {
        let before = self.padded.partition_point(|start| *start < index);
        let Some(last) = before.checked_sub(1).and_then(|at| self.padded.get(at)) else { return index };
        // Inside of what was put in, the place is that of the line's start.
        let inside = PADDING.saturating_sub(index - last);
        index + inside - before * PADDING
    }

    /// The text with what was refused made acceptable; nothing when there is no way.
    pub fn mend(mut self, refusal: &Refusal) -> Option<Self> {
        self.rounds += 1;
        if self.rounds > MOST {
            return None;
        }
        let byte = self.byte_of(refusal.at);
        match refusal.info.as_str() {
            "':' must be followed by a valid YAML whitespace" => {
                let colon = self.text.get(..byte)?.trim_end_matches('\t').len();
                let tabs = byte - colon;
                self.text.to_mut().replace_range(colon..byte, &" ".repeat(tabs));
                (tabs > 0).then_some(self)
            }
            "invalid indentation" | "invalid indentation in flow construct" => self.pad(byte..byte),
            "invalid indentation in quoted scalar" => {
                let end = quoted_end(self.text.get(byte..)?)?;
                let second = byte + self.text.get(byte..byte + end)?.find('\n')? + 1;
                self.pad(second..byte + end)
            }
            _ => None,
        }
    }

    fn byte_of(&self, index: usize) -> usize {
        self.text.char_indices().nth(index).map_or(self.text.len(), |(at, _)| at)
    }

    /// Puts spaces in front of the lines from the one that `range` starts in on.
    fn pad(mut self, range: std::ops::Range<usize>) -> Option<Self> {
        let text = self.text.as_ref();
        let first = text.get(..range.start)?.rfind('\n').map_or(0, |at| at + 1);
        let more = text.get(first..range.end)?.match_indices('\n').map(|(at, _)| first + at + 1);
        let starts: Vec<usize> = std::iter::once(first).chain(more).collect();
        let is_padded = |start: &usize| text.get(*start..).is_some_and(|line| line.starts_with(&" ".repeat(PADDING)));
        let starts: Vec<usize> = starts.into_iter().filter(|start| !is_padded(start)).collect();
        if starts.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(text.len() + starts.len() * PADDING);
        let mut done = 0;
        for start in starts {
            out.push_str(text.get(done..start)?);
            let index = text.get(..start)?.chars().count();
            // What stands behind moves by what is put in here.
            let moved = out.chars().count() - index;
            for known in self.padded.iter_mut().filter(|known| **known >= index + moved) {
                *known += PADDING;
            }
            self.padded.push(index + moved);
            out.push_str(&" ".repeat(PADDING));
            done = start;
        }
        out.push_str(text.get(done..)?);
        self.padded.sort_unstable();
        self.text = Cow::Owned(out);
        Some(self)
    }
}

/// The length of a quoted text that starts here.
fn quoted_end(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return Some(at);
            }
        }
    }
    None
}

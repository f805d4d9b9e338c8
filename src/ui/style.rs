//! Colours. They never carry meaning alone: every coloured word says the same without its colour.

use anstyle::{AnsiColor, Effects, Style as Ansi};

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Something changed.
    Changed,
    /// As wanted.
    Good,
    /// Failed.
    Bad,
    /// A plan cannot tell.
    Unknown,
    /// Of little interest.
    Dim,
    /// A heading.
    Strong,
    /// A line that is added.
    Added,
    /// A line that is removed.
    Removed,
}

/// Puts colours on text, or leaves it plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// With or without colours.
    pub const fn new(on: bool) -> Self {
        Self(on)
    }

    /// Whether there are colours.
    pub const fn is_on(self) -> bool {
        self.0
    }

    /// The text in a style.
    pub fn text(self, style: Style, text: &str) -> String {
        if !self.0 || text.is_empty() {
            return text.to_owned();
        }
        let color = |color: AnsiColor| Ansi::new().fg_color(Some(color.into()));
        let ansi = match style {
            Style::Changed => color(AnsiColor::Yellow),
            Style::Good | Style::Added => color(AnsiColor::Green),
            Style::Bad => color(AnsiColor::Red).effects(Effects::BOLD),
            Style::Removed => color(AnsiColor::Red),
            Style::Unknown => color(AnsiColor::Cyan),
            Style::Dim => Ansi::new().effects(Effects::DIMMED),
            Style::Strong => Ansi::new().effects(Effects::BOLD),
        };
        format!("{ansi}{text}{ansi:#}")
    }
}

/// The length of the colour sequence that the text starts with; 0 when it starts with another escape.
pub(super) fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let digits = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ';').count();
    if rest[digits..].starts_with('m') { 2 + digits + 1 } else { 0 }
}

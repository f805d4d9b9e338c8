//! Lines, indentation and line breaks.

use super::scalar::{Context, Quoting, Traits, escape, is_break, is_printable, quoting};
use super::{Options, Scalar, Tree};

/// A key of more bytes than this is written with `? ` in front.
const LONGEST_SIMPLE_KEY: usize = 128;

/// How a collection is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Block,
    Flow,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Root,
    Item,
    MapValue,
    Key,
}

/// The text so far and where its end is.
pub(super) struct Writer<'a> {
    options: &'a Options,
    step: usize,
    width: usize,
    out: String,
    column: usize,
    /// The column of the collection under way.
    indent: Option<usize>,
    flow_level: usize,
    /// The last thing written is white space, or the line is empty.
    after_space: bool,
    /// Only indentation and `-` or `?` have been written on this line.
    in_indentation: bool,
}

impl<'a> Writer<'a> {
    /// The text of a document.
    pub(super) fn document(tree: &Tree, options: &'a Options) -> String {
        let step = if (2..10).contains(&options.indent) { options.indent } else { 2 };
        let width = if options.width > step * 2 { options.width } else { 80 };
        let mut writer = Writer {
            options,
            step,
            width,
            out: String::new(),
            column: 0,
            indent: None,
            flow_level: 0,
            after_space: true,
            in_indentation: true,
        };
        if options.explicit_start {
            writer.sign("---", true, false);
        }
        writer.node(tree, Position::Root);
        if writer.column > 0 {
            writer.line_break();
        }
        writer.out
    }

    fn node(&mut self, tree: &Tree, position: Position) {
        match tree {
            Tree::Scalar(scalar) => self.scalar(scalar, position),
            Tree::List(items) if self.is_flow(tree) || items.is_empty() => self.flow_list(items),
            Tree::Map(entries) if self.is_flow(tree) || entries.is_empty() => self.flow_map(entries),
            Tree::List(items) => self.block_list(items, position),
            Tree::Map(entries) => self.block_map(entries),
        }
    }

    fn is_flow(&self, tree: &Tree) -> bool {
        self.flow_level > 0 || tree.style(self.options) == Style::Flow
    }

    fn deeper(&mut self, flow: bool, same_column: bool) -> Option<usize> {
        let outer = self.indent;
        self.indent = match outer {
            None => Some(if flow { self.step } else { 0 }),
            Some(column) if same_column => Some(column),
            Some(column) => Some(column + self.step),
        };
        outer
    }

    fn block_list(&mut self, items: &[Tree], position: Position) {
        // The items of a list that is a key's value stand in the key's column.
        let outer = self.deeper(false, position == Position::MapValue && !self.in_indentation);
        for item in items {
            self.new_line();
            self.sign("-", true, true);
            self.node(item, Position::Item);
        }
        self.indent = outer;
    }

    fn block_map(&mut self, entries: &[(Scalar, Tree)]) {
        let outer = self.deeper(false, false);
        for (key, value) in entries {
            self.new_line();
            if is_simple_key(key) {
                self.scalar(key, Position::Key);
                self.sign(":", false, false);
            } else {
                self.sign("?", true, true);
                self.scalar(key, Position::MapValue);
                self.new_line();
                self.sign(":", true, true);
            }
            self.node(value, Position::MapValue);
        }
        self.indent = outer;
    }

    fn flow_list(&mut self, items: &[Tree]) {
        self.sign("[", true, false);
        self.after_space = true;
        let outer = self.deeper(true, false);
        self.flow_level += 1;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.sign(",", false, false);
            }
            if self.column > self.width {
                self.new_line();
            }
            self.node(item, Position::Item);
        }
        self.flow_level -= 1;
        self.indent = outer;
        self.sign("]", false, false);
    }

    fn flow_map(&mut self, entries: &[(Scalar, Tree)]) {
        self.sign("{", true, false);
        self.after_space = true;
        let outer = self.deeper(true, false);
        self.flow_level += 1;
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                self.sign(",", false, false);
            }
            if self.column > self.width {
                self.new_line();
            }
            if is_simple_key(key) {
                self.scalar(key, Position::Key);
                self.sign(":", false, false);
            } else {
                self.sign("?", true, false);
                self.scalar(key, Position::MapValue);
                if self.column > self.width {
                    self.new_line();
                }
                self.sign(":", true, false);
            }
            self.node(value, Position::MapValue);
        }
        self.flow_level -= 1;
        self.indent = outer;
        self.sign("}", false, false);
    }

    fn scalar(&mut self, scalar: &Scalar, position: Position) {
        let context = Context { flow: self.flow_level > 0, key: position == Position::Key };
        let quoting = if scalar.is_string { quoting(&scalar.text, context) } else { Quoting::Plain };
        let outer = self.deeper(true, false);
        let may_break = !context.key;
        match quoting {
            Quoting::Plain => self.plain(&scalar.text, may_break),
            Quoting::Single => self.single_quoted(&scalar.text, may_break),
            Quoting::Double => self.double_quoted(&scalar.text, may_break),
        }
        self.indent = outer;
    }

    fn plain(&mut self, text: &str, may_break: bool) {
        if text.is_empty() {
            return;
        }
        if !self.after_space {
            self.put(' ');
        }
        self.after_space = false;
        self.in_indentation = false;
        self.words(text, may_break, Self::put);
    }

    /// Text without line breaks, broken at single spaces beyond the width.
    fn words(&mut self, text: &str, may_break: bool, put: fn(&mut Self, char)) {
        let mut before = None;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            let single = c == ' ' && before != Some(' ') && chars.peek().is_some_and(|next| *next != ' ');
            if single && may_break && !first && self.column > self.width {
                self.new_line();
                self.after_space = false;
                self.in_indentation = false;
            } else {
                put(self, c);
            }
            first = false;
            before = Some(c);
        }
    }

    fn single_quoted(&mut self, text: &str, may_break: bool) {
        self.sign("'", true, false);
        let put = |writer: &mut Self, c: char| {
            writer.put(c);
            if c == '\'' {
                writer.put(c);
            }
        };
        let mut rest = text;
        while !rest.is_empty() {
            let line_end = rest.find(is_break).unwrap_or(rest.len());
            self.words(&rest[..line_end], may_break && line_end > 0, put);
            rest = &rest[line_end..];
            let breaks_end = rest.find(|c| !is_break(c)).unwrap_or(rest.len());
            if breaks_end > 0 {
                // Reading folds one line break to a space, so one more is written.
                if rest.starts_with('\n') {
                    self.line_break();
                }
                for c in rest[..breaks_end].chars() {
                    self.written_break(c);
                }
                self.new_line();
                rest = &rest[breaks_end..];
            }
        }
        self.after_space = false;
        self.in_indentation = false;
        self.sign("'", false, false);
    }

    fn double_quoted(&mut self, text: &str, may_break: bool) {
        self.sign("\"", true, false);
        let chars: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (index, &c) in chars.iter().enumerate() {
            if matches!(c, '"' | '\\') || is_break(c) || !is_printable(c) {
                for c in escape(c).chars() {
                    self.put(c);
                }
                after_space = false;
            } else if c == ' ' {
                let inside = index > 0 && index + 1 < chars.len();
                if !after_space && may_break && inside && self.column > self.width {
                    // Reading folds the line break to the space.
                    self.new_line();
                    self.after_space = false;
                    self.in_indentation = false;
                    if chars.get(index + 1) == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                after_space = true;
            } else {
                self.put(c);
                after_space = false;
            }
        }
        self.sign("\"", false, false);
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn sign(&mut self, sign: &str, needs_space: bool, keeps_indentation: bool) {
        if needs_space && !self.after_space {
            self.put(' ');
        }
        for c in sign.chars() {
            self.put(c);
        }
        self.after_space = false;
        self.in_indentation &= keeps_indentation;
    }

    fn new_line(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.in_indentation || self.column > indent || (self.column == indent && !self.after_space) {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
            self.after_space = true;
        }
    }

    fn line_break(&mut self) {
        self.written_break('\n');
    }

    fn written_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
        self.after_space = true;
        self.in_indentation = true;
    }
}

fn is_simple_key(key: &Scalar) -> bool {
    key.text.len() <= LONGEST_SIMPLE_KEY && !Traits::of(&key.text).multiline
}

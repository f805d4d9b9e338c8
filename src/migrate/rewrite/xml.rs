//! Text of XML elements. A pull parser says where it stands; the document is never written anew.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape::{partial_escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};

use super::{Editor, RewriteError, Wanted};

/// An element whose end has not come yet.
struct Open {
    name: String,
    /// Whether it holds other elements: then it has no text of its own.
    parent: bool,
    text: Vec<Piece>,
}

/// A piece of an element's text.
struct Piece {
    at: Range<usize>,
    value: String,
    cdata: bool,
}

/// Finds what the rule names.
pub(super) fn scan(text: &str, editor: &mut Editor<'_>) -> Result<(), RewriteError> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = vec![];
    let mut root = false;
    loop {
        let start = position(reader.buffer_position());
        let event = reader.read_event().map_err(|error| {
            // The message names no more than tags.
            syntax(text, position(reader.error_position()), format!("this is not well-formed XML: {error}"))
        })?;
        let at = start..position(reader.buffer_position());
        match event {
            Event::Start(tag) => {
                enter(&tag, &mut open);
                root = true;
            }
            Event::Empty(tag) => {
                enter(&tag, &mut open);
                root = true;
                empty(text, at, &open, editor);
                open.pop();
            }
            Event::End(_) => {
                element(&open, at.start, editor);
                open.pop();
            }
            Event::Text(piece) => add(&mut open, Piece { at, value: piece.into_inner().into_owned(), cdata: false }),
            Event::CData(piece) => add(&mut open, Piece { at, value: piece.into_inner().into_owned(), cdata: true }),
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let value = match reference.resolve_char_ref() {
                    Ok(Some(c)) => c.to_string(),
                    Ok(None) => resolve_predefined_entity(&name).unwrap_or_default().to_owned(),
                    Err(error) => return Err(syntax(text, at.start, format!("this is not a character: {error}"))),
                };
                add(&mut open, Piece { at, value, cdata: false });
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match open.last() {
        Some(element) => Err(syntax(text, text.len(), format!("the end of `{}` is missing", element.name))),
        None if !root => Err(syntax(text, 0, "there is no XML element".to_owned())),
        None => Ok(()),
    }
}

fn enter(tag: &BytesStart<'_>, open: &mut Vec<Open>) {
    if let Some(parent) = open.last_mut() {
        parent.parent = true;
    }
    open.push(Open { name: tag.name().as_ref().to_owned(), parent: false, text: vec![] });
}

fn add(open: &mut [Open], piece: Piece) {
    if let Some(element) = open.last_mut() {
        element.text.push(piece);
    }
}

/// An element with its text, whose end tag starts at `end`.
fn element(open: &[Open], end: usize, editor: &mut Editor<'_>) {
    let Some(Open { parent: false, text, .. }) = open.last() else { return };
    let steps: Vec<&str> = open.iter().map(|element| element.name.as_str()).collect();
    let all: String = text.iter().map(|piece| piece.value.as_str()).collect();
    let value = all.trim();
    let new = match editor.wanted(&steps) {
        Wanted::Nothing => return,
        Wanted::Value(wanted) => Some(wanted.to_owned()).filter(|wanted| wanted != value),
        Wanted::Path => editor.path(&steps, value),
    };
    let Some(new) = new else { return };
    editor.note(&steps, value, &new);
    // White space around the value stays, and so do comments between the pieces of the text.
    let lead = all.get(..all.len() - all.trim_start().len()).unwrap_or_default();
    let tail = if value.is_empty() { "" } else { all.get(all.trim_end().len()..).unwrap_or_default() };
    let mut new = Some(format!("{lead}{new}{tail}"));
    for piece in text {
        let written = new.take().map(|new| if piece.cdata { cdata(&new) } else { partial_escape(new).into_owned() });
        editor.edits.push((piece.at.clone(), written.unwrap_or_default()));
    }
    if let Some(new) = new {
        editor.edits.push((end..end, partial_escape(new).into_owned()));
    }
}

/// `<name/>` is an element with an empty text.
fn empty(text: &str, at: Range<usize>, open: &[Open], editor: &mut Editor<'_>) {
    let steps: Vec<&str> = open.iter().map(|element| element.name.as_str()).collect();
    let Wanted::Value(wanted) = editor.wanted(&steps) else { return };
    if wanted.is_empty() {
        return;
    }
    let wanted = wanted.to_owned();
    let tag = text.get(at.clone()).unwrap_or_default();
    let inside = tag.trim_end_matches('>').trim_end_matches('/').trim_end();
    let name = steps.last().copied().unwrap_or_default();
    editor.note(&steps, "", &wanted);
    editor.edits.push((at, format!("{inside}>{}</{name}>", partial_escape(wanted))));
}

fn cdata(text: &str) -> String {
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}

fn position(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn syntax(text: &str, at: usize, message: String) -> RewriteError {
    let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    RewriteError::Syntax { line, message }
}

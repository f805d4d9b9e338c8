//! From the events of the YAML parser to [`Node`]s: anchors, merge keys, tags, duplicate keys and limits.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

use super::lenient::{Refusal, Text};
use super::{Kind, Map, Node, Tag, explain, scalar};
use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::{Error, Result};

/// How deep collections may be nested. Recursion over nodes relies on it.
pub(super) const MAX_DEPTH: usize = 128;

/// How many nodes all aliases of a document together may stand for. Aliases share memory, but whoever walks the tree
/// does not know that.
const MAX_ALIASED: usize = 1_000_000;

/// How many keys of a text that are written twice are told one by one. A text that a program made may hold any number.
const MAX_TOLD: usize = 20;

/// A document and what is questionable about it.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The document; null when the text is empty.
    pub node: Node,
    /// Duplicate keys.
    pub warnings: Vec<Diagnostic>,
}

/// The documents of a stream and what is questionable about them.
#[derive(Debug, Clone)]
pub struct ParsedAll {
    /// The documents in order; none when the text is empty.
    pub nodes: Vec<Node>,
    /// Duplicate keys.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a text that holds one YAML document. An empty text is null; a second document is an error.
pub fn parse(source: &Arc<Source>) -> Result<Parsed> {
    compose(source, |composer| {
        let node = match composer.next_document()? {
            Some(node) => node,
            None => Node::new(Kind::Null, Span::new(source, 0, 0)),
        };
        if let Some(second) = composer.next_document()? {
            return Err(Diagnostic::error("expected one YAML document, but here another one starts")
                .at(&Span::new(source, second.span.start, second.span.start + 1))
                .hint("remove the `---` before it, or move it to a file of its own")
                .into());
        }
        Ok(Parsed { node, warnings: composer.warnings() })
    })
}

/// Reads a text that holds any number of YAML documents.
pub fn parse_all(source: &Arc<Source>) -> Result<ParsedAll> {
    compose(source, |composer| {
        let mut nodes = vec![];
        while let Some(node) = composer.next_document()? {
            nodes.push(node);
        }
        Ok(ParsedAll { nodes, warnings: composer.warnings() })
    })
}

/// Composes with a text that the parser accepts, if there is one.
fn compose<T>(source: &Arc<Source>, documents: impl Fn(&mut Composer<'_>) -> Result<T>) -> Result<T> {
    let mut text = Text::new(&source.text);
    loop {
        let mut composer = Composer::new(source, &text);
        let outcome = documents(&mut composer);
        match (outcome, composer.refusal) {
            (Err(error), Some(refusal)) => match text.mend(&refusal) {
                Some(mended) => text = mended,
                None => return Err(error),
            },
            (outcome, _) => return outcome,
        }
    }
}

/// Reads a decrypted text that holds one YAML document. The nodes' source has no text to show, and errors and warnings tell only
/// the line.
pub fn parse_hidden(name: &str, text: &str) -> Result<Parsed> {
    let hidden = Source::hidden(name, text);
    let visible = Source::new(name, text);
    match parse(&visible) {
        Ok(parsed) => {
            let warnings = parsed.warnings.iter().map(|warning| {
                let place = warning.span.as_ref().map_or(0, |span| span.start);
                Diagnostic::warning("a key is written twice; the last one counts").at(&Span::new(&hidden, place, place))
            });
            Ok(Parsed { warnings: warnings.collect(), node: moved(&parsed.node, &hidden) })
        }
        Err(error) => {
            let span = error.diagnostics().first().and_then(|diagnostic| diagnostic.span.clone());
            let (line, place) = span.map_or((1, 0), |span| (span.line_col().0, span.start));
            Err(Diagnostic::error(format!("line {line} of the decrypted text is not valid YAML"))
                .at(&Span::new(&hidden, place, place))
                .into())
        }
    }
}

/// The same tree with its places in another source of the same text.
fn moved(node: &Node, source: &Arc<Source>) -> Node {
    let kind = match &node.kind {
        Kind::List(items) => Kind::List(Arc::new(items.iter().map(|item| moved(item, source)).collect())),
        Kind::Map(map) => {
            let entries = map.iter().map(|(key, value)| (moved(key, source), moved(value, source)));
            Kind::Map(Arc::new(Map::new(entries.collect())))
        }
        other => other.clone(),
    };
    Node { kind, span: Span::new(source, node.span.start, node.span.end), tag: node.tag }
}

/// A finished node that aliases may refer to.
struct Anchored {
    node: Node,
    /// How many nodes it consists of, aliases in it expanded.
    size: usize,
}

struct Composer<'a> {
    source: &'a Arc<Source>,
    text: &'a Text<'a>,
    parser: Parser<'a, StrInput<'a>>,
    /// Byte offset of every character; nothing when all are one byte long.
    offsets: Option<Vec<usize>>,
    anchors: HashMap<usize, Anchored>,
    size: usize,
    aliased: usize,
    depth: usize,
    /// How many `!unsafe` collections are open.
    unsafe_depth: usize,
    warnings: Vec<Diagnostic>,
    /// How many more keys are written twice, and the place of the first of them.
    untold: Option<(usize, Span)>,
    /// What the parser did not accept.
    refusal: Option<Refusal>,
}

impl<'a> Composer<'a> {
    fn new(source: &'a Arc<Source>, parser_text: &'a Text<'a>) -> Self {
        let text = source.text.as_str();
        let offsets = (!text.is_ascii())
            .then(|| text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).collect());
        Self {
            source,
            text: parser_text,
            parser: Parser::new_from_str(&parser_text.text),
            offsets,
            anchors: HashMap::new(),
            size: 0,
            aliased: 0,
            depth: 0,
            unsafe_depth: 0,
            warnings: vec![],
            untold: None,
            refusal: None,
        }
    }

    fn next_document(&mut self) -> Result<Option<Node>> {
        loop {
            match self.event()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(_), _) => {
                    self.anchors.clear();
                    self.aliased = 0;
                    let (event, span) = self.event()?;
                    return self.node(event, span).map(Some);
                }
                _ => {}
            }
        }
    }

    fn event(&mut self) -> Result<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let span = Span::new(self.source, self.offset(span.start), self.offset(span.end));
                Ok((event, span))
            }
            Some(Err(error)) => {
                let at = error.marker().index();
                self.refusal = Some(Refusal { at, info: error.info().to_owned() });
                Err(explain::scan_error(self.source, self.offset(*error.marker()), error.info()).into())
            }
            None => Ok((Event::StreamEnd, self.end_span())),
        }
    }

    fn offset(&self, marker: Marker) -> usize {
        let end = self.source.text.len();
        let index = self.text.original(marker.index());
        match &self.offsets {
            Some(offsets) => offsets.get(index).copied().unwrap_or(end),
            None => index.min(end),
        }
    }

    fn end_span(&self) -> Span {
        Span::new(self.source, self.source.text.len(), self.source.text.len())
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node> {
        self.size += 1;
        let size_before = self.size;
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, &span),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, self.scalar(&text, style, AppliedTag::new(tag.as_deref(), &span)?, span)?)
            }
            Event::SequenceStart(anchor, tag) => {
                let tag = AppliedTag::new(tag.as_deref(), &span)?;
                (anchor, self.collection(span, tag, Self::sequence)?)
            }
            Event::MappingStart(anchor, tag) => {
                let tag = AppliedTag::new(tag.as_deref(), &span)?;
                (anchor, self.collection(span, tag, Self::mapping)?)
            }
            _ => return Err(Error::internal("the YAML parser ended a collection that it never started").at(&span)),
        };
        if anchor != 0 {
            let size = self.size - size_before + 1;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<Node> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::error("this alias stands inside the value that it refers to").at(span).into());
        };
        self.size += anchored.size;
        self.aliased += anchored.size;
        if self.aliased > MAX_ALIASED {
            return Err(Diagnostic::error(format!("the aliases of this document stand for over {MAX_ALIASED} values"))
                .at(span)
                .hint("aliases of aliases multiply: write less of it, or use a template")
                .into());
        }
        Ok(anchored.node.clone())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: AppliedTag, mut span: Span) -> Result<Node> {
        let plain = style == ScalarStyle::Plain;
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            self.widen_to_block_header(&mut span);
        }
        if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
            self.cut_after_quote(&mut span);
        }
        let as_text = || Kind::Str(text.into());
        let kind = match tag {
            AppliedTag::None if plain => scalar::resolve(text),
            // What `!unsafe` and `!vault` mark is resolved as if it were not marked, and as if it were unquoted.
            AppliedTag::Mark(_) => scalar::resolve(text),
            AppliedTag::None | AppliedTag::Str => as_text(),
            AppliedTag::Core(name) => match (name, scalar::resolve(text)) {
                ("null", Kind::Null) => Kind::Null,
                ("bool", kind @ Kind::Bool(_)) | ("int", kind @ Kind::Int(_)) | ("float", kind @ Kind::Float(_)) => {
                    kind
                }
                ("float", Kind::Int(value)) => Kind::Float(value as f64),
                _ => {
                    return Err(Diagnostic::error(format!("`!!{name}` stands before `{text}`, which is none"))
                        .at(&span)
                        .into());
                }
            },
            AppliedTag::Collection(name) => {
                return Err(Diagnostic::error(format!("`!!{name}` stands before a single value")).at(&span).into());
            }
        };
        let mut node = Node::new(kind, span);
        node.tag = match tag {
            AppliedTag::Mark(Tag::Vault) if node.as_str().is_none() => {
                return Err(Diagnostic::error("`!age` and `!vault` need encrypted text")
                    .hint("`mms vault set` and `mms vault edit` write it")
                    .at(&node.span)
                    .into());
            }
            AppliedTag::Mark(Tag::Vault) => Some(Tag::Vault),
            AppliedTag::Mark(Tag::Unsafe) => node.as_str().is_some().then_some(Tag::Unsafe),
            _ => (self.unsafe_depth > 0 && node.as_str().is_some()).then_some(Tag::Unsafe),
        };
        Ok(node)
    }

    /// The parser's mark for the end of a quoted scalar stands behind the white space and the comment that follow it.
    fn cut_after_quote(&self, span: &mut Span) {
        let text = self.source.text.as_bytes();
        let Some(quote) = text.get(span.start).copied() else { return };
        let mut at = span.start + 1;
        while at < span.end {
            match text.get(at) {
                Some(b'\\') if quote == b'"' => at += 1,
                Some(byte) if *byte == quote && quote == b'\'' && text.get(at + 1) == Some(&quote) => at += 1,
                Some(byte) if *byte == quote => {
                    span.end = at + 1;
                    return;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// The parser reports a block scalar from its first line on; the `|` or `>` belongs to it.
    fn widen_to_block_header(&self, span: &mut Span) {
        let before = self.source.text.get(..span.start).unwrap_or_default();
        if let Some(at) =
            before.trim_end_matches([' ', '\t', '\n', '\r']).rfind('\n').map_or(Some(0), |at| Some(at + 1))
            && !self.source.text[span.start..].starts_with(['|', '>', '!', '&'])
            && let Some(header) = before[at..].rfind(['|', '>'])
        {
            span.start = at + header;
        }
        let text = self.source.text.get(span.start..span.end).unwrap_or_default();
        span.end = span.start + text.trim_end().len();
    }

    fn collection(
        &mut self,
        span: Span,
        tag: AppliedTag,
        compose: fn(&mut Self, &Span) -> Result<(Kind, Span)>,
    ) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(explain::too_deep(&span).into());
        }
        let is_unsafe = matches!(tag, AppliedTag::Mark(Tag::Unsafe));
        self.unsafe_depth += usize::from(is_unsafe);
        let (kind, end) = compose(self, &span)?;
        self.unsafe_depth -= usize::from(is_unsafe);
        self.depth -= 1;
        let node = Node::new(kind, Span::new(self.source, span.start, end.end));
        match (tag, &node.kind) {
            (AppliedTag::None | AppliedTag::Mark(Tag::Unsafe), _)
            | (AppliedTag::Collection("map"), Kind::Map(_))
            | (AppliedTag::Collection("seq"), Kind::List(_)) => Ok(node),
            (AppliedTag::Mark(Tag::Vault), _) => {
                Err(Diagnostic::error("`!age` and `!vault` need encrypted text, not a collection")
                    .at(&node.span)
                    .into())
            }
            (AppliedTag::Str, _) => Err(Diagnostic::error("`!!str` stands before a collection").at(&node.span).into()),
            (AppliedTag::Core(name) | AppliedTag::Collection(name), _) => {
                Err(Diagnostic::error(format!("`!!{name}` stands before {}", node.kind_name())).at(&node.span).into())
            }
        }
    }

    fn sequence(&mut self, start: &Span) -> Result<(Kind, Span)> {
        let mut items: Vec<Node> = vec![];
        loop {
            match self.event()? {
                (Event::SequenceEnd, end) => {
                    let end = self.collection_end(start, end, items.last());
                    return Ok((Kind::List(Arc::new(items)), end));
                }
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn mapping(&mut self, start: &Span) -> Result<(Kind, Span)> {
        let mut merged = Entries::default();
        let mut own = Entries::default();
        let mut last: Option<Node> = None;
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                let end = self.collection_end(start, span, last.as_ref());
                merged.0.extend(own.0);
                return Ok((Kind::Map(Arc::new(Map::new(merged.0.into_values().collect()))), end));
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span)?;
            let Some(identity) = Identity::of(&key) else {
                return Err(explain::collection_as_key(self.source, start, &key).into());
            };
            let (event, span) = self.event()?;
            let mut value = self.node(event, span)?;
            if value.is_null() && value.span.start < key.span.end {
                value.span = Span::new(self.source, key.span.end, key.span.end);
            }
            last = Some(value.clone());
            if is_merge {
                merged.merge(&key, &value)?;
            } else if let Some((first, _)) = own.0.insert(identity, (key.clone(), value)) {
                self.warn_duplicate(&first, &key);
            }
        }
    }

    /// What is questionable so far.
    fn warnings(&mut self) -> Vec<Diagnostic> {
        let mut warnings = std::mem::take(&mut self.warnings);
        if let Some((count, first)) = self.untold.take() {
            let what = if count == 1 { "1 more key is".to_owned() } else { format!("{count} more keys are") };
            warnings.push(Diagnostic::warning(format!("{what} written twice")).at(&first).label("the first of them"));
        }
        warnings
    }

    fn warn_duplicate(&mut self, first: &Node, second: &Node) {
        if self.warnings.len() >= MAX_TOLD {
            self.untold.get_or_insert_with(|| (0, second.span.clone())).0 += 1;
            return;
        }
        let name = self.source.text.get(second.span.start..second.span.end).unwrap_or("?").trim_matches(['"', '\'']);
        self.warnings.push(
            Diagnostic::warning(format!("the key `{name}` is written twice; the last one counts"))
                .at(&second.span)
                .label("this one counts")
                .related(&first.span, "this one is ignored")
                .hint("remove one of them"),
        );
    }

    /// A block collection ends where its last part ends; the parser reports the place of the next token instead.
    fn collection_end(&self, start: &Span, end: Span, last: Option<&Node>) -> Span {
        let closing = self.source.text.get(end.start..end.end).unwrap_or_default();
        if matches!(closing, "]" | "}") {
            return end;
        }
        // An alias stands elsewhere: its node's place says nothing about this collection's end.
        match last {
            Some(last) if last.span.end > start.start && last.span.end <= end.start.max(start.end) => last.span.clone(),
            _ => {
                let text = self.source.text.get(start.start..end.start).unwrap_or_default();
                Span::new(self.source, start.start, start.start + text.trim_end().len())
            }
        }
    }
}

/// The entries of a mapping under way, each key once.
#[derive(Default)]
struct Entries(IndexMap<Identity, (Node, Node)>);

impl Entries {
    /// Takes over what a `<<` key refers to: one mapping, or a list of them of which the first has precedence.
    fn merge(&mut self, key: &Node, value: &Node) -> Result<()> {
        let maps: Vec<&Node> = match &value.kind {
            Kind::Map(_) => vec![value],
            Kind::List(items) => items.iter().rev().collect(),
            _ => vec![value],
        };
        for node in maps {
            let Some(map) = node.as_map() else {
                return Err(Diagnostic::error(format!("`<<` merges mappings, but this is {}", node.kind_name()))
                    .at(&node.span)
                    .related(&key.span, "merged here")
                    .into());
            };
            for (key, value) in map.iter() {
                if let Some(identity) = Identity::of(key) {
                    self.0.insert(identity, (key.clone(), value.clone()));
                }
            }
        }
        Ok(())
    }
}

/// What makes two keys the same key: Python takes `1`, `1.0` and `yes` for the same.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Null,
    Int(i64),
    Float(u64),
    Text(Arc<str>),
}

impl Identity {
    fn of(key: &Node) -> Option<Self> {
        Some(match &key.kind {
            Kind::Null => Self::Null,
            Kind::Bool(value) => Self::Int(i64::from(*value)),
            Kind::Int(value) => Self::Int(*value),
            Kind::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => Self::Int(*value as i64),
            Kind::Float(value) => Self::Float(value.to_bits()),
            Kind::Str(text) => Self::Text(Arc::clone(text)),
            Kind::List(_) | Kind::Map(_) => return None,
        })
    }
}

/// A tag in front of a value.
#[derive(Clone, Copy)]
enum AppliedTag {
    None,
    /// `!!str` and `!!timestamp`: text.
    Str,
    /// `!!int` and the like.
    Core(&'static str),
    /// `!!map`, `!!seq`.
    Collection(&'static str),
    /// One with a meaning to Ansible.
    Mark(Tag),
}

impl AppliedTag {
    fn new(tag: Option<&saphyr_parser::Tag>, span: &Span) -> Result<Self> {
        let Some(tag) = tag else { return Ok(Self::None) };
        let written = match tag.handle.as_str() {
            "tag:yaml.org,2002:" => {
                match tag.suffix.as_str() {
                    "str" | "timestamp" => return Ok(Self::Str),
                    "null" => return Ok(Self::Core("null")),
                    "bool" => return Ok(Self::Core("bool")),
                    "int" => return Ok(Self::Core("int")),
                    "float" => return Ok(Self::Core("float")),
                    "map" => return Ok(Self::Collection("map")),
                    "seq" => return Ok(Self::Collection("seq")),
                    _ => {}
                }
                format!("!!{}", tag.suffix)
            }
            "" if tag.suffix == "!" => return Ok(Self::None),
            handle => {
                match (handle, tag.suffix.as_str()) {
                    ("!", "vault" | "vault-encrypted" | "age") => return Ok(Self::Mark(Tag::Vault)),
                    ("!", "unsafe") => return Ok(Self::Mark(Tag::Unsafe)),
                    _ => {}
                }
                format!("{handle}{}", tag.suffix)
            }
        };
        let end = span.start + written.len();
        Err(Diagnostic::error(format!("unknown tag `{written}`"))
            .at(&Span::new(&span.source, span.start, end))
            .did_you_mean(&written, ["!vault", "!unsafe", "!age", "!!str", "!!int", "!!bool", "!!float"])
            .hint("if the text is meant to start with `!`, put it in quotes")
            .into())
    }
}

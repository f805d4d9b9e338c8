//! The arguments of a task as they were written: a mapping, `key=value` words, or a module's free text.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Span};
use crate::error::{Error, Result};
use crate::modules::{FreeForm, Spec};
use crate::yaml::{Kind, Map, Node};

/// Arguments before templating.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Name, where the name stands, and value, each name once.
    pub entries: Vec<(String, Span, Node)>,
    /// `args: "{{ mapping }}"`: a template that yields more of them, which the entries override.
    pub template: Option<Node>,
}

impl Arguments {
    /// The value at a name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries.iter().find(|(key, ..)| key == name).map(|(.., value)| value)
    }

    /// Reads what stands at the module's name, and `args:`. Names are checked against the spec.
    pub fn read(spec: &Spec, at: &Span, value: &Node, args: Option<&Node>) -> Result<Self> {
        let mut arguments = Self::default();
        match &value.kind {
            Kind::Null => {}
            Kind::Map(map) => arguments.take_map(map)?,
            Kind::Str(text) => arguments.take_text(spec, text, value)?,
            Kind::List(_) | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => match spec.free_form {
                FreeForm::Verbatim(name) | FreeForm::Option(name) => {
                    arguments.entries.push((name.to_owned(), value.span.clone(), value.clone()));
                }
                _ => {
                    return Err(Error::user(format!(
                        "the arguments of `{}` must be a mapping, this is {}",
                        spec.name,
                        value.kind_name()
                    ))
                    .at(&value.span));
                }
            },
        }
        match args.map(|node| (&node.kind, node)) {
            None | Some((Kind::Null, _)) => {}
            Some((Kind::Map(map), _)) => arguments.take_map(map)?,
            Some((Kind::Str(text), node)) if text.contains("{{") => arguments.template = Some(node.clone()),
            Some((_, node)) => {
                return Err(
                    Error::user(format!("`args` must be a mapping, this is {}", node.kind_name())).at(&node.span)
                );
            }
        }
        arguments.check_names(spec, at)?;
        Ok(arguments)
    }

    fn take_map(&mut self, map: &Map) -> Result<()> {
        for (key, value) in map.iter() {
            let Some(name) = key.as_str() else {
                return Err(Error::user(format!("an argument's name must be a string, this is {}", key.kind_name()))
                    .at(&key.span));
            };
            self.set(name, &key.span, value.clone());
        }
        Ok(())
    }

    fn set(&mut self, name: &str, span: &Span, value: Node) {
        match self.entries.iter_mut().find(|(key, ..)| key == name) {
            Some(entry) => entry.2 = value,
            None => self.entries.push((name.to_owned(), span.clone(), value)),
        }
    }

    fn take_text(&mut self, spec: &Spec, text: &str, node: &Node) -> Result<()> {
        let part = |text: String| Node { kind: Kind::Str(text.into()), span: node.span.clone(), tag: node.tag };
        match spec.free_form {
            FreeForm::Verbatim(name) => self.set(name, &node.span, node.clone()),
            FreeForm::Option(name) => {
                let known = |key: &str| {
                    key != name && spec.options.iter().any(|option| option.name == key || option.aliases.contains(&key))
                };
                let mut rest = text.to_owned();
                // From the back, so that earlier ranges stay right.
                for word in parse_words(text).unwrap_or_default().into_iter().rev() {
                    if let Some((key, value)) = word.key_value()
                        && known(key)
                    {
                        self.set(key, &node.span, part(value));
                        let start = rest[..word.range.start].trim_end_matches(' ').len();
                        let end = word.range.end;
                        // The end of the text goes with its last word.
                        let end = if rest[end..].trim().is_empty() { rest.len() } else { end };
                        rest.replace_range(start..end, "");
                    }
                }
                self.entries.reverse();
                self.set(name, &node.span, part(rest.trim_start().to_owned()));
            }
            FreeForm::KeyValue | FreeForm::Any => {
                let Some(words) = parse_words(text) else {
                    return Err(Error::user("a quote or `{{` in these arguments is not closed").at(&node.span));
                };
                for word in words {
                    match word.key_value() {
                        Some((key, value)) => self.set(key, &node.span, part(value)),
                        None => {
                            return Err(Error::user(format!(
                                "`{}` takes `name=value` arguments, not the text `{}`",
                                spec.name, word.text
                            ))
                            .at(&node.span)
                            .hint("write the arguments as a mapping"));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn check_names(&self, spec: &Spec, at: &Span) -> Result<()> {
        if spec.free_form == FreeForm::Any {
            return Ok(());
        }
        let known = || {
            spec.options.iter().flat_map(|option| std::iter::once(option.name).chain(option.aliases.iter().copied()))
        };
        for (name, span, _) in &self.entries {
            if !known().any(|option| option == name) {
                let error = Diagnostic::error(format!("`{name}` is not an argument of `{}`", spec.name))
                    .at(span)
                    .did_you_mean(name, known());
                if !error.hints.is_empty() {
                    return Err(error.into());
                }
                let list = spec.options.iter().map(|option| option.name).collect::<Vec<_>>().join(", ");
                return Err(error.hint(format!("it has: {list}")).into());
            }
        }
        if self.template.is_none() {
            for option in spec.options.iter().filter(|option| option.default == crate::modules::Default::Required) {
                let given = self
                    .entries
                    .iter()
                    .any(|(name, ..)| name == option.name || option.aliases.contains(&name.as_str()));
                if !given {
                    return Err(Error::user(format!("`{}` needs the argument `{}`", spec.name, option.name)).at(at));
                }
            }
        }
        Ok(())
    }
}

/// A word of a line of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As it was written, quotes included.
    pub text: String,
    /// Where it stands in the line.
    pub range: Range<usize>,
}

impl Word {
    /// The two sides of `key=value`, the value without its quotes. A key is a plain name.
    pub fn key_value(&self) -> Option<(&str, String)> {
        let (key, value) = self.text.split_once('=')?;
        let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == '.');
        plain.then(|| (key, unquote(value)))
    }
}

fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.replace(&format!("\\{quote}"), &quote.to_string());
        }
    }
    value.to_owned()
}

/// Splits at white space outside quotes and outside `{{ }}`, `{% %}`, `{# #}`. Nothing when one of them is not closed.
pub fn parse_words(line: &str) -> Option<Vec<Word>> {
    let mut words: Vec<Word> = vec![];
    let mut start = None;
    let mut quote: Option<char> = None;
    let mut depth = 0usize;
    let mut before = '\0';
    for (at, c) in line.char_indices() {
        let escaped = before == '\\';
        match quote {
            Some(open) if c == open && !escaped => quote = None,
            Some(_) => {}
            None if (c == '"' || c == '\'') && !escaped && (depth > 0 || start.is_none() || before == '=') => {
                quote = Some(c)
            }
            None if before == '{' && "{%#".contains(c) => depth += 1,
            None if depth > 0 && c == '}' && "}%#".contains(before) => depth -= 1,
            None => {}
        }
        if c.is_whitespace() && quote.is_none() && depth == 0 {
            if let Some(from) = start.take() {
                words.push(Word { text: line[from..at].to_owned(), range: from..at });
            }
        } else if start.is_none() {
            start = Some(at);
        }
        before = if escaped { '\0' } else { c };
    }
    if quote.is_some() || depth > 0 {
        return None;
    }
    if let Some(from) = start {
        words.push(Word { text: line[from..].to_owned(), range: from..line.len() });
    }
    Some(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        parse_words(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_keep_quotes_and_templates_together() {
        assert_eq!(texts("a=1  b='x y' c={{ d e }}"), ["a=1", "b='x y'", "c={{ d e }}"]);
        assert_eq!(texts("echo it's \"fine here\""), ["echo", "it's", "\"fine here\""]);
        assert_eq!(parse_words("a='x"), None);
        let word = &parse_words("dest=\"/a b\"").unwrap()[0];
        assert_eq!(word.key_value(), Some(("dest", "/a b".to_owned())));
    }
}

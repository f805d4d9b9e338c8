//! How deep a template may be nested: everything that walks its tree does so by recursion, the parser's own tree included. The
//! parser limits brackets and blocks, but not chains (`1 + 1 + …`, `x.a.b.…`, `elif`), each link of which is a level of the tree.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::parse::{Mode, SyntaxError};

/// How many operations may build on each other.
const MAX: usize = 300;

/// Refuses a text whose tree would be too deep.
pub(super) fn check(text: &str, mode: &Mode) -> Result<(), SyntaxError> {
    // Each level takes a byte at least.
    if text.len() <= MAX {
        return Ok(());
    }
    let (in_expression, syntax) = match mode {
        Mode::Expression => (true, SyntaxConfig::default()),
        Mode::Yaml(syntax) | Mode::File(syntax, _) => (false, syntax.clone()),
    };
    let mut levels = Levels::default();
    let mut before = None;
    // What cannot be read as tokens is explained by the parser.
    for (token, span) in tokenize(text, in_expression, syntax).map_while(Result::ok) {
        let keyword = match &token {
            Token::Ident(name) => Some(*name),
            _ => None,
        };
        let deep = match (before, keyword) {
            (Some(Place::Block), Some(name)) => levels.block(name),
            (Some(Place::Dot), _) => false,
            _ => levels.token(&token),
        };
        if deep {
            let at = span.start_offset as usize..span.end_offset as usize;
            let message = format!("over {MAX} operations build on each other");
            return Err(SyntaxError { message, at: Some(at) });
        }
        before = match token {
            Token::BlockStart => Some(Place::Block),
            Token::Dot => Some(Place::Dot),
            _ => None,
        };
    }
    Ok(())
}

/// What stands before a word.
#[derive(Clone, Copy)]
enum Place {
    /// The start of a block: the word is its keyword.
    Block,
    /// A dot: the word is the name of an attribute.
    Dot,
}

/// How deep the tree is at a token.
#[derive(Default)]
struct Levels {
    /// Links of the chain at hand, and before it those of the brackets around it.
    chains: Vec<usize>,
    /// The number of `elif` of each open `if`.
    branches: Vec<usize>,
    /// The sum of both.
    sum: usize,
}

impl Levels {
    /// The keyword of a block.
    fn block(&mut self, name: &str) -> bool {
        match name {
            "if" => self.branches.push(0),
            "elif" => {
                if let Some(count) = self.branches.last_mut() {
                    *count += 1;
                    self.sum += 1;
                }
            }
            "endif" => self.sum -= self.branches.pop().unwrap_or(0),
            _ => {}
        }
        self.sum > MAX
    }

    fn token(&mut self, token: &Token<'_>) -> bool {
        match token {
            Token::VariableStart | Token::BlockStart | Token::VariableEnd | Token::BlockEnd => {
                self.sum -= self.chains.drain(..).sum::<usize>();
            }
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                self.link();
                self.chains.push(0);
            }
            Token::BracketClose | Token::ParenClose | Token::BraceClose => self.sum -= self.chains.pop().unwrap_or(0),
            Token::Comma | Token::Colon | Token::Assign => self.sum -= self.chains.last_mut().map_or(0, std::mem::take),
            Token::Ident("and" | "or" | "not" | "if" | "is" | "in")
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Pow
            | Token::Mod
            | Token::Dot
            | Token::Tilde
            | Token::Pipe
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte => self.link(),
            _ => {}
        }
        self.sum > MAX
    }

    /// One more level in the chain at hand.
    fn link(&mut self) {
        if self.chains.is_empty() {
            self.chains.push(0);
        }
        if let Some(chain) = self.chains.last_mut() {
            *chain += 1;
            self.sum += 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::template::parse::compile;

    fn refused(text: &str) -> Option<String> {
        compile(&text.into(), &Mode::Yaml(SyntaxConfig::default())).err().map(|error| error.message)
    }

    #[test]
    fn what_is_too_deep_is_an_error() {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{'a': ", "}"),
            ("x[", "]"),
            ("f(", ")"),
            ("x|d(", ")"),
            ("-", ""),
            ("not ", ""),
            ("1 + ", ""),
            ("1 ~ ", ""),
            ("2 ** ", ""),
            ("1 and ", ""),
            ("1 < ", ""),
            ("1 if x else ", ""),
            ("x is sameas ", ""),
        ] {
            let deep = format!("{{{{ {}1{} }}}}", open.repeat(100_000), close.repeat(100_000));
            assert!(refused(&deep).is_some(), "{open}");
        }
        for chain in [".a", "[0]", "()", "|d(1)", "[1:2]", " if x", " is defined"] {
            let deep = format!("{{{{ x{} }}}}", chain.repeat(100_000));
            assert_eq!(refused(&deep).as_deref(), Some("over 300 operations build on each other"), "{chain}");
        }
        let branches = format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(100_000));
        assert_eq!(refused(&branches).as_deref(), Some("over 300 operations build on each other"));
        let expression: std::sync::Arc<str> = "1 + ".repeat(100_000).into();
        assert!(compile(&expression, &Mode::Expression).is_err());
    }

    #[test]
    fn what_is_only_long_is_none() {
        for text in [
            format!("{{{{ [{}] }}}}", "1 + 1, ".repeat(10_000)),
            format!("{{{{ {{{}}} }}}}", "'a': x.y | d(1), ".repeat(10_000)),
            format!("{{{{ f({}) }}}}", "a=x.y[0], ".repeat(200)),
            "{{ x.y }}".repeat(10_000),
            "{% if x.y %}{% elif x.z %}{% endif %}".repeat(10_000),
            format!("{{{{ x{} }}}}", ".endif".repeat(250)),
        ] {
            assert_eq!(refused(&text), None, "{}", &text[..40]);
        }
    }
}

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

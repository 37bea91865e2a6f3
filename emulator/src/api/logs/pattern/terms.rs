//! Terms: words and quoted phrases anywhere in a message, in their case.

use super::Invalid;
use super::scanner::{Scanner, is_plain};

#[derive(Debug, Default)]
pub(super) struct Terms {
    /// All of them.
    wanted: Vec<String>,
    /// None of them.
    unwanted: Vec<String>,
    /// Any of them, if there are no others: "If you combine `?` with include and exclude terms, it is ignored."
    optional: Vec<String>,
}

pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Terms, Invalid> {
    let mut terms = Terms::default();
    loop {
        scanner.skip_space();
        let kind = match scanner.peek() {
            None => return Ok(terms),
            Some('?') => &mut terms.optional,
            Some('-') => &mut terms.unwanted,
            Some(_) => &mut terms.wanted,
        };
        let _ = scanner.take("?") || scanner.take("-");
        let term = match scanner.peek() {
            Some('"') => scanner.quoted()?,
            Some(next) if is_plain(next) => scanner.take_while(is_plain).to_owned(),
            Some(next) if !next.is_whitespace() => return Err(Invalid::Character(next)),
            _ => return scanner.expected("a term"),
        };
        // A term ends with a space: `a:b` is not two terms.
        if let Some(next) = scanner.peek().filter(|next| !next.is_whitespace()) {
            return Err(Invalid::Character(next));
        }
        kind.push(term);
    }
}

impl Terms {
    pub(super) fn match_in(&self, message: &str) -> bool {
        let within = |term: &String| message.contains(term.as_str());
        if self.wanted.is_empty() && self.unwanted.is_empty() {
            return self.optional.iter().any(within);
        }
        self.wanted.iter().all(within) && !self.unwanted.iter().any(within)
    }
}

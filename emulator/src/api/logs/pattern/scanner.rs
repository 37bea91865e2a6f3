//! Reads a pattern, character by character.

use regex::Regex;

use super::Invalid;

/// Source: "Filter pattern syntax": "a limit of 2 regex for each filter pattern when creating a delimited or JSON
/// filter pattern".
const MOST_REGEXES: usize = 2;

#[derive(Debug)]
pub(super) struct Scanner<'p> {
    rest: &'p str,
    /// Characters read.
    at: usize,
    regexes: usize,
}

impl<'p> Scanner<'p> {
    pub(super) fn new(pattern: &'p str) -> Self {
        Self { rest: pattern, at: 0, regexes: 0 }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        self.at += 1;
        Some(next)
    }

    pub(super) fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// Reads as long as the characters are `wanted`.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'p str {
        let end = self.rest.find(|next| !wanted(next)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.at += taken.chars().count();
        taken
    }

    /// Reads `wanted` if it comes next.
    pub(super) fn take(&mut self, wanted: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(wanted) else { return false };
        self.rest = rest;
        self.at += wanted.chars().count();
        true
    }

    /// Reads `wanted` if it comes next and is a word of its own.
    pub(super) fn take_word(&mut self, wanted: &str) -> bool {
        let follows = self.rest.strip_prefix(wanted).map(|rest| rest.chars().next());
        follows.is_some_and(|next| !next.is_some_and(is_plain)) && self.take(wanted)
    }

    /// The error that `expected` was expected at the scanner's position. Characters are counted from 1.
    pub(super) fn expected<T>(&self, expected: &'static str) -> Result<T, Invalid> {
        Err(Invalid::Expected { expected, at: self.at + 1 })
    }

    pub(super) fn end(&self) -> Result<(), Invalid> {
        if self.rest.is_empty() { Ok(()) } else { self.expected("the end") }
    }

    /// A phrase in double quotes; a backslash escapes the next character.
    pub(super) fn quoted(&mut self) -> Result<String, Invalid> {
        let mut phrase = String::new();
        self.take("\"");
        loop {
            match self.next() {
                Some('"') => return Ok(phrase),
                Some('\\') => match self.next() {
                    Some(escaped) => phrase.push(escaped),
                    None => return self.expected("a closing quote"),
                },
                Some(next) => phrase.push(next),
                None => return self.expected("a closing quote"),
            }
        }
    }

    /// A regular expression between percent signs.
    pub(super) fn regex(&mut self) -> Result<Regex, Invalid> {
        self.take("%");
        let expression = self.take_while(|next| next != '%');
        if !self.take("%") {
            return self.expected("a closing '%'");
        }
        if let Some(unsupported) = expression.chars().find(|next| !is_of_regex(*next)) {
            return Err(Invalid::Character(unsupported));
        }
        self.regexes += 1;
        if self.regexes > MOST_REGEXES {
            return Err(Invalid::TooManyRegexes);
        }
        Regex::new(expression).map_err(|_| Invalid::Regex(expression.to_owned()))
    }
}

/// Of a term without quotes: "Terms that contain characters other than alphanumeric and underscore must be placed
/// inside double quotes."
pub(super) fn is_plain(next: char) -> bool {
    next.is_alphanumeric() || next == '_'
}

/// Source: "Supported regular expressions (regex) syntax": alphanumeric, the symbols, the operators. No parentheses,
/// no multi-byte characters.
fn is_of_regex(next: char) -> bool {
    next.is_ascii_alphanumeric() || ":_#=@/;,-".contains(next) || "^$?[]{}|\\*+.".contains(next)
}

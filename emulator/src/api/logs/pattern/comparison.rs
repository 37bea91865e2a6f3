//! A value of a message against one of the pattern.

use regex::Regex;

use super::Invalid;
use super::scanner::Scanner;

#[derive(Debug)]
pub(super) enum Comparison {
    Equal(Text),
    Unequal(Text),
    Less(f64),
    LessOrEqual(f64),
    Greater(f64),
    GreaterOrEqual(f64),
}

/// What a value is equal to.
#[derive(Debug)]
pub(super) enum Text {
    /// Pieces with anything between them: `a*c` is `a`, `c`.
    Wildcard(Vec<String>),
    /// Also equal to other spellings of the number.
    Number(f64, String),
    Regex(Regex),
}

impl Comparison {
    /// Reads an operator and its value.
    pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Self, Invalid> {
        scanner.skip_space();
        let number: fn(f64) -> Self = if scanner.take("!=") {
            return Ok(Self::Unequal(Text::parse(scanner)?));
        } else if scanner.take("<=") {
            Self::LessOrEqual
        } else if scanner.take(">=") {
            Self::GreaterOrEqual
        } else if scanner.take("<") {
            Self::Less
        } else if scanner.take(">") {
            Self::Greater
        } else if scanner.take("=") {
            return Ok(Self::Equal(Text::parse(scanner)?));
        } else {
            return scanner.expected("a comparison");
        };
        scanner.skip_space();
        let expected = scanner.expected("a number");
        scanner.take_while(is_bare).parse().map(number).or(expected)
    }

    /// Whether it holds for a value written as `text`.
    pub(super) fn holds(&self, text: &str) -> bool {
        let number = || text.parse::<f64>().ok();
        match self {
            Self::Equal(value) => value.equals(text),
            Self::Unequal(value) => !value.equals(text),
            Self::Less(limit) => number().is_some_and(|number| number < *limit),
            Self::LessOrEqual(limit) => number().is_some_and(|number| number <= *limit),
            Self::Greater(limit) => number().is_some_and(|number| number > *limit),
            Self::GreaterOrEqual(limit) => number().is_some_and(|number| number >= *limit),
        }
    }

    /// Whether it holds for any value at all: `= "*"`, the way to test for presence.
    pub(super) fn is_presence(&self) -> bool {
        matches!(self, Self::Equal(Text::Wildcard(pieces)) if pieces.len() > 1 && pieces.iter().all(String::is_empty))
    }
}

impl Text {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self, Invalid> {
        scanner.skip_space();
        let wildcard = |text: &str| Self::Wildcard(text.split('*').map(str::to_owned).collect());
        match scanner.peek() {
            Some('"') => Ok(wildcard(&scanner.quoted()?)),
            Some('%') => Ok(Self::Regex(scanner.regex()?)),
            Some(next) if is_bare(next) => {
                let text = scanner.take_while(is_bare);
                let number = text.parse().map(|number| Self::Number(number, text.to_owned()));
                Ok(number.unwrap_or_else(|_| wildcard(text)))
            }
            _ => scanner.expected("a value"),
        }
    }

    fn equals(&self, text: &str) -> bool {
        match self {
            Self::Wildcard(pieces) => matches_pieces(pieces, text),
            #[expect(clippy::float_cmp, reason = "two spellings of one number parse to the same float")]
            Self::Number(number, spelling) => {
                text == spelling || text.parse::<f64>().is_ok_and(|other| other == *number)
            }
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Of a value without quotes.
fn is_bare(next: char) -> bool {
    next.is_alphanumeric() || "_*.+-".contains(next)
}

/// Whether `text` is the pieces in order with anything between them.
fn matches_pieces(pieces: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else {
        return pieces.first().is_some_and(|only| only == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        let Some(found) = rest.find(piece.as_str()) else { return false };
        rest = &rest[found + piece.len()..];
    }
    rest.ends_with(last.as_str())
}

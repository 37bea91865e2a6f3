//! Conditions on a message that is JSON: `{ ($.a.b[0] = "x*" || $.n > 5) && $.c NOT EXISTS }`.

use serde_json::Value;

use super::Invalid;
use super::comparison::Comparison;
use super::scanner::{Scanner, is_plain};

#[derive(Debug)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Property(Vec<Step>, Test),
}

#[derive(Debug)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

#[derive(Debug)]
pub(super) enum Test {
    Compares(Comparison),
    IsNull,
    IsTrue,
    IsFalse,
    NotExists,
}

/// Reads from `{` to `}`.
pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Condition, Invalid> {
    scanner.take("{");
    let condition = any(scanner)?;
    scanner.skip_space();
    if scanner.take("}") { Ok(condition) } else { scanner.expected("'}'") }
}

/// `||` binds less than `&&`.
fn any(scanner: &mut Scanner<'_>) -> Result<Condition, Invalid> {
    let mut conditions = vec![all(scanner)?];
    while next_is(scanner, "||") {
        conditions.push(all(scanner)?);
    }
    Ok(Condition::Any(conditions))
}

fn all(scanner: &mut Scanner<'_>) -> Result<Condition, Invalid> {
    let mut conditions = vec![one(scanner)?];
    while next_is(scanner, "&&") {
        conditions.push(one(scanner)?);
    }
    Ok(Condition::All(conditions))
}

fn next_is(scanner: &mut Scanner<'_>, wanted: &str) -> bool {
    scanner.skip_space();
    scanner.take(wanted)
}

fn one(scanner: &mut Scanner<'_>) -> Result<Condition, Invalid> {
    if next_is(scanner, "(") {
        let condition = any(scanner)?;
        return if next_is(scanner, ")") { Ok(condition) } else { scanner.expected("')'") };
    }
    let property = selector(scanner)?;
    scanner.skip_space();
    let test = if scanner.take_word("IS") {
        scanner.skip_space();
        if scanner.take_word("NULL") {
            Test::IsNull
        } else if scanner.take_word("TRUE") {
            Test::IsTrue
        } else if scanner.take_word("FALSE") {
            Test::IsFalse
        } else {
            return scanner.expected("NULL, TRUE or FALSE");
        }
    } else if scanner.take_word("NOT") {
        scanner.skip_space();
        if !scanner.take_word("EXISTS") {
            return scanner.expected("EXISTS");
        }
        Test::NotExists
    } else {
        Test::Compares(Comparison::parse(scanner)?)
    };
    Ok(Condition::Property(property, test))
}

/// `$.a.b[0].c`, and `$.['a.b']` for a name with other characters.
fn selector(scanner: &mut Scanner<'_>) -> Result<Vec<Step>, Invalid> {
    if !scanner.take("$") {
        return scanner.expected("'$'");
    }
    let mut steps = Vec::new();
    loop {
        let dotted = scanner.take(".");
        if scanner.take("['") {
            steps.push(Step::Member(scanner.take_while(|next| next != '\'').to_owned()));
            if !scanner.take("']") {
                return scanner.expected("\"']\"");
            }
        } else if dotted {
            let name = scanner.take_while(|next| is_plain(next) || next == '-');
            if name.is_empty() {
                return scanner.expected("a property");
            }
            steps.push(Step::Member(name.to_owned()));
        } else if scanner.take("[") {
            let expected = scanner.expected("an index");
            let index = scanner.take_while(|next| next.is_ascii_digit()).parse();
            steps.push(index.map(Step::Element).or(expected)?);
            if !scanner.take("]") {
                return scanner.expected("']'");
            }
        } else if steps.is_empty() {
            return scanner.expected("a property");
        } else {
            return Ok(steps);
        }
    }
}

impl Condition {
    pub(super) fn holds(&self, message: &Value) -> bool {
        match self {
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(message)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(message)),
            Self::Property(steps, test) => {
                let value = steps.iter().try_fold(message, |value, step| match step {
                    Step::Member(name) => value.get(name),
                    Step::Element(index) => value.get(index),
                });
                // A missing property has no value to compare: only NOT EXISTS holds for it.
                value.map_or(matches!(test, Test::NotExists), |value| test.holds(value))
            }
        }
    }
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::NotExists, _) => false,
            (Self::IsNull, value) => value.is_null(),
            (Self::IsTrue, value) => *value == Value::Bool(true),
            (Self::IsFalse, value) => *value == Value::Bool(false),
            (Self::Compares(comparison), Value::String(text)) => comparison.holds(text),
            (Self::Compares(comparison), Value::Number(number)) => comparison.holds(&number.to_string()),
            (Self::Compares(comparison), Value::Bool(truth)) => comparison.holds(&truth.to_string()),
            (Self::Compares(comparison), Value::Array(_) | Value::Object(_)) => comparison.is_presence(),
            (Self::Compares(_), Value::Null) => false,
        }
    }
}

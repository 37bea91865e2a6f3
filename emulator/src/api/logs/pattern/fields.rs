//! Conditions on a message's space-delimited fields: `[ip, ..., status = 4* || status = 5*, bytes]`.

use super::Invalid;
use super::comparison::Comparison;
use super::scanner::{Scanner, is_plain};

#[derive(Debug)]
pub(super) struct Fields {
    /// From the beginning of the message.
    first: Vec<Field>,
    /// To its end, any number of fields after `first`; `None` if `first` has all of them.
    last: Option<Vec<Field>>,
}

/// The alternatives for a field, each a list of conditions that must all hold. No alternatives: any value.
type Field = Vec<Vec<Comparison>>;

/// Reads from `[` to `]`.
pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Fields, Invalid> {
    scanner.take("[");
    let mut fields = Fields { first: Vec::new(), last: None };
    loop {
        scanner.skip_space();
        let expected = scanner.expected("a single '...'");
        if scanner.take("...") {
            if fields.last.is_some() {
                return expected;
            }
            fields.last = Some(Vec::new());
        } else {
            let field = field(scanner)?;
            fields.last.as_mut().unwrap_or(&mut fields.first).push(field);
        }
        scanner.skip_space();
        if scanner.take("]") {
            return Ok(fields);
        }
        if !scanner.take(",") {
            return scanner.expected("',' or ']'");
        }
    }
}

fn field(scanner: &mut Scanner<'_>) -> Result<Field, Invalid> {
    let name = name(scanner)?;
    scanner.skip_space();
    if scanner.peek().is_none_or(|next| next == ',' || next == ']') {
        return Ok(Vec::new());
    }
    let mut alternatives = vec![vec![Comparison::parse(scanner)?]];
    loop {
        scanner.skip_space();
        if scanner.take("||") {
            alternatives.push(Vec::new());
        } else if !scanner.take("&&") {
            return Ok(alternatives);
        }
        scanner.skip_space();
        let expected = scanner.expected("the same field");
        if self::name(scanner)? != name {
            return expected;
        }
        let comparison = Comparison::parse(scanner)?;
        // There is one since the beginning.
        if let Some(all) = alternatives.last_mut() {
            all.push(comparison);
        }
    }
}

fn name<'p>(scanner: &mut Scanner<'p>) -> Result<&'p str, Invalid> {
    let name = scanner.take_while(|next| is_plain(next) || next == '-');
    if name.is_empty() { scanner.expected("a field") } else { Ok(name) }
}

impl Fields {
    pub(super) fn match_in(&self, message: &str) -> bool {
        let values = split(message);
        let holds = |fields: &[Field], values: &[&str]| {
            fields.iter().zip(values).all(|(alternatives, value)| {
                alternatives.is_empty()
                    || alternatives.iter().any(|all| all.iter().all(|comparison| comparison.holds(value)))
            })
        };
        match &self.last {
            None => values.len() == self.first.len() && holds(&self.first, &values),
            Some(last) => {
                values.len() >= self.first.len() + last.len()
                    && holds(&self.first, &values)
                    && holds(last, &values[values.len() - last.len()..])
            }
        }
    }
}

/// The fields of a message: what is between brackets or double quotes is one.
fn split(message: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        let enclosed = closing.and_then(|closing| rest[1..].split_once(closing));
        let (field, after) = enclosed.or_else(|| rest.split_once(char::is_whitespace)).unwrap_or((rest, ""));
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}

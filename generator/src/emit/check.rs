//! Validation: an `impl Validate` for each structure that a request can carry, and a function for each scalar,
//! list and map that has constraints.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::types::{rust_type, type_name};
use crate::layout::{Layout, Service};
use crate::model::{Kind, Model, Reference, Shape};
use crate::names;

/// Names of the shapes that have a constraint, of their own or in a part.
pub(super) fn constrained(model: &Model) -> BTreeSet<&str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    // Shapes refer to each other in cycles, so this repeats until nothing is added.
    loop {
        let before = found.len();
        for (name, shape) in &model.shapes {
            if has_own(shape) || shape.parts().any(|part| found.contains(part)) {
                found.insert(name);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn has_own(shape: &Shape) -> bool {
    !shape.document
        && (is_limited(shape)
            || shape.pattern.is_some()
            || !shape.values.is_empty()
            || !shape.required.is_empty())
}

/// Whether `min` or `max` excludes anything: a length of at least 0 does not.
fn is_limited(shape: &Shape) -> bool {
    let number = matches!(shape.kind, Kind::Integer | Kind::Long | Kind::Double);
    shape.max.is_some() || shape.min.is_some_and(|min| number || min > 0.0)
}

/// `impl Validate` for a structure; nothing for an enumeration, which checks its own values.
pub(super) fn implementation(
    model: &Model,
    constrained: &BTreeSet<&str>,
    name: &str,
    shape: &Shape,
) -> anyhow::Result<String> {
    if shape.kind != Kind::Structure {
        return Ok(String::new());
    }
    let mut body = String::new();
    for (member, reference) in &shape.members {
        let field = names::field(member);
        let check = checker(model, constrained, reference)?;
        let required = shape.required.contains(member);
        let _ = match (required, check) {
            (true, Some(check)) => writeln!(body, "found.required({member:?}, &self.{field}, {check});"),
            (true, None) => writeln!(body, "found.present({member:?}, &self.{field});"),
            (false, Some(check)) => writeln!(body, "found.optional({member:?}, &self.{field}, {check});"),
            (false, None) => Ok(()),
        };
    }
    let name = type_name(name);
    Ok(if body.is_empty() {
        format!("\nimpl Validate for {name} {{}}\n")
    } else {
        format!(
            "\nimpl Validate for {name} {{\n    fn validate(&self, found: &mut Violations) {{\n{body}    }}\n}}\n"
        )
    })
}

/// The function that checks a value of that shape, if there is anything to check.
fn checker(
    model: &Model,
    constrained: &BTreeSet<&str>,
    reference: &Reference,
) -> anyhow::Result<Option<String>> {
    let name = reference.shape.as_str();
    if !constrained.contains(name) {
        return Ok(None);
    }
    let shape = model.shape(name)?;
    Ok(Some(match shape.kind {
        Kind::Structure => "Validate::validate".to_owned(),
        Kind::String if !shape.values.is_empty() => "Violations::value_set".to_owned(),
        _ => format!("check::{}", names::snake(name)),
    }))
}

/// The functions of `check.rs`.
pub(super) fn functions(
    service: &Service,
    model: &Model,
    layout: &Layout,
    constrained: &BTreeSet<&str>,
) -> anyhow::Result<String> {
    let mut patterns = String::new();
    let mut listed = String::new();
    let mut text = String::new();
    for name in layout.requested.iter().filter(|name| constrained.contains(name.as_str())) {
        let shape = model.shape(name)?;
        if shape.is_named() {
            continue;
        }
        let taken = match rust_type(service, model, name)?.as_str() {
            "String" => "&str".to_owned(),
            other => match other.strip_prefix("Vec<").and_then(|inner| inner.strip_suffix('>')) {
                Some(inner) => format!("&[{inner}]"),
                None => format!("&{other}"),
            },
        };
        let mut body = limits(shape)?;
        if let Some(pattern) = &shape.pattern {
            let constant = names::snake(name).to_ascii_uppercase();
            let _ = writeln!(
                patterns,
                "static {constant}: Pattern = Pattern::new({}, {});",
                raw(pattern),
                raw(&ascii_classes(pattern))
            );
            let _ = writeln!(listed, "&{constant},");
            let _ = writeln!(body, "found.pattern(value, &{constant});");
        }
        let parts = [("each", &shape.member), ("keys", &shape.key), ("values", &shape.value)];
        for (what, part) in parts {
            let Some(part) = part else { continue };
            let Some(check) = checker(model, constrained, part)? else { continue };
            let check = check.trim_start_matches("check::");
            let of_structures = model.shape(&part.shape)?.kind == Kind::Structure;
            let what = if what == "each" && !of_structures { "members" } else { what };
            let _ = writeln!(body, "found.{what}(value, {check});");
        }
        let _ = write!(
            text,
            "\npub(super) fn {}(value: {taken}, found: &mut Violations) {{\n{body}}}\n",
            names::snake(name)
        );
    }
    if patterns.is_empty() {
        return Ok(text);
    }
    Ok(format!(
        "{patterns}\n\
         /// Every pattern, for the test that all of them compile.\n\
         #[cfg(test)]\npub(in crate::api) const PATTERNS: &[&Pattern] = &[{listed}];\n{text}"
    ))
}

/// The calls that check `min` and `max`.
fn limits(shape: &Shape) -> anyhow::Result<String> {
    let whole = |limit: Option<f64>| match limit {
        Some(limit) => format!("Some({limit})"),
        None => "None".to_owned(),
    };
    let (min, max) = (whole(shape.min), whole(shape.max));
    if !is_limited(shape) {
        return Ok(String::new());
    }
    Ok(match shape.kind {
        Kind::String => format!("found.length(value, {min}, {max});\n"),
        Kind::List | Kind::Map => format!("found.size(value.len(), {min}, {max});\n"),
        Kind::Integer => format!("found.range(i64::from(*value), {min}, {max});\n"),
        Kind::Long => format!("found.range(*value, {min}, {max});\n"),
        Kind::Double => {
            let float = |limit: Option<f64>| format!("{limit:?}");
            format!("found.range_of_doubles(*value, {}, {});\n", float(shape.min), float(shape.max))
        }
        other => anyhow::bail!("limits on a {other:?}"),
    })
}

/// A pattern for Rust's regex, in which `\w` and `\d` are Unicode's: AWS's are ASCII's.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::new();
    let mut letters = pattern.chars();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('w') if in_class => out.push_str("_0-9A-Za-z"),
                Some('w') => out.push_str("[_0-9A-Za-z]"),
                Some('d') if in_class => out.push_str("0-9"),
                Some('d') => out.push_str("[0-9]"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' => {
                in_class = true;
                out.push('[');
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            other => out.push(other),
        }
    }
    out
}

/// A raw string literal.
fn raw(text: &str) -> String {
    if text.contains('"') || text.contains('#') { format!("r##\"{text}\"##") } else { format!("r\"{text}\"") }
}

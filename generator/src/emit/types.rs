//! Structures and enumerations.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, ensure};

use crate::layout::{Layout, Service, holds_itself};
use crate::model::{Kind, Model, Protocol, Reference, Shape};
use crate::names;

/// The imports of a file of a service's module: what `body` mentions and does not define.
pub(super) fn imports(model: &Model, layout: &Layout, body: &str) -> String {
    let code = body.lines().filter(|line| !line.trim_start().starts_with("///"));
    let words: BTreeSet<&str> =
        code.flat_map(|line| line.split(|l: char| !(l.is_ascii_alphanumeric() || l == '_'))).collect();
    let mentioned = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| words.contains(*name)).map(|name| (*name).to_owned()).collect()
    };
    let defined = |name: &str| {
        let begin = [format!("pub struct {name} {{"), format!("    {name} {{\n")];
        begin.iter().any(|begin| body.contains(begin))
    };
    let laid_out: BTreeSet<&String> = layout.files.values().flatten().collect();
    let named = model.shapes.keys().filter(|name| laid_out.contains(name)).map(|name| type_name(name));

    let mut siblings: Vec<String> =
        named.filter(|name| words.contains(name.as_str()) && !defined(name)).collect();
    // A variant may have the name of a structure, and an enumeration refers to no other type.
    if words.contains("enumeration") {
        siblings.clear();
    }
    if body.contains("check::") {
        siblings.push("check".to_owned());
    }
    let mut text = String::new();
    for (path, names) in [
        ("std::collections", mentioned(&["BTreeMap"])),
        ("serde", mentioned(&["Deserialize", "Serialize"])),
        (
            "super::super::shape",
            mentioned(&[
                "Blob",
                "EpochSeconds",
                "Iso8601",
                "Pattern",
                "Validate",
                "Violations",
                "enumeration",
            ]),
        ),
        ("super", siblings),
    ] {
        // The services' own modules are in one block.
        let blank = if path.starts_with("super::") { "" } else { "\n" };
        if !names.is_empty() {
            let _ = writeln!(text, "use {path}::{{{}}};{blank}", names.join(", "));
        }
    }
    text
}

/// The definition of a named shape.
pub(super) fn named(
    service: &Service,
    model: &Model,
    layout: &Layout,
    name: &str,
    shape: &Shape,
) -> anyhow::Result<String> {
    let mut text = String::from("\n");
    if shape.kind == Kind::Structure {
        document(&mut text, shape, "");
        structure(&mut text, service, model, layout, name, shape)?;
    } else {
        text.push_str("enumeration! {\n");
        document(&mut text, shape, "    ");
        enumeration(&mut text, name, shape)?;
        text.push_str("}\n");
    }
    Ok(text)
}

fn document(text: &mut String, shape: &Shape, indent: &str) {
    let prose = names::first_sentence(&shape.documentation);
    if !prose.is_empty() {
        let _ = writeln!(text, "{indent}/// {prose}");
    }
}

/// Validation checks whether a member is required, so every member is an `Option`: this distinguishes a missing value from
/// an empty one.
fn structure(
    text: &mut String,
    service: &Service,
    model: &Model,
    layout: &Layout,
    name: &str,
    shape: &Shape,
) -> anyhow::Result<()> {
    let written = layout.written.contains(name);
    let directions = match (written, layout.read.contains(name)) {
        (true, true) => "Serialize, Deserialize",
        (true, false) => "Serialize",
        (false, _) => "Deserialize",
    };
    let protocol = model.metadata.protocol;
    ensure!(
        protocol != Protocol::Ec2 || directions != "Serialize, Deserialize",
        "{name} goes both ways, under different names"
    );
    // The case that most members have, so that few need their own name.
    let in_camel_case =
        matches!(protocol, Protocol::Json | Protocol::RestJson) || (protocol == Protocol::Ec2 && written);
    let case = if in_camel_case { "camelCase" } else { "PascalCase" };
    let _ = writeln!(text, "#[derive(Clone, Debug, Default, PartialEq, {directions})]");
    let _ = writeln!(text, "#[serde(rename_all = {case:?})]");
    let _ = writeln!(text, "pub struct {} {{", type_name(name));
    for (member, reference) in &shape.members {
        let field = names::field(member);
        let mut rust = rust_type(service, model, &reference.shape)
            .with_context(|| format!("member {member} of {name}"))?;
        if holds_itself(model, &reference.shape) {
            rust = format!("Box<{rust}>");
        }
        let mut attributes = Vec::new();
        let camel = names::serde_camel(&field);
        let by_case = if in_camel_case { camel } else { names::capitalized(&camel) };
        let wire = wire_name(protocol, written, member, reference);
        if by_case != wire {
            attributes.push(format!("rename = {wire:?}"));
        }
        if written {
            attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
        }
        if !attributes.is_empty() {
            let _ = writeln!(text, "    #[serde({})]", attributes.join(", "));
        }
        let _ = writeln!(text, "    pub {field}: Option<{rust}>,");
    }
    text.push_str("}\n");
    Ok(())
}

/// A member's name on the wire.
fn wire_name(protocol: Protocol, written: bool, member: &str, reference: &Reference) -> String {
    let located = reference.location_name.as_deref().unwrap_or(member);
    match protocol {
        Protocol::Json => member.to_owned(),
        // The name of its location is the header's or the label's.
        Protocol::RestJson if reference.location.is_some() => member.to_owned(),
        Protocol::RestJson => located.to_owned(),
        Protocol::Query => located.to_owned(),
        Protocol::Ec2 if written => located.to_owned(),
        // Smithy's EC2 query protocol: a form has the name that responses have, with a capital, unless the model specifies
        // another.
        Protocol::Ec2 => reference.query_name.clone().unwrap_or_else(|| names::capitalized(located)),
    }
}

fn enumeration(text: &mut String, name: &str, shape: &Shape) -> anyhow::Result<()> {
    let _ = writeln!(text, "    {} {{", type_name(name));
    let mut variants = Vec::new();
    for value in &shape.values {
        let variant = names::variant(value);
        ensure!(variant != "Other", "{name} has a value {value:?}, the name of the open variant");
        ensure!(!variants.contains(&variant), "two values of {name} become {variant}");
        let _ = writeln!(text, "        {variant} = {value:?},");
        variants.push(variant);
    }
    text.push_str("    }\n");
    Ok(())
}

/// A shape's name as a type. The models write it in camel case if there is no Java class for it.
pub(super) fn type_name(name: &str) -> String {
    names::capitalized(name)
}

/// The Rust type of a shape where it is used: named shapes by name, all others written out.
pub(super) fn rust_type(service: &Service, model: &Model, name: &str) -> anyhow::Result<String> {
    let shape = model.shape(name)?;
    if shape.is_named() {
        return Ok(type_name(name));
    }
    let part = |reference: &Option<crate::model::Reference>| {
        let reference = reference.as_ref().with_context(|| format!("{name} lacks a part"))?;
        rust_type(service, model, &reference.shape)
    };
    Ok(match shape.kind {
        Kind::Structure => "serde_json::Value".to_owned(),
        Kind::List => format!("Vec<{}>", part(&shape.member)?),
        Kind::Map => format!("BTreeMap<{}, {}>", part(&shape.key)?, part(&shape.value)?),
        Kind::String => "String".to_owned(),
        Kind::Integer => "i32".to_owned(),
        Kind::Long => "i64".to_owned(),
        Kind::Double => "f64".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Timestamp => service.timestamp.to_owned(),
        Kind::Blob => "Blob".to_owned(),
    })
}

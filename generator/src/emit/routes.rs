//! The routes of the operations of a REST service: its `ROUTES`.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};

use crate::model::{Kind, Location, Model, Operation, Reference};

pub(super) fn routes(model: &Model) -> anyhow::Result<String> {
    let mut text = String::from(
        "\nuse super::shape::{Location, Member, Route};\n\n/// The route of each operation.\npub const ROUTES: &[Route] = &[\n",
    );
    for (name, operation) in &model.operations {
        route(&mut text, model, name, operation).with_context(|| format!("the route of {name}"))?;
    }
    text.push_str("];\n\n");
    Ok(text)
}

fn route(text: &mut String, model: &Model, name: &str, operation: &Operation) -> anyhow::Result<()> {
    let http = &operation.http;
    let uri = &http.request_uri;
    ensure!(!uri.contains(['+', '?']), "{uri} has a label of several segments, or a fixed query string");
    let _ = writeln!(
        text,
        "Route {{ operation: {name:?}, method: {:?}, uri: {uri:?}, status: {}, input: &[{}], output: &[{}] }},",
        http.method,
        http.response_code.unwrap_or(200),
        members(model, operation.input.as_ref())?,
        members(model, operation.output.as_ref())?,
    );
    Ok(())
}

/// The members that are outside of the body.
fn members(model: &Model, structure: Option<&Reference>) -> anyhow::Result<String> {
    let Some(structure) = structure else { return Ok(String::new()) };
    let shape = model.shape(&structure.shape)?;
    ensure!(shape.payload.is_none(), "{} has a body that is one of its members", structure.shape);
    let mut text = String::new();
    for (member, reference) in &shape.members {
        let Some(location) = reference.location else { continue };
        let name = reference.location_name.as_deref().unwrap_or(member);
        let kind = model.shape(&reference.shape)?.kind;
        let location = match location {
            Location::Uri => format!("Path({name:?})"),
            Location::Query => format!("Query({name:?})"),
            Location::Header => format!("Header({:?})", name.to_ascii_lowercase()),
            Location::StatusCode => "Status".to_owned(),
            Location::Headers => bail!("{member} is a map of headers"),
        };
        ensure!(
            matches!(kind, Kind::String | Kind::Integer | Kind::Long | Kind::Double | Kind::Boolean)
                || (kind == Kind::List && location.starts_with("Query")),
            "{member} is a {kind:?} outside of the body"
        );
        let _ = write!(text, "Member {{ name: {member:?}, location: Location::{location} }}, ");
    }
    Ok(text)
}

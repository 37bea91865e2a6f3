//! A service's `mod.rs`: its files, its place on the wire and the names of all its operations.

use std::fmt::Write as _;

use anyhow::Context as _;

use crate::layout::Layout;
use crate::model::{Model, Protocol};

/// `check` is the text of the service's `check.rs`, empty if there is none; `errors`: whether it has an `error.rs`.
pub(super) fn module(model: &Model, layout: &Layout, check: &str, errors: bool) -> anyhow::Result<String> {
    let mut text = super::header(&format!("{}.", model.metadata.service_full_name));
    if !check.is_empty() {
        text.push_str("mod check;\n");
    }
    for file in layout.files.keys() {
        let _ = writeln!(text, "mod {file};");
    }
    if errors {
        text.push_str("pub mod error;\n");
    }
    text.push('\n');
    for file in layout.files.keys() {
        let _ = writeln!(text, "pub use {file}::*;");
    }
    text.push_str(&place(model)?);
    text.push_str(
        "/// The name of every operation that the service has, sorted.\npub const OPERATIONS: &[&str] = &[\n",
    );
    for name in model.operations.keys() {
        let _ = writeln!(text, "    {name:?},");
    }
    text.push_str("];\n");
    if check.contains(" PATTERNS") {
        text.push_str("\n#[cfg(test)]\npub(in crate::api) use check::PATTERNS;\n");
    }
    Ok(text)
}

/// How a request names this service.
fn place(model: &Model) -> anyhow::Result<String> {
    let metadata = &model.metadata;
    Ok(match metadata.protocol {
        Protocol::Json => {
            let prefix = metadata.target_prefix.as_ref().context("the model has no target prefix")?;
            format!(
                "\n/// The part before the dot in `X-Amz-Target`.\npub const TARGET_PREFIX: &str = {prefix:?};\n\n"
            )
        }
        Protocol::RestJson => super::routes::routes(model)?,
        Protocol::Ec2 | Protocol::Query => {
            let namespace = metadata.xml_namespace.as_ref().context("the model has no XML namespace")?;
            format!(
                "\n/// A request's `Version`.\npub const API_VERSION: &str = {:?};\n\n\
                 /// Of a response's root element.\npub const XML_NAMESPACE: &str = {namespace:?};\n\n",
                metadata.api_version
            )
        }
    })
}

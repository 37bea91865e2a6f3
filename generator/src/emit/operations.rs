//! A service's `mod.rs`: its files, its target prefix and the names of all its operations.

use std::fmt::Write as _;

use crate::layout::Layout;
use crate::model::Model;

pub(super) fn module(model: &Model, layout: &Layout) -> String {
    let mut text = super::header(&format!("{}.", model.metadata.service_full_name));
    text.push_str("mod check;\n");
    for file in layout.files.keys() {
        let _ = writeln!(text, "mod {file};");
    }
    text.push('\n');
    for file in layout.files.keys() {
        let _ = writeln!(text, "pub use {file}::*;");
    }
    let _ = writeln!(
        text,
        "\n/// What stands before the dot in `X-Amz-Target`.\npub const TARGET_PREFIX: &str = {:?};\n",
        model.metadata.target_prefix
    );
    text.push_str(
        "/// The name of every operation that the service has, sorted.\npub const OPERATIONS: &[&str] = &[\n",
    );
    for name in model.operations.keys() {
        let _ = writeln!(text, "    {name:?},");
    }
    text.push_str("];\n\n#[cfg(test)]\npub(in crate::api) use check::PATTERNS;\n");
    text
}

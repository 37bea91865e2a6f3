//! A service's `error.rs`: a constant per error of its model, so that a misspelt code does not compile.

use std::fmt::Write as _;

use crate::model::Model;
use crate::names;

/// The constants; empty if the model names no errors, as EC2's does not.
pub(super) fn codes(model: &Model) -> String {
    let mut text = String::new();
    for (shape, error) in model.shapes.iter().filter(|(_, shape)| shape.exception) {
        let code = error.error.code.as_deref().unwrap_or(shape);
        // The model's status, else the one that AWS's JSON protocols use.
        let status = error.error.http_status_code.unwrap_or(if error.fault { 500 } else { 400 });
        let constant = names::snake(code.trim_end_matches("Exception")).to_ascii_uppercase();
        let prose = names::first_sentence(&error.documentation);
        if !prose.is_empty() {
            let _ = writeln!(text, "/// {prose}");
        }
        let _ = writeln!(text, "pub const {constant}: ErrorCode = ErrorCode::new({code:?}, {status});\n");
    }
    if text.is_empty() { text } else { format!("use super::super::shape::ErrorCode;\n\n{text}") }
}

//! Whether a path fits a template, and the values of its labels.

use percent_encoding::percent_decode_str;

/// Each label of the template with its value; `None` if the path does not fit.
///
/// Segments are compared as they are sent, and decoded afterwards: an encoded slash is part of a label's value.
pub(super) fn labels<'t>(template: &'t str, path: &str) -> Option<Vec<(&'t str, String)>> {
    let mut labels = Vec::new();
    let (mut wanted, mut found) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return Some(labels),
            (Some(wanted), Some(found)) => {
                match wanted.strip_prefix('{').and_then(|wanted| wanted.strip_suffix('}')) {
                    // An empty label would name nothing.
                    Some(label) if !found.is_empty() => {
                        labels.push((label, percent_decode_str(found).decode_utf8().ok()?.into_owned()));
                    }
                    None if wanted == found => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

//! A mistake at a place in the file, and the checks that several of its parts share.

use toml::Spanned;

use super::Mistake;
use super::written::Text;
use crate::runtime::Cidr;

pub(super) fn mistake<T>(at: &Spanned<T>, message: impl Into<String>) -> Mistake {
    Mistake { at: at.span(), message: message.into() }
}

/// `"a", "b"`, for what was expected.
pub(super) fn one_of<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A block that is written as its first address and prefix.
pub(super) fn cidr(text: &Text) -> Result<Cidr, Mistake> {
    let block: Cidr = text.get_ref().parse().map_err(|_| {
        let message = format!("{:?}: expected an IPv4 block such as 10.0.0.0/16", text.get_ref());
        mistake(text, message)
    })?;
    let base = *block.block().start();
    if base == block.base {
        return Ok(block);
    }
    let begins = Cidr { base, ..block };
    Err(mistake(text, format!("{block} is an address inside its block: expected {begins}")))
}

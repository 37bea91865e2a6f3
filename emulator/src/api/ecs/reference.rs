//! How a caller names a resource: by a short name, or by its ARN.
//!
//! `arn:aws:ecs:<region>:<account>:cluster/<name>`, `task/<cluster>/<id>`, `task-definition/<family>:<revision>`.

use crate::api::{Context, Error};

/// The resource part of an ARN of ours, after `<kind>/`; `None` if `text` is not an ARN.
///
/// # Errors
/// An ARN of another service, kind, region or account.
pub(super) fn resource<'t>(context: &Context, kind: &str, text: &'t str) -> Result<Option<&'t str>, Error> {
    let Some(rest) = text.strip_prefix("arn:") else { return Ok(None) };
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    let [_partition, "ecs", region, account, resource] = parts[..] else {
        return Err(Error::invalid_parameter(format!("Invalid identifier: {text}")));
    };
    if region != context.region {
        let message = format!("Identifier is for {region}. Your region is {}.", context.region);
        return Err(Error::invalid_parameter(message));
    }
    if account != context.account() {
        let message = format!("Identifier is for {account}. Your accountId is {}.", context.account());
        return Err(Error::invalid_parameter(message));
    }
    match resource.split_once('/') {
        Some((found, rest)) if found == kind && !rest.is_empty() => Ok(Some(rest)),
        Some((found, _)) => {
            let message = format!("Unexpected resource type '{found}' in ARN. Expected '{kind}'.");
            Err(Error::invalid_parameter(message))
        }
        None => Err(Error::invalid_parameter(format!("Invalid identifier: {text}"))),
    }
}

/// A name of letters, digits, hyphens and underscores, up to 255 of them: ECS's rule for clusters, families and
/// containers.
pub(super) fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

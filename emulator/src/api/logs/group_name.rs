//! How a request names a log group: by its name, or by its ARN if an operation takes a `logGroupIdentifier`.

use futures::future::BoxFuture;

use super::error;
use crate::api::{Context, Error};
use crate::store::logs::{self, Group};
use crate::store::{self, SqliteConnection};

/// The ARN of a log group, without the `:*` after it.
pub(super) fn arn(context: &Context, name: &str) -> String {
    context.arn("logs", format_args!("log-group:{name}"))
}

/// The group of this name.
pub(super) async fn find(context: &Context, name: &str) -> Result<Group, Error> {
    logs::group(context.store().readers(), context.account(), &context.region, name)
        .await?
        .ok_or_else(error::group_missing)
}

/// Finds the group of this name and changes it in one transaction: concurrent changes do not undo each other, and a group
/// that is deleted meanwhile is missing. Returns what `change` returns.
pub(super) async fn update<T, F>(context: &Context, name: String, change: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection, Group) -> BoxFuture<'c, Result<T, store::Error>>
        + Send
        + 'static,
{
    let (account, region) = (context.account().to_owned(), context.region.clone());
    let changed = context
        .store()
        .write(move |connection| {
            Box::pin(async move {
                match logs::group(&mut *connection, &account, &region, &name).await? {
                    Some(group) => change(connection, group).await.map(Some),
                    None => Ok(None),
                }
            })
        })
        .await?;
    changed.ok_or_else(error::group_missing)
}

/// The name in an ARN of this account and region; with `:*` after it, it is the same group.
///
/// # Errors
/// ResourceNotFoundException for an ARN of another account, region or kind: there is no such log group here.
pub(super) fn of_arn(context: &Context, arn_given: &str) -> Result<String, Error> {
    let arn_given = arn_given.strip_suffix(":*").unwrap_or(arn_given);
    arn_given
        .strip_prefix(&arn(context, ""))
        .filter(|name| !name.is_empty() && !name.contains(':'))
        .map(str::to_owned)
        .ok_or_else(error::group_missing)
}

/// The name that a `logGroupIdentifier` means: it is a name or an ARN.
pub(super) fn of_identifier(context: &Context, identifier: &str) -> Result<String, Error> {
    if identifier.starts_with("arn:") { of_arn(context, identifier) } else { Ok(identifier.to_owned()) }
}

/// The name, for an operation that takes either.
pub(super) fn of_either(
    context: &Context,
    name: Option<String>,
    identifier: Option<String>,
) -> Result<String, Error> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => of_identifier(context, &identifier),
        // The `RULES` of each such operation have already refused these.
        (Some(_), Some(_)) | (None, None) => Err(error::group_missing()),
    }
}

/// Exactly one of them.
///
/// Source: GetLogEvents, `logGroupIdentifier`: "You must include either logGroupIdentifier or logGroupName, but not
/// both."
pub(super) fn either_broken(name: Option<&str>, identifier: Option<&str>) -> Option<Error> {
    match (name, identifier) {
        (Some(_), Some(_)) => Some(Error::invalid_parameter(
            "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
        )),
        (None, None) => {
            Some(Error::invalid_parameter("Either LogGroup name or LogGroup ARN must be specified."))
        }
        _ => None,
    }
}

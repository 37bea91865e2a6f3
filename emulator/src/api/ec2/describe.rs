//! What every Describe does: dry run, ids, filters, pages.

use super::error;
use super::filter::{self, Field};
use crate::api::model::ec2::Filter;
use crate::api::shape::ErrorCode;
use crate::api::{Context, Error, page_token};
use crate::engine;
use crate::engine::vpc::Vpc;

/// The VPC, and the free addresses of its subnets.
pub(super) async fn vpc(context: &Context) -> Result<(Vpc, Vec<usize>), Error> {
    context.engine().vpc().await.map_err(|error| match error {
        engine::Error::NotReady(not_ready) => Error::new(error::INTERNAL_ERROR, not_ready.to_string()),
        other => Error::failure(other),
    })
}

/// A request for one kind of resource.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) dry_run: Option<bool>,
    pub(super) ids: Option<Vec<String>>,
    pub(super) filters: Option<Vec<Filter>>,
    pub(super) max_results: Option<i32>,
    pub(super) next_token: Option<String>,
}

/// A kind of resource, as Describe sees it.
pub(super) struct Kind<T: 'static> {
    /// The operation: a page's token is valid only for it.
    pub(super) operation: &'static str,
    pub(super) id: fn(&T) -> Option<&str>,
    /// AWS's code for ids that do not exist, and its word for them: `The vpc ID '…' does not exist`.
    pub(super) not_found: (ErrorCode, &'static str),
    pub(super) fields: &'static [Field<T>],
    /// The largest page.
    pub(super) most: i32,
}

/// The resources that were asked for, in the order of their ids, and the token of the next page.
///
/// # Errors
/// AWS's, for a dry run, ids that do not exist, unknown filters, an invalid page.
pub(super) fn answer<T>(
    question: Question,
    kind: &Kind<T>,
    mut resources: Vec<T>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let Question { dry_run, ids, filters, max_results, next_token } = question;
    refuse_dry_run(dry_run)?;
    if let Some(size) = max_results {
        let expecting = match size {
            ..5 => "greater than 5".to_owned(),
            _ if size > kind.most => format!("smaller than or equal to {}", kind.most),
            _ => String::new(),
        };
        if !expecting.is_empty() {
            let message = format!(
                "Value ( {size} ) for parameter maxResults is invalid. Expecting a value {expecting}."
            );
            return Err(Error::new(error::INVALID_PARAMETER_VALUE, message));
        }
    }
    let id = |resource: &T| (kind.id)(resource).unwrap_or_default().to_owned();
    if let Some(ids) = ids.as_ref().filter(|ids| !ids.is_empty()) {
        let there = |wanted: &String| resources.iter().any(|resource| id(resource) == *wanted);
        let missing: Vec<&str> = ids.iter().filter(|id| !there(id)).map(String::as_str).collect();
        not_found(kind, &missing)?;
        resources.retain(|resource| ids.contains(&id(resource)));
    }
    let filters = filters.unwrap_or_default();
    filter::keep(&mut resources, &filters, kind.fields)?;
    resources.sort_by_key(id);

    let scope = format!("{} {ids:?} {filters:?}", kind.operation);
    if let Some(token) = next_token {
        let after: String = page_token::open(&scope, &token).ok_or_else(|| {
            let message = "The specified pagination token is not valid or is expired.";
            Error::new(error::INVALID_PAGINATION_TOKEN, message)
        })?;
        resources.retain(|resource| id(resource) > after);
    }
    let size = max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
    let mut next = None;
    if resources.len() > size {
        resources.truncate(size);
        next = resources.last().map(|last| page_token::seal(&scope, &id(last)));
    }
    Ok((resources, next))
}

/// EC2 reports a dry run that would have succeeded as an error.
pub(super) fn refuse_dry_run(dry_run: Option<bool>) -> Result<(), Error> {
    if dry_run == Some(true) {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(Error::new(error::DRY_RUN_OPERATION, message));
    }
    Ok(())
}

fn not_found<T>(kind: &Kind<T>, missing: &[&str]) -> Result<(), Error> {
    let (code, called) = kind.not_found;
    match missing {
        [] => Ok(()),
        [one] => Err(Error::new(code, format!("The {called} '{one}' does not exist"))),
        several => Err(Error::new(code, format!("The {called}s '{}' do not exist", several.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind<String> = Kind {
        operation: "DescribeThings",
        id: |thing| Some(thing),
        not_found: (ErrorCode::new("InvalidThingID.NotFound", 400), "thing ID"),
        fields: &[(&["name"], |thing| vec![thing.clone()])],
        most: 100,
    };

    fn ask(question: Question) -> Result<(Vec<String>, Option<String>), String> {
        let things = (b'a'..=b'l').rev().map(|letter| char::from(letter).to_string()).collect();
        answer(question, &KIND, things).map_err(|error| error.to_string())
    }

    #[test]
    fn pages_hold_everything_once_in_order() {
        let mut seen = Vec::new();
        let mut next_token = None;
        loop {
            let (page, next) =
                ask(Question { max_results: Some(5), next_token, ..Question::default() }).unwrap();
            assert!(page.len() <= 5);
            seen.extend(page);
            let Some(next) = next else { break };
            next_token = Some(next);
        }
        assert_eq!(seen.concat(), "abcdefghijkl");
    }

    #[test]
    fn what_aws_refuses_is_refused_in_its_words() {
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
        let first = ask(Question { max_results: Some(5), ..Question::default() }).unwrap();
        let filters = Some(vec![Filter { name: Some("name".to_owned()), values: ids(&["*"]) }]);
        for (question, expected) in [
            (
                Question { ids: ids(&["a", "x"]), ..Question::default() },
                "InvalidThingID.NotFound: The thing ID 'x' does not exist",
            ),
            (
                Question { ids: ids(&["x", "y"]), ..Question::default() },
                "InvalidThingID.NotFound: The thing IDs 'x, y' do not exist",
            ),
            (
                Question { dry_run: Some(true), ..Question::default() },
                "DryRunOperation: Request would have succeeded, but DryRun flag is set.",
            ),
            (
                Question { max_results: Some(4), ..Question::default() },
                "InvalidParameterValue: Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5.",
            ),
            (
                Question { max_results: Some(101), ..Question::default() },
                "InvalidParameterValue: Value ( 101 ) for parameter maxResults is invalid. Expecting a value smaller than or equal to 100.",
            ),
            (
                Question { next_token: Some("x".to_owned()), ..Question::default() },
                "InvalidPaginationToken: The specified pagination token is not valid or is expired.",
            ),
            (
                Question { next_token: first.1, filters, ..Question::default() },
                "InvalidPaginationToken: The specified pagination token is not valid or is expired.",
            ),
        ] {
            assert_eq!(ask(question), Err(expected.to_owned()));
        }
    }
}

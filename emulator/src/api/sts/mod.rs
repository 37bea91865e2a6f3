//! AWS STS: who asks. Signatures are not verified, so it is always the account's root user.

use super::error::common;
use super::model::sts::{
    API_VERSION, GetCallerIdentityRequest, GetCallerIdentityResponse, OPERATIONS, XML_NAMESPACE,
};
use super::operation::{Protocol, Service};
use super::query::{Dialect, Flavor};
use super::{Context, Error, Operation};

pub(super) fn service() -> Service {
    let dialect = Dialect { flavor: Flavor::Aws, version: API_VERSION, namespace: XML_NAMESPACE };
    Service::new(
        "sts",
        Protocol::Query(dialect),
        OPERATIONS,
        [common::VALIDATION_ERROR, common::INTERNAL_FAILURE],
    )
    .with::<GetCallerIdentity>()
}

/// Says whose account it is.
#[derive(Debug)]
struct GetCallerIdentity;

impl Operation for GetCallerIdentity {
    const NAME: &'static str = "GetCallerIdentity";

    type Input = GetCallerIdentityRequest;
    type Output = GetCallerIdentityResponse;

    async fn handle(
        context: &Context,
        input: GetCallerIdentityRequest,
    ) -> Result<GetCallerIdentityResponse, Error> {
        let GetCallerIdentityRequest {} = input;
        let account = context.account();
        Ok(GetCallerIdentityResponse {
            account: Some(account.to_owned()),
            arn: Some(format!("arn:aws:iam::{account}:root")),
            // The root user's id is its account's (IAM user guide, "Unique identifiers").
            user_id: Some(account.to_owned()),
        })
    }
}

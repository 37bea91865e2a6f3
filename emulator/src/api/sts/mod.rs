//! AWS STS: the caller's identity. Signatures are not verified: a program on the host is the account's root user, and a task
//! has its role.

use sha2::{Digest as _, Sha256};

use super::error::common;
use super::model::sts::{
    API_VERSION, GetCallerIdentityRequest, GetCallerIdentityResponse, OPERATIONS, XML_NAMESPACE,
};
use super::protocol::query::{Flavor, Query};
use super::service::Service;
use super::{Caller, Context, Error, Operation};

pub(super) fn service() -> Service<Query> {
    let protocol = Query { flavor: Flavor::Aws, version: API_VERSION, namespace: XML_NAMESPACE };
    Service::new("sts", protocol, OPERATIONS, [common::VALIDATION_ERROR, common::INTERNAL_FAILURE])
        .with::<GetCallerIdentity>()
}

/// Returns the caller's account and ARN.
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
        if let Caller::Task { arn, role: Some(role) } = &context.caller {
            // For a role that was assumed: the session has the task's id as its name (IAM user guide, "Unique identifiers").
            let last = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
            let (role, session) = (last(role), last(arn));
            return Ok(GetCallerIdentityResponse {
                account: Some(account.to_owned()),
                user_id: Some(format!("{}:{session}", role_id(&role))),
                arn: Some(format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")),
            });
        }
        Ok(GetCallerIdentityResponse {
            account: Some(account.to_owned()),
            arn: Some(format!("arn:aws:iam::{account}:root")),
            // The root user's id is its account's (IAM user guide, "Unique identifiers").
            user_id: Some(account.to_owned()),
        })
    }
}

/// A role's unique id, `AROA…`: the same for the same name.
fn role_id(name: &str) -> String {
    let digest = Sha256::digest(name);
    let letters = digest
        .iter()
        .take(17)
        .map(|byte| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(byte % 32)]));
    format!("AROA{}", letters.collect::<String>())
}

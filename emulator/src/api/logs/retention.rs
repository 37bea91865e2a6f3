//! How long a log group keeps its events: PutRetentionPolicy, DeleteRetentionPolicy.

use super::group_name;
use crate::api::model::logs::{DeleteRetentionPolicyRequest, PutRetentionPolicyRequest};
use crate::api::{Context, Error, Operation, Rule};
use crate::store::logs;

/// Source: PutRetentionPolicy, `retentionInDays`: "Possible values are [...]".
const DAYS: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

pub(super) struct PutRetentionPolicy;

impl Operation for PutRetentionPolicy {
    const NAME: &'static str = "PutRetentionPolicy";
    type Input = PutRetentionPolicyRequest;
    type Output = ();

    const RULES: &'static [Rule<Self::Input>] = &[Rule {
        source: "PutRetentionPolicy, retentionInDays",
        broken: |input| {
            let days = input.retention_in_days.filter(|days| !DAYS.contains(days))?;
            let known = DAYS.map(|days| days.to_string()).join(", ");
            Some(Error::invalid_parameter(format!(
                "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: \
                 Member must satisfy enum value set: [{known}]"
            )))
        },
    }];

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let PutRetentionPolicyRequest { log_group_name, retention_in_days } = input;
        set(context, log_group_name, retention_in_days).await
    }
}

pub(super) struct DeleteRetentionPolicy;

impl Operation for DeleteRetentionPolicy {
    const NAME: &'static str = "DeleteRetentionPolicy";
    type Input = DeleteRetentionPolicyRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        set(context, input.log_group_name, None).await
    }
}

async fn set(context: &Context, name: Option<String>, days: Option<i32>) -> Result<(), Error> {
    let days = days.map(i64::from);
    group_name::update(context, name.unwrap_or_default(), move |connection, group| {
        Box::pin(logs::set_retention(connection, group.id, days))
    })
    .await
}

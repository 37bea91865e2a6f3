//! Log groups: CreateLogGroup, DeleteLogGroup, DescribeLogGroups, PutLogGroupDeletionProtection.

use super::{error, group_name};
use crate::api::model::logs::{
    CreateLogGroupRequest, DeleteLogGroupRequest, DescribeLogGroupsRequest, DescribeLogGroupsResponse,
    LogGroup, LogGroupClass, PutLogGroupDeletionProtectionRequest, error as codes,
};
use crate::api::shape::Enumeration as _;
use crate::api::{Context, Error, Operation, Rule};
use crate::store::logs::{self, Group, GroupFilter, NewGroup};

/// Log groups that a page shows at most, and unless asked for fewer.
const PAGE: u32 = 50;

pub(super) struct CreateLogGroup;

impl Operation for CreateLogGroup {
    const NAME: &'static str = "CreateLogGroup";
    type Input = CreateLogGroupRequest;
    type Output = ();

    const RULES: &'static [Rule<Self::Input>] = &[Rule {
        source: "CreateLogGroup: \"Log group names can't start with the string aws/\"",
        broken: |input| {
            let name = input.log_group_name.as_deref()?;
            let start = name.get(..4)?;
            start
                .eq_ignore_ascii_case("aws/")
                .then(|| Error::invalid_parameter("Log groups starting with AWS/ are reserved for AWS."))
        },
    }];

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let CreateLogGroupRequest {
            deletion_protection_enabled,
            kms_key_id,
            log_group_class,
            log_group_name,
            tags,
        } = input;
        let group = NewGroup {
            account: context.account().to_owned(),
            region: context.region.clone(),
            name: log_group_name.unwrap_or_default(),
            class: log_group_class.unwrap_or(LogGroupClass::Standard).as_str().to_owned(),
            kms_key_id,
            is_protected: deletion_protection_enabled.unwrap_or_default(),
            tags: tags.unwrap_or_default(),
            created_at: context.clock().now(),
        };
        let created = context
            .store()
            .write(move |connection| Box::pin(async move { logs::create_group(connection, &group).await }))
            .await?;
        created.map(|_| ()).ok_or_else(error::group_exists)
    }
}

pub(super) struct DeleteLogGroup;

impl Operation for DeleteLogGroup {
    const NAME: &'static str = "DeleteLogGroup";
    type Input = DeleteLogGroupRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let name = input.log_group_name.unwrap_or_default();
        let is_protected = group_name::update(context, name, |connection, group| {
            Box::pin(async move {
                if !group.is_protected {
                    logs::delete_group(connection, group.id).await?;
                }
                Ok(group.is_protected)
            })
        })
        .await?;
        if is_protected {
            return Err(Error::new(
                codes::VALIDATION,
                "The specified log group has deletion protection enabled.",
            ));
        }
        context.store().purge();
        Ok(())
    }
}

pub(super) struct DescribeLogGroups;

impl Operation for DescribeLogGroups {
    const NAME: &'static str = "DescribeLogGroups";
    type Input = DescribeLogGroupsRequest;
    type Output = DescribeLogGroupsResponse;

    const RULES: &'static [Rule<Self::Input>] = &[
        Rule {
            source: "DescribeLogGroups: \"logGroupNamePrefix and logGroupNamePattern are mutually exclusive\"",
            broken: |input| {
                (input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some()).then(|| {
                    Error::invalid_parameter(
                        "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
                    )
                })
            },
        },
        Rule {
            source: "DescribeLogGroups, logGroupIdentifiers: \"the only other filter that you can choose to specify \
                     is includeLinkedAccounts\"",
            broken: |input| {
                let others = input.log_group_name_prefix.is_some()
                    || input.log_group_name_pattern.is_some()
                    || input.log_group_class.is_some()
                    || input.account_identifiers.is_some();
                (input.log_group_identifiers.is_some() && others).then(|| {
                    Error::invalid_parameter(
                        "logGroupIdentifiers can be combined with no filter but includeLinkedAccounts.",
                    )
                })
            },
        },
    ];

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let DescribeLogGroupsRequest {
            // For a monitoring account: there is one account here, linked to no other.
            account_identifiers: _,
            include_linked_accounts: _,
            limit,
            log_group_class,
            log_group_identifiers,
            log_group_name_pattern,
            log_group_name_prefix,
            next_token,
        } = input;
        if let Some(identifiers) = log_group_identifiers {
            let mut described = Vec::with_capacity(identifiers.len());
            for identifier in identifiers {
                let name = group_name::of_identifier(context, &identifier)?;
                let group = group_name::find(context, &name).await?;
                described.push(describe(context, group).await?);
            }
            return Ok(DescribeLogGroupsResponse { log_groups: Some(described), next_token: None });
        }

        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(PAGE);
        let filter = GroupFilter {
            account: context.account(),
            region: &context.region,
            prefix: log_group_name_prefix.as_deref().unwrap_or_default(),
            pattern: log_group_name_pattern.as_deref(),
            class: log_group_class.as_ref().map(LogGroupClass::as_str),
            // As on AWS, the token is the name of the last group.
            after: next_token.as_deref(),
            limit: limit + 1,
        };
        let mut groups = logs::groups(context.store().readers(), filter).await?;
        let more = groups.len() > limit as usize;
        groups.truncate(limit as usize);
        let next_token = groups.last().filter(|_| more).map(|group| group.name.clone());
        let mut described = Vec::with_capacity(groups.len());
        for group in groups {
            described.push(if log_group_name_pattern.is_some() {
                // "If you specify logGroupNamePattern [...], then only arn, creationTime, and logGroupName are
                // included in the response."
                LogGroup {
                    arn: Some(group_name::arn(context, &group.name) + ":*"),
                    creation_time: Some(group.created_at.millis()),
                    log_group_name: Some(group.name),
                    ..LogGroup::default()
                }
            } else {
                describe(context, group).await?
            });
        }
        Ok(DescribeLogGroupsResponse { log_groups: Some(described), next_token })
    }
}

async fn describe(context: &Context, group: Group) -> Result<LogGroup, Error> {
    let stored_bytes = logs::stored_bytes(context.store().readers(), group.id).await?;
    let Group { id: _, name, class, created_at, retention_days, kms_key_id, is_protected, tags: _ } = group;
    let arn = group_name::arn(context, &name);
    Ok(LogGroup {
        // "Use this version [...] in IAM policies": it means the streams within.
        arn: Some(format!("{arn}:*")),
        bearer_token_authentication_enabled: None,
        creation_time: Some(created_at.millis()),
        data_protection_status: None,
        deletion_protection_enabled: Some(is_protected),
        inherited_properties: None,
        kms_key_id,
        log_group_arn: Some(arn),
        log_group_class: Some(LogGroupClass::from(class)),
        log_group_name: Some(name),
        metric_filter_count: Some(0),
        retention_in_days: retention_days.and_then(|days| i32::try_from(days).ok()),
        stored_bytes: Some(stored_bytes),
    })
}

pub(super) struct PutLogGroupDeletionProtection;

impl Operation for PutLogGroupDeletionProtection {
    const NAME: &'static str = "PutLogGroupDeletionProtection";
    type Input = PutLogGroupDeletionProtectionRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let PutLogGroupDeletionProtectionRequest { deletion_protection_enabled, log_group_identifier } =
            input;
        let name = group_name::of_identifier(context, &log_group_identifier.unwrap_or_default())?;
        let is_protected = deletion_protection_enabled.unwrap_or_default();
        group_name::update(context, name, move |connection, group| {
            Box::pin(logs::set_protection(connection, group.id, is_protected))
        })
        .await
    }
}

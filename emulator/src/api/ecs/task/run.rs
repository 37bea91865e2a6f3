//! RunTask.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::launch::{Launch, platform_version, too_old};
use super::overrides::{self, Merged};
use super::{spec, supported, view};
use crate::api::ecs::{cluster, tag, task_definition};
use crate::api::model::ecs::{
    AssignPublicIp, AwsVpcConfiguration, CPUArchitecture, Compatibility, Failure, LaunchType,
    NetworkConfiguration, PropagateTags, RunTaskRequest, RunTaskResponse, Tag, error,
};
use crate::api::shape::Enumeration as _;
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::definition::Definition;
use crate::engine::run::{self, ClientToken, Order, Template};
use crate::engine::task as model;

/// How long the engine may take to report its architecture.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs up to 10 tasks of a definition.
#[derive(Debug)]
pub(in crate::api::ecs) struct Run;

impl Operation for Run {
    const NAME: &'static str = "RunTask";

    type Input = RunTaskRequest;
    type Output = RunTaskResponse;

    const RULES: &'static [Rule<RunTaskRequest>] = &[
        Rule {
            source: "API reference, RunTask, taskDefinition: required",
            broken: |input| {
                let blank = input.task_definition.as_deref().is_none_or(str::is_empty);
                blank.then(|| Error::invalid_parameter("TaskDefinition can not be blank."))
            },
        },
        Rule {
            source: "API reference, RunTask, count: up to 10 tasks",
            broken: |input| {
                let fits = (1..=10).contains(&input.count.unwrap_or(1));
                (!fits).then(|| Error::invalid_parameter("Count must be between 1 and 10."))
            },
        },
        Rule {
            source: "API reference, RunTask, startedBy: up to 128 letters, numbers, hyphens, forward slashes, underscores",
            broken: |input| {
                let started_by = input.started_by.as_deref()?;
                if started_by.chars().count() > 128 {
                    return Some(Error::invalid_parameter("startedBy can be at most 128 characters."));
                }
                let fits = started_by.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/_".contains(&b));
                (!fits).then(|| {
                    Error::invalid_parameter(
                        "startedBy can only contain letters (uppercase and lowercase), numbers, hyphens (-), forward slash (/), and underscores (_).",
                    )
                })
            },
        },
        Rule {
            source: "API reference, RunTask, clientToken: up to 64 ASCII characters, 33 to 126",
            broken: |input| {
                let token = input.client_token.as_deref()?;
                let fits = (1..=64).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
                (!fits).then(|| {
                    Error::invalid_parameter(
                        "clientToken must be 1 to 64 ASCII characters in the range of 33-126 (inclusive).",
                    )
                })
            },
        },
        Rule {
            source: "API reference, RunTask, referenceId: up to 1024 characters",
            broken: |input| {
                let long = input.reference_id.as_ref().is_some_and(|id| id.chars().count() > 1024);
                long.then(|| Error::invalid_parameter("referenceId can be at most 1024 characters."))
            },
        },
        Rule {
            source: "API reference, RunTask, group: a name of up to 255 characters; `service:` is ECS's own",
            broken: |input| {
                let group = input.group.as_deref()?;
                let fits = (1..=255).contains(&group.chars().count()) && !group.starts_with("service:");
                (!fits).then(|| Error::invalid_parameter(format!("Invalid group '{group}'.")))
            },
        },
        Rule { source: "API reference, Tag", broken: |input| tag::broken(input.tags.as_deref()) },
        Rule {
            source: "API reference, RunTask, propagateTags: SERVICE is for services",
            broken: |input| {
                (input.propagate_tags == Some(PropagateTags::Service)).then(|| {
                    Error::invalid_parameter(
                        "Invalid value for propagateTags: SERVICE. Must be one of [TASK_DEFINITION, NONE].",
                    )
                })
            },
        },
        Rule {
            source: "API reference, RunTask, launchType: not together with capacityProviderStrategy",
            broken: |input| {
                (input.launch_type.is_some() && has(input.capacity_provider_strategy.as_ref())).then(|| {
                    Error::invalid_parameter(
                        "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
                    )
                })
            },
        },
        Rule {
            source: "API reference, RunTask, capacityProviderStrategy: up to 20 providers, one base, some weight",
            broken: |input| {
                let strategy =
                    input.capacity_provider_strategy.as_deref().filter(|items| !items.is_empty())?;
                let based = strategy.iter().filter(|item| item.base.is_some_and(|base| base > 0)).count();
                let weighed =
                    strategy.len() == 1 || strategy.iter().any(|item| item.weight.unwrap_or_default() > 0);
                let message = if strategy.len() > 20 {
                    "capacityProviderStrategy can have at most 20 items."
                } else if based > 1 {
                    "Only one capacity provider in a capacity provider strategy can have a base defined."
                } else if !weighed {
                    "At least one capacity provider in a capacity provider strategy must have a weight greater than zero."
                } else {
                    return None;
                };
                Some(Error::invalid_parameter(message))
            },
        },
        Rule {
            source: "developer guide, Fargate: tasks are placed by Fargate, not by constraints or strategies",
            broken: |input| {
                let message = if has(input.placement_constraints.as_ref()) {
                    "Placement constraints are not supported with FARGATE launch type."
                } else if has(input.placement_strategy.as_ref()) {
                    "Placement strategies are not supported with FARGATE launch type."
                } else {
                    return None;
                };
                Some(Error::invalid_parameter(message))
            },
        },
        Rule {
            source: "API reference, AwsVpcConfiguration: 1 to 16 subnets, up to 5 security groups",
            broken: |input| {
                let vpc = input.network_configuration.as_ref()?.awsvpc_configuration.as_ref()?;
                let subnets = vpc.subnets.as_ref().map_or(0, Vec::len);
                let message = if subnets == 0 {
                    "subnets can not be empty."
                } else if subnets > 16 {
                    "subnets can have at most 16 items."
                } else if vpc.security_groups.as_ref().map_or(0, Vec::len) > 5 {
                    "securityGroups can have at most 5 items."
                } else {
                    return None;
                };
                Some(Error::invalid_parameter(message))
            },
        },
    ];

    async fn handle(context: &Context, input: RunTaskRequest) -> Result<RunTaskResponse, Error> {
        // Before anything else is checked: what the request names may have been deleted since it was answered.
        if let Some(token) = token(&input) {
            let (_, cluster_arn) = cluster::named(context, input.cluster.as_deref())?;
            if let Some(ran) = context.engine().returned(&cluster_arn, &token).await.map_err(refused)? {
                return Ok(answer(ran));
            }
        }
        let order = order(context, input).await?;
        let ran = context.engine().run(order).await.map_err(refused)?;
        Ok(answer(ran))
    }
}

fn answer(ran: run::Ran) -> RunTaskResponse {
    let failures =
        ran.failures.into_iter().map(|reason| Failure { arn: None, reason: Some(reason), detail: None });
    RunTaskResponse {
        tasks: Some(ran.tasks.iter().map(|task| view::of(task, view::Tags::Shown)).collect()),
        failures: Some(failures.collect()),
    }
}

fn token(input: &RunTaskRequest) -> Option<ClientToken> {
    input.client_token.clone().map(|token| ClientToken { token, digest: digest(input) })
}

/// What the engine is to run: everything that the request names, resolved.
async fn order(context: &Context, input: RunTaskRequest) -> Result<Order, Error> {
    let cluster = cluster::find_active(context, input.cluster.as_deref()).await?;
    let name = input.task_definition.as_deref().unwrap_or_default();
    let found = task_definition::find(context, name).await?;
    let registered = found.ok_or_else(|| Error::client("TaskDefinition not found."))?;
    if !registered.is_active() {
        return Err(inactive());
    }
    let definition = task_definition::shown(&registered)?;
    let count = input.count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    let launch = Launch::decide(
        count,
        input.launch_type.as_ref(),
        &cluster::strategy(input.capacity_provider_strategy.as_deref().unwrap_or_default()),
        &cluster.default_capacity_provider_strategy,
        &cluster.capacity_providers,
    )?;
    let compatible = definition.compatibilities.iter().flatten().any(|c| *c == Compatibility::Fargate);
    if !compatible {
        return Err(Error::invalid_parameter("Task definition does not support launch_type FARGATE."));
    }
    let platform_version = platform_version(input.platform_version.as_deref())?.to_owned();
    let vpc = vpc(input.network_configuration.as_ref())?;
    let Definition { arn: task_definition_arn, family, tags: of_definition, .. } = registered;
    let tags = tags(&input, &of_definition, &cluster.name)?;
    let client_token = token(&input);

    let mut given = input.overrides.clone().unwrap_or_default();
    for role in [&mut given.task_role_arn, &mut given.execution_role_arn].into_iter().flatten() {
        *role = task_definition::role_arn(context.account(), role);
    }
    let merged = overrides::merge(definition, given)?;
    let unfit = no_role(&input, &merged)
        .or_else(|| too_old(&platform_version, &merged))
        .or_else(|| supported::missing(&input, &merged.definition));
    if let Some(error) = unfit {
        return Err(error);
    }
    let architecture = merged.definition.runtime_platform.as_ref().and_then(|p| p.cpu_architecture.as_ref());
    if architecture == Some(&CPUArchitecture::Arm64) {
        runs_arm64(context).await?;
    }
    let ignored = supported::ignored(&input, &merged);
    if !ignored.is_empty() {
        let ignored = ignored.join(", ");
        tracing::info!(
            task_definition = task_definition_arn,
            "ignored parts of the request that have no effect here: {ignored}; its tasks run without them"
        );
    }
    let group = input.group.unwrap_or_else(|| format!("family:{family}"));
    let template = Template {
        task_definition_arn,
        family,
        platform_version,
        cpu_architecture: architecture.map_or_else(|| "X86_64".to_owned(), ToString::to_string),
        cpu: merged.size.cpu,
        memory: merged.size.memory,
        ephemeral_storage: merged.ephemeral_storage,
        enable_execute_command: input.enable_execute_command == Some(true),
        overrides: serde_json::to_value(&merged.shown).map_err(Error::failure)?,
        subnets: vpc.subnets.clone().unwrap_or_default(),
        security_groups: vpc.security_groups.clone().unwrap_or_default(),
        assign_public_ip: vpc.assign_public_ip == Some(AssignPublicIp::Enabled),
        spec: spec::of(&merged.definition, &context.region),
    };
    Ok(Order {
        template: Arc::new(template),
        count,
        region: context.region.clone(),
        account: context.account().to_owned(),
        cluster_arn: cluster.arn.clone(),
        cluster: cluster.name.clone(),
        group,
        started_by: input.started_by,
        launch_type: Some(LaunchType::Fargate.to_string()),
        capacity_providers: match launch {
            Launch::Fargate => Vec::new(),
            Launch::Providers(providers) => providers,
        },
        tags,
        client_token,
    })
}

/// The error for `enableExecuteCommand` without a task role.
///
/// Source: developer guide, "Monitor Amazon ECS containers with ECS Exec", prerequisites; the wording as users of ECS
/// have reported it.
fn no_role(input: &RunTaskRequest, merged: &Merged) -> Option<Error> {
    let role = merged.shown.task_role_arn.as_ref().or(merged.definition.task_role_arn.as_ref());
    (input.enable_execute_command == Some(true) && role.is_none_or(String::is_empty)).then(|| {
        Error::invalid_parameter(
            "The execute command failed because a valid task role is not being used. Specify a valid task role in your task definition or as a task override and try again.",
        )
    })
}

/// Refuses a task for ARM64 if the engine's containers are of another architecture: it would run on another
/// architecture than requested.
async fn runs_arm64(context: &Context) -> Result<(), Error> {
    let unknown = |why: String| {
        Error::new(
            error::SERVER,
            format!("neargate cannot determine whether tasks of the CPU architecture ARM64 run here: {why}."),
        )
    };
    let info = tokio::time::timeout(ENGINE_TIMEOUT, context.engine().runtime().info()).await;
    let no_answer = |_| unknown(format!("the container engine did not respond within {ENGINE_TIMEOUT:?}"));
    let engine = info.map_err(no_answer)?.map_err(|error| unknown(error.to_string()))?;
    if engine.cpu_architecture == CPUArchitecture::Arm64.as_str() {
        return Ok(());
    }
    Err(Error::client(format!(
        "neargate cannot run tasks of the CPU architecture ARM64 here: the container engine ({}) runs {}.",
        engine.name, engine.cpu_architecture
    )))
}

fn vpc(network: Option<&NetworkConfiguration>) -> Result<&AwsVpcConfiguration, Error> {
    network.and_then(|network| network.awsvpc_configuration.as_ref()).ok_or_else(|| {
        Error::invalid_parameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )
    })
}

/// The task's tags: the request's, below them the definition's if they are propagated, and ECS's own if they
/// are asked for.
fn tags(
    input: &RunTaskRequest,
    of_definition: &[model::Tag],
    cluster: &str,
) -> Result<Vec<model::Tag>, Error> {
    let mut tags = input.tags.clone().unwrap_or_default();
    if input.propagate_tags == Some(PropagateTags::TaskDefinition) {
        let missing = of_definition.iter().cloned().map(Tag::from);
        let missing: Vec<Tag> =
            missing.filter(|tag| !tags.iter().any(|given| given.key == tag.key)).collect();
        tags.extend(missing);
    }
    if let Some(error) = tag::broken(Some(&tags)) {
        return Err(error);
    }
    let mut tags: Vec<model::Tag> = tags.into_iter().map(Into::into).collect();
    if input.enable_ecs_managed_tags == Some(true) {
        tags.push(model::Tag { key: "aws:ecs:clusterName".to_owned(), value: cluster.to_owned() });
    }
    Ok(tags)
}

/// Equal for equal requests: covers everything but the token itself.
fn digest(input: &RunTaskRequest) -> String {
    let question = RunTaskRequest { client_token: None, ..input.clone() };
    let bytes = serde_json::to_vec(&question).unwrap_or_default();
    format!("{:x}", Sha256::digest(bytes))
}

fn refused(error: run::Error) -> Error {
    match error {
        run::Error::Conflict { resource_ids } => Error::new(
            error::CONFLICT,
            "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use with a different RunTask request. The resourceIds are the existing task ARNs which are already associated with the clientToken.",
        )
        .with("resourceIds", resource_ids),
        run::Error::UnknownSubnet(id) => Error::invalid_parameter(format!(
            "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
        )),
        run::Error::UnknownSecurityGroup(id) => Error::invalid_parameter(format!(
            "Error retrieving security group information for [{id}]: The security group '{id}' does not exist (ErrorCode: InvalidGroup.NotFound)"
        )),
        run::Error::ClusterInactive => cluster::not_found(),
        run::Error::DefinitionInactive => inactive(),
        run::Error::NotReady(not_ready) => Error::new(error::SERVER, not_ready.to_string()),
        run::Error::Store(source) => source.into(),
    }
}

fn inactive() -> Error {
    Error::client("TaskDefinition is inactive")
}

fn has<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

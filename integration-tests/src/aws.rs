//! AWS's own SDK for Rust with an endpoint, and the few calls that nearly every test makes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, KeyValuePair, LaunchType, LogConfiguration,
    LogDriver, NetworkConfiguration, NetworkMode, Task,
};
use aws_sdk_ecs::{Client, error::DisplayErrorContext};

use crate::wait;

/// A subnet that does not exist: a well-formed unknown id is mapped to the default one.
pub const SUBNET: &str = "subnet-0a1b2c3d4e5f60718";

/// The log group of containers in the default region, in most tests.
pub const LOG_GROUP: &str = "/neargate/tests";

/// The region of every test.
pub const REGION: &str = "us-east-1";

/// Clients of one endpoint.
#[derive(Clone, Debug)]
pub struct Aws {
    pub ecs: Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
}

/// A container's part of a task definition, with the fixture's image.
#[must_use]
pub fn container(name: &str, command: &[&str]) -> aws_sdk_ecs::types::builders::ContainerDefinitionBuilder {
    ContainerDefinition::builder()
        .name(name)
        .image("neargate/fixture:latest")
        .set_command(Some(command.iter().map(|&word| word.to_owned()).collect()))
}

/// `awslogs` to `group`, the stream named `test/<container>/<task id>`.
#[must_use]
pub fn awslogs(group: &str) -> LogConfiguration {
    let built = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", group)
        .options("awslogs-region", REGION)
        .options("awslogs-stream-prefix", "test")
        .build();
    built.unwrap_or_else(|error| unreachable!("the one required member is set: {error}"))
}

/// The network configuration that every task of a test has.
#[must_use]
pub fn network(subnet: &str) -> NetworkConfiguration {
    let vpc = AwsVpcConfiguration::builder().subnets(subnet).build();
    let vpc = vpc.unwrap_or_else(|error| unreachable!("the one required member is set: {error}"));
    NetworkConfiguration::builder().awsvpc_configuration(vpc).build()
}

/// The part of an ARN after its last slash: a task's id.
#[must_use]
pub fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The address of a task's network interface.
pub fn address(task: &Task) -> anyhow::Result<String> {
    task.attachments()
        .iter()
        .filter(|attachment| attachment.r#type() == Some("ElasticNetworkInterface"))
        .flat_map(|attachment| attachment.details())
        .find(|detail| detail.name() == Some("privateIPv4Address"))
        .and_then(KeyValuePair::value)
        .map(str::to_owned)
        .context("the task's network interface has no address")
}

/// A task in a line, for the status of a wait.
#[must_use]
pub fn describe(task: &Task) -> String {
    let containers = task.containers().iter().map(|container| {
        let exit = container.exit_code().map(|code| format!(" exit {code}")).unwrap_or_default();
        let reason = container.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!(
            "{} {}{exit}{reason}",
            container.name().unwrap_or("?"),
            container.last_status().unwrap_or("?")
        )
    });
    format!(
        "task {} {} (desired {}), version {}, {:?} {:?}; {}",
        task.task_arn().map_or("?", id),
        task.last_status().unwrap_or("?"),
        task.desired_status().unwrap_or("?"),
        task.version(),
        task.stop_code().map_or("", |code| code.as_str()),
        task.stopped_reason().unwrap_or(""),
        containers.collect::<Vec<_>>().join(", ")
    )
}

impl Aws {
    /// Clients of the endpoint, with credentials that are not checked.
    pub async fn connect(endpoint: &str) -> Self {
        let config = config(endpoint).await;
        Self { ecs: Client::new(&config), logs: aws_sdk_cloudwatchlogs::Client::new(&config) }
    }

    /// Registers a task definition of the smallest Fargate size; returns its ARN.
    pub async fn register(
        &self,
        family: &str,
        containers: impl IntoIterator<Item = ContainerDefinition>,
    ) -> anyhow::Result<String> {
        self.register_sized(family, 256, 512, containers).await
    }

    /// Registers a task definition; returns its ARN.
    pub async fn register_sized(
        &self,
        family: &str,
        cpu: u32,
        memory: u32,
        containers: impl IntoIterator<Item = ContainerDefinition>,
    ) -> anyhow::Result<String> {
        let output = self
            .ecs
            .register_task_definition()
            .family(family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu(cpu.to_string())
            .memory(memory.to_string())
            // AWS requires it with awslogs; nothing assumes it here.
            .execution_role_arn("arn:aws:iam::000000000000:role/execution")
            .set_container_definitions(Some(containers.into_iter().collect()))
            .send()
            .await
            .map_err(|error| anyhow::anyhow!("registering {family}: {}", DisplayErrorContext(error)))?;
        let arn = output.task_definition().and_then(|definition| definition.task_definition_arn());
        arn.map(str::to_owned).context("the response has no taskDefinitionArn")
    }

    /// Runs one task of a task definition; returns its ARN.
    pub async fn run(&self, task_definition: &str) -> anyhow::Result<String> {
        self.run_on("default", task_definition).await
    }

    /// Runs one task on a cluster; returns its ARN.
    pub async fn run_on(&self, cluster: &str, task_definition: &str) -> anyhow::Result<String> {
        let output = self
            .ecs
            .run_task()
            .cluster(cluster)
            .task_definition(task_definition)
            .launch_type(LaunchType::Fargate)
            .network_configuration(network(SUBNET))
            .send()
            .await
            .map_err(|error| anyhow::anyhow!("running {task_definition}: {}", DisplayErrorContext(error)))?;
        let arn = output.tasks().first().and_then(Task::task_arn).map(str::to_owned);
        arn.with_context(|| format!("RunTask returned failures: {:?}", output.failures()))
    }

    /// The task as DescribeTasks shows it.
    pub async fn task(&self, arn: &str) -> anyhow::Result<Task> {
        let cluster = arn.rsplit('/').nth(1).unwrap_or("default");
        let output = self
            .ecs
            .describe_tasks()
            .cluster(cluster)
            .tasks(arn)
            .send()
            .await
            .map_err(|error| anyhow::anyhow!("describing {arn}: {}", DisplayErrorContext(error)))?;
        output.tasks().first().cloned().with_context(|| format!("no task {arn}: {:?}", output.failures()))
    }

    /// Waits until the task's `lastStatus` is `status`; fails at once if the task stopped without it.
    pub async fn reached(&self, arn: &str, status: &str, within: Duration) -> anyhow::Result<Task> {
        let found = wait::until(&format!("task {} is {status}", id(arn)), within, async || {
            let task = self.task(arn).await.map_err(|error| crate::chain(&error))?;
            match task.last_status() {
                Some(last) if last == status || last == "STOPPED" => Ok(task),
                _ => Err(describe(&task)),
            }
        })
        .await?;
        anyhow::ensure!(found.last_status() == Some(status), "not {status} but {}", describe(&found));
        Ok(found)
    }

    /// Waits until the task is RUNNING.
    pub async fn running(&self, arn: &str) -> anyhow::Result<Task> {
        self.reached(arn, "RUNNING", wait::seconds(60)).await
    }

    /// Waits until the task is STOPPED.
    pub async fn stopped(&self, arn: &str) -> anyhow::Result<Task> {
        self.reached(arn, "STOPPED", wait::seconds(60)).await
    }

    /// Requests that the task stops.
    pub async fn stop(&self, arn: &str) -> anyhow::Result<()> {
        let cluster = arn.rsplit('/').nth(1).unwrap_or("default");
        let stopped = self.ecs.stop_task().cluster(cluster).task(arn).send().await;
        stopped.map_err(|error| anyhow::anyhow!("stopping {arn}: {}", DisplayErrorContext(error)))?;
        Ok(())
    }

    /// The ARNs of all tasks of a cluster with that desired status.
    pub async fn tasks(&self, cluster: &str, desired: &str) -> anyhow::Result<Vec<String>> {
        let pages =
            self.ecs.list_tasks().cluster(cluster).desired_status(desired.into()).into_paginator().items();
        let all = pages.send().collect::<Result<Vec<_>, _>>().await;
        all.map_err(|error| anyhow::anyhow!("listing the tasks of {cluster}: {}", DisplayErrorContext(error)))
    }

    /// The tags of a resource.
    pub async fn tags(&self, arn: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let output = self.ecs.list_tags_for_resource().resource_arn(arn).send().await;
        let output = output
            .map_err(|error| anyhow::anyhow!("reading the tags of {arn}: {}", DisplayErrorContext(error)))?;
        let tags = output.tags().iter().map(|tag| {
            (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned())
        });
        Ok(tags.collect())
    }

    /// Creates an ECS cluster.
    pub async fn create_cluster(&self, name: &str) -> anyhow::Result<()> {
        let created = self.ecs.create_cluster().cluster_name(name).send().await;
        created
            .map_err(|error| anyhow::anyhow!("making the cluster {name}: {}", DisplayErrorContext(error)))?;
        Ok(())
    }

    /// Creates a log group.
    pub async fn create_log_group(&self, group: &str) -> anyhow::Result<()> {
        let created = self.logs.create_log_group().log_group_name(group).send().await;
        created.map_err(|error| {
            anyhow::anyhow!(
                "making the log group {group}: {}",
                aws_smithy_types::error::display::DisplayErrorContext(error)
            )
        })?;
        Ok(())
    }

    /// Every message of the stream `test/<container>/<task id>`.
    pub async fn lines(&self, group: &str, container: &str, task: &str) -> anyhow::Result<Vec<String>> {
        self.stream(group, &format!("test/{container}/{}", id(task))).await
    }

    /// Every message of the stream, from its head, over all pages.
    pub async fn stream(&self, group: &str, stream: &str) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = self
                .logs
                .get_log_events()
                .log_group_name(group)
                .log_stream_name(stream)
                .start_from_head(true)
                .set_next_token(token.clone())
                .send()
                .await;
            let page = page.map_err(|error| {
                anyhow::anyhow!(
                    "reading {stream}: {}",
                    aws_smithy_types::error::display::DisplayErrorContext(error)
                )
            })?;
            lines.extend(page.events().iter().filter_map(|event| event.message()).map(str::to_owned));
            // The end is a page that returns the token of its request.
            let next = page.next_forward_token().map(str::to_owned);
            if next == token {
                return Ok(lines);
            }
            token = next;
        }
    }
}

async fn config(endpoint: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "neargate tests"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await
}

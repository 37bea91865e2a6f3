//! What RunTask asks of the engine, and what it answers.

use std::sync::Arc;

use super::task::{Spec, Tag, Task};

/// One RunTask, validated and merged by the API.
#[derive(Clone, Debug)]
pub struct Order {
    /// 1 to 10.
    pub count: u32,
    pub region: String,
    pub account: String,
    pub cluster_arn: String,
    /// The cluster's name, as it stands in the task's ARN.
    pub cluster: String,
    pub task_definition_arn: String,
    pub family: String,
    pub group: String,
    pub started_by: Option<String>,
    pub launch_type: Option<String>,
    pub capacity_provider_name: Option<String>,
    /// `1.4.0` or `1.3.0`; the API has resolved `LATEST`.
    pub platform_version: String,
    /// `X86_64` or `ARM64`.
    pub cpu_architecture: String,
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// GiB, where the definition or the override named it.
    pub ephemeral_storage: Option<u32>,
    pub enable_execute_command: bool,
    /// As they came, for DescribeTasks.
    pub overrides: serde_json::Value,
    pub tags: Vec<Tag>,
    /// As they came; the engine maps or refuses those that it does not know.
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub client_token: Option<ClientToken>,
    pub spec: Spec,
}

/// The idempotency token of a request, in its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientToken {
    pub token: String,
    /// Equal for requests that ask for the same.
    pub digest: String,
}

/// What came of an [`Order`]: all of it committed before this is answered.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    pub tasks: Vec<Arc<Task>>,
    /// For each task that could not be placed, ECS's reason (`RESOURCE:ENI`).
    pub failures: Vec<String>,
}

/// Why an order was refused as a whole; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token was used for a different request. Carries the ARNs of that request's tasks.
    #[error("the client token was used for another request")]
    Conflict { resource_ids: Vec<String> },
    /// Only with `--strict-vpc`, or where the id is malformed.
    #[error("the subnet ID '{0}' does not exist")]
    UnknownSubnet(String),
    #[error("the security group '{0}' does not exist")]
    UnknownSecurityGroup(String),
    #[error("could not keep the tasks")]
    Store(#[source] crate::store::Error),
}

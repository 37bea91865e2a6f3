//! What RunTask asks of the engine, and what the engine returns.

use std::sync::Arc;

use serde::Deserialize;

use super::readiness::NotReady;
use super::record;
use super::task::{Spec, Tag, Task};
use crate::clock::Timestamp;
use crate::store::{self, Body, SqliteConnection, Store, client_tokens, tasks};

/// The version of a [`Ran`] that is kept with its client token.
const VERSION: u32 = 1;

/// What tasks are created from: immutable, with everything resolved and merged. Tasks can be launched from it repeatedly,
/// without the original request.
#[derive(Clone, Debug)]
pub struct Template {
    pub task_definition_arn: String,
    pub family: String,
    /// `1.4.0` or `1.3.0`; the API has resolved `LATEST`.
    pub platform_version: String,
    /// `X86_64` or `ARM64`.
    pub cpu_architecture: String,
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// GiB, if the definition or the override named it.
    pub ephemeral_storage: Option<u32>,
    pub enable_execute_command: bool,
    /// As they came, for DescribeTasks.
    pub overrides: serde_json::Value,
    /// As they came; the engine maps or refuses those that it does not know.
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
    pub spec: Spec,
}

/// Tasks to launch.
#[derive(Clone, Debug)]
pub struct Order {
    pub template: Arc<Template>,
    pub count: u32,
    pub region: String,
    pub account: String,
    pub cluster_arn: String,
    /// The cluster's name, as in the task's ARN.
    pub cluster: String,
    pub group: String,
    pub started_by: Option<String>,
    pub launch_type: Option<String>,
    /// The provider of each task, in order; empty if the launch type decided.
    pub capacity_providers: Vec<String>,
    pub tags: Vec<Tag>,
    pub client_token: Option<ClientToken>,
}

/// The idempotency token of a request, in its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientToken {
    pub token: String,
    /// Equal for requests that ask for the same.
    pub digest: String,
}

/// The result of an [`Order`], all of it committed.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    pub tasks: Vec<Arc<Task>>,
    /// For each task that could not be placed, ECS's reason (`RESOURCE:ENI`).
    pub failures: Vec<String>,
}

impl Ran {
    /// What an earlier request with this token returned, for as long as the token is remembered. `None`: it is new.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the token was used for another request; [`Error::Store`].
    pub(super) async fn returned(
        store: &Store,
        cluster_arn: &str,
        token: &ClientToken,
        now: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let found = client_tokens::get(store.readers(), cluster_arn, &token.token, now).await;
        let Some(found) = found.map_err(Error::Store)? else { return Ok(None) };
        if found.digest != token.digest {
            return Err(Error::Conflict { resource_ids: found.task_arns });
        }
        let read =
            store.write(move |connection| Box::pin(async move { Self::read(connection, &found).await }));
        read.await.map(Some).map_err(Error::Store)
    }

    /// The form that is stored with a client token: the tasks in their current state.
    pub(super) fn row(&self) -> Body {
        let tasks: Vec<&Task> = self.tasks.iter().map(|task| &**task).collect();
        Body::new(VERSION, &serde_json::json!({ "tasks": tasks, "failures": self.failures }))
    }

    /// What was returned for `token`.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        token: &client_tokens::Row,
    ) -> Result<Self, store::Error> {
        #[derive(Deserialize)]
        struct Returned {
            tasks: Vec<Task>,
            failures: Vec<String>,
        }
        match &token.answer {
            Some(answer) if answer.version == VERSION => {
                let Returned { tasks, failures } = answer.parse("what a client token returned")?;
                Ok(Self { tasks: tasks.into_iter().map(Arc::new).collect(), failures })
            }
            Some(answer) => Err(answer.newer("what a client token returned", VERSION)),
            // Stored by a release that kept only the ARNs: the tasks that are still shown, in their current state.
            None => {
                let mut ran = Self::default();
                for arn in &token.task_arns {
                    if let Some(row) = tasks::get(&mut *connection, arn).await? {
                        ran.tasks.push(Arc::new(record::task(&row)?));
                    }
                }
                Ok(ran)
            }
        }
    }
}

/// Why an order was refused as a whole; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token was used for a different request. Carries the ARNs of that request's tasks.
    #[error("the client token was used for another request")]
    Conflict { resource_ids: Vec<String> },
    /// Only with `--strict-vpc`, or if the id is malformed.
    #[error("the subnet ID '{0}' does not exist")]
    UnknownSubnet(String),
    #[error("the security group '{0}' does not exist")]
    UnknownSecurityGroup(String),
    /// It was deleted since the API read it.
    #[error("the cluster is not active")]
    ClusterInactive,
    /// It was deregistered or deleted since the API read it.
    #[error("the task definition is not active")]
    DefinitionInactive,
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error("could not commit the tasks")]
    Store(#[source] store::Error),
}

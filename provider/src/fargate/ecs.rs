//! The six calls of ECS that running pods needs, and what their errors mean.
//!
//! The distinction that all callers rely on is made here: [`Error::Trouble`] is AWS's (or the configuration's) and touches no pod;
//! [`Error::Refused`] is about the one request, and so about the pod.

use std::fmt::Debug;

use async_trait::async_trait;
use aws_sdk_ecs::{
    error::{ProvideErrorMetadata, SdkError},
    operation::run_task::RunTaskError,
    types::{DesiredStatus, Task, TaskField},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{Client, Outcome};
use crate::translate::ecs::{Definition, Run};

/// Most ids of one DescribeTasks (ECS API).
pub const MOST_IDS: usize = 100;

/// Most characters of StopTask's reason (ECS API).
const MOST_REASON: usize = 1024;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// AWS did not respond, or responded that it cannot: throttled, 5xx, no credentials, no such cluster. Not a pod's fault.
    #[error("calling ECS {operation}: {message}")]
    Trouble {
        /// The operation.
        operation: &'static str,
        /// What was seen, in one line.
        message: String,
    },
    /// The caller may not do this: not a pod's fault, unless a policy denies it for some tasks only.
    #[error("calling ECS {operation}: {message}")]
    Denied {
        /// The operation.
        operation: &'static str,
        /// What was seen, in one line.
        message: String,
    },
    /// AWS refused this one request.
    #[error("ECS {operation} was refused: {code}: {message}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// AWS's name of the error.
        code: String,
        /// AWS's words.
        message: String,
    },
    /// The client token has run tasks before, with other parameters.
    #[error("the client token has run {resource_ids:?}")]
    Conflict {
        /// Those tasks.
        resource_ids: Vec<String>,
    },
    /// The client token has run a task before, and that is gone: RunTask returned no task and no failure.
    #[error("the client token has run a task that ECS has forgotten")]
    Spent,
    /// RunTask returned failures and no task.
    #[error("Fargate has no capacity: {reason}")]
    NoCapacity {
        /// AWS's words.
        reason: String,
    },
}

/// The response of DescribeTasks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Described {
    /// Tasks that exist.
    pub tasks: Vec<Task>,
    /// ARNs that ECS calls MISSING.
    pub missing: Vec<String>,
}

/// ECS as the pod controller sees it.
#[async_trait]
pub trait Ecs: Debug + Send + Sync + 'static {
    /// Whether the latest call met with trouble: what is started now is likely to wait.
    fn is_in_trouble(&self) -> bool;

    /// DescribeTaskDefinition of the family: its latest active revision's ARN, `None` if it has none.
    async fn describe_definition(&self, family: &str) -> Result<Option<String>, Error>;

    /// RegisterTaskDefinition: the new revision's ARN.
    async fn register_definition(&self, definition: &Definition) -> Result<String, Error>;

    /// RunTask of one task of the revision. Legal at any time: the client token makes it idempotent.
    async fn run_task(&self, definition_arn: &str, run: &Run) -> Result<Task, Error>;

    /// StopTask; `None` if ECS no longer knows the task. Idempotent.
    async fn stop_task(&self, arn: &str, reason: &str) -> Result<Option<Task>, Error>;

    /// DescribeTasks with tags, of at most [`MOST_IDS`] ARNs.
    async fn describe_tasks(&self, arns: &[String]) -> Result<Described, Error>;

    /// ListTasks of all pages. `startedBy` is its only filter beside the desired status: ECS accepts no other with it.
    async fn list_tasks(&self, started_by: &str, desired: DesiredStatus) -> Result<Vec<String>, Error>;
}

#[async_trait]
impl Ecs for Client {
    fn is_in_trouble(&self) -> bool {
        matches!(self.health().latest(), Some(Outcome::Trouble(_)))
    }

    async fn describe_definition(&self, family: &str) -> Result<Option<String>, Error> {
        self.quotas().read_definition.take().await;
        let answer = self.ecs().describe_task_definition().task_definition(family).send().await;
        match self.record("DescribeTaskDefinition", answer) {
            Ok(output) => Ok(output.task_definition.and_then(|definition| definition.task_definition_arn)),
            // "Unable to describe task definition.": the family has no active revision.
            Err(Error::Refused { code, .. }) if code == "ClientException" => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn register_definition(&self, definition: &Definition) -> Result<String, Error> {
        const OPERATION: &str = "RegisterTaskDefinition";
        self.quotas().modify_definition.take().await;
        let answer = super::convert::register(self.ecs(), definition).send().await;
        let output = self.record(OPERATION, answer)?;
        output.task_definition.and_then(|definition| definition.task_definition_arn).ok_or_else(|| {
            Error::Trouble { operation: OPERATION, message: "the response has no task definition".to_owned() }
        })
    }

    async fn run_task(&self, definition_arn: &str, run: &Run) -> Result<Task, Error> {
        const OPERATION: &str = "RunTask";
        self.quotas().modify.take().await;
        let answer = super::convert::run(self.ecs(), definition_arn, run).send().await;
        if let Some(RunTaskError::ConflictException(conflict)) =
            answer.as_ref().err().and_then(SdkError::as_service_error)
        {
            self.health().record(Outcome::Answered);
            return Err(Error::Conflict { resource_ids: conflict.resource_ids().to_vec() });
        }
        let output = self.record(OPERATION, answer)?;
        if let Some(task) = output.tasks.unwrap_or_default().pop() {
            return Ok(task);
        }
        let failures = output.failures.unwrap_or_default();
        // ECS keeps a client token for a day, and a task that has stopped for an hour.
        if failures.is_empty() {
            return Err(Error::Spent);
        }
        let reasons = failures.into_iter().map(|failure| {
            [failure.reason, failure.detail].into_iter().flatten().collect::<Vec<_>>().join(": ")
        });
        Err(Error::NoCapacity { reason: reasons.collect::<Vec<_>>().join(", ") })
    }

    async fn stop_task(&self, arn: &str, reason: &str) -> Result<Option<Task>, Error> {
        self.quotas().modify.take().await;
        let reason: String = reason.chars().take(MOST_REASON).collect();
        let answer = self.ecs().stop_task().cluster(self.cluster()).task(arn).reason(reason).send().await;
        match self.record("StopTask", answer) {
            Ok(output) => Ok(output.task),
            // "The referenced task was not found.": stopped long ago.
            Err(Error::Refused { code, message, .. })
                if code == "InvalidParameterException" && message.contains("not found") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn describe_tasks(&self, arns: &[String]) -> Result<Described, Error> {
        const OPERATION: &str = "DescribeTasks";
        self.quotas().read.take().await;
        let request = self.ecs().describe_tasks().cluster(self.cluster());
        let answer = request.set_tasks(Some(arns.to_vec())).include(TaskField::Tags).send().await;
        let output = self.record(OPERATION, answer)?;
        let mut missing = Vec::new();
        for failure in output.failures.unwrap_or_default() {
            match (failure.reason.as_deref(), failure.arn) {
                (Some("MISSING"), Some(arn)) => missing.push(arn),
                // Any other reason does not show whether the task exists; the next round asks again.
                (reason, arn) => tracing::warn!(
                    ?arn,
                    ?reason,
                    "DescribeTasks failed for a task; asking again in the next round"
                ),
            }
        }
        Ok(Described { tasks: output.tasks.unwrap_or_default(), missing })
    }

    async fn list_tasks(&self, started_by: &str, desired: DesiredStatus) -> Result<Vec<String>, Error> {
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            self.quotas().read.take().await;
            let request = self.ecs().list_tasks().cluster(self.cluster()).started_by(started_by);
            let answer = request.desired_status(desired.clone()).set_next_token(token).send().await;
            let output = self.record("ListTasks", answer)?;
            arns.extend(output.task_arns.unwrap_or_default());
            match output.next_token.filter(|token| !token.is_empty()) {
                Some(next) => token = Some(next),
                None => return Ok(arns),
            }
        }
    }
}

impl Client {
    /// Records how the call ended and sorts its error.
    pub(super) fn record<T, E>(
        &self,
        operation: &'static str,
        answer: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, Error>
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let result = answer.map_err(|error| sort(operation, &error));
        self.health().record(match &result {
            Err(Error::Trouble { message, .. } | Error::Denied { message, .. }) => {
                Outcome::Trouble(format!("{operation}: {message}"))
            }
            _ => Outcome::Answered,
        });
        result
    }
}

/// Sorts an error by what it concerns: AWS as a whole, or this request.
fn sort<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    match error.as_service_error().and_then(|service| service.code()) {
        Some(code) if status.is_some_and(|status| status < 500) && !is_everybodys(code) => Error::Refused {
            operation,
            code: code.to_owned(),
            message: error.message().unwrap_or_default().to_owned(),
        },
        Some(code) => {
            let message = format!("{code}: {}", error.message().unwrap_or_default());
            if code == "AccessDeniedException" {
                Error::Denied { operation, message }
            } else {
                Error::Trouble { operation, message }
            }
        }
        None => Error::Trouble { operation, message: chain(error) },
    }
}

/// An error and its causes in one line, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut words: Vec<String> = causes.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// Errors with a 4xx that any request would meet: throttling, credentials, rights, the cluster of the configuration.
fn is_everybodys(code: &str) -> bool {
    const CODES: [&str; 16] = [
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "ServerException",
        "ClusterNotFoundException",
        "AccessDeniedException",
        "BlockedException",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "ExpiredTokenException",
        "ExpiredToken",
        "RequestExpired",
    ];
    CODES.contains(&code)
}

//! How a caller names a task: by its id, or by its ARN.

use crate::api::ecs::reference;
use crate::api::{Context, Error};

/// A task's name within a cluster, whether or not there is such a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api::ecs) struct Identity {
    pub(in crate::api::ecs) arn: String,
}

impl Identity {
    /// Reads `text`: 32 hexadecimal digits, a UUID as old tasks have, or an ARN with or without a cluster.
    ///
    /// # Errors
    /// An id of another length; an ARN that is not a task's.
    pub(in crate::api::ecs) fn read(context: &Context, cluster: &str, text: &str) -> Result<Self, Error> {
        let named = reference::resource(context, "task", text)?;
        let (cluster, id) = match named {
            Some(rest) => rest.split_once('/').unwrap_or((cluster, rest)),
            None => (cluster, text),
        };
        if !matches!(id.len(), 32 | 36) {
            return Err(Error::invalid_parameter("taskId length should be one of [32,36]"));
        }
        Ok(Self { arn: context.arn("ecs", format_args!("task/{cluster}/{id}")) })
    }
}

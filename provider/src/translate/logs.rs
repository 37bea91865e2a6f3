//! The destination of a container's output: one log stream per container and task.

use super::{
    Settings,
    ecs::{LogConfiguration, LogOptions},
};

/// The first part of every log stream's name.
const PREFIX: &str = "pods";

/// The log stream of a container of a task: `pods/<container>/<task id>`.
#[must_use]
pub fn stream(container: &str, task_id: &str) -> String {
    format!("{PREFIX}/{container}/{task_id}")
}

/// The configuration for the log group; `None` if there is none.
#[must_use]
pub fn configuration(settings: &Settings) -> Option<LogConfiguration> {
    let options = LogOptions {
        group: settings.fargate.log_group.clone()?,
        region: settings.region.clone(),
        stream_prefix: PREFIX,
    };
    Some(LogConfiguration { log_driver: "awslogs", options })
}

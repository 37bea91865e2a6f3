//! What the provider writes on a pod, beside its status.

/// The ARN of the task that runs the pod now, or ran it last.
pub const TASK_ARN: &str = "neargate.dev/task-arn";

/// The ARN of the task before that one: where `kubectl logs --previous` looks.
pub const PREVIOUS_TASK_ARN: &str = "neargate.dev/previous-task-arn";

/// The size of the task, in EKS Fargate's own form: `0.25vCPU 0.5GB`.
pub const CAPACITY_PROVISIONED: &str = "CapacityProvisioned";

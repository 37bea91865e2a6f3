//! The annotations that the provider writes on a pod.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::task;

/// The ARN of the task that runs the pod now, or ran it last.
pub const TASK_ARN: &str = "neargate.dev/task-arn";

/// The size of the task, in EKS Fargate's own form: `0.25vCPU 0.5GB`.
pub const CAPACITY_PROVISIONED: &str = "CapacityProvisioned";

/// The deletion cost of the pod: a ReplicaSet that is scaled down deletes the pods with the lowest cost first.
/// Kubernetes's own.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The annotations that a pod must have while `task` runs its attempt; only those that it lacks.
///
/// `deletion_cost` is the node's, for pods that have none of their own.
#[must_use]
pub fn for_task(pod: &Pod, task: &Task, deletion_cost: Option<i32>) -> BTreeMap<&'static str, String> {
    let mut wanted = BTreeMap::new();
    if let Some(cost) = deletion_cost
        && !pod.annotations().contains_key(POD_DELETION_COST)
    {
        wanted.insert(POD_DELETION_COST, cost.to_string());
    }
    let arn = task::arn(task);
    if pod.annotations().get(TASK_ARN).map(String::as_str) != Some(arn) {
        wanted.insert(TASK_ARN, arn.to_owned());
    }
    if let Some(size) = task::size(task).map(|size| size.to_string())
        && pod.annotations().get(CAPACITY_PROVISIONED) != Some(&size)
    {
        wanted.insert(CAPACITY_PROVISIONED, size);
    }
    wanted
}

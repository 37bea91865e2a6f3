//! `preStop` hooks of a pod that is deleted: what they are, and how long StopTask waits for them.
//!
//! All containers' hooks run at once, within the pod's grace period. Its clock is on the object (`deletionTimestamp` is when the
//! grace ends), so that a provider that is restarted in between continues where the previous one was.
//!
//! A hook of the kubelet's counts against the container's own grace; ECS's `stopTimeout` is fixed when the task definition is
//! registered, so here the container has all of it after its hook.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Pod, PodSpec};

/// Kubernetes stores the time of a deletion in whole seconds, rounded down: a sleep that is measured from there would end early.
const ROUNDED: Duration = Duration::from_secs(1);

/// An `httpGet` hook, by its container.
pub(in crate::pods) fn gets(spec: &PodSpec) -> impl Iterator<Item = (&Container, &HTTPGetAction)> {
    spec.containers.iter().filter_map(|container| Some((container, hook(container)?.http_get.as_ref()?)))
}

/// How long StopTask waits at most for the hooks; `None` if there is nothing to wait for, or no grace left. `answered`: all
/// `httpGet` hooks have been answered. `seen`: when this process first saw that the pod is to be deleted, so that an API server
/// whose clock is ahead does not extend the grace.
pub(super) fn left(
    pod: &Pod,
    spec: &PodSpec,
    answered: bool,
    seen: Timestamp,
    now: Timestamp,
) -> Option<Duration> {
    let grace = Duration::from_secs(u64::try_from(pod.metadata.deletion_grace_period_seconds?).ok()?);
    let over = pod.metadata.deletion_timestamp.as_ref()?.0.min(seen.checked_add(grace + ROUNDED).ok()?);
    let begun = over.checked_sub(grace).ok()?;
    let until =
        |end: Timestamp| Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero());

    let grace_left = until(over)?;
    let asleep = sleep(spec).and_then(|sleep| until(begun.checked_add(sleep + ROUNDED).ok()?));
    let asking = (!answered && gets(spec).next().is_some()).then_some(grace_left);
    asleep.max(asking).map(|left| left.min(grace_left))
}

/// The longest `sleep` hook.
fn sleep(spec: &PodSpec) -> Option<Duration> {
    let sleeps = spec.containers.iter().filter_map(|container| hook(container)?.sleep.as_ref());
    sleeps.filter_map(|sleep| u64::try_from(sleep.seconds).ok()).max().map(Duration::from_secs)
}

fn hook(container: &Container) -> Option<&LifecycleHandler> {
    container.lifecycle.as_ref()?.pre_stop.as_ref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OVER: i64 = 1_790_000_030;

    fn pod(hooks: &[Value]) -> Pod {
        let over = Timestamp::from_second(OVER).unwrap().to_string();
        let containers: Vec<Value> = hooks
            .iter()
            .map(|hook| json!({ "name": "app", "image": "app:1", "lifecycle": { "preStop": hook } }))
            .collect();
        serde_json::from_value(json!({
            "metadata": { "name": "web", "deletionTimestamp": over, "deletionGracePeriodSeconds": 30 },
            "spec": { "containers": containers },
        }))
        .unwrap()
    }

    #[test]
    fn the_longest_hook_is_waited_for_and_never_past_the_grace() {
        let sleep = |seconds: i64| json!({ "sleep": { "seconds": seconds } });
        let get = || json!({ "httpGet": { "port": 80 } });
        for (hooks, answered, active, expected) in [
            (vec![], false, 0, None),
            (vec![sleep(5)], false, 0, Some(6)),
            (vec![sleep(5)], false, 4, Some(2)),
            (vec![sleep(5)], false, 6, None),
            (vec![sleep(5), sleep(9)], false, 4, Some(6)),
            (vec![sleep(30)], false, 4, Some(26)),
            (vec![sleep(0)], false, 2, None),
            (vec![get()], false, 4, Some(26)),
            (vec![get()], true, 4, None),
            (vec![get(), sleep(5)], false, 4, Some(26)),
            (vec![get(), sleep(5)], true, 4, Some(2)),
            (vec![get(), sleep(30)], false, 30, None),
        ] {
            let pod = pod(&hooks);
            let begun = Timestamp::from_second(OVER - 30).unwrap();
            let now = begun + Duration::from_secs(active);
            let left = left(&pod, pod.spec.as_ref().unwrap(), answered, begun, now);
            assert_eq!(left.map(|left| left.as_secs()), expected, "{hooks:?}, {answered}, after {active} s");
        }
    }

    #[test]
    fn a_pod_that_is_not_deleted_waits_for_nothing() {
        let mut pod = pod(&[json!({ "sleep": { "seconds": 5 } })]);
        pod.metadata.deletion_timestamp = None;
        let over = Timestamp::from_second(OVER).unwrap();
        assert_eq!(left(&pod, pod.spec.as_ref().unwrap(), false, over, over), None);
    }

    #[test]
    fn an_api_server_whose_clock_is_an_hour_ahead_makes_no_grace_longer() {
        for hook in [json!({ "sleep": { "seconds": 5 } }), json!({ "httpGet": { "port": 80 } })] {
            let pod = pod(&[hook]);
            let seen = Timestamp::from_second(OVER - 30 - 3600).unwrap();
            let left = |now| left(&pod, pod.spec.as_ref().unwrap(), false, seen, now);
            assert!(left(seen).unwrap() <= Duration::from_secs(31));
            assert_eq!(left(seen + Duration::from_secs(31)), None);
        }
    }
}

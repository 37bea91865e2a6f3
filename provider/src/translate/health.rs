//! `exec` probes as ECS container health checks, exactly if the two mean the same.
//!
//! Nothing but a container's own health check runs a command inside a task, and a container has one. ECS runs it every
//! `interval` from the container's start; the container is UNKNOWN until the first success, HEALTHY then,
//! UNHEALTHY after `retries` consecutive failures, not counting failures within `startPeriod`. A standalone task is
//! not stopped when it is UNHEALTHY: the provider stops it, as a kubelet does.
//!
//! So a readiness probe is HEALTHY (delayed by its initial delay), a liveness probe is "not UNHEALTHY". What has
//! no counterpart is refused: a startup probe, a success threshold, a period under 5 s, two commands in one container.
//! One rounding is allowed: a timeout under 2 s, Kubernetes's default of 1 s, becomes ECS's minimum, 2 s.

use k8s_openapi::api::core::v1::{Container, Probe};

use super::ecs::HealthCheck;

/// The probes that a container's health check implements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    /// HEALTHY is the readiness probe; ready no earlier than this many seconds after the container's start.
    pub readiness: Option<u32>,
    /// UNHEALTHY is the liveness probe: the task is stopped.
    pub liveness: bool,
}

/// The probes that the container's health check, if it has one, implements.
#[must_use]
pub fn usage(container: &Container) -> Use {
    let readiness = exec(container.readiness_probe.as_ref());
    Use {
        readiness: readiness.map(|probe| seconds(probe.initial_delay_seconds, 0)),
        liveness: exec(container.liveness_probe.as_ref()).is_some(),
    }
}

/// The health check of the container's `exec` probes; `Ok(None)` if it has none.
pub fn check(container: &Container) -> Result<Option<HealthCheck>, Vec<String>> {
    let mut reasons = Vec::new();
    let mut refuse = |probe: &str, why: &str| {
        reasons.push(format!("exec {probe} not supported: {why} (container {})", container.name));
    };
    if exec(container.startup_probe.as_ref()).is_some() {
        refuse("startupProbe", "ECS has no health check that ends");
    }
    let readiness =
        exec(container.readiness_probe.as_ref()).map(|probe| translate(probe, "readinessProbe", &mut refuse));
    let liveness =
        exec(container.liveness_probe.as_ref()).map(|probe| translate(probe, "livenessProbe", &mut refuse));
    if liveness.is_some() && container.startup_probe.is_some() {
        refuse("livenessProbe", "ECS would not wait for the startupProbe");
    }
    let both = match (readiness, liveness) {
        (Some(readiness), Some(liveness)) if readiness != liveness => {
            refuse(
                "livenessProbe",
                "it differs from the exec readinessProbe, and a container has one health check",
            );
            None
        }
        (readiness, liveness) => readiness.or(liveness),
    };
    if reasons.is_empty() { Ok(both) } else { Err(reasons) }
}

fn exec(probe: Option<&Probe>) -> Option<&Probe> {
    probe.filter(|probe| probe.exec.is_some())
}

fn seconds(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default)
}

fn translate(probe: &Probe, name: &str, refuse: &mut impl FnMut(&str, &str)) -> HealthCheck {
    let period = seconds(probe.period_seconds, 10);
    let timeout = seconds(probe.timeout_seconds, 1);
    let failures = seconds(probe.failure_threshold, 3);
    let delay = seconds(probe.initial_delay_seconds, 0);
    if !(5..=300).contains(&period) {
        refuse(name, "periodSeconds must be 5 to 300 on ECS");
    }
    if timeout > 60 {
        refuse(name, "timeoutSeconds must be at most 60 on ECS");
    }
    if !(1..=10).contains(&failures) {
        refuse(name, "failureThreshold must be 1 to 10 on ECS");
    }
    if delay > 300 {
        refuse(name, "initialDelaySeconds must be at most 300 on ECS");
    }
    if seconds(probe.success_threshold, 1) > 1 {
        refuse(name, "successThreshold must be 1 on ECS");
    }
    if probe.termination_grace_period_seconds.is_some() {
        refuse(name, "terminationGracePeriodSeconds of a probe can't be passed on");
    }
    let words = probe.exec.iter().flat_map(|exec| exec.command.iter().flatten());
    HealthCheck {
        command: std::iter::once("CMD".to_owned()).chain(words.cloned()).collect(),
        interval: period,
        timeout: timeout.max(2),
        retries: failures,
        start_period: delay,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction};

    use super::*;

    fn probe(change: impl FnOnce(&mut Probe)) -> Probe {
        let command = Some(vec!["test".to_owned(), "-f".to_owned(), "/ready".to_owned()]);
        let mut probe = Probe { exec: Some(ExecAction { command }), ..Probe::default() };
        change(&mut probe);
        probe
    }

    #[test]
    fn the_kubelets_defaults_become_the_health_checks_numbers() {
        let container = Container { readiness_probe: Some(probe(|_| ())), ..Container::default() };
        let expected = HealthCheck {
            command: ["CMD", "test", "-f", "/ready"].map(str::to_owned).to_vec(),
            interval: 10,
            timeout: 2,
            retries: 3,
            start_period: 0,
        };
        assert_eq!(check(&container), Ok(Some(expected)));
        assert_eq!(usage(&container), Use { readiness: Some(0), liveness: false });
    }

    #[test]
    fn what_means_something_else_on_ecs_is_refused() {
        let http = Probe { http_get: Some(HTTPGetAction::default()), ..Probe::default() };
        let alone = |probe: Probe| Container { liveness_probe: Some(probe), ..Container::default() };
        let cases = [
            ("period", alone(probe(|p| p.period_seconds = Some(4))), 1),
            ("timeout", alone(probe(|p| p.timeout_seconds = Some(61))), 1),
            ("threshold", alone(probe(|p| p.failure_threshold = Some(11))), 1),
            ("delay", alone(probe(|p| p.initial_delay_seconds = Some(301))), 1),
            ("grace", alone(probe(|p| p.termination_grace_period_seconds = Some(1))), 1),
            (
                "all at once",
                alone(probe(|p| {
                    p.period_seconds = Some(1);
                    p.failure_threshold = Some(30);
                })),
                2,
            ),
            ("startup", Container { startup_probe: Some(probe(|_| ())), ..Container::default() }, 1),
            (
                "liveness behind startup",
                Container { startup_probe: Some(http.clone()), ..alone(probe(|_| ())) },
                1,
            ),
            (
                "two commands",
                Container {
                    readiness_probe: Some(probe(|p| p.period_seconds = Some(20))),
                    ..alone(probe(|_| ()))
                },
                1,
            ),
            (
                "success",
                Container {
                    readiness_probe: Some(probe(|p| p.success_threshold = Some(2))),
                    ..Container::default()
                },
                1,
            ),
        ];
        for (name, container, count) in cases {
            let reasons = check(&container).expect_err(name);
            assert_eq!(reasons.len(), count, "{name}: {reasons:?}");
        }
        let same = Container { readiness_probe: Some(probe(|_| ())), ..alone(probe(|_| ())) };
        assert!(check(&same).is_ok_and(|check| check.is_some()), "one command can be both probes");
        assert_eq!(check(&alone(http)), Ok(None), "the prober runs it");
    }
}

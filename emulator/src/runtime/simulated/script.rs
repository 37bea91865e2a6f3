//! A container's script: see the table in [`super`].

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) exit_code: Option<i64>,
    pub(super) exit_after: Duration,
    pub(super) lines: u64,
    pub(super) oom: bool,
    pub(super) ignores_sigterm: bool,
    pub(super) healthy: Option<bool>,
}

impl Script {
    pub(super) fn read(environment: &[(String, String)]) -> Self {
        let variables: BTreeMap<&str, &str> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let number = |name: &str| variables.get(name).and_then(|value| value.parse::<u64>().ok());
        Self {
            exit_code: variables.get("SIMULATED_EXIT_CODE").and_then(|code| code.parse().ok()),
            exit_after: Duration::from_millis(number("SIMULATED_EXIT_AFTER_MS").unwrap_or(0)),
            lines: number("SIMULATED_LINES").unwrap_or(0),
            oom: variables.contains_key("SIMULATED_OOM"),
            ignores_sigterm: variables.contains_key("SIMULATED_IGNORE_SIGTERM"),
            healthy: variables.get("SIMULATED_HEALTHY").and_then(|healthy| healthy.parse().ok()),
        }
    }
}

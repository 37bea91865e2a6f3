//! The plan of a world, generated from a seed before anything runs.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::engine::task::{AwsLogs, Condition, ContainerSpec, Dependency, RestartPolicy, Spec};
use crate::runtime::faulty::{Call, Fate, Fault};
use crate::runtime::{Event, Process};

/// A world.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// The steps, each with the pause before it.
    pub(super) steps: Vec<(Duration, Step)>,
    /// Of 1,000 calls, how many go wrong.
    pub(super) faulty_calls: u64,
    /// Of 1,000 events, how many are lost, doubled or late.
    pub(super) faulty_events: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A RunTask of one task.
    Run(Spec),
    /// The n-th [`Step::Run`] once more, with the same client token.
    Again(usize),
    /// A StopTask of the task that the n-th [`Step::Run`] created.
    Stop(usize),
    /// The container ends by itself: the n-th that the runtime ever created.
    Exit(usize),
    /// A sandbox ends by itself: the n-th of the existing ones.
    EndSandbox(usize),
    /// kill -9, and a new process.
    Kill,
    /// A signal, and a new process.
    Shutdown,
    Reset,
    /// The machine's clock is set, by milliseconds.
    SetClock(i64),
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let tasks = rng.random_range(1..=3);
        let mut steps: Vec<(Duration, Step)> = Vec::new();
        let mut runs = 0;
        while runs < tasks || rng.random_bool(0.6) {
            let pause = Duration::from_millis(rng.random_range(0..4_000));
            let step = match rng.random_range(0..20) {
                0..8 if runs < tasks => {
                    runs += 1;
                    Step::Run(spec(&mut rng, runs))
                }
                8..11 if runs > 0 => Step::Stop(rng.random_range(0..runs)),
                11 => Step::Again(rng.random_range(0..runs.max(1))),
                12 => Step::Exit(rng.random_range(0..6)),
                13 => Step::EndSandbox(rng.random_range(0..4)),
                14 | 15 => Step::Kill,
                16 => Step::Shutdown,
                17 if rng.random_bool(0.4) => Step::Reset,
                18 => Step::SetClock(rng.random_range(-90_000..90_000)),
                _ => continue,
            };
            steps.push((pause, step));
        }
        let faulty_calls = *[20, 100, 300].choose(&mut rng).unwrap_or(&0);
        let faulty_events = *[0, 50, 300].choose(&mut rng).unwrap_or(&0);
        Self { seed, steps, faulty_calls, faulty_events }
    }

    /// Whether the `nth` call of its kind goes wrong, and how.
    pub(super) fn fault(&self, call: Call, nth: u64) -> Option<Fault> {
        let mut rng = self.rng(call as u64 + 1, nth);
        if rng.random_range(0..1000) >= self.faulty_calls {
            return None;
        }
        Some(match rng.random_range(0..20) {
            0..9 => Fault::Fail,
            9..13 => Fault::ActThenFail,
            13..17 => Fault::Slow(Duration::from_millis(rng.random_range(0..20_000))),
            17..19 => Fault::Hang,
            _ => Fault::ActThenHang,
        })
    }

    /// What happens to the `nth` event.
    pub(super) fn fate(&self, event: &Event, nth: u64) -> Option<Fate> {
        let mut rng = self.rng(0, nth);
        if matches!(event, Event::Resync) || rng.random_range(0..1000) >= self.faulty_events {
            return None;
        }
        Some(match rng.random_range(0..3) {
            0 => Fate::Lost,
            1 => Fate::Doubled,
            _ => Fate::Late(Duration::from_millis(rng.random_range(0..30_000))),
        })
    }

    fn rng(&self, kind: u64, nth: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ (kind << 56) ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Run(spec) = self else { return write!(f, "{self:?}") };
        write!(f, "Run, volumes {:?}, shared PID namespace {}", spec.volumes, spec.shared_pid)?;
        for container in &spec.containers {
            let ContainerSpec { name, essential, process, depends_on, restart_policy, .. } = container;
            let script = &process.environment;
            write!(f, "\n    {name} {} essential {essential} {script:?}", process.image)?;
            write!(f, " {depends_on:?} {restart_policy:?}")?;
        }
        Ok(())
    }
}

fn spec(rng: &mut StdRng, nth: usize) -> Spec {
    let count = rng.random_range(1..=3);
    let mut containers: Vec<ContainerSpec> = Vec::new();
    for index in 0..count {
        let essential = index + 1 == count || rng.random_bool(0.4);
        let container = container(rng, nth, index, essential, &containers);
        containers.push(container);
    }
    let volumes = if rng.random_bool(0.3) { vec!["data".to_owned()] } else { Vec::new() };
    Spec { containers, volumes, shared_pid: rng.random_bool(0.1) }
}

fn container(
    rng: &mut StdRng,
    nth: usize,
    index: usize,
    essential: bool,
    earlier: &[ContainerSpec],
) -> ContainerSpec {
    let mut environment: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
    // A container that is not essential ends by itself, so that those that wait for its end do not wait forever.
    if !essential || rng.random_bool(0.6) {
        let code = if rng.random_bool(0.7) { 0 } else { rng.random_range(1..=137) };
        set("SIMULATED_EXIT_CODE", code.to_string());
        set("SIMULATED_EXIT_AFTER_MS", rng.random_range(0..20_000).to_string());
    }
    set("SIMULATED_LINES", rng.random_range(0..40).to_string());
    if rng.random_bool(0.2) {
        set("SIMULATED_IGNORE_SIGTERM", "1".to_owned());
    }
    let depends_on = earlier
        .iter()
        .filter(|_| rng.random_bool(0.5))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|on| Dependency {
            container: on.name.clone(),
            condition: match rng.random_range(0..3) {
                // A container that is restarted has no end to wait for.
                0 if !on.essential && on.restart_policy.is_none() => Condition::Complete,
                1 if !on.essential && on.restart_policy.is_none() => Condition::Success,
                _ => Condition::Start,
            },
        })
        .collect();
    let log = AwsLogs {
        group: format!("/task-{nth}"),
        region: "us-east-1".into(),
        stream_prefix: "app".into(),
        create_group: true,
        multiline_pattern: None,
    };
    let restarts = rng.random_bool(0.2);
    ContainerSpec {
        name: format!("c{index}"),
        process: Process {
            image: if rng.random_bool(0.03) { "missing".into() } else { "app".into() },
            environment,
            ..Process::default()
        },
        essential,
        depends_on,
        stop_timeout: rng.random_range(2..=30),
        log: rng.random_bool(0.8).then_some(log),
        restart_policy: restarts.then(|| RestartPolicy {
            ignored_exit_codes: vec![0],
            restart_attempt_period: rng.random_range(1..10),
        }),
        ..ContainerSpec::default()
    }
}

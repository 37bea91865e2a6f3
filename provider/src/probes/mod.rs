//! Readiness, liveness and startup probes, run from here to the pod's address.
//!
//! ```text
//! Target (pod, attempt, address) --spec (pure)--> one worker a probe
//!                                                   check: http, tcp, grpc --Outcome--> machine (pure)
//! Verdict (started, ready) <---- standing <-----------------------------------------------+
//! Event (changed, failed) <----------------------------------------------------------------+
//! ```
//!
//! Rules, defaults and wording are the kubelet's (`pkg/kubelet/prober`, `pkg/probe`). A startup probe holds the others back;
//! after a liveness or startup probe has failed its container is left alone until its next attempt. `exec` probes are not
//! run here: ECS runs them as the container's health check. A `preStop` hook's `httpGet` is asked by the same hand.

mod check;
mod machine;
mod prober;
mod spec;

pub use self::prober::{Container, Event, Kind, Prober, Target, Verdict, Watched};

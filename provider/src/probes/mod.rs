//! Readiness, liveness and startup probes, run from here to the pod's address.
//!
//! ```text
//! Target (pod, attempt, address) --spec (pure)--> one worker per probe
//!                                                   check: http, tcp, grpc --Outcome--> machine (pure)
//! Verdict (started, ready) <---- standing <-----------------------------------------------+
//! Event (changed, failed) <----------------------------------------------------------------+
//! ```
//!
//! Rules, defaults and wording are the kubelet's (`pkg/kubelet/prober`, `pkg/probe`). A startup probe delays the others;
//! after a liveness or startup probe has failed, its container is not probed until its next attempt. `exec` probes are not
//! run here: ECS runs them as the container's health check. A `preStop` hook's `httpGet` is sent by the same code.

mod check;
mod machine;
mod prober;
mod spec;

pub use self::prober::{Container, Event, Kind, Prober, Target, Verdict, Watched};

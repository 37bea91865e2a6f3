//! Readiness, liveness and startup probes, run from here to the pod's address.

//! A scenario's objects, applied and deleted by kubectl as by a user.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use anyhow::Context as _;
use futures::FutureExt as _;
use harness::fixture;
use harness::shared::Shared;
use harness::suite::Context as _;
use serde_json::Value;

/// Applies `fixtures/scenarios/NAME.yaml`, runs the test, and deletes what was applied in any case.
pub(crate) async fn with(
    shared: &Shared,
    name: &str,
    test: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = fixture(&format!("scenarios/{name}.yaml")).to_string_lossy().into_owned();
    let applied = shared.cluster.kubectl(&["apply", "-f", &path]).await;
    let outcome = match applied {
        // After a failed assertion, too, the next test must not find these objects.
        Ok(_) => AssertUnwindSafe(test()).catch_unwind().await,
        Err(error) => Ok(Err(error)),
    };
    let seen = if matches!(outcome, Ok(Ok(()))) { String::new() } else { shared.dump().await };
    let deleted =
        shared.cluster.kubectl(&["delete", "-f", &path, "--ignore-not-found", "--timeout=120s"]).await;
    match outcome {
        Ok(Ok(())) => deleted.map(drop),
        Ok(Err(error)) => Err(error.context(seen)),
        Err(panic) => {
            eprintln!("{seen}");
            std::panic::resume_unwind(panic)
        }
    }
}

/// `kubectl get WHAT -o json`.
pub(crate) async fn get(shared: &Shared, namespace: &str, what: &str) -> anyhow::Result<Value> {
    let mut words: Vec<&str> = vec!["get", "-n", namespace, "-o", "json"];
    words.extend(what.split(' '));
    let text = shared.cluster.kubectl(&words).await?;
    serde_json::from_str(&text).with_context(|| format!("reading kubectl get {what}"))
}

/// Everything that a pod has logged.
pub(crate) async fn logs(shared: &Shared, namespace: &str, pod: &str) -> anyhow::Result<String> {
    shared.cluster.kubectl(&["logs", pod, "-n", namespace]).await
}

/// The ready addresses of a Service, by its EndpointSlices.
pub(crate) async fn endpoints(
    shared: &Shared,
    namespace: &str,
    service: &str,
) -> anyhow::Result<BTreeSet<String>> {
    let selector = format!("endpointslices -l kubernetes.io/service-name={service}");
    let slices = get(shared, namespace, &selector).await?;
    let endpoints = slices["items"].as_array().into_iter().flatten();
    let endpoints = endpoints.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    Ok(ready.filter_map(|endpoint| endpoint["addresses"][0].as_str().map(str::to_owned)).collect())
}

//! A scenario's objects, applied and deleted by kubectl as a person would.

use anyhow::Context as _;
use harness::fixture;
use harness::shared::Shared;
use serde_json::Value;

/// Applies `fixtures/scenarios/NAME.yaml`, runs the test, and deletes what was applied, whatever came of it.
pub(crate) async fn with(
    shared: &Shared,
    name: &str,
    test: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = fixture(&format!("scenarios/{name}.yaml")).to_string_lossy().into_owned();
    let applied = shared.cluster.kubectl(&["apply", "-f", &path]).await;
    let outcome = match applied {
        Ok(_) => test().await,
        Err(error) => Err(error),
    };
    let outcome = match outcome {
        Ok(()) => Ok(()),
        // The world as it was, before it is taken down.
        Err(error) => Err(error.context(harness::suite::Context::dump(shared).await)),
    };
    let deleted =
        shared.cluster.kubectl(&["delete", "-f", &path, "--ignore-not-found", "--timeout=120s"]).await;
    outcome?;
    deleted.map(drop)
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
) -> anyhow::Result<Vec<String>> {
    let selector = format!("endpointslices -l kubernetes.io/service-name={service}");
    let slices = get(shared, namespace, &selector).await?;
    let endpoints = slices["items"].as_array().into_iter().flatten();
    let endpoints = endpoints.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    let mut addresses: Vec<String> =
        ready.filter_map(|endpoint| endpoint["addresses"][0].as_str().map(str::to_owned)).collect();
    addresses.sort();
    Ok(addresses)
}

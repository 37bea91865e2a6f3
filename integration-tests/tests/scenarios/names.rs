//! Names and Services, both ways and across namespaces.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use harness::deployment::available;
use harness::pods::{Pods, address, pod};
use harness::shared::Shared;
use harness::{chain, wait};

use crate::fixture::{self, endpoints, get, logs};

const BACK: &str = "names-back";
const FRONT: &str = "names-front";

pub(crate) async fn pods_and_services_find_each_other_by_name_across_both_kinds_of_node(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    fixture::with(shared, "names", async || {
        available(&shared.cluster, BACK, "catalog", 2).await?;
        available(&shared.cluster, FRONT, "store", 1).await?;

        // A pod on the kind node gets its page from Fargate, and a task gets its own from the kind node.
        page(shared, FRONT, "customer", "neargate-fixture on catalog-").await?;
        page(shared, BACK, "supplier", "neargate-fixture on store-").await?;

        let pods = Pods::of(&shared.cluster, BACK);
        let tasks: BTreeSet<String> =
            pods.labelled("app=catalog").await?.iter().map(address).collect::<anyhow::Result<_>>()?;
        assert_eq!(endpoints(shared, BACK, "catalog").await?, tasks, "the Service's endpoints are the tasks");
        let node = shared.stack.node();
        let run = async |name: &str, args: &[&str]| {
            pods.create(pod(node, name, args)).await?;
            pods.phase(name, "Succeeded").await?;
            logs(shared, BACK, name).await
        };

        // A headless Service's name resolves to the tasks' addresses, also by its short name.
        for (name, asked) in
            [("short", "catalog-tasks"), ("full", "catalog-tasks.names-back.svc.cluster.local")]
        {
            let seen = run(&format!("headless-{name}"), &["resolve", asked]).await?;
            assert_eq!(seen.lines().map(str::to_owned).collect::<BTreeSet<_>>(), tasks, "{asked}");
        }
        // A task reaches another task through its Service, a NodePort, and a pod on the kind node at its own address.
        let through = run("through-service", &["get", "http://catalog/", "--within", "30"]).await?;
        assert!(through.starts_with("neargate-fixture on catalog-"), "{through}");
        let service = get(shared, FRONT, "service store").await?;
        let port = service["spec"]["ports"][0]["nodePort"].as_i64().context("no nodePort")?;
        let store = Pods::of(&shared.cluster, FRONT).labelled("app=store").await?;
        let host = store[0]["status"]["hostIP"].as_str().context("no hostIP")?;
        let by_port =
            run("by-node-port", &["get", &format!("http://{host}:{port}/"), "--within", "30"]).await?;
        assert!(by_port.starts_with("neargate-fixture on store-"), "{by_port}");
        let direct = format!("http://{}:8080/", address(&store[0])?);
        let direct = run("by-address", &["get", &direct, "--within", "30"]).await?;
        assert!(direct.starts_with("neargate-fixture on store-"), "{direct}");
        Ok(())
    })
    .await
}

/// Waits until the client has logged a page with this beginning.
async fn page(shared: &Shared, namespace: &str, client: &str, begins: &str) -> anyhow::Result<()> {
    wait::until(&format!("{namespace}/{client} gets its page"), wait::seconds(60), async || {
        let said = logs(shared, namespace, client).await.map_err(|error| chain(&error))?;
        let last = said.lines().last().unwrap_or("nothing yet").to_owned();
        if last.starts_with(begins) { Ok(()) } else { Err(last) }
    })
    .await
}

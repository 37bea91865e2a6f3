//! What one instance adopts, and what it does not touch.

use neargate::runtime::docker::Options;
use neargate::runtime::{ObservedSandbox, Runtime as _, State};

use crate::support::{VPC, blocks, connect, docker, observed, own, tool_image, with_world};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_finds_what_an_earlier_one_left() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &["data"]).await;
        let running = task.run_tool("running", &["hold"]).await;
        let ended = task.run_tool("ended", &["exit", "7"]).await;
        crate::support::exit(&world.runtime, &ended).await;

        let again = connect(world.options.clone()).await.unwrap();
        assert_eq!(again.ensure_network(&own(VPC, blocks())).await.unwrap(), world.network);
        let inventory = again.inventory().await.unwrap();
        let sandbox = ObservedSandbox { sandbox_id: task.sandbox_id.clone(), running: true };
        assert_eq!(inventory.sandboxes, [sandbox]);
        assert_eq!(inventory.tasks, std::slice::from_ref(&task.task_id));
        let mut states: Vec<_> = inventory
            .containers
            .iter()
            .map(|container| (container.name.as_str(), &container.state))
            .collect();
        states.sort_by_key(|(name, _)| *name);
        assert!(
            matches!(
                states.as_slice(),
                [("ended", State::Exited { exit, .. }), ("running", State::Running { .. })] if exit.code == 7
            ),
            "{states:?}"
        );
        assert_eq!(observed(&again, &running).await.task_id, task.task_id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_ends_all_of_its_own_and_nothing_of_another() {
    with_world(|mine| async move {
        let task = mine.task(4, 256, 512, &["data"]).await;
        let container = task.run_tool("app", &["hold"]).await;

        let directory = tempfile::tempdir().unwrap();
        let other = connect(Options {
            docker_host: None,
            instance_id: uuid::Uuid::new_v4().simple().to_string(),
            data_dir: directory.path().to_owned(),
        })
        .await
        .unwrap();
        let network = other.ensure_network(&own(VPC, blocks())).await.unwrap();
        assert_ne!(network, mine.network, "the same VPC of another instance is another network");
        assert!(other.inventory().await.unwrap().containers.is_empty());
        assert_eq!(other.inspect_container(&container).await.unwrap(), None);
        other.remove_everything().await.unwrap();
        assert!(matches!(observed(&mine.runtime, &container).await.state, State::Running { .. }));

        // A stranger's container on this network is disconnected from it, and otherwise left as it is.
        let stranger = stranger_on(&mine.options.instance_id).await;
        mine.runtime.remove_everything().await.unwrap();
        assert_eq!(
            docker().inspect_container(&stranger, None).await.unwrap().state.unwrap().running,
            Some(true)
        );
        let force = bollard::query_parameters::RemoveContainerOptionsBuilder::default().force(true).build();
        docker().remove_container(&stranger, Some(force)).await.unwrap();
        let inventory = mine.runtime.inventory().await.unwrap();
        assert!(
            inventory.containers.is_empty() && inventory.sandboxes.is_empty() && inventory.tasks.is_empty()
        );
        let filters = [("label", vec![format!("neargate.instance={}", mine.options.instance_id)])].into();
        let options =
            bollard::query_parameters::ListNetworksOptionsBuilder::default().filters(&filters).build();
        assert_eq!(docker().list_networks(Some(options)).await.unwrap(), []);
    })
    .await;
}

/// Runs a container without our labels on the network of an instance.
async fn stranger_on(instance_id: &str) -> String {
    let body = bollard::models::ContainerCreateBody {
        image: Some(tool_image().await),
        cmd: Some(vec!["hold".to_owned()]),
        host_config: Some(bollard::models::HostConfig {
            network_mode: Some(format!("neargate-{}-{VPC}", &instance_id[..8])),
            ..Default::default()
        }),
        ..Default::default()
    };
    let stranger = docker().create_container(None, body).await.unwrap().id;
    docker().start_container(&stranger, None).await.unwrap();
    stranger
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_host_uses_is_passed_over() {
    with_world(|world| async move {
        // The engine's own bridge, and this instance's network, are taken.
        let bridge = docker().inspect_network("bridge", None).await.unwrap();
        let bridge = bridge.ipam.unwrap().config.unwrap()[0].subnet.clone().unwrap();
        let candidates: Vec<_> =
            [bridge.parse().unwrap(), world.network.cidr].into_iter().chain(blocks()).collect();
        let chosen = world.runtime.ensure_network(&own("vpc-another", candidates.clone())).await.unwrap();
        assert!(!candidates[..2].contains(&chosen.cidr), "{chosen:?}");
        let none = own("vpc-none", candidates[..2].to_vec());
        let none = world.runtime.ensure_network(&none).await.unwrap_err().to_string();
        let mine = format!("{} of the network {}", world.network.cidr, world.network.name);
        assert!(none.contains(&mine), "{none}");
    })
    .await;
}

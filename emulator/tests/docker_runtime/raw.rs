//! Security groups hold for root in a task: packet sockets, AF_XDP, another's source address, ARP, forged connections.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, LogsOptionsBuilder};
use futures::TryStreamExt as _;
use neargate::runtime::{Allow, Filter, Inward, Protocol, Runtime as _};

use crate::support::{
    Task, World, docker, eventually, sandbox, sandbox_name, tool_image, wait_for_output, with_world,
};

/// Only UDP 8080, out or in.
fn to_echo(peer: Ipv4Addr) -> Allow {
    Allow { protocol: Protocol::Udp, ports: Some((8080, 8080)), peers: vec![peer..=peer] }
}

/// A filter that must be enforced.
fn strict(ingress: Vec<Allow>, egress: Vec<Allow>) -> Arc<Filter> {
    Arc::new(Filter { ingress, egress, resolver: false, strict: true })
}

impl World {
    async fn task_with(&self, n: u32, filter: &Arc<Filter>) -> Task<'_> {
        let spec = neargate::runtime::SandboxSpec {
            filter: Arc::clone(filter),
            ..sandbox(&self.network, Some(self.address(n)))
        };
        self.task_in(&spec, 256, 512, &[]).await
    }

    /// Runs the tool in a container of no task, on the same network.
    async fn outside(&self, words: &[&str]) {
        let body = ContainerCreateBody {
            image: Some(tool_image().await),
            cmd: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            host_config: Some(HostConfig {
                network_mode: Some(self.network.name.clone()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let name = format!("neargate-outside-{}", uuid::Uuid::new_v4().simple());
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        docker().create_container(Some(options), body).await.unwrap();
        docker().start_container(&name, None).await.unwrap();
        let ended = docker().wait_container(&name, None).try_collect::<Vec<_>>().await;
        let options = bollard::query_parameters::RemoveContainerOptionsBuilder::default().force(true).build();
        docker().remove_container(&name, Some(options)).await.unwrap();
        ended.unwrap();
    }
}

/// Everything that a container has written.
async fn so_far(id: &str) -> String {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
    let pieces: Vec<_> = docker().logs(id, Some(options)).try_collect().await.unwrap();
    pieces.iter().map(|piece| String::from_utf8_lossy(piece.as_ref()).into_owned()).collect()
}

/// The ways in which the tool sends.
const WAYS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn what_raw_sockets_send_is_kept_to_the_filter_and_to_the_tasks_own_address() {
    with_world(|world| async move {
        let friend = world.task(20, 256, 512, &[]).await;
        let (open, closed) = (Filter::open(), strict(vec![to_echo(friend.address)], Vec::new()));
        let anyone = world.task_with(10, &Arc::new(open)).await;
        let choosy = world.task_with(11, &closed).await;
        let mut echoes = Vec::new();
        for server in [&anyone, &choosy] {
            let echo = server.run_tool("echo", &["echo", "8080"]).await;
            wait_for_output(&world.runtime, &echo, "ready").await;
            echoes.push((format!("{}:8080", server.address), echo));
        }
        let friends = friend.address.to_string();

        // It may send to port 8080 of `choosy`, which lets in only its friend; and nothing to `anyone`.
        let attacker = world.task_with(30, &strict(Vec::new(), vec![to_echo(choosy.address)])).await;
        let own = attacker.address.to_string();
        let mut length = 100;
        for (to, _) in &echoes {
            for from in [&own, &friends] {
                let sent = attacker.prints(&["raw", from, to, &length.to_string()]).await;
                eprintln!("from {from} to {to}:\n{sent}");
                length += 10;
            }
        }
        attacker.prints(&["answer", &own, &echoes[0].0, &length.to_string()]).await;

        // A neighbour's addresses inside are its own: what comes over the network for them is not let in.
        let inside = format!("{}:8080", Inward::Metadata.address().ip());
        world.outside(&["raw", &friends, &inside, "150"]).await;

        // The same packets from a container without a guard arrive: the tool really sends them.
        for (n, (to, echo)) in echoes.iter().enumerate() {
            let length = 200 + 10 * n;
            world.outside(&["raw", &friends, to, &length.to_string()]).await;
            for length in length..length + WAYS {
                wait_for_output(&world.runtime, echo, &format!("received {length} bytes")).await;
            }
        }
        for (_, echo) in &echoes {
            let output = so_far(echo).await;
            let of_attacker: Vec<&str> =
                output.lines().filter(|line| line.starts_with("received 1")).collect();
            assert_eq!(of_attacker, [""; 0], "what no rule lets out, lies about its source, or goes inside");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_answers_arp_for_its_own_address_alone() {
    with_world(|world| async move {
        let victim = world.task(20, 256, 512, &[]).await;
        let bystander = world.task(21, 256, 512, &[]).await;
        let attacker = world.task(30, 256, 512, &[]).await;
        let address = victim.address.to_string();
        bystander.prints(&["knock", &format!("{address}:9")]).await;
        let neighbour = || async {
            let table = bystander.prints(&["cat", "/proc/net/arp"]).await;
            let line = table.lines().find(|line| line.starts_with(&format!("{address} ")));
            line.and_then(|line| line.split_whitespace().nth(3)).unwrap_or_default().to_owned()
        };
        let before = neighbour().await;
        assert!(before.contains(':') && before != "00:00:00:00:00:00", "it is known: {before:?}");
        attacker.prints(&["announce", &address]).await;
        assert_eq!(neighbour().await, before);
        // The same announcement from a container without a guard is believed.
        world.outside(&["announce", &address]).await;
        eventually("the announcement to be believed", || async {
            let now = neighbour().await;
            if now == before { Err(now) } else { Ok(()) }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_of_an_older_release_keeps_its_filter_and_gives_raw_sockets_only_where_none_must_be_kept() {
    with_world(|world| async move {
        let server = world.task(10, 256, 512, &[]).await;
        server.run_tool("server", &["serve", "8080", "it is me"]).await;
        let sandbox_id = uuid::Uuid::new_v4().simple().to_string();
        let older = older_sandbox(&world, &sandbox_id).await;
        let task = Task::joined(&world, &sandbox_id, older);
        let at = format!("{}:8080", server.address);

        let filter = strict(Vec::new(), Vec::new());
        world.runtime.set_filter(&sandbox_id, &filter).await.unwrap();
        assert_eq!(task.prints(&["knock", &at]).await, "closed");
        let denied = task.prints(&["announce", &server.address.to_string()]).await;
        assert!(denied.contains("PermissionDenied"), "{denied}");

        world.runtime.set_filter(&sandbox_id, &Arc::new(Filter::open())).await.unwrap();
        assert_eq!(task.prints(&["knock", &at]).await, "open");
        let own = task.address.to_string();
        let sent = task.prints(&["raw", &own, &at, "1"]).await;
        assert!(sent.contains("ip sent"), "{sent}");
    })
    .await;
}

/// A sandbox of a release whose program only passes on netlink messages. Returns its address.
async fn older_sandbox(world: &World, sandbox_id: &str) -> Ipv4Addr {
    let id = &world.options.instance_id;
    let name = sandbox_name(world, sandbox_id);
    let label = |key: &str, value: &str| (format!("neargate.{key}"), value.to_owned());
    let body = ContainerCreateBody {
        image: Some(tool_image().await),
        cmd: Some(vec!["pass".to_owned()]),
        open_stdin: Some(true),
        labels: Some(HashMap::from([
            label("instance", id),
            label("data-dir", &world.options.data_dir.display().to_string()),
            label("sandbox", sandbox_id),
        ])),
        host_config: Some(HostConfig {
            network_mode: Some(world.network.name.clone()),
            cap_add: Some(vec!["NET_ADMIN".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    docker().create_container(Some(options), body).await.unwrap();
    docker().start_container(&name, None).await.unwrap();
    let inspected = docker().inspect_container(&name, None).await.unwrap();
    let networks = inspected.network_settings.and_then(|settings| settings.networks).unwrap();
    networks[&world.network.name].ip_address.as_deref().unwrap().parse().unwrap()
}

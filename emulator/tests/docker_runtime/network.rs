//! What a sandbox lets through, its routes, and the networks that it can be on.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use neargate::runtime::{
    Allow, Cidr, Error, Filter, NetworkSpec, Protocol, Resolver, Route, Runtime as _, SandboxSpec,
};

use crate::support::{
    Task, VPC, World, blocks, connect, docker, exit, own, sandbox, wait_for_output, with_world,
};

fn allow(protocol: Protocol, ports: Option<(u16, u16)>, peers: &[Ipv4Addr]) -> Allow {
    Allow { protocol, ports, peers: peers.iter().map(|peer| *peer..=*peer).collect() }
}

/// Allows this in, and everything out.
fn ingress(allow: Allow) -> Arc<Filter> {
    Arc::new(Filter { ingress: vec![allow], ..Filter::open() })
}

impl World {
    async fn filtered(&self, n: u32, filter: Arc<Filter>) -> Task<'_> {
        let spec = SandboxSpec { filter, ..sandbox(&self.network, Some(self.address(n))) };
        self.task_in(&spec, 256, 512, &["shared"]).await
    }
}

impl Task<'_> {
    /// What the tool prints for these arguments, such as whether a port is open.
    async fn output_of(&self, name: &str, words: &[&str]) -> String {
        self.output(self.spec(name, words).await).await.trim().to_owned()
    }

    async fn knock(&self, name: &str, address: Ipv4Addr, port: u16) -> String {
        self.output_of(name, &["knock", &format!("{address}:{port}")]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_is_let_in_by_peer_protocol_and_port() {
    with_world(|world| async move {
        let friend = world.task(20, 256, 512, &[]).await;
        let stranger = world.task(21, 256, 512, &[]).await;
        // 18 and 20 are two blocks, 19 is between them.
        let peers = [world.address(18), friend.address];
        let rule = ingress(allow(Protocol::Tcp, Some((8080, 8081)), &peers));
        let server = world.filtered(10, rule).await;
        for (name, port) in [("first", "8080"), ("second", "8081"), ("third", "8082")] {
            server.run_tool(name, &["serve", port, "it is me"]).await;
        }
        let echo = server.run_tool("echo", &["echo", "8080"]).await;
        wait_for_output(&world.runtime, &echo, "ready").await;
        let at = |port: u16| format!("{}:{port}", server.address);
        // Its replies go out, and the client, for which they are replies, lets them in.
        assert_eq!(friend.output_of("say", &["say", "hey", &at(8081)]).await, "it is me");
        assert_eq!(friend.knock("port", server.address, 8082).await, "closed");
        assert_eq!(friend.output_of("protocol", &["ask", &at(8080)]).await, "closed");
        assert_eq!(stranger.knock("stranger", server.address, 8080).await, "closed");
        assert_eq!(server.knock("itself", server.address, 8082).await, "open", "a task reaches itself");

        let rule = ingress(allow(Protocol::Udp, Some((8080, 8080)), &[friend.address]));
        world.runtime.set_filter(&server.sandbox_id, &rule).await.unwrap();
        assert_eq!(friend.output_of("udp", &["ask", &at(8080)]).await, "open");
        assert_eq!(friend.knock("tcp", server.address, 8080).await, "closed");
        let rule = ingress(allow(Protocol::All, None, &[friend.address]));
        world.runtime.set_filter(&server.sandbox_id, &rule).await.unwrap();
        assert_eq!(friend.knock("all", server.address, 8082).await, "open");
        let rule = ingress(allow(Protocol::Icmp, None, &[friend.address]));
        world.runtime.set_filter(&server.sandbox_id, &rule).await.unwrap();
        assert_eq!(friend.knock("icmp", server.address, 8082).await, "closed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_is_let_out_and_answers_need_no_rule() {
    with_world(|world| async move {
        let server = world.filtered(10, ingress(allow(Protocol::All, None, &[world.address(20)]))).await;
        // Nothing of its own may leave it.
        let closed = Filter { egress: Vec::new(), ..Filter::open() };
        world.runtime.set_filter(&server.sandbox_id, &Arc::new(closed)).await.unwrap();
        server.run_tool("server", &["serve", "8080", "it is me"]).await;
        server.run_tool("other", &["serve", "8081", "it is me"]).await;
        let egress = vec![allow(Protocol::Tcp, Some((8080, 8080)), &[server.address])];
        let client = world.filtered(20, Arc::new(Filter { egress, ..Filter::default() })).await;
        let at = format!("{}:8080", server.address);
        assert_eq!(client.output_of("allowed", &["say", "hey", &at]).await, "it is me");
        assert_eq!(client.knock("port", server.address, 8081).await, "closed");
        // The host refuses a port at once if nothing listens on it.
        let gateway = world.address(1);
        assert_eq!(client.knock("gateway", gateway, 9).await, "closed");
        let free = world.task(30, 256, 512, &[]).await;
        assert_eq!(free.knock("gateway", gateway, 9).await, "refused");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_thousands_of_addresses_is_set_whole() {
    with_world(|world| async move {
        let friend = world.task(20, 256, 512, &[]).await;
        let stranger = world.task(21, 256, 512, &[]).await;
        // Not adjacent, so that no two can be merged.
        let apart = (0..6_000).map(|n| Ipv4Addr::from(0x0a80_0000 + 2 * n));
        let peers: Vec<Ipv4Addr> = apart.chain([friend.address]).collect();
        let server = world.filtered(10, ingress(allow(Protocol::Tcp, None, &peers))).await;
        server.run_tool("server", &["serve", "8080", "it is me"]).await;
        assert_eq!(friend.knock("friend", server.address, 8080).await, "open");
        assert_eq!(stranger.knock("stranger", server.address, 8080).await, "closed");

        let enormous: Vec<Ipv4Addr> = (0..300_000).map(|n| Ipv4Addr::from(0x0a80_0000 + 2 * n)).collect();
        let rule = ingress(allow(Protocol::Tcp, None, &enormous));
        let error = world.runtime.set_filter(&server.sandbox_id, &rule).await.unwrap_err().to_string();
        assert!(error.contains("set the filter of the sandbox") && error.contains("bytes"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_resolver_is_let_out_and_no_other_of_its_port() {
    with_world(|world| async move {
        let server = world.task(10, 256, 512, &[]).await;
        let echo = server.run_tool("echo", &["echo", "53"]).await;
        wait_for_output(&world.runtime, &echo, "ready").await;
        let at = format!("{}:53", server.address);
        let filter = Filter { resolver: true, strict: true, ..Filter::default() };
        let client = world.filtered(20, Arc::new(filter)).await;
        assert_eq!(client.output_of("other", &["ask", &at]).await, "closed");
        let free = world.filtered(21, Arc::new(Filter::open())).await;
        assert_eq!(free.output_of("other", &["ask", &at]).await, "open");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_replaced_under_open_connections_by_a_new_process() {
    with_world(|world| async move {
        let server = world.filtered(10, Arc::new(Filter::open())).await;
        server.run_tool("server", &["serve", "8080", "still here"]).await;
        let client = world.filtered(20, Arc::new(Filter::open())).await;
        let at = format!("{}:8080", server.address);
        client.output_of("warm", &["say", "hey", &at]).await;
        let mut spec = client.spec("linger", &["linger", "hey", &at, "/shared/go"]).await;
        let shared = |read_only| {
            vec![neargate::runtime::Mount {
                volume: "shared".to_owned(),
                path: "/shared".to_owned(),
                read_only,
            }]
        };
        spec.process.mounts = shared(true);
        let lingering = client.run(spec).await;
        wait_for_output(&world.runtime, &lingering, "connected").await;

        // As an emulator that was restarted does.
        let again = connect(world.options.clone()).await.unwrap();
        again.set_filter(&server.sandbox_id, &Arc::default()).await.unwrap();
        assert_eq!(client.knock("late", server.address, 8080).await, "closed");
        let mut go = client.spec("go", &["write", "/shared/go", "now"]).await;
        go.process.mounts = shared(false);
        assert_eq!(exit(&world.runtime, &client.run(go).await).await.code, 0);
        wait_for_output(&world.runtime, &lingering, "still here").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_the_resolver_are_the_sandboxs() {
    with_world(|world| async move {
        let server = world.task(10, 256, 512, &[]).await;
        let echo = server.run_tool("echo", &["echo", "53"]).await;
        wait_for_output(&world.runtime, &echo, "ready").await;
        let route =
            |destination: &str| Route { destination: destination.parse().unwrap(), via: server.address };
        let spec = SandboxSpec {
            resolver: Resolver {
                name_servers: vec![server.address],
                search_domains: vec!["svc.cluster.local".to_owned(), "cluster.local".to_owned()],
            },
            routes: vec![route("192.0.2.0/24"), route("0.0.0.0/0")],
            ..sandbox(&world.network, Some(world.address(20)))
        };
        let task = world.task_in(&spec, 256, 512, &[]).await;
        let routes = task.output_of("routes", &["cat", "/proc/net/route"]).await;
        let number = |address: Ipv4Addr| format!("{:08X}", u32::from_ne_bytes(address.octets()));
        for destination in [Ipv4Addr::new(192, 0, 2, 0), Ipv4Addr::UNSPECIFIED] {
            let expected = [number(destination), number(server.address)];
            let there = routes.lines().filter(|line| {
                line.split_whitespace().skip(1).take(2).eq(expected.iter().map(String::as_str))
            });
            assert_eq!(there.count(), 1, "{expected:?} in {routes}");
        }
        let resolver = task.output_of("resolver", &["cat", "/etc/resolv.conf"]).await;
        assert!(resolver.contains("search svc.cluster.local cluster.local"), "{resolver}");
        // The engine's resolver, which the containers query, queries the VPC's.
        task.output_of("ask", &["ask", "127.0.0.11:53"]).await;
        wait_for_output(&world.runtime, &echo, "received").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_borrowed_network_gives_addresses_until_it_is_full_and_is_never_removed() {
    with_world(|world| async move {
        let name = format!("lent-{}", world.options.instance_id);
        let missing = NetworkSpec::Borrowed { name: name.clone() };
        let error = world.runtime.ensure_network(&missing).await.unwrap_err();
        assert!(matches!(&error, Error::NoSuchNetwork { network } if *network == name), "{error}");
        let block = lend(&name).await;
        let network = world.runtime.ensure_network(&missing).await.unwrap();
        assert_eq!(network.cidr, block);

        let mut addresses = BTreeSet::new();
        let full = loop {
            let spec = SandboxSpec { hostname: None, ..sandbox(&network, None) };
            match world.runtime.create_sandbox(&spec).await {
                Ok(sandbox) => assert!(addresses.insert(sandbox.address)),
                Err(error) => break error,
            }
        };
        assert!(matches!(&full, Error::NetworkFull { network } if *network == name), "{full}");
        assert_eq!(addresses.len(), 5, "eight but the network's own, the gateway's and the broadcast's");
        assert!(addresses.iter().all(|address| block.block().contains(address)));
        assert_eq!(
            world.runtime.inventory().await.unwrap().sandboxes.len(),
            5,
            "the sixth leaves nothing behind"
        );

        world.runtime.remove_everything().await.unwrap();
        let left = docker().inspect_network(&name, None).await.unwrap();
        docker().remove_network(&name).await.unwrap();
        assert!(left.labels.unwrap_or_default().is_empty() && left.containers.unwrap_or_default().is_empty());
    })
    .await;
}

/// A network of eight addresses that is not the instance's.
async fn lend(name: &str) -> Cidr {
    for third in 0..=255 {
        let subnet = format!("10.214.{third}.0/29");
        let config = IpamConfig { subnet: Some(subnet.clone()), ..IpamConfig::default() };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
            ..NetworkCreateRequest::default()
        };
        match docker().create_network(request).await {
            Ok(_) => return subnet.parse().unwrap(),
            Err(error) => assert!(error.to_string().contains("overlap"), "{error}"),
        }
    }
    panic!("no block is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_gets_another_block_once_nothing_is_on_it() {
    with_world(|world| async move {
        let idle =
            world.runtime.create_sandbox(&sandbox(&world.network, Some(world.address(4)))).await.unwrap();
        let others: Vec<Cidr> = blocks().into_iter().filter(|block| *block != world.network.cidr).collect();
        let other = own(VPC, others);
        let refused = world.runtime.ensure_network(&other).await.unwrap_err().to_string();
        assert!(refused.contains(&world.network.cidr.to_string()) && refused.contains("in use"), "{refused}");
        world.runtime.remove_sandbox(&idle.sandbox_id).await.unwrap();
        let network = world.runtime.ensure_network(&other).await.unwrap();
        assert!(network.name == world.network.name && network.cidr != world.network.cidr);
    })
    .await;
}

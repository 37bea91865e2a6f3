//! The VPC of running tasks: filters that follow their security groups, addresses that the runtime assigns, a
//! description that changes between two starts.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::{World, container, order_of, template};
use crate::engine::run::{Order, Template};
use crate::engine::task::{StopCode, Task};
use crate::engine::vpc::{
    Choice, Network, Peer, Permission, Protocol, SECURITY_GROUP_ID, SecurityGroup, Vpc,
};
use crate::runtime::{Block, Filter, Runtime as _, SandboxSpec};

pub(in crate::engine) const SERVER: &str = "sg-0000000000000000e";
pub(in crate::engine) const CLIENT: &str = "sg-0000000000000000f";

/// A VPC with a group whose members let in those of another.
pub(in crate::engine) fn described(cidr: &str) -> Vpc {
    let mut vpc = Vpc::builtin(cidr.parse().expect("a CIDR block"), true);
    let from_client = Permission {
        protocol: Protocol::Tcp,
        ports: Some((80, 80)),
        peers: vec![Peer::Group(CLIENT.to_owned())],
    };
    for (id, ingress) in [(SERVER, vec![from_client]), (CLIENT, Vec::new())] {
        let group_id = id.to_owned();
        vpc.security_groups.push(SecurityGroup {
            ingress,
            group_id,
            ..SecurityGroup::open_within_itself(id)
        });
    }
    vpc
}

pub(super) fn given(vpc: Vpc) -> Choice {
    Choice::Given(Box::new(vpc))
}

pub(super) fn in_group(vpc: &Vpc, group: &str) -> Order {
    order_of(Template {
        subnets: vec![vpc.subnets[0].subnet_id.clone()],
        security_groups: vec![group.to_owned()],
        ..template(vec![container("app", &[])])
    })
}

impl World {
    async fn start_in(&self, vpc: &Vpc, group: &str) -> Arc<Task> {
        let ran = self.engine.run(in_group(vpc, group)).await.expect("the order is accepted");
        self.running(&ran.tasks[0].arn).await
    }

    pub(super) async fn end(&self, task: &Task) {
        let stop = self.engine.stop(&task.arn, StopCode::UserInitiated, String::new());
        stop.await.expect("it is committed");
        self.stopped(&task.arn).await;
    }

    fn sandbox(&self, task: &Task) -> SandboxSpec {
        let sandbox_id = task.attachment.sandbox_id.as_deref().expect("it has a sandbox");
        self.runtime.sandbox(sandbox_id).expect("the sandbox exists")
    }

    /// The peers that the first rule lets in.
    fn let_in(&self, task: &Task) -> Vec<Block> {
        self.sandbox(task).filter.ingress[0].peers.clone()
    }

    /// Waits until the first rule lets in these peers.
    async fn lets_in(&self, task: &Task, expected: &[Block]) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.let_in(task) != expected {
            assert!(tokio::time::Instant::now() < deadline, "still {:?}", self.let_in(task));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn only(task: &Task) -> Block {
    let address = task.attachment.private_ipv4_address.expect("it has an address");
    address..=address
}

#[tokio::test]
async fn a_member_is_let_in_by_others_when_it_starts_and_no_longer_when_it_has_ended() {
    let vpc = described("10.0.0.0/16");
    let world = World::with(given(vpc.clone()), |_| {}).await;
    let server = world.start_in(&vpc, SERVER).await;
    assert_eq!(world.let_in(&server), []);
    let client = world.start_in(&vpc, CLIENT).await;
    // Without a wait: it was set before the client's container started.
    assert_eq!(world.let_in(&server), [only(&client)]);
    let later = world.start_in(&vpc, SERVER).await;
    assert_eq!(world.let_in(&later), [only(&client)]);
    world.end(&client).await;
    for task in [&server, &later] {
        world.lets_in(task, &[]).await;
    }
}

#[tokio::test]
async fn the_filters_of_adopted_tasks_are_set_again() {
    let vpc = described("10.0.0.0/16");
    let mut world = World::with(given(vpc.clone()), |_| {}).await;
    let server = world.start_in(&vpc, SERVER).await;
    let (client, gone) = (world.start_in(&vpc, CLIENT).await, world.start_in(&vpc, CLIENT).await);
    world.kill().await;
    let sandbox_id = server.attachment.sandbox_id.clone().expect("it has a sandbox");
    world.runtime.set_filter(&sandbox_id, &Arc::new(Filter::open())).await.expect("it exists");
    world.runtime.exit(gone.containers[0].container_id.as_deref().expect("it ran"), 0, false);
    world.start_again().await;
    world.stopped(&gone.arn).await;
    world.lets_in(&server, &[only(&client)]).await;
}

#[tokio::test]
async fn tasks_of_the_default_group_start_and_end_without_a_new_filter_for_the_others() {
    let world = World::new().await;
    let first = world.running(&world.run(vec![container("app", &[])]).await.arn).await;
    let before = world.sandbox(&first).filter;
    let second = world.running(&world.run(vec![container("app", &[])]).await.arn).await;
    world.end(&second).await;
    assert!(Arc::ptr_eq(&world.sandbox(&first).filter, &before));
    let second = only(&second);
    assert!(before.ingress[0].peers.iter().any(|block| block.contains(second.start())), "{before:?}");
}

#[tokio::test]
async fn on_a_borrowed_network_tasks_have_the_addresses_that_the_runtime_assigns() {
    // Eight addresses: the runtime keeps three, AWS's rule five.
    let mut vpc = described("10.9.0.0/29");
    vpc.network = Network::Borrowed { name: "kind".to_owned() };
    vpc.subnets.truncate(1);
    vpc.subnets[0].cidr = vpc.cidr;
    let world =
        World::with(given(vpc.clone()), |runtime| runtime.lend("kind", "10.9.0.0/29".parse().unwrap())).await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(world.start_in(&vpc, SECURITY_GROUP_ID).await);
    }
    let mut addresses: Vec<Ipv4Addr> =
        tasks.iter().filter_map(|task| task.attachment.private_ipv4_address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert!(addresses.len() == 3 && addresses.iter().all(|address| vpc.cidr.block().contains(address)));
    let all = world.let_in(&tasks[2]);
    assert!(addresses.iter().all(|address| all.iter().any(|block| block.contains(address))), "{all:?}");
    let full = world.engine.run(in_group(&vpc, SECURITY_GROUP_ID)).await.expect("a response");
    assert_eq!(full.failures, ["RESOURCE:ENI"]);

    world.end(&tasks[0]).await;
    let again = world.start_in(&vpc, SECURITY_GROUP_ID).await;
    let address = again.attachment.private_ipv4_address.expect("it has one");
    assert!(!tasks[1..].iter().any(|task| task.attachment.private_ipv4_address == Some(address)));
    for task in tasks[1..].iter().chain([&again]) {
        world.end(task).await;
    }
}

#[tokio::test]
async fn a_task_on_a_borrowed_network_without_a_free_address_has_that_reason() {
    let mut vpc = described("10.9.0.0/28");
    vpc.network = Network::Borrowed { name: "kind".to_owned() };
    vpc.subnets.truncate(1);
    vpc.subnets[0].cidr = vpc.cidr;
    let world =
        World::with(given(vpc.clone()), |runtime| runtime.lend("kind", "10.9.0.0/28".parse().unwrap())).await;
    // The engine runs; another program takes all addresses that are left.
    world.start_in(&vpc, SECURITY_GROUP_ID).await;
    let mut taken = 0;
    while world.runtime.create_sandbox(&stranger()).await.is_ok() {
        taken += 1;
    }
    assert!(taken > 0);
    let mut reasons = Vec::new();
    for _ in 0..8 {
        let ran = world.engine.run(in_group(&vpc, SECURITY_GROUP_ID)).await.expect("a response");
        let task = world.wait(&ran.tasks[0].arn, |task| task.started_at.is_some() || task.is_stopped()).await;
        reasons.extend(task.stopped_reason.clone());
    }
    let expected = "ResourceInitializationError: failed to configure ENI";
    assert!(reasons.iter().any(|reason| reason.starts_with(expected)), "{reasons:?}");
}

fn stranger() -> SandboxSpec {
    SandboxSpec {
        sandbox_id: uuid::Uuid::new_v4().to_string(),
        network: "kind".to_owned(),
        address: None,
        hostname: None,
        resolver: crate::runtime::Resolver::default(),
        routes: Vec::new(),
        filter: Arc::default(),
    }
}

#[tokio::test]
async fn a_vpc_that_has_changed_at_the_next_start_keeps_its_tasks_and_drops_its_idle_sandboxes() {
    let before = described("10.0.0.0/16");
    let mut world = World::with(given(before.clone()), |_| {}).await;
    let task = world.start_in(&before, SERVER).await;
    world.kill().await;
    let after = described("10.77.0.0/16");
    world.vpc = given(after.clone());
    world.start_again().await;
    let new = world.start_in(&after, CLIENT).await;
    let block = after.cidr.block();
    assert!(new.attachment.private_ipv4_address.is_some_and(|address| block.contains(&address)));
    world.lets_in(&task, &[only(&new)]).await;
    let sandboxes = world.runtime.inventory().await.expect("an inventory").sandboxes;
    let elsewhere = sandboxes
        .iter()
        .filter_map(|sandbox| world.runtime.sandbox(&sandbox.sandbox_id))
        .filter(|sandbox| sandbox.address.is_none_or(|address| !block.contains(&address)));
    assert_eq!(elsewhere.count(), 1, "the running task's");
    world.end(&task).await;
}

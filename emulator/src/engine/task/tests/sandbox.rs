//! A sandbox that is lost.

use super::*;

fn lost(sandbox_id: &str) -> Event {
    Event::SandboxLost { sandbox_id: sandbox_id.into() }
}

fn connected(sandbox_id: &str) -> Event {
    Event::Connected(Claim {
        sandbox_id: sandbox_id.into(),
        network_interface_id: "eni-1".into(),
        mac_address: "02:42:0a:00:00:04".into(),
        private_dns_name: "ip-10-0-0-4.ec2.internal".into(),
        address: Ipv4Addr::new(10, 0, 0, 4),
    })
}

fn after(task: &Task, event: &Event) -> Task {
    next(task, event, Timestamp(1)).expect("it can happen")
}

#[test]
fn a_task_in_which_nothing_ran_takes_another_sandbox_three_times_and_then_stops() {
    let mut now = task(vec![container("app")]);
    for round in 0..3 {
        let sandbox_id = format!("s{round}");
        now = after(&now, &connected(&sandbox_id));
        now = after(&now, &Event::Created { container: 0, container_id: "c".into(), runtime_id: "r".into() });
        now = after(&now, &lost(&sandbox_id));
        assert_eq!(plan(&now), [Action::Claim], "round {round}");
        assert_eq!(now.containers[0].container_id, None, "it belonged to the lost one");
        assert_eq!(now.attachment.private_ipv4_address, None);
    }
    now = after(&now, &connected("last"));
    now = after(&now, &lost("last"));
    assert_eq!(now.stopped_reason.as_deref(), Some(reason::SANDBOX_LOST));
}

#[test]
fn a_task_in_which_something_ran_stops_and_the_loss_of_another_sandbox_changes_nothing() {
    let claimed = after(&task(vec![container("app")]), &connected("now"));
    assert_eq!(after(&claimed, &lost("before")), claimed);
    let running = after(&claimed, &Event::Started { container: 0, at: Timestamp(1) });
    let stopping = after(&running, &lost("now"));
    assert_eq!(stopping.desired_status, Desired::Stopped);
    assert_eq!(stopping.stop_code, Some(StopCode::InfrastructureHealth));
    assert_eq!(stopping.attachment.sandbox_id.as_deref(), Some("now"), "it is removed with the task");
    assert_eq!(after(&stopping, &lost("now")), stopping);
}

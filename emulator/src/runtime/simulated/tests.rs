use futures::TryStreamExt;

use super::super::Runtime as _;
use super::*;

#[tokio::test]
async fn a_process_beside_a_running_container_reads_and_writes_to_its_end() {
    let runtime = Runtime::new(Clock::system());
    let sandbox = SandboxSpec {
        sandbox_id: "0123456789abcdef0123456789abcdef".into(),
        network: "neargate".into(),
        address: Some(std::net::Ipv4Addr::new(172, 31, 0, 4)),
        hostname: None,
        resolver: crate::runtime::Resolver::default(),
        routes: Vec::new(),
        filter: Arc::default(),
    };
    let sandbox_id = runtime.create_sandbox(&sandbox).await.expect("a sandbox").sandbox_id;
    let spec = ContainerSpec { sandbox_id, ..ContainerSpec::default() };
    let container_id = runtime.create_container(&spec).await.expect("created");
    let exec = Exec { command: vec!["echo".into(), "it".into()], terminal: false };
    assert!(runtime.exec(&container_id, &exec).await.is_err(), "it does not run");
    runtime.start_container(&container_id).await.expect("started");
    let Session { output, mut input, exit_code } =
        runtime.exec(&container_id, &exec).await.expect("a session");
    input.write(b"words").await.expect("written");
    drop(input);
    let output: Vec<_> = output.try_collect().await.expect("read");
    let text: Vec<u8> = output.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
    assert_eq!((text.as_slice(), exit_code.await.expect("a code")), (&b"echo it\nwords"[..], 0));
    assert_eq!(runtime.stats(&container_id).await.expect("it runs").processes, 1);
}

//! A VPC from a file: its security groups decide which task reaches which, also after the emulator's death.

use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_ecs::types::{AwsVpcConfiguration, LaunchType, NetworkConfiguration, Task};
use harness::aws::{self, Aws, container};
use harness::docker::{self, docker};
use harness::emulator::{Emulator, Options};
use harness::{process, wait};
use tokio::process::Command;

use crate::Shared;

const SUBNET: &str = "subnet-0000000000000a001";
const APP: &str = "sg-0000000000000a001";
const WEB: &str = "sg-0000000000000a002";
const OTHER: &str = "sg-0000000000000a003";
const MUTE: &str = "sg-0000000000000a004";

/// Only `web` reaches `app`, on one port; `mute` reaches nothing.
fn description(block: &str) -> String {
    let group = |id: &str, name: &str, rules: &str| {
        format!("[[security-group]]\nid = \"{id}\"\nname = \"{name}\"\n{rules}\n")
    };
    [
        format!("[vpc]\ncidr = \"{block}\"\n[[subnet]]\nname = \"tasks\"\nid = \"{SUBNET}\"\n"),
        format!("cidr = \"{block}\"\nzone = \"a\"\n[[route-table]]\nname = \"main\"\n"),
        group(
            APP,
            "app",
            "ingress = [\n{ protocol = \"tcp\", port = 8080, group = \"web\" },\n\
             { protocol = \"tcp\", port = 53, group = \"web\" },\n{ protocol = \"tcp\", port = 53, group = \"mute\" },\n]",
        ),
        group(WEB, "web", ""),
        group(OTHER, "other", ""),
        group(MUTE, "mute", "egress = []"),
    ]
    .concat()
}

async fn run(aws: &Aws, task_definition: &str, groups: &[&str]) -> anyhow::Result<String> {
    let mut vpc = AwsVpcConfiguration::builder().subnets(SUBNET);
    for group in groups {
        vpc = vpc.security_groups(*group);
    }
    let network = NetworkConfiguration::builder().awsvpc_configuration(vpc.build()?).build();
    let request = aws.ecs.run_task().task_definition(task_definition).launch_type(LaunchType::Fargate);
    let ran = request.network_configuration(network).send().await.context("running a task")?;
    let arn = ran.tasks().first().and_then(Task::task_arn).map(str::to_owned);
    arn.with_context(|| format!("RunTask returned failures: {:?}", ran.failures()))
}

/// Whether a task of these groups gets the page within so many seconds.
async fn gets(aws: &Aws, groups: &[&str], url: &str, within: u64) -> anyhow::Result<bool> {
    let within = wait::scaled(wait::seconds(within)).as_secs().to_string();
    let asks = container("main", &["get", url, "--within", &within]).build();
    let task = run(aws, &aws.register("asks", [asks]).await?, groups).await?;
    Ok(aws.stopped(&task).await?.containers()[0].exit_code() == Some(0))
}

pub(crate) async fn security_groups_decide_who_reaches_whom(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let file = shared.work.folder("vpc")?.join("vpc.toml");
    std::fs::write(&file, description(&docker::free_block(216).await?))
        .context("writing the VPC's description")?;
    let arguments = vec!["--vpc".to_owned(), file.display().to_string()];
    let options = Options { ephemeral: false, arguments, ..Options::default() };
    let mut emulator = Emulator::start(&shared.work, "described", options).await?;
    let aws = emulator.aws().await;
    let serves = container("main", &["serve", "--port", "8080"]).build();
    let definition = aws.register("serves", [serves]).await?;
    let app = aws.running(&run(&aws, &definition, &[APP]).await?).await?;
    let url = format!("http://{}:8080/", aws::address(&app)?);

    assert!(gets(&aws, &[WEB], &url, 20).await?, "a member of the group that is let in");
    assert!(gets(&aws, &[OTHER, WEB], &url, 20).await?, "a member of it among others");
    assert!(!gets(&aws, &[OTHER], &url, 3).await?, "a member of another group");
    assert!(!gets(&aws, &[MUTE, OTHER], &url, 3).await?, "rules only allow, and none does");
    assert!(!gets(&aws, &[MUTE], &url, 3).await?, "a member without egress");

    // The VPC's resolver is always reachable; another listener on its port is not.
    let names = container("main", &["serve", "--port", "53"]).build();
    let names = aws.register("names", [names]).await?;
    let names = aws.running(&run(&aws, &names, &[APP]).await?).await?;
    let names = format!("http://{}:53/", aws::address(&names)?);
    assert!(gets(&aws, &[WEB], &names, 20).await?, "a member with open egress");
    assert!(!gets(&aws, &[MUTE], &names, 3).await?, "port 53 is a port like any");

    emulator.kill()?;
    emulator.resume().await?;
    assert!(gets(&aws, &[WEB], &url, 20).await?, "an adopted task gets the new member in its filter");
    assert!(!gets(&aws, &[OTHER], &url, 3).await?, "and stays closed to others");
    let refused = run(&aws, &definition, &["sg-00000000"]).await;
    assert!(refused.is_err(), "a VPC from a file has only its own groups");
    emulator.close().await
}

pub(crate) async fn a_vpc_whose_block_is_taken_ends_the_start_in_one_line(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    // The block of the engine's own bridge is always taken.
    let taken =
        docker(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]).await?;
    let file = shared.work.folder("vpc")?.join("taken.toml");
    let description =
        format!("[vpc]\ncidr = \"{taken}\"\n[[subnet]]\nname = \"all\"\ncidr = \"{taken}\"\nzone = \"a\"\n");
    std::fs::write(&file, description).context("writing the VPC's description")?;
    let output = Command::new(process::binary("neargate")?)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", ":memory:", "--vpc"])
        .arg(&file)
        .output()
        .await
        .context("running neargate serve")?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.lines().count() == 1, "{said}");
    assert!(said.contains(&taken) && said.contains("bridge"), "it names the block and its network: {said}");
    Ok(())
}

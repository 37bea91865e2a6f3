//! Several Neargates on one engine: each sees only its own resources, and leaves nothing behind.

use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;
use harness::aws::container;
use harness::emulator::{Emulator, Options};
use harness::{docker, process};

use crate::Shared;

/// An emulator whose tasks outlive it.
fn lasting() -> Options {
    Options { ephemeral: false, ..Options::default() }
}

pub(crate) async fn an_instance_that_resets_cleans_and_ends_touches_no_other(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let bystander = shared.aws.register("bystander", [container("main", &["sleep", "600"]).build()]).await?;
    let bystander = shared.aws.run(&bystander).await?;
    let before = shared.aws.running(&bystander).await?;

    let mut other = Emulator::start(&shared.work, "other", Options::default()).await?;
    let aws = other.aws().await;
    let definition = aws.register("own", [container("main", &["sleep", "600"]).build()]).await?;
    let own = aws.run(&definition).await?;
    aws.running(&own).await?;
    assert!(!docker::held_by(other.instance()).await?.is_empty());
    let seen = aws.ecs.list_tasks().send().await.context("listing tasks")?;
    assert_eq!(seen.task_arns(), [own], "an instance lists only its own tasks");

    let reset = reqwest::Client::new().post(format!("{}/_neargate/reset", other.endpoint())).send().await?;
    assert!(reset.status().is_success(), "{}", reset.status());
    let seen = aws.ecs.list_tasks().send().await.context("listing tasks")?;
    assert!(seen.task_arns().is_empty(), "a reset leaves no task: {:?}", seen.task_arns());
    let again = aws.register("own", [container("main", &["sleep", "600"]).build()]).await?;
    assert!(again.ends_with("own:1"), "a reset leaves no revision: {again}");

    let instance = other.instance().to_owned();
    other.terminate().await?;
    other.clean()?;
    assert_eq!(docker::held_by(&instance).await?, std::collections::BTreeSet::new());

    let after = shared.aws.task(&bystander).await?;
    assert_eq!(
        (after.last_status(), after.version(), after.containers()[0].runtime_id()),
        (before.last_status(), before.version(), before.containers()[0].runtime_id())
    );
    shared.aws.stop(&bystander).await
}

pub(crate) async fn a_second_process_on_the_same_data_is_refused_in_one_line(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let second = Command::new(process::binary("neargate")?)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(shared.emulator.data())
        .output()
        .context("starting a second emulator")?;
    assert!(!second.status.success());
    let said =
        String::from_utf8_lossy(&second.stderr).into_owned() + &String::from_utf8_lossy(&second.stdout);
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    assert!(said.contains(&shared.emulator.data().display().to_string()), "{said}");
    Ok(())
}

pub(crate) async fn what_a_killed_instance_left_is_cleaned(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let mut emulator = Emulator::start(&shared.work, "killed", lasting()).await?;
    let aws = emulator.aws().await;
    let definition = aws.register("left", [container("main", &["sleep", "600"]).build()]).await?;
    aws.running(&aws.run(&definition).await?).await?;
    let instance = emulator.instance().to_owned();

    emulator.kill()?;
    assert!(!docker::held_by(&instance).await?.is_empty(), "a killed instance can't clean up");
    emulator.clean()?;
    assert_eq!(docker::held_by(&instance).await?, std::collections::BTreeSet::new());
    Ok(())
}

pub(crate) async fn a_private_temporary_instance_leaves_nothing(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let options = Options { in_memory: true, ephemeral: false, ..Options::default() };
    let emulator = Emulator::start(&shared.work, "private", options).await?;
    let aws = emulator.aws().await;
    let definition = aws.register("own", [container("main", &["sleep", "600"]).build()]).await?;
    aws.running(&aws.run(&definition).await?).await?;
    emulator.close().await
}

//! Containers of one task that need each other, and what the engine refuses.

use std::sync::Arc;

use aws_sdk_ecs::types::{
    Compatibility, ContainerCondition, ContainerDependency, MountPoint, NetworkMode, PidMode, Volume,
    VolumeFrom,
};
use harness::aws::{container, describe};

use crate::Shared;

const TASKS: usize = 3;

pub(crate) async fn containers_share_a_pid_namespace_whichever_starts_first(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let aws = &shared.aws;
    let on_second = ContainerDependency::builder()
        .container_name("second")
        .condition(ContainerCondition::Start)
        .build()?;
    for (family, depends_on) in [("pids", None), ("pids-turned", Some(vec![on_second]))] {
        let first = container("first", &["trap"]).set_depends_on(depends_on).build();
        let registered = aws
            .ecs
            .register_task_definition()
            .family(family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu("256")
            .memory("512")
            .pid_mode(PidMode::Task)
            .container_definitions(first)
            .container_definitions(container("second", &["trap"]).build())
            .send()
            .await?;
        let definition =
            registered.task_definition().and_then(|it| it.task_definition_arn()).unwrap_or_default();
        for _ in 0..TASKS {
            let arn = aws.run(definition).await?;
            let task = aws.running(&arn).await?;
            anyhow::ensure!(task.containers().len() == 2, "{}", describe(&task));
            aws.stop(&arn).await?;
            aws.stopped(&arn).await?;
        }
    }
    Ok(())
}

pub(crate) async fn a_container_mounts_the_volumes_of_one_that_is_made_first(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let aws = &shared.aws;
    let mount = MountPoint::builder().source_volume("data").container_path("/data").build();
    let from = VolumeFrom::builder().source_container("source").build();
    let registered = aws
        .ecs
        .register_task_definition()
        .family("volumes-from")
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        .volumes(Volume::builder().name("data").build())
        .container_definitions(container("app", &["exit", "0"]).volumes_from(from).build())
        .container_definitions(container("source", &["trap"]).mount_points(mount).build())
        .send()
        .await?;
    let definition = registered.task_definition().and_then(|it| it.task_definition_arn()).unwrap_or_default();
    for _ in 0..TASKS {
        let task = aws.stopped(&aws.run(definition).await?).await?;
        let app = task.containers().iter().find(|container| container.name() == Some("app"));
        anyhow::ensure!(app.and_then(|app| app.exit_code()) == Some(0), "{}", describe(&task));
    }
    Ok(())
}

pub(crate) async fn a_program_that_the_image_lacks_is_named_as_on_fargate(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let aws = &shared.aws;
    let definition = aws.register("nowhere", [container("app", &[]).entry_point("/nowhere").build()]).await?;
    let task = aws.stopped(&aws.run(&definition).await?).await?;
    let reason = task.stopped_reason().unwrap_or_default();
    anyhow::ensure!(
        reason.starts_with(
            "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: \
             failed to create shim task: OCI runtime create failed: runc create failed: "
        ) && reason.contains("exec: \"/nowhere\": stat /nowhere: no such file or directory"),
        "{reason}"
    );
    Ok(())
}

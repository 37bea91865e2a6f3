//! A task gets its size, and no more: all its containers together.

use std::sync::Arc;

use aws_sdk_ecs::types::{ContainerCondition, ContainerDependency, Task};
use harness::aws::{Aws, LOG_GROUP, awslogs, container, describe};
use harness::emulator::{Emulator, Options};
use harness::wait;

use crate::Shared;

const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// Exit code and reason of a container of a task.
fn end<'a>(task: &'a Task, name: &str) -> (Option<i32>, Option<&'a str>) {
    let found = task.containers().iter().find(|container| container.name() == Some(name));
    found.map_or((None, None), |container| (container.exit_code(), container.reason()))
}

pub(crate) async fn the_memory_of_two_containers_together_hits_the_tasks_limit(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    holds_the_memory(&shared.aws).await
}

/// Two containers of a task share its memory.
async fn holds_the_memory(aws: &Aws) -> anyhow::Result<()> {
    // Either alone fits into 512 MiB.
    let alone = aws.register("alone", [container("main", &["eat", "300", "--exit", "0"]).build()]).await?;
    let alone = aws.stopped(&aws.run(&alone).await?).await?;
    assert_eq!(end(&alone, "main"), (Some(0), None), "{}", describe(&alone));

    // Both together do not: the kernel kills one, or both if the first is not gone when the next page is requested.
    let eaters = ["one", "two"].map(|name| container(name, &["eat", "300"]).build());
    let both = aws.register("together", eaters).await?;
    let both = aws.stopped(&aws.run(&both).await?).await?;
    let ends = ["one", "two"].map(|name| end(&both, name));
    let killed = (Some(137), Some(OUT_OF_MEMORY));
    assert!(ends.contains(&killed), "neither ran out of memory: {}", describe(&both));
    // The other was killed as well, or ended with the task: by SIGTERM, and not because of memory.
    assert!(ends.iter().all(|end| [killed, (Some(143), None)].contains(end)), "{}", describe(&both));
    Ok(())
}

pub(crate) async fn a_sibling_that_exits_0_after_the_others_oom_is_not_marked_oom(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let aws = &shared.aws;
    // The sibling runs before, during and after the end of the other one.
    let after = |name: &str, condition: ContainerCondition| {
        ContainerDependency::builder().container_name(name).condition(condition).build()
    };
    let glutton = container("glutton", &["eat", "700"])
        .essential(false)
        .set_depends_on(Some(vec![after("sibling", ContainerCondition::Start)?]));
    let answer = container("answer", &["serve", "--port", "8080"])
        .essential(false)
        .set_depends_on(Some(vec![after("glutton", ContainerCondition::Complete)?]));
    let within = wait::scaled(wait::seconds(120)).as_secs().to_string();
    let sibling = container("sibling", &["get", "http://127.0.0.1:8080/", "--within", &within]);
    let definition = aws.register("sibling", [glutton.build(), answer.build(), sibling.build()]).await?;
    let task = aws.stopped(&aws.run(&definition).await?).await?;
    assert_eq!(end(&task, "glutton"), (Some(137), Some(OUT_OF_MEMORY)), "{}", describe(&task));
    assert_eq!(end(&task, "sibling"), (Some(0), None), "{}", describe(&task));
    Ok(())
}

pub(crate) async fn the_containers_of_a_task_share_its_cpu_quota(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let aws = &shared.aws;
    // The task's quota is set right after the start of the first container. Until then each container has only its own.
    let after = wait::scaled(wait::seconds(2)).as_secs().to_string();
    // Neither is essential: the first to end would stop the other before it has printed its share.
    let burners = ["one", "two"].map(|name| {
        let burner = container(name, &["burn", "4", "--threads", "2", "--after", &after]).essential(false);
        burner.log_configuration(awslogs(LOG_GROUP)).build()
    });
    let after = ["one", "two"].map(|name| {
        ContainerDependency::builder().container_name(name).condition(ContainerCondition::Complete).build()
    });
    let after = after.into_iter().collect::<Result<_, _>>()?;
    let last = container("last", &["exit", "0"]).set_depends_on(Some(after)).build();
    let arn = aws.run(&aws.register("burners", burners.into_iter().chain([last])).await?).await?;
    aws.stopped(&arn).await?;
    let mut share = 0.0;
    for name in ["one", "two"] {
        let lines = aws.lines(LOG_GROUP, name, &arn).await?;
        let line = lines.first().and_then(|line| line.strip_prefix("cpu share ")).unwrap_or("nothing");
        share += line.parse::<f64>()?;
    }
    // A quarter of a core; the margin is for periods cut at the ends of the four seconds.
    assert!((0.05..0.33).contains(&share), "0.25 vCPU gave {share} cores");
    Ok(())
}

pub(crate) async fn the_limit_of_a_task_holds_where_the_emulator_is_not_root(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        // Then the other tests' emulator is not root.
        return Ok(());
    }
    let options = Options { as_member: true, ..Options::default() };
    let emulator = Emulator::start(&shared.work, "member", options).await?;
    holds_the_memory(&emulator.aws().await).await?;
    emulator.close().await
}

//! Logs are complete, whatever happens to the process that reads them.

use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_ecs::types::{ContainerCondition, ContainerDependency};
use harness::aws::{self, Aws, LOG_GROUP, awslogs, container};
use harness::emulator::{Emulator, Options};
use harness::{chain, wait};

use crate::Shared;
use crate::restart::first_difference;

const LINES: u64 = 50_000;
const KILLS: u64 = 10;
const WRITERS: [&str; 2] = ["one", "two"];

pub(crate) async fn ten_kills_lose_no_line_and_double_none(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let options = Options { ephemeral: false, ..Options::default() };
    let mut emulator = Emulator::start(&shared.work, "writers", options).await?;
    let aws = emulator.aws().await;
    aws.create_log_group(LOG_GROUP).await?;
    // A burst of 50 lines every 20 ms: both write for at least 20 seconds, over all ten kills.
    let count = LINES.to_string();
    let writers = WRITERS.map(|name| {
        container(name, &["lines", &count, "--every", "20", "--burst", "50"])
            .essential(false)
            .log_configuration(awslogs(LOG_GROUP))
            .build()
    });
    // The end of an essential writer would stop the other one: the task's end waits for both.
    let complete = |name: &str| {
        let built = ContainerDependency::builder()
            .container_name(name)
            .condition(ContainerCondition::Complete)
            .build();
        built.unwrap_or_else(|error| unreachable!("both required members are set: {error}"))
    };
    let end = container("end", &["exit", "0"]).set_depends_on(Some(WRITERS.map(complete).into())).build();
    let containers = writers.into_iter().chain([end]);
    let arn = aws.run(&aws.register_sized("writers", 1024, 2048, containers).await?).await?;
    for kill in 1..=KILLS {
        // Each kill is during the writing: the next one waits for another eleventh of the lines.
        let reach = kill * LINES / (KILLS + 1);
        wait::until(&format!("line {reach} is readable"), wait::seconds(120), async || {
            let last = newest(&aws, &arn).await.map_err(|error| chain(&error))?;
            if last >= reach { Ok(()) } else { Err(format!("line {last}")) }
        })
        .await?;
        emulator.kill()?;
        emulator.resume().await?;
    }
    aws.reached(&arn, "STOPPED", wait::seconds(120)).await?;

    let expected: Vec<String> = (1..=LINES).map(|number| format!("line {number:06}")).collect();
    for writer in WRITERS {
        let lines = aws.lines(LOG_GROUP, writer, &arn).await?;
        assert!(
            lines == expected,
            "{writer}: {} lines of {LINES}; the first that differs: {:?}",
            lines.len(),
            first_difference(&lines, &expected)
        );
    }
    Ok(())
}

/// The number of the newest line of the first writer; 0 before its stream exists.
async fn newest(aws: &Aws, arn: &str) -> anyhow::Result<u64> {
    let stream = format!("test/{}/{}", WRITERS[0], aws::id(arn));
    let page =
        aws.logs.get_log_events().log_group_name(LOG_GROUP).log_stream_name(stream).limit(1).send().await;
    let page = match page {
        Ok(page) => page,
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            return Ok(0);
        }
        Err(error) => return Err(error).context("reading the newest line"),
    };
    let message = page.events().first().and_then(|event| event.message()).unwrap_or("line 0");
    message.trim_start_matches("line ").parse().with_context(|| format!("not a numbered line: {message}"))
}

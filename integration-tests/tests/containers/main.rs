//! The emulator with real containers: limits, several Neargates on one engine, kill -9 and restart, whole logs. The
//! Python suite (`integration-tests/python`) tests what the AWS clients see of a task's life.
//!
//! Tests that only run tasks share one emulator; tests that kill it start their own. All share Docker.

mod isolation;
mod limits;
mod logs;
mod publish;
mod restart;
mod together;
mod vpc;

use std::process::ExitCode;

use harness::aws::{Aws, LOG_GROUP};
use harness::emulator::{self, Emulator};
use harness::need::Need;
use harness::suite::{self, Context};
use harness::work::Work;

/// One emulator with the log group of the tests.
#[derive(Debug)]
struct Shared {
    work: Work,
    emulator: Emulator,
    aws: Aws,
}

impl Context for Shared {
    async fn start(work: Work) -> anyhow::Result<Self> {
        let emulator = Emulator::start(&work, "shared", emulator::Options::default()).await?;
        let aws = emulator.aws().await;
        aws.create_log_group(LOG_GROUP).await?;
        Ok(Self { work, emulator, aws })
    }

    async fn dump(&self) -> String {
        self.emulator.dump()
    }

    async fn close(self) -> anyhow::Result<()> {
        self.emulator.close().await?;
        self.work.close()
    }
}

/// Four at a time: most of a test is waiting for Docker.
const THREADS: usize = 4;

fn main() -> ExitCode {
    suite::run::<Shared>(
        "containers",
        &[Need::Images],
        THREADS,
        harness::tests![
            limits::the_memory_of_two_containers_together_hits_the_tasks_limit,
            limits::a_sibling_that_exits_0_after_the_others_oom_is_not_marked_oom,
            limits::the_containers_of_a_task_share_its_cpu_quota,
            limits::the_limit_of_a_task_holds_where_the_emulator_is_not_root,
            isolation::an_instance_that_resets_cleans_and_ends_touches_no_other,
            isolation::a_second_process_on_the_same_data_is_refused_in_one_line,
            isolation::what_a_killed_instance_left_is_cleaned,
            isolation::a_private_temporary_instance_leaves_nothing,
            restart::what_was_acknowledged_outlives_a_kill,
            restart::a_running_task_is_adopted_and_its_log_continued,
            restart::a_task_that_died_meanwhile_is_stopped_with_its_exit_code,
            restart::a_kill_in_the_middle_of_starting_starts_no_task_twice_and_leaves_nothing,
            restart::tasks_outlive_a_clean_end_and_idle_sandboxes_do_not,
            logs::ten_kills_lose_no_line_and_double_none,
            publish::mapped_ports_answer_on_loopback_while_the_task_runs_and_again_after_a_kill,
            together::containers_share_a_pid_namespace_whichever_starts_first,
            together::a_container_mounts_the_volumes_of_one_that_is_made_first,
            together::a_program_that_the_image_lacks_is_named_as_on_fargate,
            vpc::security_groups_decide_who_reaches_whom,
            vpc::a_vpc_whose_block_is_taken_ends_the_start_in_one_line,
        ],
    )
}

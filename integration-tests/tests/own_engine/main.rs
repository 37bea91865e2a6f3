//! The emulator while its container engine is killed, hangs, runs out of disk and loses containers: on an engine that only these
//! tests use, as in the VM of `make test-vm`. Never run them on an engine with other containers.
//!
//! One test at a time, each with its own emulator, because they share the engine and damage it.

mod daemon;
mod disk;
mod kills;
mod member;
mod pruned;
mod removed;
mod world;

use std::process::ExitCode;

use harness::need::Need;
use harness::suite;

use self::world::World;

fn main() -> ExitCode {
    suite::run::<World>(
        "own_engine",
        &[Need::OwnEngine, Need::Images],
        1,
        harness::tests![
            removed::a_task_whose_container_is_removed_stops_and_reports_so,
            removed::a_task_whose_sandbox_is_removed_stops_and_reports_so,
            removed::an_idle_sandbox_that_is_removed_costs_no_task,
            kills::twenty_kills_leave_no_container_sandbox_volume_cgroup_or_address,
            daemon::a_daemon_that_dies_ends_twenty_tasks_and_the_next_ones_run,
            daemon::a_daemon_with_live_restore_that_dies_costs_none_of_twenty_tasks,
            daemon::a_daemon_that_hangs_for_a_minute_holds_up_no_stop_and_ends_no_task,
            pruned::a_prune_of_everything_beside_running_tasks_costs_none_of_them,
            member::a_member_of_group_docker_gets_the_limit_of_the_task,
            disk::a_full_disk_under_the_engine_holds_up_no_stop_and_is_survived,
        ],
    )
}

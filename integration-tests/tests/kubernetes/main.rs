//! Kubernetes end to end: a control plane, the provider with its ServiceAccount's rights, the emulator, real containers.
//!
//! Tests that only run pods share one node; tests that kill the provider or the emulator have their own [`Stack`](harness::stack::Stack) on
//! the same control plane. `another_cluster…` starts a second control plane, regardless of `NEARGATE_CLUSTER`.

mod access;
mod logs;
mod neighbours;
mod probes;
mod refusals;
mod rights;
mod trouble;
mod workloads;

use std::process::ExitCode;

use harness::need::Need;
use harness::shared::Shared;
use harness::suite;

/// Four at a time: most of a test is waiting for a state.
const THREADS: usize = 4;

fn main() -> ExitCode {
    suite::run::<Shared>(
        "kubernetes",
        &[Need::Images, Need::ControlPlane],
        THREADS,
        harness::tests![
            // The long ones first, so that they do not end the run alone.
            trouble::an_emulator_that_is_gone_for_a_minute_changes_no_pod,
            neighbours::another_clusters_provider_on_the_same_ecs_cluster_is_never_touched,
            trouble::pods_deleted_while_the_provider_was_down_are_cleaned_up,
            trouble::a_crash_of_everything_in_the_middle_of_starting_runs_no_task_twice,
            trouble::a_drained_node_stops_its_tasks_and_gets_its_pods_back,
            neighbours::a_colleagues_task_is_never_touched,
            workloads::a_deployment_is_scaled_from_one_to_four_and_back,
            workloads::a_job_runs_to_completion,
            workloads::a_pods_exit_code_decides_its_phase,
            workloads::a_crash_loop_backs_off_and_stays_running,
            workloads::a_pod_shows_what_its_task_is,
            workloads::a_pod_is_gone_only_after_its_task_is_stopped,
            workloads::a_forced_deletion_stops_the_task_too,
            workloads::a_pre_stop_http_get_is_asked_while_the_containers_still_run,
            refusals::a_pod_that_cannot_run_is_refused_in_one_event_and_stays_pending,
            refusals::a_daemon_sets_pod_is_refused_in_one_event_and_no_other_is_made,
            refusals::an_image_that_is_not_there_is_backed_off_from,
            probes::readiness_follows_its_probe,
            probes::a_failed_liveness_probe_runs_the_pod_again,
            probes::an_exec_probe_is_the_containers_health_check,
            logs::logs_are_followed_to_the_end_of_the_pod,
            logs::logs_are_cut_as_kubectl_asks,
            rights::a_providers_account_writes_what_is_its_nodes_and_nothing_else,
            access::the_kubelets_api_lets_in_users_with_rights_and_no_one_else,
        ],
    )
}

//! Uses of it on a real cluster, each with a fixture under `fixtures/scenarios/` and a page under
//! `docs/scenarios/`, whose steps are run here.
//!
//! They need a cluster with its own network and node: `NEARGATE_CLUSTER=kind`.

mod addresses;
mod ci_agents;
mod fixture;
mod names;
mod opt_in;
mod overflow;
mod rolling_update;
mod scale;
mod volume_claim;

use std::process::ExitCode;

use harness::need::Need;
use harness::shared::Shared;
use harness::suite;

/// One at a time: some fill the kind node, and one must see no failed request.
const THREADS: usize = 1;

fn main() -> ExitCode {
    suite::run::<Shared>(
        "scenarios",
        &[Need::Images, Need::ClusterNetwork],
        THREADS,
        harness::tests![
            names::pods_and_services_find_each_other_by_name_across_both_kinds_of_node,
            addresses::a_task_has_the_files_that_a_kubelet_writes,
            opt_in::a_deployment_opts_in_by_toleration_and_survives_the_provider,
            scale::a_front_is_scaled_and_its_cost_is_known,
            volume_claim::a_claim_is_refused_on_fargate_and_bound_on_the_kind_node,
            overflow::what_the_node_has_no_room_for_runs_on_fargate_and_goes_first,
            ci_agents::thirty_jobs_at_once_keep_their_exit_codes_and_leave_nothing,
            rolling_update::an_update_and_a_rollback_under_load_fail_no_request,
        ],
    )
}

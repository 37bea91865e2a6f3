//! Every rule of RunTask, StopTask, DescribeTasks and ListTasks, one row each.

use aws_sdk_ecs::types::{
    CapacityProviderStrategyItem, Compatibility, ContainerDefinition, ContainerOverride, CpuArchitecture,
    LaunchType, LogConfiguration, LogDriver, NetworkMode, PlacementConstraint, PlacementStrategy,
    PropagateTags, RuntimePlatform, Secret, Tag, TaskOverride,
};
use neargate::engine;

use crate::support::{Emulator, container, network, refusal, register, run_task};

fn provider(name: &str, base: i32, weight: i32) -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem::builder().capacity_provider(name).base(base).weight(weight).build().unwrap()
}

#[tokio::test]
async fn what_run_task_does_not_take_is_refused_in_ecs_terms() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    let run = || run_task(&ecs, "app");
    let overrides = |name: &str| {
        TaskOverride::builder().container_overrides(ContainerOverride::builder().name(name).build()).build()
    };
    let ids = |prefix: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| format!("{prefix}-{n:08x}")).collect()
    };
    let vpc = |subnets: usize, groups: usize| {
        let (subnets, groups) = (ids("subnet", subnets), ids("sg", groups));
        let (subnets, groups): (Vec<&str>, Vec<&str>) =
            (subnets.iter().map(String::as_str).collect(), groups.iter().map(String::as_str).collect());
        network(&subnets, &groups)
    };
    let fifty_one = (0..51).map(|n| Tag::builder().key(format!("k{n}")).value("v").build()).collect();
    let large = TaskOverride::builder().cpu("8 vCPU").memory("16 GB").build();
    let twenty_one: Vec<_> = (0..21).map(|_| provider("FARGATE", 0, 1)).collect();
    let strategy = |items: Vec<CapacityProviderStrategyItem>| {
        run().set_launch_type(None).set_capacity_provider_strategy(Some(items))
    };
    let invalid = "InvalidParameterException";
    for (request, code, message) in [
        (run().task_definition(""), invalid, "TaskDefinition can not be blank."),
        (run().task_definition("nope"), "ClientException", "TaskDefinition not found."),
        (run().cluster("nope"), "ClusterNotFoundException", "Cluster not found."),
        (run().count(0), invalid, "Count must be between 1 and 10."),
        (run().count(11), invalid, "Count must be between 1 and 10."),
        (run().started_by("a".repeat(129)), invalid, "startedBy can be at most 128 characters."),
        (
            run().started_by("a b"),
            invalid,
            "startedBy can only contain letters (uppercase and lowercase), numbers, hyphens (-), forward slash (/), and underscores (_).",
        ),
        (
            run().client_token("x".repeat(65)),
            invalid,
            "clientToken must be 1 to 64 ASCII characters in the range of 33-126 (inclusive).",
        ),
        (
            run().client_token("ä"),
            invalid,
            "clientToken must be 1 to 64 ASCII characters in the range of 33-126 (inclusive).",
        ),
        (run().reference_id("x".repeat(1025)), invalid, "referenceId can be at most 1024 characters."),
        (run().group("service:mine"), invalid, "Invalid group 'service:mine'."),
        (run().group("x".repeat(256)), invalid, &format!("Invalid group '{}'.", "x".repeat(256))),
        (
            run().tags(Tag::builder().key("aws:x").build()),
            invalid,
            "Tag keys and values can not begin with 'aws:', which is reserved for AWS use.",
        ),
        (
            run().propagate_tags(PropagateTags::Service),
            invalid,
            "Invalid value for propagateTags: SERVICE. Must be one of [TASK_DEFINITION, NONE].",
        ),
        (
            run().capacity_provider_strategy(provider("FARGATE", 0, 1)),
            invalid,
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ),
        (strategy(twenty_one), invalid, "capacityProviderStrategy can have at most 20 items."),
        (
            strategy(vec![provider("FARGATE", 1, 1), provider("FARGATE_SPOT", 1, 1)]),
            invalid,
            "Only one capacity provider in a capacity provider strategy can have a base defined.",
        ),
        (
            strategy(vec![provider("FARGATE", 0, 0), provider("FARGATE_SPOT", 0, 0)]),
            invalid,
            "At least one capacity provider in a capacity provider strategy must have a weight greater than zero.",
        ),
        (
            strategy(vec![provider("mine", 0, 1)]),
            invalid,
            "The specified capacity provider 'mine' was not found.",
        ),
        (strategy(Vec::new()), invalid, "No Container Instances were found in your cluster."),
        (run().launch_type(LaunchType::Ec2), invalid, "No Container Instances were found in your cluster."),
        (
            run().launch_type(LaunchType::External),
            invalid,
            "No Container Instances were found in your cluster.",
        ),
        (
            run().launch_type("MOON".into()),
            invalid,
            "1 validation error detected: Value 'MOON' at 'launchType' failed to satisfy constraint: Member must satisfy enum value set: [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]",
        ),
        (
            run().placement_constraints(PlacementConstraint::builder().build()),
            invalid,
            "Placement constraints are not supported with FARGATE launch type.",
        ),
        (
            run().placement_strategy(PlacementStrategy::builder().build()),
            invalid,
            "Placement strategies are not supported with FARGATE launch type.",
        ),
        (run().set_tags(Some(fifty_one)), invalid, "A resource can have up to 50 tags."),
        (
            run().platform_version("1.3.0").overrides(large),
            "PlatformTaskDefinitionIncompatibilityException",
            "One or more of the requested capabilities are not supported.",
        ),
        (
            run().platform_version("9.9.9"),
            "PlatformUnknownException",
            "The specified platform does not exist.",
        ),
        (
            run().enable_execute_command(true),
            invalid,
            "The execute command failed because a valid task role is not being used. Specify a valid task role in your task definition or as a task override and try again.",
        ),
        (
            run().set_network_configuration(None),
            invalid,
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (run().network_configuration(vpc(0, 0)), invalid, "subnets can not be empty."),
        (run().network_configuration(vpc(17, 0)), invalid, "subnets can have at most 16 items."),
        (run().network_configuration(vpc(1, 6)), invalid, "securityGroups can have at most 5 items."),
        (
            run().overrides(overrides("nope")),
            invalid,
            "Override for container named nope is not a container in the TaskDefinition.",
        ),
        (
            run().overrides(TaskOverride::builder().cpu("3 vCPU").build()),
            invalid,
            "No Fargate configuration exists for given values.",
        ),
    ] {
        assert_eq!(refusal(request.send().await), (code.to_owned(), message.to_owned()));
    }
    let tasks = ecs.list_tasks().send().await.unwrap();
    assert!(tasks.task_arns().is_empty(), "a refused request leaves no task");
}

#[tokio::test]
async fn the_largest_of_everything_is_taken() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    let subnets: Vec<String> = (0..16).map(|n| format!("subnet-{n:08x}")).collect();
    let groups: Vec<String> = (0..5).map(|n| format!("sg-{n:08x}")).collect();
    let text = |ids: &[String]| ids.iter().map(String::as_str).collect::<Vec<&str>>().join(" ");
    let (subnets, groups) = (text(&subnets), text(&groups));
    let vpc = network(&subnets.split(' ').collect::<Vec<_>>(), &groups.split(' ').collect::<Vec<_>>());
    let tags = (0..50).map(|n| Tag::builder().key(format!("k{n}")).value("v").build()).collect();
    let ran = run_task(&ecs, "app")
        .count(10)
        .started_by("a-Z/9_".repeat(20))
        .client_token("!~".repeat(32))
        .reference_id("x".repeat(1024))
        .network_configuration(vpc)
        .set_tags(Some(tags))
        .send()
        .await
        .unwrap();
    assert_eq!(ran.tasks().len(), 10);
    assert!(ran.failures().is_empty());
}

#[tokio::test]
async fn unknown_subnets_are_mapped_unless_the_vpc_is_strict() {
    let strict = engine::Options {
        region: "us-east-1".to_owned(),
        vpc: neargate::engine::vpc::Choice::Builtin { strict: true },
        activating: false,
        sandbox_pool: 1,
        ephemeral: true,
        publish_ports: false,
    };
    let emulator = Emulator::with(strict).await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    let subnet = "Error retrieving subnet information for [subnet-0a1b2c3d]: The subnet ID 'subnet-0a1b2c3d' does not exist (ErrorCode: InvalidSubnetID.NotFound)";
    let refused = refusal(run_task(&ecs, "app").send().await);
    assert_eq!(refused, ("InvalidParameterException".to_owned(), subnet.to_owned()));

    let lenient = Emulator::start().await;
    let ecs = lenient.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    run_task(&ecs, "app").send().await.unwrap();
    let malformed =
        refusal(run_task(&ecs, "app").network_configuration(network(&["nonsense"], &[])).send().await);
    assert_eq!(malformed.0, "InvalidParameterException");
    let malformed = network(&["subnet-0a1b2c3d"], &["nonsense"]);
    let malformed = refusal(run_task(&ecs, "app").network_configuration(malformed).send().await);
    assert!(
        malformed.1.starts_with("Error retrieving security group information for [nonsense]"),
        "{malformed:?}"
    );
}

#[tokio::test]
async fn what_is_not_built_yet_is_refused_by_name_when_it_is_run() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let app = || ContainerDefinition::builder().name("app").image("app");
    let secret =
        Secret::builder().name("S").value_from("arn:aws:ssm:us-east-1:1:parameter/s").build().unwrap();
    let splunk = LogConfiguration::builder().log_driver(LogDriver::Splunk).build().unwrap();
    for (container, what) in [
        (app().secrets(secret).build(), "secrets (container 'app')"),
        (app().log_configuration(splunk).build(), "the log driver splunk (container 'app')"),
    ] {
        let definition = fargate(&ecs, container).execution_role_arn("execution").send().await.unwrap();
        let definition = definition.task_definition().unwrap().task_definition_arn().unwrap().to_owned();
        let refused = refusal(run_task(&ecs, &definition).send().await);
        assert_eq!(
            refused,
            ("ClientException".to_owned(), format!("neargate does not run tasks with {what} yet."))
        );
    }
}

#[tokio::test]
async fn describe_list_and_stop_hold_their_own_rules() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let invalid = |message: &str| ("InvalidParameterException".to_owned(), message.to_owned());
    let id = "0".repeat(32);
    let describe = |tasks: Vec<String>| ecs.describe_tasks().set_tasks(Some(tasks)).send();
    assert_eq!(refusal(describe(Vec::new()).await), invalid("Tasks cannot be empty."));
    assert_eq!(
        refusal(describe(vec![id.clone(); 101]).await),
        invalid("Tasks cannot have more than 100 elements.")
    );
    assert_eq!(
        refusal(describe(vec!["short".to_owned()]).await),
        invalid("taskId length should be one of [32,36]")
    );
    let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/default".to_owned();
    assert_eq!(
        refusal(describe(vec![cluster]).await),
        invalid("Unexpected resource type 'cluster' in ARN. Expected 'task'.")
    );

    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}");
    let missing = describe(vec![id.clone(), arn.clone()]).await.unwrap();
    assert!(missing.tasks().is_empty());
    for failure in missing.failures() {
        assert_eq!((failure.arn(), failure.reason()), (Some(arn.as_str()), Some("MISSING")));
    }
    assert_eq!(missing.failures().len(), 2);

    assert_eq!(refusal(ecs.stop_task().task("").send().await), invalid("Task can not be blank."));
    assert_eq!(
        refusal(ecs.stop_task().task(&id).send().await),
        invalid("The referenced task was not found.")
    );
    assert_eq!(
        refusal(ecs.stop_task().task(&id).reason("x".repeat(1025)).send().await),
        invalid("Reason can be at most 1024 characters.")
    );

    let only = invalid("When you specify startedBy as the filter, it must be the only filter that you use.");
    assert_eq!(refusal(ecs.list_tasks().started_by("me").family("app").send().await), only);
    assert_eq!(
        refusal(ecs.list_tasks().started_by("me").launch_type(LaunchType::Fargate).send().await),
        only
    );
    assert_eq!(refusal(ecs.list_tasks().service_name("web").send().await).0, "ServiceNotFoundException");
    assert_eq!(refusal(ecs.list_tasks().cluster("nope").send().await).0, "ClusterNotFoundException");
    for max_results in [0, 101] {
        let reported = refusal(ecs.list_tasks().max_results(max_results).send().await);
        assert_eq!(reported, invalid("maxResults should be between 1 and 100"));
    }
}

#[tokio::test]
async fn a_definition_that_fits_fargate_need_not_declare_it() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let registered = ecs
        .register_task_definition()
        .family("quiet")
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        .container_definitions(container(&[]))
        .send()
        .await
        .unwrap();
    let definition = registered.task_definition().unwrap();
    assert!(definition.requires_compatibilities().is_empty());
    assert!(definition.compatibilities().contains(&Compatibility::Fargate));
    run_task(&ecs, "quiet").send().await.unwrap();
}

/// A registration of 0.25 vCPU and 0.5 GB, to be refined.
fn fargate(
    ecs: &aws_sdk_ecs::Client,
    container: ContainerDefinition,
) -> aws_sdk_ecs::operation::register_task_definition::builders::RegisterTaskDefinitionFluentBuilder {
    ecs.register_task_definition()
        .family("refined")
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        .container_definitions(container)
}

#[tokio::test]
async fn the_count_is_spread_over_the_providers_of_a_strategy() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    let strategy = vec![provider("FARGATE", 1, 1), provider("FARGATE_SPOT", 0, 2)];
    let ran = run_task(&ecs, "app")
        .count(10)
        .set_launch_type(None)
        .set_capacity_provider_strategy(Some(strategy))
        .send()
        .await
        .unwrap();
    let on =
        |name: &str| ran.tasks().iter().filter(|task| task.capacity_provider_name() == Some(name)).count();
    assert_eq!((on("FARGATE"), on("FARGATE_SPOT")), (4, 6));
}

#[tokio::test]
async fn execute_command_is_taken_with_a_task_role_of_the_definition_or_of_the_request() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    fargate(&ecs, container(&[])).task_role_arn("task").send().await.unwrap();
    run_task(&ecs, "refined").enable_execute_command(true).send().await.unwrap();
    register(&ecs, "app", vec![container(&[])]).await;
    let overrides = TaskOverride::builder().task_role_arn("task").build();
    let ran = run_task(&ecs, "app").enable_execute_command(true).overrides(overrides).send().await.unwrap();
    let shown = ran.tasks()[0].overrides().and_then(|overrides| overrides.task_role_arn());
    assert_eq!(shown, Some("arn:aws:iam::000000000000:role/task"));
}

#[tokio::test]
async fn arm64_is_refused_with_the_reason_by_an_engine_that_does_not_run_it() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let arm64 = RuntimePlatform::builder().cpu_architecture(CpuArchitecture::Arm64).build();
    fargate(&ecs, container(&[])).runtime_platform(arm64).send().await.unwrap();
    let ran = run_task(&ecs, "refined").send().await;
    // The simulated engine has the architecture of this build.
    if cfg!(target_arch = "aarch64") {
        ran.unwrap();
        return;
    }
    let message = "neargate cannot run tasks of the CPU architecture ARM64 here: the container engine (simulated) runs X86_64.";
    assert_eq!(refusal(ran), ("ClientException".to_owned(), message.to_owned()));
}

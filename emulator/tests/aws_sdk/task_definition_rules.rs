//! Every rule of RegisterTaskDefinition, one row each: a valid request, changed in one place, and the error.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::support::Emulator;

/// A definition that Fargate accepts, with everything in it that Fargate accepts.
fn fine() -> Value {
    json!({
        "family": "app", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "ephemeralStorage": {"sizeInGiB": 21}, "pidMode": "task",
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"},
        "volumes": [{"name": "scratch", "host": {}}, {"name": "files", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
        "containerDefinitions": [
            {
                "name": "app", "image": "app:1", "cpu": 128, "memory": 256, "memoryReservation": 128, "user": "1000",
                "readonlyRootFilesystem": true, "startTimeout": 2, "environment": [{"name": "A", "value": "1"}], "stopTimeout": 120,
                "linuxParameters": {"initProcessEnabled": true, "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}},
                "systemControls": [{"namespace": "net.core.somaxconn", "value": "1"}],
                "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
                "portMappings": [{"containerPort": 80, "hostPort": 80}],
                "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
                "volumesFrom": [{"sourceContainer": "side"}],
                "restartPolicy": {"enabled": true, "restartAttemptPeriod": 60, "ignoredExitCodes": [0]},
                "dependsOn": [{"containerName": "side", "condition": "HEALTHY"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {
                    "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}},
            },
            {
                "name": "side", "image": "side", "essential": false,
                "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 60, "retries": 10, "startPeriod": 0},
            },
        ],
    })
}

/// Puts `value` at the JSON pointer, and creates missing objects on the way.
fn changed(pointer: &str, value: Value) -> Value {
    let mut request = fine();
    let mut at = &mut request;
    for key in pointer.trim_start_matches('/').split('/') {
        at = match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key],
        };
    }
    *at = value;
    request
}

async fn register(emulator: &Emulator, request: &Value) -> (u16, String, String) {
    let request = Request::post("/")
        .header("Host", "localhost")
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition")
        .body(Body::from(request.to_string()))
        .unwrap();
    let (status, _, body) = emulator.raw(request).await;
    let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
    (status, text("__type"), text("message"))
}

/// Changes one place of the valid request after the other and compares the errors.
async fn refused(rows: Vec<(&str, Value, &str)>) {
    let emulator = Emulator::start().await;
    assert_eq!(
        register(&emulator, &fine()).await,
        (200, String::new(), String::new()),
        "the unchanged request is valid"
    );
    for (pointer, value, message) in rows {
        let reported = register(&emulator, &changed(pointer, value.clone())).await;
        assert_eq!(reported, (400, "ClientException".to_owned(), message.to_owned()), "{pointer} = {value}");
    }
}

#[tokio::test]
async fn names_sizes_and_roles_are_held_to_ecs_rules() {
    let too_many: Vec<Value> = (0..11).map(|n| json!({"name": format!("c{n}"), "image": "i"})).collect();
    let size = "No Fargate configuration exists for given values.";
    let storage = "Invalid setting for ephemeral storage. Size must be between 21 GiB and 200 GiB.";
    refused(vec![
        ("/family", json!(""), "Family can not be blank."),
        ("/family", Value::Null, "Family can not be blank."),
        ("/family", json!("a b"), "Family contains invalid characters when it should only contain numbers, letters, hyphens and underscores."),
        ("/family", json!("x".repeat(256)), "Family contains invalid characters when it should only contain numbers, letters, hyphens and underscores."),
        ("/containerDefinitions", json!([]), "Container list cannot be empty."),
        ("/containerDefinitions", Value::Null, "Container list cannot be empty."),
        ("/containerDefinitions", json!(too_many), "Too many containers."),
        ("/networkMode", json!("bridge"), "Fargate only supports network mode ‘awsvpc’."),
        ("/networkMode", Value::Null, "Fargate only supports network mode ‘awsvpc’."),
        ("/cpu", Value::Null, "Fargate requires that 'cpu' be defined at the task level."),
        ("/memory", Value::Null, "Fargate requires that 'memory' be defined at the task level."),
        ("/cpu", json!("fast"), "Invalid 'cpu' setting for task."),
        ("/memory", json!("much"), "Invalid 'memory' setting for task."),
        ("/cpu", json!("128"), size),
        ("/cpu", json!("32 vCPU"), size),
        ("/cpu", json!("64 vCPU"), size),
        ("/memory", json!("3 GB"), size),
        ("/memory", json!("513"), size),
        ("/ephemeralStorage/sizeInGiB", json!(20), storage),
        ("/ephemeralStorage/sizeInGiB", json!(201), storage),
        ("/runtimePlatform/operatingSystemFamily", json!("WINDOWS_SERVER_2022_CORE"), "neargate runs the operating system family LINUX alone, not WINDOWS_SERVER_2022_CORE."),
        ("/executionRoleArn", Value::Null, "Fargate requires task definition to have execution role ARN to support log driver awslogs."),
    ])
    .await;
}

#[tokio::test]
async fn what_fargate_does_not_support_is_refused_by_name() {
    let unsupported = |what: &str| format!("Fargate compatible task definitions do not support {what}.");
    let rows: Vec<(&str, Value, String)> = vec![
        ("/ipcMode", json!("task"), unsupported("ipcMode")),
        ("/pidMode", json!("host"), "Tasks using the Fargate launch type only support 'task' as pidMode.".to_owned()),
        ("/placementConstraints", json!([{"type": "memberOf"}]), unsupported("constraints")),
        ("/inferenceAccelerators", json!([{"deviceName": "d", "deviceType": "t"}]), unsupported("inferenceAccelerators")),
        ("/containerDefinitions/0/privileged", json!(true), "Fargate requires that the 'privileged' setting be 'false'.".to_owned()),
        ("/containerDefinitions/0/links", json!(["side"]), unsupported("links")),
        ("/containerDefinitions/0/extraHosts", json!([{"hostname": "h", "ipAddress": "1.1.1.1"}]), unsupported("extraHosts")),
        ("/containerDefinitions/0/dnsServers", json!(["1.1.1.1"]), unsupported("dnsServers")),
        ("/containerDefinitions/0/dnsSearchDomains", json!(["x"]), unsupported("dnsSearchDomains")),
        ("/containerDefinitions/0/dockerSecurityOptions", json!(["x"]), unsupported("dockerSecurityOptions")),
        ("/containerDefinitions/0/disableNetworking", json!(true), unsupported("disableNetworking")),
        ("/containerDefinitions/0/hostname", json!("h"), "The 'hostname' setting is not supported when networkMode=awsvpc.".to_owned()),
        ("/containerDefinitions/0/resourceRequirements", json!([{"type": "GPU", "value": "1"}]), "Tasks using the Fargate launch type do not support GPU resource requirements.".to_owned()),
        ("/containerDefinitions/0/linuxParameters/capabilities/add", json!(["SYS_PTRACE", "NET_ADMIN"]), "Fargate compatible task definitions do not support adding the capability NET_ADMIN. Only [SYS_PTRACE] can be added.".to_owned()),
        ("/containerDefinitions/0/linuxParameters/devices", json!([{"hostPath": "/dev/x"}]), unsupported("devices")),
        ("/containerDefinitions/0/linuxParameters/sharedMemorySize", json!(64), unsupported("sharedMemorySize")),
        ("/containerDefinitions/0/linuxParameters/tmpfs", json!([{"containerPath": "/t", "size": 1}]), unsupported("tmpfs")),
        ("/containerDefinitions/0/linuxParameters/maxSwap", json!(1), unsupported("maxSwap")),
        ("/containerDefinitions/0/linuxParameters/swappiness", json!(1), unsupported("swappiness")),
        ("/containerDefinitions/0/logConfiguration", json!({"logDriver": "json-file"}), "json-file is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]".to_owned()),
        ("/volumes/0", json!({"name": "scratch", "dockerVolumeConfiguration": {}}), unsupported("dockerVolumeConfiguration")),
        ("/volumes/0", json!({"name": "scratch", "host": {"sourcePath": "/x"}}), unsupported("sourcePath")),
    ];
    refused(
        rows.iter().map(|(pointer, value, message)| (*pointer, value.clone(), message.as_str())).collect(),
    )
    .await;
}

#[tokio::test]
async fn containers_are_held_to_ecs_rules_alone_and_beside_their_siblings() {
    let dependency = |name: &str, condition: &str| json!([{"containerName": name, "condition": condition}]);
    let secrets = |names: &[&str]| -> Value {
        let value = "arn:aws:ssm:us-east-1:000000000000:parameter/s";
        names.iter().map(|name| json!({"name": name, "valueFrom": value})).collect()
    };
    let characters = "Container.name contains invalid characters when it should only contain numbers, letters, hyphens and underscores.";
    let least =
        "Invalid setting for container 'app'. 'memory' and 'memoryReservation' must be at least 6 MiB.";
    let check = |what: &str, range: &str| {
        format!("Container 'side' has an invalid health check. '{what}' must be between {range}.")
    };
    let command =
        "Container 'side' has an invalid health check command. It must begin with CMD or CMD-SHELL.";
    let seconds = |what: &str| {
        format!("Invalid setting for container 'app'. '{what}' must be between 2 and 120 seconds.")
    };
    let (start, stop) = (seconds("startTimeout"), seconds("stopTimeout"));
    let (interval, timeout) = (check("interval", "5 and 300"), check("timeout", "2 and 60"));
    let (retries, start_period) = (check("retries", "1 and 10"), check("startPeriod", "0 and 300"));
    refused(vec![
        ("/containerDefinitions/0/name", json!(""), "Container.name should not be null or empty."),
        ("/containerDefinitions/0/name", json!("a b"), characters),
        ("/containerDefinitions/0/name", json!("side"), "Container names must be unique. 'side' is used more than once."),
        ("/containerDefinitions/0/image", Value::Null, "Container.image should not be null or empty."),
        ("/containerDefinitions/0/image", json!("a b"), "Container.image contains invalid characters."),
        ("/containerDefinitions/0/essential", json!(false), "At least one container must be marked as essential."),
        ("/containerDefinitions/0/cpu", json!(-1), "Invalid setting for container 'app'. 'cpu' must not be negative."),
        ("/containerDefinitions/0/cpu", json!(257), "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."),
        ("/containerDefinitions/0/memory", json!(513), "The 'memory' setting for container 'app' is greater than for the task."),
        ("/containerDefinitions/0/memory", json!(5), least),
        ("/containerDefinitions/0/memoryReservation", json!(300), "Invalid setting for container 'app'. 'memoryReservation' must be less than or equal to 'memory'."),
        ("/containerDefinitions/1/memoryReservation", json!(400), "The sum of all container 'memoryReservation' values cannot be greater than the value of the task 'memory'."),
        ("/containerDefinitions/0/portMappings/0/hostPort", json!(8080), "When networkMode=awsvpc, the host ports and container ports in port mappings must match."),
        ("/containerDefinitions/0/portMappings/0", json!({"hostPort": 80}), "Invalid 'containerPort' setting for container 'app'."),
        ("/containerDefinitions/0/secrets", secrets(&["S", "A"]), "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as 'A'."),
        ("/containerDefinitions/0/secrets", secrets(&["S", "T", "S"]), "Duplicate secret names found: S. Each secret name must be unique."),
        ("/containerDefinitions/0/logConfiguration/options/awslogs-group", json!("bad group*"), "Log driver awslogs option awslogs-group 'bad group*' is invalid: it must be 1 to 512 letters, numbers and the characters _-/.#."),
        ("/containerDefinitions/0/logConfiguration/options/awslogs-group", json!("AWS/mine"), "Log driver awslogs option awslogs-group 'AWS/mine' is invalid: it must be 1 to 512 letters, numbers and the characters _-/.#."),
        ("/containerDefinitions/0/logConfiguration/options/awslogs-region", json!("the moon"), "Log driver awslogs option awslogs-region 'the moon' is invalid: it must be lower-case letters, numbers and hyphens."),
        ("/containerDefinitions/0/logConfiguration/options/awslogs-stream-prefix", json!("a:b"), "Log driver awslogs option awslogs-stream-prefix 'a:b' is invalid: it must be 1 to 223 characters, none of them : or *."),
        ("/containerDefinitions/0/logConfiguration/options/awslogs-stream-prefix", json!(""), "Log driver awslogs option awslogs-stream-prefix '' is invalid: it must be 1 to 223 characters, none of them : or *."),
        ("/containerDefinitions/0/mountPoints/0/sourceVolume", json!("nope"), "Unknown volume 'nope'."),
        ("/containerDefinitions/0/mountPoints/0/containerPath", json!("scratch"), "Invalid 'containerPath' setting for mount point: it must be an absolute path."),
        ("/containerDefinitions/0/volumesFrom/0/sourceContainer", json!("nope"), "Unknown container 'nope' in volumesFrom."),
        ("/containerDefinitions/0/dependsOn", dependency("app", "START"), "Container 'app' cannot depend on itself."),
        ("/containerDefinitions/0/dependsOn", dependency("nope", "START"), "Container 'app' depends on container 'nope' which does not exist."),
        ("/containerDefinitions/1/dependsOn", dependency("app", "SUCCESS"), "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"),
        ("/containerDefinitions/1/dependsOn", dependency("app", "HEALTHY"), "A dependency container with HEALTHY condition must have health check configured"),
        ("/containerDefinitions/1/dependsOn", dependency("app", "START"), "There is a cycle in the dependencies of the containers."),
        ("/containerDefinitions/1/volumesFrom", json!([{"sourceContainer": "app"}]), "There is a cycle in the dependencies of the containers."),
        ("/containerDefinitions/0/startTimeout", json!(1), &start),
        ("/containerDefinitions/0/stopTimeout", json!(121), &stop),
        ("/containerDefinitions/0/ulimits/0/softLimit", json!(3), "Soft limit exceeds hard limit for ulimit nofile"),
        ("/containerDefinitions/0/restartPolicy/restartAttemptPeriod", json!(59), "restartAttemptPeriod must be between 60 and 1800 seconds."),
        ("/containerDefinitions/0/restartPolicy/ignoredExitCodes", json!(vec![0; 51]), "ignoredExitCodes can have at most 50 items."),
        ("/containerDefinitions/0/logConfiguration/options", json!({"awslogs-group": "g", "awslogs-stream-prefix": "p"}), "Log driver awslogs requires options: awslogs-region"),
        ("/containerDefinitions/0/logConfiguration/options", json!({}), "Log driver awslogs requires options: awslogs-region, awslogs-group"),
        ("/containerDefinitions/0/logConfiguration/options", json!({"awslogs-group": "g", "awslogs-region": "r"}), "Log driver awslogs requires options: awslogs-stream-prefix when using launch type FARGATE."),
        ("/containerDefinitions/1/healthCheck/command", json!([]), command),
        ("/containerDefinitions/1/healthCheck/command", json!(["CMD"]), command),
        ("/containerDefinitions/1/healthCheck/command", json!(["NONE", "true"]), command),
        ("/containerDefinitions/1/healthCheck/interval", json!(4), &interval),
        ("/containerDefinitions/1/healthCheck/timeout", json!(61), &timeout),
        ("/containerDefinitions/1/healthCheck/retries", json!(11), &retries),
        ("/containerDefinitions/1/healthCheck/startPeriod", json!(301), &start_period),
    ])
    .await;
}

#[tokio::test]
async fn secrets_need_an_execution_role() {
    let emulator = Emulator::start().await;
    let mut request = changed(
        "/containerDefinitions/0/secrets",
        json!([{"name": "S", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/s"}]),
    );
    assert_eq!(register(&emulator, &request).await.0, 200);
    request["executionRoleArn"] = Value::Null;
    request["containerDefinitions"][0]["logConfiguration"] = Value::Null;
    let message =
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.";
    assert_eq!(register(&emulator, &request).await, (400, "ClientException".to_owned(), message.to_owned()));
}

#[tokio::test]
async fn what_ecs_takes_is_kept_in_its_form() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let mut request = changed("/containerDefinitions/1/healthCheck/command", json!(["/healthcheck"]));
    request["cpu"] = json!("32 vCPU");
    request["memory"] = json!("244 GB");
    request["executionRoleArn"] = json!("execution");
    request["taskRoleArn"] = json!("/path/task");
    assert_eq!(register(&emulator, &request).await, (200, String::new(), String::new()));
    let described = ecs.describe_task_definition().task_definition("app").send().await.unwrap();
    let definition = described.task_definition().unwrap();
    assert_eq!((definition.cpu(), definition.memory()), (Some("32768"), Some("249856")));
    assert_eq!(definition.execution_role_arn(), Some("arn:aws:iam::000000000000:role/execution"));
    assert_eq!(definition.task_role_arn(), Some("arn:aws:iam::000000000000:role/path/task"));
    let check = definition.container_definitions()[1].health_check().unwrap();
    assert_eq!(check.command(), ["/healthcheck"]);
}

#[tokio::test]
async fn a_definition_holds_64_kib() {
    let emulator = Emulator::start().await;
    let of = |bytes: usize| changed("/containerDefinitions/0/command", json!(["x".repeat(bytes)]));
    assert_eq!(register(&emulator, &of(60_000)).await.0, 200);
    let (status, code, message) = register(&emulator, &of(70_000)).await;
    assert_eq!((status, code.as_str()), (400, "ClientException"));
    assert!(
        message.starts_with("Actual length: '7") && message.ends_with("Max allowed length is '65536' bytes."),
        "{message}"
    );
}

#[tokio::test]
async fn the_models_own_constraints_are_reported_in_awss_words() {
    let emulator = Emulator::start().await;
    for (pointer, value, message) in [
        (
            "/requiresCompatibilities",
            json!(["FARGATE", "MOON"]),
            "1 validation error detected: Value '[FARGATE, MOON]' at 'requiresCompatibilities' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]]",
        ),
        (
            "/containerDefinitions/0/dependsOn",
            json!([{"containerName": "side"}]),
            "1 validation error detected: Value null at 'containerDefinitions.1.member.dependsOn.1.member.condition' failed to satisfy constraint: Member must not be null",
        ),
        (
            "/tags",
            json!([{"key": "a*", "value": "1"}]),
            r"1 validation error detected: Value 'a*' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: ([\p{L}\p{Z}\p{N}_.:/=+\-@]*)",
        ),
    ] {
        let reported = register(&emulator, &changed(pointer, value)).await;
        assert_eq!(reported, (400, "InvalidParameterException".to_owned(), message.to_owned()));
    }
}

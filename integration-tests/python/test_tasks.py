"""How a task lives and ends, by boto3: the waiters, exit codes and reasons of ECS for real containers."""

import concurrent.futures

import harness
from harness import LOG_GROUP, REGION, SUBNETS, network, until


class Lifecycle(harness.TestCase):
    def test_a_natural_exit_ends_at_version_five_with_its_code(self):
        for code in (0, 7):
            with self.subTest(code=code):
                task = self.stopped(self.run_task(self.container("main", "exit", str(code))))
                self.assertEqual(self.exits(task), {"main": code})
                self.assertEqual(task["version"], 5)
                self.assertEqual(task["stopCode"], "EssentialContainerExited")
                self.assertEqual(task["stoppedReason"], "Essential container in task exited")
                times = [task[name] for name in ("createdAt", "startedAt", "stoppingAt", "stoppedAt")]
                self.assertEqual(times, sorted(times))

    def test_the_waiters_end(self):
        arn = self.run_task(self.container("main", "sleep", "600"))
        self.ecs.get_waiter("tasks_running").wait(tasks=[arn], WaiterConfig={"Delay": 1})
        self.ecs.stop_task(task=arn)
        self.ecs.get_waiter("tasks_stopped").wait(tasks=[arn], WaiterConfig={"Delay": 1})

    def test_run_task_answers_before_the_network_is_there(self):
        task = self.start(self.register(self.container("main", "exit", "0")))
        self.assertEqual((task["lastStatus"], task["version"]), ("PROVISIONING", 1))
        (attachment,) = task["attachments"]
        self.assertEqual(attachment["status"], "PRECREATED")
        self.assertEqual(attachment["details"], [{"name": "subnetId", "value": SUBNETS[0]}])
        attachment = self.stopped(task["taskArn"])["attachments"][0]
        self.assertEqual(attachment["status"], "DELETED")
        names = {detail["name"] for detail in attachment["details"]}
        self.assertLessEqual({"subnetId", "networkInterfaceId", "macAddress", "privateIPv4Address"}, names)

    def test_a_colleagues_exit_ends_a_task_only_if_it_is_essential(self):
        arn = self.run_task(
            self.container("main", "sleep", "600"), self.container("side", "exit", "3", essential=False)
        )

        def side_ended():
            task = self.task(arn)
            side = self.containers(task)["side"]
            return side["lastStatus"] == "STOPPED" and task["lastStatus"] == "RUNNING", task

        task = until("the side container is STOPPED and the task RUNNING", side_ended)
        self.assertEqual(self.exits(task), {"main": None, "side": 3})
        self.ecs.stop_task(task=arn)
        self.assertEqual(self.exits(self.stopped(arn)), {"main": 143, "side": 3})

    def test_an_essential_exit_stops_the_siblings(self):
        arn = self.run_task(
            self.container("main", "exit", "4", "--after", "500"),
            self.container("side", "sleep", "600", essential=False),
        )
        task = self.stopped(arn)
        self.assertEqual(self.exits(task), {"main": 4, "side": 143})
        self.assertEqual(task["stopCode"], "EssentialContainerExited")

    def test_stop_timeout_is_what_sigterm_is_given(self):
        arn = self.run_task(
            self.container("polite", "trap", "--exit", "0", stopTimeout=30),
            self.container("deaf", "trap", "--ignore", stopTimeout=2),
        )
        self.running(arn)
        for container in ("polite", "deaf"):
            until("the handler is in place", lambda c=container: (len(self.lines(c, arn)) == 1, self.lines(c, arn)))
        self.ecs.stop_task(task=arn)
        task = self.stopped(arn)
        self.assertEqual(self.exits(task), {"polite": 0, "deaf": 137})
        for container in ("polite", "deaf"):
            self.assertEqual(self.lines(container, arn), ["waiting for SIGTERM", "got SIGTERM"])
        self.assertNotIn("OutOfMemory", str(task))

    def test_a_client_token_runs_one_task(self):
        definition = self.register(self.container("main", "sleep", "600"))
        token = {"clientToken": "one-and-only"}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: self.start(definition, **token), range(4)))
        arns = {answer["taskArn"] for answer in answers}
        self.assertEqual(len(arns), 1)
        with self.assertRaises(self.ecs.exceptions.ConflictException) as conflict:
            self.start(definition, startedBy="another", **token)
        self.assertEqual(set(conflict.exception.response["resourceIds"]), arns)
        self.ecs.stop_task(task=arns.pop())

    def test_ten_tasks_of_one_call_all_run(self):
        definition = self.register(self.container("main", "sleep", "600"))
        answer = self.ecs.run_task(
            taskDefinition=definition, launchType="FARGATE", networkConfiguration=network(), count=10
        )
        arns = [task["taskArn"] for task in answer["tasks"]]
        self.assertEqual(len(set(arns)), 10)
        self.ecs.get_waiter("tasks_running").wait(tasks=arns, WaiterConfig={"Delay": 1})
        tasks = self.ecs.describe_tasks(tasks=arns)["tasks"]
        self.assertEqual(len({self.address(task) for task in tasks}), 10)
        for arn in arns:
            self.ecs.stop_task(task=arn)
        self.ecs.get_waiter("tasks_stopped").wait(tasks=arns, WaiterConfig={"Delay": 1})


class Ordering(harness.TestCase):
    def test_each_condition_of_depends_on_is_waited_for(self):
        def on(name, condition):
            return {"dependsOn": [{"containerName": name, "condition": condition}]}

        health = {"command": ["CMD", "/neargate-fixture", "get", "http://localhost:8080/healthz"], "interval": 5}
        arn = self.run_task(
            self.container("init", "exit", "0", "--after", "300", essential=False),
            self.container("setup", "exit", "9", "--after", "300", essential=False),
            self.container("db", "serve", essential=False, healthCheck=health, **on("init", "SUCCESS")),
            self.container("late", "sleep", "600", essential=False, **on("setup", "COMPLETE")),
            self.container(
                "main",
                *["exit", "0"],
                dependsOn=[
                    {"containerName": "db", "condition": "HEALTHY"},
                    {"containerName": "late", "condition": "START"},
                ],
            ),
        )
        task = self.stopped(arn)
        exits = self.exits(task)
        self.assertEqual(exits, {"init": 0, "setup": 9, "db": 143, "late": 143, "main": 0})

    def test_a_dependency_that_fails_ends_the_task_before_the_dependent_starts(self):
        arn = self.run_task(
            self.container("init", "exit", "1", essential=False),
            self.container("main", "lines", "1", dependsOn=[{"containerName": "init", "condition": "SUCCESS"}]),
        )
        task = self.stopped(arn)
        # 143 is what amazon-ecs-agent reports for a container that it gave up on (handleTerminalDependencyError).
        self.assertEqual(self.exits(task), {"init": 1, "main": 143})
        self.assertIn("reason", self.containers(task)["main"])
        self.assertEqual(self.lines("main", arn), [])


class StartFailures(harness.TestCase):
    def assert_failed_to_start(self, task, reason):
        self.assertEqual(task["stopCode"], "TaskFailedToStart", task)
        self.assertRegex(task["stoppedReason"], f"^{reason}")
        self.assertNotIn("startedAt", task)
        self.assertEqual(set(self.exits(task).values()), {None})

    def test_an_image_that_is_not_there(self):
        # A registry that refuses the connection: no machine has one on port 1.
        task = self.stopped(self.run_task(self.container("main", image="127.0.0.1:1/absent:latest")))
        self.assert_failed_to_start(task, "CannotPullContainerError: ")

    def test_a_log_group_that_is_not_there(self):
        definition = self.container("main", "exit", "0")
        definition["logConfiguration"]["options"]["awslogs-group"] = "/absent"
        task = self.stopped(self.run_task(definition))
        self.assert_failed_to_start(task, "ResourceInitializationError: failed to validate logger args")
        self.assertIn("The specified log group does not exist", task["stoppedReason"])

    def test_a_program_that_is_not_in_the_image(self):
        task = self.stopped(self.run_task(self.container("main", entryPoint=["/absent"])))
        self.assert_failed_to_start(task, "CannotStartContainerError: ")


class Containers(harness.TestCase):
    def test_containers_of_a_task_share_localhost(self):
        arn = self.run_task(
            self.container("web", "serve", "--port", "8080", essential=False),
            self.container("main", "get", "http://localhost:8080/healthz"),
        )
        self.assertEqual(self.exits(self.stopped(arn))["main"], 0)
        self.assertEqual(self.lines("main", arn), ["ok"])

    def test_tasks_in_different_subnets_reach_each_other(self):
        web = self.register(self.container("web", "serve"))
        server = self.running(self.start(web, SUBNETS[0])["taskArn"])
        address = self.address(server)
        asker = self.register(self.container("main", "get", f"http://{address}:8080/healthz"))
        asked = self.stopped(self.start(asker, SUBNETS[1])["taskArn"])
        self.assertEqual(self.exits(asked), {"main": 0})
        subnets = [task["attachments"][0]["details"][0]["value"] for task in (server, asked)]
        self.assertEqual(subnets, SUBNETS)
        self.ecs.stop_task(task=server["taskArn"])

    def test_what_a_container_definition_says_is_so_inside(self):
        script = (
            'echo "user $(id -u)"; echo "folder $(pwd)"; echo "files $(ulimit -n)"; echo "greeting $GREETING";'
            "touch /file 2>/dev/null && echo writable || echo read-only; touch /scratch/file && echo scratch"
        )
        arn = self.run_task(
            self.shell(
                "main",
                script,
                user="1000",
                workingDirectory="/tmp",
                readonlyRootFilesystem=True,
                ulimits=[{"name": "nofile", "softLimit": 512, "hardLimit": 1024}],
                environment=[{"name": "GREETING", "value": "hello"}],
                mountPoints=[{"sourceVolume": "scratch", "containerPath": "/scratch"}],
                dependsOn=[{"containerName": "prepare", "condition": "SUCCESS"}],
            ),
            self.shell(
                "prepare",
                "chmod 777 /scratch",
                essential=False,
                mountPoints=[{"sourceVolume": "scratch", "containerPath": "/scratch"}],
            ),
            volumes=[{"name": "scratch"}],
        )
        self.stopped(arn)
        self.assertEqual(
            self.lines("main", arn),
            ["user 1000", "folder /tmp", "files 512", "greeting hello", "read-only", "scratch"],
        )

    def test_overrides_reach_the_container(self):
        definition = self.register(self.shell("main", "echo never"))
        arn = self.start(
            definition,
            overrides={
                "containerOverrides": [
                    {
                        "name": "main",
                        "command": ["sh", "-c", "echo $WHO"],
                        "environment": [{"name": "WHO", "value": "overridden"}],
                    }
                ]
            },
        )["taskArn"]
        self.stopped(arn)
        self.assertEqual(self.lines("main", arn), ["overridden"])

    def test_no_metadata_variable_is_set(self):
        arn = self.run_task(self.shell("main", "env | grep -c ^ECS_ ; true"))
        self.stopped(arn)
        self.assertEqual(self.lines("main", arn), ["0"])

    def test_every_container_has_its_platform_and_its_region_in_its_environment(self):
        script = 'echo "$AWS_EXECUTION_ENV $AWS_REGION $AWS_DEFAULT_REGION"'
        own = {"environment": [{"name": "AWS_REGION", "value": "mars-north-1"}]}
        arn = self.run_task(
            self.shell("main", script, dependsOn=[{"containerName": "side", "condition": "COMPLETE"}]),
            self.shell("side", script, essential=False, **own),
        )
        self.stopped(arn)
        self.assertEqual(self.lines("main", arn), [f"AWS_ECS_FARGATE {REGION} {REGION}"])
        self.assertEqual(self.lines("side", arn), [f"AWS_ECS_FARGATE mars-north-1 {REGION}"])


class Logs(harness.TestCase):
    def test_both_streams_arrive_whole_each_in_its_order(self):
        arn = self.run_task(self.container("main", "mixed", "2000"))
        self.stopped(arn)
        lines = self.lines("main", arn)
        self.assertEqual(len(lines), 2000)
        for stream in ("stdout", "stderr"):
            ours = [line for line in lines if line.startswith(stream)]
            self.assertEqual(ours, sorted(ours))
            self.assertEqual(len(ours), 1000)

    def test_a_line_longer_than_the_engines_frame_arrives_whole(self):
        arn = self.run_task(self.container("main", "long", "100000"))
        self.stopped(arn)
        self.assertEqual(self.lines("main", arn), ["x" * 100_000])

    def test_a_line_is_readable_while_the_task_runs(self):
        arn = self.run_task(self.container("main", "trap"))

        def first_line():
            try:
                return bool(self.lines("main", arn)), self.lines("main", arn)
            except self.logs.exceptions.ResourceNotFoundException as error:
                return False, error

        self.assertEqual(until("the first line is readable", first_line), ["waiting for SIGTERM"])
        self.assertEqual(self.task(arn)["desiredStatus"], "RUNNING")
        self.ecs.stop_task(task=arn)
        self.stopped(arn)
        self.assertEqual(self.lines("main", arn), ["waiting for SIGTERM", "got SIGTERM"])

    def test_a_group_is_made_where_the_definition_asks(self):
        definition = self.container("main", "lines", "1")
        definition["logConfiguration"]["options"] |= {"awslogs-group": "/made", "awslogs-create-group": "true"}
        arn = self.run_task(definition)
        self.stopped(arn)
        events = self.logs.filter_log_events(logGroupName="/made")["events"]
        self.assertEqual([event["message"] for event in events], ["line 000001"])

"""What a user types: the `aws` command against the emulator."""

import harness
from harness import TASK_DEFINITIONS, task_id

NETWORK = "awsvpcConfiguration={subnets=[subnet-0000000000000000a]}"


class AwsCli(harness.TestCase):
    def register_fixture(self, name):
        self.aws("ecs", "register-task-definition", "--cli-input-json", f"file://{TASK_DEFINITIONS / name}")

    def run_fixture(self, family, *args):
        answer = self.aws(
            *["ecs", "run-task", "--task-definition", family, "--launch-type", "FARGATE"],
            *["--network-configuration", NETWORK, *args],
        )
        self.assertEqual(answer["failures"], [])
        return answer["tasks"][0]["taskArn"]

    def test_a_task_is_run_waited_for_stopped_and_read(self):
        self.aws_text("logs", "create-log-group", "--log-group-name", "/neargate/web")
        self.register_fixture("web.json")
        arn = self.run_fixture("web")
        self.aws_text("ecs", "wait", "tasks-running", "--tasks", arn)
        task = self.aws("ecs", "describe-tasks", "--tasks", arn)["tasks"][0]
        self.assertEqual((task["lastStatus"], task["desiredStatus"]), ("RUNNING", "RUNNING"))
        self.assertEqual((task["cpu"], task["memory"], task["platformVersion"]), ("256", "512", "1.4.0"))
        self.assertIn(arn, self.aws("ecs", "list-tasks")["taskArns"])

        asked = self.aws("ecs", "stop-task", "--task", arn, "--reason", "enough seen")["task"]
        self.assertEqual((asked["desiredStatus"], asked["stopCode"]), ("STOPPED", "UserInitiated"))
        self.aws_text("ecs", "wait", "tasks-stopped", "--tasks", arn)
        task = self.aws("ecs", "describe-tasks", "--tasks", arn)["tasks"][0]
        self.assertEqual((task["stopCode"], task["stoppedReason"]), ("UserInitiated", "enough seen"))
        self.assertEqual(task["containers"][0]["exitCode"], 143)
        self.assertNotIn(arn, self.aws("ecs", "list-tasks")["taskArns"])
        self.assertIn(arn, self.aws("ecs", "list-tasks", "--desired-status", "STOPPED")["taskArns"])

        stream = f"web/web/{task_id(arn)}"
        events = self.aws(
            *["logs", "get-log-events", "--log-group-name", "/neargate/web"],
            *["--log-stream-name", stream, "--start-from-head"],
        )["events"]
        self.assertEqual([event["message"] for event in events], ["listening on port 8080"])

    def test_logs_are_read_whole_and_filtered(self):
        self.register_fixture("lines.json")
        arn = self.run_fixture("lines")
        self.aws_text("ecs", "wait", "tasks-stopped", "--tasks", arn)

        stream = f"lines/lines/{task_id(arn)}"
        # Pages of three: the command follows them.
        whole = self.aws_text(
            *["logs", "filter-log-events", "--log-group-name", "/neargate/lines", "--page-size", "3"],
            *["--log-stream-names", stream, "--query", "events[].[message]", "--output", "text"],
        )
        self.assertEqual(whole.splitlines(), [f"line {n:06}" for n in range(1, 21)])
        found = self.aws(
            *["logs", "filter-log-events", "--log-group-name", "/neargate/lines"],
            *["--log-stream-name-prefix", stream, "--filter-pattern", '"line 000007"'],
        )["events"]
        self.assertEqual([event["message"] for event in found], ["line 000007"])
        streams = self.aws(
            *["logs", "describe-log-streams", "--log-group-name", "/neargate/lines"],
            *["--log-stream-name-prefix", stream],
        )["logStreams"]
        self.assertEqual([found["logStreamName"] for found in streams], [stream])

    def test_list_tasks_is_filtered_by_family_and_by_who_started(self):
        self.aws("ecs", "create-cluster", "--cluster-name", "filters")
        self.register_fixture("lines.json")
        first = self.run_fixture("lines", "--cluster", "filters", "--started-by", "ann")
        second = self.run_fixture("lines", "--cluster", "filters", "--started-by", "bob")
        self.aws_text("ecs", "wait", "tasks-stopped", "--cluster", "filters", "--tasks", first, second)

        def listed(*args):
            answer = self.aws("ecs", "list-tasks", "--cluster", "filters", *args)
            return set(answer["taskArns"])

        stopped = ("--desired-status", "STOPPED")
        self.assertEqual(listed("--family", "lines", *stopped), {first, second})
        self.assertEqual(listed("--family", "other", *stopped), set())
        self.assertEqual(listed("--launch-type", "FARGATE", *stopped), {first, second})
        self.assertEqual(listed(), set())
        pages = self.aws_text(
            *["ecs", "list-tasks", "--cluster", "filters", *stopped],
            *["--page-size", "1", "--query", "taskArns[]", "--output", "text"],
        )
        self.assertEqual(set(pages.split()), {first, second})

    def test_a_deregistered_revision_is_refused_and_can_be_deleted(self):
        self.register_fixture("web.json")
        listed = self.aws("ecs", "list-task-definitions", "--family-prefix", "web")["taskDefinitionArns"]
        revision = listed[-1].rsplit("/", 1)[-1]
        gone = self.aws("ecs", "deregister-task-definition", "--task-definition", revision)["taskDefinition"]
        self.assertEqual(gone["status"], "INACTIVE")
        refused = self.aws_process(
            *["ecs", "run-task", "--task-definition", revision, "--launch-type", "FARGATE"],
            *["--network-configuration", NETWORK],
        )
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("(ClientException)", refused.stderr)
        deleted = self.aws("ecs", "delete-task-definitions", "--task-definitions", revision)
        self.assertEqual(deleted["failures"], [])

    def test_a_mistake_is_answered_with_the_errors_name(self):
        for args, error in (
            (["ecs", "list-tasks", "--cluster", "absent"], "ClusterNotFoundException"),
            (["ecs", "stop-task", "--task", "0" * 32], "InvalidParameterException"),
            (["ecs", "describe-task-definition", "--task-definition", "absent"], "ClientException"),
            (["logs", "describe-log-streams", "--log-group-name", "absent"], "ResourceNotFoundException"),
        ):
            with self.subTest(error=error):
                done = self.aws_process(*args)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(f"({error})", done.stderr)


"""The emulator as a real process with real containers, and the AWS clients pointed at it.

A test case class shares one emulator, started on a free port with a data folder of its own in memory. When the class
is done, the emulator must have left nothing in Docker. Missing images: a skip on a laptop, a failure in CI.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import boto3
import botocore.config

ROOT = pathlib.Path(__file__).resolve().parents[2]
TASK_DEFINITIONS = ROOT / "fixtures" / "task-definitions"
REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_PAGER": "",
}
SUBNETS = ["subnet-0000000000000000a", "subnet-0000000000000000b"]
LOG_GROUP = "/neargate/python"


def in_ci():
    return os.environ.get("CI") in ("true", "1")


def task_id(arn):
    return arn.rsplit("/", 1)[-1]


def network(subnet=SUBNETS[0]):
    return {"awsvpcConfiguration": {"subnets": [subnet]}}


def until(what, look, within=60):
    """Looks until `look()` returns something true; reports what it last saw if the time passes first."""
    deadline = time.monotonic() + within
    while True:
        done, seen = look()
        if done:
            return seen
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within} s: {what}; last seen: {seen}")
        time.sleep(0.1)


class Emulator:
    """`neargate serve --data-dir :memory:`, and so `--ephemeral`, with more options."""

    def __init__(self, *options):
        binary = ROOT / "target" / "debug" / "neargate"
        self.log = tempfile.NamedTemporaryFile(prefix="neargate-python-", suffix=".log")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--"]
            + [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", ":memory:", "--region", REGION, *options],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.endpoint = until("the emulator reports its address", self._listening, within=30)

    def _listening(self):
        text = self.text()
        if self.process.poll() is not None:
            raise AssertionError(f"the emulator ended with {self.process.returncode}:\n{text}")
        found = re.search(r"listening on (http://\S+)", text)
        return (True, found.group(1).rstrip("/")) if found else (False, text)

    def text(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def instance(self):
        with urllib.request.urlopen(f"{self.endpoint}/_neargate/health") as answer:
            return json.load(answer)["instance"]

    def close(self):
        instance = self.instance()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the emulator did not end after SIGTERM:\n{self.text()}") from None
        if code != 0:
            raise AssertionError(f"the emulator ended with {code}:\n{self.text()}")
        left = held_by(instance)
        if left:
            raise AssertionError(f"left in Docker: {left}")
        self.log.close()


def held_by(instance):
    """What an instance holds on the engine."""
    label = f"label=neargate.instance={instance}"
    commands = (["ps", "--all", "--format", "{{.Names}}"], ["network", "ls", "--format", "{{.Name}}"])
    outputs = [subprocess.check_output(["docker", *command, "--filter", label], text=True) for command in commands]
    containers, networks = (output.split() for output in outputs)
    return containers + [network for network in networks if not is_miscounted(network)]


def is_miscounted(network):
    """Whether no container is connected to the network and Docker refuses to remove it: it miscounts endpoints at times
    (moby/moby#42119), until its next restart."""
    inspect = ["docker", "network", "inspect", "--format", "{{len .Containers}}", network]
    if subprocess.check_output(inspect, text=True).strip() != "0":
        return False
    removed = subprocess.run(["docker", "network", "rm", network], capture_output=True, text=True, check=False)
    return "has active endpoints" in removed.stderr


class TestCase(unittest.TestCase):
    """Tests that share one emulator."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        images = ["neargate/fixture:latest", "neargate/busybox:latest"]
        found = subprocess.run(["docker", "image", "inspect", *images], capture_output=True, check=False)
        if found.returncode != 0 and not in_ci():
            raise unittest.SkipTest("no fixture images: make images")
        found.check_returncode()
        cls.emulator = Emulator()
        cls.addClassCleanup(cls.emulator.close)
        os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=cls.emulator.endpoint)
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        cls.ecs = boto3.client("ecs", config=config)
        cls.logs = boto3.client("logs", config=config)
        cls.logs.create_log_group(logGroupName=LOG_GROUP)

    def run(self, result=None):
        """Shows the emulator's log if a test failed."""
        before = len(result.failures) + len(result.errors)
        outcome = super().run(result)
        if len(result.failures) + len(result.errors) > before:
            print(f"--- the emulator's log ends:\n{self.emulator.text()[-6000:]}", file=sys.stderr)
        return outcome

    # What nearly every test does.

    def aws(self, *args):
        """`aws ARGS…`, its JSON output parsed."""
        output = self.aws_text(*args, "--output", "json")
        return json.loads(output) if output.strip() else None

    def aws_text(self, *args):
        done = self.aws_process(*args)
        self.assertEqual(done.returncode, 0, f"aws {' '.join(args)}: {done.stderr}")
        return done.stdout

    def aws_process(self, *args):
        aws = pathlib.Path(sys.executable).parent / "aws"
        return subprocess.run([sys.executable, aws, *args], capture_output=True, text=True, check=False, timeout=120)

    def container(self, name, *command, image="neargate/fixture:latest", **others):
        """A container definition that logs to the class's group, as stream test/<name>/<task id>."""
        options = {"awslogs-group": LOG_GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "test"}
        definition = {
            "name": name,
            "image": image,
            "command": list(command),
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        }
        return definition | others

    def shell(self, name, script, **others):
        return self.container(name, "sh", "-c", script, image="neargate/busybox:latest", **others)

    def register(self, *containers, cpu="256", memory="512", **others):
        """A task definition of the test's own family; returns its ARN."""
        answer = self.ecs.register_task_definition(
            family=re.sub(r"[^a-z0-9-]", "-", self._testMethodName.lower())[:200],
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu=cpu,
            memory=memory,
            executionRoleArn="arn:aws:iam::000000000000:role/execution",
            containerDefinitions=list(containers),
            **others,
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def start(self, task_definition, subnet=SUBNETS[0], **others):
        """Runs one task; returns it as RunTask does."""
        answer = self.ecs.run_task(
            taskDefinition=task_definition, launchType="FARGATE", networkConfiguration=network(subnet), **others
        )
        self.assertEqual(answer["failures"], [])
        return answer["tasks"][0]

    def run_task(self, *containers, **others):
        """Registers and runs a task; returns its ARN."""
        return self.start(self.register(*containers, **others))["taskArn"]

    def task(self, arn):
        answer = self.ecs.describe_tasks(tasks=[arn])
        self.assertEqual(answer["failures"], [])
        return answer["tasks"][0]

    def reached(self, arn, status, within=60):
        def look():
            task = self.task(arn)
            return task["lastStatus"] in (status, "STOPPED"), task

        task = until(f"task {task_id(arn)} is {status}", look, within)
        self.assertEqual(task["lastStatus"], status, task)
        return task

    def running(self, arn):
        return self.reached(arn, "RUNNING")

    def stopped(self, arn):
        return self.reached(arn, "STOPPED")

    def address(self, task):
        details = next(a["details"] for a in task["attachments"] if a["type"] == "ElasticNetworkInterface")
        return next(detail["value"] for detail in details if detail["name"] == "privateIPv4Address")

    def lines(self, container, arn):
        """Every message of a container's stream, over all pages."""
        stream, token, messages = f"test/{container}/{task_id(arn)}", {}, []
        while True:
            page = self.logs.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **token
            )
            messages += [event["message"] for event in page["events"]]
            if token.get("nextToken") == page["nextForwardToken"]:
                return messages
            token = {"nextToken": page["nextForwardToken"]}

    def containers(self, task):
        return {container["name"]: container for container in task["containers"]}

    def exits(self, task):
        return {container["name"]: container.get("exitCode") for container in task["containers"]}

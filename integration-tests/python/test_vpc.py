"""The VPC by EC2's and STS's query protocols: boto3 and the `aws` command, with the default VPC and with a file's.

No container runs: the emulator's runtime is the simulated one.
"""

import os
import pathlib
import tempfile
import unittest

import boto3
import botocore.config
import botocore.exceptions

import harness
from harness import ENVIRONMENT, REGION, ROOT, SUBNETS, Emulator, network, until

TWO_TIERS = ROOT / "fixtures" / "vpc" / "two-tiers.toml"
GROUP = "sg-0000000000000000d"


class VpcCase(unittest.TestCase):
    maxDiff = None
    options = []

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator("--runtime", "simulated", *cls.options)
        cls.addClassCleanup(cls.emulator.close)
        os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=cls.emulator.endpoint)
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        cls.ec2 = boto3.client("ec2", config=config)
        cls.ecs = boto3.client("ecs", config=config)
        cls.sts = boto3.client("sts", config=config)

    aws = harness.TestCase.aws
    aws_text = harness.TestCase.aws_text
    aws_process = harness.TestCase.aws_process

    def refused(self, code, call, **arguments):
        """Makes a call that must be refused with this code; returns the message."""
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code, caught.exception)
        return caught.exception.response["Error"]["Message"]

    def start(self, subnet, **configuration):
        """Runs a task that stays; returns it once it is RUNNING."""
        self.ecs.register_task_definition(
            family="stays",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "main", "image": "stays"}],
        )
        where = network(subnet)
        where["awsvpcConfiguration"].update(configuration)
        answer = self.ecs.run_task(taskDefinition="stays", launchType="FARGATE", networkConfiguration=where)
        arn = answer["tasks"][0]["taskArn"]

        def look():
            task = self.ecs.describe_tasks(tasks=[arn])["tasks"][0]
            return task["lastStatus"] in ("RUNNING", "STOPPED"), task

        task = until("the task runs", look)
        self.assertEqual(task["lastStatus"], "RUNNING", task)
        return task

    def stop(self, task):
        self.ecs.stop_task(task=task["taskArn"])

        def look():
            seen = self.ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"][0]
            return seen["lastStatus"] == "STOPPED", seen

        until("the task has stopped", look)

    def details(self, task):
        (attachment,) = task["attachments"]
        return {detail["name"]: detail["value"] for detail in attachment["details"]}


class Default(VpcCase):
    def test_the_default_vpc_has_two_subnets_in_two_zones(self):
        (vpc,) = self.ec2.describe_vpcs()["Vpcs"]
        self.assertEqual((vpc["IsDefault"], vpc["State"], vpc["OwnerId"]), (True, "available", "000000000000"))
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.assertEqual([subnet["SubnetId"] for subnet in subnets], SUBNETS)
        self.assertEqual([subnet["AvailabilityZone"] for subnet in subnets], [f"{REGION}a", f"{REGION}b"])
        self.assertEqual({subnet["VpcId"] for subnet in subnets}, {vpc["VpcId"]})
        self.assertEqual({subnet["AvailableIpAddressCount"] for subnet in subnets}, {2**14 - 5})

        (table,) = self.ec2.describe_route_tables()["RouteTables"]
        self.assertEqual([route["GatewayId"] for route in table["Routes"]], ["local"])
        self.assertTrue(table["Associations"][0]["Main"])
        (options,) = self.ec2.describe_dhcp_options(DhcpOptionsIds=[vpc["DhcpOptionsId"]])["DhcpOptions"]
        servers = {"Key": "domain-name-servers", "Values": [{"Value": "AmazonProvidedDNS"}]}
        self.assertEqual(options["DhcpConfigurations"], [servers])
        (group,) = self.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
        within = [pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
        self.assertEqual((group["GroupId"], within), (GROUP, [GROUP]))
        self.assertEqual(group["IpPermissionsEgress"][0]["IpRanges"], [{"CidrIp": "0.0.0.0/0"}])

    def test_zones_are_those_of_the_region_that_asks(self):
        for region, zone_id in ((REGION, "use1-az1"), ("eu-west-1", "euw1-az1")):
            ec2 = boto3.client("ec2", region_name=region)
            zones = ec2.describe_availability_zones(ZoneNames=[f"{region}a"])["AvailabilityZones"]
            self.assertEqual([(zone["ZoneId"], zone["RegionName"]) for zone in zones], [(zone_id, region)])
            self.assertEqual(ec2.describe_subnets()["Subnets"][0]["AvailabilityZone"], f"{region}a")
        message = self.refused(
            "InvalidParameterValue", self.ec2.describe_availability_zones, ZoneNames=["eu-west-1a"]
        )
        self.assertEqual(message, "Invalid availability zone: [eu-west-1a]")

    def test_a_task_has_an_interface_while_it_lives(self):
        task = self.start(SUBNETS[1], securityGroups=[GROUP])
        details = self.details(task)
        by_id = {"NetworkInterfaceIds": [details["networkInterfaceId"]]}
        (interface,) = self.ec2.describe_network_interfaces(**by_id)["NetworkInterfaces"]
        self.assertEqual(interface["PrivateIpAddress"], details["privateIPv4Address"])
        self.assertEqual(interface["MacAddress"], details["macAddress"])
        self.assertEqual((interface["SubnetId"], interface["Status"]), (SUBNETS[1], "in-use"))
        self.assertEqual((interface["InterfaceType"], interface["RequesterManaged"]), ("interface", True))
        self.assertEqual(interface["Groups"], [{"GroupId": GROUP, "GroupName": "default"}])
        attachment = task["attachments"][0]["id"]
        self.assertTrue(interface["Description"].endswith(f":attachment/{attachment}"), interface["Description"])
        self.assertEqual(interface["Attachment"]["Status"], "attached")
        free = self.ec2.describe_subnets(SubnetIds=[SUBNETS[1]])["Subnets"][0]["AvailableIpAddressCount"]
        self.assertEqual(free, 2**14 - 6)

        found = self.ec2.describe_network_interfaces(
            Filters=[
                {"Name": "private-ip-address", "Values": [details["privateIPv4Address"]]},
                {"Name": "description", "Values": ["arn:aws:ecs:*:attachment/*"]},
            ]
        )
        self.assertEqual([one["NetworkInterfaceId"] for one in found["NetworkInterfaces"]], by_id["NetworkInterfaceIds"])
        elsewhere = boto3.client("ec2", region_name="eu-west-1").describe_network_interfaces()
        self.assertEqual(elsewhere["NetworkInterfaces"], [])

        self.stop(task)
        self.refused("InvalidNetworkInterfaceID.NotFound", self.ec2.describe_network_interfaces, **by_id)

        def given_back():
            subnet = self.ec2.describe_subnets(SubnetIds=[SUBNETS[1]])["Subnets"][0]
            return subnet["AvailableIpAddressCount"] == 2**14 - 5, subnet

        until("the address is free again", given_back)

    def test_interfaces_are_paged(self):
        tasks = [self.start(SUBNETS[0]) for _ in range(7)]
        ids = sorted(self.details(task)["networkInterfaceId"] for task in tasks)
        only = [{"Name": "subnet-id", "Values": [SUBNETS[0]]}]
        pages = self.ec2.get_paginator("describe_network_interfaces").paginate(
            Filters=only, PaginationConfig={"PageSize": 5}
        )
        sizes, seen = [], []
        for page in pages:
            sizes.append(len(page["NetworkInterfaces"]))
            seen += [interface["NetworkInterfaceId"] for interface in page["NetworkInterfaces"]]
        self.assertEqual((sizes, seen), ([5, 2], ids))
        self.refused("InvalidPaginationToken", self.ec2.describe_network_interfaces, NextToken="x")
        for task in tasks:
            self.stop(task)

    def test_filters_are_joined_by_and_and_may_have_wildcards(self):
        def found(*filters):
            filters = [{"Name": name, "Values": values} for name, values in filters]
            return [subnet["SubnetId"] for subnet in self.ec2.describe_subnets(Filters=filters)["Subnets"]]

        self.assertEqual(found(("vpc-id", ["vpc-*"])), SUBNETS)
        self.assertEqual(found(("availability-zone", ["us-east-1?"]), ("subnet-id", ["*b"])), SUBNETS[1:])
        self.assertEqual(found(("availabilityZone", [f"{REGION}a", f"{REGION}b"])), SUBNETS)
        self.assertEqual(found(("state", ["pending"])), [])
        self.assertEqual(found(("tag:Name", ["*"])), [])
        message = self.refused(
            "InvalidParameterValue", self.ec2.describe_subnets, Filters=[{"Name": "colour", "Values": ["red"]}]
        )
        self.assertEqual(message, "The filter 'colour' is invalid")

    def test_errors_are_ec2s(self):
        message = self.refused("InvalidSubnetID.NotFound", self.ec2.describe_subnets, SubnetIds=["subnet-0123456789abcdef0"])
        self.assertEqual(message, "The subnet ID 'subnet-0123456789abcdef0' does not exist")
        self.refused("InvalidVpcID.NotFound", self.ec2.describe_vpcs, VpcIds=["vpc-12345678"])
        self.refused("InvalidGroup.NotFound", self.ec2.describe_security_groups, GroupIds=["sg-12345678"])
        self.refused("InvalidRouteTableID.NotFound", self.ec2.describe_route_tables, RouteTableIds=["rtb-12345678"])
        self.refused("InvalidDhcpOptionID.NotFound", self.ec2.describe_dhcp_options, DhcpOptionsIds=["dopt-12345678"])
        message = self.refused("DryRunOperation", self.ec2.describe_vpcs, DryRun=True)
        self.assertEqual(message, "Request would have succeeded, but DryRun flag is set.")
        message = self.refused("UnsupportedOperation", self.ec2.describe_instances)
        self.assertIn("ec2:DescribeInstances", message)
        self.assertIn("sts:GetSessionToken", self.refused("UnsupportedOperation", self.sts.get_session_token))

    def test_the_caller_is_the_accounts_root(self):
        identity = self.sts.get_caller_identity()
        self.assertEqual((identity["Account"], identity["Arn"]), ("000000000000", "arn:aws:iam::000000000000:root"))
        self.assertRegex(identity["ResponseMetadata"]["RequestId"], "^[0-9a-f-]{36}$")

    def test_the_aws_command_reads_it_all(self):
        for command, key in (
            ("describe-vpcs", "Vpcs"),
            ("describe-subnets", "Subnets"),
            ("describe-route-tables", "RouteTables"),
            ("describe-dhcp-options", "DhcpOptions"),
            ("describe-security-groups", "SecurityGroups"),
            ("describe-availability-zones", "AvailabilityZones"),
        ):
            self.assertTrue(self.aws("ec2", command)[key], command)
        self.assertEqual(self.aws("ec2", "describe-network-interfaces", "--filters", "Name=status,Values=x*")["NetworkInterfaces"], [])
        self.assertEqual(self.aws("sts", "get-caller-identity")["Account"], "000000000000")
        failed = self.aws_process("ec2", "describe-subnets", "--subnet-ids", "subnet-12345678")
        self.assertIn("(InvalidSubnetID.NotFound)", failed.stderr)


class File(VpcCase):
    options = ["--vpc", str(TWO_TIERS)]

    def test_what_the_file_says_is_shown(self):
        (vpc,) = self.ec2.describe_vpcs()["Vpcs"]
        self.assertEqual((vpc["VpcId"], vpc["CidrBlock"], vpc["IsDefault"]), ("vpc-0123456789abcdef0", "10.64.0.0/16", False))
        subnets = {subnet["CidrBlock"]: subnet for subnet in self.ec2.describe_subnets()["Subnets"]}
        self.assertEqual(sorted(subnets), ["10.64.0.0/20", "10.64.16.0/20", "10.64.32.0/28"])
        self.assertEqual(subnets["10.64.32.0/28"]["SubnetId"], "subnet-0fedcba9876543210")
        self.assertEqual(subnets["10.64.32.0/28"]["AvailableIpAddressCount"], 11)

        of_subnet = {"Name": "association.subnet-id", "Values": [subnets["10.64.16.0/20"]["SubnetId"]]}
        (table,) = self.ec2.describe_route_tables(Filters=[of_subnet])["RouteTables"]
        (route,) = [route for route in table["Routes"] if route.get("GatewayId") != "local"]
        self.assertEqual((route["DestinationCidrBlock"], route["IpAddress"]), ("192.168.50.0/24", "10.64.0.5"))
        (main,) = self.ec2.describe_route_tables(Filters=[{"Name": "association.main", "Values": ["true"]}])["RouteTables"]
        self.assertNotEqual(main["RouteTableId"], table["RouteTableId"])

        (options,) = self.ec2.describe_dhcp_options()["DhcpOptions"]
        domain = [one["Values"] for one in options["DhcpConfigurations"] if one["Key"] == "domain-name"]
        self.assertEqual(domain, [[{"Value": "corp.example"}]])

        groups = {group["GroupName"]: group for group in self.ec2.describe_security_groups()["SecurityGroups"]}
        self.assertEqual(sorted(groups), ["app", "default", "web"])
        (from_web,) = [rule for rule in groups["app"]["IpPermissions"] if rule["IpProtocol"] == "tcp"]
        self.assertEqual((from_web["FromPort"], from_web["ToPort"]), (8080, 8089))
        self.assertEqual(from_web["UserIdGroupPairs"][0]["GroupId"], groups["web"]["GroupId"])
        named = self.ec2.describe_security_groups(Filters=[{"Name": "ip-permission.cidr", "Values": ["10.64.0.1/32"]}])
        self.assertEqual([group["GroupName"] for group in named["SecurityGroups"]], ["web"])

    def test_ids_that_the_file_does_not_have_are_refused(self):
        task = self.start("subnet-0fedcba9876543210")
        self.stop(task)
        where = network("subnet-0123456789abcdef0")
        message = self.refused(
            "InvalidParameterException",
            self.ecs.run_task,
            taskDefinition="stays",
            launchType="FARGATE",
            networkConfiguration=where,
        )
        self.assertIn("subnet-0123456789abcdef0", message)
        where = {"awsvpcConfiguration": {"subnets": ["subnet-0fedcba9876543210"], "securityGroups": ["sg-12345678"]}}
        message = self.refused(
            "InvalidParameterException",
            self.ecs.run_task,
            taskDefinition="stays",
            launchType="FARGATE",
            networkConfiguration=where,
        )
        self.assertIn("sg-12345678", message)


class Start(unittest.TestCase):
    def refusal(self, *options):
        """The error of `serve` if it does not start."""
        with self.assertRaises(AssertionError) as caught:
            Emulator("--runtime", "simulated", *options)
        return str(caught.exception)

    def test_a_mistake_in_the_file_ends_the_start_with_its_line(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "vpc.toml"
            path.write_text('[vpc]\ncidr = "10.0.0.0/8"\n')
            said = self.refusal("--vpc", str(path))
            self.assertIn(f"neargate: {path}:2: 10.0.0.0/8 has a prefix", said)
            self.assertIn("no-such.toml", self.refusal("--vpc", f"{folder}/no-such.toml"))

    def test_a_kind_cluster_that_is_not_there_is_told_so(self):
        said = self.refusal("--vpc-from-kind", "neargate-no-such-cluster")
        self.assertIn('there is no kind cluster "neargate-no-such-cluster"', said)

    def test_a_file_and_a_kind_cluster_exclude_each_other(self):
        self.assertIn("cannot be used with", self.refusal("--vpc", str(TWO_TIERS), "--vpc-from-kind", "x"))

# SPDX-License-Identifier: Apache-2.0
"""What doctor printed for Google Cloud, done to the sandbox: as gcloud would by a command, or Terraform by a resource.

Whatever is not known here is an error: another flag, another argument, another type. Roles are not in the sandbox: who
is given one has its permissions from then on, by the windows.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.cloud import storage

from lkcloud.diagnosis import SET_CLOCK, Remedy
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.access import EMAIL
from lkcloud_gcp.sandbox.cloud import PROJECT
from tests.doctor.printed import blocks
from tests.terraform.hcl import schemas

MEMBER = f"serviceAccount:{EMAIL}"


@dataclass
class Mender:
    """Mends GCP by what was printed; ROLES are those that were made, by name."""

    gcp: GcpStandIn
    client: storage.Client
    roles: dict[str, frozenset[str]] = field(default_factory=dict)

    def mend(self, remedy: Remedy, way: str) -> None:
        """Do what REMEDY says, by its `commands`, its `terraform`, or what it says is to be allowed (`do`)."""
        if way == "commands":
            for command in remedy.commands:
                self._run(command)
        elif way == "terraform":
            self._apply(remedy.terraform)
        else:
            word, action, *rest = remedy.do.split()
            assert (word, rest) in (("allow", []), ("allow", ["on", "it"])), remedy.do
            windows = self.gcp.windows
            assert action in windows.denied_permissions
            windows.denied_permissions = tuple(one for one in windows.denied_permissions if one != action)

    def _run(self, command: str) -> None:
        """Do what gcloud does: https://cloud.google.com/sdk/gcloud/reference."""
        if command == SET_CLOCK:
            self.gcp.set_clock(0)
            return
        program, *words = shlex.split(command)
        assert program == "gcloud"
        given = [word.removeprefix("--").partition("=") for word in words if word.startswith("--")]
        flags = {name: value for name, _, value in given}
        match [word for word in words if not word.startswith("--")]:
            case ["services", "enable", service]:
                assert flags.pop("project") == PROJECT
                self._enable(service)
            case ["iam", "roles", "create", name]:
                assert flags.pop("project") == PROJECT
                assert flags.pop("title")
                assert flags.pop("stage") == "GA"
                self.roles[name] = frozenset(flags.pop("permissions").split(","))
            case ["projects", "add-iam-policy-binding", project]:
                assert (project, flags.pop("condition")) == (PROJECT, "None")
                self._give(flags.pop("role"), flags.pop("member"))
            case ["storage", "buckets", "add-iam-policy-binding", url]:
                self._give(flags.pop("role"), flags.pop("member"), _bucket(url))
            case ["storage", "buckets", "create", url]:
                assert flags.pop("project") == PROJECT
                bucket = self.client.bucket(_bucket(url))
                _change(bucket, flags)
                self.client.create_bucket(bucket, location=flags.pop("location"))
            case ["storage", "buckets", "update", url]:
                bucket = self.client.get_bucket(_bucket(url))
                _change(bucket, flags)
                bucket.patch()
            case _:
                raise AssertionError(f"{command} is not known here")
        assert flags == {}, command

    def _apply(self, terraform: str) -> None:
        """Make the resources in their order; each is as the schema has it, and what it waits for comes before it."""
        labels: dict[str, str] = {}
        made: set[str] = set()
        for kind, label, arguments in blocks(terraform):
            given = dict(arguments)
            for other in given.pop("depends_on", []):
                assert other.removeprefix("${").removesuffix("}") in made, other
            made.add(f"{kind}.{label}")
            _check(kind, given)
            if kind != "google_storage_bucket_iam_member":
                assert given["project"] == PROJECT
            match kind:
                case "google_project_service":
                    self._enable(given["service"])
                case "google_project_iam_custom_role":
                    labels[label] = given["role_id"]
                    self.roles[given["role_id"]] = frozenset(given["permissions"])
                case "google_project_iam_member":
                    self._give(_role(given["role"], labels), given["member"])
                case "google_storage_bucket_iam_member":
                    self._give(_role(given["role"], labels), given["member"], given["bucket"])
                case "google_storage_bucket":
                    self._make(given)
                case _:
                    raise AssertionError(f"{kind} is not known here")

    def _enable(self, service: str) -> None:
        windows = self.gcp.windows
        assert service in windows.disabled_services
        windows.disabled_services = tuple(one for one in windows.disabled_services if one != service)

    def _give(self, role: str, member: str, bucket: str = "") -> None:
        """Give MEMBER the custom role ROLE, on the project or on a bucket."""
        assert member == MEMBER
        name = role.removeprefix(f"projects/{PROJECT}/roles/")
        windows = self.gcp.windows
        assert windows.allowed is not None
        if bucket:
            assert bucket in self.gcp.holdings.store.buckets
            before = windows.allowed_in_bucket.get(bucket, frozenset())
            windows.allowed_in_bucket = {**windows.allowed_in_bucket, bucket: before | self.roles[name]}
        else:
            windows.allowed |= self.roles[name]

    def _make(self, given: Mapping[str, Any]) -> None:
        bucket = self.client.bucket(given["name"])
        bucket.iam_configuration.uniform_bucket_level_access_enabled = given["uniform_bucket_level_access"]
        bucket.iam_configuration.public_access_prevention = given["public_access_prevention"]
        [soft_delete] = given["soft_delete_policy"]
        bucket.soft_delete_policy.retention_duration_seconds = soft_delete["retention_duration_seconds"]
        [rule] = given["lifecycle_rule"]
        assert rule["action"] == [{"type": "Delete"}]
        [condition] = rule["condition"]
        bucket.add_lifecycle_delete_rule(age=condition["age"], matches_prefix=condition.get("matches_prefix"))
        self.client.create_bucket(bucket, location=given["location"])


def _bucket(url: str) -> str:
    assert url.startswith("gs://")
    return url.removeprefix("gs://")


def _change(bucket: storage.Bucket, flags: dict[str, str]) -> None:
    """Change BUCKET as FLAGS say, and take those out: https://cloud.google.com/sdk/gcloud/reference/storage/buckets/update."""
    configuration = bucket.iam_configuration
    if "uniform-bucket-level-access" in flags:
        assert flags.pop("uniform-bucket-level-access") == ""
        configuration.uniform_bucket_level_access_enabled = True
    if "public-access-prevention" in flags:
        assert flags.pop("public-access-prevention") == ""
        configuration.public_access_prevention = "enforced"
    if "soft-delete-duration" in flags:
        bucket.soft_delete_policy.retention_duration_seconds = int(flags.pop("soft-delete-duration"))
    if "clear-soft-delete" in flags:
        assert flags.pop("clear-soft-delete") == ""
        bucket.soft_delete_policy.retention_duration_seconds = 0
    if "clear-retention-period" in flags:
        assert flags.pop("clear-retention-period") == ""
        bucket.retention_period = None


def _role(expression: str, labels: Mapping[str, str]) -> str:
    """Return the name of the role that EXPRESSION leads to."""
    path = expression.removeprefix("${").removesuffix("}").split(".")
    assert (path[0], path[2:]) == ("google_project_iam_custom_role", ["name"]), expression
    return f"projects/{PROJECT}/roles/{labels[path[1]]}"


def _check(kind: str, given: Mapping[str, Any], schema: Any = None) -> None:
    """Compare the arguments of a resource, or of a block in one, with its schema."""
    schema = schema or schemas()["google"]["resource"][kind]
    known: Mapping[str, Any] = schema["attributes"]
    inner: Mapping[str, Any] = schema["blocks"]
    settable = {name for name, (_, mode) in known.items() if "o" in mode or "r" in mode}
    assert set(given) <= settable | set(inner), (kind, json.dumps(given))
    assert {name for name, (_, mode) in known.items() if "r" in mode} <= set(given), (kind, json.dumps(given))
    for name in set(given) & set(inner):
        for one in given[name]:
            _check(f"{kind}.{name}", one, inner[name])

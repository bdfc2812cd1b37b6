# SPDX-License-Identifier: Apache-2.0
"""A stand-in that is quick, and real boto3 clients of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.blocks import snapshot

Clients = Callable[..., Any]


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[AwsStandIn]:
    """Serve AWS without its delays; a test of a delay sets it."""
    home = tmp_path / "cloud"
    home.mkdir()
    cloud = AwsStandIn(home)
    cloud.windows.unseen_puts = cloud.windows.unseen_describes = cloud.windows.unseen_permissions = 0
    cloud.windows.parameter_validation = 0
    cloud.windows.snapshot_pending = cloud.windows.image_pending = cloud.windows.instance_pending = 0
    cloud.windows.import_step, cloud.windows.name_held = 0.01, 0
    cloud.start()
    yield cloud
    cloud.stop()


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    """Return one session for all tests, which reads the models of the services once."""
    return boto3.Session()


@pytest.fixture
def client(stand_in: AwsStandIn, session: boto3.Session) -> Iterator[Clients]:
    """Make boto3 clients of a service, in a region, with other credentials or settings, that do not retry."""
    environment = stand_in.environment()
    made = []

    def make(service: str, region: str = "us-east-1", **settings: Any) -> Any:
        keys = {
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        }
        config = Config(retries={"total_max_attempts": 1}, **settings.pop("config", {}))
        address = environment["AWS_ENDPOINT_URL"]
        one = session.client(service, region, endpoint_url=address, config=config, **{**keys, **settings})
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def ec2(client: Clients) -> Any:
    return client("ec2")


@pytest.fixture
def ebs(client: Clients) -> Any:
    return client("ebs")


@pytest.fixture
def s3(client: Clients) -> Any:
    """Return a client of S3, and a bucket named `disks`."""
    one = client("s3")
    one.create_bucket(Bucket="disks")
    return one


Register = Callable[..., str]


@pytest.fixture
def register(ec2: Any, ebs: Any) -> Register:
    """Register an image of a new snapshot, and return its id."""

    def make(name: str = "image", *, tags: dict[str, str] | None = None, **parameters: Any) -> str:
        made = parameters.pop("snapshot_id", None) or snapshot(ebs)
        specification = [{"ResourceType": "image", "Tags": [{"Key": k, "Value": v} for k, v in (tags or {}).items()]}]
        said = {
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/xvda",
            "EnaSupport": True,
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": made}}],
            **({"TagSpecifications": specification} if tags else {}),
        }
        return str(ec2.register_image(**{**said, "Name": name, **parameters})["ImageId"])

    return make


def snapshot_of(ec2: Any, image_id: str) -> str:
    [image] = ec2.describe_images(ImageIds=[image_id])["Images"]
    return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


@pytest.fixture
def refused() -> Callable[..., ClientError]:
    """Call what must be refused, and return the error of the SDK, whose code is CODE."""

    def refuse(code: str, call: Callable[..., Any], **parameters: Any) -> ClientError:
        with pytest.raises(ClientError) as caught:
            call(**parameters)
        assert caught.value.response["Error"]["Code"] == code, caught.value
        return caught.value

    return refuse


@pytest.fixture
def wait() -> Callable[..., Any]:
    """Look until something is there, for at most a minute."""

    def look_until(look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 60
        while not (found := look()):
            assert time.monotonic() < deadline, "it has not come"
            time.sleep(0.02)
        return found

    return look_until

# SPDX-License-Identifier: Apache-2.0
"""Connections that are kept alive, and the seams at which a test makes a request fail."""

import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from lkcloud.sandbox.http import Body, DropConnection, Request, Response, Server
from lkcloud_aws.sandbox import AwsStandIn, Seen
from tests.aws_sandbox.blocks import block, put


@pytest.mark.parametrize(
    ("service", "operation", "call", "code", "status"),
    [
        ("ec2", "DescribeRegions", lambda one: one.describe_regions(), "RequestLimitExceeded", 503),
        ("ebs", "StartSnapshot", lambda one: one.start_snapshot(VolumeSize=1), "RequestThrottledException", 400),
        ("s3", "ListBuckets", lambda one: one.list_buckets(), "SlowDown", 503),
        ("sts", "GetCallerIdentity", lambda one: one.get_caller_identity(), "Throttling", 400),
    ],
)
def test_a_throttle_refuses_so_many_requests(
    stand_in: AwsStandIn,
    client: Callable[..., Any],
    refused: Callable[..., Any],
    service: str,
    operation: str,
    call: Callable[[Any], Any],
    code: str,
    status: int,
) -> None:
    one = client(service)
    stand_in.traffic.throttle(operation, 2)
    for _ in range(2):
        error = refused(code, call, one=one)
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
    call(one)
    assert stand_in.traffic.operations() == [operation] * 3


def test_a_hook_sees_each_request_before_and_after(stand_in: AwsStandIn, ebs: Any) -> None:
    seen: list[Seen] = []

    def look(one: Seen) -> None:
        seen.append(one)

    stand_in.traffic.hooks.append(look)
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(ebs, made, 0, block(1))
    assert [(one.phase, one.operation, one.status) for one in seen] == [
        ("before", "StartSnapshot", 0),
        ("after", "StartSnapshot", 201),
        ("before", "PutSnapshotBlock", 0),
        ("after", "PutSnapshotBlock", 201),
    ]
    assert [one.number for one in seen] == [1, 1, 2, 2]
    assert seen[3].received == 524288


def test_a_hook_can_lose_the_answer_of_what_was_done(stand_in: AwsStandIn, ebs: Any, ec2: Any) -> None:
    def lose(seen: Seen) -> None:
        if seen.phase == "after" and seen.operation == "StartSnapshot":
            raise DropConnection

    stand_in.traffic.hooks.append(lose)
    with pytest.raises(ConnectionClosedError):
        ebs.start_snapshot(VolumeSize=1, ClientToken="t")
    [lost] = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    stand_in.traffic.hooks.clear()
    assert ebs.start_snapshot(VolumeSize=1, ClientToken="t")["SnapshotId"] == lost["SnapshotId"]


def test_a_hook_can_answer_itself(stand_in: AwsStandIn, s3: Any, refused: Callable[..., Any]) -> None:
    body = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
    stand_in.traffic.hooks.append(lambda seen: Response(500, {}, body) if seen.phase == "before" else None)
    refused("InternalError", s3.put_object, Bucket="disks", Key="k", Body=b"bytes")
    stand_in.traffic.hooks.clear()
    assert "Contents" not in s3.list_objects_v2(Bucket="disks")


def test_one_connection_serves_many_requests_of_all_kinds() -> None:
    def answer(request: Request) -> Response:
        if request.path == "/unread":
            return Response(200, {}, b"unread")
        return Response(200, {}, str(len(request.body.all())).encode())

    server = Server(answer)
    server.start()
    connection = HTTPConnection("127.0.0.1", server.server_port)
    try:
        ports = set()
        for path, body, expected in (
            ("/unread", b"x" * 100_000, b"unread"),
            ("/read", b"x" * 100_000, b"100000"),
            ("/read", iter([b"ab", b"cde"]), b"5"),
            ("/read", b"", b"0"),
        ):
            connection.request("PUT", path, body)
            assert connection.getresponse().read() == expected
            assert connection.sock is not None
            ports.add(connection.sock.getsockname())
        assert len(ports) == 1, "the connection was kept"
    finally:
        connection.close()
        server.stop()


def test_a_client_that_dies_in_a_body_ends_its_connection_alone() -> None:
    bodies: list[Body] = []

    def answer(request: Request) -> Response:
        bodies.append(request.body)
        return Response(200, {}, str(len(request.body.all())).encode())

    server = Server(answer)
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", server.server_port)) as dying:
            dying.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        connection = HTTPConnection("127.0.0.1", server.server_port)
        connection.request("PUT", "/", b"whole")
        assert connection.getresponse().read() == b"5"
        connection.close()
    finally:
        server.stop()


def test_idle_is_since_the_last_request(stand_in: AwsStandIn, client: Callable[..., Any]) -> None:
    one = client("sts")
    one.get_caller_identity()
    first = stand_in.idle()
    time.sleep(0.05)
    assert stand_in.idle() >= first + 0.05
    one.get_caller_identity()
    assert stand_in.idle() < first + 5


def test_reset_leaves_nothing_but_address_and_credentials(
    stand_in: AwsStandIn, ebs: Any, ec2: Any, s3: Any, tmp_path: Path
) -> None:
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(ebs, made, 0, block(1))
    s3.put_object(Bucket="disks", Key="k", Body=b"bytes")
    stand_in.reset()
    assert list((tmp_path / "cloud").rglob("*")) == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert s3.list_buckets()["Buckets"] == []
    assert ebs.start_snapshot(VolumeSize=1)["Status"] == "pending"


def test_what_nobody_has_built_is_an_error_that_says_so(
    client: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    error = refused("InvalidAction", client("ec2").create_store_image_task, ImageId="ami-1", Bucket="b")
    assert "sandbox cannot" in str(error)

# SPDX-License-Identifier: Apache-2.0
"""AWS's errors, as its services write them on the wire: what is tried again, and what the user is told."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from lkcloud.errors import (
    Conflict,
    Corrupt,
    LkcloudError,
    NotAuthenticated,
    NotFound,
    Refused,
    Unreachable,
    UsageError,
)
from lkcloud.transfer.retry import Verdict
from lkcloud_aws.data_plane import DataPlane
from lkcloud_aws.errors import explain, judge
from lkcloud_aws.session import Session

Answer = tuple[int, dict[str, str], bytes]


class OneAnswer:
    """A server that says the same to every request."""

    def __init__(self) -> None:
        self.answer: Answer = (200, {}, b"")
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                outer.paths.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, body = outer.answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = respond  # noqa: N815 - the names that http.server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of http.server
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[OneAnswer]:
    server = OneAnswer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def session(server: OneAnswer) -> Session:
    """A session for all tests of this file: making clients is slow."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", server.url)
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        session = Session(None, "eu-west-1")
        _ = session.credentials, session.ec2, session.ebs, session.s3
    return session


def caught(request: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - what is raised is what is looked at
        request()
    return raised.value


def ebs_answer(status: int, kind: str, message: str = "no", **more: str) -> Answer:
    return (
        status,
        {"x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/"},
        json.dumps({"Message": message, **more}).encode(),
    )


def s3_answer(status: int, code: str, message: str = "no") -> Answer:
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>R1</RequestId></Error>"
    )
    return status, {"Content-Type": "application/xml"}, body.encode()


def ec2_answer(status: int, code: str, message: str = "no") -> Answer:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, {}, f"<Response><Errors>{error}</Errors><RequestID>R1</RequestID></Response>".encode()


EBS = [
    (ebs_answer(400, "RequestThrottledException", Reason="ACCOUNT_THROTTLED"), Verdict.THROTTLED, Unreachable),
    (ebs_answer(400, "ConcurrentLimitExceededException"), Verdict.THROTTLED, Unreachable),
    (ebs_answer(500, "InternalServerException"), Verdict.TRANSIENT, Unreachable),
    (ebs_answer(403, "AccessDeniedException", "not allowed"), Verdict.FATAL, Refused),
    (ebs_answer(402, "ServiceQuotaExceededException"), Verdict.FATAL, Refused),
    (ebs_answer(404, "ResourceNotFoundException"), Verdict.FATAL, NotFound),
    (ebs_answer(400, "ValidationException", Reason="INVALID_BLOCK"), Verdict.FATAL, Refused),
    (ebs_answer(400, "ValidationException", Reason="CONFLICTING_BLOCK_UPDATE"), Verdict.TRANSIENT, Unreachable),
    (ebs_answer(400, "ValidationException", Reason="WRITE_REQUEST_TIMEOUT"), Verdict.TRANSIENT, Unreachable),
    (ebs_answer(409, "ConflictException"), Verdict.FATAL, Conflict),
    (ebs_answer(403, "ExpiredTokenException", "The security token is expired"), Verdict.FATAL, NotAuthenticated),
    (ebs_answer(403, "UnrecognizedClientException"), Verdict.FATAL, NotAuthenticated),
    ((503, {}, b"<html>a proxy says no</html>"), Verdict.TRANSIENT, Unreachable),
    ((403, {}, b""), Verdict.FATAL, Refused),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "verdict", "kind"), EBS)
def test_what_ebs_says_means_the_same_over_both_ways(
    answer: Answer, verdict: Verdict, kind: type[LkcloudError], session: Session, server: OneAnswer
) -> None:
    server.answer = answer
    with DataPlane.ebs(session, 1) as plane:
        lean = caught(lambda: plane.put_block("snap-0123456789abcdef0", 7, bytes(8), bytes(32), 5.0))
    by_sdk = caught(lambda: session.ebs.start_snapshot(VolumeSize=1))
    assert server.paths[-2] == "/snapshots/snap-0123456789abcdef0/blocks/7"
    for error in (lean, by_sdk):
        assert judge(error) is verdict
        told = explain(error, "writing")
        assert type(told) is kind
        assert told.message.startswith("aws: writing: ")
        assert not told.message.endswith(".")
        assert told.hint


@pytest.mark.parametrize(
    ("answer", "verdict", "kind"),
    [
        (s3_answer(503, "SlowDown"), Verdict.THROTTLED, Unreachable),
        (s3_answer(500, "InternalError"), Verdict.TRANSIENT, Unreachable),
        (s3_answer(400, "RequestTimeout"), Verdict.TRANSIENT, Unreachable),
        (s3_answer(400, "BadDigest"), Verdict.TRANSIENT, Corrupt),
        (s3_answer(403, "AccessDenied"), Verdict.FATAL, Refused),
        (s3_answer(404, "NoSuchUpload"), Verdict.FATAL, NotFound),
        (s3_answer(403, "InvalidAccessKeyId"), Verdict.FATAL, NotAuthenticated),
        (s3_answer(403, "SignatureDoesNotMatch"), Verdict.FATAL, NotAuthenticated),
    ],
)
def test_what_s3_says(
    answer: Answer, verdict: Verdict, kind: type[LkcloudError], session: Session, server: OneAnswer
) -> None:
    server.answer = answer
    with DataPlane.s3(session, 1, "bucket") as plane:
        error = caught(lambda: plane.put_part("a key", "id+/=", 3, b"data", crc=1, timeout=5.0))
    assert server.paths[-1] == "/bucket/a%20key?partNumber=3&uploadId=id%2B%2F%3D"
    assert judge(error) is verdict
    assert type(explain(error, "uploading")) is kind


@pytest.mark.parametrize(
    ("answer", "verdict", "kind"),
    [
        (ec2_answer(503, "RequestLimitExceeded"), Verdict.THROTTLED, Unreachable),
        (ec2_answer(500, "InternalError"), Verdict.TRANSIENT, Unreachable),
        (ec2_answer(403, "UnauthorizedOperation"), Verdict.FATAL, Refused),
        (ec2_answer(401, "AuthFailure"), Verdict.FATAL, NotAuthenticated),
        (ec2_answer(400, "RequestExpired"), Verdict.FATAL, NotAuthenticated),
        (ec2_answer(400, "SnapshotLimitExceeded"), Verdict.FATAL, Refused),
        (ec2_answer(400, "InvalidAMIID.NotFound"), Verdict.FATAL, NotFound),
        (ec2_answer(400, "InvalidAMIName.Duplicate"), Verdict.FATAL, Conflict),
    ],
)
def test_what_ec2_says(
    answer: Answer, verdict: Verdict, kind: type[LkcloudError], session: Session, server: OneAnswer
) -> None:
    server.answer = answer
    error = caught(lambda: session.ec2.describe_images(Owners=["self"]))
    assert judge(error) is verdict
    assert type(explain(error, "looking")) is kind


def test_a_denied_permission_is_named(session: Session, server: OneAnswer) -> None:
    server.answer = ebs_answer(403, "AccessDeniedException", "not authorized")
    with DataPlane.ebs(session, 1) as plane:
        error = caught(lambda: plane.put_block("snap-0", 7, bytes(8), bytes(32), 5.0))
    assert "allow ebs:PutSnapshotBlock to" in explain(error, "writing").hint


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("head_object", "s3:GetObject"),
        ("create_multipart_upload", "s3:PutObject"),
        ("list_parts", "s3:ListMultipartUploadParts"),
        ("list_multipart_uploads", "s3:ListBucketMultipartUploads"),
        ("list_objects_v2", "s3:ListBucket"),
        ("head_bucket", "s3:ListBucket"),
        ("get_bucket_location", "s3:GetBucketLocation"),
    ],
)
def test_a_denied_operation_of_s3_is_told_by_its_action(
    operation: str, action: str, session: Session, server: OneAnswer
) -> None:
    server.answer = s3_answer(403, "AccessDenied")
    parameters = {"Bucket": "bucket"}
    if operation in ("head_object", "create_multipart_upload", "list_parts"):
        parameters["Key"] = "key"
    if operation == "list_parts":
        parameters["UploadId"] = "id"
    error = caught(lambda: getattr(session.s3, operation)(**parameters))
    assert f"allow {action} to" in explain(error, "looking").hint


def test_a_denied_operation_of_ec2_is_told_by_its_action(session: Session, server: OneAnswer) -> None:
    server.answer = ec2_answer(403, "UnauthorizedOperation")
    error = caught(lambda: session.ec2.describe_images(Owners=["self"]))
    assert "allow ec2:DescribeImages to" in explain(error, "looking").hint


def test_a_part_that_is_denied_is_told_by_its_action(session: Session, server: OneAnswer) -> None:
    server.answer = s3_answer(403, "AccessDenied")
    with DataPlane.s3(session, 1, "bucket") as plane:
        error = caught(lambda: plane.put_part("key", "id", 3, b"data", crc=1, timeout=5.0))
    assert "allow s3:PutObject to" in explain(error, "uploading").hint


@pytest.mark.parametrize(
    "message",
    [
        "Signature expired: 20240101T000000Z is now earlier than 20240101T001500Z",
        "Signature not yet current: 20240101T003000Z is still later than 20240101T001500Z",
    ],
)
def test_a_wrong_clock_is_told(message: str, session: Session, server: OneAnswer) -> None:
    server.answer = ebs_answer(403, "InvalidSignatureException", message)
    told = explain(caught(lambda: session.ebs.start_snapshot(VolumeSize=1)), "starting")
    assert type(told) is NotAuthenticated
    assert told.hint == "set the clock of this machine"


def test_an_expired_request_names_both_causes(session: Session, server: OneAnswer) -> None:
    server.answer = ec2_answer(400, "RequestExpired", "Request has expired.")
    told = explain(caught(lambda: session.ec2.describe_images(Owners=["self"])), "looking")
    assert "sign in again" in told.hint
    assert "clock" in told.hint


def test_what_others_have_not_shared_is_no_question_of_credentials(session: Session, server: OneAnswer) -> None:
    server.answer = ec2_answer(403, "AuthFailure", "Not authorized for image ami-0123")
    told = explain(caught(lambda: session.ec2.describe_images(ImageIds=["ami-0123"])), "looking")
    assert type(told) is Refused
    assert told.exit_code == 1
    assert "another account" in told.hint


def test_the_reason_of_ebs_is_told_and_keys_lead_to_the_docs(session: Session, server: OneAnswer) -> None:
    server.answer = ebs_answer(403, "AccessDeniedException", "no key", Reason="DEPENDENCY_ACCESS_DENIED")
    told = explain(caught(lambda: session.ebs.start_snapshot(VolumeSize=1)), "starting")
    assert "AccessDeniedException (DEPENDENCY_ACCESS_DENIED): no key" in told.message
    assert "docs/aws.md, Encryption" in told.hint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("VPCIdNotSpecified", "No default VPC for this user"),
        ("MissingInput", "No subnets found for the default VPC 'vpc-1'. Please specify a subnet."),
    ],
)
def test_an_account_without_a_default_vpc_is_told(code: str, message: str, session: Session, server: OneAnswer) -> None:
    server.answer = ec2_answer(400, code, message)
    told = explain(caught(lambda: session.ec2.describe_images(Owners=["self"])), "starting")
    assert type(told) is Refused
    assert told.hint.startswith("give --subnet")


def test_a_service_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    server = OneAnswer()
    server.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    error = caught(lambda: Session(None, "eu-west-1").ec2.describe_images(Owners=["self"]))
    assert judge(error) is Verdict.TRANSIENT
    assert type(explain(error, "looking")) is Unreachable


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAuthenticated) as raised:
        _ = Session(None, "eu-west-1").credentials
    assert "aws configure" in raised.value.hint


def test_an_unknown_profile_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="profile"):
        _ = Session("nobody", "eu-west-1").region


def test_no_region_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no region"):
        _ = Session().region


def test_an_unknown_region_is_a_usage_error_with_a_guess() -> None:
    with pytest.raises(UsageError, match="no region 'eu-wset-1'") as raised:
        _ = Session(None, "eu-wset-1").region
    assert "eu-west-1" in raised.value.hint


def test_a_region_that_is_newer_than_the_sdk_is_taken() -> None:
    assert Session(None, "eu-west-9").region == "eu-west-9"


def test_a_bucket_is_found_in_its_region_and_not_by_a_global_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with DataPlane.s3(Session(None, "eu-west-1"), 1, "my-bucket") as plane:
        assert plane.base == "https://my-bucket.s3.eu-west-1.amazonaws.com"
    with DataPlane.s3(Session(None, "cn-north-1"), 1, "dotted.bucket") as plane:
        assert plane.base == "https://s3.cn-north-1.amazonaws.com.cn/dotted.bucket"

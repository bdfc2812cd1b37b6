# SPDX-License-Identifier: Apache-2.0
"""The EBS direct APIs: start a snapshot, put blocks, complete it, and read blocks back.

Rules: botocore's model ebs/2019-11-02, and
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lkcloud.sandbox.http import Request, Response
from lkcloud_aws.sandbox import authorization
from lkcloud_aws.sandbox.cloud import ACCOUNT, Cloud, Region, fingerprint, new_id
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.snapshot import BLOCK, Snapshot, copy_sparse

MAX_VOLUME = 65536
"""GiB: StartSnapshot, VolumeSize."""
_KEY_ARN = re.compile(r"arn:aws[a-z\-]*:kms:.*:[0-9]{12}:key/.*")
_SNAPSHOT_ID = re.compile(r"snap-[0-9a-f]+")
_PATHS = (
    ("POST", re.compile(r"/snapshots"), "StartSnapshot"),
    ("POST", re.compile(r"/snapshots/completion/([^/]+)"), "CompleteSnapshot"),
    ("PUT", re.compile(r"/snapshots/([^/]+)/blocks/([^/]+)"), "PutSnapshotBlock"),
    ("GET", re.compile(r"/snapshots/([^/]+)/blocks/([^/]+)"), "GetSnapshotBlock"),
    ("GET", re.compile(r"/snapshots/([^/]+)/blocks"), "ListSnapshotBlocks"),
    ("GET", re.compile(r"/snapshots/([^/]+)/changedblocks"), "ListChangedBlocks"),
)
_SECRET = secrets.token_bytes(16)


def operation(request: Request) -> str:
    """Return the name of the operation that REQUEST asks for, "" if there is none."""
    return _route(request)[0]


def _route(request: Request) -> tuple[str, tuple[str, ...]]:
    for method, path, name in _PATHS:
        match = path.fullmatch(request.path)
        if match and method == request.method:
            return name, match.groups()
    return "", ()


def serve(cloud: Cloud, region: Region, request: Request, payload: bytes) -> Response:
    """Do what REQUEST asks for."""
    name, words = _route(request)
    if not name:
        raise ApiError("UnknownOperationException", "There is no such operation", 404)
    authorization.require(cloud, "ebs", authorization.of_ebs(region, name, words, payload))
    if name == "StartSnapshot":
        return _start(cloud, region, payload)
    snapshot_id = words[0]
    if not _SNAPSHOT_ID.fullmatch(snapshot_id):
        _invalid("The snapshot id is malformed", "INVALID_SNAPSHOT_ID")
    if name == "PutSnapshotBlock":
        return _put(cloud, region, words, request, payload)
    if name == "CompleteSnapshot":
        return _complete(cloud, region, snapshot_id, request)
    if name == "GetSnapshotBlock":
        return _get(region, snapshot_id, words[1], request.query)
    return _list(cloud, region, snapshot_id, request.query, changed=name == "ListChangedBlocks")


def _invalid(message: str, reason: str = "INVALID_PARAMETER_VALUE") -> NoReturn:
    raise ApiError("ValidationException", message, 400, reason)


def _unknown(snapshot_id: str) -> ApiError:
    message = f"The snapshot '{snapshot_id}' does not exist."
    return ApiError("ResourceNotFoundException", message, 404, "SNAPSHOT_NOT_FOUND")


def _found(region: Region, snapshot_id: str) -> Snapshot:
    snapshot = region.snapshots.get(snapshot_id)
    if snapshot is None:
        raise _unknown(snapshot_id)
    return snapshot


def _seen(region: Region, snapshot_id: str) -> Snapshot:
    """Return a snapshot to write to; one that is new may not be known everywhere."""
    snapshot = _found(region, snapshot_id)
    if snapshot.unseen_puts > 0:
        snapshot.unseen_puts -= 1
        raise _unknown(snapshot_id)
    return snapshot


def _answer(status: int, content: Mapping[str, object]) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


def _start(cloud: Cloud, region: Region, payload: bytes) -> Response:
    try:
        wanted: dict[str, Any] = json.loads(payload)
    except ValueError:
        _invalid("The body is no JSON")
    _check_start(wanted)
    token = str(wanted.get("ClientToken") or "")
    parameters = fingerprint({name: value for name, value in wanted.items() if value is not None})
    with cloud.lock:
        # The token of a deleted snapshot still gives the deleted id. AWS does not say; this is the strictest reading.
        replayed = region.replayed("StartSnapshot", token, parameters, error="ConflictException")
        if replayed and replayed not in region.snapshots:
            return _answer(201, _description(replayed, wanted, "error", time.time()))
        snapshot = region.snapshots[replayed] if replayed else _made(cloud, region, wanted)
        region.remember("StartSnapshot", token, parameters, snapshot.id)
        return _answer(201, _description(snapshot.id, wanted, snapshot.state, snapshot.started.timestamp()))


def _check_start(wanted: Mapping[str, Any]) -> None:
    size, timeout = wanted.get("VolumeSize"), wanted.get("Timeout")
    if type(size) is not int or not 1 <= size <= MAX_VOLUME:
        _invalid(f"VolumeSize must be between 1 and {MAX_VOLUME} GiB", "INVALID_VOLUME_SIZE")
    if timeout is not None and (type(timeout) is not int or not 10 <= timeout <= 4320):
        _invalid("Timeout must be between 10 and 4320 minutes")
    token = wanted.get("ClientToken")
    if token is not None and not re.fullmatch(r"\S{1,255}", token):
        _invalid("ClientToken must be 1 to 255 characters without a space")
    description = wanted.get("Description")
    if description is not None and not 1 <= len(description) <= 255:
        _invalid("Description must be 1 to 255 characters")
    if wanted.get("ParentSnapshotId") and wanted.get("Encrypted") is not None:
        _invalid("ParentSnapshotId and Encrypted exclude each other")
    if wanted.get("ParentSnapshotId") and wanted.get("KmsKeyArn"):
        _invalid("ParentSnapshotId and KmsKeyArn exclude each other")
    key = wanted.get("KmsKeyArn")
    if key is not None and (not _KEY_ARN.fullmatch(key) or not wanted.get("Encrypted")):
        _invalid("KmsKeyArn must be the ARN of a key, together with Encrypted")
    tags = wanted.get("Tags") or []
    keys = [tag.get("Key") or "" for tag in tags]
    if len(set(keys)) < len(keys) or len(keys) > 50 or any(not key or key.startswith("aws:") for key in keys):
        _invalid("a tag key is empty, reserved or there twice, or there are more than 50", "INVALID_TAG")


def _made(cloud: Cloud, region: Region, wanted: Mapping[str, Any]) -> Snapshot:
    pending = sum(1 for one in region.snapshots.values() if not one.sealed and one.state == "pending")
    if pending >= cloud.windows.pending_snapshots:
        raise ApiError("ConcurrentLimitExceededException", "Too many pending snapshots", 400)
    if len(region.snapshots) >= cloud.windows.snapshots:
        # https://docs.aws.amazon.com/ebs/latest/APIReference/API_StartSnapshot.html
        message = "Your current service quotas do not allow you to perform this action."
        raise ApiError("ServiceQuotaExceededException", message, 402, "DEPENDENCY_SERVICE_QUOTA_EXCEEDED")
    if wanted.get("KmsKeyArn") and not authorization.may_use_key(cloud, region, wanted["KmsKeyArn"]):
        # The reason is the model's; the words are not documented.
        raise ApiError("AccessDeniedException", "The KMS key cannot be used", 403, "DEPENDENCY_ACCESS_DENIED")
    parent = _found(region, wanted["ParentSnapshotId"]) if wanted.get("ParentSnapshotId") else None
    if parent and parent.state != "completed":
        _invalid("The parent snapshot is not completed", "INVALID_SNAPSHOT_ID")
    if parent and parent.volume_size > wanted["VolumeSize"]:
        _invalid("VolumeSize is below that of the parent snapshot", "INVALID_VOLUME_SIZE")
    encrypted = (
        bool(wanted.get("Encrypted"))
        or bool(parent and parent.encrypted)
        or cloud.moto.encrypts_by_default(region.name)
    )
    identity = new_id("snap")
    snapshot = Snapshot(
        id=identity,
        raw=region.home / f"{identity}.raw",
        volume_size=wanted["VolumeSize"],
        description=wanted.get("Description") or "",
        parent=parent.id if parent else "",
        encrypted=encrypted,
        kms_key=wanted.get("KmsKeyArn") or (parent.kms_key if parent else region.default_key if encrypted else ""),
        timeout=(wanted.get("Timeout") or 60) * cloud.windows.minute,
        unseen_puts=cloud.windows.unseen_puts,
        unseen_describes=cloud.windows.unseen_describes,
        inherited=frozenset(parent.listed()) if parent else frozenset(),
    )
    if parent:
        copy_sparse(parent.raw, snapshot.raw)
    region.snapshots[identity] = snapshot
    region.tags(identity).update({tag["Key"]: tag.get("Value") or "" for tag in wanted.get("Tags") or []})
    return snapshot


def _description(identity: str, wanted: Mapping[str, Any], state: str, started: float) -> dict[str, object]:
    given = ("VolumeSize", "Description", "ParentSnapshotId", "KmsKeyArn", "Tags")
    described: dict[str, object] = {name: wanted[name] for name in given if wanted.get(name)}
    return described | {
        "SnapshotId": identity,
        "OwnerId": ACCOUNT,
        "Status": state,
        "StartTime": started,
        "BlockSize": BLOCK,
    }


def _header(request: Request, name: str) -> str:
    value = request.header(f"x-amz-{name}")
    if not value:
        _invalid(f"{name} is missing")
    return value


def _integer(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        _invalid(f"{name} is no number")
    return int(text)


def _put(cloud: Cloud, region: Region, words: Sequence[str], request: Request, data: bytes) -> Response:
    snapshot_id, index_text = words
    index = _integer(index_text, "BlockIndex")
    stated = _header(request, "Checksum")
    if _header(request, "Checksum-Algorithm") != "SHA256":
        _invalid("ChecksumAlgorithm must be SHA256")
    if _integer(_header(request, "Data-Length"), "DataLength") != BLOCK:
        _invalid(f"DataLength must be {BLOCK}", "INVALID_BLOCK")
    if len(data) != BLOCK:
        _invalid(f"The block has {len(data)} bytes, not {BLOCK}", "INVALID_BLOCK")
    progress = request.header("x-amz-Progress")
    if progress and _integer(progress, "Progress") > 100:
        _invalid("Progress must be at most 100")
    with cloud.lock:
        snapshot = _seen(region, snapshot_id)
        _check_writable(snapshot)
        if index >= snapshot.blocks:
            _invalid(f"BlockIndex is outside the volume of {snapshot.volume_size} GiB")
        if index in snapshot.in_flight:
            _invalid("The block is being written by another request", "CONFLICTING_BLOCK_UPDATE")
        snapshot.in_flight.add(index)
    try:
        digest = hashlib.sha256(data).digest()
        if not hmac.compare_digest(base64.b64encode(digest).decode(), stated):
            _invalid("The checksum does not match the block", "INVALID_BLOCK")
        snapshot.put(index, data, digest)
    finally:
        with cloud.lock:
            snapshot.in_flight.discard(index)
    return Response(201, {"x-amz-Checksum": stated, "x-amz-Checksum-Algorithm": "SHA256"})


def _check_writable(snapshot: Snapshot) -> None:
    if snapshot.sealed or snapshot.state != "pending":
        _invalid(f"The snapshot '{snapshot.id}' is {snapshot.state} or being completed", "INVALID_SNAPSHOT_ID")


def _complete(cloud: Cloud, region: Region, snapshot_id: str, request: Request) -> Response:
    count = _integer(_header(request, "ChangedBlocksCount"), "ChangedBlocksCount")
    checksum = request.header("x-amz-Checksum")
    algorithm = request.header("x-amz-Checksum-Algorithm")
    method = request.header("x-amz-Checksum-Aggregation-Method")
    with cloud.lock:
        snapshot = _seen(region, snapshot_id)
        _check_writable(snapshot)
        if snapshot.in_flight:
            _invalid("Blocks are still being written", "CONFLICTING_BLOCK_UPDATE")
        if count != len(snapshot.digests):
            _invalid(f"ChangedBlocksCount is {count}, but {len(snapshot.digests)} blocks were written")
        if checksum or algorithm or method:
            if (algorithm, method) != ("SHA256", "LINEAR"):
                _invalid("ChecksumAlgorithm must be SHA256 and ChecksumAggregationMethod LINEAR")
            if base64.b64encode(snapshot.linear_checksum()).decode() != checksum:
                _invalid("The checksum does not match the blocks that were written", "INVALID_BLOCK")
        snapshot.seal(cloud.windows.snapshot_pending)
    return _answer(202, {"Status": "pending"})


def _readable(region: Region, snapshot_id: str) -> Snapshot:
    snapshot = _found(region, snapshot_id)
    if snapshot.state != "completed":
        _invalid(f"The snapshot '{snapshot_id}' is not completed", "INVALID_SNAPSHOT_ID")
    return snapshot


def _block_token(snapshot_id: str, index: int, expiry: int) -> str:
    said = f"{snapshot_id}:{index}:{expiry}"
    proof = hmac.new(_SECRET, said.encode(), hashlib.sha256).digest()[:12]
    return base64.b64encode(said.encode() + b"|" + proof).decode()


def _get(region: Region, snapshot_id: str, index_text: str, query: Mapping[str, str]) -> Response:
    snapshot = _readable(region, snapshot_id)
    index = _integer(index_text, "BlockIndex")
    token = query.get("blockToken", "")
    try:
        expiry = int(base64.b64decode(token, validate=True).split(b"|")[0].rsplit(b":", 1)[1])
    except (ValueError, IndexError, binascii.Error):
        _invalid("The block token is malformed", "INVALID_BLOCK_TOKEN")
    if token != _block_token(snapshot_id, index, expiry) or expiry < time.time():
        _invalid("The block token is for another block, or it has expired", "INVALID_BLOCK_TOKEN")
    data = snapshot.get(index)
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    headers = {
        "x-amz-Data-Length": str(BLOCK),
        "x-amz-Checksum": checksum,
        "x-amz-Checksum-Algorithm": "SHA256",
        "Content-Type": "application/octet-stream",
    }
    return Response(200, headers, data)


def _list(cloud: Cloud, region: Region, snapshot_id: str, query: Mapping[str, str], *, changed: bool) -> Response:
    snapshot = _readable(region, snapshot_id)
    first_id = query.get("firstSnapshotId", "")
    first = _readable(region, first_id) if changed and first_id else None
    if first and first.volume_size > snapshot.volume_size:
        _invalid("The first snapshot is of a larger volume", "UNRELATED_SNAPSHOTS")
    size = _integer(query["maxResults"], "MaxResults") if "maxResults" in query else 10000
    if not 100 <= size <= 10000:
        _invalid("MaxResults must be between 100 and 10000")
    size = min(size, cloud.windows.page_size)
    begin = _integer(query.get("startingBlockIndex", "0"), "StartingBlockIndex")
    if "pageToken" in query:
        begin = _page_start(query["pageToken"], snapshot_id)
    expiry = int(time.time() + cloud.windows.block_token)
    indexes = snapshot.listed() if first is None else _changed(first, snapshot)
    left = [index for index in indexes if index >= begin]
    shown = left[:size]
    answer: dict[str, object] = {"VolumeSize": snapshot.volume_size, "BlockSize": BLOCK, "ExpiryTime": expiry}
    if len(left) > size:
        answer["NextToken"] = base64.b64encode(f"{snapshot_id}@{left[size]}".encode()).decode()
    if not changed:
        blocks = [{"BlockIndex": index, "BlockToken": _block_token(snapshot.id, index, expiry)} for index in shown]
        return _answer(200, answer | {"Blocks": blocks})
    before = set(first.listed()) if first else set()
    pairs = [
        {"BlockIndex": index}
        | ({"FirstBlockToken": _block_token(first_id, index, expiry)} if index in before else {})
        | {"SecondBlockToken": _block_token(snapshot.id, index, expiry)}
        for index in shown
    ]
    return _answer(200, answer | {"ChangedBlocks": pairs})


def _page_start(token: str, snapshot_id: str) -> int:
    try:
        whose, _, index = base64.b64decode(token, validate=True).decode().partition("@")
        if whose == snapshot_id:
            return int(index)
    except ValueError:
        pass
    _invalid("The page token is not one of this list", "INVALID_PAGE_TOKEN")


def _changed(first: Snapshot, second: Snapshot) -> list[int]:
    return [index for index in sorted({*first.listed(), *second.listed()}) if first.get(index) != second.get(index)]

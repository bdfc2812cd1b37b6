# SPDX-License-Identifier: Apache-2.0
"""What unfinished pushes have left, and how it is removed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from lkcloud.errors import Refused, UsageError
from lkcloud.provider import Blob
from lkcloud_aws import s3_upload, snapshot_import, snapshots
from lkcloud_aws.errors import code_of, explain
from lkcloud_aws.launch import Instance
from lkcloud_aws.naming import DIGEST, NAME, filter_value, object_folder, pairs, parse_key
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

UPLOAD_KIND = "multipart-upload"
OBJECT_KIND = "object"
INSTANCE_KIND = "instance"

_DENIED = "UnauthorizedOperation"


def leftovers(session: Session, options: AwsOptions, name: str) -> Iterator[Blob]:
    """Yield test instances, import tasks at work, snapshots without an image and, with a bucket, what is in it.

    Of pushes of images called NAME; "" = of any name. Ids of uploads and objects are s3:// URLs.
    """
    bucket = list(_in_bucket(session, options.bucket, options.key_prefix, name)) if options.bucket else []
    yield from _instances(session, name)
    yield from _imports(session, options, name, {blob.id: blob.created for blob in bucket})
    for snapshot in snapshots.leftovers(session, name):
        yield snapshot.blob(session.region)
    yield from bucket


def _instances(session: Session, name: str) -> Iterator[Blob]:
    """Yield test instances that are not terminated; who may not look at instances has started none."""
    filters: list[FilterTypeDef] = [{"Name": "tag-key", "Values": [DIGEST]}]
    if name:
        filters.append({"Name": f"tag:{NAME}", "Values": [filter_value(name)]})

    def ask() -> list[Blob]:
        pages = session.ec2.get_paginator("describe_instances").paginate(Filters=filters)
        found = (one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"])
        blobs = []
        for one in found:
            tags, state = pairs(one.get("Tags")), one["State"]["Name"]
            if state != "terminated":
                known = tags.get(NAME, ""), tags.get(DIGEST, "")
                born = one.get("LaunchTime")
                blobs.append(Blob("aws", session.region, one["InstanceId"], INSTANCE_KIND, *known, state, born))
        return blobs

    try:
        yield from session.attempt(ask)
    except Exception as error:
        if code_of(error) != _DENIED:
            raise explain(error, "looking for test instances") from error


def _imports(
    session: Session, options: AwsOptions, name: str, objects: Mapping[str, datetime | None]
) -> Iterator[Blob]:
    """Yield import tasks and what they have left; who may not look at them and names no bucket has started none.

    AWS does not tell when a task began: it is as old as the one of OBJECTS, by URL, that it reads.
    """
    try:
        tasks = [
            replace(task.blob(session.region), created=objects.get(f"s3://{task.bucket}/{task.key}"))
            for task in snapshot_import.running(session, name)
        ]
        untagged = list(snapshot_import.untagged(session, name))
    except Refused as error:
        if options.bucket or code_of(error.__cause__) != _DENIED:
            raise
        return
    yield from tasks
    yield from untagged


def _in_bucket(session: Session, bucket: str, key_prefix: str, name: str) -> Iterator[Blob]:
    prefix = object_folder(key_prefix, name) if name else key_prefix
    for upload in s3_upload.unfinished(session, bucket, prefix):
        if known := parse_key(key_prefix, upload.key):
            url = f"s3://{bucket}/{upload.key}?uploadId={upload.id}"
            yield Blob("aws", session.region, url, UPLOAD_KIND, *known, "unfinished", upload.initiated)

    def ask() -> list[tuple[str, datetime]]:
        pages = session.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [(found["Key"], found["LastModified"]) for page in pages for found in page.get("Contents", [])]

    for key, written in session.call(f"listing the objects in {bucket}", ask):
        if known := parse_key(key_prefix, key):
            yield Blob("aws", session.region, f"s3://{bucket}/{key}", OBJECT_KIND, *known, "uploaded", written)


def delete(session: Session, blob: Blob) -> None:
    """Delete what `leftovers` found; what is gone is no error."""
    if blob.kind == snapshots.KIND:
        snapshots.delete(session, blob.id)
    elif blob.kind == snapshot_import.KIND:
        snapshot_import.cancel(session, blob.id)
    elif blob.kind == INSTANCE_KIND:
        Instance(session, blob.id, started=-math.inf).terminate()
    elif blob.kind in (UPLOAD_KIND, OBJECT_KIND):
        bucket, _, rest = blob.id.removeprefix("s3://").partition("/")
        key, _, upload_id = rest.partition("?uploadId=")
        if upload_id:
            s3_upload.abort(session, bucket, key, upload_id)
        else:
            s3_upload.delete(session, bucket, key)
    else:
        raise UsageError(f"aws: nothing is known of a {blob.kind!r}", hint="delete it with the AWS CLI")

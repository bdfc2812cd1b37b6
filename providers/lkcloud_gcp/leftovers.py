# SPDX-License-Identifier: Apache-2.0
"""What unfinished pushes have left, and how it is removed."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lkcloud.errors import NotFound, Refused, UsageError
from lkcloud.provider import Blob, Image, Source
from lkcloud_gcp import bucket, images, objects
from lkcloud_gcp.errors import status_of
from lkcloud_gcp.launch import Instance
from lkcloud_gcp.naming import IMAGE, digest_in, object_folder, parts_folder
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1

UPLOAD_KIND = "upload"
"""The parts of an upload that was not finished; the id is the folder that they are in, gs://BUCKET/.../DIGEST.parts/."""

INSTANCE_KIND = "instance"
"""A test instance; the id is projects/PROJECT/zones/ZONE/instances/NAME."""

IMAGE_KIND = "image"
"""An image whose import failed; the id is its name."""

_OBJECT = re.compile(r"(?P<name>[^/]+)/(?P<digest>[0-9a-f]{64})(?P<rest>\.tar\.gz|\.parts/.*)", re.DOTALL)
"""What follows the prefix in the names that naming.tarball and naming.parts_folder make."""

_INSTANCE = re.compile(r"projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/instances/(?P<name>[^/]+)")


def leftovers(session: Session, options: GcpOptions, name: str) -> Iterator[Blob]:
    """Yield test instances in any zone, images that have failed, and the tarballs and parts in the bucket.

    Of pushes of images called NAME; "" = of any name. A session of `--method resumable` that was not finished is not
    among them: Cloud Storage has no list of them, and forgets them after a week.
    """
    yield from _instances(session, name)
    yield from _failed(session, name)
    yield from _in_bucket(session, options, name)


def tidy(session: Session, options: GcpOptions, source: Source) -> None:
    """Delete the tarball of SOURCE and its parts, unless the tarball is to be kept."""
    for blob in _in_bucket(session, options, source.name):
        if blob.digest == source.digest and not (options.keep_object and blob.kind == objects.KIND):
            delete(session, options, blob)


def delete(session: Session, options: GcpOptions, blob: Blob) -> None:
    """Delete what `leftovers` found; what is gone is no error."""
    del options
    if blob.kind == objects.KIND:
        objects.remove(session, blob)
    elif blob.kind == UPLOAD_KIND:
        _delete_parts(session, blob)
    elif blob.kind == INSTANCE_KIND:
        _delete_instance(session, blob.id)
    elif blob.kind == IMAGE_KIND:
        images.delete(session, Image("gcp", images.REGION, blob.id, blob.id))
    else:
        raise UsageError(f"gcp: nothing is known of a {blob.kind!r}", hint="delete it with gcloud")


def _instances(session: Session, name: str) -> Iterator[Blob]:
    """Yield test instances, stopped ones too; who may not look at instances has started none."""
    from google.cloud import compute_v1

    request = compute_v1.AggregatedListInstancesRequest(
        project=session.project, filter=f'labels.{IMAGE} = "{name}"' if name else f"labels.{IMAGE}:*"
    )

    def ask(*, timeout: float, retry: None) -> "list[compute_v1.Instance]":
        scopes = session.instances.aggregated_list(request=request, timeout=timeout, retry=retry)
        return [instance for _, scope in scopes for instance in scope.instances]

    try:
        found = session.call("looking for test instances", ask)
    except Refused as error:
        if status_of(error.__cause__) != 403:
            raise
        return
    for one in found:
        zone = one.zone.rpartition("/")[2]
        place = f"projects/{session.project}/zones/{zone}/instances/{one.name}"
        known = one.labels.get(IMAGE, ""), digest_in(one.labels)
        born = images.time(one.creation_timestamp)
        yield Blob("gcp", zone, place, INSTANCE_KIND, *known, one.status, born)


def _failed(session: Session, name: str) -> Iterator[Blob]:
    for shown in images.ours(session, f'name = "{name}"' if name else ""):
        image = images.image_of(shown)
        if image.state == images.FAILED:
            known = image.name, image.digest, image.state
            yield Blob("gcp", image.region, image.id, IMAGE_KIND, *known, image.created)


def _in_bucket(session: Session, options: GcpOptions, name: str) -> Iterator[Blob]:
    """Yield tarballs, and each folder of parts as one.

    No bucket is nothing left behind. Nor is one of the default name that is not the project's, or that we may not look
    into: nothing of ours went there.
    """
    prefix = options.object_prefix
    try:
        place = bucket.find(session, options)
        if place is None:
            return
        found = objects.listed(session, place.name, object_folder(prefix, name) if name else prefix)
    except NotFound:
        return
    except Refused:
        if options.bucket:
            raise
        return
    folders: dict[str, Blob] = {}
    for stored in found:
        match = _OBJECT.fullmatch(stored.name.removeprefix(prefix))
        if match is None:
            continue
        if match["rest"] == ".tar.gz":
            yield objects.blob_of(stored, place.location, match["name"], match["digest"])
        else:
            known = match["name"], match["digest"]
            folder = f"gs://{place.name}/{parts_folder(prefix, *known)}"
            # It is as old as the newest part: an upload of many hours is not over when its first part is old.
            earlier = folders[folder].created if folder in folders else None
            newest = max((one for one in (stored.written, earlier) if one is not None), default=None)
            folders[folder] = Blob("gcp", place.location, folder, UPLOAD_KIND, *known, "unfinished", newest)
    yield from folders.values()


def _delete_parts(session: Session, blob: Blob) -> None:
    holder, _, folder = blob.id.removeprefix("gs://").partition("/")
    if not folder.endswith(".parts/"):
        # All that begins with it will go.
        raise UsageError(f"gcp: {blob.id!r} is no folder of parts", hint="give gs://BUCKET/.../DIGEST.parts/")
    try:
        objects.delete_all(session, holder, folder)
    except NotFound:
        return


def _delete_instance(session: Session, instance_id: str) -> None:
    match = _INSTANCE.fullmatch(instance_id)
    if match is None or match["project"] != session.project:
        raise UsageError(
            f"gcp: {instance_id!r} is no instance of the project {session.project}",
            hint="give projects/PROJECT/zones/ZONE/instances/NAME, and its --project",
        )
    Instance(session, match["zone"], match["name"]).terminate()

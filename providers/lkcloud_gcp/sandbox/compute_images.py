# SPDX-License-Identifier: Apache-2.0
"""Compute Engine's calls on images: insert, get, list, change and delete.

https://cloud.google.com/compute/docs/reference/rest/v1/images
"""

from dataclasses import replace

from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.compute_call import Call, Handler, Result, exists, invalid, not_found, not_ready
from lkcloud_gcp.sandbox.compute_lists import listed
from lkcloud_gcp.sandbox.compute_operations import Operation, OperationFailed, replayed, started
from lkcloud_gcp.sandbox.engine import new_id
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.image import Image, Specification, place
from lkcloud_gcp.sandbox.image_rules import check_name, deprecation, specification
from lkcloud_gcp.sandbox.labels import check_fingerprint, check_labels
from lkcloud_gcp.sandbox.tarball_reader import UnusableTarball, extract

_PATCHED = ("family", "description", "deprecated")
"""images.patch: "Only the following fields can be modified: family, description, deprecation status." """


def find(call: Call, name: str) -> Image:
    """Return the image NAME. Raises ApiError."""
    image = call.engine.images.get(name)
    if image is None:
        raise not_found(place(name))
    return image


def newest(call: Call, family: str) -> Image:
    """Return the newest image of FAMILY that is READY and not deprecated. Raises ApiError."""
    usable = [
        image
        for image in call.engine.images.values()
        if image.specification.family == family and image.state == "READY" and image.deprecation.state in ("", "ACTIVE")
    ]
    if not usable:
        raise not_found(place(f"family/{family}"))
    return max(usable, key=lambda image: image.created)


def _insert(call: Call) -> Result:
    call.check_query("requestId", "forceCreate")
    body = call.body("Image")
    if earlier := replayed(call):
        return earlier.described()
    wanted = specification(body)
    labels = check_labels(body.get("labels") or {}, "resource.labels")
    if wanted.name in call.engine.images:
        raise exists(place(wanted.name))
    image = Image(wanted, call.engine.home / "images" / f"{new_id()}.raw", labels)
    call.engine.images[wanted.name] = image
    cloud, engine = call.cloud, call.engine

    def work(operation: Operation) -> None:
        try:
            _import(cloud, wanted, image)
        except BaseException:
            # "The image then does not exist": a name whose import failed is free again.
            image.file.unlink(missing_ok=True)
            with cloud.lock:
                del engine.images[wanted.name]
            raise
        del operation

    return started(call, "insert", image, work, seconds=call.cloud.windows.image_import)


def _import(cloud: Cloud, wanted: Specification, image: Image) -> None:
    with cloud.lock:
        found = cloud.store.find(wanted.source.bucket, wanted.source.name)
    if found is None:
        # zentralopensource/zentral#77
        url = f"https://www.googleapis.com/storage/v1/b/{wanted.source.bucket}/o/{wanted.source.name}"
        message = f"The resource '{url}' of type 'Google Cloud Storage object' was not found."
        raise OperationFailed("RESOURCE_NOT_FOUND", message, 404)
    image.file.parent.mkdir(parents=True, exist_ok=True)
    try:
        size = extract(found.pieces(), image.file)
    except FileNotFoundError:
        message = f"The object '{wanted.source.url}' was deleted while it was read."
        raise OperationFailed("RESOURCE_NOT_FOUND", message, 404) from None
    except UnusableTarball as error:
        # The code is known for "is not a valid image" (google/syzkaller#825); for the others it is a guess.
        raise OperationFailed("INVALID_IMAGE_TAR", str(error)) from None
    gib = size >> 30
    if wanted.disk_size_gb and wanted.disk_size_gb < gib:
        message = f"Invalid value for field 'resource.diskSizeGb': '{wanted.disk_size_gb}'. The disk has {gib} GB."
        raise OperationFailed("INVALID_FIELD_VALUE", message)
    with cloud.lock:
        image.disk_size_gb = wanted.disk_size_gb or gib
        image.archive_size, image.state = found.size, "READY"


def _get(call: Call) -> Result:
    call.check_query()
    return find(call, call.name).described()


def _get_from_family(call: Call) -> Result:
    call.check_query()
    return newest(call, call.name).described()


def _list(call: Call) -> Result:
    call.check_query("filter", "maxResults", "orderBy", "pageToken", "returnPartialSuccess")
    images = [image.described() for image in call.engine.images.values()]
    return listed(call, "compute#imageList", "global/images", images)


def _delete(call: Call) -> Result:
    call.check_query("requestId")
    if earlier := replayed(call):
        return earlier.described()
    image = find(call, call.name)
    # One that has failed can be deleted: no document says so, but nothing else could be done with it.
    if image.state not in ("READY", "FAILED"):
        raise not_ready(image.place)
    image.state = "DELETING"
    cloud, engine = call.cloud, call.engine

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            del engine.images[image.name]
        image.file.unlink(missing_ok=True)

    return started(call, "delete", image, work)


def _ready(call: Call) -> Image:
    image = find(call, call.name)
    if image.state != "READY":
        raise not_ready(image.place)
    return image


def _patch(call: Call) -> Result:
    call.check_query("requestId")
    body = call.body("Image")
    if earlier := replayed(call):
        return earlier.described()
    image = _ready(call)
    for name in body:
        if name not in _PATCHED:
            raise invalid(f"resource.{name}", "", "The field cannot be modified.")
    if body.get("family"):
        check_name(str(body["family"]), "resource.family")
    said = image.specification
    changed = replace(
        said,
        family=str(body.get("family", said.family)),
        description=str(body.get("description", said.description)),
    )
    status = deprecation(body["deprecated"]) if "deprecated" in body else image.deprecation
    cloud = call.cloud

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            image.specification, image.deprecation = changed, status

    return started(call, "patch", image, work)


def _deprecate(call: Call) -> Result:
    call.check_query("requestId")
    body = call.body("DeprecationStatus")
    if earlier := replayed(call):
        return earlier.described()
    image = _ready(call)
    status = deprecation(body)
    cloud = call.cloud

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            image.deprecation = status

    return started(call, "deprecate", image, work)


def _set_labels(call: Call) -> Result:
    # images.setLabels has no requestId, unlike that of instances.
    call.check_query()
    body = call.body("GlobalSetLabelsRequest")
    image = _ready(call)
    labels = check_labels(body.get("labels") or {}, "labels")
    sent = str(body.get("labelFingerprint") or "")
    check_fingerprint(image.labels, sent)
    cloud = call.cloud

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            try:
                check_fingerprint(image.labels, sent)
            except ApiError as error:
                # Another operation was faster (skypilot-org/skypilot#1843).
                raise OperationFailed("CONDITION_NOT_MET", error.message, error.status) from None
            image.labels = labels

    return started(call, "setLabels", image, work)


HANDLERS: dict[str, Handler] = {
    "images.insert": _insert,
    "images.get": _get,
    "images.getFromFamily": _get_from_family,
    "images.list": _list,
    "images.delete": _delete,
    "images.patch": _patch,
    "images.deprecate": _deprecate,
    "images.setLabels": _set_labels,
}

# SPDX-License-Identifier: Apache-2.0
"""Gallery image versions: made, replicated, changed and deleted.

https://learn.microsoft.com/rest/api/compute/gallery-image-versions; what is said no with is, where nothing else is
named, in https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from azure.mgmt.compute import models

from lkcloud_azure.sandbox.arm_call import Answer, Body, Call, Route, location, required, tags
from lkcloud_azure.sandbox.arm_gallery_images import PATH as DEFINITION
from lkcloud_azure.sandbox.arm_gallery_images import SUPPORTED, check_end_of_life
from lkcloud_azure.sandbox.arm_gallery_sources import Source, source
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_nested import forget
from lkcloud_azure.sandbox.arm_operations import Operation, OperationFailed, started
from lkcloud_azure.sandbox.arm_usage import check_quota
from lkcloud_azure.sandbox.arm_versions import GALLERIES
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Definition, Gallery, Region, Version
from lkcloud_azure.sandbox.gallery_regions import check_security, regions

PATH = f"{DEFINITION}/versions/{{version}}"
_LARGEST = 2048
"""GiB that can be replicated; Shallow versions can be larger."""
_HIGHEST = 2**31 - 1
_FIXED = ("replicationMode", "storageAccountType", "storageAccountStrategy")
"""Of the publishing profile; the SDK says of each that it is not updatable."""


def _put(call: Call) -> Answer:
    call.group()
    call.parents("write")
    definition = call.cloud.get(Definition, call.id.parent)
    gallery = call.cloud.get(Gallery, call.id.parent.parent)
    assert definition is not None
    assert gallery is not None
    sent = body(call, models.GalleryImageVersion)
    existing = call.cloud.get(Version, call.id)
    place = location(call, sent, existing)
    _check_name(call.id.names[-1])
    properties = sent.get("properties")
    if not properties:
        raise required("galleryImageVersion.properties")
    if existing is not None:
        return _changed(call, existing, gallery, properties, tags(sent))
    profile = properties.get("publishingProfile") or {}
    targets = regions(call, profile, place, gallery)
    for target in targets:
        disk = (target.encryption or {}).get("osDiskImage") or {}
        call.require_encryption_set(disk.get("diskEncryptionSetId"))
    if profile.get("endOfLifeDate"):
        check_end_of_life(profile["endOfLifeDate"], "galleryImageVersion.properties.publishingProfile.endOfLifeDate")
    check_security(properties.get("securityProfile") or {}, definition)
    origin = source(call, properties["storageProfile"], place, definition)
    check_quota(call.cloud, place, "GalleryImageVersion")
    version = Version(
        id=call.id,
        location=place,
        tags=tags(sent),
        sent=properties,
        regions=targets,
        file=call.cloud.file("versions"),
        end_of_life=profile.get("endOfLifeDate") or "",
        excluded=profile.get("excludeFromLatest", False),
        safety=dict(properties.get("safetyProfile") or {}),
    )
    call.cloud.add(version)
    return _made(call, version, definition, origin)


def _check_name(name: str) -> None:
    words = name.split(".")
    if not re.fullmatch(r"\d+\.\d+\.\d+", name, re.ASCII) or any(int(word) > _HIGHEST for word in words):
        message = (
            "The image version name is invalid. The image version name should follow Major(int).Minor(int).Patch(int) "
            "format, for e.g: 1.0.0, 2018.12.1 etc."
        )
        raise ApiError(400, "InvalidParameter", message, target="galleryImageVersionName")


def _made(call: Call, version: Version, definition: Definition, origin: Source) -> Answer:
    cloud = call.cloud
    shallow = version.properties()["publishingProfile"]["replicationMode"] == "Shallow"

    def work(operation: Operation) -> None:
        try:
            version.size = origin.fill(cloud, version.file)
            gib = version.size >> 30
            if gib > _LARGEST and not shallow:
                message = (
                    "Replication failed in this region due to 'The GalleryImageVersion source resource size "
                    f"{gib} exceeds the max size {_LARGEST} supported.'"
                )
                raise OperationFailed("ReplicationJobFailed", message)
        except BaseException as error:
            with cloud.lock:
                version.file.unlink(missing_ok=True)
                version.state = "Failed"
                for region in version.regions:
                    region.state, region.details = "Failed", getattr(error, "message", "")
            raise
        with cloud.lock:
            for region in version.regions:
                region.state = "Completed"
            version.validated = definition.security in SUPPORTED
            version.state = "Succeeded"
            operation.output = version.described()

    return Answer(version.described(), 201, started(call, work, seconds=cloud.windows.version))


def _changed(call: Call, version: Version, gallery: Gallery, properties: Body, marks: dict[str, str]) -> Answer:
    if version.state == "Deleting":
        message = (
            f"Operation 'Update Gallery Image Version' is not on allowed on {version.name}; since it is marked for "
            "deletion. You can only retry the Delete operation (or wait for an ongoing one to complete)."
        )
        raise ApiError(409, "OperationNotAllowed", message)
    if version.state != "Succeeded":
        # That one which has failed must be deleted: hashicorp/packer-plugin-azure#183. The words are ours.
        message = (
            f"Gallery image version {version.name} is in provisioning state {version.state}, and cannot be changed."
        )
        raise ApiError(409, "Conflict", message)
    _check_fixed(version, properties)
    profile = properties.get("publishingProfile") or {}
    if text := profile.get("endOfLifeDate"):
        check_end_of_life(text, "galleryImageVersion.properties.publishingProfile.endOfLifeDate")
        version.end_of_life = text
    if "targetRegions" in profile:
        whole = {**(version.sent.get("publishingProfile") or {}), **profile}
        version.regions = _kept(version, regions(call, whole, version.location, gallery))
    version.excluded = profile.get("excludeFromLatest", version.excluded)
    version.safety.update(properties.get("safetyProfile") or {})
    if "replicaCount" in profile:
        published = {**(version.sent.get("publishingProfile") or {}), "replicaCount": profile["replicaCount"]}
        version.sent = {**version.sent, "publishingProfile": published}
    version.tags, version.state = marks, "Updating"
    cloud = call.cloud

    def work(operation: Operation) -> None:
        with cloud.lock:
            for region in version.regions:
                region.state = "Completed"
            version.state = "Succeeded"
            operation.output = version.described()

    return Answer(version.described(), 200, started(call, work, seconds=cloud.windows.version))


def _check_fixed(version: Version, properties: Body) -> None:
    shown = version.properties()
    profile = properties.get("publishingProfile") or {}
    for name in _FIXED:
        if name in profile and profile[name] != shown["publishingProfile"].get(name):
            raise _fixed(f"publishingProfile.{name}")
    storage: Mapping[str, Any] = properties.get("storageProfile") or {}
    for name in ("source", "osDiskImage"):
        wanted = storage.get(name) or {}
        wanted = wanted.get("source") or {} if name == "osDiskImage" else wanted
        before = version.sent["storageProfile"].get(name) or {}
        before = before.get("source") or {} if name == "osDiskImage" else before
        if wanted and {key: str(value).lower() for key, value in wanted.items()} != {
            key: str(value).lower() for key, value in before.items()
        }:
            raise _fixed(f"storageProfile.{'osDiskImage.source.id' if name == 'osDiskImage' else 'source.id'}")
    if "securityProfile" in properties and properties["securityProfile"] != (version.sent.get("securityProfile") or {}):
        raise _fixed("securityProfile")


def _fixed(where: str) -> ApiError:
    target = f"galleryImageVersion.properties.{where}"
    return ApiError(409, "PropertyChangeNotAllowed", f"Changing property '{target}' is not allowed.", target=target)


def _kept(version: Version, wanted: tuple[Region, ...]) -> tuple[Region, ...]:
    """Return the regions that are WANTED now; those that stay keep what they have."""
    gone = {region.name for region in version.regions} - {region.name for region in wanted}
    if gone and not version.properties()["safetyProfile"]["allowDeletionOfReplicatedLocations"]:
        # GalleryImageVersionSafetyProfile of the SDK. Words of ours.
        message = (
            f"Removing the replicated regions {', '.join(sorted(gone))} is not allowed, for "
            "safetyProfile.allowDeletionOfReplicatedLocations is false."
        )
        raise ApiError(409, "OperationNotAllowed", message)
    merged = []
    for region in wanted:
        before = version.region(region.name)
        if before is not None and before.storage != region.storage:
            raise _fixed("publishingProfile.targetRegions.storageAccountType")
        same = before is not None and before.replicas >= region.replicas
        merged.append(replace(region, state="Completed" if same else "Replicating"))
    return tuple(merged)


def _patch(call: Call) -> Answer:
    version = call.find(Version)
    gallery = call.cloud.get(Gallery, call.id.parent.parent)
    assert gallery is not None
    sent = body(call, models.GalleryImageVersionUpdate)
    properties = sent.get("properties") or {}
    if properties and "storageProfile" not in properties:
        # The model says that it must be there; in Azure's own example of an update without a source it is empty
        # (GalleryImageVersion_Update_WithoutSourceId.json of Azure/azure-rest-api-specs).
        raise required("galleryImageVersion.properties.storageProfile")
    return _changed(call, version, gallery, properties, tags(sent) if "tags" in sent else version.tags)


def _get(call: Call) -> Answer:
    version = call.find(Version)
    document = version.described()
    # ReplicationStatusTypes of the SDK
    if call.query.get("$expand", "").lower() == "replicationstatus":
        document["properties"]["replicationStatus"] = version.replication()
    return Answer(document)


def _list(call: Call) -> Answer:
    call.group()
    call.parents("read")
    return call.listed([version.described() for version in call.cloud.every(Version, str(call.id))])


def _delete(call: Call) -> Answer:
    call.group()
    version, cloud = call.cloud.get(Version, call.id), call.cloud
    if version is None:
        return Answer(None, 204)
    if version.state == "Creating":
        message = f"Gallery image version {version.name} is in provisioning state Creating. Please try again later."
        raise ApiError(409, "Conflict", message)
    blocked = version.properties()["safetyProfile"]["blockDeletionBeforeEndOfLife"]
    if blocked and version.end_of_life and datetime.fromisoformat(version.end_of_life) > datetime.now(UTC):
        message = (
            "Deletion of Gallery image version is not allowed because the image is enabled for "
            "blockDeletionBeforeEndOfLife and its endOfLifeDate has not reached yet."
        )
        raise ApiError(409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", message)
    version.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            forget(cloud, version)
        version.removed(cloud)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


ROUTES = (
    Route("PUT", PATH, "GalleryImageVersions.CreateOrUpdate", GALLERIES, _put),
    Route("PATCH", PATH, "GalleryImageVersions.Update", GALLERIES, _patch),
    Route("GET", PATH, "GalleryImageVersions.Get", GALLERIES, _get),
    Route("DELETE", PATH, "GalleryImageVersions.Delete", GALLERIES, _delete),
    Route("GET", f"{DEFINITION}/versions", "GalleryImageVersions.ListByGalleryImage", GALLERIES, _list),
)

# SPDX-License-Identifier: Apache-2.0
"""Galleries: made, shared, looked at and deleted.

https://learn.microsoft.com/rest/api/compute/galleries; what is said no with is, where nothing else is named, in
https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images.
"""

import re
from collections.abc import Mapping
from typing import Any

from azure.mgmt.compute import models

from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Body, Call, Route, invalid, location, required, tags
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_nested import check_empty, forget
from lkcloud_azure.sandbox.arm_operations import Operation, started
from lkcloud_azure.sandbox.arm_versions import GALLERIES
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Gallery

PATH = f"{GROUP}/providers/Microsoft.Compute/galleries/{{gallery}}"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.]{0,78}[A-Za-z0-9])?")
_COMMUNITY = ("publisherUri", "publisherContact", "eula", "publicNamePrefix")
"""What a community gallery must have: https://learn.microsoft.com/azure/virtual-machines/create-gallery."""
_PREFIX = re.compile(r"[A-Za-z0-9]{5,16}")
"""The length is that of the portal; other documents do not tell it."""


def _put(call: Call) -> Answer:
    call.group()
    sent = body(call, models.Gallery)
    existing = call.cloud.get(Gallery, call.id)
    place = location(call, sent, existing)
    _check_name(call)
    properties = sent.get("properties") or {}
    if existing is not None:
        return _changed(call, existing, properties, tags(sent))
    sharing = properties.get("sharingProfile") or {}
    _check_sharing(sharing)
    gallery = Gallery(
        id=call.id,
        location=place,
        tags=tags(sent),
        description=properties.get("description") or "",
        sharing=sharing,
        soft_delete=properties.get("softDeletePolicy"),
    )
    call.cloud.add(gallery)
    return _ending(call, gallery, 201)


def _check_name(call: Call) -> None:
    name = call.id.names[-1]
    if not _NAME.fullmatch(name):
        message = (
            "Gallery name is invalid. Allowed characters are English alphanumeric characters, with underscores, and "
            "periods allowed in the middle, up to 80 characters total. All other special characters, including dashes, "
            "are disallowed."
        )
        raise ApiError(400, "InvalidParameter", message, target="galleryName")
    for other in call.cloud.every(Gallery):
        if other.name.lower() == name.lower() and str(other.id).lower() != str(call.id).lower():
            message = (
                f"The gallery name {name} is not unique within the subscription {call.id.subscription}. Please pick "
                "another gallery name."
            )
            raise ApiError(409, "Conflict", message, target="galleryName")


def _check_sharing(sharing: Mapping[str, Any]) -> None:
    community = sharing.get("communityGalleryInfo") or {}
    if sharing.get("permissions") != "Community":
        if community:
            why = "It can be given for galleries with the permissions Community only."
            raise invalid("gallery.properties.sharingProfile.communityGalleryInfo", "", why)
        return
    for name in _COMMUNITY:
        if not community.get(name):
            raise required(f"gallery.properties.sharingProfile.communityGalleryInfo.{name}")
    if not _PREFIX.fullmatch(community["publicNamePrefix"]):
        why = "It must be 5 to 16 letters and digits."
        raise invalid(
            "gallery.properties.sharingProfile.communityGalleryInfo.publicNamePrefix",
            community["publicNamePrefix"],
            why,
        )
    for name in ("publisherUri", "eula"):
        if not re.match(r"https?://[^/\s]+", community[name]):
            where = f"gallery.properties.sharingProfile.communityGalleryInfo.{name}"
            raise invalid(where, community[name], "It must be a URL.")
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", community["publisherContact"]):
        where = "gallery.properties.sharingProfile.communityGalleryInfo.publisherContact"
        raise invalid(where, community["publisherContact"], "It must be an e-mail address.")


def _changed(call: Call, gallery: Gallery, properties: Body, marks: dict[str, str]) -> Answer:
    if gallery.state in ("Creating", "Deleting"):
        raise _busy(gallery)
    sharing = properties.get("sharingProfile")
    if sharing is not None and sharing.get("permissions", "Private") != gallery.permissions:
        # share-gallery-community: "You can't convert an existing private gallery to a community gallery."
        where = "gallery.properties.sharingProfile.permissions"
        raise ApiError(409, "PropertyChangeNotAllowed", f"Changing property '{where}' is not allowed.", target=where)
    if sharing is not None:
        _check_sharing(sharing)
        gallery.sharing = sharing
    gallery.description = properties.get("description") or gallery.description
    gallery.soft_delete = properties.get("softDeletePolicy", gallery.soft_delete)
    gallery.tags, gallery.state = marks, "Updating"
    return _ending(call, gallery, 200)


def _patch(call: Call) -> Answer:
    gallery = call.find(Gallery)
    sent = body(call, models.GalleryUpdate)
    return _changed(call, gallery, sent.get("properties") or {}, tags(sent) if "tags" in sent else gallery.tags)


def _ending(call: Call, gallery: Gallery, status: int) -> Answer:
    cloud = call.cloud

    def work(operation: Operation) -> None:
        with cloud.lock:
            gallery.state = "Succeeded"
            operation.output = gallery.described()

    return Answer(gallery.described(), status, started(call, work, seconds=cloud.windows.operation))


def _busy(gallery: Gallery) -> ApiError:
    message = f"Gallery {gallery.name} is in provisioning state {gallery.state}. Please try again later."
    return ApiError(409, "Conflict", message)


def _get(call: Call) -> Answer:
    gallery = call.find(Gallery)
    document = gallery.described()
    if call.query.get("$expand", "").lower() == "sharingprofile/groups":
        profile = document["properties"].setdefault("sharingProfile", gallery.sharing_profile())
        profile["groups"] = gallery.groups()
    elif call.query.get("$select", "").lower() == "permissions":
        document["properties"].setdefault("sharingProfile", gallery.sharing_profile())
    return Answer(document)


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    within = call.scope if "group" in call.segments else ""
    return call.listed([gallery.described() for gallery in call.cloud.every(Gallery, within)])


def _delete(call: Call) -> Answer:
    call.group()
    gallery, cloud = call.cloud.get(Gallery, call.id), call.cloud
    if gallery is None:
        return Answer(None, 204)
    if gallery.public or any(gallery.shared_with.values()):
        # share-gallery-community: "To delete a gallery that's shared, you must first reset"; the words are ours.
        message = f"Gallery {gallery.name} is shared. Please reset its sharing before deleting it."
        raise ApiError(409, "OperationNotAllowed", message)
    check_empty(call, gallery)
    gallery.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            forget(cloud, gallery)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


def _share(call: Call) -> Answer:
    gallery, cloud = call.find(Gallery), call.cloud
    sent = body(call, models.SharingUpdate)
    kind = sent["operationType"]
    if kind == "EnableCommunity":
        if gallery.permissions != "Community":
            why = f"The permissions of gallery {gallery.name} are {gallery.permissions}, not Community."
            raise invalid("sharingUpdate.operationType", kind, why)
        if gallery.public:
            # By analogy; what Azure says to a gallery that is public already is not known.
            return Answer(sent)
    elif kind in ("Add", "Remove") and gallery.permissions != "Groups":
        # create-gallery: "you need to create a new gallery with permissions set to Groups".
        why = f"The permissions of gallery {gallery.name} are {gallery.permissions}, not Groups."
        raise invalid("sharingUpdate.operationType", kind, why)

    def work(operation: Operation) -> None:
        with cloud.lock:
            if kind == "Reset":
                gallery.public = False
                gallery.shared_with.clear()
            elif kind == "EnableCommunity":
                gallery.public = True
            for group in sent.get("groups") or []:
                held = gallery.shared_with.setdefault(group.get("type") or "Subscriptions", set())
                held.symmetric_difference_update(
                    held & set(group["ids"]) if kind == "Remove" else set(group["ids"]) - held
                )
            operation.output = {**sent, "status": {"aggregatedState": "Succeeded"}}

    return Answer(dict(sent), 202, started(call, work, seconds=cloud.windows.operation, result=True))


ROUTES = (
    Route("PUT", PATH, "Galleries.CreateOrUpdate", GALLERIES, _put),
    Route("PATCH", PATH, "Galleries.Update", GALLERIES, _patch),
    Route("GET", PATH, "Galleries.Get", GALLERIES, _get),
    Route("DELETE", PATH, "Galleries.Delete", GALLERIES, _delete),
    Route("POST", f"{PATH}/share", "GallerySharingProfile.Update", GALLERIES, _share),
    Route("GET", f"{GROUP}/providers/Microsoft.Compute/galleries", "Galleries.ListByResourceGroup", GALLERIES, _list),
    Route("GET", f"{ALL}/providers/Microsoft.Compute/galleries", "Galleries.List", GALLERIES, _list),
)

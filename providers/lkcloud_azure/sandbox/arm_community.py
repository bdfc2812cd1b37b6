# SPDX-License-Identifier: Apache-2.0
"""Community galleries, as everybody sees them: by their public names, to read.

https://learn.microsoft.com/rest/api/compute/community-galleries
"""

from collections.abc import Iterator
from typing import Any

from lkcloud_azure.sandbox.arm_call import ALL, Answer, Body, Call, Route
from lkcloud_azure.sandbox.arm_versions import GALLERIES
from lkcloud_azure.sandbox.cloud import Cloud, Resource
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Definition, Gallery, Version

PATH = f"{ALL}/providers/Microsoft.Compute/locations/{{location}}/communityGalleries/{{public}}"


def find_gallery(cloud: Cloud, public_name: str) -> Gallery | None:
    """Return the gallery that is public by this name, None if there is none."""
    return next((one for one in cloud.every(Gallery) if one.public and one.public_name == public_name), None)


def _gallery(call: Call) -> Gallery:
    found = find_gallery(call.cloud, call.segments["public"])
    if found is None:
        raise _missing(call.segments["public"])
    return found


def _missing(name: str) -> ApiError:
    return ApiError(404, "ResourceNotFound", f"The resource '{name}' was not found.")


def _definition(call: Call) -> Definition:
    name = call.segments["image"]
    found = call.cloud.get(Definition, f"{_gallery(call).id}/images/{name}")
    if found is None:
        raise _missing(name)
    return found


def _there(call: Call, definition: Definition) -> Iterator[Version]:
    for version in call.cloud.every(Version, str(definition.id)):
        if version.state == "Succeeded" and version.region(call.segments["location"].lower()) is not None:
            yield version


def _described(call: Call, kind: str, resource: Resource, unique: str, properties: Body) -> dict[str, Any]:
    return {
        "name": resource.name if kind else call.segments["public"],
        "location": call.segments["location"],
        "type": f"Microsoft.Compute/Locations/CommunityGalleries{kind}",
        "identifier": {"uniqueId": f"/CommunityGalleries/{call.segments['public']}{unique}"},
        "properties": dict(properties),
    }


def _get_gallery(call: Call) -> Answer:
    gallery = _gallery(call)
    info = gallery.sharing_profile()["communityGalleryInfo"]
    metadata = {name: info[name] for name in ("publisherUri", "publisherContact", "eula", "publicNames")}
    return Answer(_described(call, "", gallery, "", {"communityMetadata": metadata}))


def _image(call: Call, definition: Definition) -> dict[str, Any]:
    return _described(call, "/Images", definition, f"/Images/{definition.name}", definition.properties())


def _get_image(call: Call) -> Answer:
    return Answer(_image(call, _definition(call)))


def _list_images(call: Call) -> Answer:
    found = call.cloud.every(Definition, str(_gallery(call).id))
    return call.listed([_image(call, definition) for definition in found if any(_there(call, definition))])


def _version(call: Call, version: Version) -> dict[str, Any]:
    shown = version.properties()["publishingProfile"]
    properties = {
        name: shown[name] for name in ("publishedDate", "endOfLifeDate", "excludeFromLatest") if name in shown
    }
    unique = f"/Images/{version.id.names[1]}/Versions/{version.name}"
    return _described(call, "/Images/Versions", version, unique, properties)


def _get_version(call: Call) -> Answer:
    wanted = call.segments["version"]
    for version in _there(call, _definition(call)):
        if version.name == wanted:
            return Answer(_version(call, version))
    raise _missing(wanted)


def _list_versions(call: Call) -> Answer:
    return call.listed([_version(call, version) for version in _there(call, _definition(call))])


_READ = "Microsoft.Compute/locations/communityGalleries"
ROUTES = (
    Route("GET", PATH, "CommunityGalleries.Get", GALLERIES, _get_gallery, f"{_READ}/read"),
    Route("GET", f"{PATH}/images", "CommunityGalleryImages.List", GALLERIES, _list_images, f"{_READ}/images/read"),
    Route(
        "GET", f"{PATH}/images/{{image}}", "CommunityGalleryImages.Get", GALLERIES, _get_image, f"{_READ}/images/read"
    ),
    Route(
        "GET",
        f"{PATH}/images/{{image}}/versions",
        "CommunityGalleryImageVersions.List",
        GALLERIES,
        _list_versions,
        f"{_READ}/images/versions/read",
    ),
    Route(
        "GET",
        f"{PATH}/images/{{image}}/versions/{{version}}",
        "CommunityGalleryImageVersions.Get",
        GALLERIES,
        _get_version,
        f"{_READ}/images/versions/read",
    ),
)

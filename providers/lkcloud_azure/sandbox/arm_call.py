# SPDX-License-Identifier: Apache-2.0
"""One request to Azure Resource Manager, taken apart, and what all resource types say no with.

Error codes: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from lkcloud.sandbox.http import Response
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.arm_versions import Versions
from lkcloud_azure.sandbox.cloud import LOCATIONS, SUBSCRIPTION, Cloud, Group, Resource
from lkcloud_azure.sandbox.errors import ApiError

R = TypeVar("R", bound=Resource)

Body = Mapping[str, Any]
"""A JSON object as it was sent, with the names of its fields written as the API's model writes them."""

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
"""What the paths of most routes begin with."""
ALL = "/subscriptions/{subscription}"

_WORD = re.compile(r"\{\*?(\w+)\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: BODY is sent as JSON, None for no body."""

    body: Body | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return it as it is sent."""
        if self.body is None:
            return Response(self.status, self.headers)
        headers = {"Content-Type": "application/json; charset=utf-8", **self.headers}
        return Response(self.status, headers, json.dumps(self.body).encode())


@dataclass(frozen=True, slots=True)
class Route:
    """What answers METHOD on PATH.

    A new resource type needs no more than a module in this package whose name begins with `arm_`, `vm_` or `network_`,
    and in it a tuple ROUTES of these; `arm_registry` finds it. In PATH a word in braces is a segment, or with a
    star (`{*scope}`) any number of them; letters' case counts for nothing elsewhere. NAME is what traffic's hooks see,
    such as `Disks.CreateOrUpdate`; VERSIONS are the api-versions that the resource type has. ACTION is what role
    assignments allow, such as `Microsoft.Compute/disks/write`; where it is "" it follows from method and path.
    The handler is called with the lock of the cloud held, unless it is UNLOCKED.
    """

    method: str
    path: str
    name: str
    versions: Versions
    handler: "Handler"
    action: str = ""
    unlocked: bool = False

    def pattern(self) -> re.Pattern[str]:
        """Return what its paths match, before they are decoded."""
        text = re.sub(r"\\\{(\\\*)?(\w+)\\\}", _segment, re.escape(self.path))
        return re.compile(text, re.IGNORECASE)

    @property
    def namespace(self) -> str:
        """The resource provider, such as `Microsoft.Compute`, "" for what is Azure Resource Manager's own."""
        return self.kind.partition("/")[0] if "/providers/" in self.path else ""

    @property
    def kind(self) -> str:
        """The resource type, such as `Microsoft.Compute/disks`."""
        _, _, rest = self.path.rpartition("/providers/")
        words = [word for word in rest.split("/") if not word.startswith("{")]
        return "/".join(words[:-1] if self.method == "POST" else words)

    def needed(self) -> str:
        """Return the action that the caller must be allowed."""
        if self.action:
            return self.action
        if self.method == "POST":
            return f"{self.kind}/{self.path.rpartition('/')[2]}/action"
        verb = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}[self.method]
        return f"{self.kind}/{verb}"


def _segment(match: re.Match[str]) -> str:
    return f"(?P<{match[2]}>{'.+?' if match[1] else '[^/]+'})"


@dataclass(frozen=True)
class Call:
    """A request: SEGMENTS are the words of the path in place of those in braces, ADDRESS is the URL of the server.

    DEFERRED is what is to be done when the lock is let go, before the answer is sent.
    """

    cloud: Cloud
    route: Route
    segments: Mapping[str, str]
    query: Mapping[str, str]
    payload: bytes
    address: str
    deferred: list[Callable[[], None]] = field(default_factory=list)

    @property
    def version(self) -> str:
        """The api-version, a date."""
        return self.query["api-version"]

    @cached_property
    def id(self) -> ResourceId:
        """The id of the resource that the path names.

        Of a POST it is that of what it is done to, and of a list that of what the resources are within.
        """
        parsed = ResourceId.parse(self.path) or ResourceId.parse(self.path.rpartition("/")[0])
        assert parsed is not None, self.path
        return parsed

    @property
    def path(self) -> str:
        """The path, decoded, with the letters of its fixed words as the API writes them."""
        return _WORD.sub(lambda word: self.segments[word[1]], self.route.path)

    @property
    def scope(self) -> str:
        """The path that a list is of: a resource group's, the subscription's or a parent's."""
        found = f"/subscriptions/{SUBSCRIPTION}"
        return f"{found}/resourceGroups/{self.segments['group']}" if "group" in self.segments else found

    def group(self) -> Group:
        """Return the resource group. Raises ApiError."""
        name = self.segments["group"]
        found = self.cloud.groups.get(name.lower())
        if found is None:
            raise ApiError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return found

    def find(self, kind: type[R]) -> R:
        """Return the resource that the path names. Raises ApiError if it, its parent or its group is not there."""
        self.group()
        self.parents("read" if self.route.method in ("GET", "HEAD") else "write")
        found = self.cloud.get(kind, self.id)
        if found is None:
            raise not_found(self.id)
        return found

    def parents(self, verb: str) -> None:
        """Raise ApiError if one of the resources that the path's is within is not there."""
        listing = ResourceId.parse(self.path) is None and self.route.method == "GET"
        for count in range(1, len(self.id.kinds) + listing):
            above = ResourceId(
                self.id.subscription, self.id.group, self.id.namespace, self.id.kinds[:count], self.id.names[:count]
            )
            if self.cloud.held(above) is None:
                message = (
                    f"Failed to perform '{verb}' on resource(s) of type '{self.route.kind.partition('/')[2]}', because "
                    f"the parent resource '{above}' could not be found."
                )
                raise ApiError(404, "ParentResourceNotFound", message)

    def require_linked(self, action: str, linked: ResourceId | str) -> None:
        """Raise ApiError if the caller may not do ACTION on another resource that the request makes use of."""
        if not allowed(self.cloud, action):
            message = (
                f"The client has permission to perform action '{self.route.needed()}' on scope '{self.id}', however it "
                f"does not have permission to perform action(s) '{action}' on the linked scope(s) '{linked}' "
                "(respectively) or the linked scope(s) are invalid."
            )
            raise ApiError(403, "LinkedAuthorizationFailed", message)

    def require_encryption_set(self, linked: str | None) -> None:
        """Raise ApiError if the caller may not use a disk encryption set that is named.

        kubernetes-sigs/azuredisk-csi-driver#2610 shows it of a disk; of images and versions it is taken to be so too.
        """
        if linked:
            self.require_linked("Microsoft.Compute/diskEncryptionSets/read", linked)

    def listed(self, items: list[Body]) -> Answer:
        """Return a page of ITEMS, with the URL of the next one where there are more.

        https://github.com/microsoft/api-guidelines: nextLink is a whole URL that only the service understands.
        """
        skip = int(self.query.get("$skiptoken") or 0)
        size = self.cloud.windows.page_size
        page: dict[str, Any] = {"value": items[skip : skip + size]}
        if len(items) > skip + size:
            rest = {**self.query, "$skiptoken": str(skip + size)}
            query = "&".join(f"{quote(name)}={quote(value)}" for name, value in rest.items())
            page["nextLink"] = f"{self.address}{quote(self.path)}?{query}"
        return Answer(page)


Handler = Callable[[Call], Answer]


def allowed(cloud: Cloud, action: str) -> bool:
    """Tell whether the caller may do ACTION; one with a `*` is allowed to whoever may do some such thing."""
    granted = cloud.windows.allowed_actions
    if granted is not None and not (matches(granted, action) or any(matches((action,), one) for one in granted)):
        return False
    return not matches(cloud.windows.denied_actions, action)


def matches(patterns: Iterable[str], action: str) -> bool:
    """Tell whether ACTION is one of PATTERNS, in which `*` is any characters; letters' case does not count."""
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE) for pattern in patterns)


def segments(match: re.Match[str]) -> dict[str, str]:
    """Return the words of a path that has matched a route's pattern, decoded."""
    return {name: unquote(value) for name, value in match.groupdict().items()}


def below_group(resource: ResourceId) -> str:
    """Return an id from its resource provider on: `Microsoft.Compute/disks/NAME`."""
    return str(resource).partition("/providers/")[2]


def not_found(resource: ResourceId) -> ApiError:
    """Return what is said of a resource that does not exist."""
    message = (
        f"The Resource '{below_group(resource)}' under resource group '{resource.group}' was not found. For more "
        "details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return ApiError(404, "ResourceNotFound", message)


def invalid(parameter: str, value: object, why: str = "") -> ApiError:
    """Return what Microsoft.Compute says of a value that it does not take."""
    message = f"The value '{value}' of parameter '{parameter}' is invalid.{f' {why}' if why else ''}"
    return ApiError(400, "InvalidParameter", message, target=parameter)


def required(parameter: str) -> ApiError:
    """Return what Microsoft.Compute says if a field is missing (JeffBow/AzurePowerShell#10)."""
    return ApiError(400, "InvalidParameter", f"Required parameter '{parameter}' is missing (null).", target=parameter)


def location(call: Call, body: Body, existing: Resource | None) -> str:
    """Return the region that BODY names, as the API writes it. Raises ApiError, also for another than EXISTING's."""
    text = str(body.get("location") or "")
    if not text:
        raise ApiError(400, "LocationRequired", "The location property is required for this definition.")
    name = text.replace(" ", "").lower()
    if name not in LOCATIONS:
        message = (
            f"The provided location '{text}' is not available for resource type '{call.route.kind}'. List of available "
            f"regions for the resource type is '{','.join(LOCATIONS)}'."
        )
        raise ApiError(400, "LocationNotAvailableForResourceType", message)
    if existing is not None and existing.location != name:
        message = (
            f"The resource '{existing.name}' already exists in location '{existing.location}' in resource group "
            f"'{existing.id.group}'. A resource with the same name cannot be created in location '{name}'. Please "
            "select a new resource name."
        )
        raise ApiError(409, "InvalidResourceLocation", message)
    return name


def tags(body: Body) -> dict[str, str]:
    """Return the tags of BODY.

    Raises ApiError: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
    """
    found = {str(key): str(value) for key, value in (body.get("tags") or {}).items()}
    if len(found) > 50:
        message = f"The number of tags '{len(found)}' exceeds the maximum number of tags '50' on a resource."
        raise ApiError(400, "TagsCountExceeded", message)
    if len({key.lower() for key in found}) < len(found):
        raise ApiError(400, "InvalidTagName", "The tag names are not unique when their case is ignored.")
    for key, value in found.items():
        if re.search(r"[<>%&\\?/\x00-\x1f]", key):
            message = f"The tag names '{key}' have reserved characters '<,>,%,&,\\,?,/' or control characters."
            raise ApiError(400, "InvalidTagNameCharacters", message)
        if not 0 < len(key) <= 512:
            raise ApiError(400, "InvalidTagNameLength", f"The tag name '{key}' is longer than '512' characters.")
        if len(value) > 256:
            raise ApiError(
                400, "InvalidTagValueLength", f"The value of the tag '{key}' is longer than '256' characters."
            )
    return found

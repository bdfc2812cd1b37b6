# SPDX-License-Identifier: Apache-2.0
"""Which permissions a request asks for, and what is answered where the caller does not have them.

Which ones is told by the page of each method (https://cloud.google.com/compute/docs/reference/rest/v1, "IAM
Permissions"; https://cloud.google.com/storage/docs/access-control/iam-json and .../iam-xml). Nothing is refused as long
as the windows allow everything. Conditions of a role are not here: it is given on the project or on a bucket.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lkcloud.sandbox.http import Request
from lkcloud_gcp.sandbox.access import EMAIL
from lkcloud_gcp.sandbox.cloud import PROJECT, PROJECT_NUMBER, Cloud
from lkcloud_gcp.sandbox.errors import ApiError

if TYPE_CHECKING:
    from lkcloud_gcp.sandbox import compute_call, storage_call

_VERBS = {
    "insert": "create",
    "patch": "update",
    "aggregatedList": "list",
    "testIamPermissions": "list",
    "wait": "get",
}
"""Verbs of Compute Engine's methods that its permissions have another word for."""

_STORAGE: Mapping[str, tuple[str, ...]] = {
    "buckets.delete": ("buckets.delete",),
    "buckets.get": ("buckets.get",),
    "buckets.getIamPolicy": ("buckets.getIamPolicy",),
    "buckets.getStorageLayout": ("objects.list",),
    "buckets.patch": ("buckets.update",),
    "buckets.setIamPolicy": ("buckets.setIamPolicy",),
    "buckets.update": ("buckets.update",),
    "managedFolders.list": ("managedFolders.list",),
    "objects.compose": ("objects.create", "objects.get"),
    "objects.delete": ("objects.delete",),
    "objects.get": ("objects.get",),
    "objects.head": ("objects.get",),
    "objects.insert": ("objects.create",),
    "objects.list": ("objects.list",),
    "objects.patch": ("objects.update",),
    "objects.put": ("objects.create",),
    "objects.start": ("objects.create",),
    "objects.update": ("objects.update",),
}
"""What methods on one bucket ask for there; who replaces an object deletes one, which is looked at where it is made."""

_MULTIPART: Mapping[str, tuple[str, ...]] = {
    "multipart.abort": ("multipartUploads.abort",),
    "multipart.complete": ("multipartUploads.create", "objects.create"),
    "multipart.create": ("multipartUploads.create", "objects.create"),
    "multipart.list": ("multipartUploads.list",),
    "multipart.listParts": ("multipartUploads.listParts",),
    "multipart.put": ("multipartUploads.create", "objects.create"),
}


def has(cloud: Cloud, permission: str, bucket: str = "") -> bool:
    """Tell whether the caller has PERMISSION on the project, or on BUCKET, if that is there."""
    windows = cloud.windows
    if permission in windows.denied_permissions:
        return False
    if windows.allowed is None or permission in windows.allowed:
        return True
    return bucket in cloud.store.buckets and permission in windows.allowed_in_bucket.get(bucket, ())


def require_enabled(cloud: Cloud, service: str) -> None:
    """Raise ApiError if the project has not enabled the API, such as compute.googleapis.com.

    The words: vmware-archive/gcp-pcf-quickstart#12, and google/api/error_reason.proto for the reason beside them.
    """
    if service not in cloud.windows.disabled_services:
        return
    place = f"https://console.developers.google.com/apis/api/{service}/overview?project={PROJECT_NUMBER}"
    message = (
        f"{_TITLES.get(service, service)} has not been used in project {PROJECT_NUMBER} before or it is disabled. "
        f"Enable it by visiting {place} then retry. If you enabled this API recently, wait a few minutes for the "
        "action to propagate to our systems and retry."
    )
    raise ApiError(403, "accessNotConfigured", message, status_name="PERMISSION_DENIED", service=service)


_TITLES = {
    "cloudresourcemanager.googleapis.com": "Cloud Resource Manager API",
    "compute.googleapis.com": "Compute Engine API",
    "storage.googleapis.com": "Cloud Storage API",
}


def require_for_compute(call: "compute_call.Call") -> None:
    """Raise ApiError for the first permission that CALL needs and the caller does not have.

    The words: fortinet/fortigate-terraform-deploy#153, GoogleCloudPlatform/compute-image-tools#632 (of a list).
    """
    for permission, place in _of_compute(call):
        if not has(call.cloud, f"compute.{permission}"):
            where = f"projects/{PROJECT}/{place}".rstrip("/")
            raise ApiError(403, "forbidden", f"Required 'compute.{permission}' permission for '{where}'")


def require_for_storage(call: "storage_call.Call") -> None:
    """Raise ApiError for the first permission that CALL, of the JSON API, needs and the caller does not have."""
    method, names = call.method, call.names
    if method in ("buckets.insert", "buckets.list"):
        verb = "create" if method == "buckets.insert" else "list"
        require(call.cloud, f"storage.buckets.{verb}")
    elif method == "projects.serviceAccount.get":
        require(call.cloud, "resourcemanager.projects.get")
    elif method in ("objects.rewrite", "objects.copy"):
        require(call.cloud, "storage.objects.get", names[0])
        require(call.cloud, "storage.objects.create", names[2])
    for permission in _STORAGE.get(method, ()):
        require(call.cloud, f"storage.{permission}", names[0])


def require_for_xml(cloud: Cloud, request: Request, operation: str) -> None:
    """Raise ApiError for the first permission that a request to the XML API needs and the caller does not have."""
    bucket = request.path.removeprefix("/").partition("/")[0]
    for permission in _STORAGE.get(operation) or _MULTIPART.get(operation, ()):
        require(cloud, f"storage.{permission}", bucket)


def require(cloud: Cloud, permission: str, bucket: str = "") -> None:
    """Raise ApiError if the caller does not have PERMISSION of Cloud Storage, on BUCKET or else on the project.

    That a bucket is not there is told only to who could use it: the words are those of zetaalphavector/InPars#13 and
    data-integrations/google-cloud#1503 (of a project), and googleapis/java-storage#1372 has met them there.
    """
    if has(cloud, permission, bucket):
        return
    kind = "Google Cloud project"
    if bucket:
        on_object = permission.startswith("storage.objects.") and permission != "storage.objects.list"
        kind = f"Google Cloud Storage {'object' if on_object else 'bucket'}"
    message = (
        f"{EMAIL} does not have {permission} access to the {kind}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    raise ApiError(403, "forbidden", message, "AccessDenied", brief="Access denied.")


def _of_compute(call: "compute_call.Call") -> Iterator[tuple[str, str]]:
    """Yield what CALL needs, without `compute.`, and on what of the project."""
    kind, _, verb = call.method.partition(".")
    permission = f"{kind}.{_VERBS.get(verb, verb)}"
    zone = f"zones/{call.zone}" if call.zone else "global"
    if verb == "insert":
        body = call.document()
        yield permission, f"{zone}/{kind}/{body.get('name', '')}"
        yield from _with_image(body) if kind == "images" else _with_instance(call, body) if kind == "instances" else ()
    elif kind == "projects" or permission.endswith(".list"):
        yield permission, ""
    elif kind == "zones":
        yield permission, f"zones/{call.name}"
    else:
        place = kind.replace("globalOperations", "operations").replace("zoneOperations", "operations")
        yield permission, f"{zone}/{place}/{'family/' if verb == 'getFromFamily' else ''}{call.name}"


def _with_image(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what an image's own fields need.

    Of labels the page of images.insert says nothing; that of instances.insert does, and here it is taken to be alike.
    Who reads the tarball, the caller or Google's own agent, no page says: nobody is asked for that.
    """
    if body.get("labels"):
        yield "images.setLabels", f"global/images/{body.get('name', '')}"


def _with_instance(call: "compute_call.Call", body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what an instance's fields need.

    https://cloud.google.com/compute/docs/instances/create-start-instance, "Required permissions for this task". Disks
    are taken to be like instances in what their labels need.
    """
    zone = f"zones/{call.zone}"
    for field, permission in (
        ("labels", "setLabels"),
        ("metadata", "setMetadata"),
        ("tags", "setTags"),
        ("serviceAccounts", "setServiceAccount"),
    ):
        if body.get(field):
            yield f"instances.{permission}", f"{zone}/instances/{body.get('name', '')}"
    for disk in body.get("disks") or ():
        parameters = disk.get("initializeParams") or {}
        place = f"{zone}/disks/{parameters.get('diskName') or body.get('name', '')}"
        yield "disks.create", place
        if parameters.get("labels"):
            yield "disks.setLabels", place
        if source := str(parameters.get("sourceImage") or ""):
            yield "images.useReadOnly", source[source.index("global/") :] if "global/" in source else source
    for interface in body.get("networkInterfaces") or ():
        subnetwork = str(interface.get("subnetwork") or "default").rpartition("/")[2]
        place = f"regions/{call.zone.rpartition('-')[0]}/subnetworks/{subnetwork}"
        yield "subnetworks.use", place
        if interface.get("accessConfigs"):
            yield "subnetworks.useExternalIp", place

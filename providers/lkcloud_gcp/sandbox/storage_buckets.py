# SPDX-License-Identifier: Apache-2.0
"""Buckets of the JSON API: https://docs.cloud.google.com/storage/docs/json_api/v1/buckets."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from lkcloud.sandbox.http import Response
from lkcloud.sandbox.xml_document import stamp
from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.cloud import PROJECT, PROJECT_NUMBER
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_bucket_rules import check_bucket_name, check_settings, location_type
from lkcloud_gcp.sandbox.storage_call import Call, Document, Handler, to_base64
from lkcloud_gcp.sandbox.storage_objects import page_limit, page_token
from lkcloud_gcp.sandbox.store import Bucket


def _resource(call: Call, bucket: Bucket) -> Document:
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{call.address}/storage/v1/b/{bucket.name}",
        "projectNumber": PROJECT_NUMBER,
        "name": bucket.name,
        "generation": str(int(bucket.created.timestamp() * 1_000_000)),
        "metageneration": str(bucket.metageneration),
        "location": bucket.location,
        "locationType": location_type(bucket.location),
        "etag": to_base64(bucket.metageneration.to_bytes(2, "big")),
        "timeCreated": stamp(bucket.created),
        "updated": stamp(bucket.updated),
        **bucket.settings,
    }


def _insert(call: Call) -> Document:
    document = dict(call.body())
    _check_project(call)
    name = str(document.pop("name", "") or "")
    check_bucket_name(name)
    location = str(document.pop("location", None) or "US").upper()
    location_type(location)
    now = datetime.now(UTC)
    settings = check_settings(document, location, now)
    with call.cloud.lock:
        if name in call.cloud.store.buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise ApiError(409, "conflict", message, "BucketAlreadyOwnedByYou")
        if name in call.cloud.windows.foreign_buckets:
            raise taken()
        bucket = call.cloud.store.buckets[name] = Bucket(name, location, settings, now, now)
        return _resource(call, bucket)


def taken() -> ApiError:
    """Return what is said of the name of a bucket of somebody else."""
    message = (
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again."
    )
    return ApiError(409, "conflict", message, "BucketNameUnavailable")


def _check_project(call: Call) -> None:
    project = call.query.get("project", "")
    if not project:
        raise ApiError(400, "required", "Required parameter: project", location="project")
    if project not in (PROJECT, PROJECT_NUMBER):
        raise ApiError(403, "forbidden", f"The caller has no access to the project {project}.", "AccessDenied")


def _get(call: Call) -> Document:
    with call.cloud.lock:
        bucket = call.bucket()
        call.preconditions().check(bucket, reading=True)
        return _resource(call, bucket)


def _list(call: Call) -> Document:
    _check_project(call)
    limit, prefix = page_limit(call), call.query.get("prefix", "")
    after = page_token(call.query.get("pageToken", ""))
    with call.cloud.lock:
        left = [name for name in sorted(call.cloud.store.buckets) if name.startswith(prefix) and name > after]
        items = [_resource(call, call.cloud.store.buckets[name]) for name in left[:limit]]
    answer: dict[str, Any] = {"kind": "storage#buckets"}
    if items:
        answer["items"] = items
    if len(left) > limit:
        answer["nextPageToken"] = to_base64(left[limit - 1].encode())
    return answer


def _patch(call: Call) -> Document:
    """Change settings: nulls remove, objects within are merged, lists replaced (https://www.rfc-editor.org/rfc/rfc7396)."""
    change = dict(call.body())
    with call.cloud.lock:
        bucket = call.bucket()
        call.preconditions().check(bucket)
        if str(change.pop("location", bucket.location)).upper() != bucket.location:
            raise ApiError(400, "invalid", "The location of a bucket cannot be changed.", "InvalidArgument")
        old = {} if call.method == "buckets.update" else bucket.settings
        bucket.settings = check_settings(_merged(old, change), bucket.location, datetime.now(UTC))
        bucket.metageneration += 1
        bucket.updated = datetime.now(UTC)
        return _resource(call, bucket)


def _merged(old: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    new = dict(old)
    for key, value in change.items():
        if value is None:
            new.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict):
            new[key] = _merged(old[key], value)
        else:
            new[key] = value
    return new


def _delete(call: Call) -> Response:
    preconditions = call.preconditions()
    with call.cloud.lock:
        bucket = call.bucket()
        preconditions.check(bucket)
        if bucket.objects:
            raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.", "BucketNotEmpty")
        for upload in tuple(bucket.uploads.values()):
            upload.remove()
        del call.cloud.store.buckets[bucket.name]
    return Response(204)


def _test_permissions(call: Call) -> Document:
    """Return what the caller may of what it asks about."""
    wanted = [value for name, value in parse_qsl(call.request.raw_query) if name == "permissions"]
    for permission in wanted:
        # "The permission must be of the form storage.buckets.* or storage.objects.*"
        if not re.fullmatch(r"storage\.[A-Za-z]+\.[A-Za-z]+", permission):
            raise ApiError(400, "invalid", f"Invalid permission: {permission}", "InvalidArgument")
    with call.cloud.lock:
        call.bucket()
    granted = [one for one in wanted if authorization.has(call.cloud, one, call.names[0])]
    answer: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
    if granted:
        answer["permissions"] = granted
    return answer


def _layout(call: Call) -> Document:
    with call.cloud.lock:
        bucket = call.bucket()
        place = {"location": bucket.location, "locationType": location_type(bucket.location)}
        return {"kind": "storage#storageLayout", "bucket": bucket.name, **place}


def _folders(call: Call) -> Document:
    """Return no managed folders: nothing here makes any, and gcloud looks for them before it deletes a bucket."""
    with call.cloud.lock:
        call.bucket()
    return {"kind": "storage#managedFolders"}


def _get_policy(call: Call) -> Document:
    with call.cloud.lock:
        bucket = call.bucket()
        return _policy(bucket)


def _policy(bucket: Bucket) -> Document:
    return {
        "kind": "storage#policy",
        "resourceId": f"projects/_/buckets/{bucket.name}",
        "version": 1,
        "bindings": [],
        **bucket.policy,
        "etag": to_base64(bucket.metageneration.to_bytes(2, "big")),
    }


def _set_policy(call: Call) -> Document:
    document = call.body()
    with call.cloud.lock:
        bucket = call.bucket()
        if document.get("etag") not in (None, "", _policy(bucket)["etag"]):
            raise ApiError(412, "conditionNotMet", "Precondition Failed", "PreconditionFailed", location="If-Match")
        members = [member for binding in document.get("bindings", []) for member in binding.get("members", [])]
        prevention = bucket.settings["iamConfiguration"]["publicAccessPrevention"]
        if prevention == "enforced" and {"allUsers", "allAuthenticatedUsers"} & set(members):
            # https://docs.cloud.google.com/storage/docs/public-access-prevention
            message = "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access "
            raise ApiError(412, "conditionNotMet", f"{message}prevention is enforced.", "PreconditionFailed")
        bucket.policy = {"bindings": list(document.get("bindings", [])), "version": document.get("version", 1)}
        bucket.metageneration += 1
        return _policy(bucket)


def _service_account(_call: Call) -> Document:
    """Return the account that must be allowed to use a key of Cloud KMS."""
    return {
        "kind": "storage#serviceAccount",
        "email_address": f"service-{PROJECT_NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
    }


METHODS: Mapping[str, Handler] = {
    "buckets.insert": _insert,
    "buckets.get": _get,
    "buckets.list": _list,
    "buckets.patch": _patch,
    "buckets.update": _patch,
    "buckets.delete": _delete,
    "buckets.testIamPermissions": _test_permissions,
    "buckets.getStorageLayout": _layout,
    "managedFolders.list": _folders,
    "buckets.getIamPolicy": _get_policy,
    "buckets.setIamPolicy": _set_policy,
    "projects.serviceAccount.get": _service_account,
}

# SPDX-License-Identifier: Apache-2.0
"""S3: which operation a request asks for, and whether it can reach its bucket; buckets themselves are left to moto."""

from collections.abc import Callable
from dataclasses import replace

from lkcloud.sandbox.http import Request, Response
from lkcloud_aws.sandbox import s3_multipart, s3_objects
from lkcloud_aws.sandbox.cloud import Cloud
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.s3_place import Place

_OPERATIONS: dict[str, Callable[[Cloud, Place, Request], Response]] = {
    **s3_objects.OPERATIONS,
    **s3_multipart.OPERATIONS,
}
_PAGING = {
    "list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "marker", "encoding-type",
    "fetch-owner", "x-id",
}  # fmt: skip
_OBJECT = {
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("GET", "uploadId"): "ListParts",
    ("PUT", "uploadId"): "UploadPart",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("GET", "tagging"): "GetObjectTagging",
    ("PUT", "tagging"): "PutObjectTagging",
    ("DELETE", "tagging"): "DeleteObjectTagging",
}
_BUCKET = {
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "location"): "GetBucketLocation",
    ("POST", "delete"): "DeleteObjects",
    ("HEAD", ""): "HeadBucket",
    ("PUT", ""): "CreateBucket",
    ("DELETE", ""): "DeleteBucket",
    ("GET", "publicAccessBlock"): "GetPublicAccessBlock",
    ("PUT", "publicAccessBlock"): "PutPublicAccessBlock",
    ("DELETE", "publicAccessBlock"): "DeletePublicAccessBlock",
}
_SUBRESOURCES = (
    "uploadId", "uploads", "tagging", "location", "delete", "acl", "policy", "lifecycle", "versioning", "encryption",
    "publicAccessBlock", "cors", "website", "logging", "notification", "ownershipControls", "object-lock",
    "policyStatus", "accelerate", "replication", "requestPayment", "versions", "attributes", "restore", "select",
    "retention", "legal-hold", "torrent", "analytics", "inventory", "metrics", "intelligent-tiering",
)  # fmt: skip


def _split(request: Request) -> tuple[str, str]:
    bucket, _, key = request.path.removeprefix("/").partition("/")
    return bucket, key


def operation(request: Request) -> str:
    """Return the name of the operation that REQUEST asks for; for a setting of a bucket, a name of our own."""
    bucket, key = _split(request)
    query = request.query
    sub = next((name for name in _SUBRESOURCES if name in query), "")
    if not bucket:
        return "ListBuckets"
    if key:
        copies = bool(request.header("x-amz-copy-source"))
        return _OBJECT.get((request.method, sub), "") if not copies else ""
    if request.method == "GET" and not sub:
        return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
    return _BUCKET.get((request.method, sub), f"{request.method} bucket?{sub}")


def serve(cloud: Cloud, region: str, request: Request) -> Response:
    """Do what REQUEST asks for."""
    name = operation(request)
    bucket, key = _split(request)
    if not name or name.endswith("bucket?versions"):
        raise ApiError("NotImplemented", "The sandbox does not have this operation of S3", 501)
    if name not in ("ListBuckets", "CreateBucket", "GetBucketLocation"):
        _check_bucket(cloud, region, bucket)
    if name in _OPERATIONS:
        return _OPERATIONS[name](cloud, Place(bucket, key), request)
    with cloud.lock:
        if name == "DeleteBucket" and not cloud.s3.is_empty(bucket):
            raise ApiError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
        response = cloud.moto.forward(request, request.body.all())
        if name == "DeleteBucket" and response.status == 204:
            cloud.s3.forget(bucket)
        if name == "HeadBucket":
            return replace(response, headers={**response.headers, "x-amz-bucket-region": region})
        return response


def _check_bucket(cloud: Cloud, region: str, bucket: str) -> None:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/Redirects.html
    with cloud.lock:
        home = cloud.moto.bucket_region(bucket)
    if home is None:
        raise ApiError("NoSuchBucket", "The specified bucket does not exist", 404, fields={"BucketName": bucket})
    if home != region:
        raise ApiError(
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint.",
            301,
            fields={"Bucket": bucket, "Endpoint": f"{bucket}.s3.{home}.amazonaws.com"},
            headers={"x-amz-bucket-region": home},
        )

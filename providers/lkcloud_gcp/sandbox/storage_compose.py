# SPDX-License-Identifier: Apache-2.0
"""Objects made of objects, without a copy of their bytes: compose, rewrite, copy.

https://docs.cloud.google.com/storage/docs/composite-objects, .../json_api/v1/objects/compose and .../rewrite
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lkcloud.sandbox.crc import CRC32C, joined
from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import Call, Document, Handler, Preconditions, find_object, invalid, to_number
from lkcloud_gcp.sandbox.storage_draft import SETTINGS, draft_of, make
from lkcloud_gcp.sandbox.storage_objects import resource
from lkcloud_gcp.sandbox.store import Bytes, StoredObject

MOST_SOURCES = 32
_LARGEST = 5 << 40
"""Bytes of an object: https://docs.cloud.google.com/storage/quotas#objects."""


def _compose(call: Call) -> Document:
    document, conditions = call.body(), call.preconditions()
    named = document.get("sourceObjects") or []
    if not named:
        raise ApiError(400, "required", "You must provide at least one source component.", location="sourceObjects")
    if len(named) > MOST_SOURCES:
        message = f"The number of source components provided ({len(named)}) exceeds the maximum ({MOST_SOURCES})"
        raise invalid(message)
    wanted = draft_of(
        document.get("destination") or {},
        call.names[1],
        call.query.get("kmsKeyName", ""),
        call.query.get("destinationPredefinedAcl", ""),
    )
    # "Any MD5 value you provide as part of a compose request is ignored"; so must be a CRC32C, since Google's own
    # client sends that of the object as it was, where one appends to it.
    wanted = replace(wanted, crc32c=None, md5=None)
    with call.cloud.lock:
        sources = [_source(call, one) for one in named]
        classes = {str(source.settings["storageClass"]) for source in sources}
        if len(classes) > 1:
            raise invalid("The source objects must have the same storage class.")
        # "The composite object has the same storage class as the source objects."
        wanted = replace(wanted, settings={**wanted.settings, "storageClass": classes.pop()})
        contents = _joined(sources)
        if contents.size > _LARGEST:
            raise invalid("The composed object would be larger than 5 TiB.")
        components = sum(source.component_count or 1 for source in sources)
        deleting = str(document.get("deleteSourceObjects", call.query.get("deleteSourceObjects"))).lower() == "true"
        if deleting:
            authorization.require(call.cloud, "storage.objects.delete", call.names[0])
        item = make(call.cloud, call.names[0], wanted, contents, conditions, components=components)
        if deleting:
            for source in {source.name: source for source in sources}.values():
                if source.name != item.name:
                    call.cloud.store.delete(source)
        return resource(call, call.bucket(), item)


def _source(call: Call, document: Document) -> StoredObject:
    name = str(document.get("name") or "")
    if not name:
        raise ApiError(400, "required", "Required", location="sourceObjects[].name")
    wanted = document.get("objectPreconditions") or {}
    generation = to_number("generation", str(document.get("generation") or ""))
    try:
        item = find_object(call.cloud, call.names[0], name, generation)
    except ApiError:
        message = f"Object {name} (generation: {generation or 0}) not found."
        raise ApiError(404, "notFound", message, "NoSuchKey") from None
    expected = wanted.get("ifGenerationMatch")
    Preconditions(to_number("ifGenerationMatch", None if expected is None else str(expected))).check(item)
    return item


def _joined(sources: Sequence[StoredObject]) -> Bytes:
    crc = 0
    for source in sources:
        crc = joined(CRC32C, crc, source.crc32c, source.size)
    return Bytes(tuple(file for source in sources for file in source.contents.files), crc, None)


def _copy(call: Call) -> Document:
    """Copy at once, however large: the bytes are shared. A rewrite of Google's can take several calls."""
    bucket, name, target, target_name = call.names
    document = call.body()
    conditions, source_conditions = call.preconditions(), call.preconditions("ifSource")
    with call.cloud.lock:
        source = find_object(call.cloud, bucket, name, call.number("sourceGeneration"))
        source_conditions.check(source)
        wanted = draft_of(
            document,
            target_name,
            call.query.get("destinationKmsKeyName", ""),
            call.query.get("destinationPredefinedAcl", ""),
        )
        if not {"contentType", "metadata", *SETTINGS} & set(document):
            # Without metadata of its own the copy has that of the source, but for what belongs to its place.
            kept = {key: value for key, value in source.settings.items() if key not in ("storageClass", "retention")}
            wanted = replace(wanted, content_type=source.content_type, metadata=source.metadata, settings=kept)
        components = source.component_count or 0
        wanted = replace(wanted, md5=None)
        item = make(call.cloud, target, wanted, source.contents, conditions, components=components)
        made = resource(call, call.cloud.store.buckets[target], item)
    if call.method == "objects.copy":
        return made
    return {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(item.size),
        "objectSize": str(item.size),
        "done": True,
        "resource": made,
    }


METHODS: Mapping[str, Handler] = {
    "objects.compose": _compose,
    "objects.rewrite": _copy,
    "objects.copy": _copy,
}

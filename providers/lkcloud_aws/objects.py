# SPDX-License-Identifier: Apache-2.0
"""Images that are S3 objects: s3://BUCKET/KEY, read with the credentials of the environment."""

import hashlib
import re
from collections.abc import Iterator
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from lkcloud.disk.objects import Checksum, State, bucket_and_key
from lkcloud.errors import ImageChanged
from lkcloud_aws.errors import explain, fault
from lkcloud_aws.session import Session

_SOMEWHERE = "us-east-1"
"""Where S3 is asked if no region is configured: it answers where a bucket is, and the SDK goes there."""
_READ = 1024 * 1024
_MD5 = re.compile(r'"([0-9a-f]{32})"')


class S3Object:
    """An object in S3."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bucket, self._key = bucket_and_key(url)
        self._session = Session(chosen_region=Session().boto.region_name or _SOMEWHERE)

    def state(self) -> State:
        """Ask for its size and entity tag (GetObject; an answer to HeadObject cannot say why it is a refusal)."""
        doing = f"looking for {self._url}"
        found = self._session.call(doing, lambda: self._session.s3.get_object(Bucket=self._bucket, Key=self._key))
        found["Body"].close()
        tag = found["ETag"]
        # The tag is the MD5 of an object that was put in one piece and is not encrypted by a key of KMS or the client:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
        plain = found.get("ServerSideEncryption", "AES256") == "AES256" and not found.get("SSECustomerAlgorithm")
        md5 = _MD5.fullmatch(tag) if plain else None
        hasher = partial(hashlib.md5, usedforsecurity=False)
        return State(found["ContentLength"], tag, checksum=Checksum(bytes.fromhex(md5[1]), hasher) if md5 else None)

    def pieces(self, state: State, offset: int, length: int, timeout: float) -> Iterator[bytes]:
        """Yield bytes of the object that has the tag of STATE (GetObject); the SDK's own limits hold for breaks."""
        del timeout
        try:
            answer = self._session.s3.get_object(
                Bucket=self._bucket,
                Key=self._key,
                Range=f"bytes={offset}-{offset + length - 1}",
                IfMatch=state.version,
            )
            yield from answer["Body"].iter_chunks(_READ)
        except (BotoCoreError, ClientError) as error:
            refused = fault(error)
            if refused is not None and refused.code in ("PreconditionFailed", "NoSuchKey"):
                raise ImageChanged(
                    f"{self._url} changed while it was fetched", hint="wait until it is written, then run it again"
                ) from error
            raise explain(error, f"fetching {self._url}") from error

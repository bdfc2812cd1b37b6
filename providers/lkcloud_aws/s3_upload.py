# SPDX-License-Identifier: Apache-2.0
"""An object written as a multipart upload, gone on with where an earlier run stopped.

API: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html; checksums of the whole object:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from isal import isal_zlib

from lkcloud.disk import Disk
from lkcloud.errors import Corrupt, ImageChanged, LkcloudError
from lkcloud.formats.layout import Layout
from lkcloud.provider import Run
from lkcloud.transfer.buffers import Buffers
from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.journal import Transfer
from lkcloud_aws.data_plane import DataPlane
from lkcloud_aws.errors import code_of, explain, judge
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MIB = 1024**2
SMALLEST_PART = 16 * MIB
"""Large enough that a request costs little beside its bytes (S3 itself wants 5 MiB)."""
MOST_PARTS = 10_000

_IN_MEMORY = 96 * MIB
"""Bytes of parts that are held at once; what it takes beside them stays far below a quarter of a GiB."""
_SLOWEST = 128 * 1024
"""Bytes a second that one connection must reach for an attempt not to be given up."""


@dataclass(frozen=True, slots=True)
class Open:
    """A multipart upload that has not been completed, and whether its checksum is of the kind that we complete with."""

    key: str
    id: str
    initiated: datetime
    usable: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """A part that S3 has."""

    size: int
    etag: str
    crc: int | None

    @property
    def receipt(self) -> str:
        """What the journal remembers of it."""
        return "" if self.crc is None else _receipt(self.etag, self.crc)


def parts(size: int) -> list[Part]:
    """Cut an object of SIZE bytes into parts, numbered from 1; the same size is always cut the same way."""
    length = max(SMALLEST_PART, -(-size // MOST_PARTS // MIB) * MIB)
    return [
        Part(number=number, offset=offset, length=min(length, size - offset))
        for number, offset in enumerate(range(0, size, length), start=1)
    ]


def unfinished(session: Session, bucket: str, prefix: str) -> Iterator[Open]:
    """Yield the multipart uploads whose key begins with PREFIX."""

    def ask() -> list[Open]:
        pages = session.s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
        return [
            Open(
                found["Key"],
                found["UploadId"],
                found["Initiated"],
                found.get("ChecksumAlgorithm") == "CRC32" and found.get("ChecksumType") == "FULL_OBJECT",
            )
            for page in pages
            for found in page.get("Uploads", [])
        ]

    yield from session.call(f"listing the unfinished uploads in {bucket}", ask)


def abort(session: Session, bucket: str, key: str, upload_id: str) -> None:
    """Give up a multipart upload; one that is gone is no error."""
    try:
        session.attempt(lambda: session.s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id))
    except Exception as error:
        if code_of(error) != "NoSuchUpload":
            raise explain(error, f"giving up the upload of {key}") from error


def delete(session: Session, bucket: str, key: str) -> None:
    """Delete an object; one that is gone is no error."""
    session.call(f"deleting {key}", lambda: session.s3.delete_object(Bucket=bucket, Key=key))


@dataclass(frozen=True)
class S3Upload:
    """Uploads LAYOUT over DISK as the object KEY."""

    session: Session
    options: AwsOptions
    bucket: str
    key: str
    disk: Disk
    layout: Layout

    def upload(self, transfer: Transfer, run: Run) -> None:
        """Return when the object is there, whole and checked.

        Raises ImageChanged if the disk was written to meanwhile; then nothing is left of the upload.
        """
        if self._there():
            run.reporter.note(f"the bytes are there already, in s3://{self.bucket}/{self.key}")
            transfer.forget()
            return
        upload_id, stored = self._begin(transfer)
        try:
            receipts = self._send(upload_id, stored, transfer, run)
            self.disk.check_unchanged()
        except LkcloudError:
            self._abort_if_changed(upload_id, transfer)
            raise
        crc = self._complete(upload_id, receipts)
        self._verify(crc)
        transfer.forget()

    def _abort_if_changed(self, upload_id: str, transfer: Transfer) -> None:
        """Raise ImageChanged, with nothing left of the upload, if the disk was written to."""
        try:
            self.disk.check_unchanged()
        except ImageChanged:
            # What was sent is neither the old disk nor the new one.
            abort(self.session, self.bucket, self.key, upload_id)
            transfer.forget()
            raise

    def _there(self) -> bool:
        """Tell whether the object is there with the right bytes; one with other bytes is deleted.

        S3 tells the checksum that it keeps, so that only our own side is read.
        """
        found = self._head()
        if found is None:
            return False
        size, crc = found
        if size == self.layout.size and crc is not None and crc == self._crc():
            return True
        delete(self.session, self.bucket, self.key)
        return False

    def _head(self) -> tuple[int, int | None] | None:
        """Return size and CRC-32 of the object, None if there is none."""
        try:
            found = self.session.attempt(
                lambda: self.session.s3.head_object(Bucket=self.bucket, Key=self.key, ChecksumMode="ENABLED")
            )
        except Exception as error:
            if code_of(error) in ("404", "NoSuchKey", "NotFound"):
                return None
            raise explain(error, f"looking for s3://{self.bucket}/{self.key}") from error
        whole = found.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        return found["ContentLength"], _decode(found.get("ChecksumCRC32")) if whole else None

    def _crc(self) -> int:
        """Return the CRC-32 of the whole layout."""
        crc = 0
        for offset in range(0, self.layout.size, MIB):
            crc = isal_zlib.crc32(self.layout.read(offset, min(MIB, self.layout.size - offset)), crc)
        return crc

    def _begin(self, transfer: Transfer) -> tuple[str, dict[int, Stored]]:
        """Return the upload to go on with, or a new one, and the parts that it has.

        Of several, the one that has most is kept, the oldest of equals: two runs that meet choose the same. The others
        are given up.
        """
        kept: tuple[Open, dict[int, Stored]] | None = None
        found = [one for one in unfinished(self.session, self.bucket, self.key) if one.key == self.key]
        for one in sorted(found, key=lambda one: (one.initiated, one.id)):
            stored = self._stored(one.id) if one.usable else None
            if stored is not None and (kept is None or len(stored) > len(kept[1])):
                kept = one, stored
        for one in found:
            if kept is None or one.id != kept[0].id:
                abort(self.session, self.bucket, self.key, one.id)
        if kept is None:
            upload_id = self._create()
            transfer.begin(upload_id)
            return upload_id, {}
        upload_id, stored = kept[0].id, kept[1]
        self._trust(transfer, upload_id, stored)
        return upload_id, stored

    def _trust(self, transfer: Transfer, upload_id: str, stored: dict[int, Stored]) -> None:
        """Keep of the journal's receipts those that S3 confirms."""
        transfer.begin(upload_id)
        remembered = transfer.receipts()
        confirmed = {
            number: receipt
            for number, receipt in remembered.items()
            if receipt and number in stored and stored[number].receipt == receipt
        }
        if len(confirmed) < len(remembered):
            transfer.forget()
            transfer.begin(upload_id)
            transfer.record_all(confirmed)

    def _create(self) -> str:
        attempts = 0

        def request() -> str:
            nonlocal attempts
            attempts += 1
            answer = self.session.s3.create_multipart_upload(
                Bucket=self.bucket,
                Key=self.key,
                ChecksumAlgorithm="CRC32",
                ChecksumType="FULL_OBJECT",
                ContentType="application/octet-stream",
            )
            return answer["UploadId"]

        upload_id = self.session.call(f"beginning the upload to {self.bucket}", request)
        if attempts > 1:
            # An attempt whose answer was lost may have begun one too, which has no idempotency token.
            for one in unfinished(self.session, self.bucket, self.key):
                if one.key == self.key and one.id != upload_id:
                    abort(self.session, self.bucket, one.key, one.id)
        return upload_id

    def _stored(self, upload_id: str) -> dict[int, Stored] | None:
        """Return the parts of an upload, None if it is gone."""

        def ask() -> dict[int, Stored]:
            pages = self.session.s3.get_paginator("list_parts").paginate(
                Bucket=self.bucket, Key=self.key, UploadId=upload_id
            )
            return {
                part["PartNumber"]: Stored(part["Size"], part["ETag"], _decode(part.get("ChecksumCRC32")))
                for page in pages
                for part in page.get("Parts", [])
            }

        try:
            return self.session.attempt(ask)
        except Exception as error:
            if code_of(error) == "NoSuchUpload":
                return None
            raise explain(error, f"listing the parts of {self.key}") from error

    def _send(self, upload_id: str, stored: dict[int, Stored], transfer: Transfer, run: Run) -> dict[int, str]:
        every = parts(self.layout.size)
        workers = min(self.options.workers, max(2, _IN_MEMORY // every[0].length))
        limits = Limits(
            workers=workers,
            patience=1800.0,
            attempt_timeout=max(60.0, every[0].length / _SLOWEST),
            rate=self.options.rate,
        )
        with run.reporter.stage("upload") as meter, DataPlane.s3(self.session, workers, self.bucket) as plane:
            meter.expect(self.layout.size)

            buffers = Buffers(every[0].length)

            def put(part: Part, timeout: float) -> str:
                data = buffers.own()[: part.length]
                crc = self._fill(data, part.offset)
                there = stored.get(part.number)
                if there and there.size == len(data) and there.crc == crc:
                    return there.receipt
                run.tally.add(len(data))
                return _receipt(plane.put_part(self.key, upload_id, part.number, data, crc=crc, timeout=timeout), crc)

            try:
                sent = send(every, put, judge=judge, limits=limits, meter=meter, transfer=transfer)
            except LkcloudError:
                raise
            except Exception as error:
                raise explain(error, f"uploading to s3://{self.bucket}/{self.key}") from error
        return dict(sent.receipts)

    def _fill(self, data: memoryview, offset: int) -> int:
        """Read the bytes from OFFSET on into DATA; return their CRC-32, taken while the processor's cache has them."""
        crc = 0
        for start in range(0, len(data), MIB):
            piece = data[start : start + MIB]
            self.layout.readinto(offset + start, piece)
            crc = isal_zlib.crc32(piece, crc)
        return crc

    def _complete(self, upload_id: str, receipts: dict[int, str]) -> int:
        """Make the parts an object and return its CRC-32."""
        whole = 0
        listed: list[CompletedPartTypeDef] = []
        for part in parts(self.layout.size):
            etag, crc = _take_apart(receipts[part.number])
            whole = isal_zlib.crc32_combine(whole, crc, part.length)
            listed.append({"PartNumber": part.number, "ETag": etag, "ChecksumCRC32": _encode(crc)})

        def request() -> None:
            self.session.s3.complete_multipart_upload(
                Bucket=self.bucket,
                Key=self.key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},
                ChecksumCRC32=_encode(whole),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=self.layout.size,
                IfNoneMatch="*",
            )

        try:
            self.session.attempt(request)
        except Exception as error:
            # The answer to an attempt before may have been lost; then the object is there, and is verified next.
            if code_of(error) not in ("NoSuchUpload", "PreconditionFailed", "ConditionalRequestConflict"):
                raise explain(error, f"completing the upload of {self.key}") from error
            if self._head() is None:
                raise explain(error, f"completing the upload of {self.key}") from error
            abort(self.session, self.bucket, self.key, upload_id)
        return whole

    def _verify(self, crc: int) -> None:
        found = self._head()
        if found is None or found[0] != self.layout.size or found[1] not in (crc, None):
            delete(self.session, self.bucket, self.key)
            raise Corrupt(
                f"aws: s3://{self.bucket}/{self.key} is not what was sent",
                hint="run the same command again; if it stays, check memory and network",
            )


def _receipt(etag: str, crc: int) -> str:
    return f"{crc:08x} {etag}"


def _take_apart(receipt: str) -> tuple[str, int]:
    crc, _, etag = receipt.partition(" ")
    return etag, int(crc, 16)


def _encode(crc: int) -> str:
    """Return a CRC-32 as S3 writes it: big-endian, in base64."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _decode(text: str | None) -> int | None:
    return int.from_bytes(base64.b64decode(text), "big") if text else None

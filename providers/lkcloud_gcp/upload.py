# SPDX-License-Identifier: Apache-2.0
"""A disk on its way to Cloud Storage: the tarball that Compute Engine imports, by one method or the other."""

from dataclasses import dataclass
from functools import cached_property

from lkcloud.errors import Conflict, LkcloudError, Refused
from lkcloud.provider import Blob, Run, Source
from lkcloud.transfer.journal import Transfer
from lkcloud_gcp import bucket, crc32c, naming, objects
from lkcloud_gcp.bucket import Bucket
from lkcloud_gcp.composite import WHOLE, Composite
from lkcloud_gcp.naming import DIGEST
from lkcloud_gcp.objects import Stored, Target
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.resumable import Resumable
from lkcloud_gcp.session import Session
from lkcloud_gcp.tarball import Tarball

NAME = "lkcloud-name"
"""Metadata of the tarball: the name of the image that it is for."""


def upload(session: Session, options: GcpOptions, source: Source, run: Run) -> Blob:
    """Return the object with the tarball: one that is there, one that an earlier run began, or a new one.

    The bucket is made if it is the project's own and missing. Raises ImageChanged if the disk was written to meanwhile;
    then nothing is left of the upload.
    """
    where = bucket.prepare(session, options, run)
    return _Upload(session, options, source, where).upload(run)


@dataclass(frozen=True)
class _Upload:
    """Uploads SOURCE into the bucket WHERE."""

    session: Session
    options: GcpOptions
    source: Source
    where: Bucket

    def upload(self, run: Run) -> Blob:
        # The lock is for both methods: two runs of this machine would be at the same object.
        with run.journal.transfer(f"gcp {self.session.storage_url} {self.where.name}/{self._target.name}") as transfer:
            stored = self._there()
            if stored is not None:
                run.reporter.note(f"the bytes are there already, in {stored.url}")
            else:
                stored = self._send_or_find(transfer, run)
                self._require_key(stored)
            transfer.forget()
            self._tidy(run)
        if self.options.keep_object and self.where.own:
            run.reporter.note(f"{stored.url} will be deleted after {bucket.KEPT_DAYS} days, as all in that bucket is")
        return objects.blob_of(stored, self.where.location, self.source.name, self.source.digest)

    @cached_property
    def _target(self) -> Target:
        source = self.source
        return Target(
            bucket=self.where.name,
            name=naming.tarball(self.options.object_prefix, source.name, source.digest),
            content_type="application/gzip",
            metadata={DIGEST: source.digest, NAME: source.name},
            kms_key=self.options.object_kms_key,
        )

    @property
    def _folder(self) -> str:
        return naming.parts_folder(self.options.object_prefix, self.source.name, self.source.digest)

    def _send_or_find(self, transfer: Transfer, run: Run) -> Stored:
        """Return the object when it is there; a run of another machine may have been quicker."""
        try:
            return self._send(transfer, run)
        except Conflict:
            if (found := self._there()) is None:
                raise
            return found

    def _send(self, transfer: Transfer, run: Run) -> Stored:
        tarball = Tarball(self.source.disk, self.options.compression_level)
        if self.options.method == "resumable":
            return Resumable(self.session, self.options, tarball, self._target).upload(transfer, run)
        return Composite(self.session, self.options, tarball, self._target, self._folder).upload(run)

    def _there(self) -> Stored | None:
        """Return the object if it is there with the right bytes and key; one of ours that has others is deleted.

        It is made only after the disk was seen not to have changed, and names the checksum that it must have.
        """
        found = objects.find(self.session, self.where.name, self._target.name)
        if found is None:
            return None
        if found.metadata.get(DIGEST) != self.source.digest:
            raise Conflict(
                f"gcp: {found.url} is there, and lkcloud did not make it",
                hint="delete it, or choose another --object-prefix",
            )
        whole = crc32c.decode(found.metadata.get(WHOLE))
        if whole in (found.crc32c, None) and self._has_key(found):
            return found
        objects.delete(self.session, found)
        return None

    def _has_key(self, stored: Stored) -> bool:
        key = self.options.object_kms_key
        # The service tells the version of the key that was used: KEY/cryptoKeyVersions/N.
        return key is None or f"{stored.kms_key}/".startswith(f"{key}/")

    def _require_key(self, stored: Stored) -> None:
        """Raise Refused, with the object deleted, if it was not encrypted as was asked for.

        To objects.compose the SDK gives the key as part of the object that is to be made, and not by the parameter
        kmsKeyName; that the service takes it from there is documented by half a sentence only.
        """
        if self._has_key(stored):
            return
        objects.delete(self.session, stored)
        raise Refused(
            f"gcp: {stored.url} was not encrypted with {self.options.object_kms_key}",
            hint="make it the default key of the bucket, or use --method resumable",
        )

    def _tidy(self, run: Run) -> None:
        """Delete the parts; an identity that may not leaves them, and the user is told."""
        try:
            objects.delete_all(self.session, self.where.name, self._folder)
        except LkcloudError as error:
            run.reporter.warn(f"gs://{self.where.name}/{self._folder} is left behind: {error.message}")

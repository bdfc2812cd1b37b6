# SPDX-License-Identifier: Apache-2.0
"""A disk's bytes written into a page blob of a storage account.

Nothing of another is overwritten: a blob is made only where there is none, and each request names the number that was
chosen for it then. https://learn.microsoft.com/rest/api/storageservices/put-page
"""

from dataclasses import dataclass
from functools import cached_property

from lkcloud.errors import Conflict, Corrupt, ImageChanged, LkcloudError, Unreachable, UnusableImage
from lkcloud.provider import Blob, Run, Source
from lkcloud.transfer.journal import Transfer
from lkcloud_azure import naming, storage
from lkcloud_azure.data_plane import DataPlane
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.page_blobs import BlobPlace, PageBlob
from lkcloud_azure.page_upload import SCHEME, PageUpload
from lkcloud_azure.pages import Plan
from lkcloud_azure.session import Session
from lkcloud_azure.storage import Account, TokenAccess

KIND = "page-blob"
"""Kind of a Blob that is a page blob; its id is the blob's URL."""

_LOOKS = 5
"""How often what Azure holds is compared while something else changes the blob."""


@dataclass(frozen=True)
class BlobUpload:
    """Writes one source into one page blob of ACCOUNT."""

    session: Session
    options: AzureOptions
    source: Source
    account: Account

    def upload(self, run: Run) -> Blob:
        """Return the page blob, whole: one that is there, one that an earlier run began, or a new one.

        Raises ImageChanged if the disk was written to meanwhile; then nothing is left of the upload.
        """
        with run.journal.transfer(f"azure {self._place.url}") as transfer:
            blob = self._present() or self._make()
            if blob.complete:
                run.reporter.note(f"the bytes are there already, in {blob.url}")
            else:
                self._write(blob, transfer, run)
            transfer.forget()
        return Blob("azure", self.account.location, blob.url, KIND, self.source.name, self.source.digest, "complete")

    @cached_property
    def _place(self) -> BlobPlace:
        source, service = self.source, storage.service(self.session, self.account)
        # Azure makes images only of blobs whose name ends so (osbuild/osbuild-composer#556).
        name = f"{naming.upload_name(source.name, source.digest)}.vhd"
        return BlobPlace.at(self.session, service, self.options.container, name)

    @cached_property
    def _plan(self) -> Plan:
        return Plan(self.source.disk)

    def _present(self) -> PageBlob | None:
        """Return the blob to use or go on with, None if there is none; one of ours that is of no use is deleted."""
        found = self._place.find()
        if found is None:
            return None
        self._require_ours(found)
        if not found.paged or found.size != self._plan.size:
            self._place.delete()
            return None
        return found

    def _make(self) -> PageBlob:
        made = self._place.make(size=self._plan.size, image=self.source.name, digest=self.source.digest)
        self._require_ours(made)
        return made

    def _require_ours(self, found: PageBlob) -> None:
        if (found.image, found.digest) != (self.source.name, self.source.digest):
            raise Conflict(
                f"azure: there is {found.url}, and it is none of this image",
                hint="delete it, or give another --name or --container",
            )

    def _write(self, blob: PageBlob, transfer: Transfer, run: Run) -> None:
        """Write the blob and mark it as complete, unless another run has done so before."""
        transfer.begin(f"{blob.number} {SCHEME}")
        access = TokenAccess(self.session, blob.url)
        conditions = {"x-ms-if-sequence-number-eq": str(blob.number)}
        try:
            with DataPlane(access, self.options.workers, self.session.ca, conditions) as plane:
                pages = PageUpload(
                    self.session, self.options, self.source.disk, self._plan, plane, blob.url, run, clears=True
                )
                self._complete(blob, pages, pages.write(transfer))
        except ImageChanged:
            # What is there is a part of the old disk, which nobody has any more.
            if not self._is_complete(blob):
                self._remove(transfer, run)
            raise
        except (Unreachable, UnusableImage):
            raise
        except LkcloudError:
            if not self._is_complete(blob):
                raise

    def _remove(self, transfer: Transfer, run: Run) -> None:
        """Delete the blob; if that fails the user is told."""
        try:
            self._place.delete()
            transfer.forget()
        except LkcloudError as error:
            run.reporter.warn(f"{self._place.url} is left behind: {error.message}")

    def _complete(self, blob: PageBlob, pages: PageUpload, etag: str) -> None:
        """Mark BLOB as complete as it was when it had this ETAG; if it has changed since, look at it again."""
        for _ in range(_LOOKS):
            if etag and self._place.mark_complete(blob, etag):
                return
            if self._is_complete(blob):
                return
            etag = pages.audit(whole=True)
        raise Corrupt(f"azure: something else writes to {blob.url}", hint="stop it, and run the same command again")

    def _is_complete(self, blob: PageBlob) -> bool:
        """Tell whether BLOB is complete, by us, another run or a request whose answer was lost."""
        found = self._place.find()
        return found is not None and found.number == blob.number and found.complete

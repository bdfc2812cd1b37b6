# SPDX-License-Identifier: Apache-2.0
"""Azure as a provider: each method finds the module that does it, and loads the SDK only then."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from lkcloud import registry
from lkcloud.diagnosis import Diagnosis, Purpose
from lkcloud.errors import NotFound
from lkcloud.life import withdrawal
from lkcloud.provider import Blob, Deprecation, Due, Finding, Hold, Image, Machine, Run, Source
from lkcloud_azure import validation
from lkcloud_azure.options import AzureOptions

if TYPE_CHECKING:
    from lkcloud.disk.readiness import Needs
    from lkcloud_azure.session import Session


@dataclass(frozen=True)
class Azure:
    """Disks become managed images, or versions in an Azure Compute Gallery."""

    options: AzureOptions = field(default_factory=AzureOptions)
    name: ClassVar[str] = "azure"

    @cached_property
    def _session(self) -> "Session":
        from lkcloud_azure.session import Session

        options = self.options
        return Session(options.cloud_environment, options.resource_manager, options.subscription)

    def load(self) -> None:
        """Import all that the other methods need."""
        registry.import_all(
            "lkcloud_azure",
            "azure.identity",
            "azure.mgmt.authorization",
            "azure.mgmt.compute",
            "azure.mgmt.network",
            "azure.mgmt.resource.resources",
            "azure.mgmt.storage",
            "azure.storage.blob",
        )

    def validate(self, source: Source) -> Iterator[Finding]:
        """Yield what can be known to be wrong without asking Azure."""
        return validation.validate(self.options, source)

    def needs(self) -> "Needs":
        """Return what a disk needs to boot there."""
        from lkcloud_azure import readiness

        return readiness.NEEDS

    def check(self, source: Source) -> Iterator[Finding]:
        """Ask Azure what stands in the way: identity, subscription, providers, permissions, region, gallery."""
        from lkcloud_azure import checks

        return checks.check(self._session, self.options, source)

    def diagnose(self, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
        """Look at identity, subscription, providers, permissions and what is there, making nothing."""
        from lkcloud_azure import diagnosis

        return diagnosis.diagnose(self._session, self.options, purposes)

    def find(self, name: str) -> Image | None:
        """Return the image called NAME: a managed image, or with a gallery the version that has it in its tags."""
        from lkcloud_azure import images

        return images.find(self._session, self.options, name)

    def get(self, image_id: str) -> Image | None:
        """Return the image with this resource id."""
        from lkcloud_azure import images

        return images.get(self._session, image_id)

    def images(self) -> Iterator[Image]:
        """Yield every image of the resource group and of the gallery that lkcloud made, oldest first."""
        from lkcloud_azure import images

        return iter(images.every(self._session, self.options))

    def upload(self, source: Source, run: Run) -> Blob:
        """Write the disk into a managed disk or a page blob, by the method of the options."""
        from lkcloud_azure.upload import upload

        return upload(self._session, self.options, source, run)

    def register(self, source: Source, blob: Blob, run: Run) -> Image:
        """Make the image from the upload, wait until it can be used, and remove the upload."""
        from lkcloud_azure.register import register

        return register(self._session, self.options, source, blob, run)

    def share(self, image: Image, run: Run) -> None:
        """Let those whom the options name use the image, beside those who may already."""
        from lkcloud_azure import sharing

        withdrawal.refuse(image)
        sharing.share(self._session, self.options, image, run)

    def promote(self, image: Image, run: Run) -> None:
        """Let `latest` of the image definition lead to the version, if the options say so."""
        from lkcloud_azure import lifecycle

        withdrawal.refuse(image)
        lifecycle.promote(self._session, self.options, image, run)

    def deprecate(self, image: Image, deprecation: Deprecation, run: Run) -> None:
        """Say of a gallery image version, by its end of life, that it should no longer be used."""
        from lkcloud_azure import lifecycle

        lifecycle.deprecate(self._session, image, deprecation, run)

    def withdraw(self, image: Image, run: Run) -> None:
        """Let `latest` pass over a version, or take back what a managed image was shared with, and mark it."""
        from lkcloud_azure import withdrawal as withdrawing

        withdrawing.withdraw(self._session, image, run)

    def due(self, now: datetime) -> Iterator[Due]:
        """Yield the versions in the gallery whose end of life has come."""
        from lkcloud_azure import sweeping

        return sweeping.due(self._session, self.options, now)

    def holds(self, images: Sequence[Image]) -> Iterator[Hold]:
        """Yield what leads to an image, uses or protects it."""
        from lkcloud_azure import references

        return references.holds(self._session, images)

    def tidy(self, source: Source, run: Run) -> None:
        """Remove the upload that a push has left which died when the image was made."""
        del run
        from lkcloud_azure import leftovers

        leftovers.tidy(self._session, self.options, source)

    def delete(self, resource: Image | Blob) -> None:
        """Delete an image, or what an unfinished push has left."""
        from lkcloud_azure import images, leftovers

        if isinstance(resource, Image):
            images.delete(self._session, resource)
        else:
            leftovers.delete(self._session, self.options, resource)

    def leftovers(self, name: str) -> Iterator[Blob]:
        """Yield what unfinished pushes of images called NAME have left ("" = of any name)."""
        from lkcloud_azure import leftovers

        return leftovers.leftovers(self._session, self.options, name)

    def launch(self, image: Image, run: Run) -> Machine:
        """Start a test machine without a public address."""
        from lkcloud_azure.launch import Launcher

        if not image.ready:
            raise NotFound(f"azure: the image {image.id} is {image.state}, not Succeeded", hint="wait until it is")
        return Launcher(self._session, self.options, image).launch(run)

# SPDX-License-Identifier: Apache-2.0
"""Google Cloud as a provider: each method finds the module that does it, and loads the SDK only then."""

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
from lkcloud_gcp import validation
from lkcloud_gcp.options import GcpOptions

if TYPE_CHECKING:
    from lkcloud.disk.readiness import Needs
    from lkcloud_gcp.session import Session


@dataclass(frozen=True)
class Gcp:
    """Disks become Compute Engine images."""

    options: GcpOptions = field(default_factory=GcpOptions)
    name: ClassVar[str] = "gcp"

    @cached_property
    def _session(self) -> "Session":
        from lkcloud_gcp.session import Session

        return Session(self.options.project)

    def load(self) -> None:
        """Import all that the other methods need."""
        from lkcloud_gcp import compute_sdk

        compute_sdk.prepare()
        registry.import_all("lkcloud_gcp", *compute_sdk.MODULES, "google.cloud.storage")

    def validate(self, source: Source) -> Iterator[Finding]:
        """Yield what can be known to be wrong without asking Google."""
        return validation.validate(self.options, source)

    def needs(self) -> "Needs":
        """Return what a disk needs to boot there."""
        from lkcloud_gcp import readiness

        return readiness.NEEDS

    def check(self, source: Source) -> Iterator[Finding]:
        """Ask Google what stands in the way: identity, project, API, permissions, bucket."""
        from lkcloud_gcp import checks

        return checks.check(self._session, self.options, source)

    def diagnose(self, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
        """Look at identity, project, APIs, permissions, quota and bucket, making nothing."""
        from lkcloud_gcp import diagnosis

        return diagnosis.diagnose(self._session, self.options, purposes)

    def find(self, name: str) -> Image | None:
        """Return the image of the project that is called NAME."""
        from lkcloud_gcp import images

        return images.find(self._session, name)

    def get(self, image_id: str) -> Image | None:
        """Return the image with this id, which is its name."""
        from lkcloud_gcp import images

        return images.find(self._session, image_id)

    def images(self) -> Iterator[Image]:
        """Yield every image of the project that lkcloud made, oldest first."""
        from lkcloud_gcp import images

        return iter(images.every(self._session))

    def upload(self, source: Source, run: Run) -> Blob:
        """Put the tarball into the bucket, by the method of the options."""
        from lkcloud_gcp.upload import upload

        return upload(self._session, self.options, source, run)

    def register(self, source: Source, blob: Blob, run: Run) -> Image:
        """Make the image from the tarball, wait until it is ready, and remove the tarball."""
        from lkcloud_gcp.register import Registration

        return Registration(self._session, self.options, source).register(blob, run)

    def share(self, image: Image, run: Run) -> None:
        """Let those whom the options name use the image, beside those who may already."""
        from lkcloud_gcp import sharing

        withdrawal.refuse(image)
        sharing.share(self._session, self.options, image, run)

    def promote(self, image: Image, run: Run) -> None:
        """Put the image into the family of the options."""
        from lkcloud_gcp import lifecycle

        withdrawal.refuse(image)
        lifecycle.promote(self._session, self.options, image, run)

    def deprecate(self, image: Image, deprecation: Deprecation, run: Run) -> None:
        """Set the image's deprecation status."""
        from lkcloud_gcp import lifecycle

        lifecycle.deprecate(self._session, image, deprecation, run)

    def withdraw(self, image: Image, run: Run) -> None:
        """Make the image private and obsolete, and label it."""
        from lkcloud_gcp import withdrawal as withdrawing

        withdrawing.withdraw(self._session, image, run)

    def due(self, now: datetime) -> Iterator[Due]:
        """Yield what the dates of images ask for."""
        from lkcloud_gcp import sweeping

        return sweeping.due(self._session, now)

    def holds(self, images: Sequence[Image]) -> Iterator[Hold]:
        """Yield what leads to an image, or makes machines from it."""
        from lkcloud_gcp import references

        return references.holds(self._session, images)

    def tidy(self, source: Source, run: Run) -> None:
        """Remove the tarball that a push has left which died after the import."""
        del run
        from lkcloud_gcp import leftovers

        leftovers.tidy(self._session, self.options, source)

    def delete(self, resource: Image | Blob) -> None:
        """Delete an image, or what an unfinished push has left."""
        from lkcloud_gcp import images, leftovers

        if isinstance(resource, Image):
            images.delete(self._session, resource)
        else:
            leftovers.delete(self._session, self.options, resource)

    def leftovers(self, name: str) -> Iterator[Blob]:
        """Yield what unfinished pushes of images called NAME have left ("" = of any name)."""
        from lkcloud_gcp import leftovers

        return leftovers.leftovers(self._session, self.options, name)

    def launch(self, image: Image, run: Run) -> Machine:
        """Start a test instance without an external address."""
        from lkcloud_gcp.launch import Launcher

        if not image.ready:
            raise NotFound(f"gcp: the image {image.id} is {image.state}, not READY", hint="wait until it is")
        return Launcher(self._session, self.options, image).launch(run)

# SPDX-License-Identifier: Apache-2.0
"""Amazon Web Services as a provider: each method finds the module that does it, and loads the SDK only then."""

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
from lkcloud_aws import validation
from lkcloud_aws.options import AwsOptions

if TYPE_CHECKING:
    from lkcloud.disk.readiness import Needs
    from lkcloud_aws.session import Session


@dataclass(frozen=True)
class Aws:
    """Disks become AMIs on EC2."""

    options: AwsOptions = field(default_factory=AwsOptions)
    name: ClassVar[str] = "aws"

    @cached_property
    def _session(self) -> "Session":
        from lkcloud_aws.session import Session

        return Session(self.options.profile, self.options.region)

    def load(self) -> None:
        """Import all that the other methods need."""
        registry.import_all("lkcloud_aws", "boto3.session")

    def validate(self, source: Source) -> Iterator[Finding]:
        """Yield what can be known to be wrong without asking AWS."""
        return validation.validate(self.options, source)

    def needs(self) -> "Needs":
        """Return what a disk needs to boot there."""
        from lkcloud_aws import readiness

        return readiness.NEEDS

    def check(self, source: Source) -> Iterator[Finding]:
        """Ask AWS what stands in the way: identity, region, permission to register, bucket and role."""
        from lkcloud_aws import checks

        return checks.check(self._session, self.options, source)

    def diagnose(self, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
        """Yield what was found out about the account."""
        from lkcloud_aws import diagnosis

        return diagnosis.diagnose(self._session, self.options, purposes)

    def find(self, name: str) -> Image | None:
        """Return the image of this account that is called NAME."""
        from lkcloud_aws import images

        return images.find(self._session, name)

    def get(self, image_id: str) -> Image | None:
        """Return the image with this id."""
        from lkcloud_aws import images

        return images.get(self._session, image_id)

    def images(self) -> Iterator[Image]:
        """Yield every image in the region that lkcloud made, oldest first."""
        from lkcloud_aws import images

        return iter(images.every(self._session))

    def upload(self, source: Source, run: Run) -> Blob:
        """Make the snapshot, by the method of the options."""
        session = self._session
        if self.options.method == "import":
            from lkcloud_aws.snapshot_import import SnapshotImport

            return SnapshotImport(session, self.options, source).upload(run).blob(session.region)
        from lkcloud_aws.ebs_direct import EbsDirect

        return EbsDirect(session, self.options, source).upload(run).blob(session.region)

    def register(self, source: Source, blob: Blob, run: Run) -> Image:
        """Make the image from the snapshot and wait until it is available."""
        from lkcloud_aws.register import Registration

        return Registration(self._session, self.options, source).register(blob.id, run)

    def copy(self, image: Image, run: Run, *, replacing: bool = False) -> tuple[Image, ...]:
        """Copy the image to the regions of the options, all side by side."""
        from lkcloud_aws import copies

        withdrawal.refuse(image)
        return copies.copy(self._at(image), self.options, image, run, replacing=replacing)

    def share(self, image: Image, run: Run) -> None:
        """Let those whom the options name use the image, in its region, beside those who may already."""
        from lkcloud_aws import sharing

        withdrawal.refuse(image)
        sharing.share(self._at(image), self.options, image, run)

    def promote(self, image: Image, run: Run) -> None:
        """Let the parameters of the options name the image, in its region."""
        from lkcloud_aws import promotion

        withdrawal.refuse(image)
        promotion.promote(self._at(image), self.options, image, run)

    def protect(self, image: Image, run: Run) -> None:
        """Protect the image from deregistration, or no longer."""
        from lkcloud_aws import protection

        protection.protect(self._at(image), self.options, image, run)

    def deprecate(self, image: Image, deprecation: Deprecation, run: Run) -> None:
        """Let AWS deprecate the image, or disable it."""
        from lkcloud_aws import deprecation as deprecating

        deprecating.deprecate(self._at(image), image, deprecation, run)

    def withdraw(self, image: Image, run: Run) -> None:
        """Disable the image, take back its snapshots, and mark it."""
        from lkcloud_aws import withdrawal as withdrawing

        withdrawing.withdraw(self._at(image), image, run)

    def due(self, now: datetime) -> Iterator[Due]:
        """Yield what the dates ask for that are tags of images in the region."""
        from lkcloud_aws import sweeping

        return sweeping.due(self._session, now)

    def holds(self, images: Sequence[Image]) -> Iterator[Hold]:
        """Yield what uses, leads to or protects an image, in its region."""
        from lkcloud_aws import references

        for region in sorted({image.region for image in images}):
            here = [image for image in images if image.region == region]
            yield from references.holds(self._session.at(region), here)

    def delete(self, resource: Image | Blob) -> None:
        """Delete an image with its snapshots, or what an unfinished push has left, in the region where it is."""
        from lkcloud_aws import images, leftovers

        if isinstance(resource, Image):
            images.delete(self._at(resource), resource)
        else:
            leftovers.delete(self._at(resource), resource)

    def leftovers(self, name: str) -> Iterator[Blob]:
        """Yield what unfinished pushes of images called NAME have left ("" = of any name)."""
        from lkcloud_aws import leftovers

        return leftovers.leftovers(self._session, self.options, name)

    def launch(self, image: Image, run: Run) -> Machine:
        """Start a test instance without a public address."""
        from lkcloud_aws.launch import Launcher

        if not image.ready:
            raise NotFound(
                f"aws: the image {image.id} is {image.state}, not available", hint="wait until it is available"
            )
        return Launcher(self._at(image), self.options, image).launch(run)

    def _at(self, resource: Image | Blob) -> "Session":
        """Return the session of the region in which RESOURCE is: copies are elsewhere."""
        return self._session.at(resource.region)

# SPDX-License-Identifier: Apache-2.0
"""This machine as a provider: images are files in a folder, and machines run in QEMU.

It needs no SDK, no account and no stand-in. It is the smallest provider, and a fair one to begin another with
(docs/writing-a-provider.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from lkcloud.provider import Blob, Finding, Image, Machine, Run, Source
from lkcloud_qemu import validation
from lkcloud_qemu.folder import CLOUD, Folder
from lkcloud_qemu.options import LocalOptions

if TYPE_CHECKING:
    from lkcloud.diagnosis import Diagnosis, Purpose
    from lkcloud.disk.readiness import Needs


@dataclass(frozen=True)
class Local:
    """Disks become files that QEMU boots."""

    options: LocalOptions = field(default_factory=LocalOptions)
    name: ClassVar[str] = CLOUD

    @property
    def _folder(self) -> Folder:
        return Folder.chosen(self.options.folder)

    def validate(self, source: Source) -> Iterator[Finding]:
        """Yield what can be known to be wrong without a look at the folder."""
        return validation.validate(self.options, source)

    def check(self, source: Source) -> Iterator[Finding]:
        """Look whether the folder can be written to, and whether QEMU is there."""
        return validation.check(self._folder, self.options, source)

    def needs(self) -> "Needs":
        """Return what a disk needs to boot here."""
        from lkcloud_qemu import readiness

        return readiness.NEEDS

    def diagnose(self, purposes: "Sequence[Purpose]") -> "Iterator[Diagnosis]":
        """Yield whether this machine is ready."""
        from lkcloud_qemu import diagnosis

        return diagnosis.diagnose(self._folder, purposes)

    def find(self, name: str) -> Image | None:
        """Return the image called NAME."""
        from lkcloud_qemu import images

        return images.find(self._folder, name)

    def get(self, image_id: str) -> Image | None:
        """Return the image with this id, which is its name."""
        return self.find(image_id)

    def images(self) -> Iterator[Image]:
        """Yield every image in the folder, oldest first."""
        from lkcloud_qemu import images

        return iter(images.every(self._folder))

    def upload(self, source: Source, run: Run) -> Blob:
        """Copy the data of the disk into the folder."""
        from lkcloud_qemu.upload import upload

        return upload(self._folder, self.options, source, run)

    def register(self, source: Source, blob: Blob, run: Run) -> Image:
        """Give the copy its name."""
        from lkcloud_qemu.upload import register

        return register(self._folder, source, blob, run)

    def promote(self, image: Image, run: Run) -> None:
        """Put the image into the family of the options."""
        from lkcloud_qemu import images

        if self.options.family:
            images.promote(self._folder, image, self.options.family)
            run.reporter.note(f"{image.id} is in the family {self.options.family}")

    def delete(self, resource: Image | Blob) -> None:
        """Delete an image, or what something unfinished has left."""
        from lkcloud_qemu import images, leftovers

        if isinstance(resource, Image):
            images.delete(self._folder, resource)
        else:
            leftovers.delete(self._folder, resource)

    def leftovers(self, name: str) -> Iterator[Blob]:
        """Yield what unfinished runs have left of images called NAME ("" = of any name)."""
        from lkcloud_qemu import leftovers

        return leftovers.leftovers(self._folder, name)

    def launch(self, image: Image, run: Run) -> Machine:
        """Start the image in QEMU."""
        from lkcloud_qemu.machine import launch

        return launch(self._folder, self.options, image, run)

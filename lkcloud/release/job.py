# SPDX-License-Identifier: Apache-2.0
"""One disk for one target: all that a worker, in this process or on another machine, needs to know of it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lkcloud import registry
from lkcloud.boot import Expectation
from lkcloud.disk.assemble.order import Wanted
from lkcloud.disk.inspect import inspect
from lkcloud.disk.objects import is_url
from lkcloud.errors import LkcloudError, UnusableImage, UsageError
from lkcloud.provider import Meaning
from lkcloud.release.hints import in_file
from lkcloud.release.image_file import ImageFile
from lkcloud.release.model import BootTest, Source, Target
from lkcloud.release.reading import Location, ReleaseFile
from lkcloud.release.templates import UnknownWord, filled, filled_all

if TYPE_CHECKING:
    from lkcloud.provider import Options, Provider


@dataclass(frozen=True, slots=True)
class Job:
    """IMAGE of the release for TARGET on CLOUD: the disk FILE becomes the image NAME with OPTIONS of the cloud.

    It can be sent to another process: of the options it has only what the file gives, texts and numbers, which
    `provider` makes a model of where it runs.
    """

    target: str
    image: str
    cloud: str
    file: ImageFile
    name: str
    description: str
    architecture: str
    """As `lkcloud inspect` has it, "" where the disk does not tell."""
    required: bool
    replace: bool
    test: Expectation | None
    """None if the image is not booted."""
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What it is called in what is told: `aws-eu/x86`."""
        return f"{self.target}/{self.image}"

    def provider(self) -> "Provider":
        """Return the provider with the options. Raises UsageError for options that it does not take."""
        model = registry.options_of(registry.load(self.cloud))
        options: Options = registry.options_from(
            model, self.options, called=str, hint=lambda field: f"see lkcloud push {self.cloud} --help ({field})"
        )
        return registry.make(self.cloud, options)


@dataclass(frozen=True, slots=True)
class _Disk:
    """A disk of the release, where it is and what its architecture is."""

    source: Source
    file: ImageFile
    architecture: str


class UnusableSource(UnusableImage):
    """The disk of IMAGE cannot be opened or read, as ERROR says."""

    def __init__(self, image: str, error: LkcloudError) -> None:
        super().__init__(error.message, hint=error.hint)
        self.image = image


Look = Callable[[Mapping[str, ImageFile]], Mapping[str, str]]
"""Looks at disks, given by the ids of their images, and returns their architectures, "" where a disk does not tell.

Raises UnusableSource for one that cannot be opened.
"""


def look_here(files: Mapping[str, ImageFile]) -> Mapping[str, str]:
    """Look at disks in this process; see `Look`."""
    found = {}
    for image, file in files.items():
        try:
            with file.open() as disk:
                found[image] = inspect(disk).architecture or ""
        except (UnusableImage, UsageError) as error:
            raise UnusableSource(image, error) from error
    return found


def jobs(
    file: ReleaseFile, only: tuple[str, ...] = (), look: Look = look_here, *, own_account: bool = False
) -> tuple[Job, ...]:
    """Return the jobs of a release, in the order of its targets; ONLY names clouds or targets, () is all.

    Options that the file does not give come from the environment. With an OWN_ACCOUNT, which a sandbox has, accounts,
    projects and subscriptions of the file are not used.
    LOOK is asked for the disks that are wanted. Raises UsageError for what is wrong with the file, and for a disk that
    cannot be opened, and what else LOOK raises.
    """
    release = file.release
    known = {word for target in release.targets for word in (target.cloud, target.label)}
    for word in only:
        if word not in known:
            raise UsageError(
                f"--only {word}: the release has no such cloud or target", hint=f"there are: {', '.join(sorted(known))}"
            )
    places = [(number, target, source) for number, target, source in _places(file) if _meant(target, only)]
    files = {source.id: _file(file, source) for _, _, source in places}
    try:
        architectures = look(files)
    except UnusableSource as error:
        index = next(number for number, source in enumerate(release.images) if source.id == error.image)
        raise file.error(("images", index, "file"), in_file(error.message), in_file(error.hint)) from error
    found = (
        _job(file, number, target, _Disk(source, files[source.id], architectures[source.id]), own_account=own_account)
        for number, target, source in places
    )
    return tuple(_unique(file, found))


def _places(file: ReleaseFile) -> Iterator[tuple[int, Target, Source]]:
    """Yield each target, with its number, and each image that goes there."""
    for number, target in enumerate(file.release.targets):
        for source in file.release.images:
            if target.images is None or source.id in target.images:
                yield number, target, source


def _meant(target: Target, only: tuple[str, ...]) -> bool:
    return not only or target.cloud in only or target.label in only


def _file(file: ReleaseFile, source: Source) -> ImageFile:
    folder = file.path.absolute().parent  # an absolute path stays as it is
    for initrd in source.initrd:
        if is_url(initrd):
            index = file.release.images.index(source)
            raise file.error(
                ("images", index, "initrd"), f"{initrd} is a URL", "fetch it first: an initramfs is given by its path"
            )
    return ImageFile(
        source.file if is_url(source.file) else str(folder / source.file),
        Wanted.said([folder / initrd for initrd in source.initrd], source.cmdline, source.boots_by),
    )


def _job(file: ReleaseFile, number: int, target: Target, disk: _Disk, *, own_account: bool) -> Job:
    release, source = file.release, disk.source
    words = {
        "version": release.version,
        "version_dashed": re.sub(r"[^A-Za-z0-9]+", "-", release.version).strip("-").lower(),
        "image": source.id,
        "target": target.label,
    }
    if disk.architecture:
        words["architecture"] = disk.architecture
    where: Location = ("targets", number)

    def fill(values: list[tuple[str | None, Location]]) -> str:
        text, place = next((text, place) for text, place in values if text is not None)
        try:
            return filled(text, words)
        except UnknownWord as error:
            raise file.error(place, str(error), _words_hint(disk)) from None

    source_at: Location = ("images", release.images.index(source))
    name = fill([(target.name, (*where, "name")), (source.name, (*source_at, "name")), (release.name, ("name",))])
    description = fill(
        [
            (target.description, (*where, "description")),
            (source.description, (*source_at, "description")),
            (release.description, ("description",)),
        ]
    )
    return Job(
        target=target.label,
        image=source.id,
        cloud=target.cloud,
        file=disk.file,
        name=name,
        description=description,
        architecture=disk.architecture,
        required=target.required,
        replace=target.replace,
        test=_expectation(target, release.defaults.test),
        options=_options(file, number, target, words, disk, own_account=own_account),
    )


def _options(
    file: ReleaseFile, number: int, target: Target, words: Mapping[str, str], disk: _Disk, *, own_account: bool
) -> Mapping[str, Any]:
    model = registry.options_of(registry.load(target.cloud))
    try:
        given = filled_all({**file.release.defaults.options.get(target.cloud, {}), **target.options}, words)
    except UnknownWord as error:
        raise file.error(("targets", number, "options"), str(error), _words_hint(disk)) from None
    try:
        model.model_validate(given)
    except ValidationError as error:
        raise file.options_error(error, number, model) from None
    if own_account:
        given = {key: value for key, value in given.items() if Meaning.ACCOUNT not in model.model_fields[key].metadata}
    return {**_surrounding(target.cloud, model, given), **given}


def _surrounding(cloud: str, model: "type[Options]", given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options that the environment gives beside those of the file.

    What the file says of one target comes before a variable, which would be for all of them. Raises UsageError that
    names the variable.
    """
    found = {key: value for key, value in registry.from_environment(cloud, model).items() if key not in given}
    registry.options_from(
        model,
        {**given, **found},
        called=lambda field: registry.variable(cloud, field),
        hint=lambda field: f"unset it, or give `{field}:` in the release file" if field else "mend the options",
    )
    return found


def _words_hint(disk: _Disk) -> str:
    if disk.architecture:
        return "write one of those words"
    return f"write one of those words; of {disk.source.id} nothing tells the architecture"


def _expectation(target: Target, default: BootTest | bool) -> Expectation | None:
    chosen = default if target.test is None else target.test
    if chosen is True and isinstance(default, BootTest):
        chosen = default
    if isinstance(chosen, BootTest):
        return Expectation(chosen.expect, chosen.timeout)
    return Expectation() if chosen else None


def _unique(file: ReleaseFile, found: Iterator[Job]) -> Iterator[Job]:
    """Yield what is FOUND. Raises UsageError where two disks would have one name at a target."""
    names: dict[tuple[str, str], str] = {}
    for job in found:
        other = names.setdefault((job.target, job.name), job.image)
        if other != job.image:
            raise file.error(
                ("name",),
                f"the images {other} and {job.image} are both called {job.name} at {job.target}",
                "put {image} or {architecture} into the name",
            )
        yield job

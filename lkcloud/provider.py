# SPDX-License-Identifier: Apache-2.0
"""What a cloud must do for lkcloud, and what some can besides.

A provider is a frozen dataclass with an `options` field and the methods of `Provider`. What only some clouds can do is
a Protocol of one method: a capability is a method that exists, never a flag and never a method that does nothing.
Importing a provider must not import its SDK. No SDK object crosses this border.

Errors: every method raises `lkcloud.errors.LkcloudError` or a subclass, never an error of the SDK.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from lkcloud.reporting import Reporter, Silent, Tally

if TYPE_CHECKING:
    # Only names in annotations: a provider's options, which every help shows, need none of it.
    from lkcloud.disk import Disk
    from lkcloud.disk.inspect import DiskFacts
    from lkcloud.disk.readiness import Needs
    from lkcloud.transfer.journal import Journal


class Used(Enum):
    """Where an option is of use besides `push`; put beside the field: `Annotated[str, Used.EVERYWHERE, Field(...)]`."""

    EVERYWHERE = "every command"
    LAUNCH = "commands that start a test machine"
    COPY = "commands that copy an image to other places"
    SHARE = "commands that let others use an image"
    PROMOTE = "commands that lead others to an image"
    """A push with one of these three boots the image first, unless the user says that it shall not."""
    PROTECT = "commands that keep an image from being deleted"


class Meaning(Enum):
    """What an option means to those who know no more of it; put beside the field as `Used` is."""

    ACCOUNT = "whose account, project or subscription it is: a sandbox has its own"


class Options(BaseModel):
    """The options of a provider: one field is one flag, one environment variable and one line of the docs.

    A field is `Annotated[T, Field(description=...)]` with a default; T is str, int, float, bool, Path, a Literal, one
    of these or None, or a tuple. A tuple is a flag that can be repeated, whose texts a BeforeValidator takes apart.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that stands in the way (or, if it is no obstacle, that one should know), and what to do about it."""

    problem: str
    hint: str
    obstacle: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """A disk on its way to becoming an image called NAME.

    DIGEST is the content digest, 64 hexadecimal digits; "" where it has not been computed (offline validation).
    """

    disk: "Disk"
    name: str
    facts: "DiskFacts"
    digest: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """Uploaded bytes that are no image yet: a snapshot, an object, a managed disk."""

    cloud: str
    region: str
    id: str
    kind: str
    """The cloud's word for it, such as `snapshot` or `multipart-upload`."""
    name: str = ""
    digest: str = ""
    state: str = ""
    created: datetime | None = field(default=None, compare=False)
    """When it was made, or last added to where the cloud tells that; None if the cloud tells neither."""
    kept: bool = False
    """Whether a push that ended well has left it on purpose, as its options said."""


@dataclass(frozen=True, slots=True)
class Image:
    """A registered image that machines can boot from."""

    cloud: str
    region: str
    id: str
    name: str
    kind: str = "image"
    """The cloud's word for it, such as `ami` or `gallery-image-version`."""
    account: str = ""
    """The account, project or subscription that it belongs to."""
    family: str = ""
    """What it is one of a row of: an image family, an image definition; "" if the cloud has, or was told, none."""
    digest: str = ""
    """The content digest of the disk it was made from; "" if lkcloud did not make it."""
    state: str = ""
    """The cloud's word: `available`, `READY`, `Succeeded`."""
    ready: bool = True
    """Whether machines can be made from it now."""
    architecture: str = ""
    created: datetime | None = None
    blobs: tuple[Blob, ...] = ()
    """What it stands on and is deleted with."""
    tags: tuple[tuple[str, str], ...] = ()
    withdrawn: datetime | None = None
    """When it was taken from all users, to be deleted later; None if it was not, or somebody has undone that since."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a provider is given for one run: where to tell, where to remember, and where to count what is sent."""

    journal: "Journal"
    reporter: Reporter = field(default_factory=Silent)
    tally: Tally = field(default_factory=Tally)


class Provider(Protocol):
    """A cloud that turns a disk into an image."""

    name: ClassVar[str]

    @property
    def options(self) -> Options:
        """What the user chose."""
        ...

    def validate(self, source: Source) -> Iterator[Finding]:
        """Yield what can be known to be wrong without asking the cloud, and without its SDK."""
        ...

    def check(self, source: Source) -> Iterator[Finding]:
        """Ask the cloud what stands in the way, making nothing: identity, region, bucket, role, name."""
        ...

    def find(self, name: str) -> Image | None:
        """Return the image of ours that is called NAME."""
        ...

    def get(self, image_id: str) -> Image | None:
        """Return the image with this id."""
        ...

    def upload(self, source: Source, run: Run) -> Blob:
        """Upload the disk, going on where an earlier run of the same name and digest stopped.

        The stage is called `upload`; what is sent is counted in `run.tally`.
        """
        ...

    def register(self, source: Source, blob: Blob, run: Run) -> Image:
        """Make the image and wait until it can be used; an image of this name and digest that is there is returned."""
        ...

    def delete(self, resource: Image | Blob) -> None:
        """Delete RESOURCE and what it stands on; what is already gone is no error."""
        ...


@runtime_checkable
class Lists(Protocol):
    """Images can be listed."""

    def images(self) -> Iterator[Image]:
        """Yield every image of ours, oldest first."""
        ...


@runtime_checkable
class Leaves(Protocol):
    """A run that died can leave something behind, and it can be found."""

    def leftovers(self, name: str) -> Iterator[Blob]:
        """Yield what unfinished pushes of images called NAME have left in the cloud ("" = of any name)."""
        ...


@runtime_checkable
class Copies(Protocol):
    """Images can be copied to other places of the cloud, such as its regions; the options say to which.

    A copy is an image like any other: the provider's other methods do what they do in the place where it is.
    """

    def copy(self, image: Image, run: Run, *, replacing: bool = False) -> tuple[Image, ...]:
        """Return the copies of IMAGE in the places that the options name, in their order, when they can be used.

        A copy has IMAGE's name, digest and tags, and whoever may use IMAGE may use it; one that is there already is not
        made again. No place named: nothing done. Raises Conflict where other content has the name, unless REPLACING:
        then that is deleted when the copy is ready. If a place fails, the others are done before the error is raised,
        and its `made` has their copies.
        """
        ...


@runtime_checkable
class Shares(Protocol):
    """Images can be given to others; the options say to whom."""

    def share(self, image: Image, run: Run) -> None:
        """Let those whom the options name use IMAGE; who may already goes on to. Nobody named, nothing done."""
        ...


@runtime_checkable
class Promotes(Protocol):
    """An image can become the one that a moving name, such as an image family, leads to; the options say which."""

    def promote(self, image: Image, run: Run) -> None:
        """Let the moving name of the options lead to IMAGE. No name in them, nothing done."""
        ...


@runtime_checkable
class Protects(Protocol):
    """Images can be kept from being deleted by mistake; the options say how."""

    def protect(self, image: Image, run: Run) -> None:
        """Protect IMAGE, or no longer, as the options say. Nothing said, nothing done."""
        ...


class Status(Enum):
    """How an image stands; the values are the words of the command line."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    """It still works, and whoever uses it is warned."""
    OBSOLETE = "obsolete"
    """Nothing new can be made from it."""
    DELETED = "deleted"
    """It is marked as gone, and can be removed."""


@dataclass(frozen=True, slots=True)
class Deprecation:
    """What is said of an image that should not be used for ever; dates are told to users, and change nothing."""

    status: Status = Status.DEPRECATED
    replacement: str = ""
    """Id of the image to use instead."""
    deprecated: datetime | None = None
    obsolete: datetime | None = None
    deleted: datetime | None = None


@runtime_checkable
class Deprecates(Protocol):
    """Images can be marked as no longer to be used."""

    def deprecate(self, image: Image, deprecation: Deprecation, run: Run) -> None:
        """Say of IMAGE what DEPRECATION says. Raises UsageError for what the cloud cannot say."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """A date of an image that has passed: what is to be said of it now, and whether it may be deleted."""

    image: Image
    since: datetime
    """The date."""
    deprecation: Deprecation | None
    """What `Deprecates.deprecate` is to say; None if that is said already."""
    ends: bool
    """Whether it is the image's last date."""


@runtime_checkable
class Sweeps(Protocol):
    """Images have dates that the cloud tells to users and does nothing about."""

    def due(self, now: datetime) -> Iterator[Due]:
        """Yield what the dates that are before NOW ask for and nobody has done, of images of ours, oldest first."""
        ...


@runtime_checkable
class Withdraws(Protocol):
    """Images can be taken from their users before they are deleted, so that who still needs one can say so."""

    def withdraw(self, image: Image, run: Run) -> None:
        """Let nobody new use IMAGE, as far as the cloud can say that of it, and mark it with the date, last of all.

        One that has the mark already is left alone, with its date. `share`, `promote` and `copy` refuse an image that
        has it (`lkcloud.life.withdrawal`); `deprecate` with the status ACTIVE or DEPRECATED takes it away.
        """
        ...


@dataclass(frozen=True, slots=True)
class Hold:
    """A reason for which an image has to stay, in words that follow its name: `is what the family stable leads to`."""

    image: str
    """The image's id."""
    reason: str
    leads: bool = False
    """Whether the reason is that a moving name leads to it."""


@runtime_checkable
class Holds(Protocol):
    """The cloud can tell what uses, protects or leads to an image."""

    def holds(self, images: Sequence[Image]) -> Iterator[Hold]:
        """Yield the reasons for which images among IMAGES have to stay, as far as the account can see them.

        Raises Refused where this identity may not look, since what it does not see it cannot spare.
        """
        ...


@runtime_checkable
class Tidies(Protocol):
    """An image can be ready while something that it was made from is still there."""

    def tidy(self, source: Source, run: Run) -> None:
        """Remove what a push of SOURCE that died between the two has left; nothing there is no error."""
        ...


class Machine(Protocol):
    """A test machine in a cloud, from `Launches.launch`."""

    @property
    def id(self) -> str:
        """The cloud's id."""
        ...

    def console(self) -> str:
        """Return all that the serial console has shown so far, as far as the cloud gives it out yet."""
        ...

    def state(self) -> str:
        """Return `starting`, `running`, `stopped` or `failed: <the cloud's reason>`."""
        ...

    def terminate(self) -> None:
        """Remove the machine and all that was made with it; again is no error."""
        ...


@runtime_checkable
class Launches(Protocol):
    """Images can be booted to see that they do boot."""

    def launch(self, image: Image, run: Run) -> Machine:
        """Start a test machine; if starting fails, what was made for it is removed before the error is raised."""
        ...


@runtime_checkable
class Requires(Protocol):
    """What the cloud's machines are can be told, so that a disk can be judged before it travels."""

    def needs(self) -> "Needs":
        """Return what a disk needs to boot there, whatever the options say, without the SDK."""
        ...


@runtime_checkable
class Loads(Protocol):
    """What the methods import when they are called can be imported before (see `lkcloud.registry.load_all`)."""

    def load(self) -> None:
        """Import the SDK, and all modules of the provider."""
        ...
